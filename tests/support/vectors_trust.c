/* Vectors of keys, hashes and trees. */
#include <stdio.h>
#include <stdlib.h>

#include "proto/merkle.h"
#include "vectors.h"

static const char *const purposes[KEY_PURPOSE_COUNT] = {"bundle", "answer"};

static json_t *signature_case(json_t *file, const char *list, const char *name,
                              const struct key_pair *key, enum key_purpose said,
                              enum key_purpose meant, const uint8_t *signature)
{
    struct hash ledger = wire_hash(1);
    uint8_t made[KEY_SIGNATURE_BYTES];
    struct bytes body = bytes_text("the bytes of a header");
    json_t *c = vector_case(file, list, name);

    key_sign(key, meant, &ledger, body, made);
    vector_hex(c, "public_key", bytes_of(key->public_key, 32));
    vector_text(c, "purpose", purposes[said]);
    vector_hash(c, "ledger", &ledger);
    vector_hex(c, "body", body);
    vector_hex(c, "signature",
               bytes_of(signature ? signature : made, sizeof made));
    return c;
}

/* The other S that satisfies the equation: S + L. */
static void second_form(uint8_t signature[KEY_SIGNATURE_BYTES])
{
    static const uint8_t order[32] = {
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
        0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
        0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    unsigned carry = 0;

    for (unsigned i = 0; i < 32; i++) {
        carry += signature[32 + i] + order[i];
        signature[32 + i] = (uint8_t)carry;
        carry >>= 8;
    }
}

static void bad_signatures(json_t *file)
{
    struct key_pair key = wire_key(2), other = wire_key(3);
    struct hash ledger = wire_hash(1), elsewhere = wire_hash(8);
    struct bytes body = bytes_text("the bytes of a header");
    uint8_t s[KEY_SIGNATURE_BYTES];

    key_sign(&key, KEY_FOR_BUNDLE, &ledger, body, s);
    s[0] ^= 1;
    signature_case(file, "bad", "a bit of R flipped", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
    s[0] ^= 1, s[40] ^= 1;
    signature_case(file, "bad", "a bit of S flipped", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
    s[40] ^= 1;
    second_form(s);
    signature_case(file, "bad", "S not reduced", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
    key_sign(&other, KEY_FOR_BUNDLE, &ledger, body, s);
    signature_case(file, "bad", "another key's", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
    key_sign(&key, KEY_FOR_BUNDLE, &elsewhere, body, s);
    signature_case(file, "bad", "made for another ledger", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
    signature_case(file, "bad", "made for an answer", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_ANSWER, NULL);
    key_sign_note(&key, body, s);
    signature_case(file, "bad", "over the body alone", &key, KEY_FOR_BUNDLE,
                   KEY_FOR_BUNDLE, s);
}

json_t *vectors_keys(void)
{
    json_t *file = vector_file(
        "Seeds, the keys and agent ids they give, and signatures over "
        "purpose, ledger and body. bad: must not verify (BAD_SIGNATURE).");
    size_t i;
    json_t *c;

    for (uint8_t seed = 2; seed < 5; seed++) {
        struct key_pair key = wire_key(seed);
        struct hash id = agent_id(key.public_key), s = wire_hash(seed);

        for (int p = 0; p < KEY_PURPOSE_COUNT; p++) {
            c = signature_case(file, "good", purposes[p], &key,
                               (enum key_purpose)p, (enum key_purpose)p, NULL);
            vector_hash(c, "seed", &s);
            vector_hash(c, "agent", &id);
        }
    }
    bad_signatures(file);
    json_array_foreach(json_object_get(file, "bad"), i, c)
        vector_text(c, "refusal", "BAD_SIGNATURE");
    return file;
}

static const char *const tag_texts[] = {
#define X(name, text) [HASH_##name] = text,
    HASH_TAGS(X)
#undef X
};

static void slot_case(json_t *file, const char *name, struct bytes value)
{
    uint8_t salt[SLOT_SALT_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                     8, 9, 10, 11, 12, 13, 14, 15};
    struct buf row = {0};
    json_t *c = vector_case(file, "good", name);

    slot_row(&row, salt, value);
    vector_text(c, "kind", "slot");
    vector_hex(c, "salt", bytes_of(salt, sizeof salt));
    vector_hex(c, "value", value);
    vector_hex(c, "row", buf_bytes(&row));
    buf_free(&row);
}

static void tree_case(json_t *file, const char *name, const char *kind,
                      struct bytes data, struct hash h)
{
    json_t *c = vector_case(file, "good", name);

    vector_text(c, "kind", kind);
    vector_hex(c, "data", data);
    vector_hash(c, "hash", &h);
}

json_t *vectors_hashes(void)
{
    json_t *file = vector_file(
        "tagged: BLAKE2b-512 cut to 32 bytes over an 8-byte tag and the "
        "data. slot: the row of a salt and a value. leaf, node, empty: the "
        "ledger's SHA-256 tree.");
    struct hash a = wire_hash(3), b = wire_hash(4);
    struct buf two = {0};

    for (int t = 0; t < HASH_TAG_COUNT; t++) {
        struct bytes data = bytes_text("some data");
        struct hash h = hash_of((enum hash_tag)t, data);
        json_t *c = vector_case(file, "good", tag_texts[t]);

        vector_text(c, "kind", "tagged");
        vector_text(c, "tag", tag_texts[t]);
        vector_hex(c, "data", data);
        vector_hash(c, "hash", &h);
    }
    slot_case(file, "slot of a value", bytes_text("value"));
    slot_case(file, "slot of nothing", (struct bytes){0});
    buf_put(&two, a.b, 32);
    buf_put(&two, b.b, 32);
    tree_case(file, "leaf of nothing", "leaf", (struct bytes){0},
              tree_leaf((struct bytes){0}));
    tree_case(file, "leaf", "leaf", bytes_text("some data"),
              tree_leaf(bytes_text("some data")));
    tree_case(file, "node of left and right", "node", buf_bytes(&two),
              tree_node(&a, &b));
    tree_case(file, "root of the empty tree", "empty", (struct bytes){0},
              tree_empty());
    buf_free(&two);
    return file;
}

/* --- Trees --------------------------------------------------------------- */

enum { LEAVES = 13 };

static json_t *path_of(const struct merkle *m, size_t i)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t n = merkle_path(m, i, path);
    json_t *out = json_array();

    for (size_t k = 0; k < n; k++)
        json_array_append_new(out, vector_hex_of(hash_bytes(&path[k])));
    return out;
}

static void bundle_tree(json_t *file, const struct hash *leaves, size_t n)
{
    struct merkle m = {0};
    char name[48];
    json_t *c, *all = json_array(), *paths = json_array();
    struct hash root;

    snprintf(name, sizeof name, "BLAKE2b tree of %zu", n);
    if (merkle_build(&m, leaves, n))
        abort();
    root = merkle_root(&m);
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(all, vector_hex_of(hash_bytes(&leaves[i])));
        json_array_append_new(paths, path_of(&m, i));
    }
    c = vector_case(file, "good", name);
    vector_text(c, "kind", "blake2b");
    json_object_set_new(c, "leaves", all);
    vector_hash(c, "root", &root);
    json_object_set_new(c, "paths", paths);
    merkle_free(&m);
}

static void ledger_tree(json_t *file, size_t n)
{
    struct frontier f;
    struct hash root;
    char name[48];
    json_t *c, *all = json_array();

    frontier_init(&f);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "leaf %zu", i);
        frontier_add(&f, tree_leaf(bytes_text(name)));
        json_array_append_new(all, vector_hex_of(bytes_text(name)));
    }
    root = frontier_root(&f);
    snprintf(name, sizeof name, "SHA-256 tree of %zu", n);
    c = vector_case(file, "good", name);
    vector_text(c, "kind", "sha256");
    json_object_set_new(c, "data", all);
    vector_hash(c, "root", &root);
}

/* A path that must not lead from this leaf to this root. */
static void bad_path(json_t *file, const char *name, const struct merkle *m,
                     uint64_t position, uint64_t count, json_t *path)
{
    struct hash root = merkle_root(m);
    json_t *c = vector_case(file, "bad", name);

    vector_hash(c, "leaf", &m->nodes[5]);
    vector_int(c, "position", position);
    vector_int(c, "count", count);
    json_object_set_new(c, "path", path);
    vector_hash(c, "root", &root);
    vector_text(c, "refusal", "MALFORMED");
}

static void bad_paths(json_t *file, const struct hash *leaves)
{
    struct merkle m = {0};
    json_t *p;

    if (merkle_build(&m, leaves, LEAVES))
        abort();
    p = path_of(&m, 5);
    json_array_remove(p, json_array_size(p) - 1);
    bad_path(file, "path without its last hash", &m, 5, LEAVES, p);
    p = path_of(&m, 5);
    json_array_append_new(p, vector_hex_of(hash_bytes(&leaves[0])));
    bad_path(file, "path with a hash too many", &m, 5, LEAVES, p);
    p = path_of(&m, 5);
    json_array_insert(p, 0, json_array_get(p, 1));
    json_array_remove(p, 2);
    bad_path(file, "two hashes of the path swapped", &m, 5, LEAVES, p);
    bad_path(file, "another position", &m, 4, LEAVES, path_of(&m, 5));
    bad_path(file, "a position outside the tree", &m, LEAVES, LEAVES,
             path_of(&m, 5));
    bad_path(file, "a smaller tree", &m, 5, 8, path_of(&m, 5));
    bad_path(file, "an empty tree", &m, 0, 0, json_array());
    merkle_free(&m);
}

json_t *vectors_trees(void)
{
    json_t *file = vector_file(
        "blake2b: the tree of a bundle's operations or a cycle's answers; "
        "paths[i] leads from leaves[i] to root. sha256: the ledger's tree; "
        "data[i] is what leaf i hashes. bad: the path must not be accepted.");
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, LEAVES};
    struct hash leaves[LEAVES];

    for (uint8_t i = 0; i < LEAVES; i++)
        leaves[i] = wire_hash((uint8_t)(0x10 + i));
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        bundle_tree(file, leaves, sizes[i]);
    for (size_t n = 0; n < 10; n++)
        ledger_tree(file, n);
    bad_paths(file, leaves);
    return file;
}
