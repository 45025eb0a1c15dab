/* Sessions that want to hear how a task goes on: each progress and question,
 * partial results if they ask for them, and its end with the result.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_AWAIT_H
#define CHOIR_BROKER_AWAIT_H

#include "changes.h"
#include "decide.h"
#include "router.h"

struct awaits;

/* Borrowed until destroyed. NULL when out of memory. */
struct awaits *awaits_new(const struct state *state, struct ledger *ledger,
                          struct router *router);
void awaits_destroy(struct awaits **self_p);

enum { AWAIT_NO_PARTIALS = UINT32_MAX };

/* One TASK_STATE follows now if the task is final, has progress or asks for
 * input, and then at each change. had: partial results it has already; those
 * after them follow, in order and before the end. An agent may await limit_max
 * tasks. 0, CHOIR_NOT_FOUND, CHOIR_OVER_LIMIT, -ENOMEM, other negative errno. */
int await_task(struct awaits *a, struct presence *p, uint64_t task,
               uint32_t had, uint64_t limit_max);
void awaits_drop(struct awaits *a, struct presence *p);
/* The task has made progress or is final. Cheap when nobody waits for it. */
void await_touch(struct awaits *a, uint64_t task);
/* After the commit: tell those whose connections have room; the others later,
 * what is true then. So many a turn; ready: there are more. 0 or negative
 * errno. */
int awaits_tell(struct awaits *a);
bool awaits_ready(const struct awaits *a);
/* The session's connection has room again. */
void awaits_wake(struct awaits *a, struct presence *p);

/* What there is to say about a task, as MSG_TASK_STATE or MSG_ITEM, with
 * payloads read from the record. m borrows from `bytes` and from the state. 0
 * or negative errno. */
int task_describe(const struct state *s, struct ledger *l, const struct task *t,
                  struct buf *bytes, struct msg *m);

#endif
