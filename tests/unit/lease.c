#include "broker/lease.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob, cid;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
    guest_join(&hall, &cid, "cid", 127);
}

static void submit(unsigned lease_ms, unsigned attempts)
{
    struct msg m;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_LEASE_MS, lease_ms);
    msg_set_u(&m, FIELD_MAX_ATTEMPTS, attempts);
    msg_set_u(&m, FIELD_BACKOFF_MS, 1000);
    CHECK_OK(guest_do(&ada, &m, "payload"));
}

static int work(struct guest *g, uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, credit);
    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

static int work_more(struct guest *g, uint64_t credit, uint64_t kind)
{
    struct msg m;

    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, credit);
    msg_set_u(&m, FIELD_KIND, kind);
    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

static struct msg on_task(enum message verb, const struct msg *task)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_u(&m, FIELD_TASK, msg_u(task, FIELD_TASK));
    msg_set_u(&m, FIELD_TOKEN, msg_u(task, FIELD_TOKEN));
    return m;
}

/* Outcome of the last DONE or DONE_ALL. */
static int last_outcome(struct guest *g)
{
    for (size_t i = g->count; i--;) {
        if (g->items[i]->verb == MSG_DONE)
            return (int)msg_u(g->items[i], FIELD_OUTCOME);
        if (g->items[i]->verb == MSG_DONE_ALL)
            return 0;
    }
    return -1;
}

static void pass(uint64_t ms)
{
    hall_pass(&hall, ms);
}

/* The lost leases that a heartbeat names. */
static uint64_t heartbeat(struct guest *g, const struct msg *task)
{
    struct buf items = {0};
    struct msg m, item;
    uint64_t lost;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_TASK, msg_u(task, FIELD_TASK));
    msg_set_u(&item, FIELD_TOKEN, msg_u(task, FIELD_TOKEN));
    msg_encode(&item, &items);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
    lost = msg_u(guest_reply(g, &m), FIELD_ITEMS);
    buf_free(&items);
    return lost;
}

TEST(task_goes_to_whoever_offered_and_carries_its_payload)
{
    const struct msg *t;

    begin();
    CHECK_EQ(work(&bob, 1), 0);
    submit(5000, 3);
    hall_settle(&hall);
    t = guest_item(&bob, MSG_TASK);
    assert_non_null(t);
    CHECK(bytes_equal(msg_b(t, FIELD_VALUE), bytes_text("payload")));
    CHECK(bytes_equal(msg_b(t, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    CHECK_EQ(msg_u(t, FIELD_ATTEMPT), 1);
    CHECK(msg_u(t, FIELD_TOKEN) > msg_u(t, FIELD_TASK));
    hall_close(&hall);
}

TEST(credit_is_never_exceeded)
{
    begin();
    for (int i = 0; i < 5; i++)
        submit(5000, 3);
    CHECK_EQ(work(&bob, 2), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    hall_close(&hall);
}

TEST(workers_take_turns)
{
    begin();
    CHECK_EQ(work(&bob, 100), 0);
    CHECK_EQ(work(&cid, 100), 0);
    for (int i = 0; i < 40; i++)
        submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 20);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 20);
    hall_close(&hall);
}

TEST(lease_that_ends_is_told_and_another_attempt_follows_later)
{
    const struct msg *t, *lost;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    assert_non_null(t);
    CHECK_EQ(work(&cid, 1), 0);
    pass(4900);
    CHECK_EQ(guest_items(&bob, MSG_LEASE_LOST), 0);
    pass(200);
    lost = guest_item(&bob, MSG_LEASE_LOST);
    assert_non_null(lost);
    CHECK_EQ(msg_u(lost, FIELD_TOKEN), msg_u(t, FIELD_TOKEN));
    CHECK_EQ(guest_items(&cid, MSG_TASK), 0); /* backs off first */
    pass(1100);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 1);
    m = on_task(MSG_COMPLETE, t);
    CHECK_OK(guest_do(&bob, &m, "late"));
    hall_settle(&hall);
    CHECK_EQ(last_outcome(&bob), CHOIR_FENCED);
    hall_close(&hall);
}

TEST(heartbeat_keeps_the_lease_for_hours)
{
    const struct msg *t;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    for (int i = 0; i < 1000; i++) {
        pass(4000);
        CHECK_EQ(heartbeat(&bob, t), 0);
    }
    m = on_task(MSG_COMPLETE, t);
    CHECK_OK(guest_do(&bob, &m, "done"));
    hall_settle(&hall);
    CHECK_EQ(last_outcome(&bob), 0);
    CHECK_EQ(heartbeat(&bob, t), 1);
    hall_close(&hall);
}

TEST(heartbeat_of_another_agent_extends_nothing)
{
    const struct msg *t;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    CHECK_EQ(heartbeat(&cid, t), 1);
    hall_close(&hall);
}

TEST(last_attempt_that_expires_leaves_the_task_dead)
{
    const struct msg *t, *is;
    struct msg m;

    begin();
    submit(1000, 1);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, msg_u(t, FIELD_TASK));
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_OUTCOME), 0);
    pass(1500);
    is = guest_item(&ada, MSG_TASK_STATE);
    assert_non_null(is);
    CHECK_EQ(msg_u(is, FIELD_STATE), TASK_DEAD);
    CHECK(
        bytes_equal(msg_b(is, FIELD_REASON), bytes_text("the lease expired")));
    hall_close(&hall);
}

TEST(cancellation_reaches_the_holder_at_once)
{
    const struct msg *t;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, msg_u(t, FIELD_TASK));
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_LEASE_LOST), 1);
    pass(6000);
    CHECK_EQ(guest_items(&bob, MSG_LEASE_LOST), 1);
    hall_close(&hall);
}

TEST(nak_gives_the_task_back_after_a_while)
{
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    m = on_task(MSG_NAK, guest_item(&bob, MSG_TASK));
    CHECK_OK(guest_do(&bob, &m, NULL));
    CHECK_EQ(work(&cid, 1), 0);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 0);
    pass(1100);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 1);
    hall_close(&hall);
}

TEST(lease_has_its_full_length_again_after_a_restart)
{
    const struct msg *t;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    pass(4900);
    hall_restart(&hall, false);
    guest_connect(&bob);
    pass(4900);
    CHECK_EQ(heartbeat(&bob, t), 0);
    hall_close(&hall);
}

TEST(worker_that_comes_back_gets_what_it_does_not_list)
{
    begin();
    submit(5000, 3);
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    guest_disconnect(&bob);
    guest_connect(&bob);
    CHECK_EQ(work(&bob, 1), 0); /* that one again, and it uses the credit */
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    CHECK_EQ(msg_u(bob.items[bob.count - 1], FIELD_TASK),
             msg_u(guest_item(&bob, MSG_TASK), FIELD_TASK));
    hall_close(&hall);
}

TEST(nothing_is_handed_to_whoever_left)
{
    begin();
    CHECK_EQ(work(&bob, 5), 0);
    guest_disconnect(&bob);
    submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(work(&cid, 5), 0);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 1);
    hall_close(&hall);
}

TEST(nothing_is_handed_out_while_draining)
{
    begin();
    CHECK_EQ(work(&bob, 5), 0);
    cycle_drain(hall.cycle);
    submit(5000, 3);
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 0);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_TURNED_AWAY), FIELD_OUTCOME),
             CHOIR_BUSY);
    hall_close(&hall);
}

TEST(work_without_the_right_is_denied)
{
    struct guest eve;

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_READ);
    CHECK_EQ(work(&eve, 5), CHOIR_DENIED);
    hall_close(&hall);
}

TEST(progress_and_result_reach_the_submitter)
{
    const struct msg *t, *is;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, msg_u(t, FIELD_TASK));
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_OUTCOME), 0);
    m = on_task(MSG_PROGRESS, t);
    CHECK_OK(guest_do(&bob, &m, "half"));
    hall_settle(&hall);
    is = guest_item(&ada, MSG_TASK_STATE);
    assert_non_null(is);
    CHECK_EQ(msg_u(is, FIELD_STATE), TASK_WORKING);
    CHECK(bytes_equal(msg_b(is, FIELD_PROGRESS), bytes_text("half")));
    m = on_task(MSG_COMPLETE, t);
    CHECK_OK(guest_do(&bob, &m, "all"));
    hall_settle(&hall);
    is = guest_item(&ada, MSG_TASK_STATE);
    assert_non_null(is);
    CHECK_EQ(msg_u(is, FIELD_STATE), TASK_COMPLETED);
    CHECK(bytes_equal(msg_b(is, FIELD_VALUE), bytes_text("all")));
    hall_close(&hall);
}

TEST(each_progress_is_told_at_a_revision_of_its_own)
{
    const struct msg *t, *is;
    uint64_t last = 0;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, msg_u(t, FIELD_TASK));
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_OUTCOME), 0);
    for (int i = 0; i < 3; i++) {
        m = on_task(MSG_PROGRESS, t);
        CHECK_OK(guest_do(&bob, &m, "more"));
        hall_settle(&hall);
        is = guest_item(&ada, MSG_TASK_STATE);
        assert_non_null(is);
        CHECK(msg_u(is, FIELD_REVISION) > last);
        last = msg_u(is, FIELD_REVISION);
    }
    hall_close(&hall);
}

static void at_most(uint64_t leases)
{
    hall.rig.config->leases_per_agent_max = leases;
    core_begin(hall.rig.core);
    CHECK_OK(core_rules(hall.rig.core, hall.rig.config));
    CHECK_OK(core_commit(hall.rig.core));
}

/* The numbers of one session for those of another. */
static void swap_sessions(struct actor *a, struct actor *b)
{
    struct actor keep = *a;

#define SWAP(field) a->field = b->field, b->field = keep.field
    SWAP(session);
    SWAP(next_seq);
    SWAP(answered);
    SWAP(asks);
    SWAP(prev_hash);
    SWAP(challenge);
#undef SWAP
}

TEST(worker_at_its_agents_limit_of_leases_gets_more_when_one_ends)
{
    struct msg m;

    begin();
    at_most(1);
    submit(5000, 3);
    submit(5000, 3);
    CHECK_EQ(work(&bob, 2), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    m = on_task(MSG_COMPLETE, guest_item(&bob, MSG_TASK));
    CHECK_OK(guest_do(&bob, &m, "done"));
    pass(100);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    hall_close(&hall);
}

TEST(workers_at_the_limit_get_work_when_another_session_gives_some_back)
{
    struct actor first;
    struct msg m;

    begin();
    at_most(1);
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    m = on_task(MSG_COMPLETE, guest_item(&bob, MSG_TASK));
    first = bob.actor;
    CHECK_OK(cycle_end(hall.cycle));
    actor_session(&hall.rig, &bob.actor); /* of the same agent */
    CHECK_OK(cycle_begin(hall.cycle));
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    swap_sessions(&bob.actor, &first);
    CHECK_OK(guest_do(&bob, &m, "done"));
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    swap_sessions(&bob.actor, &first);
    hall_close(&hall);
}

TEST(workers_at_the_limit_get_work_when_it_is_raised)
{
    begin();
    at_most(1);
    submit(5000, 3);
    submit(5000, 3);
    CHECK_EQ(work(&bob, 2), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    CHECK_OK(cycle_end(hall.cycle));
    at_most(2);
    CHECK_OK(cycle_begin(hall.cycle));
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    hall_close(&hall);
}

TEST(workers_whose_peers_are_full_hold_up_nobody_and_get_theirs_later)
{
    begin();
    CHECK_EQ(work(&bob, 10), 0);
    CHECK_EQ(work(&cid, 10), 0);
    bob.backlog = 1 << 30;
    for (int i = 0; i < 12; i++)
        submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 0);
    CHECK_EQ(guest_items(&cid, MSG_TASK), 10);
    bob.backlog = 0;
    pass(5);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    hall_close(&hall);
}

TEST(a_turn_hands_out_and_ends_a_bounded_number_of_leases)
{
    enum {
        WORKERS = 24,
        TASKS = 64 * WORKERS, /* as many as they take before they are told */
        CLAIMS_A_TURN = 1024,
        ENDS_A_TURN = 256,
        SLACK = 16
    };
    struct guest *many = calloc(WORKERS, sizeof *many);
    uint64_t before;
    char name[32];
    size_t got = 0, lost = 0;

    begin();
    for (int i = 0; i < TASKS; i++) {
        submit(60000, 1);
        ada.actor.answered = ada.actor.next_seq - 1;
        if (i % 64 == 63)
            hall_turn(&hall);
    }
    for (int i = 0; i < WORKERS; i++) {
        struct msg m;

        snprintf(name, sizeof name, "worker-%d", i);
        guest_join(&hall, &many[i], name, 127);
        msg_init(&m, MSG_WORK);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_QUEUE, "jobs");
        msg_set_u(&m, FIELD_CREDIT, 64);
        many[i].backlog = 1 << 30; /* until all of them have asked */
        guest_ask(&many[i], &m);
        hall_turn(&hall);
    }
    for (int i = 0; i < WORKERS; i++)
        many[i].backlog = 0;
    before = rig_state(&hall.rig)->size;
    hall_pass(&hall, 5);
    for (int i = 0; i < WORKERS; i++)
        got += guest_items(&many[i], MSG_TASK);
    CHECK_EQ(got, TASKS);
    CHECK(hall.turn_entries_max <= CLAIMS_A_TURN + SLACK);
    CHECK(rig_state(&hall.rig)->size - before >= TASKS);
    hall.turn_entries_max = 0;
    hall_pass(&hall, 61000);
    for (int i = 0; i < WORKERS; i++)
        lost += guest_items(&many[i], MSG_LEASE_LOST);
    CHECK_EQ(lost, TASKS);
    CHECK(hall.turn_entries_max <= ENDS_A_TURN + SLACK);
    hall_close(&hall);
    free(many);
}

/* Without waiting for the answer. */
static void offer(uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, credit);
    guest_ask(&bob, &m);
}

/* Its socket is full as soon as the ask is in; what comes is what comes then,
 * and what comes when it reads on. */
static void work_slowly(uint64_t credit, size_t first, size_t then)
{
    enum { FULL = 5 << 20 };

    offer(credit);
    bob.backlog = FULL;
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), first);
    bob.backlog = 0;
    pass(60);
    pass(60);
    pass(60);
    CHECK_EQ(guest_items(&bob, MSG_TASK), then);
}

TEST(tasks_come_as_fast_as_their_payloads_are_read)
{
    enum { TASKS = 150 };

    begin();
    for (int i = 0; i < TASKS; i++)
        submit(5000, 3);
    work_slowly(TASKS, 0, TASKS);
    guest_disconnect(&bob);
    guest_connect(&bob);
    work_slowly(TASKS, TASKS, 2 * TASKS); /* those once more */
    hall_close(&hall);
}

TEST(small_payloads_go_out_by_the_hundred_once_they_are_known_to_be_small)
{
    enum { TASKS = 150, FIRST = 64 };

    begin();
    for (int i = 0; i < 2 * TASKS; i++)
        submit(60000, 3);
    hall_settle(&hall);
    offer(TASKS);
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), FIRST);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), TASKS);
    CHECK_OK(work_more(&bob, TASKS, WORK_MORE));
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2 * TASKS);
    hall_close(&hall);
}

TEST(large_payloads_do_not_flood_a_worker_with_credit_for_many)
{
    enum { TASKS = 150, BYTES = 60000, SPACE_MAX = 6 << 20 };
    char *big = calloc(1, BYTES);

    begin();
    memset(big, 'x', BYTES - 1);
    for (int i = 0; i < TASKS; i++) {
        struct msg m;

        msg_init(&m, MSG_SUBMIT);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_QUEUE, "jobs");
        CHECK_OK(guest_do(&ada, &m, big));
    }
    hall_settle(&hall);
    work_slowly(TASKS, 0, TASKS);
    guest_disconnect(&bob);
    guest_connect(&bob);
    guest_forget(&bob);
    offer(TASKS);
    hall_turn(&hall);
    CHECK(guest_items(&bob, MSG_TASK) * BYTES < SPACE_MAX);
    pass(60);
    pass(60);
    pass(60);
    CHECK_EQ(guest_items(&bob, MSG_TASK), TASKS);
    free(big);
    hall_close(&hall);
}

TEST(more_credit_is_on_top_of_what_is_left_and_tells_nothing_again)
{
    begin();
    CHECK_OK(work(&bob, 3));
    submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    CHECK_OK(work_more(&bob, 2, WORK_MORE)); /* without saying what it has */
    for (int i = 0; i < 5; i++)
        submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1 + 2 + 2);
    CHECK_OK(work_more(&bob, 1, WORK_MORE)); /* all was used up */
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1 + 2 + 2 + 1);
    hall_close(&hall);
}

TEST(credit_that_is_more_than_all_there_can_be_is_all_there_can_be)
{
    begin();
    CHECK_OK(work(&bob, LIMIT_UINT_MAX_WIRE));
    CHECK_OK(work_more(&bob, LIMIT_UINT_MAX_WIRE, WORK_MORE));
    CHECK_OK(work_more(&bob, LIMIT_UINT_MAX_WIRE, WORK_MORE));
    submit(5000, 3);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 1);
    hall_close(&hall);
}

TEST(work_refuses_credit_of_another_kind)
{
    begin();
    CHECK_EQ(work_more(&bob, 1, WORK_MORE + 1), CHOIR_INVALID);
    hall_close(&hall);
}

TEST(a_session_asks_a_limited_number_of_queues_for_work)
{
    const struct msg *reply;
    char name[32];
    struct msg m;

    begin();
    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_u(&m, FIELD_CREDIT, 1);
    for (int i = 0; i <= LEASE_OFFERS_MAX; i++) {
        snprintf(name, sizeof name, "queue-%d", i);
        msg_set_text(&m, FIELD_QUEUE, name);
        reply = guest_reply(&bob, &m);
        CHECK_EQ(msg_u(reply, FIELD_OUTCOME),
                 i < LEASE_OFFERS_MAX ? 0 : CHOIR_OVER_LIMIT);
    }
    CHECK_EQ(msg_u(reply, FIELD_LIMIT), LEASE_OFFERS_MAX);
    hall_close(&hall);
}

static const struct msg *await(struct guest *g, uint64_t task)
{
    struct msg m;

    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, task);
    return guest_reply(g, &m);
}

TEST(awaits_over_the_limit_are_refused)
{
    const struct msg *r;
    uint64_t first, last;

    begin();
    hall.rig.config->awaits_per_agent_max = 1;
    submit(5000, 3);
    submit(5000, 3);
    hall_settle(&hall);
    last = core_size(hall.rig.core) - 1;
    first = last - 1;
    CHECK_EQ(msg_u(await(&ada, first), FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(await(&ada, first), FIELD_OUTCOME), 0);
    r = await(&ada, last);
    CHECK_EQ(msg_u(r, FIELD_OUTCOME), CHOIR_OVER_LIMIT);
    CHECK_EQ(msg_u(r, FIELD_LIMIT), 1);
    guest_disconnect(&ada); /* which ends them */
    guest_connect(&ada);
    CHECK_EQ(msg_u(await(&ada, last), FIELD_OUTCOME), 0);
    hall_close(&hall);
}

TEST(a_slow_awaiter_hears_what_is_true_once_it_reads_again)
{
    const struct msg *t, *is;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    CHECK_EQ(msg_u(await(&ada, msg_u(t, FIELD_TASK)), FIELD_OUTCOME), 0);
    ada.backlog = 32 << 20;
    m = on_task(MSG_PROGRESS, t);
    CHECK_OK(guest_do(&bob, &m, "half"));
    hall_pass(&hall, 30);
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 0);
    m = on_task(MSG_COMPLETE, t);
    CHECK_OK(guest_do(&bob, &m, "all"));
    hall_pass(&hall, 30);
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 0);
    ada.backlog = 0;
    hall_pass(&hall, 30);
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 1);
    is = guest_item(&ada, MSG_TASK_STATE);
    CHECK_EQ(msg_u(is, FIELD_STATE), TASK_COMPLETED);
    CHECK_EQ(cycle_next(hall.cycle) <= env_steady_us(hall.rig.env), 0);
    hall_close(&hall);
}

/* A grant of every space becomes these rights in it. */
static void regrant(const struct guest *g, unsigned rights)
{
    struct buf grants = {0};
    struct msg row, grant;

    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "*");
    msg_set_u(&row, FIELD_RIGHTS, rights);
    msg_encode(&row, &grants);
    msg_init(&grant, MSG_GRANT);
    msg_set_hash(&grant, FIELD_AGENT, &g->actor.id);
    msg_set_list(&grant, FIELD_GRANTS, 1, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &grant, NULL));
    hall_settle(&hall);
    buf_free(&grants);
}

TEST(an_awaiter_whose_grant_has_gone_hears_no_more)
{
    const struct msg *t;
    struct msg m;

    begin();
    submit(5000, 3);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    CHECK_EQ(msg_u(await(&cid, msg_u(t, FIELD_TASK)), FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(await(&ada, msg_u(t, FIELD_TASK)), FIELD_OUTCOME), 0);
    regrant(&cid, RIGHT_READ);
    m = on_task(MSG_COMPLETE, t);
    CHECK_OK(guest_do(&bob, &m, "secret"));
    hall_settle(&hall);
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 1);
    CHECK_EQ(guest_items(&cid, MSG_TASK_STATE), 0);
    CHECK_EQ(msg_u(await(&cid, msg_u(t, FIELD_TASK)), FIELD_OUTCOME),
             CHOIR_NOT_FOUND);
    hall_close(&hall);
}

CHECK_MAIN
