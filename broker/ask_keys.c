/* The keys an agent has and had: what it takes to check what it said, at any
 * time. Public among agents, like names. */
#include "ask_private.h"
#include "proto/refusal.h"

static void key_item(struct ask *q, const struct agent *a, unsigned slot)
{
    const struct agent_key *k = a->key_count ? &a->keys[slot] : NULL;
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_b(&item, FIELD_PUBLIC_KEY,
              bytes_of(k ? k->public_key : a->public_key, KEY_PUBLIC_BYTES));
    msg_set_u(&item, FIELD_CREATED, k ? k->from : a->enrolled);
    if (k && k->until)
        msg_set_u(&item, FIELD_REVISION, k->until);
    if (k && k->suspect)
        msg_set_u(&item, FIELD_SEEN, k->suspect);
    msg_encode(&item, &q->a->items);
}

int ask_keys(struct ask *q)
{
    struct hash id = msg_hash(q->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(q->a->state->agents, &id);
    unsigned n = a && a->key_count ? a->key_count : 1;

    if (!a)
        return CHOIR_NOT_FOUND;
    for (unsigned i = 0; i < n; i++)
        key_item(q, a, i);
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    msg_set_u(q->reply, FIELD_REVISION, a->enrolled);
    return 0;
}
