/* Sending, waiting, taking. Nothing here knows the protocol. */
#include "handle.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "error.h"
#include "late.h"
#include "process.h"
#include "proto/refusal.h"
#include "using.h"

enum {
    TAP_CREDIT = 256,
    REQUEST_BYTES = 256, /* what keeping one costs besides its bytes */
    SPARE_MAX = 256,     /* requests whose memory is kept */
};

int handle_check(const struct choir *c)
{
    if (c && c->process == process_mark())
        return 0;
    return error_set(CHOIR_CLOSED, 0,
                     c ? "what=fork: this handle belongs to the process that "
                         "opened it; open another one after fork"
                       : "what=handle: there is none");
}

struct entry *handle_entry(struct choir *c, uint64_t id)
{
    struct entry *e;

    HASH_FIND(hh, c->entries, &id, sizeof id, e);
    return e;
}

/* --- The queue for choir_next --------------------------------------------- */

void handle_ready(struct choir *c, bool ready)
{
    uint64_t count = 1;

    if (!c->wants_fd)
        return;
    if (ready ? write(c->ready_fd, &count, sizeof count) < 0
              : read(c->ready_fd, &count, sizeof count) < 0)
        return; /* an eventfd takes a one, and gives it back */
}

static void queue_add(struct choir *c, struct choir_event *e)
{
    if (!c->queue && !c->ended)
        handle_ready(c, true);
    DL_APPEND2(c->queue, e, all_prev, all_next);
    e->queued = true;
    c->queued++;
}

static void queue_remove(struct choir *c, struct choir_event *e)
{
    if (!e->queued)
        return;
    DL_DELETE2(c->queue, e, all_prev, all_next);
    e->queued = false;
    c->queued--;
    if (!c->queue && !c->ended)
        handle_ready(c, false);
}

/* --- Entries -------------------------------------------------------------- */

static void outcome_note(struct choir *c, struct entry *e)
{
    if (e->has_outcome)
        return;
    e->has_outcome = true;
    c->unanswered--;
}

void handle_give_back(struct choir *c, const struct choir_event *event)
{
    const struct msg *task =
        event->kind == MSG_TASK ? event_message(event) : NULL;
    struct op *op;
    struct msg m;

    if (!task || !leases_held(c->leases, msg_u(task, FIELD_TOKEN)))
        return;
    msg_init(&m, MSG_NAK);
    msg_set_u(&m, FIELD_TASK, msg_u(task, FIELD_TASK));
    msg_set_u(&m, FIELD_TOKEN, msg_u(task, FIELD_TOKEN));
    msg_set_text(&m, FIELD_REASON, "the worker had stopped asking");
    op = op_new(0, &m);
    if (op)
        (void)intake_op(&c->intake, op, false);
    intake_wake(&c->intake);
}

void handle_changed(struct choir *c)
{
    if (c->waiting || c->dozing)
        pthread_cond_broadcast(&c->changed);
    if (c->is_driven && !c->is_poked) {
        c->is_poked = true;
        intake_wake(&c->intake);
    }
}

static void entry_spare(struct choir *c, struct entry *e)
{
    if (c->entries_spared == SPARE_MAX) {
        free(e);
        return;
    }
    LL_PREPEND(c->entries_spare, e);
    c->entries_spared++;
}

static struct entry *entry_get(struct choir *c)
{
    struct entry *e = c->entries_spare;

    if (!e)
        return calloc(1, sizeof *e);
    LL_DELETE(c->entries_spare, e);
    c->entries_spared--;
    *e = (struct entry){0};
    return e;
}

void handle_spare(struct choir *c, struct op **ops)
{
    struct op *op;

    while ((op = *ops)) {
        LL_DELETE(*ops, op);
        if (c->ops_spared == SPARE_MAX) {
            op_free(op);
            continue;
        }
        LL_PREPEND(c->ops_spare, op);
        c->ops_spared++;
    }
}

static struct op *op_get(struct choir *c)
{
    struct op *op = c->ops_spare;

    if (!op)
        return calloc(1, sizeof *op);
    LL_DELETE(c->ops_spare, op);
    c->ops_spared--;
    return op;
}

static void entry_free(struct choir *c, struct entry *e)
{
    struct choir_event *event, *next;

    outcome_note(c, e);
    if (c->late)
        late_drop(c, e->id);
    HASH_DEL(c->entries, e);
    c->in_flight -= e->bytes;
    DL_FOREACH_SAFE (e->events, event, next) {
        queue_remove(c, event);
        handle_give_back(c, event);
        choir_event_free(&event);
    }
    entry_spare(c, e);
    handle_changed(c);
}

void handle_deliver(struct choir *c, struct choir_event *event)
{
    struct entry *e =
        event->entry ? event->entry : handle_entry(c, event->request);
    bool last = event->last;

    if (!e) {
        handle_give_back(c, event);
        choir_event_free(&event);
        return;
    }
    outcome_note(c, e);
    if (e->is_forgotten) {
        choir_event_free(&event);
        if (last)
            entry_free(c, e);
        return;
    }
    if (event->kind == MSG_MOVED && e->is_reserved) {
        choir_event_free(&event); /* choir_moved tells of it */
        return;
    }
    if (event->kind == MSG_TASK && e->outstanding)
        e->outstanding--;
    event->entry = e;
    DL_APPEND(e->events, event);
    if (!e->is_reserved)
        queue_add(c, event);
}

bool handle_publish(struct choir *c, struct choir_event **events)
{
    struct choir_event *e, *next;
    unsigned told = c->queued;

    if (!*events)
        return false;
    DL_FOREACH_SAFE (*events, e, next) {
        DL_DELETE(*events, e);
        if (!c->replicas || !late_take(c, e))
            handle_deliver(c, e);
    }
    intake_told(&c->intake, c->queued - told);
    return true;
}

/* Room for the broker to send more of a watch. */
static void taken_note(struct choir *c, struct entry *e,
                       const struct choir_event *event)
{
    uint64_t more;

    if (event->kind != MSG_CHANGE && event->kind != MSG_ENTRY &&
        event->kind != MSG_MESSAGE)
        return;
    more = window_take(&e->window, event->raw.n);
    if (more) /* 0 would ask how far it has come */
        intake_credit(&c->intake, e->id, (int64_t)more, CREDIT_NOW);
}

struct choir_event *handle_take(struct choir *c, struct entry *e)
{
    struct choir_event *event = e->events;

    DL_DELETE(e->events, event);
    queue_remove(c, event);
    intake_taken(&c->intake);
    taken_note(c, e, event);
    if (event->last)
        entry_free(c, e);
    return event;
}

/* --- Sending -------------------------------------------------------------- */

/* What the library fills in for requests that go on. elastic: of its window. */
static void defaults(struct choir_request *r, bool *elastic)
{
    enum message verb = request_verb(r);
    bool watches = verb == MSG_WATCH || verb == MSG_TAP;
    bool inbox = verb == MSG_INBOX;

    *elastic = (verb == MSG_WATCH || inbox) && !request_has(r, FIELD_CREDIT);
    if (watches || inbox)
        choir_request_uint(r, "watch", 0);
    if (watches && !request_has(r, FIELD_REVISION))
        choir_request_uint(r, "revision", revision_now(verb));
    if (verb == MSG_WATCH && !request_has(r, FIELD_PREFIX))
        choir_request_text(r, "prefix", "");
    if ((watches || inbox || verb == MSG_WORK) && !request_has(r, FIELD_CREDIT))
        choir_request_uint(r, "credit",
                           verb == MSG_WATCH || inbox ? WINDOW_FIRST
                           : verb == MSG_TAP          ? TAP_CREDIT
                                                      : 1);
}

static bool stands(enum message verb)
{
    return verb == MSG_WATCH || verb == MSG_TAP || verb == MSG_WORK ||
           verb == MSG_AWAIT || verb == MSG_INBOX;
}

static uint64_t credit_of(const struct op *op)
{
    struct msg m;

    if (!stands(op->verb) || op->verb == MSG_AWAIT)
        return 0;
    op_decode(op, &m);
    return msg_u(&m, FIELD_CREDIT);
}

static int room_wait(struct choir *c, size_t bytes, int timeout_ms)
{
    struct sleep s = handle_sleep_begin(c, timeout_ms);

    while (!c->ended && c->in_flight &&
           c->in_flight + bytes > c->in_flight_max) {
        int r = handle_sleep(c, &s);

        if (r == CHOIR_TIMEOUT || r == CHOIR_UNREACHABLE)
            return error_set(CHOIR_BUSY, 0,
                             "in_flight_bytes=%zu limit=%zu: fetch events, "
                             "or wait until the broker has answered",
                             c->in_flight + bytes, c->in_flight_max);
        if (r)
            return r;
    }
    return c->ended ? handle_ended(c) : 0;
}

/* Under way from here on. Takes *event; the request is good only to be
 * freed. */
static int entry_add(struct choir *c, struct choir_request *r,
                     struct choir_event **event, bool reserved, bool elastic,
                     uint64_t *id)
{
    struct entry *e = entry_get(c);
    struct op *op = op_get(c);

    if (!e || !op) {
        free(e);
        op_free(op);
        return error_set(-ENOMEM, 0, NULL);
    }
    e->bytes = request_bytes(r) + REQUEST_BYTES;
    request_give(r, op);
    op->event = *event;
    if (op->event) /* it will be its only one, so the entry is there then */
        op->event->entry = e;
    *event = NULL;
    e->id = op->id = *id = ++c->last_id;
    e->verb = op->verb;
    e->is_reserved = reserved;
    e->outstanding = credit_of(op);
    e->window = (struct window){e->outstanding, .is_elastic = elastic};
    HASH_ADD(hh, c->entries, id, sizeof e->id, e);
    c->in_flight += e->bytes;
    c->unanswered++;
    /* for work nobody waits right after */
    if (intake_op(&c->intake, op, reserved && op->verb != MSG_WORK))
        engine_look(c);
    return 0;
}

static int size_check(const struct choir *c, const struct choir_request *r)
{
    uint64_t size = request_bytes(r) + LIMIT_HEADER_BYTES;

    if (size <= c->bundle_bytes_max)
        return 0;
    return error_set(CHOIR_TOO_LARGE, 0,
                     "verb=%s size=%llu limit=%llu: one operation must fit "
                     "into a bundle; split it",
                     message_row(request_verb(r))->name,
                     (unsigned long long)size,
                     (unsigned long long)c->bundle_bytes_max);
}

int handle_send(struct choir *c, struct choir_request **request, int timeout_ms,
                bool reserved, uint64_t *id)
{
    struct choir_event *event;
    bool elastic;
    int r;

    defaults(*request, &elastic);
    r = using_fill(c, *request);
    if (!r)
        r = request_encode(*request, c->space);
    if (r)
        return r;
    event = stands(request_verb(*request)) ? NULL : event_blank();
    pthread_mutex_lock(&c->lock);
    r = size_check(c, *request);
    if (!r)
        r = room_wait(c, request_bytes(*request) + REQUEST_BYTES, timeout_ms);
    if (!r)
        r = entry_add(c, *request, &event, reserved, elastic, id);
    pthread_mutex_unlock(&c->lock);
    choir_event_free(&event);
    if (!r)
        choir_request_free(request);
    return r;
}

int choir_send(struct choir *c, struct choir_request **r, int timeout_ms,
               uint64_t *request)
{
    int e = handle_check(c);

    return e ? e : handle_send(c, r, timeout_ms, false, request);
}

void handle_release(struct choir *c, uint64_t request)
{
    struct choir_event *event;
    struct entry *e;

    pthread_mutex_lock(&c->lock);
    e = handle_entry(c, request);
    if (e) {
        e->is_reserved = false;
        DL_FOREACH (e->events, event)
            queue_add(c, event);
    }
    pthread_mutex_unlock(&c->lock);
}

void handle_forget(struct choir *c, uint64_t request)
{
    struct entry *e;

    pthread_mutex_lock(&c->lock);
    e = handle_entry(c, request);
    if (e && stands(e->verb)) {
        intake_cancel(&c->intake, request);
        entry_free(c, e);
    } else if (e && e->events && e->events->last) {
        entry_free(c, e);
    } else if (e) {
        e->is_forgotten = true;
    }
    pthread_mutex_unlock(&c->lock);
}

int handle_unknown(uint64_t request)
{
    return error_set(CHOIR_NOT_FOUND, 0,
                     "request=%llu: there is none by that number, or its "
                     "last event was taken",
                     (unsigned long long)request);
}

int choir_cancel(struct choir *c, uint64_t request)
{
    bool there;
    int r = handle_check(c);

    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    there = handle_entry(c, request) != NULL;
    pthread_mutex_unlock(&c->lock);
    if (!there)
        return handle_unknown(request);
    handle_forget(c, request);
    return 0;
}

int choir_credit(struct choir *c, uint64_t request, int64_t more)
{
    struct entry *e;
    int r = handle_check(c);

    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    e = handle_entry(c, request);
    if (!e || e->verb != MSG_WORK)
        r = handle_unknown(request);
    else {
        e->outstanding = more < 0 ? 0 : e->outstanding + (uint64_t)more;
        intake_credit(&c->intake, request, more, CREDIT_ANSWERS);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}
