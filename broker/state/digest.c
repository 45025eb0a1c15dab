/* What a put changes is one item out and one in, of one block each: hashed by
 * themselves they would take five times as long as eight together. */
#include "digest.h"

static void hash_apply(struct digest *d, const struct hash *item, bool leaves)
{
    if (leaves)
        digest_sub(d, item);
    else
        digest_add(d, item);
}

void digest_settle(struct digest *d)
{
    struct hash_job jobs[DIGEST_WAITING];
    struct hash hashes[DIGEST_WAITING];

    for (unsigned i = 0; i < d->count; i++)
        jobs[i] = (struct hash_job){
            .a = bytes_of(d->waiting[i].b, d->waiting[i].bytes)};
    hash_many(HASH_STATE, jobs, d->count, hashes);
    for (unsigned i = 0; i < d->count; i++)
        hash_apply(d, &hashes[i], d->waiting[i].leaves);
    d->count = 0;
}

void digest_change(struct digest *d, struct bytes item, bool leaves)
{
    struct digest_waiting *w = &d->waiting[d->count];
    struct hash hash;

    if (item.n > DIGEST_SHORT) {
        hash = hash_of(HASH_STATE, item);
        hash_apply(d, &hash, leaves);
        return;
    }
    w->bytes = (uint8_t)item.n;
    w->leaves = leaves;
    memcpy(w->b, item.p, item.n);
    if (++d->count == DIGEST_WAITING)
        digest_settle(d);
}

struct hash digest_value(const struct digest *d)
{
    struct digest all = *d;
    struct hash out;

    digest_settle(&all);
    for (unsigned i = 0; i < 4; i++)
        put_u64(out.b + 8 * i, all.lane[i]);
    return out;
}
