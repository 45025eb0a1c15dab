/* Keys come and go; an agent stays who it is, and nothing is accepted under a
 * key that has ended. */
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob, root;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &root, "root", 127);
    guest_join(&hall, &ada, "ada", RIGHT_READ | RIGHT_WRITE);
    guest_join(&hall, &bob, "bob", RIGHT_READ | RIGHT_WRITE);
}

static const struct agent *agent_of(const struct guest *g)
{
    return agent_by_id(rig_state(&hall.rig)->agents, &g->actor.id);
}

static const struct msg *said(struct guest *g)
{
    hall_settle(&hall);
    return guest_item(g, MSG_DONE);
}

static int outcome(struct guest *g, struct msg *op)
{
    const struct msg *m;

    guest_forget(g);
    if (guest_do(g, op, NULL))
        return -1;
    m = said(g);
    return m ? (int)msg_u(m, FIELD_OUTCOME)
             : (guest_items(g, MSG_DONE_ALL) ? 0 : -1);
}

struct pair {
    struct key_pair key;
    struct curve_pair curve;
    uint8_t signature[KEY_SIGNATURE_BYTES];
};

static void pair_new(struct pair *p, const struct guest *owner)
{
    uint8_t claim[KEY_CLAIM_BYTES];

    key_pair_new(&p->key);
    curve_pair_new(&p->curve);
    key_claim(claim, &owner->actor.id, p->key.public_key, p->curve.public_key);
    key_sign(&p->key, KEY_FOR_KEY, &rig_state(&hall.rig)->ledger,
             bytes_of(claim, sizeof claim), p->signature);
}

static struct msg new_key(enum message verb, const struct pair *p)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(p->key.public_key, 32));
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(p->curve.public_key, 32));
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(p->signature, sizeof p->signature));
    return m;
}

static int rotate(struct guest *g, const struct pair *p, unsigned kind)
{
    struct msg m = new_key(MSG_ROTATE, p);

    if (kind)
        msg_set_u(&m, FIELD_KIND, kind);
    return outcome(g, &m);
}

static bool replays_alike(void)
{
    struct hash before = state_digest(rig_state(&hall.rig)), after;

    hall_restart(&hall, false);
    after = state_digest(rig_state(&hall.rig));
    return hash_equal(&before, &after);
}

static bool put_works(struct guest *g)
{
    guest_forget(g);
    if (guest_put(g, "k", "v"))
        return false;
    hall_settle(&hall);
    return guest_items(g, MSG_DONE_ALL) + guest_items(g, MSG_DONE) == 1;
}

/* Another process of the same agent, with that key. */
static void session_with(struct guest *g, const struct pair *p)
{
    g->actor.key = p->key;
    guest_disconnect(g);
    actor_session(&hall.rig, &g->actor);
    guest_connect(g);
}

TEST(rotate_replaces_the_key_and_ends_its_sessions)
{
    struct guest other;
    struct pair p;

    begin();
    other.actor = ada.actor; /* another process with the same key */
    actor_session(&hall.rig, &ada.actor);
    CHECK(put_works(&ada));
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 0), 0);
    CHECK_NULL(
        session_by_id(rig_state(&hall.rig)->sessions, other.actor.session));
    CHECK_NOT(put_works(&ada));
    CHECK_EQ(agent_key_slot(agent_of(&ada), p.key.public_key), 1);
    CHECK_NULL(agent_key_valid(agent_of(&ada), 0));
    CHECK_EQ(agent_keys_valid(agent_of(&ada)), 1);
    session_with(&ada, &p);
    CHECK(put_works(&ada));
    CHECK(replays_alike());
    hall_close(&hall);
}

TEST(rotate_may_add_a_key_and_both_speak)
{
    struct pair p;

    begin();
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 2), 0);
    CHECK(put_works(&ada));
    CHECK_EQ(agent_keys_valid(agent_of(&ada)), 2);
    CHECK(agent_by_curve(rig_state(&hall.rig)->agents, p.curve.public_key) ==
          agent_of(&ada));
    session_with(&ada, &p);
    CHECK(put_works(&ada));
    CHECK(replays_alike());
    hall_close(&hall);
}

TEST(rotate_refuses_a_key_that_does_not_claim_it_or_is_taken)
{
    struct pair p, q;
    struct msg m;

    begin();
    pair_new(&p, &ada);
    p.signature[3] ^= 1;
    CHECK_EQ(rotate(&ada, &p, 0), CHOIR_INVALID);
    pair_new(&p, &bob); /* for bob, not for ada */
    CHECK_EQ(rotate(&ada, &p, 0), CHOIR_INVALID);
    pair_new(&p, &ada);
    p.key = bob.actor.key;
    CHECK_EQ(rotate(&ada, &p, 0), CHOIR_INVALID);
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 3), CHOIR_INVALID);
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 2), 0);
    CHECK_EQ(rotate(&ada, &p, 2), CHOIR_INVALID); /* again */
    pair_new(&q, &ada);
    memcpy(q.curve.public_key, p.curve.public_key, 32);
    CHECK_EQ(rotate(&ada, &q, 2), CHOIR_INVALID); /* CURVE key in use */
    msg_init(&m, MSG_ROTATE);
    CHECK_EQ(outcome(&ada, &m), CHOIR_INVALID); /* nothing at all */
    m = new_key(MSG_ROTATE, &q);
    m.has &= ~FIELD_BIT(SIGNATURE);
    CHECK_EQ(outcome(&ada, &m), CHOIR_INVALID);
    hall_close(&hall);
}

TEST(curve_key_rotates_freely)
{
    struct curve_pair curve;
    struct msg m;

    begin();
    curve_pair_new(&curve);
    msg_init(&m, MSG_ROTATE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve.public_key, 32));
    CHECK_EQ(outcome(&ada, &m), 0);
    CHECK(agent_by_curve(rig_state(&hall.rig)->agents, curve.public_key) ==
          agent_of(&ada));
    CHECK_NULL(agent_by_curve(rig_state(&hall.rig)->agents,
                              ada.actor.curve.public_key));
    CHECK(put_works(&ada));
    CHECK_EQ(outcome(&bob, &m), CHOIR_INVALID); /* it is ada's */
    CHECK(replays_alike());
    hall_close(&hall);
}

TEST(a_key_is_ended_by_its_agent_or_an_administrator_and_by_nobody_else)
{
    struct pair p;
    struct msg m;

    begin();
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 2), 0);
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(p.key.public_key, 32));
    CHECK_EQ(outcome(&bob, &m), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome(&ada, &m), 0);
    CHECK_EQ(outcome(&ada, &m), CHOIR_NOT_FOUND); /* it has ended */
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(ada.actor.key.public_key, 32));
    CHECK_EQ(outcome(&root, &m), 0);
    CHECK_EQ(agent_keys_valid(agent_of(&ada)), 0);
    CHECK(ada.cut);
    CHECK_NOT(put_works(&ada));
    CHECK(replays_alike());
    hall_close(&hall);
}

TEST(a_recovery_key_takes_the_agent_back_from_a_thief)
{
    struct key_pair away;
    struct pair thief, mine;
    struct told told = {0};
    struct msg m;

    begin();
    key_pair_new(&away);
    msg_init(&m, MSG_ROTATE);
    msg_set_b(&m, FIELD_RECOVERY_KEY, bytes_of(away.public_key, 32));
    CHECK_EQ(outcome(&ada, &m), 0);
    pair_new(&thief, &ada);
    CHECK_EQ(rotate(&ada, &thief, 0), 0); /* who has the key has the agent */
    session_with(&ada, &thief);
    CHECK(put_works(&ada));
    /* ada, from a connection of her own */
    pair_new(&mine, &ada);
    m = new_key(MSG_RECOVER, &mine);
    ada.actor.key = away;
    actor_outside(&hall.rig, &ada.actor, &m, &told);
    CHECK_EQ(told.turnaway, 0);
    CHECK_EQ(told.outcome, 0);
    CHECK_EQ(agent_keys_valid(agent_of(&ada)), 1);
    CHECK_EQ(agent_key_slot(agent_of(&ada), mine.key.public_key), 2);
    ada.actor.key = mine.key;
    actor_session(&hall.rig, &ada.actor);
    CHECK(replays_alike());
    buf_free(&told.effect_bytes);
    hall_close(&hall);
}

TEST(recovery_needs_the_recovery_key)
{
    struct pair p;
    struct told told = {0};
    struct msg m;

    begin();
    pair_new(&p, &ada);
    m = new_key(MSG_RECOVER, &p);
    actor_outside(&hall.rig, &ada.actor, &m, &told);
    CHECK_EQ(told.turnaway, 0);
    CHECK_EQ(told.outcome, CHOIR_DENIED);
    key_pair_new(&ada.actor.key);
    actor_outside(&hall.rig, &ada.actor, &m, &told);
    CHECK_EQ(told.turnaway, CHOIR_UNKNOWN_AGENT);
    buf_free(&told.effect_bytes);
    hall_close(&hall);
}

TEST(suspicion_is_said_by_the_agent_or_an_administrator_and_kept)
{
    struct msg m;

    begin();
    msg_init(&m, MSG_SUSPECT);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    msg_set_u(&m, FIELD_REVISION, 3);
    CHECK_EQ(outcome(&bob, &m), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome(&ada, &m), 0);
    CHECK_EQ(agent_of(&ada)->keys[0].suspect, 3);
    msg_set_u(&m, FIELD_REVISION, 1000000);
    CHECK_EQ(outcome(&root, &m), CHOIR_INVALID);
    CHECK(put_works(&ada)); /* doubt ends nothing */
    CHECK(replays_alike());
    hall_close(&hall);
}

TEST(keys_survive_a_snapshot)
{
    struct hash before, after;
    struct pair p;
    struct msg m;

    begin();
    pair_new(&p, &ada);
    CHECK_EQ(rotate(&ada, &p, 2), 0);
    msg_init(&m, MSG_ROTATE);
    msg_set_b(&m, FIELD_RECOVERY_KEY, bytes_of(bob.actor.key.public_key, 32));
    CHECK_EQ(outcome(&ada, &m), 0);
    session_with(&ada, &p);
    before = state_digest(rig_state(&hall.rig));
    hall_restart(&hall, true);
    after = state_digest(rig_state(&hall.rig));
    CHECK_NOT(hash_equal(&before, &after)); /* the checkpoint is counted */
    CHECK_EQ(agent_keys_valid(agent_of(&ada)), 2);
    CHECK(agent_of(&ada)->recovery != NULL);
    CHECK_EQ(
        session_by_id(rig_state(&hall.rig)->sessions, ada.actor.session)->key,
        1);
    CHECK(replays_alike());
    hall_close(&hall);
}

static int curve_rotate(struct guest *g, const uint8_t *curve_key)
{
    struct msg m;

    msg_init(&m, MSG_ROTATE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve_key, 32));
    return outcome(g, &m);
}

/* A snapshot tells the agents before the keys that they have today. */
TEST(curve_keys_that_changed_hands_survive_a_snapshot)
{
    const uint8_t *adas = ada.actor.curve.public_key;
    const uint8_t *bobs = bob.actor.curve.public_key;
    struct curve_pair curve;

    begin();
    curve_pair_new(&curve);
    CHECK_EQ(curve_rotate(&ada, curve.public_key), 0);
    CHECK_EQ(curve_rotate(&bob, adas), 0);
    CHECK_EQ(curve_rotate(&ada, bobs), 0);
    hall_restart(&hall, true);
    CHECK(agent_by_curve(rig_state(&hall.rig)->agents, adas) == agent_of(&bob));
    CHECK(agent_by_curve(rig_state(&hall.rig)->agents, bobs) == agent_of(&ada));
    CHECK_NULL(agent_by_curve(rig_state(&hall.rig)->agents, curve.public_key));
    CHECK(replays_alike());
    hall_close(&hall);
}

CHECK_MAIN
