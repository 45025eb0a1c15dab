/* The way in. A message belongs to whom its own metadata names: the CURVE key
 * that ZAP admitted, put there by libzmq, on a body frame (on the first frame
 * of a polled message it can be missing, libzmq 4.3.4). The routing id is an
 * address and nothing more. */
#include <errno.h>
#include <stdlib.h>
#include <zmq.h>

#include "base/log.h"
#include "edge_private.h"
#include "proto/refusal.h"

enum { BAD_FRAMES_MAX = 64 };

/* --- Peers --------------------------------------------------------------- */

static struct peer *peer_find(const struct edge *e, const void *id, size_t n)
{
    struct peer *p;

    HASH_FIND(hh, e->peers, id, n, p);
    return p;
}

void peer_gone(struct edge *e, struct peer *p)
{
    struct line_in *line = line_at(e, p->fd);

    if (line && line->peer == p)
        line->peer = NULL;
    cycle_disconnect(e->cycle, p->connection);
    HASH_DEL(e->peers, p);
    free(p);
}

/* Whom the key belongs to now. A peer whose invitation has been used up by
 * another may stay connected; nothing it sends will be accepted. */
static struct connection *connect_key(struct edge *e, struct peer *p)
{
    const struct agents *agents = core_state(e->core)->agents;
    const struct agent *a = agent_by_curve(agents, p->curve_key);
    const struct invite *i = invite_by_curve(agents, p->curve_key);
    struct hash challenge = hash_parts(
        HASH_CHALLENGE, bytes_of(e->challenge_key, sizeof e->challenge_key),
        bytes_of(p->id, p->id_bytes), bytes_of(p->curve_key, KEY_CURVE_BYTES));
    struct connection *c = cycle_connect(e->cycle, a ? a->number : AGENT_NONE,
                                         !a && i ? i->index : 0, &challenge);

    if (c)
        c->peer = p;
    return c;
}

static struct peer *peer_new(struct edge *e, const void *id, size_t n, int fd,
                             const uint8_t *key)
{
    struct line_in *line = line_at(e, fd);
    struct peer *p;

    if (!line || n > ROUTING_ID_MAX)
        return NULL; /* it is gone already */
    if (line->peer)
        peer_gone(e, line->peer);
    p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->fd = fd;
    p->id_bytes = (uint8_t)n;
    memcpy(p->id, id, n);
    memcpy(p->curve_key, key, KEY_CURVE_BYTES);
    p->connection = connect_key(e, p);
    if (!p->connection) {
        free(p);
        return NULL;
    }
    line->peer = p;
    HASH_ADD(hh, e->peers, id, n, p);
    return p;
}

/* --- Receiving ----------------------------------------------------------- */

static void count_bad(struct edge *e, struct peer *p, int code)
{
    e->counters.bad_frames++;
    p->bad++;
    log_warn_limited("bad_frame", "code=%s", refusal_name(code));
    if (p->bad == 1)
        cycle_notice(e->cycle, refusal_sentence(code), NULL,
                     e->counters.bad_frames, code);
    if (p->bad >= BAD_FRAMES_MAX)
        peer_cut(e, p, "too many bad frames");
}

/* Parts are read and forgotten; whoever sends them does not speak Choir. */
static void refuse_parts(struct edge *e, struct peer *p)
{
    zmq_msg_t m;
    int more = 1;

    zmq_msg_init(&m);
    while (more && zmq_msg_recv(&m, e->router, ZMQ_DONTWAIT) >= 0)
        more = zmq_msg_more(&m);
    zmq_msg_close(&m);
    e->counters.multiparts++;
    if (p)
        peer_cut(e, p, "it sent a message of several parts");
}

void batch_end(struct edge *e)
{
    struct batch *b = &e->batch;

    for (size_t i = 0; i < b->n; i++) {
        if (b->arrivals[i].code > 0)
            count_bad(e, b->arrivals[i].from->peer, b->arrivals[i].code);
        zmq_msg_close(&b->messages[i]);
    }
    b->n = b->bytes = 0;
}

/* What has been received is taken together. */
static int batch_take(struct edge *e)
{
    struct batch *b = &e->batch;
    int r = b->n ? cycle_take_all(e->cycle, b->arrivals, b->n) : 0;

    batch_end(e);
    return r;
}

/* The last one of the turn. A lone frame stays until the turn has ended. */
static int batch_take_last(struct edge *e)
{
    struct batch *b = &e->batch;

    if (b->n != 1 || !is_alone(e))
        return batch_take(e);
    b->arrivals[0].is_lone = true;
    return cycle_take_all(e->cycle, b->arrivals, 1);
}

/* The peer that sent this message, known or new; NULL: nobody any more. 0, or
 * negative errno: exit. */
static int peer_of(struct edge *e, zmq_msg_t *id, zmq_msg_t *body,
                   struct peer **peer)
{
    const char *user = zmq_msg_gets(body, "User-Id");
    int r, fd = zmq_msg_get(body, ZMQ_SRCFD);
    size_t n = zmq_msg_size(id);
    uint8_t key[KEY_CURVE_BYTES];
    struct peer *p;

    *peer = NULL;
    if (!curve_key_parse(key, user))
        return 0;
    p = peer_find(e, zmq_msg_data(id), n);
    if (!p || p->fd != fd || memcmp(p->curve_key, key, sizeof key) != 0) {
        r = batch_take(e); /* while all its senders are known */
        if (r)
            return r;
        monitor_serve(e); /* who came and went before this message */
        p = peer_find(e, zmq_msg_data(id), n);
        if (p)
            peer_gone(e, p);
        p = peer_new(e, zmq_msg_data(id), n, fd, key);
    }
    *peer = p;
    return 0;
}

static void batch_add(struct edge *e, struct peer *p, zmq_msg_t *body)
{
    struct batch *b = &e->batch;
    zmq_msg_t *kept = &b->messages[b->n];

    zmq_msg_init(kept);
    zmq_msg_move(kept, body);
    b->arrivals[b->n] = (struct arrival){
        .from = p->connection,
        .frame = {zmq_msg_data(kept), zmq_msg_size(kept)},
    };
    b->bytes += b->arrivals[b->n].frame.n;
    b->n++;
    e->counters.frames++;
    e->counters.bytes_in += zmq_msg_size(kept);
}

static int take(struct edge *e, zmq_msg_t *id, zmq_msg_t *body)
{
    struct line_in *line;
    struct peer *p;
    int r = peer_of(e, id, body, &p);

    if (r)
        return r;
    line = p ? line_at(e, p->fd) : NULL;
    if (line)
        line->messages++;
    if (zmq_msg_more(body))
        refuse_parts(e, p);
    else if (p && !p->cut)
        batch_add(e, p, body);
    if (e->batch.n == BATCH_FRAMES || e->batch.bytes >= BATCH_BYTES)
        return batch_take(e);
    return 0;
}

/* 0; -EAGAIN: nothing is left; another negative errno: exit. */
static int receive_one(struct edge *e)
{
    zmq_msg_t id, body;
    int r;

    zmq_msg_init(&id);
    if (zmq_msg_recv(&id, e->router, ZMQ_DONTWAIT) < 0) {
        r = errno;
        zmq_msg_close(&id);
        return r == EINTR ? 0 : -r;
    }
    zmq_msg_init(&body);
    r = zmq_msg_more(&id) && zmq_msg_recv(&body, e->router, 0) >= 0
            ? take(e, &id, &body)
            : 0;
    zmq_msg_close(&body);
    zmq_msg_close(&id);
    return r;
}

/* Who sends one frame at a time waits for its answer: nobody is asked for a
 * second one before. If there is one, it ends the next wait at once, and that
 * they came alone. */
static bool may_receive(const struct edge *e)
{
    return (e->unread & UNREAD_ROUTER) && !cycle_full(e->cycle) &&
           !(e->busy && is_alone(e));
}

int edge_receive(struct edge *e)
{
    int r = 0;

    e->busy = false;
    while (!r && may_receive(e)) {
        r = receive_one(e);
        if (!r)
            e->busy = true;
        else if (r == -EAGAIN)
            unread_clear(e, UNREAD_ROUTER);
    }
    return r == 0 || r == -EAGAIN ? batch_take_last(e) : r;
}
