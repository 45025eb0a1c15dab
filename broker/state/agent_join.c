/* Invitations that are still open, and operation ids that are still kept. */
#include <errno.h>
#include <stdlib.h>

#include "agent_inside.h"
#include "handle.h"
#include "item.h"
#include "proto/refusal.h"

/* --- Invitations --------------------------------------------------------- */

/* The grants count by their hash, so that an item has a bound. Its record has
 * them behind it. */
static void invite_item(struct item *it, const struct invite *v)
{
    struct hash grants = hash_of(HASH_STATE, buf_bytes(&v->grants));

    item_begin(it, ITEM_INVITE);
    item_u64(it, v->index);
    item_put(it, curve_bytes(v->curve_key));
    item_u64(it, v->uses_left);
    item_u64(it, v->expires);
    item_u64(it, v->grant_count);
    item_hash(it, &grants);
}

static void invite_free(struct invite *v)
{
    buf_free(&v->grants);
    free(v);
}

void invites_free(struct agents *a)
{
    struct index_cursor at;
    struct index_key *k;

    if (a->invite_by_index) {
        index_seek(a->invite_by_index, &at, NULL, 0);
        while ((k = index_next(&at)))
            invite_free(index_item(k, struct handle, key)->thing);
    }
    handles_destroy(&a->invite_by_index);
    handles_destroy(&a->invite_by_curve);
}

struct invite *invite_by_curve(const struct agents *a, const uint8_t *curve_key)
{
    return handle_find(a->invite_by_curve, curve_bytes(curve_key));
}

struct invite *invite_by_index(const struct agents *a, uint64_t index)
{
    struct number_key key = number_key(index);

    return handle_find(a->invite_by_index, number_bytes(&key));
}

/* v: owned by the agents on 0, else still the caller's. */
static int invite_enter(struct agents *a, struct invite *v)
{
    struct number_key index = number_key(v->index);
    struct item it;
    int r = handle_add(a->invite_by_curve, curve_bytes(v->curve_key), v);

    if (r)
        return r;
    r = handle_add(a->invite_by_index, number_bytes(&index), v);
    if (r) {
        handle_remove(a->invite_by_curve, curve_bytes(v->curve_key));
        return r;
    }
    if (v->expires < a->invite_earliest)
        a->invite_earliest = v->expires;
    invite_item(&it, v);
    item_add(a->digest, &it);
    return 0;
}

int invite_add(struct agents *a, uint64_t index, const uint8_t *curve_key,
               uint64_t uses, uint64_t expires, uint64_t grant_count,
               struct bytes grants)
{
    struct invite *v;
    int r;

    if (uses == 0)
        return -EINVAL;
    v = calloc(1, sizeof(*v));
    if (!v)
        return -ENOMEM;
    v->index = index;
    memcpy(v->curve_key, curve_key, KEY_CURVE_BYTES);
    v->uses_left = uses;
    v->expires = expires;
    v->grant_count = grant_count;
    buf_put(&v->grants, grants.p, grants.n);
    r = v->grants.failed ? -ENOMEM : invite_enter(a, v);
    if (r)
        invite_free(v);
    return r;
}

static void invite_forget(struct agents *a, struct invite *v)
{
    struct number_key index = number_key(v->index);
    struct item it;

    invite_item(&it, v);
    item_sub(a->digest, &it);
    handle_remove(a->invite_by_curve, curve_bytes(v->curve_key));
    handle_remove(a->invite_by_index, number_bytes(&index));
    invite_free(v);
}

void invite_use(struct agents *a, struct invite *invite)
{
    struct item it;

    if (invite->uses_left <= 1) {
        invite_forget(a, invite);
        return;
    }
    invite_item(&it, invite);
    item_sub(a->digest, &it);
    invite->uses_left--;
    invite_item(&it, invite);
    item_add(a->digest, &it);
}

/* The first that was made after `index`. */
static struct invite *invite_next(const struct agents *a, uint64_t index)
{
    struct number_key key = number_key(index);
    struct index_cursor at;
    struct index_key *k;

    index_seek(a->invite_by_index, &at, &key, sizeof(key));
    k = index_next(&at);
    return k ? index_item(k, struct handle, key)->thing : NULL;
}

void invites_forget(struct agents *a, uint64_t now)
{
    struct invite *v;
    uint64_t earliest = UINT64_MAX;

    if (now < a->invite_earliest)
        return;
    for (v = invite_next(a, 0); v;) {
        uint64_t index = v->index;

        if (v->expires <= now)
            invite_forget(a, v);
        else if (v->expires < earliest)
            earliest = v->expires;
        v = invite_next(a, index + 1);
    }
    a->invite_earliest = earliest;
}

uint64_t invites_earliest(const struct agents *a)
{
    return a->invite_earliest;
}

int invites_save(const struct agents *a, snapshot_sink put, void *to)
{
    struct buf record = {0};
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(a->invite_by_index, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        const struct invite *v = index_item(k, struct handle, key)->thing;
        struct item it;

        invite_item(&it, v);
        buf_clear(&record);
        buf_put(&record, it.b, it.n);
        buf_put(&record, v->grants.p, v->grants.n);
        r = record.failed ? -ENOMEM : put(to, buf_bytes(&record));
    }
    buf_free(&record);
    return r;
}

/* Are these really so many elements of FIELD_GRANTS? */
static bool grants_sound(uint64_t count, struct bytes grants)
{
    struct buf whole = {0};
    struct msg m;
    unsigned field;
    bool sound;

    msg_init(&m, MSG_EFFECT);
    msg_set_list(&m, FIELD_GRANTS, count, grants);
    msg_encode(&m, &whole);
    sound = !whole.failed &&
            part_decode(MSG_EFFECT, buf_bytes(&whole), &m, &field) == 0;
    buf_free(&whole);
    return sound;
}

int invite_load(struct agents *a, struct cursor *at)
{
    uint64_t index = cursor_u64(at);
    struct bytes curve_key = cursor_take(at, KEY_CURVE_BYTES), grants;
    uint64_t uses = cursor_u64(at), expires = cursor_u64(at);
    uint64_t grant_count = cursor_u64(at);
    struct hash said = {0}, hash;

    load_hash(at, &said);
    grants = cursor_take(at, cursor_left(at));
    if (!load_ended(at) || grants.n > LIMIT_HEAD_BYTES ||
        grant_count > LIMIT_LIST_ITEMS || !grants_sound(grant_count, grants))
        return CHOIR_MALFORMED;
    hash = hash_of(HASH_STATE, grants);
    if (!hash_equal(&said, &hash))
        return CHOIR_MALFORMED;
    return invite_add(a, index, curve_key.p, uses, expires, grant_count,
                      grants);
}

/* --- Operation ids ------------------------------------------------------- */

struct operation_id {
    uint64_t index;
    struct operation_id *newer;
    uint32_t agent;
    uint8_t outcome;
    struct index_key key; /* agent, big-endian, and the id itself */
};

enum { OPERATION_KEY_MAX = 4 + LIMIT_NAME_BYTES };

static size_t operation_key(uint8_t out[OPERATION_KEY_MAX], uint32_t agent,
                            struct bytes id)
{
    uint32_t be = htobe32(agent);

    if (id.n < 1 || id.n > LIMIT_NAME_BYTES)
        return 0;
    memcpy(out, &be, 4);
    memcpy(out + 4, id.p, id.n);
    return 4 + id.n;
}

static void operation_id_item(struct item *it, const struct operation_id *o)
{
    item_begin(it, ITEM_OPERATION_ID);
    item_u64(it, o->index);
    item_u32(it, o->agent);
    item_u8(it, o->outcome);
    item_put(it, bytes_of(o->key.bytes + 4, o->key.len - 4));
}

void operation_ids_free(struct agents *a)
{
    struct operation_id *o, *newer;

    for (o = a->oldest_id; o; o = newer) {
        newer = o->newer;
        free(o);
    }
    index_destroy(&a->operation_ids);
}

uint64_t operation_id_find(const struct agents *a, uint32_t agent,
                           struct bytes id, int *outcome)
{
    uint8_t key[OPERATION_KEY_MAX];
    size_t len = operation_key(key, agent, id);
    const struct operation_id *o =
        len ? index_item(index_find(a->operation_ids, key, len),
                         struct operation_id, key)
            : NULL;

    if (!o)
        return 0;
    if (outcome)
        *outcome = o->outcome;
    return o->index;
}

int operation_id_add(struct agents *a, uint32_t agent, struct bytes id,
                     uint64_t index, int outcome)
{
    uint8_t key[OPERATION_KEY_MAX];
    size_t len = operation_key(key, agent, id);
    struct operation_id *o;
    struct item it;
    int r;

    if (!len || outcome < 0 || outcome > UINT8_MAX ||
        (a->newest_id && index <= a->newest_id->index))
        return -EINVAL;
    o = malloc(sizeof(*o) + len);
    if (!o)
        return -ENOMEM;
    *o = (struct operation_id){.index = index,
                               .agent = agent,
                               .outcome = (uint8_t)outcome,
                               .key.len = (uint32_t)len};
    memcpy(o->key.bytes, key, len);
    r = index_insert(a->operation_ids, &o->key);
    if (r) {
        free(o);
        return r;
    }
    *(a->newest_id ? &a->newest_id->newer : &a->oldest_id) = o;
    a->newest_id = o;
    operation_id_item(&it, o);
    item_add(a->digest, &it);
    return 0;
}

void operation_ids_forget(struct agents *a, uint64_t index)
{
    struct operation_id *o;

    while ((o = a->oldest_id) && o->index <= index) {
        struct item it;

        operation_id_item(&it, o);
        item_sub(a->digest, &it);
        index_remove(a->operation_ids, o->key.bytes, o->key.len);
        a->oldest_id = o->newer;
        free(o);
    }
    if (!a->oldest_id)
        a->newest_id = NULL;
}

uint64_t operation_ids_oldest(const struct agents *a)
{
    return a->oldest_id ? a->oldest_id->index : 0;
}

int operation_ids_save(const struct agents *a, snapshot_sink put, void *to)
{
    int r = 0;

    for (const struct operation_id *o = a->oldest_id; !r && o; o = o->newer) {
        struct item it;

        operation_id_item(&it, o);
        r = put(to, item_record(&it));
    }
    return r;
}

int operation_id_load(struct agents *a, struct cursor *at)
{
    uint64_t index = cursor_u64(at);
    uint32_t agent = cursor_u32(at);
    uint8_t outcome = cursor_u8(at);
    struct bytes id = load_text(at, cursor_left(at), LIMIT_NAME_BYTES);

    if (!load_ended(at) || !agent_by_number(a, agent))
        return CHOIR_MALFORMED;
    return operation_id_add(a, agent, id, index, outcome);
}
