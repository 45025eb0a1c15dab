/* Signatures are nearly all of the work, and each stands alone: they are
 * collected, and one batch is checked by several threads while the next one is
 * being collected. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/refusal.h"
#include "tools/verify.h"

enum { BATCH = 1024, PIECE = 4, THREADS_MAX = 64 };

struct job {
    uint8_t key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES];
    struct hash ledger;
    size_t header, header_bytes; /* in the batch's headers */
    struct verify_place at;
    bool wrong;
};

struct batch {
    struct job jobs[BATCH];
    size_t count;
    atomic_size_t next; /* job that nobody has taken */
    struct buf headers;
};

struct signatures {
    struct batch batches[2], *filling;
    pthread_t threads[THREADS_MAX];
    size_t thread_count;
    pthread_mutex_t lock;
    pthread_cond_t given, done;
    /* under the lock */
    struct batch *checking; /* or NULL */
    size_t busy;            /* threads that are at it */
    bool over;
};

static void job_check(const struct batch *b, struct job *j)
{
    struct bytes header = bytes_of(b->headers.p + j->header, j->header_bytes);

    j->wrong = key_verify(j->key, KEY_FOR_BUNDLE, &j->ledger, header,
                          j->signature) != 0;
}

static void batch_check(struct batch *b)
{
    size_t from;

    while ((from = atomic_fetch_add(&b->next, PIECE)) < b->count)
        for (size_t i = from; i < b->count && i < from + PIECE; i++)
            job_check(b, &b->jobs[i]);
}

static bool work_is_left(const struct signatures *s)
{
    return s->checking && atomic_load(&s->checking->next) < s->checking->count;
}

static void *thread_run(void *arg)
{
    struct signatures *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->over) {
        struct batch *b = s->checking;

        if (!work_is_left(s)) {
            pthread_cond_wait(&s->given, &s->lock);
            continue;
        }
        s->busy++;
        pthread_mutex_unlock(&s->lock);
        batch_check(b);
        pthread_mutex_lock(&s->lock);
        if (--s->busy == 0)
            pthread_cond_signal(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* One thread fewer than cores: the caller's own has the last. One that cannot
 * be made is done without: the caller does its share. */
struct signatures *signatures_new(void)
{
    struct signatures *s = calloc(1, sizeof *s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (!s)
        return NULL;
    s->filling = &s->batches[0];
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->given, NULL);
    pthread_cond_init(&s->done, NULL);
    while ((long)s->thread_count + 1 < cores && s->thread_count < THREADS_MAX &&
           !pthread_create(&s->threads[s->thread_count], NULL, thread_run, s))
        s->thread_count++;
    return s;
}

void signatures_destroy(struct signatures **self_p)
{
    struct signatures *s = *self_p;

    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->over = true;
    pthread_cond_broadcast(&s->given);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->thread_count; i++)
        pthread_join(s->threads[i], NULL);
    pthread_cond_destroy(&s->done);
    pthread_cond_destroy(&s->given);
    pthread_mutex_destroy(&s->lock);
    buf_free(&s->batches[0].headers);
    buf_free(&s->batches[1].headers);
    free(s);
    *self_p = NULL;
}

static void batch_clear(struct batch *b)
{
    b->count = 0;
    buf_clear(&b->headers);
}

/* The batch that is being checked, if any. Nobody begins with it once its last
 * job is taken, so it is the caller's again when nobody is busy. */
static int batch_end(struct signatures *s, struct verify_place *at)
{
    struct batch *b = s->checking;
    int r = 0;

    if (!b)
        return 0;
    batch_check(b);
    pthread_mutex_lock(&s->lock);
    while (s->busy)
        pthread_cond_wait(&s->done, &s->lock);
    s->checking = NULL;
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; !r && i < b->count; i++) {
        if (b->jobs[i].wrong) {
            *at = b->jobs[i].at;
            r = CHOIR_BROKEN;
        }
    }
    batch_clear(b);
    return r;
}

/* The one before must be right: else what came later is of no interest. */
static int batch_begin(struct signatures *s, struct verify_place *at)
{
    struct batch *b = s->filling;
    int r = batch_end(s, at);

    if (r) {
        batch_clear(b);
        return r;
    }
    atomic_store(&b->next, 0);
    s->filling = &s->batches[b == &s->batches[0]];
    pthread_mutex_lock(&s->lock);
    s->checking = b;
    pthread_cond_broadcast(&s->given);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

int signatures_settle(struct signatures *s, struct verify_place *at)
{
    int r = batch_begin(s, at);

    return r ? r : batch_end(s, at);
}

int signatures_add(struct signatures *s, const uint8_t *key,
                   const struct hash *ledger, struct bytes header,
                   const uint8_t *signature, struct verify_place *at)
{
    struct batch *b = s->filling;
    struct job *j = &b->jobs[b->count++];

    *j = (struct job){
        .ledger = *ledger,
        .header = b->headers.n,
        .header_bytes = header.n,
        .at = *at,
    };
    memcpy(j->key, key, KEY_PUBLIC_BYTES);
    memcpy(j->signature, signature, KEY_SIGNATURE_BYTES);
    buf_put(&b->headers, header.p, header.n);
    if (b->headers.failed)
        return -ENOMEM;
    return b->count == BATCH ? batch_begin(s, at) : 0;
}
