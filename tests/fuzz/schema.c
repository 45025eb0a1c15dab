/* The first byte chooses what is read: a class, or a part. What is accepted,
 * encoded again, is the same bytes; its lists can be walked to their end; and
 * the two readers of slots agree. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/bundle.h"
#include "proto/refusal.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

static void walk(const struct msg *m)
{
    for (unsigned f = 0; f < FIELD_END; f++) {
        const struct field_row *row = field_row(f);
        struct list at;
        struct msg element;
        struct bytes name, text;
        uint64_t n = 0;

        if (!row || !msg_has(m, (enum field)f))
            continue;
        at = msg_list(m, (enum field)f);
        if (row->kind == KIND_LIST) {
            while (list_next(&at, &element))
                n++;
            must(n == msg_u(m, (enum field)f));
        }
        if (row->kind == KIND_LABELS) {
            while (labels_next(&at, &name, &text))
                n++;
            must(n == msg_u(m, (enum field)f));
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bytes in = bytes_of(bytes + 1, size ? size - 1 : 0), rows;
    struct buf again = {0};
    struct msg m;
    unsigned field = 0;
    int r;

    if (size == 0)
        return 0;
    if (bytes[0] >= MSG_HELLO && bytes[0] <= MSG_EXPORT_END)
        r = part_decode((enum message)bytes[0], in, &m, &field);
    else
        r = msg_decode(in, bytes[0], &m, &field);
    must(r == 0 || r == CHOIR_MALFORMED || r == CHOIR_UNSUPPORTED);
    must((r == CHOIR_UNSUPPORTED) == (field != 0) || r == CHOIR_MALFORMED);
    if (r)
        return 0;
    msg_encode(&m, &again);
    must(bytes_equal(in, buf_bytes(&again)));
    must(head_slots(in, &rows) == 0);
    must(bytes_equal(rows, msg_b(&m, FIELD_SLOTS)));
    walk(&m);
    buf_free(&again);
    return 0;
}
