/* Snapshots: the state as it is at one moment, written while the broker goes on:
 * in slices (core_walk.c, ADR 13), or by a forked child (ADR 4) where there is
 * much beside keys. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"
#include "core_private.h"

enum { SNAPSHOT_REST = 19 }; /* times as long as one took, before the next */

int core_snapshot_put(void *writer, struct bytes record)
{
    return snapshot_put(writer, record);
}

struct snapshot_facts core_snapshot_facts(const struct core *c)
{
    return (struct snapshot_facts){
        .ledger = c->state->ledger,
        .epoch = c->state->epoch,
        .size = c->state->size,
        .time = c->state->time,
        .group = ledger_group(c->ledger),
        .digest = state_digest(c->state),
        .tree = c->state->tree,
    };
}

static int snapshot_write(const struct core *c)
{
    struct snapshot_facts facts = core_snapshot_facts(c);
    struct snapshot_writer *w;
    int r = snapshot_begin(&w, c->config->data, &facts);

    if (r)
        return r;
    r = state_save(c->state, core_snapshot_put, w);
    if (r) {
        snapshot_abort(&w);
        return r;
    }
    return snapshot_commit(&w);
}

void core_snapshot_end(struct core *c)
{
    core_walk_end(c);
    if (!c->snapshot_child)
        return;
    kill(c->snapshot_child, SIGKILL);
    waitpid(c->snapshot_child, NULL, 0);
    c->snapshot_child = 0;
}

static int snapshot_here(struct core *c)
{
    int r;

    core_snapshot_end(c); /* it writes to the same file */
    r = snapshot_write(c);
    if (!r)
        c->snapshot_size = c->state->size;
    return r;
}

static void snapshot_fork(struct core *c)
{
    c->snapshot_child = fork();
    if (c->snapshot_child < 0) {
        log_warn("snapshot", "error=%s", "cannot fork; will try again");
        c->snapshot_child = 0;
        return;
    }
    if (c->snapshot_child == 0) {
        thread_forked();
        ledger_child(c->ledger);
        _exit(snapshot_write(c) ? 1 : 0);
    }
    c->snapshot_begun = env_steady_us(c->env);
}

static void snapshot_ended(struct core *c, bool written)
{
    if (written)
        c->counters.snapshots++;
    else
        log_warn("snapshot", "error=%s", "not written; the old one stays");
}

int core_snapshot(struct core *c, bool here)
{
    int r;

    if (here)
        return snapshot_here(c);
    if (c->snapshot_child || c->snapshot_walk)
        return 0; /* the last one is still being written */
    c->snapshot_size = c->state->size;
    r = core_walk_begin(c);
    if (r == -EFBIG)
        snapshot_fork(c);
    else if (r)
        snapshot_ended(c, false);
    return 0;
}

static void walk_on(struct core *c)
{
    int r = c->snapshot_walk ? core_walk_on(c) : -EAGAIN;

    if (r != -EAGAIN)
        snapshot_ended(c, r == 0);
}

static void child_look(struct core *c)
{
    uint64_t now = env_steady_us(c->env);
    int status;

    if (!c->snapshot_child || waitpid(c->snapshot_child, &status, WNOHANG) <= 0)
        return;
    c->snapshot_child = 0;
    c->snapshot_again = now + SNAPSHOT_REST * (now - c->snapshot_begun);
    snapshot_ended(c, WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int core_tend(struct core *c)
{
    int r = core_grow(c);

    if (r)
        return r;
    core_tree_follow(c);
    core_links_follow(c);
    walk_on(c);
    child_look(c);
    return core_reclaim(c);
}

/* The more there is, the longer a child takes a processor: then they come less
 * often. */
bool core_snapshot_due(const struct core *c)
{
    return core_due(c, c->snapshot_size) && !c->snapshot_child &&
           !c->snapshot_walk && env_steady_us(c->env) >= c->snapshot_again;
}
