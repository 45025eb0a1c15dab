/* Requests while the caller builds them, and what they become: an encoded
 * operation on its way. A request belongs to one thread at a time. */
#ifndef CHOIR_SDK_REQUEST_H
#define CHOIR_SDK_REQUEST_H

#include "choir.h"
#include "proto/schema.h"

struct choir_event;

/* One encoded operation or ask. It moves from list to list, always owned by
 * exactly one; in the end it is kept, with the memory of its bytes, for the
 * next one. */
struct op {
    struct op *prev, *next;
    uint64_t id; /* the request; 0: the library's own */
    enum message verb;
    struct buf head, payload;
    uint64_t token;    /* the lease it speaks for; 0: none */
    bool has_id;       /* carries an operation id: may be said twice */
    bool again;        /* was said in an earlier session already */
    bool is_bare;      /* its slots' hashes are not there yet: slots.h */
    size_t rows_at;    /* if so, where in the head their rows begin, */
    size_t rows_bytes; /* and end */
    uint64_t number;   /* records: as it was last sent */
    uint64_t standing; /* asks: the standing request it opens; 0: none */
    struct choir_event *event; /* owned: what its outcome is told in; or NULL */
};

/* Its msg, decoded again; borrowed from op->head. */
void op_decode(const struct op *op, struct msg *m);
/* The library's own op for that message. NULL: no memory. */
struct op *op_new(uint64_t id, const struct msg *m);
static inline size_t op_bytes(const struct op *op)
{
    return op->head.n + op->payload.n;
}
void op_free(struct op *op);
/* What was put in a round trip ago has left the processor's caches: have ops
 * that follow ops[at] come while that one is told, an op first, then its event.
 * NULL stands for one that was told. */
void ops_fetch(struct op *const *ops, size_t n, size_t at);
/* As if it were new, but for the memory of its bytes. */
void op_reset(struct op *op);

/* Check, fill in space, encode. The request stays the caller's and may be
 * changed and encoded again. Sets the error line. 0; CHOIR_INVALID;
 * CHOIR_OVER_LIMIT; -ENOMEM; what a setter said earlier. */
int request_encode(struct choir_request *r, const char *space);
/* Of what was encoded: its bytes, as op_bytes of the op it becomes. */
size_t request_bytes(const struct choir_request *r);
/* Make it an op, which is new or was reset. The request is good only to be
 * freed. */
void request_give(struct choir_request *r, struct op *op);
/* The revision that stands for "only what comes now": no change has revision
 * 0, but the tap's first entry has. */
static inline uint64_t revision_now(enum message verb)
{
    return verb == MSG_TAP ? LIMIT_UINT_MAX_WIRE : 0;
}
enum message request_verb(const struct choir_request *r);
/* Has that field been set? */
bool request_has(const struct choir_request *r, enum field f);
/* The lease it names; 0: none. How many slots it has by now. */
uint64_t request_token(const struct choir_request *r);
size_t request_slots(const struct choir_request *r);

#endif
