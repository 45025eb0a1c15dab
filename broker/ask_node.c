/* What an entry says of itself, for whoever may see it. */
#include "ask_node.h"

#include <errno.h>

#include "proto/refusal.h"

/* --- Doubt ------------------------------------------------------------------ */

/* The key that signed its session; NULL when the record does not say. */
static int session_key(struct ask *q, uint64_t session, uint8_t *key,
                       bool *known)
{
    const struct entry *e;
    int r = ledger_entry(q->a->ledger, session, &e);

    *known = !r && msg_has(&e->bundle, FIELD_PUBLIC_KEY);
    if (*known)
        memcpy(key, msg_b(&e->bundle, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
    return r < 0 ? r : 0;
}

/* Of several keys the one that signed decides; where that is unknown, any. */
static int suspect_find(struct ask *q, struct node *n)
{
    struct hash id = msg_hash(&n->bundle, FIELD_AGENT);
    const struct agent *a = agent_by_id(q->a->state->agents, &id);
    uint8_t key[KEY_PUBLIC_BYTES];
    bool looked = false, known = false;

    n->suspect = 0;
    for (unsigned i = 0; a && i < a->key_count; i++) {
        const struct agent_key *k = &a->keys[i];
        int r = 0;

        if (!k->suspect || n->index < k->suspect)
            continue;
        if (!looked && a->key_count > 1 && n->session)
            r = session_key(q, n->session, key, &known);
        looked = true;
        if (r)
            return r;
        if (!known || memcmp(key, k->public_key, sizeof key) == 0)
            n->suspect = k->suspect;
    }
    return 0;
}

/* --- Reading ---------------------------------------------------------------- */

/* Other entries are read meanwhile: what is needed of this one is copied. */
static int copy(struct node *n, const struct entry *e, struct entry *own)
{
    size_t head = e->head.n, effect = e->effect.n, header = e->header.n;

    buf_clear(&n->bytes);
    buf_put(&n->bytes, e->head.p, head);
    buf_put(&n->bytes, e->effect.p, effect);
    buf_put(&n->bytes, e->header.p, header);
    buf_put(&n->bytes, n->reads.p, n->reads.n);
    if (n->bytes.failed)
        return -ENOMEM;
    *own = (struct entry){
        .index = e->index,
        .outcome = e->outcome,
        .head = bytes_of(n->bytes.p, head),
        .effect = bytes_of(n->bytes.p + head, effect),
        .header = bytes_of(n->bytes.p + head + effect, header),
    };
    n->reads = bytes_of(own->header.p + header, n->reads.n);
    return 0;
}

static int decode(struct node *n, const struct entry *e)
{
    unsigned field;

    msg_init(&n->effect, MSG_EFFECT);
    if (part_decode(MSG_BUNDLE_HEADER, e->header, &n->bundle, &field))
        return -EUCLEAN;
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &n->op, &field))
        return CHOIR_UNSUPPORTED;
    return e->effect.n && part_decode(MSG_EFFECT, e->effect, &n->effect, &field)
               ? -EUCLEAN
               : 0;
}

static int reads_find(struct node *n, const struct entry *e)
{
    struct msg op;
    unsigned field;
    int r;

    n->reads = (struct bytes){0};
    n->lacks_reads = false;
    if (head_verb(e->head) != MSG_COMPLETE ||
        msg_decode(e->head, CLASS_OPERATION, &op, &field) ||
        !msg_has(&op, FIELD_READS))
        return 0;
    r = entry_slot(e, (size_t)msg_u(&op, FIELD_READS), &n->reads);
    n->lacks_reads = r > 0;
    return r < 0 ? r : 0;
}

static int place_find(struct ask *q, struct node *n)
{
    int r = 0;

    n->place.space[0] = n->place.queue[0] = '\0';
    if (msg_has(&n->op, FIELD_TASK))
        r = task_place(q->a->state, q->a->ledger, msg_u(&n->op, FIELD_TASK),
                       &n->place);
    return r < 0 ? r : 0;
}

int node_read(struct ask *q, uint64_t index, struct node *n)
{
    const struct entry *e;
    struct entry own;
    int r = ledger_entry(q->a->ledger, index, &e);

    if (r)
        return r > 0 ? -EUCLEAN : r;
    n->index = index;
    n->time = e->time;
    n->session = e->session;
    n->outcome = e->outcome;
    r = reads_find(n, e);
    if (!r)
        r = copy(n, e, &own);
    if (!r)
        r = decode(n, &own);
    if (r == CHOIR_UNSUPPORTED) { /* of a later release: nobody knows what */
        n->is_hidden = true;
        return 0;
    }
    if (r)
        return r;
    own.bundle = n->bundle;
    r = suspect_find(q, n);
    if (!r)
        r = ask_may_see(q, &own);
    n->is_hidden = r > 0;
    if (r)
        return r < 0 ? r : 0;
    return place_find(q, n);
}

struct linked node_linked(const struct node *n)
{
    return (struct linked){
        .op = &n->op,
        .effect = &n->effect,
        .space = bytes_text(n->place.space),
        .reads = n->reads,
    };
}

void node_free(struct node *n)
{
    buf_free(&n->bytes);
}

/* --- Telling ---------------------------------------------------------------- */

static void pass(struct msg *m, const struct msg *from, enum field f)
{
    if (!msg_has(from, f))
        return;
    m->has |= (field_mask)1 << f;
    m->v[f] = from->v[f];
}

/* Its keys: the first, and how many, where it may write several. */
static void keys_tell(const struct node *n, struct msg *m)
{
    struct list writes = msg_list(&n->op, FIELD_WRITES);
    struct msg write;

    pass(m, &n->op, FIELD_KEY);
    if (!writes.left)
        return;
    msg_set_u(m, FIELD_COUNT, writes.left);
    if (list_next(&writes, &write))
        pass(m, &write, FIELD_KEY);
}

void node_tell_author(const struct node *n, struct msg *m)
{
    msg_set_u(m, FIELD_TIME, n->time);
    pass(m, &n->bundle, FIELD_AGENT);
    pass(m, &n->bundle, FIELD_LABELS);
    pass(m, &n->op, FIELD_TASK);
    if (n->suspect)
        msg_set_u(m, FIELD_SEEN, n->suspect);
}

void node_tell(const struct node *n, struct msg *m)
{
    msg_set_u(m, FIELD_REVISION, n->index);
    if (n->is_hidden)
        return;
    node_tell_author(n, m);
    msg_set_u(m, FIELD_OPERATION, n->op.verb);
    if (n->place.space[0]) {
        msg_set_text(m, FIELD_SPACE, n->place.space);
        msg_set_text(m, FIELD_QUEUE, n->place.queue);
    }
    pass(m, &n->op, FIELD_SPACE);
    pass(m, &n->op, FIELD_QUEUE);
    pass(m, &n->op, FIELD_TOKEN);
    pass(m, &n->op, FIELD_ATTEMPT);
    keys_tell(n, m);
    if (n->op.verb == MSG_CLAIM && msg_has(&n->op, FIELD_AGENT))
        msg_set_b(m, FIELD_HOLDER, msg_b(&n->op, FIELD_AGENT));
    if (n->outcome)
        msg_set_u(m, FIELD_OUTCOME, (uint64_t)n->outcome);
}
