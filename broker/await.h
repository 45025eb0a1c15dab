/* Sessions that want to hear how a task goes on: each progress, and its end
 * with the result.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_AWAIT_H
#define CHOIR_BROKER_AWAIT_H

#include "changes.h"
#include "router.h"

struct awaits;

/* Borrowed until destroyed. NULL when out of memory. */
struct awaits *awaits_new(const struct state *state, struct ledger *ledger,
                          struct router *router);
void awaits_destroy(struct awaits **self_p);

/* Its own task, or one whose queue it works on or administers? */
bool task_visible(const struct agent *a, const struct task *t);

/* One TASK_STATE follows now if the task is final or has progress, and then at
 * each change. An agent may await limit_max tasks. 0, CHOIR_NOT_FOUND,
 * CHOIR_OVER_LIMIT, -ENOMEM, other negative errno. */
int await_task(struct awaits *a, struct presence *p, uint64_t task,
               uint64_t limit_max);
void awaits_drop(struct awaits *a, struct presence *p);
/* The task has made progress or is final. Cheap when nobody waits for it. */
void await_touch(struct awaits *a, uint64_t task);
/* After the commit: tell those whose connections have room; the others later,
 * what is true then. 0 or negative errno. */
int awaits_tell(struct awaits *a);
/* The session's connection has room again. */
void awaits_wake(struct awaits *a, struct presence *p);

/* What there is to say about a task, as MSG_TASK_STATE or MSG_ITEM, with
 * payloads read from the record. m borrows from `bytes` and from the state. 0
 * or negative errno. */
int task_describe(const struct state *s, struct ledger *l, const struct task *t,
                  struct buf *bytes, struct msg *m);

#endif
