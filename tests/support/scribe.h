/* Writes small, wholly valid ledgers for tests: a broker, one agent, one
 * session, and groups that are then given to ledger_create/append. */
#ifndef CHOIR_TESTS_SCRIBE_H
#define CHOIR_TESTS_SCRIBE_H

#include "proto/record.h"

struct scribe {
    struct key_pair broker, agent;
    struct hash ledger, broker_id, agent_id;
    uint64_t broker_seq, session, next_seq;
    struct hash broker_prev, prev;
    uint64_t time, epoch;
    struct frontier tree; /* size: entries up to the last one made */
    struct group g;       /* at hand */
    struct bundle_writer w;
    bool forge; /* sign the next agent bundle with a key that is not its own */
};

void scribe_init(struct scribe *s);
void scribe_free(struct scribe *s);
/* Begin a group that follows. */
void scribe_begin(struct scribe *s);
/* A group with genesis, the agent's admission and its session. */
void scribe_genesis(struct scribe *s);
/* A bundle of n puts with values of that many bytes. */
void scribe_puts(struct scribe *s, uint32_t n, size_t bytes);
/* One operation by the broker. */
void scribe_broker(struct scribe *s, const struct msg *op);
/* A checkpoint of everything before it. */
void scribe_checkpoint(struct scribe *s);
/* Just one group of one bundle of n puts. */
void scribe_group(struct scribe *s, uint32_t n, size_t bytes);

#endif
