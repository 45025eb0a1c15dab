/* Whatever way a slot's hash is made, it is slot_row's. */
#include "agent-sdk/slots.h"

#include <utlist.h>

#include "proto/bundle.h"
#include "proto/slots.h"
#include "tests/check.h"

static uint8_t value[100000];

/* A put, or a completion of two, as choir_send makes it. */
static struct op *op_of(size_t first, size_t second)
{
    struct choir_request *r =
        choir_request_new(NULL, second ? "complete" : "put");
    struct op *op = calloc(1, sizeof *op);

    if (second) {
        choir_request_uint(r, "task", 1);
        choir_request_uint(r, "token", 2);
    } else {
        choir_request_text(r, "key", "k");
    }
    CHECK_OK(choir_request_slot(r, value, first, NULL));
    if (second)
        CHECK_OK(choir_request_slot(r, value, second, NULL));
    CHECK_OK(request_encode(r, "s"));
    request_give(r, op);
    choir_request_free(&r);
    return op;
}

static bool is_right(const struct op *op)
{
    struct bytes rows, salt, slot;
    struct buf wanted = {0};
    bool right;

    CHECK_OK(head_slots(buf_bytes(&op->head), &rows));
    for (size_t i = 0; i < rows.n / SLOT_ROW_BYTES; i++) {
        CHECK_OK(slot_at(rows, buf_bytes(&op->payload), i, &salt, &slot));
        slot_row(&wanted, salt.p, slot);
    }
    right = bytes_equal(buf_bytes(&wanted), rows);
    buf_free(&wanted);
    return right;
}

static void list_free(struct op *list)
{
    struct op *op, *next;

    DL_FOREACH_SAFE (list, op, next)
        op_free(op);
}

TEST(slots_are_hashed_with_the_bundle)
{
    struct op *list = NULL, *op;
    size_t n = 0;

    for (size_t bytes = 0; bytes < 300; bytes += 3) {
        op = op_of(bytes, bytes % 5 ? 0 : bytes + 1);
        CHECK(op->is_bare);
        CHECK_NOT(is_right(op));
        DL_APPEND(list, op);
        n++;
    }
    slots_hash(list, n);
    DL_FOREACH (list, op) {
        CHECK_NOT(op->is_bare);
        CHECK(is_right(op));
    }
    list_free(list);
}

TEST(only_those_of_the_bundle_are_hashed)
{
    struct op *list = NULL;

    for (int i = 0; i < 3; i++) {
        struct op *op = op_of(256, 0);

        DL_APPEND(list, op);
    }
    slots_hash(list, 2);
    CHECK(is_right(list));
    CHECK(is_right(list->next));
    CHECK(list->next->next->is_bare);
    list_free(list);
}

TEST(much_is_hashed_when_it_is_sent)
{
    struct op *op = op_of(5000, 0);

    CHECK_NOT(op->is_bare);
    CHECK(is_right(op));
    op_free(op);
    op = op_of(100, 90000);
    CHECK_NOT(op->is_bare);
    CHECK(is_right(op));
    op_free(op);
}

CHECK_MAIN
