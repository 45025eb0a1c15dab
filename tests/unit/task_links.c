/* Needs, capabilities, times, parents, partial results, questions and queues
 * as an administrator sets them: through a whole broker, and again after a
 * restart from its snapshot or its record. */
#include "broker/decide.h"
#include "broker/lease.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"
#include "tests/support/records.h"

static struct hall hall;
static struct guest ada, bob, eve;
static struct buf needs, capabilities;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_WORK);
    guest_join(&hall, &eve, "eve", RIGHT_SUBMIT);
}

static bool same(const struct hash *a, const struct state *s)
{
    struct hash b = state_digest(s);

    return hash_equal(a, &b);
}

/* What is in memory is what a snapshot keeps, and what the record says. */
static void end(void)
{
    const struct state *s = core_state(hall.rig.core);
    struct state *again = state_new();
    struct records saved = {0};
    struct hash digest;
    uint64_t size;

    hall_settle(&hall);
    digest = state_digest(s);
    size = s->size;
    CHECK_OK(state_save(s, records_put, &saved));
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(state_load(again, buf_bytes(&saved.v[i])));
    CHECK(same(&digest, again));
    state_destroy(&again);
    records_free(&saved);
    hall_restart(&hall, false);
    s = core_state(hall.rig.core);
    CHECK_EQ(s->size, size);
    CHECK(same(&digest, s));
    hall_close(&hall);
    buf_free(&needs);
    buf_free(&capabilities);
    needs = capabilities = (struct buf){0};
}

static const struct task *task(uint64_t id)
{
    return task_by_id(core_state(hall.rig.core)->tasks, id);
}

static unsigned state_of(uint64_t id)
{
    return task(id) ? task(id)->state : 0;
}

/* The last DONE or DONE_ALL. */
static const struct msg *last_done(const struct guest *g)
{
    for (size_t i = g->count; i--;)
        if (g->items[i]->verb == MSG_DONE || g->items[i]->verb == MSG_DONE_ALL)
            return g->items[i];
    return NULL;
}

static int outcome(const struct guest *g)
{
    const struct msg *m = last_done(g);

    return m ? (int)msg_u(m, FIELD_OUTCOME) : -1;
}

/* Say it; its outcome. */
static int say(struct guest *g, struct msg *m, const char *value)
{
    CHECK_OK(guest_do(g, m, value));
    hall_settle(&hall);
    return outcome(g);
}

static struct msg submission(void)
{
    struct msg m;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    return m;
}

/* Submitted; its id, or 0 if it was refused. */
static uint64_t submit(struct guest *g, struct msg *m)
{
    if (say(g, m, "payload"))
        return 0;
    return msg_u(last_done(g), FIELD_REVISION);
}

static uint64_t plain(void)
{
    struct msg m = submission();

    return submit(&ada, &m);
}

static void list_add(struct buf *list, struct msg *m, enum field f,
                     struct msg item)
{
    uint64_t n = msg_has(m, f) ? m->v[f].u : 0;

    if (!n)
        buf_clear(list);
    msg_encode(&item, list);
    msg_set_list(m, f, n + 1, buf_bytes(list));
}

static void need(struct msg *m, uint64_t id)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_TASK, id);
    list_add(&needs, m, FIELD_NEEDS, item);
}

static void capability(struct msg *m, const char *name)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, name);
    list_add(&capabilities, m, FIELD_CAPABILITIES, item);
}

static struct msg work_ask(uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, credit);
    return m;
}

/* What came to the guest so far it has, as far as the broker is concerned. */
static struct msg work_ask_holding(const struct guest *g, uint64_t credit)
{
    static struct buf items;
    struct msg m = work_ask(credit), item;
    uint64_t n = 0;

    buf_clear(&items);
    for (size_t i = 0; i < g->count; i++) {
        if (g->items[i]->verb != MSG_TASK)
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, msg_u(g->items[i], FIELD_TASK));
        msg_set_u(&item, FIELD_TOKEN, msg_u(g->items[i], FIELD_TOKEN));
        msg_encode(&item, &items);
        n++;
    }
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&items));
    return m;
}

static int work(struct guest *g, uint64_t credit)
{
    struct msg m = work_ask_holding(g, credit);

    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

/* The next task the guest got; its id, or 0. */
static uint64_t got(struct guest *g, struct msg *lease)
{
    const struct msg *m = guest_item(g, MSG_TASK);

    if (m && lease)
        *lease = *m;
    return m ? msg_u(m, FIELD_TASK) : 0;
}

static struct msg under(enum message verb, const struct msg *lease)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_u(&m, FIELD_TASK, msg_u(lease, FIELD_TASK));
    msg_set_u(&m, FIELD_TOKEN, msg_u(lease, FIELD_TOKEN));
    return m;
}

static int complete(struct guest *g, const struct msg *lease)
{
    struct msg m = under(MSG_COMPLETE, lease);

    return say(g, &m, "result");
}

static int fail_it(struct guest *g, const struct msg *lease)
{
    struct msg m = under(MSG_FAIL, lease);

    msg_set_text(&m, FIELD_REASON, "no");
    return say(g, &m, NULL);
}

static int cancel(struct guest *g, uint64_t id)
{
    struct msg m;

    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, id);
    return say(g, &m, NULL);
}

static const char *reason_of(uint64_t id)
{
    static char text[128];
    const struct msg *reply;
    struct msg m, item;
    struct list at;

    msg_init(&m, MSG_TASK_GET);
    msg_set_u(&m, FIELD_TASK, id);
    reply = guest_reply(&ada, &m);
    at = msg_list(reply, FIELD_ITEMS);
    text[0] = 0;
    if (list_next(&at, &item))
        snprintf(text, sizeof text, "%.*s", (int)msg_b(&item, FIELD_REASON).n,
                 (const char *)msg_b(&item, FIELD_REASON).p);
    return text;
}

/* --- Needs --------------------------------------------------------------- */

TEST(task_waits_until_what_it_needs_is_completed)
{
    struct msg m = submission(), lease;
    uint64_t first, second, third;

    begin();
    first = plain();
    second = plain();
    need(&m, first);
    need(&m, second);
    third = submit(&ada, &m);
    CHECK(third);
    CHECK_EQ(work(&bob, 10), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    CHECK_EQ(got(&bob, &lease), first);
    CHECK_EQ(complete(&bob, &lease), 0);
    CHECK_EQ(guest_items(&bob, MSG_TASK), 2);
    CHECK_EQ(got(&bob, &lease), second);
    CHECK_EQ(complete(&bob, &lease), 0);
    CHECK_EQ(got(&bob, NULL), third);
    end();
}

TEST(need_that_is_met_already_holds_nothing_up)
{
    struct msg m = submission(), lease;
    uint64_t first, second;

    begin();
    first = plain();
    CHECK_EQ(work(&bob, 10), 0);
    CHECK_EQ(got(&bob, &lease), first);
    CHECK_EQ(complete(&bob, &lease), 0);
    need(&m, first);
    second = submit(&ada, &m);
    CHECK_EQ(got(&bob, NULL), second);
    end();
}

TEST(need_that_fails_makes_the_task_dead_and_so_down_the_chain)
{
    struct msg m = submission(), n = submission(), lease;
    uint64_t first, second, third;

    begin();
    first = plain();
    need(&m, first);
    second = submit(&ada, &m);
    need(&n, second);
    third = submit(&ada, &n);
    CHECK_EQ(work(&bob, 10), 0);
    CHECK_EQ(got(&bob, &lease), first);
    CHECK_EQ(fail_it(&bob, &lease), 0);
    CHECK_EQ(state_of(second), TASK_DEAD);
    CHECK_EQ(state_of(third), TASK_DEAD);
    CHECK(strstr(reason_of(second), "failed"));
    CHECK(strstr(reason_of(third), "dead"));
    CHECK_EQ(
        agent_by_number(core_state(hall.rig.core)->agents, ada.actor.number)
            ->open_tasks,
        0);
    end();
}

TEST(need_of_a_task_that_has_failed_already_is_told_at_once)
{
    struct msg m = submission();
    uint64_t first, second;

    begin();
    first = plain();
    CHECK_EQ(cancel(&ada, first), 0);
    need(&m, first);
    second = submit(&ada, &m);
    CHECK(second);
    CHECK_EQ(state_of(second), TASK_DEAD);
    end();
}

TEST(needs_and_deadlines_come_through_a_restart)
{
    struct msg m = submission(), n = submission(), lease;
    uint64_t first, second, third;

    begin();
    for (int clean = 0; clean < 2; clean++) {
        m = submission();
        first = plain();
        need(&m, first);
        second = submit(&ada, &m);
        n = submission();
        msg_set_u(&n, FIELD_DEADLINE, env_wall_us(hall.rig.env) + 60000000);
        capability(&n, "never");
        third = submit(&ada, &n);
        hall_restart(&hall, clean);
        guest_connect(&ada);
        guest_connect(&bob);
        CHECK_EQ(task(second)->links->open_needs, 1);
        CHECK_EQ(work(&bob, 10), 0);
        CHECK_EQ(got(&bob, &lease), first);
        CHECK_EQ(got(&bob, NULL), 0);
        CHECK_EQ(complete(&bob, &lease), 0);
        CHECK_EQ(got(&bob, &lease), second);
        CHECK_EQ(complete(&bob, &lease), 0);
        CHECK_EQ(state_of(third), TASK_QUEUED);
        hall_pass(&hall, 61000);
        CHECK_EQ(state_of(third), TASK_DEAD);
        guest_forget(&bob);
    }
    end();
}

TEST(needs_are_refused_when_absent_hidden_twice_or_too_many)
{
    struct msg m = submission();
    uint64_t first;

    begin();
    first = plain();
    need(&m, first + 1000);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_NOT_FOUND);
    m = submission();
    need(&m, first); /* there, but none of eve's business */
    CHECK_EQ(say(&eve, &m, "x"), CHOIR_NOT_FOUND);
    m = submission();
    need(&m, first);
    need(&m, first);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    m = submission();
    for (int i = 0; i <= LIMIT_NEEDS; i++)
        need(&m, first);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_OVER_LIMIT);
    end();
}

/* --- Capabilities -------------------------------------------------------- */

TEST(task_goes_only_to_who_has_all_it_takes)
{
    struct msg m = submission(), w;
    uint64_t hard, easy;

    begin();
    capability(&m, "gpu");
    capability(&m, "cuda");
    hard = submit(&ada, &m);
    easy = plain();
    CHECK_EQ(work(&bob, 10), 0);
    CHECK_EQ(got(&bob, NULL), easy); /* nothing blocks behind the other one */
    CHECK_EQ(got(&bob, NULL), 0);
    w = work_ask_holding(&bob, 10);
    capability(&w, "gpu");
    CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), 0);
    CHECK_EQ(got(&bob, NULL), 0);
    w = work_ask_holding(&bob, 10);
    capability(&w, "zsh");
    capability(&w, "gpu");
    capability(&w, "cuda");
    CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), 0);
    CHECK_EQ(got(&bob, NULL), hard);
    end();
}

TEST(order_is_kept_across_capabilities)
{
    struct msg m, w = work_ask(3);
    uint64_t first, second, third;

    begin();
    first = plain();
    m = submission();
    capability(&m, "gpu");
    second = submit(&ada, &m);
    m = submission();
    msg_set_u(&m, FIELD_PRIORITY, 5);
    third = submit(&ada, &m);
    capability(&w, "gpu");
    CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), 0);
    CHECK_EQ(got(&bob, NULL), third);
    CHECK_EQ(got(&bob, NULL), first);
    CHECK_EQ(got(&bob, NULL), second);
    end();
}

TEST(capabilities_are_refused_when_empty_twice_or_too_many)
{
    struct msg m = submission(), w = work_ask(1);
    char name[16];

    begin();
    capability(&m, "");
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    m = submission();
    capability(&m, "b");
    capability(&m, "a");
    capability(&m, "b");
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    m = submission();
    for (int i = 0; i <= LIMIT_CAPABILITIES; i++) {
        snprintf(name, sizeof name, "c%d", i);
        capability(&m, name);
    }
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_OVER_LIMIT);
    for (int i = 0; i <= LIMIT_CAPABILITIES; i++) {
        snprintf(name, sizeof name, "c%d", i);
        capability(&w, name);
    }
    CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), CHOIR_OVER_LIMIT);
    w = work_ask(1);
    capability(&w, "");
    CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), CHOIR_INVALID);
    end();
}

TEST(queue_takes_only_so_many_sets_of_capabilities)
{
    char name[16];
    struct msg m;

    begin();
    for (int i = 0; i <= 64; i++) {
        snprintf(name, sizeof name, "c%d", i);
        m = submission();
        capability(&m, name);
        CHECK_EQ(say(&ada, &m, "x"), i < 64 ? CHOIR_OK : CHOIR_OVER_LIMIT);
    }
    m = submission(); /* one that is there */
    capability(&m, "c63");
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_OK);
    end();
}

TEST(queue_has_only_so_many_kinds_of_workers)
{
    struct guest crowd[LEASE_CROWDS_MAX + 1] = {0};
    char name[16];

    begin();
    for (int i = 0; i <= LEASE_CROWDS_MAX; i++) {
        struct msg w = work_ask(1);

        snprintf(name, sizeof name, "c%d", i);
        guest_join(&hall, &crowd[i], name, RIGHT_WORK);
        capability(&w, name);
        CHECK_EQ(msg_u(guest_reply(&crowd[i], &w), FIELD_OUTCOME),
                 i < LEASE_CROWDS_MAX ? CHOIR_OK : CHOIR_OVER_LIMIT);
    }
    CHECK_EQ(work(&bob, 1), CHOIR_OVER_LIMIT); /* to have none is one, too */
    guest_disconnect(&crowd[0]);
    CHECK_EQ(work(&bob, 1), CHOIR_OK);
    end();
}

/* --- Times --------------------------------------------------------------- */

TEST(task_is_not_handed_out_before_its_time)
{
    struct msg m = submission();
    uint64_t id;

    begin();
    msg_set_u(&m, FIELD_NOT_BEFORE, env_wall_us(hall.rig.env) + 5000000);
    id = submit(&ada, &m);
    CHECK_EQ(work(&bob, 1), 0);
    hall_pass(&hall, 4900);
    CHECK_EQ(got(&bob, NULL), 0);
    hall_pass(&hall, 200);
    CHECK_EQ(got(&bob, NULL), id);
    end();
}

TEST(deadline_ends_what_waits_and_what_is_worked_on)
{
    struct msg m = submission(), lease;
    uint64_t held, waiting, at;

    begin();
    at = env_wall_us(hall.rig.env) + 5000000;
    msg_set_u(&m, FIELD_DEADLINE, at);
    held = submit(&ada, &m);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), held);
    waiting = submit(&ada, &m);
    hall_pass(&hall, 4900);
    CHECK_EQ(state_of(held), TASK_WORKING);
    CHECK_EQ(state_of(waiting), TASK_QUEUED);
    hall_pass(&hall, 200);
    CHECK_EQ(state_of(held), TASK_DEAD);
    CHECK_EQ(state_of(waiting), TASK_DEAD);
    CHECK_STR(reason_of(held), "the deadline has passed");
    CHECK(guest_item(&bob, MSG_LEASE_LOST) != NULL);
    CHECK_EQ(complete(&bob, &lease), CHOIR_FENCED);
    CHECK_EQ(
        agent_by_number(core_state(hall.rig.core)->agents, bob.actor.number)
            ->leases,
        0);
    end();
}

TEST(deadline_that_cannot_be_met_is_refused)
{
    struct msg m = submission();

    begin();
    msg_set_u(&m, FIELD_DEADLINE, env_wall_us(hall.rig.env) - 1000000);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    msg_set_u(&m, FIELD_DEADLINE, env_wall_us(hall.rig.env) + 1000000);
    msg_set_u(&m, FIELD_NOT_BEFORE, env_wall_us(hall.rig.env) + 2000000);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    end();
}

/* --- Parents ------------------------------------------------------------- */

TEST(cancelling_goes_down_the_tree)
{
    struct msg m = submission(), n = submission(), lease;
    uint64_t root, child, grandchild, other;

    begin();
    root = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, NULL), root);
    msg_set_u(&m, FIELD_PARENT, root);
    child = submit(&ada, &m);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), child);
    msg_set_u(&n, FIELD_PARENT, child);
    grandchild = submit(&ada, &n);
    other = plain();
    CHECK_EQ(cancel(&ada, root), 0);
    CHECK_EQ(state_of(child), TASK_CANCELLED);
    CHECK_EQ(state_of(grandchild), TASK_CANCELLED);
    CHECK_EQ(state_of(other), TASK_QUEUED);
    CHECK_EQ(guest_items(&bob, MSG_LEASE_LOST), 2);
    CHECK(strstr(reason_of(child), "was cancelled"));
    end();
}

TEST(parent_that_ends_otherwise_leaves_its_children_alone)
{
    struct msg m = submission(), lease;
    uint64_t root, child;

    begin();
    root = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), root);
    msg_set_u(&m, FIELD_PARENT, root);
    child = submit(&ada, &m);
    CHECK_EQ(fail_it(&bob, &lease), 0);
    CHECK_EQ(state_of(child), TASK_QUEUED);
    end();
}

/* All that was said is answered. */
TEST(many_children_are_cancelled_in_slices)
{
    struct msg m = submission();
    uint64_t root;

    begin();
    root = plain();
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK_OK(guest_do_times(&ada, &m, "x", 3000));
    hall_settle(&hall);
    hall.turn_entries_max = 0;
    CHECK_EQ(cancel(&ada, root), 0);
    CHECK_EQ(task(root)->links->child_count, 3000);
    for (const struct task_links *l = task(root)->links->children; l;
         l = l->next)
        CHECK_EQ(l->task->state, TASK_CANCELLED);
    CHECK(hall.turn_entries_max <= 1024 + 2);
    end();
}

TEST(half_cancelled_tree_goes_on_after_a_crash)
{
    struct msg m = submission();
    uint64_t root;
    unsigned open = 0;

    begin();
    root = plain();
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK_OK(guest_do_times(&ada, &m, "x", 2000));
    hall_settle(&hall);
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, root);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_turn(&hall);
    for (const struct task_links *l = task(root)->links->children; l;
         l = l->next)
        open += l->task->state == TASK_QUEUED;
    CHECK_EQ(open, 2000 - 1024);
    hall_restart(&hall, false);
    hall_settle(&hall);
    for (const struct task_links *l = task(root)->links->children; l;
         l = l->next)
        CHECK_EQ(l->task->state, TASK_CANCELLED);
    end();
}

TEST(child_is_refused_without_a_live_parent_of_ones_own)
{
    struct msg m = submission(), lease;
    uint64_t root;

    begin();
    root = plain();
    msg_set_u(&m, FIELD_PARENT, root + 1000);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_NOT_FOUND);
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK_EQ(say(&eve, &m, "x"), CHOIR_NOT_FOUND);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), root);
    msg_set_u(&m, FIELD_TOKEN, msg_u(&lease, FIELD_TOKEN));
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_FENCED); /* it is bob's */
    m = submission();
    msg_set_u(&m, FIELD_TOKEN, msg_u(&lease, FIELD_TOKEN));
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_INVALID);
    CHECK_EQ(complete(&bob, &lease), 0);
    m = submission();
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_TERMINAL);
    end();
}

TEST(queued_again_it_keeps_capabilities_and_parent)
{
    struct msg m = submission(), again;
    uint64_t root, child, id;

    begin();
    root = plain();
    msg_set_u(&m, FIELD_PARENT, root);
    msg_set_u(&m, FIELD_DEADLINE, env_wall_us(hall.rig.env) + 1000000);
    capability(&m, "gpu");
    child = submit(&ada, &m);
    hall_pass(&hall, 2000);
    CHECK_EQ(state_of(child), TASK_DEAD);
    msg_init(&again, MSG_REQUEUE);
    msg_set_u(&again, FIELD_TASK, child);
    msg_set_text(&again, FIELD_ID, "once");
    CHECK_EQ(say(&ada, &again, NULL), 0);
    id = msg_u(last_done(&ada), FIELD_REVISION);
    CHECK_EQ(task(id)->links->parent, root);
    CHECK(bytes_equal(task(id)->links->lane->capability, bytes_of("gpu", 4)));
    CHECK_EQ(task(id)->links->deadline, 0);
    CHECK_EQ(say(&ada, &again, NULL), CHOIR_REPEATED);
    end();
}

/* --- Partial results ----------------------------------------------------- */

static uint64_t await(struct guest *g, uint64_t id, int had)
{
    struct msg m;

    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, id);
    if (had >= 0)
        msg_set_u(&m, FIELD_COUNT, (uint64_t)had);
    return msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

static int partial(struct guest *g, const struct msg *lease, const char *value)
{
    struct msg m = under(MSG_PARTIAL, lease);

    return say(g, &m, value);
}

TEST(many_who_await_many_partials_are_told_over_several_turns)
{
    static struct guest crowd[8];
    struct msg lease, m;
    char name[16];
    uint64_t id;
    size_t told = 0;

    begin();
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    m = under(MSG_PARTIAL, &lease);
    CHECK_OK(guest_do_times(&bob, &m, "x", 1000));
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, id);
    msg_set_u(&m, FIELD_COUNT, 0);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "eve%d", i);
        crowd[i] = (struct guest){0};
        guest_join(&hall, &crowd[i], name, 127);
        hall_settle(&hall);
    }
    for (int i = 0; i < 8; i++)
        guest_ask(&crowd[i], &m);
    hall_turn(&hall);
    for (int i = 0; i < 8; i++)
        told += guest_items(&crowd[i], MSG_PARTIAL_TOLD);
    CHECK(told >= 4096 && told < 8000);
    hall_settle(&hall);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(guest_items(&crowd[i], MSG_PARTIAL_TOLD), 1000);
    end();
}

TEST(partials_are_numbered_and_follow_from_any_of_them)
{
    struct msg lease;
    const struct msg *m;
    uint64_t id;

    begin();
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(await(&ada, id, 0), 0);
    CHECK_EQ(partial(&bob, &lease, "one"), 0);
    m = guest_item(&ada, MSG_PARTIAL_TOLD);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_COUNT), 1);
    CHECK_EQ(msg_u(m, FIELD_TASK), id);
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text("one")));
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 0); /* no state changed */
    CHECK_EQ(partial(&bob, &lease, "two"), 0);
    CHECK_EQ(partial(&bob, &lease, "three"), 0);
    hall_restart(&hall, false);
    guest_connect(&ada);
    guest_connect(&bob);
    guest_forget(&ada);
    CHECK_EQ(await(&ada, id, 1), 0);
    m = guest_item(&ada, MSG_PARTIAL_TOLD);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_COUNT), 2);
    m = guest_item(&ada, MSG_PARTIAL_TOLD);
    assert_non_null(m);
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text("three")));
    CHECK_EQ(complete(&bob, &lease), 0);
    CHECK_EQ(guest_items(&ada, MSG_TASK_STATE), 1);
    guest_forget(&ada);
    CHECK_EQ(await(&ada, id, 0), 0); /* when all is over */
    CHECK_EQ(guest_items(&ada, MSG_PARTIAL_TOLD), 3);
    CHECK_EQ(ada.items[ada.count - 1]->verb, MSG_TASK_STATE);
    end();
}

TEST(partials_need_the_lease_and_end_at_their_limit)
{
    struct msg lease;
    uint64_t id;

    begin();
    hall.rig.config->partials_per_task_max = 2;
    core_begin(hall.rig.core);
    CHECK_OK(core_rules(hall.rig.core, hall.rig.config));
    CHECK_OK(core_commit(hall.rig.core));
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(partial(&ada, &lease, "x"), CHOIR_FENCED);
    CHECK_EQ(partial(&bob, &lease, "x"), 0);
    CHECK_EQ(partial(&bob, &lease, "x"), 0);
    CHECK_EQ(partial(&bob, &lease, "x"), CHOIR_OVER_LIMIT);
    end();
}

/* --- Questions ----------------------------------------------------------- */

static int ask(struct guest *g, const struct msg *lease)
{
    struct msg m = under(MSG_ASK_INPUT, lease);

    return say(g, &m, "which?");
}

static int input(struct guest *g, uint64_t id, uint64_t question)
{
    struct msg m;

    msg_init(&m, MSG_INPUT);
    msg_set_u(&m, FIELD_TASK, id);
    if (question)
        msg_set_u(&m, FIELD_REVISION, question);
    return say(g, &m, "this");
}

TEST(question_stops_the_clock_and_its_answer_goes_to_the_holder)
{
    struct msg lease;
    const struct msg *m;
    uint64_t id, question;

    begin();
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(await(&ada, id, -1), 0);
    CHECK_EQ(ask(&bob, &lease), 0);
    question = msg_u(last_done(&bob), FIELD_REVISION);
    CHECK_EQ(state_of(id), TASK_INPUT_REQUIRED);
    m = guest_item(&ada, MSG_TASK_STATE);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_STATE), TASK_INPUT_REQUIRED);
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text("which?")));
    hall_pass(&hall, 400000); /* far beyond the lease */
    CHECK_EQ(state_of(id), TASK_INPUT_REQUIRED);
    CHECK_EQ(input(&ada, id, question), 0);
    m = guest_item(&bob, MSG_INPUT_TOLD);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_TOKEN), msg_u(&lease, FIELD_TOKEN));
    CHECK(bytes_equal(msg_b(m, FIELD_VALUE), bytes_text("this")));
    CHECK_EQ(complete(&bob, &lease), 0);
    end();
}

TEST(answer_reaches_the_next_attempt_if_the_holder_is_gone)
{
    struct msg lease, m;
    const struct msg *t;
    uint64_t id;

    begin();
    m = submission();
    msg_set_u(&m, FIELD_LEASE_MS, 5000);
    msg_set_u(&m, FIELD_BACKOFF_MS, 0);
    id = submit(&ada, &m);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(ask(&bob, &lease), 0);
    guest_disconnect(&bob);
    CHECK_EQ(input(&ada, id, 0), 0);
    CHECK_EQ(state_of(id), TASK_WORKING);
    hall_pass(&hall, 6000);
    CHECK_EQ(state_of(id), TASK_QUEUED);
    guest_connect(&bob);
    CHECK_EQ(work(&bob, 1), 0);
    t = guest_item(&bob, MSG_TASK);
    assert_non_null(t);
    CHECK(bytes_equal(msg_b(t, FIELD_INPUT), bytes_text("this")));
    end();
}

TEST(answer_is_told_again_to_a_holder_who_comes_back)
{
    struct msg lease, w = work_ask(1), item;
    struct buf held = {0};
    uint64_t id;

    begin();
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(ask(&bob, &lease), 0);
    guest_disconnect(&bob);
    CHECK_EQ(input(&ada, id, 0), 0);
    for (int again = 0; again < 2; again++) {
        if (again) {
            hall_restart(&hall, again);
            guest_connect(&ada);
        }
        guest_connect(&bob);
        guest_forget(&bob);
        buf_clear(&held);
        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, id);
        msg_set_u(&item, FIELD_TOKEN, msg_u(&lease, FIELD_TOKEN));
        msg_encode(&item, &held);
        msg_set_list(&w, FIELD_ITEMS, 1, buf_bytes(&held));
        CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), 0);
        CHECK_EQ(guest_items(&bob, MSG_INPUT_TOLD), 1);
        CHECK_EQ(guest_items(&bob, MSG_TASK), 0);
        CHECK_EQ(msg_u(guest_reply(&bob, &w), FIELD_OUTCOME), 0);
        CHECK_EQ(guest_items(&bob, MSG_INPUT_TOLD), 1); /* once is enough */
    }
    buf_free(&held);
    end();
}

TEST(task_given_back_while_it_waits_comes_with_the_answer)
{
    struct msg lease, m;
    const struct msg *t;
    uint64_t id;

    begin();
    id = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(ask(&bob, &lease), 0);
    m = under(MSG_NAK, &lease);
    CHECK_EQ(say(&bob, &m, NULL), 0);
    CHECK_EQ(state_of(id), TASK_INPUT_REQUIRED);
    CHECK_EQ(complete(&bob, &lease), CHOIR_FENCED);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, NULL), 0);
    CHECK_EQ(input(&ada, id, 0), 0);
    t = guest_item(&bob, MSG_TASK);
    assert_non_null(t);
    CHECK_EQ(msg_u(t, FIELD_ATTEMPT), 2);
    CHECK(bytes_equal(msg_b(t, FIELD_INPUT), bytes_text("this")));
    end();
}

TEST(input_is_refused_where_none_is_asked_for)
{
    struct msg lease;
    uint64_t id;

    begin();
    id = plain();
    CHECK_EQ(input(&ada, id, 0), CHOIR_INVALID);
    CHECK_EQ(input(&ada, id + 1000, 0), CHOIR_NOT_FOUND);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), id);
    CHECK_EQ(ask(&ada, &lease), CHOIR_FENCED);
    CHECK_EQ(ask(&bob, &lease), 0);
    CHECK_EQ(ask(&bob, &lease), CHOIR_INVALID);
    CHECK_EQ(input(&eve, id, 0), CHOIR_NOT_FOUND);
    CHECK_EQ(input(&ada, id, 1), CHOIR_CONFLICT); /* another question */
    CHECK_EQ(complete(&bob, &lease), 0);          /* it need not wait */
    CHECK_EQ(input(&ada, id, 0), CHOIR_TERMINAL);
    end();
}

/* --- Queues -------------------------------------------------------------- */

enum { STAYS = 99 };

static int set(struct guest *g, unsigned kind, int limit)
{
    struct msg m;

    msg_init(&m, MSG_QUEUE_SET);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    if (kind != STAYS)
        msg_set_u(&m, FIELD_KIND, kind);
    if (limit >= 0)
        msg_set_u(&m, FIELD_LIMIT, (uint64_t)limit);
    return say(g, &m, NULL);
}

TEST(paused_queue_hands_out_nothing_until_it_is_opened)
{
    uint64_t id;

    begin();
    CHECK_EQ(set(&ada, QUEUE_PAUSED, -1), 0);
    CHECK_EQ(work(&bob, 1), 0);
    id = plain();
    CHECK_EQ(got(&bob, NULL), 0);
    hall_restart(&hall, false);
    guest_connect(&ada);
    guest_connect(&bob);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, NULL), 0);
    CHECK_EQ(set(&ada, QUEUE_OPEN, -1), 0);
    CHECK_EQ(got(&bob, NULL), id);
    end();
}

TEST(draining_queue_takes_nothing_and_hands_out_the_rest)
{
    struct msg m;
    uint64_t id, other;

    begin();
    id = plain();
    other = plain();
    CHECK_EQ(set(&ada, QUEUE_DRAINING, -1), 0);
    m = submission();
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_DRAINING);
    CHECK_EQ(cancel(&ada, other), 0);
    msg_init(&m, MSG_REQUEUE);
    msg_set_u(&m, FIELD_TASK, other);
    CHECK_EQ(say(&ada, &m, NULL), CHOIR_DRAINING);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, NULL), id);
    end();
}

TEST(queue_has_a_limit_of_its_own)
{
    struct msg m = submission();

    begin();
    CHECK_EQ(set(&ada, QUEUE_OPEN, 2), 0);
    CHECK(plain());
    CHECK(plain());
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_OVER_LIMIT);
    CHECK_EQ(set(&ada, QUEUE_PAUSED, -1), 0); /* the limit stays */
    CHECK_EQ(say(&ada, &m, "x"), CHOIR_OVER_LIMIT);
    CHECK_EQ(set(&ada, STAYS, 3), 0); /* and so does that it is paused */
    CHECK(plain());
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, NULL), 0);
    CHECK_EQ(set(&ada, QUEUE_OPEN, 0), 0);
    CHECK(got(&bob, NULL));
    CHECK(plain());
    end();
}

TEST(queue_is_set_by_administrators_alone)
{
    struct msg m;

    begin();
    CHECK_EQ(set(&bob, QUEUE_PAUSED, -1), CHOIR_DENIED);
    CHECK_EQ(set(&ada, 0, -1), CHOIR_INVALID);
    CHECK_EQ(set(&ada, QUEUE_DRAINING + 1, -1), CHOIR_INVALID);
    CHECK_EQ(set(&ada, STAYS, -1), CHOIR_INVALID);
    msg_init(&m, MSG_QUEUE_SET);
    msg_set_text(&m, FIELD_SPACE, "*");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_KIND, QUEUE_PAUSED);
    CHECK_EQ(say(&ada, &m, NULL), CHOIR_INVALID);
    end();
}

TEST(queues_are_listed_with_what_is_in_them)
{
    const struct msg *reply;
    struct msg m, item;
    struct list at;

    begin();
    plain();
    plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(set(&ada, QUEUE_PAUSED, 7), 0);
    m = submission();
    msg_set_text(&m, FIELD_QUEUE, "other");
    CHECK(submit(&ada, &m));
    msg_init(&m, MSG_QUEUE_LIST);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_u(&m, FIELD_COUNT, 1);
    reply = guest_reply(&ada, &m);
    at = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&at, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_QUEUE), bytes_text("jobs")));
    CHECK_EQ(msg_u(&item, FIELD_KIND), QUEUE_PAUSED);
    CHECK_EQ(msg_u(&item, FIELD_LIMIT), 7);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 2);
    CHECK_EQ(msg_u(&item, FIELD_SIZE), 1);
    CHECK(!list_next(&at, &item));
    CHECK(bytes_equal(msg_b(reply, FIELD_AFTER), bytes_text("jobs")));
    msg_set_text(&m, FIELD_AFTER, "jobs");
    reply = guest_reply(&ada, &m);
    at = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&at, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_QUEUE), bytes_text("other")));
    CHECK(!msg_has(reply, FIELD_AFTER));
    end();
}

/* --- What is shown, and what is forgotten -------------------------------- */

TEST(task_shows_what_hangs_on_it_to_who_may_see_it)
{
    unsigned kinds[8] = {0};
    const struct msg *reply;
    struct msg m, item, lease;
    struct list at;
    uint64_t first, root;

    begin();
    first = plain();
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), first);
    CHECK_EQ(complete(&bob, &lease), 0);
    m = submission();
    need(&m, first);
    msg_set_u(&m, FIELD_DEADLINE, env_wall_us(hall.rig.env) + 60000000);
    root = submit(&ada, &m);
    CHECK_EQ(work(&bob, 1), 0);
    CHECK_EQ(got(&bob, &lease), root);
    CHECK_EQ(partial(&bob, &lease, "p"), 0);
    CHECK_EQ(ask(&bob, &lease), 0);
    CHECK_EQ(input(&ada, root, 0), 0);
    m = submission();
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK(submit(&ada, &m));
    msg_init(&m, MSG_TASK_GET);
    msg_set_u(&m, FIELD_TASK, root);
    reply = guest_reply(&ada, &m);
    at = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&at, &item));
    CHECK(msg_u(&item, FIELD_DEADLINE) > 0);
    while (list_next(&at, &item))
        kinds[msg_u(&item, FIELD_KIND)]++;
    CHECK_EQ(kinds[2], 1); /* partial, need, child, question, input */
    CHECK_EQ(kinds[3], 1);
    CHECK_EQ(kinds[4], 1);
    CHECK_EQ(kinds[6], 1);
    CHECK_EQ(kinds[7], 1);
    end();
}

TEST(task_whose_end_is_not_passed_on_is_not_forgotten)
{
    struct msg m = submission();
    uint64_t root;

    begin();
    hall.rig.config->terminal_tasks_kept = 0;
    root = plain();
    msg_set_u(&m, FIELD_PARENT, root);
    CHECK_OK(guest_do_times(&ada, &m, "x", 3000));
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, root);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_turn(&hall);
    CHECK(task(root) != NULL);
    hall_settle(&hall);
    CHECK_NULL(task(root));
    CHECK_EQ(
        agent_by_number(core_state(hall.rig.core)->agents, ada.actor.number)
            ->open_tasks,
        0);
    end();
}

CHECK_MAIN
