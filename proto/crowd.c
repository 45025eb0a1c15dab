/* They are counted for a while before anything changes, so that the threads are
 * looked for seldom. */
#include "proto/crowd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LOOK_MS = 50, MANY = 32 /* in such a time, not one at a time */ };

static void policy_change(pid_t thread, int from, int to)
{
    const struct sched_param none = {0};

    if (sched_getscheduler(thread) == from)
        sched_setscheduler(thread, to, &none);
}

static bool is_meant(const struct crowd *c, const char *thread)
{
    char path[300], name[32] = {0};
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, name, sizeof name - 1);
    close(fd);
    return n > 0 && fnmatch(c->threads, name, 0) == 0;
}

static void policies_change(const struct crowd *c, int from, int to)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *at;

    while (tasks && (at = readdir(tasks)) != NULL)
        if (is_meant(c, at->d_name))
            policy_change((pid_t)atoi(at->d_name), from, to);
    if (tasks)
        closedir(tasks);
    if (c->caller_too)
        policy_change(0, from, to);
}

/* Whoever schedules the program in another way has his reasons. */
static void gather(struct crowd *c)
{
    c->is_there = true;
    c->is_changed = sched_getscheduler(0) == SCHED_OTHER;
    if (c->is_changed)
        policies_change(c, SCHED_OTHER, SCHED_BATCH);
}

static void scatter(struct crowd *c)
{
    c->is_there = false;
    if (c->is_changed)
        policies_change(c, SCHED_BATCH, SCHED_OTHER);
}

void crowd_note(struct crowd *c, unsigned things, int64_t now_ms)
{
    int64_t took = now_ms - c->since_ms;
    int saved = errno;
    bool many;

    if (things > 1)
        c->together += things;
    if (took < LOOK_MS)
        return;
    many = c->together >= MANY && took < 2 * LOOK_MS;
    c->since_ms = now_ms;
    c->together = 0;
    if (many && !c->is_there)
        gather(c);
    if (!many && c->is_there)
        scatter(c);
    errno = saved;
}

int crowd_sleep_ms(const struct crowd *c)
{
    return c->is_there ? 2 * LOOK_MS : -1;
}
