/* Who may say what, learned from the record itself in order: keys, sessions,
 * their numbering and chains, trees. */
#include "tools/verify_rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>

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
    r->authors = authors_new(true);
    if (!r->signatures || !r->missing || !r->authors)
        rules_destroy(&r);
    return r;
}

void rules_destroy(struct rules **self_p)
{
    struct rules *r = *self_p;

    if (!r)
        return;
    missing_destroy(&r->missing);
    authors_destroy(&r->authors);
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
    const char *why;

    if (e->entry->outcome != CHOIR_OK)
        return rules_broken(r, "the first entry is not a genesis");
    if (authors_genesis(r->authors, e->entry->head, &why))
        return rules_broken(r, "%s", why);
    if (r->pinned && memcmp(r->pinned, authors_broker_key(r->authors),
                            KEY_PUBLIC_BYTES) != 0)
        return rules_broken(r,
                            "the broker's key is not the one that was pinned");
    return 0;
}

/* The broker's numbers may begin anywhere. */
static int chain_follow(struct rules *r, const struct said *first)
{
    struct author_chain *chain = authors_chain(r->authors);
    const struct read_bundle *b = first->bundle;

    if (first->index == 0)
        chain->next_seq = b->first_seq;
    if (b->first_seq != chain->next_seq)
        return rules_broken(r, "a bundle has number %llu where %llu is due",
                            (unsigned long long)b->first_seq,
                            (unsigned long long)chain->next_seq);
    if (!hash_equal(&b->prev_hash, &chain->prev))
        return rules_broken(r,
                            "a bundle does not follow its author's one before");
    chain->next_seq += b->count;
    chain->prev = b->hash;
    return 0;
}

static int author_follow(struct rules *r, const struct said *first)
{
    const struct read_bundle *b = first->bundle;
    struct author_bundle bundle = {
        .ledger = b->ledger,
        .agent = b->agent,
        .hash = b->hash,
        .session = b->session,
        .kind = b->kind,
        .format = b->format,
        .first = first->index,
        .public_key = b->public_key,
    };
    const char *why;
    int code = authors_bundle(r->authors, &bundle, &why);

    return code == CHOIR_BROKEN ? rules_broken(r, "%s", why) : code;
}

static int bundle_enter(struct rules *r, const struct said *first,
                        struct verify_place *at)
{
    const struct read_bundle *b = first->bundle;
    int code = first->index == 0 ? genesis(r, first) : 0;

    if (!code)
        code = author_follow(r, first);
    if (!code)
        code = chain_follow(r, first);
    if (code)
        return code;
    r->counts->bundles++;
    code =
        signatures_add(r->signatures, authors_key(r->authors),
                       authors_ledger(r->authors), b->header, b->signature, at);
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

static int operation(struct rules *r, struct said *e)
{
    const struct read_entry *x = e->entry;
    const char *why;

    if (x->fault == READ_OUTCOME)
        return rules_broken(r, "an outcome that is none");
    if (x->outcome == CHOIR_UNSUPPORTED)
        return 0;
    if (x->fault == READ_OPERATION)
        return rules_broken(r, "an operation that cannot be read");
    if (authors_may_say(r->authors, x->verb, &why))
        return rules_broken(r, "%s", why);
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
    return *authors_ledger(r->authors);
}

const uint8_t *rules_broker_key(const struct rules *r)
{
    return authors_broker_key(r->authors);
}

struct hash rules_root(const struct rules *r)
{
    return frontier_root(&r->tree);
}
