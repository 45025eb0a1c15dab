/* A frame as it arrived, and, since no fuzzer finds a hash, a bundle truly
 * made of whatever heads and payload the input holds: u16 length and bytes
 * each, the payload is the rest. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/refusal.h"
#include "proto/slots.h"
#include "tests/support/wire.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

static void as_it_is(struct bytes in)
{
    struct bundle b = {0};

    if (bundle_open(&b, in) == 0)
        bundle_check(&b, CLASS_OPERATION);
    bundle_free(&b);
}

/* What was admitted can be read slot by slot, and nothing is left over. */
static void slots_fill(const struct bundle_op *op)
{
    struct bytes salt, value;
    size_t i = 0, n = 0;

    for (; slot_at(op->rows, op->payload, i, &salt, &value) == 0; i++)
        n += salt.n + value.n;
    must(i == op->rows.n / SLOT_ROW_BYTES);
    must(n == op->payload.n);
    must(slots_check(op->rows, op->payload) == 0);
}

static void made_of(struct bytes in)
{
    static struct key_pair key;
    static bool made;
    struct cursor c = cursor_of(in);
    struct bundle_writer w = {0};
    struct bundle b = {0};
    struct buf frame = {0};
    struct bundle_facts facts;
    struct hash hash;

    if (!made)
        key = wire_key(2);
    made = true;
    facts = wire_facts(&key);
    bundle_begin(&w);
    while (cursor_left(&c) > 2 && w.count < 8) {
        size_t n = cursor_u8(&c);
        struct bytes head;

        n |= (size_t)cursor_u8(&c) << 8;
        head = cursor_take(&c, n < cursor_left(&c) ? n : cursor_left(&c));
        must(bundle_lend(&w, head, (struct bytes){0}) == 0);
    }
    if (w.count) {
        w.parts[w.count - 1].payload = bytes_of(c.p, cursor_left(&c));
        must(bundle_finish(&w, &facts, &key, &frame, &hash) == 0);
        must(bundle_open(&b, buf_bytes(&frame)) == 0);
        if (bundle_check(&b, CLASS_OPERATION) == 0) {
            for (uint32_t i = 0; i < b.count; i++)
                slots_fill(&b.ops[i]);
        }
    }
    bundle_free(&b);
    buf_free(&frame);
    bundle_writer_free(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    as_it_is(bytes_of(bytes, size));
    made_of(bytes_of(bytes, size));
    return 0;
}
