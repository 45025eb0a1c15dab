/* Tasks and their queues. A task is named by the entry that submitted it; a
 * claim's entry is the fencing token of its lease. When a lease ends by time
 * is volatile and broker/lease's business; only an entry ends it.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_TASK_H
#define CHOIR_BROKER_STATE_TASK_H

#include "digest.h"
#include "heap.h"
#include "proto/schema.h"
#include "task_capability.h"

struct queue;
struct task_links;

struct task {
    uint64_t id;
    uint64_t payload;    /* entry whose slot 0 is the payload */
    uint64_t token;      /* of the live lease; 0: none */
    uint64_t session;    /* that holds it */
    uint64_t changed;    /* entry that brought the present state */
    uint64_t progress;   /* entry of the last progress; 0: none */
    uint64_t not_before; /* time; 0: at once */
    uint64_t lease_ms, backoff_ms;
    uint32_t submitter, holder; /* agent numbers; holder: also the last one */
    uint32_t attempt, max_attempts;
    uint8_t priority, state; /* enum task_state */
    uint8_t stale;           /* enum stale_policy; 0: none was named */
    uint8_t place;           /* which heap; below: the module's own */
    struct hash item;        /* its part of the digest; zero: none yet */
    uint32_t at;             /* its row there */
    struct queue *queue;
    struct task *next;        /* final tasks, by `changed` */
    struct task_links *links; /* task_links.h; NULL for most */
};

/* The tasks of a queue that take the same capabilities. */
struct lane {
    struct heap ready;       /* highest priority, then oldest */
    struct heap waiting;     /* until their not_before */
    uint32_t open, tasks;    /* not final; all that are in memory */
    struct lane *next;       /* of the queue */
    struct bytes capability; /* packed; behind the lane */
};

/* What an administrator made of a queue. */
enum queue_kind { QUEUE_OPEN = 1, QUEUE_PAUSED = 2, QUEUE_DRAINING = 3 };

struct queue {
    char space[LIMIT_NAME_BYTES + 1];
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t open;    /* tasks that are not final */
    uint32_t queued;  /* of those, the ones that wait for a worker */
    uint8_t kind;     /* enum queue_kind */
    uint64_t limit;   /* of open tasks, its own; 0: none */
    uint32_t lanes;   /* capability sets besides the empty one */
    struct lane any;  /* tasks that take no capability; then the others */
    struct hash item; /* its part of the digest, if it was ever set */
};

struct tasks;

struct tasks *tasks_new(struct digest *digest);
void tasks_destroy(struct tasks **self_p);

/* Changes of tasks join the digest when it is looked at, so that a task which
 * comes, is claimed and completed in between is hashed once: call this first. */
void tasks_hash(struct tasks *t);

/* Borrowed until the task is forgotten, and so is its queue until its last
 * task is: find it again by name rather than keep it. */
struct task *task_by_id(struct tasks *t, uint64_t id);
struct queue *queue_find(const struct tasks *t, struct bytes space,
                         struct bytes name);
/* Tasks in memory, final ones included; and final ones alone. */
size_t tasks_count(const struct tasks *t);
size_t tasks_final_count(const struct tasks *t);
/* The final task that has been so longest, or NULL. */
const struct task *tasks_oldest_final(const struct tasks *t);
/* The one to hand out next at `now` to a worker that has these capabilities
 * (packed): highest priority, then oldest; NULL if there is none. *wake: when
 * the earliest waiting one becomes ready, or untouched. What became ready by
 * `now` stays so; that is volatile, and no part of the digest. */
struct task *queue_first_for(struct queue *q, struct bytes capability,
                             uint64_t now, uint64_t *wake);
static inline struct task *queue_first(struct queue *q, uint64_t now,
                                       uint64_t *wake)
{
    return queue_first_for(q, (struct bytes){0}, now, wake);
}
/* Is there a lane for tasks that take these? */
bool queue_has_lane(const struct queue *q, struct bytes capability);
/* In order of id, after the given one. */
struct task *tasks_next(const struct tasks *t, uint64_t after);
/* Every queue; NULL starts and ends. */
struct queue *queues_next(const struct tasks *t, const struct queue *after);
/* The first one of the space behind that name, which need not exist. */
struct queue *queue_after(const struct tasks *t, struct bytes space,
                          struct bytes name);

/* --- Changes; by evolve alone -------------------------------------------- */

/* `as` has everything but the queue. 0; -ENOMEM; -EEXIST; -EINVAL for names,
 * id or priority beyond proto/limits.h. */
int task_add(struct tasks *t, struct bytes space, struct bytes queue,
             const struct task *as);
/* A queued task. */
void task_claim(struct tasks *t, struct task *task, uint64_t token,
                uint32_t agent, uint64_t session, uint32_t attempt);
void task_progress(struct tasks *t, struct task *task, uint64_t index);
/* Back to its place in its queue, not before that time (0: at once). */
void task_release(struct tasks *t, struct task *task, uint64_t index,
                  uint64_t not_before);
/* A final state, from any that is not. index: above that of any other final
 * task. */
void task_finish(struct tasks *t, struct task *task, uint64_t index,
                 enum task_state state);
/* A working task waits for what only its submitter can say. It keeps its
 * lease. */
void task_rest(struct tasks *t, struct task *task, uint64_t index);
/* Its lease ends meanwhile: nobody has it, and it waits on. */
void task_rest_alone(struct tasks *t, struct task *task);
/* It was said: back to the holder, or to its place in the queue. */
void task_resume(struct tasks *t, struct task *task, uint64_t index);
/* Final tasks whose `changed` is up to index leave memory. */
void tasks_forget(struct tasks *t, uint64_t index);
/* 0; -ENOMEM; -EINVAL for names. */
int queue_set(struct tasks *t, struct bytes space, struct bytes name,
              enum queue_kind kind, uint64_t limit);

/* Open tasks by id, then final ones by `changed`, what hangs on them in the
 * same order, then the queues that were set; and back: 0, -ENOMEM, or
 * CHOIR_MALFORMED for a record that save cannot have written after those
 * before it. put returns 0 or a negative errno, which save passes on. */
typedef int (*task_sink)(void *to, struct bytes record);
int tasks_save(const struct tasks *t, task_sink put, void *to);
int tasks_load(struct tasks *t, struct bytes record);

#endif
