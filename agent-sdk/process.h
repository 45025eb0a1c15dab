/* Which process this is, without a system call; what there is one of in each
 * process; and random bytes that no fork can repeat. Any thread. */
#ifndef CHOIR_SDK_PROCESS_H
#define CHOIR_SDK_PROCESS_H

#include <pthread.h>

#include "proto/schema.h"

/* Never 0; another one in every process, a forked child's included. */
uint64_t process_mark(void);

/* What all handles of a process share. A forked child begins with none of it,
 * whatever its parent was doing at that moment; what the parent had stays
 * behind, untouched. */
struct process_shared {
    pthread_mutex_t lock;     /* the others only with it held */
    struct hub *hub;          /* see hub.h; NULL: there is none */
    struct context *contexts; /* see connection_context.h */
};
struct process_shared *process_shared(void);

/* The salt of one slot, from the kernel's generator by way of a store of the
 * thread: one in 256 calls needs a system call. */
void salt_next(uint8_t salt[SLOT_SALT_BYTES]);

#endif
