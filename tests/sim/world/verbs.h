/* What agents may say, and what has to become of it: one row a verb. */
#ifndef CHOIR_TESTS_SIM_VERBS_H
#define CHOIR_TESTS_SIM_VERBS_H

#include "tests/sim/world/model.h"

enum { DRAFT_VALUES = 4, DRAFT_VALUE = 600, DRAFT_LEASES = 8 };

/* A task that its author believes to hold. */
struct held {
    uint64_t task, token;
    uint64_t moved; /* the newest that it was told to have moved */
    uint64_t input; /* likewise, to have been answered */
    uint64_t since; /* over this connection it hears of it from there on */
};

/* What an author knows while it drafts. */
struct knowledge {
    const struct model *m; /* no further than what it may have heard */
    int agent;
    const struct held *leases;
    size_t lease_count;
    uint64_t number; /* never given twice: for values that nobody else writes */
    uint64_t (*any)(uint64_t n); /* chance: below n */
    uint64_t now;                /* wall clock */
};

/* An operation being drafted. */
struct draft {
    struct msg m;
    struct buf lists[7]; /* compares, writes, what was read and that encoded,
                          * messages, needs, capabilities */
    struct bytes values[DRAFT_VALUES];
    size_t slots;
    char texts[DRAFT_VALUES][DRAFT_VALUE], id[24];
};

struct verb {
    enum message verb;
    unsigned weight; /* how often agents say it; 0: the broker does */
    /* False: there is nothing to say it about. */
    bool (*draft)(struct draft *d, const struct knowledge *k);
    /* The outcome it has to have; what the effect has to say besides is
     * checked here too (model_says). NULL: OK. */
    int (*expect)(struct model *m, const struct seen *s);
    /* What follows from OK, or from STALE; NULL: nothing that the model knows
     * of. */
    void (*happen)(struct model *m, const struct seen *s);
};

const struct verb *verb_find(unsigned verb);
/* One by weight. */
const struct verb *verb_any(uint64_t (*any)(uint64_t n));

/* --- Shared by the rows -------------------------------------------------- */

#define SIM_SPACE "main"

const char *any_key(const struct knowledge *k);
const char *any_queue(const struct knowledge *k);
/* One more slot with a value of its own; its number. */
size_t draft_value(struct draft *d, const struct knowledge *k);
void draft_id(struct draft *d, const struct knowledge *k);
/* A lease: mostly one that is held; sometimes one that never was. */
bool draft_lease(struct draft *d, const struct knowledge *k);
void draft_writes(struct draft *d, const struct knowledge *k);
void draft_compares(struct draft *d, const struct knowledge *k);
/* Mostly what it takes the key to be at; so that some hold, some do not. */
uint64_t any_revision(const struct knowledge *k, const char *key);
/* A read set, in a slot of its own. */
void draft_reads(struct draft *d, const struct knowledge *k);

/* The author's, and alive; or NULL. */
struct m_task *seen_held(struct model *m, const struct seen *s);
/* Values not too long, then writes and compares, as txn and complete have. */
int seen_values(struct model *m, const struct seen *s);
int seen_writes(struct model *m, const struct seen *s);
int seen_compares(struct model *m, const struct seen *s);
void key_write(struct m_key *k, struct m_version v);
void write_all(struct model *m, const struct seen *s);
/* Does what the task was made from still hold? 0, STALE or INVALID. */
int seen_reads(struct model *m, const struct seen *s);
/* Messages that a completion sends along. */
void draft_sends(struct draft *d, const struct knowledge *k);
int seen_sends(struct model *m, const struct seen *s);
void send_all(struct model *m, const struct seen *s);
/* Into the message; list: owned by the caller, borrowed by the message. */
void capabilities_say(struct msg *m, unsigned bits, struct buf *list);
/* What a submission asks besides. */
void draft_terms(struct draft *d, const struct knowledge *k);
int seen_terms(struct model *m, const struct seen *s);
void terms_keep(const struct seen *s, struct m_task *t);
void terms_keep_again(struct model *m, const struct m_task *old,
                      struct m_task *t);
/* A new key with its own word for whose it is: 0 or INVALID. */
int seen_new_key(struct model *m, const struct seen *s);
void recovery_keep(struct model *m, const struct seen *s);
/* CONFLICT, which has to tell that revision of that name. */
int seen_conflict(struct model *m, const struct seen *s, struct bytes name,
                  uint64_t revision);
/* May it write that, and is its lease alive, if it names one? */
int seen_write(struct model *m, const struct seen *s);
/* A put of a list. */
void draft_list(struct draft *d, const struct knowledge *k);
int list_expect(struct model *m, const struct seen *s);
void list_put(struct model *m, const struct seen *s);
/* Is there room for one more task? */
int queue_room(const struct model *m, int queue);
/* The broker's claim of a task: NULL, or why it should not have. */
const char *terms_forbid(const struct model *m, const struct m_task *t,
                         int holder);
void task_ended(struct m_task *t, const struct seen *s, unsigned state);
/* The lease is given back: the task is queued again, or dead. */
void task_released(struct model *m, const struct seen *s);

extern const struct verb verbs_context[], verbs_task[], verbs_reads[],
    verbs_agent[], verbs_past[], verbs_erase[], verbs_keys[], verbs_mail[],
    verbs_marks[], verbs_input[], verbs_terms[], verbs_queue[], verbs_doubt[],
    verbs_lists[];

#endif
