/* Signatures are most of the work where bundles are small, and each stands
 * alone: they are collected into slices, which the pool checks while the next
 * ones are being collected. */
#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "tools/verify.h"

/* A slice is some 2 ms of work; each core has one and finds three more. */
enum { SLICE = 32, SLICES_FOR_EACH = 4 };

struct signed_header {
    uint8_t key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES];
    struct hash ledger;
    size_t header, header_bytes; /* in the slice's headers */
    struct verify_place at;
};

struct slice {
    struct pool_job job;
    struct signed_header all[SLICE];
    struct buf headers;
    size_t count;
    size_t wrong; /* the first that is, or count */
};

/* A ring: `under_way` slices behind `filling` are the pool's. */
struct signatures {
    struct pool *pool; /* borrowed */
    size_t filling, under_way, slice_count;
    struct slice slices[];
};

static void slice_check(struct pool_job *job)
{
    struct slice *s = (struct slice *)job;

    for (s->wrong = 0; s->wrong < s->count; s->wrong++) {
        const struct signed_header *h = &s->all[s->wrong];

        if (key_verify(h->key, KEY_FOR_BUNDLE, &h->ledger,
                       bytes_of(s->headers.p + h->header, h->header_bytes),
                       h->signature))
            return;
    }
}

struct signatures *signatures_new(struct pool *pool)
{
    size_t n = SLICES_FOR_EACH * (size_t)pool_width(pool);
    struct signatures *s = calloc(1, sizeof *s + n * sizeof *s->slices);

    if (!s)
        return NULL;
    s->pool = pool;
    s->slice_count = n;
    for (size_t i = 0; i < n; i++)
        s->slices[i].job.run = slice_check;
    return s;
}

static void slice_clear(struct slice *s)
{
    s->count = 0;
    buf_clear(&s->headers);
}

static int oldest_end(struct signatures *s, struct verify_place *at)
{
    struct slice *oldest =
        &s->slices[(s->filling + s->slice_count - s->under_way) %
                   s->slice_count];
    int r = 0;

    pool_wait(s->pool, &oldest->job);
    s->under_way--;
    if (oldest->wrong < oldest->count) {
        *at = oldest->all[oldest->wrong].at;
        r = CHOIR_BROKEN;
    }
    slice_clear(oldest);
    return r;
}

/* After one that is wrong, the others are of no interest. */
static void all_end(struct signatures *s)
{
    struct verify_place nowhere;

    while (s->under_way)
        oldest_end(s, &nowhere);
    slice_clear(&s->slices[s->filling]);
}

void signatures_destroy(struct signatures **self_p)
{
    struct signatures *s = *self_p;

    if (!s)
        return;
    all_end(s);
    for (size_t i = 0; i < s->slice_count; i++)
        buf_free(&s->slices[i].headers);
    free(s);
    *self_p = NULL;
}

/* Hand over what was collected; there is an empty slice then. */
static int slice_give(struct signatures *s, struct verify_place *at)
{
    int r = 0;

    pool_give(s->pool, &s->slices[s->filling].job);
    s->filling = (s->filling + 1) % s->slice_count;
    s->under_way++;
    if (s->under_way == s->slice_count)
        r = oldest_end(s, at);
    if (r)
        all_end(s);
    return r;
}

int signatures_settle(struct signatures *s, struct verify_place *at)
{
    int r = s->slices[s->filling].count ? slice_give(s, at) : 0;

    while (!r && s->under_way)
        r = oldest_end(s, at);
    all_end(s);
    return r;
}

int signatures_add(struct signatures *s, const uint8_t *key,
                   const struct hash *ledger, struct bytes header,
                   const uint8_t *signature, struct verify_place *at)
{
    struct slice *to = &s->slices[s->filling];
    struct signed_header *h = &to->all[to->count++];

    *h = (struct signed_header){
        .ledger = *ledger,
        .header = to->headers.n,
        .header_bytes = header.n,
        .at = *at,
    };
    memcpy(h->key, key, KEY_PUBLIC_BYTES);
    memcpy(h->signature, signature, KEY_SIGNATURE_BYTES);
    buf_put(&to->headers, header.p, header.n);
    if (to->headers.failed)
        return -ENOMEM;
    return to->count == SLICE ? slice_give(s, at) : 0;
}
