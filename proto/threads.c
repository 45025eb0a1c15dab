#include "proto/threads.h"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_meant(int tasks, const char *thread, const char *names)
{
    char path[300], name[32] = {0};
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "%s/comm", thread);
    fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, name, sizeof name - 1);
    close(fd);
    name[strcspn(name, "\n")] = 0;
    return n > 0 && fnmatch(names, name, 0) == 0;
}

void threads_each(pid_t process, const char *names,
                  void (*on)(void *arg, pid_t thread), void *arg)
{
    char path[64];
    struct dirent *at;
    DIR *tasks;

    snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    tasks = opendir(path);
    while (tasks && (at = readdir(tasks)) != NULL)
        if (is_meant(dirfd(tasks), at->d_name, names))
            on(arg, (pid_t)atoi(at->d_name));
    if (tasks)
        closedir(tasks);
}

static void note(void *found, pid_t thread)
{
    *(pid_t *)found = thread;
}

pid_t threads_find(pid_t process, const char *names)
{
    pid_t found = 0;

    threads_each(process, names, note, &found);
    return found;
}

int threads_permitted(void)
{
    struct sched_param as;
    int policy, r = pthread_getschedparam(pthread_self(), &policy, &as);

    return r ? -r : -pthread_setschedparam(pthread_self(), policy, &as);
}
