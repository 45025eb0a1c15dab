/* Snapshot records from a file, each with its length (u16 LE) in front. What
 * loads must save again to records that load to the same digest. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

#include "broker/state/state.h"
#include "proto/refusal.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

static int reload(void *to, struct bytes record)
{
    must(state_load(to, record) == 0);
    return 0;
}

/* Walk what has to be sound by now. */
static void look_around(struct state *s)
{
    struct queue *q = NULL;
    const struct agent *a = NULL;
    const struct key *k;
    uint64_t wake;

    while ((q = queues_next(s->tasks, q)))
        queue_first(q, 1000, &wake);
    while ((a = agents_next(s->agents, a)))
        agent_may(a, RIGHT_READ, bytes_text("s"), bytes_text("k"),
                  (struct bytes){0});
    k = context_next(s->context, bytes_text("s"), (struct bytes){0},
                     (struct bytes){0}, false);
    must(!k || context_find(s->context, bytes_text("s"), key_name(k)) == k);
    invites_forget(s->agents, 1000);
    operation_ids_forget(s->agents, UINT64_MAX);
    tasks_forget(s->tasks, UINT64_MAX);
    must(tasks_final_count(s->tasks) == 0);
}

static void compare(struct state *s)
{
    struct state *again = state_new();
    struct hash a = state_digest(s), b;

    must(again && state_save(s, reload, again) == 0);
    b = state_digest(again);
    must(hash_equal(&a, &b));
    look_around(again);
    state_destroy(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct cursor c = cursor_of(bytes_of(bytes, size));
    struct state *s = state_new();
    int r = 0;

    must(s && crypto_start() == 0);
    /* What was refused may have left its traces: no broker goes on then. */
    while (r == 0 && s->size == 0 && cursor_left(&c) >= 2) {
        size_t n = cursor_u8(&c);

        n |= (size_t)cursor_u8(&c) << 8;
        if (n > cursor_left(&c))
            n = cursor_left(&c);
        r = state_load(s, cursor_take(&c, n));
        must(r == 0 || r == CHOIR_MALFORMED);
    }
    if (s->size && r == 0)
        compare(s);
    state_destroy(&s);
    return 0;
}
