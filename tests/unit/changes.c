#include "broker/changes.h"

#include <errno.h>

#include "proto/refusal.h"
#include "tests/check.h"

static struct buf head, effect, payload;
static struct entry entry;

static void begin(void)
{
    buf_clear(&head);
    buf_clear(&effect);
    buf_clear(&payload);
    CHECK_OK(crypto_start());
}

/* The entry of an operation with these values and this effect. */
static const struct entry *make(struct msg *op, const char *const *values,
                                size_t n, const struct msg *e)
{
    uint8_t salt[SLOT_SALT_BYTES] = {1};
    struct buf rows = {0};

    for (size_t i = 0; i < n; i++) {
        slot_row(&rows, salt, bytes_text(values[i]));
        buf_put(&payload, salt, sizeof salt);
        buf_put(&payload, values[i], strlen(values[i]));
    }
    if (n)
        msg_set_b(op, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(op, &head);
    if (e)
        msg_encode(e, &effect);
    entry = (struct entry){.index = 9,
                           .head = buf_bytes(&head),
                           .effect = buf_bytes(&effect),
                           .payload = buf_bytes(&payload)};
    CHECK_OK(head_slots(entry.head, &entry.rows));
    buf_free(&rows);
    return &entry;
}

static struct msg put(void)
{
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "plan");
    return m;
}

TEST(put_changes_its_key)
{
    const char *values[] = {"hello"};
    struct msg m = put(), e;
    struct changes walk;
    struct change c;
    struct bytes value;

    begin();
    msg_init(&e, MSG_EFFECT);
    msg_set_u(&e, FIELD_PREV, 4);
    make(&m, values, 1, &e);
    CHECK_OK(changes_begin(&walk, &entry));
    CHECK(changes_next(&walk, &c));
    CHECK(bytes_equal(c.key, bytes_text("plan")));
    CHECK_EQ(c.prev, 4);
    CHECK_NOT(c.deleted);
    CHECK_OK(change_value(&entry, &c, &value));
    CHECK(bytes_equal(value, bytes_text("hello")));
    CHECK_NOT(changes_next(&walk, &c));
}

TEST(refused_put_changes_nothing)
{
    const char *values[] = {"hello"};
    struct msg m = put();
    struct changes walk;

    begin();
    make(&m, values, 1, NULL);
    entry.outcome = CHOIR_CONFLICT;
    CHECK_REFUSED(changes_begin(&walk, &entry), CHOIR_NOT_FOUND);
}

TEST(entry_with_a_broken_head_is_damage)
{
    const char *values[] = {"hello"};
    struct msg m = put();
    struct changes walk;

    begin();
    make(&m, values, 1, NULL);
    entry.head.n--;
    CHECK_EQ(changes_begin(&walk, &entry), -EUCLEAN);
}

static void add_write(struct buf *writes, const char *key, int slot)
{
    struct msg w;

    msg_init(&w, MSG_WRITE);
    msg_set_text(&w, FIELD_KEY, key);
    if (slot >= 0)
        msg_set_u(&w, FIELD_SLOT, (uint64_t)slot);
    msg_encode(&w, writes);
}

static void add_prev(struct buf *items, uint64_t prev)
{
    struct msg i;

    msg_init(&i, MSG_ITEM);
    if (prev)
        msg_set_u(&i, FIELD_PREV, prev);
    msg_encode(&i, items);
}

TEST(txn_changes_all_its_keys_but_those_it_deletes_in_vain)
{
    const char *values[] = {"x", "y"};
    struct buf writes = {0}, items = {0};
    struct msg m, e;
    struct changes walk;
    struct change c;
    struct bytes value;

    begin();
    add_write(&writes, "a", 1);
    add_prev(&items, 0);
    add_write(&writes, "gone", -1);
    add_prev(&items, 0);
    add_write(&writes, "b", -1);
    add_prev(&items, 7);
    msg_init(&m, MSG_TXN);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_list(&m, FIELD_WRITES, 3, buf_bytes(&writes));
    msg_init(&e, MSG_EFFECT);
    msg_set_list(&e, FIELD_ITEMS, 3, buf_bytes(&items));
    make(&m, values, 2, &e);
    CHECK_OK(changes_find(&entry, bytes_text("a"), &c, &walk));
    CHECK_OK(change_value(&entry, &c, &value));
    CHECK(bytes_equal(value, bytes_text("y")));
    CHECK_REFUSED(changes_find(&entry, bytes_text("gone"), &c, &walk),
                  CHOIR_NOT_FOUND);
    CHECK_OK(changes_find(&entry, bytes_text("b"), &c, &walk));
    CHECK(c.deleted);
    CHECK_EQ(c.prev, 7);
    buf_free(&writes);
    buf_free(&items);
}

TEST(verb_is_read_without_decoding)
{
    struct msg m = put();

    begin();
    msg_encode(&m, &head);
    CHECK_EQ(head_verb(buf_bytes(&head)), MSG_PUT);
    CHECK_EQ(head_verb((struct bytes){0}), 0);
    CHECK_EQ(head_verb(bytes_text("\x81")), 0);
    CHECK_EQ(head_verb(bytes_text("\x81\x02\x07")), 0);
}

CHECK_MAIN
