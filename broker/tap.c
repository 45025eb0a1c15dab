/* The evidence for one entry is its bundle's header and signature and the path
 * of its operation to the root in that header. The record keeps no paths: the
 * tree is rebuilt from the bundle's other heads, once per bundle. */
#include "tap.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"

struct tap {
    const struct state *state;
    struct ledger *ledger;
    struct ledger_reader *reader; /* of the bundle's other entries */
    uint64_t first;               /* index of the bundle in `tree` */
    bool have;
    struct merkle tree;
    struct buf payload, marks;
    struct hash leaves[LIMIT_BUNDLE_OPS];
    uint8_t path[MERKLE_PATH_MAX * HASH_BYTES];
};

struct tap *tap_new(const struct state *state, struct ledger *ledger)
{
    struct tap *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    t->state = state;
    t->ledger = ledger;
    return t;
}

void tap_destroy(struct tap **self_p)
{
    struct tap *t = *self_p;

    if (!t)
        return;
    ledger_reader_close(&t->reader);
    merkle_free(&t->tree);
    buf_free(&t->payload);
    buf_free(&t->marks);
    free(t);
    *self_p = NULL;
}

static int verdict(bool may)
{
    return may ? 0 : CHOIR_NOT_FOUND;
}

/* A topic as a key of that name; what goes to an agent is of the whole space.
 */
static bool may_message(const struct agent *a, enum right right,
                        struct bytes space, const struct msg *m)
{
    struct bytes none = {0};

    return agent_may(a, right, space,
                     msg_has(m, FIELD_TOPIC) ? msg_b(m, FIELD_TOPIC) : none,
                     none);
}

/* Every key it names, written or compared, and every topic: an entry is shown whole or not at
 * all. */
static int may_keys(const struct agent *a, enum right right, struct bytes space,
                    const struct msg *head)
{
    struct list writes = msg_list(head, FIELD_WRITES);
    struct list compares = msg_list(head, FIELD_COMPARES);
    struct list sends = msg_list(head, FIELD_SENDS);
    struct bytes none = {0};
    struct msg m;

    while (list_next(&writes, &m)) {
        if (!agent_may(a, right, space, msg_b(&m, FIELD_KEY), none))
            return CHOIR_NOT_FOUND;
    }
    while (list_next(&sends, &m)) {
        if (!may_message(a, right, space, &m))
            return CHOIR_NOT_FOUND;
    }
    while (list_next(&compares, &m)) {
        enum field f = msg_has(&m, FIELD_KEY) ? FIELD_KEY : FIELD_PREFIX;

        if (!agent_may(a, right, space, msg_b(&m, f), none))
            return CHOIR_NOT_FOUND;
    }
    return 0;
}

/* Rows of what was read. Those that name neither key nor prefix are of writes
 * and messages, which the head names. */
static int may_rows(const struct agent *a, enum right right, struct bytes space,
                    struct list rows)
{
    struct msg m;

    while (list_next(&rows, &m)) {
        struct bytes where =
            msg_has(&m, FIELD_SPACE) ? msg_b(&m, FIELD_SPACE) : space;
        enum field f = msg_has(&m, FIELD_KEY) ? FIELD_KEY : FIELD_PREFIX;

        if (msg_has(&m, f) &&
            !agent_may(a, right, where, msg_b(&m, f), (struct bytes){0}))
            return CHOIR_NOT_FOUND;
    }
    return 0;
}

/* What a task was made from: its completion's effect names some of it, and the
 * set that it carries is one of its values. */
static int may_reads(const struct entry *e, const struct agent *a,
                     enum right right, struct bytes space,
                     const struct msg *head)
{
    struct msg effect, set;
    struct bytes value;
    unsigned field;
    int r;

    msg_init(&effect, MSG_EFFECT);
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field))
        return -EUCLEAN;
    r = may_rows(a, right, space, msg_list(&effect, FIELD_ITEMS));
    if (!r)
        r = may_rows(a, right, space, msg_list(&effect, FIELD_COMPARES));
    if (r || right != RIGHT_READ || !msg_has(head, FIELD_READS) ||
        entry_slot(e, (size_t)msg_u(head, FIELD_READS), &value) ||
        part_decode(MSG_READ_SET, value, &set, &field))
        return r;
    return may_rows(a, right, space, msg_list(&set, FIELD_COMPARES));
}

static int may_task(struct tap *t, const struct entry *e, const struct agent *a,
                    enum right right, const struct msg *head)
{
    struct place place;
    int r = task_place(t->state, t->ledger, msg_u(head, FIELD_TASK), &place);

    if (r) /* it names a task that never was: nobody's secret */
        return r < 0 ? r : verdict(agent_may_somewhere(a, right));
    if (!agent_may(a, right, bytes_text(place.space), (struct bytes){0},
                   bytes_text(place.queue)))
        return CHOIR_NOT_FOUND;
    r = may_keys(a, right, bytes_text(place.space), head);
    return r || head->verb != MSG_COMPLETE
               ? r
               : may_reads(e, a, right, bytes_text(place.space), head);
}

/* What is erased is named like what is written: by its keys, or else it is of
 * the whole space. */
static bool may_erasure(const struct agent *a, enum right right,
                        const struct msg *head)
{
    struct bytes space = msg_b(head, FIELD_SPACE), none = {0};
    struct list items = msg_list(head, FIELD_ITEMS);
    struct msg item;
    bool may = (items.left && !msg_has(head, FIELD_KEY)) ||
               agent_may(a, right, space, msg_b(head, FIELD_KEY), none);

    while (may && list_next(&items, &item))
        may = agent_may(a, right, space, msg_b(&item, FIELD_KEY), none);
    return may;
}

/* The slices of an erasure name keys, too: they are for who may see its order.
 */
static int may_slice(struct tap *t, const struct agent *a, enum right right,
                     const struct msg *head)
{
    const struct entry *order;
    struct msg erase;
    unsigned field;
    int r = ledger_entry(t->ledger, msg_u(head, FIELD_REVISION), &order);

    if (r)
        return r < 0 ? r : -EUCLEAN;
    if (msg_decode(order->head, CLASS_OPERATION, &erase, &field))
        return -EUCLEAN;
    return verdict(may_erasure(a, right, &erase));
}

int tap_may(struct tap *t, const struct entry *e, const struct agent *a,
            enum right right)
{
    struct bytes none = {0}, space;
    struct msg head;
    unsigned field;

    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field))
        return verdict(agent_may(a, right, none, none, none));
    space = msg_b(&head, FIELD_SPACE);
    switch (head.verb) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_APPEND:
    case MSG_INCR:
    case MSG_LAPSE:
        return verdict(
            agent_may(a, right, space, msg_b(&head, FIELD_KEY), none));
    case MSG_TXN: return may_keys(a, right, space, &head);
    case MSG_ERASE: return verdict(may_erasure(a, right, &head));
    case MSG_ERASED: return may_slice(t, a, right, &head);
    case MSG_POLICY: return verdict(agent_may(a, right, space, none, none));
    case MSG_SEND:
    case MSG_MARK: return verdict(may_message(a, right, space, &head));
    case MSG_SUBMIT:
    case MSG_QUEUE_SET:
        return verdict(
            agent_may(a, right, space, none, msg_b(&head, FIELD_QUEUE)));
    default:
        return msg_has(&head, FIELD_TASK)
                   ? may_task(t, e, a, right, &head)
                   : verdict(agent_may_somewhere(a, right));
    }
}

static int tree_build(struct tap *t, const struct entry *e)
{
    uint64_t first = e->index - e->position;
    uint32_t count = e->count, position = e->position;
    struct hash own = op_hash(e->head);
    int r;

    if (t->have && t->first == first)
        return 0;
    t->have = false;
    if (count > LIMIT_BUNDLE_OPS)
        return -EUCLEAN;
    r = t->reader || count == 1
            ? 0
            : ledger_reader_open(t->ledger, first, &t->reader);
    if (!r && count > 1)
        r = ledger_reader_seek(t->reader, first);
    for (uint32_t i = 0; !r && i < count; i++) {
        const struct entry *other = e;

        if (count > 1)
            r = ledger_reader_next(t->reader, &other);
        if (!r)
            t->leaves[i] = i == position ? own : op_hash(other->head);
    }
    if (!r)
        r = merkle_build(&t->tree, t->leaves, count);
    if (r)
        return r < 0 ? r : -EUCLEAN;
    t->first = first;
    t->have = true;
    return 0;
}

/* What is there and is not hidden, and a mark for each slot. */
static int payloads_put(struct tap *t, const struct entry *e, struct msg *m)
{
    buf_clear(&t->payload);
    buf_clear(&t->marks);
    for (size_t i = 0; i < entry_slots(e); i++) {
        uint8_t mark = entry_slot_put(e, i, &t->payload);

        buf_put(&t->marks, &mark, 1);
    }
    if (t->payload.n)
        msg_set_b(m, FIELD_PAYLOAD, buf_bytes(&t->payload));
    if (entry_is_thin(e))
        msg_set_b(m, FIELD_MARKS, buf_bytes(&t->marks));
    return t->payload.failed || t->marks.failed ? -ENOMEM : 0;
}

int tap_evidence(struct tap *t, const struct entry *e, struct msg *m)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t n;
    int r = tree_build(t, e);

    if (r)
        return r;
    n = merkle_path(&t->tree, e->position, path);
    memcpy(t->path, path, n * HASH_BYTES);
    msg_init(m, MSG_ENTRY);
    msg_set_u(m, FIELD_REVISION, e->index);
    msg_set_u(m, FIELD_OUTCOME, (uint64_t)e->outcome);
    msg_set_u(m, FIELD_TIME, e->time);
    msg_set_b(m, FIELD_HEADER, e->header);
    msg_set_b(m, FIELD_SIGNATURE, bytes_of(e->signature, KEY_SIGNATURE_BYTES));
    msg_set_b(m, FIELD_PATH, bytes_of(t->path, n * HASH_BYTES));
    msg_set_u(m, FIELD_POSITION, e->position);
    msg_set_b(m, FIELD_HEAD, e->head);
    msg_set_b(m, FIELD_EFFECT, e->effect);
    return 0;
}

int tap_entry(struct tap *t, const struct entry *e, const struct agent *agent,
              bool values, struct msg *m)
{
    int r = tap_may(t, e, agent, RIGHT_TAP);

    if (!r)
        r = tap_evidence(t, e, m);
    if (r || !values || e->rows.n + e->effect_rows.n == 0)
        return r;
    r = tap_may(t, e, agent, RIGHT_READ);
    return r ? r < 0 ? r : 0 : payloads_put(t, e, m);
}
