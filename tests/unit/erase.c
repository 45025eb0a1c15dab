/* What an erasure takes, who may say it, and what everybody is told then. */
#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;
static struct msg effect;
static uint8_t effect_bytes[LIMIT_HEAD_BYTES]; /* what it borrows */

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ | RIGHT_WRITE);
}

/* The outcome; effect: of the DONE, if it has one. */
static int said(struct guest *g, struct msg *m, const char *value)
{
    const struct msg *done;
    unsigned field;

    guest_forget(g);
    CHECK_OK(guest_do(g, m, value));
    hall_settle(&hall);
    msg_init(&effect, MSG_EFFECT);
    done = guest_item(g, MSG_DONE);
    if (!done)
        return guest_item(g, MSG_DONE_ALL) ? 0 : -1;
    if (msg_has(done, FIELD_EFFECT)) {
        struct bytes b = msg_b(done, FIELD_EFFECT);

        memcpy(effect_bytes, b.p, b.n);
        CHECK_OK(part_decode(MSG_EFFECT, bytes_of(effect_bytes, b.n), &effect,
                             &field));
    }
    return (int)msg_u(done, FIELD_OUTCOME);
}

static void on(struct msg *m, enum message verb, const char *key)
{
    msg_init(m, verb);
    msg_set_text(m, FIELD_SPACE, "main");
    if (key)
        msg_set_text(m, FIELD_KEY, key);
}

static uint64_t put(struct guest *g, const char *key, const char *value)
{
    struct msg m;

    on(&m, MSG_PUT, key);
    CHECK_OK(said(g, &m, value));
    return head();
}

/* msgpack 1 */
static uint64_t add_one(const char *key)
{
    struct msg m;

    on(&m, MSG_INCR, key);
    CHECK_OK(said(&ada, &m, "\x01"));
    return head();
}

static void put_many(const char *key, unsigned times)
{
    struct msg m;

    on(&m, MSG_PUT, key);
    CHECK_OK(guest_do_times(&bob, &m, "x", times));
}

static void add_many(const char *key, unsigned times)
{
    struct msg m;

    on(&m, MSG_INCR, key);
    CHECK_OK(guest_do_times(&ada, &m, "\x01", times));
}

static int erase(struct guest *g, const char *key, uint64_t revision)
{
    struct msg m;

    on(&m, MSG_ERASE, key);
    if (revision)
        msg_set_u(&m, FIELD_REVISION, revision);
    return said(g, &m, NULL);
}

static int erase_only(const char *key, uint64_t revision)
{
    struct msg m;

    on(&m, MSG_ERASE, key);
    msg_set_u(&m, FIELD_REVISION, revision);
    msg_set_u(&m, FIELD_DERIVED, 0);
    return said(&ada, &m, NULL);
}

static const struct msg *get_at(const char *key, uint64_t revision)
{
    struct msg m;

    guest_forget(&ada);
    on(&m, MSG_GET, key);
    if (revision)
        msg_set_u(&m, FIELD_REVISION, revision);
    return guest_reply(&ada, &m);
}

static int outcome_at(const char *key, uint64_t revision)
{
    return (int)msg_u(get_at(key, revision), FIELD_OUTCOME);
}

/* The item of the effect, from 0 on. */
static struct msg item_at(unsigned i)
{
    struct list items = msg_list(&effect, FIELD_ITEMS);
    struct msg item;

    for (unsigned n = 0; n <= i; n++)
        CHECK(list_next(&items, &item));
    return item;
}

/* --- One value ------------------------------------------------------------ */

TEST(an_erased_version_says_so_and_the_others_are_as_they_were)
{
    uint64_t first, second;
    const struct msg *reply;

    begin();
    first = put(&bob, "plan", "secret");
    second = put(&bob, "plan", "fine");
    CHECK_OK(erase(&ada, "plan", first));
    CHECK_EQ(msg_u(&effect, FIELD_ITEMS), 1);
    reply = get_at("plan", first);
    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), CHOIR_ERASED);
    CHECK_EQ(msg_u(reply, FIELD_REVISION), first);
    CHECK(!msg_has(reply, FIELD_VALUE));
    CHECK(bytes_equal(msg_b(reply, FIELD_AGENT), hash_bytes(&bob.actor.id)));
    CHECK_EQ(outcome_at("plan", second), 0);
    CHECK_EQ(outcome_at("plan", 0), 0);
    hall_close(&hall);
}

TEST(without_a_revision_the_newest_is_erased_until_there_is_a_newer_one)
{
    uint64_t at;

    begin();
    at = put(&bob, "plan", "secret");
    CHECK_OK(erase(&ada, "plan", 0));
    CHECK_EQ(outcome_at("plan", 0), CHOIR_ERASED);
    put(&bob, "plan", "fine");
    CHECK_EQ(outcome_at("plan", 0), 0);
    CHECK_EQ(outcome_at("plan", at), CHOIR_ERASED);
    hall_close(&hall);
}

TEST(revision_zero_is_no_version_and_not_the_newest)
{
    struct msg m;

    begin();
    put(&bob, "plan", "fine");
    on(&m, MSG_ERASE, "plan");
    msg_set_u(&m, FIELD_REVISION, 0);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome_at("plan", 0), 0);
    hall_close(&hall);
}

TEST(erasing_again_is_done_already)
{
    uint64_t at, count;

    begin();
    at = put(&bob, "plan", "secret");
    CHECK_OK(erase(&ada, "plan", at));
    count = erasure_count(rig_state(&hall.rig)->erasure);
    CHECK_OK(erase(&ada, "plan", at));
    CHECK_EQ(erasure_count(rig_state(&hall.rig)->erasure), count);
    hall_close(&hall);
}

TEST(only_an_administrator_of_the_key_erases_and_nobody_else_learns_of_it)
{
    uint64_t at;

    begin();
    at = put(&bob, "plan", "x");
    CHECK_EQ(erase(&bob, "plan", at), CHOIR_DENIED);
    CHECK_EQ(erase(&bob, "none", 1), CHOIR_DENIED);
    CHECK_EQ(outcome_at("plan", 0), 0);
    hall_close(&hall);
}

TEST(what_is_no_version_of_the_key_is_not_found)
{
    uint64_t at, other;
    struct msg m;

    begin();
    at = put(&bob, "plan", "x");
    other = put(&bob, "other", "x");
    CHECK_EQ(erase(&ada, "plan", other), CHOIR_NOT_FOUND);
    CHECK(bytes_equal(msg_b(&effect, FIELD_KEY), bytes_text("plan")));
    CHECK_EQ(erase(&ada, "none", at), CHOIR_NOT_FOUND);
    CHECK_EQ(erase(&ada, "plan", head() + 10), CHOIR_NOT_FOUND);
    on(&m, MSG_DELETE, "plan");
    CHECK_OK(said(&bob, &m, NULL));
    CHECK_EQ(erase(&ada, "plan", 0), CHOIR_NOT_FOUND);
    CHECK_OK(erase(&ada, "plan", at));
    hall_close(&hall);
}

TEST(erasure_that_names_nothing_or_too_much_is_invalid)
{
    struct msg m, item;
    struct buf items = {0};

    begin();
    put(&ada, "plan", "x");
    on(&m, MSG_ERASE, NULL);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    on(&m, MSG_ERASE, "plan");
    msg_set_text(&m, FIELD_SPACE, "*");
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_KEY, "plan");
    msg_encode(&item, &items);
    on(&m, MSG_ERASE, NULL);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    msg_set_text(&m, FIELD_KEY, "plan");
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    buf_free(&items);
    hall_close(&hall);
}

/* --- Many ----------------------------------------------------------------- */

static void named(struct buf *items, const char *key, uint64_t revision)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_KEY, key);
    msg_set_u(&item, FIELD_REVISION, revision);
    msg_encode(&item, items);
}

TEST(many_values_are_erased_by_one_operation_or_none)
{
    struct buf items = {0};
    uint64_t a, b;
    struct msg m;

    begin();
    a = put(&bob, "a", "x");
    b = put(&bob, "b", "y");
    named(&items, "a", a);
    named(&items, "b", a);
    on(&m, MSG_ERASE, NULL);
    msg_set_list(&m, FIELD_ITEMS, 2, buf_bytes(&items));
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome_at("a", 0), 0);
    buf_clear(&items);
    named(&items, "a", a);
    named(&items, "b", b);
    msg_set_list(&m, FIELD_ITEMS, 2, buf_bytes(&items));
    CHECK_EQ(said(&bob, &m, NULL), CHOIR_DENIED);
    CHECK_OK(said(&ada, &m, NULL));
    CHECK_EQ(msg_u(&effect, FIELD_ITEMS), 2);
    CHECK_EQ(outcome_at("a", 0), CHOIR_ERASED);
    CHECK_EQ(outcome_at("b", 0), CHOIR_ERASED);
    buf_free(&items);
    hall_close(&hall);
}

/* --- What came of it ------------------------------------------------------ */

TEST(what_was_made_from_it_is_named_and_goes_along)
{
    uint64_t at[4], fresh;
    struct msg item;

    begin();
    for (unsigned i = 0; i < 4; i++)
        at[i] = add_one("count");
    fresh = put(&ada, "count", "\x09");
    CHECK_OK(erase(&ada, "count", at[1]));
    CHECK_EQ(outcome_at("count", at[0]), 0);
    for (unsigned i = 1; i < 4; i++)
        CHECK_EQ(outcome_at("count", at[i]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", fresh), 0);
    CHECK_EQ(msg_u(&effect, FIELD_ITEMS), 6); /* each with what was added */
    item = item_at(0);
    CHECK(!msg_has(&item, FIELD_KEY));
    CHECK_EQ(msg_u(&item, FIELD_REVISION), at[1]);
    CHECK_EQ(msg_u(&item, FIELD_SLOT), SLOT_EFFECT);
    item = item_at(2);
    CHECK_EQ(msg_u(&item, FIELD_REVISION), at[2]);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("count")));
    hall_close(&hall);
}

TEST(unless_told_not_to)
{
    uint64_t at[3];

    begin();
    for (unsigned i = 0; i < 3; i++)
        at[i] = add_one("count");
    CHECK_OK(erase_only("count", at[1]));
    CHECK_EQ(outcome_at("count", at[1]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", at[2]), 0);
    hall_close(&hall);
}

TEST(nothing_is_made_from_what_was_erased)
{
    struct msg m;

    begin();
    add_one("count");
    CHECK_OK(erase(&ada, "count", 0));
    on(&m, MSG_INCR, "count");
    CHECK_EQ(said(&ada, &m, "\x01"), CHOIR_CONFLICT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_REASON),
                      bytes_text("what is there was erased")));
    on(&m, MSG_PUT, "count");
    msg_set_text(&m, FIELD_TYPE, "application/msgpack");
    CHECK_OK(said(&ada, &m, "\x05"));
    add_one("count");
    CHECK(bytes_equal(msg_b(get_at("count", 0), FIELD_VALUE),
                      bytes_text("\x06")));
    hall_close(&hall);
}

/* So many derived versions are not listed by one entry. */
TEST(what_is_too_much_for_an_entry_is_over_a_limit)
{
    uint64_t first;
    struct buf items = {0};
    struct msg m;

    begin();
    first = add_one("count");
    add_many("count", 900);
    CHECK_EQ(erase(&ada, "count", first), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD), bytes_text("erased_bytes")));
    CHECK_EQ(outcome_at("count", first), 0);
    CHECK_OK(erase_only("count", first));
    put_many("plan", 900);
    for (unsigned i = 0; i < 6; i++)
        named(&items, "plan", head() - 899);
    on(&m, MSG_ERASE, NULL);
    msg_set_list(&m, FIELD_ITEMS, 6, buf_bytes(&items));
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&effect, FIELD_FIELD), bytes_text("merge_bytes")));
    buf_free(&items);
    hall_close(&hall);
}

/* --- By rule -------------------------------------------------------------- */

/* All that it may from now on; prefix: or NULL. */
static void grant_only(struct guest *g, const char *space, const char *prefix,
                       unsigned rights)
{
    struct buf grants = {0};
    struct msg row, m;

    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "*");
    msg_set_u(&row, FIELD_RIGHTS, 0);
    msg_encode(&row, &grants);
    msg_set_text(&row, FIELD_SPACE, space);
    if (prefix)
        msg_set_text(&row, FIELD_PREFIX, prefix);
    msg_set_u(&row, FIELD_RIGHTS, rights);
    msg_encode(&row, &grants);
    msg_init(&m, MSG_GRANT);
    msg_set_hash(&m, FIELD_AGENT, &g->actor.id);
    msg_set_list(&m, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(said(&ada, &m, NULL));
    buf_free(&grants);
}

static int erase_history(struct guest *g, const char *key, uint64_t upto)
{
    struct msg m;

    on(&m, MSG_ERASE, key);
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    if (upto)
        msg_set_u(&m, FIELD_REVISION, upto);
    return said(g, &m, NULL);
}

static int erase_agent(struct guest *by, const struct guest *of,
                       const char *space, bool only)
{
    struct msg m;

    on(&m, MSG_ERASE, NULL);
    msg_set_text(&m, FIELD_SPACE, space);
    msg_set_u(&m, FIELD_KIND, ERASE_AGENT);
    msg_set_hash(&m, FIELD_AGENT, &of->actor.id);
    if (only)
        msg_set_u(&m, FIELD_DERIVED, 0);
    return said(by, &m, NULL);
}

static int erase_entry(struct guest *g, uint64_t revision)
{
    struct msg m;

    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_ENTRY);
    msg_set_u(&m, FIELD_REVISION, revision);
    return said(g, &m, NULL);
}

static const struct msg *erasure(struct guest *g, uint64_t order)
{
    struct msg m;

    guest_forget(g);
    msg_init(&m, MSG_ERASURE);
    msg_set_u(&m, FIELD_REVISION, order);
    return guest_reply(g, &m);
}

TEST(a_history_goes_as_a_whole_and_up_to_a_revision)
{
    uint64_t at[6], other;
    struct msg m;

    begin();
    for (unsigned i = 0; i < 3; i++)
        at[i] = put(&bob, "plan", "x");
    other = put(&bob, "other", "x");
    on(&m, MSG_DELETE, "plan");
    CHECK_OK(said(&bob, &m, NULL));
    at[3] = put(&bob, "plan", "x");
    CHECK_EQ(erase_history(&bob, "plan", 0), CHOIR_DENIED);
    CHECK_EQ(erase_history(&ada, "none", 0), CHOIR_NOT_FOUND);
    CHECK_OK(erase_history(&ada, "plan", at[1]));
    CHECK_EQ(outcome_at("plan", at[0]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("plan", at[1]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("plan", at[2]), 0);
    CHECK_OK(erase_history(&ada, "plan", 0));
    CHECK_EQ(outcome_at("plan", at[2]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("plan", at[3]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("other", other), 0);
    CHECK_EQ(erase_history(&ada, "plan", head() + 5), CHOIR_INVALID);
    hall_close(&hall);
}

/* More than one turn does, and more than one slice holds. */
TEST(a_long_history_goes_turn_by_turn_and_others_go_on_meanwhile)
{
    uint64_t order, first, last = 0, puts = 0;
    const struct msg *reply;

    begin();
    first = put(&bob, "plan", "x");
    put_many("plan", 998);
    last = put(&bob, "plan", "x");
    {
        struct msg m;

        guest_forget(&ada);
        on(&m, MSG_ERASE, "plan");
        msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
        CHECK_OK(guest_do(&ada, &m, NULL));
    }
    hall_turn(&hall);
    order = head();
    while (core_erases(hall.rig.core)) {
        guest_forget(&bob);
        CHECK_OK(guest_put(&bob, "more", "y"));
        hall_turn(&hall);
        puts++;
        CHECK(hall.turn_entries_max < 20);
    }
    CHECK(puts > 4);
    hall_settle(&hall);
    CHECK_EQ(outcome_at("plan", first), CHOIR_ERASED);
    CHECK_EQ(outcome_at("plan", last), CHOIR_ERASED);
    CHECK_EQ(outcome_at("more", 0), 0);
    reply = erasure(&ada, order);
    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(reply, FIELD_COUNT), 1000);
    CHECK(msg_u(reply, FIELD_REVISION) > order);
    CHECK_EQ(msg_u(erasure(&bob, order), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    CHECK_EQ(msg_u(erasure(&ada, order + 1), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(an_erasure_goes_on_after_a_restart)
{
    uint64_t first, last = 0;
    struct msg m;

    begin();
    first = put(&bob, "plan", "x");
    put_many("plan", 998);
    last = put(&bob, "plan", "x");
    on(&m, MSG_ERASE, "plan");
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    guest_forget(&ada);
    CHECK_OK(guest_do(&ada, &m, NULL));
    for (unsigned i = 0; i < 3; i++)
        hall_turn(&hall);
    CHECK(core_erases(hall.rig.core));
    hall_restart(&hall, false);
    guest_connect(&ada);
    hall_settle(&hall);
    CHECK(!core_erases(hall.rig.core));
    CHECK_EQ(erasure_count(rig_state(&hall.rig)->erasure), 1000);
    CHECK_EQ(outcome_at("plan", first), CHOIR_ERASED);
    CHECK_EQ(outcome_at("plan", last), CHOIR_ERASED);
    hall_close(&hall);
}

TEST(what_was_merged_from_a_history_goes_along)
{
    uint64_t at[5], order;
    const struct msg *reply;
    struct msg m;

    begin();
    for (unsigned i = 0; i < 4; i++)
        at[i] = add_one("count");
    put(&ada, "count", "\x09");
    at[4] = head();
    CHECK_OK(erase_history(&ada, "count", at[1]));
    for (order = at[4] + 1;
         !erasing_find(rig_state(&hall.rig)->erasings, order);)
        order++;
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(outcome_at("count", at[i]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", at[4]), 0);
    reply = erasure(&ada, order);
    CHECK_EQ(msg_u(reply, FIELD_ITEMS), 2);
    for (unsigned i = 0; i < 3; i++)
        at[i] = add_one("other");
    on(&m, MSG_ERASE, "other");
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    msg_set_u(&m, FIELD_REVISION, at[0]);
    msg_set_u(&m, FIELD_DERIVED, 0);
    CHECK_OK(said(&ada, &m, NULL));
    CHECK_EQ(outcome_at("other", at[0]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("other", at[1]), 0);
    hall_close(&hall);
}

TEST(what_was_merged_from_an_entry_goes_along)
{
    uint64_t at[4];
    struct msg m;

    begin();
    for (unsigned i = 0; i < 4; i++)
        at[i] = add_one("count");
    CHECK_OK(erase_entry(&ada, at[2]));
    CHECK_EQ(outcome_at("count", at[1]), 0);
    CHECK_EQ(outcome_at("count", at[2]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", at[3]), CHOIR_ERASED);
    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_ENTRY);
    msg_set_u(&m, FIELD_REVISION, at[0]);
    msg_set_u(&m, FIELD_DERIVED, 0);
    CHECK_OK(said(&ada, &m, NULL));
    CHECK_EQ(outcome_at("count", at[0]), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", at[1]), 0);
    hall_close(&hall);
}

/* The numbers 1 at "a" and "b", as one entry. */
static uint64_t put_both(struct guest *g)
{
    struct bytes values[] = {bytes_text("\x01"), bytes_text("\x01")};
    struct buf writes = {0};
    struct msg m, row;

    for (unsigned i = 0; i < 2; i++) {
        msg_init(&row, MSG_WRITE);
        msg_set_text(&row, FIELD_KEY, i ? "b" : "a");
        msg_set_text(&row, FIELD_TYPE, "application/msgpack");
        msg_set_u(&row, FIELD_SLOT, i);
        msg_encode(&row, &writes);
    }
    on(&m, MSG_TXN, NULL);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do_n(g, &m, values, 2));
    hall_settle(&hall);
    buf_free(&writes);
    return head();
}

TEST(all_keys_of_a_merged_transaction_are_named)
{
    uint64_t first, merged, order;
    struct list items;
    struct msg m, item;

    begin();
    on(&m, MSG_POLICY, NULL);
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_RULE, RULE_COUNTER);
    CHECK_OK(said(&ada, &m, NULL));
    first = put_both(&bob);
    merged = put_both(&ada);
    CHECK_OK(erase_entry(&ada, first));
    for (order = merged + 1;
         !erasing_find(rig_state(&hall.rig)->erasings, order);)
        order++;
    items = msg_list(erasure(&ada, order), FIELD_ITEMS);
    for (const char *key = "a"; *key <= 'b'; key = *key == 'a' ? "b" : "c") {
        CHECK(list_next(&items, &item));
        CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_of(key, 1)));
        CHECK_EQ(msg_u(&item, FIELD_REVISION), merged);
    }
    CHECK(!list_next(&items, &item));
    hall_close(&hall);
}

/* It stands in one entry with a value that goes. */
TEST(nothing_comes_of_what_an_agent_deleted)
{
    struct bytes value = bytes_text("x");
    struct buf writes = {0};
    struct msg m, row;
    uint64_t fresh;

    begin();
    add_one("count");
    msg_init(&row, MSG_WRITE);
    msg_set_text(&row, FIELD_KEY, "a");
    msg_set_u(&row, FIELD_SLOT, 0);
    msg_encode(&row, &writes);
    msg_init(&row, MSG_WRITE);
    msg_set_text(&row, FIELD_KEY, "count");
    msg_encode(&row, &writes);
    on(&m, MSG_TXN, NULL);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do_n(&bob, &m, &value, 1));
    hall_settle(&hall);
    fresh = add_one("count");
    CHECK_OK(erase_agent(&ada, &bob, "main", false));
    CHECK_EQ(outcome_at("a", 0), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", fresh), 0);
    buf_free(&writes);
    hall_close(&hall);
}

TEST(nothing_comes_of_a_deletion)
{
    uint64_t deleted, fresh;
    struct msg m;

    begin();
    add_one("count");
    on(&m, MSG_DELETE, "count");
    CHECK_OK(said(&ada, &m, NULL));
    deleted = head();
    fresh = add_one("count");
    CHECK_OK(erase_history(&ada, "count", deleted));
    CHECK_EQ(outcome_at("count", fresh), 0);
    hall_close(&hall);
}

/* Until all is hidden someone may still merge from it. */
static void check_what_comes_meanwhile(void)
{
    unsigned made = 0;
    struct msg m;

    hall_turn(&hall);
    while (core_erases(hall.rig.core)) {
        guest_forget(&ada);
        on(&m, MSG_INCR, "count");
        CHECK_OK(guest_do(&ada, &m, "\x01"));
        hall_turn(&hall);
        made++;
    }
    CHECK(made > 0);
    hall_settle(&hall);
    guest_forget(&ada);
    CHECK_EQ(outcome_at("count", 0), CHOIR_ERASED);
    CHECK_EQ(said(&ada, &m, "\x01"), CHOIR_CONFLICT);
}

TEST(what_is_merged_while_a_history_goes_goes_along)
{
    struct msg m;

    begin();
    add_many("count", 400);
    on(&m, MSG_ERASE, "count");
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    guest_forget(&ada);
    CHECK_OK(guest_do(&ada, &m, NULL));
    check_what_comes_meanwhile();
    hall_close(&hall);
}

/* Both are said in one cycle. */
TEST(a_key_whose_time_is_up_loses_its_history)
{
    struct msg m;
    uint64_t at;

    begin();
    on(&m, MSG_PUT, "brief");
    msg_set_u(&m, FIELD_TTL_MS, 1000);
    CHECK_OK(said(&ada, &m, "x"));
    at = head();
    on(&m, MSG_ERASE, "brief");
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    guest_forget(&ada);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_pass(&hall, 2000);
    CHECK(!core_erases(hall.rig.core));
    CHECK_EQ(outcome_at("brief", 0), CHOIR_NOT_FOUND);
    CHECK_EQ(outcome_at("brief", at), CHOIR_ERASED);
    hall_close(&hall);
}

TEST(what_is_merged_while_an_agents_payloads_go_goes_along)
{
    struct guest eve;
    struct msg m;

    begin();
    guest_join(&hall, &eve, "eve", 127);
    put_many("more", 4000);
    on(&m, MSG_INCR, "count");
    CHECK_OK(said(&eve, &m, "\x01"));
    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_AGENT);
    msg_set_hash(&m, FIELD_AGENT, &eve.actor.id);
    guest_forget(&ada);
    CHECK_OK(guest_do(&ada, &m, NULL));
    check_what_comes_meanwhile();
    hall_close(&hall);
}

TEST(all_that_an_agent_wrote_goes_and_what_was_made_from_it)
{
    uint64_t mine, theirs, made, sent, task, order;
    const struct entry *e;
    struct bytes value;
    struct list items;
    struct guest eve;
    struct msg m, item;
    const struct msg *reply;

    begin();
    guest_join(&hall, &eve, "eve", 127);
    mine = put(&ada, "mine", "x");
    theirs = put(&eve, "theirs", "x");
    on(&m, MSG_INCR, "count");
    CHECK_OK(said(&eve, &m, "\x01"));
    made = add_one("count"); /* ada's, from eve's */
    on(&m, MSG_SEND, NULL);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    CHECK_OK(said(&eve, &m, "hello"));
    sent = head();
    on(&m, MSG_SUBMIT, NULL);
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(said(&eve, &m, "payload"));
    task = head();
    CHECK_EQ(erase_agent(&bob, &eve, "main", false), CHOIR_DENIED);
    CHECK_OK(erase_agent(&ada, &eve, "elsewhere", false));
    CHECK_EQ(outcome_at("theirs", theirs), 0);
    CHECK_OK(erase_agent(&ada, &eve, "*", false));
    order = 0;
    for (uint64_t i = theirs; i <= head(); i++) {
        if (erasing_find(rig_state(&hall.rig)->erasings, i))
            order = i;
    }
    CHECK_EQ(outcome_at("mine", mine), 0);
    CHECK_EQ(outcome_at("theirs", theirs), CHOIR_ERASED);
    CHECK_EQ(outcome_at("count", made), CHOIR_ERASED);
    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), sent, &e));
    CHECK_REFUSED(entry_slot(e, 0, &value), CHOIR_ERASED);
    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), task, &e));
    CHECK_REFUSED(entry_slot(e, 0, &value), CHOIR_ERASED);
    reply = erasure(&ada, order);
    CHECK_EQ(msg_u(reply, FIELD_ITEMS), 1);
    items = msg_list(reply, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("count")));
    CHECK_EQ(msg_u(&item, FIELD_REVISION), made);
    hall_close(&hall);
}

TEST(an_agents_payloads_alone)
{
    uint64_t made;
    struct msg m;

    begin();
    on(&m, MSG_INCR, "count");
    CHECK_OK(said(&bob, &m, "\x01"));
    made = add_one("count");
    CHECK_OK(erase_agent(&ada, &bob, "main", true));
    CHECK_EQ(outcome_at("count", made), 0);
    CHECK_EQ(outcome_at("count", made - 1), CHOIR_ERASED);
    hall_close(&hall);
}

static uint64_t put_in(struct guest *g, const char *space, const char *value)
{
    struct msg m;

    on(&m, MSG_PUT, "plan");
    msg_set_text(&m, FIELD_SPACE, space);
    CHECK_OK(said(g, &m, value));
    return head();
}

static bool is_erased(uint64_t revision)
{
    const struct entry *e;
    struct bytes value;

    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), revision, &e));
    return entry_slot(e, 0, &value) == CHOIR_ERASED;
}

static int erase_entry_in(struct guest *g, const char *space, uint64_t revision)
{
    struct msg m;

    on(&m, MSG_ERASE, NULL);
    msg_set_text(&m, FIELD_SPACE, space);
    msg_set_u(&m, FIELD_KIND, ERASE_ENTRY);
    msg_set_u(&m, FIELD_REVISION, revision);
    return said(g, &m, NULL);
}

/* What names a task only is of the task's space, refused or not. */
TEST(an_administrator_of_one_space_does_not_reach_into_another)
{
    uint64_t here, there, task, token, progress, refused;
    struct guest eve;
    struct msg m;

    begin();
    guest_join(&hall, &eve, "eve", 127);
    grant_only(&bob, "side", NULL, RIGHT_ADMIN);
    there = put_in(&eve, "main", "x");
    here = put_in(&eve, "side", "x");
    on(&m, MSG_SUBMIT, NULL);
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(said(&eve, &m, "payload"));
    task = head();
    CHECK_OK(rig_claim(&hall.rig, &eve.actor, task, &token));
    msg_init(&m, MSG_PROGRESS);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    CHECK_OK(said(&eve, &m, "halfway"));
    progress = head();
    msg_set_u(&m, FIELD_TOKEN, token + 1);
    CHECK(said(&eve, &m, "halfway") > 0);
    refused = head();
    CHECK_EQ(erase_agent(&bob, &eve, "main", false), CHOIR_DENIED);
    CHECK_EQ(erase_agent(&bob, &eve, "*", false), CHOIR_DENIED);
    CHECK_EQ(erase_entry_in(&bob, "*", there), CHOIR_DENIED);
    CHECK_OK(erase_entry_in(&bob, "side", there));
    CHECK_OK(erase_entry_in(&bob, "side", task));
    CHECK_OK(erase_entry_in(&bob, "side", progress));
    CHECK_OK(erase_agent(&bob, &eve, "side", false));
    CHECK(is_erased(here));
    CHECK(!is_erased(there) && !is_erased(task) && !is_erased(progress) &&
          !is_erased(refused));
    CHECK_OK(erase_agent(&ada, &eve, "main", false));
    CHECK(is_erased(there) && is_erased(task) && is_erased(progress) &&
          is_erased(refused));
    hall_close(&hall);
}

TEST(rules_that_cannot_be_are_refused)
{
    struct msg m;

    begin();
    put(&ada, "plan", "x");
    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    msg_set_u(&m, FIELD_KIND, ERASE_AGENT);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    msg_set_text(&m, FIELD_KEY, "plan");
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_ENTRY);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    msg_set_u(&m, FIELD_KIND, 4);
    CHECK_EQ(said(&ada, &m, NULL), CHOIR_INVALID);
    on(&m, MSG_ERASE, NULL);
    msg_set_u(&m, FIELD_KIND, ERASE_AGENT);
    {
        struct hash nobody = {{1}};

        msg_set_hash(&m, FIELD_AGENT, &nobody);
        CHECK_EQ(said(&ada, &m, NULL), CHOIR_NOT_FOUND);
    }
    CHECK_EQ(erase_entry(&bob, 5), CHOIR_DENIED);
    hall_close(&hall);
}

TEST(so_many_erasures_may_be_under_way)
{
    struct msg m;

    begin();
    put(&ada, "plan", "x");
    on(&m, MSG_ERASE, "plan");
    msg_set_u(&m, FIELD_KIND, ERASE_HISTORY);
    guest_forget(&ada);
    for (unsigned i = 0; i <= ERASINGS_MAX; i++)
        CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    {
        const struct msg *done, *last = NULL;

        while ((done = guest_item(&ada, MSG_DONE)))
            last = done;
        assert_non_null(last);
        CHECK_EQ(msg_u(last, FIELD_OUTCOME), CHOIR_OVER_LIMIT);
    }
    hall_close(&hall);
}

/* --- Tasks and messages --------------------------------------------------- */

TEST(an_erased_payload_is_told_as_such_with_its_task)
{
    const struct msg *item;
    struct list items;
    struct msg m, first;
    uint64_t task;

    begin();
    on(&m, MSG_SUBMIT, NULL);
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(said(&ada, &m, "payload"));
    task = head();
    CHECK_OK(erase_entry(&ada, task));
    msg_init(&m, MSG_TASK_GET);
    msg_set_u(&m, FIELD_TASK, task);
    guest_forget(&ada);
    item = guest_reply(&ada, &m);
    items = msg_list(item, FIELD_ITEMS);
    CHECK(list_next(&items, &first));
    CHECK_EQ(msg_u(&first, FIELD_OUTCOME), CHOIR_ERASED);
    CHECK(!msg_has(&first, FIELD_VALUE));
    on(&m, MSG_WORK, NULL);
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, 1);
    guest_forget(&ada);
    guest_ask(&ada, &m);
    hall_settle(&hall);
    item = guest_item(&ada, MSG_TASK);
    assert_non_null(item);
    CHECK_EQ(msg_u(item, FIELD_TASK), task);
    CHECK_EQ(msg_u(item, FIELD_OUTCOME), CHOIR_ERASED);
    CHECK(!msg_has(item, FIELD_VALUE));
    hall_close(&hall);
}

TEST(an_erased_result_is_told_as_such)
{
    uint64_t task, token;
    const struct msg *item;
    struct msg m;

    begin();
    on(&m, MSG_SUBMIT, NULL);
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(said(&ada, &m, "payload"));
    task = head();
    CHECK_OK(rig_claim(&hall.rig, &ada.actor, task, &token));
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    CHECK_OK(said(&ada, &m, "result"));
    CHECK_OK(erase_entry(&ada, head()));
    msg_init(&m, MSG_AWAIT);
    msg_set_u(&m, FIELD_TASK, task);
    guest_forget(&ada);
    guest_ask(&ada, &m);
    hall_settle(&hall);
    item = guest_item(&ada, MSG_TASK_STATE);
    assert_non_null(item);
    CHECK_EQ(msg_u(item, FIELD_STATE), TASK_COMPLETED);
    CHECK_EQ(msg_u(item, FIELD_OUTCOME), CHOIR_ERASED);
    CHECK(!msg_has(item, FIELD_VALUE));
    hall_close(&hall);
}

TEST(an_erased_message_is_told_as_such)
{
    const struct msg *item;
    struct msg m;

    begin();
    on(&m, MSG_SEND, NULL);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    CHECK_OK(said(&ada, &m, "hello"));
    CHECK_OK(erase_entry(&ada, head()));
    on(&m, MSG_INBOX, NULL);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_CREDIT, 10);
    guest_forget(&ada);
    guest_ask(&ada, &m);
    hall_settle(&hall);
    item = guest_item(&ada, MSG_MESSAGE);
    assert_non_null(item);
    CHECK_EQ(msg_u(item, FIELD_OUTCOME), CHOIR_ERASED);
    CHECK(!msg_has(item, FIELD_VALUE));
    hall_close(&hall);
}

/* What is still there of an entry is shown, with a mark for what is not. */
TEST(a_tap_has_marks_for_what_was_erased)
{
    const struct bytes values[] = {bytes_text("one"), bytes_text("two")};
    const struct msg *item;
    struct buf writes = {0};
    struct msg m, row;
    uint64_t at;

    begin();
    for (unsigned i = 0; i < 2; i++) {
        msg_init(&row, MSG_WRITE);
        msg_set_text(&row, FIELD_KEY, i ? "b" : "a");
        msg_set_u(&row, FIELD_SLOT, i);
        msg_encode(&row, &writes);
    }
    on(&m, MSG_TXN, NULL);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do_n(&ada, &m, values, 2));
    hall_settle(&hall);
    at = head();
    CHECK_OK(erase(&ada, "a", at));
    msg_init(&m, MSG_TAP);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, at);
    msg_set_u(&m, FIELD_CREDIT, 1);
    msg_set_u(&m, FIELD_KIND, 1);
    guest_forget(&ada);
    guest_ask(&ada, &m);
    hall_settle(&hall);
    item = guest_item(&ada, MSG_ENTRY);
    assert_non_null(item);
    CHECK_EQ(msg_u(item, FIELD_REVISION), at);
    CHECK(bytes_equal(msg_b(item, FIELD_MARKS), bytes_of("\1\0", 2)));
    CHECK_EQ(msg_b(item, FIELD_PAYLOAD).n, SLOT_SALT_BYTES + 3);
    CHECK(memcmp(msg_b(item, FIELD_PAYLOAD).p + SLOT_SALT_BYTES, "two", 3) ==
          0);
    buf_free(&writes);
    hall_close(&hall);
}

/* --- Who hears of it ------------------------------------------------------ */

static unsigned tapped(struct guest *g, uint64_t from, enum message verb)
{
    const struct msg *m;
    unsigned n = 0;
    struct msg ask, op;
    unsigned field;

    msg_init(&ask, MSG_TAP);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_REVISION, from);
    msg_set_u(&ask, FIELD_CREDIT, 1000);
    guest_forget(g);
    guest_ask(g, &ask);
    hall_settle(&hall);
    while ((m = guest_item(g, MSG_ENTRY)))
        n += !msg_decode(msg_b(m, FIELD_HEAD), CLASS_OPERATION | CLASS_BROKER,
                         &op, &field) &&
             op.verb == verb;
    msg_init(&ask, MSG_UNWATCH);
    msg_set_u(&ask, FIELD_WATCH, 1);
    guest_ask(g, &ask);
    hall_settle(&hall);
    return n;
}

/* It names keys, and so do the slices that carry it out. */
TEST(an_erasure_is_told_to_those_who_may_tap_what_it_names)
{
    struct buf items = {0};
    uint64_t a, b, from;
    struct msg m;

    begin();
    grant_only(&bob, "main", "open/", RIGHT_TAP);
    a = put(&ada, "open/a", "x");
    b = put(&ada, "hidden/b", "x");
    from = head() + 1;
    CHECK_OK(erase(&ada, "open/a", a));
    CHECK_EQ(tapped(&bob, from, MSG_ERASE), 1);
    CHECK_OK(erase(&ada, "hidden/b", b));
    named(&items, "open/a", a);
    named(&items, "hidden/b", b);
    on(&m, MSG_ERASE, NULL);
    msg_set_list(&m, FIELD_ITEMS, 2, buf_bytes(&items));
    CHECK_OK(said(&ada, &m, NULL));
    CHECK_OK(erase_history(&ada, "hidden/b", 0));
    CHECK_OK(erase_agent(&ada, &bob, "main", false));
    CHECK_OK(erase_entry(&ada, a));
    CHECK_EQ(tapped(&bob, from, MSG_ERASE), 1);
    CHECK_EQ(tapped(&bob, from, MSG_ERASED), 0);
    CHECK_OK(erase_history(&ada, "open/a", 0));
    CHECK_EQ(tapped(&bob, from, MSG_ERASE), 2);
    CHECK_EQ(tapped(&bob, from, MSG_ERASED), 1);
    CHECK_EQ(tapped(&ada, from, MSG_ERASE), 7);
    CHECK_EQ(tapped(&ada, from, MSG_ERASED), 4);
    buf_free(&items);
    hall_close(&hall);
}

/* --- The record again ----------------------------------------------------- */

static void check_verify(unsigned erased)
{
    struct verify_result result;

    CHECK_OK(core_close_clean(hall.rig.core));
    CHECK_OK(verify_record(hall.rig.dir, hall.rig.env, &result));
    CHECK_EQ(result.decided + 2 + erased, result.entries);
}

static void reclaim_all(void)
{
    hall_pass(&hall, 1000);
    do {
        hall_turn(&hall);
    } while (core_reclaims(hall.rig.core));
}

TEST(replay_gives_the_same_digest_and_says_the_same)
{
    struct hash digest, again;
    uint64_t at;

    begin();
    at = put(&bob, "plan", "secret");
    put(&bob, "plan", "fine");
    CHECK_OK(erase(&ada, "plan", at));
    digest = state_digest(rig_state(&hall.rig));
    for (int i = 0; i < 2; i++) {
        hall_restart(&hall, false);
        again = state_digest(rig_state(&hall.rig));
        CHECK(i || hash_equal(&digest, &again));
        guest_connect(&ada);
        CHECK_EQ(outcome_at("plan", at), CHOIR_ERASED);
        CHECK_EQ(outcome_at("plan", 0), 0);
        hall_restart(&hall, true);
        guest_connect(&ada);
        CHECK_EQ(outcome_at("plan", at), CHOIR_ERASED);
        reclaim_all();
        digest = state_digest(rig_state(&hall.rig));
    }
    check_verify(1);
    hall_close(&hall);
}

static bool on_disk(const char *text)
{
    char command[4200];

    snprintf(command, sizeof command, "grep -q '%s' %s/segment-*", text,
             hall.rig.dir);
    return system(command) == 0;
}

TEST(what_was_erased_leaves_the_disk)
{
    const struct entry *e;
    struct bytes value;
    uint64_t at, kept;

    begin();
    at = put(&bob, "plan", "a-secret-to-forget");
    kept = put(&bob, "plan", "a-word-to-keep");
    CHECK(on_disk("a-secret-to-forget"));
    CHECK_OK(erase(&ada, "plan", at));
    reclaim_all();
    CHECK(!on_disk("a-secret-to-forget"));
    CHECK(on_disk("a-word-to-keep"));
    ledger_hide(core_ledger(hall.rig.core), NULL);
    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), at, &e));
    CHECK_REFUSED(entry_slot(e, 0, &value), CHOIR_ERASED);
    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), kept, &e));
    CHECK_OK(entry_slot(e, 0, &value));
    check_verify(1);
    hall_close(&hall);
}

/* One pass takes what was erased since the last, and touches nothing else. */
TEST(space_is_looked_for_only_when_something_was_erased)
{
    uint64_t at;

    begin();
    put(&bob, "plan", "x");
    CHECK(!core_reclaims(hall.rig.core));
    at = put(&bob, "plan", "y");
    CHECK_OK(erase(&ada, "plan", at));
    CHECK(core_reclaims(hall.rig.core));
    reclaim_all();
    CHECK(!core_reclaims(hall.rig.core));
    CHECK_OK(erase(&ada, "plan", at));
    CHECK(!core_reclaims(hall.rig.core));
    hall_close(&hall);
}

/* Decided from what was erased later: no longer decided again, and not wrong. */
TEST(verify_accepts_merges_whose_base_was_erased_before_and_after)
{
    uint64_t at;
    struct msg m;

    begin();
    add_one("count");
    at = add_one("count");
    add_one("count");
    CHECK_OK(erase_only("count", at));
    on(&m, MSG_INCR, "count");
    CHECK_OK(said(&ada, &m, "\x01"));
    CHECK_OK(erase(&ada, "count", 0));
    CHECK_EQ(said(&ada, &m, "\x01"), CHOIR_CONFLICT);
    reclaim_all();
    CHECK_OK(core_close_clean(hall.rig.core));
    {
        struct verify_result result;

        CHECK_OK(verify_record(hall.rig.dir, hall.rig.env, &result));
    }
    hall_close(&hall);
}

CHECK_MAIN
