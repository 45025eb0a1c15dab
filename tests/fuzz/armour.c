/* What people paste. What is read, written again, gives the same message. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/armour.h"

static void read_as(enum message part, struct bytes text)
{
    struct buf bytes = {0}, line = {0}, once_more = {0};
    struct msg m, again;

    if (armour_get(text, part, &bytes, &m) == 0) {
        if (armour_put(&line, &m) ||
            armour_get(buf_bytes(&line), part, &once_more, &again) ||
            !bytes_equal(buf_bytes(&bytes), buf_bytes(&once_more)))
            abort();
    }
    buf_free(&bytes);
    buf_free(&line);
    buf_free(&once_more);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    read_as(MSG_IDENTITY, bytes_of(bytes, size));
    read_as(MSG_INVITATION, bytes_of(bytes, size));
    return 0;
}
