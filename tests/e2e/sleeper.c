/* A watcher that sleeps costs the broker next to nothing, and misses nothing.
 * SLEEPER_UPDATES changes how many updates it sleeps through.
 * test-timeout: 120 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { GROWTH_MAX_KIB = 32 * 1024, IN_FLIGHT = 256, WAIT_MS = 100000 };

struct sleep {
    uint64_t updates;
    int ready[2]; /* a pipe: the watcher has caught up */
};

static void open_as(const char *name, struct choir **c)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;

    o.name = name;
    o.timeout_ms = WAIT_MS;
    if (choir_open(&o, c)) {
        fprintf(stderr, "%s: %s\n", name, choir_error_text());
        exit(1);
    }
}

/* 0: each of the updates came once, in order. */
static int watch(void *arg)
{
    struct sleep *s = arg;
    struct choir *c;
    struct choir_event *e = NULL;
    uint64_t request, expected = 0;
    char text[32];
    size_t bytes;

    open_as("sleeper", &c);
    if (choir_watch(c, "n", 1, &request))
        return 2;
    while (expected < s->updates && !choir_next(c, WAIT_MS, &e)) {
        const char *name = choir_event_name(e);

        if (!strcmp(name, "caught_up") && write(s->ready[1], "", 1) != 1)
            return 3;
        if (!strcmp(name, "change")) {
            const void *value =
                choir_event_value(choir_event_item(e, "items", 0), &bytes);

            snprintf(text, sizeof text, "%" PRIu64, expected);
            if (bytes != strlen(text) || memcmp(value, text, bytes)) {
                fprintf(stderr, "update %s expected, %.*s came\n", text,
                        (int)bytes, (const char *)value);
                return 4;
            }
            expected++;
        }
        choir_event_free(&e);
    }
    choir_close(&c);
    return expected == s->updates ? 0 : 5;
}

static uint64_t send_update(struct choir *c, uint64_t i)
{
    struct choir_request *r = choir_request_new(c, "put");
    char text[32];
    uint64_t request;
    int n = snprintf(text, sizeof text, "%" PRIu64, i);

    choir_request_text(r, "key", "n");
    choir_request_slot(r, text, (size_t)n, NULL);
    CHECK_OK(choir_send(c, &r, WAIT_MS, &request));
    return request;
}

static void update(struct choir *c, uint64_t from, uint64_t to)
{
    static uint64_t requests[IN_FLIGHT];
    struct choir_event *e = NULL;

    for (uint64_t sent = from, done = from; done < to;) {
        if (sent < to && sent - done < IN_FLIGHT) {
            requests[sent % IN_FLIGHT] = send_update(c, sent);
            sent++;
            continue;
        }
        CHECK_OK(choir_wait(c, requests[done++ % IN_FLIGHT], WAIT_MS, &e));
        CHECK_OK(choir_event_code(e));
        choir_event_free(&e);
    }
}

/* The most memory it ever had since the last call of peak_forget, in KiB. */
static long peak_kib(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void peak_forget(pid_t pid)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)pid);
    f = fopen(path, "we");
    CHECK(f && fputs("5", f) >= 0 && !fclose(f));
}

TEST(a_watcher_may_sleep_through_everything_and_then_hear_all_of_it)
{
    const char *wanted = getenv("SLEEPER_UPDATES");
    struct sleep s = {.updates = wanted ? strtoull(wanted, NULL, 10) : 30000};
    struct daemon d;
    struct choir *c;
    pid_t watcher;
    long before;
    char byte;

    daemon_init(&d, "sleeper");
    CHECK_OK(daemon_start(&d, NULL));
    CHECK_OK(pipe(s.ready));
    watcher = child_start(watch, &s);
    CHECK_EQ(read(s.ready[0], &byte, 1), 1);
    open_as("writer", &c);
    update(c, 0, s.updates / 10); /* while it listens: what is usual */
    CHECK_OK(kill(watcher, SIGSTOP));
    peak_forget(d.pid);
    before = peak_kib(d.pid);
    update(c, s.updates / 10, s.updates);
    printf("asleep: %ld KiB, %+ld KiB\n", before, peak_kib(d.pid) - before);
    CHECK_OK(kill(watcher, SIGCONT));
    CHECK_EQ(child_wait(watcher, WAIT_MS), 0);
    printf("awake: %+ld KiB\n", peak_kib(d.pid) - before);
    if (test_patience() == 1) /* a sanitizer keeps what was freed */
        CHECK(peak_kib(d.pid) - before < GROWTH_MAX_KIB);
    choir_close(&c);
    CHECK_EQ(daemon_stop(&d), 0);
}

CHECK_MAIN
