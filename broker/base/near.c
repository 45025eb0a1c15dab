/* What the kernel says of a thread's waits is /proc/.../schedstat: nanoseconds
 * it ran, nanoseconds it was ready and did not, how often it ran. */
#include "near.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LOOK_SLEEPS = 8,        /* between two looks at their waits */
    WAIT_NS = 150000,       /* a sleep; with nobody else it is 20 to 60 us */
    REST_MIN_US = 1000000,  /* let go for so long, */
    REST_MAX_US = 64000000, /* and each time for twice as long */
};

struct near {
    char name[16];
    bool is_sought;
    pid_t other;        /* 0: nothing is ever kept */
    int waits[2];       /* schedstat of both */
    int core;           /* the other one is kept there; -1: it is free */
    bool is_kept;       /* the caller */
    cpu_set_t its, own; /* where they may be when they are free */
    unsigned sleeps;    /* since the last look */
    uint64_t waited_ns; /* at the last look */
    uint64_t rest_us, again_us;
};

static pid_t thread_find(const char *name)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *at;
    pid_t found = 0;

    while (tasks && !found && (at = readdir(tasks)) != NULL) {
        char path[300], comm[32] = {0};
        int fd;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", at->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (read(fd, comm, sizeof comm - 1) > 0 &&
            strncmp(comm, name, strlen(name)) == 0)
            found = (pid_t)atoi(at->d_name);
        close(fd);
    }
    if (tasks)
        closedir(tasks);
    return found;
}

static int waits_open(pid_t thread)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", (int)thread);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* False: it is not told. */
static bool waits_add(int fd, uint64_t *ns)
{
    char text[96] = {0};
    unsigned long long waited;

    if (pread(fd, text, sizeof text - 1, 0) <= 0 ||
        sscanf(text, "%*u %llu", &waited) != 1)
        return false;
    *ns += waited;
    return true;
}

static bool waited(const struct near *n, uint64_t *ns)
{
    *ns = 0;
    return waits_add(n->waits[0], ns) && waits_add(n->waits[1], ns);
}

int near_new(struct near **out, const char *name)
{
    struct near *n = calloc(1, sizeof *n);

    if (!n)
        return -ENOMEM;
    snprintf(n->name, sizeof n->name, "%s", name);
    n->core = -1;
    n->rest_us = REST_MIN_US;
    n->waits[0] = n->waits[1] = -1;
    *out = n;
    return 0;
}

/* A thread that has just begun has no name yet, so it is sought when it is
 * wanted first. */
static bool is_there(struct near *n)
{
    if (n->is_sought)
        return n->other != 0;
    n->is_sought = true;
    n->other = thread_find(n->name);
    n->waits[0] = waits_open(gettid());
    n->waits[1] = waits_open(n->other);
    if (!waited(n, &n->waited_ns) ||
        sched_getaffinity(n->other, sizeof n->its, &n->its) ||
        sched_setaffinity(n->other, sizeof n->its, &n->its) || /* may we? */
        CPU_COUNT(&n->its) < 2)
        n->other = 0;
    return n->other != 0;
}

static void let_go(struct near *n)
{
    if (n->core >= 0)
        sched_setaffinity(n->other, sizeof n->its, &n->its);
    n->core = -1;
}

void near_destroy(struct near **self_p)
{
    struct near *n = *self_p;

    if (!n)
        return;
    near_wake(n);
    let_go(n);
    for (int i = 0; i < 2; i++)
        if (n->waits[i] >= 0)
            close(n->waits[i]);
    free(n);
    *self_p = NULL;
}

/* Do others want that core, too? */
static bool is_crowded(struct near *n, uint64_t now_us)
{
    uint64_t before = n->waited_ns;

    if (++n->sleeps < LOOK_SLEEPS)
        return false;
    n->sleeps = 0;
    if (waited(n, &n->waited_ns) &&
        n->waited_ns - before < LOOK_SLEEPS * (uint64_t)WAIT_NS) {
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
        n->sleeps = 0;
        if (!waited(n, &n->waited_ns) ||
            sched_getaffinity(n->other, sizeof n->its, &n->its) ||
            sched_getaffinity(0, sizeof n->own, &n->own))
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

static void keep_caller(struct near *n, int core)
{
    cpu_set_t one;

    CPU_ZERO(&one);
    CPU_SET((size_t)core, &one);
    n->is_kept = sched_setaffinity(0, sizeof one, &one) == 0;
}

void near_sleep(struct near *n, bool keep, uint64_t now_us)
{
    int core = sched_getcpu();

    if (keep ? !is_there(n) : !n->other)
        return;
    keep = keep && now_us >= n->again_us && core >= 0 && core < CPU_SETSIZE;
    if (keep && n->core >= 0 && is_crowded(n, now_us))
        keep = false;
    if (keep && keep_other(n, core))
        keep_caller(n, core);
    else
        let_go(n);
}

void near_wake(struct near *n)
{
    int saved = errno;

    if (n->is_kept)
        sched_setaffinity(0, sizeof n->own, &n->own);
    n->is_kept = false;
    errno = saved;
}
