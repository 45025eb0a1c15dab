/* A thread that hears no signals: they are for the one that knows what to do
 * with them. And where threads may be. */
#ifndef CHOIR_BROKER_BASE_THREAD_H
#define CHOIR_BROKER_BASE_THREAD_H

#include <pthread.h>
#include <sched.h>

/* As pthread_create with default attributes; the caller joins it. 0 or a
 * negative errno. Thread: any. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

/* The calling thread is kept on fewer cores than these, on which it may be:
 * threads and processes that it starts are not to be kept as well. Copied; NULL:
 * it is not kept. Where nothing was said it is free. */
void thread_kept(const cpu_set_t *cores);
/* Where the calling thread may be, kept or not. 0 or a negative errno. */
int thread_cores(cpu_set_t *cores);
/* In a process that has just been forked by it. */
void thread_forked(void);

/* Threads that work beside another one and are no help on his core: the kernel
 * may wake them there while another core sleeps, and then they wait until he
 * does. Thread: his. */
struct aside {
    cpu_set_t cores; /* where he may be, when they were kept off last */
    int core;        /* where they are not to be; -1: they are free */
};
void aside_init(struct aside *a);
/* Off the core that the caller is on; where there is no other, nothing. */
void aside_keep(struct aside *a, const pthread_t *threads, unsigned n);
/* Wherever they like. */
void aside_free(struct aside *a, const pthread_t *threads, unsigned n);

#endif
