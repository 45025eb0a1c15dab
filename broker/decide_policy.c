/* Writes where something is already: what the prefix's policy makes of them.
 * The one part of decide that sees payloads, and only where it has to merge. */
#include <errno.h>

#include "decide_private.h"
#include "proto/merge.h"
#include "proto/refusal.h"

uint64_t key_current(const struct key *k)
{
    return k && !k->deleted ? k->revision : 0;
}

static int write_conflict(struct decision *d, const struct decide_write *w,
                          const char *why)
{
    if (w->has_base && w->base)
        msg_set_u(d->effect, FIELD_BASE, w->base);
    return conflict(d, w->space, w->key, key_current(w->k), w->k, why);
}

static int refused(struct decision *d, const struct decide_write *w, int code,
                   const char *why)
{
    msg_set_b(d->effect, FIELD_KEY, w->key);
    msg_set_text(d->effect, FIELD_REASON, why);
    return code;
}

/* --- Values --------------------------------------------------------------- */

static struct bytes own_slot(const struct decision *d, size_t slot,
                             struct bytes *salt)
{
    struct bytes value = {0};

    if (slot_at(msg_b(d->op, FIELD_SLOTS), d->f->payload, slot, salt, &value))
        *salt = value = bytes_of("", 0);
    return value;
}

static bool is_msgpack(const struct decide_write *w)
{
    return bytes_equal(w->type, bytes_text(MERGE_TYPE));
}

enum { STEP_BYTES = 4096 }; /* what looking at a version counts as */

/* Below the line of a space only each key's newest version is kept. Whether
 * this is it, is the record's to say, not the disk's: it is decided alike
 * before and after the space was given back. 0; CHOIR_COMPACTED; an errno. */
static int base_kept(struct decision *d, const struct decide_write *w)
{
    struct decide_values *v = d->f->values;
    uint64_t line = compaction_line(d->s->compaction, w->space);
    uint64_t at = w->k->revision;

    while (at > line && w->base < line) {
        struct decide_version version;
        int r;

        v->merged += STEP_BYTES;
        if (v->merged > MERGE_BYTES_MAX)
            return CHOIR_COMPACTED;
        r = v->version(v->arg, w->space, w->key, at, &version, NULL);
        if (r)
            return r < 0 ? r : CHOIR_COMPACTED;
        at = version.prev;
    }
    return w->base >= line || at == w->base ? 0 : CHOIR_COMPACTED;
}

static int not_kept(struct decision *d, const struct decide_write *w)
{
    return write_conflict(d, w, "the base is no longer kept");
}

/* Erased by an entry before this one: then it is decided alike, whether or not
 * the payload is still on the disk. Otherwise nobody can tell any more. */
static bool is_erased(struct decision *d, uint64_t revision,
                      const struct decide_version *v)
{
    return erasure_has(d->s->erasure, revision, v->slot);
}

static int gone(struct decision *d, const struct decide_write *w,
                uint64_t revision, bool erased)
{
    if (revision != w->base || !w->has_base)
        return write_conflict(d, w,
                              erased ? "what is there was erased"
                                     : "what is there is no longer kept");
    return erased ? write_conflict(d, w, "the base was erased")
                  : not_kept(d, w);
}

/* 0, or the outcome: a version that is no longer kept is not an empty one. */
static int version_get(struct decision *d, const struct decide_write *w,
                       uint64_t revision, struct buf *value,
                       struct decide_version *out)
{
    struct decide_values *v = d->f->values;
    int r;

    buf_clear(value);
    r = v->version(v->arg, w->space, w->key, revision, out, value);
    v->merged += value->n;
    if (r == CHOIR_COMPACTED || r == CHOIR_ERASED) {
        bool erased = is_erased(d, revision, out);

        v->lacking |= !erased;
        return gone(d, w, revision, erased);
    }
    if (r == CHOIR_NOT_FOUND || (!r && out->deleted))
        return write_conflict(d, w, "the base is not a version of this key");
    return r ? r : value->failed ? -ENOMEM : 0;
}

/* A slot of the effect. Its salt follows from the salt of what went into it,
 * so that it can be made again, and is as hard to guess. */
static int slot_make(struct decision *d, struct decide_write *w,
                     struct bytes own_salt)
{
    struct decide_values *v = d->f->values;
    uint64_t limit = d->s->rules.value_bytes_max;
    uint8_t number[8];
    struct hash salt;

    if (v->value.n > limit)
        return over_limit(d, "value_bytes_max", limit, v->value.n);
    put_u64(number, w->number);
    salt = hash_parts(HASH_SALT, own_salt, bytes_of(number, sizeof number),
                      (struct bytes){0});
    w->merged = true;
    w->merged_slot = v->rows.n / SLOT_ROW_BYTES;
    slot_row(&v->rows, salt.b, buf_bytes(&v->value));
    buf_put(&v->payload, salt.b, SLOT_SALT_BYTES);
    buf_put(&v->payload, v->value.p, v->value.n);
    return v->rows.failed || v->payload.failed ? -ENOMEM : 0;
}

/* --- Merging -------------------------------------------------------------- */

/* The paths, as elements of the effect. */
static int clashed(struct decision *d, const struct decide_write *w,
                   const struct merge_clashes *clashes)
{
    size_t n =
        clashes->count < MERGE_PATHS_MAX ? clashes->count : MERGE_PATHS_MAX;
    int r = write_conflict(d, w, clashes->why);

    msg_set_u(d->effect, FIELD_COUNT, clashes->count);
    if (w->rule != RULE_MERGE)
        return r;
    buf_clear(d->scratch);
    for (size_t i = 0; i < n; i++) {
        struct msg item;

        msg_init(&item, MSG_ITEM);
        msg_set_text(&item, FIELD_TEXT, clashes->paths[i]);
        msg_encode(&item, d->scratch);
    }
    msg_set_list(d->effect, FIELD_ITEMS, n, buf_bytes(d->scratch));
    return r;
}

static int merge_refused(struct decision *d, const struct decide_write *w,
                         int r, const struct merge_clashes *clashes)
{
    if (r == CHOIR_CONFLICT)
        return clashed(d, w, clashes);
    return r > 0 ? refused(d, w, r, clashes->why) : r;
}

/* What is there and the base, as far as there are such. 0 or the outcome. */
static int inputs_get(struct decision *d, const struct decide_write *w,
                      struct merge_inputs *in)
{
    struct decide_values *v = d->f->values;
    struct decide_version theirs, base;
    int r = 0;

    if (key_current(w->k)) {
        r = version_get(d, w, w->k->revision, &v->theirs, &theirs);
        in->theirs = buf_bytes(&v->theirs);
        if (!r && !theirs.msgpack)
            r = refused(d, w, CHOIR_INVALID,
                        "what is there is not " MERGE_TYPE);
    }
    if (!r && w->has_base && w->base) {
        r = base_kept(d, w);
        if (r)
            return r < 0 ? r : not_kept(d, w);
        r = version_get(d, w, w->base, &v->base, &base);
        in->base = buf_bytes(&v->base);
        if (!r && !base.msgpack)
            r = refused(d, w, CHOIR_INVALID, "the base is not " MERGE_TYPE);
    }
    return r;
}

/* yours and its salt: of the operation. `as_slot`: the result is the effect's
 * even if it is just what was said. */
static int merge(struct decision *d, struct decide_write *w, struct bytes yours,
                 struct bytes salt, bool as_slot)
{
    struct decide_values *v = d->f->values;
    struct merge_inputs in = {.yours = yours};
    struct merge_clashes clashes;
    int r;

    if (!v)
        return -EINVAL; /* the broker itself writes no keys */
    if (v->merged > MERGE_BYTES_MAX)
        return over_limit(d, "merge_bytes", MERGE_BYTES_MAX, v->merged);
    v->merged += yours.n;
    r = inputs_get(d, w, &in);
    if (r)
        return r;
    buf_clear(&v->value);
    r = merge_values(w->rule, &in, &v->value, &clashes);
    if (r)
        return merge_refused(d, w, r, &clashes);
    if (!as_slot && bytes_equal(buf_bytes(&v->value), yours))
        return 0;
    return slot_make(d, w, salt);
}

/* A value that is there as it is, or that replaces what its author saw, only
 * has to be of the right kind. */
static int kind_fits(struct decision *d, const struct decide_write *w,
                     struct bytes yours)
{
    struct decide_values *v = d->f->values;
    struct merge_inputs in = {.yours = yours};
    struct merge_clashes clashes;
    int r;

    buf_clear(&v->value);
    v->merged += yours.n;
    r = merge_values(w->rule, &in, &v->value, &clashes);
    if (r)
        return merge_refused(d, w, r, &clashes);
    return w->rule != RULE_SET || bytes_equal(buf_bytes(&v->value), yours)
               ? 0
               : refused(d, w, CHOIR_INVALID, "a set has each element once");
}

/* --- Policies ------------------------------------------------------------- */

/* The revision it names must be the one that is there. */
static int exact(struct decision *d, const struct decide_write *w)
{
    if (w->has_base)
        return w->base == key_current(w->k) ? 0 : write_conflict(d, w, NULL);
    return 0;
}

/* Nobody's value goes without having been seen. */
static int seen(struct decision *d, const struct decide_write *w)
{
    if (!w->has_base && key_current(w->k))
        return write_conflict(d, w,
                              "here a write names the revision it replaces");
    return exact(d, w);
}

/* Did others come between? Only then, and only if both it and what it was made
 * from are versions, is there something to merge. */
static bool between(const struct decide_write *w)
{
    return w->has_base && w->base && key_current(w->k) &&
           w->base != key_current(w->k);
}

static int put_merge(struct decision *d, struct decide_write *w)
{
    struct bytes salt, yours;

    if (!between(w))
        return seen(d, w);
    if (!is_msgpack(w))
        return write_conflict(d, w,
                              "only values of type " MERGE_TYPE " are merged");
    yours = own_slot(d, w->slot, &salt);
    return merge(d, w, yours, salt, false);
}

/* Arrays, sets and counters: a write without a base is what it adds. */
static int put_add(struct decision *d, struct decide_write *w)
{
    struct bytes salt, yours = own_slot(d, w->slot, &salt);

    if (!is_msgpack(w))
        return refused(d, w, CHOIR_INVALID,
                       "here values are of type " MERGE_TYPE);
    if (w->has_base && !between(w)) {
        int r = exact(d, w);

        return r ? r : kind_fits(d, w, yours);
    }
    return merge(d, w, yours, salt, false);
}

int write_combine(struct decision *d, struct decide_write *w)
{
    w->rule = policy_of(d->s->policies, w->space, w->key);
    switch (w->rule) {
    case RULE_CAS: return seen(d, w);
    case RULE_MERGE: return w->deletes ? seen(d, w) : put_merge(d, w);
    case RULE_APPEND:
    case RULE_SET:
    case RULE_COUNTER: return w->deletes ? exact(d, w) : put_add(d, w);
    default: return exact(d, w);
    }
}

void write_note(const struct decide_write *w, struct msg *m)
{
    if (w->k && (!w->deletes || !w->k->deleted))
        msg_set_u(m, FIELD_PREV, w->k->revision);
    if (!w->merged)
        return;
    if (m->verb == MSG_ITEM)
        msg_set_u(m, FIELD_SLOT, SLOT_EFFECT + w->merged_slot);
    msg_set_u(m, FIELD_RULE, w->rule);
    if (w->has_base && w->base)
        msg_set_u(m, FIELD_BASE, w->base);
}

void slots_note(struct decision *d)
{
    const struct decide_values *v = d->f->values;

    if (v && v->rows.n)
        msg_set_b(d->effect, FIELD_SLOTS, buf_bytes(&v->rows));
}

/* --- The operations ------------------------------------------------------- */

int decide_policy(struct decision *d)
{
    struct bytes space = msg_b(d->op, FIELD_SPACE), none = {0};
    struct bytes prefix = msg_b(d->op, FIELD_PREFIX);
    uint64_t rule = msg_u(d->op, FIELD_RULE);
    uint64_t most = d->s->rules.policies_per_space_max;
    bool is_there;

    if (space.n == 0 || bytes_equal(space, bytes_text("*")) || rule >= RULE_END)
        return CHOIR_INVALID;
    if (!author_may(d, RIGHT_ADMIN, space, none, none))
        return CHOIR_DENIED;
    is_there = policy_at(d->s->policies, space, prefix) != RULE_NONE;
    if (rule == RULE_NONE)
        return is_there ? CHOIR_OK : CHOIR_NOT_FOUND;
    if (!is_there && policies_count(d->s->policies, space) >= most)
        return over_limit(d, "policies_per_space_max", most,
                          policies_count(d->s->policies, space));
    return CHOIR_OK;
}

/* append and incr read and write in one step, under any policy that does not
 * say that the key holds something else. */
static int add(struct decision *d, enum merge_rule rule, bool wrap)
{
    struct decide_write w = {
        .space = msg_b(d->op, FIELD_SPACE),
        .key = msg_b(d->op, FIELD_KEY),
    };
    enum merge_rule policy = policy_of(d->s->policies, w.space, w.key);
    struct bytes salt, yours = own_slot(d, 0, &salt);
    int r;

    w.k = context_find(d->s->context, w.space, w.key);
    w.rule = rule == RULE_APPEND && policy == RULE_SET ? policy : rule;
    if (policy >= RULE_APPEND && policy <= RULE_COUNTER && policy != w.rule)
        return refused(d, &w, CHOIR_INVALID,
                       "the policy of this prefix is for other values");
    if (wrap) {
        buf_clear(&d->f->values->yours);
        merge_one(&d->f->values->yours, yours);
        yours = buf_bytes(&d->f->values->yours);
    }
    r = merge(d, &w, yours, salt, true);
    if (r)
        return r;
    write_note(&w, d->effect);
    slots_note(d);
    return 0;
}

static int add_fits(struct decision *d)
{
    int r = slots_fit(d, 1, 1);

    return r ? r : key_fits(d);
}

int decide_append(struct decision *d)
{
    int r = add_fits(d);

    return r ? r : add(d, RULE_APPEND, true);
}

int decide_incr(struct decision *d)
{
    int r = add_fits(d);

    return r ? r : add(d, RULE_COUNTER, false);
}
