/* An ordered index of spaces, and in each one of prefixes; and how many there
 * are of each length, so that only lengths that occur are looked for. */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>

#include "index.h"
#include "item.h"
#include "proto/refusal.h"

struct row {
    enum merge_rule rule;
    struct index_key prefix;
};

struct place {
    struct index *rows;
    uint16_t lengths[LIMIT_KEY_BYTES + 1]; /* rows of each */
    size_t longest;                        /* that there ever was */
    struct index_key space;
};

struct policies {
    struct digest *digest; /* borrowed */
    struct index *places;
};

static struct bytes key_bytes(const struct index_key *k)
{
    return bytes_of(k->bytes, k->len);
}

static void row_item(struct item *it, const struct place *p,
                     const struct row *row)
{
    item_begin(it, ITEM_POLICY);
    item_u8(it, (uint8_t)row->rule);
    item_name(it, key_bytes(&p->space));
    item_put(it, key_bytes(&row->prefix));
}

static struct place *place_of(const struct policies *p, struct bytes space)
{
    return index_item(index_find(p->places, space.p, space.n), struct place,
                      space);
}

static struct row *row_at(const struct place *place, struct bytes prefix)
{
    return index_item(index_find(place->rows, prefix.p, prefix.n), struct row,
                      prefix);
}

static void place_free(struct place *place)
{
    struct index_cursor at;
    struct index_key *k;

    index_seek(place->rows, &at, NULL, 0);
    while ((k = index_next(&at)))
        free(index_item(k, struct row, prefix));
    index_destroy(&place->rows);
    free(place);
}

static int place_make(struct policies *p, struct bytes space,
                      struct place **out)
{
    struct place *place = place_of(p, space);
    int r;

    *out = place;
    if (place)
        return 0;
    place = calloc(1, sizeof *place + space.n);
    if (!place)
        return -ENOMEM;
    place->space.len = (uint32_t)space.n;
    memcpy(place->space.bytes, space.p, space.n);
    place->rows = index_new();
    r = place->rows ? index_insert(p->places, &place->space) : -ENOMEM;
    if (r) {
        index_destroy(&place->rows);
        free(place);
        return r;
    }
    *out = place;
    return 0;
}

struct policies *policies_new(struct digest *digest)
{
    struct policies *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->digest = digest;
    p->places = index_new();
    if (!p->places)
        policies_destroy(&p);
    return p;
}

void policies_destroy(struct policies **self_p)
{
    struct index_cursor at;
    struct index_key *k;

    if (!self_p || !*self_p)
        return;
    if ((*self_p)->places) {
        index_seek((*self_p)->places, &at, NULL, 0);
        while ((k = index_next(&at)))
            place_free(index_item(k, struct place, space));
    }
    index_destroy(&(*self_p)->places);
    free(*self_p);
    *self_p = NULL;
}

enum merge_rule policy_of(const struct policies *p, struct bytes space,
                          struct bytes key)
{
    const struct place *place;
    size_t n;

    if (index_count(p->places) == 0)
        return RULE_NONE;
    place = place_of(p, space);
    if (!place)
        return RULE_NONE;
    n = key.n < place->longest ? key.n : place->longest;
    for (n++; n-- > 0;) {
        const struct row *row =
            place->lengths[n] ? row_at(place, bytes_of(key.p, n)) : NULL;

        if (row)
            return row->rule;
    }
    return RULE_NONE;
}

enum merge_rule policy_at(const struct policies *p, struct bytes space,
                          struct bytes prefix)
{
    const struct place *place = place_of(p, space);
    const struct row *row = place ? row_at(place, prefix) : NULL;

    return row ? row->rule : RULE_NONE;
}

bool policies_any(const struct policies *p)
{
    return index_count(p->places) != 0;
}

size_t policies_count(const struct policies *p, struct bytes space)
{
    const struct place *place = place_of(p, space);

    return place ? index_count(place->rows) : 0;
}

bool policies_next(const struct policies *p, struct bytes space,
                   struct bytes after, struct bytes *prefix,
                   enum merge_rule *rule)
{
    const struct place *place = place_of(p, space);
    struct index_cursor at;
    struct index_key *k;

    if (!place)
        return false;
    index_seek(place->rows, &at, after.p, after.n);
    k = index_next(&at);
    if (k && after.p && bytes_equal(key_bytes(k), after))
        k = index_next(&at);
    if (!k)
        return false;
    *prefix = key_bytes(k);
    *rule = index_item(k, struct row, prefix)->rule;
    return true;
}

/* --- Changes ------------------------------------------------------------- */

static void row_enter(struct policies *p, const struct place *place,
                      const struct row *row)
{
    struct item it;

    row_item(&it, place, row);
    item_add(p->digest, &it);
}

static void row_leave(struct policies *p, const struct place *place,
                      const struct row *row)
{
    struct item it;

    row_item(&it, place, row);
    item_sub(p->digest, &it);
}

/* A space without rows is as good as none: it costs its puts nothing. */
static void row_drop(struct policies *p, struct place *place, struct row *row)
{
    row_leave(p, place, row);
    place->lengths[row->prefix.len]--;
    index_remove(place->rows, row->prefix.bytes, row->prefix.len);
    free(row);
    if (index_count(place->rows))
        return;
    index_remove(p->places, place->space.bytes, place->space.len);
    place_free(place);
}

static int row_make(struct place *place, struct bytes prefix, struct row **out)
{
    struct row *row = malloc(sizeof *row + prefix.n);
    int r;

    if (!row)
        return -ENOMEM;
    row->prefix.len = (uint32_t)prefix.n;
    if (prefix.n)
        memcpy(row->prefix.bytes, prefix.p, prefix.n);
    r = index_insert(place->rows, &row->prefix);
    if (r) {
        free(row);
        return r;
    }
    place->lengths[prefix.n]++;
    if (prefix.n > place->longest)
        place->longest = prefix.n;
    *out = row;
    return 0;
}

static int row_set(struct policies *p, struct bytes space, struct bytes prefix,
                   enum merge_rule rule)
{
    struct place *place;
    struct row *row;
    int r = place_make(p, space, &place);

    if (r)
        return r;
    row = row_at(place, prefix);
    if (row)
        row_leave(p, place, row);
    else
        r = row_make(place, prefix, &row);
    if (r)
        return r;
    row->rule = rule;
    row_enter(p, place, row);
    return 0;
}

static bool names_fit(struct bytes space, struct bytes prefix)
{
    return space.n >= 1 && space.n <= LIMIT_NAME_BYTES &&
           prefix.n <= LIMIT_KEY_BYTES;
}

int policy_set(struct policies *p, struct bytes space, struct bytes prefix,
               enum merge_rule rule)
{
    struct place *place;
    struct row *row;

    if (!names_fit(space, prefix) || rule >= RULE_END)
        return -EINVAL;
    if (rule != RULE_NONE)
        return row_set(p, space, prefix, rule);
    place = place_of(p, space);
    row = place ? row_at(place, prefix) : NULL;
    if (row)
        row_drop(p, place, row);
    return 0;
}

/* --- Saving -------------------------------------------------------------- */

static int place_save(const struct place *place, policies_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(place->rows, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        row_item(&it, place, index_item(k, struct row, prefix));
        r = put(to, item_record(&it));
    }
    return r;
}

int policies_save(const struct policies *p, policies_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(p->places, &at, NULL, 0);
    while (!r && (k = index_next(&at)))
        r = place_save(index_item(k, struct place, space), put, to);
    return r;
}

int policies_load(struct policies *p, struct bytes record)
{
    struct cursor at = cursor_of(record);
    struct bytes space, prefix;
    unsigned rule;

    if (cursor_u8(&at) != ITEM_POLICY)
        return CHOIR_MALFORMED;
    rule = cursor_u8(&at);
    space = load_name(&at, LIMIT_NAME_BYTES);
    prefix = cursor_take(&at, cursor_left(&at));
    if (!load_ended(&at) || prefix.n > LIMIT_KEY_BYTES || !bytes_utf8(prefix) ||
        rule == RULE_NONE || rule >= RULE_END ||
        policy_at(p, space, prefix) != RULE_NONE)
        return CHOIR_MALFORMED;
    return row_set(p, space, prefix, (enum merge_rule)rule);
}
