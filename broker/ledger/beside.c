/* The mutex hands a job over, and how it went. Nothing else is shared but a hint
 * that it is over, so the rest of the ledger knows no threads. */
#include "broker/ledger/beside.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/base/soon.h"
#include "broker/base/thread.h"

enum stage { IDLE, ASKED, ENDED, STOP };

struct beside {
    pthread_t thread;
    struct aside aside;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    enum stage stage;
    _Atomic bool has_ended; /* the job; a hint, without the lock */
    bool is_aside;          /* and waited for, not listened to */
    beside_job job;
    void *arg;
    int result;
    int ended_fd; /* an eventfd */
};

static void *run(void *arg)
{
    struct beside *b = arg;

    pthread_mutex_lock(&b->lock);
    for (;;) {
        uint64_t one = 1;
        int r;

        while (b->stage == IDLE || b->stage == ENDED)
            pthread_cond_wait(&b->changed, &b->lock);
        if (b->stage == STOP)
            break;
        pthread_mutex_unlock(&b->lock);
        r = b->job(b->arg);
        pthread_mutex_lock(&b->lock);
        b->result = r;
        b->stage = ENDED;
        if (!b->is_aside && write(b->ended_fd, &one, sizeof one) < 0)
            b->result = r ? r : -errno; /* an eventfd takes a one */
        pthread_mutex_unlock(&b->lock);
        atomic_store(&b->has_ended, true);
        pthread_cond_signal(&b->changed); /* whom it wakes finds it free */
        pthread_mutex_lock(&b->lock);
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

int beside_open(struct beside **out)
{
    struct beside *b = calloc(1, sizeof *b);
    int r;

    if (!b)
        return -ENOMEM;
    aside_init(&b->aside);
    b->ended_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    r = b->ended_fd < 0 ? -errno : 0;
    if (!r) {
        pthread_mutex_init(&b->lock, NULL);
        pthread_cond_init(&b->changed, NULL);
        r = thread_start(&b->thread, run, b);
    }
    if (r) {
        if (b->ended_fd >= 0)
            close(b->ended_fd);
        free(b);
        return r;
    }
    *out = b;
    return 0;
}

void beside_close(struct beside **self_p)
{
    struct beside *b = *self_p;

    if (!b)
        return;
    pthread_mutex_lock(&b->lock);
    while (b->stage == ASKED)
        pthread_cond_wait(&b->changed, &b->lock);
    b->stage = STOP;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    pthread_join(b->thread, NULL);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    close(b->ended_fd);
    free(b);
    *self_p = NULL;
}

int beside_fd(const struct beside *b)
{
    return b->ended_fd;
}

static void begin(struct beside *b, beside_job job, void *arg, bool is_aside)
{
    pthread_mutex_lock(&b->lock);
    b->job = job;
    b->arg = arg;
    b->is_aside = is_aside;
    b->stage = ASKED;
    atomic_store(&b->has_ended, false);
    pthread_mutex_unlock(&b->lock);
    pthread_cond_signal(&b->changed);
}

void beside_begin(struct beside *b, beside_job job, void *arg)
{
    aside_free(&b->aside, &b->thread, 1);
    begin(b, job, arg, false);
}

void beside_begin_aside(struct beside *b, beside_job job, void *arg)
{
    aside_keep(&b->aside, &b->thread, 1);
    begin(b, job, arg, true);
}

int beside_end(struct beside *b, bool wait)
{
    uint64_t count;
    int r = -EAGAIN;

    if (wait && b->is_aside)
        soon(&b->has_ended);
    pthread_mutex_lock(&b->lock);
    while (wait && b->stage == ASKED)
        pthread_cond_wait(&b->changed, &b->lock);
    if (b->stage == ENDED) {
        b->stage = IDLE;
        r = b->result;
        if (!b->is_aside && read(b->ended_fd, &count, sizeof count) < 0 && !r)
            r = -errno; /* one was written */
    }
    pthread_mutex_unlock(&b->lock);
    return r;
}
