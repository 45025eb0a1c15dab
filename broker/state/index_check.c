/* For tests: is every node as the others rely on it to be? */
#include <errno.h>

#include "broker/state/index_inside.h"

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

/* A key has the stamp it was given; what is above has the newest below. */
static bool stamps_are_sound(const struct node *node)
{
    if (!node->stamped || node->leaf)
        return true;
    for (uint32_t i = 0; i <= node->n; i++)
        if (node_stamps(node)[i] != node_newest(node->children[i]))
            return false;
    return true;
}

static bool skip_is_sound(const struct node *node, struct fences fences)
{
    if (node->open != !(fences.low && fences.high))
        return false;
    for (uint32_t i = node->n; i < FANOUT; i++)
        if (node->hints[i] != HINT_NONE)
            return false;
    if (!node->open)
        return node->skip <= shared_len(fences.low, fences.high);
    return !node->n ||
           node->skip <= shared_len(node->keys[0], node->keys[node->n - 1]);
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
    if (node->n > FANOUT || !skip_is_sound(node, fences) ||
        !keys_are_sound(node, fences) || !stamps_are_sound(node))
        return false;
    if (node->leaf)
        return leaf_is_sound(node, depth, check);
    for (uint32_t i = 0; i <= node->n; i++)
        if (!node_is_sound(node->children[i], child_fences(node, i, fences),
                           depth + 1, check))
            return false;
    return true;
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
