/* Tasks that arrived before the context they were written from: they wait here
 * until every replica of the handle is complete up to their claim. Their leases
 * are kept alive meanwhile. What comes behind one for the same request waits
 * with it. All with the handle's lock held. */
#ifndef CHOIR_SDK_LATE_H
#define CHOIR_SDK_LATE_H

#include "handle.h"

/* Taken: it has to wait. */
bool late_take(struct choir *c, struct choir_event *event);
/* A replica has come further, or is gone: hand out what need not wait any
 * more. */
void late_look(struct choir *c);
/* Nobody wants the request's events any more: tasks go back by nak. */
void late_drop(struct choir *c, uint64_t request);

#endif
