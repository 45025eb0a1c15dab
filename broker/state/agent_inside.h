/* What agent.c and agent_join.c share: the inside of struct agents. For them
 * alone. */
#ifndef CHOIR_BROKER_STATE_AGENT_INSIDE_H
#define CHOIR_BROKER_STATE_AGENT_INSIDE_H

#include "agent.h"
#include "index.h"

struct operation_id;

struct agents {
    struct digest *digest; /* borrowed */
    struct agent **by_number;
    size_t count, cap;
    struct index *by_id, *by_name, *by_curve;        /* handles of agents */
    struct index *invite_by_curve, *invite_by_index; /* of invites */
    uint64_t invite_earliest; /* no invite expires before that time */
    struct index *operation_ids;
    struct operation_id *oldest_id, *newest_id;
};

static inline struct bytes curve_bytes(const uint8_t *curve_key)
{
    return bytes_of(curve_key, KEY_CURVE_BYTES);
}

/* agent_keys.c and agent_join.c: each frees, saves and loads its share. */
void agent_keys_free(struct agent *agent);
int agent_keys_save(const struct agents *a, snapshot_sink put, void *to);
int agent_key_load(struct agents *a, struct cursor *at);

void invites_free(struct agents *a);
void operation_ids_free(struct agents *a);
int invites_save(const struct agents *a, snapshot_sink put, void *to);
int operation_ids_save(const struct agents *a, snapshot_sink put, void *to);
int invite_load(struct agents *a, struct cursor *at);
int operation_id_load(struct agents *a, struct cursor *at);

#endif
