/* What the parts of evolve share; each part is the verbs of one module of the
 * state. All return 0, -ENOMEM, or -EUCLEAN: what cannot follow. */
#ifndef CHOIR_BROKER_EVOLVE_PRIVATE_H
#define CHOIR_BROKER_EVOLVE_PRIVATE_H

#include "evolve.h"

/* --- evolve.c ------------------------------------------------------------- */

/* -ENOMEM stays; whatever else a change reports cannot follow. */
int evolve_must(int r);
struct agent *evolve_author(struct state *s, const struct evolve_op *o);
/* A choice of the author, or the default that was recorded in its stead. */
uint64_t evolve_chosen(const struct evolve_op *o, enum field f);

/* --- evolve_context.c --- */

int evolve_put(struct state *s, const struct evolve_op *o);
int evolve_lapse(struct state *s, const struct evolve_op *o);
int evolve_delete(struct state *s, const struct evolve_op *o);
int evolve_writes(struct state *s, const struct evolve_op *o,
                  struct bytes space);
int evolve_policy(struct state *s, const struct evolve_op *o);
int evolve_txn(struct state *s, const struct evolve_op *o);

/* --- evolve_task.c --- */

int evolve_submit(struct state *s, const struct evolve_op *o);
int evolve_requeue(struct state *s, const struct evolve_op *o);
int evolve_claim(struct state *s, const struct evolve_op *o);
int evolve_progress(struct state *s, const struct evolve_op *o);
int evolve_complete(struct state *s, const struct evolve_op *o);
int evolve_fail(struct state *s, const struct evolve_op *o);
int evolve_release(struct state *s, const struct evolve_op *o);
int evolve_cancel(struct state *s, const struct evolve_op *o);
int evolve_give_up(struct state *s, const struct evolve_op *o);

/* --- evolve_links.c --- */

/* What the submission says of its task besides. */
int evolve_terms(struct state *s, const struct evolve_op *o, struct task *t);
/* What a task that is queued again takes over from the old one. */
int evolve_terms_again(struct state *s, const struct task *old, struct task *t);
int evolve_partial(struct state *s, const struct evolve_op *o);
int evolve_ask_input(struct state *s, const struct evolve_op *o);
int evolve_input(struct state *s, const struct evolve_op *o);
int evolve_queue_set(struct state *s, const struct evolve_op *o);

/* --- evolve_mail.c --- */

int evolve_send(struct state *s, const struct evolve_op *o);
int evolve_mark(struct state *s, const struct evolve_op *o);
int evolve_heed(struct state *s, const struct evolve_op *o);
/* A completion that was refused as STALE; it may have ended the lease. */
int evolve_stale(struct state *s, const struct evolve_op *o);
/* What a completion sends besides. */
int evolve_sends(struct state *s, const struct evolve_op *o,
                 struct bytes space);
int evolve_forget_topics(struct state *s, uint64_t upto);
/* Nobody will read the mailboxes of an agent that is no more. */
int evolve_mailboxes_drop(struct state *s, const struct agent *a);

/* --- evolve_agent.c --- */

int evolve_session_open(struct state *s, const struct evolve_op *o);
int evolve_session_close(struct state *s, const struct evolve_op *o);
int evolve_enrol(struct state *s, const struct evolve_op *o);
int evolve_invite(struct state *s, const struct evolve_op *o);
int evolve_grant(struct state *s, const struct evolve_op *o);
int evolve_revoke(struct state *s, const struct evolve_op *o);
/* The agent's sessions, or those of one of its keys (slot -1: all), are over. */
int sessions_over(struct state *s, const struct agent *a, int slot);
int evolve_admit(struct state *s, const struct evolve_op *o);
int evolve_session_end(struct state *s, const struct evolve_op *o);

/* --- evolve_compaction.c --- */

int evolve_compact(struct state *s, const struct evolve_op *o);

/* --- evolve_erase.c --- */

int evolve_erase(struct state *s, const struct evolve_op *o);
int evolve_erased(struct state *s, const struct evolve_op *o);

/* --- evolve_keys.c --- */

int evolve_rotate(struct state *s, const struct evolve_op *o);
int evolve_key_end(struct state *s, const struct evolve_op *o, struct agent *a);
int evolve_suspect(struct state *s, const struct evolve_op *o);
int evolve_recover(struct state *s, const struct evolve_op *o);

#endif
