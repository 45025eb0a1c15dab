/* The broker's counters, as `choir status` and `choir top` show them. */
#ifndef CHOIR_TOOLS_STATUS_H
#define CHOIR_TOOLS_STATUS_H

#include "client.h"

/* One object, {name: number or text}. status: owned. Returns an exit code. */
int status_load(struct client *c, json_t **status);

#endif
