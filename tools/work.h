/* What the files of `choir work` share: the tasks in hand, and the worker. */
#ifndef CHOIR_TOOLS_WORK_H
#define CHOIR_TOOLS_WORK_H

#include <sys/un.h>

#include "client.h"
#include "job.h"
#include "relay.h"

enum {
    JOBS_MAX = 64,
    GRACE_MS = 5000, /* from SIGTERM to SIGKILL */
};

enum stage { RUNNING, ANSWERING };

/* A task in hand. */
struct piece {
    uint64_t task, token;
    struct job *job;
    int listener; /* of its socket */
    char path[sizeof((struct sockaddr_un *)0)->sun_path];
    bool lost; /* the lease: nobody wants to hear how it ends */
    enum stage stage;
    uint64_t request; /* that ends the task */
    const char *verb;
    struct piece *next;
};

struct work {
    struct cli *cli;
    struct choir *choir;
    struct relay *relay;
    const char *queue, *command;
    int signal;                      /* that tells CMD of what moved; or 0 */
    uint64_t request;                /* the standing one */
    uint64_t granted, finished, max; /* tasks: let come, ended, wanted */
    struct piece *pieces;
    unsigned count;
    int signals;
    unsigned asked_to_end; /* how often */
    char dir[64];          /* of the sockets, ours alone */
};

int64_t work_now_ms(void);

/* --- work_piece.c -------------------------------------------------------- */

/* A task has come: begin with it, or give it back when the worker is ending. */
void task_take(struct work *w, const struct choir_event *e);
/* NULL if there is none. */
struct piece *piece_of_token(struct work *w, uint64_t token);
/* The command has ended: its status says how the task does. */
void piece_ended(struct work *w, struct piece *p);
/* The broker has said what became of that. */
void piece_answered(struct work *w, struct piece *p,
                    const struct choir_event *e);
/* Nobody wants to hear any more how it ends. */
void piece_lose(struct work *w, uint64_t token, const char *what,
                const char *why);
void piece_free(struct work *w, struct piece *p);

#endif
