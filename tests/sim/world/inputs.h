/* What else a simulated broker takes from the world: randomness, signatures, the
 * number of its process, a thread that waits for the disk. All of it a function
 * of the seed. */
#ifndef CHOIR_TESTS_SIM_INPUTS_H
#define CHOIR_TESTS_SIM_INPUTS_H

#include <stdint.h>

/* Everything that draws random bytes from libsodium, keys included. */
void inputs_reset(uint64_t seed);
/* A sync that goes on beside ends when it was looked at so often; 0: at once.
 * It covers what was written before it began, no more. */
void inputs_sync_looks(unsigned looks);

#endif
