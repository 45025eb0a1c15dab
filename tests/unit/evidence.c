/* Receipts made from a whole core: each proves what it says, and nothing after
 * any one byte of it was changed. */
#include <unistd.h>

#include "proto/evidence.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;
static const uint8_t *broker_key;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_WRITE);
    broker_key = core_key(hall.rig.core)->public_key;
}

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static uint64_t put(struct guest *g, const char *key)
{
    CHECK_OK(guest_put(g, key, "value"));
    hall_settle(&hall);
    return head();
}

static const struct msg *prove(struct guest *g, uint64_t revision,
                               uint64_t size)
{
    struct msg m;

    msg_init(&m, MSG_PROVE);
    msg_set_u(&m, FIELD_REVISION, revision);
    if (size)
        msg_set_u(&m, FIELD_SIZE, size);
    return guest_reply(g, &m);
}

static struct buf receipt_of(struct guest *g, uint64_t revision)
{
    const struct msg *r = prove(g, revision, 0);
    struct buf text = {0};

    CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
    CHECK_OK(receipt_put(&text, revision, msg_b(r, FIELD_PATH),
                         msg_b(r, FIELD_VALUE), msg_b(r, FIELD_TEXT)));
    return text;
}

static int judge(struct bytes text, const uint8_t *key,
                 const struct hash *ledger)
{
    struct receipt receipt;
    struct evidence evidence;
    struct note note;
    const char *why = NULL;
    int r = receipt_get(&receipt, text);

    if (!r)
        r = receipt_check(&receipt, key, ledger, &evidence, &note, &why);
    receipt_free(&receipt);
    return r;
}

TEST(receipt_proves_any_entry_at_any_time)
{
    uint64_t first;

    begin();
    first = put(&ada, "k");
    for (int i = 0; i < 300; i++)
        put(&ada, "k");
    for (uint64_t i = first; i <= head(); i += 13) {
        struct buf text = receipt_of(&ada, i);

        CHECK_OK(
            judge(buf_bytes(&text), broker_key, &rig_state(&hall.rig)->ledger));
        buf_free(&text);
    }
    CHECK_EQ(msg_u(prove(&ada, first, first + 1), FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(prove(&ada, first, first), FIELD_OUTCOME), CHOIR_FUTURE);
    CHECK_EQ(msg_u(prove(&ada, first, head() + 2), FIELD_OUTCOME),
             CHOIR_FUTURE);
    CHECK_EQ(msg_u(prove(&ada, head() + 1, 0), FIELD_OUTCOME), CHOIR_FUTURE);
    hall_close(&hall);
}

TEST(receipt_is_refused_after_any_flipped_byte)
{
    struct buf text;
    uint64_t index;

    begin();
    index = put(&ada, "k");
    put(&ada, "l");
    text = receipt_of(&ada, index);
    for (size_t i = 0; i < text.n; i++) {
        text.p[i] ^= (uint8_t)(1 << i % 8);
        CHECK_NE(judge(buf_bytes(&text), broker_key, NULL), 0);
        text.p[i] ^= (uint8_t)(1 << i % 8);
    }
    for (size_t n = 0; n < text.n; n++)
        CHECK_NE(judge(bytes_of(text.p, n), broker_key, NULL), 0);
    CHECK_OK(judge(buf_bytes(&text), broker_key, NULL));
    buf_free(&text);
    hall_close(&hall);
}

TEST(receipt_is_refused_for_another_broker_or_ledger)
{
    struct hash other = {{1}};
    struct key_pair stranger;
    struct buf text;

    begin();
    text = receipt_of(&ada, put(&ada, "k"));
    key_pair_new(&stranger);
    CHECK_REFUSED(judge(buf_bytes(&text), stranger.public_key, NULL),
                  CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(judge(buf_bytes(&text), broker_key, &other),
                  CHOIR_WRONG_LEDGER);
    buf_free(&text);
    hall_close(&hall);
}

TEST(receipt_without_the_authors_first_key_proves_the_entry_alone)
{
    struct receipt receipt;
    struct buf text, part = {0}, again = {0};
    struct msg m;
    unsigned field;

    begin();
    text = receipt_of(&ada, put(&ada, "k"));
    CHECK_OK(receipt_get(&receipt, buf_bytes(&text)));
    CHECK_OK(part_decode(MSG_EVIDENCE, receipt.extra, &m, &field));
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(bob.actor.key.public_key, 32));
    msg_encode(&m, &part);
    CHECK_OK(receipt_put(&again, receipt.index, receipt.path, buf_bytes(&part),
                         receipt.note));
    CHECK_REFUSED(judge(buf_bytes(&again), broker_key, NULL),
                  CHOIR_UNKNOWN_AGENT);
    receipt_free(&receipt);
    buf_free(&text);
    buf_free(&part);
    buf_free(&again);
    hall_close(&hall);
}

TEST(receipt_is_for_its_author_and_for_who_may_see_the_entry)
{
    uint64_t hers, his;

    begin();
    hers = put(&ada, "k");
    his = put(&bob, "l");
    CHECK_EQ(msg_u(prove(&bob, his, 0), FIELD_OUTCOME), 0);
    CHECK_EQ(msg_u(prove(&bob, hers, 0), FIELD_OUTCOME), CHOIR_NOT_FOUND);
    CHECK_EQ(msg_u(prove(&ada, his, 0), FIELD_OUTCOME), 0);
    hall_close(&hall);
}

TEST(bundle_of_one_who_was_shown_another_tree_is_turned_away)
{
    struct hash root;
    uint64_t size;

    begin();
    size = put(&ada, "k") + 1;
    root = frontier_root(&rig_state(&hall.rig)->tree);
    put(&bob, "l");
    ada.actor.seen = size - 1;
    ada.actor.seen_root = &root;
    put(&ada, "k");
    ada.actor.seen = size;
    CHECK_REFUSED(guest_put(&ada, "k", "value"), CHOIR_WRONG_LEDGER);
    hall_close(&hall);
}

TEST(bundle_of_one_who_has_seen_more_than_there_is_is_turned_away)
{
    struct hash root = {{0}};

    begin();
    put(&ada, "k");
    ada.actor.seen = head() + 50;
    ada.actor.seen_root = &root;
    CHECK_REFUSED(guest_put(&ada, "k", "value"), CHOIR_WRONG_LEDGER);
    hall_close(&hall);
}

TEST(growth_is_proven_to_anyone_between_sizes_that_are_there)
{
    struct hash roots[200], root;
    struct msg m;

    begin();
    for (int i = 0; i < 60; i++) {
        put(&ada, "k");
        roots[rig_state(&hall.rig)->size] =
            frontier_root(&rig_state(&hall.rig)->tree);
    }
    for (uint64_t old = head() - 50; old <= head() + 1; old++) {
        const struct msg *r;
        struct bytes path;

        msg_init(&m, MSG_CONSISTENCY);
        msg_set_u(&m, FIELD_PREV, old);
        r = guest_reply(&bob, &m);
        CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
        CHECK_EQ(msg_u(r, FIELD_SIZE), head() + 1);
        root = msg_hash(r, FIELD_ROOT);
        path = msg_b(r, FIELD_PATH);
        CHECK_OK(merkle_consistent(old, &roots[old], head() + 1, &root, path.p,
                                   path.n / HASH_BYTES));
    }
    msg_init(&m, MSG_CONSISTENCY);
    msg_set_u(&m, FIELD_PREV, head() + 2);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_FUTURE);
    msg_set_u(&m, FIELD_PREV, 0);
    CHECK_EQ(msg_u(guest_reply(&bob, &m), FIELD_OUTCOME), CHOIR_FUTURE);
    hall_close(&hall);
}

/* What the files say is used only where it leads to the root. */
TEST(wrong_files_give_no_proof_and_are_made_anew)
{
    uint64_t index;
    struct buf text;

    begin();
    for (int i = 0; i < 40; i++)
        put(&ada, "k");
    index = head() - 20;
    hall_damage_leaf(&hall, index ^ 1);
    CHECK_EQ(msg_u(prove(&ada, index, 0), FIELD_OUTCOME), CHOIR_BUSY);
    hall_settle(&hall);
    text = receipt_of(&ada, index);
    CHECK_OK(judge(buf_bytes(&text), broker_key, NULL));
    buf_free(&text);
    hall_close(&hall);
}

TEST(files_that_are_missing_after_a_restart_are_made_anew)
{
    char path[300];
    struct buf text;

    begin();
    for (int i = 0; i < 40; i++)
        put(&ada, "k");
    snprintf(path, sizeof path, "%s/tree-0", hall.rig.dir);
    CHECK_OK(unlink(path));
    hall_restart(&hall, false);
    guest_connect(&ada);
    broker_key = core_key(hall.rig.core)->public_key;
    hall_settle(&hall);
    text = receipt_of(&ada, head() - 10);
    CHECK_OK(judge(buf_bytes(&text), broker_key, NULL));
    put(&ada, "k");
    buf_free(&text);
    text = receipt_of(&ada, head());
    CHECK_OK(judge(buf_bytes(&text), broker_key, NULL));
    buf_free(&text);
    hall_close(&hall);
}

CHECK_MAIN
