#include "thread.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>

/* Of the calling thread. */
static _Thread_local struct {
    bool is_kept;
    cpu_set_t cores;
} own;

void thread_kept(const cpu_set_t *cores)
{
    own.is_kept = cores != NULL;
    if (cores)
        own.cores = *cores;
}

int thread_cores(cpu_set_t *cores)
{
    if (!own.is_kept)
        return sched_getaffinity(0, sizeof *cores, cores) ? -errno : 0;
    *cores = own.cores;
    return 0;
}

void thread_forked(void)
{
    if (own.is_kept)
        sched_setaffinity(0, sizeof own.cores, &own.cores);
    own.is_kept = false;
}

/* The mask of signals is inherited, so it is set before and put back after. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg)
{
    sigset_t all, before;
    int r;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!r && own.is_kept)
        pthread_setaffinity_np(*thread, sizeof own.cores, &own.cores);
    return -r;
}

void aside_init(struct aside *a)
{
    *a = (struct aside){.core = -1};
}

static void cores_set(const pthread_t *threads, unsigned n,
                      const cpu_set_t *cores)
{
    for (unsigned i = 0; i < n; i++) /* fails if there is none */
        pthread_setaffinity_np(threads[i], sizeof *cores, cores);
}

void aside_keep(struct aside *a, const pthread_t *threads, unsigned n)
{
    int core = sched_getcpu();
    cpu_set_t others;

    if (core == a->core || core < 0 || core >= CPU_SETSIZE ||
        thread_cores(&a->cores))
        return;
    a->core = core;
    others = a->cores;
    CPU_CLR((size_t)core, &others);
    cores_set(threads, n, &others);
}

void aside_free(struct aside *a, const pthread_t *threads, unsigned n)
{
    if (a->core < 0)
        return;
    a->core = -1;
    cores_set(threads, n, &a->cores);
}
