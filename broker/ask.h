/* Questions: what is answered from state and record and never recorded itself.
 * Who asks is proven before; what the asker may see is agent_may's to say,
 * here, at delivery. What is forbidden looks as if it were absent.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_ASK_H
#define CHOIR_BROKER_ASK_H

#include "await.h"
#include "core.h"
#include "cursor.h"
#include "lease.h"
#include "mailbox.h"

struct asks;

/* Counters for status: append one with a number or a text. */
struct status_list {
    struct buf items;
    uint64_t count;
};
void status_number(struct status_list *s, const char *name, uint64_t number);
void status_text(struct status_list *s, const char *name, const char *text);
typedef void (*status_source)(void *arg, struct status_list *s);

/* All borrowed for the life of the asks. */
struct ask_parts {
    struct core *core;
    struct env *env;
    const struct config *config;
    struct router *router;
    struct cursors *cursors;
    struct leases *leases;
    struct awaits *awaits;
    struct inboxes *inboxes;
    status_source more; /* further counters; may be NULL */
    void *more_arg;
};

/* NULL when out of memory. */
struct asks *asks_new(const struct ask_parts *parts);
void asks_destroy(struct asks **self_p);

/* Does it neither read nor need what is being committed, so that it can be
 * answered before? */
bool ask_is_volatile(unsigned verb);
/* The first of these ops will be answered in a moment: what they read is read
 * together. Returns how many that is about. Changes nothing. */
size_t ask_ahead(struct asks *a, const struct presence *p,
                 const struct bundle_op *ops, size_t n);
/* Answer one; ask: its number. 0 or negative errno. */
int ask_answer(struct asks *a, struct presence *p, uint64_t ask,
               const struct bundle_op *op);

/* Backups that have ended are answered. Now and then. */
void asks_tend(struct asks *a);

#endif
