/* Names of keys and prefixes, the nodes that are found by them, and filters that
 * say quickly that a write concerns nobody. */
#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "readset_private.h"

/* --- Names ---------------------------------------------------------------- */

size_t readset_name_put(char out[NAME_BYTES], bool is_prefix,
                        struct bytes space, struct bytes name)
{
    if (space.n > LIMIT_NAME_BYTES || name.n > LIMIT_KEY_BYTES)
        return 0;
    out[0] = is_prefix ? 'p' : 'k';
    if (space.n)
        memcpy(out + 1, space.p, space.n);
    out[1 + space.n] = 0;
    if (name.n)
        memcpy(out + 2 + space.n, name.p, name.n);
    return 2 + space.n + name.n;
}

/* --- Nodes ---------------------------------------------------------------- */

struct node *readset_node_named(const struct readsets *all, const char *name,
                                size_t n)
{
    struct node *node;

    HASH_FIND(hh, all->nodes, name, n, node);
    return node;
}

static uint64_t space_hash(struct bytes space)
{
    static const uint8_t end;

    return text_hash(text_hash(0, space.p, space.n), &end, 1);
}

static struct filter *filter_of(struct readsets *all, const struct node *node)
{
    return node_is_prefix(node) ? &all->prefixes : &all->keys;
}

static void filter_grow(struct readsets *all, struct filter *f)
{
    const struct node *node;

    filter_reset(f, 2 * f->things);
    for (node = all->nodes; node; node = node->hh.next) {
        if (filter_of(all, node) == f)
            filter_add(f, node->hash);
    }
}

static void node_count(struct readsets *all, const struct node *node, bool more)
{
    struct filter *f = filter_of(all, node);
    size_t n = node_text(node).n;
    uint64_t bit = (uint64_t)1 << n % 64;

    if (more)
        filter_add(f, node->hash);
    else
        filter_remove(f, node->hash);
    if (filter_is_full(f))
        filter_grow(all, f);
    if (!node_is_prefix(node))
        return;
    all->lengths[n] += more ? 1 : (size_t)-1;
    if (all->lengths[n])
        all->used[n / 64] |= bit;
    else
        all->used[n / 64] &= ~bit;
}

struct node *readset_node_of(struct readsets *all, const char *name, size_t n,
                             size_t space_bytes)
{
    struct node *node = readset_node_named(all, name, n);

    if (node)
        return node;
    node = calloc(1, sizeof *node + n);
    if (!node)
        return NULL;
    memcpy(node->name, name, n);
    node->bytes = n;
    node->space_bytes = space_bytes;
    node->hash = text_hash_stir(
        text_hash(space_hash(name_space(node->name, space_bytes)),
                  node_text(node).p, node_text(node).n));
    HASH_ADD_KEYPTR(hh, all->nodes, node->name, n, node);
    node_count(all, node, true);
    return node;
}

void readset_node_leave(struct readsets *all, struct node *node)
{
    if (node->rows)
        return;
    node_count(all, node, false);
    HASH_DEL(all->nodes, node);
    free(node);
}

/* The next length from n on that prefixes in use have; beyond all: none. */
static size_t length_next(const struct readsets *all, size_t n)
{
    size_t word = n / 64;
    uint64_t bits = all->used[word] & UINT64_MAX << n % 64;

    while (!bits && ++word < WORDS)
        bits = all->used[word];
    return bits ? word * 64 + (size_t)__builtin_ctzll(bits) : SIZE_MAX;
}

/* The prefix in use, from that length on, under which the key lies. */
struct node *readset_prefix_next(const struct readsets *all, char *name,
                                 size_t space_bytes, size_t key_bytes,
                                 size_t *length)
{
    struct node *node = NULL;

    while (!node && *length <= key_bytes) {
        *length = length_next(all, *length);
        if (*length <= key_bytes)
            node = readset_node_named(all, name, 2 + space_bytes + *length);
        *length += *length <= key_bytes;
    }
    return node;
}

static bool may_have_prefix(const struct readsets *all, uint64_t hash,
                            struct bytes key, uint64_t *whole)
{
    size_t at = 0, length = length_next(all, 0);
    bool yes = false;

    for (; length <= key.n && !yes; length = length_next(all, length + 1)) {
        hash = text_hash(hash, key.p + at, length - at);
        at = length;
        yes = filter_may_have(&all->prefixes, text_hash_stir(hash));
    }
    *whole = text_hash(hash, key.p + at, key.n - at);
    return yes;
}

/* Filters first: most writes concern nobody, and of ten look-ups in a table of
 * all that was read each would have to wait for memory. */
bool readsets_concern(const struct readsets *all, struct bytes space,
                      struct bytes key)
{
    char name[NAME_BYTES];
    size_t n, length = 0;
    uint64_t whole;
    bool prefix;

    if (!all->nodes || key.n > LIMIT_KEY_BYTES)
        return false;
    prefix = may_have_prefix(all, space_hash(space), key, &whole);
    if (!prefix && !filter_may_have(&all->keys, text_hash_stir(whole)))
        return false;
    n = readset_name_put(name, false, space, key);
    if (n && readset_node_named(all, name, n))
        return true;
    name[0] = 'p';
    return prefix &&
           readset_prefix_next(all, name, space.n, key.n, &length) != NULL;
}
