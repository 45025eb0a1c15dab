/* Items are taken by counting up. A helper that wakes up late finds the work
 * closed and goes back to sleep; only those that have begun are waited for. */
#include "crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "thread.h"

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t begun, done;
    bool is_open, stop;
    uint64_t number; /* of the work that is or was open */
    unsigned at_work;
    crew_item item;
    void *arg;
    size_t n;
    _Atomic size_t next;
    unsigned helpers;
    pthread_t threads[];
};

static void work(struct crew *c, crew_item item, void *arg, size_t n)
{
    size_t i;

    while ((i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed)) <
           n)
        item(arg, i);
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
        work(c, item, arg, n);
        pthread_mutex_lock(&c->lock);
        last = --c->at_work == 0;
        pthread_mutex_unlock(&c->lock);
        if (last)
            pthread_cond_signal(&c->done);
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
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begun, NULL);
    pthread_cond_init(&c->done, NULL);
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
    pthread_cond_destroy(&c->done);
    pthread_cond_destroy(&c->begun);
    pthread_mutex_destroy(&c->lock);
    free(c);
    *self_p = NULL;
}

unsigned crew_helpers(const struct crew *c)
{
    return c->helpers;
}

static void open_to_all(struct crew *c, crew_item item, void *arg, size_t n)
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
    for (size_t i = 1; i < n && i <= c->helpers; i++)
        pthread_cond_signal(&c->begun);
}

void crew_run(struct crew *c, crew_item item, void *arg, size_t n)
{
    if (n <= 1 || c->helpers == 0) {
        for (size_t i = 0; i < n; i++)
            item(arg, i);
        return;
    }
    open_to_all(c, item, arg, n);
    work(c, item, arg, n);
    pthread_mutex_lock(&c->lock);
    c->is_open = false;
    while (c->at_work)
        pthread_cond_wait(&c->done, &c->lock);
    pthread_mutex_unlock(&c->lock);
}
