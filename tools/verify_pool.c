/* One queue, first come, first served. Whoever waits works, so that with no
 * helper at all everything still gets done. */
#include "tools/verify_pool.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { HELPERS_MAX = 63 };

struct pool {
    pthread_t threads[HELPERS_MAX];
    unsigned helpers, helpers_max; /* started when there is work for them */
    pthread_mutex_t lock;
    pthread_cond_t given, done;
    /* under the lock, as are the jobs' next and done */
    struct pool_job *first, *last;
    bool over;
};

static struct pool_job *job_take(struct pool *p)
{
    struct pool_job *job = p->first;

    if (job)
        p->first = job->next;
    return job;
}

/* With the lock held, which is let go meanwhile. */
static void job_do(struct pool *p, struct pool_job *job)
{
    pthread_mutex_unlock(&p->lock);
    job->run(job);
    pthread_mutex_lock(&p->lock);
    job->done = true;
}

static void *help(void *self)
{
    struct pool *p = self;
    struct pool_job *job;

    pthread_mutex_lock(&p->lock);
    while (!p->over) {
        job = job_take(p);
        if (!job) {
            pthread_cond_wait(&p->given, &p->lock);
            continue;
        }
        job_do(p, job);
        pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

struct pool *pool_new(unsigned helpers)
{
    struct pool *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->given, NULL);
    pthread_cond_init(&p->done, NULL);
    p->helpers_max = helpers < HELPERS_MAX ? helpers : HELPERS_MAX;
    return p;
}

struct pool *pool_for_all_cores(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return pool_new(cores > 1 ? (unsigned)cores - 1 : 0);
}

void pool_destroy(struct pool **self_p)
{
    struct pool *p = *self_p;

    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->over = true;
    pthread_cond_broadcast(&p->given);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->helpers; i++)
        pthread_join(p->threads[i], NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->given);
    pthread_mutex_destroy(&p->lock);
    free(p);
    *self_p = NULL;
}

unsigned pool_width(const struct pool *p)
{
    return p->helpers_max + 1;
}

/* A job waits already: whoever gives this one will do that, and somebody else
 * can do this one meanwhile. */
static void helper_start(struct pool *p)
{
    if (p->first && p->helpers < p->helpers_max &&
        !pthread_create(&p->threads[p->helpers], NULL, help, p))
        p->helpers++;
}

void pool_give(struct pool *p, struct pool_job *job)
{
    job->next = NULL;
    job->done = false;
    pthread_mutex_lock(&p->lock);
    helper_start(p);
    if (p->first)
        p->last->next = job;
    else
        p->first = job;
    p->last = job;
    pthread_cond_signal(&p->given);
    pthread_mutex_unlock(&p->lock);
}

void pool_wait(struct pool *p, struct pool_job *job)
{
    struct pool_job *other;

    pthread_mutex_lock(&p->lock);
    while (!job->done) {
        other = job_take(p);
        if (other)
            job_do(p, other);
        else
            pthread_cond_wait(&p->done, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}
