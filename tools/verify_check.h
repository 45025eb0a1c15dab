/* What verify_files.c and verify_segments.c know of a directory while they go
 * through it. Of nobody else's concern. */
#ifndef CHOIR_TOOLS_VERIFY_CHECK_H
#define CHOIR_TOOLS_VERIFY_CHECK_H

#include "tools/verify.h"
#include "tools/verify_runs.h"

struct seal {
    bool there;
    struct hash ledger, group;
    uint64_t size, epoch, time, segments, end, last_bytes, spare_bytes;
};

struct check {
    const char *dir;
    struct verify_report *report;
    struct rules *rules; /* owned */
    struct runs *runs;   /* owned */
    struct seal seal;
    struct snapshot_claim claim;
    char claim_why[VERIFY_WHY];
    int claim_result;
    bool claim_met;           /* a group ends there and is the one it names */
    uint64_t files, segments; /* numbers there are; those with a header */
    struct segment_header header;
    uint64_t last_bytes, spare_bytes;
    /* behind the last good group */
    uint64_t offset, size, epoch, time;
    struct hash group;
    uint64_t synced; /* highest mark so far */
};

/* Where it is, and what is wrong: CHOIR_BROKEN. */
void check_name(struct check *c, const char *name);
void check_segment(struct check *c, uint64_t number, uint64_t offset);
int check_broken(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* --- verify_segments.c --------------------------------------------------- */

/* Every segment, group by group. 0; CHOIR_BROKEN; negative errno. */
int segments_check(struct check *c);
/* Does the group follow from what came before? 0 or CHOIR_BROKEN. */
int check_follows(struct check *c, const struct group_header *g);
/* What its entries say; its bytes are in order, and it follows. */
int check_group(struct check *c, const struct reading *x,
                const struct read_group *g);

/* --- verify_rest.c ------------------------------------------------------- */

/* The segment at hand from c->offset to the end of its file, which has so many
 * bytes. 0: it ends there; CHOIR_BROKEN; negative errno. */
int rest_check(struct check *c, int fd, uint64_t bytes);
/* Are there zeros only? 0 or negative errno. */
int rest_is_zero(int fd, uint64_t from, uint64_t end, bool *yes);

#endif
