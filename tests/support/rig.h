/* A core on a real directory under simulated time, and actors that speak to it
 * as agents do, signed bundles and all, only without a socket. */
#ifndef CHOIR_TESTS_SUPPORT_RIG_H
#define CHOIR_TESTS_SUPPORT_RIG_H

#include "broker/core.h"

struct rig {
    struct env *env;
    struct config *config;
    struct core *core;
    char dir[256];
    char trouble[512];
    unsigned
        snapshot_keys; /* as core_options has it, from the next opening on */
};

/* An empty directory, opened. Aborts the test program on failure. */
void rig_open(struct rig *r);
/* Close, cleanly or as a crash would, and open again. What core_open says. */
int rig_reopen(struct rig *r, bool clean);
/* Close and remove the directory. */
void rig_close(struct rig *r);
const struct state *rig_state(const struct rig *r);

struct actor {
    struct key_pair key;
    struct curve_pair curve;
    struct hash id;
    uint32_t number;
    uint64_t session, next_seq, answered, asks;
    struct hash prev_hash, challenge;
    struct bundle_writer writer;
    struct buf frame; /* the last bundle, as it went out */
    uint64_t seen;    /* what its bundles say of these */
    const struct hash *seen_root;
    struct bytes labels;
    unsigned label_count;
};

/* Zero-initialised before. Keys, an invitation with these rights in that space ("*": all), enrolment
 * and a session. */
void actor_join(struct rig *r, struct actor *a, const char *name,
                const char *space, unsigned rights);
/* Another session of the same agent (as another process would). */
void actor_session(struct rig *r, struct actor *a);
void actor_free(struct actor *a);

struct told {
    int turnaway, outcome; /* of the last operation */
    uint64_t index;
    bool duplicate, ends_session;
    uint64_t limit, size;
    unsigned count;
    struct msg effect; /* borrowed from effect_bytes */
    struct buf effect_bytes;
};

/* One operation in a bundle of its own, in a cycle of its own. values: what
 * its slots hold; n of them. */
int actor_do(struct rig *r, struct actor *a, struct msg *op,
             const struct bytes *values, size_t n, struct told *told);
/* The bytes of a->frame once more (a retry). */
int actor_resend(struct rig *r, struct actor *a, struct told *told);
/* Any frame from that actor's connection. */
int actor_send(struct rig *r, const struct actor *a, struct bytes frame,
               struct told *told);
/* Sign a frame into a->frame without sending it; numbers move on. */
void actor_sign(struct rig *r, struct actor *a, struct msg *op,
                const struct bytes *values, size_t n);

/* Several operations in one bundle: begin, add, and send it in a cycle of its
 * own, as actor_do does with one. told is about the last of them. */
void actor_begin(struct actor *a);
void actor_add(struct actor *a, struct msg *op, const struct bytes *values,
               size_t n);
int actor_finish(struct rig *r, struct actor *a, struct told *told);
/* Or sign it, as actor_sign does with one. */
void actor_sign_begun(struct rig *r, struct actor *a);

/* One operation in session 0, under the actor's key. */
int actor_outside(struct rig *r, struct actor *a, struct msg *op,
                  struct told *told);

/* The usual operations; outcome (or -turnaway), *index if wanted. */
int actor_put(struct rig *r, struct actor *a, const char *space,
              const char *key, const char *value, uint64_t *index);
int actor_put_if(struct rig *r, struct actor *a, const char *space,
                 const char *key, const char *value, uint64_t if_revision,
                 uint64_t *index);
int actor_submit(struct rig *r, struct actor *a, const char *queue,
                 uint64_t *task);
/* The broker hands the task to the actor. Outcome; *token. */
int rig_claim(struct rig *r, const struct actor *a, uint64_t task,
              uint64_t *token);
int rig_say(struct rig *r, const struct msg *op, uint64_t *index);

#endif
