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

/* --- decide_context.c ----------------------------------------------------- */

int compares_fit(struct decision *d, struct bytes space);
int writes_fit(struct decision *d, struct bytes space);
/* One element per write, in order: where its key's story goes on. */
void note_prevs(struct decision *d, struct bytes space);

int decide_put(struct decision *d);
int decide_delete(struct decision *d);
int decide_txn(struct decision *d);

/* --- decide_task.c -------------------------------------------------------- */

int decide_submit(struct decision *d);
int decide_claim(struct decision *d);
int decide_progress(struct decision *d);
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

int decide_mark(struct decision *d);

/* --- decide_agent.c ------------------------------------------------------- */

int decide_enrol(struct decision *d);
int decide_session_open(struct decision *d);
int decide_session_close(struct decision *d);
int decide_invite(struct decision *d);
int decide_grant(struct decision *d);
int decide_revoke(struct decision *d);
int decide_session_end(struct decision *d);

#endif
