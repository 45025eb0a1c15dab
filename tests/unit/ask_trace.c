/* why and impact over a small story: ada plans, bob codes from the plan under a
 * lease, cid merges; and what a wrong fact or a stolen key makes of it. */
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob, cid;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ | RIGHT_WRITE | RIGHT_WORK);
    guest_join(&hall, &cid, "cid", RIGHT_READ | RIGHT_WRITE | RIGHT_WORK);
}

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static uint64_t said(struct guest *g, struct msg *m, const struct bytes *values,
                     size_t n)
{
    CHECK_OK(guest_do_n(g, m, values, n));
    hall_turn(&hall);
    return head();
}

static struct msg op(enum message verb)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, "main");
    return m;
}

static uint64_t put(struct guest *g, const char *key, const char *value,
                    uint64_t base, uint64_t task, uint64_t token)
{
    struct msg m = op(MSG_PUT);
    struct bytes v = bytes_text(value);

    msg_set_text(&m, FIELD_KEY, key);
    if (base)
        msg_set_u(&m, FIELD_IF_REVISION, base);
    if (token) {
        msg_set_u(&m, FIELD_TASK, task);
        msg_set_u(&m, FIELD_TOKEN, token);
    }
    return said(g, &m, &v, 1);
}

static uint64_t submit(struct guest *g, uint64_t needed)
{
    struct msg m = op(MSG_SUBMIT), need;
    struct bytes v = bytes_text("do it");
    struct buf needs = {0};
    uint64_t task;

    msg_set_text(&m, FIELD_QUEUE, "q");
    if (needed) {
        msg_init(&need, MSG_ITEM);
        msg_set_u(&need, FIELD_TASK, needed);
        msg_encode(&need, &needs);
        msg_set_list(&m, FIELD_NEEDS, 1, buf_bytes(&needs));
    }
    task = said(g, &m, &v, 1);
    buf_free(&needs);
    return task;
}

static uint64_t claim(struct guest *g, uint64_t task)
{
    uint64_t token;

    CHECK_OK(rig_claim(&hall.rig, &g->actor, task, &token));
    hall_turn(&hall);
    return token;
}

static void row(struct buf *rows, const char *name, bool prefix,
                uint64_t revision)
{
    struct msg m;

    msg_init(&m, MSG_COMPARE);
    msg_set_text(&m, prefix ? FIELD_PREFIX : FIELD_KEY, name);
    msg_set_u(&m, FIELD_REVISION, revision);
    msg_encode(&m, rows);
}

static uint64_t complete(struct guest *g, uint64_t task, uint64_t token,
                         struct buf *rows, size_t n)
{
    struct msg m, set;
    struct buf value = {0};
    struct bytes values[2] = {bytes_text("done")};
    uint64_t at;

    msg_init(&set, MSG_READ_SET);
    msg_set_list(&set, FIELD_COMPARES, n, buf_bytes(rows));
    msg_encode(&set, &value);
    values[1] = buf_bytes(&value);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    if (n)
        msg_set_u(&m, FIELD_READS, 1);
    at = said(g, &m, values, n ? 2 : 1);
    buf_free(&value);
    buf_free(rows);
    CHECK(task_by_id(rig_state(&hall.rig)->tasks, task)->state ==
          TASK_COMPLETED);
    return at;
}

/* --- Asking ----------------------------------------------------------------- */

static const struct msg *answer;

static int ask(struct guest *g, enum message verb, const char *key,
               uint64_t revision)
{
    struct msg m;

    msg_init(&m, verb);
    if (key) {
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_KEY, key);
    }
    if (revision)
        msg_set_u(&m, FIELD_REVISION, revision);
    answer = guest_reply(g, &m);
    return (int)msg_u(answer, FIELD_OUTCOME);
}

static bool node(uint64_t revision, struct msg *item)
{
    struct list items = msg_list(answer, FIELD_ITEMS);

    while (list_next(&items, item)) {
        if (msg_u(item, FIELD_KIND) == LINK_ENTRY &&
            msg_u(item, FIELD_REVISION) == revision)
            return true;
    }
    return false;
}

static bool has(uint64_t revision)
{
    struct msg item;

    return node(revision, &item);
}

static bool rests(uint64_t revision, enum link_kind kind, uint64_t on)
{
    struct list items = msg_list(answer, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        if (msg_u(&item, FIELD_KIND) == kind &&
            msg_u(&item, FIELD_REVISION) == revision &&
            msg_u(&item, FIELD_PREV) == on)
            return true;
    }
    return false;
}

static bool reason_is(uint64_t revision, const char *reason)
{
    struct msg item;

    return node(revision, &item) &&
           bytes_equal(msg_b(&item, FIELD_REASON), bytes_text(reason));
}

static uint64_t plan, doc, early, task, token, code, done, merged, next, extra;

static void story(void)
{
    struct buf rows = {0};

    begin();
    plan = put(&ada, "plan", "one", 0, 0, 0);
    task = submit(&ada, 0);
    token = claim(&bob, task);
    early = put(&bob, "early", "x", 0, task, token);
    doc = put(&ada, "docs/a", "a", 0, 0, 0);
    code = put(&bob, "code", "c", 0, task, token);
    row(&rows, "plan", false, plan);
    row(&rows, "docs/", true, doc);
    done = complete(&bob, task, token, &rows, 2);
    merged = put(&cid, "code", "d", code, 0, 0);
    extra = put(&cid, "other", "d", 0, 0, 0);
    next = submit(&ada, task);
}

TEST(why_leads_back_over_leases_reads_and_bases)
{
    story();
    CHECK_OK(ask(&ada, MSG_WHY, "code", 0));
    CHECK_EQ(msg_u(answer, FIELD_REVISION), merged);
    CHECK(rests(merged, LINK_BASE, code));
    CHECK(rests(code, LINK_LEASE, token));
    CHECK(rests(token, LINK_CLAIM, task));
    CHECK(rests(code, LINK_READ, plan));
    CHECK(rests(code, LINK_LISTED, doc));
    CHECK_NOT(has(extra));
    CHECK_NOT(has(done));
    CHECK_OK(ask(&ada, MSG_WHY, NULL, done));
    CHECK(rests(done, LINK_READ, plan));
    CHECK(rests(done, LINK_LISTED, doc));
    /* what was said before a thing was there does not rest on it */
    CHECK_OK(ask(&ada, MSG_WHY, "early", 0));
    CHECK(rests(early, LINK_READ, plan));
    CHECK_NOT(has(doc));
    CHECK_OK(ask(&ada, MSG_WHY, NULL, next));
    CHECK(rests(next, LINK_NEED, task));
    CHECK(rests(next, LINK_NEED, done));
    hall_close(&hall);
}

TEST(impact_leads_on_to_all_that_was_built_on_it)
{
    story();
    CHECK_OK(ask(&ada, MSG_IMPACT, "plan", 0));
    CHECK(rests(done, LINK_READ, plan));
    CHECK(rests(code, LINK_READ, plan));
    CHECK(rests(early, LINK_READ, plan));
    CHECK(rests(merged, LINK_BASE, code));
    CHECK(rests(next, LINK_NEED, done));
    CHECK_NOT(has(extra));
    CHECK_NOT(has(task));
    CHECK_OK(ask(&ada, MSG_IMPACT, "docs/a", 0));
    CHECK(rests(done, LINK_LISTED, doc));
    CHECK(rests(code, LINK_LISTED, doc));
    CHECK(has(merged));
    CHECK_NOT(has(early));
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, task));
    CHECK(rests(token, LINK_CLAIM, task));
    CHECK(rests(early, LINK_LEASE, token));
    CHECK(rests(done, LINK_LEASE, token));
    hall_close(&hall);
}

static int ask_agent(struct guest *of, uint64_t since, uint64_t count)
{
    struct msg m;

    msg_init(&m, MSG_IMPACT);
    msg_set_hash(&m, FIELD_AGENT, &of->actor.id);
    msg_set_u(&m, FIELD_REVISION, since);
    if (count)
        msg_set_u(&m, FIELD_COUNT, count);
    answer = guest_reply(&ada, &m);
    return (int)msg_u(answer, FIELD_OUTCOME);
}

TEST(impact_of_an_agent_is_what_it_said_and_all_that_follows)
{
    story();
    CHECK_OK(ask_agent(&bob, 0, 0));
    CHECK(has(early) && has(code) && has(done) && has(merged) && has(next));
    CHECK_NOT(has(plan) || has(extra));
    CHECK_OK(ask_agent(&bob, code, 0));
    CHECK_NOT(has(early));
    CHECK(has(code) && has(done));
    /* as many as were asked for; from there it goes on */
    CHECK_OK(ask_agent(&bob, 0, 2));
    CHECK(has(early));
    CHECK_EQ(msg_u(answer, FIELD_PREV), code);
    hall_close(&hall);
}

TEST(why_and_impact_tell_the_same_when_the_index_was_read_back)
{
    story();
    hall_restart(&hall, false);
    guest_connect(&ada);
    hall_settle(&hall);
    CHECK_OK(ask(&ada, MSG_IMPACT, "plan", 0));
    CHECK(rests(done, LINK_READ, plan));
    CHECK(rests(code, LINK_READ, plan));
    CHECK(rests(merged, LINK_BASE, code));
    CHECK_OK(ask(&ada, MSG_IMPACT, "docs/a", 0));
    CHECK(rests(code, LINK_LISTED, doc));
    hall_restart(&hall, true);
    guest_connect(&ada);
    hall_settle(&hall);
    CHECK_OK(ask(&ada, MSG_IMPACT, "docs/a", 0));
    CHECK(rests(code, LINK_LISTED, doc));
    CHECK_OK(ask_agent(&bob, 0, 0));
    CHECK(has(early) && has(code) && has(done));
    hall_close(&hall);
}

TEST(a_listing_does_not_rest_on_what_came_after_it_or_was_gone)
{
    struct buf rows = {0};
    uint64_t old, now, later, other;

    begin();
    old = put(&ada, "docs/a", "1", 0, 0, 0);
    now = put(&ada, "docs/a", "2", 0, 0, 0);
    task = submit(&ada, 0);
    token = claim(&bob, task);
    row(&rows, "docs/", true, now);
    done = complete(&bob, task, token, &rows, 1);
    later = put(&ada, "docs/b", "1", 0, 0, 0);
    other = put(&ada, "elsewhere", "1", 0, 0, 0);
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, now));
    CHECK(rests(done, LINK_LISTED, now));
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, old));
    CHECK_NOT(has(done));
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, later));
    CHECK_NOT(has(done));
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, other));
    CHECK_NOT(has(done));
    hall_close(&hall);
}

TEST(what_may_not_be_seen_is_an_index_and_leads_nowhere)
{
    static struct guest eve;
    struct msg m, item;
    struct buf rows = {0};

    story();
    actor_join(&hall.rig, &eve.actor, "eve", "elsewhere", 127);
    eve.hall = &hall;
    guest_connect(&eve);
    CHECK_EQ(ask(&eve, MSG_WHY, "code", 0), CHOIR_NOT_FOUND);
    CHECK_EQ(ask(&eve, MSG_IMPACT, NULL, plan), CHOIR_NOT_FOUND);
    (void)rows;
    msg_init(&m, MSG_IMPACT);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    answer = guest_reply(&eve, &m);
    CHECK(node(code, &item));
    CHECK_NOT(msg_has(&item, FIELD_AGENT) || msg_has(&item, FIELD_KEY) ||
              msg_has(&item, FIELD_TIME) || msg_has(&item, FIELD_OPERATION));
    CHECK(reason_is(code, "hidden"));
    CHECK_NOT(has(merged));
    hall_close(&hall);
}

TEST(an_answer_is_bounded_and_says_from_where_to_go_on)
{
    enum { MANY = 300 };
    uint64_t all = 0, last = 0, first;
    struct msg m, item;

    begin();
    first = put(&ada, "plan", "one", 0, 0, 0);
    task = submit(&ada, 0);
    for (unsigned i = 0; i < MANY; i++) { /* each made from it */
        struct msg txn = op(MSG_TXN), w, c;
        struct buf writes = {0}, compares = {0};
        char key[16];
        struct bytes v = bytes_text("x");

        snprintf(key, sizeof key, "k%u", i);
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, key);
        msg_set_u(&w, FIELD_SLOT, 0);
        msg_encode(&w, &writes);
        msg_init(&c, MSG_COMPARE);
        msg_set_text(&c, FIELD_KEY, "plan");
        msg_set_u(&c, FIELD_REVISION, first);
        msg_encode(&c, &compares);
        msg_set_list(&txn, FIELD_WRITES, 1, buf_bytes(&writes));
        msg_set_list(&txn, FIELD_COMPARES, 1, buf_bytes(&compares));
        said(&ada, &txn, &v, 1);
        buf_free(&writes);
        buf_free(&compares);
    }
    do {
        msg_init(&m, MSG_IMPACT);
        msg_set_u(&m, FIELD_REVISION, first);
        msg_set_u(&m, FIELD_COUNT, 101);
        if (last)
            msg_set_u(&m, FIELD_PREV, last);
        answer = guest_reply(&ada, &m);
        CHECK_OK((int)msg_u(answer, FIELD_OUTCOME));
        CHECK(msg_u(answer, FIELD_COUNT) <= 101);
        all += msg_u(answer, FIELD_COUNT) - 1;
        CHECK(node(first, &item));
        last = msg_u(&item, FIELD_PREV);
        CHECK_EQ(msg_has(&item, FIELD_REASON), last != 0);
    } while (last);
    CHECK_EQ(all, MANY);
    /* no further than asked for */
    msg_init(&m, MSG_IMPACT);
    msg_set_u(&m, FIELD_REVISION, first);
    msg_set_u(&m, FIELD_LIMIT, 0);
    answer = guest_reply(&ada, &m);
    CHECK_EQ(msg_u(answer, FIELD_COUNT), 1);
    CHECK(reason_is(first, "depth"));
    hall_close(&hall);
}

TEST(what_was_said_with_a_suspect_key_is_marked)
{
    struct msg m, item;

    story();
    msg_init(&m, MSG_SUSPECT);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    msg_set_u(&m, FIELD_REVISION, code);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_OK(ask(&ada, MSG_IMPACT, "plan", 0));
    CHECK(node(code, &item));
    CHECK_EQ(msg_u(&item, FIELD_SEEN), code);
    CHECK(node(early, &item));
    CHECK_NOT(msg_has(&item, FIELD_SEEN));
    CHECK(node(merged, &item));
    CHECK_NOT(msg_has(&item, FIELD_SEEN));
    hall_close(&hall);
}

/* Requeued, part of another, answered: each is found both ways. */
TEST(why_and_impact_follow_tasks_and_messages)
{
    uint64_t sent, reply, child, again;
    struct bytes v = bytes_text("x");
    struct msg m, item;

    begin();
    task = submit(&ada, 0);
    m = op(MSG_SUBMIT);
    msg_set_text(&m, FIELD_QUEUE, "q");
    msg_set_u(&m, FIELD_PARENT, task);
    child = said(&ada, &m, &v, 1);
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, child);
    said(&ada, &m, NULL, 0);
    msg_init(&m, MSG_REQUEUE);
    msg_set_u(&m, FIELD_TASK, child);
    again = said(&ada, &m, NULL, 0);
    m = op(MSG_SEND);
    msg_set_text(&m, FIELD_TOPIC, "news");
    sent = said(&ada, &m, &v, 1);
    msg_set_u(&m, FIELD_KIND, SEND_FINAL);
    msg_set_u(&m, FIELD_REPLY_TO, sent);
    reply = said(&ada, &m, &v, 1);
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, task));
    CHECK(rests(child, LINK_PARENT, task) && rests(again, LINK_AGAIN, child));
    CHECK_OK(ask(&ada, MSG_WHY, NULL, again));
    CHECK(rests(again, LINK_AGAIN, child) && rests(child, LINK_PARENT, task));
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, sent));
    CHECK(rests(reply, LINK_REPLY, sent));
    CHECK(node(reply, &item));
    CHECK_OK(ask(&ada, MSG_WHY, NULL, reply));
    CHECK(rests(reply, LINK_REPLY, sent));
    hall_close(&hall);
}

/* What was given on a question is in what the holder says after it. */
TEST(why_and_impact_follow_what_was_given_as_input)
{
    struct bytes v = bytes_text("x");
    struct buf none = {0};
    uint64_t given;
    struct msg m;

    begin();
    task = submit(&ada, 0);
    token = claim(&bob, task);
    early = put(&bob, "early", "x", 0, task, token);
    msg_init(&m, MSG_ASK_INPUT);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    said(&bob, &m, &v, 1);
    msg_init(&m, MSG_INPUT);
    msg_set_u(&m, FIELD_TASK, task);
    given = said(&ada, &m, &v, 1);
    code = put(&bob, "code", "x", 0, task, token);
    done = complete(&bob, task, token, &none, 0);
    CHECK_OK(ask(&ada, MSG_IMPACT, NULL, given));
    CHECK(rests(code, LINK_INPUT, given) && rests(done, LINK_INPUT, given));
    CHECK_NOT(has(early));
    CHECK_OK(ask(&ada, MSG_WHY, "code", 0));
    CHECK(rests(code, LINK_INPUT, given));
    CHECK_OK(ask(&ada, MSG_WHY, "early", 0));
    CHECK_NOT(has(given));
    hall_close(&hall);
}

/* A stolen key: what was said with it since is marked, and all of what was
 * built on that is found from there, by whomever. */
TEST(impact_of_a_suspect_agent_yields_all_that_was_built_on_it)
{
    struct msg m, item;

    story();
    msg_init(&m, MSG_SUSPECT);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    msg_set_u(&m, FIELD_REVISION, code);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_OK(ask_agent(&bob, code, 0));
    CHECK(node(code, &item));
    CHECK_EQ(msg_u(&item, FIELD_SEEN), code);
    CHECK(node(done, &item));
    CHECK_EQ(msg_u(&item, FIELD_SEEN), code);
    CHECK(rests(merged, LINK_BASE, code) && rests(next, LINK_NEED, done));
    CHECK_NOT(has(early) || has(extra) || has(plan));
    hall_close(&hall);
}

TEST(why_wants_an_entry_that_there_is)
{
    begin();
    CHECK_EQ(ask(&ada, MSG_WHY, NULL, 0), CHOIR_INVALID);
    CHECK_EQ(ask(&ada, MSG_WHY, NULL, head() + 10), CHOIR_FUTURE);
    CHECK_EQ(ask(&ada, MSG_IMPACT, "nothing", 0), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

CHECK_MAIN
