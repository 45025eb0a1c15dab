/* A prefix B+tree; see index.h.
 *
 * Fences: all keys below a node lie in [low, high), the separators nearest to
 * it on the way down, and so does every key that is looked for there. What the
 * two fences share is therefore shared by all of them and never compared:
 * node->skip. The four bytes after it are kept as node->hints, and only where
 * hints are equal is a key itself read. The outermost nodes have no fence on
 * one side and skip nothing.
 *
 * A separator is the shortest string that divides its two sides, and belongs
 * to the inner node; items come and go without it.
 *
 * Insert and remove mend on the way down, full or poor nodes before they are
 * entered, so there is no way back up and a failed malloc leaves a whole tree.
 */
#include "broker/state/index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FANOUT 64u
/* A node this poor is merged or levelled before it is entered to remove. */
#define POOR (FANOUT / 4)
/* Merged nodes keep room, so that the next insert does not split them. */
#define MERGED_MAX (FANOUT * 3 / 4)

struct node {
    uint16_t n; /* keys; an inner node has one child more */
    bool leaf;
    uint32_t skip;
    uint32_t hints[FANOUT];
    struct index_key *keys[FANOUT]; /* leaf: borrowed; inner: owned */
    union {
        struct node *next;                 /* leaf: in order */
        struct node *children[FANOUT + 1]; /* inner */
    };
};

/* A leaf is allocated without the room for children. */
#define LEAF_BYTES (offsetof(struct node, next) + sizeof(struct node *))

struct index {
    struct node *root; /* NULL while nothing was ever inserted */
    size_t count;
    size_t bytes;
};

/* NULL: unbounded on that side. */
struct fences {
    const struct index_key *low;
    const struct index_key *high;
};

struct sought {
    const unsigned char *bytes;
    size_t len;
};

/* No bytes at all may come as NULL, to which not even 0 may be added. */
static struct sought sought_of(const void *bytes, size_t len)
{
    return (struct sought){bytes ? bytes : "", len};
}

static size_t shared_len(const unsigned char *a, size_t a_len,
                         const unsigned char *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    size_t i = 0;

    while (i < len && a[i] == b[i])
        i++;
    return i;
}

int index_compare(const void *a, size_t a_len, const void *b, size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = len ? memcmp(a, b, len) : 0;

    return order ? order : (a_len > b_len) - (a_len < b_len);
}

bool index_key_begins(const struct index_key *key, const void *prefix,
                      size_t len)
{
    return key->len >= len && !(len && memcmp(key->bytes, prefix, len));
}

/* Padding with zeros keeps the order: a key that ends is below one that goes
 * on, and where the other goes on with zeros the hints are equal and the keys
 * are read. */
static uint32_t hint_of(const unsigned char *bytes, size_t len, size_t skip)
{
    uint32_t hint = 0;

    for (size_t i = 0; i < 4; i++)
        hint = hint << 8 | (skip + i < len ? bytes[skip + i] : 0u);
    return hint;
}

static int node_compare(const struct node *node, uint32_t at,
                        const struct sought *sought, uint32_t hint)
{
    const struct index_key *key = node->keys[at];
    uint32_t skip = node->skip;

    if (node->hints[at] != hint)
        return node->hints[at] < hint ? -1 : 1;
    return index_compare(key->bytes + skip, key->len - skip,
                         sought->bytes + skip, sought->len - skip);
}

/* How many of the node's keys are below what is sought, or equal to it where
 * `including`. */
static uint32_t node_rank(const struct node *node, const struct sought *sought,
                          bool including)
{
    uint32_t hint = hint_of(sought->bytes, sought->len, node->skip);
    uint32_t low = 0;
    uint32_t high = node->n;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (node_compare(node, middle, sought, hint) < (including ? 1 : 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* A separator equal to the key stands for what begins with it: to the right. */
static uint32_t child_rank(const struct node *node, const struct sought *sought)
{
    return node_rank(node, sought, true);
}

static struct fences child_fences(const struct node *node, uint32_t at,
                                  struct fences fences)
{
    if (at > 0)
        fences.low = node->keys[at - 1];
    if (at < node->n)
        fences.high = node->keys[at];
    return fences;
}

/* After the node's keys or fences have changed as a whole. */
static void node_rehint(struct node *node, struct fences fences)
{
    size_t skip = 0;

    if (fences.low && fences.high)
        skip = shared_len(fences.low->bytes, fences.low->len,
                          fences.high->bytes, fences.high->len);
    node->skip = (uint32_t)skip;
    for (uint32_t i = 0; i < node->n; i++)
        node->hints[i] =
            hint_of(node->keys[i]->bytes, node->keys[i]->len, skip);
}

static struct node *node_new(struct index *index, bool leaf)
{
    size_t bytes = leaf ? LEAF_BYTES : sizeof(struct node);
    struct node *node = malloc(bytes);

    if (!node)
        return NULL;
    node->n = 0;
    node->leaf = leaf;
    node->skip = 0;
    if (leaf)
        node->next = NULL;
    index->bytes += bytes;
    return node;
}

static void node_free(struct index *index, struct node *node)
{
    index->bytes -= node->leaf ? LEAF_BYTES : sizeof(struct node);
    free(node);
}

/* The shortest string above a and not above b. Owned by the caller. */
static struct index_key *separator_new(struct index *index,
                                       const struct index_key *a,
                                       const struct index_key *b)
{
    size_t len = shared_len(a->bytes, a->len, b->bytes, b->len) + 1;
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

static void keys_open(struct node *node, uint32_t at)
{
    size_t behind = node->n - at;

    memmove(node->keys + at + 1, node->keys + at, behind * sizeof(*node->keys));
    memmove(node->hints + at + 1, node->hints + at,
            behind * sizeof(*node->hints));
    node->n++;
}

static void keys_close(struct node *node, uint32_t at)
{
    size_t behind = node->n - at - 1u;

    memmove(node->keys + at, node->keys + at + 1, behind * sizeof(*node->keys));
    memmove(node->hints + at, node->hints + at + 1,
            behind * sizeof(*node->hints));
    node->n--;
}

static void keys_copy(struct node *to, uint32_t to_at, const struct node *from,
                      uint32_t from_at, uint32_t n)
{
    memmove(to->keys + to_at, from->keys + from_at, n * sizeof(*to->keys));
}

static void children_copy(struct node *to, uint32_t to_at,
                          const struct node *from, uint32_t from_at, uint32_t n)
{
    memmove(to->children + to_at, from->children + from_at,
            n * sizeof(*to->children));
}

/* Put a separator and the node right of it behind children[at]; there is room.
 */
static void parent_adopt(struct node *parent, uint32_t at,
                         struct index_key *separator, struct node *right)
{
    children_copy(parent, at + 2, parent, at + 1, parent->n - at);
    keys_open(parent, at);
    parent->keys[at] = separator;
    parent->hints[at] = hint_of(separator->bytes, separator->len, parent->skip);
    parent->children[at + 1] = right;
}

/* The reverse; the separator and the node are the caller's again. */
static void parent_disown(struct node *parent, uint32_t at)
{
    children_copy(parent, at + 1, parent, at + 2, parent->n - at - 1u);
    keys_close(parent, at);
}

static void pair_rehint(struct node *parent, uint32_t at, struct fences fences)
{
    node_rehint(parent->children[at], child_fences(parent, at, fences));
    node_rehint(parent->children[at + 1], child_fences(parent, at + 1, fences));
}

/* Keys that come in order always meet a full leaf at its end: left behind
 * seven eighths full, such leaves do not cost twice their memory. */
static uint32_t leaf_cut(const struct node *leaf, const struct sought *coming)
{
    uint32_t rank = node_rank(leaf, coming, true);

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
    keys_copy(right, 0, left, cut, left->n - cut);
    right->n = (uint16_t)(left->n - cut);
    right->next = left->next;
    left->n = (uint16_t)cut;
    left->next = right;
    return 0;
}

static struct index_key *inner_split(struct node *left, struct node *right)
{
    uint32_t cut = left->n / 2u;

    keys_copy(right, 0, left, cut + 1, left->n - cut - 1);
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
    pair_rehint(parent, at, fences);
    return 0;
}

/* Two neighbours and, if they are inner nodes, the separator between them, as
 * one row. */
struct row {
    uint32_t n;
    struct index_key *keys[2 * FANOUT + 1];
    struct node *children[2 * FANOUT + 2];
};

static void row_gather(struct row *row, const struct node *parent, uint32_t at)
{
    const struct node *left = parent->children[at];
    const struct node *right = parent->children[at + 1];

    memcpy(row->keys, left->keys, left->n * sizeof(*row->keys));
    row->n = left->n;
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
    node->n = (uint16_t)n;
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
    node_rehint(left, child_fences(parent, at, fences));
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
    pair_rehint(parent, at, fences);
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
    for (node = index->root; !node->leaf;) {
        uint32_t at = child_rank(node, sought);

        if (node->children[at]->n == FANOUT) {
            if (child_split(index, node, at, fences, sought))
                return -ENOMEM;
            at = child_rank(node, sought);
        }
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

    while (!node->leaf) {
        uint32_t at = child_rank(node, sought);

        if (node->children[at]->n <= POOR && node->n > 0) {
            child_mend(index, node, at, fences);
            at = child_rank(node, sought);
        }
        fences = child_fences(node, at, fences);
        node = node->children[at];
    }
    return node;
}

static const struct node *leaf_of(const struct index *index,
                                  const struct sought *sought)
{
    const struct node *node = index->root;

    while (!node->leaf)
        node = node->children[child_rank(node, sought)];
    return node;
}

static bool leaf_has(const struct node *leaf, uint32_t at,
                     const struct sought *sought)
{
    return at < leaf->n &&
           !index_compare(leaf->keys[at]->bytes, leaf->keys[at]->len,
                          sought->bytes, sought->len);
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

struct check {
    size_t count;
    const struct node *leaf; /* the one before in the chain */
    uint32_t leaf_depth;
};

static bool key_is_within(const struct index_key *key, struct fences fences)
{
    const struct index_key *low = fences.low;
    const struct index_key *high = fences.high;

    return (!low ||
            index_compare(low->bytes, low->len, key->bytes, key->len) <= 0) &&
           (!high ||
            index_compare(key->bytes, key->len, high->bytes, high->len) < 0);
}

static bool keys_are_sound(const struct node *node, struct fences fences)
{
    for (uint32_t i = 0; i < node->n; i++) {
        const struct index_key *key = node->keys[i];
        const struct index_key *before = i ? node->keys[i - 1] : NULL;

        if (!key_is_within(key, fences) ||
            node->hints[i] != hint_of(key->bytes, key->len, node->skip))
            return false;
        if (before && index_compare(before->bytes, before->len, key->bytes,
                                    key->len) >= 0)
            return false;
    }
    return true;
}

static bool leaf_is_sound(const struct node *leaf, uint32_t depth,
                          struct check *check)
{
    if (check->leaf &&
        (check->leaf->next != leaf || check->leaf_depth != depth))
        return false;
    check->leaf = leaf;
    check->leaf_depth = depth;
    check->count += leaf->n;
    return true;
}

static bool node_is_sound(const struct node *node, struct fences fences,
                          uint32_t depth, struct check *check)
{
    if (node->n > FANOUT || !keys_are_sound(node, fences))
        return false;
    if (node->leaf)
        return leaf_is_sound(node, depth, check);
    for (uint32_t i = 0; i <= node->n; i++)
        if (!node_is_sound(node->children[i], child_fences(node, i, fences),
                           depth + 1, check))
            return false;
    return true;
}

struct index *index_new(void)
{
    struct index *index = calloc(1, sizeof(*index));

    if (index)
        index->bytes = sizeof(*index);
    return index;
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

struct index_key *index_find(const struct index *index, const void *bytes,
                             size_t len)
{
    struct sought sought = sought_of(bytes, len);
    const struct node *leaf;
    uint32_t at;

    if (!index->root)
        return NULL;
    leaf = leaf_of(index, &sought);
    at = node_rank(leaf, &sought, false);
    return leaf_has(leaf, at, &sought) ? leaf->keys[at] : NULL;
}

int index_insert(struct index *index, struct index_key *key)
{
    struct sought sought = {key->bytes, key->len};
    struct node *leaf = NULL;
    uint32_t at;

    if (leaf_for_insert(index, &sought, &leaf))
        return -ENOMEM;
    at = node_rank(leaf, &sought, false);
    if (leaf_has(leaf, at, &sought))
        return -EEXIST;
    keys_open(leaf, at);
    leaf->keys[at] = key;
    leaf->hints[at] = hint_of(key->bytes, key->len, leaf->skip);
    index->count++;
    return 0;
}

struct index_key *index_remove(struct index *index, const void *bytes,
                               size_t len)
{
    struct sought sought = sought_of(bytes, len);
    struct index_key *key = NULL;
    struct node *leaf;
    uint32_t at;

    if (!index->root)
        return NULL;
    leaf = leaf_for_remove(index, &sought);
    at = node_rank(leaf, &sought, false);
    if (leaf_has(leaf, at, &sought)) {
        key = leaf->keys[at];
        keys_close(leaf, at);
        index->count--;
    }
    root_shrink(index);
    return key;
}

void index_seek(const struct index *index, struct index_cursor *cursor,
                const void *bytes, size_t len)
{
    struct sought sought = sought_of(bytes, len);
    const struct node *leaf;

    cursor->node = NULL;
    cursor->at = 0;
    if (!index->root)
        return;
    leaf = leaf_of(index, &sought);
    cursor->node = leaf;
    cursor->at = node_rank(leaf, &sought, false);
}

struct index_key *index_next(struct index_cursor *cursor)
{
    const struct node *leaf = cursor->node;

    while (leaf && cursor->at >= leaf->n) {
        leaf = leaf->next;
        cursor->node = leaf;
        cursor->at = 0;
    }
    return leaf ? leaf->keys[cursor->at++] : NULL;
}

int index_check(const struct index *index)
{
    struct check check = {.leaf = NULL};
    struct fences unbounded = {NULL, NULL};

    if (index->root && !node_is_sound(index->root, unbounded, 0, &check))
        return -EIO;
    if (check.leaf && check.leaf->next)
        return -EIO;
    return check.count == index->count ? 0 : -EIO;
}
