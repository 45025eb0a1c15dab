#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

enum { ALL = 127 };

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", ALL);
    guest_join(&hall, &bob, "bob", ALL);
}

static uint64_t size(void)
{
    return rig_state(&hall.rig)->size;
}

static struct msg watch(const char *prefix, uint64_t revision, uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_WATCH);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_REVISION, revision);
    msg_set_u(&m, FIELD_CREDIT, credit);
    return m;
}

static int watch_from(struct guest *g, const char *prefix, uint64_t revision,
                      uint64_t credit)
{
    struct msg m = watch(prefix, revision, credit);

    return (int)msg_u(guest_reply(g, &m), FIELD_OUTCOME);
}

static struct msg credit_of(uint64_t credit)
{
    struct msg m;

    msg_init(&m, MSG_CREDIT);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_CREDIT, credit);
    return m;
}

static void give_credit(struct guest *g, uint64_t credit)
{
    struct msg m = credit_of(credit);

    guest_ask(g, &m);
    hall_settle(&hall);
}

/* Up to where the broker says that everything was said. */
static uint64_t told_up_to(struct guest *g)
{
    struct msg m = credit_of(0);

    return msg_u(guest_reply(g, &m), FIELD_REVISION);
}

static void put_all(unsigned from, unsigned to)
{
    char key[32];

    for (unsigned i = from; i < to; i++) {
        snprintf(key, sizeof key, "k/%u", i);
        CHECK_OK(guest_put(&ada, key, key));
        ada.actor.answered = ada.actor.next_seq - 1;
        if (i % 50 == 49)
            hall_turn(&hall);
    }
    hall_settle(&hall);
}

/* All changes so far, each revision once and ascending. */
static void check_changes(struct guest *g, size_t wanted)
{
    const struct msg *m;
    uint64_t last = 0;
    size_t n = 0;

    g->next = 0;
    while ((m = guest_item(g, MSG_CHANGE)) != NULL) {
        CHECK(msg_u(m, FIELD_REVISION) > last);
        last = msg_u(m, FIELD_REVISION);
        n++;
    }
    CHECK_EQ(n, wanted);
}

TEST(watch_at_the_head_hears_what_comes)
{
    const struct msg *m;
    struct list items;
    struct msg item;

    begin();
    CHECK_EQ(watch_from(&bob, "k/", size(), 10), 0);
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    CHECK_OK(guest_put(&ada, "k/1", "one"));
    CHECK_OK(guest_put(&ada, "other", "two"));
    hall_settle(&hall);
    m = guest_item(&bob, MSG_CHANGE);
    assert_non_null(m);
    CHECK(bytes_equal(msg_b(m, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    items = msg_list(m, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("k/1")));
    CHECK(bytes_equal(msg_b(&item, FIELD_VALUE), bytes_text("one")));
    CHECK_NOT(list_next(&items, &item));
    CHECK_NULL(guest_item(&bob, MSG_CHANGE));
    hall_close(&hall);
}

TEST(watch_from_the_past_reads_all_of_it_then_goes_on_live)
{
    begin();
    put_all(0, 300);
    CHECK_EQ(watch_from(&bob, "k/", 1, 100000), 0);
    check_changes(&bob, 300);
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    put_all(300, 320);
    check_changes(&bob, 320);
    hall_close(&hall);
}

TEST(watch_from_the_past_hears_its_own_of_what_others_have_read_before)
{
    begin();
    put_all(0, 300);
    CHECK_EQ(watch_from(&ada, "other/", 1, 10), 0);
    check_changes(&ada, 0);
    CHECK_EQ(watch_from(&bob, "k/1", 1, 1000), 0);
    check_changes(&bob, 111); /* 1, 10..19, 100..199 */
    CHECK_EQ(guest_items(&bob, MSG_CAUGHT_UP), 1);
    put_all(300, 310);
    CHECK_OK(guest_put(&ada, "k/1", "again"));
    hall_settle(&hall);
    check_changes(&bob, 112);
    hall_close(&hall);
}

TEST(a_reply_to_credit_says_how_far_a_watch_that_nothing_concerns_has_come)
{
    begin();
    CHECK_OK(watch_from(&bob, "other/", size(), 10));
    CHECK_EQ(told_up_to(&bob), size() - 1);
    put_all(0, 3);
    CHECK_EQ(told_up_to(&bob), size() - 1);
    hall_close(&hall);
}

TEST(a_reply_to_credit_never_says_more_than_was_told)
{
    uint64_t first;

    begin();
    first = size();
    CHECK_OK(watch_from(&bob, "k/", first, 2));
    put_all(0, 5);
    CHECK_EQ(told_up_to(&bob), first + 1);
    CHECK_EQ(told_up_to(&bob), first + 1);
    give_credit(&bob, 1);
    CHECK_EQ(told_up_to(&bob), first + 2);
    give_credit(&bob, 10);
    CHECK_EQ(told_up_to(&bob), size() - 1);
    hall_close(&hall);
}

TEST(watch_without_credit_stops_and_later_misses_nothing)
{
    begin();
    CHECK_EQ(watch_from(&bob, "k/", size(), 5), 0);
    put_all(0, 200);
    check_changes(&bob, 5);
    give_credit(&bob, 10);
    check_changes(&bob, 15);
    give_credit(&bob, 10000);
    check_changes(&bob, 200);
    put_all(200, 210);
    check_changes(&bob, 210);
    hall_close(&hall);
}

TEST(watch_of_a_full_peer_waits_and_later_misses_nothing)
{
    begin();
    CHECK_EQ(watch_from(&bob, "k/", size(), 10000), 0);
    put_all(0, 20);
    bob.backlog = 1ULL << 30;
    put_all(20, 120);
    check_changes(&bob, 20);
    CHECK(cycle_next(hall.cycle) < UINT64_MAX); /* it is looked at again */
    CHECK(cycle_next(hall.cycle) > env_steady_us(hall.rig.env));
    bob.backlog = 0;
    hall_settle(&hall);
    hall_turn(&hall);
    hall_settle(&hall);
    check_changes(&bob, 120);
    hall_close(&hall);
}

static void bob_reads_only(const char *prefix)
{
    struct buf grants = {0};
    struct msg g, op;

    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 0);
    msg_encode(&g, &grants);
    msg_set_text(&g, FIELD_SPACE, "main");
    msg_set_text(&g, FIELD_PREFIX, prefix);
    msg_set_u(&g, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&g, &grants);
    msg_init(&op, MSG_GRANT);
    msg_set_hash(&op, FIELD_AGENT, &bob.actor.id);
    msg_set_list(&op, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &op, NULL));
    hall_settle(&hall);
    buf_free(&grants);
}

TEST(txn_with_two_matching_writes_is_one_change)
{
    struct buf writes = {0};
    struct bytes values[] = {bytes_text("x"), bytes_text("y")};
    const struct msg *change;
    struct msg m, w;

    begin();
    CHECK_EQ(watch_from(&bob, "", size(), 10), 0);
    for (unsigned i = 0; i < 2; i++) {
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, i ? "k/b" : "k/a");
        msg_set_u(&w, FIELD_SLOT, i);
        msg_encode(&w, &writes);
    }
    msg_init(&m, MSG_TXN);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do_n(&ada, &m, values, 2));
    hall_settle(&hall);
    change = guest_item(&bob, MSG_CHANGE);
    assert_non_null(change);
    CHECK_EQ(msg_u(change, FIELD_ITEMS), 2);
    check_changes(&bob, 1);
    buf_free(&writes);
    hall_close(&hall);
}

TEST(two_watches_on_nested_prefixes_hear_each_their_own)
{
    struct msg inner = watch("k/1", 0, 100), outer = watch("k/", 0, 100);
    const struct msg *m;
    unsigned heard[3] = {0};

    begin();
    msg_set_u(&inner, FIELD_REVISION, size());
    msg_set_u(&outer, FIELD_REVISION, size());
    msg_set_u(&inner, FIELD_WATCH, 2);
    guest_ask(&bob, &inner);
    guest_ask(&bob, &outer);
    hall_settle(&hall);
    put_all(0, 20); /* k/1 and k/10..19 */
    while ((m = guest_item(&bob, MSG_CHANGE)) != NULL)
        heard[msg_u(m, FIELD_WATCH)]++;
    CHECK_EQ(heard[1], 20);
    CHECK_EQ(heard[2], 11);
    hall_close(&hall);
}

TEST(watches_of_one_prefix_hear_the_same_each_under_its_own_number)
{
    const uint64_t numbers[] = {1,     127,        128,       255,
                                65536, UINT32_MAX, 1ULL << 52};
    enum { N = sizeof numbers / sizeof *numbers };
    struct msg open = watch("k/", 0, 100);
    const struct msg *m;
    struct msg item;

    begin();
    msg_set_u(&open, FIELD_REVISION, size());
    for (unsigned i = 0; i < N; i++) {
        msg_set_u(&open, FIELD_WATCH, numbers[i]);
        guest_ask(&bob, &open);
    }
    hall_settle(&hall);
    CHECK_OK(guest_put(&ada, "k/1", "one"));
    hall_settle(&hall);
    for (unsigned i = 0; i < N; i++) {
        struct list items;

        m = guest_item(&bob, MSG_CHANGE);
        assert_non_null(m);
        CHECK_EQ(msg_u(m, FIELD_WATCH), numbers[i]);
        CHECK_EQ(msg_u(m, FIELD_REVISION), size() - 1);
        items = msg_list(m, FIELD_ITEMS);
        CHECK(list_next(&items, &item));
        CHECK(bytes_equal(msg_b(&item, FIELD_VALUE), bytes_text("one")));
        CHECK_NOT(list_next(&items, &item));
    }
    CHECK_NULL(guest_item(&bob, MSG_CHANGE));
    hall_close(&hall);
}

TEST(watches_of_one_prefix_see_what_each_agent_may_read)
{
    struct buf writes = {0};
    struct bytes values[] = {bytes_text("x"), bytes_text("y")};
    static struct guest cid;
    const struct msg *m;
    struct msg g, op;

    begin();
    guest_join(&hall, &cid, "cid", ALL);
    bob_reads_only("k/a");
    CHECK_EQ(watch_from(&ada, "k/", size(), 10), 0);
    CHECK_EQ(watch_from(&bob, "k/", size(), 10), 0);
    CHECK_EQ(watch_from(&cid, "k/", size(), 10), 0);
    for (unsigned i = 0; i < 2; i++) {
        msg_init(&g, MSG_WRITE);
        msg_set_text(&g, FIELD_KEY, i ? "k/b" : "k/a");
        msg_set_u(&g, FIELD_SLOT, i);
        msg_encode(&g, &writes);
    }
    msg_init(&op, MSG_TXN);
    msg_set_text(&op, FIELD_SPACE, "main");
    msg_set_list(&op, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do_n(&ada, &op, values, 2));
    hall_settle(&hall);
    CHECK_EQ(msg_u(guest_item(&ada, MSG_CHANGE), FIELD_ITEMS), 2);
    m = guest_item(&bob, MSG_CHANGE);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_ITEMS), 1);
    CHECK_EQ(msg_u(guest_item(&cid, MSG_CHANGE), FIELD_ITEMS), 2);
    buf_free(&writes);
    hall_close(&hall);
}

static uint64_t entries_read(void)
{
    struct msg ask, row;
    struct list rows;

    msg_init(&ask, MSG_STATUS);
    rows = msg_list(guest_reply(&ada, &ask), FIELD_ITEMS);
    while (list_next(&rows, &row))
        if (bytes_equal(msg_b(&row, FIELD_NAME), bytes_text("entries_reread")))
            return msg_u(&row, FIELD_SIZE);
    fail_msg("no such number");
    return 0;
}

TEST(watches_that_come_to_it_later_need_not_read_what_one_was_told)
{
    uint64_t before;

    begin();
    CHECK_EQ(watch_from(&ada, "k/", size(), 5), 0);
    CHECK_EQ(watch_from(&bob, "", size(), 2), 0);
    put_all(0, 30);
    check_changes(&ada, 5);
    check_changes(&bob, 2);
    before = entries_read();
    give_credit(&bob, 2); /* what ada was told live */
    check_changes(&bob, 4);
    CHECK_EQ(entries_read(), before);
    give_credit(&ada, 20);
    check_changes(&ada, 25);
    CHECK(entries_read() > before);
    before = entries_read();
    give_credit(&bob, 20); /* and what she was told since */
    check_changes(&bob, 24);
    CHECK_EQ(entries_read(), before);
    give_credit(&bob, 100);
    give_credit(&ada, 100);
    check_changes(&bob, 30);
    check_changes(&ada, 30);
    hall_close(&hall);
}

TEST(what_was_erased_since_is_not_told_from_memory)
{
    const struct msg *m;
    struct msg erase, item;
    struct list items;

    begin();
    CHECK_EQ(watch_from(&ada, "k/", size(), 5), 0);
    CHECK_EQ(watch_from(&bob, "k/", size(), 0), 0);
    CHECK_OK(guest_put(&ada, "k/1", "secret"));
    hall_settle(&hall);
    check_changes(&ada, 1);
    msg_init(&erase, MSG_ERASE);
    msg_set_text(&erase, FIELD_SPACE, "main");
    msg_set_text(&erase, FIELD_KEY, "k/1");
    CHECK_OK(guest_do(&ada, &erase, NULL));
    hall_settle(&hall);
    give_credit(&bob, 5);
    m = guest_item(&bob, MSG_CHANGE);
    assert_non_null(m);
    items = msg_list(m, FIELD_ITEMS);
    CHECK(list_next(&items, &item));
    CHECK_NOT(msg_has(&item, FIELD_VALUE));
    CHECK_EQ(msg_u(&item, FIELD_OUTCOME), CHOIR_ERASED);
    hall_close(&hall);
}

TEST(what_may_not_be_read_is_not_told_from_memory)
{
    const struct msg *m;

    begin();
    CHECK_EQ(watch_from(&ada, "k/", size(), 9), 0);
    CHECK_EQ(watch_from(&bob, "k/", size(), 0), 0);
    CHECK_OK(guest_put(&ada, "k/1", "hers"));
    CHECK_OK(guest_put(&ada, "k/2", "his, too"));
    bob_reads_only("k/2");
    check_changes(&ada, 2);
    give_credit(&bob, 5);
    m = guest_item(&bob, MSG_CHANGE);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_REVISION), size() - 2);
    CHECK_NULL(guest_item(&bob, MSG_CHANGE));
    hall_close(&hall);
}

TEST(withdrawn_grant_ends_the_watch)
{
    struct buf grants = {0};
    struct msg m, g;

    begin();
    CHECK_EQ(watch_from(&bob, "k/", size(), 10), 0);
    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 0);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_GRANT);
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_WATCH_OVER), FIELD_OUTCOME),
             CHOIR_DENIED);
    put_all(0, 3);
    check_changes(&bob, 0);
    CHECK_EQ(watch_from(&bob, "k/", 1, 10), CHOIR_DENIED);
    buf_free(&grants);
    hall_close(&hall);
}

TEST(watch_from_the_future_is_refused)
{
    begin();
    CHECK_EQ(watch_from(&bob, "", size() + 1, 10), CHOIR_FUTURE);
    hall_close(&hall);
}

TEST(watch_over_the_limit_is_refused_with_the_limit)
{
    struct msg m;
    const struct msg *r;

    begin();
    hall.rig.config->watches_per_agent_max = 1;
    CHECK_EQ(watch_from(&bob, "", size(), 10), 0);
    m = watch("", size(), 1);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), 0); /* replaced */
    msg_set_u(&m, FIELD_WATCH, 2);
    r = guest_reply(&bob, &m);
    CHECK_EQ(msg_u(r, FIELD_OUTCOME), CHOIR_OVER_LIMIT);
    CHECK_EQ(msg_u(r, FIELD_LIMIT), 1);
    hall_close(&hall);
}

TEST(unwatched_prefix_is_silent)
{
    struct msg m;

    begin();
    CHECK_EQ(watch_from(&bob, "k/", size(), 10), 0);
    msg_init(&m, MSG_UNWATCH);
    msg_set_u(&m, FIELD_WATCH, 1);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    put_all(0, 3);
    check_changes(&bob, 0);
    hall_close(&hall);
}

TEST(tap_shows_every_entry_with_a_path_that_proves_it)
{
    const struct msg *m;
    struct msg ask, header;
    uint64_t next = 0;
    unsigned field;

    begin();
    put_all(0, 120);
    msg_init(&ask, MSG_TAP);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_REVISION, 0);
    msg_set_u(&ask, FIELD_CREDIT, 100000);
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), 0);
    put_all(120, 125);
    hall_settle(&hall);
    bob.next = 0;
    while ((m = guest_item(&bob, MSG_ENTRY)) != NULL) {
        struct bytes path = msg_b(m, FIELD_PATH);
        struct hash root, wanted;

        CHECK_EQ(msg_u(m, FIELD_REVISION), next++);
        CHECK_OK(part_decode(MSG_BUNDLE_HEADER, msg_b(m, FIELD_HEADER), &header,
                             &field));
        wanted = msg_hash(&header, FIELD_ROOT);
        CHECK_OK(merkle_climb(merkle_blake, op_hash(msg_b(m, FIELD_HEAD)),
                              msg_u(m, FIELD_POSITION),
                              msg_u(&header, FIELD_COUNT), path.p,
                              path.n / HASH_BYTES, &root));
        CHECK(hash_equal(&root, &wanted));
        CHECK_NOT(msg_has(m, FIELD_PAYLOAD));
    }
    CHECK_EQ(next, size());
    hall_close(&hall);
}

TEST(tap_hides_what_compares_a_key_it_may_not_name)
{
    struct buf grants = {0}, writes = {0}, compares = {0};
    struct bytes value = bytes_text("x");
    const struct msg *m;
    struct msg g, op;

    begin();
    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 0);
    msg_encode(&g, &grants);
    msg_set_text(&g, FIELD_SPACE, "main");
    msg_set_text(&g, FIELD_PREFIX, "open/");
    msg_set_u(&g, FIELD_RIGHTS, RIGHT_TAP);
    msg_encode(&g, &grants);
    msg_init(&op, MSG_GRANT);
    msg_set_hash(&op, FIELD_AGENT, &bob.actor.id);
    msg_set_list(&op, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &op, NULL));
    hall_settle(&hall);
    msg_init(&g, MSG_WRITE);
    msg_set_text(&g, FIELD_KEY, "open/a");
    msg_set_u(&g, FIELD_SLOT, 0);
    msg_encode(&g, &writes);
    msg_init(&g, MSG_COMPARE);
    msg_set_text(&g, FIELD_KEY, "secret/b");
    msg_set_u(&g, FIELD_REVISION, 0);
    msg_encode(&g, &compares);
    msg_init(&op, MSG_TXN);
    msg_set_text(&op, FIELD_SPACE, "main");
    msg_set_list(&op, FIELD_WRITES, 1, buf_bytes(&writes));
    msg_set_list(&op, FIELD_COMPARES, 1, buf_bytes(&compares));
    CHECK_OK(guest_do_n(&ada, &op, &value, 1));
    CHECK_OK(guest_put(&ada, "open/b", "y"));
    hall_settle(&hall);
    msg_init(&op, MSG_TAP);
    msg_set_u(&op, FIELD_WATCH, 1);
    msg_set_u(&op, FIELD_REVISION, size() - 2);
    msg_set_u(&op, FIELD_CREDIT, 10);
    CHECK_EQ(msg_u(guest_reply(&bob, &op), FIELD_OUTCOME), 0);
    hall_settle(&hall);
    bob.next = 0;
    m = guest_item(&bob, MSG_ENTRY);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_REVISION), size() - 1);
    CHECK_NULL(guest_item(&bob, MSG_ENTRY));
    buf_free(&grants);
    buf_free(&writes);
    buf_free(&compares);
    hall_close(&hall);
}

TEST(opening_a_tap_with_values_is_an_entry)
{
    const struct msg *m;
    struct msg ask, head;
    unsigned field;
    uint64_t before;

    begin();
    before = size();
    msg_init(&ask, MSG_TAP);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_REVISION, before);
    msg_set_u(&ask, FIELD_CREDIT, 10);
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), 0);
    CHECK_EQ(size(), before); /* heads alone need no entry */
    msg_set_u(&ask, FIELD_WATCH, 2);
    msg_set_u(&ask, FIELD_KIND, 1);
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), 0);
    CHECK_EQ(size(), before + 1);
    bob.next = 0;
    m = guest_item(&bob, MSG_ENTRY);
    assert_non_null(m);
    CHECK_OK(msg_decode(msg_b(m, FIELD_HEAD), CLASS_BROKER, &head, &field));
    CHECK_EQ(head.verb, MSG_TAPPED);
    CHECK_MEM(msg_b(&head, FIELD_AGENT).p, bob.actor.id.b, HASH_BYTES);
    hall_close(&hall);
}

TEST(tap_that_does_not_keep_up_is_told_how_many_notices_it_lost)
{
    const struct msg *m;
    struct msg ask;

    begin();
    msg_init(&ask, MSG_TAP);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_REVISION, size());
    msg_set_u(&ask, FIELD_CREDIT, 1);
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), 0);
    put_all(0, 3); /* no credit any more */
    guest_disconnect(&ada);
    guest_connect(&ada);
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_NOTICE), 0);
    msg_init(&ask, MSG_CREDIT);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_CREDIT, 100);
    CHECK_EQ(msg_u(guest_reply(&bob, &ask), FIELD_OUTCOME), 0);
    guest_disconnect(&ada);
    hall_settle(&hall);
    bob.next = 0;
    m = guest_item(&bob, MSG_NOTICE);
    assert_non_null(m);
    CHECK_EQ(msg_u(m, FIELD_COUNT), 2);
    CHECK(bytes_equal(msg_b(m, FIELD_TEXT), bytes_text("notices were left "
                                                       "out")));
    m = guest_item(&bob, MSG_NOTICE);
    assert_non_null(m);
    CHECK(bytes_equal(msg_b(m, FIELD_TEXT), bytes_text("left")));
    CHECK_NULL(guest_item(&bob, MSG_NOTICE));
    hall_close(&hall);
}

TEST(tap_needs_the_right)
{
    struct guest eve;
    struct msg ask;

    begin();
    guest_join(&hall, &eve, "eve", RIGHT_READ | RIGHT_WRITE);
    msg_init(&ask, MSG_TAP);
    msg_set_u(&ask, FIELD_WATCH, 1);
    msg_set_u(&ask, FIELD_REVISION, 0);
    msg_set_u(&ask, FIELD_CREDIT, 10);
    CHECK_EQ(msg_u(guest_reply(&eve, &ask), FIELD_OUTCOME), CHOIR_DENIED);
    hall_close(&hall);
}

CHECK_MAIN
