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
    bool waits;              /* which heap; below: the module's own */
    struct hash item;        /* its part of the digest */
    uint32_t at;             /* its row there */
    struct queue *queue;
    struct task *next; /* final tasks, by `changed` */
};

struct heap_row;

/* The least on top; finding it costs nothing, a change O(log n). */
struct heap {
    struct heap_row *rows; /* owned */
    uint32_t count, cap;
};

struct queue {
    char space[LIMIT_NAME_BYTES + 1];
    char name[LIMIT_NAME_BYTES + 1];
    uint32_t open;       /* tasks that are not final */
    uint32_t queued;     /* of those, not working */
    struct heap ready;   /* highest priority, then oldest */
    struct heap waiting; /* until their not_before */
};

struct tasks;

struct tasks *tasks_new(struct digest *digest);
void tasks_destroy(struct tasks **self_p);

/* Borrowed until the task is forgotten, and so is its queue until its last
 * task is: find it again by name rather than keep it. */
struct task *task_by_id(const struct tasks *t, uint64_t id);
struct queue *queue_find(const struct tasks *t, struct bytes space,
                         struct bytes name);
/* Tasks in memory, final ones included; and final ones alone. */
size_t tasks_count(const struct tasks *t);
size_t tasks_final_count(const struct tasks *t);
/* The final task that has been so longest, or NULL. */
const struct task *tasks_oldest_final(const struct tasks *t);
/* The one to hand out next at `now`: highest priority, then oldest; NULL if
 * there is none. *wake: when the earliest waiting one becomes ready, or
 * untouched. What became ready by `now` stays so; that is volatile, and no
 * part of the digest. */
struct task *queue_first(struct queue *q, uint64_t now, uint64_t *wake);
/* In order of id, after the given one. */
struct task *tasks_next(const struct tasks *t, uint64_t after);
/* Every queue; NULL starts and ends. */
struct queue *queues_next(const struct tasks *t, const struct queue *after);

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
/* Final tasks whose `changed` is up to index leave memory. */
void tasks_forget(struct tasks *t, uint64_t index);

/* Open tasks by id, then final ones by `changed`; and back: 0, -ENOMEM, or
 * CHOIR_MALFORMED for a record that save cannot have written after those
 * before it. put returns 0 or a negative errno, which save passes on. */
typedef int (*task_sink)(void *to, struct bytes record);
int tasks_save(const struct tasks *t, task_sink put, void *to);
int tasks_load(struct tasks *t, struct bytes record);

#endif
