/* What agents do about their keys: they take new ones, beside the old or in
 * its place, and come back with one that is still good. */
#include "tests/sim/world/world.h"

#include <string.h>

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

static void draft(struct world *w, struct client *a, struct msg *m,
                  const struct key_pair *to, unsigned kind)
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
    msg_init(m, MSG_ROTATE);
    msg_set_b(m, FIELD_PUBLIC_KEY, bytes_of(to->public_key, KEY_PUBLIC_BYTES));
    msg_set_b(m, FIELD_CURVE_KEY, bytes_of(curve.public_key, 32));
    msg_set_b(m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
    if (kind)
        msg_set_u(m, FIELD_KIND, kind);
}

/* Alone in its bundle, and nothing behind it until it is answered. */
void keys_rotate(struct world *w, struct client *a)
{
    struct key_pair *to = &a->pairs[a->pair_count];
    struct msg m;

    if (a->pair_count == PAIRS_MAX || a->sent_count == SENT_MAX)
        return;
    key_pair_new(to);
    a->pair_count++;
    a->rotate_kind = (unsigned)world_any(3);
    draft(w, a, &m, to, a->rotate_kind);
    a->rotating = a->actor.next_seq;
    client_say(w, a, &m);
}

void keys_heard(struct world *w, struct client *a, uint64_t seq, int code)
{
    if (!a->rotating || seq != a->rotating)
        return;
    a->rotating = 0;
    if (code == CHOIR_OK && a->rotate_kind != 2)
        client_die(w, a); /* so ends the session */
}
