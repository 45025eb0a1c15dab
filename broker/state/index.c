/* A prefix B+tree; see index.h, and index_inside.h for what a node is.
 *
 * A separator is the shortest string that divides its two sides, and belongs
 * to the inner node; items come and go without it.
 *
 * Insert and remove mend on the way down, full or poor nodes before they are
 * entered, so there is no way back up and a failed malloc leaves a whole tree.
 */
#include <errno.h>
#include <stdlib.h>

#include "broker/state/index_inside.h"

/* A node this poor is merged or levelled before it is entered to remove. */
#define POOR (FANOUT / 4)
/* Merged nodes keep room, so that the next insert does not split them. */
#define MERGED_MAX (FANOUT * 3 / 4)

/* Hints that were made with another skip are of no use. */
static void node_skip(struct node *node, size_t skip)
{
    if (skip > UINT16_MAX)
        skip = UINT16_MAX;
    if (node->skip == skip)
        return;
    node->skip = (uint16_t)skip;
    for (uint32_t i = 0; i < node->n; i++)
        node->hints[i] =
            hint_of(node->keys[i]->bytes, node->keys[i]->len, skip);
}

/* After the node's keys or fences have changed as a whole; its hints were made
 * with its skip. */
static void node_fence(struct node *node, struct fences fences)
{
    node->open = !(fences.low && fences.high);
    for (uint32_t i = node->n; i < FANOUT; i++)
        node->hints[i] = HINT_NONE;
    if (!node->open)
        node_skip(node, shared_len(fences.low, fences.high));
    else if (node->n)
        node_skip(node, shared_len(node->keys[0], node->keys[node->n - 1]));
}

static size_t node_bytes(const struct index *index, bool leaf)
{
    size_t stamps = leaf ? FANOUT : FANOUT + 1;

    return (leaf ? LEAF_BYTES : sizeof(struct node)) +
           (index->stamped ? stamps * sizeof(uint64_t) : 0);
}

static struct node *node_new(struct index *index, bool leaf)
{
    size_t bytes = node_bytes(index, leaf);
    struct node *node = malloc(bytes);

    if (!node)
        return NULL;
    node->n = 0;
    node->skip = 0;
    node->leaf = leaf;
    node->open = true;
    node->stamped = index->stamped;
    memset(node->hints, 0xff, sizeof(node->hints));
    if (leaf)
        node->next = NULL;
    index->bytes += bytes;
    return node;
}

static void node_free(struct index *index, struct node *node)
{
    index->bytes -= node_bytes(index, node->leaf);
    free(node);
}

/* The shortest string above a and not above b. Owned by the caller. */
static struct index_key *separator_new(struct index *index,
                                       const struct index_key *a,
                                       const struct index_key *b)
{
    size_t len = shared_len(a, b) + 1;
    struct index_key *separator = malloc(sizeof(*separator) + len);

    if (!separator)
        return NULL;
    separator->len = (uint32_t)len;
    memcpy(separator->bytes, b->bytes, len);
    index->bytes += sizeof(*separator) + len;
    return separator;
}

static void separator_free(struct index *index, struct index_key *separator)
{
    index->bytes -= sizeof(*separator) + separator->len;
    free(separator);
}

/* Room for one more; a leaf's stamps go with its keys. */
static void keys_open(struct node *node, uint32_t at)
{
    size_t behind = node->n - at;
    uint64_t *stamps = node_stamps(node);

    memmove(node->keys + at + 1, node->keys + at, behind * sizeof(*node->keys));
    memmove(node->hints + at + 1, node->hints + at,
            behind * sizeof(*node->hints));
    if (node->stamped && node->leaf) {
        memmove(stamps + at + 1, stamps + at, behind * sizeof(*stamps));
        stamps[at] = 0;
    }
    node->n++;
}

static void keys_close(struct node *node, uint32_t at)
{
    size_t behind = node->n - at - 1u;
    uint64_t *stamps = node_stamps(node);

    memmove(node->keys + at, node->keys + at + 1, behind * sizeof(*node->keys));
    memmove(node->hints + at, node->hints + at + 1,
            behind * sizeof(*node->hints));
    if (node->stamped && node->leaf)
        memmove(stamps + at, stamps + at + 1, behind * sizeof(*stamps));
    node->n--;
    node->hints[node->n] = HINT_NONE;
}

static bool same_begin(const struct node *node, const struct index_key *key)
{
    return key->len >= node->skip &&
           !memcmp(key->bytes, node->keys[0]->bytes, node->skip);
}

/* In an open node, what all share may have become less. It may also be more
 * than was known: that is looked at each time their number has doubled. In any
 * other the first key is not looked at: it would have to come from memory. */
static void keys_add(struct node *node, uint32_t at, struct index_key *key)
{
    bool same = !node->open || (node->n && same_begin(node, key));

    keys_open(node, at);
    node->keys[at] = key;
    node->hints[at] = hint_of(key->bytes, key->len, node->skip);
    if (node->open && (!same || (node->n & (node->n - 1u)) == 0))
        node_skip(node, shared_len(node->keys[0], node->keys[node->n - 1]));
}

/* To the empty end of a new node, which takes over the other's skip. */
static void keys_copy(struct node *to, const struct node *from, uint32_t at,
                      uint32_t n)
{
    to->skip = from->skip;
    memcpy(to->keys, from->keys + at, n * sizeof(*to->keys));
    memcpy(to->hints, from->hints + at, n * sizeof(*to->hints));
    if (to->stamped && to->leaf)
        memcpy(node_stamps(to), node_stamps(from) + at, n * sizeof(uint64_t));
}

/* An inner node's stamps go with its children. */
static void children_copy(struct node *to, uint32_t to_at,
                          const struct node *from, uint32_t from_at, uint32_t n)
{
    memmove(to->children + to_at, from->children + from_at,
            n * sizeof(*to->children));
    if (to->stamped)
        memmove(node_stamps(to) + to_at, node_stamps(from) + from_at,
                n * sizeof(uint64_t));
}

/* Put a separator and the node right of it behind children[at]; there is room.
 */
static void parent_adopt(struct node *parent, uint32_t at,
                         struct index_key *separator, struct node *right)
{
    children_copy(parent, at + 2, parent, at + 1, parent->n - at);
    keys_add(parent, at, separator);
    parent->children[at + 1] = right;
}

/* The reverse; the separator and the node are the caller's again. */
static void parent_disown(struct node *parent, uint32_t at)
{
    children_copy(parent, at + 1, parent, at + 2, parent->n - at - 1u);
    keys_close(parent, at);
}

/* What the parent knows of a child, and the child of its fences. */
static void child_settle(struct node *parent, uint32_t at, struct fences fences)
{
    struct node *child = parent->children[at];

    node_fence(child, child_fences(parent, at, fences));
    if (parent->stamped)
        node_stamps(parent)[at] = node_newest(child);
}

static void pair_settle(struct node *parent, uint32_t at, struct fences fences)
{
    child_settle(parent, at, fences);
    child_settle(parent, at + 1, fences);
}

/* Keys that come in order always meet a full leaf at its end: left behind
 * seven eighths full, such leaves do not cost twice their memory. */
static uint32_t leaf_cut(const struct node *leaf, const struct sought *coming)
{
    uint32_t rank = child_rank(leaf, coming);

    return rank == leaf->n ? leaf->n - leaf->n / 8u : leaf->n / 2u;
}

static int leaf_split(struct index *index, struct node *left,
                      struct node *right, const struct sought *coming,
                      struct index_key **separator)
{
    uint32_t cut = leaf_cut(left, coming);

    *separator = separator_new(index, left->keys[cut - 1], left->keys[cut]);
    if (!*separator)
        return -ENOMEM;
    keys_copy(right, left, cut, left->n - cut);
    right->n = (uint16_t)(left->n - cut);
    right->next = left->next;
    left->n = (uint16_t)cut;
    left->next = right;
    return 0;
}

static struct index_key *inner_split(struct node *left, struct node *right)
{
    uint32_t cut = left->n / 2u;

    keys_copy(right, left, cut + 1, left->n - cut - 1);
    children_copy(right, 0, left, cut + 1, left->n - cut);
    right->n = (uint16_t)(left->n - cut - 1);
    left->n = (uint16_t)cut;
    return left->keys[cut];
}

/* Split the full children[at] of a parent that is not full. */
static int child_split(struct index *index, struct node *parent, uint32_t at,
                       struct fences fences, const struct sought *coming)
{
    struct node *left = parent->children[at];
    struct node *right = node_new(index, left->leaf);
    struct index_key *separator;

    if (!right)
        return -ENOMEM;
    if (!left->leaf) {
        separator = inner_split(left, right);
    } else if (leaf_split(index, left, right, coming, &separator)) {
        node_free(index, right);
        return -ENOMEM;
    }
    parent_adopt(parent, at, separator, right);
    pair_settle(parent, at, fences);
    return 0;
}

/* Two neighbours and, if they are inner nodes, the separator between them, as
 * one row. */
struct row {
    uint32_t n;
    struct index_key *keys[2 * FANOUT + 1];
    struct node *children[2 * FANOUT + 2];
    uint64_t stamps[2 * FANOUT + 2]; /* of the keys or the children */
};

static void row_gather(struct row *row, const struct node *parent, uint32_t at)
{
    const struct node *left = parent->children[at];
    const struct node *right = parent->children[at + 1];
    uint32_t edge = left->leaf ? 0 : 1; /* one child more than keys */

    memcpy(row->keys, left->keys, left->n * sizeof(*row->keys));
    row->n = left->n;
    if (left->stamped) {
        memcpy(row->stamps, node_stamps(left),
               (left->n + edge) * sizeof(*row->stamps));
        memcpy(row->stamps + left->n + edge, node_stamps(right),
               (right->n + edge) * sizeof(*row->stamps));
    }
    if (!left->leaf) {
        memcpy(row->children, left->children,
               (left->n + 1u) * sizeof(*row->children));
        memcpy(row->children + left->n + 1, right->children,
               (right->n + 1u) * sizeof(*row->children));
        row->keys[row->n++] = parent->keys[at];
    }
    memcpy(row->keys + row->n, right->keys, right->n * sizeof(*row->keys));
    row->n += right->n;
}

static void row_give(const struct row *row, uint32_t from, uint32_t n,
                     struct node *node)
{
    memcpy(node->keys, row->keys + from, n * sizeof(*node->keys));
    if (!node->leaf)
        memcpy(node->children, row->children + from,
               (n + 1) * sizeof(*node->children));
    if (node->stamped)
        memcpy(node_stamps(node), row->stamps + from,
               (node->leaf ? n : n + 1) * sizeof(*row->stamps));
    node->n = (uint16_t)n;
    for (uint32_t i = 0; i < n; i++)
        node->hints[i] =
            hint_of(node->keys[i]->bytes, node->keys[i]->len, node->skip);
}

static void pair_merge(struct index *index, struct node *parent, uint32_t at,
                       struct fences fences, const struct row *row)
{
    struct node *left = parent->children[at];
    struct node *right = parent->children[at + 1];

    row_give(row, 0, row->n, left);
    if (left->leaf) {
        left->next = right->next;
        separator_free(index, parent->keys[at]);
    }
    parent_disown(parent, at);
    node_free(index, right);
    child_settle(parent, at, fences);
}

static int pair_level(struct index *index, struct node *parent, uint32_t at,
                      struct fences fences, const struct row *row)
{
    struct node *left = parent->children[at];
    struct node *right = parent->children[at + 1];
    uint32_t half = row->n / 2;
    uint32_t behind = left->leaf ? half : half + 1;
    struct index_key *separator = row->keys[half];

    if (left->leaf) {
        separator = separator_new(index, row->keys[half - 1], row->keys[half]);
        if (!separator)
            return -ENOMEM;
        separator_free(index, parent->keys[at]);
    }
    row_give(row, 0, half, left);
    row_give(row, behind, row->n - behind, right);
    parent->keys[at] = separator;
    parent->hints[at] = hint_of(separator->bytes, separator->len, parent->skip);
    if (parent->open) /* the new one may be shorter than its skip */
        node_skip(parent,
                  shared_len(parent->keys[0], parent->keys[parent->n - 1u]));
    pair_settle(parent, at, fences);
    return 0;
}

/* Help the poor children[at] from a neighbour; it has one. Without memory for
 * a new separator it may stay poor, even empty, which is slower and not wrong:
 * two leaves that fit in one are then merged, which needs none. */
static void child_mend(struct index *index, struct node *parent, uint32_t at,
                       struct fences fences)
{
    struct row row;

    if (at == parent->n)
        at--;
    row_gather(&row, parent, at);
    if (row.n > MERGED_MAX && !pair_level(index, parent, at, fences, &row))
        return;
    if (row.n <= FANOUT)
        pair_merge(index, parent, at, fences, &row);
}

static int root_grow(struct index *index)
{
    struct node *root = node_new(index, index->root == NULL);

    if (!root)
        return -ENOMEM;
    if (!root->leaf)
        root->children[0] = index->root;
    if (!root->leaf && root->stamped)
        node_stamps(root)[0] = node_newest(index->root);
    index->root = root;
    return 0;
}

static void root_shrink(struct index *index)
{
    while (!index->root->leaf && index->root->n == 0) {
        struct node *only = index->root->children[0];

        node_free(index, index->root);
        index->root = only;
    }
}

/* The leaf where a new key belongs, with room for it. */
static int leaf_for_insert(struct index *index, const struct sought *sought,
                           struct node **leaf)
{
    struct fences fences = {NULL, NULL};
    struct node *node;

    if ((!index->root || index->root->n == FANOUT) && root_grow(index))
        return -ENOMEM;
    index->depth = 0;
    for (node = index->root; !node->leaf;) {
        uint32_t at = child_rank(node, sought);

        if (node->children[at]->n == FANOUT) {
            if (child_split(index, node, at, fences, sought))
                return -ENOMEM;
            at = child_rank(node, sought);
        }
        index->path[index->depth++] = (struct step){node, at};
        fences = child_fences(node, at, fences);
        node = node->children[at];
    }
    *leaf = node;
    return 0;
}

static struct node *leaf_for_remove(struct index *index,
                                    const struct sought *sought)
{
    struct fences fences = {NULL, NULL};
    struct node *node = index->root;

    index->depth = 0;
    while (!node->leaf) {
        uint32_t at = child_rank(node, sought);

        if (node->children[at]->n <= POOR && node->n > 0) {
            child_mend(index, node, at, fences);
            at = child_rank(node, sought);
        }
        index->path[index->depth++] = (struct step){node, at};
        fences = child_fences(node, at, fences);
        node = node->children[at];
    }
    return node;
}

static void tree_free(struct index *index, struct node *node)
{
    for (uint32_t i = 0; !node->leaf && i <= node->n; i++) {
        tree_free(index, node->children[i]);
        if (i < node->n)
            separator_free(index, node->keys[i]);
    }
    node_free(index, node);
}

static struct index *index_make(bool stamped)
{
    struct index *index = calloc(1, sizeof(*index));

    if (index) {
        index->bytes = sizeof(*index);
        index->stamped = stamped;
    }
    return index;
}

struct index *index_new(void)
{
    return index_make(false);
}

struct index *index_new_stamped(void)
{
    return index_make(true);
}

void index_destroy(struct index **self_p)
{
    if (!self_p || !*self_p)
        return;
    if ((*self_p)->root)
        tree_free(*self_p, (*self_p)->root);
    free(*self_p);
    *self_p = NULL;
}

size_t index_count(const struct index *index)
{
    return index->count;
}

size_t index_bytes(const struct index *index)
{
    return index->bytes;
}

/* Is the key the last of all, just behind the one that was last, and is there
 * room? Then the way is known: numbers rise, and snapshots are in order. */
static bool key_appends(const struct index *index, const struct index_key *key)
{
    const struct index_key *last = index->last;
    const struct step *end = index->path + index->depth - 1;

    return last && !end->node->next && end->at + 1 == end->node->n &&
           end->node->n < FANOUT &&
           index_compare(last->bytes, last->len, key->bytes, key->len) < 0;
}

/* Was it looked for just now, and is there room where it belongs? */
static bool key_fits(const struct index *index, const struct sought *sought)
{
    return index_missed(index, sought) &&
           index->path[index->depth - 1].node->n < FANOUT;
}

int index_insert(struct index *index, struct index_key *key)
{
    struct sought sought = {key->bytes, key->len};
    struct node *leaf = NULL;
    uint32_t at;
    bool equal = false, fits = key_fits(index, &sought);

    index->missed = false;
    if (fits) {
        leaf = index->path[--index->depth].node;
        at = index->path[index->depth].at;
    } else if (key_appends(index, key)) {
        leaf = index->path[--index->depth].node;
        at = leaf->n;
    } else {
        index->last = NULL;
        if (leaf_for_insert(index, &sought, &leaf))
            return -ENOMEM;
        at = node_rank(leaf, &sought, false, &equal);
    }
    if (equal)
        return -EEXIST;
    keys_add(leaf, at, key);
    index->path[index->depth++] = (struct step){leaf, at};
    index->last = key;
    index->count++;
    return 0;
}

/* What is above the leaf may have had its newest from what was removed. */
static void path_restamp(struct index *index)
{
    for (uint32_t i = index->depth; i-- > 0;) {
        struct node *node = index->path[i].node;
        uint32_t at = index->path[i].at;

        node_stamps(node)[at] = node_newest(node->children[at]);
    }
}

struct index_key *index_remove(struct index *index, const void *bytes,
                               size_t len)
{
    struct sought sought = sought_of(bytes, len);
    struct index_key *key = NULL;
    struct node *leaf;
    uint32_t at;
    bool equal;

    index->last = NULL;
    index->missed = false;
    if (!index->root)
        return NULL;
    leaf = leaf_for_remove(index, &sought);
    at = node_rank(leaf, &sought, false, &equal);
    if (equal) {
        key = leaf->keys[at];
        keys_close(leaf, at);
        index->count--;
    }
    if (index->stamped)
        path_restamp(index);
    root_shrink(index);
    return key;
}
