/* What a test of the library begins with: a stand-in for the broker, a place of
 * its own, and the options by which "ada" opens a handle there. */
#ifndef CHOIR_TESTS_SUPPORT_SCENE_H
#define CHOIR_TESTS_SUPPORT_SCENE_H

#include "agent-sdk/choir.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

extern struct standin *broker;
extern struct choir_options options;
extern char dir[HOME_BYTES];

void begin(void);
void end(void);
/* Fails the test where no handle can be opened with `options`. */
struct choir *open_or_fail(void);

/* Both at once, for a test with one handle; and both ends. */
struct choir *begin_one(void);
void end_one(struct choir *c);
/* Sends a put of "v" under "k", and does not wait. */
void send_one_put(struct choir *c);

#endif
