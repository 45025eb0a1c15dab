/* See records.h for the one rule that is not obvious. */
#include "records_private.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "proto/refusal.h"

enum {
    BACKOFF_FIRST_MS = 2,
    BACKOFF_MAX_MS = 1000,
    FRAME_KEPT = 131072,
    KEPT_OPS = 64, /* a bundle of so many waits for nobody */
};

struct records *records_new(void)
{
    return calloc(1, sizeof(struct records));
}

static void sent_free(struct sent *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        op_free(s->ops[i]);
    buf_free(&s->frame);
    free(s);
}

void records_destroy(struct records **self_p)
{
    struct records *r = *self_p;
    struct op *op, *next;
    struct sent *s, *after;

    if (!r)
        return;
    DL_FOREACH_SAFE (r->queue, op, next)
        op_free(op);
    DL_FOREACH_SAFE (r->sent, s, after)
        sent_free(s);
    buf_free(&r->spare);
    free(r);
    *self_p = NULL;
}

void records_add(struct records *r, struct op *op)
{
    DL_APPEND(r->queue, op);
    r->queued++;
    r->queued_bytes += op_bytes(op);
}

void records_backoff(struct records *r, const struct wire *w)
{
    r->backoff_ms = r->backoff_ms ? 2 * r->backoff_ms : BACKOFF_FIRST_MS;
    if (r->backoff_ms > BACKOFF_MAX_MS)
        r->backoff_ms = BACKOFF_MAX_MS;
    r->again_ms = w->now_ms + r->backoff_ms;
}

static void transmit(struct sent *s, struct wire *w)
{
    if (connection_send(w->connection, buf_bytes(&s->frame)) == 0)
        s->copies++;
    s->sent_ms = w->now_ms;
}

static void transmit_all(struct records *r, struct wire *w)
{
    struct sent *s;

    r->again_ms = 0;
    DL_FOREACH (r->sent, s)
        transmit(s, w);
}

/* --- Opening a session ---------------------------------------------------- */

static int session_begin(struct records *r, struct wire *w)
{
    struct bundle_facts facts = {.kind = BUNDLE_RECORD,
                                 .public_key = w->id->key.public_key};
    struct buf frame = {0};
    struct msg m;
    struct op *op;
    int e;

    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &w->challenge);
    op = op_new(0, &m);
    e = op ? wire_sign(w, &facts, op, 1, &frame, &r->opening) : -ENOMEM;
    if (!e)
        connection_send(w->connection, buf_bytes(&frame));
    op_free(op);
    buf_free(&frame);
    r->state = SESSION_OPENING;
    r->opening_ms = w->now_ms;
    r->again_ms = 0;
    return e;
}

void records_take_ops(struct sent *s, struct op **list)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            DL_APPEND(*list, s->ops[i]);
        s->ops[i] = NULL;
    }
}

void records_requeue(struct records *r, struct op *ops)
{
    struct op *op;

    DL_FOREACH (ops, op) {
        r->queued++;
        r->queued_bytes += op_bytes(op);
    }
    DL_CONCAT(ops, r->queue);
    r->queue = ops;
}

static void frame_spare(struct records *r, struct sent *s)
{
    if (r->spare.p || s->frame.cap > FRAME_KEPT)
        return;
    r->spare = s->frame;
    buf_clear(&r->spare);
    s->frame = (struct buf){0};
}

void records_drop(struct records *r, struct sent *s)
{
    DL_DELETE(r->sent, s);
    r->under_way--;
    r->unanswered -= s->left;
    frame_spare(r, s);
    sent_free(s);
}

/* May s have been accepted without our knowing? Within one connection answers
 * come in order, so only a copy on an earlier one may. */
static void fate_of(struct records *r, struct wire *w, struct sent *s,
                    struct op **again)
{
    struct op *ops = NULL, *op, *next;

    records_take_ops(s, &ops);
    DL_FOREACH_SAFE (ops, op, next) {
        DL_DELETE(ops, op);
        if (s->elsewhere && !r->draining && !op->has_id) {
            wire_outcome(w, op, MSG_DONE, CHOIR_OUTCOME_UNKNOWN, 0, NULL,
                         "OUTCOME_UNKNOWN: the session ended before the "
                         "outcome arrived; look, or use an operation id");
            continue;
        }
        op->again |= s->elsewhere;
        DL_APPEND(*again, op);
    }
}

void records_session_over(struct records *r, struct wire *w)
{
    struct op *again = NULL;

    while (r->sent) {
        fate_of(r, w, r->sent, &again);
        records_drop(r, r->sent);
    }
    records_requeue(r, again);
    r->session = 0;
    r->draining = false;
    r->state = SESSION_NONE;
    r->again_ms = w->now_ms;
}

void records_welcome(struct records *r, struct wire *w)
{
    struct sent *s;

    /* Numbers about to be given anew, and copies on a connection that is
     * gone: the two must not meet. */
    if (r->draining)
        records_session_over(r, w);
    if (!r->session) {
        session_begin(r, w);
        return;
    }
    DL_FOREACH (r->sent, s) {
        s->elsewhere |= s->copies > 0;
        s->copies = 0;
    }
    r->state = SESSION_OPEN;
    transmit_all(r, w);
}

void records_lost(struct records *r)
{
    r->state = SESSION_NONE;
    r->again_ms = 0;
}

/* --- Sending -------------------------------------------------------------- */

static bool may_send(const struct records *r)
{
    return r->state == SESSION_OPEN && !r->draining && !r->again_ms && r->queue;
}

static bool worth_sending(const struct records *r)
{
    return may_send(r) && r->under_way < BUNDLES_UNDER_WAY &&
           wire_worth(r->queued, r->queued_bytes, r->unanswered);
}

/* What was put in while others were under way, and is fewer than those who
 * hear of them now may put in, goes along with that. Else bundles that were
 * parted once, one of them a shred, would stay so for good. */
static bool is_kept(const struct records *r)
{
    return r->unanswered == 0 && r->queued <= r->told && r->queued < KEPT_OPS &&
           r->queued_bytes < BUNDLE_BYTES_WORTH;
}

static int send_bundle(struct records *r, struct wire *w)
{
    size_t count = wire_share(w, r->queue);
    struct sent *s = calloc(1, sizeof *s + count * sizeof s->ops[0]);
    struct bundle_facts facts = {.kind = BUNDLE_RECORD,
                                 .session = r->session,
                                 .first_seq = r->next_seq,
                                 .prev_hash = r->last,
                                 .answered = r->answered};

    if (!s)
        return -ENOMEM;
    s->before = r->last;
    s->frame = r->spare;
    r->spare = (struct buf){0};
    if (wire_sign(w, &facts, r->queue, count, &s->frame, &r->last)) {
        sent_free(s);
        return -ENOMEM;
    }
    s->first_seq = r->next_seq;
    s->count = s->left = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        struct op *op = r->queue;

        DL_DELETE(r->queue, op);
        r->queued_bytes -= op_bytes(op);
        s->ops[i] = op;
    }
    r->queued -= count;
    r->unanswered += count;
    r->next_seq += count;
    DL_APPEND(r->sent, s);
    r->under_way++;
    transmit(s, w);
    return 0;
}

static bool silent(const struct records *r, int64_t now_ms)
{
    if (r->state == SESSION_OPENING)
        return now_ms - r->opening_ms >= SILENCE_MS;
    return r->state == SESSION_OPEN && r->sent && !r->again_ms &&
           now_ms - r->sent->sent_ms >= SILENCE_MS;
}

int records_pump(struct records *r, struct wire *w)
{
    int e = 0;

    if (silent(r, w->now_ms))
        w->reconnect = true;
    if (r->again_ms && w->now_ms >= r->again_ms) {
        if (r->state == SESSION_OPEN)
            transmit_all(r, w);
        else if (connection_state(w->connection) == CONNECTION_UP)
            e = session_begin(r, w);
    }
    r->keeps = worth_sending(r) && is_kept(r);
    r->told = 0;
    while (!e && !r->keeps && worth_sending(r))
        e = send_bundle(r, w);
    return e;
}

int records_rest(struct records *r, struct wire *w)
{
    int e = 0;

    while (!e && may_send(r))
        e = send_bundle(r, w);
    return e;
}

bool records_owed(const struct records *r)
{
    return r->sent != NULL;
}

bool records_asked(const struct records *r)
{
    return r->sent && !r->again_ms;
}

bool records_keep(const struct records *r)
{
    return r->keeps;
}

int64_t records_deadline_ms(const struct records *r)
{
    if (r->again_ms)
        return r->again_ms;
    if (r->state == SESSION_OPENING)
        return r->opening_ms + SILENCE_MS;
    if (r->state == SESSION_OPEN && r->sent)
        return r->sent->sent_ms + SILENCE_MS;
    return -1;
}

void records_fail(struct records *r, struct wire *w, int code, const char *line)
{
    struct op *ops = NULL, *op, *next;

    while (r->sent) {
        records_take_ops(r->sent, &ops);
        records_drop(r, r->sent);
    }
    DL_CONCAT(ops, r->queue);
    r->queue = NULL;
    r->queued = r->queued_bytes = 0;
    r->keeps = false;
    DL_FOREACH_SAFE (ops, op, next) {
        DL_DELETE(ops, op);
        wire_outcome(w, op, MSG_DONE, code, 0, NULL, line);
    }
}

uint64_t records_session(const struct records *r)
{
    return r->state == SESSION_OPEN ? r->session : 0;
}

int records_trouble(const struct records *r)
{
    return r->trouble;
}

uint64_t records_answered(const struct records *r)
{
    return r->answered;
}

void records_close(struct records *r, struct wire *w)
{
    struct bundle_facts facts = {.kind = BUNDLE_RECORD,
                                 .session = r->session,
                                 .first_seq = r->next_seq,
                                 .prev_hash = r->last,
                                 .answered = r->answered};
    struct buf frame = {0};
    struct hash hash;
    struct msg m;
    struct op *op;

    if (r->state != SESSION_OPEN)
        return;
    msg_init(&m, MSG_SESSION_CLOSE);
    op = op_new(0, &m);
    if (op && !wire_sign(w, &facts, op, 1, &frame, &hash))
        connection_send(w->connection, buf_bytes(&frame));
    op_free(op);
    buf_free(&frame);
}
