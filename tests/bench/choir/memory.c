/* memory [keys=1000000] [agents=2000]
 *
 * idle_mib: resident, choird without keys after its first client. key_bytes:
 * what it grew by for each of `keys` keys that it read from its record, less
 * the key's name. agent_kib: for each of
 * `agents` agents that are connected, with a session. The rest is the
 * heap's growth for a thing of that kind in the state alone, in this process. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "broker/state/state.h"
#include "tests/bench/choir/works.h"

enum { THINGS = 100000, KEY_NAME_BYTES = 11, VALUE_BYTES = 256 };

/* --- The state's things --------------------------------------------------- */

static void is_done(int result)
{
    if (result)
        load_die("the state: %s", strerror(-result));
}

static double task_bytes(struct state *s)
{
    struct task t = {.submitter = 1, .state = TASK_QUEUED};
    size_t heap = mallinfo2().uordblks;

    for (t.id = 1; t.id <= THINGS; t.id++)
        is_done(
            task_add(s->tasks, bytes_text("bench"), bytes_text("jobs"), &t));
    return (double)(mallinfo2().uordblks - heap) / THINGS;
}

/* With one bundle each that was not confirmed to have been answered. */
static double session_bytes(struct state *s)
{
    size_t heap = mallinfo2().uordblks;
    struct hash h = {{1}};

    for (uint64_t id = 1; id <= THINGS; id++) {
        is_done(session_start(s->sessions, id, 1, 0, &h));
        is_done(session_accept(s->sessions, session_by_id(s->sessions, id), 1,
                               1, 0, &h, id));
    }
    return (double)(mallinfo2().uordblks - heap) / THINGS;
}

static double tombstone_bytes(struct state *s)
{
    size_t heap = mallinfo2().uordblks;
    struct bytes space = bytes_text("bench");
    char key[KEY_BYTES];

    for (uint64_t i = 0; i < THINGS; i++) {
        key_text(key, i);
        is_done(context_put(s->context, space, bytes_text(key), 2 * i + 1, 1, 0,
                            VALUE_BYTES));
        is_done(
            context_delete(s->context, space, bytes_text(key), 2 * i + 2, 1));
    }
    return (double)(mallinfo2().uordblks - heap) / THINGS - KEY_NAME_BYTES;
}

static struct state *state_start(void)
{
    uint8_t key[32] = {1};
    struct state *s = state_new();

    if (!s || crypto_start())
        load_die("no memory");
    is_done(agent_enrol(s->agents, 0, bytes_text("broker"), key, key));
    s->size = 1;
    return s;
}

/* --- The broker's --------------------------------------------------------- */

static double settled_kib(void)
{
    struct choir *c = broker_client("bench-status");

    choir_close(&c);
    return broker_rss_kib();
}

/* A broker of its own for each, from a record with so much in it; what it then
 * takes without and with its agents connected. */
static double key_bytes(unsigned keys, double idle_kib)
{
    struct record_plan plan = {
        .keys = keys,
        .value = VALUE_BYTES,
        .bundle = 64,
    };
    struct record *r;
    double kib;

    r = record_new(broker_home("keys"), &plan);
    record_extend(r, keys);
    record_free(&r);
    broker_start();
    kib = settled_kib();
    broker_stop();
    return (kib - idle_kib) * 1024 / keys - KEY_NAME_BYTES;
}

static double agent_kib(unsigned agents)
{
    struct record_plan plan = {
        .keys = 1,
        .value = VALUE_BYTES,
        .bundle = 1,
        .members = agents,
    };
    struct crowd_plan there = {.agents = agents};
    struct broker *b = broker_home("agents");
    struct crowd *crowd;
    struct record *r = record_new(b, &plan);
    double before, after;

    broker_start();
    before = settled_kib();
    crowd = crowd_new(b, r, &there);
    after = broker_rss_kib();
    crowd_free(&crowd);
    broker_stop();
    record_free(&r);
    return (after - before) / agents;
}

void work_memory(void)
{
    unsigned keys = load_number("keys", 1000000);
    unsigned agents = load_number("agents", 2000);
    struct state *s = state_start();
    double idle_kib;

    broker_prepare();
    load_timing();
    load_arguments_end();
    broker_start();
    idle_kib = settled_kib();
    broker_stop();
    printf("{\"idle_mib\":%.2f,\"agent_kib\":%.1f,\"key_bytes\":%.1f,"
           "\"task_bytes\":%.1f,\"session_bytes\":%.1f,"
           "\"tombstone_bytes\":%.1f}\n",
           idle_kib / 1024, agent_kib(agents), key_bytes(keys, idle_kib),
           task_bytes(s), session_bytes(s), tombstone_bytes(s));
    state_destroy(&s);
}
