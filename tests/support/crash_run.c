/* Kills, copies, comparisons; see crash_run.h. */
#include "tests/support/crash_run.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/core.h"
#include "broker/verify.h"
#include "tests/support/crash_client.h"
#include "tests/support/daemon.h"
#include "tests/support/history.h"
#include "tests/support/power.h"

enum { REACH_MS = 4000, END_MS = 60000, CLIENTS = 9, WORKER = 7 };

/* Where it may die. */
enum moment { AT_WORK, AT_STOP };

static const struct place {
    const char *name;
    enum moment when;
    unsigned passes; /* up to which it dies */
} places[] = {
    {"ledger.append.half", AT_WORK, 40},
    {"ledger.segment.headed", AT_WORK, 2},
    {"snapshot.half", AT_WORK, 1},
    {"ledger.append.before", AT_WORK, 40},
    {"ledger.segment.created", AT_WORK, 2},
    {"snapshot.renamed.before", AT_WORK, 1},
    {"ledger.append.written", AT_WORK, 40},
    {"snapshot.renamed.after", AT_WORK, 1},
    {"ledger.synced", AT_WORK, 40},
    {"ledger.seal.half", AT_STOP, 1},
    {"snapshot.half", AT_STOP, 1},
    {"snapshot.renamed.before", AT_STOP, 1},
    {"snapshot.renamed.after", AT_STOP, 1},
};

enum { PLACES = sizeof places / sizeof *places };

static const enum client_role roles[CLIENTS] = {
    CLIENT_PUTS, CLIENT_STREAM,  CLIENT_COMPARES, CLIENT_COMPARES, CLIENT_TXNS,
    CLIENT_TXNS, CLIENT_SUBMITS, CLIENT_WORKS,    CLIENT_WATCHES,
};

struct run {
    struct daemon d;
    unsigned how;
    unsigned seed;
    pid_t clients[CLIENTS];
    struct client_task tasks[CLIENTS + 1];
    char logs[CLIENTS + 1][DAEMON_PATH + 16];
    unsigned reached[PLACES], harmed;
    bool wrong;
};

static bool expect(struct run *run, bool held, const char *what)
{
    if (!held) {
        fprintf(stderr, "WRONG: %s\n", what);
        run->wrong = true;
    }
    return held;
}

static unsigned draw(struct run *run, unsigned below)
{
    return (unsigned)rand_r(&run->seed) % below;
}

static unsigned from_env(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

/* --- The same state, from wherever it is rebuilt ---------------------------- */

struct projection {
    struct hash digest, root;
    uint64_t size;
};

static void complain(void *arg, const char *message)
{
    (void)arg;
    fprintf(stderr, "%s\n", message);
}

/* Opens a copy of the directory as choird would, under a clock that stands
 * still, so that what the opening itself records is the same each time. */
static bool project(struct run *run, bool from_scratch, bool verify,
                    struct projection *out)
{
    struct core_options o = {.env = env_sim_new(1)};
    struct config *config = NULL;
    struct verify_result result = {0};
    char copy[DAEMON_PATH + 8], path[DAEMON_PATH + 32], trouble[512];
    struct core *core = NULL;
    bool good;

    snprintf(copy, sizeof copy, "%s/copy", run->d.dir);
    dir_copy(run->d.data, copy);
    snprintf(path, sizeof path, "%s/state.snapshot", copy);
    if (from_scratch)
        unlink(path);
    good = !config_load(run->d.conf, &config, complain, NULL) &&
           !config_set(config, "data", copy, false, "copy", complain, NULL);
    o.config = config;
    if (good && core_open(&core, &o, trouble)) {
        fprintf(stderr, "%s: %s\n",
                from_scratch ? "from scratch" : "from the snapshot", trouble);
        good = false;
    }
    if (good) {
        out->size = core_size(core);
        out->digest = state_digest(core_state(core));
        out->root = frontier_root(&core_state(core)->tree);
        if (verify)
            good = !core_close_clean(core);
    }
    core_destroy(&core);
    if (good && verify && verify_record(copy, o.env, &result)) {
        fprintf(stderr, "verify: %s\n", result.trouble);
        good = false;
    }
    config_destroy(&config);
    env_destroy(&o.env);
    if (good)
        dir_remove(copy);
    return good;
}

static void compare_projections(struct run *run)
{
    struct projection a, b;

    if (!expect(run, project(run, true, true, &a),
                "the record can be replayed from scratch") ||
        !expect(run, project(run, false, false, &b),
                "the record can be replayed from its snapshot"))
        return;
    expect(run,
           a.size == b.size && hash_equal(&a.digest, &b.digest) &&
               hash_equal(&a.root, &b.root),
           "both ways give the same state");
}

/* --- Kills -------------------------------------------------------------------- */

static void kill_at_random(struct run *run)
{
    if (expect(run, daemon_start(&run->d, NULL) == 0, "choird starts"))
        usleep((20 + draw(run, 280)) * 1000 * (unsigned)test_patience());
    daemon_kill(&run->d);
    fprintf(stderr, "killed\n");
}

static void kill_at(struct run *run, unsigned i)
{
    const struct place *p = &places[i];
    char point[64];
    int status = 0, started;

    snprintf(point, sizeof point, "%s:%u", p->name, 1 + draw(run, p->passes));
    started = daemon_start(&run->d, point);
    if (started == 0 && p->when == AT_STOP)
        kill(run->d.pid, SIGTERM);
    if (started == 0)
        started = daemon_ended(&run->d, REACH_MS * test_patience(), &status)
                      ? status
                      : -ETIMEDOUT;
    if (started == -ETIMEDOUT)
        daemon_kill(&run->d);
    else if (expect(run, WIFEXITED(started) && WEXITSTATUS(started) == 137,
                    "it ended by the failpoint and nothing else"))
        run->reached[i]++;
    fprintf(stderr, "%s at %s\n",
            started == -ETIMEDOUT ? "killed, not having died" : "died", point);
}

static char journal[DAEMON_PATH + 16];
static bool lies;

/* In the daemon to be. */
static void preload(void)
{
    char path[DAEMON_PATH];

    snprintf(path, sizeof path, "%s/preload/power.so", getenv("CHOIR_BUILD"));
    setenv("LD_PRELOAD", path, 1);
    setenv(POWER_JOURNAL, journal, 1);
    if (lies)
        setenv(POWER_LIE, "1", 1);
}

static void lose_power(struct run *run)
{
    if (run->how & CRASH_POWER)
        run->harmed += power_lose(journal, run->d.data, &run->seed);
}

/* --- Clients ------------------------------------------------------------------ */

static void client_begin(struct run *run, unsigned i, enum client_role role)
{
    struct client_task *t = &run->tasks[i];

    t->role = role;
    t->number = i;
    t->seed = draw(run, 1u << 30);
    t->log = run->logs[i];
    snprintf(run->logs[i], DAEMON_PATH + 16, "%s/client-%u", run->d.dir, i);
}

static void clients_start(struct run *run)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_begin(run, i, roles[i]);
        run->clients[i] = child_start(client_run, &run->tasks[i]);
    }
}

/* A worker dies too, in the middle of whatever it does, and comes back. */
static void kill_a_worker(struct run *run)
{
    kill(run->clients[WORKER], SIGKILL);
    child_wait(run->clients[WORKER], END_MS);
    run->tasks[WORKER].life++;
    run->clients[WORKER] = child_start(client_run, &run->tasks[WORKER]);
}

static void clients_stop(struct run *run)
{
    pid_t last;

    for (unsigned i = 0; i < CLIENTS; i++)
        if (roles[i] != CLIENT_WATCHES)
            kill(run->clients[i], SIGTERM);
    for (unsigned i = 0; i < CLIENTS; i++)
        if (roles[i] != CLIENT_WATCHES)
            expect(run, child_wait(run->clients[i], END_MS) == 0,
                   "every client ends well");
    client_begin(run, CLIENTS, CLIENT_ENDS);
    last = child_start(client_run, &run->tasks[CLIENTS]);
    expect(run, child_wait(last, END_MS) == 0, "the last write is taken");
    for (unsigned i = 0; i < CLIENTS; i++)
        if (roles[i] == CLIENT_WATCHES)
            expect(run, child_wait(run->clients[i], END_MS) == 0,
                   "the watcher sees the last write");
}

static void clients_kill(struct run *run)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        int status;

        kill(run->clients[i], SIGKILL);
        waitpid(run->clients[i], &status, 0);
    }
}

/* --- The whole ------------------------------------------------------------------ */

static void configure(struct run *run, const char *name)
{
    daemon_init(&run->d, name);
    run->d.program = "failpoint/choird";
    snprintf(journal, sizeof journal, "%s/journal", run->d.dir);
    lies = run->how & CRASH_LIE;
    if (run->how & CRASH_POWER)
        run->d.prepare = preload;
    daemon_set(&run->d, "value_bytes_max = 4KiB");
    daemon_set(&run->d, "bundle_bytes_max = 32KiB");
    daemon_set(&run->d, "segment_bytes = 64KiB");
    daemon_set(&run->d, "checkpoint_entries = 100");
    daemon_set(&run->d, "lease_ms_default = 500");
    daemon_set(&run->d, "backoff_ms_default = 20");
    daemon_set(&run->d, "max_attempts_default = 1000");
}

static void compare_histories(struct run *run)
{
    struct history *h = history_new();
    unsigned found[FINDINGS];

    for (unsigned i = 0; i <= CLIENTS; i++)
        expect(run, !history_read(h, i, run->logs[i]), "a client's log");
    expect(run, !history_read_record(h, run->d.data), "the record is readable");
    expect(run, history_check(h, found, stderr) == 0,
           "record and clients agree");
    history_summary(h, stderr);
    history_free(&h);
}

static void verify_with_choir(struct run *run)
{
    const char *const args[] = {"choir", "verify", run->d.data, NULL};

    if (program_exists("choir"))
        expect(run, program_run("choir", args) == 0, "choir verify agrees");
}

/* Killed, then looked at, again and again. */
static void kill_again(struct run *run, unsigned kills)
{
    unsigned place = draw(run, PLACES);

    for (unsigned i = 0; i < kills && !run->wrong; i++) {
        if (i % 2)
            kill_at(run, place++ % PLACES);
        else
            kill_at_random(run);
        lose_power(run);
        if (i == kills / 2)
            kill_a_worker(run);
        compare_projections(run);
    }
}

bool crash_run(const char *name, unsigned kills, unsigned how)
{
    struct run run = {.seed = from_env("CRASH_SEED", (unsigned)test_now_us()),
                      .how = how};

    kills = from_env("CRASH_KILLS", kills);
    fprintf(stderr, "to repeat: CRASH_SEED=%u CRASH_KILLS=%u\n", run.seed,
            kills);
    configure(&run, name);
    /* Once, so that there is an invitation; enrolling goes on under fire. */
    expect(&run, daemon_start(&run.d, NULL) == 0, "choird starts");
    daemon_kill(&run.d);
    clients_start(&run);
    kill_again(&run, kills);
    if (!run.wrong &&
        expect(&run, daemon_start(&run.d, NULL) == 0, "choird starts again")) {
        clients_stop(&run);
        expect(&run, daemon_stop(&run.d) == 0, "choird stops cleanly");
        compare_projections(&run);
        compare_histories(&run);
        verify_with_choir(&run);
    } else {
        clients_kill(&run);
    }
    for (unsigned i = 0; i < PLACES && how & CRASH_ALL_POINTS; i++)
        expect(&run, run.reached[i] > 0, places[i].name);
    if (how & CRASH_POWER)
        fprintf(stderr, "power took %u writes away\n", run.harmed);
    daemon_kill(&run.d);
    return !run.wrong;
}
