/* How much free memory malloc keeps, for a daemon that takes and gives back the
 * same few megabytes with every round of frames. glibc as it comes returns what
 * is free at the end of an arena to the kernel from 128 KiB on, and a page fault
 * fetches each page of it again: 10 us in some guests, and a frame of 64 puts is
 * six pages on each of its three ways.
 *
 * The price: a broker that has been busy and is idle now keeps up to
 * MEMORY_KEPT_BYTES for each of the two threads that allocate (the state's and
 * libzmq's), but nothing that it never used. */
#ifndef CHOIR_BROKER_BASE_MEMORY_H
#define CHOIR_BROKER_BASE_MEMORY_H

enum {
    MEMORY_KEPT_BYTES = 32 << 20,
    MEMORY_STEP_BYTES = 1 << 20, /* what the heap grows by */
    /* From here on each block is mapped, and given back at once: more than the
     * largest frame that is taken in by default. Much larger is not better, a
     * mapped table grows without being copied. */
    MEMORY_MAPPED_BYTES = 8 << 20,
    MEMORY_FETCH_BYTES = 256 << 10, /* at a time, so that nobody waits for it */
    MEMORY_AHEAD_BYTES = 2 * MEMORY_STEP_BYTES, /* and no more in all */
};

/* Once, before there are other threads. What the environment says (MALLOC_...,
 * GLIBC_TUNABLES) stands; where malloc is not glibc's nothing happens. */
void memory_tune(void);

/* What the heap has grown by is fetched from the kernel in pieces, before it is
 * used: half the cost of a page fault for each page, or less. Often, by the main
 * thread. Nothing where the kernel cannot do it (before Linux 5.14). */
void memory_fetch(void);

#endif
