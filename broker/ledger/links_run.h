/* One run of links: a file that is written once. */
#ifndef CHOIR_BROKER_LEDGER_LINKS_RUN_H
#define CHOIR_BROKER_LEDGER_LINKS_RUN_H

#include "broker/ledger/links.h"

enum { RUN_NAME_BYTES = 64, RUN_FENCES = 4096 };

struct run {
    uint64_t first, end; /* entries */
    uint64_t count;      /* links */
    struct hash leaf;    /* of entry end - 1 */
    int fd;
    uint64_t step; /* links from fence to fence */
    struct fence {
        uint64_t to, from;
    } * fences; /* owned: the first of each step */
    size_t fence_count;
};

int link_compare(const void *a, const void *b);
/* As qsort would with that. */
void links_sort(struct link *links, size_t n);

void run_name(const struct run *run, char name[RUN_NAME_BYTES]);
/* Open by name in dir. 0; -EUCLEAN: it is none of that ledger. */
int run_open(struct run *run, const char *dir, const char *name,
             const struct hash *ledger);
void run_close(struct run *run);
int run_remove(const struct run *run, const char *dir);

/* Write as one run what n neighbours hold and the links behind them, which are
 * sorted. out: first, end and leaf are set; the rest is. 0; -EUCLEAN: one of
 * them is damaged; another negative errno. Thread: any. */
int run_merge(struct run *out, const char *dir, const struct hash *ledger,
              const struct run *runs, size_t n, const struct link *tail,
              size_t tail_count);

/* As links_find; appends behind what out has. */
int run_find(const struct run *run, uint64_t to, uint64_t after,
             struct link *out, int max);

#endif
