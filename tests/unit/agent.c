/* broker/state/agent and invite: who may what, invitations, operation ids. */
#include "tests/check.h"

#include <errno.h>

#include "broker/state/agent.h"
#include "broker/state/item.h"
#include "proto/refusal.h"
#include "tests/support/records.h"

static struct digest digest;
static const struct bytes none;

static struct agents *fresh(void)
{
    struct agents *a;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    a = agents_new(&digest);
    assert_non_null(a);
    return a;
}

static const uint8_t *key_of(uint8_t n)
{
    static uint8_t keys[256][32];

    memset(keys[n], n, 32);
    return keys[n];
}

static int enrol(struct agents *a, const char *name, uint8_t key, uint8_t curve)
{
    return agent_enrol(a, key, text(name), key_of(key), key_of(curve));
}

static struct agent *enrolled(struct agents *a, const char *name, uint8_t key)
{
    CHECK_OK(enrol(a, name, key, key));
    return agent_by_name(a, text(name));
}

/* Rows of FIELD_GRANTS; NULL: the row does not have it. */
static void row_put(struct buf *rows, const char *space, const char *prefix,
                    const char *queue, unsigned rights)
{
    struct msg m;

    msg_init(&m, MSG_GRANT_ROW);
    msg_set_text(&m, FIELD_SPACE, space);
    if (prefix)
        msg_set_text(&m, FIELD_PREFIX, prefix);
    if (queue)
        msg_set_text(&m, FIELD_QUEUE, queue);
    msg_set_u(&m, FIELD_RIGHTS, rights);
    msg_encode(&m, rows);
}

static int give(struct agents *a, struct agent *to, const char *space,
                const char *prefix, const char *queue, unsigned rights)
{
    struct buf rows = {0};
    struct msg m;
    int r;

    row_put(&rows, space, prefix, queue, rights);
    msg_init(&m, MSG_GRANT);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    r = agent_grant(a, to, msg_list(&m, FIELD_GRANTS));
    buf_free(&rows);
    return r;
}

static bool may_key(const struct agent *a, enum right right, const char *space,
                    const char *key)
{
    return agent_may(a, right, text(space), text(key), none);
}

static bool may_queue(const struct agent *a, enum right right,
                      const char *space, const char *queue)
{
    return agent_may(a, right, text(space), none, text(queue));
}

TEST(agent_is_found_by_number_id_name_and_curve_key)
{
    struct agents *a = fresh();
    struct agent *g;
    struct hash id = agent_id(key_of(2));

    CHECK_OK(enrol(a, "broker", 1, 1));
    CHECK_OK(enrol(a, "alice", 2, 3));
    g = agent_by_number(a, 2);
    CHECK(g != NULL);
    CHECK_EQ(g->number, 2);
    CHECK_EQ(g->enrolled, 2);
    CHECK(agent_by_id(a, &id) == g);
    CHECK(agent_by_name(a, text("alice")) == g);
    CHECK(agent_by_curve(a, key_of(3)) == g);
    CHECK_NULL(agent_by_curve(a, key_of(2)));
    CHECK_NULL(agent_by_name(a, text("alic")));
    CHECK_NULL(agent_by_number(a, 3));
    CHECK_NULL(agent_by_number(a, AGENT_NONE));
    CHECK_EQ(agents_count(a), 2);
    agents_destroy(&a);
}

TEST(enrol_refuses_what_another_agent_has)
{
    struct agents *a = fresh();
    struct hash before, id = agent_id(key_of(3));

    CHECK_OK(enrol(a, "alice", 1, 2));
    before = digest_value(&digest);
    CHECK_REFUSED(enrol(a, "alice", 3, 4), -EEXIST);
    CHECK_REFUSED(enrol(a, "bob", 1, 4), -EEXIST);
    CHECK_REFUSED(enrol(a, "bob", 3, 2), -EEXIST);
    CHECK_EQ(agents_count(a), 1);
    CHECK_NULL(agent_by_id(a, &id));
    CHECK_NULL(agent_by_name(a, text("bob")));
    CHECK_NULL(agent_by_curve(a, key_of(4)));
    CHECK(digest_is(&digest, &before));
    CHECK_OK(enrol(a, "bob", 3, 4));
    agents_destroy(&a);
}

TEST(enrol_refuses_a_name_beyond_its_limit)
{
    static char name[LIMIT_NAME_BYTES + 2];
    struct agents *a = fresh();

    memset(name, 'x', LIMIT_NAME_BYTES + 1);
    CHECK_REFUSED(enrol(a, name, 1, 1), -EINVAL);
    CHECK_REFUSED(enrol(a, "", 1, 1), -EINVAL);
    CHECK_OK(enrol(a, name + 1, 1, 1));
    agents_destroy(&a);
}

TEST(agents_come_in_order_of_number)
{
    struct agents *a = fresh();
    const struct agent *at = NULL;
    char name[8];

    for (uint8_t i = 1; i <= 40; i++) {
        sprintf(name, "a%u", i);
        CHECK_OK(enrol(a, name, i, i));
    }
    for (uint32_t i = 1; i <= 40; i++) {
        at = agents_next(a, at);
        CHECK(at && at->number == i);
    }
    CHECK_NULL(agents_next(a, at));
    agents_destroy(&a);
}

/* --- Grants -------------------------------------------------------------- */

TEST(nothing_is_granted_by_default)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    for (unsigned bit = 1; bit <= RIGHT_ADMIN; bit <<= 1) {
        CHECK_NOT(agent_may(g, (enum right)bit, text("s"), text("k"), none));
        CHECK_NOT(agent_may(g, (enum right)bit, text("s"), none, text("q")));
        CHECK_NOT(agent_may(g, (enum right)bit, text("s"), none, none));
        CHECK_NOT(agent_may_somewhere(g, (enum right)bit));
    }
    CHECK_NOT(may_key(NULL, RIGHT_READ, "s", "k"));
    CHECK_NOT(agent_may_somewhere(NULL, RIGHT_READ));
    agents_destroy(&a);
}

TEST(grant_gives_its_rights_and_no_other)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", "", NULL, RIGHT_READ | RIGHT_TAP));
    CHECK(may_key(g, RIGHT_READ, "s", "k"));
    CHECK(may_key(g, RIGHT_TAP, "s", "k"));
    CHECK_NOT(may_key(g, RIGHT_WRITE, "s", "k"));
    CHECK_NOT(may_key(g, RIGHT_ADMIN, "s", "k"));
    CHECK(agent_may_somewhere(g, RIGHT_TAP));
    CHECK_NOT(agent_may_somewhere(g, RIGHT_WRITE));
    agents_destroy(&a);
}

TEST(admin_is_a_right_like_any_other)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "*", NULL, NULL, RIGHT_ADMIN));
    CHECK(agent_may_somewhere(g, RIGHT_ADMIN));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "k"));
    agents_destroy(&a);
}

TEST(grant_of_a_prefix_does_not_reach_its_sibling)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", "docs/", NULL, RIGHT_READ));
    CHECK(may_key(g, RIGHT_READ, "s", "docs/a"));
    CHECK(may_key(g, RIGHT_READ, "s", "docs/"));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "docs"));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "docs2/a"));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "doc"));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", ""));
    CHECK_NOT(may_key(g, RIGHT_READ, "t", "docs/a"));
    CHECK_NOT(may_queue(g, RIGHT_READ, "s", "docs/a"));
    agents_destroy(&a);
}

TEST(empty_prefix_reaches_every_key_but_no_queue_and_not_the_whole)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", "", NULL, RIGHT_READ));
    CHECK(may_key(g, RIGHT_READ, "s", "k"));
    CHECK(may_key(g, RIGHT_READ, "s", ""));
    CHECK_NOT(may_queue(g, RIGHT_READ, "s", "q"));
    CHECK_NOT(agent_may(g, RIGHT_READ, text("s"), none, none));
    agents_destroy(&a);
}

TEST(grant_of_a_queue_reaches_no_other_queue_and_no_key)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", NULL, "jobs", RIGHT_WORK));
    CHECK(may_queue(g, RIGHT_WORK, "s", "jobs"));
    CHECK_NOT(may_queue(g, RIGHT_WORK, "s", "jobs2"));
    CHECK_NOT(may_queue(g, RIGHT_WORK, "s", "job"));
    CHECK_NOT(may_key(g, RIGHT_WORK, "s", "jobs"));
    CHECK_NOT(agent_may(g, RIGHT_WORK, text("s"), none, none));
    agents_destroy(&a);
}

TEST(behind_what_may_not_be_done_comes_the_next_prefix_that_may)
{
    struct agents *a = fresh();
    struct agent *g;
    struct bytes scope = none;

    CHECK_OK(enrol(a, "broker", 1, 1));
    CHECK_OK(enrol(a, "alice", 2, 3));
    g = agent_by_number(a, 2);
    CHECK_OK(give(a, g, "s", "m/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "*", "d/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "s", "f/", NULL, RIGHT_WRITE));
    CHECK_OK(give(a, g, "t", "g/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "s", NULL, "h", RIGHT_READ));
    CHECK(agent_may_behind(g, RIGHT_READ, text("s"), text("a"), &scope));
    CHECK(bytes_equal(scope, text("d/")));
    CHECK(agent_may_behind(g, RIGHT_READ, text("s"), text("d"), &scope));
    CHECK(bytes_equal(scope, text("d/")));
    CHECK(agent_may_behind(g, RIGHT_READ, text("s"), text("d0"), &scope));
    CHECK(bytes_equal(scope, text("m/")));
    CHECK_NOT(agent_may_behind(g, RIGHT_READ, text("s"), text("m0"), &scope));
    agent_revoke(a, g, 9);
    CHECK_NOT(agent_may_behind(g, RIGHT_READ, text("s"), text("a"), &scope));
    agents_destroy(&a);
}

TEST(grant_without_a_scope_reaches_everything_of_its_space)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", NULL, NULL, RIGHT_WRITE));
    CHECK(may_key(g, RIGHT_WRITE, "s", "k"));
    CHECK(may_queue(g, RIGHT_WRITE, "s", "q"));
    CHECK(agent_may(g, RIGHT_WRITE, text("s"), none, none));
    CHECK_NOT(may_key(g, RIGHT_WRITE, "t", "k"));
    CHECK_NOT(may_key(g, RIGHT_WRITE, "*", "k"));
    agents_destroy(&a);
}

TEST(star_space_grants_every_space)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "*", "docs/", NULL, RIGHT_READ));
    CHECK(may_key(g, RIGHT_READ, "s", "docs/a"));
    CHECK(may_key(g, RIGHT_READ, "t", "docs/a"));
    CHECK_NOT(may_key(g, RIGHT_READ, "t", "a"));
    agents_destroy(&a);
}

TEST(grant_sets_the_rights_of_its_place)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "s", "a/", NULL, RIGHT_READ | RIGHT_WRITE));
    CHECK_OK(give(a, g, "s", "b/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "s", "a/", NULL, RIGHT_READ));
    CHECK_NOT(may_key(g, RIGHT_WRITE, "s", "a/1"));
    CHECK(may_key(g, RIGHT_READ, "s", "a/1"));
    CHECK_EQ(g->grant_count, 2);
    agents_destroy(&a);
}

TEST(no_rights_take_a_grant_away_and_leave_the_others)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);
    struct hash before;

    CHECK_OK(give(a, g, "s", "a/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "s", NULL, "a/", RIGHT_WORK));
    before = digest_value(&digest);
    CHECK_OK(give(a, g, "s", NULL, NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "t", "a/", NULL, RIGHT_READ));
    CHECK_OK(give(a, g, "s", NULL, NULL, 0));
    CHECK_OK(give(a, g, "t", "a/", NULL, 0));
    CHECK_OK(give(a, g, "u", "a/", NULL, 0)); /* was never there */
    CHECK(may_key(g, RIGHT_READ, "s", "a/1"));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "b"));
    CHECK_NOT(may_key(g, RIGHT_READ, "t", "a/1"));
    CHECK(digest_is(&digest, &before));
    CHECK_OK(give(a, g, "s", "a/", NULL, 0));
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "a/1"));
    CHECK(may_queue(g, RIGHT_WORK, "s", "a/"));
    agents_destroy(&a);
}

TEST(grant_refuses_prefix_and_queue_at_once)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_REFUSED(give(a, g, "s", "p", "q", RIGHT_READ), -EINVAL);
    CHECK_REFUSED(give(a, g, "", "p", NULL, RIGHT_READ), -EINVAL);
    CHECK_EQ(g->grant_count, 0);
    agents_destroy(&a);
}

TEST(revoked_agent_may_nothing)
{
    struct agents *a = fresh();
    struct agent *g = enrolled(a, "alice", 1);

    CHECK_OK(give(a, g, "*", NULL, NULL, 127));
    CHECK(may_key(g, RIGHT_READ, "s", "k"));
    agent_revoke(a, g, 9);
    CHECK_EQ(g->revoked, 9);
    CHECK_NOT(may_key(g, RIGHT_READ, "s", "k"));
    CHECK_NOT(agent_may_somewhere(g, RIGHT_ADMIN));
    CHECK(agent_by_name(a, text("alice")) == g);
    CHECK_REFUSED(enrol(a, "alice", 2, 2), -EEXIST);
    agents_destroy(&a);
}

/* --- Invitations --------------------------------------------------------- */

static int invite(struct agents *a, uint64_t index, uint8_t curve,
                  uint64_t uses, uint64_t expires)
{
    struct buf rows = {0};
    int r;

    row_put(&rows, "s", "", NULL, RIGHT_READ);
    r = invite_add(a, index, key_of(curve), uses, expires, 1, buf_bytes(&rows));
    buf_free(&rows);
    return r;
}

TEST(invitation_is_forgotten_with_its_last_use)
{
    struct agents *a = fresh();
    struct hash empty = digest_value(&digest);

    CHECK_OK(invite(a, 5, 1, 2, 100));
    CHECK(invite_by_curve(a, key_of(1)) == invite_by_index(a, 5));
    invite_use(a, invite_by_index(a, 5));
    CHECK_EQ(invite_by_index(a, 5)->uses_left, 1);
    invite_use(a, invite_by_index(a, 5));
    CHECK_NULL(invite_by_index(a, 5));
    CHECK_NULL(invite_by_curve(a, key_of(1)));
    CHECK(digest_is(&digest, &empty));
    agents_destroy(&a);
}

TEST(invitations_are_forgotten_when_their_time_is_over)
{
    struct agents *a = fresh();

    CHECK_OK(invite(a, 5, 1, 1, 100));
    CHECK_OK(invite(a, 6, 2, 1, 300));
    CHECK_OK(invite(a, 7, 3, 1, 200));
    invites_forget(a, 99);
    CHECK(invite_by_index(a, 5) != NULL);
    invites_forget(a, 100);
    CHECK_NULL(invite_by_index(a, 5));
    CHECK(invite_by_index(a, 7) != NULL);
    invites_forget(a, 250);
    CHECK_NULL(invite_by_index(a, 7));
    CHECK(invite_by_index(a, 6) != NULL);
    invites_forget(a, 1000);
    CHECK_NULL(invite_by_index(a, 6));
    agents_destroy(&a);
}

TEST(invitation_refuses_a_key_or_entry_twice_and_no_uses)
{
    struct agents *a = fresh();

    CHECK_OK(invite(a, 5, 1, 1, 100));
    CHECK_REFUSED(invite(a, 6, 1, 1, 100), -EEXIST);
    CHECK_REFUSED(invite(a, 5, 2, 1, 100), -EEXIST);
    CHECK_NULL(invite_by_curve(a, key_of(2)));
    CHECK_REFUSED(invite(a, 7, 3, 0, 100), -EINVAL);
    agents_destroy(&a);
}

/* --- Operation ids ------------------------------------------------------- */

TEST(operation_id_leads_to_its_first_entry)
{
    struct agents *a = fresh();
    int outcome = -1;

    CHECK_OK(operation_id_add(a, 2, text("job-1"), 40, CHOIR_DENIED));
    CHECK_OK(operation_id_add(a, 3, text("job-1"), 41, CHOIR_OK));
    CHECK_EQ(operation_id_find(a, 2, text("job-1"), &outcome), 40);
    CHECK_EQ(outcome, CHOIR_DENIED);
    CHECK_EQ(operation_id_find(a, 3, text("job-1"), NULL), 41);
    CHECK_EQ(operation_id_find(a, 2, text("job-2"), &outcome), 0);
    CHECK_EQ(operation_id_find(a, 4, text("job-1"), &outcome), 0);
    CHECK_EQ(operation_id_find(a, 2, text(""), &outcome), 0);
    agents_destroy(&a);
}

TEST(operation_id_refuses_a_second_use_and_an_older_entry)
{
    struct agents *a = fresh();

    CHECK_OK(operation_id_add(a, 2, text("x"), 40, 0));
    CHECK_REFUSED(operation_id_add(a, 2, text("x"), 41, 0), -EEXIST);
    CHECK_REFUSED(operation_id_add(a, 2, text("y"), 40, 0), -EINVAL);
    CHECK_REFUSED(operation_id_add(a, 2, text(""), 42, 0), -EINVAL);
    CHECK_REFUSED(operation_id_add(a, 2, text("z"), 42, 256), -EINVAL);
    agents_destroy(&a);
}

TEST(operation_ids_are_forgotten_oldest_first)
{
    struct agents *a = fresh();
    struct hash empty = digest_value(&digest);

    CHECK_EQ(operation_ids_oldest(a), 0);
    CHECK_OK(operation_id_add(a, 2, text("x"), 40, 0));
    CHECK_OK(operation_id_add(a, 2, text("a"), 44, 0));
    operation_ids_forget(a, 43);
    CHECK_EQ(operation_ids_oldest(a), 44);
    CHECK_EQ(operation_id_find(a, 2, text("x"), NULL), 0);
    operation_ids_forget(a, 44);
    CHECK_EQ(operation_ids_oldest(a), 0);
    CHECK(digest_is(&digest, &empty));
    CHECK_OK(operation_id_add(a, 2, text("x"), 50, 0));
    CHECK_EQ(operation_ids_oldest(a), 50);
    agents_destroy(&a);
}

/* --- Snapshot ------------------------------------------------------------ */

static void populate(struct agents *a)
{
    struct agent *alice, *bob;

    CHECK_OK(enrol(a, "broker", 1, 1));
    alice = enrolled(a, "alice", 2);
    bob = enrolled(a, "bob", 3);
    CHECK_OK(give(a, alice, "*", NULL, NULL, RIGHT_ADMIN));
    CHECK_OK(give(a, alice, "s", "a/", NULL, RIGHT_READ));
    CHECK_OK(give(a, bob, "s", NULL, "q", RIGHT_WORK));
    CHECK_OK(give(a, bob, "s", "", NULL, RIGHT_WRITE));
    agent_revoke(a, bob, 77);
    CHECK_OK(invite(a, 80, 9, 3, 5000));
    CHECK_OK(invite(a, 79, 8, 1, 6000));
    CHECK_OK(operation_id_add(a, 2, text("zz"), 81, 3));
    CHECK_OK(operation_id_add(a, 1, text("aa"), 90, 0));
}

static void save(struct records *saved)
{
    struct agents *a = fresh();

    populate(a);
    CHECK_OK(agents_save(a, records_put, saved));
    agents_destroy(&a);
}

TEST(digest_is_that_of_what_is_saved)
{
    struct records saved = {0};
    struct hash wanted;

    save(&saved);
    wanted = records_digest(&saved);
    CHECK_EQ(saved.count, 3 + 4 + 2 + 2);
    CHECK(digest_is(&digest, &wanted));
    records_free(&saved);
}

TEST(digest_returns_after_save_and_load)
{
    struct records saved = {0}, again = {0};
    struct hash wanted;
    struct agents *a;

    save(&saved);
    wanted = digest_value(&digest);
    a = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(agents_load(a, buf_bytes(&saved.v[i])));
    CHECK(digest_is(&digest, &wanted));
    CHECK_EQ(agent_by_name(a, text("bob"))->revoked, 77);
    CHECK(may_key(agent_by_name(a, text("alice")), RIGHT_READ, "s", "a/1"));
    CHECK_EQ(invite_by_curve(a, key_of(9))->uses_left, 3);
    CHECK_EQ(operation_id_find(a, 2, text("zz"), NULL), 81);
    CHECK_OK(agents_save(a, records_put, &again));
    CHECK_EQ(again.count, saved.count);
    for (size_t i = 0; i < saved.count; i++)
        CHECK(bytes_equal(buf_bytes(&again.v[i]), buf_bytes(&saved.v[i])));
    invites_forget(a, 5500);
    CHECK_NULL(invite_by_index(a, 80));
    agents_destroy(&a);
    records_free(&saved);
    records_free(&again);
}

TEST(load_refuses_every_record_twice_or_cut_anywhere)
{
    struct records saved = {0};
    struct agents *a;

    save(&saved);
    a = fresh();
    for (size_t i = 0; i < saved.count; i++) {
        struct bytes whole = buf_bytes(&saved.v[i]);

        /* A name may be shorter and still be one; not what has a length. */
        if (whole.p[0] == ITEM_AGENT || whole.p[0] == ITEM_INVITE) {
            for (size_t n = 0; n < whole.n; n++)
                CHECK_REFUSED(agents_load(a, bytes_of(whole.p, n)),
                              CHOIR_MALFORMED);
        }
        CHECK_OK(agents_load(a, whole));
        CHECK_REFUSED(agents_load(a, whole), CHOIR_MALFORMED);
    }
    agents_destroy(&a);
    records_free(&saved);
}

TEST(load_refuses_what_refers_to_no_agent)
{
    struct records saved = {0};
    struct agents *a;

    save(&saved);
    a = fresh();
    for (size_t i = 1; i < saved.count; i++) {
        struct bytes b = buf_bytes(&saved.v[i]);

        if (b.p[0] != ITEM_INVITE)
            CHECK_REFUSED(agents_load(a, b), CHOIR_MALFORMED);
    }
    agents_destroy(&a);
    records_free(&saved);
}

TEST(load_refuses_an_id_that_is_not_of_its_key)
{
    struct records saved = {0};
    struct agents *a;

    save(&saved);
    a = fresh();
    saved.v[0].p[1 + 4 + 5] ^= 1;
    CHECK_REFUSED(agents_load(a, buf_bytes(&saved.v[0])), CHOIR_MALFORMED);
    saved.v[0].p[1 + 4 + 5] ^= 1;
    CHECK_OK(agents_load(a, buf_bytes(&saved.v[0])));
    agents_destroy(&a);
    records_free(&saved);
}

static int load_grant(struct agents *a, unsigned rights, uint8_t queue,
                      uint8_t prefix, const char *scope)
{
    struct item it;

    item_begin(&it, ITEM_GRANT);
    item_u32(&it, 1);
    item_u32(&it, rights);
    item_u8(&it, queue);
    item_u8(&it, prefix);
    item_name(&it, text("s"));
    item_put(&it, text(scope));
    return agents_load(a, item_record(&it));
}

TEST(load_refuses_grants_that_make_no_sense)
{
    struct agents *a = fresh();

    CHECK_OK(enrol(a, "broker", 1, 1));
    CHECK_REFUSED(load_grant(a, 0, 0, 1, "a"), CHOIR_MALFORMED);
    CHECK_REFUSED(load_grant(a, 1, 1, 1, "a"), CHOIR_MALFORMED);
    CHECK_REFUSED(load_grant(a, 1, 0, 0, "a"), CHOIR_MALFORMED);
    CHECK_REFUSED(load_grant(a, 1, 0, 2, "a"), CHOIR_MALFORMED);
    CHECK_REFUSED(load_grant(a, 1, 0, 1, "\xff"), CHOIR_MALFORMED);
    CHECK_OK(load_grant(a, 1, 0, 1, "a"));
    CHECK_OK(load_grant(a, 1, 0, 1, ""));
    CHECK_OK(load_grant(a, 1, 0, 0, ""));
    agents_destroy(&a);
}

TEST(load_refuses_an_invitation_whose_grants_are_none)
{
    struct records saved = {0};
    struct agents *a;
    struct buf *b = NULL;

    save(&saved);
    for (size_t i = 0; i < saved.count; i++) {
        if (saved.v[i].p[0] == ITEM_INVITE)
            b = &saved.v[i];
    }
    a = fresh();
    assert_non_null(b);
    b->p[b->n - 1] ^= 1; /* the rights: the hash no longer fits */
    CHECK_REFUSED(agents_load(a, buf_bytes(b)), CHOIR_MALFORMED);
    b->p[b->n - 1] ^= 1;
    b->p[1 + 8 + 32 + 16]++; /* two grants, and bytes for one */
    CHECK_REFUSED(agents_load(a, buf_bytes(b)), CHOIR_MALFORMED);
    agents_destroy(&a);
    records_free(&saved);
}

CHECK_MAIN
