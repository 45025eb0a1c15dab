/* Trees of every small size, their paths, and the growing tree. */
#include "tests/check.h"

#include "proto/merkle.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

enum { MOST = 70 };

static void leaves_of(struct hash leaves[MOST])
{
    for (unsigned i = 0; i < MOST; i++)
        leaves[i] = hash_of(HASH_OP, bytes_of(&i, sizeof i));
}

/* The definition of RFC 6962, 2.1. */
static struct hash defined(merkle_node node, const struct hash *l, size_t n)
{
    size_t k = 1;
    struct hash a, b;

    if (n == 1)
        return *l;
    while (2 * k < n)
        k *= 2;
    a = defined(node, l, k);
    b = defined(node, l + k, n - k);
    return node(&a, &b);
}

TEST(merkle_root_is_that_of_rfc_6962)
{
    struct hash leaves[MOST], root, wanted;
    struct merkle m = {0};

    leaves_of(leaves);
    for (size_t n = 1; n <= MOST; n++) {
        CHECK_OK(merkle_build(&m, leaves, n));
        root = merkle_root(&m);
        wanted = defined(merkle_blake, leaves, n);
        CHECK(hash_equal(&root, &wanted));
    }
    merkle_free(&m);
}

TEST(merkle_path_leads_every_leaf_to_the_root_and_no_other_place)
{
    struct hash leaves[MOST], path[MERKLE_PATH_MAX], root, got;
    struct merkle m = {0};

    leaves_of(leaves);
    for (size_t n = 1; n <= 33; n++) {
        CHECK_OK(merkle_build(&m, leaves, n));
        root = merkle_root(&m);
        for (size_t i = 0; i < n; i++) {
            size_t length = merkle_path(&m, i, path);

            for (size_t at = 0; at <= n; at++) {
                int r = merkle_climb(merkle_blake, leaves[i], at, n, path[0].b,
                                     length, &got);

                CHECK_EQ(!r && hash_equal(&got, &root), at == i);
            }
        }
    }
    merkle_free(&m);
}

TEST(merkle_climb_refuses_a_path_too_short_or_too_long)
{
    struct hash leaves[MOST], path[MERKLE_PATH_MAX + 1] = {0}, got;
    struct merkle m = {0};

    leaves_of(leaves);
    for (size_t n = 1; n <= 33; n++) {
        CHECK_OK(merkle_build(&m, leaves, n));
        for (size_t i = 0; i < n; i++) {
            size_t length = merkle_path(&m, i, path);

            CHECK_REFUSED(merkle_climb(merkle_blake, leaves[i], i, n, path[0].b,
                                       length + 1, &got),
                          CHOIR_MALFORMED);
            if (length)
                CHECK_REFUSED(merkle_climb(merkle_blake, leaves[i], i, n,
                                           path[0].b, length - 1, &got),
                              CHOIR_MALFORMED);
        }
    }
    merkle_free(&m);
}

TEST(merkle_climb_ends_for_the_largest_count)
{
    struct hash leaf = wire_hash(1), got;
    uint8_t path[32 * 64] = {0};

    CHECK_OK(merkle_climb(merkle_blake, leaf, 0, UINT64_MAX, path, 64, &got));
    CHECK_REFUSED(
        merkle_climb(merkle_blake, leaf, 0, UINT64_MAX, path, 32, &got),
        CHOIR_MALFORMED);
    CHECK_REFUSED(merkle_climb(merkle_blake, leaf, 0, 0, path, 0, &got),
                  CHOIR_MALFORMED);
}

TEST(frontier_grows_to_the_root_of_rfc_6962)
{
    struct hash leaves[MOST], root, wanted;
    struct frontier f;

    leaves_of(leaves);
    frontier_init(&f);
    root = frontier_root(&f);
    wanted = tree_empty();
    CHECK(hash_equal(&root, &wanted));
    for (size_t n = 1; n <= MOST; n++) {
        frontier_add(&f, leaves[n - 1]);
        root = frontier_root(&f);
        wanted = defined(tree_node, leaves, n);
        CHECK(hash_equal(&root, &wanted));
        CHECK_EQ(f.size, n);
    }
}

/* What was told of subtrees that have become full. */
struct told {
    const struct hash *leaves;
    uint64_t before; /* leaves */
    size_t count;
};

static void on_full(void *arg, unsigned level, const struct hash *roots,
                    size_t n)
{
    struct told *t = arg;

    for (size_t i = 0; i < n; i++, t->count++) {
        uint64_t at = ((t->before >> level) + i) << level;
        struct hash wanted =
            defined(tree_node, t->leaves + at, (size_t)1 << level);

        CHECK(hash_equal(&roots[i], &wanted));
    }
}

TEST(frontier_of_many_is_that_of_one_by_one_and_tells_what_is_full)
{
    struct hash leaves[MOST], nodes[1 + MOST];

    leaves_of(leaves);
    for (size_t from = 0; from <= MOST; from++) {
        for (size_t to = from; to <= MOST; to++) {
            struct told told = {leaves, from, 0};
            struct frontier f, single;
            size_t full = 0;

            frontier_init(&single);
            for (size_t i = 0; i < from; i++)
                frontier_add(&single, leaves[i]);
            f = single;
            for (size_t i = from; i < to; i++)
                frontier_add(&single, leaves[i]);
            memcpy(nodes + 1, leaves + from, (to - from) * sizeof *nodes);
            frontier_add_many(&f, nodes, to - from, on_full, &told);
            CHECK_EQ(f.size, single.size);
            CHECK_EQ(f.depth, single.depth);
            CHECK_MEM(f.edge, single.edge, f.depth * sizeof *f.edge);
            for (unsigned level = 1; to >> level; level++)
                full += (to >> level) - (from >> level);
            CHECK_EQ(told.count, full);
        }
    }
}

static struct hash subtree_root(const struct hash leaves[MOST],
                                struct subtree at)
{
    struct hash some[MOST];
    size_t n = (size_t)1 << at.level;

    memcpy(some, leaves + at.index * n, n * sizeof *some);
    return defined(tree_node, some, n);
}

TEST(merkle_gap_leads_every_prefix_to_every_later_root)
{
    struct hash leaves[MOST], root, wanted;
    struct subtree gap[MERKLE_GAP_MAX];

    leaves_of(leaves);
    for (size_t from = 0; from <= MOST; from++) {
        for (size_t to = from; to <= MOST; to++) {
            struct frontier f;
            size_t n = merkle_gap(from, to, gap);

            frontier_init(&f);
            for (size_t i = 0; i < from; i++)
                frontier_add(&f, leaves[i]);
            for (size_t i = 0; i < n; i++)
                CHECK_OK(frontier_add_node(&f, gap[i].level,
                                           subtree_root(leaves, gap[i])));
            root = frontier_root(&f);
            wanted = to ? defined(tree_node, leaves, to) : tree_empty();
            CHECK_EQ(f.size, to);
            CHECK(hash_equal(&root, &wanted));
        }
    }
}

TEST(merkle_gap_takes_the_largest_subtrees_that_fit)
{
    struct subtree gap[MERKLE_GAP_MAX];

    CHECK_EQ(merkle_gap(5, 5, gap), 0);
    CHECK_EQ(merkle_gap(6, 5, gap), 0);
    CHECK_EQ(merkle_gap(0, 8, gap), 1);
    CHECK_EQ(gap[0].level, 3);
    CHECK_EQ(merkle_gap(3, 9, gap), 3); /* 3, 4-7, 8 */
    CHECK_EQ(gap[0].index, 3);
    CHECK_EQ(gap[0].level, 0);
    CHECK_EQ(gap[1].index, 1);
    CHECK_EQ(gap[1].level, 2);
    CHECK_EQ(gap[2].index, 8);
    CHECK_EQ(gap[2].level, 0);
    CHECK(merkle_gap(1, UINT64_MAX, gap) <= MERKLE_GAP_MAX);
}

TEST(frontier_refuses_a_subtree_that_does_not_begin_there)
{
    struct hash h = wire_hash(1);
    struct frontier f;

    frontier_init(&f);
    CHECK_OK(frontier_add_node(&f, 0, h));
    CHECK_REFUSED(frontier_add_node(&f, 1, h), CHOIR_MALFORMED);
    CHECK_OK(frontier_add_node(&f, 0, h));
    CHECK_REFUSED(frontier_add_node(&f, 2, h), CHOIR_MALFORMED);
    CHECK_OK(frontier_add_node(&f, 1, h));
    CHECK_EQ(f.size, 4);
    CHECK_EQ(f.depth, 1);
    CHECK_REFUSED(frontier_add_node(&f, 54, h), CHOIR_MALFORMED);
    CHECK_REFUSED(frontier_add_node(&f, 64, h), CHOIR_MALFORMED);
    frontier_init(&f);
    CHECK_OK(frontier_add_node(&f, 53, h));
    CHECK_REFUSED(frontier_add_node(&f, 0, h), CHOIR_MALFORMED);
}

CHECK_MAIN
