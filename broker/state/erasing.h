/* Erasures that are carried out slice by slice, by entries of the broker: those
 * under way, and the last ones that ended, so that it can be told what they
 * took. What is to be erased is said by their entry, which stays in the record.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_ERASING_H
#define CHOIR_BROKER_STATE_ERASING_H

#include "digest.h"
#include "proto/bytes.h"

enum {
    ERASINGS_MAX = 64,       /* under way */
    ERASINGS_ENDED_MAX = 64, /* remembered; the oldest is forgotten */
};

struct erasing {
    uint64_t index; /* its entry */
    uint64_t last;  /* its last slice; 0: none yet */
    uint64_t slots; /* in all slices so far */
    bool ended;
};

struct erasings;

/* NULL when out of memory. digest: borrowed. */
struct erasings *erasings_new(struct digest *digest);
void erasings_destroy(struct erasings **self_p);

/* Borrowed until the next change; NULL: there is none. */
const struct erasing *erasings_first(const struct erasings *e); /* under way */
const struct erasing *erasing_find(const struct erasings *e, uint64_t index);
size_t erasings_count(const struct erasings *e); /* under way */

/* By evolve alone. 0; -EINVAL: it is there already, or later ones are, or there
 * are too many. */
int erasing_begin(struct erasings *e, uint64_t index);
/* A slice: its entry, the slots it names. -ENOENT: none such is under way. */
int erasing_slice(struct erasings *e, uint64_t index, uint64_t slice,
                  uint64_t slots, bool ends);

/* One record each, in order; and back: 0 or CHOIR_MALFORMED. put returns 0 or a
 * negative errno, which save passes on. */
typedef int (*erasings_sink)(void *to, struct bytes record);
int erasings_save(const struct erasings *e, erasings_sink put, void *to);
int erasings_load(struct erasings *e, struct bytes record);

#endif
