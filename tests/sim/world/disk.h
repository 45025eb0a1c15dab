/* A disk in memory, which takes the place of the kernel's files below
 * DISK_ROOT for everything linked with it: the broker's own calls (open,
 * pwrite, fdatasync, rename, ...) end here, see disk_calls.c.
 *
 * It keeps apart what a running system sees and what would be there if power
 * failed now: written bytes count only once a sync of their file has returned,
 * names only once their directory was synced. Everything it decides by chance
 * comes from disk_reset's seed.
 *
 * One per process. Threads: one. */
#ifndef CHOIR_TESTS_SIM_DISK_H
#define CHOIR_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DISK_ROOT "/simulated"

/* An empty disk without faults. */
void disk_reset(uint64_t seed);
void disk_free(void);

/* --- Faults -------------------------------------------------------------- */

/* From the n-th change to the disk on (1: the next), nothing works any more;
 * that one may be done in part. 0: never. */
void disk_cut_after(uint64_t n);
/* At once. */
void disk_cut(void);
/* Is it cut off? Then whoever uses it is about to end. */
bool disk_is_cut(void);
/* The n-th sync from now on fails, once. 0: none. */
void disk_fail_sync(uint64_t n);
/* Bytes that fit; UINT64_MAX: as many as come. */
void disk_set_room(uint64_t bytes);
/* Syncs say that they are done and do nothing: a disk that lies. */
void disk_lie(bool lies);

/* --- Restarts ------------------------------------------------------------ */

/* Whoever used it has ended: its files are closed, and the disk works again. */
void disk_restart(void);
/* The same, and what was not synced is there, gone, or there in part. Returns
 * how many changes were harmed. */
unsigned disk_lose_power(void);

/* --- For those who know -------------------------------------------------- */

/* Until now so many changes have been made; a sync that began at `from` covers
 * none of those after it, up to `upto`, if that is said before it is done. Of
 * the next sync alone; 0, 0: it covers all. */
uint64_t disk_changes(void);
void disk_sync_without(uint64_t from, uint64_t upto);
/* What a running system reads: a hash over the names of all files, without
 * their directories, and their bytes. */
uint64_t disk_hash(void);
/* Has a file "*.old" lost its last name, and bytes of it were not overwritten,
 * or not for good? */
bool disk_leaked(void);
/* What its files take, in bytes. */
uint64_t disk_bytes(void);
/* The files of a directory in another one, to look at: no loss of power
 * concerns the copy, and it is to be removed before one. */
void disk_copy(const char *from, const char *to);
void disk_remove(const char *dir);

#endif
