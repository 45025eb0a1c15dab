/* A fuzz target is one function; see tests/fuzz/README.md. */
#ifndef CHOIR_TESTS_FUZZ_H
#define CHOIR_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* bytes: borrowed for the call, any content, size may be 0. Returns 0. Must
 * not exit, and must leave nothing behind that the next call would notice. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#endif
