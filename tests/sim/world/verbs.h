/* What agents may say, and what has to become of it: one row a verb. */
#ifndef CHOIR_TESTS_SIM_VERBS_H
#define CHOIR_TESTS_SIM_VERBS_H

#include "tests/sim/world/model.h"

enum { DRAFT_VALUES = 4, DRAFT_VALUE = 600, DRAFT_LEASES = 8 };

/* A task that its author believes to hold. */
struct held {
    uint64_t task, token;
    uint64_t moved; /* the newest that it was told to have moved */
};

/* What an author knows while it drafts. */
struct knowledge {
    const struct model *m; /* no further than what it may have heard */
    int agent;
    const struct held *leases;
    size_t lease_count;
    uint64_t number; /* never given twice: for values that nobody else writes */
    uint64_t (*any)(uint64_t n); /* chance: below n */
};

/* An operation being drafted. */
struct draft {
    struct msg m;
    struct buf lists[5]; /* compares, writes, what was read and that encoded,
                          * messages */
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
/* The lease is given back: the task is queued again, or dead. */
void task_released(struct model *m, const struct seen *s);

extern const struct verb verbs_context[], verbs_task[], verbs_reads[],
    verbs_agent[], verbs_past[], verbs_erase[], verbs_keys[], verbs_mail[],
    verbs_marks[];

#endif
