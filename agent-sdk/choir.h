/* choir.h - the client library of the Choir broker.
 *
 * Choir gives a team of agents one durable, versioned, signed context and one
 * set of task queues. This header is the whole library: opaque handles, plain
 * C types, one pollable descriptor, no callbacks. It includes nothing of
 * Choir's own and is safe to use from C++ and from foreign-function
 * interfaces.
 *
 * --- In ten lines ---------------------------------------------------------
 *
 *     struct choir *c;
 *     uint64_t revision;
 *
 *     if (choir_open(NULL, &c))                // finds broker and identity
 *         return fprintf(stderr, "%s\n", choir_error_text()), 1;
 *     if (choir_put(c, "plan", "draft", 5, &revision))
 *         fprintf(stderr, "%s\n", choir_error_text());
 *     choir_close(&c);
 *
 * --- Words ----------------------------------------------------------------
 *
 * revision  The one number. Every accepted operation gets the next one in the
 *           ledger; it is the version of what it wrote, the id of a task it
 *           submitted, the token of a lease, and where a watch goes on.
 * request   One operation or question, named like in proto/schema.h ("put",
 *           "get", "watch", ...) with fields named like there ("key", ...).
 *           The functions below for single verbs are made of nothing else.
 * event     What comes back: the outcome of a request, or something that a
 *           standing request (watch, tap, work, await) delivers.
 *
 * --- Return values --------------------------------------------------------
 *
 * Functions that can fail return int: 0 done; a negative errno for failures
 * of this process (-ENOMEM, -EACCES, ...); a positive CHOIR_* code for what
 * the broker refused or for what stands between it and us. After a non-zero
 * return choir_error_text() says what was refused, by which limit, and what
 * to do next. In addition to the errors listed with a function, every
 * function that takes a handle may return CHOIR_CLOSED (in a forked child:
 * a handle belongs to the process that opened it; open another).
 *
 * --- Threads, processes, signals ------------------------------------------
 *
 * A handle may be used by any number of threads at once. One thread of the
 * library's own does the input and output of all handles of the process: it
 * signs, sends, sends again after a reconnect, verifies what arrives, and
 * keeps leases alive while the caller is busy elsewhere. It is there while a
 * handle is, calls nothing of yours and has all signals blocked.
 * While a call waits, it may do that thread's work for its handle itself; so
 * may choir_send, for what it sends. If what it waits for is all there is under
 * way, and the broker is on this host, the calling thread waits on the core that
 * the broker uses, among those it may use; where it may run is as before when
 * the call returns.
 * Handles may be opened and closed by any number of threads at once.
 * A request, an event and a string belong to one thread at a time.
 * Every process opens its own handles: see fork above. A forked child may do
 * so whatever its parent's threads were doing with theirs; fork while none of
 * them is in choir_open, where libsodium and libzmq have locks of their own.
 *
 * --- Memory ---------------------------------------------------------------
 *
 * Frames come and go by the megabyte, and a malloc that gives their memory
 * back each time takes it again by page faults. The library never calls
 * mallopt; by freeing one block of 2 MiB when it connects it has glibc keep up
 * to 4 MiB a thread that are free, as any large block would, unless the program
 * or its environment has set malloc's thresholds. That is enough for 50 handles
 * with 64 puts under way each; a program with far more may want
 * mallopt(M_TRIM_THRESHOLD, 32 << 20) before the first choir_open.
 *
 * --- Exactly once ---------------------------------------------------------
 *
 * A request that was sent is kept, byte for byte, until its outcome arrives,
 * and is sent again after every reconnect; the broker never applies it twice.
 * A broker that is busy or draining is asked again the same way. READ_ONLY,
 * RATE and TOO_LARGE are told at once: the operation has not happened.
 * A call that ends with CHOIR_TIMEOUT has NOT been taken back: it goes on and
 * may still happen. If the session was lost meanwhile (broker restored, agent
 * revoked, idle for too long) an operation without an "id" whose outcome
 * never arrived ends with CHOIR_OUTCOME_UNKNOWN; one with an "id" is sent
 * again in a new session, safely: the broker knows the id.
 *
 * --- Trust ----------------------------------------------------------------
 *
 * Everything that arrives is checked before it becomes an event: the broker's
 * signature (pinned at enrolment), its place under it, ledger, recipient,
 * and that the ledger never goes backwards, not even from one run of the
 * program to the next. What fails is CHOIR_BROKEN, CHOIR_WRONG_BROKER or
 * CHOIR_LEDGER_BEHIND, and nothing more is accepted.
 *
 * Since 0.1 unless a function says otherwise. */
#ifndef CHOIR_H
#define CHOIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CHOIR_API __attribute__((visibility("default")))
#define CHOIR_MUST_CHECK __attribute__((warn_unused_result))
#else
#define CHOIR_API
#define CHOIR_MUST_CHECK
#endif

#define CHOIR_VERSION_MAJOR 0
#define CHOIR_VERSION_MINOR 1
#define CHOIR_VERSION_PATCH 0

/* Version of the library that is loaded: "0.1.0". Static. */
CHOIR_API const char *choir_version(void);

/* --- Codes ---------------------------------------------------------------- */

/* The numbers of proto/refusal.h, which some of our own files include too. */
#ifndef CHOIR_PROTO_REFUSAL_H
enum choir_code {
    CHOIR_OK = 0,
    /* outcomes: recorded in the ledger */
    CHOIR_CONFLICT = 1,    /* the key is not at the revision you named */
    CHOIR_STALE = 2,       /* what it was made from has changed */
    CHOIR_FENCED = 3,      /* the lease is no longer yours */
    CHOIR_DENIED = 4,      /* not granted */
    CHOIR_NOT_FOUND = 5,   /* no such thing, or you may not see it */
    CHOIR_OVER_LIMIT = 6,  /* a limit is reached */
    CHOIR_UNSUPPORTED = 7, /* unknown field or verb */
    CHOIR_INVALID = 8,     /* the arguments do not fit together */
    CHOIR_TERMINAL = 9,    /* the task is already final */
    CHOIR_EXPIRED = 10,    /* the invitation is used up or too old */
    CHOIR_NAME_TAKEN = 11, /* another agent has that name */
    CHOIR_REPEATED = 12,   /* this operation id was used before */
    CHOIR_DRAINING = 13,   /* the queue takes no more tasks */
    /* turned away: nothing happened, nothing was recorded */
    CHOIR_READ_ONLY = 64,     /* the broker is short of disk space */
    CHOIR_BUSY = 65,          /* the broker, or this handle, has its fill */
    CHOIR_RATE = 66,          /* you write faster than you may */
    CHOIR_MALFORMED = 67,     /* against the specification */
    CHOIR_SEQ_GAP = 68,       /* handled inside the library */
    CHOIR_SESSION_ENDED = 69, /* handled inside the library */
    CHOIR_ANSWERED = 70,      /* handled inside the library */
    CHOIR_EPOCH_CHANGED = 71, /* the ledger was restored */
    CHOIR_BAD_CHALLENGE = 72, /* handled inside the library */
    CHOIR_TOO_LARGE = 73,     /* larger than this broker accepts */
    CHOIR_EQUIVOCATION = 74,  /* two different bundles under one number */
    CHOIR_UNKNOWN_AGENT = 75, /* no such agent, or its key is revoked */
    CHOIR_BAD_SIGNATURE = 76, /* the signature does not fit the bytes */
    CHOIR_WRONG_LEDGER = 77,  /* meant for another ledger */
    /* reads */
    CHOIR_COMPACTED = 96, /* that revision is no longer kept */
    CHOIR_FUTURE = 97,    /* that revision does not exist yet */
    CHOIR_DIVERGED = 98,  /* handled inside the library */
    CHOIR_ERASED = 99,    /* that value was erased */
    /* said by this library */
    CHOIR_TIMEOUT = 128,         /* no answer in time; it may still happen */
    CHOIR_UNREACHABLE = 129,     /* the broker cannot be reached */
    CHOIR_WRONG_BROKER = 130,    /* not the broker that was pinned */
    CHOIR_LEDGER_BEHIND = 131,   /* it has lost what we have seen */
    CHOIR_NO_IDENTITY = 132,     /* no identity for this broker */
    CHOIR_BROKEN = 133,          /* a proof or a check failed */
    CHOIR_INTERRUPTED = 134,     /* choir_interrupt was called */
    CHOIR_CLOSED = 135,          /* the handle is closed, or not ours */
    CHOIR_OUTCOME_UNKNOWN = 136, /* it may have happened, or not */
};
#endif

/* States of a task, in the field "state". */
enum choir_task_state {
    CHOIR_TASK_QUEUED = 1,
    CHOIR_TASK_WORKING = 2,
    CHOIR_TASK_INPUT_REQUIRED = 3,
    CHOIR_TASK_COMPLETED = 4,
    CHOIR_TASK_FAILED = 5,
    CHOIR_TASK_CANCELLED = 6,
    CHOIR_TASK_DEAD = 7,
};

/* Rights, in the field "rights" of a grant: a sum. */
enum choir_right {
    CHOIR_RIGHT_READ = 1,
    CHOIR_RIGHT_WRITE = 2,
    CHOIR_RIGHT_SUBMIT = 4,
    CHOIR_RIGHT_WORK = 8,
    CHOIR_RIGHT_SEND = 16,
    CHOIR_RIGHT_TAP = 32,
    CHOIR_RIGHT_ADMIN = 64,
};

/* Answers to what moved, in the field "kind" of a heed. */
enum choir_heed {
    CHOIR_REFRESH = 1, /* it will be read again */
    CHOIR_IGNORE = 2,  /* it does not matter: complete in spite of it */
    CHOIR_ABANDON = 3, /* the task is given back, as by choir_nak */
};

/* What becomes of a completion that is stale, in the field "stale" of a
 * submit. */
enum choir_stale {
    CHOIR_STALE_REJECT = 1,  /* CHOIR_STALE; the task is still yours */
    CHOIR_STALE_FLAG = 2,    /* it is accepted, and marked */
    CHOIR_STALE_REQUEUE = 3, /* CHOIR_STALE; another attempt follows */
};

/* "CONFLICT" for CHOIR_CONFLICT, "ENOENT" for -ENOENT; "UNKNOWN" for a
 * number without a name. Static. Any thread. */
CHOIR_API const char *choir_code_name(int code);
/* One sentence for a person. Static. Any thread. */
CHOIR_API const char *choir_code_sentence(int code);
/* "queued", "working", ... Static. */
CHOIR_API const char *choir_state_name(unsigned state);
/* Is that state final? */
CHOIR_API bool choir_state_final(unsigned state);

/* Why the last call of THIS THREAD that returned non-zero did so; kept until
 * the next one that does. One line, without a newline, that begins with the
 * code's name: "CONFLICT key=plan base=40 current=57: the key is not at the
 * revision you named". Never NULL. Holds no secrets. Borrowed until this
 * thread's next call into the library. */
CHOIR_API const char *choir_error_text(void);
/* Its code, as returned. */
CHOIR_API int choir_error_code(void);
/* The revision that goes with it, or 0. CONFLICT: where the key is now (0:
 * absent). REPEATED: the revision of the first use of that id. */
CHOIR_API uint64_t choir_error_revision(void);

/* Frees a string that a function below gave you as owned. NULL is allowed. */
CHOIR_API void choir_free(void *p);

/* --- Opening -------------------------------------------------------------- */

struct choir;

enum choir_open_flags {
    /* Return at once; requests wait until the broker is reached. Failures
     * that waiting cannot cure still show at the first call that waits. Only
     * a first enrolment waits all the same. */
    CHOIR_OPEN_NOWAIT = 1,
    /* The operator's word after a restore: accept the ledger as it is now,
     * though it is behind what this identity has seen, and remember that. */
    CHOIR_ACCEPT_EPOCH = 2,
    /* Do not enrol silently; CHOIR_NO_IDENTITY instead. */
    CHOIR_OPEN_KNOWN = 4,
};

/* All strings are borrowed during the call and may be NULL for the default.
 * Start from CHOIR_OPTIONS_INIT, so that a later, longer struct still works.
 */
struct choir_options {
    size_t struct_bytes;       /* sizeof(struct choir_options) */
    const char *url;           /* CHOIR_URL; else that of the local broker */
    const char *name;          /* CHOIR_AS; else the program's name */
    const char *identity_path; /* CHOIR_IDENTITY; else see choir_discover */
    const char *space;         /* CHOIR_SPACE; else "main" */
    const char *data_dir;      /* where to look for a local broker:
                                  CHOIR_DATA; else its own default */
    const char *const *labels; /* "model=x", ...; NULL ends. Signed, shown as
                                  reported, never believed. At most 16. NULL:
                                  CHOIR_LABELS ("model=x,role=y"), or none */
    int timeout_ms;            /* of blocking calls; 0: 10,000; -1: never */
    unsigned flags;            /* enum choir_open_flags */
    size_t in_flight_bytes;    /* requests not yet answered; 0: 64 MiB */
};
#define CHOIR_OPTIONS_INIT                                                   \
    {                                                                        \
        sizeof(struct choir_options), NULL, NULL, NULL, NULL, NULL, NULL, 0, \
            0, 0                                                             \
    }

/* Find broker and identity, connect, open a session.
 * options: borrowed; NULL for all defaults.  c: owned, give to choir_close.
 * Returns 0; CHOIR_NO_IDENTITY (run `choir join`); CHOIR_UNREACHABLE (nothing
 * answered in timeout_ms); CHOIR_WRONG_BROKER; CHOIR_LEDGER_BEHIND;
 * CHOIR_UNKNOWN_AGENT (revoked); CHOIR_INVALID (an option); -EACCES (an
 * identity file others may read); -ENOMEM and others. */
CHOIR_API CHOIR_MUST_CHECK int choir_open(const struct choir_options *options,
                                          struct choir **c);

/* End the session, free everything; *c becomes NULL. NULL and *c == NULL are
 * allowed. The library's threads end with the last handle. Operations not yet
 * answered get up to one second to be; call choir_flush first to be sure.
 * Tasks that were delivered to this handle but never fetched are given back by
 * nak; that is handed to the kernel by the library's threads, so a program that
 * ends by _exit right after closing one handle of several may be too fast for
 * it. Other threads must have left the handle. */
CHOIR_API void choir_close(struct choir **c);

/* Enrol with an invitation ("choir-invite-1:...") under options->name and
 * store the identity; nothing stays connected. An identity that is already
 * there for that name and ledger is kept: that is success too.
 * invitation: borrowed.  path: if not NULL, owned: where the identity is.
 * Returns 0; CHOIR_EXPIRED; CHOIR_NAME_TAKEN; CHOIR_MALFORMED (not an
 * invitation); CHOIR_UNREACHABLE; CHOIR_WRONG_BROKER; negative errno. */
CHOIR_API CHOIR_MUST_CHECK int choir_join(const char *invitation,
                                          const struct choir_options *options,
                                          char **path);

/* How choir_open would find broker and identity, step by step, without
 * connecting: lines "step=... value=... from=... note=...".
 * text: owned; set also when the return is not 0. Returns what choir_open
 * would say before connecting: 0 or CHOIR_NO_IDENTITY, ... */
CHOIR_API int choir_discover(const struct choir_options *options, char **text);

/* Facts about the handle. Strings are borrowed until choir_close. */
CHOIR_API const char *choir_url(const struct choir *c);
CHOIR_API const char *choir_name(const struct choir *c);
CHOIR_API const char *choir_space(const struct choir *c);
CHOIR_API const char *choir_identity_path(const struct choir *c);
/* 64 hex digits each. */
CHOIR_API const char *choir_agent_id(const struct choir *c);
CHOIR_API const char *choir_ledger_id(const struct choir *c);
/* Is there a session with the broker right now? */
CHOIR_API bool choir_connected(struct choir *c);
/* The session's number; 0 before the first. */
CHOIR_API uint64_t choir_session(struct choir *c);
/* The newest the broker has proven to us: epoch, entries, and the root of the
 * ledger's tree over them (64 hex digits and NUL). Each may be NULL. */
CHOIR_API void choir_checkpoint(struct choir *c, uint64_t *epoch,
                                uint64_t *size, char root[65]);
/* A limit the broker told ("value_bytes_max", "bundle_bytes_max", ...);
 * 0 if it told none by that name, or nothing yet. */
CHOIR_API uint64_t choir_limit(struct choir *c, const char *name);

/* --- Context: blocking calls ---------------------------------------------- */

/* In these calls the space is the handle's, texts are NUL-terminated UTF-8,
 * values any bytes. They wait up to the handle's timeout and then return
 * CHOIR_TIMEOUT, or CHOIR_UNREACHABLE if there is no connection. All may
 * return CHOIR_DENIED, CHOIR_OVER_LIMIT, CHOIR_TOO_LARGE, CHOIR_READ_ONLY,
 * CHOIR_RATE, CHOIR_BUSY, CHOIR_INTERRUPTED, CHOIR_OUTCOME_UNKNOWN. */

/* Write key, whatever is there.
 * revision: of the new version; may be NULL. */
CHOIR_API CHOIR_MUST_CHECK int choir_put(struct choir *c, const char *key,
                                         const void *value, size_t bytes,
                                         uint64_t *revision);
/* Write key only if it is at if_revision; 0: only if it is absent.
 * CHOIR_CONFLICT otherwise: choir_error_revision() says where it is. */
CHOIR_API CHOIR_MUST_CHECK int choir_put_if(struct choir *c, const char *key,
                                            const void *value, size_t bytes,
                                            uint64_t if_revision,
                                            uint64_t *revision);
/* Delete key. if_revision 0: whatever is there. CHOIR_NOT_FOUND;
 * CHOIR_CONFLICT. */
CHOIR_API CHOIR_MUST_CHECK int choir_delete(struct choir *c, const char *key,
                                            uint64_t if_revision,
                                            uint64_t *revision);

/* Add to the array, or to the whole number, under key, in one step: nothing is
 * lost, whoever else writes. An absent key begins with it. element: a msgpack
 * value. CHOIR_INVALID: the key holds something else. */
CHOIR_API CHOIR_MUST_CHECK int choir_append(struct choir *c, const char *key,
                                            const void *element, size_t bytes,
                                            uint64_t *revision);
CHOIR_API CHOIR_MUST_CHECK int choir_incr(struct choir *c, const char *key,
                                          int64_t by, uint64_t *revision);
/* Say how writes under prefix ("": all keys) are merged: "cas", "merge",
 * "append", "set", "counter", "lww", or "none" to take it away. Under "cas" and
 * "merge" choir_put of a key that is there is CHOIR_CONFLICT and choir_put_if
 * names what its value was made from. CHOIR_INVALID: no such policy;
 * CHOIR_NOT_FOUND. */
CHOIR_API CHOIR_MUST_CHECK int choir_policy(struct choir *c, const char *prefix,
                                            const char *policy,
                                            uint64_t *revision);
/* Have the value that key has at at_revision (0: the newest) forgotten, and
 * those that were merged from it later: whoever asks for one of them is told
 * CHOIR_ERASED from *revision on, and a moment later their bytes are off the
 * broker's disk. Who wrote them stays. For whoever administers the key, and not
 * to be taken back. reason: or NULL; it stays in the record. CHOIR_DENIED;
 * CHOIR_NOT_FOUND: that is no value of the key. Since 0.1.0. */
CHOIR_API CHOIR_MUST_CHECK int choir_erase(struct choir *c, const char *key,
                                           uint64_t at_revision,
                                           const char *reason,
                                           uint64_t *revision);

struct choir_event;

/* Read key as it is now (at_revision 0) or was at that revision.
 * e: owned; choir_event_value() gives the value, the fields are "revision",
 * "type", "agent", "time", "prev", "task", "created", "seen".
 * CHOIR_NOT_FOUND; CHOIR_COMPACTED; CHOIR_FUTURE. */
CHOIR_API CHOIR_MUST_CHECK int choir_get(struct choir *c, const char *key,
                                         uint64_t at_revision,
                                         struct choir_event **e);
/* One page of the keys that begin with prefix ("": all), in order.
 * after: NULL, or the "after" text of the page before; none: the last page.
 * e: owned; elements of "items" have "key", "revision", "type", "size",
 * "agent", "created". */
CHOIR_API CHOIR_MUST_CHECK int choir_list(struct choir *c, const char *prefix,
                                          const char *after,
                                          uint64_t at_revision,
                                          struct choir_event **e);
/* The versions of key, newest first, from `from` on downwards (0: now).
 * e: owned; "items" with "revision", "kind" (0 put, 1 delete), "agent",
 * "time", ...; "prev": where the next page starts, 0: no more. */
CHOIR_API CHOIR_MUST_CHECK int choir_log(struct choir *c, const char *key,
                                         uint64_t from, struct choir_event **e);

/* Who is responsible for the value of key as it is now (at_revision 0) or was
 * then. Of a msgpack map each path has its own author, of an array each element,
 * of a counter each author a share: versions are compared, each with the one
 * before it. page: NULL, or the answer before, of the same key.
 * e: owned; "revision": the version; "items" of three kinds:
 *   "kind" 0  an entry, as its "revision", which choir_receipt proves: "agent"
 *             (proven), "labels" (reported by it), "time", "operation", "task";
 *             the version itself comes first, its value's length in "size" (none
 *             when it was deleted). Of what may not be seen but for this
 *             key, "reason" is "hidden", and there is no operation
 *   "kind" 1  a place, in "text" as a JSON pointer, and in "revision" the entry
 *             that last changed it
 *   "kind" 2  what "agent" added to a counter: a whole number as its value, in
 *             "count" versions; the shares of all pages add up
 * A place or share with a "reason", "compacted" or "erased", is older: it was
 * like that in "revision", and what was before is not kept.
 * There is another page if "prev" or "after" is set. Of a place that is told
 * twice, the first counts.
 * CHOIR_NOT_FOUND (also: not for you to read); CHOIR_COMPACTED; CHOIR_FUTURE;
 * CHOIR_INVALID (the page is of something else, or its history has been erased
 * since). */
CHOIR_API CHOIR_MUST_CHECK int choir_blame(struct choir *c, const char *key,
                                           uint64_t at_revision,
                                           const struct choir_event *page,
                                           struct choir_event **e);

/* Watch every change of keys that begin with prefix, from revision `from` on
 * (inclusive; 0: only what comes now). Each revision exactly once, in order,
 * whole, across reconnects and broker restarts. The broker sends ahead by a
 * bounded number; a slow reader costs nobody memory. What was compacted
 * meanwhile is left out: of each key the newest version that was kept is told,
 * so that whoever follows ends with what there is, only not by every step.
 * watch: fetch its events with choir_wait or choir_next: "change" (fields
 * "revision", "time", "agent", "items" with "key", "kind", "value"), one
 * "caught_up", and as the last "watch_over" with the reason. */
CHOIR_API CHOIR_MUST_CHECK int choir_watch(struct choir *c, const char *prefix,
                                           uint64_t from, uint64_t *watch);
/* End a watch, tap, work or await request: no event of it comes any more. */
CHOIR_API int choir_cancel(struct choir *c, uint64_t request);

/* --- Tasks: blocking calls ------------------------------------------------ */

/* Put a task into a queue. task: its id. */
CHOIR_API CHOIR_MUST_CHECK int choir_submit(struct choir *c, const char *queue,
                                            const void *payload, size_t bytes,
                                            uint64_t *task);
/* What a submission may say besides. Zero-initialised: nothing of it. All
 * borrowed for the call. */
struct choir_submit_options {
    const char *type;      /* media type of the payload */
    const char *id;        /* operation id: said again, it is done once */
    unsigned priority;     /* 9 is served first */
    unsigned max_attempts; /* 0: as the broker has it; so lease, back-off */
    uint64_t lease_ms, backoff_ms;
    uint64_t not_before, deadline; /* us since 1970; past it, it is dead */
    uint64_t parent;               /* cancelling that task cancels this one */
    const uint64_t *needs;         /* tasks that must be completed before */
    size_t need_count;
    const char *const *capabilities; /* what a worker must have */
    size_t capability_count;
};
/* The same. CHOIR_NOT_FOUND: a task that is needed, or the parent, is not
 * known; CHOIR_REPEATED: the id was used before; CHOIR_OVER_LIMIT,
 * CHOIR_DRAINING: the queue. */
CHOIR_API CHOIR_MUST_CHECK int choir_submit_with(
    struct choir *c, const char *queue, const void *payload, size_t bytes,
    const struct choir_submit_options *options, uint64_t *task);
/* Answer a task that is "input_required". question: the revision of what it
 * asked, or 0 for whatever that is. CHOIR_INVALID: it does not ask;
 * CHOIR_CONFLICT: it asks something else; CHOIR_TERMINAL. */
CHOIR_API CHOIR_MUST_CHECK int choir_input(struct choir *c, uint64_t task,
                                           uint64_t question, const void *value,
                                           size_t bytes);
/* Wait until a task is final. e: owned; "task_state" with "state", "reason",
 * the result as its value. timeout_ms: -1 for ever. CHOIR_NOT_FOUND. The
 * return is 0 for every final state: look at "state". */
CHOIR_API CHOIR_MUST_CHECK int choir_result(struct choir *c, uint64_t task,
                                            int timeout_ms,
                                            struct choir_event **e);

/* What this handle's workers have: from now on choir_work gets tasks that take
 * some of it, or nothing. Names are copied; before the first choir_work of a
 * queue. -ENOMEM. */
CHOIR_API CHOIR_MUST_CHECK int choir_capabilities(struct choir *c,
                                                  const char *const *names,
                                                  size_t count);
/* Claim the next task of a queue: highest priority first, oldest first. A task
 * that is ahead of a replica of this handle is handed out when the replica has
 * come as far, its lease being kept alive; so with choir_next, too. From
 * then on the library keeps its lease alive, however long the work takes,
 * until one of the calls below, or until it is lost (an event "lease_lost";
 * choir_task_held).
 * timeout_ms: -1 for ever; 0: only if one has arrived already.
 * task: owned, free with choir_event_free; payload as its value; "task",
 * "token", "attempt", "space", "queue", "type", "agent" (who submitted),
 * "progress" (last progress of an earlier attempt), "items" (what had moved
 * when an earlier attempt was found stale), "input" (the answer to its last
 * question). CHOIR_TIMEOUT.
 * From then on this thread acts under its lease: see choir_lease_use. */
CHOIR_API CHOIR_MUST_CHECK int choir_work(struct choir *c, const char *queue,
                                          int timeout_ms,
                                          struct choir_event **task);
/* Do we still hold its lease, as far as we know? */
CHOIR_API bool choir_task_held(struct choir *c, const struct choir_event *task);
/* Record progress; the last one goes to the next attempt. CHOIR_FENCED: stop,
 * the task is no longer ours. task: borrowed, as in all of these. */
CHOIR_API CHOIR_MUST_CHECK int choir_progress(struct choir *c,
                                              const struct choir_event *task,
                                              const void *value, size_t bytes);
/* A piece of the result, told at once to whoever awaits the task; each is
 * numbered and kept, so that a reader who was away goes on behind the last one
 * it had: the request "await" with "count", events "partial_told".
 * CHOIR_FENCED, CHOIR_OVER_LIMIT (partials_per_task_max). */
CHOIR_API CHOIR_MUST_CHECK int choir_partial(struct choir *c,
                                             const struct choir_event *task,
                                             const void *value, size_t bytes);
/* Ask whoever submitted the task, and wait for the answer; the lease does not
 * run out meanwhile. timeout_ms: -1 for ever.
 * answer: owned; "input_told", its value the answer. CHOIR_FENCED;
 * CHOIR_TIMEOUT: it still asks, and the answer may still come, as the event
 * "input_told" of a "work" request; CHOIR_TERMINAL: the task was ended. */
CHOIR_API CHOIR_MUST_CHECK int choir_ask_input(struct choir *c,
                                               const struct choir_event *task,
                                               const void *question,
                                               size_t bytes, int timeout_ms,
                                               struct choir_event **answer);
/* Done, with this result. CHOIR_FENCED. CHOIR_STALE: what was read under the
 * lease has changed since; choir_error_text() names it, and choir_moved tells
 * all of it. The task is still yours: read again and complete again, say
 * CHOIR_IGNORE, or give it back; unless it was submitted with
 * CHOIR_STALE_REQUEUE. With context writes in the same transaction:
 * choir_complete_new. */
CHOIR_API CHOIR_MUST_CHECK int choir_complete(struct choir *c,
                                              const struct choir_event *task,
                                              const void *result, size_t bytes);
/* It cannot be done: failed, final. */
CHOIR_API CHOIR_MUST_CHECK int choir_fail(struct choir *c,
                                          const struct choir_event *task,
                                          const char *reason);
/* Give it back; another attempt follows after a back-off that grows.
 * reason may be NULL. */
CHOIR_API CHOIR_MUST_CHECK int choir_nak(struct choir *c,
                                         const struct choir_event *task,
                                         const char *reason);

/* --- In step: what a task was made from ----------------------------------- */

/* What is read under a lease joins the task's read set: keys that were there
 * and keys that were not, listings, logs, reads at a revision, and what is
 * read of a replica. The completion carries it, and the broker accepts it only
 * if all of that still stands (else CHOIR_STALE, or what the submitter chose).
 * Of one key the later reading counts; your own writes under the lease do not
 * make it stale, if nobody else wrote that key between your reading and your
 * write. Wait for the outcome of a write before you complete. A read set of
 * more than 4,096 rows is widened to prefixes: it may then be found stale for
 * a neighbour's sake.
 *
 * This thread acts under that lease from now on: its gets, lists, logs and
 * replica reads join the read set, and its writes carry the lease, so that
 * they are CHOIR_FENCED once it is lost. choir_work does this by itself for
 * the thread that called it; the calls that end a task, in the thread that
 * makes them. A thread that hands its task to another one says 0; the other
 * one says the token. Requests that name "task" and "token" themselves are left
 * as they are.
 * token: the field "token" of the task; 0: under none.
 * Returns 0; CHOIR_FENCED (this handle does not hold it). */
CHOIR_API int choir_lease_use(struct choir *c, uint64_t token);

/* Wait until something in the read set was changed by others and is not yet
 * answered or read again. For those who fetch events by choir_next it also
 * comes as an event "moved" of their "work" request, once for each news.
 * timeout_ms: 0 not at all, -1 for ever.
 * moved: owned; "task", "token", "revision" (up to where this is told), "items"
 * with "key", "prev" (what you read), "revision" (where it is now), "agent"
 * (who wrote it), "kind" 1 if it was deleted.
 * Returns 0; CHOIR_TIMEOUT (nothing); CHOIR_FENCED (the lease is over). */
CHOIR_API CHOIR_MUST_CHECK int choir_moved(struct choir *c, uint64_t token,
                                           int timeout_ms,
                                           struct choir_event **moved);
/* Answer it; the answer is recorded. The broker reminds of what moved until
 * then. After CHOIR_REFRESH read again what moved, or the completion is stale.
 * revision: up to where it answers; 0: all that was told. reason: or NULL.
 * CHOIR_FENCED. */
CHOIR_API CHOIR_MUST_CHECK int choir_heed(struct choir *c, uint64_t token,
                                          enum choir_heed heed,
                                          uint64_t revision,
                                          const char *reason);

/* --- Transactions --------------------------------------------------------- */

struct choir_request;

/* A transaction: compares, then writes, all or nothing, one revision.
 * Owned: give to choir_commit (or choir_request_free). NULL: no memory.
 * Errors of the calls in between are kept and returned by choir_commit. */
CHOIR_API struct choir_request *choir_txn_new(struct choir *c);
/* A completion of task that may carry compares and writes likewise. */
CHOIR_API struct choir_request *choir_complete_new(
    struct choir *c, const struct choir_event *task, const void *result,
    size_t bytes);
/* Only if key is at revision (0: absent). */
CHOIR_API void choir_txn_compare(struct choir_request *r, const char *key,
                                 uint64_t revision);
/* Only if nothing under prefix changed after revision. */
CHOIR_API void choir_txn_unchanged(struct choir_request *r, const char *prefix,
                                   uint64_t revision);
CHOIR_API void choir_txn_put(struct choir_request *r, const char *key,
                             const void *value, size_t bytes);
CHOIR_API void choir_txn_delete(struct choir_request *r, const char *key);
/* Send it and wait. Takes the request whatever happens; *r becomes NULL.
 * revision: may be NULL. CHOIR_CONFLICT, CHOIR_FENCED, CHOIR_INVALID. */
CHOIR_API CHOIR_MUST_CHECK int choir_commit(struct choir *c,
                                            struct choir_request **r,
                                            uint64_t *revision);

/* A message that is sent when, and only if, the completion is accepted; r: of
 * choir_complete_new. to: as in choir_message. CHOIR_NOT_FOUND; what else is
 * wrong with it, choir_commit says again. */
CHOIR_API CHOIR_MUST_CHECK int choir_complete_message(struct choir *c,
                                                      struct choir_request *r,
                                                      const char *to,
                                                      const void *body,
                                                      size_t bytes);

/* --- Messages ------------------------------------------------------------- */

/* What a message is: said for itself; a question that wants answers; one of
 * several answers; the last answer. */
enum choir_message_kind {
    CHOIR_MESSAGE = 0,
    CHOIR_REQUEST = 1,
    CHOIR_PARTIAL = 2,
    CHOIR_FINAL = 3
};

/* Put it into an agent's mailbox, where it is kept until that agent, in
 * whichever process and however much later, has acknowledged it; or add it to a
 * topic, which everybody reads for himself.
 * to: an agent's name or its id (64 hex digits), or "topic:NAME".
 * kind: CHOIR_MESSAGE or CHOIR_REQUEST; for answers there is choir_reply.
 * revision: may be NULL; its id, which answers have in "reply_to".
 * CHOIR_NOT_FOUND (no such agent); CHOIR_DENIED; CHOIR_OVER_LIMIT (it has too
 * many of yours unread). */
CHOIR_API CHOIR_MUST_CHECK int choir_message(struct choir *c, const char *to,
                                             const void *body, size_t bytes,
                                             enum choir_message_kind kind,
                                             uint64_t *revision);
/* Answer it, into its sender's mailbox.
 * message: of choir_inbox_next.  kind: CHOIR_PARTIAL, CHOIR_FINAL, or another.
 * As choir_message. */
CHOIR_API CHOIR_MUST_CHECK int choir_reply(struct choir *c,
                                           const struct choir_event *message,
                                           const void *body, size_t bytes,
                                           enum choir_message_kind kind,
                                           uint64_t *revision);

/* Read one's own mailbox (topic NULL): whatever is not acknowledged, oldest
 * first, then what comes. Or a topic, from where this agent has acknowledged
 * it. Goes on across reconnects and broker restarts; ends with choir_cancel.
 * inbox: its request; its events, "message" and "caught_up" (no more for now),
 * come by choir_next, choir_wait or choir_inbox_next. CHOIR_DENIED. */
CHOIR_API CHOIR_MUST_CHECK int choir_inbox(struct choir *c, const char *topic,
                                           uint64_t *inbox);
/* The next message.
 * timeout_ms: 0 not at all, -1 for ever.
 * message: owned; the body as its value; "revision" (its id), "agent" (who sent
 * it), "time", "kind", "type", "reply_to", "topic".
 * Returns 0; CHOIR_TIMEOUT (none so far); or what ended the inbox. */
CHOIR_API CHOIR_MUST_CHECK int choir_inbox_next(struct choir *c, uint64_t inbox,
                                                int timeout_ms,
                                                struct choir_event **message);
/* It is dealt with: a message of the mailbox is taken out; a topic is read up
 * to there. One that is not acknowledged comes again when an inbox is opened
 * anew, after a crash for example, with the same "revision". */
CHOIR_API CHOIR_MUST_CHECK int choir_ack(struct choir *c,
                                         const struct choir_event *message);

/* --- Requests: everything, by name ---------------------------------------- */

/* Every verb an agent may say, with the fields of proto/schema.h by their
 * names. The library fills in, when they are not set: "space" (the handle's),
 * "watch" and "credit" of watch and tap, "revision" of both (only what comes
 * now; in a watch 0 says the same, a tap begins with entry 0). It refuses
 * session_open, session_close, enrol, credit and unwatch, which are its own
 * business. */

/* Begin a request. Owned. NULL: choir_error_code() is CHOIR_UNSUPPORTED (no
 * such verb) or -ENOMEM. */
CHOIR_API struct choir_request *choir_request_new(struct choir *c,
                                                  const char *verb);
/* Set a field. Texts and bytes are copied. choir_request_text also sets a
 * hash from its 64 hex digits. Returns 0; CHOIR_UNSUPPORTED (the message has
 * no such field); CHOIR_INVALID (wrong kind, no UTF-8); CHOIR_OVER_LIMIT (the
 * text names field, value and limit); -ENOMEM. The first error is kept too,
 * and choir_send returns it. */
CHOIR_API int choir_request_uint(struct choir_request *r, const char *field,
                                 uint64_t value);
CHOIR_API int choir_request_text(struct choir_request *r, const char *field,
                                 const char *text);
CHOIR_API int choir_request_bytes(struct choir_request *r, const char *field,
                                  const void *p, size_t bytes);
/* Add a payload slot: the value of a put, the payload of a submit, the result
 * of a completion (slot 0), values of writes ("slot" in the write names it).
 * slot: if not NULL, its number. CHOIR_OVER_LIMIT; CHOIR_UNSUPPORTED (the
 * message carries none); -ENOMEM. */
CHOIR_API int choir_request_slot(struct choir_request *r, const void *p,
                                 size_t bytes, unsigned *slot);
/* Begin one element of a list field ("compares", "writes", "grants", "items");
 * until choir_request_end the setters above set the element's fields. */
CHOIR_API int choir_request_begin(struct choir_request *r, const char *list);
CHOIR_API int choir_request_end(struct choir_request *r);
/* Free without sending; *r becomes NULL. */
CHOIR_API void choir_request_free(struct choir_request **r);

/* Hand it over. Sent at once, or with others that are waiting; never waits to
 * fill a bundle. Only what answers one of several events that came together
 * goes with the answers to the others: until they are there, or a call finds
 * no event to take, or half a millisecond after they came. Its events count as in flight until they are fetched, by
 * choir_wait or choir_next, or the request is cancelled.
 * r: taken and set to NULL on success, still yours otherwise.
 * timeout_ms: how long to wait for room in flight; 0: not at all; -1: for
 * ever.  request: its number on this handle, never 0, never used again.
 * Returns 0; CHOIR_BUSY (no room in time); CHOIR_INVALID (needs a field that
 * is not set, or an earlier setter failed); CHOIR_TOO_LARGE; or what ended the
 * connection for good. */
CHOIR_API CHOIR_MUST_CHECK int choir_send(struct choir *c,
                                          struct choir_request **r,
                                          int timeout_ms, uint64_t *request);

/* Let `more` further tasks come to a "work" request, on top of those its
 * "credit" field allowed, so that a worker decides how many it has in hand:
 * begin with as many as it runs at once, and add one when one is finished.
 * more < 0: no further ones. Kept across reconnects. CHOIR_NOT_FOUND: no such
 * request. */
CHOIR_API int choir_credit(struct choir *c, uint64_t request, int64_t more);

/* --- Events --------------------------------------------------------------- */

/* Readable (POLLIN) while choir_next has something. Do not read from it, do
 * not close it. Borrowed until choir_close. */
CHOIR_API int choir_fd(struct choir *c);

/* The next event of any request, in the order of arrival. Events that a
 * blocking call waits for do not come this way.
 * timeout_ms: 0 not at all, -1 for ever.  e: owned.
 * Returns 0; CHOIR_TIMEOUT; CHOIR_INTERRUPTED. When the connection has ended
 * for good, what still stood in the queue comes first, then that code. */
CHOIR_API CHOIR_MUST_CHECK int choir_next(struct choir *c, int timeout_ms,
                                          struct choir_event **e);
/* The next event of this request, past those of others. Returns 0 whatever the
 * outcome: see choir_event_code. CHOIR_TIMEOUT: it goes on; wait again or
 * choir_cancel it. CHOIR_NOT_FOUND: no such request, or its last event was
 * taken. */
CHOIR_API CHOIR_MUST_CHECK int choir_wait(struct choir *c, uint64_t request,
                                          int timeout_ms,
                                          struct choir_event **e);
/* Send and wait for the outcome: 0 or the refusal's code, with its text. Takes
 * the request whatever happens.
 * e: if not NULL, owned; also set when the broker refused, so that the fields
 * of the refusal can be read. */
CHOIR_API CHOIR_MUST_CHECK int choir_call(struct choir *c,
                                          struct choir_request **r,
                                          int timeout_ms,
                                          struct choir_event **e);
/* Wait until everything sent so far has its outcome. CHOIR_TIMEOUT. */
CHOIR_API CHOIR_MUST_CHECK int choir_flush(struct choir *c, int timeout_ms);
/* Make every call that waits now return CHOIR_INTERRUPTED; if none does, the
 * next one that would. The one function that may be called from a signal
 * handler. */
CHOIR_API void choir_interrupt(struct choir *c);

/* *e becomes NULL; NULL is allowed. Everything borrowed from it is gone. */
CHOIR_API void choir_event_free(struct choir_event **e);

/* What it is: "done" (outcome of an operation), "reply" (answer to a
 * question), "change", "caught_up", "task", "task_state", "lease_lost",
 * "moved", "entry", "notice", "watch_over". Static. */
CHOIR_API const char *choir_event_name(const struct choir_event *e);
/* The request it belongs to, and that request's verb ("put"). */
CHOIR_API uint64_t choir_event_request(const struct choir_event *e);
CHOIR_API const char *choir_event_verb(const struct choir_event *e);
/* The outcome: 0 or CHOIR_*. */
CHOIR_API int choir_event_code(const struct choir_event *e);
/* A line for a person about an event whose code is not 0, as
 * choir_error_text. Borrowed from the event. */
CHOIR_API const char *choir_event_explain(const struct choir_event *e);
/* Is it the last one of its request? */
CHOIR_API bool choir_event_last(const struct choir_event *e);
/* Fields by name. Absent ones: false, 0, NULL. Texts are NUL-terminated,
 * hashes 64 hex digits when asked for as text. Borrowed from the event. */
CHOIR_API bool choir_event_has(const struct choir_event *e, const char *field);
CHOIR_API uint64_t choir_event_uint(const struct choir_event *e,
                                    const char *field);
CHOIR_API const char *choir_event_text(const struct choir_event *e,
                                       const char *field);
CHOIR_API const void *choir_event_bytes(const struct choir_event *e,
                                        const char *field, size_t *bytes);
/* The field "value": of a get, a task's payload, a result. Never NULL when
 * there is one, even an empty one. */
CHOIR_API const void *choir_event_value(const struct choir_event *e,
                                        size_t *bytes);
/* Elements of a list ("items") and messages inside this one ("effect"; in an
 * "entry" also "header" and "head"), as events of their own of which only the
 * fields may be asked. Borrowed from e; do not free. */
CHOIR_API size_t choir_event_count(const struct choir_event *e,
                                   const char *field);
CHOIR_API const struct choir_event *choir_event_item(
    const struct choir_event *e, const char *field, size_t i);
/* Pair i of "labels" or "trace". false: no such pair. */
CHOIR_API bool choir_event_label(const struct choir_event *e, const char *field,
                                 size_t i, const char **name,
                                 const char **text);

/* Every field that is there, so that an event can be printed without knowing
 * it: call with i = 0, 1, ... until false. Everything borrowed from e. */
enum choir_kind {
    CHOIR_KIND_UINT,   /* number */
    CHOIR_KIND_TEXT,   /* text (NUL-terminated), bytes */
    CHOIR_KIND_BYTES,  /* data, bytes */
    CHOIR_KIND_HASH,   /* data, bytes; text: hex */
    CHOIR_KIND_LIST,   /* number of elements: choir_event_item */
    CHOIR_KIND_LABELS, /* number of pairs: choir_event_label */
    CHOIR_KIND_PART,   /* one message: choir_event_item(e, name, 0) */
};
struct choir_field {
    const char *name; /* static */
    enum choir_kind kind;
    uint64_t number;
    const char *text;
    const void *data;
    size_t bytes;
};
CHOIR_API bool choir_event_field(const struct choir_event *e, size_t i,
                                 struct choir_field *field);

/* --- Keys ------------------------------------------------------------------ */

/* An agent stays who it is while its keys change: its id is the hash of its
 * first one. In all of these CHOIR_OVER_LIMIT: it has had 64 keys. */

/* A new key takes the place of the one this handle uses, in the ledger and in
 * the identity file; whatever else speaks under the old one ends. The handle is
 * good for nothing then but choir_close; open another. A crash in between is
 * made good by the next choir_open. */
CHOIR_API CHOIR_MUST_CHECK int choir_key_rotate(struct choir *c);
/* A second key of the same agent, for another machine, as an identity file at
 * path, which must not exist (-EEXIST). Set CHOIR_IDENTITY to it there. */
CHOIR_API CHOIR_MUST_CHECK int choir_key_add(struct choir *c, const char *path);
/* A key for the day when the others are lost or stolen, to path, which must not
 * exist. Take it away from this machine. It replaces an earlier one. */
CHOIR_API CHOIR_MUST_CHECK int choir_key_recovery(struct choir *c,
                                                  const char *path);
/* That day: with the recovery key and an invitation ("choir-invite-1:...") all
 * keys of its agent end, and the identity gets a new one.
 * path: if not NULL, owned: where the identity is.
 * Returns 0; CHOIR_DENIED (not its recovery key); CHOIR_EXPIRED; and others as
 * choir_join. */
CHOIR_API CHOIR_MUST_CHECK int choir_recover(
    const char *recovery_path, const char *invitation,
    const struct choir_options *options, char **path);

/* --- Tree heads ----------------------------------------------------------- */

/* After every reconnect, and in the next run of the program, the broker has to
 * show that its ledger begins with what this identity has seen of it. If it
 * cannot, calls end with CHOIR_BROKEN (what=fork), and two tree heads that the
 * broker signed and that cannot both be true are left beside the identity as
 * FILE.fork: evidence for anyone, `choir verify` reads it.
 *
 * Two agents who can talk find out the same without anybody's help: one sends
 * the other what choir_head gives, by whatever way. */

/* The newest tree head that was proven to this handle, signed by the broker, as
 * a note (c2sp.org/tlog-checkpoint). text: owned, give to choir_free.
 * Returns 0; CHOIR_BUSY as for choir_receipt; CHOIR_BROKEN. */
CHOIR_API CHOIR_MUST_CHECK int choir_head(struct choir *c, char **text);

/* Is the ledger that this handle is shown the one that this head was signed
 * for? evidence: if not NULL, owned, set with CHOIR_BROKEN alone, to the two
 * heads that prove the fork.
 * Returns 0; CHOIR_FUTURE (it is of a larger ledger than ours is by now: ask
 * again later); CHOIR_MALFORMED; CHOIR_BAD_SIGNATURE (not of our broker);
 * CHOIR_WRONG_LEDGER; CHOIR_EPOCH_CHANGED (signed before or after a restore:
 * nothing follows from that); CHOIR_BUSY; CHOIR_BROKEN: the broker shows two
 * ledgers. */
CHOIR_API CHOIR_MUST_CHECK int choir_head_check(struct choir *c,
                                                const char *text,
                                                char **evidence);

/* Likewise for what another agent's bundle says (`seen` + 1 and `seen_root` of an
 * entry's header): it was shown a tree of `size` entries with that root (32
 * bytes). That is its word, not the broker's: it proves no fork to others, but
 * one of the two is lying.
 * Returns 0; CHOIR_BUSY; CHOIR_BROKEN: the ledger we are shown did not begin so. */
CHOIR_API CHOIR_MUST_CHECK int choir_root_check(struct choir *c, uint64_t size,
                                                const void *root);

/* --- Receipts ------------------------------------------------------------- */

/* The proof that entry `revision` is in the ledger, as a text to keep and to
 * show: a C2SP tlog-proof (c2sp.org/tlog-proof) with the author's signed
 * operation, its path in the ledger's tree and the tree head that the broker
 * signed. Anyone checks it offline who has the broker's key: `choir verify`.
 * It was checked before it is returned. Values are not in it.
 * revision: an operation of one's own, or an entry that one may tap or read.
 * text: owned, give to choir_free; NUL-terminated.
 * Returns 0; CHOIR_FUTURE (no such entry yet); CHOIR_NOT_FOUND (not to be
 * shown to you); CHOIR_BUSY (the broker's proofs are being made anew, after an
 * upgrade or a crash: ask again in a moment); CHOIR_BROKEN. */
CHOIR_API CHOIR_MUST_CHECK int choir_receipt(struct choir *c, uint64_t revision,
                                             char **text);

/* --- Exports -------------------------------------------------------------- */

/* What an export shows; the numbers are those of docs/export-format.md. */
enum choir_export_kind {
    CHOIR_EXPORT_KEY = 1,     /* all versions of a key: space, key */
    CHOIR_EXPORT_TASK = 2,    /* a task and all that names it: task */
    CHOIR_EXPORT_RANGE = 3,   /* entries: from, to */
    CHOIR_EXPORT_SPACE = 4,   /* what names a space, or a task in it: space */
    CHOIR_EXPORT_AGENT = 5,   /* what an agent said: agent */
    CHOIR_EXPORT_ENTRIES = 6, /* these: entries, count */
};

/* Start from CHOIR_EXPORT_INIT. All of it is borrowed during the call. */
struct choir_export_options {
    size_t struct_bytes; /* sizeof(struct choir_export_options) */
    enum choir_export_kind kind;
    const char *space; /* NULL: the handle's */
    const char *key;
    uint64_t task;
    uint64_t from, to;       /* up to but not `to`; 0: all there are */
    const char *agent;       /* its name, or its id (64 hex digits) */
    const uint64_t *entries; /* indices, in any order */
    size_t count;
    bool without_payloads; /* leave all values out */
};
#define CHOIR_EXPORT_INIT                                                     \
    {                                                                         \
        sizeof(struct choir_export_options), CHOIR_EXPORT_KEY, NULL, NULL, 0, \
            0, 0, NULL, NULL, 0, false                                        \
    }

struct choir_export_facts {
    uint64_t size;       /* entries of the ledger, as of its tree head */
    uint64_t bytes;      /* of the file */
    uint64_t entries;    /* of the selection */
    uint64_t identities; /* further ones, which say whose the keys are */
    uint64_t payloads;   /* values that are in it; not there: */
    uint64_t erased, compacted, left_out; /* left out: not for you to read,
                                             above 15 MiB, or as asked */
};

/* Write one self-contained file (docs/export-format.md): the entries of a
 * selection, those that say whose the keys of their authors are, and the proof
 * that all of it is in the ledger. `choir verify FILE` checks it, without a
 * broker. It is signed with this handle's key, and was checked as a reader
 * would before this returns 0.
 * Of a key, a task, a space or an agent it shows what one may see: one's own
 * entries, and those that one may tap or read; values need read. A range and
 * named entries are shown whole or not at all. Memory: 8 bytes an entry, and
 * the ledger's agents. Goes on after reconnects and restarts of the broker.
 * fd: written to from where it stands, not closed. After a failure what is
 * there is no export. facts: may be NULL; set on success.
 * Returns 0; CHOIR_NOT_FOUND (nothing to be seen belongs to it; no such agent;
 * an entry of the range may not be shown: choir_error_revision); CHOIR_FUTURE
 * (the range goes beyond the ledger); CHOIR_INVALID; CHOIR_BUSY as for
 * choir_receipt; CHOIR_BROKEN; negative errno of writing. */
CHOIR_API CHOIR_MUST_CHECK int choir_export(
    struct choir *c, const struct choir_export_options *options, int fd,
    struct choir_export_facts *facts);

/* --- Marks: where this agent was last ------------------------------------- */

/* Remember `revision` under a name of one's own: it belongs to the agent, not
 * to this process, and is kept by the broker. It only moves on: a lower one
 * changes nothing, so that of two processes the slower takes nothing back. 0
 * removes it. CHOIR_INVALID: that revision does not exist yet; CHOIR_NOT_FOUND:
 * nothing to remove; CHOIR_OVER_LIMIT (marks_per_agent_max). */
CHOIR_API CHOIR_MUST_CHECK int choir_mark(struct choir *c, const char *name,
                                          uint64_t revision);
/* What it says. revision: set to 0 when there is none, which is no error. */
CHOIR_API CHOIR_MUST_CHECK int choir_marked(struct choir *c, const char *name,
                                            uint64_t *revision);

/* --- Replicas: a prefix kept in this process ------------------------------ */

/* The newest version of every key under a prefix, read without asking the
 * broker. One thread more (of the library's own, all signals blocked, it calls
 * nothing of yours) loads it and then follows a watch; reconnects, restarts of
 * the broker and compacted or restored ledgers are dealt with inside. What is
 * read is always one whole revision: a transaction is seen entirely or not at
 * all, also while everything is loaded anew.
 *
 * What it does not promise: that it is up to date. It says how far it is
 * complete, and when it last heard so (choir_replica_facts); while the broker
 * cannot be reached it goes on with what it has. To read what was written
 * before, wait for its revision:
 *
 *     choir_put(c, "plan", text, n, &revision);
 *     choir_replica_wait(r, revision, 1000);
 *     choir_replica_get(r, "plan", &view);
 *
 * If the watch ends for good (the right to read was withdrawn, the identity
 * revoked, the limit reached, the ledger not the one that was pinned), the
 * contents are dropped, and every call returns that code from then on: stale
 * data is never handed out as if it were followed. A grant that is narrowed
 * so far that a part of the prefix stays readable does not end the watch: the
 * keys it takes away stay as they were until they are compared. Open one replica
 * for each prefix that is granted as a whole.
 *
 * What it holds is compared with the broker page by page (check_ms); if they
 * differ, by whose mistake ever, the tap hears of it and all is loaded anew.
 *
 * What a thread that acts under a lease reads of it joins the task's read set
 * as everything else does (choir_lease_use).
 *
 * Threads: all of these from any number of threads, but choir_replica_close
 * when the others have left. Close replicas before their handle. */
struct choir_replica;

/* Strings are borrowed during the call. Start from CHOIR_REPLICA_INIT. */
struct choir_replica_options {
    size_t struct_bytes; /* sizeof(struct choir_replica_options) */
    const char *space;   /* NULL: the handle's */
    size_t bytes_max;    /* of keys, values and what keeping them costs; 0:
                            256 MiB. Twice that while it is loaded anew; views
                            and cuts that are held come on top */
    int mark_ms;         /* how often to ask how far it is complete when
                            nothing changes; 0: 1,000; -1: only for
                            choir_replica_wait */
    int check_ms; /* how often to compare a part of it with the broker; 0:
                            10,000; -1: never */
};
#define CHOIR_REPLICA_INIT                                  \
    {                                                       \
        sizeof(struct choir_replica_options), NULL, 0, 0, 0 \
    }

/* Subscribe to the keys that begin with prefix ("": all) and begin to load.
 * Returns as soon as the broker has agreed; choir_replica_wait with revision 0
 * waits until it can be read.
 * options: borrowed; NULL for all defaults.  r: owned, give to
 * choir_replica_close.
 * Returns 0; CHOIR_DENIED; CHOIR_OVER_LIMIT (watches_per_agent_max);
 * CHOIR_INVALID (an option, no UTF-8); CHOIR_TIMEOUT or CHOIR_UNREACHABLE
 * after the handle's timeout; -ENOMEM, -EAGAIN (no thread). */
CHOIR_API CHOIR_MUST_CHECK int choir_replica_open(
    struct choir *c, const char *prefix,
    const struct choir_replica_options *options, struct choir_replica **r);

/* One version of one key. All pointers are borrowed until choir_view_release
 * (or choir_cut_free), whatever happens to the replica, even after
 * choir_replica_close; what they point to never changes. */
struct choir_view {
    const char *key;   /* NUL-terminated */
    const void *value; /* never NULL; a NUL stands behind it */
    size_t bytes;
    uint64_t revision;
    uint64_t time;              /* when it was written, as "time" of an event */
    const char *type;           /* media type, or NULL */
    const unsigned char *agent; /* who wrote it: 32 bytes, the id whose hex
                                   digits choir_agent_id shows */
    void *held;                 /* the library's */
};

/* Read key. Never asks the broker, never waits for the network, allocates
 * nothing.
 * view: set on success, give to choir_view_release; not touched otherwise.
 * Returns 0; CHOIR_NOT_FOUND (absent, outside the prefix, or not yours to
 * read); CHOIR_ERASED; -EAGAIN (not loaded yet: choir_replica_wait); or what
 * ended it. */
CHOIR_API CHOIR_MUST_CHECK int choir_replica_get(struct choir_replica *r,
                                                 const char *key,
                                                 struct choir_view *view);
/* Give a view back; it becomes all zeros. Zeros are allowed. Any thread. */
CHOIR_API void choir_view_release(struct choir_view *view);

/* Wait until it is complete up to revision (0: until it can be read).
 * timeout_ms: -1 for ever, 0 not at all.
 * Returns 0; CHOIR_TIMEOUT, CHOIR_UNREACHABLE; CHOIR_INTERRUPTED; or what
 * ended it. */
CHOIR_API CHOIR_MUST_CHECK int choir_replica_wait(struct choir_replica *r,
                                                  uint64_t revision,
                                                  int timeout_ms);

/* How fresh it is, and what it holds. Set struct_bytes before the call. */
struct choir_replica_facts {
    size_t struct_bytes;
    int code;          /* 0; -EAGAIN: not loaded yet; or what ended it */
    uint64_t revision; /* its contents are the state as of this one; 0
                          before it is loaded */
    int64_t heard_ms;  /* how old it may be: everything of which the broker
                          had told this handle so long ago is in it. -1: not
                          known yet */
    uint64_t keys, bytes;
    uint64_t loads; /* 1, and one more for each time it began anew */
};
/* Returns 0 or CHOIR_CLOSED (fork). Why it ended is in the text. */
CHOIR_API int choir_replica_facts(struct choir_replica *r,
                                  struct choir_replica_facts *facts);

/* All keys that begin with prefix, in the order of their bytes, at one
 * revision: it stays as it is while the replica moves on. Costs a pointer for
 * each key, no copy; readers are not held up while it is made.
 * cut: owned, give to choir_cut_free.
 * Returns 0; -EAGAIN; -ENOMEM; or what ended the replica. */
struct choir_cut;
CHOIR_API CHOIR_MUST_CHECK int choir_replica_cut(struct choir_replica *r,
                                                 const char *prefix,
                                                 struct choir_cut **cut);
/* The revision of which it is the state. */
CHOIR_API uint64_t choir_cut_revision(const struct choir_cut *cut);
CHOIR_API size_t choir_cut_count(const struct choir_cut *cut);
/* Key i. Its view is borrowed until choir_cut_free and needs no release (but
 * may be released). false: i is not below the count. */
CHOIR_API bool choir_cut_item(const struct choir_cut *cut, size_t i,
                              struct choir_view *view);
/* *cut becomes NULL; NULL is allowed. Any thread. */
CHOIR_API void choir_cut_free(struct choir_cut **cut);

/* End the watch and free everything but what views and cuts still hold; *r
 * becomes NULL. NULL is allowed. */
CHOIR_API void choir_replica_close(struct choir_replica **r);

/* --- Coming back: what changed since this agent was last here -------------- */

/* For whoever goes on with an agent's work, in another process, on another
 * machine, with another model: what changed under the prefix since the agent
 * was last here, by whom, key by key, and as a text of limited length for a
 * prompt. Where it was is a mark that the broker keeps for the agent (see
 * choir_mark): it moves when choir_resume_done says that the news were read,
 * and only then.
 *
 *     struct choir_news *news;
 *
 *     if (choir_resume(c, "", NULL, &news) == 0) {
 *         prompt_add(choir_news_text(news));
 *         choir_resume_done(news);
 *         choir_news_free(&news);
 *     } */
struct choir_news;

/* Start from CHOIR_RESUME_INIT. Strings are borrowed during the call. */
struct choir_resume_options {
    size_t struct_bytes; /* sizeof(struct choir_resume_options) */
    const char *mark;    /* its name; NULL: one for each prefix */
    uint64_t since;      /* from this revision on instead; 0: from the mark */
    size_t budget_bytes; /* of the text; 0: 8000. At least 512 */
};
#define CHOIR_RESUME_INIT                               \
    {                                                   \
        sizeof(struct choir_resume_options), NULL, 0, 0 \
    }

/* prefix: "" for all of the handle's space. options: NULL for all defaults.
 * news: owned, choir_news_free before choir_close.
 * Values and keys are others' words: in the text every line of a value is
 * indented and without control characters, and none of them is cut silently.
 * Returns 0, also when nothing changed; CHOIR_INVALID (an option); what an ask
 * returns; -ENOMEM. */
CHOIR_API CHOIR_MUST_CHECK int choir_resume(
    struct choir *c, const char *prefix,
    const struct choir_resume_options *options, struct choir_news **news);
/* The name of the mark for a prefix, and NUL. */
CHOIR_API void choir_resume_mark(const char *prefix, char name[65]);
/* They were read: move the mark to where they are complete. As choir_mark. */
CHOIR_API CHOIR_MUST_CHECK int choir_resume_done(const struct choir_news *news);
/* NUL-terminated. Borrowed until choir_news_free, as all that follows. */
CHOIR_API const char *choir_news_text(const struct choir_news *news);
/* Complete from after this revision (0: the agent was not here before) up to
 * that one. */
CHOIR_API uint64_t choir_news_since(const struct choir_news *news);
CHOIR_API uint64_t choir_news_revision(const struct choir_news *news);
/* Keys that changed, in order; the first 10000. */
CHOIR_API size_t choir_news_count(const struct choir_news *news);

struct choir_change {
    const char *key;            /* NUL-terminated */
    const unsigned char *agent; /* who wrote it last: 32 bytes */
    const char *name;           /* and by name */
    uint64_t revision;          /* of its last version */
    uint64_t prev;              /* its revision as of then; 0: absent */
    uint64_t versions;          /* since then */
    uint64_t time, task;        /* as of an event; task 0: none */
    bool deleted, own;          /* own: this agent wrote it */
    bool is_known;              /* prev and versions are; if not: 0 */
};
/* false: i is not below the count. */
CHOIR_API bool choir_news_item(const struct choir_news *news, size_t i,
                               struct choir_change *change);
/* *news becomes NULL; NULL is allowed. */
CHOIR_API void choir_news_free(struct choir_news **news);

/* --- Values as text ------------------------------------------------------- */

/* A value as lines for a person or a prompt: text as it is; JSON, and msgpack
 * if type says so, with a line for each element where they are long; anything
 * else as "(12 bytes)". type: media type, may be NULL.
 * text: owned, choir_free. -ENOMEM. Any thread. */
CHOIR_API CHOIR_MUST_CHECK int choir_value_text(const void *value, size_t bytes,
                                                const char *type, char **text);
/* The lines in which two texts differ, as `diff -u` has them ("@@ -1,3 +1,4 @@",
 * " ", "-", "+"), with so many lines of context; empty if none does. NULL is
 * an empty text. Control characters become \xNN.
 * text: owned, choir_free. -ENOMEM. Any thread. */
CHOIR_API CHOIR_MUST_CHECK int choir_text_diff(const char *before,
                                               const char *after,
                                               unsigned context, char **text);

#ifdef __cplusplus
}
#endif

#endif
