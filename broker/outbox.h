/* What leaves: items are collected per recipient (a session on a connection)
 * into bodies; then many bodies hang under one tree that is signed once.
 *
 * Nothing leaves before it is durable. A body is closed by outbox_rests_on,
 * which says what its items rest on, and leaves with the first release at
 * which the record is durable that far. Syncs may take a while: what is added
 * meanwhile goes into new bodies behind those that wait.
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
/* The same with the item's encoding. */
size_t outbox_add_bytes(struct outbox *o, uint64_t connection, uint64_t session,
                        const struct hash *agent, struct bytes item);
/* Bytes that wait. */
size_t outbox_bytes(const struct outbox *o);
/* Everything added since the last call rests on the entries below size, which
 * never decreases. */
void outbox_rests_on(struct outbox *o, uint64_t size);
/* Does anything wait? */
bool outbox_waits(const struct outbox *o);

/* frame: borrowed for the call. took: what outbox_add said, over its items. */
typedef void (*outbox_send)(void *arg, uint64_t connection, struct bytes frame,
                            size_t took);

/* Sign what a release with these facts would send, and send nothing: then that
 * release, when it comes, need not. What changes until then is signed anew. 0
 * or -ENOMEM. */
int outbox_sign(struct outbox *o, const struct answer_facts *facts,
                const struct key_pair *key);

/* Sign and send all that rests on no more than facts->size entries. Frames of
 * one recipient leave in the order they were begun. Returns how many, or
 * -ENOMEM. */
int outbox_release(struct outbox *o, const struct answer_facts *facts,
                   const struct key_pair *key, outbox_send send, void *arg);

#endif
