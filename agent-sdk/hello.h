/* The first frame of a connection, before there is a session. Any thread. */
#ifndef CHOIR_SDK_HELLO_H
#define CHOIR_SDK_HELLO_H

#include "proto/schema.h"

/* Append it. */
void hello_put(struct buf *out);

#endif
