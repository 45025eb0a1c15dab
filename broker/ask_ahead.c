/* Gets of a bundle are answered one after the other; their keys and entries are
 * fetched together before that. */
#include "ask_private.h"

enum { AHEAD = LEDGER_AHEAD_MAX };

_Static_assert((size_t)AHEAD <= INDEX_FETCH_MAX, "one fetch for all");

static void keys_fetch(const struct asks *a, const struct bundle_op *ops,
                       size_t n)
{
    struct context_name names[AHEAD];
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (ops[i].key.n)
            names[count++] = (struct context_name){ops[i].space, ops[i].key};
    }
    context_fetch(a->state->context, names, count);
}

/* What may not be read is not: it would take as long as if it were there. */
static size_t revisions_find(const struct asks *a, const struct agent *agent,
                             const struct bundle_op *ops, size_t n,
                             uint64_t *revisions)
{
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        const struct key *k;

        if (ops[i].refusal || head_verb(ops[i].head) != MSG_GET ||
            !agent_may(agent, RIGHT_READ, ops[i].space, ops[i].key,
                       (struct bytes){0}))
            continue;
        k = context_find(a->state->context, ops[i].space, ops[i].key);
        if (k && !k->deleted)
            revisions[found++] = k->revision;
    }
    return found;
}

size_t ask_ahead(struct asks *a, const struct presence *p,
                 const struct bundle_op *ops, size_t n)
{
    uint64_t revisions[AHEAD];
    size_t found;

    if (n > AHEAD)
        n = AHEAD;
    if (n < 2)
        return n;
    keys_fetch(a, ops, n);
    found = revisions_find(a, agent_by_number(a->state->agents, p->agent), ops,
                           n, revisions);
    if (found > 1)
        ledger_ahead(a->ledger, revisions, found);
    return n;
}
