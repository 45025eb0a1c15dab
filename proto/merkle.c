/* Trees are stored level by level. A node without a sibling is carried up
 * unchanged, which gives exactly RFC 6962's shape. */
#include "merkle.h"

#include <errno.h>
#include <stdlib.h>

#include "refusal.h"

struct hash merkle_blake(const struct hash *l, const struct hash *r)
{
    return hash_parts(HASH_NODE, hash_bytes(l), hash_bytes(r),
                      (struct bytes){0});
}

/* A level's pairs become the next level, which may take its place. */
static void merkle_level(struct hash *to, const struct hash *from, size_t n)
{
    struct hash_job jobs[64];
    size_t pairs = n / 2;

    for (size_t i = 0; i < pairs;) {
        size_t some = pairs - i < 64 ? pairs - i : 64;

        for (size_t k = 0; k < some; k++) /* two side by side in memory */
            jobs[k].a = bytes_of(&from[2 * (i + k)], 2 * HASH_BYTES);
        for (size_t k = 0; k < some; k++)
            jobs[k].b = (struct bytes){0};
        hash_many(HASH_NODE, jobs, some, to + i);
        i += some;
    }
    if (n % 2)
        to[pairs] = from[n - 1];
}

struct hash merkle_shrink(struct hash *leaves, size_t n)
{
    for (; n > 1; n = (n + 1) / 2)
        merkle_level(leaves, leaves, n);
    return leaves[0];
}

int merkle_build(struct merkle *m, const struct hash *leaves, size_t n)
{
    struct hash *level;

    if (m->cap < 2 * n + 64) {
        struct hash *p = realloc(m->nodes, (2 * n + 64) * sizeof *p);

        if (!p)
            return -ENOMEM;
        m->nodes = p;
        m->cap = 2 * n + 64;
    }
    m->count = n;
    memcpy(m->nodes, leaves, n * sizeof *leaves);
    for (level = m->nodes; n > 1; level += n, n = (n + 1) / 2)
        merkle_level(level + n, level, n);
    return 0;
}

struct hash merkle_root(const struct merkle *m)
{
    const struct hash *level = m->nodes;

    for (size_t n = m->count; n > 1; n = (n + 1) / 2)
        level += n;
    return *level;
}

size_t merkle_path(const struct merkle *m, size_t i,
                   struct hash path[MERKLE_PATH_MAX])
{
    const struct hash *level = m->nodes;
    size_t length = 0;

    for (size_t n = m->count; n > 1; level += n, n = (n + 1) / 2, i /= 2) {
        if ((i ^ 1) < n)
            path[length++] = level[i ^ 1];
    }
    return length;
}

void merkle_free(struct merkle *m)
{
    free(m->nodes);
    *m = (struct merkle){0};
}

int merkle_climb(merkle_node node, struct hash at, uint64_t i, uint64_t n,
                 const uint8_t *path, size_t path_hashes, struct hash *root)
{
    if (i >= n)
        return CHOIR_MALFORMED;
    for (; n > 1; n -= n / 2, i /= 2) {
        struct hash sibling;

        if ((i ^ 1) >= n)
            continue;
        if (path_hashes == 0)
            return CHOIR_MALFORMED;
        memcpy(sibling.b, path, HASH_BYTES);
        path += HASH_BYTES;
        path_hashes--;
        at = i & 1 ? node(&sibling, &at) : node(&at, &sibling);
    }
    if (path_hashes != 0)
        return CHOIR_MALFORMED;
    *root = at;
    return 0;
}

void frontier_init(struct frontier *f)
{
    f->size = 0;
    f->depth = 0;
}

/* Each one of the size is a full subtree of that height, which the first of
 * the new ones joins; one that is left over stays on the edge. */
void frontier_add_many(struct frontier *f, struct hash *nodes, size_t n,
                       frontier_full full, void *arg)
{
    struct hash over[64], *new = nodes + 1;
    unsigned left = 0;
    size_t count = n;

    for (unsigned level = 0; count; level++) {
        struct hash *at = new;

        if (level && full)
            full(arg, level, new, count);
        if (f->size >> level & 1) {
            *--at = f->edge[--f->depth];
            count++;
        }
        if (count & 1)
            over[left++] = at[count - 1];
        count /= 2;
        tree_nodes(at, count, new);
    }
    while (left)
        f->edge[f->depth++] = over[--left];
    f->size += n;
}

void frontier_add(struct frontier *f, struct hash leaf)
{
    struct hash nodes[2] = {[1] = leaf};

    frontier_add_many(f, nodes, 1, NULL, NULL);
}

/* Of the leaves after `from`, how far the largest full subtree that begins
 * there and does not pass `to` reaches. */
static unsigned gap_level(uint64_t from, uint64_t to)
{
    unsigned level = 0;

    while (level < 62 && !(from >> level & 1) &&
           (uint64_t)2 << level <= to - from)
        level++;
    return level;
}

size_t merkle_gap(uint64_t from, uint64_t to,
                  struct subtree out[MERKLE_GAP_MAX])
{
    size_t n = 0;

    while (from < to) {
        unsigned level = gap_level(from, to);

        out[n++] = (struct subtree){from >> level, level};
        from += (uint64_t)1 << level;
    }
    return n;
}

int frontier_add_node(struct frontier *f, unsigned level, struct hash node)
{
    if (level > 53 || f->size & (((uint64_t)1 << level) - 1) ||
        f->size + ((uint64_t)1 << level) > (uint64_t)1 << 53)
        return CHOIR_MALFORMED;
    for (uint64_t n = f->size >> level; n & 1; n >>= 1)
        node = tree_node(&f->edge[--f->depth], &node);
    f->edge[f->depth++] = node;
    f->size += (uint64_t)1 << level;
    return 0;
}

struct hash frontier_root(const struct frontier *f)
{
    struct hash root;

    if (f->depth == 0)
        return tree_empty();
    root = f->edge[f->depth - 1];
    for (unsigned i = f->depth - 1; i-- > 0;)
        root = tree_node(&f->edge[i], &root);
    return root;
}

/* Both roots at once: what lies left of the old tree's last full subtree is in
 * both, what lies right of it in the new one alone. */
int merkle_consistent(uint64_t old, const struct hash *old_root, uint64_t size,
                      const struct hash *root, const uint8_t *path,
                      size_t path_hashes)
{
    uint64_t i = old - 1, last = size - 1;
    struct hash was, is, next;

    if (old > size)
        return CHOIR_MALFORMED;
    if (old == 0 || old == size) {
        if (path_hashes)
            return CHOIR_MALFORMED;
        return old == 0 || hash_equal(old_root, root) ? 0 : CHOIR_BROKEN;
    }
    for (; i & 1; i >>= 1) /* up to where that subtree stands */
        last >>= 1;
    if (i) {
        if (path_hashes-- == 0)
            return CHOIR_MALFORMED;
        memcpy(was.b, path, HASH_BYTES);
        path += HASH_BYTES;
    } else {
        was = *old_root;
    }
    is = was;
    for (; last; i >>= 1, last >>= 1) {
        if (!(i & 1) && i == last)
            continue; /* carried up */
        if (path_hashes-- == 0)
            return CHOIR_MALFORMED;
        memcpy(next.b, path, HASH_BYTES);
        path += HASH_BYTES;
        if (i & 1) {
            was = tree_node(&next, &was);
            is = tree_node(&next, &is);
        } else {
            is = tree_node(&is, &next);
        }
    }
    if (path_hashes)
        return CHOIR_MALFORMED;
    return hash_equal(&was, old_root) && hash_equal(&is, root) ? 0
                                                               : CHOIR_BROKEN;
}
