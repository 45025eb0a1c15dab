/* broker/ledger/beside.h without a thread: what it was asked to do is done when
 * it has been looked at often enough. */
#include "broker/ledger/beside.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/sim/world/disk.h"
#include "tests/sim/world/inputs.h"

struct beside {
    beside_job job; /* NULL: nothing is under way */
    void *arg;
    unsigned looks;
    uint64_t changes; /* of the disk, when it began */
};

static unsigned looks_at_first;

void inputs_sync_looks(unsigned looks)
{
    looks_at_first = looks;
}

int beside_open(struct beside **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? 0 : -ENOMEM;
}

void beside_close(struct beside **self_p)
{
    if (*self_p && (*self_p)->job)
        beside_end(*self_p, true);
    free(*self_p);
    *self_p = NULL;
}

int beside_fd(const struct beside *b)
{
    (void)b; /* nobody polls */
    return -1;
}

void beside_begin(struct beside *b, beside_job job, void *arg)
{
    if (b->job)
        abort();
    b->job = job;
    b->arg = arg;
    b->looks = looks_at_first;
    b->changes = disk_changes();
}

void beside_begin_aside(struct beside *b, beside_job job, void *arg)
{
    beside_begin(b, job, arg);
}

int beside_end(struct beside *b, bool wait)
{
    beside_job job = b->job;
    int r;

    if (!wait && b->looks && b->looks--)
        return -EAGAIN;
    b->job = NULL;
    disk_sync_without(b->changes, disk_changes());
    r = job(b->arg);
    disk_sync_without(0, 0);
    return r;
}
