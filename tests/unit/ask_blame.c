/* blame: who is responsible for a value, path by path, element by element. */
#include <stdlib.h>

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob, cid;
static const struct msg *answer;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ | RIGHT_WRITE | RIGHT_WORK);
    guest_join(&hall, &cid, "cid", RIGHT_READ | RIGHT_WRITE | RIGHT_WORK);
}

static struct msg op(enum message verb, const char *key)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, "main");
    if (key)
        msg_set_text(&m, FIELD_KEY, key);
    return m;
}

static uint64_t said(struct guest *g, struct msg *m, struct bytes value)
{
    CHECK_OK(guest_do_n(g, m, &value, value.p ? 1 : 0));
    hall_turn(&hall);
    return rig_state(&hall.rig)->size - 1;
}

static void policy(const char *prefix, enum merge_rule rule)
{
    struct msg m = op(MSG_POLICY, NULL);

    msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_RULE, rule);
    said(&ada, &m, (struct bytes){0});
}

static uint64_t put(struct guest *g, const char *key, uint64_t base,
                    struct buf *value)
{
    struct msg m = op(MSG_PUT, key);
    uint64_t at;

    msg_set_text(&m, FIELD_TYPE, "application/msgpack");
    if (base)
        msg_set_u(&m, FIELD_IF_REVISION, base);
    at = said(g, &m, buf_bytes(value));
    buf_free(value);
    return at;
}

/* {"a": a, "b": {"c": c, "d": d}} */
static uint64_t put_map(struct guest *g, uint64_t base, unsigned a, unsigned c,
                        unsigned d)
{
    struct buf b = {0};

    pack_map(&b, 2);
    pack_text(&b, bytes_text("a"));
    pack_uint(&b, a);
    pack_text(&b, bytes_text("b"));
    pack_map(&b, 2);
    pack_text(&b, bytes_text("c"));
    pack_uint(&b, c);
    pack_text(&b, bytes_text("d"));
    pack_uint(&b, d);
    return put(g, "m/1", base, &b);
}

static uint64_t change(struct guest *g, enum message verb, const char *key,
                       int64_t n)
{
    struct msg m = op(verb, key);
    struct buf b = {0};
    uint64_t at;

    pack_int(&b, n);
    at = said(g, &m, buf_bytes(&b));
    buf_free(&b);
    return at;
}

/* --- Asking ----------------------------------------------------------------- */

static int ask_from(struct guest *g, const char *key, uint64_t revision,
                    uint64_t count, const char *after, uint64_t prev)
{
    struct msg m = op(MSG_BLAME, key);

    if (revision)
        msg_set_u(&m, FIELD_REVISION, revision);
    if (count)
        msg_set_u(&m, FIELD_COUNT, count);
    if (after)
        msg_set_text(&m, FIELD_AFTER, after);
    if (prev)
        msg_set_u(&m, FIELD_PREV, prev);
    answer = guest_reply(g, &m);
    return (int)msg_u(answer, FIELD_OUTCOME);
}

static int ask(struct guest *g, const char *key, uint64_t revision)
{
    return ask_from(g, key, revision, 0, NULL, 0);
}

static bool find(enum blame_kind kind, enum field f, struct bytes value,
                 struct msg *item)
{
    struct list items = msg_list(answer, FIELD_ITEMS);

    while (list_next(&items, item)) {
        if (msg_u(item, FIELD_KIND) == kind &&
            bytes_equal(msg_b(item, f), value))
            return true;
    }
    return false;
}

/* Which version a place is from; 0: it is not told. */
static uint64_t place(const char *name)
{
    struct msg item;

    return find(BLAME_PLACE, FIELD_TEXT, bytes_text(name), &item)
               ? msg_u(&item, FIELD_REVISION)
               : 0;
}

static bool place_reason_is(const char *name, const char *reason)
{
    struct msg item;

    return find(BLAME_PLACE, FIELD_TEXT, bytes_text(name), &item) &&
           bytes_equal(msg_b(&item, FIELD_REASON), bytes_text(reason));
}

static bool entry(uint64_t revision, struct msg *item)
{
    struct list items = msg_list(answer, FIELD_ITEMS);

    while (list_next(&items, item)) {
        if (msg_u(item, FIELD_KIND) == BLAME_ENTRY &&
            msg_u(item, FIELD_REVISION) == revision)
            return true;
    }
    return false;
}

static bool entry_is_of(uint64_t revision, const struct guest *g)
{
    struct msg item;

    return entry(revision, &item) &&
           bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&g->actor.id));
}

static bool number_is(const struct msg *item, int64_t wanted)
{
    struct buf b = {0};
    bool is;

    pack_int(&b, wanted);
    is = bytes_equal(buf_bytes(&b), msg_b(item, FIELD_VALUE));
    buf_free(&b);
    return is;
}

static bool share_is(const struct guest *g, int64_t sum, uint64_t count)
{
    struct msg item;

    return find(BLAME_SHARE, FIELD_AGENT, hash_bytes(&g->actor.id), &item) &&
           number_is(&item, sum) && msg_u(&item, FIELD_COUNT) == count;
}

/* --- Maps ------------------------------------------------------------------- */

static uint64_t first, second, third, fourth;

/* ada begins; bob changes a, cid b.c from the same base; ada b.d. */
static void merges(void)
{
    begin();
    policy("m/", RULE_MERGE);
    first = put_map(&ada, 0, 1, 1, 1);
    second = put_map(&bob, first, 2, 1, 1);
    third = put_map(&cid, first, 1, 3, 1);
    fourth = put_map(&ada, third, 2, 3, 4);
}

TEST(blame_names_who_last_changed_each_path)
{
    struct msg item;

    merges();
    CHECK_OK(ask(&cid, "m/1", 0));
    CHECK_EQ(msg_u(answer, FIELD_REVISION), fourth);
    CHECK_EQ(place("/a"), second);
    CHECK_EQ(place("/b/c"), third);
    CHECK_EQ(place("/b/d"), fourth);
    CHECK(entry_is_of(second, &bob) && entry_is_of(third, &cid) &&
          entry_is_of(fourth, &ada));
    CHECK_NOT(entry(first, &item));
    CHECK(entry(third, &item));
    CHECK_EQ(msg_u(&item, FIELD_OPERATION), MSG_PUT);
    CHECK(msg_has(&item, FIELD_TIME));
    CHECK_NOT(msg_has(answer, FIELD_PREV) || msg_has(answer, FIELD_AFTER));
    hall_close(&hall);
}

TEST(blame_as_of_a_revision_knows_nothing_later)
{
    struct msg item;

    merges();
    CHECK_OK(ask(&cid, "m/1", third));
    CHECK_EQ(msg_u(answer, FIELD_REVISION), third);
    CHECK_EQ(place("/a"), second);
    CHECK_EQ(place("/b/c"), third);
    CHECK_EQ(place("/b/d"), first);
    CHECK(entry_is_of(first, &ada));
    CHECK_NOT(entry(fourth, &item));
    CHECK_EQ(ask(&cid, "m/1", 1000000), CHOIR_FUTURE);
    CHECK_EQ(ask(&cid, "m/1", first - 1), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

TEST(blame_begins_anew_where_a_key_was_deleted)
{
    struct msg m = op(MSG_DELETE, "m/1"), item;
    uint64_t gone, again;

    merges();
    msg_set_u(&m, FIELD_IF_REVISION, fourth);
    gone = said(&bob, &m, (struct bytes){0});
    CHECK_OK(ask(&cid, "m/1", 0));
    CHECK(entry_is_of(gone, &bob));
    CHECK(entry(gone, &item));
    CHECK_EQ(msg_u(&item, FIELD_OPERATION), MSG_DELETE);
    CHECK_NOT(msg_has(&item, FIELD_SIZE));
    CHECK_EQ(msg_list(answer, FIELD_ITEMS).left, 1);
    again = put_map(&cid, 0, 2, 3, 4);
    CHECK_OK(ask(&cid, "m/1", 0));
    CHECK_EQ(place("/a"), again);
    CHECK_EQ(place("/b/d"), again);
    hall_close(&hall);
}

TEST(blame_of_what_is_no_map_is_its_author)
{
    struct msg item;
    uint64_t at;

    begin();
    CHECK_OK(guest_put(&bob, "text", "one"));
    hall_turn(&hall);
    at = rig_state(&hall.rig)->size - 1;
    CHECK_OK(ask(&cid, "text", 0));
    CHECK(entry_is_of(at, &bob));
    CHECK(entry(at, &item));
    CHECK_EQ(msg_u(&item, FIELD_SIZE), 3);
    CHECK_EQ(msg_list(answer, FIELD_ITEMS).left, 1);
    hall_close(&hall);
}

TEST(blame_comes_in_pages_of_places)
{
    merges();
    CHECK_OK(ask_from(&cid, "m/1", 0, 2, NULL, 0));
    CHECK_EQ(place("/a"), second);
    CHECK_EQ(place("/b/c"), third);
    CHECK_EQ(place("/b/d"), 0);
    CHECK(bytes_equal(msg_b(answer, FIELD_AFTER), bytes_text("/b/c")));
    CHECK_OK(ask_from(&cid, "m/1", fourth, 2, "/b/c", 0));
    CHECK_EQ(place("/a"), 0);
    CHECK_EQ(place("/b/d"), fourth);
    CHECK_NOT(msg_has(answer, FIELD_AFTER));
    CHECK_EQ(ask_from(&cid, "m/1", fourth, 2, "/z", 0), CHOIR_INVALID);
    hall_close(&hall);
}

/* What the walk has no time for comes with the next answer. */
TEST(blame_walks_a_bounded_number_of_versions_and_goes_on)
{
    enum { MANY = 2700 }; /* a session takes 1024 bundles unanswered */
    struct guest *writers[] = {&ada, &bob, &cid};
    uint64_t last = 0, from = 0, oldest = 0, next = 0;
    unsigned asks = 0;

    begin();
    first = put_map(&ada, 0, 1, 1, 1);
    for (unsigned i = 2; i <= MANY; i++)
        last = put_map(writers[i % 3], 0, 1, i, 1);
    do {
        CHECK_OK(ask_from(&cid, "m/1", last, 0, NULL, from));
        if (!asks)
            next = place("/b/c");
        if (place("/a"))
            oldest = place("/a");
        from = msg_u(answer, FIELD_PREV);
        asks++;
    } while (from && asks < 10);
    CHECK(asks > 1 && asks < 10);
    CHECK_EQ(next, last);
    CHECK_EQ(oldest, first);
    CHECK_EQ(place("/b/c"), 0); /* told before */
    CHECK_EQ(ask_from(&cid, "m/1", first, 0, NULL, last), CHOIR_INVALID);
    CHECK_EQ(ask_from(&cid, "m/1", last, 0, NULL, first - 1), CHOIR_INVALID);
    hall_close(&hall);
}

/* A version may lie among much else, whose heads are read and checked with it:
 * here 16 KB beside each. */
TEST(blame_counts_what_has_to_be_read_for_it)
{
    enum { MANY = 400, KEYS = 30, KEY = 500 };
    struct msg m = op(MSG_TXN, NULL);
    struct buf writes = {0};
    char key[KEY + 1] = {0};
    uint64_t last = 0, from = 0, oldest = 0;
    unsigned asks = 0;

    memset(key, 'k', KEY);
    for (unsigned i = 0; i < KEYS; i++) {
        struct msg write;

        key[0] = (char)('0' + i);
        msg_init(&write, MSG_WRITE);
        msg_set_text(&write, FIELD_KEY, key);
        msg_encode(&write, &writes);
    }
    msg_set_list(&m, FIELD_WRITES, KEYS, buf_bytes(&writes));
    begin();
    first = put_map(&ada, 0, 1, 1, 1);
    for (unsigned i = 2; i < MANY; i++) {
        CHECK_OK(guest_do_n(&cid, &m, NULL, 0));
        last = put_map(&bob, 0, 1, i, 1);
    }
    do {
        CHECK_OK(ask_from(&cid, "m/1", last, 0, NULL, from));
        if (place("/a"))
            oldest = place("/a");
        from = msg_u(answer, FIELD_PREV);
        asks++;
    } while (from && asks < 10);
    CHECK(asks > 1 && asks < 10);
    CHECK_EQ(oldest, first);
    CHECK_OK(ask(&cid, "m/1", last)); /* it need not be read again */
    CHECK_NOT(msg_has(answer, FIELD_PREV));
    buf_free(&writes);
    hall_close(&hall);
}

/* --- Arrays and counters ---------------------------------------------------- */

TEST(blame_names_who_added_each_element)
{
    uint64_t one, two, three;
    struct buf b = {0};

    begin();
    one = change(&ada, MSG_APPEND, "log", 1);
    two = change(&bob, MSG_APPEND, "log", 2);
    CHECK_OK(ask(&cid, "log", 0));
    CHECK_EQ(place("/0"), one);
    CHECK_EQ(place("/1"), two);
    policy("s/", RULE_SET);
    pack_array(&b, 2);
    pack_uint(&b, 1);
    pack_uint(&b, 2);
    one = put(&ada, "s/1", 0, &b);
    b = (struct buf){0};
    pack_array(&b, 1);
    pack_uint(&b, 3);
    two = put(&bob, "s/1", 0, &b);
    b = (struct buf){0};
    pack_array(&b, 2); /* takes 1 out */
    pack_uint(&b, 2);
    pack_uint(&b, 3);
    three = put(&cid, "s/1", two, &b);
    CHECK_OK(ask(&cid, "s/1", 0));
    CHECK_EQ(msg_u(answer, FIELD_REVISION), three);
    CHECK_EQ(place("/0"), one);
    CHECK_EQ(place("/1"), two);
    hall_close(&hall);
}

TEST(blame_of_a_counter_is_what_each_author_added)
{
    struct msg item;

    begin();
    change(&ada, MSG_INCR, "n", 40);
    change(&bob, MSG_INCR, "n", -5);
    first = change(&ada, MSG_INCR, "n", 2);
    CHECK_OK(ask(&cid, "n", 0));
    CHECK(share_is(&ada, 42, 2));
    CHECK(share_is(&bob, -5, 1));
    CHECK(entry_is_of(first, &ada));
    CHECK_OK(ask_from(&cid, "n", 0, 1, NULL, 0));
    CHECK(share_is(&ada, 2, 1));
    CHECK_OK(ask_from(&cid, "n", first, 2, NULL, msg_u(answer, FIELD_PREV)));
    CHECK(share_is(&ada, 40, 1));
    CHECK(share_is(&bob, -5, 1));
    /* more than 64 bits of one author's are two shares */
    change(&ada, MSG_INCR, "big", INT64_MAX);
    change(&bob, MSG_INCR, "big", -INT64_MAX);
    change(&ada, MSG_INCR, "big", INT64_MAX);
    CHECK_OK(ask(&cid, "big", 0));
    CHECK(share_is(&ada, INT64_MAX, 1));
    CHECK(share_is(&bob, -INT64_MAX, 1));
    CHECK(find(BLAME_SHARE, FIELD_AGENT, hash_bytes(&ada.actor.id), &item));
    hall_close(&hall);
}

/* --- What is not there, or not for everyone --------------------------------- */

TEST(blame_says_up_to_where_the_past_is_kept)
{
    struct msg m, item;

    merges();
    msg_init(&m, MSG_COMPACT);
    msg_set_u(&m, FIELD_REVISION, third);
    said(&ada, &m, (struct bytes){0});
    CHECK_OK(ask(&cid, "m/1", 0));
    CHECK_EQ(place("/b/d"), fourth);
    CHECK_EQ(place("/a"), third);
    CHECK(place_reason_is("/a", "compacted"));
    CHECK(place_reason_is("/b/c", "compacted"));
    CHECK_NOT(place_reason_is("/b/d", "compacted"));
    CHECK_EQ(ask(&cid, "m/1", second), CHOIR_COMPACTED);
    CHECK_EQ(msg_u(answer, FIELD_REVISION), third);
    change(&ada, MSG_INCR, "n", 40);
    first = change(&bob, MSG_INCR, "n", 2);
    msg_set_u(&m, FIELD_REVISION, first);
    said(&ada, &m, (struct bytes){0});
    second = change(&cid, MSG_INCR, "n", 3);
    CHECK_OK(ask(&cid, "n", 0));
    CHECK(share_is(&cid, 3, 1));
    CHECK(find(BLAME_SHARE, FIELD_REASON, bytes_text("compacted"), &item));
    CHECK(number_is(&item, 42));
    CHECK_EQ(msg_u(&item, FIELD_REVISION), first);
    CHECK_NOT(msg_has(&item, FIELD_AGENT));
    hall_close(&hall);
}

TEST(blame_says_where_a_version_between_is_erased)
{
    struct msg m = op(MSG_ERASE, "m/1"), item;

    merges();
    msg_set_u(&m, FIELD_REVISION, second);
    msg_set_u(&m, FIELD_DERIVED, 0);
    said(&ada, &m, (struct bytes){0});
    hall_settle(&hall);
    CHECK_OK(ask(&cid, "m/1", 0));
    CHECK_EQ(place("/b/d"), fourth);
    CHECK_EQ(place("/a"), third);
    CHECK(place_reason_is("/a", "erased"));
    /* its author is known, also where the value is gone */
    CHECK_OK(ask(&cid, "m/1", second));
    CHECK(entry_is_of(second, &bob));
    CHECK(entry(second, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_REASON), bytes_text("erased")));
    CHECK_EQ(place("/a"), 0);
    hall_close(&hall);
}

TEST(blame_of_what_may_not_be_read_is_as_if_it_were_absent)
{
    static struct guest eve;

    merges();
    actor_join(&hall.rig, &eve.actor, "eve", "elsewhere", 127);
    eve.hall = &hall;
    guest_connect(&eve);
    CHECK_EQ(ask(&eve, "m/1", 0), CHOIR_NOT_FOUND);
    CHECK_EQ(ask(&eve, "m/1", 1000000), CHOIR_NOT_FOUND);
    CHECK_EQ(ask(&cid, "none", 0), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

static uint64_t txn_two(struct guest *g, const char *a, const char *b)
{
    struct msg m = op(MSG_TXN, NULL), w;
    struct buf writes = {0};
    uint64_t at;

    for (unsigned i = 0; i < 2; i++) {
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, i ? b : a);
        msg_set_u(&w, FIELD_SLOT, 0);
        msg_encode(&w, &writes);
    }
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    at = said(g, &m, bytes_text("x"));
    buf_free(&writes);
    return at;
}

/* Its log tells as much. */
TEST(blame_tells_only_the_author_of_what_wrote_other_keys_too)
{
    static struct guest eve;
    struct msg m, row, item;
    struct buf rows = {0};
    uint64_t at;

    begin();
    actor_join(&hall.rig, &eve.actor, "eve", "elsewhere", 127);
    eve.hall = &hall;
    guest_connect(&eve);
    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "main");
    msg_set_text(&row, FIELD_PREFIX, "open/");
    msg_set_u(&row, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&row, &rows);
    msg_init(&m, MSG_GRANT);
    msg_set_hash(&m, FIELD_AGENT, &eve.actor.id);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    said(&ada, &m, (struct bytes){0});
    buf_free(&rows);
    at = txn_two(&bob, "closed/1", "open/1");
    CHECK_OK(ask(&eve, "open/1", 0));
    CHECK(entry_is_of(at, &bob));
    CHECK(entry(at, &item));
    CHECK(bytes_equal(msg_b(&item, FIELD_REASON), bytes_text("hidden")));
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("open/1")));
    CHECK_NOT(msg_has(&item, FIELD_COUNT) || msg_has(&item, FIELD_OPERATION));
    CHECK_OK(ask(&cid, "open/1", 0));
    CHECK(entry(at, &item));
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 2);
    CHECK(bytes_equal(msg_b(&item, FIELD_KEY), bytes_text("open/1")));
    CHECK_EQ(ask(&eve, "closed/1", 0), CHOIR_NOT_FOUND);
    hall_close(&hall);
}

CHECK_MAIN
