/* The engine: it owns the socket and both halves of the session. Each turn: take what callers put in, hear the broker, let records and asks
 * send what is due, publish what became of it. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

#include "engine.h"
#include "error.h"
#include "hello.h"
#include "proto/refusal.h"

enum {
    RECONNECT_FIRST_MS = 20,
    RECONNECT_MAX_MS = 1000,
    WELCOME_MS = 5000,     /* a connection without a welcome is dead */
    SEEN_SAVE_MS = 5000,   /* how often the checkpoint is stored */
    BREAKS_MAX = 3,        /* handshakes broken off before the first success */
    FRAMES_PER_TURN = 256, /* so that callers are heard in between, */
    TURN_BYTES = 1 << 20,  /* and other handles have their turn */
    HOLD_SHARE = 4, /* of a round trip: so long, callers are waited for */
    LOOK_MS = 100,  /* for what the broker says unasked */
};

static void end(struct engine *e, int code)
{
    if (e->ended || !code)
        return;
    e->ended = code;
    e->line = strdup(choir_error_text());
    if (growth_holds(&e->wire.growth)) /* it is not believed any more */
        wire_disown_events(&e->wire, code, e->line);
    records_fail(e->records, &e->wire, code, e->line);
    asks_fail(e->asks, &e->wire, code, e->line);
}

/* --- The connection ------------------------------------------------------- */

static void lost(struct engine *e)
{
    if (e->is_welcome)
        e->backoff_ms = 0;
    e->hello_sent = e->is_welcome = false;
    e->asked_session = 0;
    records_lost(e->records);
    growth_begin(&e->wire.growth, &e->wire.verifier);
    e->backoff_ms = e->backoff_ms ? 2 * e->backoff_ms : RECONNECT_FIRST_MS;
    if (e->backoff_ms > RECONNECT_MAX_MS)
        e->backoff_ms = RECONNECT_MAX_MS;
    e->begin_ms = e->wire.now_ms + e->backoff_ms;
    e->wire.reconnect = false;
}

static void begin(struct engine *e)
{
    int r = connection_begin(e->connection);

    e->begin_ms = 0;
    e->wire.reconnect = false;
    if (r == -EINVAL)
        end(e, error_set(CHOIR_INVALID, 0,
                         "url=%s: not an endpoint like tcp://host:port",
                         e->c->id.broker.url));
    else if (r)
        lost(e);
}

static void say_hello(struct engine *e)
{
    struct buf frame = {0};

    hello_put(&frame);
    connection_send(e->connection, buf_bytes(&frame));
    buf_free(&frame);
    e->was_up = e->hello_sent = true;
    e->hello_ms = e->wire.now_ms;
}

static void refused(struct engine *e)
{
    end(e, error_set(CHOIR_UNKNOWN_AGENT, 0,
                     "name=%s url=%s: the broker does not admit this identity "
                     "(%s); it was revoked, or made for another broker",
                     e->c->name, e->c->id.broker.url, e->c->path));
}

static void wrong_broker(struct engine *e)
{
    end(e, error_set(CHOIR_WRONG_BROKER, 0,
                     "url=%s: who answers there does not hold the key this "
                     "identity has pinned; check the url, or join anew",
                     e->c->id.broker.url));
}

static void connection_look(struct engine *e)
{
    enum connection_state state = connection_state(e->connection);

    if (e->wire.reconnect && state != CONNECTION_CLOSED) {
        lost(e);
        e->begin_ms = e->wire.now_ms;
        state = CONNECTION_CLOSED;
    }
    switch (state) {
    case CONNECTION_REFUSED: refused(e); return;
    case CONNECTION_CLOSED:
        if (!e->was_up && connection_breaks(e->connection) >= BREAKS_MAX)
            wrong_broker(e);
        else if (!e->begin_ms)
            lost(e);
        else if (e->wire.now_ms >= e->begin_ms)
            begin(e);
        return;
    case CONNECTION_UP:
        if (!e->hello_sent)
            say_hello(e);
        else if (!e->is_welcome && e->wire.now_ms - e->hello_ms >= WELCOME_MS)
            e->wire.reconnect = true;
        return;
    case CONNECTION_WAITING: return;
    }
}

/* --- What the broker says ------------------------------------------------- */

static void welcome(struct engine *e, const struct msg *item)
{
    struct list at = msg_list(item, FIELD_ITEMS);
    struct msg row;

    e->limit_count = 0;
    while (e->limit_count < LIMITS_MAX && list_next(&at, &row)) {
        struct told_limit *l = &e->limits[e->limit_count];
        struct bytes name = msg_b(&row, FIELD_NAME);

        if (!name.n || name.n >= sizeof l->name)
            continue;
        memcpy(l->name, name.p, name.n);
        l->name[name.n] = '\0';
        l->value = msg_has(&row, FIELD_LIMIT) ? msg_u(&row, FIELD_LIMIT)
                                              : msg_u(&row, FIELD_REVISION);
        if (strcmp(l->name, "bundle_bytes_max") == 0)
            e->wire.bytes_max = l->value;
        if (strcmp(l->name, "bundle_ops_max") == 0)
            e->wire.ops_max = l->value;
        e->limit_count++;
    }
    e->limits_new = true;
    e->wire.challenge = msg_hash(item, FIELD_CHALLENGE);
    e->is_welcome = true;
    records_welcome(e->records, &e->wire);
}

static int item_hear(struct engine *e, const struct msg *item)
{
    int r;

    switch (item->verb) {
    case MSG_WELCOME:
        if (!e->is_welcome)
            welcome(e, item);
        return 0;
    case MSG_DONE:
    case MSG_DONE_ALL:
    case MSG_SESSION_OVER: return records_item(e->records, &e->wire, item);
    case MSG_TURNED_AWAY:
        if (msg_u(item, FIELD_KIND) != BUNDLE_ASK)
            return records_item(e->records, &e->wire, item);
        break;
    default: break;
    }
    r = asks_item(e->asks, &e->wire, item);
    if (r != CHOIR_SESSION_ENDED)
        return r;
    if (msg_u(item, FIELD_SESSION) == records_session(e->records))
        records_session_over(e->records, &e->wire);
    return 0;
}

static int frame_hear(struct engine *e, struct bytes frame)
{
    struct answer a;
    struct msg item;
    int r = verifier_open(&e->wire.verifier, frame, &a);

    while (!r) {
        struct cursor at = a.body;

        r = answer_next(&a, &item);
        e->wire.heard = r ? NULL : &item;
        e->wire.heard_raw = cursor_take(&at, cursor_u32(&at));
        if (r == CHOIR_NOT_FOUND)
            return 0;
        if (r == CHOIR_MALFORMED)
            return error_set(CHOIR_BROKEN, 0,
                             "what=item: an answer does not follow the "
                             "specification; nothing more is accepted");
        r = r == CHOIR_UNSUPPORTED ? 0 : item_hear(e, &item);
        e->wire.heard = NULL;
    }
    return r;
}

/* May the broker have something to say that we have not heard? */
static bool is_owed(const struct engine *e)
{
    return !e->is_welcome || !records_session(e->records) ||
           records_owed(e->records) || asks_owed(e->asks);
}

bool engine_waits_for_answers(const struct engine *e)
{
    return !e->ended && e->is_welcome && records_session(e->records) &&
           records_asked(e->records) && !asks_owed(e->asks);
}

static void hear(struct engine *e)
{
    size_t bytes = 0;
    bool is_time = e->look_ms && e->wire.now_ms >= e->look_ms;

    if (is_time) {
        connection_expect(e->connection);
        e->look_ms = 0;
    }
    for (int n = 0; n < FRAMES_PER_TURN && bytes < TURN_BYTES && !e->ended;
         n++) {
        struct bytes frame = {0};
        int r = connection_receive(e->connection, &frame);

        if (r == -EAGAIN)
            return;
        e->has_heard = true;
        if (r)
            r = error_set(CHOIR_BROKEN, 0,
                          "what=frame: a message of several parts; nothing "
                          "more is accepted");
        else
            r = frame_hear(e, frame);
        bytes += frame.n;
        end(e, r);
        if (!is_time && !e->ended && !is_owed(e)) {
            connection_rest(e->connection);
            e->look_ms = e->wire.now_ms + LOOK_MS;
            return;
        }
    }
}

/* Nothing more is accepted, but what came must not keep us awake. */
static void discard(struct engine *e)
{
    struct bytes frame;

    while (connection_receive(e->connection, &frame) != -EAGAIN)
        ;
}

/* --- What callers want ---------------------------------------------------- */

static void op_take(struct engine *e, struct op *op)
{
    bool is_ask = message_row(op->verb)->class == CLASS_ASK;

    if (e->ended)
        wire_outcome(&e->wire, op, is_ask ? MSG_REPLY : MSG_DONE, e->ended, 0,
                     NULL, e->line);
    else if (is_ask)
        asks_add(e->asks, &e->wire, op);
    else
        records_add(e->records, op);
}

static void control_take(struct engine *e, const struct control *control)
{
    if (control->is_cancel)
        asks_cancel(e->asks, &e->wire, control->id);
    else
        asks_credit(e->asks, control->id, control->more);
}

static void interruption_look(struct choir *c)
{
    if (!__atomic_exchange_n(&c->interrupted, 0, __ATOMIC_SEQ_CST))
        return;
    c->interruptions++;
    c->interrupt_next = true; /* until one who waits has returned for it */
    c->is_poked = true;
    pthread_cond_broadcast(&c->changed);
}

/* Takes what was handed over, or everything there is. */
static void callers_hear(struct engine *e, bool now, unsigned readable)
{
    struct choir *c = e->c;
    struct op *ops, *op, *next;
    struct control *controls, *control, *after;

    pthread_mutex_lock(&c->lock);
    now |= intake_drain(&c->intake, readable);
    intake_take(&c->intake, now, &ops, &controls);
    interruption_look(c);
    pthread_mutex_unlock(&c->lock);
    DL_FOREACH_SAFE (ops, op, next) {
        DL_DELETE(ops, op);
        op_take(e, op);
    }
    DL_FOREACH_SAFE (controls, control, after) {
        control_take(e, control);
        free(control);
    }
    DL_FOREACH_SAFE (e->wire.records, op, next) {
        DL_DELETE(e->wire.records, op);
        op_take(e, op);
    }
}

void engine_hear_callers(struct engine *e)
{
    callers_hear(e, true, 0);
}

/* --- Sending and telling -------------------------------------------------- */

static void send_due(struct engine *e)
{
    uint64_t session;
    int r = records_pump(e->records, &e->wire);

    session = records_session(e->records);
    if (session && session != e->asked_session) {
        asks_again(e->asks, &e->wire);
        e->asked_session = session;
    }
    if (!r)
        r = asks_pump(e->asks, &e->wire, session, records_answered(e->records));
    if (r)
        end(e, error_set(r, 0, NULL));
}

static int trouble_of(const struct engine *e)
{
    if (!e->is_welcome)
        return CHOIR_UNREACHABLE;
    return records_trouble(e->records);
}

static void tell_end(struct engine *e, struct choir *c)
{
    if (!e->ended || c->ended)
        return;
    c->ended = e->ended;
    c->ended_line = e->line;
    handle_ready(c, true);
}

static uint64_t bundle_bytes_max(const struct choir *c)
{
    uint64_t told = handle_limit(c, "bundle_bytes_max");

    return told && told < LIMIT_BUNDLE_BYTES ? told : LIMIT_BUNDLE_BYTES;
}

void engine_tell(struct engine *e)
{
    struct choir *c = e->c;
    uint64_t session = records_session(e->records);
    bool is_connected = session != 0 && !e->ended, news, at_once;

    pthread_mutex_lock(&c->lock);
    c->intake.hold_us = e->wire.round_ms * 1000 / HOLD_SHARE;
    news = !growth_holds(&e->wire.growth) || e->ended
               ? handle_publish(c, &e->wire.events)
               : false;
    at_once = records_keep(e->records) && !intake_keep(&c->intake);
    handle_spare(c, &e->wire.spare);
    tell_end(e, c);
    if (e->limits_new) {
        memcpy(c->limits, e->limits, sizeof c->limits);
        c->limit_count = e->limit_count;
        c->bundle_bytes_max = bundle_bytes_max(c);
        e->limits_new = false;
    }
    news |= c->is_connected != is_connected || c->trouble != trouble_of(e) ||
            c->ended;
    c->is_connected = is_connected;
    c->trouble = trouble_of(e);
    if (session)
        c->session = session;
    c->seen = e->wire.verifier.seen;
    /* what callers put in from here on must wake us */
    e->has_more = at_once || intake_ready(&c->intake);
    c->intake.is_awake = e->has_more;
    e->is_held = c->intake.hold.due_us != 0;
    e->has_news = news || c->is_poked;
    news &= c->waiting + c->dozing > c->is_driven;
    pthread_mutex_unlock(&c->lock);
    if (news) /* now, so that whom it wakes finds the lock free */
        pthread_cond_broadcast(&c->changed);
}

void engine_seen_store(struct engine *e, bool now)
{
    const struct checkpoint *seen = &e->wire.verifier.seen;

    if (!now && e->saved.size && e->wire.now_ms - e->saved_ms < SEEN_SAVE_MS)
        return;
    e->saved_ms = e->wire.now_ms;
    if (!e->wire.verifier.trusted.n || e->wire.growth.before.size ||
        (seen->epoch == e->saved.epoch && seen->size == e->saved.size))
        return;
    seen_save(seen, buf_bytes(&e->wire.verifier.trusted), e->c->path,
              &e->c->id.broker.ledger,
              e->saved.size == 0 && e->c->flags & CHOIR_ACCEPT_EPOCH);
    e->saved = *seen;
}

static int64_t sooner(int64_t a, int64_t b)
{
    return a < 0 ? b : b < 0 ? a : a < b ? a : b;
}

int engine_timeout_ms(const struct engine *e)
{
    int64_t due = -1, left;

    if (e->has_more || e->wire.records)
        return 0;
    if (e->ended)
        return -1;
    if (e->begin_ms)
        due = e->begin_ms;
    if (e->hello_sent && !e->is_welcome)
        due = sooner(due, e->hello_ms + WELCOME_MS);
    if (e->is_welcome) {
        due = sooner(due, records_deadline_ms(e->records));
        if (records_session(e->records))
            due = sooner(due, asks_deadline_ms(e->asks, &e->wire));
        if (e->look_ms)
            due = sooner(due, e->look_ms);
    }
    if (due < 0)
        return e->was_up ? SEEN_SAVE_MS : -1;
    left = due - sdk_clock_ms();
    return left < 0 ? 0 : left > SEEN_SAVE_MS ? SEEN_SAVE_MS : (int)left;
}

void engine_turn(struct engine *e, unsigned readable)
{
    uint64_t count;

    if ((readable & TIMER_BIT) &&
        read(e->timer_fd, &count, sizeof count) == sizeof count)
        e->timer_ms = 0;
    e->has_heard = false;
    e->wire.now_ms = sdk_clock_ms();
    callers_hear(e, false, readable);
    if (e->ended) {
        discard(e);
    } else {
        hear(e);
        connection_look(e);
        send_due(e);
        engine_seen_store(e, false);
    }
    engine_tell(e);
}
