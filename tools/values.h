/* The values that an entry carries, as people and programs are shown them. */
#ifndef CHOIR_TOOLS_VALUES_H
#define CHOIR_TOOLS_VALUES_H

#include <jansson.h>
#include <stdio.h>

#include "proto/record.h"

/* Its own, in the order of their slots, then what was merged; each as its media
 * type says, or why it is not there: a line or some for each, indented.
 * e: its head, effect, marks, rows and payloads are set. */
void values_print(FILE *out, const struct entry *e);
/* The same as an array of {"value" in one of its forms, or "missing", and
 * "merged": true}. Owned. */
json_t *values_json(const struct entry *e);

#endif
