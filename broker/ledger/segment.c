/* The embedded engine: one directory of segment files, appended to by one
 * process. Opening is recover.c's, reading reader.c's and entry.c's. */
#include "broker/ledger/segment.h"
#include "broker/ledger/beside.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/base/failpoint.h"
#include "broker/base/file.h"
#include "proto/refusal.h"

/* --- Creating and opening ------------------------------------------------ */

static int segment_header_new(struct env *env, struct segment_header *h)
{
    return env_random(env, h->nonce, SEGMENT_NONCE_BYTES);
}

static int first_segment(struct buf *out, struct env *env,
                         const struct hash *ledger, struct group *genesis)
{
    static const struct hash nothing;
    uint8_t raw[SEGMENT_HEADER_BYTES], header[GROUP_HEADER_BYTES];
    struct segment_header h = {.ledger = *ledger, .number = 1};
    uint8_t *pad;
    size_t n;
    int r = segment_header_new(env, &h);

    h.epoch = genesis->h.epoch;
    if (!r)
        r = group_finish(genesis, 0, &nothing, h.nonce, SEGMENT_HEADER_BYTES,
                         header);
    if (r)
        return r;
    segment_header_put(raw, &h);
    buf_put(out, raw, sizeof raw);
    buf_put(out, header, sizeof header);
    buf_put(out, genesis->heads.p, genesis->heads.n);
    buf_put(out, genesis->payload.p, genesis->payload.n);
    n = SEGMENT_HEADER_BYTES + (size_t)group_bytes(&genesis->h) - out->n;
    pad = buf_grow(out, n);
    if (!pad)
        return -ENOMEM;
    memset(pad, 0, n);
    return out->failed ? -ENOMEM : 0;
}

int ledger_create(const struct ledger_options *o, const struct hash *ledger,
                  struct group *genesis)
{
    char name[SEGMENT_NAME_BYTES], path[PATH_MAX];
    struct buf file = {0};
    int r;

    segment_name(1, name);
    r = path_join(path, o->dir, name);
    if (r)
        return r;
    if (access(path, F_OK) == 0)
        return -EEXIST;
    if (genesis->h.first != 0 || genesis->h.count == 0)
        return -EINVAL;
    r = first_segment(&file, o->env, ledger, genesis);
    if (!r)
        r = file_write_atomic(path, file.p, file.n, 0600);
    buf_free(&file);
    return r;
}

static struct ledger *ledger_new(const struct ledger_options *o)
{
    struct ledger *l = calloc(1, sizeof *l);

    if (!l)
        return NULL;
    l->lock = l->current.fd = l->spare.fd = -1;
    l->env = o->env;
    l->owner = getpid();
    l->segment_bytes =
        o->segment_bytes ? o->segment_bytes : LEDGER_SEGMENT_DEFAULT;
    l->mapped_max = o->mapped_max ? o->mapped_max : LEDGER_MAPPED_DEFAULT;
    l->maps_max = o->maps_max && o->maps_max < LEDGER_MAPS_MAX
                      ? o->maps_max
                      : LEDGER_MAPS_MAX;
    l->reserve_bytes =
        o->reserve_bytes ? o->reserve_bytes : LEDGER_RESERVE_DEFAULT;
    l->check_bytes = o->check_bytes ? o->check_bytes : LEDGER_CHECK_DEFAULT;
    l->preallocate = o->preallocate;
    l->read_only = o->read_only;
    l->locating.ahead = SEGMENT_SAMPLE_BYTES + 4096;
    l->dir = strdup(o->dir);
    if (!l->dir)
        ledger_close(&l);
    return l;
}

static int lock_take(struct ledger *l)
{
    pid_t holder;
    int r = dir_lock(l->dir, &l->lock, &holder);

    if (r == -EBUSY)
        return trouble_say(l->trouble, r,
                           "%s is in use by another process, pid %ld", l->dir,
                           (long)holder);
    if (r)
        return trouble_say(l->trouble, r, "%s cannot be locked: %s", l->dir,
                           strerror(-r));
    return 0;
}

static int open_locked(struct ledger *l, struct ledger_head *head)
{
    int r = l->read_only ? 0 : lock_take(l);

    if (!r && !l->read_only)
        r = thinning_clear(l->dir);
    if (!r)
        r = ledger_recover(l, head);
    if (r < 0 && !l->trouble[0])
        return trouble_say(l->trouble, r, "%s: %s", l->dir, strerror(-r));
    if (r == CHOIR_NOT_FOUND)
        return trouble_say(l->trouble, r, "there is no ledger in %s", l->dir);
    return r;
}

int ledger_open(struct ledger **out, const struct ledger_options *o,
                struct ledger_head *head)
{
    struct ledger *l = ledger_new(o);
    int r;

    *head = (struct ledger_head){0};
    if (!l)
        return trouble_say(head->trouble, -ENOMEM, "out of memory");
    r = open_locked(l, head);
    if (r) {
        memcpy(head->trouble, l->trouble, sizeof head->trouble);
        ledger_close(&l);
        return r;
    }
    *out = l;
    return 0;
}

void ledger_close(struct ledger **l_p)
{
    struct ledger *l = l_p ? *l_p : NULL;

    if (!l)
        return;
    beside_close(&l->beside);
    zeroing_close(l);
    thinning_close(l);
    space_close(&l->current);
    space_close(&l->spare);
    for (size_t i = 0; i < SEGMENT_FDS; i++)
        if (l->fds[i].number)
            close(l->fds[i].fd);
    for (size_t i = 0; i < l->count; i++) {
        segment_unmap(l, i + 1);
        free(l->segments[i].samples);
    }
    free(l->segments);
    window_free(&l->locating);
    entry_cache_free(&l->cache);
    if (l->lock >= 0)
        close(l->lock);
    free(l->dir);
    free(l);
    *l_p = NULL;
}

void ledger_child(struct ledger *l)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != l->owner) /* it ended before we asked */
        _exit(1);
    if (l->lock >= 0)
        close(l->lock);
    l->lock = -1;
}

/* --- Appending ----------------------------------------------------------- */

/* From here on nothing is known about the disk. */
int ledger_broken(struct ledger *l, int r, const char *what)
{
    l->broken = r;
    return trouble_say(l->trouble, r, "%s: %s failed: %s", l->dir, what,
                       strerror(-r));
}

int ledger_room(struct ledger *l, uint64_t bytes)
{
    int r = l->broken ? l->broken : space_ensure(l, bytes, l->reserve_bytes);

    if (r == CHOIR_READ_ONLY)
        return trouble_say(l->trouble, r, "no space for the next segment in %s",
                           l->dir);
    return r < 0 ? ledger_broken(l, r, "allocating") : r;
}

uint64_t ledger_free(const struct ledger *l)
{
    uint64_t here = 0, next = 0;

    if (l->current.allocated > l->written.offset)
        here = l->current.allocated - l->written.offset;
    if (l->spare.allocated > SEGMENT_HEADER_BYTES)
        next = l->spare.allocated - SEGMENT_HEADER_BYTES;
    return here > next ? here : next;
}

/* Everything so far is durable and ends with its last group before the next
 * segment has a header: so a header proves what lies before it. */
static int current_finish(struct ledger *l)
{
    int r = ledger_sync(l);

    if (r)
        return r;
    if (ftruncate(l->current.fd, (off_t)l->written.offset) ||
        fsync(l->current.fd))
        return -errno;
    return 0;
}

int segment_next(struct ledger *l)
{
    struct segment_header h = {
        .ledger = l->id,
        .number = l->count + 1,
        .first = l->written.size,
        .epoch = l->written.epoch,
        .prev_group = l->written.group,
    };
    uint8_t raw[SEGMENT_HEADER_BYTES];
    int r = current_finish(l);

    if (!r)
        r = zeroing_end(l, true);
    if (!r)
        r = segment_header_new(l->env, &h);
    if (r)
        return r;
    segment_header_put(raw, &h);
    r = file_pwrite_all(l->spare.fd, raw, sizeof raw, 0);
    if (!r && fdatasync(l->spare.fd))
        r = -errno;
    if (!r)
        r = segment_add(l, &h);
    if (r)
        return r;
    FAILPOINT("ledger.segment.headed");
    l->segments[l->count - 2].end = l->written.offset;
    l->segments[l->count - 1].sampled = true;
    l->earlier_bytes += l->written.offset;
    space_close(&l->current);
    l->current = l->spare;
    l->spare = (struct space){.fd = -1};
    l->spare_again = 0;
    l->written.segment = l->durable.segment = l->count;
    l->written.offset = l->durable.offset = SEGMENT_HEADER_BYTES;
    return 0;
}

static int place_for(struct ledger *l, uint64_t n)
{
    int r = 0;

    if (!space_fits(l, n))
        r = space_ensure(l, n, 0);
    if (r)
        return r < 0 ? r : -ENOSPC;
    if (l->current.allocated < l->written.offset + n)
        return segment_next(l);
    return 0;
}

/* Four parts in one call; what a short write leaves goes piece by piece. */
static int parts_write(int fd, const struct iovec part[4], uint64_t at)
{
    ssize_t n;
    size_t done;

    do
        n = pwritev(fd, part, 4, (off_t)at);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    done = (size_t)n;
    for (size_t i = 0; i < 4; i++) {
        size_t skip = done < part[i].iov_len ? done : part[i].iov_len;
        size_t left = part[i].iov_len - skip;
        int r = 0;

        if (left)
            r = file_pwrite_all(fd, (const char *)part[i].iov_base + skip, left,
                                at + skip);
        if (r)
            return r;
        done -= skip;
        at += part[i].iov_len;
    }
    return 0;
}

/* Half a group, for the tests of what a crash leaves. */
static int half_write(int fd, struct iovec part[4], uint64_t at, uint64_t n)
{
    uint64_t left = n / 2;

    for (size_t i = 0; i < 4; i++) {
        if (part[i].iov_len > left)
            part[i].iov_len = (size_t)left;
        left -= part[i].iov_len;
    }
    return parts_write(fd, part, at);
}

static int group_write(struct ledger *l, struct group *g)
{
    static uint8_t zeros[GROUP_ALIGN];
    uint8_t header[GROUP_HEADER_BYTES];
    uint64_t n, at = l->written.offset;
    int r = group_finish(g, l->durable.size, &l->written.group,
                         l->segments[l->count - 1].nonce, at, header);
    struct iovec part[4] = {
        {header, sizeof header},
        {g->heads.p, g->heads.n},
        {g->payload.p, g->payload.n},
        {zeros, 0},
    };

    if (r)
        return r;
    n = group_bytes(&g->h);
    part[3].iov_len = (size_t)n - sizeof header - g->heads.n - g->payload.n;
    if (FAILPOINT_ACTIVE("ledger.append.half")) {
        r = half_write(l->current.fd, part, at, n);
        FAILPOINT_DIE();
    }
    r = parts_write(l->current.fd, part, at);
    FAILPOINT("ledger.append.written");
    return r;
}

static int append(struct ledger *l, struct group *g)
{
    struct group_header size = {.heads_bytes = g->heads.n,
                                .payload_bytes = g->payload.n};
    struct segment *s;
    int r = seal_remove(l);

    if (!r)
        r = place_for(l, group_bytes(&size));
    l->before = l->written;
    l->may_take_back = true;
    if (!r)
        r = group_write(l, g);
    if (r)
        return r;
    s = &l->segments[l->count - 1];
    r = sample_add(s, l->written.size, l->written.offset);
    l->written.offset += group_bytes(&g->h);
    l->written.size += g->h.count;
    l->written.epoch = g->h.epoch;
    l->written.time = g->h.time;
    l->written.group = g->h.hash;
    return r;
}

int ledger_append(struct ledger *l, struct group *g)
{
    int r;

    if (l->broken)
        return l->broken;
    if (g->h.first != l->written.size || g->h.count == 0 ||
        g->h.epoch < l->written.epoch || g->h.time < l->written.time)
        return trouble_say(l->trouble, -EINVAL,
                           "a group for entry %llu cannot follow entry %llu",
                           (unsigned long long)g->h.first,
                           (unsigned long long)l->written.size);
    FAILPOINT("ledger.append.before");
    r = append(l, g);
    return r ? ledger_broken(l, r, "appending") : 0;
}

/* --- How far it goes ------------------------------------------------------- */

uint64_t ledger_size(const struct ledger *l)
{
    return l->written.size;
}

uint64_t ledger_durable(const struct ledger *l)
{
    return l->durable.size;
}

uint64_t ledger_bytes(const struct ledger *l)
{
    return l->earlier_bytes + l->written.offset;
}

uint64_t ledger_segments(const struct ledger *l)
{
    return l->count;
}

uint64_t ledger_segment_first(const struct ledger *l, uint64_t number)
{
    return number > l->count ? l->written.size : l->segments[number - 1].first;
}

struct hash ledger_group(const struct ledger *l)
{
    return l->written.group;
}

const char *ledger_trouble(const struct ledger *l)
{
    return l->trouble;
}

/* --- A clean stop -------------------------------------------------------- */

static int length_of(int fd, uint64_t *length)
{
    struct stat st;

    if (fsync(fd) || fstat(fd, &st))
        return -errno;
    *length = (uint64_t)st.st_size;
    return 0;
}

int ledger_seal(struct ledger *l)
{
    struct seal seal = {.ledger = l->id};
    int r = ledger_sync(l);

    if (!r)
        r = zeroing_end(l, true);
    if (r || l->sealed)
        return r;
    seal.at = l->durable;
    r = length_of(l->current.fd, &seal.last_bytes);
    if (!r && l->spare.fd < 0)
        r = spare_discard(l);
    else if (!r)
        r = length_of(l->spare.fd, &seal.spare_bytes);
    if (!r)
        r = seal_write(l->dir, &seal);
    if (r)
        return ledger_broken(l, r, "sealing");
    l->sealed = true;
    return 0;
}
