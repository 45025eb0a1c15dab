/* What each kind of entry says it rests on. */
#include "broker/linking.h"

#include "tests/check.h"

static struct msg op, effect;
static struct buf lists[4];
static struct rests found[16];
static size_t count;

static void begin(enum message verb)
{
    msg_init(&op, verb);
    msg_init(&effect, MSG_EFFECT);
    for (size_t i = 0; i < 4; i++)
        buf_free(&lists[i]);
}

static void list_one(struct msg *to, enum field list, unsigned i,
                     const struct msg *element)
{
    msg_encode(element, &lists[i]);
    msg_set_list(to, list, msg_list(to, list).left + 1, buf_bytes(&lists[i]));
}

static bool keep(void *arg, const struct rests *r)
{
    (void)arg;
    found[count++] = *r;
    return count < 16;
}

static size_t walk(struct bytes reads)
{
    struct linked e = {
        .op = &op,
        .effect = &effect,
        .space = bytes_text("main"),
        .reads = reads,
    };

    count = 0;
    linking_walk(&e, keep, NULL);
    return count;
}

static bool rests(enum link_kind kind, uint64_t on)
{
    for (size_t i = 0; i < count; i++) {
        if (found[i].kind == kind && found[i].on == on)
            return true;
    }
    return false;
}

static struct msg compare(const char *key, const char *prefix,
                          uint64_t revision)
{
    struct msg m;

    msg_init(&m, MSG_COMPARE);
    if (key)
        msg_set_text(&m, FIELD_KEY, key);
    else
        msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_REVISION, revision);
    return m;
}

TEST(linking_a_plain_put_rests_on_nothing_and_one_with_a_base_on_that)
{
    begin(MSG_PUT);
    msg_set_u(&effect, FIELD_PREV, 5); /* it was there, but nobody looked */
    CHECK_EQ(walk((struct bytes){0}), 0);
    msg_set_u(&op, FIELD_IF_REVISION, 5);
    msg_set_u(&op, FIELD_TOKEN, 9);
    CHECK_EQ(walk((struct bytes){0}), 2);
    CHECK(rests(LINK_BASE, 5) && rests(LINK_LEASE, 9));
    msg_set_u(&op, FIELD_IF_REVISION, 0); /* only if absent */
    CHECK_EQ(walk((struct bytes){0}), 1);
}

TEST(linking_a_merged_value_has_two_parents)
{
    begin(MSG_PUT);
    msg_set_u(&op, FIELD_IF_REVISION, 5);
    msg_set_u(&effect, FIELD_PREV, 7);
    msg_set_u(&effect, FIELD_BASE, 5);
    msg_set_u(&effect, FIELD_RULE, RULE_MERGE);
    walk((struct bytes){0});
    CHECK(rests(LINK_BASE, 5) && rests(LINK_BASE, 7));
}

TEST(linking_what_is_added_rests_on_what_was_there)
{
    static const enum message verbs[] = {MSG_APPEND, MSG_INCR};

    for (size_t i = 0; i < 2; i++) {
        begin(verbs[i]);
        CHECK_EQ(walk((struct bytes){0}), 0);
        msg_set_u(&effect, FIELD_PREV, 7);
        CHECK_EQ(walk((struct bytes){0}), 1);
        CHECK(rests(LINK_BASE, 7));
    }
}

TEST(linking_a_transaction_rests_on_compares_and_bases)
{
    struct msg m = compare("a", NULL, 3), w, item;

    begin(MSG_TXN);
    msg_set_text(&op, FIELD_SPACE, "main");
    list_one(&op, FIELD_COMPARES, 0, &m);
    m = compare(NULL, "b/", 4);
    list_one(&op, FIELD_COMPARES, 0, &m);
    msg_init(&w, MSG_WRITE);
    msg_set_text(&w, FIELD_KEY, "c");
    msg_set_u(&w, FIELD_BASE, 5);
    list_one(&op, FIELD_WRITES, 1, &w);
    msg_init(&item, MSG_ITEM);
    msg_set_u(&item, FIELD_PREV, 6);
    msg_set_u(&item, FIELD_RULE, RULE_SET);
    list_one(&effect, FIELD_ITEMS, 2, &item);
    CHECK_EQ(walk((struct bytes){0}), 4);
    CHECK(rests(LINK_READ, 3) && rests(LINK_LISTED, 4));
    CHECK(rests(LINK_BASE, 5) && rests(LINK_BASE, 6));
}

TEST(linking_a_completion_rests_on_its_reads_as_said_and_as_seen)
{
    struct buf part = {0}, rows = {0};
    struct msg set, m = compare("a", NULL, 3), send;

    begin(MSG_COMPLETE);
    msg_set_u(&op, FIELD_TASK, 8);
    msg_set_u(&op, FIELD_TOKEN, 9);
    msg_encode(&m, &rows);
    m = compare(NULL, "b/", 4);
    msg_encode(&m, &rows);
    msg_init(&set, MSG_READ_SET);
    msg_set_list(&set, FIELD_COMPARES, 2, buf_bytes(&rows));
    msg_encode(&set, &part);
    m = compare("c", NULL, 5); /* what the broker saw beyond it */
    list_one(&effect, FIELD_COMPARES, 0, &m);
    msg_init(&send, MSG_SEND_ROW);
    msg_set_u(&send, FIELD_SLOT, 0);
    msg_set_u(&send, FIELD_REPLY_TO, 6);
    list_one(&op, FIELD_SENDS, 1, &send);
    CHECK_EQ(walk(buf_bytes(&part)), 5);
    CHECK(rests(LINK_READ, 3) && rests(LINK_LISTED, 4));
    CHECK(rests(LINK_READ, 5) && rests(LINK_REPLY, 6));
    CHECK(rests(LINK_LEASE, 9));
    CHECK_EQ(walk((struct bytes){0}), 3); /* the set is no longer there */
    buf_free(&part);
    buf_free(&rows);
}

TEST(linking_a_task_rests_on_what_it_needs_and_is_part_of)
{
    struct msg need;

    begin(MSG_SUBMIT);
    CHECK_EQ(walk((struct bytes){0}), 0);
    msg_init(&need, MSG_ITEM);
    msg_set_u(&need, FIELD_TASK, 3);
    list_one(&op, FIELD_NEEDS, 0, &need);
    msg_set_u(&need, FIELD_TASK, 4);
    list_one(&op, FIELD_NEEDS, 0, &need);
    msg_set_u(&op, FIELD_PARENT, 5);
    CHECK_EQ(walk((struct bytes){0}), 3);
    CHECK(rests(LINK_NEED, 3) && rests(LINK_NEED, 4));
    CHECK(rests(LINK_PARENT, 5));
}

TEST(linking_claims_requeues_inputs_and_replies_rest_on_one_entry)
{
    static const struct {
        enum message verb;
        enum field field;
        enum link_kind kind;
    } all[] = {
        {MSG_CLAIM, FIELD_TASK, LINK_CLAIM},
        {MSG_REQUEUE, FIELD_TASK, LINK_AGAIN},
        {MSG_INPUT, FIELD_TASK, LINK_INPUT},
        {MSG_SEND, FIELD_REPLY_TO, LINK_REPLY},
    };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        begin(all[i].verb);
        msg_set_u(&op, all[i].field, 7);
        CHECK(linking_concerns(all[i].verb));
        CHECK_EQ(walk((struct bytes){0}), 1);
        CHECK(rests(all[i].kind, 7));
    }
    CHECK_NOT(linking_concerns(MSG_GRANT));
}

TEST(linking_tells_no_more_when_no_more_is_wanted)
{
    struct msg need;

    begin(MSG_SUBMIT);
    msg_init(&need, MSG_ITEM);
    for (unsigned i = 1; i <= 20; i++) {
        msg_set_u(&need, FIELD_TASK, i);
        list_one(&op, FIELD_NEEDS, 0, &need);
    }
    CHECK_EQ(walk((struct bytes){0}), 16);
    begin(MSG_PUT);
}

CHECK_MAIN
