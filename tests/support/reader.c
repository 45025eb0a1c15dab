#include "reader.h"

#include "tests/check.h"

int reader_outcome(struct guest *g, struct msg *effect)
{
    unsigned field;

    hall_settle(g->hall);
    msg_init(effect, MSG_EFFECT);
    for (size_t i = g->count; i--;) {
        const struct msg *m = g->items[i];

        if (m->verb == MSG_DONE_ALL)
            return 0;
        if (m->verb != MSG_DONE)
            continue;
        if (msg_has(m, FIELD_EFFECT))
            CHECK_OK(part_decode(MSG_EFFECT, msg_b(m, FIELD_EFFECT), effect,
                                 &field));
        return (int)msg_u(m, FIELD_OUTCOME);
    }
    return -1;
}

uint64_t reader_submit(struct guest *g, unsigned stale)
{
    struct msg m;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_LEASE_MS, 60000);
    msg_set_u(&m, FIELD_MAX_ATTEMPTS, 2);
    msg_set_u(&m, FIELD_BACKOFF_MS, 1000);
    if (stale)
        msg_set_u(&m, FIELD_STALE, stale);
    CHECK_OK(guest_do(g, &m, "payload"));
    hall_settle(g->hall);
    return core_size(g->hall->rig.core) - 1;
}

struct lease_held reader_work(struct guest *g)
{
    struct lease_held l = {0};
    struct msg m;

    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, 1);
    guest_reply(g, &m);
    hall_settle(g->hall);
    l.item = guest_item(g, MSG_TASK);
    assert_non_null(l.item);
    l.task = msg_u(l.item, FIELD_TASK);
    l.token = msg_u(l.item, FIELD_TOKEN);
    l.attempt = msg_u(l.item, FIELD_ATTEMPT);
    return l;
}

static void under(struct msg *m, enum message verb, const struct lease_held *l)
{
    msg_init(m, verb);
    msg_set_u(m, FIELD_TASK, l->task);
    msg_set_u(m, FIELD_TOKEN, l->token);
}

const struct msg *reader_get(struct guest *g, const struct lease_held *l,
                             const char *key)
{
    struct msg m;

    under(&m, MSG_GET, l);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    return guest_reply(g, &m);
}

const struct msg *reader_list(struct guest *g, const struct lease_held *l,
                              const char *prefix)
{
    struct msg m;

    under(&m, MSG_LIST, l);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, prefix);
    return guest_reply(g, &m);
}

void row_put(struct buf *rows, const char *space, const char *name,
             bool is_prefix, uint64_t revision, uint64_t seen)
{
    struct msg m;

    msg_init(&m, MSG_COMPARE);
    if (space)
        msg_set_text(&m, FIELD_SPACE, space);
    msg_set_text(&m, is_prefix ? FIELD_PREFIX : FIELD_KEY, name);
    msg_set_u(&m, FIELD_REVISION, revision);
    if (seen)
        msg_set_u(&m, FIELD_SEEN, seen);
    msg_encode(&m, rows);
}

void row_key(struct buf *rows, const char *key, uint64_t revision)
{
    row_put(rows, NULL, key, false, revision, 0);
}

void row_prefix(struct buf *rows, const char *prefix, uint64_t revision)
{
    row_put(rows, NULL, prefix, true, revision, 0);
}

int reader_complete(struct guest *g, const struct lease_held *l,
                    const struct buf *rows, uint64_t n, struct msg *effect)
{
    struct bytes values[2] = {bytes_text("result")};
    struct buf set = {0};
    struct msg m;

    msg_init(&m, MSG_READ_SET);
    msg_set_list(&m, FIELD_COMPARES, n, rows ? buf_bytes(rows) : values[1]);
    msg_encode(&m, &set);
    values[1] = buf_bytes(&set);
    under(&m, MSG_COMPLETE, l);
    if (n)
        msg_set_u(&m, FIELD_READS, 1);
    CHECK_OK(guest_do_n(g, &m, values, n ? 2 : 1));
    buf_free(&set);
    return reader_outcome(g, effect);
}

int reader_heed(struct guest *g, const struct lease_held *l, unsigned kind,
                uint64_t revision)
{
    struct msg m, effect;

    under(&m, MSG_HEED, l);
    msg_set_u(&m, FIELD_KIND, kind);
    if (revision)
        msg_set_u(&m, FIELD_REVISION, revision);
    CHECK_OK(guest_do(g, &m, NULL));
    return reader_outcome(g, &effect);
}
