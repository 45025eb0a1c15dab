/* Loading a replica, while it is already watched: first the watch is opened at
 * the head, then keys are listed and read as they are at that moment, each
 * perhaps at another revision, and every change that the watch tells in between
 * is put on top: of two versions of a key the later wins, and what is gone is
 * remembered until the end. Once the watch has come as far as the latest of
 * those answers, all that is loaded is the state at one revision; only then can
 * it be read. */
#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "proto/refusal.h"
#include "replica_feed.h"

enum {
    READ_COUNT = 256,     /* values asked for at a time */
    READ_BYTES = 4 << 20, /* and as many bytes, if one is not larger */
    LIST_COUNT = 1000,    /* keys of a page */
};

struct reading {
    struct bytes key[READ_COUNT]; /* borrowed from the page */
    uint64_t id[READ_COUNT];
    size_t count, taken, bytes;
    uint64_t rests_on; /* the latest revision an answer rests on */
};

static int value_put(struct feed *f, struct bytes key, const struct msg *m)
{
    struct version_parts parts = {
        .key = key,
        .value = msg_b(m, FIELD_VALUE),
        .type = msg_b(m, FIELD_TYPE),
        .revision = msg_u(m, FIELD_REVISION),
        .time = msg_u(m, FIELD_TIME),
        .agent = msg_hash(m, FIELD_AGENT),
        .is_erased = msg_u(m, FIELD_OUTCOME) == CHOIR_ERASED,
    };
    struct version *v;
    int code = -ENOMEM;

    if (replica_map_revision(f->loading, key) >= parts.revision)
        return 0;
    if (!replica_map_reserve(f->loading, 1) && (v = version_new(&parts)))
        code = replica_map_put(f->loading, v);
    return code ? error_set(code, 0, NULL) : feed_room_check(f->r, f->loading);
}

static void rests_on(struct reading *reading, const struct choir_event *e)
{
    uint64_t seen = choir_event_uint(e, "seen");

    if (seen > reading->rests_on)
        reading->rests_on = seen;
}

/* A key that is not there any more is of no concern: the watch says so. */
static int value_take(struct feed *f, struct reading *reading)
{
    size_t i = reading->taken;
    const struct msg *m;
    struct choir_event *e;
    int code = feed_take(f, reading->id[i], -1, &e);

    if (code)
        return code;
    reading->taken++;
    rests_on(reading, e);
    m = event_message(e);
    if (!m)
        code = error_set(-ENOMEM, 0, NULL);
    else if (e->code != CHOIR_NOT_FOUND)
        code = e->code && e->code != CHOIR_ERASED
                   ? feed_event_code(e)
                   : value_put(f, reading->key[i], m);
    choir_event_free(&e);
    return code;
}

/* And what has changed meanwhile, so that the broker can go on telling. */
static int values_take(struct feed *f, struct reading *reading)
{
    int code = 0;

    while (!code && reading->taken < reading->count)
        code = value_take(f, reading);
    while (reading->taken < reading->count)
        handle_forget(f->c, reading->id[reading->taken++]);
    reading->count = reading->taken = reading->bytes = 0;
    for (int n = 0; !code && n < FEED_CREDIT; n++)
        code = feed_hear(f, 0);
    return code == CHOIR_TIMEOUT ? 0 : code;
}

static int value_ask(struct feed *f, struct reading *reading,
                     const struct choir_event *item)
{
    uint64_t bytes = choir_event_uint(item, "size");
    struct bytes key = {0};
    struct choir_request *q;
    int code = 0;

    key.p = choir_event_bytes(item, "key", &key.n);
    if (replica_map_revision(f->loading, key) >=
        choir_event_uint(item, "revision"))
        return 0;
    if (reading->count == READ_COUNT ||
        (reading->count && reading->bytes + bytes > READ_BYTES))
        code = values_take(f, reading);
    if (code)
        return code;
    q = feed_request(f->r, "get");
    if (q)
        choir_request_text(q, "key", choir_event_text(item, "key"));
    code =
        q ? feed_send(f, &q, &reading->id[reading->count]) : choir_error_code();
    if (code)
        return code;
    reading->key[reading->count++] = key;
    reading->bytes += bytes;
    return 0;
}

static int page_ask(struct feed *f, const char *after, struct choir_event **e)
{
    struct choir_request *q = feed_request(f->r, "list");

    if (q) {
        choir_request_text(q, "prefix", f->r->prefix);
        choir_request_uint(q, "count", LIST_COUNT);
        if (after)
            choir_request_text(q, "after", after);
    }
    return feed_ask(f, &q, e);
}

static int pages_load(struct feed *f, struct reading *reading)
{
    struct choir_event *page = NULL, *next;
    const char *after = NULL;
    int code;

    do {
        code = page_ask(f, after, &next);
        choir_event_free(&page);
        page = next;
        if (code)
            break;
        rests_on(reading, page);
        for (size_t i = 0; !code && i < choir_event_count(page, "items"); i++)
            code = value_ask(f, reading, choir_event_item(page, "items", i));
        if (!code)
            code = values_take(f, reading);
        after = choir_event_text(page, "after");
    } while (!code && after);
    while (reading->taken < reading->count)
        handle_forget(f->c, reading->id[reading->taken++]);
    choir_event_free(&page);
    return code;
}

/* What is known to exist by now is what it will have heard of when it can be
 * read, and not only what was when loading began. */
static uint64_t known_by_now(struct feed *f)
{
    uint64_t size;

    pthread_mutex_lock(&f->c->lock);
    f->r->asked_size = 0;
    replica_ask_mark(f->r);
    size = f->c->seen.size;
    pthread_mutex_unlock(&f->c->lock);
    return size ? size - 1 : 0;
}

/* Until the watch has told all that the answers rest on. */
static int level(struct feed *f, uint64_t revision)
{
    uint64_t known = known_by_now(f);
    int64_t soon = MARK_SOON_MS;
    int code = 0;

    if (known > revision)
        revision = known;
    while (!code && f->told < revision) {
        code = feed_hear(f, deadline_after((int)soon));
        if (code != CHOIR_TIMEOUT)
            continue;
        code = 0;
        soon = soon * 2 > 1000 ? 1000 : soon * 2;
        feed_ask_mark(f);
    }
    return code;
}

/* From now on it can be read. */
static void loaded(struct feed *f)
{
    struct choir_replica *r = f->r;
    struct replica_map *before;

    replica_map_forget_gone(f->loading);
    pthread_mutex_lock(&r->writing);
    pthread_rwlock_wrlock(&r->reading);
    before = r->map;
    r->map = f->loading;
    pthread_rwlock_unlock(&r->reading);
    pthread_mutex_lock(&f->c->lock);
    r->is_loaded = true;
    r->loads++;
    feed_complete_set(r, f->told);
    pthread_mutex_unlock(&f->c->lock);
    pthread_mutex_unlock(&r->writing);
    f->loading = NULL;
    replica_map_destroy(&before);
}

static void load_begin(struct feed *f)
{
    pthread_mutex_lock(&f->c->lock);
    f->epoch = f->c->seen.epoch;
    f->knows_epoch = true;
    f->r->asked_size = 0;
    pthread_mutex_unlock(&f->c->lock);
    f->told = 0;
    feed_ask_mark(f); /* the first makes the others come */
}

int feed_load(struct feed *f)
{
    struct reading *reading = calloc(1, sizeof *reading);
    int code;

    load_begin(f);
    f->loading = replica_map_new();
    if (!reading || !f->loading)
        code = error_set(-ENOMEM, 0, NULL);
    else
        code = pages_load(f, reading);
    if (!code)
        code = level(f, reading->rests_on);
    if (!code)
        loaded(f);
    replica_map_destroy(&f->loading);
    free(reading);
    return code;
}
