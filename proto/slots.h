/* Payloads against the hashes that heads state of them, many side by side. */
#ifndef CHOIR_PROTO_SLOTS_H
#define CHOIR_PROTO_SLOTS_H

#include "hash.h"

enum { SLOTS_AT_ONCE = 64 };

/* What is still to be compared; about 4 KiB, for the stack. All that is added
 * is borrowed until the end. */
struct slots {
    struct hash_job jobs[SLOTS_AT_ONCE];
    const uint8_t *stated[SLOTS_AT_ONCE];
    size_t n;
    bool differ;
};

void slots_begin(struct slots *s);
/* A section: of each row salt and payload. marks: one for each slot, or none;
 * where it is not 0, nothing is stored. 0, or CHOIR_MALFORMED unless it is as
 * long as it should. */
int slots_add(struct slots *s, struct bytes rows, struct bytes payload,
              struct bytes marks);
/* 0, or CHOIR_MALFORMED if any did not fit its hash. */
int slots_end(struct slots *s);

/* One section, all of which is there. 0 or CHOIR_MALFORMED. */
int slots_check(struct bytes rows, struct bytes payload);

#endif
