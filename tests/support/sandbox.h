/* What systemd refuses as a unit has it: by SystemCallFilter=, of the group
 * @resources, the calls that say when, where and how much a process runs; and by
 * RestrictAddressFamilies=. By the same means, a seccomp filter of this process
 * and its children, for good. */
#ifndef CHOIR_TESTS_SUPPORT_SANDBOX_H
#define CHOIR_TESTS_SUPPORT_SANDBOX_H

#include <stdbool.h>

/* From here on those calls fail with EPERM and all families with EAFNOSUPPORT,
 * but for those that the unit, a file, names; or without one (NULL) those that
 * stand in `names`. */
void sandbox_enter(const char *unit, const char *names);

#endif
