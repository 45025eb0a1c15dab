/* The leaves of a bundle, from what the group has of it. Made together they cost
 * a third; and nobody looks at the tree while a bundle is half applied. */
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

static const struct hash *operation_at(const struct leaves *l, uint32_t i)
{
    const char *first = (const char *)l->operations;

    return (const struct hash *)(const void *)(first + i * l->stride);
}

int core_leaves(struct core *c, const struct leaves *l)
{
    struct cursor heads;
    struct leaf_of of[AT_ONCE];
    struct hash leaves[AT_ONCE];

    if (c->group.heads.failed)
        return -ENOMEM;
    heads =
        cursor_of(bytes_of(c->group.heads.p + l->at, c->group.heads.n - l->at));
    for (uint32_t i = 0, n; i < l->count; i += n) {
        n = l->count - i < AT_ONCE ? l->count - i : AT_ONCE;
        for (uint32_t k = 0; k < n; k++) {
            of[k] = (struct leaf_of){
                .index = l->first + i + k,
                .time = c->time,
                .session = l->session,
                .seq = l->first_seq + i + k,
                .agent = l->agent,
                .bundle = l->bundle,
                .operation = operation_at(l, i + k),
                .position = i + k,
            };
            leaf_read(&heads, &of[k]);
        }
        entry_leaves(of, n, leaves);
        tree_add(c->tree, &c->state->tree, leaves, n);
    }
    return heads.failed ? -EUCLEAN : 0;
}
