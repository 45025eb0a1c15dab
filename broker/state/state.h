/* The projection: everything the broker knows that is not a value. Derived
 * from the ledger by evolve, rebuildable from it, and compared with it by its
 * digest.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_STATE_H
#define CHOIR_BROKER_STATE_STATE_H

#include "agent.h"
#include "compaction.h"
#include "context.h"
#include "erasing.h"
#include "erasure.h"
#include "mail.h"
#include "mark.h"
#include "policy.h"
#include "proto/merkle.h"
#include "proto/record.h"
#include "session.h"
#include "task.h"
#include "task_links.h"

/* Configuration that decides outcomes; a change of it is an entry.
 * X(name, default, unit) with the names of the configuration. */
#define RULES(X)                                  \
    X(value_bytes_max, 1048576, "bytes")          \
    X(queue_tasks_max, 100000, "tasks")           \
    X(tasks_per_agent_max, 100000, "tasks")       \
    X(leases_per_agent_max, 1024, "leases")       \
    X(sessions_per_agent_max, 256, "sessions")    \
    X(lease_ms_default, 30000, "ms")              \
    X(lease_ms_max, 86400000, "ms")               \
    X(max_attempts_default, 5, "attempts")        \
    X(backoff_ms_default, 1000, "ms")             \
    X(marks_per_agent_max, 10000, "marks")        \
    X(partials_per_task_max, 1000, "partials")    \
    X(queue_capability_sets_max, 64, "sets")      \
    X(policies_per_space_max, 256, "prefixes")    \
    X(messages_per_agent_max, 100000, "messages") \
    X(mailbox_messages_max, 10000, "messages")    \
    X(mailbox_bytes_max, 67108864, "bytes")       \
    X(topic_messages_max, 10000, "messages")

struct rules {
#define X(name, value, unit) uint64_t name;
    RULES(X)
#undef X
};

struct state {
    struct digest digest;
    struct hash ledger;
    uint64_t epoch;
    uint64_t epoch_began; /* entries there were when it did */
    uint64_t size;        /* entries evolved */
    uint64_t time;        /* of the last */
    struct frontier tree;
    struct rules rules;
    uint64_t broker_seq; /* the broker's own next number */
    struct hash broker_prev;
    uint64_t checkpoint; /* last checkpoint entry; 0: none */
    struct agents *agents;
    struct sessions *sessions;
    struct context *context;
    struct policies *policies;
    struct tasks *tasks;
    struct marks *marks;
    struct compaction *compaction;
    struct erasure *erasure;
    struct erasings *erasings;
    struct slot_hider hider; /* of what is in there */
    struct mail *mail;
};

/* NULL when out of memory. */
struct state *state_new(void);
void state_destroy(struct state **self_p);

/* Digest of everything above but the tree, which has its own root. */
struct hash state_digest(const struct state *s);

/* Where a message that names an agent or a topic goes. False: there is no such
 * agent. */
bool state_box(const struct state *s, struct bytes space, const struct msg *m,
               struct box_id *box);

/* For a snapshot: everything, as records, in an order that is a function of
 * the state alone (item.h has their kinds). Safe in a forked child. */
int state_save(const struct state *s, snapshot_sink put, void *to);
/* What comes before the keys, and behind them: the state's facts are the last.
 */
int state_save_before(const struct state *s, snapshot_sink put, void *to);
int state_save_behind(const struct state *s, snapshot_sink put, void *to);
/* And back, one by one into a new state. The last record completes it: size is
 * above 0 from then on, and what is charged to each agent was counted again.
 * 0; -ENOMEM; CHOIR_MALFORMED: then the state is good for nothing but
 * state_destroy. */
int state_load(struct state *s, struct bytes record);

#endif
