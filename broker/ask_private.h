/* What the files of ask share: one ask being answered. */
#ifndef CHOIR_BROKER_ASK_PRIVATE_H
#define CHOIR_BROKER_ASK_PRIVATE_H

#include <sys/types.h>

#include "ask.h"
#include "changes.h"
#include "tap.h"

enum {
    PAGE_DEFAULT = 256,
    PAGE_MAX = 1000,
    SCAN_MAX = 20000,     /* looked up for one page */
    ASK_LATER = -1000000, /* the reply follows; no errno */
};

struct backup {
    pid_t pid; /* 0: none runs */
    int pipe;  /* the child's trouble, then end of file */
    uint64_t session, ask;
};

struct asks {
    struct ask_parts with;
    const struct state *state;
    struct ledger *ledger;
    struct buf items, text;
    struct backup backup;
    struct tap *tap;                    /* evidence */
    struct ledger_reader *proof_reader; /* NULL until the first proof */
    struct core_proof proof;
    struct core_gaps gaps;
    struct buf part;                     /* of one element */
    struct ledger_reader *select_reader; /* NULL until the first selection */
};

struct ask {
    struct asks *a;
    struct presence *p;
    const struct agent *agent;
    uint64_t number;
    const struct msg *op;
    struct msg *reply; /* borrows from the record, the state and a's buffers */
    struct lease *lease; /* under which it reads, or NULL */
    uint64_t steps;      /* versions looked at, up to SCAN_MAX */
};

/* A version of a key, as the record has it. */
struct version {
    const struct entry *e; /* borrowed until the next ledger_entry */
    struct bytes author;   /* its agent's id */
    struct change change;
    struct changes walk;
};

/* The version that entry `revision` made; k: where the key is now.
 * 0 or negative errno. */
int version_read(struct ask *q, uint64_t revision, const struct key *k,
                 struct version *v);
/* The same without its author: fewer reads. Counts as a step, or more. */
int version_look(struct ask *q, uint64_t revision, const struct key *k,
                 struct version *v);
/* The newest version at or below `at`. 0; CHOIR_NOT_FOUND; CHOIR_OVER_LIMIT
 * when it lies too many versions back to look for; negative errno. */
int version_at(struct ask *q, const struct key *k, uint64_t at,
               struct version *v);
/* The revision asked about: FUTURE if it is not there yet. */
int asked_at(const struct ask *q, uint64_t *at);
/* COMPACTED if that is before what is kept; the reply then says where that
 * begins. */
int kept_at(struct ask *q, uint64_t at);
/* Bytes of its value; 0 when it is a deletion. */
uint64_t version_bytes(const struct version *v);

bool ask_may_read(const struct ask *q, struct bytes space, struct bytes key);

/* Each fills in the reply. Its outcome, ASK_LATER, or negative errno. */
int ask_get(struct ask *q);
int ask_list(struct ask *q);
int ask_log(struct ask *q);
int ask_since(struct ask *q);
int ask_diff(struct ask *q);
int ask_policy_list(struct ask *q);
int ask_watch(struct ask *q);
int ask_credit(struct ask *q);
int ask_unwatch(struct ask *q);
int ask_tap(struct ask *q);
int ask_work(struct ask *q);
int ask_heartbeat(struct ask *q);
int ask_task_get(struct ask *q);
int ask_task_list(struct ask *q);
int ask_await(struct ask *q);
int ask_status(struct ask *q);
int ask_agent_list(struct ask *q);
int ask_ping(struct ask *q);
int ask_reads(struct ask *q);
int ask_backup(struct ask *q);
int ask_prove(struct ask *q);
int ask_entries(struct ask *q);
int ask_select(struct ask *q);
int ask_keys(struct ask *q);
int ask_blame(struct ask *q);
int ask_erasure(struct ask *q);
int ask_why(struct ask *q);
int ask_impact(struct ask *q);
int ask_consistency(struct ask *q);
int ask_mark_list(struct ask *q);
int ask_queue_list(struct ask *q);
int ask_digest(struct ask *q);

/* Append what hangs on the task as items, each with its kind. 0 or negative
 * errno. */
enum task_item {
    TASK_ITEM_RESULT = 1,
    TASK_ITEM_PARTIAL = 2,
    TASK_ITEM_NEED = 3,
    TASK_ITEM_CHILD = 4,
    TASK_ITEM_CAPABILITY = 5,
    TASK_ITEM_QUESTION = 6,
    TASK_ITEM_INPUT = 7,
};
int ask_task_links(struct ask *q, const struct task *t, uint64_t *n);
int ask_inbox(struct ask *q);

/* --- ask_entries.c -------------------------------------------------------- */

/* An entry that stays while others are read: until the next one of these. 0;
 * CHOIR_NOT_FOUND: there is none; negative errno. */
int ask_entry(struct ask *q, uint64_t index, const struct entry **e);
/* Who said it may see it, and so may whoever taps or reads it. 0;
 * CHOIR_NOT_FOUND; negative errno. */
int ask_may_see(struct ask *q, const struct entry *e);
/* The same; what says whose a key is may be exported by everybody. */
int ask_may_export(struct ask *q, const struct entry *e);

/* --- ask_reads.c ---------------------------------------------------------- */

/* Sets the lease that a get, list, log or reads names. 0, or the outcome. */
int ask_reads_begin(struct ask *q);
/* It was answered with that outcome: note it. Returns that, or -ENOMEM. */
int ask_reads_note(struct ask *q, int outcome);

/* Elements a page may have. */
uint64_t ask_page(const struct ask *q);
/* OVER_LIMIT with name, value and limit. */
int ask_over(struct ask *q, const char *field, uint64_t limit, uint64_t size);

#endif
