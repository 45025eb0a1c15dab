/* Under which lease this thread acts, and what requests carry because of it.
 */
#ifndef CHOIR_SDK_USING_H
#define CHOIR_SDK_USING_H

#include "handle.h"

/* The token; 0: none of this handle. */
uint64_t using_token(const struct choir *c);
/* A task was handed to this thread; a task has ended in it. */
void using_begin(const struct choir *c, uint64_t task, uint64_t token);
void using_end(const struct choir *c, uint64_t token);
/* Fill in what the caller left out: task and token, the read set of a
 * completion, up to where a heed answers. 0 or the setter's error. */
int using_fill(struct choir *c, struct choir_request *r);

#endif
