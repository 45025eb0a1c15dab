/* The text behind choir_error_text(): one line per thread. */
#ifndef CHOIR_SDK_ERROR_H
#define CHOIR_SDK_ERROR_H

#include <stdint.h>

/* Remember and return code. The line is the code's name, a space and what
 * format makes; without a format, the code's sentence. Any thread. */
int error_set(int code, uint64_t revision, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Likewise, with a line that is complete. */
int error_line(int code, uint64_t revision, const char *line);

/* This thread's error, kept while it does another's work. */
struct error {
    int code;
    uint64_t revision;
    char text[1024];
};
void error_keep(struct error *to);
void error_restore(const struct error *from);

#endif
