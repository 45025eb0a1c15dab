/* Rows about keys that hold lists, under a policy that merges what is put
 * there, or under none. */
#include "tests/sim/world/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "proto/merge.h"

enum { PACKED_SHORT = 16, ARRAY = 0x90, ARRAY_16 = 0xdc, LONG = 380 };

static const char prefix[] = "l/";

bool key_is_list(struct bytes name)
{
    return bytes_start_with(name, bytes_text(prefix));
}

/* --- As msgpack has it ---------------------------------------------------- */

/* Small numbers are themselves. */
static size_t head_write(uint8_t *to, size_t n)
{
    if (n < PACKED_SHORT) {
        to[0] = (uint8_t)(ARRAY | n);
        return 1;
    }
    to[0] = ARRAY_16;
    to[1] = (uint8_t)(n >> 8);
    to[2] = (uint8_t)n;
    return 3;
}

static struct bytes elements(struct bytes packed)
{
    size_t head = packed.n && packed.p[0] == ARRAY_16 ? 3 : 1;

    return packed.n < head ? (struct bytes){0}
                           : bytes_of(packed.p + head, packed.n - head);
}

/* --- Drafting ------------------------------------------------------------- */

static const char *any_list(const struct knowledge *k)
{
    return k->any(2) ? "l/1" : "l/2";
}

static const struct m_version *any_base(const struct knowledge *k,
                                        const char *key)
{
    struct m_key *known =
        model_key((struct model *)(uintptr_t)k->m, bytes_text(key));

    return known->count ? &known->versions[known->count - 1 -
                                           k->any(k->any(2) ? known->count : 1)]
                        : NULL;
}

/* All of it, or what it adds; mostly what it was made from comes first. */
void draft_list(struct draft *d, const struct knowledge *k)
{
    const char *key = any_list(k);
    const struct m_version *base = k->any(2) ? any_base(k, key) : NULL;
    size_t n = base && k->any(12) ? base->length : 0;
    size_t more = k->any(k->any(30) ? 4 : LONG);
    uint8_t *text = (uint8_t *)d->texts[d->slots], *at;

    if (n + more + 3 > DRAFT_VALUE)
        more = 0;
    at = text + head_write(text, n + more);
    if (n)
        memcpy(at, base->list, n);
    for (size_t i = 0; i < more; i++)
        at[n + i] = (uint8_t)k->any(128);
    d->values[d->slots++] = bytes_of(text, (size_t)(at - text) + n + more);
    msg_set_text(&d->m, FIELD_KEY, key);
    msg_set_text(&d->m, FIELD_TYPE, MERGE_TYPE);
    if (base)
        msg_set_u(&d->m, FIELD_IF_REVISION, base->revision);
}

static bool draft_append(struct draft *d, const struct knowledge *k)
{
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_KEY, any_list(k));
    d->texts[0][0] = (char)k->any(128);
    d->values[d->slots++] = bytes_of(d->texts[0], 1);
    draft_id(d, k);
    if (k->any(6) == 0)
        draft_lease(d, k);
    return true;
}

static bool draft_policy(struct draft *d, const struct knowledge *k)
{
    if (!model_may(k->m, k->agent, RIGHT_ADMIN) && k->any(20))
        return false;
    msg_set_text(&d->m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&d->m, FIELD_PREFIX, prefix);
    msg_set_u(&d->m, FIELD_RULE, k->any(3) ? RULE_APPEND : RULE_NONE);
    return true;
}

/* --- Merging -------------------------------------------------------------- */

/* What there is, and what an operation adds to it. */
struct sum {
    const struct m_version *theirs; /* NULL: nothing */
    struct bytes yours;             /* what is added */
};

static const struct m_version *version_now(const struct m_key *k)
{
    return key_revision(k) ? &k->versions[k->count - 1] : NULL;
}

static size_t sum_length(const struct sum *x)
{
    return (x->theirs ? x->theirs->length : 0) + x->yours.n;
}

static int sum_fits(const struct model *m, const struct sum *x)
{
    size_t n = sum_length(x);

    return n + (n < PACKED_SHORT ? 1 : 3) > m->limits.value_bytes
               ? CHOIR_OVER_LIMIT
               : 0;
}

/* What it was made from has to be there still, and to be its beginning. False:
 * it is not. */
static bool without_base(const struct model *m, const struct seen *s,
                         const struct m_key *k, struct bytes *yours)
{
    uint64_t base = msg_u(s->op, FIELD_IF_REVISION);
    const struct m_version *v = key_at(k, base);

    if (!v || v->revision != base || v->deleted ||
        !model_holds(m, k, v, s->index) || version_is_erased(m, v) ||
        !bytes_start_with(*yours, bytes_of(v->list, v->length)))
        return false;
    *yours = bytes_of(yours->p + v->length, yours->n - v->length);
    return true;
}

/* A put that replaces what is there has nothing to be merged with. */
static int put_sum(struct model *m, const struct seen *s, struct sum *x)
{
    struct bytes key = msg_b(s->op, FIELD_KEY);
    const struct m_key *k = model_key(m, key);
    uint64_t now = key_revision(k), base = msg_u(s->op, FIELD_IF_REVISION);
    bool has_base = msg_has(s->op, FIELD_IF_REVISION);

    *x = (struct sum){.yours = elements(seen_value(s, 0))};
    if (has_base && (!m->appends || !base || !now || base == now))
        return base == now ? 0 : seen_conflict(m, s, key, now);
    if (!m->appends)
        return 0;
    x->theirs = version_now(k);
    if (version_is_erased(m, x->theirs) ||
        (has_base && !without_base(m, s, k, &x->yours)))
        return seen_conflict(m, s, key, now);
    return sum_fits(m, x);
}

int list_expect(struct model *m, const struct seen *s)
{
    struct sum x;

    return put_sum(m, s, &x);
}

static void sum_write(struct model *m, const struct seen *s,
                      const struct sum *x, bool own_slot)
{
    size_t n = sum_length(x), theirs = x->theirs ? x->theirs->length : 0;
    uint8_t packed[DRAFT_VALUE];
    size_t head = head_write(packed, n);
    struct m_version v = {
        .revision = s->index,
        .slot = own_slot ? 0 : SLOT_EFFECT,
        .due = msg_has(s->op, FIELD_TTL_MS)
                   ? s->time + msg_u(s->op, FIELD_TTL_MS) * 1000
                   : 0,
        .token = msg_u(s->op, FIELD_TOKEN),
        .list = malloc(n + 1),
        .length = n,
    };

    if (!v.list)
        abort();
    if (theirs)
        memcpy(v.list, x->theirs->list, theirs);
    if (x->yours.n)
        memcpy(v.list + theirs, x->yours.p, x->yours.n);
    memcpy(packed + head, v.list, n);
    v.value = model_hash(bytes_of(packed, head + n));
    if (msg_has(s->effect, FIELD_SLOTS) == own_slot)
        model_says(m, "what was merged stands where it should not");
    key_write(model_key(m, msg_b(s->op, FIELD_KEY)), v);
}

/* If just what was said comes of it, it stands as it was said. */
void list_put(struct model *m, const struct seen *s)
{
    struct bytes said = elements(seen_value(s, 0));
    struct sum x;
    bool is_same;

    put_sum(m, s, &x);
    is_same = sum_length(&x) == said.n &&
              (!x.theirs || bytes_start_with(said, bytes_of(x.theirs->list,
                                                            x.theirs->length)));
    sum_write(m, s, &x, is_same);
}

/* --- Appending ------------------------------------------------------------ */

static struct sum append_sum(struct model *m, const struct seen *s)
{
    return (struct sum){
        .theirs = version_now(model_key(m, msg_b(s->op, FIELD_KEY))),
        .yours = seen_value(s, 0),
    };
}

static int expect_append(struct model *m, const struct seen *s)
{
    struct sum x = append_sum(m, s);
    int r = seen_values(m, s);

    if (!r)
        r = seen_write(m, s);
    if (!r && version_is_erased(m, x.theirs))
        r = seen_conflict(m, s, msg_b(s->op, FIELD_KEY), x.theirs->revision);
    return r ? r : sum_fits(m, &x);
}

static void appended(struct model *m, const struct seen *s)
{
    struct sum x = append_sum(m, s);

    sum_write(m, s, &x, false);
}

/* --- The policy ----------------------------------------------------------- */

static int expect_policy(struct model *m, const struct seen *s)
{
    if (!model_may(m, s->agent, RIGHT_ADMIN))
        return CHOIR_DENIED;
    return msg_u(s->op, FIELD_RULE) == RULE_NONE && !m->appends
               ? CHOIR_NOT_FOUND
               : CHOIR_OK;
}

static void policy_is_set(struct model *m, const struct seen *s)
{
    m->appends = msg_u(s->op, FIELD_RULE) == RULE_APPEND;
}

const struct verb verbs_lists[] = {
    {MSG_APPEND, 6, draft_append, expect_append, appended},
    {MSG_POLICY, 1, draft_policy, expect_policy, policy_is_set},
    {0, 0, NULL, NULL, NULL},
};
