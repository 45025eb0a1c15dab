/* Which process this is, without a system call, and random bytes that no
 * fork can repeat. Any thread. */
#ifndef CHOIR_SDK_PROCESS_H
#define CHOIR_SDK_PROCESS_H

#include "proto/schema.h"

/* Never 0; another one in every process, a forked child's included. */
uint64_t process_mark(void);

/* The salt of one slot, from the kernel's generator by way of a store of the
 * thread: most calls need no system call. */
void salt_next(uint8_t salt[SLOT_SALT_BYTES]);

#endif
