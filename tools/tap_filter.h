/* Which entries a tap shows. All of them are verified all the same. */
#ifndef CHOIR_TOOLS_TAP_FILTER_H
#define CHOIR_TOOLS_TAP_FILTER_H

#include "client.h"

enum { TAP_FILTERS_MAX = 16 };

struct tap_filters {
    struct tap_filter {
        int field;
        const char *value;
        uint64_t number; /* of verb, outcome, task */
    } list[TAP_FILTERS_MAX];
    int count;
};

/* All --filter FIELD=VALUE of the line; ends the process with 2 for a field
 * that is none, or a value that it cannot have. */
void tap_filters_take(const struct cli *cli, struct tap_filters *f);
/* Does the entry, or the notice, pass every one? c: knows agents by name. */
bool tap_filters_pass(const struct tap_filters *f, struct client *c,
                      const struct choir_event *e);

/* "agent, verb, ..." for the help. */
#define TAP_FILTER_FIELDS "agent, verb, key, queue, outcome, space, task"

#endif
