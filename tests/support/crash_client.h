/* One client process of the crash tests: works against the broker through
 * choir.h until it is told to stop by SIGTERM, and writes down every operation
 * before it is sent and every outcome once it is known (history.h). */
#ifndef CHOIR_TESTS_SUPPORT_CRASH_CLIENT_H
#define CHOIR_TESTS_SUPPORT_CRASH_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

enum client_role {
    CLIENT_PUTS,     /* one at a time, and reads */
    CLIENT_STREAM,   /* many in flight */
    CLIENT_COMPARES, /* compare-and-set on shared keys */
    CLIENT_TXNS,     /* two keys at once, on conditions */
    CLIENT_SUBMITS,  /* tasks */
    CLIENT_WORKS,    /* and completes them with writes */
    CLIENT_WATCHES,  /* from the beginning to the key CLIENT_END_KEY */
    CLIENT_ENDS,     /* writes that key, and ends */
};

#define CLIENT_END_KEY "shared/end"

struct client_task {
    enum client_role role;
    unsigned number; /* of the client: its name is crash-NUMBER */
    unsigned life;   /* of its process: 0, 1, ... */
    unsigned seed;
    const char *log; /* appended to; borrowed */
    bool brisk;      /* short values, no pauses, more in flight */
    uint64_t *count; /* shared memory: its operations so far; or NULL */
};

/* For child_start; arg: struct client_task. 0 if all went as it should. */
int client_run(void *arg);

#endif
