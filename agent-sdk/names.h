/* Names of fields and verbs as callers write them. Any thread. */
#ifndef CHOIR_SDK_NAMES_H
#define CHOIR_SDK_NAMES_H

/* The number in the table, or 0. NULL: 0. */
unsigned name_field(const char *name);
unsigned name_verb(const char *name);

#endif
