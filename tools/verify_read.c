/* Hashes are made many at once, of one kind after the other, because the
 * processor's lanes are filled that way: hash_many. */
#include "tools/verify_read.h"

#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"

/* Hashed side by side; what they take stands on the stack. */
enum { AT_ONCE = 64 };

void reading_clear(struct reading *r)
{
    r->group_count = r->bundle_count = r->entry_count = r->tree_count = 0;
}

void reading_free(struct reading *r)
{
    free(r->groups);
    free(r->bundles);
    free(r->entries);
    free(r->leaves);
    free(r->operations);
    *r = (struct reading){0};
}

/* Room for n elements in all. */
static int room(void **array, size_t *cap, size_t n, size_t bytes)
{
    size_t wanted = *cap ? *cap : 64;
    void *p;

    if (n <= *cap)
        return 0;
    while (wanted < n)
        wanted *= 2;
    p = reallocarray(*array, wanted, bytes);
    if (!p)
        return -ENOMEM;
    *array = p;
    *cap = wanted;
    return 0;
}

#define ROOM(array, cap, n) room((void **)&(array), &(cap), n, sizeof *(array))

int reading_add(struct reading *r, const struct group_header *header,
                const uint8_t *bytes, uint64_t offset)
{
    if (ROOM(r->groups, r->group_cap, r->group_count + 1))
        return -ENOMEM;
    if (r->group_count == 0)
        r->first = header->first;
    r->groups[r->group_count++] = (struct read_group){
        .header = *header,
        .bytes = bytes,
        .offset = offset,
    };
    return 0;
}

/* --- What it says -------------------------------------------------------- */

static bool group_fits(const struct read_group *g, struct bytes body)
{
    const uint8_t *end = body.p + body.n;
    size_t padding = (size_t)(g->bytes + group_bytes(&g->header) - end);

    return group_check_outline(&g->header, g->bytes, body) == 0 &&
           bytes_zero(bytes_of(end, padding));
}

static int bundle_keep(struct reading *r, const struct entry *e)
{
    const struct msg *m = &e->bundle;

    if (ROOM(r->bundles, r->bundle_cap, r->bundle_count + 1))
        return -ENOMEM;
    r->bundles[r->bundle_count++] = (struct read_bundle){
        .header = e->header,
        .public_key = msg_b(m, FIELD_PUBLIC_KEY),
        .signature = e->signature,
        .hash = e->bundle_hash,
        .ledger = msg_hash(m, FIELD_LEDGER),
        .agent = msg_hash(m, FIELD_AGENT),
        .prev_hash = msg_hash(m, FIELD_PREV_HASH),
        .root = msg_hash(m, FIELD_ROOT),
        .session = e->session,
        .first_seq = msg_u(m, FIELD_FIRST_SEQ),
        .epoch = msg_u(m, FIELD_EPOCH),
        .kind = msg_u(m, FIELD_KIND),
        .format = msg_u(m, FIELD_FORMAT),
        .first_entry = r->entry_count,
        .count = e->count,
    };
    return 0;
}

static uint32_t slots_there(struct bytes rows, struct bytes marks)
{
    uint32_t n = (uint32_t)(rows.n / SLOT_ROW_BYTES);

    for (size_t i = 0; i < marks.n; i++)
        n -= marks.p[i] != SLOT_KEPT;
    return n;
}

/* What was refused as unsupported may be anything; all else is decoded. */
static enum read_fault decoded(const struct entry *e,
                               const struct entry_decoded *d, uint8_t *verb)
{
    if (refusal_class(e->outcome) != REFUSAL_OUTCOME)
        return READ_OUTCOME;
    if (e->outcome == CHOIR_UNSUPPORTED)
        return READ_RIGHT;
    if (e->head.n == 0 || d->head_code)
        return READ_OPERATION;
    *verb = (uint8_t)d->head.verb;
    return e->effect.n && d->effect_code ? READ_EFFECT : READ_RIGHT;
}

static int entry_keep(struct reading *r, const struct entry *e,
                      const struct entry_decoded *d)
{
    struct read_entry *to;

    if (ROOM(r->entries, r->entry_cap, r->entry_count + 1))
        return -ENOMEM;
    to = &r->entries[r->entry_count++];
    *to = (struct read_entry){
        .head = e->head,
        .effect = e->effect,
        .rows = e->rows,
        .effect_rows = e->effect_rows,
        .payload = e->payload,
        .effect_payload = e->effect_payload,
        .marks = e->marks,
        .effect_marks = e->effect_marks,
        .payloads = slots_there(e->rows, e->marks) +
                    slots_there(e->effect_rows, e->effect_marks),
        .outcome = (uint8_t)e->outcome,
        .thin = entry_is_thin(e),
    };
    to->fault = (uint8_t)decoded(e, d, &to->verb);
    return 0;
}

static int group_walk_all(struct reading *r, struct read_group *g,
                          struct bytes body)
{
    const struct entry *e;
    struct entry_decoded d;
    struct group_walk walk;
    int code;

    g->first_bundle = r->bundle_count;
    group_walk_begin(&walk, &g->header, body);
    walk.decoded = &d;
    while ((code = group_walk_next(&walk, &e)) == 0) {
        if (e->position == 0 && bundle_keep(r, e))
            return -ENOMEM;
        if (entry_keep(r, e, &d))
            return -ENOMEM;
        g->entries++;
    }
    g->bundles = r->bundle_count - g->first_bundle;
    g->whole = code == CHOIR_NOT_FOUND && g->entries == g->header.count;
    return 0;
}

static int groups_walk(struct reading *r)
{
    for (size_t i = 0; i < r->group_count; i++) {
        struct read_group *g = &r->groups[i];
        struct bytes body = bytes_of(
            g->bytes + GROUP_HEADER_BYTES,
            (size_t)(g->header.heads_bytes + group_stored(&g->header)));

        g->fits = group_fits(g, body);
        if (g->fits && group_walk_all(r, g, body))
            return -ENOMEM;
        if (!g->fits || !g->whole)
            return 0;
    }
    return 0;
}

/* --- Payloads ------------------------------------------------------------ */

struct slots {
    struct hash_job jobs[AT_ONCE];
    const uint8_t *stated[AT_ONCE];
    struct read_entry *of[AT_ONCE];
    size_t n;
};

static void slots_compare(struct slots *s)
{
    struct hash hashes[AT_ONCE];

    hash_many(HASH_SLOT, s->jobs, s->n, hashes);
    for (size_t i = 0; i < s->n; i++)
        if (memcmp(hashes[i].b, s->stated[i], HASH_BYTES) != 0)
            s->of[i]->fault = READ_SLOTS;
    s->n = 0;
}

static void slots_add(struct slots *s, struct read_entry *e, struct bytes rows,
                      struct bytes payload, struct bytes marks)
{
    struct cursor c = cursor_of(payload);

    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++) {
        const uint8_t *row = rows.p + i * SLOT_ROW_BYTES;

        if (marks.n && marks.p[i] != SLOT_KEPT)
            continue;
        s->stated[s->n] = row + 4;
        s->of[s->n] = e;
        s->jobs[s->n++] = (struct hash_job){
            .a = cursor_take(&c, SLOT_SALT_BYTES + (size_t)get_u32(row)),
        };
        if (s->n == AT_ONCE)
            slots_compare(s);
    }
    if (c.failed || cursor_left(&c))
        e->fault = READ_SLOTS;
}

static void payloads_check(struct reading *r)
{
    struct slots s = {.n = 0};

    for (size_t i = 0; i < r->entry_count; i++) {
        struct read_entry *e = &r->entries[i];

        slots_add(&s, e, e->rows, e->payload, e->marks);
        slots_add(&s, e, e->effect_rows, e->effect_payload, e->effect_marks);
    }
    slots_compare(&s);
}

/* --- Trees --------------------------------------------------------------- */

static void operations_hash(struct reading *r)
{
    struct hash_job jobs[AT_ONCE];

    for (size_t at = 0, n; at < r->entry_count; at += n) {
        n = r->entry_count - at < AT_ONCE ? r->entry_count - at : AT_ONCE;
        for (size_t i = 0; i < n; i++)
            jobs[i] = (struct hash_job){.a = r->entries[at + i].head};
        hash_many(HASH_OP, jobs, n, r->operations + at);
    }
}

/* Leaves are made many at once, of whatever bundles they are. */
struct leaves {
    struct leaf_of of[AT_ONCE];
    size_t n;
    struct hash *to; /* where the next ones go */
};

static void leaves_make(struct leaves *l)
{
    if (!l->n)
        return; /* and no room was made */
    entry_leaves(l->of, l->n, l->to);
    l->to += l->n;
    l->n = 0;
}

static void leaves_of_bundle(const struct reading *r, struct leaves *l,
                             const struct read_group *g,
                             const struct read_bundle *b)
{
    size_t left = r->entry_count - b->first_entry;
    uint32_t n = b->count < left ? b->count : (uint32_t)left;

    for (uint32_t i = 0; i < n; i++) {
        const struct read_entry *e = &r->entries[b->first_entry + i];

        l->of[l->n++] = (struct leaf_of){
            .index = r->first + b->first_entry + i,
            .time = g->header.time,
            .session = b->session,
            .seq = b->first_seq + i,
            .agent = &b->agent,
            .bundle = &b->hash,
            .operation = &r->operations[b->first_entry + i],
            .effect = e->effect,
            .position = i,
            .outcome = e->outcome,
        };
        if (l->n == AT_ONCE)
            leaves_make(l);
    }
}

static void leaves_hash(struct reading *r)
{
    struct leaves l = {.n = 0, .to = r->leaves};

    for (size_t i = 0; i < r->group_count; i++)
        for (size_t k = 0; k < r->groups[i].bundles; k++)
            leaves_of_bundle(r, &l, &r->groups[i],
                             &r->bundles[r->groups[i].first_bundle + k]);
    leaves_make(&l);
}

/* Of a bundle whose group ends too early nobody asks. Operations are lost. */
static void bundles_fit(struct reading *r)
{
    for (size_t i = 0; i < r->bundle_count; i++) {
        struct read_bundle *b = &r->bundles[i];
        struct hash root;

        if (b->first_entry + b->count > r->entry_count)
            continue;
        root = merkle_shrink(r->operations + b->first_entry, b->count);
        b->fits = hash_equal(&root, &b->root);
    }
}

/* As few subtrees as make up the leaves that there are. */
static void trees_build(struct reading *r)
{
    struct subtree gap[MERKLE_GAP_MAX];
    const struct hash *leaf = r->leaves;

    r->tree_count = merkle_gap(r->first, r->first + r->entry_count, gap);
    for (size_t i = 0; i < r->tree_count; i++) {
        struct frontier tree;

        frontier_init(&tree);
        while (tree.size < UINT64_C(1) << gap[i].level)
            frontier_add(&tree, *leaf++);
        r->trees[i] = (struct read_tree){gap[i], frontier_root(&tree)};
    }
}

int reading_run(struct reading *r)
{
    if (groups_walk(r) || ROOM(r->leaves, r->leaf_cap, r->entry_count) ||
        ROOM(r->operations, r->operation_cap, r->entry_count))
        return -ENOMEM;
    payloads_check(r);
    operations_hash(r);
    leaves_hash(r);
    bundles_fit(r);
    trees_build(r);
    return 0;
}

void reading_entry(const struct reading *r, size_t i, struct entry *out)
{
    const struct read_entry *e = &r->entries[i];

    out->index = r->first + i;
    out->outcome = e->outcome;
    out->head = e->head;
    out->effect = e->effect;
    out->rows = e->rows;
    out->effect_rows = e->effect_rows;
    out->payload = e->payload;
    out->effect_payload = e->effect_payload;
    out->marks = e->marks;
    out->effect_marks = e->effect_marks;
    out->hider = NULL;
}
