/* What the parts of decide share; each part is the verbs of one module of the
 * state. Helpers return 0 for "so far so good", or the outcome. */
#ifndef CHOIR_BROKER_DECIDE_PRIVATE_H
#define CHOIR_BROKER_DECIDE_PRIVATE_H

#include "decide.h"

enum { BROKER = 1 };

struct decision {
    const struct state *s;
    const struct msg *op;
    const struct decide_facts *f;
    const struct agent *author; /* NULL while joining */
    struct msg *effect;
    struct buf *scratch;
};

/* --- decide.c ------------------------------------------------------------- */

bool by_broker(const struct decision *d);
bool author_may(const struct decision *d, enum right right, struct bytes space,
                struct bytes key, struct bytes queue);
int over_limit(struct decision *d, const char *field, uint64_t limit,
               uint64_t size);
int slots_fit(struct decision *d, size_t least, size_t most);
int names_fit(struct bytes space, struct bytes key);
/* The task, if its live lease is the author's and the token is right. */
struct task *held_task(const struct decision *d);
/* Writes may name the lease they were made under. */
int lease_fits(const struct decision *d);

/* --- decide_policy.c ------------------------------------------------------ */

/* One write of a key, as far as policies are concerned with it. */
struct decide_write {
    struct bytes space, key, type;
    const struct key *k; /* what is there, tombstones included; or NULL */
    size_t number;       /* in its operation */
    size_t slot;         /* of the operation; unless it deletes */
    bool deletes, has_base;
    uint64_t base; /* version it was made from; 0: only if absent */
    /* Set by write_combine: the value is slot SLOT_EFFECT + merged_slot. */
    bool merged;
    size_t merged_slot;
    enum merge_rule rule; /* that made it */
};

uint64_t key_current(const struct key *k);
/* Fills in CONFLICT, and what may be known of the one who was first. */
int conflict(struct decision *d, struct bytes space, struct bytes name,
             uint64_t revision, const struct key *k, const char *why);
/* May it be done as its prefix demands, and with which value? 0 or the
 * outcome. Without a policy: is the base, if there is one, what is there? */
int write_combine(struct decision *d, struct decide_write *w);
/* What write_combine found out, for the effect or one of its items. */
void write_note(const struct decide_write *w, struct msg *m);
/* After the last write: the slots that were made. */
void slots_note(struct decision *d);

int decide_policy(struct decision *d);
int decide_append(struct decision *d);
int decide_incr(struct decision *d);

/* --- decide_context.c ----------------------------------------------------- */

int compares_fit(struct decision *d, struct bytes space);
int writes_fit(struct decision *d, struct bytes space);
/* Each write as its prefix's policy demands; one element per write, in order:
 * where its key's story goes on. */
int writes_combine(struct decision *d, struct bytes space);

int decide_lapse(struct decision *d);
/* Names, grants and lease of an operation on one key. */
int key_fits(struct decision *d);

int decide_put(struct decision *d);
int decide_delete(struct decision *d);
int decide_txn(struct decision *d);

/* --- decide_task.c -------------------------------------------------------- */

/* Of a completion: its writes, and what it sends. */
int results_combine(struct decision *d, struct bytes space);
int decide_submit(struct decision *d);
int decide_claim(struct decision *d);
int decide_progress(struct decision *d);
/* The lease ends: the task is tried again, later each time, or is dead; or it
 * goes on waiting for input. */
int give_back(struct decision *d, const struct task *t);
int decide_complete(struct decision *d);
int decide_fail(struct decision *d);
int decide_nak(struct decision *d);
int decide_expire(struct decision *d);
int decide_cancel(struct decision *d);
int decide_requeue(struct decision *d);
int decide_give_up(struct decision *d);
/* Its submitter's business, or an administrator's. */
bool answers_for(const struct decision *d, const struct task *t);

/* --- decide_terms.c ------------------------------------------------------- */

/* What a submission asks besides a payload: needs, capabilities, times and a
 * parent. */
int terms_fit(struct decision *d);

/* --- decide_input.c ------------------------------------------------------- */

int decide_partial(struct decision *d);
int decide_ask_input(struct decision *d);
int decide_input(struct decision *d);
int decide_queue_set(struct decision *d);

/* --- decide_mail.c -------------------------------------------------------- */

int decide_send(struct decision *d);
int decide_mark(struct decision *d);
/* The messages of a completion: 0 or the outcome; and, after writes_combine,
 * their elements behind those of the writes. */
int sends_fit(struct decision *d, struct bytes space);
void sends_note(struct decision *d, struct bytes space);

/* --- decide_reads.c ------------------------------------------------------- */

/* A completion whose terms fit otherwise: OK, STALE, INVALID, OVER_LIMIT, with
 * its whole effect. */
int decide_reads(struct decision *d, const struct task *t);
int decide_heed(struct decision *d);

/* --- decide_agent.c ------------------------------------------------------- */

int decide_enrol(struct decision *d);
int decide_session_open(struct decision *d);
int decide_session_close(struct decision *d);
int decide_invite(struct decision *d);
int decide_grant(struct decision *d);
int decide_revoke(struct decision *d);
int decide_session_end(struct decision *d);

/* --- decide_compaction.c -------------------------------------------------- */

int decide_compact(struct decision *d);

/* --- decide_erase.c ------------------------------------------------------- */

int decide_erase(struct decision *d);
int decide_erased(struct decision *d);

/* --- decide_keys.c -------------------------------------------------------- */

int decide_rotate(struct decision *d);
int decide_key_end(struct decision *d);
int decide_suspect(struct decision *d);
int decide_recover(struct decision *d);

#endif
