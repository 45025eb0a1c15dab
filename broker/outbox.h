/* What leaves in one cycle: items are collected per recipient (a session on a
 * connection), then all of them hang under one tree that is signed once.
 *
 * Nothing leaves before it is durable: release does nothing until the record
 * is durable up to what the items rest on. That is trivial while the commit is
 * synchronous, and the same code when it is not.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_OUTBOX_H
#define CHOIR_BROKER_OUTBOX_H

#include "proto/answer.h"

struct outbox;

/* NULL when out of memory. */
struct outbox *outbox_new(void);
void outbox_destroy(struct outbox **self_p);

/* One item for that session of that connection. Copied. Returns the bytes it
 * took; 0: no memory or too many recipients, and it is lost. */
size_t outbox_add(struct outbox *o, uint64_t connection, uint64_t session,
                  const struct hash *agent, const struct msg *item);
/* Bytes that wait. */
size_t outbox_bytes(const struct outbox *o);
/* Everything added so far rests on the entries below size. */
void outbox_rests_on(struct outbox *o, uint64_t size);

/* frame: borrowed for the call. */
typedef void (*outbox_send)(void *arg, uint64_t connection, struct bytes frame);

/* Sign and send all of it, if the record is durable far enough (facts->size),
 * and begin anew. Frames of one recipient leave in the order they were begun.
 * Returns how many, or -ENOMEM. */
int outbox_release(struct outbox *o, const struct answer_facts *facts,
                   const struct key_pair *key, outbox_send send, void *arg);

#endif
