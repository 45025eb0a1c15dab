/* Snapshots: a forked child writes the state as it is at this moment, while its
 * parent goes on. ADR 4. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "core_private.h"
#include "ledger/snapshot.h"

enum { SNAPSHOT_REST = 19 }; /* times as long as one took, before the next */

static int put_record(void *writer, struct bytes record)
{
    return snapshot_put(writer, record);
}

static int snapshot_write(const struct core *c)
{
    struct snapshot_facts facts = {
        .ledger = c->state->ledger,
        .epoch = c->state->epoch,
        .size = c->state->size,
        .time = c->state->time,
        .group = ledger_group(c->ledger),
        .digest = state_digest(c->state),
        .tree = c->state->tree,
    };
    struct snapshot_writer *w;
    int r = snapshot_begin(&w, c->config->data, &facts);

    if (r)
        return r;
    r = state_save(c->state, put_record, w);
    if (r) {
        snapshot_abort(&w);
        return r;
    }
    return snapshot_commit(&w);
}

void core_snapshot_end(struct core *c)
{
    if (!c->snapshot_child)
        return;
    kill(c->snapshot_child, SIGKILL);
    waitpid(c->snapshot_child, NULL, 0);
    c->snapshot_child = 0;
}

int core_snapshot(struct core *c, bool here)
{
    int r;

    if (here) {
        core_snapshot_end(c); /* it writes to the same file */
        r = snapshot_write(c);
        if (!r)
            c->snapshot_size = c->state->size;
        return r;
    }
    if (c->snapshot_child)
        return 0; /* the last one is still being written */
    c->snapshot_child = fork();
    if (c->snapshot_child < 0) {
        log_warn("snapshot", "error=%s", "cannot fork; will try again");
        c->snapshot_child = 0;
        c->snapshot_size = c->state->size;
        return 0;
    }
    if (c->snapshot_child == 0) {
        ledger_child(c->ledger);
        _exit(snapshot_write(c) ? 1 : 0);
    }
    c->snapshot_size = c->state->size;
    c->snapshot_begun = env_steady_us(c->env);
    return 0;
}

int core_tend(struct core *c)
{
    int status;

    core_tree_follow(c);
    core_links_follow(c);
    if (!c->snapshot_child || waitpid(c->snapshot_child, &status, WNOHANG) <= 0)
        return core_reclaim(c);
    c->snapshot_child = 0;
    c->snapshot_again =
        env_steady_us(c->env) +
        SNAPSHOT_REST * (env_steady_us(c->env) - c->snapshot_begun);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        c->counters.snapshots++;
    else
        log_warn("snapshot", "error=%s", "not written; the old one stays");
    return core_reclaim(c);
}

/* The larger the state, the longer a snapshot takes a processor: then they
 * come less often. */
bool core_snapshot_due(const struct core *c)
{
    return core_due(c, c->snapshot_size) && !c->snapshot_child &&
           env_steady_us(c->env) >= c->snapshot_again;
}
