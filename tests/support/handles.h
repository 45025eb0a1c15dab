/* Some agents of this process at the broker that it finds, a handle each. Set-up
 * that does not work fails the test. */
#ifndef CHOIR_TESTS_SUPPORT_HANDLES_H
#define CHOIR_TESTS_SUPPORT_HANDLES_H

#include "agent-sdk/choir.h"

/* n of them, named one-0 and so on. */
void handles_open(struct choir **handles, unsigned n);
void handles_close(struct choir **handles, unsigned n);
/* Each puts a value, all at once, and has its answer. */
void handles_put(struct choir **handles, unsigned n);

#endif
