/* Proofs: that an entry is in the ledger, and that the ledger only grew. What
 * is proven stands in no answer but the asker's own: an entry he may not see
 * is not there, but any tree may be compared with any other. */
#include <errno.h>

#include "ask_private.h"
#include "proto/refusal.h"

/* The size asked for, or all there is. */
static uint64_t size_of(const struct ask *q)
{
    return msg_has(q->op, FIELD_SIZE) ? msg_u(q->op, FIELD_SIZE)
                                      : core_size(q->a->with.core);
}

/* Proof and tree head. The reply leaves when all of it is durable. */
static int answer(struct ask *q, uint64_t size, const struct hash *root,
                  const struct core_proof *proof)
{
    msg_set_u(q->reply, FIELD_SIZE, size);
    msg_set_hash(q->reply, FIELD_ROOT, root);
    msg_set_b(q->reply, FIELD_PATH,
              bytes_of(proof->path[0].b, proof->hashes * HASH_BYTES));
    if (core_note(q->a->with.core, size, root, &q->a->text))
        return -ENOMEM;
    msg_set_b(q->reply, FIELD_TEXT, buf_bytes(&q->a->text));
    return 0;
}

/* Everything it takes to find the leaf again, and to know whose word it is. */
static int evidence_put(struct ask *q, const struct entry *e)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    const struct agent *author = agent_by_id(q->a->state->agents, &id);
    struct msg m;
    int r = tap_evidence(q->a->tap, e, &m);

    if (r)
        return r;
    if (author)
        msg_set_b(&m, FIELD_PUBLIC_KEY,
                  bytes_of(author->public_key, KEY_PUBLIC_BYTES));
    m.verb = MSG_EVIDENCE;
    msg_encode(&m, &q->a->items);
    msg_set_b(q->reply, FIELD_VALUE, buf_bytes(&q->a->items));
    return 0;
}

int ask_prove(struct ask *q)
{
    uint64_t index = msg_u(q->op, FIELD_REVISION), size = size_of(q);
    struct core_proof *proof = &q->a->proof; /* the reply borrows from it */
    const struct entry *e;
    int r;

    if (index >= core_size(q->a->with.core))
        return CHOIR_FUTURE;
    r = ask_entry(q, index, &e);
    if (!r)
        r = ask_may_see(q, e);
    if (!r)
        r = core_prove_entry(q->a->with.core, index, entry_leaf(e), size,
                             proof);
    if (!r)
        r = evidence_put(q, e);
    return r ? r : answer(q, size, &proof->old_root, proof);
}

int ask_consistency(struct ask *q)
{
    uint64_t old = msg_u(q->op, FIELD_PREV), size = size_of(q);
    struct core_proof *proof = &q->a->proof; /* the reply borrows from it */
    int r = core_prove_growth(q->a->with.core, old, size, proof);

    return r ? r : answer(q, size, &proof->root, proof);
}
