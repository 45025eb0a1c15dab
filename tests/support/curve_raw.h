/* A CURVE client by hand (rfc.zeromq.org/spec/26), for what libzmq would never
 * send: it does not put a message on the wire before its last part is there. */
#ifndef CHOIR_TESTS_SUPPORT_CURVE_RAW_H
#define CHOIR_TESTS_SUPPORT_CURVE_RAW_H

#include "proto/key.h"

struct curve_raw {
    int fd;
    uint8_t shared[32]; /* of both short-term keys */
    uint64_t nonce;
};

/* On a connected socket, up to and including READY. 0 or -1. */
int curve_raw_open(struct curve_raw *c, int fd, const struct curve_pair *own,
                   const uint8_t server[32]);
/* One part of a message. 0, or -1 when the peer has closed. */
int curve_raw_send(struct curve_raw *c, const void *part, size_t n, int more);

/* One frame that has begun to arrive. 1: a message, in out; 0: a command, and
 * a ping is answered; -1: the peer has closed, or it cannot be read. */
int curve_raw_take(struct curve_raw *c, struct buf *out);

#endif
