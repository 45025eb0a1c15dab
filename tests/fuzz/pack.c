/* Whatever the strict reader accepts has one form: written again, item by
 * item, it is the same bytes. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/pack.h"

static void write_again(struct buf *out, const struct pack_item *item,
                        struct bytes as_read)
{
    switch (item->kind) {
    case PACK_UINT: pack_uint(out, item->u); return;
    case PACK_TEXT: pack_text(out, item->bytes); return;
    case PACK_BYTES: pack_bytes(out, item->bytes); return;
    case PACK_ARRAY: pack_array(out, item->u); return;
    case PACK_MAP: pack_map(out, item->u); return;
    default: /* we never write these */ buf_put(out, as_read.p, as_read.n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cursor c = cursor_of(bytes_of(bytes, size));
    bool valid = pack_valid(bytes_of(bytes, size));
    struct pack_item item;
    struct buf out = {0};
    const uint8_t *start = c.p;

    while (pack_next(&c, &item) == 0) {
        write_again(&out, &item, bytes_of(start, (size_t)(c.p - start)));
        start = c.p;
    }
    if (out.n != (size_t)(start - bytes) ||
        !bytes_equal(buf_bytes(&out), bytes_of(bytes, out.n)))
        abort();
    if (valid && out.n != size)
        abort();
    buf_free(&out);
    return 0;
}
