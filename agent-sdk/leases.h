/* Leases this handle holds. Guarded by a lock of its own: the engine keeps
 * them alive, and callers ask whether they still stand. */
#ifndef CHOIR_SDK_LEASES_H
#define CHOIR_SDK_LEASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease {
    uint64_t token, task;
    uint64_t work; /* the request that brought it */
    uint64_t lease_ms;
    uint64_t input; /* entry of what was given last; 0: none */
};

struct leases;

/* NULL: no memory. */
struct leases *leases_new(void);
void leases_destroy(struct leases **l);
/* false: it is there already (the broker told again), or no memory. */
bool leases_add(struct leases *l, const struct lease *lease);
bool leases_held(struct leases *l, uint64_t token);
/* What it is. false: it is not there. */
bool leases_get(struct leases *l, uint64_t token, struct lease *lease);
/* It is over. false: it was not there. lease: if not NULL, what it was. */
bool leases_drop(struct leases *l, uint64_t token, struct lease *lease);
/* Something was given under it, by that entry. false: that is known already,
 * or the lease is not there. lease: what it is. */
bool leases_input(struct leases *l, uint64_t token, uint64_t input,
                  struct lease *lease);
/* When to beat, counted from the last time: a third of the shortest lease
 * there was since they were copied last; -1: nothing to keep alive. */
int64_t leases_interval_ms(struct leases *l);
/* Copy up to max, from number `from` on; returns how many. */
size_t leases_copy(struct leases *l, size_t from, struct lease *out,
                   size_t max);

#endif
