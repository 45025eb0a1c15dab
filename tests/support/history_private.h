/* What history.c keeps and history_check.c compares. */
#ifndef CHOIR_TESTS_SUPPORT_HISTORY_PRIVATE_H
#define CHOIR_TESTS_SUPPORT_HISTORY_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/support/history.h"

#define LIST_OF(type)   \
    struct {            \
        type *at;       \
        size_t n, room; \
    }

struct pair {
    char *key, *value;
    uint64_t revision; /* of a compare */
};

typedef LIST_OF(struct pair) pairs;

/* An operation, as a client began it or as the record has it. */
struct said {
    char *verb, *value;
    uint64_t task, token;
    pairs compares, writes;
};

struct h_op {
    struct said said;
    unsigned client;
    uint64_t n, start, end;
    bool ended;
    int code;
    uint64_t revision;
    const struct h_entry *entry; /* found by its tag */
};

struct h_entry {
    struct said said;
    uint64_t index, session, seq, attempt, told;
    char *agent;
    int outcome;
    bool claimed; /* by a client's operation */
};

struct h_read {
    char *key, *value;
    uint64_t start, end, revision, seen;
    unsigned client;
};

struct h_lease {
    unsigned client;
    uint64_t task, token, attempt;
    char *payload;
};

struct h_change {
    uint64_t revision;
    pairs items;
};

struct h_watch {
    unsigned client;
    uint64_t number, from;
    char *prefix;
    bool complete;
    LIST_OF(struct h_change) changes;
};

struct history {
    LIST_OF(struct h_op) ops;
    LIST_OF(struct h_entry) entries;
    LIST_OF(struct h_read) reads;
    LIST_OF(struct h_lease) leases;
    LIST_OF(struct h_watch) watches;
    LIST_OF(char *) agents; /* by client number */
    unsigned unreadable;
    unsigned *found; /* while checking */
    FILE *out;
};

void *history_room(void *list_at, size_t *room, size_t n, size_t size);
/* A new, zeroed last element of a list. */
#define LIST_ADD(list)                                               \
    ((list)->at = history_room((list)->at, &(list)->room, (list)->n, \
                               sizeof *(list)->at),                  \
     &(list)->at[(list)->n++])

/* The unique text of an operation: its own, or that of its first write. */
const char *said_tag(const struct said *s);

void history_found(struct history *h, enum finding f, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* history_model.c: walks the record once and checks it against itself. */
struct model;
struct model *model_walk(struct history *h);
void model_free(struct model **m);
/* Version of key that was there at `seen`: its revision (0: none), value. */
uint64_t model_at(const struct model *m, const char *key, uint64_t seen,
                  const char **value);

#endif
