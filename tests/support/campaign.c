/* Starts, stops and disturbs; see campaign.h. */
#include "tests/support/campaign.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { END_MS = 120000, RUN_MS = 1200000, REST_LEAST_MS = 50 };

static unsigned draw(struct campaign *c, unsigned below)
{
    return (unsigned)rand_r(&c->seed) % below;
}

static bool must(bool held, const char *what)
{
    if (!held)
        fprintf(stderr, "campaign: not so: %s\n", what);
    return held;
}

uint64_t campaign_operations(const struct campaign *c)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i <= c->agents; i++)
        sum += __atomic_load_n(&c->counts[i], __ATOMIC_RELAXED);
    return sum;
}

static void agent_begin(struct campaign *c, unsigned i, enum client_role role)
{
    snprintf(c->logs[i], sizeof c->logs[i], "%s/client-%u", c->d.dir, i);
    c->tasks[i].role = role;
    c->tasks[i].number = i;
    c->tasks[i].seed = draw(c, 1u << 30);
    c->tasks[i].log = c->logs[i];
    c->tasks[i].brisk = true;
    c->tasks[i].count = &c->counts[i];
    c->pids[i] = child_start(client_run, &c->tasks[i]);
}

static bool begin(struct campaign *c)
{
    char line[64];

    c->counts = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (c->counts == MAP_FAILED)
        abort();
    daemon_init(&c->d, c->name);
    if (c->program)
        c->d.program = c->program;
    snprintf(line, sizeof line, "lease_ms_default = %u", c->lease_ms);
    daemon_set(&c->d, line);
    daemon_set(&c->d, "checkpoint_entries = 20000");
    daemon_set(&c->d, "backoff_ms_default = 20");
    daemon_set(&c->d, "max_attempts_default = 1000");
    if (!must(daemon_start(&c->d, NULL) == 0, "choird starts"))
        return false;
    for (unsigned i = 0; i < c->agents; i++)
        agent_begin(c, i, c->roles[i]);
    return true;
}

/* --- Misfortune ---------------------------------------------------------- */

static void pause_it(struct campaign *c, pid_t pid, unsigned ms)
{
    kill(pid, SIGSTOP);
    usleep((20 + draw(c, ms)) * 1000);
    kill(pid, SIGCONT);
}

/* Not one who watches: what it has seen would have to be told apart. */
static void kill_an_agent(struct campaign *c)
{
    unsigned i = draw(c, c->agents);

    if (c->roles[i] == CLIENT_WATCHES)
        return;
    kill(c->pids[i], SIGKILL);
    child_wait(c->pids[i], END_MS);
    c->tasks[i].life++;
    agent_begin(c, i, c->roles[i]);
    c->agent_kills++;
}

static void pause_an_agent(struct campaign *c)
{
    pause_it(c, c->pids[draw(c, c->agents)], 2 * c->lease_ms);
    c->agent_pauses++;
}

static bool misfortune(struct campaign *c)
{
    bool good = true;

    switch (c->kills ? draw(c, 8) : 7) {
    case 0:
    case 1:
        daemon_kill(&c->d);
        good = must(daemon_start(&c->d, NULL) == 0, "choird starts again");
        c->broker_kills++;
        break;
    case 2:
        pause_it(c, c->d.pid, 500);
        c->broker_pauses++;
        break;
    case 3:
    case 4: kill_an_agent(c); break;
    default: pause_an_agent(c);
    }
    return good;
}

/* --- Beginning and end --------------------------------------------------- */

static bool wait_for(struct campaign *c, bool watchers)
{
    bool good = true;

    for (unsigned i = 0; i < c->agents; i++)
        if ((c->roles[i] == CLIENT_WATCHES) == watchers)
            good &= must(child_wait(c->pids[i], END_MS) == 0,
                         "every agent ends well");
    return good;
}

static bool end(struct campaign *c)
{
    bool good;

    for (unsigned i = 0; i < c->agents; i++)
        if (c->roles[i] != CLIENT_WATCHES)
            kill(c->pids[i], SIGTERM);
    good = wait_for(c, false);
    agent_begin(c, c->agents, CLIENT_ENDS);
    good &= must(child_wait(c->pids[c->agents], END_MS) == 0,
                 "the last write is taken");
    good &= wait_for(c, true);
    return good & must(daemon_stop(&c->d) == 0, "choird stops cleanly");
}

bool campaign_run(struct campaign *c)
{
    uint64_t until = test_now_us() + RUN_MS * UINT64_C(1000);

    if (!begin(c))
        return false;
    while (campaign_operations(c) < c->operations && test_now_us() < until) {
        usleep((REST_LEAST_MS + draw(c, c->rest_ms)) * 1000);
        if (!misfortune(c))
            return false;
    }
    return end(c);
}

void campaign_read(const struct campaign *c, struct history *h)
{
    for (unsigned i = 0; i <= c->agents; i++)
        if (history_read(h, i, c->logs[i]))
            abort();
    if (history_read_record(h, c->d.data))
        abort();
}
