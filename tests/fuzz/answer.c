/* A frame as it arrived, one truly signed over whatever body the input is, and
 * that one bent. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "proto/refusal.h"
#include "tests/support/wire.h"

static void items(struct answer *a)
{
    struct msg m;
    uint32_t n = a->items, seen = 0;
    int r;

    while ((r = answer_next(a, &m)) == 0 || r == CHOIR_UNSUPPORTED)
        seen++;
    if (r == CHOIR_NOT_FOUND && seen != n)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct bytes body = bytes_of(bytes, size);
    struct answer_facts facts = {.ledger = wire_hash(1), .epoch = 1};
    struct hash leaf = answer_leaf(body);
    struct key_pair key = wire_key(9);
    struct buf front = {0}, frame = {0};
    struct merkle tree = {0};
    struct answer a;

    if (answer_open(&a, body) == 0)
        items(&a);
    if (merkle_build(&tree, &leaf, 1) ||
        answer_sign(&facts, &tree, &key, &front))
        abort();
    answer_frame(&frame, buf_bytes(&front), &tree, 0, body);
    if (answer_open(&a, buf_bytes(&frame)) == 0)
        items(&a);
    else if (size >= 44)
        abort(); /* session, agent and count are all a body must have */
    if (size) {  /* and not one bit may be another */
        frame.p[frame.n - 1 - bytes[0] % size] ^= 1;
        if (answer_open(&a, buf_bytes(&frame)) == 0)
            abort();
    }
    buf_free(&front);
    buf_free(&frame);
    merkle_free(&tree);
    return 0;
}
