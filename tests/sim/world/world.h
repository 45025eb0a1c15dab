/* A broker, its disk, its agents and the network between them, all of it in
 * one thread and a function of one number.
 *
 * The broker is the real one from cycle.h down. Frames take their time, each
 * peer's at its own pace; connections are cut; agents die and come back;
 * the broker is killed anywhere in what it does to the disk, and the disk
 * forgets what was not synced. */
#ifndef CHOIR_TESTS_SIM_WORLD_H
#define CHOIR_TESTS_SIM_WORLD_H

#include <setjmp.h>

#include "broker/cycle.h"
#include "tests/sim/world/model.h"
#include "tests/sim/world/verbs.h"
#include "tests/support/rig.h"

enum {
    WORLD_AGENTS = 6,
    WORLD_LINES = 48, /* of the trace, kept for when something goes wrong */
    WORLD_LINE = 160,
    SENT_MAX = 8,
    ASKS_MAX = 16,
    INBOXES = 2,
    WAITS_MAX = 4,
    PAIRS_MAX = 12,
    LOOKS_MAX = 16,
    FORGED_KEPT = 8,
};

struct world_options {
    uint64_t seed, steps;
    bool trace;        /* every line to standard error */
    bool lies;         /* the disk does: this must be found out */
    const char *place; /* of the data, below DISK_ROOT */
};

/* What happened, as far as it is to be the same for the same seed. */
struct world_result {
    bool good;
    uint64_t trace, ledger; /* hashes */
    uint64_t entries, restarts, losses, acknowledged, reads, changes, claims,
        moves, compacted, erased, reclaimed, messages, partials, inputs, ends,
        recovered;
    char why[MODEL_WHY + 64];
};

void world_run(const struct world_options *o, struct world_result *out);

/* --- Shared by the parts ------------------------------------------------- */

/* A bundle that is not answered whole. */
struct sent {
    struct buf frame;
    uint64_t first;
    uint32_t count;
    uint64_t answered; /* bits */
};

struct question {
    uint64_t number; /* 0: none */
    uint64_t token;  /* of the lease it reads under, or 0 */
    enum message verb;
    char key[MODEL_KEY_BYTES];
    uint64_t floor;   /* the answer rests on at least this revision */
    uint64_t at;      /* revision asked about; UINT64_MAX: now */
    uint64_t asked;   /* wall clock */
    uint64_t opening; /* of the watch it is about */
    struct inbox *inbox;
    struct waiting *waiting;
    int about;             /* an agent */
    uint64_t from, credit; /* as it was opened; UINT64_MAX: where it stood */
    struct held items[DRAFT_LEASES];
    size_t count;
};

/* What it has read under a lease, over this connection; what moved there it is
 * to be told at once. */
struct look {
    uint64_t token, revision, told;
    bool is_prefix;
    char name[MODEL_KEY_BYTES];
};

/* A mailbox or a topic that it reads, over this connection. */
struct inbox {
    int box;
    bool is_open;    /* or asked to be */
    uint64_t next;   /* from there on it is told all that stands there */
    uint64_t credit; /* of messages that may still come */
    uint64_t missed, missed_step, missed_at; /* what should have come, since */
};

/* A task that it wants to hear of. */
struct waiting {
    uint64_t task; /* 0: none */
    bool is_open;  /* or asked to be, over this connection */
    uint64_t had;  /* partial results */
    uint64_t told; /* the newest of its states, over this connection */
};

struct client {
    struct actor actor;
    int number;                       /* of the model */
    struct key_pair pairs[PAIRS_MAX]; /* all that it ever had */
    size_t pair_count;
    struct key_pair recovery, next_recovery; /* kept, and to be */
    uint64_t rotating; /* number of what asks for another, or 0 */
    unsigned rotate_kind;
    uint64_t opening_until;
    struct connection *connection; /* NULL: none */
    uint64_t serial; /* of the connection: frames of another are lost */
    bool is_opening, is_cut;
    uint64_t connect_at, resend_at; /* steady time; 0: no */
    struct sent sent[SENT_MAX];
    size_t sent_count;
    struct held held[DRAFT_LEASES];
    size_t held_count;
    struct look looks[LOOKS_MAX];
    size_t look_count;
    uint64_t durable; /* as the last frame said */
    /* This frame is sent at that size, like others maybe; it was made when the
     * record was durable up to `before` at least. */
    uint64_t size, before;
    struct question questions[ASKS_MAX];
    uint64_t known;      /* highest revision it was told of */
    uint64_t watch_next; /* revision from which its watch goes on */
    uint64_t credit;
    uint64_t openings; /* of its watch */
    struct inbox inboxes[INBOXES];
    struct waiting waits[WAITS_MAX];
    bool watches, gaps;   /* gaps: it is content with what is kept */
    uint64_t last_due[2]; /* of its frames, each way: none overtakes */
};

/* What an agent signed, to be found in the record as it was. */
struct signed_op {
    uint64_t session, seq;
    struct hash hash;
};

struct packet {
    uint64_t due, order, serial;
    int agent;
    bool to_broker;
    struct buf frame;
    struct packet *next;
};

struct world {
    struct world_options o;
    struct world_result *out;
    struct rig rig;
    struct cycle *cycle; /* NULL: the broker is down */
    struct ledger_reader *reader;
    struct model model;
    struct client agents[WORLD_AGENTS];
    struct signed_op *said[WORLD_AGENTS];
    size_t said_count[WORLD_AGENTS], said_cap[WORLD_AGENTS];
    struct packet *packets; /* by due and order */
    struct packet *heard;   /* that an agent is hearing */
    struct packet *alone;   /* that comes into a turn alone */
    uint8_t forged[FORGED_KEPT][KEY_SIGNATURE_BYTES]; /* the newest ones */
    unsigned forgeries;
    struct buf forgery; /* the last one's frame */
    uint64_t orders, step, start_at, values, reserve_bytes;
    unsigned snapshot_keys;
    bool beside;
    bool calm;    /* no more faults, no new work */
    bool settled; /* nothing is left to be given back */
    bool fault;   /* a sync is going to fail, or has */
    bool full;    /* the disk, or nearly */
    char lines[WORLD_LINES][WORLD_LINE];
    uint64_t line;
    jmp_buf failed;
};

struct projection {
    struct hash digest, root;
    uint64_t size;
};

uint64_t world_any(uint64_t n);
uint64_t world_now(const struct world *w);
void world_say(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Something is wrong: the run ends here. */
void world_fail(struct world *w, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* The broker ends in the middle of something, maybe with the whole machine;
 * or it stops cleanly. */
void world_crash(struct world *w, const char *why);
void world_stop_clean(struct world *w);
/* One thing goes wrong. */
void world_misfortune(struct world *w);

/* What the broker is told to allow: little, so that limits are met. */
void world_configure(struct world *w);
/* As the broker is to be opened. */
struct core_options world_core(const struct world *w);
struct projection projection_of(const struct core *c);
/* As the next start would find it without its snapshot. */
struct projection projection_from_scratch(struct world *w);
/* What the broker has in memory is what there should be. */
void state_check(struct world *w);
void record_check_tree(struct world *w);
void record_check(struct world *w);

/* To the other end, after a while. */
void world_send(struct world *w, struct client *a, bool to_broker,
                struct bytes frame);

void client_join(struct world *w, struct client *a, unsigned i);
/* It does something, or nothing. */
void client_act(struct world *w, struct client *a);
/* A frame of the broker's has arrived. */
void client_hear(struct world *w, struct client *a, struct bytes frame);
/* An entry has become durable: could it be so after what was read? */
void client_judge(struct world *w, const struct entry *e);
/* What has moved, as it is told. */
void client_moved(struct world *w, struct client *a, const struct msg *m);
/* Signed and sent, alone. */
void client_say(struct world *w, struct client *a, struct msg *m);
void keys_join(struct world *w, struct client *a);
/* With which it opens a session. */
void keys_choose(struct world *w, struct client *a);
/* Is there nothing that it may say now? */
bool keys_wait(struct world *w, struct client *a);
void keys_rotate(struct world *w, struct client *a);
/* With the key that it keeps away. */
void keys_recover(struct world *w, struct client *a);
void keys_ask(struct world *w, struct client *a);
void keys_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m);
void keys_heard(struct world *w, struct client *a, uint64_t seq, int code);
void client_knows(struct client *a, uint64_t revision);
/* What is in its writer, that number the first. */
void client_sign(struct world *w, struct client *a, unsigned kind,
                 uint64_t first, struct buf *frame);
void client_reads(struct world *w, struct client *a);
void client_seeks_work(struct world *w, struct client *a);
void client_heartbeat(struct world *w, struct client *a);
/* NULL: it waits for too many answers already. */
struct question *question_new(struct world *w, struct client *a,
                              enum message verb);
void question_ask(struct world *w, struct client *a, struct question *q,
                  struct msg *m);
/* An answer about the context. */
void read_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m);
void erased_check(struct world *w, struct client *a, struct bytes name,
                  uint64_t at, int code, uint64_t least, uint64_t most);
/* One version of a key as it is told, 0: absent. */
void version_check(struct world *w, struct client *a, struct bytes name,
                   uint64_t at, uint64_t revision, const struct bytes *value);
void watch_act(struct world *w, struct client *a);
void watch_told(struct world *w, struct client *a, uint64_t upto);
void watch_changed(struct world *w, struct client *a, const struct msg *m);
void watch_replied(struct world *w, struct client *a, const struct question *q,
                   const struct msg *m);
void watch_over(struct world *w, struct client *a, const struct msg *m);
void inbox_join(struct client *a);
void inbox_act(struct world *w, struct client *a);
/* Has it been told all there is for it? */
bool inbox_is_done(const struct world *w, const struct client *a);
/* Or is that a watch of keys? */
bool inbox_is_one(uint64_t watch);
void inbox_message(struct world *w, struct client *a, const struct msg *m);
void inbox_caught_up(struct world *w, struct client *a, const struct msg *m);
void inbox_replied(struct world *w, struct client *a, const struct question *q,
                   const struct msg *m);
/* Nobody looked at what it asked. */
void inbox_turned_away(const struct question *q);
void inbox_lost(struct client *a);
void waiting_act(struct world *w, struct client *a);
/* It has heard the end of all that has ended, and what it asked for. */
bool waiting_is_done(const struct world *w, const struct client *a);
void waiting_lost(struct client *a);
void waiting_replied(struct world *w, struct client *a,
                     const struct question *q, const struct msg *m);
void waiting_state(struct world *w, struct client *a, const struct msg *m);
void waiting_partial(struct world *w, struct client *a, const struct msg *m);
void waiting_input(struct world *w, struct client *a, const struct msg *m);
/* What it is told with a task; the entry that answered it, or 0. */
uint64_t waiting_task(struct world *w, struct client *a, const struct msg *m);
/* From that entry on it hears of the lease over this connection. */
void waiting_holds(struct client *a, uint64_t token, uint64_t since);
/* What was durable when its last frame was made was to be told by now. */
void waiting_check(struct world *w, struct client *a);
/* Something that it holds was answered, and it does not know. */
bool waiting_lacks_input(const struct world *w, const struct client *a);
void mark_ask(struct world *w, struct client *a);
void mark_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m);
/* It has read that, and is told all that moved; or no longer cares. */
void look_note(struct client *a, const struct question *q, uint64_t revision);
void looks_check(struct world *w, struct client *a, uint64_t durable);
void looks_drop(struct client *a, uint64_t token);
/* Its connection is gone. */
void client_lost(struct world *w, struct client *a);
/* Its process is gone, and whatever it knew. */
void client_die(struct world *w, struct client *a);
/* Nothing that it said is without an answer. */
bool client_is_done(const struct world *w, const struct client *a);
void client_end(struct world *w, struct client *a);
/* Did it say that? */
bool client_said(const struct world *w, int agent, const struct entry *e);

#endif
