/* What a replica holds, compared with the broker page by page, round and
 * round: so that a mistake, its or ours, does not stay. */
#include <errno.h>

#include "error.h"
#include "proto/keyset.h"
#include "proto/refusal.h"
#include "replica_feed.h"

enum {
    PAGE_KEYS = LIMIT_LIST_ITEMS,
    PAGE_BYTES = 256 << 10,
    WAIT_MAX_MS = 3600000,
};

void check_begin(struct feed *f)
{
    int64_t least = f->r->check_ms;

    f->check.after_bytes = 0;
    if (f->check.wait_ms < least)
        f->check.wait_ms = least;
    f->check.due_ms = least < 0 ? -1 : sdk_clock_ms() + f->check.wait_ms;
}

static struct choir_request *page_request(struct feed *f, const struct buf *run,
                                          const char *last)
{
    struct choir_request *q = feed_request(f->r, "digest");
    struct hash digest = keyset_digest(run);

    if (!q)
        return NULL;
    choir_request_text(q, "prefix", f->r->prefix);
    choir_request_uint(q, "revision", f->told);
    choir_request_bytes(q, "digest", digest.b, sizeof digest.b);
    if (f->check.after_bytes)
        choir_request_text(q, "after", f->check.after);
    if (last)
        choir_request_text(q, "key", last);
    return q;
}

/* Only this thread changes the map, so it may be read without a lock. */
static int page_ask(struct feed *f, char *last, size_t *last_bytes)
{
    struct bytes after = bytes_of(f->check.after, f->check.after_bytes);
    struct choir_request *q;
    struct choir_event *e;
    struct bytes end = {0};
    struct buf run = {0};
    bool more =
        replica_map_run(f->r->map, after, PAGE_KEYS, PAGE_BYTES, &run, &end);
    int code;

    *last_bytes = more ? end.n : 0;
    memcpy(last, end.p ? (const char *)end.p : "", end.n);
    last[end.n] = '\0';
    q = run.failed ? NULL : page_request(f, &run, more ? last : NULL);
    code = q ? feed_ask(f, &q, &e) : error_set(-ENOMEM, 0, NULL);
    if (!code)
        choir_event_free(&e);
    buf_free(&run);
    return code;
}

/* What the two sides cannot agree on must not make it load for ever: later each
 * time. */
static void later(struct feed *f)
{
    f->check.wait_ms *= 2;
    if (f->check.wait_ms > WAIT_MAX_MS)
        f->check.wait_ms = WAIT_MAX_MS;
}

/* After a round in which everything was as it should be it is as often as it
 * was said again. */
static void go_on(struct feed *f, const char *last, size_t bytes)
{
    if (!bytes)
        f->check.wait_ms = f->r->check_ms;
    memcpy(f->check.after, last, bytes + 1);
    f->check.after_bytes = bytes;
    f->check.due_ms = sdk_clock_ms() + f->check.wait_ms;
}

int check_page(struct feed *f)
{
    char last[LIMIT_KEY_BYTES + 1];
    size_t bytes;
    int code;

    if (f->check.due_ms < 0 || f->check.due_ms > sdk_clock_ms())
        return 0;
    code = page_ask(f, last, &bytes);
    if (code == CHOIR_DIVERGED)
        later(f);
    if (code < 0 || code == CHOIR_DIVERGED || code == CHOIR_EPOCH_CHANGED)
        return code;
    if (code == CHOIR_UNSUPPORTED)
        f->check.due_ms = -1;
    else
        go_on(f, last, bytes);
    return 0;
}
