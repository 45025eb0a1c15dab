/* One encrypted DEALER connection to the broker. Only connection*.c knows
 * ZeroMQ. It does not reconnect by itself: a new attempt is a new
 * socket, so that what was queued for a dead peer is gone with it and the
 * caller alone decides what is sent again.
 *
 * All functions: one thread at a time. */
#ifndef CHOIR_SDK_CONNECTION_H
#define CHOIR_SDK_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/key.h"

struct connection;
struct near;

struct connection_keys {
    uint8_t broker_curve[KEY_CURVE_BYTES];
    struct curve_pair curve;
};

enum connection_state {
    CONNECTION_CLOSED,  /* not begun, or it ended: begin again */
    CONNECTION_WAITING, /* no answer to the handshake yet */
    CONNECTION_UP,
    CONNECTION_REFUSED, /* our key was refused: begin again is in vain */
};

/* url: borrowed until destroy. 0, -ENOMEM; -EPERM: this process may not say how
 * its threads are scheduled, without which ZeroMQ would end it. */
int connection_new(struct connection **c, const char *url,
                   const struct connection_keys *keys);
/* Sets what choir_error_text says of such a failure; returns r. */
int connection_error(int r);
/* Gives what is queued linger_ms to leave; does not wait for it, unless no
 * other connection to that url is left in the process. NULL and *c == NULL: nothing. */
void connection_destroy(struct connection **c, int linger_ms);

/* Begin connecting, after dropping what there was. 0, -EINVAL, -errno. */
int connection_begin(struct connection *c);
enum connection_state connection_state(const struct connection *c);
/* How often in a row a peer answered and then broke off during the handshake:
 * it does not hold the key we expect. */
unsigned connection_breaks(const struct connection *c);

/* Let connection_poll look at this descriptor too; bit: what stands for it
 * there, one of the lower 16. It must outlive the connection. 0 or -errno. */
int connection_watch(struct connection *c, int fd, unsigned bit);
/* Sleep until something happens: a frame, a change of state, a watched
 * descriptor readable, or timeout_ms (-1: for ever) is over. Returns the bits
 * of those that are readable. */
unsigned connection_poll(struct connection *c, int timeout_ms);
/* Nothing but frames, and what is watched, is to be expected of it: what wakes
 * one who sleeps elsewhere need not be looked at before connection_receive is
 * tried. */
bool connection_steady(const struct connection *c);
/* Let connection_receive look, whoever looked before. */
void connection_expect(struct connection *c);
/* Nothing is expected: neither connection_receive nor connection_pending looks
 * until something is sent, the descriptor tells of something, or
 * connection_expect. A frame that is there already is not told of. */
void connection_rest(struct connection *c);
/* To sleep elsewhere: readable when connection_poll has something to do,
 * provided that connection_pending was false after the last other call. */
int connection_fd(const struct connection *c);
bool connection_pending(struct connection *c);
/* Queue one frame. 0; -ENOTCONN unless UP; -ENOMEM. Never blocks. */
int connection_send(struct connection *c, struct bytes frame);
/* The next frame, borrowed until the next call. 0; -EAGAIN: none;
 * CHOIR_MALFORMED: more than one part. */
int connection_receive(struct connection *c, struct bytes *frame);

/* The core that the broker sends its answers from, if it is this host's, nothing
 * else is under way, and each answer came from there; else -1. */
int connection_core(const struct connection *c);
/* Of the thread that encrypts for this connection, see proto/near.h. *out is
 * owned, until the connection is destroyed at the latest. 0 or -ENOMEM. */
int connection_near(const struct connection *c, struct near **out);

#endif
