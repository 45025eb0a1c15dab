/* What the files of task share: queues with their lanes, and the whole. */
#ifndef CHOIR_BROKER_STATE_TASK_PRIVATE_H
#define CHOIR_BROKER_STATE_TASK_PRIVATE_H

#include "handle.h"
#include "task.h"
#include "task_links.h"

struct queue_node {
    struct queue queue;
    size_t tasks; /* final ones included; it goes with the last */
    bool stated;  /* somebody set it: it stays */
    struct index_key name;
};

enum { TASKS_CHANGED = 1024 };

struct tasks {
    struct digest *digest; /* borrowed */
    struct index *by_id, *queues;
    struct task *last;                   /* looked for, and found */
    struct task *changed[TASKS_CHANGED]; /* no part of the digest just now */
    unsigned changed_count;
    struct task *final_first, *final_last;
    size_t final_count;
    struct task_links *unsettled;
    struct heap deadlines;
};

/* --- task_queue.c ---------------------------------------------------------- */

/* The queue, made if need be. 0; -ENOMEM; -EINVAL for names. */
int queue_make(struct tasks *t, struct bytes space, struct bytes name,
               struct queue **out);
void queue_free(struct queue_node *n);
void queue_drop_if_empty(struct tasks *t, struct queue *q);
/* To its place in the queue, and out of it. */
void queue_enter(struct task *t);
void queue_leave(struct task *t);
/* Room in both heaps for one more open task. 0 or -ENOMEM. */
int lane_room(struct lane *lane);
struct lane *lane_of(const struct task *t);
/* Found or made. NULL: no memory. */
struct lane *lane_make(struct queue *q, struct bytes capability);
void lane_drop_if_empty(struct queue *q, struct lane *lane);
int queues_save(const struct tasks *t, task_sink put, void *to);
int queue_load(struct tasks *t, struct bytes record);

static inline struct queue_node *queue_node(struct queue *q)
{
    return (struct queue_node *)(void *)q; /* its first member */
}

/* --- task_links.c ---------------------------------------------------------- */

/* The task is final now. */
void links_finish(struct tasks *t, struct task *task);
/* The task leaves memory, and so do its links. */
void links_forget(struct tasks *t, struct task *task);
void links_free(struct task_links *l);
int links_save(const struct task *task, task_sink put, void *to);
int links_load(struct tasks *t, struct bytes record);

#endif
