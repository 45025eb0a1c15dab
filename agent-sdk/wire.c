/* Signing and telling. */
#include "wire.h"

#include <errno.h>
#include <time.h>
#include <utlist.h>

#include "proto/refusal.h"
#include "reads_hear.h"
#include "slots.h"

void wire_disown_events(struct wire *w, int code, const char *line)
{
    struct choir_event *e, *next;

    DL_FOREACH_SAFE (w->events, e, next) {
        if (!e->last) {
            DL_DELETE(w->events, e);
            choir_event_free(&e);
            continue;
        }
        e->code = code;
        e->revision = 0;
        buf_clear(&e->raw);
        event_line(e, line);
    }
}

void wire_free(struct wire *w)
{
    struct choir_event *e, *next;
    struct op *op, *more;

    DL_FOREACH_SAFE (w->events, e, next)
        choir_event_free(&e);
    growth_free(&w->growth);
    DL_FOREACH_SAFE (w->records, op, more)
        op_free(op);
    LL_FOREACH_SAFE (w->spare, op, more)
        op_free(op);
    verifier_free(&w->verifier);
    bundle_writer_free(&w->writer);
    buf_free(&w->labels);
}

size_t wire_share(const struct wire *w, const struct op *queue)
{
    size_t usual = BUNDLE_BYTES_USUAL, n = 0, bytes = 0;

    if (w->bytes_max && w->bytes_max < usual)
        usual = (size_t)w->bytes_max;
    for (const struct op *op = queue; op; op = op->next) {
        bytes += op_bytes(op) + 4;
        if (n && (bytes + LIMIT_HEADER_BYTES > usual || n == w->ops_max ||
                  n == LIMIT_BUNDLE_OPS))
            break;
        n++;
    }
    return n;
}

static uint64_t time_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* What we have been shown goes into the record under our signature, so that
 * whoever was shown another ledger finds out by it. */
static const struct hash *head_to_carry(struct wire *w)
{
    const struct checkpoint *seen = &w->verifier.seen;

    if (seen->size == w->carried || w->growth.before.size ||
        (w->carried && w->now_ms - w->carried_ms < CARRY_MS))
        return NULL;
    w->carried = seen->size;
    w->carried_ms = w->now_ms;
    return &seen->root;
}

int wire_sign(struct wire *w, struct bundle_facts *facts, struct op *ops,
              size_t count, struct buf *frame, struct hash *hash)
{
    const struct checkpoint *seen = &w->verifier.seen;

    slots_hash(ops, count);
    bundle_begin(&w->writer);
    for (; count > 0; count--, ops = ops->next) {
        if (bundle_lend(&w->writer, buf_bytes(&ops->head),
                        buf_bytes(&ops->payload)))
            return -ENOMEM;
    }
    facts->ledger = w->id->broker.ledger;
    facts->agent = w->id->agent;
    facts->epoch = seen->epoch;
    facts->seen = seen->size ? seen->size - 1 : 0;
    if (facts->kind == BUNDLE_RECORD)
        facts->seen_root = head_to_carry(w);
    facts->time = time_us();
    facts->labels = buf_bytes(&w->labels);
    facts->label_count = w->label_count;
    return bundle_finish(&w->writer, facts, &w->id->key, frame, hash);
}

/* A task that was finished, or is not ours any more, needs no heartbeat. */
static void lease_settle(struct wire *w, const struct op *op, int code,
                         const struct msg *item)
{
    bool ends =
        code == CHOIR_OK || code == CHOIR_TERMINAL || code == CHOIR_NOT_FOUND;

    switch (op->verb) {
    case MSG_COMPLETE: ends |= code == CHOIR_STALE && stale_ended(item); break;
    case MSG_FAIL:
    case MSG_NAK: break;
    case MSG_HEED: ends &= code != CHOIR_OK || op_abandons(op); break;
    default: ends = false;
    }
    if (!ends && code != CHOIR_FENCED)
        return;
    leases_drop(w->leases, op->token, NULL);
    reads_end(w->reads, op->token);
}

/* What came is copied; only what we made of it is encoded. */
static int keep(const struct wire *w, struct choir_event *e,
                const struct msg *item)
{
    return item == w->heard ? event_keep_bytes(e, w->heard_raw)
                            : event_keep(e, item);
}

static struct choir_event *outcome_event(const struct wire *w, struct op *op,
                                         enum message kind, int code,
                                         const struct msg *item)
{
    struct choir_event *e = op->event ? op->event : event_blank();

    op->event = NULL;
    if (e)
        event_set(e, op->id, op->verb, kind, code);
    if (e && item && keep(w, e, item))
        choir_event_free(&e);
    return e;
}

void wire_outcome(struct wire *w, struct op *op, enum message kind, int code,
                  uint64_t revision, const struct msg *item, const char *line)
{
    struct choir_event *e = NULL;

    if (op->token) {
        reads_hear(w->reads, op, code, revision, item);
        lease_settle(w, op, code, item);
    }
    if (op->id)
        e = outcome_event(w, op, kind, code, item);
    if (e) {
        e->last = true;
        e->revision = revision;
        if (kind == MSG_DONE)
            e->seq = op->number;
        if (line)
            event_line(e, line);
        if (code) {
            e->subject = op->head;
            op->head = (struct buf){0};
        }
        DL_APPEND(w->events, e);
    }
    op_reset(op);
    LL_PREPEND(w->spare, op);
}

void wire_event(struct wire *w, uint64_t request, enum message verb,
                const struct msg *item, int code, bool last)
{
    struct choir_event *e = event_new(request, verb, item->verb, code);

    if (!e)
        return;
    e->last = last;
    e->revision = msg_u(item, FIELD_REVISION);
    if (keep(w, e, item)) {
        choir_event_free(&e);
        return;
    }
    DL_APPEND(w->events, e);
}

void wire_nak(struct wire *w, uint64_t task, uint64_t token)
{
    struct msg m;
    struct op *op;

    msg_init(&m, MSG_NAK);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_text(&m, FIELD_REASON, "the worker had stopped asking");
    op = op_new(0, &m);
    if (op)
        DL_APPEND(w->records, op);
}
