/* See records.h for the one rule that is not obvious. */
#include "records.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "error.h"
#include "proto/refusal.h"

enum state { SESSION_NONE, SESSION_OPENING, SESSION_OPEN };

/* A bundle on its way. */
struct sent {
    struct sent *prev, *next;
    uint64_t first_seq;
    struct hash before; /* the bundle in front of it */
    struct buf frame;
    unsigned copies; /* sent on this connection and not accounted for */
    bool elsewhere;  /* a copy went over an earlier connection */
    int64_t sent_ms;
    uint32_t count, left;
    struct op *ops[]; /* owned; NULL: answered */
};

struct records {
    enum state state;
    uint64_t session, next_seq, answered;
    struct hash last; /* newest bundle of the session */
    struct op *queue; /* not signed yet */
    size_t queued, queued_bytes;
    struct sent *sent; /* in order */
    unsigned under_way;
    bool draining;       /* what is in `sent` will be signed anew */
    int64_t again_ms;    /* when to send or open again; 0: not planned */
    int64_t backoff_ms;  /* before that */
    int64_t opening_ms;  /* since when SESSION_OPENING */
    struct hash opening; /* the bundle that asks for the session */
    int trouble;
};

enum { BACKOFF_FIRST_MS = 2, BACKOFF_MAX_MS = 1000 };

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
    free(r);
    *self_p = NULL;
}

void records_add(struct records *r, struct op *op)
{
    DL_APPEND(r->queue, op);
    r->queued++;
    r->queued_bytes += op_bytes(op);
}

static void backoff(struct records *r, const struct wire *w)
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

static void session_opened(struct records *r, uint64_t session)
{
    r->state = SESSION_OPEN;
    r->session = session;
    r->next_seq = 1;
    r->answered = 0;
    r->last = r->opening;
    r->backoff_ms = 0;
    r->trouble = 0;
}

/* Move the operations of s that have no outcome into a list. */
static void take_ops(struct sent *s, struct op **list)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            DL_APPEND(*list, s->ops[i]);
        s->ops[i] = NULL;
    }
}

/* Put them in front of the queue, in order. */
static void requeue(struct records *r, struct op *ops)
{
    struct op *op;

    DL_FOREACH (ops, op) {
        r->queued++;
        r->queued_bytes += op_bytes(op);
    }
    DL_CONCAT(ops, r->queue);
    r->queue = ops;
}

static void drop_sent(struct records *r, struct sent *s)
{
    DL_DELETE(r->sent, s);
    r->under_way--;
    sent_free(s);
}

/* May s have been accepted without our knowing? Within one connection answers
 * come in order, so only a copy on an earlier one may. */
static void fate_of(struct records *r, struct wire *w, struct sent *s,
                    struct op **again)
{
    struct op *ops = NULL, *op, *next;

    take_ops(s, &ops);
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
        drop_sent(r, r->sent);
    }
    requeue(r, again);
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

/* --- Outcomes ------------------------------------------------------------- */

static struct sent *sent_with(struct records *r, uint64_t seq)
{
    struct sent *s;

    DL_FOREACH (r->sent, s)
        if (seq >= s->first_seq && seq - s->first_seq < s->count)
            return s;
    return NULL;
}

/* Said twice under one operation id: the first outcome is the one. */
static void repeated(struct wire *w, struct op *op, const struct msg *item)
{
    struct msg effect;
    unsigned field;

    if (part_decode(MSG_EFFECT, msg_b(item, FIELD_EFFECT), &effect, &field)) {
        wire_outcome(w, op, MSG_DONE, CHOIR_REPEATED, 0, item, NULL);
        return;
    }
    wire_outcome(w, op, MSG_DONE, (int)msg_u(&effect, FIELD_OUTCOME),
                 msg_u(&effect, FIELD_REVISION), NULL, NULL);
}

/* item: NULL when there is nothing to tell but the revision. */
static void done(struct records *r, struct wire *w, uint64_t seq, int code,
                 uint64_t revision, const struct msg *item)
{
    struct sent *s = sent_with(r, seq);
    struct op *op = s ? s->ops[seq - s->first_seq] : NULL;

    if (!op)
        return; /* told a second time */
    s->ops[seq - s->first_seq] = NULL;
    s->left--;
    op->number = seq;
    if (code == CHOIR_REPEATED && op->again && item)
        repeated(w, op, item);
    else
        wire_outcome(w, op, MSG_DONE, code, revision, item, NULL);
    while (r->sent && r->sent->left == 0) {
        r->answered = r->sent->first_seq + r->sent->count - 1;
        drop_sent(r, r->sent);
    }
    r->backoff_ms = 0;
    r->trouble = 0;
}

static int opening_done(struct records *r, struct wire *w, int code,
                        uint64_t revision)
{
    if (code == 0) {
        session_opened(r, revision);
        return 0;
    }
    (void)w;
    return error_set(code, 0, "what=session: the broker opens no session: %s",
                     refusal_sentence(code));
}

static int done_item(struct records *r, struct wire *w, const struct msg *item)
{
    uint64_t seq = msg_u(item, FIELD_SEQ);
    int code = (int)msg_u(item, FIELD_OUTCOME);
    uint64_t revision = msg_u(item, FIELD_REVISION);

    if (seq == 0)
        return r->state == SESSION_OPENING ? opening_done(r, w, code, revision)
                                           : 0;
    done(r, w, seq, code, revision, msg_has(item, FIELD_EFFECT) ? item : NULL);
    return 0;
}

static int done_all_item(struct records *r, struct wire *w,
                         const struct msg *item)
{
    uint64_t first = msg_u(item, FIELD_FIRST_SEQ);
    uint64_t revision = msg_u(item, FIELD_REVISION);
    uint64_t count = msg_u(item, FIELD_COUNT);

    if (first == 0)
        return r->state == SESSION_OPENING
                   ? opening_done(r, w, 0, revision + count - 1)
                   : 0;
    if (count > LIMIT_BUNDLE_OPS)
        return 0;
    for (uint64_t i = 0; i < count; i++)
        done(r, w, first + i, 0, revision + i, NULL);
    return 0;
}

/* --- Turned away ---------------------------------------------------------- */

/* Everything behind the refused bundle has been turned away too: its numbers
 * are free, and so are theirs. */
static void sign_anew(struct records *r)
{
    struct op *again = NULL;

    r->next_seq = r->sent->first_seq;
    r->last = r->sent->before;
    while (r->sent) {
        take_ops(r->sent, &again);
        drop_sent(r, r->sent);
    }
    requeue(r, again);
    r->draining = false;
    r->again_ms = 0;
}

static bool accounted_for(const struct records *r)
{
    const struct sent *s;

    DL_FOREACH (r->sent, s)
        if (s->copies)
            return false;
    return true;
}

static bool definite(const struct sent *s)
{
    for (; s; s = s->next)
        if (s->elsewhere)
            return false;
    return true;
}

static void refuse(struct records *r, struct wire *w, struct sent *s,
                   const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            wire_outcome(w, s->ops[i], MSG_DONE, code, 0, item, NULL);
        s->ops[i] = NULL;
    }
    r->draining = true;
    if (accounted_for(r))
        sign_anew(r);
}

/* The whole bundle was refused. Its operations are told so if no copy of it
 * can be accepted any more; otherwise the same bytes go out again. */
static void refused(struct records *r, struct wire *w, struct sent *s,
                    const struct msg *item)
{
    r->trouble = (int)msg_u(item, FIELD_OUTCOME);
    if (s == r->sent && s->copies == 0 && definite(s))
        refuse(r, w, s, item);
    else
        backoff(r, w);
}

static int fatal(const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    return error_set(
        code, 0, "what=bundle: %s%s%.*s", refusal_sentence(code),
        msg_has(item, FIELD_TEXT) ? ": " : "", (int)msg_b(item, FIELD_TEXT).n,
        msg_has(item, FIELD_TEXT) ? (const char *)msg_b(item, FIELD_TEXT).p
                                  : "");
}

static int opening_away(struct records *r, struct wire *w,
                        const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    if (r->state != SESSION_OPENING)
        return 0;
    switch (code) {
    case CHOIR_READ_ONLY:
    case CHOIR_BUSY:
    case CHOIR_RATE:
        r->trouble = code;
        r->state = SESSION_NONE;
        backoff(r, w);
        return 0;
    case CHOIR_EPOCH_CHANGED: /* the answer's header told the new one */
        r->state = SESSION_NONE;
        r->again_ms = w->now_ms;
        return 0;
    case CHOIR_BAD_CHALLENGE: w->reconnect = true; return 0;
    default: return fatal(item);
    }
}

/* The bytes of this bundle are refused for what they are: never again. */
static void abandon(struct records *r, struct wire *w, struct sent *s, int code,
                    const char *line)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            wire_outcome(w, s->ops[i], MSG_DONE, code, 0, NULL, line);
        s->ops[i] = NULL;
    }
    records_session_over(r, w);
}

static int judge(struct records *r, struct wire *w, struct sent *s,
                 const struct msg *item)
{
    switch (msg_u(item, FIELD_OUTCOME)) {
    case CHOIR_BUSY:
        r->trouble = CHOIR_BUSY;
        backoff(r, w);
        return 0;
    case CHOIR_SEQ_GAP:
        if (!r->again_ms)
            backoff(r, w);
        return 0;
    case CHOIR_READ_ONLY:
    case CHOIR_RATE:
    case CHOIR_TOO_LARGE: refused(r, w, s, item); return 0;
    case CHOIR_SESSION_ENDED:
    case CHOIR_EPOCH_CHANGED: records_session_over(r, w); return 0;
    case CHOIR_MALFORMED: abandon(r, w, s, CHOIR_MALFORMED, NULL); return 0;
    case CHOIR_ANSWERED:
    case CHOIR_EQUIVOCATION:
        abandon(r, w, s, CHOIR_OUTCOME_UNKNOWN,
                "OUTCOME_UNKNOWN: the broker and the library disagree about "
                "this session");
        return 0;
    default: return fatal(item);
    }
}

static int turned_away(struct records *r, struct wire *w,
                       const struct msg *item)
{
    uint64_t session = msg_u(item, FIELD_SESSION);
    struct sent *s;

    if (session == 0)
        return opening_away(r, w, item);
    if (session != r->session)
        return 0;
    s = sent_with(r, msg_u(item, FIELD_FIRST_SEQ));
    if (!s || s->first_seq != msg_u(item, FIELD_FIRST_SEQ))
        return 0;
    if (s->copies)
        s->copies--;
    if (r->draining) {
        if (accounted_for(r))
            sign_anew(r);
        return 0;
    }
    return judge(r, w, s, item);
}

int records_item(struct records *r, struct wire *w, const struct msg *item)
{
    switch (item->verb) {
    case MSG_DONE: return done_item(r, w, item);
    case MSG_DONE_ALL: return done_all_item(r, w, item);
    case MSG_TURNED_AWAY: return turned_away(r, w, item);
    case MSG_SESSION_OVER:
        /* With bundles under way their turn-aways follow and say more. */
        if (msg_u(item, FIELD_SESSION) == r->session && !r->sent)
            records_session_over(r, w);
        return 0;
    default: return 0;
    }
}

/* --- Sending -------------------------------------------------------------- */

static bool worth_sending(const struct records *r)
{
    return r->state == SESSION_OPEN && !r->draining && !r->again_ms &&
           r->queue && r->under_way < BUNDLES_UNDER_WAY &&
           (r->under_way == 0 || r->queued >= BUNDLE_OPS_WORTH ||
            r->queued_bytes >= BUNDLE_BYTES_WORTH);
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
    while (!e && worth_sending(r))
        e = send_bundle(r, w);
    return e;
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
        take_ops(r->sent, &ops);
        drop_sent(r, r->sent);
    }
    DL_CONCAT(ops, r->queue);
    r->queue = NULL;
    r->queued = r->queued_bytes = 0;
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

bool records_idle(const struct records *r)
{
    return !r->queue && !r->sent;
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
