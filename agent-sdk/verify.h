/* Is this really from our broker, for us, and not older than what we know?
 * Engine only. */
#ifndef CHOIR_SDK_VERIFY_H
#define CHOIR_SDK_VERIFY_H

#include "proto/answer.h"

/* The newest checkpoint the broker has proven. Zeros: none yet. */
struct checkpoint {
    uint64_t epoch, size;
    struct hash root;
};

struct verifier {
    struct hash ledger, agent;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    struct checkpoint seen;
    bool accept_epoch;  /* the operator's word: take the next one as it is */
    struct buf trusted; /* the last header that was verified, as received */
};

/* Open a frame and check all of it but its items.
 * 0; CHOIR_BROKEN; CHOIR_WRONG_LEDGER; CHOIR_LEDGER_BEHIND: each ends the
 * handle, and the thread's error line says what was wrong. -ENOMEM. */
int verifier_open(struct verifier *v, struct bytes frame, struct answer *a);
void verifier_free(struct verifier *v);

#endif
