/* A million operations by sixteen agents, broker and agents killed and stopped
 * at random; what they saw is held against the record.
 *
 *   HISTORY_SEED=N      the same choices again
 *   HISTORY_OPS=100000  fewer
 *
 * test-timeout: 1800 */
#include "tests/support/campaign.h"

#include <inttypes.h>
#include <time.h>

#include "tests/check.h"

enum { AGENTS = 16, CHECK_S = 30 };

static const enum client_role roles[AGENTS] = {
    CLIENT_STREAM,   CLIENT_STREAM, CLIENT_STREAM,   CLIENT_STREAM,
    CLIENT_STREAM,   CLIENT_STREAM, CLIENT_STREAM,   CLIENT_PUTS,
    CLIENT_COMPARES, CLIENT_TXNS,   CLIENT_COMPARES, CLIENT_TXNS,
    CLIENT_SUBMITS,  CLIENT_WORKS,  CLIENT_WORKS,    CLIENT_WATCHES,
};

static uint64_t from_env(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

/* Of this process: others may be busy beside it. */
static double seconds_of_work(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double check(const struct campaign *c)
{
    double began = seconds_of_work(), read;
    struct history *h = history_new();
    unsigned found[FINDINGS];

    campaign_read(c, h);
    read = seconds_of_work();
    CHECK_EQ(history_check(h, found, stderr), 0);
    fprintf(stderr, "read in %.1f s, checked in %.1f s\n", read - began,
            seconds_of_work() - read);
    history_summary(h, stderr);
    history_free(&h);
    return seconds_of_work() - began;
}

TEST(a_million_operations_under_kills_and_pauses_agree_with_the_record)
{
    struct campaign c = {
        .name = "history",
        .roles = roles,
        .agents = AGENTS,
        .lease_ms = 500,
        .operations = from_env("HISTORY_OPS", 1000000),
        .seed = (unsigned)from_env("HISTORY_SEED", test_now_us()),
        .kills = true,
        .rest_ms = 500,
    };
    uint64_t began = test_now_us();
    double seconds;

    fprintf(stderr, "to repeat: HISTORY_SEED=%u\n", c.seed);
    CHECK(campaign_run(&c));
    fprintf(stderr,
            "%" PRIu64 " operations in %.1f s; killed: broker %u, agents %u; "
            "stopped: broker %u, agents %u\n",
            campaign_operations(&c), (double)(test_now_us() - began) / 1e6,
            c.broker_kills, c.agent_kills, c.broker_pauses, c.agent_pauses);
    seconds = check(&c);
    CHECK(campaign_operations(&c) >= c.operations);
    if (test_patience() == 1)
        CHECK(seconds < CHECK_S);
}

CHECK_MAIN
