/* A snapshot in slices, between what others want. What is in the state beside
 * its keys is little and is kept at once; the keys are walked, and what changes
 * before the walk has come to it is given as it was (state/context.h). ADR 13
 * says why no child does that. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/thread.h"
#include "core_private.h"
#include "proto/refusal.h"

enum {
    OTHER_RECORDS = 100000, /* 20 to 30 ms, in which nobody hears anything */
    REST = 19, /* times as long as a slice took is left to others */
};

struct walk {
    struct snapshot_writer *writer; /* owned; the thread's, once there is one */
    struct buf behind; /* records after the keys, each behind its length */
    unsigned others;   /* records that are no keys */
    uint64_t again;    /* steady time; not before, if others want something */
    bool has_thread;
    pthread_t thread;
    atomic_bool ended; /* the thread's last act */
    int result;        /* its own until then */
};

static int put_before(void *arg, struct bytes record)
{
    struct walk *w = arg;

    return w->others++ < OTHER_RECORDS ? snapshot_put(w->writer, record)
                                       : -EFBIG;
}

static int put_behind(void *arg, struct bytes record)
{
    struct walk *w = arg;

    buf_put_u32(&w->behind, (uint32_t)record.n);
    buf_put(&w->behind, record.p, record.n);
    if (w->others++ >= OTHER_RECORDS)
        return -EFBIG;
    return w->behind.failed ? -ENOMEM : 0;
}

static void walk_free(struct walk **w_p)
{
    struct walk *w = *w_p;

    snapshot_abort(&w->writer);
    buf_free(&w->behind);
    free(w);
    *w_p = NULL;
}

int core_walk_begin(struct core *c)
{
    struct snapshot_facts facts = core_snapshot_facts(c);
    struct walk *w = calloc(1, sizeof *w);
    int r;

    if (!w)
        return -ENOMEM;
    r = snapshot_begin(&w->writer, c->config->data, &facts);
    if (!r)
        r = state_save_before(c->state, put_before, w);
    if (!r)
        r = state_save_behind(c->state, put_behind, w);
    if (r) {
        walk_free(&w);
        return r;
    }
    context_save_begin(c->state->context, c->state->size, core_snapshot_put,
                       w->writer);
    c->snapshot_walk = w;
    return 0;
}

static int behind_write(struct walk *w)
{
    struct cursor at = cursor_of(buf_bytes(&w->behind));
    int r = 0;

    while (!r && cursor_left(&at))
        r = snapshot_put(w->writer, cursor_take(&at, cursor_u32(&at)));
    buf_free(&w->behind);
    return r;
}

static void *commit_beside(void *arg)
{
    struct walk *w = arg;

    w->result = snapshot_commit(&w->writer);
    atomic_store_explicit(&w->ended, true, memory_order_release);
    return NULL;
}

/* All is written; the disk may take seconds for it. */
static int commit(struct core *c, struct walk *w)
{
    int r;

    if (!c->snapshot_beside)
        return snapshot_commit(&w->writer);
    r = thread_start(&w->thread, commit_beside, w);
    w->has_thread = !r;
    return r ? r : -EAGAIN;
}

static int commit_end(struct walk *w)
{
    if (!atomic_load_explicit(&w->ended, memory_order_acquire))
        return -EAGAIN;
    pthread_join(w->thread, NULL);
    w->has_thread = false;
    return w->result;
}

static int slice(struct core *c, struct walk *w)
{
    uint64_t begun = env_steady_us(c->env), now;
    int r;

    if (core_others(c, begun) && begun < w->again)
        return -EAGAIN;
    r = context_save_step(c->state->context, c->snapshot_keys);
    now = env_steady_us(c->env);
    w->again = now + REST * (now - begun);
    if (!r)
        return -EAGAIN;
    if (r == CHOIR_NOT_FOUND)
        r = behind_write(w);
    return r ? r : commit(c, w);
}

int core_walk_on(struct core *c)
{
    struct walk *w = c->snapshot_walk;
    int r = w->has_thread ? commit_end(w) : slice(c, w);

    if (r != -EAGAIN)
        core_walk_end(c);
    return r;
}

uint64_t core_walk_next(const struct core *c)
{
    const struct walk *w = c->snapshot_walk;

    if (!w || w->has_thread)
        return UINT64_MAX; /* that it has ended is seen whenever */
    return core_others(c, env_steady_us(c->env)) ? w->again : 0;
}

void core_walk_end(struct core *c)
{
    if (!c->snapshot_walk)
        return;
    context_save_end(c->state->context);
    if (c->snapshot_walk->has_thread)
        pthread_join(c->snapshot_walk->thread, NULL);
    walk_free(&c->snapshot_walk);
}

void core_snapshots_beside(struct core *c)
{
    c->snapshot_beside = true;
}
