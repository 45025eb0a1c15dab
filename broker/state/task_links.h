/* What few tasks have, and the others do not pay for: tasks they need, a
 * parent and children, capabilities, a deadline, partial results, a question
 * and its answer.
 *
 * What the record says of it is part of the digest. That a need is met, and
 * that a task's end still has to be passed on, follows from the tasks
 * themselves: it is volatile, and worked off in steps (tasks_settle).
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_TASK_LINKS_H
#define CHOIR_BROKER_STATE_TASK_LINKS_H

#include "task.h"

struct need {
    uint64_t task;            /* that is needed */
    struct task_links *by;    /* who needs it */
    struct task_links *on;    /* its links; NULL: met, or not known any more */
    struct need *prev, *next; /* that wait for the same one */
};

struct task_links {
    struct task *task;
    uint64_t deadline, parent; /* 0: none */
    uint64_t partial;          /* entry of the last one; 0: none */
    uint64_t question, input;  /* entries of the last ones; 0: none */
    uint32_t partials;
    uint32_t need_count, open_needs;
    struct need *needs;    /* owned */
    struct need *wanted;   /* by others, as long as they do not know its end */
    struct lane *lane;     /* NULL: it takes no capability */
    struct task_links *of; /* the parent's, while it is known */
    struct task_links *children; /* the open ones first */
    uint32_t child_count;
    struct task_links *prev, *next; /* of the same parent */
    struct task_links *settle_prev, *settle_next;
    bool unsettled;       /* others have to learn of its end */
    bool timed;           /* has a row among the deadlines */
    bool stated;          /* is part of the digest */
    uint32_t deadline_at; /* that row */
    struct hash item;     /* its part of the digest */
};

/* What a submission says besides. All borrowed. */
struct task_terms {
    uint64_t deadline, parent; /* 0: none */
    const uint64_t *needs;
    uint32_t need_count;
    struct bytes capability; /* packed */
};

/* The open task whose deadline is the earliest; NULL: none has one. */
const struct task *tasks_first_deadline(const struct tasks *t);

/* What follows for another task from one that has ended. */
enum settle {
    SETTLE_NOTHING, /* all is settled */
    SETTLE_FREED,   /* a need of `task` is met; it may be ready now */
    SETTLE_NEED,    /* `task` needs `cause`, which was not completed */
    SETTLE_PARENT,  /* `cause`, the parent of `task`, was cancelled */
};
struct settled {
    const struct task *task, *cause;
};
/* One step. What has to be given up stays in its way until that was said. */
enum settle tasks_settle(struct tasks *t, struct settled *out);
/* Is there a step to do? And for this final task: may it be forgotten? */
bool tasks_unsettled(const struct tasks *t);
bool task_is_settled(const struct task *task);

/* --- Changes; by evolve alone -------------------------------------------- */

/* A task that was just added. 0 or -ENOMEM. */
int task_link(struct tasks *t, struct task *task,
              const struct task_terms *terms);
/* 0 or -ENOMEM. */
int task_partial(struct tasks *t, struct task *task, uint64_t index);
int task_question(struct tasks *t, struct task *task, uint64_t index);
int task_input(struct tasks *t, struct task *task, uint64_t index);

#endif
