/* Agents, their grants, and the one function that decides. Invitations and
 * operation ids are in agent_join.c. */
#include "agent.h"

#include <errno.h>
#include <stdlib.h>

#include "agent_inside.h"
#include "handle.h"
#include "item.h"
#include "proto/refusal.h"

static void agent_item(struct item *it, const struct agent *g)
{
    item_begin(it, ITEM_AGENT);
    item_u32(it, g->number);
    item_hash(it, &g->id);
    item_put(it, bytes_of(g->public_key, KEY_PUBLIC_BYTES));
    item_put(it, curve_bytes(g->curve_key));
    item_u64(it, g->enrolled);
    item_u64(it, g->revoked);
    item_name(it, bytes_text(g->name));
}

static void grant_item(struct item *it, uint32_t agent, const struct grant *g)
{
    item_begin(it, ITEM_GRANT);
    item_u32(it, agent);
    item_u32(it, g->rights);
    item_u8(it, g->queue);
    item_u8(it, g->prefix);
    item_name(it, bytes_text(g->space));
    item_put(it, bytes_text(g->scope));
}

static void agent_free(struct agent *agent)
{
    for (size_t i = 0; i < agent->grant_count; i++)
        free(agent->grants[i].scope);
    free(agent->grants);
    agent_keys_free(agent);
    free(agent);
}

struct agents *agents_new(struct digest *digest)
{
    struct agents *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->digest = digest;
    a->invite_earliest = UINT64_MAX;
    a->by_id = index_new();
    a->by_name = index_new();
    a->by_curve = index_new();
    a->invite_by_curve = index_new();
    a->invite_by_index = index_new();
    a->operation_ids = index_new();
    if (!a->by_id || !a->by_name || !a->by_curve || !a->invite_by_curve ||
        !a->invite_by_index || !a->operation_ids)
        agents_destroy(&a);
    return a;
}

void agents_destroy(struct agents **self_p)
{
    struct agents *a = self_p ? *self_p : NULL;

    if (!a)
        return;
    for (size_t i = 0; i < a->count; i++)
        agent_free(a->by_number[i]);
    free(a->by_number);
    handles_destroy(&a->by_id);
    handles_destroy(&a->by_name);
    handles_destroy(&a->by_curve);
    invites_free(a);
    operation_ids_free(a);
    free(a);
    *self_p = NULL;
}

size_t agents_count(const struct agents *a)
{
    return a->count;
}

struct agent *agent_by_number(const struct agents *a, uint32_t number)
{
    return number == AGENT_NONE || number > a->count ? NULL
                                                     : a->by_number[number - 1];
}

struct agent *agent_by_id(const struct agents *a, const struct hash *id)
{
    return handle_find(a->by_id, hash_bytes(id));
}

struct agent *agent_by_name(const struct agents *a, struct bytes name)
{
    return handle_find(a->by_name, name);
}

struct agent *agent_by_curve(const struct agents *a, const uint8_t *curve_key)
{
    return handle_find(a->by_curve, curve_bytes(curve_key));
}

/* --- What an agent may --------------------------------------------------- */

static bool grant_reaches(const struct grant *g, struct bytes key,
                          struct bytes queue)
{
    if (g->queue)
        return queue.p && bytes_equal(queue, bytes_text(g->scope));
    if (g->prefix)
        return key.p && bytes_start_with(key, bytes_text(g->scope));
    return true;
}

static bool grant_in_space(const struct grant *g, struct bytes space)
{
    return strcmp(g->space, "*") == 0 ||
           bytes_equal(space, bytes_text(g->space));
}

bool agent_may(const struct agent *a, enum right right, struct bytes space,
               struct bytes key, struct bytes queue)
{
    if (!a || a->revoked)
        return false;
    for (size_t i = 0; i < a->grant_count; i++) {
        const struct grant *g = &a->grants[i];

        if ((g->rights & (unsigned)right) && grant_in_space(g, space) &&
            grant_reaches(g, key, queue))
            return true;
    }
    return false;
}

/* Keys that begin with a prefix are neighbours: who is behind it and not among
 * them is behind them all. */
bool agent_may_behind(const struct agent *a, enum right right,
                      struct bytes space, struct bytes key, struct bytes *scope)
{
    bool found = false;

    for (size_t i = 0; a && !a->revoked && i < a->grant_count; i++) {
        const struct grant *g = &a->grants[i];
        struct bytes prefix = bytes_text(g->scope);

        if (!g->prefix || !(g->rights & (unsigned)right) ||
            !grant_in_space(g, space) ||
            index_compare(prefix.p, prefix.n, key.p, key.n) <= 0 ||
            (found &&
             index_compare(prefix.p, prefix.n, scope->p, scope->n) >= 0))
            continue;
        *scope = prefix;
        found = true;
    }
    return found;
}

bool agent_may_somewhere(const struct agent *a, enum right right)
{
    if (!a || a->revoked)
        return false;
    for (size_t i = 0; i < a->grant_count; i++) {
        if (a->grants[i].rights & (unsigned)right)
            return true;
    }
    return false;
}

bool agent_belongs(const struct agent *a, struct bytes space)
{
    if (!a || a->revoked)
        return false;
    for (size_t i = 0; i < a->grant_count; i++) {
        if (a->grants[i].rights && grant_in_space(&a->grants[i], space))
            return true;
    }
    return false;
}

/* --- Changes ------------------------------------------------------------- */

static int agents_room(struct agents *a)
{
    size_t cap = a->cap ? a->cap * 2 : 16;
    struct agent **more;

    if (a->count < a->cap)
        return 0;
    more = reallocarray(a->by_number, cap, sizeof(struct agent *));
    if (!more)
        return -ENOMEM;
    a->by_number = more;
    a->cap = cap;
    return 0;
}

/* In all three indexes, or in none. */
static int agent_index(struct agents *a, struct agent *agent)
{
    struct bytes id = hash_bytes(&agent->id), name = bytes_text(agent->name);
    int r = handle_add(a->by_id, id, agent);

    if (r)
        return r;
    r = handle_add(a->by_name, name, agent);
    if (!r) {
        r = handle_add(a->by_curve, curve_bytes(agent->curve_key), agent);
        if (r)
            handle_remove(a->by_name, name);
    }
    if (r)
        handle_remove(a->by_id, id);
    return r;
}

/* agent: owned by the agents on 0, else still the caller's. */
static int agent_enter(struct agents *a, struct agent *agent)
{
    struct item it;
    int r = agents_room(a);

    if (!r)
        r = agent_index(a, agent);
    if (r)
        return r;
    a->by_number[a->count++] = agent;
    agent->number = (uint32_t)a->count;
    agent_item(&it, agent);
    item_add(a->digest, &it);
    return 0;
}

static int agent_make(struct agents *a, struct bytes name,
                      const uint8_t *public_key, const uint8_t *curve_key,
                      uint64_t enrolled, uint64_t revoked)
{
    struct agent *agent;
    int r;

    if (name.n < 1 || name.n > LIMIT_NAME_BYTES)
        return -EINVAL;
    agent = calloc(1, sizeof(*agent));
    if (!agent)
        return -ENOMEM;
    agent->id = agent_id(public_key);
    memcpy(agent->public_key, public_key, KEY_PUBLIC_BYTES);
    memcpy(agent->curve_key, curve_key, KEY_CURVE_BYTES);
    memcpy(agent->name, name.p, name.n);
    agent->enrolled = enrolled;
    agent->revoked = revoked;
    r = agent_enter(a, agent);
    if (r)
        agent_free(agent);
    return r;
}

int agent_enrol(struct agents *a, uint64_t index, struct bytes name,
                const uint8_t *public_key, const uint8_t *curve_key)
{
    return agent_make(a, name, public_key, curve_key, index, 0);
}

void agent_revoke(struct agents *a, struct agent *agent, uint64_t index)
{
    struct item it;

    agent_item(&it, agent);
    item_sub(a->digest, &it);
    agent->revoked = index;
    agent_item(&it, agent);
    item_add(a->digest, &it);
}

/* A grant as it is named: by its place. The scope is borrowed. */
struct grant_row {
    struct bytes space, scope;
    bool queue, prefix;
    unsigned rights;
};

static bool grant_is_at(const struct grant *g, const struct grant_row *row)
{
    return g->queue == row->queue && g->prefix == row->prefix &&
           bytes_equal(bytes_text(g->space), row->space) &&
           bytes_equal(bytes_text(g->scope), row->scope);
}

static struct grant *grant_find(const struct agent *agent,
                                const struct grant_row *row)
{
    for (size_t i = 0; i < agent->grant_count; i++) {
        if (grant_is_at(&agent->grants[i], row))
            return &agent->grants[i];
    }
    return NULL;
}

static int grant_add(struct agents *a, struct agent *agent,
                     const struct grant_row *row)
{
    struct grant *more, *g;
    struct item it;

    more = reallocarray(agent->grants, agent->grant_count + 1, sizeof(*more));
    if (!more)
        return -ENOMEM;
    agent->grants = more;
    g = &more[agent->grant_count];
    *g = (struct grant){
        .queue = row->queue, .prefix = row->prefix, .rights = row->rights};
    memcpy(g->space, row->space.p, row->space.n);
    g->scope = calloc(1, row->scope.n + 1);
    if (!g->scope)
        return -ENOMEM;
    if (row->scope.n)
        memcpy(g->scope, row->scope.p, row->scope.n);
    agent->grant_count++;
    grant_item(&it, agent->number, g);
    item_add(a->digest, &it);
    return 0;
}

static void grant_remove(struct agent *agent, struct grant *g)
{
    size_t after = agent->grant_count - (size_t)(g - agent->grants) - 1;

    free(g->scope);
    memmove(g, g + 1, after * sizeof(*g));
    agent->grant_count--;
}

static int grant_set(struct agents *a, struct agent *agent,
                     const struct grant_row *row)
{
    struct grant *g = grant_find(agent, row);
    struct item it;

    if (!g)
        return row->rights ? grant_add(a, agent, row) : 0;
    grant_item(&it, agent->number, g);
    item_sub(a->digest, &it);
    if (row->rights == 0) {
        grant_remove(agent, g);
        return 0;
    }
    g->rights = row->rights;
    grant_item(&it, agent->number, g);
    item_add(a->digest, &it);
    return 0;
}

int agent_grant(struct agents *a, struct agent *agent, struct list grants)
{
    struct msg m;
    int r = 0;

    while (!r && list_next(&grants, &m)) {
        struct grant_row row = {
            .space = msg_b(&m, FIELD_SPACE),
            .queue = msg_has(&m, FIELD_QUEUE),
            .prefix = msg_has(&m, FIELD_PREFIX),
            .rights = (unsigned)msg_u(&m, FIELD_RIGHTS),
        };

        if (row.space.n < 1 || (row.queue && row.prefix))
            return -EINVAL;
        row.scope = msg_b(&m, row.queue ? FIELD_QUEUE : FIELD_PREFIX);
        r = grant_set(a, agent, &row);
    }
    return r;
}

/* --- Snapshot ------------------------------------------------------------ */

static int grants_save(const struct agent *agent, snapshot_sink put, void *to)
{
    struct item it;
    int r = 0;

    for (size_t i = 0; !r && i < agent->grant_count; i++) {
        grant_item(&it, agent->number, &agent->grants[i]);
        r = put(to, item_record(&it));
    }
    return r;
}

int agents_save(const struct agents *a, snapshot_sink put, void *to)
{
    struct item it;
    int r = 0;

    for (size_t i = 0; !r && i < a->count; i++) {
        agent_item(&it, a->by_number[i]);
        r = put(to, item_record(&it));
    }
    for (size_t i = 0; !r && i < a->count; i++)
        r = grants_save(a->by_number[i], put, to);
    if (!r)
        r = invites_save(a, put, to);
    if (!r)
        r = operation_ids_save(a, put, to);
    return r ? r : agent_keys_save(a, put, to);
}

static int agent_load(struct agents *a, struct cursor *at)
{
    uint32_t number = cursor_u32(at);
    struct bytes id = cursor_take(at, HASH_BYTES);
    struct bytes public_key = cursor_take(at, KEY_PUBLIC_BYTES);
    struct bytes curve_key = cursor_take(at, KEY_CURVE_BYTES);
    uint64_t enrolled = cursor_u64(at), revoked = cursor_u64(at);
    struct bytes name = load_name(at, LIMIT_NAME_BYTES);
    struct hash wanted;
    int r;

    if (!load_ended(at) || number != a->count + 1)
        return CHOIR_MALFORMED;
    wanted = agent_id(public_key.p);
    if (!bytes_equal(id, hash_bytes(&wanted)))
        return CHOIR_MALFORMED;
    r = agent_make(a, name, public_key.p, curve_key.p, enrolled, revoked);
    if (!r) /* it may be another's by now: agents_load_end */
        handle_remove(a->by_curve, curve_key);
    return r;
}

static int grant_load(struct agents *a, struct cursor *at)
{
    struct agent *agent = agent_by_number(a, cursor_u32(at));
    struct grant_row row = {.rights = cursor_u32(at)};
    size_t left;

    row.queue = load_bool(at);
    row.prefix = load_bool(at);
    row.space = load_name(at, LIMIT_NAME_BYTES);
    left = cursor_left(at);
    if (left)
        row.scope = load_text(at, left, LIMIT_KEY_BYTES);
    if (!load_ended(at) || !agent || row.rights == 0 ||
        (row.queue && row.prefix) || (left && !row.queue && !row.prefix) ||
        grant_find(agent, &row))
        return CHOIR_MALFORMED;
    return grant_add(a, agent, &row);
}

int agents_load(struct agents *a, struct bytes record)
{
    struct cursor at = cursor_of(record);
    int r;

    switch (cursor_u8(&at)) {
    case ITEM_AGENT: r = agent_load(a, &at); break;
    case ITEM_GRANT: r = grant_load(a, &at); break;
    case ITEM_INVITE: r = invite_load(a, &at); break;
    case ITEM_OPERATION_ID: r = operation_id_load(a, &at); break;
    case ITEM_AGENT_KEY: r = agent_key_load(a, &at); break;
    default: return CHOIR_MALFORMED;
    }
    return r == -EEXIST || r == -EINVAL ? CHOIR_MALFORMED : r;
}

const struct agent *agents_next(const struct agents *a,
                                const struct agent *after)
{
    return agent_by_number(a, after ? after->number + 1 : 1);
}
