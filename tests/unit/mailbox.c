/* Messages on their way: sent, kept, told, acknowledged. */
#include "broker/mailbox.h"

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ | RIGHT_WORK);
}

static const struct state *now(void)
{
    return rig_state(&hall.rig);
}

static uint64_t head(void)
{
    return now()->size - 1;
}

static void rules(void)
{
    core_begin(hall.rig.core);
    CHECK_OK(core_rules(hall.rig.core, hall.rig.config));
    CHECK_OK(core_commit(hall.rig.core));
}

static uint32_t charged(const struct guest *g)
{
    return agent_by_number(now()->agents, g->actor.number)->messages;
}

static int outcome_of(struct guest *g, struct msg *op, const char *value,
                      struct msg *effect)
{
    const struct msg *m;
    unsigned field;

    guest_forget(g);
    CHECK_OK(guest_do(g, op, value));
    hall_settle(&hall);
    m = guest_item(g, MSG_DONE);
    if (!m) {
        CHECK(guest_item(g, MSG_DONE_ALL) != NULL);
        return CHOIR_OK;
    }
    if (effect)
        CHECK_OK(
            part_decode(MSG_EFFECT, msg_b(m, FIELD_EFFECT), effect, &field));
    return (int)msg_u(m, FIELD_OUTCOME);
}

static struct msg to_agent(const struct guest *g)
{
    struct msg m;

    msg_init(&m, MSG_SEND);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_hash(&m, FIELD_AGENT, &g->actor.id);
    return m;
}

static struct msg to_topic(const char *topic)
{
    struct msg m;

    msg_init(&m, MSG_SEND);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_TOPIC, topic);
    return m;
}

/* From ada; its revision. */
static uint64_t sent(struct msg m, const char *body)
{
    CHECK_EQ(outcome_of(&ada, &m, body, NULL), CHOIR_OK);
    return head();
}

static int sends(struct guest *g, struct msg m)
{
    return outcome_of(g, &m, "x", NULL);
}

static int ack(struct guest *g, uint64_t revision, bool alone)
{
    struct msg m;

    msg_init(&m, MSG_MARK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_u(&m, FIELD_REVISION, revision);
    if (alone)
        msg_set_u(&m, FIELD_KIND, 1);
    return outcome_of(g, &m, NULL, NULL);
}

static struct msg inbox_ask(const char *topic, uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_INBOX);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_u(&m, FIELD_WATCH, 7);
    msg_set_u(&m, FIELD_CREDIT, credit);
    if (topic)
        msg_set_text(&m, FIELD_TOPIC, topic);
    return m;
}

static int opens(struct guest *g, const char *topic, uint64_t credit)
{
    struct msg m = inbox_ask(topic, credit);

    guest_forget(g);
    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

static uint64_t told(struct guest *g, const char *body)
{
    const struct msg *m = guest_item(g, MSG_MESSAGE);

    if (!m)
        return 0;
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text(body)));
    CHECK_EQ(msg_u(m, FIELD_WATCH), 7);
    return msg_u(m, FIELD_REVISION);
}

TEST(message_waits_for_its_reader_and_says_who_sent_it)
{
    const struct msg *got;
    struct msg m;
    uint64_t at;

    begin();
    m = to_agent(&bob);
    msg_set_text(&m, FIELD_TYPE, "text/plain");
    msg_set_u(&m, FIELD_KIND, SEND_REQUEST);
    guest_disconnect(&bob);
    at = sent(m, "hello");
    guest_connect(&bob);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    got = guest_item(&bob, MSG_MESSAGE);
    CHECK(got != NULL);
    CHECK_EQ(msg_u(got, FIELD_REVISION), at);
    CHECK_EQ(msg_u(got, FIELD_KIND), SEND_REQUEST);
    CHECK(msg_u(got, FIELD_TIME) > 0);
    CHECK(bytes_equal(msg_b(got, FIELD_VALUE), bytes_text("hello")));
    CHECK(bytes_equal(msg_b(got, FIELD_TYPE), bytes_text("text/plain")));
    CHECK(bytes_equal(msg_b(got, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    CHECK_NULL(guest_item(&bob, MSG_MESSAGE));
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    hall_close(&hall);
}

TEST(what_is_sent_reaches_an_open_inbox)
{
    uint64_t at;

    begin();
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    at = sent(to_agent(&bob), "one");
    CHECK_EQ(told(&bob, "one"), at);
    at = sent(to_agent(&bob), "two");
    CHECK_EQ(told(&bob, "two"), at);
    sent(to_agent(&ada), "not his");
    CHECK_EQ(told(&bob, ""), 0);
    hall_close(&hall);
}

TEST(message_comes_again_until_it_is_acknowledged)
{
    uint64_t first, second, third;

    begin();
    first = sent(to_agent(&bob), "1");
    second = sent(to_agent(&bob), "2");
    third = sent(to_agent(&bob), "3");
    CHECK_EQ(charged(&ada), 3);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    CHECK_EQ(guest_items(&bob, MSG_MESSAGE), 3);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    CHECK_EQ(guest_items(&bob, MSG_MESSAGE), 3);
    CHECK_EQ(ack(&bob, second, true), CHOIR_OK);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    CHECK_EQ(told(&bob, "1"), first);
    CHECK_EQ(told(&bob, "3"), third);
    CHECK_EQ(ack(&bob, second, true), CHOIR_OK); /* again changes nothing */
    CHECK_EQ(charged(&ada), 2);
    CHECK_EQ(ack(&bob, third, false), CHOIR_OK);
    CHECK_EQ(charged(&ada), 0);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    CHECK_EQ(guest_items(&bob, MSG_MESSAGE), 0);
    hall_close(&hall);
}

TEST(mail_survives_a_restart_with_and_without_a_snapshot)
{
    uint64_t first, topical;

    begin();
    first = sent(to_agent(&bob), "1");
    topical = sent(to_topic("news"), "n");
    for (int clean = 0; clean < 2; clean++) {
        hall_restart(&hall, clean);
        guest_connect(&ada);
        guest_connect(&bob);
        CHECK_EQ(charged(&ada), 2);
        CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
        CHECK_EQ(told(&bob, "1"), first);
        CHECK_EQ(opens(&bob, "news", 10), CHOIR_OK);
        CHECK_EQ(told(&bob, "n"), topical);
    }
    hall_close(&hall);
}

TEST(inbox_without_credit_is_told_nothing_and_goes_on_where_it_stood)
{
    uint64_t at[5];
    struct msg credit;

    begin();
    for (int i = 0; i < 5; i++)
        at[i] = sent(to_agent(&bob), "x");
    CHECK_EQ(opens(&bob, NULL, 2), CHOIR_OK);
    CHECK_EQ(told(&bob, "x"), at[0]);
    CHECK_EQ(told(&bob, "x"), at[1]);
    CHECK_EQ(told(&bob, "x"), 0);
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 0);
    msg_init(&credit, MSG_CREDIT);
    msg_set_u(&credit, FIELD_WATCH, 7);
    msg_set_u(&credit, FIELD_CREDIT, 3);
    CHECK_EQ(msg_u(guest_reply(&bob, &credit), FIELD_REVISION), at[1]);
    CHECK_EQ(told(&bob, "x"), at[2]);
    CHECK_EQ(told(&bob, "x"), at[3]);
    CHECK_EQ(told(&bob, "x"), at[4]);
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    hall_close(&hall);
}

TEST(inbox_of_a_slow_reader_waits_for_room)
{
    uint64_t at;

    begin();
    CHECK_EQ(opens(&bob, NULL, 100), CHOIR_OK);
    bob.backlog = 1 << 30;
    at = sent(to_agent(&bob), "x");
    CHECK_EQ(told(&bob, "x"), 0);
    bob.backlog = 0;
    hall_pass(&hall, 1000);
    CHECK_EQ(told(&bob, "x"), at);
    hall_close(&hall);
}

TEST(inbox_that_is_closed_is_told_no_more)
{
    struct msg m;

    begin();
    CHECK_EQ(opens(&bob, NULL, 100), CHOIR_OK);
    msg_init(&m, MSG_UNWATCH);
    msg_set_u(&m, FIELD_WATCH, 7);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_OK);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    sent(to_agent(&bob), "x");
    CHECK_EQ(told(&bob, "x"), 0);
    hall_close(&hall);
}

TEST(topic_goes_on_behind_its_readers_mark)
{
    uint64_t first, second;
    struct msg mark, m;

    begin();
    first = sent(to_topic("news"), "1");
    second = sent(to_topic("news"), "2");
    CHECK_EQ(opens(&bob, "news", 10), CHOIR_OK);
    CHECK_EQ(told(&bob, "1"), first);
    CHECK_EQ(told(&bob, "2"), second);
    msg_init(&mark, MSG_MARK);
    msg_set_text(&mark, FIELD_SPACE, "main");
    msg_set_text(&mark, FIELD_TOPIC, "news");
    msg_set_u(&mark, FIELD_REVISION, first);
    CHECK_EQ(outcome_of(&bob, &mark, NULL, NULL), CHOIR_OK);
    CHECK_EQ(opens(&bob, "news", 10), CHOIR_OK);
    CHECK_EQ(told(&bob, "2"), second);
    CHECK_EQ(opens(&ada, "news", 10), CHOIR_OK); /* each its own */
    CHECK_EQ(told(&ada, "1"), first);
    m = inbox_ask("news", 10);
    msg_set_u(&m, FIELD_REVISION, 0);
    guest_forget(&bob);
    guest_reply(&bob, &m);
    CHECK_EQ(told(&bob, "1"), first);
    hall_close(&hall);
}

TEST(topic_keeps_its_newest_and_shows_the_gap)
{
    const struct msg *m;
    uint64_t at[4];

    begin();
    hall.rig.config->topic_messages_max = 2;
    rules();
    for (int i = 0; i < 4; i++)
        at[i] = sent(to_topic("news"), "x");
    CHECK_EQ(charged(&ada), 2);
    CHECK_EQ(opens(&bob, "news", 10), CHOIR_OK);
    m = guest_item(&bob, MSG_MESSAGE);
    CHECK_EQ(msg_u(m, FIELD_REVISION), at[2]);
    CHECK_EQ(msg_u(m, FIELD_PREV), at[1]);
    CHECK_EQ(told(&bob, "x"), at[3]);
    hall_close(&hall);
}

TEST(messages_of_topics_are_forgotten_with_time)
{
    begin();
    hall.rig.config->topic_entries_kept = 10;
    sent(to_topic("news"), "x");
    sent(to_agent(&bob), "stays");
    for (int i = 0; i < 20; i++) {
        CHECK_OK(guest_put(&ada, "k", "v"));
        hall_settle(&hall);
    }
    CHECK_EQ(mail_count(now()->mail), 1);
    CHECK_EQ(charged(&ada), 1);
    hall_restart(&hall, false);
    CHECK_EQ(mail_count(now()->mail), 1);
    hall_close(&hall);
}

TEST(sending_needs_the_right_to_and_somebody_who_reads)
{
    struct guest eve = {0};
    struct msg m;

    begin();
    CHECK_EQ(sends(&bob, to_agent(&ada)), CHOIR_DENIED);
    CHECK_EQ(sends(&bob, to_topic("news")), CHOIR_DENIED);
    guest_join(&hall, &eve, "eve", 0);
    CHECK_EQ(sends(&ada, to_agent(&eve)), CHOIR_NOT_FOUND);
    CHECK_EQ(opens(&eve, NULL, 1), CHOIR_DENIED);
    CHECK_EQ(opens(&eve, "news", 1), CHOIR_DENIED);
    m = to_agent(&ada);
    eve.actor.id.b[0] ^= 1;
    CHECK_EQ(sends(&ada, to_agent(&eve)), CHOIR_NOT_FOUND);
    m = to_agent(&ada);
    msg_set_hash(&m, FIELD_AGENT,
                 &agent_by_number(now()->agents, 1)->id); /* the broker */
    CHECK_EQ(sends(&ada, m), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(a_topic_is_granted_as_a_key_of_its_name)
{
    struct guest eve = {0};
    struct buf rows = {0};
    struct msg row, grant;

    begin();
    guest_join(&hall, &eve, "eve", 0);
    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "main");
    msg_set_u(&row, FIELD_RIGHTS, RIGHT_SEND | RIGHT_READ);
    msg_set_text(&row, FIELD_PREFIX, "plan/");
    msg_encode(&row, &rows);
    msg_init(&grant, MSG_GRANT);
    msg_set_hash(&grant, FIELD_AGENT, &eve.actor.id);
    msg_set_list(&grant, FIELD_GRANTS, 1, buf_bytes(&rows));
    CHECK_EQ(outcome_of(&ada, &grant, NULL, NULL), CHOIR_OK);
    CHECK_EQ(sends(&eve, to_topic("plan/a")), CHOIR_OK);
    CHECK_EQ(sends(&eve, to_topic("other")), CHOIR_DENIED);
    CHECK_EQ(sends(&eve, to_agent(&ada)), CHOIR_DENIED);
    CHECK_EQ(opens(&eve, "plan/b", 1), CHOIR_OK);
    CHECK_EQ(opens(&eve, "other", 1), CHOIR_DENIED);
    CHECK_EQ(opens(&eve, "plan/a", 1), CHOIR_OK);
    buf_clear(&rows);
    msg_set_u(&row, FIELD_RIGHTS, 0);
    msg_encode(&row, &rows);
    msg_set_list(&grant, FIELD_GRANTS, 1, buf_bytes(&rows));
    CHECK_EQ(outcome_of(&ada, &grant, NULL, NULL), CHOIR_OK);
    CHECK_EQ(msg_u(guest_item(&eve, MSG_WATCH_OVER), FIELD_OUTCOME),
             CHOIR_DENIED);
    guest_forget(&eve);
    sent(to_topic("plan/a"), "x");
    CHECK_EQ(told(&eve, "x"), 0);
    buf_free(&rows);
    hall_close(&hall);
}

TEST(message_that_makes_no_sense_is_refused)
{
    struct msg m;

    begin();
    m = to_agent(&bob);
    msg_set_text(&m, FIELD_TOPIC, "news");
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    m = to_agent(&bob);
    m.has &= ~FIELD_BIT(AGENT);
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    CHECK_EQ(sends(&ada, to_topic("")), CHOIR_INVALID);
    m = to_agent(&bob);
    msg_set_u(&m, FIELD_KIND, 4);
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    msg_set_u(&m, FIELD_KIND, SEND_FINAL); /* of what? */
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    msg_set_u(&m, FIELD_REPLY_TO, head() + 2);
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    msg_set_u(&m, FIELD_REPLY_TO, head());
    CHECK_EQ(sends(&ada, m), CHOIR_OK);
    m = to_agent(&bob);
    msg_set_text(&m, FIELD_SPACE, "*");
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    m = to_agent(&bob);
    msg_set_u(&m, FIELD_TASK, 3);
    CHECK_EQ(sends(&ada, m), CHOIR_INVALID);
    msg_set_u(&m, FIELD_TOKEN, 4);
    CHECK_EQ(sends(&ada, m), CHOIR_FENCED);
    CHECK_EQ(ack(&ada, head() + 2, false), CHOIR_INVALID);
    CHECK_EQ(opens(&ada, "", 1), CHOIR_INVALID);
    hall_close(&hall);
}

TEST(full_mailbox_refuses_its_sender_and_nobody_else)
{
    struct guest eve = {0};
    struct msg m, effect;
    uint64_t at;

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_SEND);
    hall.rig.config->mailbox_messages_max = 2;
    hall.rig.config->mailbox_bytes_max = 10;
    rules();
    m = to_agent(&bob);
    sent(m, "1");
    at = sent(m, "2");
    CHECK_EQ(outcome_of(&ada, &m, "3", &effect), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD),
                      bytes_text("mailbox_messages_max")));
    CHECK_EQ(msg_u(&effect, FIELD_LIMIT), 2);
    CHECK_EQ(sends(&eve, to_agent(&bob)), CHOIR_OK);
    CHECK_EQ(ack(&bob, at, false), CHOIR_OK);
    CHECK_EQ(outcome_of(&ada, &m, "12345678", NULL), CHOIR_OK);
    CHECK_EQ(outcome_of(&ada, &m, "123", &effect), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD),
                      bytes_text("mailbox_bytes_max")));
    CHECK_EQ(outcome_of(&ada, &m, "12", NULL), CHOIR_OK);
    hall_close(&hall);
}

TEST(sender_over_its_limit_is_refused_with_value_and_limit)
{
    struct msg m, effect;

    begin();
    hall.rig.config->messages_per_agent_max = 2;
    rules();
    sent(to_agent(&bob), "1");
    sent(to_topic("news"), "2");
    m = to_topic("news");
    CHECK_EQ(outcome_of(&ada, &m, "3", &effect), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD),
                      bytes_text("messages_per_agent_max")));
    CHECK_EQ(msg_u(&effect, FIELD_LIMIT), 2);
    CHECK_EQ(msg_u(&effect, FIELD_SIZE), 2);
    hall_close(&hall);
}

TEST(inboxes_over_their_limit_are_refused)
{
    struct msg m = inbox_ask("a", 1);

    begin();
    hall.rig.config->watches_per_agent_max = 1;
    CHECK_EQ(opens(&bob, NULL, 1), CHOIR_OK);
    CHECK_EQ(opens(&bob, "a", 1), CHOIR_OK); /* in its place */
    msg_set_u(&m, FIELD_WATCH, 8);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_OVER_LIMIT);
    hall_close(&hall);
}

TEST(mailbox_goes_with_its_owner)
{
    struct msg m;

    begin();
    sent(to_agent(&bob), "x");
    CHECK_EQ(charged(&ada), 1);
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    CHECK_EQ(outcome_of(&ada, &m, NULL, NULL), CHOIR_OK);
    CHECK_EQ(charged(&ada), 0);
    CHECK_EQ(sends(&ada, to_agent(&bob)), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

/* --- Completions --------------------------------------------------------- */

static uint64_t claimed(uint64_t *token)
{
    struct msg m;
    uint64_t task;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "q");
    task = sent(m, "do it");
    CHECK_EQ(rig_claim(&hall.rig, &ada.actor, task, token), CHOIR_OK);
    return task;
}

static void add_send(struct buf *rows, const struct guest *to,
                     const char *topic, uint64_t slot)
{
    struct msg m;

    msg_init(&m, MSG_SEND_ROW);
    msg_set_u(&m, FIELD_SLOT, slot);
    if (to)
        msg_set_hash(&m, FIELD_AGENT, &to->actor.id);
    if (topic)
        msg_set_text(&m, FIELD_TOPIC, topic);
    msg_encode(&m, rows);
}

static int completes(uint64_t task, uint64_t token, const struct buf *rows,
                     uint64_t n, const char *key)
{
    const struct bytes values[] = {bytes_text("result"), bytes_text("first"),
                                   bytes_text("second")};
    struct buf writes = {0};
    struct msg m, w;
    const struct msg *done;
    int r;

    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_list(&m, FIELD_SENDS, n, buf_bytes(rows));
    if (key) {
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, key);
        msg_set_u(&w, FIELD_SLOT, 0);
        msg_encode(&w, &writes);
        msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    }
    guest_forget(&ada);
    CHECK_OK(guest_do_n(&ada, &m, values, 3));
    hall_settle(&hall);
    done = guest_item(&ada, MSG_DONE);
    r = done ? (int)msg_u(done, FIELD_OUTCOME) : CHOIR_OK;
    buf_free(&writes);
    return r;
}

TEST(completion_sends_with_its_result_and_its_writes)
{
    struct buf rows = {0};
    uint64_t task, token;
    const struct msg *m;

    begin();
    task = claimed(&token);
    CHECK_EQ(opens(&bob, NULL, 10), CHOIR_OK);
    add_send(&rows, &bob, NULL, 1);
    add_send(&rows, NULL, "news", 2);
    CHECK_EQ(completes(task, token, &rows, 2, "plan"), CHOIR_OK);
    m = guest_item(&bob, MSG_MESSAGE);
    CHECK(m != NULL);
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text("first")));
    CHECK_EQ(msg_u(m, FIELD_TASK), task);
    CHECK_EQ(msg_u(m, FIELD_REVISION), head());
    CHECK_EQ(opens(&bob, "news", 10), CHOIR_OK);
    CHECK_EQ(told(&bob, "second"), head());
    CHECK(context_find(now()->context, bytes_text("main"),
                       bytes_text("plan")) != NULL);
    CHECK_EQ(charged(&ada), 2);
    hall_restart(&hall, false);
    CHECK_EQ(charged(&ada), 2);
    buf_free(&rows);
    hall_close(&hall);
}

TEST(completion_whose_message_is_refused_does_nothing)
{
    struct buf rows = {0};
    uint64_t task, token;

    begin();
    task = claimed(&token);
    add_send(&rows, &bob, NULL, 1);
    add_send(&rows, &bob, NULL, 2); /* one box, one revision, one message */
    CHECK_EQ(completes(task, token, &rows, 2, "plan"), CHOIR_INVALID);
    buf_clear(&rows);
    add_send(&rows, &bob, NULL, 1);
    add_send(&rows, NULL, "news", 3);
    CHECK_EQ(completes(task, token, &rows, 2, "plan"), CHOIR_INVALID);
    hall.rig.config->messages_per_agent_max = 1;
    rules();
    buf_clear(&rows);
    add_send(&rows, &bob, NULL, 1);
    add_send(&rows, NULL, "news", 2);
    CHECK_EQ(completes(task, token, &rows, 2, "plan"), CHOIR_OVER_LIMIT);
    CHECK_EQ(mail_count(now()->mail), 0);
    CHECK_NULL(
        context_find(now()->context, bytes_text("main"), bytes_text("plan")));
    CHECK_EQ(task_by_id(now()->tasks, task)->state, TASK_WORKING);
    buf_clear(&rows);
    for (int i = 0; i < 65; i++)
        add_send(&rows, NULL, "news", 1);
    CHECK_EQ(completes(task, token, &rows, 65, NULL), CHOIR_OVER_LIMIT);
    buf_free(&rows);
    hall_close(&hall);
}

CHECK_MAIN
