/* What becomes of each operation, refusals first. */
#include "broker/decide.h"

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

enum { ALL = RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK };

static struct rig rig;
static struct actor ada, bob;
static struct told told;

static void two_agents(void)
{
    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "team", ALL);
    actor_join(&rig, &bob, "bob", "team", ALL);
}

static void over(void)
{
    actor_free(&ada);
    actor_free(&bob);
    buf_free(&told.effect_bytes);
    told = (struct told){0};
    rig_close(&rig);
}

static void lease_op(struct msg *m, enum message verb, uint64_t task,
                     uint64_t token)
{
    msg_init(m, verb);
    msg_set_u(m, FIELD_TASK, task);
    msg_set_u(m, FIELD_TOKEN, token);
}

static void txn(struct msg *m, struct buf *writes, struct buf *compares)
{
    msg_init(m, MSG_TXN);
    msg_set_text(m, FIELD_SPACE, "team");
    (void)writes;
    (void)compares;
}

static void add_write(struct buf *to, const char *key, int slot)
{
    struct msg w;

    msg_init(&w, MSG_WRITE);
    msg_set_text(&w, FIELD_KEY, key);
    if (slot >= 0)
        msg_set_u(&w, FIELD_SLOT, (uint64_t)slot);
    msg_encode(&w, to);
}

TEST(put_twice_keeps_the_story_of_the_key)
{
    uint64_t first, second;
    const struct key *k;

    two_agents();
    CHECK_EQ(actor_put(&rig, &ada, "team", "plan", "a", &first), CHOIR_OK);
    CHECK_EQ(actor_put(&rig, &bob, "team", "plan", "b", &second), CHOIR_OK);
    k = context_find(rig_state(&rig)->context, bytes_text("team"),
                     bytes_text("plan"));
    CHECK_EQ(k->revision, second);
    CHECK_EQ(k->created, first);
    CHECK_EQ(k->agent, bob.number);
    over();
}

TEST(conditional_put_is_refused_with_what_is_there)
{
    struct bytes v = bytes_text("x");
    uint64_t first;
    struct msg m;

    two_agents();
    CHECK_EQ(actor_put_if(&rig, &ada, "team", "plan", "a", 0, &first),
             CHOIR_OK);
    CHECK_EQ(actor_put_if(&rig, &bob, "team", "plan", "b", 0, NULL),
             CHOIR_CONFLICT);
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "plan");
    msg_set_u(&m, FIELD_IF_REVISION, first + 1);
    CHECK_OK(actor_do(&rig, &bob, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_CONFLICT);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), first);
    CHECK_MEM(msg_b(&told.effect, FIELD_AGENT).p, ada.id.b, HASH_BYTES);
    CHECK_EQ(actor_put_if(&rig, &bob, "team", "plan", "b", first, NULL),
             CHOIR_OK);
    over();
}

TEST(deleted_counts_as_absent_and_its_tombstone_is_a_version)
{
    struct msg m;
    uint64_t first;

    two_agents();
    actor_put(&rig, &ada, "team", "plan", "a", &first);
    msg_init(&m, MSG_DELETE);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "plan");
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_EQ(msg_u(&told.effect, FIELD_PREV), first);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_NOT_FOUND);
    CHECK_EQ(actor_put_if(&rig, &ada, "team", "plan", "b", 0, NULL), CHOIR_OK);
    over();
}

TEST(without_a_grant_everything_is_denied)
{
    struct actor eve = {0};

    two_agents();
    actor_join(&rig, &eve, "eve", "elsewhere", ALL);
    CHECK_EQ(actor_put(&rig, &eve, "team", "plan", "x", NULL), CHOIR_DENIED);
    CHECK_EQ(actor_submit(&rig, &eve, "q", NULL), CHOIR_DENIED);
    CHECK_EQ(actor_put(&rig, &eve, "elsewhere", "plan", "x", NULL), CHOIR_OK);
    actor_free(&eve);
    over();
}

TEST(a_condition_needs_the_right_to_read)
{
    struct actor writer = {0};

    two_agents();
    actor_join(&rig, &writer, "writer", "team", RIGHT_WRITE);
    CHECK_EQ(actor_put_if(&rig, &writer, "team", "plan", "x", 0, NULL),
             CHOIR_DENIED);
    CHECK_EQ(actor_put(&rig, &writer, "team", "plan", "x", NULL), CHOIR_OK);
    actor_free(&writer);
    over();
}

TEST(value_over_its_limit_is_refused_with_value_and_limit)
{
    static char big[70000];
    struct bytes v = bytes_of(big, sizeof big);
    struct msg m;

    two_agents();
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "plan");
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_OVER_LIMIT);
    CHECK_EQ(msg_u(&told.effect, FIELD_LIMIT), 65536);
    CHECK_EQ(msg_u(&told.effect, FIELD_SIZE), sizeof big);
    over();
}

TEST(transaction_is_all_or_nothing)
{
    struct bytes v[2] = {bytes_text("1"), bytes_text("2")};
    struct buf writes = {0}, compares = {0};
    uint64_t first;
    struct msg m, c;

    two_agents();
    actor_put(&rig, &ada, "team", "a", "0", &first);
    add_write(&writes, "a", 0);
    add_write(&writes, "b", 1);
    msg_init(&c, MSG_COMPARE);
    msg_set_text(&c, FIELD_KEY, "a");
    msg_set_u(&c, FIELD_REVISION, first + 99);
    msg_encode(&c, &compares);
    txn(&m, &writes, &compares);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    msg_set_list(&m, FIELD_COMPARES, 1, buf_bytes(&compares));
    CHECK_OK(actor_do(&rig, &ada, &m, v, 2, &told));
    CHECK_EQ(told.outcome, CHOIR_CONFLICT);
    CHECK_NULL(context_find(rig_state(&rig)->context, bytes_text("team"),
                            bytes_text("b")));
    buf_clear(&compares);
    msg_set_u(&c, FIELD_REVISION, first);
    msg_encode(&c, &compares);
    msg_set_list(&m, FIELD_COMPARES, 1, buf_bytes(&compares));
    CHECK_OK(actor_do(&rig, &ada, &m, v, 2, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_EQ(context_find(rig_state(&rig)->context, bytes_text("team"),
                          bytes_text("b"))
                 ->revision,
             told.index);
    buf_free(&writes);
    buf_free(&compares);
    over();
}

TEST(prefix_that_changed_since_refuses_the_transaction)
{
    struct bytes v = bytes_text("1");
    struct buf writes = {0}, compares = {0};
    uint64_t seen;
    struct msg m, c;

    two_agents();
    actor_put(&rig, &ada, "team", "plan/a", "0", &seen);
    actor_put(&rig, &bob, "team", "plan/b", "0", NULL);
    add_write(&writes, "code", 0);
    msg_init(&c, MSG_COMPARE);
    msg_set_text(&c, FIELD_PREFIX, "plan/");
    msg_set_u(&c, FIELD_REVISION, seen);
    msg_encode(&c, &compares);
    txn(&m, &writes, &compares);
    msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    msg_set_list(&m, FIELD_COMPARES, 1, buf_bytes(&compares));
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_CONFLICT);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), seen + 1);
    buf_free(&writes);
    buf_free(&compares);
    over();
}

TEST(a_key_is_written_once_in_a_transaction)
{
    struct bytes v = bytes_text("1");
    struct buf writes = {0};
    struct msg m;

    two_agents();
    add_write(&writes, "a", 0);
    add_write(&writes, "a", -1);
    txn(&m, NULL, NULL);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_INVALID);
    buf_free(&writes);
    over();
}

TEST(operation_id_gives_the_first_outcome_to_another_process)
{
    struct bytes v = bytes_text("1");
    struct msg m;
    uint64_t first;

    two_agents();
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "k");
    msg_set_text(&m, FIELD_ID, "once");
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    first = told.index;
    actor_session(&rig, &ada);
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_REPEATED);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), first);
    CHECK_EQ(msg_u(&told.effect, FIELD_OUTCOME), CHOIR_OK);
    CHECK_OK(actor_do(&rig, &bob, &m, &v, 1, &told)); /* ids are the agent's */
    CHECK_EQ(told.outcome, CHOIR_OK);
    over();
}

TEST(an_operation_id_without_a_letter_is_refused)
{
    struct bytes v = bytes_text("1");
    struct msg m;

    two_agents();
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "k");
    msg_set_text(&m, FIELD_ID, "");
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_INVALID);
    over();
}

TEST(an_operation_id_said_again_behind_the_sessions_end_keeps_its_first_outcome)
{
    struct bytes v = bytes_text("1");
    struct msg m, bye;
    uint64_t first;

    two_agents();
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "k");
    msg_set_text(&m, FIELD_ID, "once");
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    first = told.index;
    msg_init(&bye, MSG_SESSION_CLOSE);
    actor_begin(&ada);
    actor_add(&ada, &bye, NULL, 0);
    actor_add(&ada, &m, &v, 1);
    CHECK_OK(actor_finish(&rig, &ada, &told));
    CHECK_EQ(told.outcome, CHOIR_INVALID);
    actor_session(&rig, &ada);
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_REPEATED);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), first);
    over();
}

TEST(lease_refuses_a_second_holder_and_an_old_token)
{
    struct bytes v = bytes_text("done");
    uint64_t task, token;
    struct msg m;

    two_agents();
    CHECK_EQ(actor_submit(&rig, &ada, "q", &task), CHOIR_OK);
    CHECK_EQ(rig_claim(&rig, &bob, task, &token), CHOIR_OK);
    CHECK_EQ(rig_claim(&rig, &ada, task, &token), CHOIR_INVALID);
    lease_op(&m, MSG_COMPLETE, task, token);
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_FENCED);
    lease_op(&m, MSG_COMPLETE, task, token + 1);
    CHECK_OK(actor_do(&rig, &bob, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_FENCED);
    lease_op(&m, MSG_COMPLETE, task, token);
    CHECK_OK(actor_do(&rig, &bob, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_OK(actor_do(&rig, &bob, &m, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_FENCED);
    over();
}

TEST(completion_writes_the_context_in_the_same_revision)
{
    struct bytes v[2] = {bytes_text("result"), bytes_text("value")};
    struct buf writes = {0};
    uint64_t task, token;
    struct msg m;

    two_agents();
    actor_submit(&rig, &ada, "q", &task);
    rig_claim(&rig, &bob, task, &token);
    add_write(&writes, "out", 1);
    lease_op(&m, MSG_COMPLETE, task, token);
    msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    CHECK_OK(actor_do(&rig, &bob, &m, v, 2, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_EQ(context_find(rig_state(&rig)->context, bytes_text("team"),
                          bytes_text("out"))
                 ->revision,
             told.index);
    CHECK_EQ(task_by_id(rig_state(&rig)->tasks, task)->state, TASK_COMPLETED);
    buf_free(&writes);
    over();
}

TEST(expiry_retries_later_each_time_and_ends_in_dead)
{
    uint64_t task, token, index, wait, last = 0;
    struct bytes v = bytes_text("p");
    struct task *t;
    struct msg m;

    two_agents();
    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_QUEUE, "q");
    msg_set_u(&m, FIELD_MAX_ATTEMPTS, 3);
    msg_set_u(&m, FIELD_BACKOFF_MS, 100);
    CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
    task = told.index;
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(rig_claim(&rig, &bob, task, &token), CHOIR_OK);
        lease_op(&m, MSG_EXPIRE, task, token);
        CHECK_EQ(rig_say(&rig, &m, &index), CHOIR_OK);
        t = task_by_id(rig_state(&rig)->tasks, task);
        if (i == 2)
            break;
        CHECK_EQ(t->state, TASK_QUEUED);
        wait = t->not_before - rig_state(&rig)->time;
        CHECK(wait > last);
        last = wait;
    }
    CHECK_EQ(t->state, TASK_DEAD);
    CHECK_EQ(t->attempt, 3);
    lease_op(&m, MSG_EXPIRE, task, token);
    CHECK_EQ(rig_say(&rig, &m, &index), CHOIR_FENCED);
    over();
}

TEST(cancel_is_the_submitters_and_final)
{
    uint64_t task, token;
    struct msg m;

    two_agents();
    actor_submit(&rig, &ada, "q", &task);
    rig_claim(&rig, &bob, task, &token);
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, task);
    CHECK_OK(actor_do(&rig, &bob, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_NOT_FOUND);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_TERMINAL);
    over();
}

TEST(requeue_makes_a_new_task_of_a_cancelled_one)
{
    uint64_t task;
    struct msg m;

    two_agents();
    actor_submit(&rig, &ada, "q", &task);
    msg_init(&m, MSG_REQUEUE);
    msg_set_u(&m, FIELD_TASK, task);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_INVALID);
    m.verb = MSG_CANCEL;
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    m.verb = MSG_REQUEUE;
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_EQ(task_by_id(rig_state(&rig)->tasks, told.index)->payload, task);
    CHECK_EQ(task_by_id(rig_state(&rig)->tasks, task)->state, TASK_CANCELLED);
    over();
}

TEST(queue_over_its_limit_refuses_a_task)
{
    struct msg m, item;
    struct buf items = {0};
    uint64_t index;

    two_agents();
    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, "queue_tasks_max");
    msg_set_u(&item, FIELD_LIMIT, 1);
    msg_encode(&item, &items);
    msg_init(&m, MSG_RULES);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
    CHECK_OK(rig_say(&rig, &m, &index));
    CHECK_EQ(actor_submit(&rig, &ada, "q", NULL), CHOIR_OK);
    CHECK_EQ(actor_submit(&rig, &ada, "q", NULL), CHOIR_OVER_LIMIT);
    CHECK_EQ(actor_submit(&rig, &ada, "r", NULL), CHOIR_OK);
    buf_free(&items);
    over();
}

TEST(revoked_agent_is_turned_away_from_its_index_on)
{
    uint64_t index;
    struct msg m;

    two_agents();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &bob.id);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_DENIED);
    CHECK_OK(rig_say(&rig, &m, &index));
    CHECK_EQ(actor_put(&rig, &bob, "team", "k", "v", NULL),
             -CHOIR_SESSION_ENDED);
    over();
}

TEST(an_administrator_of_one_space_gives_no_rights_in_another)
{
    struct actor chief = {0};
    struct buf grants = {0};
    struct msg m, g;

    two_agents();
    actor_join(&rig, &chief, "chief", "team", RIGHT_ADMIN);
    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "other");
    msg_set_u(&g, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_GRANT);
    msg_set_hash(&m, FIELD_AGENT, &bob.id);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    CHECK_OK(actor_do(&rig, &chief, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_DENIED);
    buf_clear(&grants);
    msg_set_text(&g, FIELD_SPACE, "team");
    msg_encode(&g, &grants);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    CHECK_OK(actor_do(&rig, &chief, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    buf_free(&grants);
    actor_free(&chief);
    over();
}

CHECK_MAIN
