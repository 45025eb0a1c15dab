/* Telling a worker what it got: each lease once, with the payload read from
 * the record, as far as its connection takes it. */
#include <errno.h>
#include <utlist.h>

#include "lease_private.h"
#include "proto/refusal.h"
#include "stale.h"

static void delivery_queue(struct leases *l, struct lease *lease)
{
    if (lease->undelivered)
        return;
    DL_APPEND(l->undelivered, lease);
    if (lease->p)
        lease->p->untold++;
    lease->undelivered = true;
}

void delivery_due(struct leases *l, struct lease *lease)
{
    lease->task_due = true;
    delivery_queue(l, lease);
}

void delivery_due_input(struct leases *l, struct lease *lease)
{
    lease->input_due = true;
    delivery_queue(l, lease);
}

void delivery_unstall(struct leases *l, struct lease *lease)
{
    if (!lease->stalled)
        return;
    DL_DELETE(lease->p->stalled, lease);
    DL_APPEND(l->undelivered, lease);
    lease->stalled = false;
}

bool untold_is_much(const struct presence *p)
{
    return p->untold >= LEASE_UNTOLD_MIN &&
           (!p->task_bytes || p->untold >= LEASE_UNTOLD_BYTES / p->task_bytes);
}

void untold_less(struct leases *l, struct presence *p)
{
    p->untold--;
    if (!p->offers_held || untold_is_much(p))
        return;
    p->offers_held = false;
    offers_wake(l, p);
}

/* A large one counts at once, and is forgotten slowly. */
static void told_note(struct presence *p, size_t bytes)
{
    uint32_t n = (uint32_t)bytes + 1;

    p->task_bytes =
        n > p->task_bytes ? n : p->task_bytes - (p->task_bytes - n) / 16;
}

void delivery_clear(struct leases *l, struct lease *lease)
{
    if (!lease->undelivered)
        return;
    delivery_unstall(l, lease);
    DL_DELETE(l->undelivered, lease);
    lease->undelivered = lease->task_due = lease->input_due = false;
    if (lease->p)
        untold_less(l, lease->p);
}

void lease_submitted(struct leases *l, const struct msg *submit,
                     struct bytes payload, uint64_t index)
{
    struct bytes salt, value;

    if (!slot_at(msg_b(submit, FIELD_SLOTS), payload, 0, &salt, &value))
        fresh_put(l->fresh, index, value, msg_b(submit, FIELD_TYPE));
}

/* Slot 0 of an entry, copied because the next entry read replaces it. 0;
 * CHOIR_ERASED; negative errno. */
static int slot_read(struct leases *l, uint64_t index, struct buf *out,
                     struct buf *type)
{
    const struct entry *e;
    struct bytes value;
    struct msg head;
    unsigned field;
    int r = ledger_entry(core_ledger(l->core), index, &e);

    if (r)
        return r;
    r = entry_slot(e, 0, &value);
    if (r && r != CHOIR_ERASED)
        return r < 0 ? r : -EUCLEAN;
    if (!r)
        buf_put(out, value.p, value.n);
    if (type && msg_decode(e->head, CLASS_OPERATION, &head, &field) == 0)
        buf_put(type, msg_b(&head, FIELD_TYPE).p, msg_b(&head, FIELD_TYPE).n);
    return out->failed ? -ENOMEM : r;
}

/* The payload of a task, from memory if it is there still and was not erased.
 * Borrowed until the next is read, or submitted. As slot_read. */
static int payload_read(struct leases *l, uint64_t index, struct bytes *value,
                        struct bytes *type)
{
    const struct slot_hider *h = &leases_state(l)->hider;
    int r;

    if (!h->hides(h->arg, index, 0) && fresh_get(l->fresh, index, value, type))
        return 0;
    buf_clear(&l->payload);
    buf_clear(&l->type);
    r = slot_read(l, index, &l->payload, &l->type);
    *value = buf_bytes(&l->payload);
    *type = buf_bytes(&l->type);
    return r;
}

/* A value, or that it was erased: its receiver is told either way. */
static void value_put(struct msg *m, struct bytes value, int r)
{
    if (r == CHOIR_ERASED)
        msg_set_u(m, FIELD_OUTCOME, CHOIR_ERASED);
    else
        msg_set_b(m, FIELD_VALUE, value);
}

/* The entry that this one names as the reason for it; 0: none. */
static int reason_of(struct leases *l, uint64_t index, enum message verb,
                     uint64_t *reason)
{
    const struct entry *e;
    struct msg head;
    unsigned field;
    int r = ledger_entry(core_ledger(l->core), index, &e);

    *reason = 0;
    if (!r &&
        !msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field) &&
        head.verb == verb)
        *reason = msg_u(&head, FIELD_REVISION);
    return r;
}

/* Why an earlier attempt was stale, as far as this holder may read it: the
 * claim names the entry that ended it, which was the stale completion, or a
 * nak that names it. */
static int difference(struct leases *l, const struct presence *p,
                      const struct task *t, struct msg *m)
{
    const struct agent *a = agent_by_number(leases_state(l)->agents, p->agent);
    const struct entry *e;
    uint64_t ended, stale;
    int r;

    if (t->attempt < 2)
        return 0;
    r = reason_of(l, t->token, MSG_CLAIM, &ended);
    if (r || !ended)
        return r;
    r = reason_of(l, ended, MSG_NAK, &stale);
    if (!r)
        r = ledger_entry(core_ledger(l->core), stale ? stale : ended, &e);
    return r ? r
             : stale_items(e, t->id, a, bytes_text(t->queue->space), &l->moves,
                           m);
}

static int say_task(struct leases *l, struct presence *p, const struct task *t)
{
    const struct agent *submitter =
        agent_by_number(leases_state(l)->agents, t->submitter);
    int r, payload, progress = 0, input = 0;
    struct bytes value, type;
    struct msg m;

    buf_clear(&l->progress);
    buf_clear(&l->input);
    r = payload = payload_read(l, t->payload, &value, &type);
    if (r >= 0 && t->progress)
        r = progress = slot_read(l, t->progress, &l->progress, NULL);
    if (r >= 0 && t->links && t->links->input)
        r = input = slot_read(l, t->links->input, &l->input, NULL);
    if (r < 0)
        return r;
    msg_init(&m, MSG_TASK);
    msg_set_u(&m, FIELD_TASK, t->id);
    msg_set_u(&m, FIELD_TOKEN, t->token);
    msg_set_u(&m, FIELD_ATTEMPT, t->attempt);
    msg_set_text(&m, FIELD_SPACE, t->queue->space);
    msg_set_text(&m, FIELD_QUEUE, t->queue->name);
    msg_set_u(&m, FIELD_LEASE_MS, t->lease_ms);
    value_put(&m, value, payload);
    if (submitter)
        msg_set_hash(&m, FIELD_AGENT, &submitter->id);
    msg_set_u(&m, FIELD_REVISION, core_size(l->core) - 1);
    if (type.n)
        msg_set_b(&m, FIELD_TYPE, type);
    if (t->progress && !progress)
        msg_set_b(&m, FIELD_PROGRESS, buf_bytes(&l->progress));
    if (t->links && t->links->input && !input)
        msg_set_b(&m, FIELD_INPUT, buf_bytes(&l->input));
    r = difference(l, p, t, &m);
    if (r < 0)
        return r;
    presence_say(l->router, p, &m);
    told_note(p, value.n);
    l->counters.delivered++;
    return 0;
}

/* What was given, to the holder who has the task. */
static int say_input(struct leases *l, struct presence *p,
                     const struct lease *lease)
{
    struct msg m;
    int r;

    buf_clear(&l->input);
    buf_clear(&l->type);
    r = slot_read(l, lease->input, &l->input, &l->type);
    if (r < 0)
        return r;
    msg_init(&m, MSG_INPUT_TOLD);
    msg_set_u(&m, FIELD_TASK, lease->task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_u(&m, FIELD_REVISION, lease->input);
    value_put(&m, buf_bytes(&l->input), r);
    if (l->type.n)
        msg_set_b(&m, FIELD_TYPE, buf_bytes(&l->type));
    presence_say(l->router, p, &m);
    return 0;
}

static int deliver(struct leases *l, struct lease *lease)
{
    const struct task *t = task_by_id(leases_state(l)->tasks, lease->task);
    bool task_due = lease->task_due;
    struct presence *p = lease->p;
    int r;

    if (t && p && p->connection &&
        !connection_has_room(l->router, p->connection)) {
        DL_DELETE(l->undelivered, lease);
        DL_APPEND(p->stalled, lease);
        lease->stalled = true;
        return 0;
    }
    delivery_clear(l, lease);
    if (!t || !p || !p->connection)
        return 0; /* it asks again when it comes back, or the lease ends */
    lease->input_told = lease->input;
    r = task_due ? say_task(l, p, t) : 0;
    return !r && lease->input ? say_input(l, p, lease) : r;
}

int leases_deliver(struct leases *l)
{
    int r = 0;

    while (!r && l->undelivered)
        r = deliver(l, l->undelivered);
    return r ? r : leases_tell_moved(l);
}

void leases_wake(struct leases *l, struct presence *p)
{
    while (p->stalled)
        delivery_unstall(l, p->stalled);
    offers_wake(l, p);
}
