/* What a steady load of frames costs in page faults, for tests of who tunes
 * malloc, and how to claim something in a process of its own: a malloc cannot
 * be tuned back. */
#ifndef CHOIR_TESTS_FAULTS_H
#define CHOIR_TESTS_FAULTS_H

#include <stdbool.h>

enum { FAULTS_ROUNDS = 20, FAULTS_FRAMES = 64, FAULTS_FRAME_BYTES = 22000 };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { MALLOC_IS_GLIBC = false }; /* the sanitizer's */
#else
enum { MALLOC_IS_GLIBC = true };
#endif

/* In each round `frames` of them are taken, written to and freed, the last one
 * first; the page faults of FAULTS_ROUNDS rounds after as many. By the caller,
 * or by a thread. */
long faults_of_load(unsigned frames);
long faults_of_load_in_thread(unsigned frames);

/* In a child; true if it said so. */
bool apart(bool (*claim)(void));

#endif
