/* Which prefixes of a space have a merge policy. */
#include "ask_private.h"
#include "proto/refusal.h"

enum { CONCERNED = RIGHT_READ | RIGHT_WRITE | RIGHT_ADMIN };

/* Whoever has rights on keys of a prefix may know how they are merged. */
static bool concerns(const struct ask *q, struct bytes space,
                     struct bytes prefix)
{
    for (size_t i = 0; i < q->agent->grant_count; i++) {
        const struct grant *g = &q->agent->grants[i];
        struct bytes scope = bytes_text(g->prefix ? g->scope : "");

        if (!g->queue && (g->rights & CONCERNED) &&
            (bytes_equal(bytes_text(g->space), space) ||
             bytes_equal(bytes_text(g->space), bytes_text("*"))) &&
            (bytes_start_with(scope, prefix) ||
             bytes_start_with(prefix, scope)))
            return true;
    }
    return false;
}

int ask_policy_list(struct ask *q)
{
    struct bytes space = msg_b(q->op, FIELD_SPACE), at = {0};
    struct bytes under = msg_b(q->op, FIELD_PREFIX);
    enum merge_rule rule;
    uint64_t n = 0;
    struct msg item;

    while (policies_next(q->a->state->policies, space, at, &at, &rule)) {
        if (!bytes_start_with(at, under) || !concerns(q, space, at))
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_b(&item, FIELD_PREFIX, at);
        msg_set_u(&item, FIELD_RULE, rule);
        msg_encode(&item, &q->a->items);
        n++;
    }
    msg_set_list(q->reply, FIELD_ITEMS, n, buf_bytes(&q->a->items));
    return 0;
}
