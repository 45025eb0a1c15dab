/* Where a new key waits until the broker has agreed to it. */
#ifndef CHOIR_SDK_KEYS_H
#define CHOIR_SDK_KEYS_H

#include "identity.h"

/* 0 or -ENAMETOOLONG with the error line set. */
int keys_next_path(char out[PATH_BYTES], const char *path);

#endif
