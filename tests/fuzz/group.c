/* A group's header and body from a file. Since no fuzzer finds a sum, the
 * counts and lengths of the input are also believed and the body walked. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/record.h"
#include "proto/refusal.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

static bool within(struct bytes part, struct bytes whole)
{
    return part.n == 0 || (part.p >= whole.p && part.n <= whole.n &&
                           part.p + part.n <= whole.p + whole.n);
}

static void walk(const struct group_header *h, struct bytes body)
{
    struct group_walk w;
    const struct entry *e;
    uint32_t n = 0;
    int r;

    group_walk_begin(&w, h, body);
    while ((r = group_walk_next(&w, &e)) == 0) {
        struct bytes salt, value;

        must(within(e->head, body) && within(e->effect, body));
        must(within(e->payload, body) && within(e->effect_payload, body));
        must(e->index == h->first + n++);
        slot_at(e->rows, e->payload, 0, &salt, &value);
        entry_leaf(e);
    }
    must(r == CHOIR_MALFORMED || (r == CHOIR_NOT_FOUND && n == h->count));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t nonce[SEGMENT_NONCE_BYTES];
    struct group_header h = {0};
    struct segment_header s;
    struct bytes body;
    uint32_t format;

    if (size >= SEGMENT_HEADER_BYTES)
        segment_header_get(&s, bytes, &format);
    if (size < GROUP_HEADER_BYTES)
        return 0;
    body = bytes_of(bytes + GROUP_HEADER_BYTES, size - GROUP_HEADER_BYTES);
    if (group_header_get(&h, bytes, nonce, 0) == 0)
        group_check(&h, bytes, body);
    h.first = get_u64(bytes + 16);
    h.count = get_u32(bytes + 24);
    h.bundles = get_u32(bytes + 28);
    h.heads_bytes = get_u64(bytes + 32);
    h.payload_bytes = get_u64(bytes + 40);
    walk(&h, body);
    if (h.heads_bytes <= body.n)
        walk(&h, bytes_of(body.p, h.heads_bytes));
    return 0;
}
