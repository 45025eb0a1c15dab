/* What the files of the edge share. */
#ifndef CHOIR_BROKER_EDGE_PRIVATE_H
#define CHOIR_BROKER_EDGE_PRIVATE_H

#include <zmq.h>

#include "base/pace.h"
#include "cycle.h"
#include "edge.h"
#include "proto/crowd.h"

enum {
    ROUTING_ID_MAX = 255,
    KEY_HEX = 2 * KEY_CURVE_BYTES + 1,
    BATCH_FRAMES = 128, /* received, before they are taken */
    BATCH_BYTES = 4 << 20,
    UNREAD_ROUTER = 1, /* there may be something to be received */
    UNREAD_ZAP = 2,
    UNREAD_MONITOR = 4,
    ALONE_FRAMES = 8, /* in a row: somebody waits for each answer */
};

/* A peer that has sent at least one message. */
struct peer {
    struct connection *connection;
    int fd;
    uint8_t curve_key[KEY_CURVE_BYTES];
    uint64_t given; /* bytes handed to the socket for it */
    uint64_t acked; /* of those, acknowledged by its host when last asked */
    unsigned bad;   /* frames that were none */
    bool cut;
    UT_hash_handle hh;
    uint8_t id_bytes;
    uint8_t id[ROUTING_ID_MAX];
};

/* An accepted connection, by file descriptor. */
struct line_in {
    bool open;
    struct peer *peer;
    uint64_t messages, messages_before; /* delivered: ever, at the last look */
    uint64_t received; /* bytes, when something was last delivered */
};

/* Frames that are taken together, and the messages they lie in. */
struct batch {
    zmq_msg_t messages[BATCH_FRAMES];
    struct arrival arrivals[BATCH_FRAMES];
    size_t n, bytes;
};

struct edge_counters {
    uint64_t frames, bytes_in, bytes_out, bad_frames, refused,
        handshakes_failed, multiparts, floods, over_limit, accepted;
};

struct edge {
    struct core *core;
    struct env *env;
    const struct config *config;
    void *context, *router, *zap, *monitor;
    int synced_fd; /* the ledger's: a sync has ended */
    struct cycle *cycle;
    struct crew *crew;
    int wait_fd;           /* epoll's */
    unsigned unread;       /* UNREAD_*, see edge_wait.c */
    struct near *near;     /* this thread and libzmq's, while one waits for the
                          other, */
    struct pace pace;      /* on the quicker core */
    uint64_t idle_from_us; /* steady time: the turn's last answer left; or 0 */
    uint64_t idle_us;      /* from then until the last wait ended */
    unsigned alone;        /* frames in a row that came one at a time */
    struct crowd crowd;    /* of frames: libzmq's thread */
    struct batch batch;
    struct peer *peers; /* by routing id */
    struct line_in *lines;
    size_t line_count; /* room in `lines` */
    size_t open_count, open_max;
    uint64_t look_at;    /* steady time of the next look at floods */
    uint64_t looked_all; /* steady time, and resident pages, of the last */
    uint64_t pages;
    size_t looking; /* the next line of a look that is under way; 0: none is */
    uint8_t challenge_key[32];
    char urls[CONFIG_LISTEN_MAX][EDGE_URL_BYTES];
    size_t url_count;
    bool busy;
    struct edge_counters counters;
};

/* --- edge_wait.c: what a turn waits for ---------------------------------- */

/* After the sockets; also: as in edge_options. 0 or negative errno. */
int wait_open(struct edge *e, int also);
void wait_close(struct edge *e);
/* Until a socket is unread, a timer is due, a sync has ended or `also` is
 * readable; as edge_turn. */
int edge_wait(struct edge *e, int most_ms, bool *also_ready);
/* A receive from that socket has found nothing. */
static inline void unread_clear(struct edge *e, unsigned socket)
{
    e->unread &= ~socket;
}
/* After a turn: did frames come one at a time? */
void alone_note(struct edge *e);
static inline bool is_alone(const struct edge *e)
{
    return e->alone >= ALONE_FRAMES;
}

/* --- edge_zap.c: who is let in ------------------------------------------- */

/* Bind the handler; before the socket that needs it. 0 or negative errno. */
int zap_open(struct edge *e);
/* Answer what has been asked. */
void zap_serve(struct edge *e);
/* From hex to key; false if it is none. */
bool curve_key_parse(uint8_t key[KEY_CURVE_BYTES], const char *hex);

/* --- edge_flood.c: what a peer may cost ---------------------------------- */

int monitor_open(struct edge *e);
/* Connections that came and went. */
void monitor_serve(struct edge *e);
/* The line, or NULL if there is none with that descriptor. */
struct line_in *line_at(struct edge *e, int fd);
/* Cut off whoever sends without ever finishing a message; when it is time. */
void floods_look(struct edge *e);
/* Shut the connection down; its end is reported by the monitor. */
void line_cut(struct edge *e, int fd);
/* Bytes the peer's host has acknowledged. */
uint64_t line_acked(int fd);

/* --- edge_permit.c ------------------------------------------------------- */

/* Before there is a socket: 0; a negative errno, and trouble says what this
 * process would have to be allowed. */
int edge_permitted(char trouble[EDGE_TROUBLE_BYTES]);

/* --- edge_receive.c ------------------------------------------------------ */

/* What has arrived, as far as one cycle takes it. 0, or negative errno: the
 * daemon must exit. */
int edge_receive(struct edge *e);
/* When the turn has ended: what became of its lone frame, if it had one. */
void batch_end(struct edge *e);
void peer_gone(struct edge *e, struct peer *p);

/* --- edge.c -------------------------------------------------------------- */

/* No more is taken from it or sent to it. */
void peer_cut(struct edge *e, struct peer *p, const char *why);

#endif
