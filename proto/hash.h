/* The two hashes of Choir.
 *
 * BLAKE2b-512 cut to its first 32 bytes, over an 8-byte tag and the data, for
 * everything but the ledger's tree; SHA-256 for the tree (RFC 6962). Node and
 * Python have both in their standard libraries. */
#ifndef CHOIR_PROTO_HASH_H
#define CHOIR_PROTO_HASH_H

#include "bytes.h"

enum { HASH_BYTES = 32, HASH_TAG_BYTES = 8 };

struct hash {
    uint8_t b[HASH_BYTES];
};

/* Tags keep what is hashed for one purpose from standing for another. Each is
 * its ASCII text padded with zeros to 8 bytes. */
#define HASH_TAGS(X)         \
    X(LEDGER, "ledger/1")    \
    X(AGENT, "agent/1")      \
    X(SLOT, "slot/1")        \
    X(OP, "op/1")            \
    X(NODE, "node/1")        \
    X(BUNDLE, "bundle/1")    \
    X(ENTRY, "entry/1")      \
    X(EFFECT, "effect/1")    \
    X(ANSWER, "answer/1")    \
    X(PIECE, "piece/1")      \
    X(PIECES, "pieces/1")    \
    X(GROUP, "group/1")      \
    X(SUM, "sum/1")          \
    X(STATE, "state/1")      \
    X(KEYS, "keys/1")        \
    X(SALT, "salt/1")        \
    X(CHALLENGE, "challng1") \
    X(EXPORT, "export/1")

enum hash_tag {
#define X(name, text) HASH_##name,
    HASH_TAGS(X)
#undef X
        HASH_TAG_COUNT
};

/* H(tag, a || b || c); unused parts are empty. */
struct hash hash_parts(enum hash_tag tag, struct bytes a, struct bytes b,
                       struct bytes c);

static inline struct hash hash_of(enum hash_tag tag, struct bytes a)
{
    return hash_parts(tag, a, (struct bytes){0}, (struct bytes){0});
}

/* The same over what comes piece by piece. */
struct hash_run {
    uint8_t state[384]; /* BLAKE2b's own */
};
void hash_run_begin(struct hash_run *h, enum hash_tag tag);
void hash_run_add(struct hash_run *h, struct bytes piece);
/* Of all pieces so far; more may follow. */
struct hash hash_run_now(const struct hash_run *h);

/* The tag's 8 bytes. Static. */
struct bytes hash_tag_bytes(enum hash_tag tag);

/* Many with the same tag: out[i] = H(tag, a || b) of jobs[i]. Several times
 * quicker than one by one where the processor has AVX2 or AVX-512, unless one
 * is longer than all the others together. out[i] may lie in what the jobs
 * up to i say, not in what later ones do. */
struct hash_job {
    struct bytes a, b;
};
void hash_many(enum hash_tag tag, const struct hash_job *jobs, size_t n,
               struct hash *out);

static inline bool hash_equal(const struct hash *a, const struct hash *b)
{
    return memcmp(a->b, b->b, HASH_BYTES) == 0;
}

static inline struct bytes hash_bytes(const struct hash *h)
{
    return (struct bytes){h->b, HASH_BYTES};
}

/* RFC 6962: SHA-256(0x00 || leaf) and SHA-256(0x01 || left || right). */
struct hash tree_leaf(struct bytes leaf);
struct hash tree_node(const struct hash *left, const struct hash *right);

/* Many of each, which takes half the time where the processor has SHA
 * instructions. leaves: n of so many bytes, one behind the other. pairs: left
 * and right, n times; out may be where they are. */
void tree_leaves(const uint8_t *leaves, size_t bytes, size_t n,
                 struct hash *out);
void tree_nodes(const struct hash *pairs, size_t n, struct hash *out);

/* Plain SHA-256, for the key ids of signed notes. */
struct hash sha256_of(struct bytes b);

/* SHA-256 of nothing: the root of the empty tree. */
struct hash tree_empty(void);

/* A short keyed hash (SipHash-2-4) for tables in memory whose keys come from
 * others. It depends on the seed and is never written down. */
struct hash_seed {
    uint8_t b[16];
};
uint64_t hash_seeded(const struct hash_seed *seed, struct bytes b);

/* Lower-case hex, 64 characters and NUL. */
enum { HASH_HEX = 65 };
void hash_hex(const struct hash *h, char out[HASH_HEX]);
/* 0, or -EINVAL unless text is exactly 64 hex digits. */
int hash_parse_hex(struct hash *h, struct bytes text);

#endif
