/* Sessions: where each process of each agent stands in its own numbering, and
 * which of its bundles still wait for an answer to arrive.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_SESSION_H
#define CHOIR_BROKER_STATE_SESSION_H

#include "digest.h"
#include "proto/limits.h"

/* A bundle that was accepted and not yet reported as answered. Its outcomes
 * are in the record, from `index` on. */
struct session_bundle {
    uint64_t first_seq, index;
    uint32_t count;
    struct hash hash;
    struct hash item; /* its part of the digest: the module's own */
};

struct session {
    uint64_t id;
    uint32_t agent;
    uint8_t key; /* slot of the agent's key that opened it */
    uint64_t next_seq, answered;
    struct hash prev_hash;
    struct hash item; /* its part of the digest: the module's own */
    struct session_bundle *window; /* owned, oldest first */
    uint32_t window_count, window_cap;
    uint32_t slot; /* a small number of its own while it lives, for volatile
                      side tables; given again after it has ended */
};

struct sessions;

struct sessions *sessions_new(struct digest *digest);
void sessions_destroy(struct sessions **self_p);

size_t sessions_count(const struct sessions *s);
struct session *session_by_id(const struct sessions *s, uint64_t id);
/* The accepted bundle that starts at first_seq, or NULL. */
const struct session_bundle *session_find(const struct session *s,
                                          uint64_t first_seq);

/* --- Changes; all by evolve ---------------------------------------------- */

/* 0, -ENOMEM, or -EEXIST. key: the slot of the agent's that signed it; bundle:
 * the one that held session_open. */
int session_start(struct sessions *s, uint64_t id, uint32_t agent, uint8_t key,
                  const struct hash *bundle);
/* A bundle was accepted at index. Its first_seq is the session's next_seq;
 * bundles that end at or below `answered` leave the window. 0 or -ENOMEM. */
int session_accept(struct sessions *s, struct session *session,
                   uint64_t first_seq, uint32_t count, uint64_t answered,
                   const struct hash *bundle, uint64_t index);
/* Frees the session. */
void session_end(struct sessions *s, struct session *session);

/* First all sessions, then their windows, by id and number; and back: 0,
 * -ENOMEM, or CHOIR_MALFORMED for a record that save cannot have written after
 * those before it. put returns 0 or a negative errno, which save passes on. */
typedef int (*session_sink)(void *to, struct bytes record);
int sessions_save(const struct sessions *s, session_sink put, void *to);
int sessions_load(struct sessions *s, struct bytes record);
/* In order of id; NULL starts and ends. To end one on the way, ask for the
 * next one first. */
struct session *sessions_next(const struct sessions *s,
                              const struct session *after);

#endif
