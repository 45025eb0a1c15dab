/* Threads by their names: a library's, which does not say which ones it has. */
#ifndef CHOIR_PROTO_THREADS_H
#define CHOIR_PROTO_THREADS_H

#include <sys/types.h>

/* Calls `on` for each thread of the process whose name matches, as fnmatch(3)
 * has it; none if the kernel does not tell. A name is 15 bytes at most, and a
 * thread that has just begun has its creator's. Any thread. */
void threads_each(pid_t process, const char *names,
                  void (*on)(void *arg, pid_t thread), void *arg);
/* One of them, or 0. */
pid_t threads_find(pid_t process, const char *names);

/* libzmq (4.3.4) says of each of its threads that it is to be scheduled as it
 * is, and ends the process if even that is refused. Before it has any: 0, or
 * -EPERM. */
int threads_permitted(void);

#endif
