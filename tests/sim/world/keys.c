/* What agents do about their keys: they take new ones, beside the old or in
 * its place, and come back with one that is still good. */
#include "tests/sim/world/world.h"

#include <string.h>

#include "broker/evolve.h"

enum { OPENING_US = 300000 };

void keys_join(struct world *w, struct client *a)
{
    a->pairs[a->pair_count++] = a->actor.key;
    model_pair(&w->model, a->number, a->actor.key.public_key);
}

/* Mostly one that is good, as far as is known. */
static const struct key_pair *any_pair(const struct world *w,
                                       const struct client *a)
{
    const struct key_pair *p = &a->pairs[world_any(a->pair_count)];

    for (size_t i = 0; i < a->pair_count && world_any(8); i++) {
        p = &a->pairs[world_any(a->pair_count)];
        if (model_pair_lives(&w->model, a->number, p->public_key))
            break;
    }
    return p;
}

void keys_choose(struct world *w, struct client *a)
{
    a->actor.key = *any_pair(w, a);
    a->opening_until = world_now(w) + OPENING_US;
}

/* Whoever opens with a key that has ended gets no answer. */
bool keys_wait(struct world *w, struct client *a)
{
    if (a->is_opening && world_now(w) >= a->opening_until)
        a->is_cut = true;
    return a->is_opening || a->rotating;
}

/* borrowed: from static memory. */
static void draft(struct world *w, struct client *a, struct msg *m,
                  const struct key_pair *to)
{
    struct hash ledger = rig_state(&w->rig)->ledger;
    uint8_t claim[KEY_CLAIM_BYTES];
    static uint8_t signature[KEY_SIGNATURE_BYTES];
    static struct curve_pair curve;

    curve_pair_new(&curve);
    key_claim(claim, &a->actor.id, to->public_key, curve.public_key);
    key_sign(to, KEY_FOR_KEY, &ledger, bytes_of(claim, sizeof claim),
             signature);
    signature[0] ^= world_any(8) == 0;
    msg_set_b(m, FIELD_PUBLIC_KEY, bytes_of(to->public_key, KEY_PUBLIC_BYTES));
    msg_set_b(m, FIELD_CURVE_KEY, bytes_of(curve.public_key, 32));
    msg_set_b(m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
}

static void draft_recovery(struct client *a, struct msg *m)
{
    key_pair_new(&a->next_recovery);
    msg_set_b(m, FIELD_RECOVERY_KEY,
              bytes_of(a->next_recovery.public_key, KEY_PUBLIC_BYTES));
}

/* Alone in its bundle, and nothing behind it until it is answered. */
void keys_rotate(struct world *w, struct client *a)
{
    bool only_recovery = world_any(3) == 0;
    struct key_pair *to = &a->pairs[a->pair_count];
    struct msg m;

    if (a->pair_count == PAIRS_MAX || a->sent_count == SENT_MAX)
        return;
    msg_init(&m, MSG_ROTATE);
    a->rotate_kind = only_recovery ? ROTATE_ADD : (unsigned)world_any(3);
    if (only_recovery || world_any(2))
        draft_recovery(a, &m);
    if (!only_recovery) {
        key_pair_new(to);
        a->pair_count++;
        draft(w, a, &m, to);
    }
    if (!only_recovery && a->rotate_kind)
        msg_set_u(&m, FIELD_KIND, a->rotate_kind);
    a->rotating = a->actor.next_seq;
    client_say(w, a, &m);
}

void keys_heard(struct world *w, struct client *a, uint64_t seq, int code)
{
    if (!a->rotating || seq != a->rotating)
        return;
    a->rotating = 0;
    if (code == CHOIR_OK && a->rotate_kind != ROTATE_ADD)
        client_die(w, a); /* so ends the session */
}

/* --- Recovering ------------------------------------------------------------ */

/* Mostly with the key that is kept for it. No session is needed. */
void keys_recover(struct world *w, struct client *a)
{
    const struct m_recovery *r = &w->model.recovery[a->number];
    struct key_pair *to = &a->pairs[a->pair_count];
    struct buf frame = {0};
    struct msg m;

    if (a->pair_count == PAIRS_MAX || a->actor.session || a->is_opening ||
        !r->is_there)
        return;
    if (!memcmp(a->next_recovery.public_key, r->public_key, KEY_PUBLIC_BYTES))
        a->recovery = a->next_recovery;
    keys_choose(w, a);
    if (world_any(8))
        a->actor.key = a->recovery;
    key_pair_new(to);
    a->pair_count++;
    msg_init(&m, MSG_RECOVER);
    draft(w, a, &m, to);
    if (world_any(2))
        draft_recovery(a, &m);
    actor_begin(&a->actor);
    actor_add(&a->actor, &m, NULL, 0);
    client_sign(w, a, BUNDLE_RECORD, 0, &frame);
    a->is_opening = true; /* nothing else, until it is answered */
    world_say(w, "agent %d recovers", a->number);
    world_send(w, a, true, buf_bytes(&frame));
    buf_free(&frame);
}

/* --- Asking ---------------------------------------------------------------- */

void keys_ask(struct world *w, struct client *a)
{
    struct question *q = question_new(w, a, MSG_KEYS);
    struct msg m;

    if (!q)
        return;
    q->about = (int)world_any(WORLD_AGENTS);
    msg_init(&m, MSG_KEYS);
    msg_set_hash(&m, FIELD_AGENT, &w->model.agents[q->about]);
    question_ask(w, a, q, &m);
}

/* Each with its end and its doubt as they were when that was answered. */
void keys_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    uint64_t seen = msg_u(m, FIELD_SEEN);
    struct msg item;

    if (seen < q->floor || seen >= w->model.size || msg_u(m, FIELD_OUTCOME))
        world_fail(w, "agent %d asks for keys: %s at %lu", a->number,
                   refusal_name((int)msg_u(m, FIELD_OUTCOME)), seen);
    while (list_next(&items, &item)) {
        int pair = pair_find(&w->model, msg_b(&item, FIELD_PUBLIC_KEY).p);
        const struct m_pair *p = pair < 0 ? NULL : &w->model.pairs[pair];

        if (!p || p->agent != q->about ||
            msg_u(&item, FIELD_REVISION) !=
                (p->over && p->ended <= seen ? p->ended : 0) ||
            msg_u(&item, FIELD_SEEN) !=
                model_doubt(&w->model, (size_t)pair, seen))
            world_fail(w, "agent %d is told of another key %d of agent %d",
                       a->number, pair, q->about);
    }
}
