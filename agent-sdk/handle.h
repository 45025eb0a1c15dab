/* The handle: what callers and the engine share, under one lock. Callers
 * put operations in and take events out; everything between is the engine's.
 */
#ifndef CHOIR_SDK_HANDLE_H
#define CHOIR_SDK_HANDLE_H

#include <pthread.h>
#include <sys/types.h>

#include "event.h"
#include "find.h"
#include "intake.h"
#include "leases.h"
#include "reads.h"
#include "request.h"
#include "table.h"
#include "window.h"

/* A request as the caller knows it. */
struct entry {
    UT_hash_handle hh;
    struct entry *next; /* of those to spare */
    uint64_t id;
    enum message verb;
    size_t bytes;               /* it counts for so much in flight */
    struct choir_event *events; /* not taken yet */
    bool is_reserved;           /* a blocking call waits: not for choir_next */
    bool is_forgotten;          /* its events go nowhere */
    bool has_outcome;           /* the last event, or a standing one's first */
    struct window window;       /* watch, tap and inbox */
    uint64_t outstanding;       /* work: tasks the broker may still send */
};

/* choir_work's own request for one queue. */
struct worker {
    struct worker *prev, *next;
    char queue[NAME_BYTES];
    uint64_t request;
    unsigned waiting; /* callers */
};

enum { LIMITS_MAX = 32 };
struct told_limit {
    char name[NAME_BYTES];
    uint64_t value;
};

struct choir {
    /* fixed once open */
    uint64_t process; /* the mark of the one that opened it */
    struct engine *engine;
    struct identity id;
    char name[NAME_BYTES], space[NAME_BYTES], path[PATH_BYTES];
    char agent_hex[HASH_HEX], ledger_hex[HASH_HEX];
    struct buf labels;
    unsigned label_count, flags;
    int timeout_ms;
    size_t in_flight_max;
    int ready_fd;
    struct leases *leases;
    struct reads *reads;
    uint64_t serial; /* no other handle of the process has it */
    struct checkpoint first_seen;
    struct buf first_proof; /* of it, as it was stored */

    int interrupted; /* atomic: set by choir_interrupt */

    pthread_mutex_t turn; /* taken before lock: who holds it is the engine */
    pthread_mutex_t work_lock; /* taken before lock: one worker a queue */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* an event, room, the end, an interruption */
    struct intake intake;   /* to the engine */
    uint64_t last_id;
    struct entry *entries; /* by id */
    struct entry *entries_spare;
    struct op *ops_spare;
    unsigned entries_spared, ops_spared;
    struct choir_event *queue; /* for choir_next, oldest first */
    unsigned queued;           /* events in it */
    bool wants_fd;             /* ready_fd is kept true to it */
    size_t in_flight, unanswered;
    struct worker *workers;
    char **capabilities; /* owned, and each of them */
    size_t capability_count;
    struct choir_replica *replicas;
    struct choir_event *late; /* tasks ahead of them; see late.h */
    bool is_passed;           /* the hub looks again when the turn is free */
    bool is_driven;           /* a caller is the engine for a while, */
    bool is_poked;            /* and is to look what it waits for */
    unsigned waiting;         /* callers, for `changed`: may be interrupted */
    unsigned dozing;          /* the library's own threads, likewise: not */
    uint64_t interruptions;   /* counted; a waiter compares */
    bool interrupt_next;      /* nobody has returned for the last one yet */
    int ended;                /* the code that ended everything, or 0 */
    char *ended_line;
    int trouble; /* why nothing happens just now, or 0 */
    bool is_connected;
    uint64_t session;
    struct checkpoint seen;
    struct told_limit limits[LIMITS_MAX];
    unsigned limit_count;
    uint64_t bundle_bytes_max; /* ours, or the broker's if it is less */
};

/* Have the engine run, in the hub. 0 or -errno. */
int engine_start(struct choir *c);
/* Say what is left to say and end the session. Callers have left. Nothing, if
 * it does not run. */
void engine_stop(struct choir *c);
/* Have what callers put in sent: by the hub if it is awake anyway or much is
 * under way, else in this thread. With c->lock held, which it gives up
 * meanwhile. */
void engine_look(struct choir *c);
/* Be the engine until waiters must be told something, or until deadline (as of
 * deadline_after). With c->turn held, which it releases. */
void engine_drive(struct choir *c, int64_t deadline);

/* Monotonic milliseconds. */
int64_t sdk_clock_ms(void);

/* Every public call begins with it: 0, or CHOIR_CLOSED in a forked child. */
int handle_check(const struct choir *c);

/* Publish and free the list; under the lock. True: waiters must be told. */
bool handle_publish(struct choir *c, struct choir_event **events);
/* Keep ops for the next requests, or free them; under the lock. */
void handle_spare(struct choir *c, struct op **ops);

/* Have those who wait look again; under the lock. */
void handle_changed(struct choir *c);

/* The following with the lock held. NULL: there is none by that number. */
struct entry *handle_entry(struct choir *c, uint64_t id);
/* Take its first event, which there must be; may free the entry. */
struct choir_event *handle_take(struct choir *c, struct entry *e);
/* Put it where callers take it. */
void handle_deliver(struct choir *c, struct choir_event *event);
/* Nobody will fetch this event: if it is a task, it goes back by nak. */
void handle_give_back(struct choir *c, const struct choir_event *event);
/* The code that ended everything, with its line. */
int handle_ended(const struct choir *c);
/* CHOIR_NOT_FOUND, for a request that is not there. */
int handle_unknown(uint64_t request);
uint64_t handle_limit(const struct choir *c, const char *name);
/* One wait of a caller. handle_sleep: 0: look again; CHOIR_TIMEOUT,
 * CHOIR_UNREACHABLE, CHOIR_INTERRUPTED with the error line set. */
struct sleep {
    int64_t deadline;
    uint64_t since; /* interruptions counted when it began */
};
/* Give or take ready_fd its one, after the queue changed; once wanted. */
void handle_ready(struct choir *c, bool ready);
struct sleep handle_sleep_begin(const struct choir *c, int timeout_ms);
int handle_sleep(struct choir *c, const struct sleep *s);

/* When a wait that begins now is over. -1: never. */
int64_t deadline_after(int timeout_ms);
/* Send; reserved: its events are for choir_wait alone. */
int handle_send(struct choir *c, struct choir_request **r, int timeout_ms,
                bool reserved, uint64_t *request);
/* Its events may come by choir_next from now on. */
void handle_release(struct choir *c, uint64_t request);
/* The caller wants nothing more of it. */
void handle_forget(struct choir *c, uint64_t request);

#endif
