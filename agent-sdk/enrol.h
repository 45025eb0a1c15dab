/* Becoming an agent: with an invitation's one-time key, once. */
#ifndef CHOIR_SDK_ENROL_H
#define CHOIR_SDK_ENROL_H

#include "find.h"

/* Make sure that f->name has an identity with the broker of this invitation:
 * keep the one there is, finish one that was begun, or enrol. Processes that
 * do this at once end up with one. Sets f->identity, f->path, f->has_identity.
 * 0; CHOIR_EXPIRED; CHOIR_NAME_TAKEN; CHOIR_UNREACHABLE; CHOIR_WRONG_BROKER;
 * CHOIR_BROKEN; -errno; the error line is set. Blocks up to timeout_ms. */
int enrol_agent(struct found *f, const struct invitation *i, int timeout_ms);

/* An agent whose recovery key we hold takes itself back: all its keys end, and
 * f->path gets new ones. away: its agent id and recovery key. As above, and
 * CHOIR_DENIED (that is not its recovery key). */
int enrol_again(struct found *f, const struct identity *away,
                const struct invitation *i, int timeout_ms);

#endif
