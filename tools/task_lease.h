/* choir task moved | heed: what a command of `choir work` asks about its own
 * lease. Each returns the exit code. */
#ifndef CHOIR_TOOLS_TASK_LEASE_H
#define CHOIR_TOOLS_TASK_LEASE_H

#include "client.h"

int task_moved(struct cli *cli, struct client *c);
/* answer: "refresh", "ignore", "abandon". */
int task_heed(struct cli *cli, struct client *c, const char *answer);

#endif
