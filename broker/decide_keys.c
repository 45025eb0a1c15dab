/* The life of an agent's keys: whose word it takes to add, end, doubt or
 * replace one. */
#include "decide_private.h"
#include "evolve.h"
#include "proto/refusal.h"

/* A key that is nobody's yet, that says itself whose it will be, and a CURVE
 * key that nobody uses. */
static int new_key_fits(const struct decision *d, const struct agent *a)
{
    const uint8_t *public_key = msg_b(d->op, FIELD_PUBLIC_KEY).p;
    const uint8_t *curve_key = msg_b(d->op, FIELD_CURVE_KEY).p;
    struct hash id = agent_id(public_key);
    uint8_t claim[KEY_CLAIM_BYTES];

    if (key_check(public_key) || agent_by_id(d->s->agents, &id) ||
        agent_key_slot(a, public_key) >= 0 ||
        agent_by_curve(d->s->agents, curve_key) ||
        invite_by_curve(d->s->agents, curve_key))
        return CHOIR_INVALID;
    key_claim(claim, &a->id, public_key, curve_key);
    return key_verify(public_key, KEY_FOR_KEY, &d->s->ledger,
                      bytes_of(claim, sizeof claim),
                      msg_b(d->op, FIELD_SIGNATURE).p)
               ? CHOIR_INVALID
               : 0;
}

static int recovery_fits(const struct decision *d, const struct agent *a)
{
    const uint8_t *key = msg_b(d->op, FIELD_RECOVERY_KEY).p;

    if (!key)
        return 0;
    return key_check(key) || agent_key_slot(a, key) >= 0 ? CHOIR_INVALID : 0;
}

/* A new pair, a new CURVE key for the key in use, a recovery key: one of them
 * at least. */
int decide_rotate(struct decision *d)
{
    const struct msg *op = d->op;
    const struct agent *a = d->author;
    bool key = msg_has(op, FIELD_PUBLIC_KEY),
         curve = msg_has(op, FIELD_CURVE_KEY);
    int r = recovery_fits(d, a);

    if (r)
        return r;
    if (key != msg_has(op, FIELD_SIGNATURE) || (key && !curve) ||
        (!curve && !msg_has(op, FIELD_RECOVERY_KEY)) ||
        (msg_has(op, FIELD_KIND) &&
         (!key || msg_u(op, FIELD_KIND) < ROTATE_REPLACE ||
          msg_u(op, FIELD_KIND) > ROTATE_ADD)))
        return CHOIR_INVALID;
    if (key && a->key_count >= AGENT_KEYS_MAX)
        return over_limit(d, "agent_keys", AGENT_KEYS_MAX, a->key_count);
    if (key)
        return new_key_fits(d, a);
    return curve &&
                   (agent_by_curve(d->s->agents,
                                   msg_b(op, FIELD_CURVE_KEY).p) ||
                    invite_by_curve(d->s->agents, msg_b(op, FIELD_CURVE_KEY).p))
               ? CHOIR_INVALID
               : CHOIR_OK;
}

/* An administrator's business, or the agent's own. */
static const struct agent *answered_for(struct decision *d)
{
    struct hash id = msg_hash(d->op, FIELD_AGENT);
    const struct agent *a = agent_by_id(d->s->agents, &id);
    struct bytes none = {0};

    if (!a || a->number == BROKER)
        return NULL;
    return a == d->author ||
                   author_may(d, RIGHT_ADMIN, bytes_text("*"), none, none)
               ? a
               : NULL;
}

int decide_key_end(struct decision *d)
{
    const struct agent *a = answered_for(d);
    int slot = a ? agent_key_slot(a, msg_b(d->op, FIELD_PUBLIC_KEY).p) : -1;

    return slot >= 0 && agent_key_valid(a, (unsigned)slot) ? CHOIR_OK
                                                           : CHOIR_NOT_FOUND;
}

int decide_suspect(struct decision *d)
{
    const struct agent *a = answered_for(d);

    if (!a || (msg_has(d->op, FIELD_PUBLIC_KEY) &&
               agent_key_slot(a, msg_b(d->op, FIELD_PUBLIC_KEY).p) < 0))
        return CHOIR_NOT_FOUND;
    return msg_u(d->op, FIELD_REVISION) <= d->f->index ? CHOIR_OK
                                                       : CHOIR_INVALID;
}

/* In session 0, signed by the recovery key: all others end. Who has no CURVE key
 * of the agent's left comes with an invitation, and uses it. */
int decide_recover(struct decision *d)
{
    const struct agent *a = d->author;
    const struct invite *invite = invite_by_index(d->s->agents, d->f->invite);

    if (!a || !d->f->public_key || a->revoked || !a->recovery ||
        memcmp(a->recovery, d->f->public_key, KEY_PUBLIC_BYTES) != 0)
        return CHOIR_DENIED;
    if (d->f->invite && (!invite || invite->expires <= d->f->time))
        return CHOIR_EXPIRED;
    if (a->key_count >= AGENT_KEYS_MAX)
        return over_limit(d, "agent_keys", AGENT_KEYS_MAX, a->key_count);
    msg_set_u(d->effect, FIELD_REVISION, invite ? invite->index : 0);
    return recovery_fits(d, a) ? CHOIR_INVALID : new_key_fits(d, a);
}
