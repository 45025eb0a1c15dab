/* A subtree of height h has its root in the file of the level below h, or is a
 * few joins away from there: at most 255 of them. */
#include "broker/ledger/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/file.h"

enum {
    LEVELS = 7, /* 2^53 leaves */
    LEVEL_BITS = 8,
    PATH_BYTES = 4096,
    AT_ONCE = 64,
};

struct level {
    int fd;
    uint64_t written;  /* hashes in the file */
    struct hash *kept; /* owned: behind those, not written yet */
    size_t count, cap;
};

struct tree {
    struct level levels[LEVELS];
    bool is_behind; /* what was added was lost */
};

static uint64_t level_size(const struct level *l)
{
    return l->written + l->count;
}

uint64_t tree_size(const struct tree *t)
{
    return level_size(&t->levels[0]);
}

/* --- Opening ------------------------------------------------------------- */

static int level_open(struct level *l, const char *dir, unsigned level,
                      uint64_t *size)
{
    char path[PATH_BYTES];
    struct stat st;
    uint64_t full = *size >> (LEVEL_BITS * level);

    snprintf(path, sizeof path, "%s/tree-%u", dir, LEVEL_BITS * level);
    l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->fd < 0 || fstat(l->fd, &st))
        return -errno;
    l->written = (uint64_t)st.st_size / HASH_BYTES;
    if (l->written < full) /* what is missing here is missing below, too */
        *size = l->written << (LEVEL_BITS * level);
    return 0;
}

int tree_open(struct tree **out, const char *dir, uint64_t size)
{
    struct tree *t = calloc(1, sizeof *t);
    int r = 0;

    if (!t)
        return -ENOMEM;
    for (unsigned i = 0; i < LEVELS; i++)
        t->levels[i].fd = -1;
    for (unsigned i = 0; !r && i < LEVELS; i++)
        r = level_open(&t->levels[i], dir, i, &size);
    if (!r)
        r = tree_cut(t, size);
    if (r)
        tree_close(&t);
    *out = t;
    return r;
}

void tree_close(struct tree **self_p)
{
    struct tree *t = *self_p;

    if (!t)
        return;
    for (unsigned i = 0; i < LEVELS; i++) {
        if (t->levels[i].fd >= 0)
            close(t->levels[i].fd);
        free(t->levels[i].kept);
    }
    free(t);
    *self_p = NULL;
}

/* --- Writing ------------------------------------------------------------- */

int tree_cut(struct tree *t, uint64_t size)
{
    for (unsigned i = 0; i < LEVELS; i++) {
        struct level *l = &t->levels[i];
        uint64_t full = size >> (LEVEL_BITS * i);

        l->count = 0;
        if (l->written > full)
            l->written = full;
        if (ftruncate(l->fd, (off_t)(l->written * HASH_BYTES)))
            return -errno;
    }
    t->is_behind = false;
    return 0;
}

static bool level_keep(struct level *l, const struct hash *h)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct hash *kept = realloc(l->kept, cap * sizeof *kept);

        if (!kept)
            return false;
        l->kept = kept;
        l->cap = cap;
    }
    l->kept[l->count++] = *h;
    return true;
}

/* Nothing of what is kept can be trusted to be whole any more. */
static void fall_behind(struct tree *t)
{
    uint64_t size = t->levels[0].written;

    t->is_behind = true;
    for (unsigned i = 0; i < LEVELS; i++) {
        struct level *l = &t->levels[i];
        uint64_t full = size >> (LEVEL_BITS * i);

        l->count = 0;
        if (l->written > full)
            l->written = full;
        else if (l->written < full) /* written before its own level was */
            size = l->written << (LEVEL_BITS * i);
    }
    t->levels[0].written = size;
}

static bool all_keep(struct tree *t, unsigned level, const struct hash *hashes,
                     size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!level_keep(&t->levels[level], &hashes[i])) {
            fall_behind(t);
            return false;
        }
    }
    return true;
}

/* A frontier's levels are of one bit each. */
static void full_keep(void *tree, unsigned level, const struct hash *roots,
                      size_t n)
{
    struct tree *t = tree;

    if (!t->is_behind && level % LEVEL_BITS == 0 && level / LEVEL_BITS < LEVELS)
        all_keep(t, level / LEVEL_BITS, roots, n);
}

void tree_add(struct tree *t, struct frontier *f, const struct hash *leaves,
              size_t n)
{
    struct hash nodes[1 + AT_ONCE];

    for (size_t i = 0, some; i < n; i += some) {
        bool follows = t && !t->is_behind && tree_size(t) == f->size;

        some = n - i < AT_ONCE ? n - i : AT_ONCE;
        memcpy(nodes + 1, leaves + i, some * sizeof *leaves);
        if (follows)
            follows = all_keep(t, 0, leaves + i, some);
        frontier_add_many(f, nodes, some, follows ? full_keep : NULL, t);
    }
}

static int level_write(struct level *l)
{
    int r;

    if (l->count == 0)
        return 0;
    r = file_pwrite_all(l->fd, l->kept, l->count * sizeof *l->kept,
                        l->written * HASH_BYTES);
    if (r)
        return r;
    l->written += l->count;
    l->count = 0;
    return 0;
}

int tree_write(struct tree *t)
{
    int r = 0;

    for (unsigned i = LEVELS; !r && i-- > 0;)
        r = level_write(&t->levels[i]);
    if (r)
        fall_behind(t);
    return r;
}

/* --- Reading ------------------------------------------------------------- */

/* The root of the full subtree of 2^height leaves that begins at `from`. */
static int full_root(const struct tree *t, uint64_t from, unsigned height,
                     struct hash *root)
{
    unsigned level = height / LEVEL_BITS;
    size_t n = (size_t)1 << height % LEVEL_BITS;
    struct hash nodes[1 << LEVEL_BITS];
    int r = file_pread_all(t->levels[level].fd, nodes, n * sizeof *nodes,
                           (from >> (LEVEL_BITS * level)) * HASH_BYTES);

    if (r)
        return r == -ENODATA ? -EUCLEAN : r;
    for (; n > 1; n /= 2)
        tree_nodes(nodes, n / 2, nodes);
    *root = nodes[0];
    return 0;
}

/* Of the leaves from..to-1, where `from` is where a subtree of so many begins
 * in every tree that has them: full subtrees, larger ones first. */
static int range_edge(const struct tree *t, uint64_t from, uint64_t to,
                      struct frontier *f)
{
    frontier_init(f);
    f->size = to - from;
    while (from < to) {
        unsigned height = 63 - (unsigned)__builtin_clzll(to - from);
        int r = full_root(t, from, height, &f->edge[f->depth++]);

        if (r)
            return r;
        from += (uint64_t)1 << height;
    }
    return 0;
}

static int range_root(const struct tree *t, uint64_t from, uint64_t to,
                      struct hash *root)
{
    struct frontier f;
    int r = range_edge(t, from, to, &f);

    if (!r)
        *root = frontier_root(&f);
    return r;
}

int tree_frontier(const struct tree *t, uint64_t size, struct frontier *f)
{
    return size > t->levels[0].written ? -EINVAL : range_edge(t, 0, size, f);
}

int tree_root(const struct tree *t, uint64_t size, struct hash *root)
{
    return size > t->levels[0].written ? -EINVAL : range_root(t, 0, size, root);
}

int tree_at(const struct tree *t, uint64_t index, struct hash *leaf)
{
    return index >= t->levels[0].written ? -EINVAL
                                         : full_root(t, index, 0, leaf);
}

/* The largest power of two below n >= 2. */
static uint64_t split_of(uint64_t n)
{
    return (uint64_t)1 << (63 - __builtin_clzll(n - 1));
}

/* From the root down, so what is found first is last in the path. */
struct proof_walk {
    const struct tree *t;
    struct hash found[TREE_PROOF_MAX];
    size_t n;
    uint64_t from, to; /* the subtree we are in */
};

/* The half in which `at` is becomes the subtree, the other one's root is
 * found. */
static int step_down(struct proof_walk *w, uint64_t at)
{
    uint64_t middle = w->from + split_of(w->to - w->from);
    struct hash *other = &w->found[w->n++];

    if (at < middle) {
        uint64_t to = w->to;

        w->to = middle;
        return range_root(w->t, middle, to, other);
    }
    middle -= w->from;
    w->from += middle;
    return range_root(w->t, w->from - middle, w->from, other);
}

static void path_turn(const struct proof_walk *w, struct hash *path, size_t *n)
{
    for (size_t i = 0; i < w->n; i++)
        path[i] = w->found[w->n - 1 - i];
    *n = w->n;
}

int tree_path(const struct tree *t, uint64_t index, uint64_t size,
              struct hash path[TREE_PROOF_MAX], size_t *n)
{
    struct proof_walk w = {.t = t, .to = size};
    int r = index < size && size <= t->levels[0].written ? 0 : -EINVAL;

    while (!r && w.to - w.from > 1)
        r = step_down(&w, index);
    path_turn(&w, path, n);
    return r;
}

int tree_consistency(const struct tree *t, uint64_t old, uint64_t size,
                     struct hash path[TREE_PROOF_MAX], size_t *n)
{
    struct proof_walk w = {.t = t, .to = size};
    int r = old && old <= size && size <= t->levels[0].written ? 0 : -EINVAL;

    while (!r && w.to > old)
        r = step_down(&w, old - 1);
    /* Whoever has the old tree has its root: only a part of it must be told. */
    if (!r && w.from > 0)
        r = range_root(t, w.from, w.to, &w.found[w.n++]);
    path_turn(&w, path, n);
    return r;
}
