/* A whole broker without sockets: a rig with a cycle on it, and guests whose
 * connections are lists of the items they were sent. Every frame that leaves
 * is opened and verified as an SDK would. */
#ifndef CHOIR_TESTS_SUPPORT_HALL_H
#define CHOIR_TESTS_SUPPORT_HALL_H

#include "broker/cycle.h"
#include "tests/support/rig.h"

struct guest {
    struct actor actor;
    struct connection *connection;
    struct hall *hall;
    struct msg **items; /* what arrived, in order */
    size_t count, cap, next;
    struct buf *frames;
    size_t frame_count, frames_read;
    uint64_t backlog; /* what its transport says */
    uint64_t slow_us; /* that passes whenever it is asked */
    bool cut;
    bool deaf;  /* what it is sent is counted in the hall and dropped */
    bool later; /* it is kept, and opened by guest_read */
    struct guest *in_hall;
};

struct hall {
    struct rig rig;
    struct cycle *cycle;
    struct guest *guests;
    unsigned long frames, bytes; /* that left */
    uint64_t turn_entries_max;   /* that one hall_turn added to the record */
    unsigned long looks;         /* at backlogs */
    bool beside;                 /* syncs go on beside, as in the daemon */
    int synced_fd;               /* then: readable when one has ended */
    struct crew *crew;           /* then: a helper that verifies */
    enum lone_way lone;          /* of frames that come alone; then */
};

void hall_open(struct hall *h);
/* The same with the daemon's threads: syncs beside, help with verifying. */
void hall_open_beside(struct hall *h);
/* The same; frames that come alone go that way. */
void hall_open_lone(struct hall *h, enum lone_way lone);
void hall_close(struct hall *h);
/* The same, once a second reader of the record has decided all of it again, and
 * a start after a crash has read it. */
void hall_close_read(struct hall *h);
/* That key of the space "main", or NULL. */
const struct key *hall_key(const struct hall *h, const char *key);
/* The broker stops, as in a crash or cleanly, and starts again; every guest is
 * disconnected. */
void hall_restart(struct hall *h, bool clean);
/* One cycle with what was sent since the last. */
void hall_turn(struct hall *h);
/* Cycles until nothing is left to do at once. */
void hall_settle(struct hall *h);

/* Let time pass, then settle. */
void hall_pass(struct hall *h, uint64_t ms);

/* Enrolled, with a session, connected. rights in every space. */
void guest_join(struct hall *h, struct guest *g, const char *name,
                unsigned rights);
void guest_connect(struct guest *g);
void guest_disconnect(struct guest *g);
void guest_free(struct guest *g);
/* Open what has arrived, if the guest does so later. */
void guest_read(struct guest *g);

/* Send; the turn is the caller's. What cycle_take says. */
int guest_do(struct guest *g, struct msg *op, const char *value);
int guest_do_n(struct guest *g, struct msg *op, const struct bytes *values,
               size_t n);
int guest_put(struct guest *g, const char *key, const char *value);
/* The same so many times, a hundred in one bundle, until all are done: a
 * signature for each would be most of what it costs. What is told is forgotten;
 * the first outcome that is not OK, or what cycle_take says. */
int guest_do_times(struct guest *g, struct msg *op, const char *value,
                   unsigned times);
int guest_resend(struct guest *g);
/* What was signed last, alone, as a whole turn. The code of the arrival, or a
 * negative errno of the turn, which then is over. */
int guest_send_alone(struct guest *g);
/* An ask; returns its number. */
uint64_t guest_ask(struct guest *g, const struct msg *op);
/* The same so many times in one bundle; the last one's number. */
uint64_t guest_ask_times(struct guest *g, const struct msg *op, unsigned times);
/* The same, signed into a frame and not sent. */
void guest_ask_sign(struct guest *g, const struct msg *op, unsigned times,
                    struct buf *frame);
/* Ask, settle, and the reply. */
const struct msg *guest_reply(struct guest *g, const struct msg *op);

/* The next item with that verb that has not been looked at, or NULL; those in
 * between stay. Borrowed until guest_forget. */
const struct msg *guest_item(struct guest *g, enum message verb);
size_t guest_items(const struct guest *g, enum message verb);
void guest_forget(struct guest *g);

/* Turns a byte of that leaf's hash in the file of the record's tree. */
void hall_damage_leaf(const struct hall *h, uint64_t leaf);

#endif
