/* What a crash leaves of a segment that was being written again. */
#ifndef CHOIR_TESTS_SIM_LEFTOVER_H
#define CHOIR_TESTS_SIM_LEFTOVER_H

#include <stdbool.h>
#include <stdint.h>

/* The new file has its name, but not for good: the daemon ends, begins, and
 * then the power fails. Is there one of the two, whole? */
bool leftover_is_cleared_safely(uint64_t seed);

#endif
