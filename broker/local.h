/* What choird leaves in its data directory for the same user on the same
 * machine: local.invite, by which each agent name enrols silently, and the
 * url in admin.identity.
 * Thread: state thread only, outside of a cycle. */
#ifndef CHOIR_BROKER_LOCAL_H
#define CHOIR_BROKER_LOCAL_H

#include "core.h"

enum { LOCAL_TROUBLE_BYTES = 512 };

/* Write both for this url. The invitation is kept as long as it is good, and
 * made anew, by an entry of the broker's, when it is not. 0, or a negative
 * errno with a sentence. */
int local_files_write(struct core *core, const char *dir, const char *url,
                      char trouble[LOCAL_TROUBLE_BYTES]);

#endif
