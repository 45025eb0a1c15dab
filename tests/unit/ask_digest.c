/* What a replica holds, compared page by page. */
#include "proto/keyset.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;
static struct buf run;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 0);
    run = (struct buf){0};
}

static void end(void)
{
    buf_free(&run);
    hall_close(&hall);
}

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static uint64_t put(const char *key)
{
    CHECK_OK(guest_put(&ada, key, "v"));
    hall_settle(&hall);
    return head();
}

static void has(const char *key, uint64_t revision)
{
    keyset_add(&run, bytes_text(key), revision);
}

/* What the broker says of what `run` holds. */
static const struct msg *digest(struct guest *g, const char *after,
                                const char *upto, uint64_t revision)
{
    struct hash h = keyset_digest(&run);
    struct msg m;

    msg_init(&m, MSG_DIGEST);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "d/");
    msg_set_u(&m, FIELD_REVISION, revision);
    msg_set_hash(&m, FIELD_DIGEST, &h);
    if (after)
        msg_set_text(&m, FIELD_AFTER, after);
    if (upto)
        msg_set_text(&m, FIELD_KEY, upto);
    buf_clear(&run);
    return guest_reply(g, &m);
}

static void is_same(const struct msg *reply, uint64_t count)
{
    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), CHOIR_OK);
    CHECK(msg_has(reply, FIELD_REVISION));
    CHECK_EQ(msg_u(reply, FIELD_COUNT), count);
}

TEST(the_same_keys_at_the_same_revisions_are_the_same)
{
    uint64_t a, b, c;

    begin();
    a = put("d/a");
    put("e");
    b = put("d/b");
    c = put("d/c");
    is_same(digest(&ada, NULL, "c", 1), 0);
    has("d/a", a);
    has("d/b", b);
    has("d/c", c);
    is_same(digest(&ada, NULL, NULL, head()), 3);
    has("d/a", a);
    has("d/b", b);
    is_same(digest(&ada, NULL, "d/b", head()), 2);
    has("d/c", c);
    is_same(digest(&ada, "d/b", NULL, head()), 1);
    end();
}

TEST(other_keys_or_revisions_are_told_and_the_tap_hears_it)
{
    const struct msg *notice;
    struct msg m;
    uint64_t a;

    begin();
    a = put("d/a");
    msg_init(&m, MSG_TAP);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, head() + 1);
    msg_set_u(&m, FIELD_CREDIT, 9);
    guest_reply(&ada, &m);
    has("d/a", a - 1);
    CHECK_EQ(msg_u(digest(&ada, NULL, NULL, head()), FIELD_OUTCOME),
             CHOIR_DIVERGED);
    notice = guest_item(&ada, MSG_NOTICE);
    CHECK(notice != NULL);
    CHECK_EQ(msg_u(notice, FIELD_OUTCOME), CHOIR_DIVERGED);
    CHECK_EQ(msg_u(digest(&ada, NULL, NULL, head()), FIELD_OUTCOME),
             CHOIR_DIVERGED); /* it is not empty */
    has("d/a", a);
    has("d/b", a);
    CHECK_EQ(msg_u(digest(&ada, NULL, NULL, head()), FIELD_OUTCOME),
             CHOIR_DIVERGED);
    end();
}

TEST(what_has_changed_since_is_not_compared)
{
    const struct msg *reply;
    uint64_t a, then;

    begin();
    a = put("d/a");
    then = put("d/z");
    put("d/z");
    reply = digest(&ada, NULL, NULL, then);
    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), CHOIR_OK);
    CHECK_NOT(msg_has(reply, FIELD_REVISION));
    has("d/a", a); /* the page in front of it */
    is_same(digest(&ada, NULL, "d/a", then), 1);
    CHECK_EQ(msg_u(digest(&ada, NULL, NULL, head() + 1), FIELD_OUTCOME),
             CHOIR_FUTURE);
    end();
}

TEST(keys_that_may_not_be_read_do_not_count)
{
    begin();
    put("d/a");
    is_same(digest(&bob, NULL, NULL, head()), 0);
    end();
}

CHECK_MAIN
