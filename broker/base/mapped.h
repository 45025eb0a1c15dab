/* A file's bytes in memory, read without a call for each piece.
 *
 * Where the disk cannot give what was mapped, or the file has become shorter,
 * the kernel sends SIGBUS instead of an error. mapped_copy turns that back into
 * one: nothing else may touch the bytes, and what was copied stays as it was
 * checked, whatever happens to the file.
 *
 * Threads: copying: any. A SIGBUS that is not about a copy ends the process, as
 * it would without this. */
#ifndef CHOIR_BROKER_BASE_MAPPED_H
#define CHOIR_BROKER_BASE_MAPPED_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised is empty. */
struct mapped {
    const uint8_t *p; /* owned */
    size_t n;
};

/* All of a file that there is now, and up to at_least bytes for what it will
 * grow by; what was mapped before is left. Reads are expected here and there:
 * nothing is read ahead. 0 or negative errno, and then it is empty. */
int mapped_open(struct mapped *m, int fd, size_t at_least);
/* Accepts what is empty. */
void mapped_close(struct mapped *m);

/* 0; -ENODATA: more was not mapped; -EIO: it cannot be read, or the file ends
 * pages before. Behind its end in the last page there are zeros. */
int mapped_copy(const struct mapped *m, void *to, size_t n, uint64_t at);

/* These bytes are copied in a moment. */
static inline void mapped_fetch(const struct mapped *m, size_t n, uint64_t at)
{
    if (!n || at > m->n || n > m->n - at)
        return;
    for (size_t i = 0; i < n + 63; i += 64)
        __builtin_prefetch(m->p + at + (i < n ? i : n - 1));
}

#endif
