/* What only looks: find, walk, the newest below a prefix. */
#include "broker/state/index_inside.h"

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

static const struct node *leaf_of(const struct index *index,
                                  const struct sought *sought)
{
    const struct node *node = index->root;

    while (!node->leaf)
        node = node->children[child_rank(node, sought)];
    return node;
}

struct index_key *index_find(struct index *index, const void *bytes, size_t len)
{
    struct sought sought = sought_of(bytes, len);
    struct node *node = index->root;
    struct step *step = index->path;
    uint32_t at;
    bool equal;

    if (index->last && index->last->len == len &&
        !memcmp(index->last->bytes, sought.bytes, len))
        return index->last;
    if (!node || index_missed(index, &sought))
        return NULL;
    for (; !node->leaf; node = node->children[at]) {
        at = child_rank(node, &sought);
        *step++ = (struct step){node, at};
    }
    at = node_rank(node, &sought, false, &equal);
    *step++ = (struct step){node, at};
    index->depth = (uint32_t)(step - index->path);
    index->last = equal ? node->keys[at] : NULL;
    index->missed = !equal && len <= MISSED_MAX;
    if (index->missed) {
        index->missed_len = (uint16_t)len;
        memcpy(index->missed_bytes, sought.bytes, len);
    }
    return index->last;
}

static void lines_fetch(const void *from, size_t n)
{
    const char *p = from;

    for (size_t i = 0; i < n; i += 64)
        __builtin_prefetch(p + i);
}

/* An item's key, and what stands before it. */
static void item_fetch(const struct index_key *key)
{
    lines_fetch((const char *)key - 64, 128);
}

void index_seek(const struct index *index, struct index_cursor *cursor,
                const void *bytes, size_t len)
{
    struct sought sought = sought_of(bytes, len);
    const struct node *leaf;
    bool equal;

    cursor->node = NULL;
    cursor->at = 0;
    if (!index->root)
        return;
    leaf = leaf_of(index, &sought);
    cursor->node = leaf;
    cursor->at = node_rank(leaf, &sought, false, &equal);
}

struct index_key *index_next(struct index_cursor *cursor)
{
    const struct node *leaf = cursor->node;

    while (leaf && cursor->at >= leaf->n) {
        leaf = leaf->next;
        cursor->node = leaf;
        cursor->at = 0;
        /* whoever comes this far walks over all, in memory's order of none */
        for (uint32_t i = 0; leaf && i < leaf->n; i++)
            item_fetch(leaf->keys[i]);
    }
    return leaf ? leaf->keys[cursor->at++] : NULL;
}

/* --- Fetching ahead ------------------------------------------------------ */

/* All of them one step further at a time, so that the waits for memory run
 * beside one another. A child stands first in `ways`, then what is in it. */
static void ways_step(const struct node *nodes[], uint32_t ats[],
                      const struct index_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct sought sought = sought_of(texts[i].bytes, texts[i].len);

        ats[i] = child_rank(nodes[i], &sought);
        __builtin_prefetch(&nodes[i]->children[ats[i]]);
    }
    for (size_t i = 0; i < n; i++) {
        nodes[i] = nodes[i]->children[ats[i]];
        lines_fetch(nodes[i], offsetof(struct node, keys));
    }
}

/* In a leaf nothing is compared but hints: the keys are still on their way. */
static void ways_end(const struct node *nodes[], uint32_t ats[],
                     const struct index_text *texts, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct node *leaf = nodes[i];
        struct sought sought = sought_of(texts[i].bytes, texts[i].len);
        uint32_t hint = hint_of(sought.bytes, sought.len, leaf->skip);

        ats[i] = hints_below(leaf->hints, hint);
        __builtin_prefetch(&leaf->keys[ats[i] % FANOUT]);
        if (leaf->stamped)
            __builtin_prefetch(node_stamps(leaf) + ats[i] % FANOUT, 1);
    }
    for (size_t i = 0; i < n; i++)
        if (ats[i] < nodes[i]->n)
            item_fetch(nodes[i]->keys[ats[i]]);
}

void index_fetch(const struct index *index, const struct index_text *texts,
                 size_t n)
{
    const struct node *nodes[INDEX_FETCH_MAX];
    uint32_t ats[INDEX_FETCH_MAX];

    if (!index->root || n > INDEX_FETCH_MAX)
        return;
    for (size_t i = 0; i < n; i++)
        nodes[i] = index->root;
    while (n && !nodes[0]->leaf)
        ways_step(nodes, ats, texts, n);
    ways_end(nodes, ats, texts, n);
}

/* --- Stamps -------------------------------------------------------------- */

void index_stamp(struct index *index, struct index_key *key, uint64_t stamp)
{
    if (index->last != key && index_find(index, key->bytes, key->len) != key)
        return;
    for (uint32_t i = index->depth; i-- > 0;) {
        uint64_t *at = node_stamps(index->path[i].node) + index->path[i].at;

        if (*at >= stamp)
            return; /* and so has all above */
        *at = stamp;
    }
}

/* Of what lies in [low, high), NULL standing for no bound. */
static uint64_t newest_between(const struct node *node,
                               const struct sought *low,
                               const struct sought *high)
{
    const uint64_t *stamps = node_stamps(node);
    uint32_t from = 0, to = node->n;
    uint64_t newest = 0, edge;
    bool equal;

    if (low)
        from = node_rank(node, low, !node->leaf, &equal);
    if (high)
        to = node_rank(node, high, !node->leaf, &equal);
    if (!node->leaf) {
        if (from == to && (low || high))
            return newest_between(node->children[from], low, high);
        if (low)
            newest = newest_between(node->children[from++], low, NULL);
        edge =
            high ? newest_between(node->children[to], NULL, high) : stamps[to];
        newest = edge > newest ? edge : newest;
    }
    for (; from < to; from++)
        newest = stamps[from] > newest ? stamps[from] : newest;
    return newest;
}

uint64_t index_newest(const struct index *index, const void *prefix, size_t len)
{
    unsigned char end[INDEX_PREFIX_MAX];
    struct sought low = sought_of(prefix, len), high = {end, len};

    if (!index->root || len > sizeof(end))
        return 0;
    /* The first that no longer begins so: one more in the last byte that has
     * one more. */
    while (high.len && low.bytes[high.len - 1] == 0xff)
        high.len--;
    if (high.len) {
        memcpy(end, low.bytes, high.len);
        end[high.len - 1]++;
    }
    return newest_between(index->root, len ? &low : NULL,
                          high.len ? &high : NULL);
}

/* low: NULL where all keys of the node are at or behind it. Only the first
 * child can promise a newer key and not have it behind `low`. */
static struct index_key *newer_from(const struct node *node,
                                    const struct sought *low, bool above,
                                    uint64_t stamp)
{
    const uint64_t *stamps = node_stamps(node);
    uint32_t at = 0, end = node->leaf ? node->n : node->n + 1u;
    struct index_key *key;
    bool equal;

    if (low)
        at = node_rank(node, low, !node->leaf || above, &equal);
    for (; at < end; at++, low = NULL) {
        if (stamps[at] <= stamp)
            continue;
        if (node->leaf)
            return node->keys[at];
        key = newer_from(node->children[at], low, above, stamp);
        if (key)
            return key;
    }
    return NULL;
}

struct index_key *index_next_newer(const struct index *index, const void *bytes,
                                   size_t len, bool above, uint64_t stamp)
{
    struct sought low = sought_of(bytes, len);

    return index->root ? newer_from(index->root, &low, above, stamp) : NULL;
}
