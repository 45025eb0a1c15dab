/* What blocking calls are made of: a request sent, and what it ends with. Each
 * takes the request whatever happens; NULL: its error is this thread's. */
#ifndef CHOIR_SDK_CALLS_H
#define CHOIR_SDK_CALLS_H

#include "handle.h"

/* What a failed event says, as this thread's error. Its code. */
int event_error(const struct choir_event *e);
/* For calls that end with a revision, which may be NULL. */
int call_revision(struct choir *c, struct choir_request **r,
                  uint64_t *revision);
/* For calls that end with a reply; none is given on failure. */
int call_reply(struct choir *c, struct choir_request **r,
               struct choir_event **e);
/* Send a standing request and take its first reply; its events then come by
 * choir_next and choir_wait. */
int call_begin(struct choir *c, struct choir_request **r, uint64_t *id);

#endif
