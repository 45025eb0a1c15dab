/* A witness: it keeps every tree head it was shown, and demands that each
 * begins with the one before. One thread. */
#ifndef CHOIR_TOOLS_WITNESS_H
#define CHOIR_TOOLS_WITNESS_H

#include "agent-sdk/choir.h"

struct witness;

/* dir: made if missing; heads are appended to its file `heads`, evidence goes
 * to `fork-SIZE`. accepts_epoch: go on behind a restore. 0 or an exit code,
 * having said why. */
int witness_open(struct witness **out, const char *dir, struct choir *c,
                 bool accepts_epoch);
void witness_close(struct witness **self_p);
/* Take the newest head, if there is one since the last look. size: set to what
 * was seen whole so far. 0; an exit code, having said why: 4 for a fork. */
int witness_look(struct witness *w, uint64_t *size);

#endif
