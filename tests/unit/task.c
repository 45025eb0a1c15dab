/* broker/state/task: order of queues, and what the digest holds. */
#include "tests/check.h"

#include <errno.h>

#include "broker/state/item.h"
#include "broker/state/task.h"
#include "proto/refusal.h"
#include "tests/support/records.h"

static struct digest digest;

static struct tasks *fresh(void)
{
    struct tasks *t;

    digest = (struct digest){0};
    t = tasks_new(&digest);
    assert_non_null(t);
    return t;
}

static int add(struct tasks *t, const char *queue, uint64_t id,
               uint8_t priority)
{
    struct task as = {
        .id = id,
        .payload = id,
        .changed = id,
        .lease_ms = 1000,
        .backoff_ms = 10,
        .max_attempts = 5,
        .submitter = 2,
        .priority = priority,
        .state = TASK_QUEUED,
    };

    return task_add(t, text("s"), text(queue), &as);
}

static struct queue *queue_of(const struct tasks *t, const char *name)
{
    return queue_find(t, text("s"), text(name));
}

static uint64_t first(struct tasks *t, const char *name, uint64_t now)
{
    uint64_t wake = 0;
    const struct task *at = queue_first(queue_of(t, name), now, &wake);

    return at ? at->id : 0;
}

static void claim(struct tasks *t, uint64_t id, uint64_t token)
{
    struct task *task = task_by_id(t, id);

    task_claim(t, task, token, 3, 9, task->attempt + 1);
}

/* With what is in there now. */
static bool holds(struct tasks *t, const struct hash *wanted)
{
    tasks_hash(t);
    return digest_is(&digest, wanted);
}

TEST(submitted_task_is_found_in_its_queue)
{
    struct tasks *t = fresh();
    const struct task *task;

    CHECK_OK(add(t, "q", 10, 0));
    task = task_by_id(t, 10);
    CHECK(task && task->queue == queue_of(t, "q"));
    CHECK_STR(task->queue->space, "s");
    CHECK_STR(task->queue->name, "q");
    CHECK_EQ(queue_of(t, "q")->open, 1);
    CHECK_EQ(queue_of(t, "q")->queued, 1);
    CHECK_NULL(task_by_id(t, 11));
    CHECK_NULL(queue_of(t, "r"));
    CHECK_NULL(queue_find(t, text("t"), text("q")));
    tasks_destroy(&t);
}

TEST(task_is_refused_under_an_id_twice_and_beyond_the_limits)
{
    struct tasks *t = fresh();
    char longest[LIMIT_NAME_BYTES + 2] = {0};
    struct hash before;

    CHECK_OK(add(t, "q", 10, 0));
    tasks_hash(t);
    before = digest_value(&digest);
    CHECK_REFUSED(add(t, "q", 10, 0), -EEXIST);
    CHECK_REFUSED(add(t, "other", 10, 0), -EEXIST);
    CHECK_NULL(queue_of(t, "other")); /* made for it, gone with it */
    CHECK_REFUSED(add(t, "q", 0, 0), -EINVAL);
    CHECK_REFUSED(add(t, "q", (1ULL << 53), 0), -EINVAL);
    CHECK_REFUSED(add(t, "q", 11, LIMIT_PRIORITY_MAX + 1), -EINVAL);
    memset(longest, 'q', LIMIT_NAME_BYTES + 1);
    CHECK_REFUSED(add(t, longest, 11, 0), -EINVAL);
    CHECK_REFUSED(add(t, "", 11, 0), -EINVAL);
    CHECK_EQ(queue_of(t, "q")->open, 1);
    CHECK(holds(t, &before));
    CHECK_OK(add(t, longest + 1, 11, 0));
    tasks_destroy(&t);
}

TEST(oldest_of_the_highest_priority_goes_first)
{
    static const uint64_t wanted[] = {11, 13, 12, 10, 14};
    static const uint8_t priority[] = {0, 9, 5, 9, 0};
    struct tasks *t = fresh();

    for (uint64_t i = 0; i < 5; i++)
        CHECK_OK(add(t, "q", 10 + i, priority[i]));
    for (uint64_t i = 0; i < 5; i++) {
        CHECK_EQ(first(t, "q", 0), wanted[i]);
        claim(t, wanted[i], 100 + i);
    }
    CHECK_EQ(first(t, "q", 0), 0);
    CHECK_EQ(queue_of(t, "q")->queued, 0);
    CHECK_EQ(queue_of(t, "q")->open, 5);
    tasks_destroy(&t);
}

TEST(task_goes_back_to_its_place_in_the_queue)
{
    struct tasks *t = fresh();

    for (uint64_t id = 10; id < 20; id++)
        CHECK_OK(add(t, "q", id, 0));
    claim(t, 10, 100);
    claim(t, 11, 101);
    CHECK_EQ(first(t, "q", 0), 12);
    task_release(t, task_by_id(t, 11), 102, 0);
    CHECK_EQ(first(t, "q", 0), 11);
    task_release(t, task_by_id(t, 10), 103, 0);
    CHECK_EQ(first(t, "q", 0), 10);
    tasks_destroy(&t);
}

TEST(waiting_task_comes_when_its_time_has)
{
    struct tasks *t = fresh();
    uint64_t wake = 7;

    CHECK_OK(add(t, "q", 10, 0));
    CHECK_OK(add(t, "q", 11, 0));
    CHECK(queue_first(queue_of(t, "q"), 0, &wake) != NULL);
    CHECK_EQ(wake, 7);
    claim(t, 10, 100);
    claim(t, 11, 101);
    task_release(t, task_by_id(t, 10), 102, 5000);
    task_release(t, task_by_id(t, 11), 103, 3000);
    CHECK_NULL(queue_first(queue_of(t, "q"), 2999, &wake));
    CHECK_EQ(wake, 3000);
    CHECK_EQ(queue_first(queue_of(t, "q"), 3000, &wake)->id, 11);
    CHECK_EQ(wake, 5000);
    CHECK_EQ(first(t, "q", 5000), 10);
    CHECK_EQ(queue_of(t, "q")->queued, 2);
    tasks_destroy(&t);
}

TEST(waiting_task_can_be_cancelled)
{
    struct tasks *t = fresh();
    uint64_t wake = 7;

    CHECK_OK(add(t, "q", 10, 0));
    claim(t, 10, 100);
    task_release(t, task_by_id(t, 10), 102, 5000);
    task_finish(t, task_by_id(t, 10), 103, TASK_CANCELLED);
    CHECK_NULL(queue_first(queue_of(t, "q"), 9000, &wake));
    CHECK_EQ(wake, 7);
    CHECK_EQ(queue_of(t, "q")->open, 0);
    CHECK_EQ(queue_of(t, "q")->queued, 0);
    tasks_destroy(&t);
}

TEST(claim_and_release_tell_who_holds_the_lease)
{
    struct tasks *t = fresh();
    const struct task *task;

    CHECK_OK(add(t, "q", 10, 0));
    claim(t, 10, 100);
    task = task_by_id(t, 10);
    CHECK_EQ(task->state, TASK_WORKING);
    CHECK_EQ(task->token, 100);
    CHECK_EQ(task->holder, 3);
    CHECK_EQ(task->session, 9);
    CHECK_EQ(task->attempt, 1);
    CHECK_EQ(task->changed, 100);
    task_progress(t, task_by_id(t, 10), 101);
    CHECK_EQ(task->progress, 101);
    CHECK_EQ(task->changed, 100);
    task_release(t, task_by_id(t, 10), 102, 0);
    CHECK_EQ(task->state, TASK_QUEUED);
    CHECK_EQ(task->token, 0);
    CHECK_EQ(task->session, 0);
    CHECK_EQ(task->holder, 3); /* the last one */
    CHECK_EQ(task->progress, 101);
    CHECK_EQ(task->changed, 102);
    tasks_destroy(&t);
}

TEST(final_tasks_are_forgotten_in_the_order_they_ended)
{
    struct tasks *t = fresh();
    struct hash empty = digest_value(&digest);

    for (uint64_t id = 10; id < 14; id++)
        CHECK_OK(add(t, id < 12 ? "q" : "r", id, 0));
    claim(t, 10, 100);
    task_finish(t, task_by_id(t, 13), 101, TASK_CANCELLED);
    task_finish(t, task_by_id(t, 10), 102, TASK_COMPLETED);
    CHECK_EQ(tasks_oldest_final(t)->id, 13);
    CHECK_EQ(tasks_final_count(t), 2);
    CHECK_EQ(tasks_count(t), 4);
    tasks_forget(t, 101);
    CHECK_NULL(task_by_id(t, 13));
    CHECK_EQ(tasks_oldest_final(t)->id, 10);
    task_finish(t, task_by_id(t, 11), 103, TASK_FAILED);
    task_finish(t, task_by_id(t, 12), 104, TASK_DEAD);
    tasks_forget(t, 104);
    CHECK_NULL(tasks_oldest_final(t));
    CHECK_EQ(tasks_count(t), 0);
    CHECK_NULL(queue_of(t, "q"));
    CHECK_NULL(queues_next(t, NULL));
    CHECK(holds(t, &empty));
    CHECK_OK(add(t, "q", 105, 0));
    task_finish(t, task_by_id(t, 105), 106, TASK_CANCELLED);
    CHECK_EQ(tasks_oldest_final(t)->id, 105);
    tasks_destroy(&t);
}

TEST(tasks_and_queues_come_in_order)
{
    struct tasks *t = fresh();
    struct queue *q;

    CHECK_OK(add(t, "b", 300, 0));
    CHECK_OK(add(t, "a", 5, 0));
    CHECK_OK(add(t, "ab", 70, 0));
    CHECK_EQ(tasks_next(t, 0)->id, 5);
    CHECK_EQ(tasks_next(t, 5)->id, 70);
    CHECK_EQ(tasks_next(t, 71)->id, 300);
    CHECK_NULL(tasks_next(t, 300));
    CHECK_NULL(tasks_next(t, UINT64_MAX));
    q = queues_next(t, NULL);
    CHECK_STR(q->name, "a");
    q = queues_next(t, q);
    CHECK_STR(q->name, "ab");
    q = queues_next(t, q);
    CHECK_STR(q->name, "b");
    CHECK_NULL(queues_next(t, q));
    tasks_destroy(&t);
}

TEST(queue_names_are_not_confused_across_spaces)
{
    struct tasks *t = fresh();
    struct task as = {.id = 1, .submitter = 2, .state = TASK_QUEUED};

    CHECK_OK(task_add(t, text("a"), text("bc"), &as));
    as.id = 2;
    CHECK_OK(task_add(t, text("ab"), text("c"), &as));
    CHECK_EQ(queue_find(t, text("a"), text("bc"))->open, 1);
    CHECK_EQ(queue_find(t, text("ab"), text("c"))->open, 1);
    tasks_destroy(&t);
}

/* --- Against a model ----------------------------------------------------- */

enum { MODEL = 400, QUEUES = 3 };

static struct model_task {
    uint64_t id, not_before, token;
    uint8_t state, priority, queue;
} model[MODEL];
static size_t model_n;
static const char *const queue_names[QUEUES] = {"x", "y", "z"};

static bool better(const struct model_task *a, const struct model_task *b)
{
    return a->priority != b->priority ? a->priority > b->priority
                                      : a->id < b->id;
}

static void queue_agrees(struct tasks *t, uint8_t q, uint64_t now)
{
    const struct model_task *best = NULL;
    uint64_t wake = 0, wanted = 0, open = 0, queued = 0;
    const struct queue *queue = queue_of(t, queue_names[q]);

    for (size_t i = 0; i < model_n; i++) {
        const struct model_task *m = &model[i];

        if (m->queue != q || !m->state || task_state_final(m->state))
            continue;
        open++;
        queued += m->state == TASK_QUEUED;
        if (m->state != TASK_QUEUED)
            continue;
        if (m->not_before > now) {
            if (!wanted || m->not_before < wanted)
                wanted = m->not_before;
        } else if (!best || better(m, best)) {
            best = m;
        }
    }
    if (!queue) {
        CHECK_EQ(open, 0);
        return;
    }
    struct task *got = queue_first(queue_of(t, queue_names[q]), now, &wake);

    CHECK_EQ(got ? got->id : 0, best ? best->id : 0);
    CHECK_EQ(wake, wanted);
    CHECK_EQ(queue->open, open);
    CHECK_EQ(queue->queued, queued);
}

static void submit(struct tasks *t, uint64_t now)
{
    struct model_task *m = &model[model_n++];

    *m = (struct model_task){.id = now,
                             .state = TASK_QUEUED,
                             .priority = (uint8_t)roll(3),
                             .queue = (uint8_t)roll(QUEUES)};
    CHECK_OK(add(t, queue_names[m->queue], now, m->priority));
}

static void change(struct tasks *t, struct model_task *m, uint64_t now)
{
    struct task *task = task_by_id(t, m->id);
    uint64_t die = roll(10);

    if (!m->state || task_state_final(m->state))
        return;
    if (m->state == TASK_QUEUED && die < 6 && m->not_before <= now) {
        m->state = TASK_WORKING;
        m->not_before = 0;
        task_claim(t, task, now, 3, 9, task->attempt + 1);
    } else if (m->state == TASK_WORKING && die < 2) {
        task_progress(t, task, now);
    } else if (m->state == TASK_WORKING && die < 6) {
        m->state = TASK_QUEUED;
        m->not_before = roll(2) ? now + roll(300) : 0;
        task_release(t, task, now, m->not_before);
    } else if (die == 9) {
        m->state = TASK_COMPLETED;
        task_finish(t, task, now, TASK_COMPLETED);
    }
}

static void forget(struct tasks *t, uint64_t upto)
{
    for (size_t i = 0; i < model_n; i++) {
        const struct task *task = task_by_id(t, model[i].id);

        if (task && task_state_final(task->state) && task->changed <= upto)
            model[i].state = 0;
    }
    tasks_forget(t, upto);
    for (size_t i = 0; i < model_n; i++)
        CHECK_EQ(task_by_id(t, model[i].id) != NULL, model[i].state != 0);
}

static struct tasks *reloaded(struct tasks *t)
{
    struct records saved = {0}, twice = {0};
    struct tasks *again;
    struct hash wanted;

    CHECK_OK(tasks_save(t, records_put, &saved));
    wanted = records_digest(&saved);
    CHECK(holds(t, &wanted));
    tasks_destroy(&t);
    digest = (struct digest){0};
    again = tasks_new(&digest);
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(tasks_load(again, buf_bytes(&saved.v[i])));
    CHECK(holds(again, &wanted));
    CHECK_OK(tasks_save(again, records_put, &twice));
    CHECK_EQ(twice.count, saved.count);
    for (size_t i = 0; i < saved.count; i++)
        CHECK(bytes_equal(buf_bytes(&twice.v[i]), buf_bytes(&saved.v[i])));
    records_free(&saved);
    records_free(&twice);
    return again;
}

TEST(digest_of_more_changes_than_wait_is_that_of_the_tasks)
{
    enum { TASKS = 5000 };
    struct records saved = {0};
    struct tasks *t = fresh();
    struct hash wanted;

    for (uint64_t id = 1; id <= TASKS; id++)
        CHECK_OK(add(t, "q", id, 0));
    for (uint64_t id = 1; id <= TASKS; id++)
        claim(t, id, TASKS + id);
    for (uint64_t id = 1; id <= TASKS; id += 2)
        task_finish(t, task_by_id(t, id), 2 * TASKS + id, TASK_COMPLETED);
    tasks_forget(t, 2 * TASKS + TASKS / 2);
    CHECK_OK(tasks_save(t, records_put, &saved));
    wanted = records_digest(&saved);
    CHECK(holds(t, &wanted));
    records_free(&saved);
    tasks_destroy(&t);
}

TEST(random_changes_agree_with_a_model_and_their_digest)
{
    struct tasks *t = fresh();

    roll_start(3);
    for (uint64_t now = 1; now <= 6000; now++) {
        if (model_n < MODEL && roll(4) == 0)
            submit(t, now);
        else if (model_n)
            change(t, &model[roll(model_n)], now);
        if (roll(20) == 0)
            tasks_hash(t);
        for (uint8_t q = 0; q < QUEUES; q++)
            queue_agrees(t, q, now);
        if (now % 1000 == 0)
            forget(t, now - 500);
        if (now % 700 == 0)
            t = reloaded(t);
    }
    CHECK_EQ(model_n, MODEL);
    tasks_destroy(&t);
}

TEST(long_queues_stay_fast_when_every_task_was_put_back)
{
    enum { N = 50000 };
    struct tasks *t = fresh();
    uint64_t last = 0;

    for (uint64_t id = 1; id <= N; id++) {
        CHECK_OK(add(t, "q", id, 0));
        claim(t, id, N + id);
        task_release(t, task_by_id(t, id), 2 * N + id, 1 + id * 7919 % N);
    }
    for (uint64_t now = 1; now <= N; now += 100)
        CHECK(first(t, "q", now) != 0);
    for (uint64_t i = 1; i <= N; i++) {
        uint64_t id = first(t, "q", N);

        CHECK(id > last);
        last = id;
        claim(t, id, 4 * N + i);
    }
    tasks_destroy(&t);
}

/* --- What load refuses --------------------------------------------------- */

static void item_task(struct item *it, const struct task *t, const char *space,
                      const char *queue)
{
    item_begin(it, ITEM_TASK);
    item_u64(it, t->id);
    item_u64(it, t->id);
    item_u64(it, t->token);
    item_u64(it, t->session);
    item_u64(it, t->changed);
    item_u64(it, 0);
    item_u64(it, t->not_before);
    item_u64(it, 1000);
    item_u64(it, 10);
    item_u32(it, t->submitter);
    item_u32(it, t->holder);
    item_u32(it, t->attempt);
    item_u32(it, 5);
    item_u8(it, t->priority);
    item_u8(it, t->state);
    item_name(it, text(space));
    item_name(it, text(queue));
}

static int load_of(struct task as, const char *queue)
{
    struct tasks *t = fresh();
    struct item it;
    int r;

    item_task(&it, &as, "s", queue);
    r = tasks_load(t, item_record(&it));
    tasks_destroy(&t);
    return r;
}

TEST(load_refuses_what_save_cannot_have_written)
{
    struct task good = {.id = 9,
                        .changed = 12,
                        .token = 12,
                        .session = 4,
                        .holder = 3,
                        .submitter = 2,
                        .state = TASK_WORKING};
    struct task t;

    CHECK_OK(load_of(good, "q"));
    CHECK_REFUSED(load_of(good, ""), CHOIR_MALFORMED);
    t = good, t.id = 0;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.token = 0;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.holder = 0;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.submitter = 0;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.state = TASK_QUEUED; /* with a token */
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.state = 8;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.state = 0;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.not_before = 5;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
    t = good, t.priority = LIMIT_PRIORITY_MAX + 1;
    CHECK_REFUSED(load_of(t, "q"), CHOIR_MALFORMED);
}

TEST(load_refuses_a_record_cut_anywhere_or_twice)
{
    struct task as = {.id = 9, .submitter = 2, .state = TASK_QUEUED};
    struct tasks *t = fresh();
    struct item it;

    item_task(&it, &as, "s", "q");
    for (size_t n = it.n; n--;)
        CHECK_REFUSED(tasks_load(t, bytes_of(it.b, n)), CHOIR_MALFORMED);
    CHECK_OK(tasks_load(t, item_record(&it)));
    CHECK_REFUSED(tasks_load(t, item_record(&it)), CHOIR_MALFORMED);
    item_u8(&it, 0);
    CHECK_REFUSED(tasks_load(t, item_record(&it)), CHOIR_MALFORMED);
    tasks_destroy(&t);
}

TEST(load_refuses_final_tasks_out_of_order)
{
    struct task as = {
        .id = 9, .changed = 20, .submitter = 2, .state = TASK_DEAD};
    struct tasks *t = fresh();
    struct item it;

    item_task(&it, &as, "s", "q");
    CHECK_OK(tasks_load(t, item_record(&it)));
    as.id = 8;
    as.changed = 19;
    item_task(&it, &as, "s", "q");
    CHECK_REFUSED(tasks_load(t, item_record(&it)), CHOIR_MALFORMED);
    tasks_destroy(&t);
}

CHECK_MAIN
