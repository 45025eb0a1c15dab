#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
}

TEST(hello_is_answered_with_the_challenge_and_the_limits)
{
    struct buf frame = {0};
    const struct msg *w;
    struct msg m, item;
    struct list items;
    unsigned limits = 0;

    begin();
    msg_init(&m, MSG_HELLO);
    msg_set_u(&m, FIELD_FORMAT, 1);
    buf_put(&frame, "CHH1", 4);
    msg_encode(&m, &frame);
    CHECK_OK(cycle_take(hall.cycle, ada.connection, buf_bytes(&frame)));
    hall_turn(&hall);
    w = guest_item(&ada, MSG_WELCOME);
    assert_non_null(w);
    CHECK(bytes_equal(msg_b(w, FIELD_CHALLENGE),
                      hash_bytes(&ada.actor.challenge)));
    items = msg_list(w, FIELD_ITEMS);
    while (list_next(&items, &item))
        limits += msg_has(&item, FIELD_LIMIT);
    CHECK(limits >= 4);
    frame.n--;
    CHECK_REFUSED(cycle_take(hall.cycle, ada.connection, buf_bytes(&frame)),
                  CHOIR_MALFORMED);
    buf_free(&frame);
    hall_close(&hall);
}

TEST(bundle_without_news_is_answered_by_one_item)
{
    begin();
    CHECK_OK(guest_put(&ada, "a", "1"));
    hall_turn(&hall);
    CHECK_EQ(guest_items(&ada, MSG_DONE_ALL), 1);
    CHECK_EQ(guest_items(&ada, MSG_DONE), 0);
    hall_close(&hall);
}

TEST(nothing_is_told_before_the_commit)
{
    unsigned long before;

    begin();
    before = hall.frames;
    CHECK_OK(guest_put(&ada, "a", "1"));
    CHECK_EQ(hall.frames, before);
    hall_turn(&hall);
    CHECK(hall.frames > before);
    hall_close(&hall);
}

TEST(same_bytes_again_give_the_same_answer)
{
    uint64_t revision;

    begin();
    CHECK_OK(guest_put(&ada, "a", "1"));
    CHECK_OK(guest_resend(&ada)); /* in the same cycle */
    hall_turn(&hall);
    revision = msg_u(guest_item(&ada, MSG_DONE_ALL), FIELD_REVISION);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_DONE), FIELD_REVISION), revision);
    guest_disconnect(&ada);
    guest_connect(&ada);
    CHECK_OK(guest_resend(&ada)); /* in a later one, after a reconnect */
    hall_turn(&hall);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_DONE_ALL), FIELD_REVISION), revision);
    hall_restart(&hall, false);
    guest_connect(&ada);
    CHECK_OK(guest_resend(&ada)); /* and after a crash */
    hall_turn(&hall);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_DONE_ALL), FIELD_REVISION), revision);
    hall_close(&hall);
}

TEST(refusal_tells_its_reason)
{
    const struct msg *d;
    struct msg m, e;
    unsigned field;

    begin();
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "a");
    msg_set_u(&m, FIELD_IF_REVISION, 7);
    CHECK_OK(guest_do(&ada, &m, "x"));
    hall_turn(&hall);
    d = guest_item(&ada, MSG_DONE);
    CHECK_EQ(msg_u(d, FIELD_OUTCOME), CHOIR_CONFLICT);
    CHECK_OK(part_decode(MSG_EFFECT, msg_b(d, FIELD_EFFECT), &e, &field));
    CHECK(bytes_equal(msg_b(&e, FIELD_KEY), bytes_text("a")));
    hall_close(&hall);
}

/* His own salt and two numbers to guess from would do. */
TEST(author_is_not_told_the_hash_of_what_was_merged)
{
    struct msg m, effect;
    unsigned field, merged = 0;

    begin();
    msg_init(&m, MSG_POLICY);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "n");
    msg_set_u(&m, FIELD_RULE, RULE_COUNTER);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_turn(&hall);
    for (int again = 0; again < 2; again++) {
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_KEY, "n");
        msg_set_text(&m, FIELD_TYPE, "application/msgpack");
        CHECK_OK(guest_do(&bob, &m, "\x01"));
        hall_turn(&hall);
    }
    CHECK_OK(guest_resend(&bob));
    hall_settle(&hall);
    for (const struct msg *done; (done = guest_item(&bob, MSG_DONE));) {
        if (msg_u(done, FIELD_OUTCOME) || !msg_has(done, FIELD_EFFECT))
            continue;
        CHECK_OK(part_decode(MSG_EFFECT, msg_b(done, FIELD_EFFECT), &effect,
                             &field));
        CHECK_NOT(msg_has(&effect, FIELD_SLOTS));
        merged += msg_has(&effect, FIELD_RULE) || msg_has(&effect, FIELD_PREV);
    }
    CHECK_EQ(merged, 2);
    hall_close(&hall);
}

TEST(forged_signature_is_dropped_without_an_answer)
{
    unsigned long before;

    begin();
    CHECK_OK(guest_put(&ada, "a", "1"));
    hall_turn(&hall);
    before = hall.frames;
    ada.actor.prev_hash.b[0] ^= 1;
    actor_sign(&hall.rig, &ada.actor, &(struct msg){.verb = MSG_SESSION_CLOSE},
               NULL, 0);
    ada.actor.frame.p[8 + get_u32(ada.actor.frame.p + 4)] ^= 1;
    CHECK_REFUSED(guest_resend(&ada), CHOIR_BAD_SIGNATURE);
    hall_turn(&hall);
    CHECK_EQ(hall.frames, before);
    hall_close(&hall);
}

TEST(forged_ask_is_dropped_and_the_same_one_again_not_answered_twice)
{
    struct buf frame = {0};
    uint8_t *signature;
    struct msg m;

    begin();
    msg_init(&m, MSG_STATUS);
    guest_ask_sign(&ada, &m, 1, &frame);
    signature = frame.p + 8 + get_u32(frame.p + 4);
    signature[0] ^= 1;
    CHECK_REFUSED(cycle_take(hall.cycle, ada.connection, buf_bytes(&frame)),
                  CHOIR_BAD_SIGNATURE);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&ada, MSG_REPLY), 0);
    signature[0] ^= 1;
    for (int i = 0; i < 2; i++) {
        CHECK_OK(cycle_take(hall.cycle, ada.connection, buf_bytes(&frame)));
        hall_settle(&hall);
        CHECK_EQ(guest_items(&ada, MSG_REPLY), 1);
    }
    buf_free(&frame);
    hall_close(&hall);
}

TEST(other_agents_session_cannot_be_used)
{
    begin();
    actor_sign(&hall.rig, &ada.actor, &(struct msg){.verb = MSG_SESSION_CLOSE},
               NULL, 0);
    CHECK_REFUSED(
        cycle_take(hall.cycle, bob.connection, buf_bytes(&ada.actor.frame)),
        CHOIR_UNKNOWN_AGENT);
    hall_turn(&hall);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_TURNED_AWAY), FIELD_OUTCOME),
             CHOIR_UNKNOWN_AGENT);
    hall_close(&hall);
}

TEST(garbage_is_refused_and_costs_nothing)
{
    uint8_t junk[512];

    begin();
    for (unsigned i = 0; i < 2000; i++) {
        random_bytes(junk, sizeof junk);
        if (i % 2)
            memcpy(junk, "CHB1", 4);
        CHECK(cycle_take(hall.cycle, ada.connection,
                         bytes_of(junk, i % sizeof junk)) > 0);
    }
    hall_turn(&hall);
    hall_close(&hall);
}

TEST(idle_session_ends_and_a_connected_one_does_not)
{
    begin();
    guest_put(&bob, "b", "1");
    hall_turn(&hall);
    guest_disconnect(&bob);
    guest_put(&ada, "a", "1"); /* binds it to its connection */
    hall_pass(&hall, hall.rig.config->session_idle_s * 1000 + 1);
    CHECK_NULL(
        session_by_id(rig_state(&hall.rig)->sessions, bob.actor.session));
    assert_non_null(
        session_by_id(rig_state(&hall.rig)->sessions, ada.actor.session));
    guest_connect(&bob);
    CHECK_OK(guest_put(&bob, "b", "1"));
    hall_turn(&hall);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_TURNED_AWAY), FIELD_OUTCOME),
             CHOIR_SESSION_ENDED);
    hall_close(&hall);
}

TEST(revoked_agent_is_cut_off_and_its_sessions_end)
{
    struct msg m;

    begin();
    guest_put(&bob, "b", "1");
    hall_turn(&hall);
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_turn(&hall);
    CHECK_EQ(guest_items(&ada, MSG_DONE_ALL), 1);
    CHECK(bob.cut);
    CHECK_EQ(guest_items(&bob, MSG_SESSION_OVER), 1);
    CHECK_EQ(guest_put(&bob, "c", "1"), 0);
    hall_turn(&hall);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_TURNED_AWAY), FIELD_OUTCOME),
             CHOIR_SESSION_ENDED);
    hall_close(&hall);
}

TEST(session_that_moves_takes_its_answers_along)
{
    struct connection *old;

    begin();
    guest_put(&ada, "a", "1");
    hall_turn(&hall);
    old = ada.connection;
    guest_connect(&ada); /* a second one; the first is not known dead yet */
    guest_put(&ada, "b", "1");
    hall_turn(&hall);
    CHECK_EQ(guest_items(&ada, MSG_DONE_ALL), 2);
    cycle_disconnect(hall.cycle, old);
    guest_put(&ada, "c", "1");
    hall_turn(&hall);
    CHECK_EQ(guest_items(&ada, MSG_DONE_ALL), 3);
    hall_close(&hall);
}

TEST(quiet_broker_has_nothing_to_do)
{
    begin();
    guest_put(&ada, "a", "1");
    guest_put(&bob, "b", "1");
    hall_settle(&hall);
    CHECK(cycle_next(hall.cycle) == UINT64_MAX);
    hall_close(&hall);
}

TEST(asks_that_take_long_do_not_hold_up_those_of_others)
{
    struct msg list, get;
    size_t first;

    begin();
    msg_init(&list, MSG_LIST);
    msg_set_text(&list, FIELD_SPACE, "main");
    msg_set_text(&list, FIELD_PREFIX, "");
    msg_init(&get, MSG_GET);
    msg_set_text(&get, FIELD_SPACE, "main");
    msg_set_text(&get, FIELD_KEY, "k");
    ada.slow_us = 1000; /* each of hers takes so long */
    guest_ask_times(&ada, &list, 50);
    guest_ask_times(&ada, &list, 50);
    guest_ask(&bob, &get);
    hall_turn(&hall);
    first = guest_items(&ada, MSG_REPLY);
    CHECK(first >= 1 && first <= 10);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 1);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&ada, MSG_REPLY), 100);
    for (unsigned i = 1; i <= 100; i++) /* and in order */
        CHECK_EQ(msg_u(guest_item(&ada, MSG_REPLY), FIELD_ASK), i);
    hall_close(&hall);
}

TEST(asks_of_a_full_peer_wait_and_are_answered_in_order_when_it_reads)
{
    struct msg get;

    begin();
    msg_init(&get, MSG_GET);
    msg_set_text(&get, FIELD_SPACE, "main");
    msg_set_text(&get, FIELD_KEY, "k");
    bob.backlog = 1 << 30;
    for (unsigned i = 0; i < 3; i++)
        guest_ask_times(&bob, &get, 5);
    hall_settle(&hall);
    guest_ask_times(&bob, &get, 5);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 0);
    CHECK(cycle_next(hall.cycle) < UINT64_MAX); /* it is looked at again */
    guest_ask_times(&bob, &get, 5);
    bob.backlog = 0;
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 25);
    for (unsigned i = 1; i <= 25; i++)
        CHECK_EQ(msg_u(guest_item(&bob, MSG_REPLY), FIELD_ASK), i);
    hall_close(&hall);
}

TEST(asks_of_a_full_peer_that_leaves_are_forgotten)
{
    struct msg get;

    begin();
    msg_init(&get, MSG_GET);
    msg_set_text(&get, FIELD_SPACE, "main");
    msg_set_text(&get, FIELD_KEY, "k");
    bob.backlog = 1 << 30;
    guest_ask_times(&bob, &get, 5);
    hall_settle(&hall);
    guest_disconnect(&bob);
    hall_settle(&hall);
    bob.backlog = 0;
    guest_connect(&bob);
    guest_ask(&bob, &get);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 1);
    hall_close(&hall);
}

TEST(sessions_that_are_idle_at_once_end_a_few_hundred_a_turn)
{
    enum { MANY = 600, A_TURN = 300 };
    struct actor *many = calloc(MANY, sizeof *many);
    uint64_t before;
    char name[32];

    begin();
    CHECK_OK(cycle_end(hall.cycle));
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        actor_join(&hall.rig, &many[i], name, "*", 127);
    }
    CHECK_OK(cycle_begin(hall.cycle));
    hall_restart(&hall, true);
    before = rig_state(&hall.rig)->size;
    CHECK_OK(cycle_end(hall.cycle));
    env_sim_advance_us(hall.rig.env, (hall.rig.config->session_idle_s + 1) *
                                         UINT64_C(1000000));
    CHECK_OK(cycle_begin(hall.cycle));
    hall_turn(&hall);
    CHECK(rig_state(&hall.rig)->size - before < A_TURN);
    hall_settle(&hall);
    for (int i = 0; i < MANY; i++) {
        CHECK_NULL(
            session_by_id(rig_state(&hall.rig)->sessions, many[i].session));
        actor_free(&many[i]);
    }
    hall_close(&hall);
    free(many);
}

/* However many peers do not read, a turn asks after a few of them. */
TEST(peers_without_room_are_looked_at_a_few_at_a_time)
{
    enum { MANY = 64, FEW = 8 };
    struct guest *many = calloc(MANY, sizeof *many);
    unsigned long looks;
    struct msg get;
    char name[32];

    begin();
    msg_init(&get, MSG_GET);
    msg_set_text(&get, FIELD_SPACE, "main");
    msg_set_text(&get, FIELD_KEY, "k");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many-%d", i);
        guest_join(&hall, &many[i], name, 127);
        many[i].backlog = 1 << 30;
        guest_ask(&many[i], &get);
    }
    hall_settle(&hall);
    looks = hall.looks;
    for (int i = 0; i < 10; i++)
        hall_turn(&hall);
    CHECK(hall.looks - looks <= 10 * FEW);
    for (int i = 0; i < MANY; i++)
        many[i].backlog = 0;
    hall_pass(&hall, 5); /* and soon at all of them */
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(guest_items(&many[i], MSG_REPLY), 1);
    hall_close(&hall);
    free(many);
}

CHECK_MAIN
