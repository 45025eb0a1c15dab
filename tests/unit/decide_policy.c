/* broker/decide_policy: what becomes of a write where something is already.
 * The script of each anomaly runs without its policy, too, to show the damage.
 */
#include "broker/changes.h"
#include "broker/verify.h"
#include "proto/merge.h"
#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

enum { ALL = RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK };

static struct rig rig;
static struct actor ada, bob, root;
static struct told told;

static void begin(void)
{
    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "team", ALL);
    actor_join(&rig, &bob, "bob", "team", ALL);
    actor_join(&rig, &root, "root", "team", RIGHT_ADMIN);
}

/* The record says of itself that it was decided so, before and after. */
static void over(void)
{
    struct hash digest = state_digest(rig_state(&rig)), again;
    struct verify_result result;

    CHECK_OK(rig_reopen(&rig, false));
    again = state_digest(rig_state(&rig));
    CHECK(hash_equal(&digest, &again));
    CHECK_OK(core_close_clean(rig.core));
    core_destroy(&rig.core);
    if (verify_record(rig.dir, rig.env, &result))
        fail_msg("%s", result.trouble);
    actor_free(&ada);
    actor_free(&bob);
    actor_free(&root);
    buf_free(&told.effect_bytes);
    told = (struct told){0};
    rig_close(&rig);
}

static int policy(const char *prefix, enum merge_rule rule)
{
    struct msg m;

    msg_init(&m, MSG_POLICY);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_RULE, rule);
    CHECK_OK(actor_do(&rig, &root, &m, NULL, 0, &told));
    return told.outcome;
}

enum { NO_BASE = -1 };

static int op(struct actor *a, enum message verb, const char *key, int64_t base,
              struct bytes value)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, key);
    if (verb == MSG_PUT)
        msg_set_text(&m, FIELD_TYPE, MERGE_TYPE);
    if (base != NO_BASE)
        msg_set_u(&m, FIELD_IF_REVISION, (uint64_t)base);
    CHECK_OK(actor_do(&rig, a, &m, &value, value.p ? 1 : 0, &told));
    CHECK_OK(told.turnaway);
    return told.outcome;
}

static int put(struct actor *a, const char *key, int64_t base,
               struct bytes value)
{
    return op(a, MSG_PUT, key, base, value);
}

static int64_t revision(const char *key)
{
    const struct key *k = context_find(rig_state(&rig)->context,
                                       bytes_text("team"), bytes_text(key));

    return k ? (int64_t)k->revision : 0;
}

static struct bytes value_of(const char *key)
{
    static struct buf copy;
    struct bytes value = {0};
    struct changes walk;
    struct change change;
    const struct entry *e;

    buf_clear(&copy);
    CHECK_OK(ledger_entry(core_ledger(rig.core), (uint64_t)revision(key), &e));
    CHECK_OK(changes_find(e, bytes_text(key), &change, &walk));
    CHECK_OK(change_value(e, &change, &value));
    CHECK_EQ(change_bytes(e, &change), value.n);
    CHECK(bytes_equal(change.type, bytes_text(MERGE_TYPE)));
    buf_put(&copy, value.p, value.n);
    return buf_bytes(&copy);
}

/* {a: x, b: y}, and shorter. */
static struct bytes ab(int x, int y)
{
    static struct buf made[8];
    static size_t next;
    struct buf *to = &made[next++ % 8];

    buf_clear(to);
    pack_map(to, 2);
    pack_text(to, bytes_text("a"));
    pack_uint(to, (uint64_t)x);
    pack_text(to, bytes_text("b"));
    pack_uint(to, (uint64_t)y);
    return buf_bytes(to);
}

static struct bytes number(int64_t n)
{
    static struct buf made[8];
    static size_t next;
    struct buf *to = &made[next++ % 8];

    buf_clear(to);
    pack_int(to, n);
    return buf_bytes(to);
}

static void holds(const char *key, struct bytes want)
{
    CHECK(bytes_equal(value_of(key), want));
}

/* --- Who may, and how many ------------------------------------------------ */

TEST(policy_needs_admin_in_the_space)
{
    struct msg m;

    begin();
    CHECK_EQ(policy("plan/", RULE_CAS), CHOIR_OK);
    CHECK_EQ(policy("plan/", RULE_NONE), CHOIR_OK);
    CHECK_EQ(policy("plan/", RULE_NONE), CHOIR_NOT_FOUND);
    CHECK_EQ(policy("plan/", RULE_END), CHOIR_INVALID);
    msg_init(&m, MSG_POLICY);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_PREFIX, "plan/");
    msg_set_u(&m, FIELD_RULE, RULE_CAS);
    CHECK_OK(actor_do(&rig, &ada, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_DENIED);
    msg_set_text(&m, FIELD_SPACE, "*");
    CHECK_OK(actor_do(&rig, &root, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_INVALID);
    over();
}

TEST(policies_of_a_space_are_limited)
{
    begin();
    rig.config->policies_per_space_max = 1;
    core_begin(rig.core);
    CHECK_OK(core_rules(rig.core, rig.config));
    CHECK_OK(core_commit(rig.core));
    CHECK_EQ(policy("a", RULE_CAS), CHOIR_OK);
    CHECK_EQ(policy("b", RULE_CAS), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_FIELD),
                      bytes_text("policies_per_space_max")));
    CHECK_EQ(policy("a", RULE_SET), CHOIR_OK);
    over();
}

/* --- cas -------------------------------------------------------------------*/

TEST(blind_put_is_lost_update_without_a_policy_and_conflict_under_cas)
{
    int64_t first;

    begin();
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", NO_BASE, ab(2, 2)), CHOIR_OK);
    holds("plan", ab(2, 2)); /* ada's is gone, and nobody said so */

    CHECK_EQ(policy("plan", RULE_CAS), CHOIR_OK);
    first = revision("plan");
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(3, 3)), CHOIR_CONFLICT);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), first);
    CHECK_MEM(msg_b(&told.effect, FIELD_AGENT).p, bob.id.b, HASH_BYTES);
    CHECK(msg_has(&told.effect, FIELD_REASON));
    CHECK_EQ(op(&ada, MSG_DELETE, "plan", NO_BASE, (struct bytes){0}),
             CHOIR_CONFLICT);
    CHECK_EQ(put(&ada, "plan", first, ab(3, 3)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", first, ab(4, 4)), CHOIR_CONFLICT);
    CHECK_EQ(put(&bob, "plan2", NO_BASE, ab(4, 4)), CHOIR_OK);
    over();
}

TEST(writer_that_may_not_read_learns_no_more_than_that_there_is_one)
{
    struct actor writer = {0};

    begin();
    actor_join(&rig, &writer, "writer", "team", RIGHT_WRITE);
    CHECK_EQ(policy("plan", RULE_CAS), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    CHECK_EQ(put(&writer, "plan", NO_BASE, ab(3, 3)), CHOIR_CONFLICT);
    CHECK_NOT(msg_has(&told.effect, FIELD_REVISION));
    CHECK_NOT(msg_has(&told.effect, FIELD_AGENT));
    actor_free(&writer);
    over();
}

/* --- merge -----------------------------------------------------------------*/

TEST(disjoint_edits_conflict_without_a_policy_and_combine_under_merge)
{
    int64_t base, theirs;

    begin();
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", base, ab(1, 2)), CHOIR_CONFLICT);

    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    theirs = revision("plan");
    CHECK_EQ(put(&bob, "plan", base, ab(1, 2)), CHOIR_OK);
    holds("plan", ab(2, 2));
    CHECK_EQ(msg_u(&told.effect, FIELD_BASE), base);
    CHECK_EQ(msg_u(&told.effect, FIELD_PREV), theirs);
    CHECK_EQ(msg_u(&told.effect, FIELD_RULE), RULE_MERGE);
    CHECK_EQ(msg_slots(&told.effect), 1);
    /* What was merged is a base like any other. */
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(5, 2)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", base, ab(2, 6)), CHOIR_OK);
    holds("plan", ab(5, 6));
    over();
}

TEST(equal_edits_collapse_and_need_no_slot)
{
    int64_t base;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_NOT(msg_has(&told.effect, FIELD_SLOTS));
    holds("plan", ab(2, 1));
    over();
}

TEST(clash_names_base_theirs_and_the_path)
{
    struct list paths;
    struct msg item;
    int64_t base, theirs;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    theirs = revision("plan");
    CHECK_EQ(put(&bob, "plan", base, ab(3, 1)), CHOIR_CONFLICT);
    CHECK_EQ(msg_u(&told.effect, FIELD_BASE), base);
    CHECK_EQ(msg_u(&told.effect, FIELD_REVISION), theirs);
    CHECK_MEM(msg_b(&told.effect, FIELD_AGENT).p, ada.id.b, HASH_BYTES);
    CHECK_EQ(msg_u(&told.effect, FIELD_COUNT), 1);
    paths = msg_list(&told.effect, FIELD_ITEMS);
    CHECK(list_next(&paths, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_TEXT), bytes_text("/a")));
    CHECK_EQ(revision("plan"), theirs);
    over();
}

TEST(merge_is_no_silent_overwrite_nor_deletion)
{
    int64_t base;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&bob, "plan", NO_BASE, ab(9, 9)), CHOIR_CONFLICT);
    CHECK_EQ(put(&bob, "plan", 0, ab(9, 9)), CHOIR_CONFLICT);
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_EQ(op(&bob, MSG_DELETE, "plan", NO_BASE, (struct bytes){0}),
             CHOIR_CONFLICT);
    CHECK_EQ(op(&bob, MSG_DELETE, "plan", base, (struct bytes){0}),
             CHOIR_CONFLICT);
    CHECK_EQ(op(&bob, MSG_DELETE, "plan", revision("plan"), (struct bytes){0}),
             CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", base, ab(3, 1)), CHOIR_CONFLICT); /* it's gone */
    CHECK_EQ(put(&ada, "plan", revision("plan"), ab(3, 1)), CHOIR_CONFLICT);
    CHECK_EQ(put(&ada, "plan", 0, ab(3, 1)), CHOIR_OK);
    over();
}

TEST(base_must_be_a_version_of_that_key_in_that_space)
{
    int64_t base, other;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(put(&ada, "other", NO_BASE, ab(1, 1)), CHOIR_OK);
    other = revision("other");
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&bob, "plan", other, ab(1, 2)), CHOIR_CONFLICT);
    CHECK_EQ(put(&bob, "plan", base + 100, ab(1, 2)), CHOIR_CONFLICT);
    CHECK_EQ(put(&bob, "plan", 1, ab(1, 2)), CHOIR_CONFLICT);
    over();
}

TEST(only_msgpack_merges)
{
    struct bytes raw = bytes_text("text");
    struct msg m;
    int64_t base;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(actor_put(&rig, &ada, "team", "plan", "x", NULL), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(
        actor_put_if(&rig, &ada, "team", "plan", "y", (uint64_t)base, NULL),
        CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", base, ab(1, 1)), CHOIR_INVALID);
    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "plan");
    msg_set_u(&m, FIELD_IF_REVISION, (uint64_t)base);
    CHECK_OK(actor_do(&rig, &bob, &m, &raw, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_CONFLICT);
    over();
}

TEST(merged_value_is_no_larger_than_a_value_may_be)
{
    struct buf base = {0}, left = {0}, right = {0};
    struct buf *all[] = {&base, &left, &right};
    char text[40000] = {0};
    int64_t at;

    begin(); /* value_bytes_max = 65536 */
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    memset(text, 'x', sizeof text);
    for (uint64_t i = 0; i < 3; i++) {
        pack_map(all[i], i ? 1 : 0);
        if (i)
            pack_uint(all[i], i);
        if (i)
            pack_text(all[i], bytes_of(text, sizeof text));
    }
    CHECK_EQ(put(&ada, "plan", NO_BASE, buf_bytes(&base)), CHOIR_OK);
    at = revision("plan");
    CHECK_EQ(put(&ada, "plan", at, buf_bytes(&left)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", at, buf_bytes(&right)), CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_FIELD),
                      bytes_text("value_bytes_max")));
    for (size_t i = 0; i < 3; i++)
        buf_free(all[i]);
    over();
}

static void compact(uint64_t line)
{
    struct msg m;

    msg_init(&m, MSG_COMPACT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_u(&m, FIELD_REVISION, line);
    CHECK_OK(actor_do(&rig, &root, &m, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
}

/* What is no longer there must not pass for an empty map: everything would be
 * somebody's addition. */
TEST(base_below_the_line_is_no_empty_base)
{
    int64_t first, second, third;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    first = revision("plan");
    CHECK_EQ(put(&ada, "plan", first, ab(2, 1)), CHOIR_OK);
    second = revision("plan");
    CHECK_EQ(put(&ada, "other", NO_BASE, ab(1, 1)), CHOIR_OK);
    compact((uint64_t)revision("other"));
    CHECK_EQ(put(&ada, "plan", second, ab(3, 1)), CHOIR_OK);
    third = revision("plan");
    CHECK_EQ(put(&ada, "plan", third, ab(4, 1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", first, ab(1, 2)), CHOIR_CONFLICT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_REASON),
                      bytes_text("the base is no longer kept")));
    /* the newest below the line is kept, and whatever is above it */
    CHECK_EQ(put(&bob, "plan", second, ab(2, 2)), CHOIR_OK);
    holds("plan", ab(4, 2));
    CHECK_EQ(put(&bob, "plan", third, ab(3, 3)), CHOIR_CONFLICT);
    CHECK_EQ(msg_u(&told.effect, FIELD_COUNT), 1); /* a true clash, at /b */
    over();
}

/* --- append, set, counter ------------------------------------------------- */

TEST(appends_of_all_survive)
{
    begin();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(op(&ada, MSG_APPEND, "log", NO_BASE, number(i)), CHOIR_OK);
        CHECK_EQ(op(&bob, MSG_APPEND, "log", NO_BASE, number(10 + i)),
                 CHOIR_OK);
    }
    holds("log", bytes_of("\x96\x00\x0a\x01\x0b\x02\x0c", 7));
    CHECK_EQ(op(&ada, MSG_APPEND, "log", NO_BASE, bytes_of("\xc1", 1)),
             CHOIR_INVALID);
    CHECK_EQ(op(&ada, MSG_INCR, "log", NO_BASE, number(1)), CHOIR_INVALID);
    over();
}

TEST(counter_counts_what_a_blind_put_loses)
{
    begin();
    CHECK_EQ(put(&ada, "n", NO_BASE, number(1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "n", NO_BASE, number(1)), CHOIR_OK);
    holds("n", number(1)); /* two were counted */
    CHECK_EQ(policy("n", RULE_COUNTER), CHOIR_OK);
    CHECK_EQ(put(&ada, "n", NO_BASE, number(1)), CHOIR_OK);
    CHECK_EQ(op(&bob, MSG_INCR, "n", NO_BASE, number(-5)), CHOIR_OK);
    holds("n", number(-3));
    CHECK_EQ(op(&bob, MSG_APPEND, "n", NO_BASE, number(1)), CHOIR_INVALID);
    CHECK_EQ(put(&ada, "n", NO_BASE, ab(1, 1)), CHOIR_INVALID);
    CHECK_EQ(put(&ada, "n", revision("n"), number(100)), CHOIR_OK);
    holds("n", number(100));
    CHECK_EQ(op(&ada, MSG_INCR, "n", NO_BASE, number(INT64_MAX)),
             CHOIR_OVER_LIMIT);
    over();
}

TEST(sets_unite)
{
    int64_t base;

    begin();
    CHECK_EQ(policy("tags", RULE_SET), CHOIR_OK);
    CHECK_EQ(put(&ada, "tags", NO_BASE, bytes_of("\x92\x01\x02", 3)), CHOIR_OK);
    base = revision("tags");
    CHECK_EQ(put(&bob, "tags", NO_BASE, bytes_of("\x92\x02\x03", 3)), CHOIR_OK);
    holds("tags", bytes_of("\x93\x01\x02\x03", 4));
    CHECK_EQ(put(&ada, "tags", base, bytes_of("\x91\x01", 2)), CHOIR_OK);
    holds("tags", bytes_of("\x92\x01\x03", 3)); /* 2 was taken out */
    CHECK_EQ(op(&ada, MSG_APPEND, "tags", NO_BASE, number(1)), CHOIR_OK);
    holds("tags", bytes_of("\x92\x01\x03", 3));
    CHECK_EQ(put(&ada, "tags", revision("tags"), bytes_of("\x92\x01\x01", 3)),
             CHOIR_INVALID);
    over();
}

TEST(append_without_write_right_or_lease_is_refused)
{
    struct actor eve = {0};
    struct bytes one = number(1);
    struct msg m;

    begin();
    actor_join(&rig, &eve, "eve", "elsewhere", ALL);
    CHECK_EQ(op(&eve, MSG_APPEND, "log", NO_BASE, one), CHOIR_DENIED);
    CHECK_EQ(op(&eve, MSG_INCR, "n", NO_BASE, one), CHOIR_DENIED);
    msg_init(&m, MSG_APPEND);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "log");
    msg_set_u(&m, FIELD_TASK, 1);
    msg_set_u(&m, FIELD_TOKEN, 1);
    CHECK_OK(actor_do(&rig, &ada, &m, &one, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_FENCED);
    actor_free(&eve);
    over();
}

/* --- One bundle, one transaction, one completion --------------------------- */

TEST(appends_of_one_bundle_see_one_another)
{
    struct bytes values[4];
    struct msg m;

    begin();
    actor_begin(&ada);
    for (int i = 0; i < 4; i++) {
        values[i] = number(i);
        msg_init(&m, MSG_APPEND);
        msg_set_text(&m, FIELD_SPACE, "team");
        msg_set_text(&m, FIELD_KEY, i == 2 ? "other" : "log");
        actor_add(&ada, &m, &values[i], 1);
    }
    CHECK_OK(actor_finish(&rig, &ada, &told));
    CHECK_OK(told.turnaway);
    holds("log", bytes_of("\x93\x00\x01\x03", 4));
    holds("other", bytes_of("\x91\x02", 2));
    over();
}

static void write_add(struct buf *to, const char *key, int slot, int64_t base)
{
    struct msg w;

    msg_init(&w, MSG_WRITE);
    msg_set_text(&w, FIELD_KEY, key);
    if (slot >= 0) {
        msg_set_text(&w, FIELD_TYPE, MERGE_TYPE);
        msg_set_u(&w, FIELD_SLOT, (uint64_t)slot);
    }
    if (base != NO_BASE)
        msg_set_u(&w, FIELD_BASE, (uint64_t)base);
    msg_encode(&w, to);
}

static void compare_add(struct buf *to, const char *key, int64_t at)
{
    struct msg c;

    msg_init(&c, MSG_COMPARE);
    msg_set_text(&c, FIELD_KEY, key);
    msg_set_u(&c, FIELD_REVISION, (uint64_t)at);
    msg_encode(&c, to);
}

static int txn(struct actor *a, const struct buf *writes, uint64_t n,
               const struct buf *compares, uint64_t m,
               const struct bytes *values, size_t slots)
{
    struct msg t;

    msg_init(&t, MSG_TXN);
    msg_set_text(&t, FIELD_SPACE, "team");
    msg_set_list(&t, FIELD_WRITES, n, buf_bytes(writes));
    if (m)
        msg_set_list(&t, FIELD_COMPARES, m, buf_bytes(compares));
    CHECK_OK(actor_do(&rig, a, &t, values, slots, &told));
    CHECK_OK(told.turnaway);
    return told.outcome;
}

TEST(writes_of_a_transaction_merge_each_by_its_own_policy)
{
    struct bytes values[3];
    struct buf writes = {0};
    int64_t base;

    begin();
    CHECK_EQ(policy("plan", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(policy("n", RULE_COUNTER), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_EQ(put(&ada, "n", NO_BASE, number(7)), CHOIR_OK);
    write_add(&writes, "n", 0, NO_BASE);
    write_add(&writes, "plain", 2, NO_BASE);
    write_add(&writes, "absent", -1, NO_BASE);
    write_add(&writes, "plan", 1, base);
    values[0] = number(3);
    values[1] = ab(1, 2);
    values[2] = number(99);
    CHECK_EQ(txn(&bob, &writes, 4, NULL, 0, values, 3), CHOIR_OK);
    holds("n", number(10));
    holds("plan", ab(2, 2));
    holds("plain", number(99));
    CHECK_EQ(msg_slots(&told.effect), 2);
    buf_free(&writes);
    over();
}

TEST(transaction_that_clashes_does_nothing)
{
    struct bytes values[2];
    struct buf writes = {0};
    int64_t base;

    begin();
    CHECK_EQ(policy("plan", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(policy("n", RULE_COUNTER), CHOIR_OK);
    CHECK_EQ(put(&ada, "n", NO_BASE, number(7)), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    write_add(&writes, "n", 0, NO_BASE);
    write_add(&writes, "plan", 1, base);
    values[0] = number(3);
    values[1] = ab(3, 1);
    CHECK_EQ(txn(&bob, &writes, 2, NULL, 0, values, 2), CHOIR_CONFLICT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_KEY), bytes_text("plan")));
    CHECK_NOT(msg_has(&told.effect, FIELD_SLOTS));
    holds("n", number(7));
    buf_free(&writes);
    over();
}

TEST(compare_of_the_key_is_as_good_as_a_base)
{
    struct buf writes = {0}, compares = {0};
    struct bytes value = ab(5, 5);

    begin();
    CHECK_EQ(policy("", RULE_CAS), CHOIR_OK);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    write_add(&writes, "plan", 0, NO_BASE);
    CHECK_EQ(txn(&bob, &writes, 1, NULL, 0, &value, 1), CHOIR_CONFLICT);
    compare_add(&compares, "plan", revision("plan"));
    CHECK_EQ(txn(&bob, &writes, 1, &compares, 1, &value, 1), CHOIR_OK);
    holds("plan", ab(5, 5));
    buf_free(&writes);
    buf_free(&compares);
    over();
}

TEST(write_of_a_transaction_may_name_its_base_without_a_policy)
{
    struct bytes value = ab(5, 5);
    struct buf writes = {0};
    struct actor writer = {0};
    int64_t base;

    begin();
    actor_join(&rig, &writer, "writer", "team", RIGHT_WRITE);
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(1, 1)), CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", NO_BASE, ab(2, 1)), CHOIR_OK);
    write_add(&writes, "plan", 0, base);
    CHECK_EQ(txn(&bob, &writes, 1, NULL, 0, &value, 1), CHOIR_CONFLICT);
    CHECK_EQ(txn(&writer, &writes, 1, NULL, 0, &value, 1), CHOIR_DENIED);
    buf_clear(&writes);
    write_add(&writes, "plan", 0, revision("plan"));
    CHECK_EQ(txn(&bob, &writes, 1, NULL, 0, &value, 1), CHOIR_OK);
    buf_free(&writes);
    actor_free(&writer);
    over();
}

TEST(what_a_completion_wrote_is_a_base_too)
{
    struct bytes values[2];
    struct buf writes = {0};
    uint64_t task, token;
    int64_t base;
    struct msg m;

    begin();
    CHECK_EQ(policy("", RULE_MERGE), CHOIR_OK);
    CHECK_EQ(actor_submit(&rig, &ada, "q", &task), CHOIR_OK);
    CHECK_OK(rig_claim(&rig, &bob, task, &token));
    write_add(&writes, "plan", 1, NO_BASE);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    values[0] = values[1] = ab(1, 1);
    CHECK_OK(actor_do(&rig, &bob, &m, values, 2, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    base = revision("plan");
    CHECK_EQ(put(&ada, "plan", base, ab(2, 1)), CHOIR_OK);
    CHECK_EQ(put(&bob, "plan", base, ab(1, 2)), CHOIR_OK);
    holds("plan", ab(2, 2));
    buf_free(&writes);
    over();
}

/* --- Bounds ----------------------------------------------------------------*/

TEST(one_bundle_merges_a_bounded_amount)
{
    char junk[100] = {0};
    struct bytes yours = bytes_of(junk, sizeof junk);
    struct buf big = {0};
    struct msg m;

    begin();
    pack_array(&big, 65533);
    for (int i = 0; i < 65533; i++)
        pack_uint(&big, 1);
    CHECK_EQ(put(&ada, "log", NO_BASE, buf_bytes(&big)), CHOIR_OK);
    actor_begin(&ada);
    for (int i = 0; i < 1024; i++) {
        msg_init(&m, MSG_INCR); /* of what is no number */
        msg_set_text(&m, FIELD_SPACE, "team");
        msg_set_text(&m, FIELD_KEY, "log");
        actor_add(&ada, &m, &yours, 1);
    }
    CHECK_OK(actor_finish(&rig, &ada, &told));
    CHECK_OK(told.turnaway);
    CHECK_EQ(told.outcome, CHOIR_OVER_LIMIT);
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_FIELD),
                      bytes_text("merge_bytes")));
    CHECK_EQ(op(&ada, MSG_APPEND, "log", NO_BASE, number(1)),
             CHOIR_OVER_LIMIT); /* a new bundle, but too long a value */
    CHECK(bytes_equal(msg_b(&told.effect, FIELD_FIELD),
                      bytes_text("value_bytes_max")));
    buf_free(&big);
    over();
}

CHECK_MAIN
