/* A handful of leases, or thousands: a hash by token. */
#include "leases.h"

#include <pthread.h>
#include <stdlib.h>

#include "table.h"

struct held {
    struct lease lease;
    UT_hash_handle hh;
};

struct leases {
    pthread_mutex_t lock;
    struct held *all;
    uint64_t least_ms; /* of any that was there since they were last copied */
};

struct leases *leases_new(void)
{
    struct leases *l = calloc(1, sizeof *l);

    if (l)
        pthread_mutex_init(&l->lock, NULL);
    return l;
}

void leases_destroy(struct leases **self_p)
{
    struct leases *l = *self_p;
    struct held *h, *next;

    if (!l)
        return;
    HASH_ITER (hh, l->all, h, next) {
        HASH_DEL(l->all, h);
        free(h);
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
    *self_p = NULL;
}

static struct held *find(struct leases *l, uint64_t token)
{
    struct held *h;

    HASH_FIND(hh, l->all, &token, sizeof token, h);
    return h;
}

bool leases_add(struct leases *l, const struct lease *lease)
{
    struct held *h = malloc(sizeof *h);
    bool added = false;

    pthread_mutex_lock(&l->lock);
    if (h && !find(l, lease->token)) {
        if (!l->all || lease->lease_ms < l->least_ms)
            l->least_ms = lease->lease_ms;
        h->lease = *lease;
        HASH_ADD(hh, l->all, lease.token, sizeof h->lease.token, h);
        added = true;
    }
    pthread_mutex_unlock(&l->lock);
    if (!added)
        free(h);
    return added;
}

bool leases_get(struct leases *l, uint64_t token, struct lease *lease)
{
    const struct held *h;

    pthread_mutex_lock(&l->lock);
    h = find(l, token);
    if (h)
        *lease = h->lease;
    pthread_mutex_unlock(&l->lock);
    return h != NULL;
}

bool leases_held(struct leases *l, uint64_t token)
{
    struct lease lease;

    return leases_get(l, token, &lease);
}

bool leases_drop(struct leases *l, uint64_t token, struct lease *lease)
{
    struct held *h;

    pthread_mutex_lock(&l->lock);
    h = find(l, token);
    if (h)
        HASH_DEL(l->all, h);
    pthread_mutex_unlock(&l->lock);
    if (!h)
        return false;
    if (lease)
        *lease = h->lease;
    free(h);
    return true;
}

bool leases_input(struct leases *l, uint64_t token, uint64_t input,
                  struct lease *lease)
{
    struct held *h;
    bool is_new;

    pthread_mutex_lock(&l->lock);
    h = find(l, token);
    is_new = h && input > h->lease.input;
    if (is_new) {
        h->lease.input = input;
        *lease = h->lease;
    }
    pthread_mutex_unlock(&l->lock);
    return is_new;
}

int64_t leases_interval_ms(struct leases *l)
{
    bool none;
    int64_t interval;

    pthread_mutex_lock(&l->lock);
    none = !l->all;
    interval = (int64_t)(l->least_ms / 3);
    pthread_mutex_unlock(&l->lock);
    if (none)
        return -1;
    return interval < 10 ? 10 : interval > 10000 ? 10000 : interval;
}

/* Who beats looks at all of them anyway; an engine that turns does not. */
static void least_find(struct leases *l)
{
    l->least_ms = UINT64_MAX;
    for (const struct held *h = l->all; h; h = h->hh.next)
        if (h->lease.lease_ms < l->least_ms)
            l->least_ms = h->lease.lease_ms;
}

size_t leases_copy(struct leases *l, size_t from, struct lease *out, size_t max)
{
    size_t n = 0;

    pthread_mutex_lock(&l->lock);
    least_find(l);
    for (struct held *h = l->all; h && n < max; h = h->hh.next) {
        if (from > 0)
            from--;
        else
            out[n++] = h->lease;
    }
    pthread_mutex_unlock(&l->lock);
    return n;
}
