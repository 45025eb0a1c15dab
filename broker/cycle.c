/* The straight path of a frame: take -> core -> commit -> answers -> release.
 * Everything else here is who is told about it. */
#include "cycle.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/log.h"
#include "cycle_private.h"
#include "proto/refusal.h"

enum {
    CYCLE_FRAMES = 2048,
    CYCLE_BYTES = 8 << 20,
    BLOCKED_RETRY_US = 5000, /* look again whether a full peer has read */
    AT_ONCE_US = 30,         /* after a sync: that frame had been waiting */
    OVERLAP_SYNCS = 8, /* that go on beside after one for which somebody waited:
                          else handing over is two wake-ups for nothing */
    UNSYNCED_MAX = 32 << 20, /* then no more is taken before a sync ends */
    IDLE_ENDS_MAX = 256,     /* sessions that one turn ends */
};

static const uint64_t second_us = 1000000;

/* --- Coming and going ---------------------------------------------------- */

static void presence_quiet(struct cycle *c, struct presence *p)
{
    watches_drop(c->cursors, p);
    leases_drop(c->leases, p);
    awaits_drop(c->awaits, p);
    inboxes_drop(c->inboxes, p);
}

static void presence_leave(struct cycle *c, struct presence *p)
{
    presence_quiet(c, p);
    presence_unbind(c->router, p, env_steady_us(c->env));
}

void session_over(struct cycle *c, uint64_t session, const char *reason)
{
    struct presence *p = presence_find(c->router, session);
    struct msg m;

    if (!p)
        return;
    if (reason) {
        msg_init(&m, MSG_SESSION_OVER);
        msg_set_u(&m, FIELD_SESSION, session);
        msg_set_text(&m, FIELD_REASON, reason);
        presence_say(c->router, p, &m);
    }
    presence_quiet(c, p);
    leases_orphan(c->leases, p);
    presence_free(c->router, p);
}

struct presence *session_bind(struct cycle *c, uint64_t id,
                              const struct bundle *b,
                              struct connection *connection)
{
    const struct session *s = session_by_id(cycle_state(c)->sessions, id);
    uint64_t now = env_steady_us(c->env);
    struct presence *p = s ? presence_of(c->router, s, &b->agent, now)
                           : presence_find(c->router, id);

    if (p)
        presence_heard(p, b, now);
    if (!s || !p) /* the bundle may have ended it */
        return NULL;
    if (connection && p->connection != connection) {
        if (p->connection)
            presence_leave(c, p);
        presence_bind(c->router, p, connection);
    }
    return p;
}

struct connection *cycle_connect(struct cycle *c, uint32_t agent,
                                 uint64_t invite, const struct hash *challenge)
{
    const struct agent *a = agent_by_number(cycle_state(c)->agents, agent);

    cycle_notice(c, "joined", a ? &a->id : NULL, 0, 0);
    return connection_new(c->router, agent, invite, challenge);
}

void cycle_disconnect(struct cycle *c, struct connection *connection)
{
    const struct agent *a =
        agent_by_number(cycle_state(c)->agents, connection->agent);

    asks_wake(c, connection); /* and will find nobody there */
    while (connection->presences)
        presence_leave(c, connection->presences);
    connection_free(c->router, connection);
    cycle_notice(c, "left", a ? &a->id : NULL, 0, 0);
}

void cycle_notice(struct cycle *c, const char *text, const struct hash *agent,
                  uint64_t count, int outcome)
{
    cursors_notice(c->cursors, env_wall_us(c->env), text, agent, count,
                   outcome);
}

/* --- The turn ------------------------------------------------------------ */

bool cycle_full(const struct cycle *c)
{
    return c->frames >= CYCLE_FRAMES || c->bytes >= CYCLE_BYTES ||
           cycle_blocked(c);
}

bool cycle_blocked(const struct cycle *c)
{
    return core_syncing(c->core) &&
           (core_unsynced_bytes(c->core) >= UNSYNCED_MAX ||
            outbox_bytes(c->outbox) >= UNSYNCED_MAX);
}

int cycle_begin(struct cycle *c)
{
    c->frames = c->bytes = 0;
    c->turn++;
    c->began_us = env_steady_us(c->env);
    core_begin(c->core);
    return c->draining ? 0 : core_erase(c->core);
}

static uint64_t idle_us(const struct cycle *c)
{
    return c->config->session_idle_s * second_us;
}

static int end_idle(struct cycle *c)
{
    uint64_t now = env_steady_us(c->env), index;
    unsigned left = IDLE_ENDS_MAX;
    struct presence *p;
    struct msg m;

    while (left-- && now >= c->end_retry &&
           (p = presence_longest_away(c->router)) != NULL &&
           now - p->away_since >= idle_us(c)) {
        int r;

        msg_init(&m, MSG_SESSION_END);
        msg_set_u(&m, FIELD_SESSION, p->session);
        msg_set_text(&m, FIELD_REASON, "idle");
        r = core_say(c->core, &m, &index);
        if (r < 0)
            return r;
        if (r == CHOIR_READ_ONLY)
            c->end_retry = now + second_us;
        else
            session_over(c, p->session, NULL);
    }
    return 0;
}

/* One sync for all frames since the last one: here, when they come one at a
 * time and nobody is kept waiting; else beside, while the next cycles go on. */
static int sync_begin(struct cycle *c)
{
    bool beside = c->beside && (c->unsynced_frames > 1 || c->overlap);

    c->unsynced_frames = 0;
    if (core_unsynced_bytes(c->core) == 0)
        return 0;
    if (beside)
        return core_sync_begin(c->core);
    c->sync_due = true;
    return core_sync_ahead(c->core, lone_sync(c));
}

/* Does anybody send while a sync goes on? A frame that stands there when one
 * ends has waited for it, or would have. */
static void overlap_note(struct cycle *c, bool waited)
{
    if (waited)
        c->overlap = OVERLAP_SYNCS;
    else if (c->overlap)
        c->overlap--;
}

static int append(struct cycle *c)
{
    int r = core_append(c->core);

    return r || core_syncing(c->core) ? r : sync_begin(c);
}

/* Append what was accepted and see to it that it becomes durable. */
static int record(struct cycle *c)
{
    bool again;
    int r;

    if (c->frames)
        core_heard(c->core);
    c->unsynced_frames += c->frames;
    if (c->frames && c->began_us - c->synced_us < AT_ONCE_US)
        overlap_note(c, true);
    r = append(c);
    if (!r)
        r = lone_prove(c, &again);
    if (!r && again)
        r = append(c);
    if (!r)
        r = core_tend(c->core); /* while the disk is at work */
    if (!r && !core_syncing(c->core))
        r = core_sync_end(c->core); /* a segment's end has waited for it */
    return r;
}

/* Its peer has read: what waited for that goes on. */
static void on_room(void *arg, struct connection *connection)
{
    struct cycle *c = arg;
    struct presence *p;

    asks_wake(c, connection);
    DL_FOREACH (connection->presences, p) {
        watches_wake(c->cursors, p);
        leases_wake(c->leases, p);
        awaits_wake(c->awaits, p);
        inboxes_wake(c->inboxes, p);
    }
}

/* The sync that is to be waited for here. The disk is at work since
 * sync_begin; the answers are signed meanwhile, as they will be when it is
 * done. */
static int sync_here(struct cycle *c)
{
    struct answer_facts facts;
    int r;

    c->sync_due = false;
    core_answer_facts_ahead(c->core, &facts);
    r = router_sign(c->router, &facts, core_key(c->core));
    if (!r)
        r = core_sync(c->core);
    c->synced_us = env_steady_us(c->env);
    return r;
}

/* What is durable leaves. Whoever hears it needs a while before he wants
 * something of the disk again. */
static int release(struct cycle *c)
{
    struct answer_facts facts;
    int r = c->sync_due ? sync_here(c) : 0;

    if (r)
        return r;
    core_answer_facts(c->core, &facts);
    r = router_release(c->router, &facts, core_key(c->core));
    return r > 0 ? ledger_zeros_ahead(core_ledger(c->core)) : r;
}

static int say_what_is_due(struct cycle *c)
{
    int r = end_idle(c);

    router_look(c->router, env_steady_us(c->env), on_room, c);
    if (!r)
        r = cycle_lapse(c);
    return r ? r : leases_match(c->leases, c->draining);
}

int cycle_end(struct cycle *c)
{
    bool was_synced;
    int r = c->lone.arrival ? 0 : say_what_is_due(c); /* nothing is */

    if (!r)
        r = record(c);
    if (r)
        lone_drop(c);
    if (!r)
        r = answer_repeats(c);
    if (!r)
        r = answer_asks(c);
    if (!r)
        r = leases_deliver(c->leases);
    if (!r)
        r = awaits_tell(c->awaits);
    if (!r)
        r = inboxes_pump(c->inboxes);
    if (!r)
        r = cursors_pump(c->cursors);
    if (r)
        return r;
    asks_tend(c->asks);
    outbox_rests_on(c->outbox, core_size(c->core));
    was_synced = c->sync_due;
    r = release(c);
    lone_end(c, was_synced);
    return r;
}

/* waited: did a frame stand there meanwhile? */
static int settle(struct cycle *c, bool waited)
{
    bool was_syncing = core_syncing(c->core);
    int r = core_sync_end(c->core);

    if (r || core_syncing(c->core))
        return r;
    if (was_syncing)
        overlap_note(c, waited);
    if (core_unsynced_bytes(c->core))
        r = sync_begin(c); /* what came meanwhile */
    return r ? r : release(c);
}

int cycle_settle(struct cycle *c)
{
    return settle(c, c->unsynced_frames > 0);
}

int let_out(struct cycle *c)
{
    return core_syncing(c->core) ? settle(c, true) : 0;
}

bool cycle_waits(const struct cycle *c)
{
    return outbox_waits(c->outbox);
}

bool cycle_was_alone(const struct cycle *c)
{
    return c->frames <= 1 && !c->overlap && !core_syncing(c->core);
}

uint64_t cycle_next(const struct cycle *c)
{
    uint64_t next = leases_next(c->leases), lapse = cycle_lapse_next(c), idle;
    uint64_t behind = core_behind_next(c->core);
    uint64_t retry = env_steady_us(c->env) + BLOCKED_RETRY_US;
    const struct presence *p = presence_longest_away(c->router);

    if (next == 0 && c->draining)
        next = UINT64_MAX;
    if (lapse < next)
        next = lapse;
    if (behind < next)
        next = behind;
    if (cursors_ready(c->cursors) || inboxes_ready(c->inboxes) ||
        awaits_ready(c->awaits) || (c->jobs && c->jobs_ready) ||
        (core_erases(c->core) && !c->draining))
        return 0;
    if ((cursors_wait(c->cursors) || router_waits(c->router) || c->jobs ||
         core_reclaims(c->core)) &&
        retry < next)
        next = retry;
    if (!p)
        return next;
    idle = p->away_since + idle_us(c);
    if (idle < c->end_retry)
        idle = c->end_retry;
    return idle < next ? idle : next;
}

void cycle_drain(struct cycle *c)
{
    c->draining = true;
}

/* --- Beginning and end --------------------------------------------------- */

/* Whoever has a session has been away since just now. */
static int presences_make(struct cycle *c)
{
    const struct sessions *sessions = cycle_state(c)->sessions;
    const struct session *s;

    for (s = sessions_next(sessions, NULL); s; s = sessions_next(sessions, s)) {
        const struct agent *a =
            agent_by_number(cycle_state(c)->agents, s->agent);

        if (!a || !presence_of(c->router, s, &a->id, env_steady_us(c->env)))
            return -ENOMEM;
    }
    return 0;
}

static int parts_make(struct cycle *c, const struct cycle_options *o)
{
    struct ask_parts parts;

    c->outbox = outbox_new();
    c->router = c->outbox ? router_new(c->outbox, &o->transport) : NULL;
    if (!c->router || presences_make(c))
        return -ENOMEM;
    c->cursors =
        cursors_new(cycle_state(c), core_ledger(c->core), c->router, c->env);
    c->awaits = awaits_new(cycle_state(c), core_ledger(c->core), c->router);
    c->inboxes = inboxes_new(cycle_state(c), core_ledger(c->core), c->router);
    if (!c->cursors || !c->awaits || !c->inboxes)
        return -ENOMEM;
    c->leases = leases_new(c->core, c->env, c->config, c->router, c->awaits);
    if (!c->leases)
        return -ENOMEM;
    parts = (struct ask_parts){
        .core = c->core,
        .env = c->env,
        .config = c->config,
        .router = c->router,
        .cursors = c->cursors,
        .leases = c->leases,
        .awaits = c->awaits,
        .inboxes = c->inboxes,
        .more = o->more,
        .more_arg = o->more_arg,
    };
    c->asks = asks_new(&parts);
    return c->asks ? 0 : -ENOMEM;
}

struct cycle *cycle_new(const struct cycle_options *o)
{
    struct cycle *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->core = o->core;
    c->env = o->env;
    c->config = o->config;
    c->beside = o->beside;
    c->crew = o->crew;
    c->telling.c = c;
    lone_begin(c, o->lone);
    if (parts_make(c, o))
        cycle_destroy(&c);
    return c;
}

void cycle_destroy(struct cycle **self_p)
{
    struct cycle *c = *self_p;
    struct connection *x;
    struct repeat *y, *next_y;

    if (!c)
        return;
    lone_drop(c);
    while (c->router && c->cursors && c->inboxes &&
           (x = connections_next(c->router, NULL)) != NULL)
        cycle_disconnect(c, x);
    jobs_free(c);
    DL_FOREACH_SAFE (c->repeats, y, next_y)
        free(y);
    asks_destroy(&c->asks);
    leases_destroy(&c->leases);
    awaits_destroy(&c->awaits);
    inboxes_destroy(&c->inboxes);
    cursors_destroy(&c->cursors);
    router_destroy(&c->router);
    outbox_destroy(&c->outbox);
    opened_free(c);
    buf_free(&c->telling.effects);
    free(c);
    *self_p = NULL;
}
