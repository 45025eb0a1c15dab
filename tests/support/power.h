/* Losing power, not only the process: what was written to a segment and not
 * synced may be gone, whole, in part or not at all, when the machine is back.
 *
 * tests/preload/power.c, preloaded into the daemon, writes down what each
 * write overwrites until a sync of that file has returned; power_lose puts
 * some of it back after the daemon was killed. Files and directories
 * themselves, and files that are renamed into place, are not part of it. */
#ifndef CHOIR_TESTS_SUPPORT_POWER_H
#define CHOIR_TESTS_SUPPORT_POWER_H

#include <stdint.h>

/* Environment of the preloaded daemon. */
#define POWER_JOURNAL "CHOIR_TEST_POWER_JOURNAL" /* a path */
#define POWER_LIE "CHOIR_TEST_POWER_LIE"         /* set: syncs do nothing */

enum { POWER_JOURNAL_BYTES = 64 << 20 };

/* The journal: this, then records, each with its old bytes behind it, rounded
 * up to 8. Shared memory, so it outlives the process. */
struct power_journal {
    uint64_t used; /* bytes of records */
};
struct power_record {
    uint64_t file; /* inode */
    uint64_t at, bytes;
    uint64_t synced; /* 1: yes; anything else: not certainly */
};

static inline uint64_t power_record_bytes(const struct power_record *r)
{
    return sizeof *r + ((r->bytes + 7) & ~UINT64_C(7));
}

/* After the daemon's death: undo what chance says of what was not synced to
 * files in dir, and forget the rest. Returns how many writes were harmed.
 * Aborts when it cannot. */
unsigned power_lose(const char *journal, const char *dir, unsigned *seed);

#endif
