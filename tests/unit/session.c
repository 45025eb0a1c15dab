/* broker/state/session */
#include "tests/check.h"

#include <errno.h>

#include "broker/state/item.h"
#include "broker/state/session.h"
#include "proto/refusal.h"
#include "tests/support/records.h"

static struct digest digest;

static struct sessions *fresh(void)
{
    struct sessions *s;

    digest = (struct digest){0};
    s = sessions_new(&digest);
    assert_non_null(s);
    return s;
}

static struct hash bundle_of(uint64_t n)
{
    return hash_of(HASH_BUNDLE, bytes_of(&n, sizeof(n)));
}

static struct session *start(struct sessions *s, uint64_t id, uint32_t agent)
{
    struct hash h = bundle_of(id);

    CHECK_OK(session_start(s, id, agent, 0, &h));
    return session_by_id(s, id);
}

static void accept(struct sessions *s, struct session *at, uint32_t count,
                   uint64_t answered, uint64_t index)
{
    struct hash h = bundle_of(index);

    CHECK_OK(session_accept(s, at, at->next_seq, count, answered, &h, index));
}

TEST(new_session_starts_at_one_behind_the_bundle_that_opened_it)
{
    struct sessions *s = fresh();
    struct session *a = start(s, 10, 2);
    struct hash opened = bundle_of(10);

    CHECK_EQ(a->id, 10);
    CHECK_EQ(a->agent, 2);
    CHECK_EQ(a->next_seq, 1);
    CHECK_EQ(a->answered, 0);
    CHECK(hash_equal(&a->prev_hash, &opened));
    CHECK_NULL(session_by_id(s, 11));
    sessions_destroy(&s);
}

TEST(session_refuses_an_id_twice)
{
    struct sessions *s = fresh();
    struct hash h = bundle_of(1), before;

    start(s, 10, 2);
    before = digest_value(&digest);
    CHECK_REFUSED(session_start(s, 10, 3, 0, &h), -EEXIST);
    CHECK_EQ(sessions_count(s), 1);
    CHECK(digest_is(&digest, &before));
    sessions_destroy(&s);
}

TEST(accepted_bundle_is_found_until_it_is_answered)
{
    struct sessions *s = fresh();
    struct session *a = start(s, 10, 2);
    struct hash second = bundle_of(14);

    accept(s, a, 3, 0, 11); /* 1..3 */
    accept(s, a, 2, 0, 14); /* 4..5 */
    CHECK_EQ(a->next_seq, 6);
    CHECK(hash_equal(&a->prev_hash, &second));
    CHECK_EQ(session_find(a, 1)->index, 11);
    CHECK_EQ(session_find(a, 4)->count, 2);
    CHECK_NULL(session_find(a, 2));
    CHECK_NULL(session_find(a, 6));
    accept(s, a, 1, 3, 16);
    CHECK_NULL(session_find(a, 1));
    CHECK_EQ(session_find(a, 4)->index, 14);
    CHECK_EQ(session_find(a, 6)->index, 16);
    sessions_destroy(&s);
}

TEST(bundle_stays_until_its_last_operation_is_answered)
{
    struct sessions *s = fresh();
    struct session *a = start(s, 10, 2);

    accept(s, a, 3, 0, 11);
    accept(s, a, 1, 2, 14);
    CHECK(session_find(a, 1) != NULL);
    CHECK_EQ(a->answered, 2);
    sessions_destroy(&s);
}

TEST(answered_never_goes_back)
{
    struct sessions *s = fresh();
    struct session *a = start(s, 10, 2);

    accept(s, a, 3, 0, 11);
    accept(s, a, 3, 3, 14);
    accept(s, a, 1, 1, 17);
    CHECK_EQ(a->answered, 3);
    sessions_destroy(&s);
}

TEST(ended_session_leaves_nothing_in_the_digest)
{
    struct sessions *s = fresh();
    struct hash empty = digest_value(&digest);
    struct session *a = start(s, 10, 2);

    accept(s, a, 3, 0, 11);
    accept(s, a, 3, 3, 14);
    session_end(s, a);
    CHECK_NULL(session_by_id(s, 10));
    CHECK_EQ(sessions_count(s), 0);
    CHECK(digest_is(&digest, &empty));
    sessions_destroy(&s);
}

TEST(slot_is_its_own_and_is_given_again)
{
    struct sessions *s = fresh();
    bool taken[100] = {false};
    uint32_t slot;

    for (uint64_t id = 1; id <= 100; id++) {
        slot = start(s, id, 2)->slot;
        CHECK(slot < 100);
        CHECK_NOT(taken[slot]);
        taken[slot] = true;
    }
    slot = session_by_id(s, 50)->slot;
    session_end(s, session_by_id(s, 50));
    CHECK_EQ(start(s, 101, 2)->slot, slot);
    sessions_destroy(&s);
}

TEST(sessions_come_in_order_of_id)
{
    struct sessions *s = fresh();
    struct session *at = NULL;
    uint64_t wanted[] = {3, 255, 256, 70000};

    start(s, 256, 2);
    start(s, 70000, 2);
    start(s, 3, 2);
    start(s, 255, 2);
    for (size_t i = 0; i < 4; i++) {
        at = sessions_next(s, at);
        CHECK(at && at->id == wanted[i]);
    }
    CHECK_NULL(sessions_next(s, at));
    sessions_destroy(&s);
}

/* --- Against a model ----------------------------------------------------- */

static struct sessions *reloaded(struct sessions *s)
{
    struct records saved = {0};
    struct sessions *again;
    struct hash wanted;

    CHECK_OK(sessions_save(s, records_put, &saved));
    wanted = records_digest(&saved);
    CHECK(digest_is(&digest, &wanted));
    sessions_destroy(&s);
    digest = (struct digest){0};
    again = sessions_new(&digest);
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(sessions_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_is(&digest, &wanted));
    records_free(&saved);
    return again;
}

enum { MODEL_SESSIONS = 8, MODEL_BUNDLES = 4000 };

static struct {
    uint64_t next_seq, answered, first[MODEL_BUNDLES], last[MODEL_BUNDLES];
    size_t bundles;
} model[MODEL_SESSIONS];

static void window_agrees(const struct session *a, size_t m)
{
    size_t kept = 0;

    for (size_t i = 0; i < model[m].bundles; i++) {
        const struct session_bundle *b = session_find(a, model[m].first[i]);

        CHECK_EQ(b != NULL, model[m].last[i] > model[m].answered);
        kept += b != NULL;
        if (b)
            CHECK_EQ(b->first_seq + b->count - 1, model[m].last[i]);
    }
    CHECK_EQ(a->window_count, kept);
    CHECK_EQ(a->next_seq, model[m].next_seq);
    CHECK_EQ(a->answered, model[m].answered);
}

TEST(random_windows_agree_with_a_model_and_their_digest)
{
    struct sessions *s = fresh();

    roll_start(2);
    for (size_t m = 0; m < MODEL_SESSIONS; m++) {
        start(s, m + 1, 2);
        model[m].next_seq = 1;
    }
    for (uint64_t index = 100; index < 4000; index++) {
        size_t m = roll(MODEL_SESSIONS), n = model[m].bundles++;
        uint32_t count = 1 + (uint32_t)roll(5);

        model[m].first[n] = model[m].next_seq;
        model[m].next_seq += count;
        model[m].last[n] = model[m].next_seq - 1;
        /* Now and then a client has read up, else it lags. */
        if (roll(20) == 0)
            model[m].answered += roll(model[m].first[n] - model[m].answered);
        accept(s, session_by_id(s, m + 1), count, model[m].answered, index);
        if (index % 400)
            continue;
        s = reloaded(s);
        for (m = 0; m < MODEL_SESSIONS; m++)
            window_agrees(session_by_id(s, m + 1), m);
    }
    sessions_destroy(&s);
}

/* --- What load refuses --------------------------------------------------- */

static void item_session(struct item *it, uint64_t id, uint64_t next,
                         uint64_t answered)
{
    struct hash h = bundle_of(id);

    item_begin(it, ITEM_SESSION);
    item_u64(it, id);
    item_u32(it, 2);
    item_u64(it, next);
    item_u64(it, answered);
    item_hash(it, &h);
}

static void item_bundle(struct item *it, uint64_t id, uint64_t first,
                        uint32_t count)
{
    struct hash h = bundle_of(first);

    item_begin(it, ITEM_BUNDLE);
    item_u64(it, id);
    item_u64(it, first);
    item_u64(it, 1000);
    item_u32(it, count);
    item_hash(it, &h);
}

static int load(struct sessions *s, const struct item *it)
{
    return sessions_load(s, item_record(it));
}

TEST(load_refuses_what_save_cannot_have_written)
{
    struct sessions *s = fresh();
    struct item it;

    item_session(&it, 10, 5, 5); /* answered what was never asked */
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_session(&it, 10, 0, 0);
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 1, 1); /* of a session that is not there */
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_session(&it, 10, 20, 4);
    CHECK_OK(load(s, &it));
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED); /* twice */
    it.b[0] = ITEM_KEY;
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    sessions_destroy(&s);
}

TEST(load_refuses_windows_with_gaps_or_overlaps)
{
    struct sessions *s = fresh();
    struct item it;

    item_session(&it, 10, 20, 4);
    CHECK_OK(load(s, &it));
    item_bundle(&it, 10, 1, 4); /* answered to its end */
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 3, 0);
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 3, LIMIT_BUNDLE_OPS + 1);
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 19, 2); /* beyond what was accepted */
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, UINT64_MAX, 2);
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 3, 4); /* 3..6, half answered */
    CHECK_OK(load(s, &it));
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 8, 1); /* 7 is missing */
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    item_bundle(&it, 10, 7, 13);
    CHECK_OK(load(s, &it));
    sessions_destroy(&s);
}

TEST(load_refuses_records_cut_anywhere)
{
    struct sessions *s = fresh();
    struct item it, bundle;

    item_session(&it, 11, 5, 1);
    item_bundle(&bundle, 11, 2, 3);
    for (size_t n = it.n; n--;)
        CHECK_REFUSED(sessions_load(s, bytes_of(it.b, n)), CHOIR_MALFORMED);
    CHECK_OK(load(s, &it));
    while (bundle.n--)
        CHECK_REFUSED(load(s, &bundle), CHOIR_MALFORMED);
    sessions_destroy(&s);
}

TEST(load_refuses_a_window_beyond_its_limit)
{
    struct sessions *s = fresh();
    struct item it;

    item_session(&it, 10, LIMIT_SESSION_WINDOW + 2, 0);
    CHECK_OK(load(s, &it));
    for (uint64_t i = 1; i <= LIMIT_SESSION_WINDOW; i++) {
        item_bundle(&it, 10, i, 1);
        CHECK_OK(load(s, &it));
    }
    item_bundle(&it, 10, LIMIT_SESSION_WINDOW + 1, 1);
    CHECK_REFUSED(load(s, &it), CHOIR_MALFORMED);
    sessions_destroy(&s);
}

CHECK_MAIN
