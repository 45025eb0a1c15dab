/* What systemd's SystemCallFilter= of a unit refuses, of the group @resources:
 * the calls that say when, where and how much a process runs. By the same means,
 * a seccomp filter of this process and its children, for good. */
#ifndef CHOIR_TESTS_SUPPORT_SANDBOX_H
#define CHOIR_TESTS_SUPPORT_SANDBOX_H

#include <stdbool.h>

/* Does the unit, a file, allow that call by its name? */
bool unit_allows(const char *unit, const char *call);
/* From here on those of @resources fail with EPERM: but for those that the unit
 * allows, if it is not NULL, and the one call, if it is not NULL. */
void sandbox_enter(const char *unit, const char *call);

#endif
