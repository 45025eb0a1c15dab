/* A reading is noted before the caller can know of it, so that nothing he does
 * with it is ahead of the set. */
#include "reads_hear.h"

#include "event.h"
#include "proto/refusal.h"

/* --- Readings ------------------------------------------------------------- */

static uint64_t cut_of(const struct msg *ask, const struct msg *reply)
{
    return msg_has(ask, FIELD_REVISION) && msg_u(ask, FIELD_REVISION)
               ? msg_u(ask, FIELD_REVISION)
               : msg_u(reply, FIELD_SEEN);
}

static void key_heard(struct reads *r, const struct op *op,
                      const struct msg *ask, const struct msg *reply,
                      uint64_t revision)
{
    struct look k = {.space = msg_b(ask, FIELD_SPACE),
                     .name = msg_b(ask, FIELD_KEY),
                     .revision = revision,
                     .at = cut_of(ask, reply)};

    reads_key(r, op->token, &k, false);
}

static void get_heard(struct reads *r, const struct op *op, int code,
                      const struct msg *ask, const struct msg *reply)
{
    if (code == 0 || code == CHOIR_ERASED)
        key_heard(r, op, ask, reply, msg_u(reply, FIELD_REVISION));
    else if (code == CHOIR_NOT_FOUND)
        key_heard(r, op, ask, reply, 0);
}

/* Past versions do not change: only who looks from now on looks at the newest.
 */
static void log_heard(struct reads *r, const struct op *op,
                      const struct msg *ask, const struct msg *reply)
{
    struct list items = msg_list(reply, FIELD_ITEMS);
    struct msg newest;
    uint64_t revision = 0;

    if (msg_u(ask, FIELD_REVISION))
        return;
    if (list_next(&items, &newest) && msg_u(&newest, FIELD_KIND) == 0)
        revision = msg_u(&newest, FIELD_REVISION);
    key_heard(r, op, ask, reply, revision);
}

static void list_heard(struct reads *r, const struct op *op,
                       const struct msg *ask, const struct msg *reply)
{
    struct look prefix = {.space = msg_b(ask, FIELD_SPACE),
                          .name = msg_b(ask, FIELD_PREFIX),
                          .at = cut_of(ask, reply)};

    reads_page(r, op->token, &prefix, msg_b(ask, FIELD_AFTER),
               msg_b(reply, FIELD_AFTER), false);
}

static void ask_heard(struct reads *r, const struct op *op, int code,
                      const struct msg *ask, const struct msg *reply)
{
    switch (op->verb) {
    case MSG_GET: get_heard(r, op, code, ask, reply); return;
    case MSG_LIST:
        if (!code)
            list_heard(r, op, ask, reply);
        return;
    case MSG_LOG:
        if (!code || code == CHOIR_NOT_FOUND)
            log_heard(r, op, ask, reply);
        return;
    default: return;
    }
}

/* --- Operations ----------------------------------------------------------- */

static void write_heard(struct reads *r, const struct op *op, struct bytes key,
                        const struct msg *m, bool is_gone, uint64_t revision)
{
    struct look k = {.space = msg_b(m, FIELD_SPACE),
                     .name = key,
                     .revision = is_gone ? 0 : revision,
                     .at = revision};

    reads_wrote(r, op->token, &k);
}

static void writes_heard(struct reads *r, const struct op *op,
                         const struct msg *m, uint64_t revision)
{
    struct list writes = msg_list(m, FIELD_WRITES);
    struct msg write;

    while (list_next(&writes, &write))
        write_heard(r, op, msg_b(&write, FIELD_KEY), m,
                    !msg_has(&write, FIELD_SLOT), revision);
}

static void heed_heard(struct reads *r, const struct op *op,
                       const struct msg *m)
{
    reads_heeded(r, op->token, msg_u(m, FIELD_KIND) == CHOIR_IGNORE,
                 msg_u(m, FIELD_REVISION));
}

static bool effect_of(const struct msg *item, struct msg *effect)
{
    unsigned field;

    return item && msg_has(item, FIELD_EFFECT) &&
           !part_decode(MSG_EFFECT, msg_b(item, FIELD_EFFECT), effect, &field);
}

/* What made it stale was told by that, and may be answered by a heed. */
static void stale_heard(struct reads *r, const struct op *op, uint64_t entry,
                        const struct msg *item)
{
    struct list at;
    struct msg effect, row;
    uint64_t newest = 0;

    reads_stale_set(r, op->token, entry);
    if (!effect_of(item, &effect))
        return;
    at = msg_list(&effect, FIELD_ITEMS);
    while (list_next(&at, &row))
        if (msg_u(&row, FIELD_REVISION) > newest)
            newest = msg_u(&row, FIELD_REVISION);
    reads_moved(r, op->token, newest, msg_list(&effect, FIELD_ITEMS));
}

bool stale_ended(const struct msg *item)
{
    struct msg effect;

    return effect_of(item, &effect) && msg_has(&effect, FIELD_STATE);
}

bool op_abandons(const struct op *op)
{
    struct msg m;

    op_decode(op, &m);
    return msg_u(&m, FIELD_KIND) == CHOIR_ABANDON;
}

static void done_heard(struct reads *r, const struct op *op, int code,
                       uint64_t revision, const struct msg *m,
                       const struct msg *item)
{
    if (op->verb == MSG_COMPLETE && code == CHOIR_STALE)
        stale_heard(r, op, revision, item);
    else if (op->verb == MSG_HEED && !code)
        heed_heard(r, op, m);
    else if (op->verb == MSG_TXN && !code)
        writes_heard(r, op, m, revision);
    else if (!code && msg_has(m, FIELD_KEY))
        write_heard(r, op, msg_b(m, FIELD_KEY), m, op->verb == MSG_DELETE,
                    revision);
}

void reads_hear(struct reads *r, const struct op *op, int code,
                uint64_t revision, const struct msg *item)
{
    struct msg m;

    op_decode(op, &m);
    if (message_row(op->verb)->class != CLASS_ASK)
        done_heard(r, op, code, revision, &m, item);
    else if (item && item->verb == MSG_REPLY)
        ask_heard(r, op, code, &m, item);
}
