/* Values as lines of text, and the lines in which two of them differ. For
 * people and for prompts: whatever is in a value, a line of it begins with
 * what the caller puts in front and holds no control characters.
 * Threads: any, on objects of their own. */
#ifndef CHOIR_SDK_LINES_H
#define CHOIR_SDK_LINES_H

#include "proto/bytes.h"

/* Append the value as text: UTF-8 as it is, JSON and msgpack with a line for
 * each element if they are long, anything else as "(12 bytes)". type: media
 * type, no bytes if unknown. out->failed: no memory. */
void value_text(struct bytes value, struct bytes type, struct buf *out);

/* Where lines go, and how many bytes there may be; what does not fit is
 * counted. */
struct lines {
    struct buf *out;
    size_t max;         /* of out->n */
    const char *indent; /* in front of each */
    uint64_t left_out;  /* lines */
};
/* sign: ' ', '+', '-'; 0: none. line: without its end. The first that
 * does not fit is cut, those behind it are left out. */
void line_put(struct lines *to, char sign, struct bytes line);
/* All of a text. */
void lines_put(struct lines *to, char sign, struct bytes text);
/* As `diff -u` has it, without the names: "@@ -1,3 +1,4 @@" and so on. Texts
 * with more than 500 differences are told as a whole. 0 or -ENOMEM. */
int lines_diff(struct lines *to, struct bytes before, struct bytes after,
               unsigned context);

/* What was written becomes the caller's text, with a NUL, unless r. r; -ENOMEM
 * with this thread's error set. */
int text_give(struct buf *out, int r, char **text);

#endif
