/* The whole record once more: `choird --verify`.
 *
 * Replays every entry from genesis, decides each operation again and compares
 * outcome and effect with what is recorded, and the state's digest with what
 * each checkpoint entry states. Reads only. Signatures and proofs are
 * `choir verify`'s to check, which needs nothing of the broker, but for those
 * of the last group, if a crash may have come before they were checked. */
#ifndef CHOIR_BROKER_VERIFY_H
#define CHOIR_BROKER_VERIFY_H

#include "base/env.h"
#include "proto/hash.h"

struct verify_result {
    uint64_t entries, decided, checkpoints;
    uint64_t merged; /* entries whose merged values were computed again */
    uint64_t cut;    /* the entry from which on the next start will cut, because
                     it is not authentic; 0: none */
    struct hash ledger, digest, root;
    char trouble[512]; /* the first failure */
};

/* 0; -EUCLEAN with trouble; another negative errno, with trouble. */
int verify_record(const char *dir, struct env *env, struct verify_result *out);

#endif
