/* What follows from an entry that was done: for who may say what, and whether a
 * checkpoint states the tree before it. */
#include "proto/note.h"
#include "proto/refusal.h"
#include "tools/verify_rules.h"

/* Does it state the tree that the entries before it make? */
static bool root_said(struct rules *r, const struct said *e, struct hash *root)
{
    struct hash said = msg_hash(e->m, FIELD_ROOT);

    rules_tree_reach(r, e->reading, e->index);
    *root = frontier_root(&r->tree);
    return msg_u(e->m, FIELD_SIZE) == e->index && hash_equal(root, &said);
}

static int checkpoint(struct rules *r, const struct said *e)
{
    struct hash root;
    struct note note;

    if (!root_said(r, e, &root))
        return rules_broken(r,
                            "a checkpoint states another tree than the entries "
                            "before it make");
    if (note_get(&note, msg_b(e->m, FIELD_TEXT),
                 authors_broker_key(r->authors)))
        return rules_broken(r,
                            "a checkpoint's note is not signed by the broker");
    if (note.size != e->index || !hash_equal(&note.root, &root) ||
        !hash_equal(&note.ledger, authors_ledger(r->authors)) ||
        note.epoch != e->bundle->epoch)
        return rules_broken(
            r, "a checkpoint's note states something else than the "
               "checkpoint");
    r->counts->checkpoints++;
    return 0;
}

static int new_epoch(struct rules *r, const struct said *e)
{
    struct hash root;

    return root_said(r, e, &root)
               ? 0
               : rules_broken(
                     r, "a new epoch continues from another tree than the "
                        "entries before it make");
}

int rules_learn(struct rules *r, struct said *e)
{
    enum message verb = e->entry->verb;
    bool states = verb == MSG_CHECKPOINT || verb == MSG_NEW_EPOCH;
    const char *why;
    unsigned field;
    struct msg m;
    int code;

    if (!states && !authors_heed(verb))
        return 0;
    if (msg_decode(e->entry->head, CLASS_BROKER | CLASS_OPERATION, &m, &field))
        return rules_broken(r, "an operation that cannot be read");
    e->m = &m;
    if (states)
        return verb == MSG_CHECKPOINT ? checkpoint(r, e) : new_epoch(r, e);
    code = authors_learn(r->authors, e->index, &m, &why);
    r->counts->agents = authors_agents(r->authors);
    r->counts->sessions = authors_sessions(r->authors);
    return code == CHOIR_BROKEN ? rules_broken(r, "%s", why) : code;
}
