/* tools/check: an entry that a tap shows stands up by itself, or does not. */
#include "tests/check.h"

#include "agent-sdk/event.h"
#include "proto/bundle.h"
#include "tools/check.h"

enum { ENTRIES = 3 };

/* A bundle of three puts by one agent, as a tap would show it from index 0. */
struct show {
    struct key_pair key;
    struct hash ledger, agent, hash;
    struct buf frame, heads[ENTRIES], payloads[ENTRIES], paths[ENTRIES];
    struct bytes header;
    uint8_t signature[KEY_SIGNATURE_BYTES];
    uint64_t outcome, time;
};

static void head_make(struct show *s, int i)
{
    uint8_t salt[SLOT_SALT_BYTES] = {(uint8_t)i};
    struct buf rows = {0};
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "k");
    slot_row(&rows, salt, bytes_text("value"));
    msg_set_b(&m, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&m, &s->heads[i]);
    buf_put(&s->payloads[i], salt, sizeof salt);
    buf_put(&s->payloads[i], "value", 5);
    buf_free(&rows);
}

static void show_make(struct show *s)
{
    struct bundle_writer w = {0};
    struct bundle_facts facts = {.kind = BUNDLE_RECORD, .session = 7};
    struct hash path[MERKLE_PATH_MAX];
    struct bundle b = {0};

    memset(s, 0, sizeof *s);
    assert_int_equal(crypto_start(), 0);
    key_pair_new(&s->key);
    s->agent = agent_id(s->key.public_key);
    random_bytes(s->ledger.b, HASH_BYTES);
    facts.ledger = s->ledger;
    facts.agent = s->agent;
    facts.first_seq = 1;
    facts.epoch = 1;
    bundle_begin(&w);
    for (int i = 0; i < ENTRIES; i++) {
        head_make(s, i);
        assert_int_equal(
            bundle_add(&w, buf_bytes(&s->heads[i]), buf_bytes(&s->payloads[i])),
            0);
    }
    assert_int_equal(bundle_finish(&w, &facts, &s->key, &s->frame, &s->hash),
                     0);
    for (int i = 0; i < ENTRIES; i++)
        buf_put(&s->paths[i], path,
                merkle_path(&w.tree, (size_t)i, path) * HASH_BYTES);
    assert_int_equal(bundle_open(&b, buf_bytes(&s->frame)), 0);
    s->header = b.header;
    memcpy(s->signature, b.signature, sizeof s->signature);
    bundle_free(&b);
    bundle_writer_free(&w);
}

static void show_free(struct show *s)
{
    buf_free(&s->frame);
    for (int i = 0; i < ENTRIES; i++) {
        buf_free(&s->heads[i]);
        buf_free(&s->payloads[i]);
        buf_free(&s->paths[i]);
    }
}

static struct choir_event *shown(const struct show *s, int i, uint64_t index)
{
    struct choir_event *e = event_new(1, MSG_TAP, MSG_ENTRY, 0);
    struct msg m;

    msg_init(&m, MSG_ENTRY);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, index);
    msg_set_u(&m, FIELD_TIME, s->time);
    msg_set_u(&m, FIELD_OUTCOME, s->outcome);
    msg_set_b(&m, FIELD_HEADER, s->header);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(s->signature, KEY_SIGNATURE_BYTES));
    msg_set_u(&m, FIELD_POSITION, (uint64_t)i);
    msg_set_b(&m, FIELD_PATH, buf_bytes(&s->paths[i]));
    msg_set_b(&m, FIELD_HEAD, buf_bytes(&s->heads[i]));
    msg_set_b(&m, FIELD_EFFECT, bytes_of("", 0));
    msg_set_b(&m, FIELD_PAYLOAD, buf_bytes(&s->payloads[i]));
    assert_int_equal(event_keep(e, &m), 0);
    return e;
}

static int key_told(void *arg, const struct hash *agent,
                    uint8_t key[KEY_PUBLIC_BYTES])
{
    const struct show *s = arg;

    (void)agent;
    memcpy(key, s->key.public_key, KEY_PUBLIC_BYTES);
    return 0;
}

static int key_untold(void *arg, const struct hash *agent,
                      uint8_t key[KEY_PUBLIC_BYTES])
{
    (void)arg, (void)agent, (void)key;
    return CHOIR_NOT_FOUND;
}

static int key_false(void *arg, const struct hash *agent,
                     uint8_t key[KEY_PUBLIC_BYTES])
{
    struct key_pair other;

    (void)arg, (void)agent;
    key_pair_new(&other);
    memcpy(key, other.public_key, KEY_PUBLIC_BYTES);
    return 0;
}

static int checked(struct check *c, const struct show *s, int i, uint64_t index)
{
    struct choir_event *e = shown(s, i, index);
    const char *why = NULL;
    int r = check_entry(c, e, &why);

    assert_true((r != 0) == (why != NULL));
    choir_event_free(&e);
    return r;
}

/* What a new check says of entry 0 after something was done to it. */
static int fresh(struct show *s, check_key key)
{
    struct check *c = check_new(&s->ledger, key, s);
    int r = checked(c, s, 0, 0);

    check_destroy(&c);
    show_free(s);
    return r;
}

TEST(check_accepts_what_was_signed)
{
    struct show s;
    struct check *c;

    show_make(&s);
    c = check_new(&s.ledger, key_told, &s);
    for (int i = 0; i < ENTRIES; i++)
        assert_int_equal(checked(c, &s, i, (uint64_t)i), 0);
    check_destroy(&c);
    show_free(&s);
}

TEST(check_refuses_a_forged_signature)
{
    struct show s;

    show_make(&s);
    s.signature[5] ^= 1;
    assert_int_equal(fresh(&s, key_told), CHOIR_BROKEN);
}

TEST(check_refuses_a_key_that_is_not_the_agents)
{
    struct show s;

    show_make(&s);
    assert_int_equal(fresh(&s, key_false), CHOIR_UNKNOWN_AGENT);
}

TEST(check_says_when_nobody_knows_the_key)
{
    struct show s;

    show_make(&s);
    assert_int_equal(fresh(&s, key_untold), CHOIR_UNKNOWN_AGENT);
}

TEST(check_refuses_another_ledgers_bundle)
{
    struct show s;

    show_make(&s);
    s.ledger.b[0] ^= 1;
    assert_int_equal(fresh(&s, key_told), CHOIR_BROKEN);
}

TEST(check_refuses_an_operation_that_is_not_in_the_bundle)
{
    struct show s;

    show_make(&s);
    s.heads[0].p[s.heads[0].n - 1] ^= 1;
    assert_int_equal(fresh(&s, key_told), CHOIR_BROKEN);
}

TEST(check_refuses_a_flipped_path)
{
    struct show s;

    show_make(&s);
    s.paths[0].p[40] ^= 1;
    assert_int_equal(fresh(&s, key_told), CHOIR_BROKEN);
}

TEST(check_refuses_a_flipped_payload)
{
    struct show s;

    show_make(&s);
    s.payloads[0].p[SLOT_SALT_BYTES] ^= 1;
    assert_int_equal(fresh(&s, key_told), CHOIR_BROKEN);
}

/* The tree that all entries give, as the broker would sign it. */
static struct hash tree_of(const struct show *s)
{
    struct frontier f;
    unsigned field;

    frontier_init(&f);
    for (int i = 0; i < ENTRIES; i++) {
        struct entry e = {.index = (uint64_t)i, .time = s->time};

        assert_int_equal(
            part_decode(MSG_BUNDLE_HEADER, s->header, &e.bundle, &field), 0);
        e.bundle_hash = s->hash;
        e.position = (uint32_t)i;
        e.session = 7;
        e.seq = 1 + (uint64_t)i;
        e.head = buf_bytes(&s->heads[i]);
        frontier_add(&f, entry_leaf(&e));
    }
    return frontier_root(&f);
}

TEST(check_compares_a_tree_head_that_is_ahead)
{
    struct show s;
    struct check *c;
    struct hash root;

    show_make(&s);
    root = tree_of(&s);
    c = check_new(&s.ledger, key_told, &s);
    assert_int_equal(check_head(c, ENTRIES, &root), 0);
    for (int i = 0; i < ENTRIES; i++)
        assert_int_equal(checked(c, &s, i, (uint64_t)i), 0);
    assert_int_equal(check_agreed(c), ENTRIES);
    root.b[0] ^= 1;
    assert_int_equal(check_head(c, ENTRIES, &root), CHOIR_BROKEN);
    check_destroy(&c);
    show_free(&s);
}

/* Every signature holds, but the broker now tells of another outcome than the
 * one it has signed: only the tree can show that. */
TEST(check_refuses_an_outcome_that_was_changed)
{
    struct show s;
    struct check *c;
    struct hash root;

    show_make(&s);
    root = tree_of(&s);
    s.outcome = CHOIR_CONFLICT;
    c = check_new(&s.ledger, key_told, &s);
    assert_int_equal(check_head(c, ENTRIES, &root), 0);
    assert_int_equal(checked(c, &s, 0, 0), 0);
    assert_int_equal(checked(c, &s, 1, 1), 0);
    assert_int_equal(checked(c, &s, 2, 2), CHOIR_BROKEN);
    check_destroy(&c);
    show_free(&s);
}

TEST(check_of_a_row_with_a_gap_claims_no_tree)
{
    struct show s;
    struct check *c;
    struct hash root = {{1}};

    show_make(&s);
    c = check_new(&s.ledger, key_told, &s);
    assert_int_equal(checked(c, &s, 1, 1), 0);
    assert_int_equal(check_head(c, 2, &root), 0);
    assert_int_equal(check_agreed(c), 0);
    check_destroy(&c);
    show_free(&s);
}

CHECK_MAIN
