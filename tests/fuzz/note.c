/* A tree head from a file. What is read and verified, written again, is the
 * same text. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/note.h"
#include "tests/support/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct key_pair key = wire_key(9);
    struct buf again = {0};
    struct note n;

    if (note_get(&n, bytes_of(bytes, size), key.public_key))
        return 0;
    if (note_put(&again, &n, &key) ||
        !bytes_equal(buf_bytes(&again), bytes_of(bytes, size)))
        abort();
    buf_free(&again);
    return 0;
}
