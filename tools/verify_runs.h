/* A segment's groups in runs of some hundred kilobytes, which the pool reads
 * (verify_read.h) ahead of whoever judges them in order. Memory: a few runs for
 * each core, whatever the segment's length; one group is never cut.
 * Threads: as the pool. */
#ifndef CHOIR_TOOLS_VERIFY_RUNS_H
#define CHOIR_TOOLS_VERIFY_RUNS_H

#include "tools/verify_pool.h"
#include "tools/verify_read.h"

struct runs;

/* pool: borrowed. NULL when out of memory. */
struct runs *runs_new(struct pool *pool);
void runs_destroy(struct runs **self_p);
/* From offset on, where entry `index` must start. fd: borrowed until runs_end.
 * bytes: the file's length. nonce: its header's, borrowed likewise. */
void runs_begin(struct runs *a, int fd, uint64_t bytes, const uint8_t *nonce,
                uint64_t offset, uint64_t index);
/* The next run, borrowed until the next call; NULL where no group begins that
 * has the entry's index that is due and lies whole in the file. What its bytes
 * say nobody has judged yet. 0; negative errno. */
int runs_next(struct runs *a, const struct reading **x);
/* Whatever is still under way is of no interest. */
void runs_end(struct runs *a);

#endif
