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
    FEW = 3,     /* fewer are quicker one by one */
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
    uint8_t in[LANES][BLOCK];
    lanes bytes; /* of its message, up to this block's end */
    lanes last;  /* all ones: it is the last one */
};

#define ALWAYS_INLINE inline __attribute__((always_inline))
#define ROTATED(x, n) ((x) >> (n) | (x) << (64 - (n)))

static ALWAYS_INLINE void mix(lanes v[16], int a, int b, int c, int d,
                              const lanes *x, const lanes *y)
{
    v[a] += v[b] + *x;
    v[d] = ROTATED(v[d] ^ v[a], 32);
    v[c] += v[d];
    v[b] = ROTATED(v[b] ^ v[c], 24);
    v[a] += v[b] + *y;
    v[d] = ROTATED(v[d] ^ v[a], 16);
    v[c] += v[d];
    v[b] = ROTATED(v[b] ^ v[c], 63);
}

static ALWAYS_INLINE void round_of(lanes v[16], const lanes m[16],
                                   const uint8_t s[16])
{
    mix(v, 0, 4, 8, 12, &m[s[0]], &m[s[1]]);
    mix(v, 1, 5, 9, 13, &m[s[2]], &m[s[3]]);
    mix(v, 2, 6, 10, 14, &m[s[4]], &m[s[5]]);
    mix(v, 3, 7, 11, 15, &m[s[6]], &m[s[7]]);
    mix(v, 0, 5, 10, 15, &m[s[8]], &m[s[9]]);
    mix(v, 1, 6, 11, 12, &m[s[10]], &m[s[11]]);
    mix(v, 2, 7, 8, 13, &m[s[12]], &m[s[13]]);
    mix(v, 3, 4, 9, 14, &m[s[14]], &m[s[15]]);
}

static ALWAYS_INLINE void compress(struct blocks *b)
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
        round_of(v, m, sigma[i]);
    for (int i = 0; i < 8; i++)
        b->h[i] ^= v[i] ^ v[i + 8];
}

__attribute__((target("avx512f"))) static void compress_512(struct blocks *b)
{
    compress(b);
}

__attribute__((target("avx2"))) static void compress_256(struct blocks *b)
{
    compress(b);
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
    unsigned busy;        /* lanes */
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
    r->busy++;
    for (int i = 0; i < 8; i++) /* unkeyed, 64 bytes of output */
        r->b.h[i][k] = i ? iv[i] : iv[0] ^ 0x01010040;
    next_find(r);
}

static void lane_fill(struct run *r, int k)
{
    const struct message *m = &r->m[r->job[k]];
    size_t end = (r->at[k] + 1) * BLOCK;
    bool last = end >= m->bytes;

    block_fill(r->b.in[k], m, r->at[k] * BLOCK);
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
    r->busy--;
}

static void side_by_side(compress_blocks compress_all, struct run *r,
                         struct hash *out)
{
    for (int k = 0; k < LANES; k++)
        r->job[k] = WINDOW;
    next_find(r);
    while (r->busy || r->n - r->next >= FEW) {
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
    r.busy = 0;
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
