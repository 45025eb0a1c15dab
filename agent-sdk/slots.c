#include "slots.h"

enum { AT_ONCE = 64 };

/* Slots to be hashed, and where to. */
struct some {
    struct hash_job jobs[AT_ONCE];
    uint8_t *to[AT_ONCE];
    size_t n;
};

void slots_row(struct buf *rows, size_t bytes)
{
    uint8_t *row = buf_grow(rows, SLOT_ROW_BYTES);

    if (!row)
        return;
    memset(row, 0, SLOT_ROW_BYTES);
    put_u32(row, (uint32_t)bytes);
}

static void some_hash(struct some *s)
{
    struct hash hashes[AT_ONCE];

    hash_many(HASH_SLOT, s->jobs, s->n, hashes);
    for (size_t i = 0; i < s->n; i++)
        memcpy(s->to[i], hashes[i].b, HASH_BYTES);
    s->n = 0;
}

static void some_add(struct some *s, uint8_t *rows, size_t bytes,
                     struct bytes payload)
{
    struct cursor c = cursor_of(payload);

    for (uint8_t *row = rows; row < rows + bytes; row += SLOT_ROW_BYTES) {
        size_t n = SLOT_SALT_BYTES + (size_t)get_u32(row);

        s->to[s->n] = row + 4;
        s->jobs[s->n++] = (struct hash_job){.a = cursor_take(&c, n)};
        if (s->n == AT_ONCE)
            some_hash(s);
    }
}

void slots_hash_rows(struct buf *rows, struct bytes payload)
{
    struct some s;

    s.n = 0;
    some_add(&s, rows->p, rows->n, payload);
    some_hash(&s);
}

void slots_hash(struct op *ops, size_t count)
{
    struct some s;

    s.n = 0;
    for (struct op *op = ops; count > 0; count--, op = op->next) {
        if (!op->is_bare)
            continue;
        some_add(&s, op->head.p + op->rows_at, op->rows_bytes,
                 buf_bytes(&op->payload));
        op->is_bare = false;
    }
    some_hash(&s);
}
