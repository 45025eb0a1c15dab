/* The demo's agent in C, in three parts: what it finds in a document
 * (terms.c), where the shared state is (files.c, choir.c), what it does
 * (agent.c). The same agent stands in agent.py and agent.mjs. */
#ifndef DEMO_AGENT_H
#define DEMO_AGENT_H

#include <stddef.h>

enum { TERMS_MAX = 16, WORD_BYTES = 40, LINES_MAX = 5 };

struct term {
    char key[sizeof "index/" + WORD_BYTES];
    char lines[LINES_MAX * 11]; /* "3,17,40" */
};

struct found {
    struct term terms[TERMS_MAX];
    size_t count;
};

/* The most frequent terms of a document, by the rules of words.py.
 * 0, or a negative errno. */
int terms_find(const char *path, struct found *found);

/* The value of an index key, "doc:3,17" a line in the order of doc, with this
 * document's line put in. value: NULL for none. Owned. NULL: no memory. */
char *entries_merge(const char *value, const char *doc, const char *lines);

/* Where the shared state is. One task at a time; functions end the process
 * with a reason on stderr when they cannot go on. */
struct store {
    /* The next document to index; false when there is none any more. */
    int (*take)(char *doc, size_t bytes);
    /* The shared entries of these terms as they are now: owned, or NULL. */
    void (*read)(const struct found *f, char *values[TERMS_MAX]);
    /* Write them back and end the task: 1, or 0 if what they were made from
     * has changed: read again. */
    int (*finish)(const struct found *f, char *values[TERMS_MAX]);
};

struct store files_store(const char *folder);
struct store choir_store(void);

/* Tell the demo: "took index FILE". */
void say(const char *what, const char *doc);
/* Say why and end with 1. */
_Noreturn void give_up(const char *what, const char *why);

#endif
