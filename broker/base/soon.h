/* Waiting awake for what another thread, on another core, is about to have
 * done: for about as long as it would take to sleep and to be woken. Whoever was
 * kept on a core of their own may be waited for like this; where nobody else can
 * run meanwhile, that time is lost.
 * Thread: any. */
#ifndef CHOIR_BROKER_BASE_SOON_H
#define CHOIR_BROKER_BASE_SOON_H

#include <stdatomic.h>
#include <stdbool.h>

/* Is it done by then? What was written before it was set can be read. */
bool soon(const _Atomic bool *is_done);

#endif
