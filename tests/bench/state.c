/* What broker/state costs: ns a change, its digest included; bytes a thing,
 * malloc included; and how long a snapshot's records take both ways.
 *
 *   build/tests/bench/state [KEYS]     and a tenth as many tasks and sessions */
#include "broker/state/state.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/stopwatch.h"

static unsigned keys = 1000000, tasks = 100000, sessions = 100000;

static double now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static void must_be_done(int r)
{
    must_hold(r == 0, "a change of the state");
}

static struct bytes key_text(char text[32], uint64_t i)
{
    uint64_t z = (i + 1) * UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    snprintf(text, 32, "docs/key/%016" PRIx64, z ^ (z >> 31));
    return bytes_text(text);
}

static void measure_keys(struct state *s)
{
    char text[32];
    size_t heap = mallinfo2().uordblks;
    double start = now_ns(), filled, again;

    for (uint64_t i = 0; i < keys; i++)
        must_be_done(context_put(s->context, bytes_text("default"),
                                 key_text(text, i), i + 1, 1, 0, 256));
    filled = now_ns();
    heap = mallinfo2().uordblks - heap;
    for (uint64_t i = 0; i < keys; i++)
        must_be_done(context_put(s->context, bytes_text("default"),
                                 key_text(text, i), keys + i, 1, 0, 256));
    again = now_ns();
    printf("key      %4.0f ns new, %4.0f ns again, %5.1f bytes"
           " (its 25-byte name included)\n",
           (filled - start) / keys, (again - filled) / keys,
           (double)heap / keys);
}

static void measure_tasks(struct state *s)
{
    struct task as = {.submitter = 1, .state = TASK_QUEUED};
    struct bytes space = bytes_text("default"), queue = bytes_text("jobs");
    size_t heap = mallinfo2().uordblks;
    double start = now_ns(), filled, done;
    uint64_t wake;

    for (as.id = 1; as.id <= tasks; as.id++)
        must_be_done(task_add(s->tasks, space, queue, &as));
    filled = now_ns();
    heap = mallinfo2().uordblks - heap;
    for (uint64_t i = 0; i < tasks; i += 2) {
        struct task *t =
            queue_first(queue_find(s->tasks, space, queue), 0, &wake);

        task_claim(s->tasks, t, tasks + i, 1, 1, 1);
        task_finish(s->tasks, t, tasks + i + 1, TASK_COMPLETED);
    }
    done = now_ns();
    printf("task     %4.0f ns submit, %4.0f ns claim and complete,"
           " %5.1f bytes\n",
           (filled - start) / tasks, (done - filled) / (tasks / 2),
           (double)heap / tasks);
}

static void measure_sessions(struct state *s)
{
    struct hash h = {{1}};
    size_t heap = mallinfo2().uordblks;
    double start, done;

    for (uint64_t id = 1; id <= sessions; id++)
        must_be_done(session_start(s->sessions, id, 1, 0, &h));
    for (uint64_t id = 1; id <= sessions; id++)
        must_be_done(session_accept(s->sessions, session_by_id(s->sessions, id),
                                    1, 64, 0, &h, id));
    heap = mallinfo2().uordblks - heap;
    start = now_ns();
    for (uint64_t id = 1; id <= sessions; id++)
        must_be_done(session_accept(s->sessions, session_by_id(s->sessions, id),
                                    65, 64, 64, &h, id));
    done = now_ns();
    printf("session  %4.0f ns a bundle, %5.1f bytes with one unanswered\n",
           (done - start) / sessions, (double)heap / sessions);
}

static int keep(void *to, struct bytes record)
{
    struct buf *b = to;

    buf_put_u32(b, (uint32_t)record.n);
    buf_put(b, record.p, record.n);
    return b->failed;
}

static void measure_snapshot(struct state *s)
{
    struct buf all = {0};
    struct state *again = state_new();
    struct hash a = state_digest(s), b;
    double start = now_ns(), saved, loaded;
    struct cursor c;

    must_be_done(state_save(s, keep, &all));
    saved = now_ns();
    for (c = cursor_of(buf_bytes(&all)); cursor_left(&c);) {
        uint32_t n = cursor_u32(&c);

        must_be_done(state_load(again, cursor_take(&c, n)));
    }
    loaded = now_ns();
    b = state_digest(again);
    must_be_done(!hash_equal(&a, &b));
    printf("snapshot %4.0f ms save, %4.0f ms load, %.1f MB\n",
           (saved - start) / 1e6, (loaded - saved) / 1e6, (double)all.n / 1e6);
    buf_free(&all);
    state_destroy(&again);
}

/* How long the broker stands still when a child begins to write a snapshot. */
static void measure_fork(void)
{
    double start = now_ns(), paused;
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    paused = now_ns() - start;
    must_be_done(child < 0 ? -1 : 0);
    waitpid(child, NULL, 0);
    printf("fork     %6.2f ms pause\n", paused / 1e6);
}

int main(int argc, char **argv)
{
    uint8_t key[32] = {1};
    struct state *s;

    if (argc > 1 && atoi(argv[1]) >= 10) {
        keys = (unsigned)atoi(argv[1]);
        tasks = sessions = keys / 10;
    }
    must_be_done(crypto_start());
    s = state_new();
    must_be_done(!s ||
                 agent_enrol(s->agents, 0, bytes_text("broker"), key, key));
    s->size = 1;
    measure_keys(s);
    measure_tasks(s);
    measure_sessions(s);
    measure_fork();
    measure_snapshot(s);
    state_destroy(&s);
    return 0;
}
