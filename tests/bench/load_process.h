/* What load.c asks of load_process.c; the rest of it is in load.h. */
#ifndef CHOIR_TESTS_BENCH_LOAD_PROCESS_H
#define CHOIR_TESTS_BENCH_LOAD_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* fork; the child dies with its parent. */
pid_t process_fork(void);
bool process_is_child(void); /* made by it */
/* The end of the last server's log, on stderr. */
void process_log_tail(void);
/* Dies if this process, which has ended, was a server. */
void process_was_server(pid_t pid, int status);
void process_pause(uint64_t us);
/* Processor time of a running process, seconds; 0 if there is none. */
double process_cpu_s(pid_t pid);
/* The same of several and of all their descendants, those included that have
 * ended and were waited for. kib: their memory (Pss), or NULL. */
double process_families_cpu_s(const pid_t *pids, int count, double *kib);

#endif
