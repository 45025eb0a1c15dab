/* What `choir submit` of one task and of many have in common. */
#ifndef CHOIR_TOOLS_SUBMIT_H
#define CHOIR_TOOLS_SUBMIT_H

#include "cli.h"

/* A submission with everything the options say, but no payload. Owned. */
json_t *submission_make(const struct cli *cli);
/* --bulk FILE: a task for each line. The exit code. */
int submit_bulk(struct cli *cli, const char *file);

#endif
