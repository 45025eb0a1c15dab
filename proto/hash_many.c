/* BLAKE2b-512 of eight messages side by side, one in each lane of the
 * processor's vectors (RFC 7693, the reference's names). libsodium hashes one
 * message at a time, and one of one block cannot be had quicker than that; a
 * bundle has dozens. See docs/adr/0008. */
#include "hash.h"

#ifdef __x86_64__

enum {
    LANES = 8,
    BLOCK = 128,
    PARTS = 3,
    WINDOW = 64, /* jobs that are looked at together */
    FEW = 2,     /* fewer are quicker one by one */
};

/* A message is its tag and the job's two parts. */
struct message {
    struct bytes part[PARTS];
    size_t bytes;
};

static struct message message_of(enum hash_tag tag, const struct hash_job *job)
{
    return (struct message){
        {hash_tag_bytes(tag), job->a, job->b},
        HASH_TAG_BYTES + job->a.n + job->b.n,
    };
}

typedef uint64_t lanes __attribute__((vector_size(8 * LANES)));

static const uint64_t iv[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
    0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
    0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};

static const uint8_t sigma[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

/* What is compressed at once: a block of each lane's message. */
struct blocks {
    lanes h[8];
    const uint8_t *in[LANES];
    lanes bytes;               /* of its message, up to this block's end */
    lanes last;                /* all ones: it is the last one */
    unsigned used;             /* lanes, a bit each */
    uint8_t own[LANES][BLOCK]; /* of blocks that do not lie in one piece */
};

/* BLAKE2b's G and its round, on vectors of any width, which say how they rotate
 * best: W_32 and so on. */
#define MIX(W, v, a, b, c, d, x, y) \
    do {                            \
        v[a] += v[b] + (x);         \
        v[d] = W##_32(v[d] ^ v[a]); \
        v[c] += v[d];               \
        v[b] = W##_24(v[b] ^ v[c]); \
        v[a] += v[b] + (y);         \
        v[d] = W##_16(v[d] ^ v[a]); \
        v[c] += v[d];               \
        v[b] = W##_63(v[b] ^ v[c]); \
    } while (0)
#define ROUND(W, v, m, s)                                \
    do {                                                 \
        MIX(W, v, 0, 4, 8, 12, m[(s)[0]], m[(s)[1]]);    \
        MIX(W, v, 1, 5, 9, 13, m[(s)[2]], m[(s)[3]]);    \
        MIX(W, v, 2, 6, 10, 14, m[(s)[4]], m[(s)[5]]);   \
        MIX(W, v, 3, 7, 11, 15, m[(s)[6]], m[(s)[7]]);   \
        MIX(W, v, 0, 5, 10, 15, m[(s)[8]], m[(s)[9]]);   \
        MIX(W, v, 1, 6, 11, 12, m[(s)[10]], m[(s)[11]]); \
        MIX(W, v, 2, 7, 8, 13, m[(s)[12]], m[(s)[13]]);  \
        MIX(W, v, 3, 4, 9, 14, m[(s)[14]], m[(s)[15]]);  \
    } while (0)

/* --- AVX-512: all lanes at once; a rotation is one instruction ------------- */

#define WIDE static inline __attribute__((always_inline, target("avx512f")))

WIDE lanes wide_32(lanes x)
{
    return x >> 32 | x << 32;
}

WIDE lanes wide_24(lanes x)
{
    return x >> 24 | x << 40;
}

WIDE lanes wide_16(lanes x)
{
    return x >> 16 | x << 48;
}

WIDE lanes wide_63(lanes x)
{
    return x >> 63 | x << 1;
}

__attribute__((target("avx512f"))) static void compress_512(struct blocks *b)
{
    lanes m[16], v[16];

    for (int i = 0; i < 16; i++)
        for (int k = 0; k < LANES; k++)
            m[i][k] = get_u64(b->in[k] + 8 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = b->h[i];
        v[i + 8] = (lanes){0} + iv[i];
    }
    v[12] ^= b->bytes;
    v[14] ^= b->last;
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        ROUND(wide, v, m, sigma[i]);
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

/* --- AVX2: four lanes, then the other four ---------------------------------
 * The state of eight does not fit its registers. It rotates by whole bytes in
 * one instruction, by shuffling them. */

#define HALF static inline __attribute__((always_inline, target("avx2")))

typedef uint64_t half __attribute__((vector_size(4 * LANES)));
typedef uint8_t octets __attribute__((vector_size(4 * LANES)));

/* In each word the byte i is the one that was at (i + by) % 8. */
#define OF(by, word, i) (8 * (word) + ((i) + (by)) % 8)
#define WORD(by, word)                                                  \
    OF(by, word, 0), OF(by, word, 1), OF(by, word, 2), OF(by, word, 3), \
        OF(by, word, 4), OF(by, word, 5), OF(by, word, 6), OF(by, word, 7)
#define SHUFFLED(x, by)                                                   \
    (half) __builtin_shufflevector((octets)(x), (octets)(x), WORD(by, 0), \
                                   WORD(by, 1), WORD(by, 2), WORD(by, 3))

HALF half half_32(half x)
{
    return SHUFFLED(x, 4);
}

HALF half half_24(half x)
{
    return SHUFFLED(x, 3);
}

HALF half half_16(half x)
{
    return SHUFFLED(x, 2);
}

HALF half half_63(half x)
{
    return x >> 63 | (x + x);
}

HALF half half_get(const void *p)
{
    half x;

    memcpy(&x, p, sizeof x);
    return x;
}

/* Of four blocks: all their first words, all their second, up to the fourth. */
HALF void words_get(half to[4], const uint8_t *const in[4], size_t at)
{
    half a = half_get(in[0] + at), b = half_get(in[1] + at);
    half c = half_get(in[2] + at), d = half_get(in[3] + at);
    half ab = __builtin_shufflevector(a, b, 0, 4, 2, 6);
    half cd = __builtin_shufflevector(c, d, 0, 4, 2, 6);

    to[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    to[2] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    ab = __builtin_shufflevector(a, b, 1, 5, 3, 7);
    cd = __builtin_shufflevector(c, d, 1, 5, 3, 7);
    to[1] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    to[3] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}

HALF void compress_half(struct blocks *b, int first)
{
    half m[16], v[16];

    for (size_t i = 0; i < 16; i += 4)
        words_get(m + i, b->in + first, 8 * i);
    for (int i = 0; i < 8; i++) {
        v[i] = half_get((uint64_t *)&b->h[i] + first);
        v[i + 8] = (half){0} + iv[i];
    }
    v[12] ^= half_get((uint64_t *)&b->bytes + first);
    v[14] ^= half_get((uint64_t *)&b->last + first);
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++)
        ROUND(half, v, m, sigma[i]);
    for (int i = 0; i < 8; i++) {
        v[i] ^= v[i + 8] ^ half_get((uint64_t *)&b->h[i] + first);
        memcpy((uint64_t *)&b->h[i] + first, &v[i], sizeof v[i]);
    }
}

__attribute__((target("avx2"))) static void compress_256(struct blocks *b)
{
    if (b->used & 0x0f)
        compress_half(b, 0);
    if (b->used & 0xf0)
        compress_half(b, 4);
}

typedef void (*compress_blocks)(struct blocks *b);

/* NULL where eight at once would be no quicker than one by one. */
static compress_blocks compress_for_this_machine(void)
{
    return __builtin_cpu_supports("avx512f") ? compress_512
           : __builtin_cpu_supports("avx2")  ? compress_256
                                             : NULL;
}

/* The block that begins there, with zeros behind the message's end. */
static void block_fill(uint8_t to[BLOCK], const struct message *m, size_t from)
{
    size_t at = 0;

    for (int i = 0; i < PARTS; i++) {
        const struct bytes *p = &m->part[i];
        size_t n = from < p->n ? p->n - from : 0;

        if (n > BLOCK - at)
            n = BLOCK - at;
        if (n)
            memcpy(to + at, p->p + from, n);
        at += n;
        from -= from < p->n ? from : p->n;
    }
    memset(to + at, 0, BLOCK - at);
}

/* The same where it lies, if that is in one piece. */
static const uint8_t *block_of(const struct message *m, size_t from,
                               uint8_t own[BLOCK])
{
    const struct bytes *p = m->part;
    size_t at = from;

    for (; p < m->part + PARTS - 1 && at >= p->n; p++)
        at -= p->n;
    if (at < p->n && p->n - at >= BLOCK)
        return p->p + at;
    block_fill(own, m, from);
    return own;
}

static size_t blocks_of(const struct message *m)
{
    return (m->bytes + BLOCK - 1) / BLOCK;
}

/* Messages on their way through the lanes: whichever has ended makes room for
 * the next. */
struct run {
    const struct message *m;
    size_t n, next, most; /* blocks: what is longer goes alone */
    size_t job[LANES];    /* WINDOW: none */
    size_t at[LANES];     /* its next block */
    uint64_t done;        /* jobs */
    struct blocks b;
};

static void next_find(struct run *r)
{
    while (r->next < r->n && blocks_of(&r->m[r->next]) > r->most)
        r->next++;
}

static void lane_begin(struct run *r, int k)
{
    r->job[k] = r->next++;
    r->at[k] = 0;
    r->b.used |= 1u << k;
    for (int i = 0; i < 8; i++) /* unkeyed, 64 bytes of output */
        r->b.h[i][k] = i ? iv[i] : iv[0] ^ 0x01010040;
    next_find(r);
}

static void lane_fill(struct run *r, int k)
{
    const struct message *m = &r->m[r->job[k]];
    size_t end = (r->at[k] + 1) * BLOCK;
    bool last = end >= m->bytes;

    r->b.in[k] = block_of(m, r->at[k] * BLOCK, r->b.own[k]);
    r->b.bytes[k] = last ? m->bytes : end;
    r->b.last[k] = last ? UINT64_MAX : 0;
    r->at[k]++;
}

static void lane_end(struct run *r, int k, struct hash *out)
{
    for (int i = 0; i < 4; i++)
        put_u64(out[r->job[k]].b + 8 * i, r->b.h[i][k]);
    r->done |= (uint64_t)1 << r->job[k];
    r->job[k] = WINDOW;
    r->b.used &= ~(1u << k);
}

static void side_by_side(compress_blocks compress_all, struct run *r,
                         struct hash *out)
{
    for (int k = 0; k < LANES; k++) {
        r->job[k] = WINDOW;
        r->b.in[k] = r->b.own[k];
    }
    next_find(r);
    while (r->b.used || r->n - r->next >= FEW) {
        for (int k = 0; k < LANES; k++) {
            if (r->job[k] == WINDOW && r->next < r->n)
                lane_begin(r, k);
            if (r->job[k] != WINDOW)
                lane_fill(r, k);
        }
        compress_all(&r->b);
        for (int k = 0; k < LANES; k++) {
            if (r->job[k] != WINDOW && r->b.last[k])
                lane_end(r, k, out);
        }
    }
}

/* The first jobs, up to a window of them. What is longer than a third of all
 * would go on alone when the others have ended, which is quicker from the start.
 * Returns how many; 0: they are not quicker side by side. */
static size_t some_at_once(enum hash_tag tag, const struct hash_job *jobs,
                           size_t n, struct hash *out)
{
    compress_blocks compress_all = compress_for_this_machine();
    struct message m[WINDOW];
    struct hash hashes[WINDOW]; /* out may lie in jobs that go on */
    struct run r;

    if (!compress_all || n < FEW)
        return 0;
    r.m = m;
    r.n = n < WINDOW ? n : WINDOW;
    r.next = r.most = 0;
    r.b.used = 0;
    r.done = 0;
    if (n < LANES) /* some will stay empty */
        memset(&r.b, 0, sizeof r.b);
    for (size_t i = 0; i < r.n; i++) {
        m[i] = message_of(tag, &jobs[i]);
        r.most += blocks_of(&m[i]);
    }
    r.most /= FEW;
    side_by_side(compress_all, &r, hashes);
    for (size_t i = 0; i < r.n; i++) {
        if (!(r.done >> i & 1))
            hashes[i] =
                hash_parts(tag, jobs[i].a, jobs[i].b, (struct bytes){0});
    }
    memcpy(out, hashes, r.n * sizeof *hashes);
    return r.n;
}

#else

static size_t some_at_once(enum hash_tag tag, const struct hash_job *jobs,
                           size_t n, struct hash *out)
{
    (void)tag, (void)jobs, (void)n, (void)out;
    return 0;
}

#endif

void hash_many(enum hash_tag tag, const struct hash_job *jobs, size_t n,
               struct hash *out)
{
    for (size_t i = 0; i < n;) {
        size_t some = some_at_once(tag, jobs + i, n - i, out + i);

        if (some == 0) {
            out[i] = hash_parts(tag, jobs[i].a, jobs[i].b, (struct bytes){0});
            some = 1;
        }
        i += some;
    }
}
