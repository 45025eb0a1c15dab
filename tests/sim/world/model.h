/* A second, simple-minded broker: it is shown the record entry by entry, says
 * which outcome each had to have, and knows what the shared state then is.
 *
 * What a verb means stands in one row of the table in verbs.h; a new verb is a
 * new row. */
#ifndef CHOIR_TESTS_SIM_MODEL_H
#define CHOIR_TESTS_SIM_MODEL_H

#include <stdbool.h>

#include "proto/merkle.h"
#include "proto/record.h"
#include "proto/refusal.h"
#include "proto/schema.h"

#define MODEL_ROOM(list, count, cap)                        \
    do {                                                    \
        if ((count) == (cap)) {                             \
            (cap) = (cap) ? 2 * (cap) : 64;                 \
            (list) = realloc(list, (cap) * sizeof *(list)); \
            if (!(list))                                    \
                abort();                                    \
        }                                                   \
    } while (0)

enum {
    MODEL_AGENTS = 8,
    MODEL_KEYS = 12,
    MODEL_KEY_BYTES = 16,
    MODEL_WHY = 256,
    MODEL_ORDERS = 64,
    MODEL_BROKER = -1,
    MODEL_QUEUES = 2,
    MODEL_NEEDS = 3,
    MODEL_CAPABILITIES = 2,
    MODEL_TOPICS = 2, /* their boxes come behind those of agents */
    MODEL_BOXES = MODEL_AGENTS + MODEL_TOPICS,
    MODEL_NOWHERE = -1,
};

struct m_version {
    uint64_t revision, value; /* value: a hash of its bytes */
    uint64_t slot;            /* that the value is in */
    uint64_t token;           /* of the lease it was written under, or 0 */
    uint64_t due;             /* time at which it ends by itself, or 0 */
    bool deleted;
    uint8_t *list; /* of a list: its elements, a byte each; owned */
    size_t length;
};

struct m_key {
    char name[MODEL_KEY_BYTES];
    struct m_version *versions; /* owned, oldest first */
    size_t count, cap;
    uint64_t counter; /* what was added, where incr is said */
};

struct m_task {
    uint64_t id;
    unsigned state; /* enum task_state; 0: forgotten */
    unsigned stale; /* enum stale_policy; 0: reject */
    int submitter, holder, queue;
    uint64_t token, attempt, max_attempts, backoff_ms, lease_ms, not_before;
    uint64_t renewed; /* time, at the earliest, of claim or heartbeat */
    uint64_t changed;
    uint64_t partials, partial; /* how many, and the last one's entry */
    uint64_t question, input;   /* entries of the last ones, or 0 */
    uint64_t needs[MODEL_NEEDS], need_count, deadline, parent;
    unsigned capabilities; /* bits */
    unsigned end;          /* its last state, also once it is forgotten; or 0 */
    int worker;            /* its holder or, if there is none, the last one */
};

/* What an administrator made of a queue; kind 0: nothing. */
struct m_queue {
    uint64_t kind, limit;
};

struct m_id {
    int agent;
    uint64_t text, index; /* text: a hash of it */
    int outcome;
};

/* One entry, so that what an agent is told can be compared. */
struct m_entry {
    int agent;
    uint64_t session, seq;
    int outcome;
    unsigned verb;
    uint64_t slots, effect_slots, reads; /* reads: which one, or none such */
    uint64_t value;                      /* a hash of slot 0, if there is one */
    uint64_t task, token;                /* that it is about, or 0 */
    unsigned state;                      /* of that task since */
    bool merges;                         /* later ones are made from it */
    struct hash leaf;
};

/* From that entry on, the past before the line need not be kept. */
struct m_line {
    uint64_t index, line;
};

/* From the entry `index` on that slot is not shown. */
struct m_erased {
    uint64_t revision, slot, index;
};

/* To erase by rule; under way. */
struct m_order {
    uint64_t index, kind, end;
    const struct m_key *key;
    int agent;
};

/* A key of an agent's. */
struct m_pair {
    int agent;
    uint8_t public_key[KEY_PUBLIC_BYTES];
    bool over;
    uint64_t ended; /* by which entry */
};

/* Since the entry `index` that key is in doubt, from the entry `since` on. */
struct m_doubt {
    uint64_t index, since;
    size_t pair;
};

/* A key that is kept away, for the day when the others are lost. */
struct m_recovery {
    uint8_t public_key[KEY_PUBLIC_BYTES];
    bool is_there;
};

struct m_session {
    uint64_t id, next_seq;
    int agent, pair; /* pair: number of the one that opened it */
    bool over;
    uint64_t ended; /* by which entry; the rest of its bundle still counts */
};

/* A message, from the entry that sent it to the one that took it out. */
struct m_message {
    uint64_t revision, slot, bytes, value; /* value: a hash of its body */
    uint64_t kind, reply_to, prev, task;
    int sender, box;
    uint64_t gone; /* that entry, or 0: it stands there */
};

/* From the entry `index` on that mark of the agent's is there. */
struct m_mark {
    uint64_t index, name, revision; /* name: a hash; revision 0: no more */
    int agent;
    bool is_topic;
};

struct model_limits {
    uint64_t value_bytes, queue_tasks, leases_per_agent;
    uint64_t messages_per_agent, mailbox_messages, mailbox_bytes,
        topic_messages, marks_per_agent, partials_per_task;
};

struct model {
    struct hash agents[MODEL_AGENTS];
    unsigned rights[MODEL_AGENTS];
    bool revoked[MODEL_AGENTS];
    struct m_pair *pairs;
    size_t pair_count, pair_cap;
    struct m_recovery recovery[MODEL_AGENTS];
    struct m_doubt *doubts;
    size_t doubt_count, doubt_cap;
    int agent_count;
    struct m_key keys[MODEL_KEYS];
    size_t key_count;
    struct m_task *tasks;
    size_t task_count, task_cap;
    struct m_queue queues[MODEL_QUEUES];
    bool appends; /* is there a policy for lists? */
    struct m_id *ids;
    size_t id_count, id_cap;
    struct m_erased *erased;
    size_t erased_count, erased_cap;
    struct m_order orders[MODEL_ORDERS];
    size_t order_count;
    struct m_line *lines;
    size_t line_count, line_cap;
    struct m_message *messages;
    size_t message_count, message_cap;
    struct m_mark *marks;
    size_t mark_count, mark_cap;
    struct m_session *sessions;
    size_t session_count, session_cap;
    struct m_entry *entries; /* size of them */
    uint64_t size, entry_cap;
    struct model_limits limits;
    struct frontier tree;
    char why[MODEL_WHY];
};

/* An entry as verbs look at it. */
struct seen {
    const struct entry *e;
    const struct msg *op, *effect;
    int agent;
    uint64_t index, time;
};

struct seen;
void model_free(struct model *m);
/* Returns its number. */
int model_agent(struct model *m, const struct hash *id, unsigned rights);
void model_pair(struct model *m, int agent, const uint8_t *public_key);
bool model_pair_lives(const struct model *m, int agent,
                      const uint8_t *public_key);
/* Its number, or -1. */
int pair_find(const struct model *m, const uint8_t *public_key);
void pair_end(struct model *m, int pair, uint64_t index);
/* An agent that the operation names, or MODEL_BROKER. */
int agent_named(const struct model *m, const struct seen *s);
/* From which entry on it is in doubt, as of the entry `index`; 0: it is not. */
uint64_t model_doubt(const struct model *m, size_t pair, uint64_t index);
/* How many keys may speak for it. */
size_t model_pairs(const struct model *m, int agent);
/* The next entry of the record. False: it had to be otherwise; m->why. */
bool model_take(struct model *m, const struct entry *e);
/* Does the record still begin with it? */
bool model_agrees(struct model *m, const struct entry *e);
/* Say why and return false. */
bool model_says(struct model *m, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- For verbs and agents ------------------------------------------------ */

uint64_t model_hash(struct bytes b);
struct m_key *model_key(struct model *m, struct bytes name);
/* The version that counts at a revision, or NULL. */
const struct m_version *key_at(const struct m_key *k, uint64_t revision);
/* 0 if it is absent. */
uint64_t key_revision(const struct m_key *k);
struct m_task *model_task(const struct model *m, uint64_t id);
bool task_is_over(const struct m_task *t);
const char *queue_name(int queue);
int queue_of(struct bytes name);
/* Also one that was forgotten. */
struct m_task *model_task_ever(const struct model *m, uint64_t id);
/* What that agent can do. */
unsigned model_capabilities(int agent);
/* One that should have been given up by then, or NULL. */
const struct m_task *model_hopeless(const struct model *m, uint64_t time);
/* Has somebody a lease of it? */
bool task_is_held(const struct m_task *t);
/* The last of those said of the task with success, up to that entry; or 0. */
uint64_t model_said(const struct model *m, unsigned verb, uint64_t task,
                    uint64_t upto);
struct m_session *model_session(const struct model *m, uint64_t id);
bool model_may(const struct model *m, int agent, unsigned right);
/* The value of a slot of the entry, and hashed. */
struct bytes seen_value(const struct seen *s, uint64_t slot);
uint64_t seen_slot(const struct seen *s, uint64_t slot);
struct m_task *task_new(struct model *m);
/* Keys that this entry wrote. */
size_t model_written_at(const struct model *m, uint64_t revision);
/* Those of them that every watch has to be told of, now that the past before
 * the line need not be kept. */
size_t model_kept_at(const struct model *m, uint64_t revision, uint64_t line);
/* One that should have ended by then, or NULL. */
const struct m_key *model_overdue(const struct model *m, uint64_t time);
/* As of that entry. */
uint64_t model_line(const struct model *m, uint64_t index);
/* NULL: it is shown. */
const struct m_erased *model_erased(const struct model *m, uint64_t revision,
                                    uint64_t slot);
/* Of an entry that was taken: is all of it there that must be? */
bool model_keeps(struct model *m, const struct entry *e);
/* Can nothing be made from it any more? */
bool version_is_erased(const struct model *m, const struct m_version *v);
/* And is nothing of it there that was erased? */
bool model_erases(struct model *m, const struct entry *e);
/* --- Mail ----------------------------------------------------------------- */

/* Of whoever a message goes to; or MODEL_NOWHERE. */
int box_of(const struct model *m, const struct msg *to);
const char *box_topic(int box);
/* What stands in the box: the first from that revision on, or NULL. */
const struct m_message *model_mail(const struct model *m, int box,
                                   uint64_t from);
/* Whether it still stands there or not. */
const struct m_message *model_sent(const struct model *m, int box,
                                   uint64_t revision);
/* What leaves with the entry `index`: of topics, up to a revision; or all that
 * is an agent's. */
void model_topics_forget(struct model *m, uint64_t upto, uint64_t index);
void model_mail_drop(struct model *m, int box, uint64_t index);
/* Behind that entry; 0: there is none. */
uint64_t model_mark(const struct model *m, int agent, bool is_topic,
                    struct bytes name, uint64_t index);

/* Is it one of those that hold a list? */
bool key_is_list(struct bytes name);
/* Does the past before the line of that entry still hold that version? */
bool model_holds(const struct model *m, const struct m_key *k,
                 const struct m_version *v, uint64_t index);

/* Was anything written from that entry on? */
bool model_writes(const struct model *m, uint64_t from);

#endif
