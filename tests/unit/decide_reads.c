/* broker/decide_reads: how much of everybody's time a completion may take. What
 * it decides is tests/unit/lease_reads.c's. */
#include "broker/decide.h"
#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

enum { KEYS = 300, DEPTH = 8 };

static struct rig rig;
static struct actor ada;
static struct told told;

/* It is decided alike by whoever reads the record. */
static void over(void)
{
    struct verify_result result;

    CHECK_OK(core_close_clean(rig.core));
    core_destroy(&rig.core);
    if (verify_record(rig.dir, rig.env, &result))
        fail_msg("%s", result.trouble);
    actor_free(&ada);
    buf_free(&told.effect_bytes);
    told = (struct told){0};
    rig_close(&rig);
}

static void put_keys(void)
{
    struct bytes value = bytes_text("v");
    char key[32];

    actor_begin(&ada);
    for (int i = 0; i < KEYS; i++) {
        struct msg m;

        snprintf(key, sizeof key, "xxxxxxxxxx%d", i);
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "team");
        msg_set_text(&m, FIELD_KEY, key);
        actor_add(&ada, &m, &value, 1);
    }
    CHECK_OK(actor_finish(&rig, &ada, &told));
}

/* Listed at the beginning of time, under each prefix of "xxxxxxxx". */
static void set_put(struct buf *set)
{
    struct buf rows = {0};
    struct msg m;

    for (int i = 0; i < DEPTH; i++) {
        msg_init(&m, MSG_COMPARE);
        msg_set_b(&m, FIELD_PREFIX, bytes_of("xxxxxxxx", (size_t)i));
        msg_set_u(&m, FIELD_REVISION, 0);
        msg_encode(&m, &rows);
    }
    msg_init(&m, MSG_READ_SET);
    msg_set_list(&m, FIELD_COMPARES, DEPTH, buf_bytes(&rows));
    msg_encode(&m, set);
    buf_free(&rows);
}

static void add_complete(uint64_t task, uint64_t token,
                         const struct bytes values[2])
{
    struct msg m;

    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_u(&m, FIELD_READS, 1);
    actor_add(&ada, &m, values, 2);
}

TEST(completions_of_one_bundle_look_at_a_bounded_number_of_keys)
{
    uint64_t task, token;
    struct buf set = {0};
    struct bytes values[2] = {bytes_text("result")};
    unsigned long stale;

    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "*", 127);
    put_keys();
    CHECK_OK(actor_submit(&rig, &ada, "jobs", &task));
    CHECK_OK(rig_claim(&rig, &ada, task, &token));
    set_put(&set);
    values[1] = buf_bytes(&set);
    actor_begin(&ada);
    for (int i = 0; i < 1000; i++)
        add_complete(task, token, values);
    CHECK_OK(actor_finish(&rig, &ada, &told));
    CHECK_EQ(told.turnaway, 0);
    CHECK_EQ(told.outcome, CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_FIELD),
                      bytes_text("reads_per_bundle")));
    CHECK_EQ(msg_u(&told.effect, FIELD_LIMIT), READS_BUNDLE_MAX);
    stale = core_counters(rig.core)->outcomes[CHOIR_STALE];
    CHECK_EQ(stale, READS_BUNDLE_MAX / (DEPTH * (KEYS + 1)) + 1);
    actor_begin(&ada); /* the next bundle has time of its own */
    add_complete(task, token, values);
    CHECK_OK(actor_finish(&rig, &ada, &told));
    CHECK_EQ(told.outcome, CHOIR_STALE);
    buf_free(&set);
    over();
}

/* Of another space's agents, as many as a completion looks at and more. */
static void put_hidden(void)
{
    struct bytes value = bytes_text("v");
    char key[32];

    for (int i = 0; i < 17 * 1000; i++) {
        struct msg m;

        if (i % 1000 == 0)
            actor_begin(&ada);
        snprintf(key, sizeof key, "hidden/%d", i);
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "team");
        msg_set_text(&m, FIELD_KEY, key);
        actor_add(&ada, &m, &value, 1);
        if (i % 1000 == 999)
            CHECK_OK(actor_finish(&rig, &ada, &told));
    }
}

TEST(what_may_not_be_read_is_passed_over_however_much_it_is)
{
    struct bytes values[2] = {bytes_text("result")};
    struct buf set = {0};
    struct actor eve = {0};
    uint64_t task, token;
    struct msg m;

    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "*", 127);
    actor_join(&rig, &eve, "eve", "*", RIGHT_WORK);
    put_hidden();
    CHECK_OK(actor_submit(&rig, &ada, "jobs", &task));
    CHECK_OK(rig_claim(&rig, &eve, task, &token));
    set_put(&set);
    values[1] = buf_bytes(&set);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_u(&m, FIELD_READS, 1);
    CHECK_OK(actor_do(&rig, &eve, &m, values, 2, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    buf_free(&set);
    actor_free(&eve);
    over();
}

CHECK_MAIN
