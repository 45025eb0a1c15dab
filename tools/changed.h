/* What became of keys, as `choir since` and `choir diff` show it. */
#ifndef CHOIR_TOOLS_CHANGED_H
#define CHOIR_TOOLS_CHANGED_H

#include "client.h"

/* Ask for page after page of a "since" or "diff" and print each key.
 * request: taken.  revision: set to what the answer is complete up to.
 * Returns an exit code. */
int changed_print(struct cli *cli, struct client *c, json_t *request,
                  uint64_t *revision);

/* --keys-only */
extern const struct cli_option changed_options[];
/* What each line holds, for the help. */
#define CHANGED_LINES                                                          \
    "One line a key, however often it changed: revision, time and put or\n"    \
    "delete of its last version, its revision as of then (0: absent), how\n"   \
    "many versions it had since, writer, key. ? where there are too many to\n" \
    "look through."

#endif
