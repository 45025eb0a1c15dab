#include "tests/support/faults.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct load {
    unsigned frames;
    long faults;
};

static void round_of_frames(unsigned n)
{
    char *frames[FAULTS_FRAMES];

    for (unsigned i = 0; i < n; i++) {
        frames[i] = malloc(FAULTS_FRAME_BYTES);
        if (!frames[i])
            abort();
        memset(frames[i], 1, FAULTS_FRAME_BYTES);
    }
    while (n-- > 0)
        free(frames[n]);
}

static long faults(void)
{
    struct rusage r;

    return getrusage(RUSAGE_THREAD, &r) ? -1 : r.ru_minflt;
}

static void *load_run(void *arg)
{
    struct load *l = arg;
    long before;

    for (unsigned i = 0; i < FAULTS_ROUNDS; i++)
        round_of_frames(l->frames);
    before = faults();
    for (unsigned i = 0; i < FAULTS_ROUNDS; i++)
        round_of_frames(l->frames);
    l->faults = faults() - before;
    return NULL;
}

long faults_of_load(unsigned frames)
{
    struct load l = {.frames = frames};

    load_run(&l);
    return l.faults;
}

long faults_of_load_in_thread(unsigned frames)
{
    struct load l = {.frames = frames};
    pthread_t thread;

    if (pthread_create(&thread, NULL, load_run, &l) ||
        pthread_join(thread, NULL))
        abort();
    return l.faults;
}

bool apart(bool (*claim)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(claim() ? 0 : 1);
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}
