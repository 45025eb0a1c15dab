/* The spots that level watches wait at, by space and prefix.
 *
 * A changed key is looked for once for each length of a prefix that is in use,
 * and mostly nothing is there. So a table of sixteen bits a place says what is
 * not: with 100,000 spots it stays in the processor's cache, where the spots
 * themselves, one behind the other in a chain, would be waits for memory.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CURSOR_SPOTS_H
#define CHOIR_BROKER_CURSOR_SPOTS_H

#include <stddef.h>
#include <stdint.h>

struct watch;

/* A prefix of a space that level watches wait at. */
struct spot {
    struct watch *watches;
    size_t prefix_bytes;
    uint64_t seen;     /* the last revision that came by, plus one */
    struct spot *also; /* the next one concerned by the same revision */
    uint64_t hash;     /* of the key */
    size_t key_bytes;
    char key[]; /* space, NUL, prefix */
};

/* Open addressing, at most half full. Zero-initialised: empty. */
struct spots {
    uint16_t *tags;    /* 0: nothing is there */
    struct spot **all; /* borrowed; beside its tag */
    unsigned bits;     /* 1 << bits places */
    size_t count;
};

/* NULL: none. */
struct spot *spots_find(const struct spots *s, const char *key, size_t n,
                        uint64_t hash);
/* One that is not there: by its hash and key. 0 or -ENOMEM. */
int spots_add(struct spots *s, struct spot *spot);
/* One that is there. */
void spots_remove(struct spots *s, const struct spot *spot);
/* What is left is the caller's. */
void spots_free(struct spots *s);

#endif
