#include "tests/support/records.h"

#include <errno.h>
#include <stdlib.h>

#include "broker/state/item.h"

static uint64_t dice = 1;

uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

void roll_start(uint64_t seed)
{
    dice = seed * 0x9e3779b97f4a7c15 | 1;
}

int records_put(void *to, struct bytes record)
{
    struct records *r = to;
    struct buf *more = reallocarray(r->v, r->count + 1, sizeof(*more));

    if (!more)
        return -ENOMEM;
    r->v = more;
    r->v[r->count] = (struct buf){0};
    buf_put(&r->v[r->count++], record.p, record.n);
    return 0;
}

void records_free(struct records *r)
{
    for (size_t i = 0; i < r->count; i++)
        buf_free(&r->v[i]);
    free(r->v);
    *r = (struct records){0};
}

/* An invitation's grants stand behind what is hashed: kind, index, CURVE key,
 * uses, expiry, count, hash. */
enum { INVITE_ITEM_BYTES = 1 + 8 + 32 + 8 + 8 + 8 + 32 };

struct hash records_digest(const struct records *r)
{
    struct digest sum = {0};

    for (size_t i = 0; i < r->count; i++) {
        struct bytes b = buf_bytes(&r->v[i]);
        struct hash item;

        if (b.p[0] == ITEM_INVITE)
            b.n = INVITE_ITEM_BYTES;
        item = digest_item(b.p[0], bytes_of(b.p + 1, b.n - 1));
        digest_add(&sum, &item);
    }
    return digest_value(&sum);
}
