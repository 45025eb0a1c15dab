/* The tree's files follow the record. What they lack, after an upgrade or a
 * crash, is read back from it a little in each turn; until then there are no
 * proofs, and everything else goes on. */
#include <errno.h>

#include "base/log.h"
#include "core_private.h"
#include "proto/note.h"
#include "proto/refusal.h"

enum { SLICE_ENTRIES = 512 };

static int read_on(struct core *c)
{
    uint64_t upto = c->tree_past.size + SLICE_ENTRIES;
    const struct entry *e;
    int r = 0;

    if (!c->tree_reader)
        r = ledger_reader_open(c->ledger, c->tree_past.size, &c->tree_reader);
    while (!r && c->tree_past.size < c->state->size &&
           c->tree_past.size < upto) {
        struct hash leaf;

        r = ledger_reader_next(c->tree_reader, &e);
        if (r)
            return r < 0 ? r : -EUCLEAN;
        leaf = entry_leaf(e);
        tree_add(c->tree, &c->tree_past, &leaf, 1);
    }
    return r;
}

static int begin_at(struct core *c, uint64_t size)
{
    int r = tree_cut(c->tree, size);

    ledger_reader_close(&c->tree_reader);
    if (!r)
        r = tree_frontier(c->tree, size, &c->tree_past);
    c->tree_past_begun = !r;
    return r;
}

/* Do the files give the root that the state has? Else they are worth nothing.
 */
static int compare(struct core *c)
{
    struct hash ours = frontier_root(&c->state->tree), theirs;
    int r = tree_root(c->tree, c->state->size, &theirs);

    if (r && r != -EUCLEAN)
        return r;
    if (r || !hash_equal(&ours, &theirs)) {
        log_warn("tree", "note=%s", "its files are wrong and are made anew");
        return begin_at(c, 0);
    }
    ledger_reader_close(&c->tree_reader);
    c->tree_past_begun = false;
    c->tree_is_whole = true;
    return 0;
}

static int follow(struct core *c)
{
    int r = c->tree ? tree_write(c->tree)
                    : tree_open(&c->tree, c->config->data, c->state->size);

    if (r || (c->tree_is_whole && tree_size(c->tree) == c->state->size))
        return r;
    c->tree_is_whole = false;
    if (!c->tree_past_begun)
        r = begin_at(c, tree_size(c->tree));
    if (!r)
        r = core_slice(c, read_on);
    if (!r)
        r = tree_write(c->tree);
    if (!r && tree_size(c->tree) == c->state->size)
        r = compare(c);
    return r;
}

void core_tree_follow(struct core *c)
{
    int r;

    if (env_steady_us(c->env) < c->tree_again)
        return;
    r = follow(c);
    if (!r)
        return;
    c->tree_is_whole = c->tree_past_begun = false;
    c->tree_again = env_steady_us(c->env) + 1000 * 1000;
    if (!c->tree_troubled)
        log_warn("tree", "error=%s note=%s", strerror(-r),
                 "no proofs until its files can be written");
    c->tree_troubled = true;
}

bool core_tree_lags(const struct core *c)
{
    return !c->tree_is_whole && env_steady_us(c->env) >= c->tree_again;
}

void core_tree_close(struct core *c)
{
    ledger_reader_close(&c->tree_reader);
    tree_close(&c->tree);
}

/* --- Proofs ---------------------------------------------------------------- */

/* Whatever the files said, only what leads to the root leaves the house. */
static int proven(struct core *c, int r, bool leads)
{
    if (!r && leads)
        return 0;
    if (r && r != -EUCLEAN)
        return r;
    c->tree_is_whole = false;
    log_warn("tree", "note=%s", "its files are wrong and are made anew");
    r = begin_at(c, 0);
    return r ? r : CHOIR_BUSY;
}

int core_prove_entry(struct core *c, uint64_t index, struct hash leaf,
                     uint64_t size, struct core_proof *out)
{
    struct hash root;
    int r = core_prove_growth(c, size, c->state->size, out);

    if (r || index >= size)
        return r ? r : CHOIR_FUTURE;
    r = tree_path(c->tree, index, size, out->path, &out->hashes);
    return proven(c, r,
                  !r &&
                      !merkle_climb(tree_node, leaf, index, size,
                                    out->path[0].b, out->hashes, &root) &&
                      hash_equal(&root, &out->old_root));
}

int core_prove_growth(struct core *c, uint64_t old, uint64_t size,
                      struct core_proof *out)
{
    struct hash now = frontier_root(&c->state->tree);
    uint64_t head = c->state->size;
    int r;

    if (!c->tree_is_whole)
        return CHOIR_BUSY;
    if (old == 0 || old > size || size > head)
        return CHOIR_FUTURE;
    r = tree_root(c->tree, old, &out->old_root);
    if (!r)
        r = tree_root(c->tree, size, &out->root);
    /* the two roots hang on ours, and each other */
    if (!r)
        r = tree_consistency(c->tree, size, head, out->path, &out->hashes);
    r = proven(c, r,
               !r && !merkle_consistent(size, &out->root, head, &now,
                                        out->path[0].b, out->hashes));
    if (!r) {
        r = tree_consistency(c->tree, old, size, out->path, &out->hashes);
        r = proven(c, r,
                   !r &&
                       !merkle_consistent(old, &out->old_root, size, &out->root,
                                          out->path[0].b, out->hashes));
    }
    return r;
}

bool core_has_grown_from(struct core *c, uint64_t size, const struct hash *root)
{
    struct core_proof proof;
    struct hash ours;

    if (size > c->state->size)
        return false;
    if (!c->tree_is_whole || size > tree_size(c->tree) ||
        (!tree_root(c->tree, size, &ours) && hash_equal(root, &ours)))
        return true;
    /* either the files or the sender are wrong */
    return core_prove_growth(c, size, c->state->size, &proof) ||
           hash_equal(root, &proof.old_root);
}

/* --- Gaps ------------------------------------------------------------------ */

int core_gaps_begin(struct core *c, uint64_t size, struct core_gaps *g)
{
    struct core_proof proof;
    int r = core_prove_growth(c, size, c->state->size, &proof);

    if (r)
        return r;
    g->size = size;
    g->root = proof.old_root;
    g->has_path = false;
    return 0;
}

/* The path of that entry, and so every hash in it, leads to the root. */
static int gap_path(struct core *c, struct core_gaps *g, uint64_t index)
{
    struct hash leaf, root;
    int r;

    if (g->has_path && g->at == index)
        return 0;
    g->has_path = false;
    r = tree_at(c->tree, index, &leaf);
    if (!r)
        r = tree_path(c->tree, index, g->size, g->path, &g->hashes);
    r = proven(c, r,
               !r &&
                   !merkle_climb(tree_node, leaf, index, g->size, g->path[0].b,
                                 g->hashes, &root) &&
                   hash_equal(&root, &g->root));
    g->at = index;
    g->has_path = !r;
    return r;
}

/* What stands beside entry `at` on that level, or NULL: a subtree on the right
 * edge has nothing beside it. */
static const struct hash *beside(const struct core_gaps *g, unsigned level)
{
    size_t n = 0;

    for (unsigned l = 0; l <= level; l++) {
        uint64_t node = g->at >> l, last = (g->size - 1) >> l;
        bool has = node & 1 || node < last;

        if (l == level)
            return has ? &g->path[n] : NULL;
        n += has;
    }
    return NULL;
}

/* Those that stand beside entry `at`, on its left or its right, are in its
 * path. */
static void tiles_take(const struct core_gaps *g, const struct subtree *tiles,
                       size_t n, struct hash *out, bool *has)
{
    for (size_t i = 0; i < n; i++) {
        const struct hash *h = NULL;

        if (!has[i] && (g->at >> tiles[i].level ^ 1) == tiles[i].index)
            h = beside(g, tiles[i].level);
        if (h)
            out[i] = *h;
        has[i] = has[i] || h;
    }
}

/* The tree's right edge: its full subtrees, the largest first. */
static int tiles_edge(struct core *c, const struct core_gaps *g,
                      const struct subtree *tiles, size_t n, struct hash *out,
                      bool *has)
{
    struct frontier f;
    struct hash root;
    int r = tree_frontier(c->tree, g->size, &f);

    if (!r)
        root = frontier_root(&f);
    r = proven(c, r, !r && hash_equal(&root, &g->root));
    for (size_t i = 0; !r && i < n; i++) {
        uint64_t higher = g->size >> tiles[i].level;

        if (has[i] || higher != tiles[i].index + 1)
            continue;
        out[i] = f.edge[__builtin_popcountll(higher >> 1)];
        has[i] = true;
    }
    return r;
}

/* A gap's subtrees stand beside the entry before it or the one behind it, or on
 * the tree's edge. */
int core_gap(struct core *c, struct core_gaps *g, uint64_t from, uint64_t to,
             struct buf *out)
{
    struct subtree tiles[MERKLE_GAP_MAX];
    struct hash hashes[MERKLE_GAP_MAX];
    bool has[MERKLE_GAP_MAX] = {false};
    size_t n = merkle_gap(from, to, tiles);
    int r = c->tree_is_whole ? 0 : CHOIR_BUSY;

    if (!r && n && from > 0) {
        r = gap_path(c, g, from - 1);
        if (!r)
            tiles_take(g, tiles, n, hashes, has);
    }
    if (!r && n && to < g->size) {
        r = gap_path(c, g, to);
        if (!r)
            tiles_take(g, tiles, n, hashes, has);
    } else if (!r && n) {
        r = tiles_edge(c, g, tiles, n, hashes, has);
    }
    for (size_t i = 0; !r && i < n; i++)
        r = has[i] ? 0 : -EINVAL;
    if (!r)
        buf_put(out, hashes, n * sizeof *hashes);
    return r ? r : out->failed ? -ENOMEM : 0;
}

int core_note(struct core *c, uint64_t size, const struct hash *root,
              struct buf *text)
{
    struct note note = {
        .ledger = c->state->ledger,
        .root = *root,
        .size = size,
        .epoch = c->state->epoch,
    };

    return note_put(text, &note, &c->key);
}
