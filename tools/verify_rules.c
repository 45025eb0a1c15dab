/* Who may say what, learned from the record itself in order: keys, sessions,
 * their numbering and chains, trees. */
#include "tools/verify_rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <utlist.h>

#include "proto/refusal.h"

int rules_broken(struct rules *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, VERIFY_WHY, format, args);
    va_end(args);
    return CHOIR_BROKEN;
}

struct rules *rules_new(struct pool *pool, const uint8_t *key,
                        struct verify_counts *counts, char why[VERIFY_WHY])
{
    struct rules *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->pinned = key;
    r->counts = counts;
    r->why = why;
    frontier_init(&r->tree);
    r->signatures = signatures_new(pool);
    r->missing = missing_new();
    if (!r->signatures || !r->missing)
        rules_destroy(&r);
    return r;
}

void rules_destroy(struct rules **self_p)
{
    struct rules *r = *self_p;
    struct author *a, *next_author;
    struct spoken *s, *next_session;

    if (!r)
        return;
    missing_destroy(&r->missing);
    HASH_ITER (hh, r->authors, a, next_author) {
        struct author_key *k, *next_key;

        LL_FOREACH_SAFE (a->keys, k, next_key)
            free(k);
        HASH_DEL(r->authors, a);
        free(a);
    }
    HASH_ITER (hh, r->sessions, s, next_session) {
        HASH_DEL(r->sessions, s);
        free(s);
    }
    signatures_destroy(&r->signatures);
    free(r);
    *self_p = NULL;
}

void rules_tree_reach(struct rules *r, const struct reading *x, uint64_t size)
{
    for (size_t i = 0; i < x->tree_count && r->tree.size < size; i++) {
        const struct read_tree *t = &x->trees[i];
        uint64_t first = t->at.index << t->at.level, end = (t->at.index + 1)
                                                           << t->at.level;

        if (r->tree.size != first || end > size ||
            frontier_add_node(&r->tree, t->at.level, t->root))
            while (r->tree.size < end && r->tree.size < size)
                frontier_add(&r->tree, x->leaves[r->tree.size - x->first]);
    }
}

/* --- Bundles ------------------------------------------------------------- */

static int genesis(struct rules *r, const struct said *e)
{
    unsigned field;
    struct msg m;

    if (msg_decode(e->entry->head, CLASS_BROKER, &m, &field) ||
        m.verb != MSG_GENESIS || e->entry->outcome != CHOIR_OK)
        return rules_broken(r, "the first entry is not a genesis");
    r->ledger = hash_of(HASH_LEDGER, e->entry->head);
    memcpy(r->broker_key, msg_b(&m, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
    r->broker = agent_id(r->broker_key);
    r->broker_seq = e->bundle->first_seq;
    if (r->pinned && memcmp(r->pinned, r->broker_key, KEY_PUBLIC_BYTES) != 0)
        return rules_broken(r,
                            "the broker's key is not the one that was pinned");
    return 0;
}

static int chain_fits(struct rules *r, const struct read_bundle *b,
                      uint64_t seq, const struct hash *prev)
{
    if (b->first_seq != seq)
        return rules_broken(r, "a bundle has number %llu where %llu is due",
                            (unsigned long long)b->first_seq,
                            (unsigned long long)seq);
    if (!hash_equal(&b->prev_hash, prev))
        return rules_broken(r,
                            "a bundle does not follow its author's one before");
    return 0;
}

static int by_broker(struct rules *r, const struct read_bundle *b)
{
    int code = chain_fits(r, b, r->broker_seq, &r->broker_prev);

    if (b->session != 0)
        return rules_broken(r, "the broker has no sessions");
    r->broker_seq += b->count;
    r->broker_prev = b->hash;
    memcpy(r->key, r->broker_key, KEY_PUBLIC_BYTES);
    return code;
}

static int by_newcomer(struct rules *r, const struct read_bundle *b)
{
    static const struct hash nothing;
    struct author *a = rules_author(r, &b->agent);
    struct bytes key = b->public_key;
    struct author_key *k;
    struct hash due;
    bool fits;

    if (key.n != KEY_PUBLIC_BYTES)
        return rules_broken(r, "a bundle outside a session names no key");
    due = agent_id(key.p);
    k = a ? author_key_find(a, key.p) : NULL;
    fits = a ? (k && !k->ended) ||
                   (a->recovers &&
                    memcmp(a->recovery, key.p, KEY_PUBLIC_BYTES) == 0)
             : hash_equal(&due, &b->agent);
    if (!fits)
        return rules_broken(r, "a bundle names a key that is not its author's");
    if (a && a->revoked)
        return rules_broken(r, "a bundle by an agent that was revoked");
    memcpy(r->key, key.p, KEY_PUBLIC_BYTES);
    return chain_fits(r, b, 0, &nothing);
}

static int in_session(struct rules *r, const struct read_bundle *b)
{
    struct spoken *s = rules_session(r, b->session);
    int code;

    r->session = s;
    if (!s)
        return rules_broken(r, "a bundle in a session that was never opened");
    if (s->ended || s->author->revoked || s->key->ended)
        return rules_broken(r, "a bundle in a session that has ended");
    if (!hash_equal(&s->author->id, &b->agent))
        return rules_broken(r, "a bundle in another agent's session");
    code = chain_fits(r, b, s->next_seq, &s->prev);
    s->next_seq += b->count;
    s->prev = b->hash;
    memcpy(r->key, s->key->key, KEY_PUBLIC_BYTES);
    return code;
}

static int bundle_enter(struct rules *r, const struct said *first,
                        struct verify_place *at)
{
    const struct read_bundle *b = first->bundle;
    int code = first->index == 0 ? genesis(r, first) : 0;

    if (code)
        return code;
    if (!hash_equal(&b->ledger, &r->ledger))
        return rules_broken(r, "a bundle is meant for another ledger");
    if (b->kind != BUNDLE_RECORD || b->format != 1)
        return rules_broken(
            r, "a bundle of a kind or format that is not recorded");
    r->by_broker = hash_equal(&b->agent, &r->broker);
    r->session = NULL;
    code = r->by_broker      ? by_broker(r, b)
           : b->session == 0 ? by_newcomer(r, b)
                             : in_session(r, b);
    if (code)
        return code;
    r->counts->bundles++;
    code = signatures_add(r->signatures, r->key, &r->ledger, b->header,
                          b->signature, at);
    return code == CHOIR_BROKEN ? rules_broken(r, "a signature is forged")
                                : code;
}

/* --- Entries ------------------------------------------------------------- */

static int payloads_missing(struct rules *r, const struct said *e)
{
    struct entry entry;
    int code;

    if (!e->entry->thin && !missing_wants(r->missing, e->entry->verb))
        return 0;
    reading_entry(e->reading, (size_t)(e->index - e->reading->first), &entry);
    code = missing_entry(r->missing, &entry);
    return code == CHOIR_BROKEN
               ? rules_broken(r, "a payload is missing, and nothing permits it")
               : code;
}

/* The broker invites the users of its own host, and compacts as it was
 * configured to; of what agents say it says nothing else. */
static bool may_say(const struct rules *r, unsigned verb)
{
    unsigned class = message_row(verb)->class;

    return class & (r->by_broker ? CLASS_BROKER : CLASS_OPERATION) ||
           (r->by_broker && (verb == MSG_INVITE || verb == MSG_COMPACT));
}

static int operation(struct rules *r, struct said *e)
{
    const struct read_entry *x = e->entry;

    if (x->fault == READ_OUTCOME)
        return rules_broken(r, "an outcome that is none");
    if (x->outcome == CHOIR_UNSUPPORTED)
        return 0;
    if (x->fault == READ_OPERATION || !may_say(r, x->verb))
        return rules_broken(r, "an operation that its author may not say");
    if (x->fault == READ_EFFECT)
        return rules_broken(r, "an effect that cannot be read");
    return x->outcome == CHOIR_OK ? rules_learn(r, e) : 0;
}

static int entry_judge(struct rules *r, struct said *e)
{
    const struct read_entry *entry = e->entry;
    int code;

    if (entry->fault == READ_SLOTS)
        return rules_broken(r, "a payload does not fit its hash");
    r->counts->payloads += entry->payloads;
    r->counts->payload_bytes += entry->payload.n + entry->effect_payload.n;
    code = payloads_missing(r, e);
    if (!code)
        code = operation(r, e);
    r->counts->entries += code == 0;
    return code;
}

/* Entries of the bundle that are there: of the last one of a group that does
 * not hold what it says, fewer. */
static int bundle_judge(struct rules *r, const struct reading *x,
                        const struct read_bundle *b, struct verify_place *at)
{
    size_t end = b->first_entry + b->count;
    struct said e = {.reading = x, .bundle = b};
    int code = 0;

    for (size_t i = b->first_entry; !code && i < end; i++) {
        if (i == x->entry_count)
            return 0;
        at->index = e.index = x->first + i;
        e.entry = &x->entries[i];
        if (i == b->first_entry)
            code = bundle_enter(r, &e, at);
        if (!code)
            code = entry_judge(r, &e);
    }
    return code ? code
           : b->fits
               ? 0
               : rules_broken(r, "a bundle's operations are not those it was "
                                 "signed over");
}

int rules_group(struct rules *r, const struct reading *x,
                const struct read_group *g, struct verify_place *at)
{
    int code = 0;

    for (size_t i = 0; !code && i < g->bundles; i++)
        code = bundle_judge(r, x, &x->bundles[g->first_bundle + i], at);
    rules_tree_reach(r, x, r->counts->entries);
    return code;
}

int rules_settle(struct rules *r, struct verify_place *at)
{
    int code = signatures_settle(r->signatures, at);

    return code == CHOIR_BROKEN ? rules_broken(r, "a signature is forged")
                                : code;
}

int rules_end(struct rules *r, struct verify_place *at)
{
    return missing_end(r->missing, &at->index)
               ? rules_broken(r, "a payload is missing, and nothing permits it")
               : 0;
}

struct hash rules_ledger(const struct rules *r)
{
    return r->ledger;
}

const uint8_t *rules_broker_key(const struct rules *r)
{
    return r->broker_key;
}

struct hash rules_root(const struct rules *r)
{
    return frontier_root(&r->tree);
}
