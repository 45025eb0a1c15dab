/* broker/state/mail: what stands in which box, and what is counted of it. */
#include "broker/state/mail.h"

#include <errno.h>

#include "broker/state/item.h"
#include "proto/key.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct mail *fresh(void)
{
    struct mail *m;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    m = mail_new(&digest);
    assert_non_null(m);
    return m;
}

static struct box_id of(uint32_t agent)
{
    return (struct box_id){.agent = agent, .space = text("s")};
}

static struct box_id topic(const char *name)
{
    return (struct box_id){.space = text("s"), .topic = text(name)};
}

static void add(struct mail *m, struct box_id box, uint64_t revision,
                uint32_t sender)
{
    CHECK_OK(mail_add(m, &box, revision, sender, 10));
}

static uint64_t next(const struct mail *m, struct box_id box, uint64_t from)
{
    const struct mail_message *x = mail_next(m, &box, from);

    return x ? x->revision : 0;
}

static uint32_t take(struct mail *m, struct box_id box, uint64_t from,
                     uint64_t upto)
{
    return mail_take(m, &box, from, upto);
}

static struct mail_load in(const struct mail *m, struct box_id box)
{
    return mail_load(m, &box);
}

TEST(messages_of_a_box_come_in_order_and_boxes_do_not_mix)
{
    struct mail *m = fresh();
    struct box_id other = of(2);

    other.space = text("t");
    add(m, of(2), 5, 3);
    add(m, of(3), 6, 3);
    add(m, topic("news"), 7, 3);
    add(m, other, 8, 3);
    add(m, of(2), 9, 4);
    CHECK_EQ(next(m, of(2), 0), 5);
    CHECK_EQ(next(m, of(2), 6), 9);
    CHECK_EQ(next(m, of(2), 10), 0);
    CHECK_EQ(next(m, of(3), 0), 6);
    CHECK_EQ(next(m, topic("news"), 0), 7);
    CHECK_EQ(next(m, topic("new"), 0), 0);
    CHECK_EQ(next(m, other, 0), 8);
    CHECK_EQ(mail_count(m), 5);
    mail_destroy(&m);
}

TEST(counts_follow_what_is_added_and_taken)
{
    struct mail *m = fresh();
    struct box_id box = of(2);

    add(m, box, 5, 3);
    add(m, box, 6, 4);
    add(m, box, 7, 3);
    CHECK_EQ(in(m, box).messages, 3);
    CHECK_EQ(in(m, box).bytes, 30);
    CHECK_EQ(mail_share(m, &box, 3).messages, 2);
    CHECK_EQ(mail_share(m, &box, 4).bytes, 10);
    CHECK_EQ(take(m, box, 6, 6), 4);
    CHECK_EQ(take(m, box, 6, 6), 0);
    CHECK_EQ(mail_share(m, &box, 4).messages, 0);
    CHECK_EQ(take(m, box, 0, 7), 3);
    CHECK_EQ(take(m, box, 0, 7), 3);
    CHECK_EQ(take(m, box, 0, 7), 0);
    CHECK_EQ(in(m, box).messages, 0);
    CHECK_EQ(mail_count(m), 0);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(digest.lane[i], 0);
    mail_destroy(&m);
}

TEST(topics_know_their_newest_and_all_of_them_their_oldest)
{
    struct mail *m = fresh();

    CHECK_EQ(mail_oldest_topical(m), 0);
    add(m, topic("a"), 5, 3);
    add(m, topic("b"), 6, 4);
    add(m, topic("a"), 7, 3);
    CHECK_EQ(in(m, topic("a")).newest, 7);
    CHECK_EQ(mail_oldest_topical(m), 5);
    CHECK_EQ(mail_take_topical(m, 4), 0);
    CHECK_EQ(mail_take_topical(m, 6), 3);
    CHECK_EQ(mail_take_topical(m, 6), 4);
    CHECK_EQ(mail_take_topical(m, 6), 0);
    CHECK_EQ(in(m, topic("a")).messages, 1);
    mail_destroy(&m);
}

TEST(all_mailboxes_of_an_agent_can_be_emptied)
{
    struct mail *m = fresh();
    struct box_id other = of(2);

    other.space = text("t");
    add(m, of(2), 5, 3);
    add(m, other, 6, 4);
    add(m, of(3), 7, 3);
    add(m, topic("x"), 8, 3);
    CHECK(mail_take_owned(m, 2) && mail_take_owned(m, 2));
    CHECK_EQ(mail_take_owned(m, 2), 0);
    CHECK_EQ(mail_take_owned(m, 0), 0);
    CHECK_EQ(mail_count(m), 2);
    mail_destroy(&m);
}

TEST(what_cannot_be_is_refused)
{
    struct mail *m = fresh();
    char name[LIMIT_NAME_BYTES + 1];
    struct box_id box = of(2), both = topic("x"), neither = {0};

    memset(name, 'n', sizeof name);
    add(m, box, 5, 3);
    CHECK_EQ(mail_add(m, &box, 5, 3, 1), -EEXIST);
    CHECK_EQ(in(m, box).messages, 1);
    CHECK_EQ(mail_share(m, &box, 3).messages, 1);
    both.agent = 2;
    neither.space = text("s");
    CHECK_EQ(mail_add(m, &both, 6, 3, 1), -EINVAL);
    CHECK_EQ(mail_add(m, &neither, 6, 3, 1), -EINVAL);
    CHECK_EQ(mail_add(m, &box, 6, 0, 1), -EINVAL);
    box.space = bytes_of(name, sizeof name);
    CHECK_EQ(mail_add(m, &box, 6, 3, 1), -EINVAL);
    both = topic("x");
    add(m, both, 9, 3);
    CHECK_EQ(mail_add(m, &both, 8, 3, 1), -EINVAL);
    mail_destroy(&m);
}

static void reload(struct mail *m, const struct records *saved)
{
    uint32_t sender, owner;

    for (size_t i = 0; i < saved->count; i++) {
        CHECK_OK(mail_read(m, buf_bytes(&saved->v[i]), &sender, &owner));
        CHECK_EQ(mail_read(m, buf_bytes(&saved->v[i]), &sender, &owner),
                 CHOIR_MALFORMED);
        CHECK(sender >= 3);
    }
}

TEST(digest_and_counts_return_after_save_and_load)
{
    struct mail *m = fresh(), *again;
    struct records saved = {0}, twice = {0};
    struct box_id box = of(2);
    struct digest was;

    roll_start(4);
    for (uint64_t i = 1; i < 200; i++)
        add(m, roll(2) ? topic(roll(2) ? "a" : "b") : of(2 + (uint32_t)roll(2)),
            i, 3 + (uint32_t)roll(3));
    was = digest;
    CHECK_OK(mail_save(m, records_put, &saved));
    again = fresh();
    reload(again, &saved);
    CHECK(digest_same(&was, &digest));
    CHECK_OK(mail_save(again, records_put, &twice));
    CHECK_EQ(twice.count, saved.count);
    for (size_t i = 0; i < saved.count; i++)
        CHECK(bytes_equal(buf_bytes(&twice.v[i]), buf_bytes(&saved.v[i])));
    CHECK_EQ(in(again, box).messages, in(m, box).messages);
    CHECK_EQ(mail_share(again, &box, 4).bytes, mail_share(m, &box, 4).bytes);
    CHECK_EQ(in(again, topic("a")).newest, in(m, topic("a")).newest);
    CHECK_EQ(mail_oldest_topical(again), mail_oldest_topical(m));
    records_free(&saved);
    records_free(&twice);
    mail_destroy(&m);
    mail_destroy(&again);
}

TEST(load_refuses_a_record_cut_anywhere)
{
    struct mail *m = fresh(), *again = fresh();
    struct records saved = {0};
    uint32_t sender, owner;

    add(m, of(2), 5, 3);
    add(m, topic("x"), 6, 3);
    CHECK_OK(mail_save(m, records_put, &saved));
    for (size_t i = 0; i < saved.count; i++) {
        for (size_t n = 0; n < saved.v[i].n; n++)
            CHECK_EQ(
                mail_read(again, bytes_of(saved.v[i].p, n), &sender, &owner),
                CHOIR_MALFORMED);
    }
    CHECK_EQ(mail_count(again), 0);
    records_free(&saved);
    mail_destroy(&m);
    mail_destroy(&again);
}

CHECK_MAIN
