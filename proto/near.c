/* What the kernel says of a thread's waits is /proc/.../schedstat: nanoseconds
 * it ran, nanoseconds it was ready and did not, how often it ran. Looked at is
 * the sleep alone: what is waited after it has ended. Before it, whoever was
 * interrupted by the one he has just woken waits as well, and for nothing. */
#include "near.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/threads.h"

enum {
    LOOK_SLEEPS = 4,        /* one of so many is looked at, */
    LOOKS = 4,              /* so many make a judgement */
    WAIT_NS = 150000,       /* each; with nobody else it is 2 to 60 us */
    REST_MIN_US = 1000000,  /* let go for so long, */
    REST_MAX_US = 64000000, /* and each time for twice as long */
};

struct near {
    char name[32];
    bool is_sought;
    pid_t other; /* 0: nothing is ever kept */
    pid_t caller;
    int waits;          /* the caller's schedstat */
    int core;           /* the other one is kept there; -1: it is free */
    bool is_kept;       /* the caller, */
    int kept_on;        /* on that core */
    cpu_set_t its, own; /* where they may be when they are free */
    unsigned sleeps;    /* since the last look */
    bool is_looking;
    uint64_t before_ns; /* then */
    unsigned looks;
    uint64_t waited_ns; /* in them */
    uint64_t rest_us, again_us;
};

static int waits_open(pid_t thread)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", (int)thread);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* False: it is not told. */
static bool waited(const struct near *n, uint64_t *ns)
{
    char text[96] = {0};
    unsigned long long waited;

    if (pread(n->waits, text, sizeof text - 1, 0) <= 0 ||
        sscanf(text, "%*u %llu", &waited) != 1)
        return false;
    *ns = waited;
    return true;
}

int near_new(struct near **out, const char *name)
{
    struct near *n = calloc(1, sizeof *n);

    if (!n)
        return -ENOMEM;
    snprintf(n->name, sizeof n->name, "%s", name);
    n->core = -1;
    n->rest_us = REST_MIN_US;
    n->waits = -1;
    *out = n;
    return 0;
}

static bool is_only(const cpu_set_t *cores, int core)
{
    return CPU_COUNT(cores) == 1 && CPU_ISSET((size_t)core, cores);
}

/* Unless somebody has said meanwhile where it may be. */
static void free_caller(struct near *n)
{
    cpu_set_t now;

    if (n->is_kept && sched_getaffinity(n->caller, sizeof now, &now) == 0 &&
        is_only(&now, n->kept_on))
        sched_setaffinity(n->caller, sizeof n->own, &n->own);
    n->is_kept = false;
}

static void let_go(struct near *n)
{
    free_caller(n);
    if (n->core >= 0)
        sched_setaffinity(n->other, sizeof n->its, &n->its);
    n->core = -1;
}

/* What was waited is told of one who called before. */
static void caller_note(struct near *n)
{
    pid_t caller = gettid();

    if (n->caller == caller)
        return;
    let_go(n);
    n->caller = caller;
    if (n->waits >= 0)
        close(n->waits);
    n->waits = waits_open(caller);
}

/* A thread that has just begun has no name yet, so it is sought when it is
 * wanted first. */
static bool is_there(struct near *n)
{
    if (n->is_sought && !n->other)
        return false;
    caller_note(n);
    if (n->is_sought)
        return true;
    n->is_sought = true;
    n->other = threads_find(getpid(), n->name);
    if (!n->other || !waited(n, &n->before_ns) ||
        sched_getaffinity(n->other, sizeof n->its, &n->its) ||
        sched_setaffinity(n->other, sizeof n->its, &n->its) || /* may we? */
        CPU_COUNT(&n->its) < 2)
        n->other = 0;
    return n->other != 0;
}

void near_destroy(struct near **self_p)
{
    struct near *n = *self_p;

    if (!n)
        return;
    near_wake(n);
    let_go(n);
    if (n->waits >= 0)
        close(n->waits);
    free(n);
    *self_p = NULL;
}

/* Do others want that core, too? */
static bool is_crowded(struct near *n, uint64_t now_us)
{
    bool is_crowded = n->waited_ns >= LOOKS * (uint64_t)WAIT_NS;

    if (n->looks < LOOKS)
        return false;
    n->looks = 0;
    n->waited_ns = 0;
    if (!is_crowded) {
        if (now_us > n->again_us + n->rest_us)
            n->rest_us = REST_MIN_US; /* it went well for as long */
        return false;
    }
    n->again_us = now_us + n->rest_us;
    if (n->rest_us < REST_MAX_US)
        n->rest_us *= 2;
    return true;
}

static bool keep_other(struct near *n, int core)
{
    cpu_set_t one;

    if (n->core == core)
        return true;
    if (n->core < 0) {
        n->sleeps = n->looks = 0;
        n->waited_ns = 0;
        if (sched_getaffinity(n->other, sizeof n->its, &n->its))
            return false;
    }
    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    if (!CPU_ISSET((size_t)core, &n->its) ||
        sched_setaffinity(n->other, sizeof one, &one))
        return false;
    n->core = core;
    return true;
}

/* False: it may not be there. Where it may be is asked each time: the thread is
 * the program's. */
static bool keep_caller(struct near *n, int core)
{
    cpu_set_t now, one;

    if (sched_getaffinity(0, sizeof now, &now))
        return false;
    if (!n->is_kept || !is_only(&now, n->kept_on)) {
        n->own = now;
        n->is_kept = false;
    }
    if (!CPU_ISSET((size_t)core, &n->own))
        return false;
    if (n->is_kept && n->kept_on == core)
        return true;
    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    if (sched_setaffinity(0, sizeof one, &one))
        return false;
    n->kept_on = core;
    n->is_kept = true;
    return true;
}

void near_sleep(struct near *n, int core, uint64_t now_us)
{
    bool keep =
        core >= 0 && core < CPU_SETSIZE && now_us >= n->again_us && is_there(n);

    if (keep && n->core >= 0 && is_crowded(n, now_us))
        keep = false;
    if (!keep || !keep_caller(n, core) || !keep_other(n, core)) {
        let_go(n);
    } else if (++n->sleeps == LOOK_SLEEPS) {
        n->sleeps = 0;
        n->is_looking = waited(n, &n->before_ns);
    }
}

static void look(struct near *n)
{
    uint64_t now_ns;

    if (!n->is_looking)
        return;
    n->is_looking = false;
    if (!waited(n, &now_ns))
        return;
    n->looks++;
    n->waited_ns += now_ns - n->before_ns;
}

void near_stay(struct near *n)
{
    int saved = errno;

    look(n);
    errno = saved;
}

void near_wake(struct near *n)
{
    int saved = errno;

    look(n);
    free_caller(n);
    errno = saved;
}

const cpu_set_t *near_cores(const struct near *n)
{
    return n->is_kept ? &n->own : NULL;
}
