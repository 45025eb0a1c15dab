/* An own place for a test of the library: a directory, identities in its
 * `store`, and nothing of the caller's environment. */
#ifndef CHOIR_TESTS_SUPPORT_HOME_H
#define CHOIR_TESTS_SUPPORT_HOME_H

enum { HOME_BYTES = 256 };

/* dir: set to its path. Fails the test if it cannot be made. */
void home_make(char dir[HOME_BYTES]);
void home_remove(const char *dir);

#endif
