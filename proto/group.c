/* A group against itself, and how it is made. Nothing is hashed twice: the heads
 * by the group's hash, payloads by the hashes in the heads, eight at a time, and
 * the marks of a thin group, which no head knows, by the sum. */
#include "record.h"

#include <errno.h>

#include "refusal.h"
#include "slots.h"

enum { SUM_BYTES = 16, HASHED_BYTES = 96, SUM_AT = 128 };

static const char group_magic[5] = "CHGR";
static const char thin_magic[5] = "CHGT";

uint64_t group_bytes(const struct group_header *g)
{
    uint64_t n = GROUP_HEADER_BYTES + g->heads_bytes + group_stored(g);

    return (n + GROUP_ALIGN - 1) / GROUP_ALIGN * GROUP_ALIGN;
}

static void header_sum(uint8_t out[SUM_BYTES],
                       const uint8_t header[GROUP_HEADER_BYTES],
                       const uint8_t nonce[SEGMENT_NONCE_BYTES],
                       uint64_t offset)
{
    uint8_t place[8];
    struct hash h;

    put_u64(place, offset);
    h = hash_parts(HASH_SUM, bytes_of(nonce, SEGMENT_NONCE_BYTES),
                   bytes_of(place, 8),
                   bytes_of(header, GROUP_HEADER_BYTES - SUM_BYTES));
    memcpy(out, h.b, SUM_BYTES);
}

int group_header_get(struct group_header *g,
                     const uint8_t in[GROUP_HEADER_BYTES],
                     const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset)
{
    uint8_t sum[SUM_BYTES];

    g->thin = memcmp(in, thin_magic, 4) == 0;
    if (!g->thin && (memcmp(in, group_magic, 4) != 0 || get_u32(in + 4) != 0))
        return CHOIR_MALFORMED;
    header_sum(sum, in, nonce, offset);
    if (memcmp(sum, in + GROUP_HEADER_BYTES - SUM_BYTES, SUM_BYTES) != 0)
        return CHOIR_MALFORMED;
    g->epoch = get_u64(in + 8);
    g->first = get_u64(in + 16);
    g->count = get_u32(in + 24);
    g->bundles = get_u32(in + 28);
    g->heads_bytes = get_u64(in + 32);
    g->payload_bytes = get_u64(in + 40);
    g->thin_bytes = get_u32(in + 4);
    g->synced = get_u64(in + 48);
    g->time = get_u64(in + 56);
    memcpy(g->prev.b, in + 64, HASH_BYTES);
    memcpy(g->hash.b, in + HASHED_BYTES, HASH_BYTES);
    memcpy(g->sum, in + SUM_AT, SUM_BYTES);
    if (g->heads_bytes > UINT32_MAX || g->payload_bytes > UINT32_MAX)
        return CHOIR_MALFORMED;
    return 0;
}

/* --- Checking ------------------------------------------------------------ */

int group_check_heads(const struct group_header *g,
                      const uint8_t header[GROUP_HEADER_BYTES],
                      struct bytes heads)
{
    uint8_t first[HASHED_BYTES]; /* as it was written first */
    struct hash h;

    memcpy(first, header, HASHED_BYTES);
    memcpy(first, group_magic, 4);
    put_u32(first + 4, 0);
    h = hash_parts(HASH_GROUP, bytes_of(first, HASHED_BYTES), heads,
                   (struct bytes){0});
    return heads.n == g->heads_bytes && hash_equal(&h, &g->hash)
               ? 0
               : CHOIR_MALFORMED;
}

/* Of their number, the marks, and nothing else; of no bytes in a group that is
 * whole. A number that is too large is the walk's to refuse. */
static void marks_sum(uint8_t out[SUM_BYTES], bool thin, struct bytes stored)
{
    struct cursor c = cursor_of(thin ? stored : (struct bytes){0});
    struct bytes marks = bytes_of(c.p, 0);
    struct hash h;

    if (thin) {
        cursor_take(&c, cursor_u32(&c));
        marks.n = c.failed ? 0 : (size_t)(c.p - marks.p);
    }
    h = hash_of(HASH_SUM, marks);
    memcpy(out, h.b, SUM_BYTES);
}

int group_check_outline(const struct group_header *g,
                        const uint8_t header[GROUP_HEADER_BYTES],
                        struct bytes body)
{
    struct cursor c = cursor_of(body);
    struct bytes heads = cursor_take(&c, (size_t)g->heads_bytes);
    uint8_t sum[SUM_BYTES];

    if (c.failed || cursor_left(&c) != group_stored(g))
        return CHOIR_MALFORMED;
    marks_sum(sum, g->thin, bytes_of(c.p, cursor_left(&c)));
    if (memcmp(sum, g->sum, SUM_BYTES) != 0)
        return CHOIR_MALFORMED;
    return group_check_heads(g, header, heads);
}

int group_check(const struct group_header *g,
                const uint8_t header[GROUP_HEADER_BYTES], struct bytes body)
{
    struct group_walk w;
    const struct entry *e;
    struct slots s;
    int r = group_check_outline(g, header, body);

    if (r)
        return r;
    slots_begin(&s);
    group_walk_begin(&w, g, body);
    w.unhashed = true;
    while (!(r = group_walk_next(&w, &e)))
        if (slots_add(&s, e->rows, e->payload, e->marks) ||
            slots_add(&s, e->effect_rows, e->effect_payload, e->effect_marks))
            return CHOIR_MALFORMED;
    if (r == CHOIR_NOT_FOUND)
        return slots_end(&s);
    return body.n == g->heads_bytes + group_stored(g) ? CHOIR_UNSUPPORTED : r;
}

/* --- Making one ---------------------------------------------------------- */

void group_begin(struct group *g, uint64_t epoch, uint64_t first, uint64_t time)
{
    g->h = (struct group_header){
        .epoch = epoch,
        .first = first,
        .time = time,
    };
    buf_clear(&g->heads);
    buf_clear(&g->payload);
}

void group_add_bundle(struct group *g, struct bytes header,
                      const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    buf_put_u32(&g->heads, (uint32_t)header.n);
    buf_put(&g->heads, header.p, header.n);
    buf_put(&g->heads, signature, KEY_SIGNATURE_BYTES);
    g->h.bundles++;
}

void group_add(struct group *g, struct bytes head, struct bytes payload,
               int outcome, struct bytes effect, struct bytes effect_payload)
{
    buf_put_u32(&g->heads, (uint32_t)head.n);
    buf_put_u32(&g->heads, (uint32_t)outcome << 24 | (uint32_t)effect.n);
    buf_put(&g->heads, head.p, head.n);
    buf_put(&g->heads, effect.p, effect.n);
    buf_put(&g->payload, payload.p, payload.n);
    buf_put(&g->payload, effect_payload.p, effect_payload.n);
    g->h.count++;
}

int group_finish(struct group *g, uint64_t synced, const struct hash *prev,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset,
                 uint8_t out[GROUP_HEADER_BYTES])
{
    if (g->heads.failed || g->payload.failed)
        return -ENOMEM;
    g->h.heads_bytes = g->heads.n;
    g->h.payload_bytes = g->payload.n;
    g->h.synced = synced;
    g->h.prev = *prev;
    memcpy(out, group_magic, 4);
    put_u32(out + 4, 0);
    put_u64(out + 8, g->h.epoch);
    put_u64(out + 16, g->h.first);
    put_u32(out + 24, g->h.count);
    put_u32(out + 28, g->h.bundles);
    put_u64(out + 32, g->h.heads_bytes);
    put_u64(out + 40, g->h.payload_bytes);
    put_u64(out + 48, g->h.synced);
    put_u64(out + 56, g->h.time);
    memcpy(out + 64, prev->b, HASH_BYTES);
    g->h.hash = hash_parts(HASH_GROUP, bytes_of(out, HASHED_BYTES),
                           buf_bytes(&g->heads), (struct bytes){0});
    memcpy(out + HASHED_BYTES, g->h.hash.b, HASH_BYTES);
    marks_sum(g->h.sum, false, (struct bytes){0});
    memcpy(out + SUM_AT, g->h.sum, SUM_BYTES);
    header_sum(out + GROUP_HEADER_BYTES - SUM_BYTES, out, nonce, offset);
    return 0;
}

void group_free(struct group *g)
{
    buf_free(&g->heads);
    buf_free(&g->payload);
}

void group_again(uint8_t header[GROUP_HEADER_BYTES], bool thin,
                 struct bytes body, uint64_t heads_bytes,
                 const uint8_t nonce[SEGMENT_NONCE_BYTES], uint64_t offset)
{
    memcpy(header, thin ? thin_magic : group_magic, 4);
    put_u32(header + 4, thin ? (uint32_t)(body.n - heads_bytes) : 0);
    marks_sum(header + SUM_AT, thin,
              bytes_of(body.p + heads_bytes, body.n - (size_t)heads_bytes));
    header_sum(header + GROUP_HEADER_BYTES - SUM_BYTES, header, nonce, offset);
}
