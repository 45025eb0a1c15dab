/* choird and other processes for end-to-end tests: started, waited for by
 * events with a bound, ended by their own id, and never left behind: all die
 * with the test. Set-up that cannot work aborts the test program. */
#ifndef CHOIR_TESTS_SUPPORT_DAEMON_H
#define CHOIR_TESTS_SUPPORT_DAEMON_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { DAEMON_PATH = 256 };

struct daemon {
    char dir[DAEMON_PATH];  /* everything of it */
    char data[DAEMON_PATH]; /* dir/data */
    char conf[DAEMON_PATH], log[DAEMON_PATH], url[DAEMON_PATH];
    const char *program;   /* below CHOIR_BUILD; borrowed */
    void (*prepare)(void); /* in the child, before exec; or NULL */
    pid_t pid;             /* 0: not running */
};

/* The test's own directory: CHOIR_TMP, or a new one. Static. */
const char *test_dir(void);
/* 1, or more where sanitizers make everything slower. */
int test_patience(void);
/* Of one clock for all processes. */
uint64_t test_now_us(void);

/* Directory and configuration under test_dir()/name, listening on a port
 * of its own; the client library in this process and its children will find
 * it and keep identities below test_dir(). */
void daemon_init(struct daemon *d, const char *name);
/* Another line of its configuration. */
void daemon_set(struct daemon *d, const char *line);
/* Start it, and wait until it listens or has ended. failpoint: what
 * CHOIR_FAILPOINT is to be, or NULL.
 * 0: it listens; otherwise it has ended, and this is its wait status, or
 * -ETIMEDOUT and it still runs. */
int daemon_start(struct daemon *d, const char *failpoint);
/* Has it ended within that time? *status: as of waitpid. */
bool daemon_ended(struct daemon *d, int timeout_ms, int *status);
void daemon_kill(struct daemon *d);
/* SIGTERM: its exit code, or -1 if it did not exit by itself in time. */
int daemon_stop(struct daemon *d);
/* Does its log hold this text, from its last start on? */
bool daemon_said(const struct daemon *d, const char *text);

/* A child that runs fn and ends with what it returns; it dies with us. */
pid_t child_start(int (*fn)(void *arg), void *arg);
/* Its exit code; 128 + signal; -1: still running. */
int child_wait(pid_t pid, int timeout_ms);

/* Run a program found in CHOIR_BUILD, quietly: its exit code. -1: there is no
 * such program. */
int program_run(const char *program, const char *const args[]);
bool program_exists(const char *program);

/* The files of a directory, one level, into a new one. */
void dir_copy(const char *from, const char *to);
void dir_remove(const char *path);

#endif
