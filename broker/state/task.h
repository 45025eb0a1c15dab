/* Tasks and their queues. A task is named by the entry that submitted it; a
 * claim's entry is the fencing token of its lease. When a lease ends by time
 * is volatile and broker/lease's business; only an entry ends it.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_TASK_H
#define CHOIR_BROKER_STATE_TASK_H

#include "digest.h"
#include "proto/schema.h"

struct queue;

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
    struct queue *queue;
    struct task *prev, *next; /* in its queue's waiting or ready list, or the
                                 list of final tasks */
};

struct queue {
    char space[LIMIT_NAME_BYTES + 1];
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t open;                              /* tasks that are not final */
    uint32_t queued;                            /* of those, not working */
    struct task *ready[LIMIT_PRIORITY_MAX + 1]; /* heads; oldest first */
    struct task *ready_tail[LIMIT_PRIORITY_MAX + 1];
};

struct tasks;

struct tasks *tasks_new(struct digest *digest);
void tasks_destroy(struct tasks **self_p);

struct task *task_by_id(const struct tasks *t, uint64_t id);
struct queue *queue_find(const struct tasks *t, struct bytes space,
                         struct bytes name);
/* Tasks in memory, final ones included; and final ones alone. */
size_t tasks_count(const struct tasks *t);
size_t tasks_final_count(const struct tasks *t);
/* The final task that has been so longest, or NULL. */
const struct task *tasks_oldest_final(const struct tasks *t);
/* The one to hand out next at `now`: highest priority, then oldest, and
 * *wake: when the earliest waiting one becomes ready, or untouched. */
struct task *queue_first(const struct queue *q, uint64_t now, uint64_t *wake);
/* In order of id, after the given one. */
struct task *tasks_next(const struct tasks *t, uint64_t after);
/* Every queue; NULL starts and ends. */
struct queue *queues_next(const struct tasks *t, const struct queue *after);

/* --- Changes; by evolve alone. 0 or -ENOMEM ------------------------------ */

/* `as` has everything but queue and list links. */
int task_add(struct tasks *t, struct bytes space, struct bytes queue,
             const struct task *as);
void task_claim(struct tasks *t, struct task *task, uint64_t token,
                uint32_t agent, uint64_t session, uint32_t attempt);
void task_progress(struct tasks *t, struct task *task, uint64_t index);
/* Back into its queue, not before that time. */
void task_release(struct tasks *t, struct task *task, uint64_t index,
                  uint64_t not_before);
void task_finish(struct tasks *t, struct task *task, uint64_t index,
                 enum task_state state);
/* Final tasks whose `changed` is up to index leave memory. */
void tasks_forget(struct tasks *t, uint64_t index);

typedef int (*task_sink)(void *to, struct bytes record);
int tasks_save(const struct tasks *t, task_sink put, void *to);
int tasks_load(struct tasks *t, struct bytes record);

#endif
