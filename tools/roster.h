/* Who there is, as `choir agents` and `choir top` show it. */
#ifndef CHOIR_TOOLS_ROSTER_H
#define CHOIR_TOOLS_ROSTER_H

#include "client.h"

/* All agents: an array of objects as agent_list tells them, each with its
 * "sessions" and "leases" as arrays, the number of reads that are "stale", and, if it was heard of, with "behind" (in
 * revisions) and "silent_ms". roster: owned. Returns an exit code. */
int roster_load(struct client *c, json_t **roster);
/* Was it heard of lately? */
bool roster_is_here(const json_t *agent);

void roster_head_print(void);
void roster_line_print(const json_t *agent);

#endif
