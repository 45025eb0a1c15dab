/* ZeroMQ contexts, and with them the threads that encrypt and move bytes,
 * shared by the connections of the process. Any thread. */
#ifndef CHOIR_SDK_CONNECTION_CONTEXT_H
#define CHOIR_SDK_CONNECTION_CONTEXT_H

#include <stdbool.h>

enum { CONTEXT_THREAD_BYTES = 24 };

struct context;

/* What ZeroMQ calls the threads that move bytes for all of them, and none of the
 * program's own, as fnmatch(3) has it: it takes nothing but a number in front. */
#define CONTEXT_THREADS "43[0-9][0-9][0-9]/ZMQbg/IO*"

/* For a connection to url: one that others to that url use, too, if there is
 * one with room for its sockets and no name to be looked up. NULL: no memory.
 * Give it to context_drop. */
struct context *context_take(const char *url);
/* Is there no name to be looked up in it? Digits, or an address in brackets, or
 * not TCP at all. */
bool context_is_address(const char *url);
/* ZeroMQ's name of it. */
void *context_zmq(const struct context *c);
/* The name of its thread, likewise. */
void context_thread(const struct context *c, char name[CONTEXT_THREAD_BYTES]);
/* Does another connection use it, too? */
bool context_is_shared(const struct context *c);
/* The connection has closed its sockets. Whoever drops it last waits for what
 * they still have to send, as long as their linger allows. */
void context_drop(struct context *c);

#endif
