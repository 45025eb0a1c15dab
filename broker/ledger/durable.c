/* When what was appended is on the disk, who waits for that, and the one case
 * in which it is taken from there again. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/ledger/beside.h"
#include "broker/ledger/segment.h"

static int synced(struct ledger *l, const struct mark *upto)
{
    l->durable = *upto;
    FAILPOINT("ledger.synced");
    return 0;
}

static int sync_end(struct ledger *l, bool wait)
{
    int r = beside_end(l->beside, wait);

    if (r == -EAGAIN)
        return r;
    l->is_syncing = false;
    return r ? ledger_broken(l, r, "syncing") : synced(l, &l->syncing);
}

int ledger_sync(struct ledger *l)
{
    int r = l->broken;

    if (!r && l->is_syncing)
        r = sync_end(l, true);
    if (r || l->durable.size == l->written.size)
        return r;
    if (fdatasync(l->current.fd))
        return ledger_broken(l, -errno, "syncing");
    return synced(l, &l->written);
}

int ledger_take_back(struct ledger *l)
{
    int r = l->broken ? l->broken : l->may_take_back ? 0 : -EINVAL;

    if (r)
        return r;
    l->may_take_back = false;
    if (l->is_syncing)
        r = ledger_sync(l);
    if (!r)
        r = file_wipe(l->current.fd, l->before.offset, l->written.offset);
    if (r)
        return ledger_broken(l, r, "taking back");
    window_free(&l->locating);
    entry_cache_forget(l->cache, l->count);
    l->generation++; /* readers read again */
    l->written = l->before;
    if (l->durable.size > l->written.size)
        l->durable = l->written;
    return 0;
}

static int sync_job(void *ledger)
{
    const struct ledger *l = ledger;

    return fdatasync(l->syncing_fd) ? -errno : 0;
}

int ledger_sync_ahead(struct ledger *l)
{
    uint64_t from = l->durable.segment == l->written.segment
                        ? l->durable.offset
                        : SEGMENT_HEADER_BYTES;

    if (l->broken || l->is_syncing || l->durable.size == l->written.size)
        return l->broken;
    if (sync_file_range(l->current.fd, (off_t)from,
                        (off_t)(l->written.offset - from),
                        SYNC_FILE_RANGE_WRITE) &&
        (errno == EIO || errno == ENOSPC)) /* else the sync does it all */
        return ledger_broken(l, -errno, "syncing");
    return 0;
}

int ledger_beside(struct ledger *l, int *fd)
{
    int r = beside_open(&l->beside);

    if (!r)
        *fd = beside_fd(l->beside);
    if (!r && l->preallocate)
        r = beside_open(&l->zeroing.beside);
    return r;
}

int ledger_zeros_ahead(struct ledger *l)
{
    int r = l->broken;

    if (r || !l->zeroing.beside)
        return r;
    r = spare_zero(l);
    return r ? ledger_broken(l, r, "writing zeros") : 0;
}

static void sync_note(struct ledger *l)
{
    l->syncing = l->written;
    l->is_syncing = true;
    l->syncing_fd = l->current.fd;
}

int ledger_sync_begin(struct ledger *l)
{
    if (l->broken)
        return l->broken;
    if (!l->beside)
        return ledger_sync(l);
    sync_note(l);
    beside_begin(l->beside, sync_job, l);
    return 0;
}

int ledger_sync_aside(struct ledger *l)
{
    int r = ledger_sync_ahead(l); /* before that thread has its core */

    if (r || !l->beside)
        return r;
    sync_note(l);
    beside_begin_aside(l->beside, sync_job, l);
    return 0;
}

bool ledger_syncing(const struct ledger *l)
{
    return l->is_syncing;
}

int ledger_sync_end(struct ledger *l)
{
    return l->is_syncing ? sync_end(l, false) : l->broken;
}
