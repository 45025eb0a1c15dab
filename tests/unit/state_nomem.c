/* broker/state when memory runs out at any single allocation: the change is
 * refused, the digest is as before, and the next try finds nothing half done.
 */
#include "tests/check.h"

#include <errno.h>
#include <stdbool.h>

static long allocations_left = -1;

static bool scarce(void)
{
    if (allocations_left > 0)
        allocations_left--;
    else if (allocations_left == 0)
        return true;
    return false;
}

static void *scarce_malloc(size_t bytes)
{
    return scarce() ? NULL : malloc(bytes);
}

static void *scarce_calloc(size_t n, size_t bytes)
{
    return scarce() ? NULL : calloc(n, bytes);
}

static void *scarce_reallocarray(void *p, size_t n, size_t bytes)
{
    return scarce() ? NULL : reallocarray(p, n, bytes);
}

#define malloc(bytes) scarce_malloc(bytes)
#define calloc(n, bytes) scarce_calloc(n, bytes)
#define reallocarray(p, n, bytes) scarce_reallocarray(p, n, bytes)
#include "broker/state/index.c"

#include "broker/state/agent.c"
#include "broker/state/agent_join.c"
#include "broker/state/context.c"
#include "broker/state/session.c"
#include "broker/state/state.c"
#include "broker/state/task.c"
#undef malloc
#undef calloc
#undef reallocarray

static struct state *world;
static size_t failures;

/* Repeats a change, each time with one allocation more, until it is done. */
#define UNTIL_DONE(change)                               \
    for (long left = 0;; left++) {                       \
        struct hash before = state_digest(world), after; \
        int r;                                           \
                                                         \
        allocations_left = left;                         \
        r = (change);                                    \
        allocations_left = -1;                           \
        after = state_digest(world);                     \
        CHECK_EQ(hash_equal(&before, &after), r != 0);   \
        if (r == 0)                                      \
            break;                                       \
        CHECK_EQ(r, -ENOMEM);                            \
        failures++;                                      \
    }

static int grant(struct agent *to, uint64_t n)
{
    uint8_t room[256];
    char prefix[16];
    struct buf rows = {.p = room, .cap = sizeof(room)};
    struct msg m;

    sprintf(prefix, "p%d/", (int)n);
    msg_init(&m, MSG_GRANT_ROW);
    msg_set_text(&m, FIELD_SPACE, "s");
    msg_set_text(&m, FIELD_PREFIX, prefix);
    msg_set_u(&m, FIELD_RIGHTS, RIGHT_READ);
    msg_encode(&m, &rows);
    msg_init(&m, MSG_GRANT);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    return agent_grant(world->agents, to, msg_list(&m, FIELD_GRANTS));
}

TEST(state_is_whole_after_every_failed_change)
{
    enum { ROUNDS = 200 };

    CHECK_OK(crypto_start());
    world = state_new();
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        uint8_t key[32] = {(uint8_t)i}, curve[32] = {(uint8_t)i, 1};
        char name[8];
        struct bytes n = {(uint8_t *)name,
                          (size_t)sprintf(name, "n%d", (int)i)};
        struct bytes q = i % 10 ? bytes_text("q") : n;
        struct task t = {
            .id = i, .changed = i, .submitter = 1, .state = TASK_QUEUED};
        struct hash h = {{1}};
        struct session *s;

        UNTIL_DONE(agent_enrol(world->agents, i, n, key, key));
        UNTIL_DONE(grant(agent_by_number(world->agents, 1), i));
        UNTIL_DONE(invite_add(world->agents, i, curve, 1, 9, 0, n));
        UNTIL_DONE(operation_id_add(world->agents, 1, n, i, 0));
        UNTIL_DONE(session_start(world->sessions, i, 1, 0, &h));
        s = session_by_id(world->sessions, 1 + i % 3 % i);
        UNTIL_DONE(
            session_accept(world->sessions, s, s->next_seq, 1, 0, &h, i));
        UNTIL_DONE(context_put(world->context, q, n, i, 1, 0, 5));
        UNTIL_DONE(task_add(world->tasks, bytes_text("s"), q, &t));
    }
    CHECK(failures > 10 * ROUNDS);
    CHECK_EQ(agents_count(world->agents), ROUNDS);
    CHECK_EQ(sessions_count(world->sessions), ROUNDS);
    CHECK_EQ(context_count(world->context), ROUNDS);
    CHECK_EQ(tasks_count(world->tasks), ROUNDS);
    state_destroy(&world);
}

TEST(state_is_not_made_by_halves)
{
    long left = 0;

    do {
        allocations_left = left++;
        world = state_new();
        allocations_left = -1;
    } while (!world);
    CHECK(left > 10);
    state_destroy(&world);
}

CHECK_MAIN
