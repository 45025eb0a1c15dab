/* Items are taken by counting up. A helper that wakes up late finds the work
 * closed and goes back to sleep; only those that have begun are waited for. */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "soon.h"
#include "thread.h"

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t begun, changed;
    bool is_open, stop;
    bool is_handed;  /* what is open was begun before it was needed */
    uint64_t number; /* of the work that is or was open */
    unsigned at_work;
    crew_item item;
    void *arg;
    size_t n;
    _Atomic size_t next;
    _Atomic bool *done; /* by item */
    size_t room;
    _Atomic bool is_awaited; /* one of them, by the caller */
    struct aside aside;
    unsigned helpers;
    pthread_t threads[];
};

/* One that nobody has begun. */
static bool work(struct crew *c, crew_item item, void *arg, size_t n)
{
    size_t i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed);

    if (i >= n)
        return false;
    item(arg, i);
    atomic_store(&c->done[i], true);
    return true;
}

/* The caller looks at an item after he has said that he waits. */
static void tell(struct crew *c)
{
    if (!atomic_load(&c->is_awaited))
        return;
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void *help(void *self)
{
    struct crew *c = self;
    uint64_t seen = 0;

    pthread_mutex_lock(&c->lock);
    while (!c->stop) {
        crew_item item = c->item;
        void *arg = c->arg;
        size_t n = c->n;
        bool last;

        if (!c->is_open || c->number == seen) {
            pthread_cond_wait(&c->begun, &c->lock);
            continue;
        }
        seen = c->number;
        c->at_work++;
        pthread_mutex_unlock(&c->lock);
        while (work(c, item, arg, n))
            tell(c);
        pthread_mutex_lock(&c->lock);
        last = --c->at_work == 0;
        pthread_mutex_unlock(&c->lock);
        if (last)
            pthread_cond_signal(&c->changed);
        pthread_mutex_lock(&c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

static int threads_start(struct crew *c, unsigned helpers)
{
    int r = 0;

    for (; !r && c->helpers < helpers; c->helpers += !r)
        r = thread_start(&c->threads[c->helpers], help, c);
    return r;
}

int crew_new(struct crew **out, unsigned helpers)
{
    struct crew *c = calloc(1, sizeof *c + helpers * sizeof *c->threads);
    int r;

    if (!c)
        return -ENOMEM;
    aside_init(&c->aside);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begun, NULL);
    pthread_cond_init(&c->changed, NULL);
    r = threads_start(c, helpers);
    if (r)
        crew_destroy(&c);
    else
        *out = c;
    return r;
}

void crew_destroy(struct crew **self_p)
{
    struct crew *c = *self_p;

    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_broadcast(&c->begun);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 0; i < c->helpers; i++)
        pthread_join(c->threads[i], NULL);
    pthread_cond_destroy(&c->changed);
    free(c->done);
    pthread_cond_destroy(&c->begun);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *self_p = NULL;
}

unsigned crew_helpers(const struct crew *c)
{
    return c->helpers;
}

static void open_to(struct crew *c, size_t helpers, crew_item item, void *arg,
                    size_t n)
{
    pthread_mutex_lock(&c->lock);
    c->item = item;
    c->arg = arg;
    c->n = n;
    c->number++;
    c->is_open = true;
    atomic_store_explicit(&c->next, 0, memory_order_relaxed);
    pthread_mutex_unlock(&c->lock);
    /* who wakes up while the lock is held goes back to sleep at once */
    for (size_t i = 0; i < helpers && i < c->helpers; i++)
        pthread_cond_signal(&c->begun);
}

static int begin(struct crew *c, size_t helpers, crew_item item, void *arg,
                 size_t n)
{
    if (n > c->room) {
        _Atomic bool *done = realloc(c->done, n * sizeof *done);

        if (!done)
            return -ENOMEM;
        c->done = done;
        c->room = n;
    }
    if (helpers)
        aside_keep(&c->aside, c->threads, c->helpers);
    for (size_t i = 0; i < n; i++)
        atomic_init(&c->done[i], false);
    open_to(c, helpers, item, arg, n);
    return 0;
}

int crew_begin(struct crew *c, crew_item item, void *arg, size_t n)
{
    c->is_handed = false;
    return begin(c, n ? n - 1 : 0, item, arg, n);
}

int crew_hand(struct crew *c, crew_item item, void *arg, size_t n)
{
    c->is_handed = true;
    return begin(c, 1, item, arg, n);
}

/* Somebody is at it. */
static void await(struct crew *c, size_t i)
{
    if (c->is_handed && soon(&c->done[i]))
        return;
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->is_awaited, true);
    while (!atomic_load(&c->done[i]))
        pthread_cond_wait(&c->changed, &c->lock);
    atomic_store(&c->is_awaited, false);
    pthread_mutex_unlock(&c->lock);
}

void crew_need(struct crew *c, size_t i)
{
    while (!atomic_load(&c->done[i]))
        if (!work(c, c->item, c->arg, c->n))
            await(c, i);
}

void crew_end(struct crew *c)
{
    pthread_mutex_lock(&c->lock);
    c->is_open = false;
    atomic_store_explicit(&c->next, c->n, memory_order_relaxed);
    while (c->at_work)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}
