/* Two bounds keep a peer that reads slowly or not at all from costing memory:
 * beyond STREAM_MAX it gets nothing that can wait, beyond PEER_MAX it is cut
 * off and finds everything again when it comes back. */
#include "router.h"

#include <stdlib.h>
#include <utlist.h>

enum {
    STREAM_MAX = 4 << 20,
    STREAM_AGAIN = STREAM_MAX / 2, /* it goes on below */
    PEER_MAX = 64 << 20,
    LOOKS_MIN = 4, /* at connections without room, in a turn */
    LOOK_US = 50,  /* and one more for so much time: 2 % of it at most */
};

/* What belongs to one agent, while there is anything, or it was heard of. */
struct belongings {
    uint32_t agent;
    struct heard heard; /* from sessions that have ended */
    struct presence *presences;
    struct connection *connections;
    UT_hash_handle hh;
};

struct router {
    struct outbox *outbox; /* borrowed */
    struct transport transport;
    struct connection *connections;
    struct presence *presences;
    struct belongings *agents;
    struct presence *away;   /* longest first */
    struct connection *full; /* those looked at longest ago first */
    size_t full_count;
    uint64_t looked; /* steady time */
    uint64_t last_id, cut;
};

struct router *router_new(struct outbox *outbox,
                          const struct transport *transport)
{
    struct router *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->outbox = outbox;
    r->transport = *transport;
    return r;
}

void router_destroy(struct router **self_p)
{
    struct router *r = *self_p;
    struct connection *c, *next_c;
    struct presence *p, *next_p;
    struct belongings *b, *next_b;

    if (!r)
        return;
    HASH_ITER (hh, r->presences, p, next_p) {
        HASH_DEL(r->presences, p);
        free(p->heard.labels);
        free(p);
    }
    HASH_ITER (hh, r->connections, c, next_c) {
        HASH_DEL(r->connections, c);
        free(c);
    }
    HASH_ITER (hh, r->agents, b, next_b) {
        HASH_DEL(r->agents, b);
        free(b->heard.labels);
        free(b);
    }
    free(r);
    *self_p = NULL;
}

static struct belongings *belongings_find(const struct router *r,
                                          uint32_t agent)
{
    struct belongings *b;

    HASH_FIND(hh, r->agents, &agent, sizeof agent, b);
    return b;
}

/* Made if missing. NULL when out of memory. */
static struct belongings *belongings_of(struct router *r, uint32_t agent)
{
    struct belongings *b = belongings_find(r, agent);

    if (b)
        return b;
    b = calloc(1, sizeof *b);
    if (!b)
        return NULL;
    b->agent = agent;
    HASH_ADD(hh, r->agents, agent, sizeof b->agent, b);
    return b;
}

static void belongings_leave(struct router *r, struct belongings *b)
{
    if (b->presences || b->connections || b->heard.at)
        return;
    HASH_DEL(r->agents, b);
    free(b);
}

struct connection *connection_new(struct router *r, uint32_t agent,
                                  uint64_t invite, const struct hash *challenge)
{
    struct belongings *b = belongings_of(r, agent);
    struct connection *c = b ? calloc(1, sizeof *c) : NULL;

    if (!c) {
        if (b)
            belongings_leave(r, b);
        return NULL;
    }
    DL_APPEND2(b->connections, c, agent_prev, agent_next);
    c->id = ++r->last_id;
    c->agent = agent;
    c->invite = invite;
    c->challenge = *challenge;
    HASH_ADD(hh, r->connections, id, sizeof c->id, c);
    return c;
}

static void full_leave(struct router *r, struct connection *c)
{
    if (!c->full)
        return;
    DL_DELETE2(r->full, c, full_prev, full_next);
    r->full_count--;
    c->full = false;
}

void connection_free(struct router *r, struct connection *c)
{
    struct belongings *b = belongings_find(r, c->agent);

    full_leave(r, c);
    DL_DELETE2(b->connections, c, agent_prev, agent_next);
    belongings_leave(r, b);
    HASH_DEL(r->connections, c);
    free(c);
}

struct connection *connection_find(const struct router *r, uint64_t id)
{
    struct connection *c;

    HASH_FIND(hh, r->connections, &id, sizeof id, c);
    return c;
}

struct connection *connections_next(const struct router *r,
                                    const struct connection *after)
{
    return after ? after->hh.next : r->connections;
}

size_t connections_count(const struct router *r)
{
    return HASH_COUNT(r->connections);
}

void connection_cut(struct router *r, struct connection *c, const char *why)
{
    r->cut++;
    r->transport.cut(r->transport.arg, c, why);
}

/* --- Presences ----------------------------------------------------------- */

static void away_add(struct router *r, struct presence *p, uint64_t now)
{
    p->connection = NULL;
    p->away_since = now;
    DL_APPEND2(r->away, p, away_prev, away_next);
}

struct presence *presence_find(const struct router *r, uint64_t session)
{
    struct presence *p;

    HASH_FIND(hh, r->presences, &session, sizeof session, p);
    return p;
}

struct presence *presence_of(struct router *r, const struct session *s,
                             const struct hash *agent_id, uint64_t now)
{
    struct presence *p = presence_find(r, s->id);
    struct belongings *b;

    if (p)
        return p;
    b = belongings_of(r, s->agent);
    p = b ? calloc(1, sizeof *p) : NULL;
    if (!p) {
        if (b)
            belongings_leave(r, b);
        return NULL;
    }
    DL_APPEND2(b->presences, p, agent_prev, agent_next);
    p->session = s->id;
    p->agent = s->agent;
    p->agent_id = *agent_id;
    HASH_ADD(hh, r->presences, session, sizeof p->session, p);
    away_add(r, p, now);
    return p;
}

void presence_bind(struct router *r, struct presence *p, struct connection *c)
{
    DL_DELETE2(r->away, p, away_prev, away_next);
    p->connection = c;
    DL_APPEND(c->presences, p);
}

void presence_unbind(struct router *r, struct presence *p, uint64_t now)
{
    if (!p->connection)
        return;
    DL_DELETE(p->connection->presences, p);
    away_add(r, p, now);
}

static bool labels_same(const struct labels *l, struct bytes encoded)
{
    return bytes_equal(l ? bytes_of(l->encoded, l->bytes) : (struct bytes){0},
                       encoded);
}

static void labels_take(struct heard *h, const struct bundle *b)
{
    struct labels *l = malloc(sizeof *l + b->labels.n);

    if (!l)
        return;
    l->pairs = b->label_count;
    l->bytes = (uint32_t)b->labels.n;
    if (b->labels.n)
        memcpy(l->encoded, b->labels.p, b->labels.n);
    free(h->labels);
    h->labels = l;
}

void presence_heard(struct presence *p, const struct bundle *b, uint64_t now)
{
    struct heard *h = &p->heard;

    h->at = now;
    if (h->seen < b->seen)
        h->seen = b->seen;
    if (!labels_same(h->labels, b->labels))
        labels_take(h, b);
}

bool presence_is_here(const struct presence *p, uint64_t now,
                      uint64_t presence_us)
{
    return p->connection && now - p->heard.at < presence_us;
}

/* Of an agent the latest is kept, when the session goes. */
static void heard_keep(struct belongings *b, struct heard *h)
{
    struct heard old = b->heard;

    if (h->at < old.at) {
        free(h->labels);
        return;
    }
    b->heard = *h;
    free(old.labels);
}

const struct heard *agent_heard(const struct router *r, uint32_t agent)
{
    const struct belongings *b = belongings_find(r, agent);

    return b && b->heard.at ? &b->heard : NULL;
}

void presence_free(struct router *r, struct presence *p)
{
    struct belongings *b = belongings_find(r, p->agent);

    DL_DELETE2(b->presences, p, agent_prev, agent_next);
    heard_keep(b, &p->heard);
    belongings_leave(r, b);
    if (p->connection)
        DL_DELETE(p->connection->presences, p);
    else
        DL_DELETE2(r->away, p, away_prev, away_next);
    HASH_DEL(r->presences, p);
    free(p);
}

struct presence *presence_longest_away(const struct router *r)
{
    return r->away;
}

struct presence *agent_presences(const struct router *r, uint32_t agent)
{
    const struct belongings *b = belongings_find(r, agent);

    return b ? b->presences : NULL;
}

struct connection *agent_connections(const struct router *r, uint32_t agent)
{
    const struct belongings *b = belongings_find(r, agent);

    return b ? b->connections : NULL;
}

/* --- Sending ------------------------------------------------------------- */

/* n: what outbox_add returned. */
static void said(struct router *r, struct connection *c, size_t n)
{
    if (n == 0) /* it must not go on as if it had been told */
        connection_cut(r, c, "out of memory for its answers");
    c->queued += n;
}

void router_say(struct router *r, struct connection *c, uint64_t session,
                const struct hash *agent, const struct msg *item)
{
    said(r, c, outbox_add(r->outbox, c->id, session, agent, item));
}

void presence_say(struct router *r, struct presence *p, const struct msg *item)
{
    if (p->connection)
        router_say(r, p->connection, p->session, &p->agent_id, item);
}

void presence_say_bytes(struct router *r, struct presence *p, struct bytes item)
{
    struct connection *c = p->connection;

    if (c)
        said(
            r, c,
            outbox_add_bytes(r->outbox, c->id, p->session, &p->agent_id, item));
}

static bool has_room(const struct router *r, struct connection *c,
                     uint64_t most)
{
    return c->queued < most &&
           c->queued + r->transport.backlog(r->transport.arg, c) < most;
}

bool connection_has_room(struct router *r, struct connection *c)
{
    if (c->full)
        return false;
    if (has_room(r, c, STREAM_MAX))
        return true;
    c->full = true;
    DL_APPEND2(r->full, c, full_prev, full_next);
    r->full_count++;
    return false;
}

void router_look(struct router *r, uint64_t now, connection_woken woken,
                 void *arg)
{
    uint64_t n = LOOKS_MIN + (now - r->looked) / LOOK_US;

    r->looked = now;
    if (n > r->full_count)
        n = r->full_count;
    while (n--) {
        struct connection *c = r->full;

        if (has_room(r, c, STREAM_AGAIN)) {
            full_leave(r, c);
            woken(arg, c);
            continue;
        }
        DL_DELETE2(r->full, c, full_prev, full_next);
        DL_APPEND2(r->full, c, full_prev, full_next);
    }
}

bool router_waits(const struct router *r)
{
    return r->full != NULL;
}

static void send_one(void *arg, uint64_t id, struct bytes frame, size_t took)
{
    struct router *r = arg;
    struct connection *c = connection_find(r, id);

    if (!c)
        return;
    c->queued -= took;
    if (r->transport.backlog(r->transport.arg, c) > PEER_MAX) {
        connection_cut(r, c, "it does not read what it is sent");
        return;
    }
    r->transport.send(r->transport.arg, c, frame);
}

int router_sign(struct router *r, const struct answer_facts *facts,
                const struct key_pair *key)
{
    return outbox_sign(r->outbox, facts, key);
}

int router_release(struct router *r, const struct answer_facts *facts,
                   const struct key_pair *key)
{
    return outbox_release(r->outbox, facts, key, send_one, r);
}

uint64_t router_cut_count(const struct router *r)
{
    return r->cut;
}
