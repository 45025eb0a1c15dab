#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_READ);
}

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static uint64_t done(void)
{
    hall_settle(&hall);
    return head();
}

static uint64_t put(const char *key, const char *value)
{
    CHECK_OK(guest_put(&ada, key, value));
    return done();
}

static uint64_t gone(const char *key)
{
    struct msg m;

    msg_init(&m, MSG_DELETE);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    CHECK_OK(guest_do(&ada, &m, NULL));
    return done();
}

static struct msg since(const char *prefix, uint64_t revision)
{
    struct msg m;

    msg_init(&m, MSG_SINCE);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_REVISION, revision);
    return m;
}

static struct msg diff(const char *prefix, uint64_t from, uint64_t to)
{
    struct msg m = since(prefix, to);

    m.verb = MSG_DIFF;
    msg_set_u(&m, FIELD_BASE, from);
    return m;
}

static int outcome(const struct msg *r)
{
    return (int)msg_u(r, FIELD_OUTCOME);
}

/* "+key" put, "-key" deleted, "!key": put, but what it was is unknown. */
static const char *told(const struct msg *r)
{
    static char text[4096];
    struct list items = msg_list(r, FIELD_ITEMS);
    struct msg item;
    size_t n = 0;

    text[0] = 0;
    while (list_next(&items, &item)) {
        struct bytes key = msg_b(&item, FIELD_KEY);
        const char *sign = msg_u(&item, FIELD_KIND) ? "-" : "+";

        n += (size_t)snprintf(text + n, sizeof text - n, "%s%s%.*s",
                              n ? " " : "",
                              msg_has(&item, FIELD_PREV) ? sign : "!",
                              (int)key.n, (const char *)key.p);
    }
    return text;
}

static struct msg item_of(const struct msg *r, const char *key)
{
    struct list items = msg_list(r, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        if (bytes_equal(msg_b(&item, FIELD_KEY), bytes_text(key)))
            return item;
    }
    fail_msg("%s is not told", key);
    return item;
}

TEST(since_tells_each_key_once_with_what_it_was_and_who_wrote_it)
{
    struct msg m, item;
    uint64_t old, then, last;
    const struct msg *r;

    begin();
    put("quiet", "1");
    put("plan", "1");
    old = put("plan", "2");
    then = put("gone", "1");
    put("plan", "three");
    put("new", "1");
    gone("gone");
    last = put("plan", "four");
    m = since("", then);
    r = guest_reply(&bob, &m);
    CHECK_EQ(outcome(r), 0);
    CHECK_STR(told(r), "-gone +new +plan");
    CHECK_EQ(msg_u(r, FIELD_REVISION), head());
    item = item_of(r, "plan");
    CHECK_EQ(msg_u(&item, FIELD_REVISION), last);
    CHECK_EQ(msg_u(&item, FIELD_PREV), old);
    CHECK_EQ(msg_u(&item, FIELD_COUNT), 2);
    CHECK_EQ(msg_u(&item, FIELD_SIZE), 4);
    CHECK(msg_u(&item, FIELD_TIME) > 0);
    CHECK(bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    item = item_of(r, "gone");
    CHECK_EQ(msg_u(&item, FIELD_PREV), then);
    CHECK_NOT(msg_has(&item, FIELD_SIZE));
    item = item_of(r, "new");
    CHECK(msg_has(&item, FIELD_PREV));
    CHECK_EQ(msg_u(&item, FIELD_PREV), 0);
    m = since("", head());
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_ITEMS), 0);
    hall_close(&hall);
}

TEST(since_shows_what_came_and_went_and_that_a_deleted_key_was_absent)
{
    struct msg m, item;
    uint64_t then;

    begin();
    put("back", "1");
    then = gone("back");
    put("back", "2");
    put("brief", "1");
    gone("brief");
    m = since("", then);
    CHECK_STR(told(guest_reply(&bob, &m)), "+back -brief");
    item = item_of(guest_reply(&bob, &m), "back");
    CHECK_EQ(msg_u(&item, FIELD_PREV), 0);
    m = diff("", then, head());
    CHECK_STR(told(guest_reply(&bob, &m)), "+back");
    hall_close(&hall);
}

TEST(since_asks_for_the_future_or_a_diff_backwards_are_refused)
{
    struct msg m;

    begin();
    put("plan", "1");
    m = since("", head() + 1);
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_FUTURE);
    m = diff("", 1, head() + 1);
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_FUTURE);
    m = diff("", 2, 1);
    CHECK_EQ(outcome(guest_reply(&bob, &m)), CHOIR_INVALID);
    hall_close(&hall);
}

TEST(since_goes_on_page_by_page)
{
    struct msg m;
    const struct msg *r;
    char key[20];
    unsigned n = 0, pages = 0;

    begin();
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "k/%02d", i);
        put(key, key);
    }
    put("z", "z");
    m = since("k/", 0);
    msg_set_u(&m, FIELD_COUNT, 7);
    do {
        r = guest_reply(&bob, &m);
        n += (unsigned)msg_u(r, FIELD_ITEMS);
        pages++;
        msg_set_b(&m, FIELD_AFTER, msg_b(r, FIELD_AFTER));
    } while (msg_has(r, FIELD_AFTER));
    CHECK_EQ(n, 50);
    CHECK_EQ(pages, 8);
    hall_close(&hall);
}

/* rights: of bob, under open/ alone. */
static void narrow(void)
{
    struct buf grants = {0};
    struct msg g, grant;

    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 0);
    msg_encode(&g, &grants);
    msg_set_text(&g, FIELD_SPACE, "main");
    msg_set_text(&g, FIELD_PREFIX, "open/");
    msg_set_u(&g, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&g, &grants);
    msg_init(&grant, MSG_GRANT);
    msg_set_hash(&grant, FIELD_AGENT, &bob.actor.id);
    msg_set_list(&grant, FIELD_GRANTS, 2, buf_bytes(&grants));
    CHECK_OK(guest_do(&ada, &grant, NULL));
    hall_settle(&hall);
    buf_free(&grants);
}

TEST(since_and_diff_tell_nothing_of_what_may_not_be_read)
{
    struct msg m;
    const struct msg *r;
    uint64_t to;

    begin();
    put("open/a", "1");
    to = put("secret/b", "2");
    narrow();
    m = since("", 1);
    msg_set_u(&m, FIELD_COUNT, 1);
    r = guest_reply(&bob, &m);
    CHECK_STR(told(r), "+open/a");
    CHECK_NOT(msg_has(r, FIELD_AFTER));
    for (int i = 0; i < 20; i++) /* then it is read by entry */
        put("open/c", "x");
    m = diff("", to - 2, to);
    CHECK_STR(told(guest_reply(&bob, &m)), "+open/a");
    m = since("secret/", 1);
    CHECK_STR(told(guest_reply(&bob, &m)), "");
    hall_close(&hall);
}

/* Both ways of a diff against what is known: by key where the range reaches
 * far, by entry where it is short and long ago. */
TEST(diff_by_key_and_by_entry_say_the_same)
{
    struct msg m, item;
    uint64_t base, a1, a2, to;

    begin();
    put("was", "1");
    a1 = put("a", "1");
    base = put("same", "1");
    put("brief", "1");
    gone("brief");
    put("a", "2");
    a2 = put("a", "3");
    to = gone("was");
    for (int far = 0; far < 2; far++) {
        m = diff("", base, to);
        CHECK_STR(told(guest_reply(&bob, &m)), "+a -was");
        item = item_of(guest_reply(&bob, &m), "a");
        CHECK_EQ(msg_u(&item, FIELD_REVISION), a2);
        CHECK_EQ(msg_u(&item, FIELD_PREV), a1);
        CHECK_EQ(msg_u(&item, FIELD_COUNT), 2);
        CHECK(
            bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&ada.actor.id)));
        CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_REVISION), to);
        msg_set_u(&m, FIELD_COUNT, 1);
        CHECK_STR(told(guest_reply(&bob, &m)), "+a");
        msg_set_b(&m, FIELD_AFTER, msg_b(guest_reply(&bob, &m), FIELD_AFTER));
        CHECK_STR(told(guest_reply(&bob, &m)), "-was");
        for (int i = 0; i < 20; i++) {
            put("a", "later");
            put("other", "later");
        }
    }
    hall_close(&hall);
}

TEST(diff_finds_what_transactions_and_completions_wrote)
{
    struct buf writes = {0};
    struct msg m, write, item;
    uint64_t base, task, token;

    begin();
    base = put("a", "1");
    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    CHECK_OK(guest_do(&ada, &m, "payload"));
    task = done();
    msg_init(&m, MSG_WORK);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_QUEUE, "jobs");
    msg_set_u(&m, FIELD_CREDIT, 1);
    guest_reply(&ada, &m);
    hall_settle(&hall);
    token = msg_u(guest_item(&ada, MSG_TASK), FIELD_TOKEN);
    msg_init(&write, MSG_WRITE);
    msg_set_text(&write, FIELD_KEY, "a");
    msg_set_u(&write, FIELD_SLOT, 0);
    msg_encode(&write, &writes);
    msg_init(&write, MSG_WRITE);
    msg_set_text(&write, FIELD_KEY, "absent");
    msg_encode(&write, &writes);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    CHECK_OK(guest_do(&ada, &m, "result"));
    task = done();
    for (int far = 0; far < 2; far++) {
        m = diff("", base, task);
        CHECK_STR(told(guest_reply(&bob, &m)), "+a");
        item = item_of(guest_reply(&bob, &m), "a");
        CHECK(msg_u(&item, FIELD_TASK) > 0);
        CHECK_EQ(msg_u(&item, FIELD_PREV), base);
        for (int i = 0; i < 20; i++)
            put("z", "later");
    }
    buf_free(&writes);
    hall_close(&hall);
}

static void put_many(const char *key, unsigned thousands)
{
    struct bytes value = bytes_text("v");
    struct told answer = {0};
    struct msg op;

    msg_init(&op, MSG_PUT);
    msg_set_text(&op, FIELD_SPACE, "main");
    msg_set_text(&op, FIELD_KEY, key);
    while (thousands--) {
        actor_begin(&ada.actor);
        for (int k = 0; k < 1000; k++)
            actor_add(&ada.actor, &op, &value, 1);
        CHECK_OK(actor_finish(&hall.rig, &ada.actor, &answer));
        CHECK_EQ(answer.outcome, CHOIR_OK);
    }
    buf_free(&answer.effect_bytes);
}

TEST(since_goes_on_where_a_key_has_too_many_versions_to_count)
{
    struct msg m;
    uint64_t first;
    const struct msg *r;

    begin();
    first = put("plan", "1");
    put("a", "x");
    put_many("plan", 21);
    put("z", "x");
    m = since("", first - 1);
    r = guest_reply(&bob, &m);
    CHECK_STR(told(r), "+a"); /* no time for more on one page */
    msg_set_b(&m, FIELD_AFTER, msg_b(r, FIELD_AFTER));
    r = guest_reply(&bob, &m);
    CHECK_STR(told(r), "!plan");
    msg_set_b(&m, FIELD_AFTER, msg_b(r, FIELD_AFTER));
    r = guest_reply(&bob, &m);
    CHECK_STR(told(r), "+z");
    CHECK_NOT(msg_has(r, FIELD_AFTER));
    hall_close(&hall);
}

TEST(diff_too_far_back_is_refused_with_the_limit)
{
    struct msg m;
    uint64_t base, to;
    const struct msg *r;

    begin();
    base = head();
    put_many("plan", 21);
    to = head();
    put_many("plan", 21);
    m = diff("", base, to);
    r = guest_reply(&bob, &m);
    CHECK_EQ(outcome(r), CHOIR_OVER_LIMIT);
    CHECK_EQ(msg_u(r, FIELD_LIMIT), 20000);
    CHECK(bytes_equal(msg_b(r, FIELD_FIELD), bytes_text("versions_walked")));
    m = diff("", to - 1, to); /* short: by entry */
    CHECK_STR(told(guest_reply(&bob, &m)), "+plan");
    hall_close(&hall);
}

CHECK_MAIN
