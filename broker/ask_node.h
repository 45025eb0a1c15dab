/* One entry as why, impact and blame tell of it. */
#ifndef CHOIR_BROKER_ASK_NODE_H
#define CHOIR_BROKER_ASK_NODE_H

#include "ask_private.h"
#include "linking.h"

struct node {
    uint64_t index, time, session;
    int outcome;
    bool is_hidden;   /* from the asker: nothing but its index */
    bool lacks_reads; /* its read set is no longer kept */
    uint64_t suspect; /* its author's key is suspect since; 0: not */
    struct msg op, effect, bundle; /* borrow from bytes */
    struct place place;            /* of its task; "" if it has none */
    struct bytes reads;            /* borrowed from bytes */
    struct buf bytes;              /* owned; zero-initialised is valid */
};

/* Entry `index`. 0 or negative errno. */
int node_read(struct ask *q, uint64_t index, struct node *n);
/* Its fields of an item; what m borrows lives as long as n does. */
void node_tell(const struct node *n, struct msg *m);
/* Who said it, also where it is hidden but one of its keys may be read, whose
 * log says the same. */
void node_tell_author(const struct node *n, struct msg *m);
struct linked node_linked(const struct node *n);
void node_free(struct node *n);

#endif
