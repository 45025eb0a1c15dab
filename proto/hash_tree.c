/* SHA-256 of many short messages of one length, two at a time (FIPS 180-4, by
 * the processor's SHA instructions). Two rounds of one message wait for the two
 * before them; those of another fill the gaps. See docs/adr/0014. */
#include "hash.h"

enum {
    BLOCK = 64,
    BLOCKS_MAX = 3,
    LENGTH_BYTES = 8,
    /* with the prefix, a one behind it and its length */
    DATA_MAX = BLOCKS_MAX * BLOCK - 1 - 1 - LENGTH_BYTES,
    LEAF = 0, /* RFC 6962's prefixes */
    NODE = 1,
};

static struct hash one(uint8_t prefix, const uint8_t *data, size_t bytes)
{
    struct hash halves[2];

    if (prefix == LEAF)
        return tree_leaf(bytes_of(data, bytes));
    memcpy(halves, data, sizeof halves);
    return tree_node(&halves[0], &halves[1]);
}

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>
#include <stdatomic.h>

#define SHA __attribute__((target("sha,sse4.1")))
#define INLINE static inline __attribute__((always_inline)) SHA

static const uint32_t constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* As the instructions want it: words A, B, E, F and C, D, G, H. */
struct stream {
    __m128i abef, cdgh;
    __m128i w[4]; /* the last 16 words of the schedule */
};

INLINE void stream_begin(struct stream *s)
{
    s->abef =
        _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
    s->cdgh =
        _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

/* Four words of the schedule: of the block, then from those before. */
INLINE __m128i words(struct stream *s, const uint8_t *block, int i)
{
    const __m128i big_endian =
        _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i *w = s->w, middle;

    if (i < 4)
        return w[i] = _mm_shuffle_epi8(
                   _mm_loadu_si128((const __m128i *)(block + 16 * i)),
                   big_endian);
    middle = _mm_alignr_epi8(w[(i + 3) % 4], w[(i + 2) % 4], 4);
    return w[i % 4] = _mm_sha256msg2_epu32(
               _mm_add_epi32(_mm_sha256msg1_epu32(w[i % 4], w[(i + 1) % 4]),
                             middle),
               w[(i + 3) % 4]);
}

/* Rounds 4i to 4i + 3, after which all is where it was. */
INLINE void rounds(struct stream *s, const uint8_t *block, int i)
{
    __m128i k = _mm_load_si128((const __m128i *)(constants + 4 * i));
    __m128i wk = _mm_add_epi32(words(s, block, i), k);

    s->cdgh = _mm_sha256rnds2_epu32(s->cdgh, s->abef, wk);
    s->abef =
        _mm_sha256rnds2_epu32(s->abef, s->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

INLINE void compress(struct stream *a, struct stream *b, const uint8_t *block_a,
                     const uint8_t *block_b)
{
    struct stream was_a = *a, was_b = *b;

#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
        rounds(a, block_a, i);
        rounds(b, block_b, i);
    }
    a->abef = _mm_add_epi32(a->abef, was_a.abef);
    a->cdgh = _mm_add_epi32(a->cdgh, was_a.cdgh);
    b->abef = _mm_add_epi32(b->abef, was_b.abef);
    b->cdgh = _mm_add_epi32(b->cdgh, was_b.cdgh);
}

INLINE void stream_end(const struct stream *s, struct hash *out)
{
    const __m128i turned =
        _mm_set_epi64x(0x08090a0b0c0d0e0f, 0x0001020304050607);

    _mm_storeu_si128(
        (__m128i *)out->b,
        _mm_shuffle_epi8(_mm_unpackhi_epi64(s->abef, s->cdgh), turned));
    _mm_storeu_si128(
        (__m128i *)(out->b + 16),
        _mm_shuffle_epi8(_mm_unpacklo_epi64(s->abef, s->cdgh), turned));
}

/* A message but for its data. Returns its blocks. */
static size_t frame(uint8_t m[BLOCKS_MAX * BLOCK], uint8_t prefix, size_t bytes)
{
    size_t blocks = (1 + bytes + 1 + LENGTH_BYTES + BLOCK - 1) / BLOCK;
    uint64_t bits = (1 + bytes) * 8;

    memset(m, 0, BLOCKS_MAX * BLOCK);
    m[0] = prefix;
    m[1 + bytes] = 0x80;
    for (size_t i = 0; i < LENGTH_BYTES; i++)
        m[blocks * BLOCK - 1 - i] = (uint8_t)(bits >> 8 * i);
    return blocks;
}

SHA static size_t two_by_two(uint8_t prefix, const uint8_t *data, size_t bytes,
                             size_t n, struct hash *out)
{
    uint8_t m[2][BLOCKS_MAX * BLOCK];
    size_t blocks = frame(m[0], prefix, bytes), i;

    memcpy(m[1], m[0], sizeof m[1]);
    for (i = 0; i + 1 < n; i += 2) {
        struct stream a, b;

        memcpy(m[0] + 1, data + i * bytes, bytes);
        memcpy(m[1] + 1, data + (i + 1) * bytes, bytes);
        stream_begin(&a);
        stream_begin(&b);
        for (size_t k = 0; k < blocks; k++)
            compress(&a, &b, m[0] + k * BLOCK, m[1] + k * BLOCK);
        stream_end(&a, &out[i]);
        stream_end(&b, &out[i + 1]);
    }
    return i;
}

/* Asked once: the instruction that tells is slow in a virtual machine. */
static bool has_sha(void)
{
    static _Atomic signed char known;
    signed char has = atomic_load_explicit(&known, memory_order_relaxed);
    unsigned a, b, c, d;

    if (has == 0) {
        has = __get_cpuid_count(7, 0, &a, &b, &c, &d) && b & 1u << 29 &&
                      __builtin_cpu_supports("sse4.1")
                  ? 1
                  : -1;
        atomic_store_explicit(&known, has, memory_order_relaxed);
    }
    return has > 0;
}

static size_t quickly(uint8_t prefix, const uint8_t *data, size_t bytes,
                      size_t n, struct hash *out)
{
    return bytes <= DATA_MAX && n > 1 && has_sha()
               ? two_by_two(prefix, data, bytes, n, out)
               : 0;
}

#else

static size_t quickly(uint8_t prefix, const uint8_t *data, size_t bytes,
                      size_t n, struct hash *out)
{
    (void)prefix, (void)data, (void)bytes, (void)n, (void)out;
    return 0;
}

#endif

static void all(uint8_t prefix, const uint8_t *data, size_t bytes, size_t n,
                struct hash *out)
{
    for (size_t i = quickly(prefix, data, bytes, n, out); i < n; i++)
        out[i] = one(prefix, data + i * bytes, bytes);
}

void tree_leaves(const uint8_t *leaves, size_t bytes, size_t n,
                 struct hash *out)
{
    all(LEAF, leaves, bytes, n, out);
}

void tree_nodes(const struct hash *pairs, size_t n, struct hash *out)
{
    all(NODE, pairs->b, 2 * HASH_BYTES, n, out);
}
