/* The whole broker below its socket in a world of its own, see world/world.h:
 * 40 short lives of it, and 1,000 long ones in `make check-all`.
 *
 *   WORLD_SEED=17 build/tests/sim/world     one of them, with its trace
 *   WORLD_SEEDS=100 WORLD_STEPS=5000 ...    the first hundred, and longer
 *
 * test-timeout: 1800 */
#include "tests/sim/world/world.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/mutants/broker.h"
#include "tests/sim/world/leftover.h"

enum { CAUGHT_WITHIN = 60, MUTANT_STEPS = 1000, JOBS = 2 };

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

static uint64_t steps(void)
{
    return from_env("WORLD_STEPS", getenv("SLOW") ? 5000 : 500);
}

static void print(const struct world_options *o, const struct world_result *r)
{
    printf(
        "seed %lu trace %016lx ledger %016lx entries %lu restarts %lu "
        "losses %lu acknowledged %lu reads %lu changes %lu claims %lu moves %lu "
        "compacted %lu erased %lu reclaimed %lu messages %lu partials %lu "
        "inputs %lu ends %lu recovered %lu\n",
        o->seed, r->trace, r->ledger, r->entries, r->restarts, r->losses,
        r->acknowledged, r->reads, r->changes, r->claims, r->moves,
        r->compacted, r->erased, r->reclaimed, r->messages, r->partials,
        r->inputs, r->ends, r->recovered);
}

/* --- Many of them -------------------------------------------------------- */

/* Another process of this program: what it prints. */
static FILE *another(const char *test, const char *format, ...)
{
    char command[512], self[256];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    va_list args;
    FILE *f;
    int at;

    CHECK(n > 0);
    self[n] = '\0';
    va_start(args, format);
    at = vsnprintf(command, sizeof command, format, args);
    va_end(args);
    snprintf(command + at, sizeof command - (size_t)at, " '%s' '%s' 2>&1", self,
             test);
    f = popen(command, "re");
    assert_non_null(f);
    return f;
}

static void run_here(uint64_t from, uint64_t upto)
{
    struct world_options o = {.steps = steps(), .place = "data"};
    struct world_result r;

    for (o.seed = from; o.seed < upto; o.seed++) {
        world_run(&o, &r);
        if (!r.good)
            fail_msg("seed %lu, %s\nto see it again: WORLD_SEED=%lu "
                     "WORLD_STEPS=%lu build/tests/sim/world",
                     o.seed, r.why, o.seed, o.steps);
    }
}

TEST(whatever_fails_nothing_is_lost_doubled_or_told_wrongly)
{
    uint64_t seeds = from_env("WORLD_SEEDS", getenv("SLOW") ? 1000 : 40);
    uint64_t from = from_env("WORLD_FROM", 1);
    FILE *parts[JOBS];
    char line[512];
    int bad = 0;

    if (getenv("WORLD_SEED"))
        skip();
    if (getenv("WORLD_FROM") || seeds <= 40) {
        run_here(from, from + seeds);
        return;
    }
    for (unsigned i = 0; i < JOBS; i++)
        parts[i] = another("whatever_*", "WORLD_FROM=%lu WORLD_SEEDS=%lu",
                           1 + i * seeds / JOBS,
                           (i + 1) * seeds / JOBS - i * seeds / JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        while (fgets(line, sizeof line, parts[i]))
            if (strstr(line, "seed") || strstr(line, "SEED"))
                fputs(line, stderr);
        bad |= pclose(parts[i]);
    }
    CHECK_EQ(bad, 0);
}

TEST(the_one_that_was_asked_for)
{
    struct world_options o = {
        .seed = from_env("WORLD_SEED", 0),
        .steps = from_env("WORLD_STEPS", 5000),
        .trace = getenv("WORLD_QUIET") == NULL,
        .place = getenv("WORLD_PLACE") ? getenv("WORLD_PLACE") : "data",
    };
    struct world_result r;

    if (!o.seed)
        skip();
    mutant = (enum mutant)from_env("WORLD_MUTANT", MUTANT_NONE);
    world_run(&o, &r);
    print(&o, &r);
    CHECK(r.good);
}

/* --- One case by itself -------------------------------------------------- */

TEST(what_is_to_be_overwritten_is_so_when_the_new_file_has_the_name_for_good)
{
    for (uint64_t seed = 1; seed <= 50; seed++)
        CHECK(leftover_is_cleared_safely(seed));
}

/* --- The same seed, the same story --------------------------------------- */

static void story(uint64_t seed, const char *place, char line[512])
{
    FILE *f = another("the_one_*",
                      "WORLD_QUIET=1 WORLD_SEED=%lu WORLD_STEPS=%lu "
                      "WORLD_PLACE=%s",
                      seed, steps(), place);

    line[0] = '\0';
    while (fgets(line, 512, f) && strncmp(line, "seed ", 5))
        ;
    while (getc(f) != EOF)
        ;
    CHECK_EQ(pclose(f), 0);
}

TEST(one_seed_is_one_story_to_the_byte)
{
    uint64_t n = getenv("SLOW") ? 20 : 3;
    char first[512], second[512], other[512];

    if (getenv("WORLD_FROM") || getenv("WORLD_SEED"))
        skip();
    for (uint64_t seed = 1; seed <= n; seed++) {
        story(seed, "data", first);
        story(seed, "elsewhere/in/the/tree", second);
        story(seed + 1, "data", other);
        CHECK(strstr(first, "ledger"));
        CHECK_STR(first, second);
        CHECK(strcmp(first, other));
    }
}

/* Nor of which process it is told by. */
TEST(every_process_of_the_world_is_called_the_same)
{
    pid_t here = getpid(), child = fork();
    int status;

    if (!child)
        _exit(getpid() == here && here > 0 ? 0 : 1);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/* --- That it can fail ---------------------------------------------------- */

/* How many seeds it takes. */
static void check_caught(struct world_options *o, const char *what)
{
    struct world_result r;

    for (o->seed = 1; o->seed <= CAUGHT_WITHIN; o->seed++) {
        world_run(o, &r);
        if (r.good)
            continue;
        fprintf(stderr, "%s: seed %lu, %s\n", what, o->seed, r.why);
        return;
    }
    fail_msg("nobody notices: %s", what);
}

TEST(a_disk_that_only_says_it_has_synced_is_found_out)
{
    struct world_options o = {
        .steps = MUTANT_STEPS, .lies = true, .place = "data"};

    check_caught(&o, "the disk lies");
}

TEST(each_mistake_of_a_broker_is_found_out)
{
    struct world_options o = {.steps = MUTANT_STEPS, .place = "data"};

    for (mutant = MUTANT_NONE + 1; mutant < MUTANT_END; mutant++)
        check_caught(&o, mutant_name(mutant));
    mutant = MUTANT_NONE;
}

CHECK_MAIN
