/* The leaves of a group's bundles, from what the group has of them. Made
 * together they cost a third; and what is written does not depend on them, so
 * the disk is given its work first. */
#include <errno.h>

#include "core_private.h"

enum { AT_ONCE = 64 };

/* One operation's outcome and effect, which stand in the group already. */
static void leaf_read(struct cursor *heads, struct leaf_of *of)
{
    uint32_t head = cursor_u32(heads), word = cursor_u32(heads);

    cursor_take(heads, head);
    of->outcome = (int)(word >> 24);
    of->effect = cursor_take(heads, word & 0xffffff);
}

int core_leaves(struct core *c, const struct leaves *l,
                const struct hash *operations, size_t stride)
{
    const char *first = (const char *)operations;

    buf_put(&c->leaves.bundles, l, sizeof *l);
    for (uint32_t i = 0; i < l->count; i++)
        buf_put(&c->leaves.operations, first + i * stride, HASH_BYTES);
    return c->group.heads.failed || c->leaves.bundles.failed ||
                   c->leaves.operations.failed
               ? -ENOMEM
               : 0;
}

static int bundle_join(struct core *c, const struct leaves *l,
                       const struct hash *operations)
{
    struct cursor heads =
        cursor_of(bytes_of(c->group.heads.p + l->at, c->group.heads.n - l->at));
    struct leaf_of of[AT_ONCE];
    struct hash leaves[AT_ONCE];

    for (uint32_t i = 0, n; i < l->count; i += n) {
        n = l->count - i < AT_ONCE ? l->count - i : AT_ONCE;
        for (uint32_t k = 0; k < n; k++) {
            of[k] = (struct leaf_of){
                .index = l->first + i + k,
                .time = c->time,
                .session = l->session,
                .seq = l->first_seq + i + k,
                .agent = &l->agent,
                .bundle = &l->bundle,
                .operation = &operations[i + k],
                .position = i + k,
            };
            leaf_read(&heads, &of[k]);
        }
        entry_leaves(of, n, leaves);
        tree_add(c->tree, &c->state->tree, leaves, n);
    }
    return heads.failed ? -EUCLEAN : 0;
}

static int bundles_join(struct core *c)
{
    struct cursor at = cursor_of(buf_bytes(&c->leaves.bundles));
    const struct hash *operations = (void *)c->leaves.operations.p;
    int r = 0;

    while (!r && cursor_left(&at)) {
        struct leaves l;

        memcpy(&l, cursor_take(&at, sizeof l).p, sizeof l);
        r = bundle_join(c, &l, operations);
        operations += l.count;
    }
    buf_clear(&c->leaves.bundles);
    buf_clear(&c->leaves.operations);
    return r;
}

int core_grow(struct core *c)
{
    int r = bundles_join(c);

    digest_settle(&c->state->digest);
    if (r || !c->group_written)
        return r;
    c->group_written = false;
    c->boundaries[c->boundary_count - 1].root = frontier_root(&c->state->tree);
    group_begin(&c->group, c->state->epoch, c->state->size, c->time);
    return 0;
}

void core_leaves_free(struct core *c)
{
    buf_free(&c->leaves.bundles);
    buf_free(&c->leaves.operations);
}
