/* Signatures are nearly all of the work, and each stands alone: they are
 * collected and then checked by several threads. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/refusal.h"
#include "tools/verify.h"

enum { BATCH = 1024, THREADS_MAX = 16 };

struct job {
    uint8_t key[KEY_PUBLIC_BYTES], signature[KEY_SIGNATURE_BYTES];
    struct hash ledger;
    size_t header, header_bytes; /* in s->headers */
    struct verify_place at;
    bool wrong;
};

struct signatures {
    struct job jobs[BATCH];
    size_t count, threads;
    struct buf headers;
};

struct share {
    struct signatures *s;
    size_t from, step;
};

struct signatures *signatures_new(void)
{
    struct signatures *s = calloc(1, sizeof *s);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    if (!s)
        return NULL;
    s->threads = cores < 1             ? 1
                 : cores > THREADS_MAX ? THREADS_MAX
                                       : (size_t)cores;
    return s;
}

void signatures_destroy(struct signatures **self_p)
{
    if (!*self_p)
        return;
    buf_free(&(*self_p)->headers);
    free(*self_p);
    *self_p = NULL;
}

static void *share_check(void *arg)
{
    struct share *share = arg;
    struct signatures *s = share->s;

    for (size_t i = share->from; i < s->count; i += share->step) {
        struct job *j = &s->jobs[i];
        struct bytes header =
            bytes_of(s->headers.p + j->header, j->header_bytes);

        j->wrong = key_verify(j->key, KEY_FOR_BUNDLE, &j->ledger, header,
                              j->signature) != 0;
    }
    return NULL;
}

/* A thread that cannot be made is done without: its share is done here. */
static void batch_check(struct signatures *s)
{
    size_t n = s->count < 8 ? 1 : s->threads;
    struct share share[THREADS_MAX];
    pthread_t thread[THREADS_MAX];
    bool made[THREADS_MAX] = {false};

    for (size_t i = 0; i < n; i++)
        share[i] = (struct share){s, i, n};
    for (size_t i = 1; i < n; i++)
        made[i] = !pthread_create(&thread[i], NULL, share_check, &share[i]);
    for (size_t i = 0; i < n; i++)
        if (!made[i])
            share_check(&share[i]);
    for (size_t i = 1; i < n; i++)
        if (made[i])
            pthread_join(thread[i], NULL);
}

int signatures_settle(struct signatures *s, struct verify_place *at)
{
    size_t n = s->count;

    batch_check(s);
    s->count = 0;
    buf_clear(&s->headers);
    for (size_t i = 0; i < n; i++) {
        if (s->jobs[i].wrong) {
            *at = s->jobs[i].at;
            return CHOIR_BROKEN;
        }
    }
    return 0;
}

int signatures_add(struct signatures *s, const uint8_t *key,
                   const struct hash *ledger, struct bytes header,
                   const uint8_t *signature, struct verify_place *at)
{
    struct job *j = &s->jobs[s->count++];

    *j = (struct job){
        .ledger = *ledger,
        .header = s->headers.n,
        .header_bytes = header.n,
        .at = *at,
    };
    memcpy(j->key, key, KEY_PUBLIC_BYTES);
    memcpy(j->signature, signature, KEY_SIGNATURE_BYTES);
    buf_put(&s->headers, header.p, header.n);
    if (s->headers.failed)
        return -ENOMEM;
    return s->count == BATCH ? signatures_settle(s, at) : 0;
}
