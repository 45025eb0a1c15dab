/* A thread that hears no signals: they are for the one that knows what to do
 * with them. */
#ifndef CHOIR_BROKER_BASE_THREAD_H
#define CHOIR_BROKER_BASE_THREAD_H

#include <pthread.h>

/* As pthread_create with default attributes; the caller joins it. 0 or a
 * negative errno. Thread: any. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *arg);

#endif
