/* A context's thread also looks up the name of a host, and waits for that. So
 * only connections to the same broker share one, and only where there is
 * nothing to look up: a name that nobody answers for keeps nobody waiting. */
#include "connection_context.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utlist.h>
#include <zmq.h>

#include "process.h"

/* A connection has three sockets, for a while six when it begins anew; a
 * context as it comes has room for 1,023. */
enum { CONNECTIONS_MAX = 128, BLOCK_BYTES = 2 << 20, NUMBERS = 1000 };
enum { NUMBER_FIRST = 43000 }; /* as CONTEXT_THREADS has it */

struct context {
    struct context *prev, *next;
    void *zmq;
    _Atomic unsigned users; /* changed under the lock of process_shared */
    unsigned number;
    char url[];
};

/* libzmq's thread takes and frees two copies of every frame. glibc gives back
 * what is free at an arena's end from 128 KiB on, each time with an interrupt
 * of all cores, and faults it in again page by page, until it has seen a large
 * block freed: then it keeps twice that much, mallopt(3) says so. It sees one
 * before the first frame instead of after the first large one. mallopt itself
 * is the program's, and what it has said there stands. */
static void malloc_accustom(void)
{
    void *volatile block = malloc(BLOCK_BYTES); /* or both are optimised away */

    free(block);
}

static struct context *context_new(const char *url)
{
    static unsigned contexts;
    struct context *c = calloc(1, sizeof *c + strlen(url) + 1);

    if (!c)
        return NULL;
    malloc_accustom();
    strcpy(c->url, url);
    c->number = NUMBER_FIRST +
                __atomic_add_fetch(&contexts, 1, __ATOMIC_RELAXED) % NUMBERS;
    c->zmq = zmq_ctx_new();
    if (c->zmq) {
        zmq_ctx_set(c->zmq, ZMQ_THREAD_NAME_PREFIX, (int)c->number);
        return c;
    }
    free(c);
    return NULL;
}

bool context_is_address(const char *url)
{
    const char *host = strncmp(url, "tcp://", 6) ? NULL : url + 6;

    return !host || *host == '[' || host[strspn(host, "0123456789.")] == ':';
}

struct context *context_take(const char *url)
{
    unsigned most = context_is_address(url) ? CONNECTIONS_MAX : 1;
    struct process_shared *p = process_shared();
    struct context *c;

    pthread_mutex_lock(&p->lock);
    DL_FOREACH (p->contexts, c)
        if (c->users < most && strcmp(c->url, url) == 0)
            break;
    if (!c && (c = context_new(url)))
        DL_APPEND(p->contexts, c);
    if (c)
        c->users++;
    pthread_mutex_unlock(&p->lock);
    return c;
}

void *context_zmq(const struct context *c)
{
    return c->zmq;
}

void context_thread(const struct context *c, char name[CONTEXT_THREAD_BYTES])
{
    snprintf(name, CONTEXT_THREAD_BYTES, "%u/ZMQbg/IO*", c->number);
}

bool context_is_shared(const struct context *c)
{
    return atomic_load_explicit(&c->users, memory_order_relaxed) > 1;
}

void context_drop(struct context *c)
{
    struct process_shared *p = process_shared();
    bool is_last;

    pthread_mutex_lock(&p->lock);
    is_last = --c->users == 0;
    if (is_last)
        DL_DELETE(p->contexts, c);
    pthread_mutex_unlock(&p->lock);
    if (!is_last)
        return;
    while (zmq_ctx_term(c->zmq) && errno == EINTR)
        ;
    free(c);
}
