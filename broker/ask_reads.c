/* Reading under a lease: each get, list and log that names one is noted in its
 * task's read set, and a set that the broker does not know is told. */
#include "ask_private.h"
#include "proto/refusal.h"

static bool reads(unsigned verb)
{
    return verb == MSG_GET || verb == MSG_LIST || verb == MSG_LOG ||
           verb == MSG_READS;
}

int ask_reads_begin(struct ask *q)
{
    return reads(q->op->verb)
               ? lease_of_ask(q->a->with.leases, q->p, q->op, &q->lease)
               : 0;
}

static uint64_t as_of(const struct ask *q)
{
    return msg_has(q->op, FIELD_REVISION) ? msg_u(q->op, FIELD_REVISION)
                                          : ledger_size(q->a->ledger) - 1;
}

/* Whoever asks for a key's story rests on where it stands now. */
static uint64_t newest(const struct ask *q, struct bytes space,
                       struct bytes name)
{
    const struct key *k = context_find(q->a->state->context, space, name);

    return k && !k->deleted && ask_may_read(q, space, name) ? k->revision : 0;
}

/* False: nothing was learned. */
static bool reading_of(const struct ask *q, int outcome, struct reading *out)
{
    bool is_list = q->op->verb == MSG_LIST;

    *out = (struct reading){
        .space = msg_b(q->op, FIELD_SPACE),
        .name = msg_b(q->op, is_list ? FIELD_PREFIX : FIELD_KEY),
        .is_prefix = is_list,
        .at = as_of(q),
    };
    if (outcome != CHOIR_OK && outcome != CHOIR_NOT_FOUND &&
        outcome != CHOIR_ERASED)
        return false;
    if (q->op->verb == MSG_GET)
        out->revision =
            outcome == CHOIR_NOT_FOUND ? 0 : msg_u(q->reply, FIELD_REVISION);
    else if (q->op->verb == MSG_LOG)
        out->revision = newest(q, out->space, out->name);
    else
        out->revision = out->at;
    /* Past versions do not change. */
    return q->op->verb != MSG_LOG || !msg_has(q->op, FIELD_REVISION);
}

/* It is answered all the same; the completion can still carry it. */
static void tell_limit(struct ask *q)
{
    uint64_t most = q->a->with.config->reads_bytes_per_agent_max;

    if (lease_reads_full(q->lease))
        ask_over(q, "reads_per_lease_max", READSET_ROWS_MAX, READSET_ROWS_MAX);
    else
        ask_over(q, "reads_bytes_per_agent_max", most, most);
}

int ask_reads_note(struct ask *q, int outcome)
{
    struct read_page page = {.first = !msg_has(q->op, FIELD_AFTER),
                             .last = !msg_has(q->reply, FIELD_AFTER)};
    struct reading reading;
    int r;

    if (q->op->verb == MSG_READS || !reading_of(q, outcome, &reading))
        return outcome;
    r = lease_read(q->a->with.leases, q->lease, &reading,
                   reading.is_prefix ? &page : NULL);
    if (r == CHOIR_OVER_LIMIT)
        tell_limit(q);
    return r < 0 ? r : outcome;
}

int ask_reads(struct ask *q)
{
    int r = q->lease ? lease_reads_told(q->a->with.leases, q->lease, q->op)
                     : CHOIR_INVALID;

    if (r == CHOIR_OVER_LIMIT)
        tell_limit(q);
    return r;
}
