/* Keys of agents that have more than their first one, or whose first one has
 * ended. Most have one key all their life, and then nothing is kept here. */
#include <errno.h>
#include <stdlib.h>

#include "agent_inside.h"
#include "handle.h"
#include "item.h"
#include "proto/refusal.h"

/* Slots of records that are no keys of the agent's own. */
enum { SLOT_RECOVERY = 255 };

static void key_item(struct item *it, const struct agent *agent, unsigned slot)
{
    const struct agent_key *k = &agent->keys[slot];

    item_begin(it, ITEM_AGENT_KEY);
    item_u32(it, agent->number);
    item_u8(it, (uint8_t)slot);
    item_put(it, bytes_of(k->public_key, KEY_PUBLIC_BYTES));
    item_put(it, curve_bytes(k->curve_key));
    item_u64(it, k->from);
    item_u64(it, k->until);
    item_u64(it, k->suspect);
}

static void recovery_item(struct item *it, const struct agent *agent)
{
    item_begin(it, ITEM_AGENT_KEY);
    item_u32(it, agent->number);
    item_u8(it, SLOT_RECOVERY);
    item_put(it, bytes_of(agent->recovery, KEY_PUBLIC_BYTES));
}

void agent_keys_free(struct agent *agent)
{
    free(agent->keys);
    free(agent->recovery);
}

/* --- Looking --------------------------------------------------------------- */

int agent_key_slot(const struct agent *agent, const uint8_t *public_key)
{
    if (agent->key_count == 0)
        return memcmp(agent->public_key, public_key, KEY_PUBLIC_BYTES) == 0
                   ? 0
                   : -1;
    for (unsigned i = 0; i < agent->key_count; i++)
        if (memcmp(agent->keys[i].public_key, public_key, KEY_PUBLIC_BYTES) ==
            0)
            return (int)i;
    return -1;
}

const uint8_t *agent_key_valid(const struct agent *agent, unsigned slot)
{
    if (agent->revoked)
        return NULL;
    if (agent->key_count == 0)
        return slot == 0 ? agent->public_key : NULL;
    return slot < agent->key_count && agent->keys[slot].until == 0
               ? agent->keys[slot].public_key
               : NULL;
}

const uint8_t *agent_curve(const struct agent *agent, unsigned slot)
{
    return agent->key_count ? agent->keys[slot].curve_key : agent->curve_key;
}

unsigned agent_keys_valid(const struct agent *agent)
{
    unsigned n = 0;

    for (unsigned i = 0; i == 0 || i < agent->key_count; i++)
        n += agent_key_valid(agent, i) != NULL;
    return n;
}

/* --- Changes --------------------------------------------------------------- */

static struct agent_key *room(struct agent *agent)
{
    struct agent_key *more =
        reallocarray(agent->keys, agent->key_count + 1, sizeof *more);

    if (more)
        agent->keys = more;
    return more ? &more[agent->key_count] : NULL;
}

static void enter(struct agents *a, const struct agent *agent, unsigned slot)
{
    struct item it;

    key_item(&it, agent, slot);
    item_add(a->digest, &it);
}

static void leave(struct agents *a, const struct agent *agent, unsigned slot)
{
    struct item it;

    key_item(&it, agent, slot);
    item_sub(a->digest, &it);
}

/* The first key becomes one of several. */
static int first_keep(struct agents *a, struct agent *agent)
{
    struct agent_key *k;

    if (agent->key_count)
        return 0;
    k = room(agent);
    if (!k)
        return -ENOMEM;
    *k = (struct agent_key){.from = agent->enrolled};
    memcpy(k->public_key, agent->public_key, KEY_PUBLIC_BYTES);
    memcpy(k->curve_key, agent->curve_key, KEY_CURVE_BYTES);
    agent->key_count = 1;
    enter(a, agent, 0);
    return 0;
}

int agent_key_add(struct agents *a, struct agent *agent, uint64_t index,
                  const uint8_t *public_key, const uint8_t *curve_key)
{
    struct agent_key *k;
    int r = first_keep(a, agent);

    if (r)
        return r;
    k = room(agent);
    if (!k)
        return -ENOMEM;
    r = handle_add(a->by_curve, curve_bytes(curve_key), agent);
    if (r)
        return r;
    *k = (struct agent_key){.from = index};
    memcpy(k->public_key, public_key, KEY_PUBLIC_BYTES);
    memcpy(k->curve_key, curve_key, KEY_CURVE_BYTES);
    enter(a, agent, agent->key_count++);
    return 0;
}

int agent_key_end(struct agents *a, struct agent *agent, unsigned slot,
                  uint64_t index)
{
    int r = first_keep(a, agent);

    if (r)
        return r;
    leave(a, agent, slot);
    handle_remove(a->by_curve, curve_bytes(agent->keys[slot].curve_key));
    agent->keys[slot].until = index;
    enter(a, agent, slot);
    return 0;
}

int agent_curve_set(struct agents *a, struct agent *agent, unsigned slot,
                    const uint8_t *curve_key)
{
    int r = first_keep(a, agent);

    if (!r)
        r = handle_add(a->by_curve, curve_bytes(curve_key), agent);
    if (r)
        return r;
    leave(a, agent, slot);
    handle_remove(a->by_curve, curve_bytes(agent->keys[slot].curve_key));
    memcpy(agent->keys[slot].curve_key, curve_key, KEY_CURVE_BYTES);
    enter(a, agent, slot);
    return 0;
}

int agent_recovery_set(struct agents *a, struct agent *agent,
                       const uint8_t *public_key)
{
    struct item it;

    if (agent->recovery) {
        recovery_item(&it, agent);
        item_sub(a->digest, &it);
    } else {
        agent->recovery = malloc(KEY_PUBLIC_BYTES);
        if (!agent->recovery)
            return -ENOMEM;
    }
    memcpy(agent->recovery, public_key, KEY_PUBLIC_BYTES);
    recovery_item(&it, agent);
    item_add(a->digest, &it);
    return 0;
}

int agent_key_suspect(struct agents *a, struct agent *agent, unsigned slot,
                      uint64_t since)
{
    int r = first_keep(a, agent);

    if (r)
        return r;
    leave(a, agent, slot);
    agent->keys[slot].suspect = since;
    enter(a, agent, slot);
    return 0;
}

/* --- Snapshot -------------------------------------------------------------- */

int agent_keys_save(const struct agents *a, snapshot_sink put, void *to)
{
    struct item it;
    int r = 0;

    for (size_t i = 0; !r && i < a->count; i++) {
        const struct agent *agent = a->by_number[i];

        for (unsigned slot = 0; !r && slot < agent->key_count; slot++) {
            key_item(&it, agent, slot);
            r = put(to, item_record(&it));
        }
        if (!r && agent->recovery) {
            recovery_item(&it, agent);
            r = put(to, item_record(&it));
        }
    }
    return r;
}

/* The first one stands in the agent's own record already. */
static int slot_load(struct agents *a, struct agent *agent, unsigned slot,
                     const struct agent_key *k)
{
    struct agent_key *more;

    if (slot != agent->key_count || slot >= AGENT_KEYS_MAX ||
        (slot == 0 &&
         memcmp(k->public_key, agent->public_key, KEY_PUBLIC_BYTES) != 0))
        return CHOIR_MALFORMED;
    more = room(agent);
    if (!more)
        return -ENOMEM;
    *more = *k;
    enter(a, agent, agent->key_count++);
    return 0;
}

/* Whose CURVE key is whose today; one that was given up counts no more. */
int agents_load_end(struct agents *a)
{
    int r = 0;

    for (size_t i = 0; !r && i < a->count; i++) {
        struct agent *agent = a->by_number[i];

        for (unsigned slot = 0; !r && (slot == 0 || slot < agent->key_count);
             slot++)
            if (!agent->key_count || !agent->keys[slot].until)
                r = handle_add(a->by_curve,
                               curve_bytes(agent_curve(agent, slot)), agent);
    }
    return r == -EEXIST ? CHOIR_MALFORMED : r;
}

int agent_key_load(struct agents *a, struct cursor *at)
{
    struct agent *agent = agent_by_number(a, cursor_u32(at));
    uint8_t slot = cursor_u8(at);
    struct bytes public_key = cursor_take(at, KEY_PUBLIC_BYTES), curve;
    struct agent_key k;

    if (slot == SLOT_RECOVERY)
        return load_ended(at) && agent && !agent->recovery
                   ? agent_recovery_set(a, agent, public_key.p)
                   : CHOIR_MALFORMED;
    curve = cursor_take(at, KEY_CURVE_BYTES);
    k.from = cursor_u64(at);
    k.until = cursor_u64(at);
    k.suspect = cursor_u64(at);
    if (!load_ended(at) || !agent)
        return CHOIR_MALFORMED;
    memcpy(k.public_key, public_key.p, KEY_PUBLIC_BYTES);
    memcpy(k.curve_key, curve.p, KEY_CURVE_BYTES);
    return slot_load(a, agent, slot, &k);
}
