/* Proofs from the tree's files: every one leads to the root that the frontier
 * says, whatever the sizes, and what a crash leaves of the files is used as
 * far as it goes. */
#include "tests/check.h"

#include <errno.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "broker/ledger/tree.h"
#include "proto/refusal.h"

enum { MANY = 70000 }; /* one full subtree of 2^16, and some */

static char dir[200];
static struct hash roots[MANY + 1];

static void begin(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/tree-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
}

static const char *file_of(unsigned height)
{
    static char path[300];

    snprintf(path, sizeof path, "%s/tree-%u", dir, height);
    return path;
}

static void end(void)
{
    for (unsigned i = 0; i < 7; i++)
        unlink(file_of(8 * i));
    CHECK_OK(rmdir(dir));
}

static struct hash leaf_of(uint64_t i)
{
    return tree_leaf(bytes_of(&i, sizeof i));
}

/* By as many at once as it happens; what it must be is known from one by one. */
static void grow(struct tree *t, struct frontier *f, uint64_t to)
{
    enum { MOST = 150 };
    struct hash leaves[MOST];
    struct frontier single = *f;
    size_t n = 0;

    while (f->size < to) {
        leaves[n] = leaf_of(single.size);
        frontier_add(&single, leaves[n++]);
        roots[single.size] = frontier_root(&single);
        if (single.size < to && n < 1 + single.size * 31 % MOST)
            continue;
        tree_add(t, f, leaves, n);
        n = 0;
        if (f->size % 7 == 0)
            CHECK_OK(tree_write(t));
    }
    CHECK_OK(tree_write(t));
}

static void path_check(const struct tree *t, uint64_t i, uint64_t size)
{
    struct hash path[TREE_PROOF_MAX], root, leaf = leaf_of(i);
    size_t n;

    CHECK_OK(tree_path(t, i, size, path, &n));
    CHECK_OK(merkle_climb(tree_node, leaf, i, size, path[0].b, n, &root));
    CHECK(hash_equal(&root, &roots[size]));
}

static int consistent(const struct tree *t, uint64_t old, uint64_t size)
{
    struct hash path[TREE_PROOF_MAX];
    size_t n;

    CHECK_OK(tree_consistency(t, old, size, path, &n));
    return merkle_consistent(old, &roots[old], size, &roots[size], path[0].b,
                             n);
}

TEST(tree_proves_every_leaf_of_every_small_size)
{
    struct frontier f;
    struct tree *t;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, 270);
    for (uint64_t size = 1; size <= 270; size += size < 70 ? 1 : 17)
        for (uint64_t i = 0; i < size; i++)
            path_check(t, i, size);
    tree_close(&t);
    end();
}

TEST(tree_proves_leaves_and_growth_across_all_levels)
{
    static const uint64_t sizes[] = {1,   2,     3,     255,   256,   257,  511,
                                     512, 32768, 65535, 65536, 65537, 69999};
    struct frontier f;
    struct tree *t;
    struct hash root;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, MANY);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        CHECK_OK(tree_root(t, sizes[k], &root));
        CHECK(hash_equal(&root, &roots[sizes[k]]));
        for (uint64_t i = 0; i < sizes[k]; i += 1 + sizes[k] / 37)
            path_check(t, i, sizes[k]);
        for (uint64_t old = 1; old <= sizes[k]; old += 1 + sizes[k] / 41)
            CHECK_OK(consistent(t, old, sizes[k]));
    }
    tree_close(&t);
    end();
}

TEST(consistency_is_refused_for_another_past)
{
    struct hash path[TREE_PROOF_MAX + 1], other = leaf_of(1234567);
    struct frontier f;
    struct tree *t;
    size_t n;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, 200);
    for (uint64_t size = 1; size <= 200; size += 7) {
        for (uint64_t old = 1; old < size; old++) {
            CHECK_OK(tree_consistency(t, old, size, path, &n));
            CHECK_OK(merkle_consistent(old, &roots[old], size, &roots[size],
                                       path[0].b, n));
            CHECK_REFUSED(merkle_consistent(old, &other, size, &roots[size],
                                            path[0].b, n),
                          CHOIR_BROKEN);
            CHECK_REFUSED(
                merkle_consistent(old, &roots[old], size, &other, path[0].b, n),
                CHOIR_BROKEN);
            CHECK_REFUSED(merkle_consistent(old, &roots[old], size,
                                            &roots[size], path[0].b, n + 1),
                          CHOIR_MALFORMED);
            CHECK_REFUSED(merkle_consistent(old, &roots[old], size,
                                            &roots[size], path[0].b, n - 1),
                          CHOIR_MALFORMED);
            path[n / 2].b[5] ^= 1;
            CHECK_REFUSED(merkle_consistent(old, &roots[old], size,
                                            &roots[size], path[0].b, n),
                          CHOIR_BROKEN);
        }
    }
    CHECK_REFUSED(merkle_consistent(9, &roots[9], 8, &roots[8], path[0].b, 0),
                  CHOIR_MALFORMED);
    CHECK_REFUSED(merkle_consistent(8, &roots[9], 8, &roots[8], path[0].b, 0),
                  CHOIR_BROKEN);
    CHECK_OK(merkle_consistent(0, &other, 8, &roots[8], path[0].b, 0));
    tree_close(&t);
    end();
}

TEST(tree_refuses_numbers_that_do_not_fit_together)
{
    struct hash path[TREE_PROOF_MAX], root, leaf = leaf_of(10);
    struct frontier f;
    struct tree *t;
    size_t n;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, 10);
    CHECK_REFUSED(tree_path(t, 10, 10, path, &n), -EINVAL);
    CHECK_REFUSED(tree_path(t, 0, 11, path, &n), -EINVAL);
    CHECK_REFUSED(tree_root(t, 11, &root), -EINVAL);
    CHECK_REFUSED(tree_consistency(t, 0, 10, path, &n), -EINVAL);
    CHECK_REFUSED(tree_consistency(t, 10, 9, path, &n), -EINVAL);
    CHECK_REFUSED(tree_consistency(t, 1, 11, path, &n), -EINVAL);
    tree_add(t, &f, &leaf, 1); /* but not written */
    CHECK_EQ(tree_size(t), 11);
    CHECK_REFUSED(tree_path(t, 10, 11, path, &n), -EINVAL);
    tree_close(&t);
    end();
}

TEST(tree_goes_on_where_its_files_end)
{
    struct frontier f, again;
    struct tree *t;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, 1000);
    tree_close(&t);
    /* a crash took the end of a file, and half a hash of another */
    CHECK_OK(truncate(file_of(8), 2 * HASH_BYTES));
    CHECK_OK(truncate(file_of(0), 900 * HASH_BYTES - 7));
    CHECK_OK(tree_open(&t, dir, 1000));
    CHECK_EQ(tree_size(t), 512);
    frontier_init(&again);
    while (again.size < 512)
        frontier_add(&again, leaf_of(again.size));
    grow(t, &again, 1000);
    path_check(t, 3, 1000);
    path_check(t, 999, 1000);
    tree_close(&t);
    /* more in the files than in the record: its end never became durable */
    CHECK_OK(tree_open(&t, dir, 600));
    CHECK_EQ(tree_size(t), 600);
    path_check(t, 599, 600);
    tree_close(&t);
    end();
}

TEST(tree_that_cannot_be_written_falls_behind_and_is_whole_after_a_cut)
{
    struct rlimit limit, small = {300 * HASH_BYTES, 0};
    struct frontier f, again;
    struct hash leaf;
    struct tree *t;

    begin();
    frontier_init(&f);
    CHECK_OK(tree_open(&t, dir, 0));
    grow(t, &f, 250);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &limit));
    small.rlim_max = limit.rlim_max;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &small));
    while (f.size < 400) {
        leaf = leaf_of(f.size);
        tree_add(t, &f, &leaf, 1);
        roots[f.size] = frontier_root(&f);
    }
    CHECK_EQ(tree_write(t), -EFBIG);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK(tree_size(t) <= 300);
    leaf = leaf_of(400);
    tree_add(t, &f, &leaf, 1);
    CHECK(tree_size(t) <= 300); /* it waits for what is missing */
    CHECK_OK(tree_cut(t, tree_size(t)));
    frontier_init(&again);
    while (again.size < tree_size(t))
        frontier_add(&again, leaf_of(again.size));
    grow(t, &again, 400);
    for (uint64_t i = 0; i < 400; i++)
        path_check(t, i, 400);
    tree_close(&t);
    end();
}

CHECK_MAIN
