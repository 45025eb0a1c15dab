/* From a verb to who answers it, and the reply around it. */
#include "ask.h"

#include <stdlib.h>

#include "ask_private.h"
#include "proto/refusal.h"

typedef int (*ask_verb)(struct ask *q);

static const ask_verb verbs[256] = {
    [MSG_GET] = ask_get,
    [MSG_LIST] = ask_list,
    [MSG_LOG] = ask_log,
    [MSG_WATCH] = ask_watch,
    [MSG_CREDIT] = ask_credit,
    [MSG_UNWATCH] = ask_unwatch,
    [MSG_WORK] = ask_work,
    [MSG_HEARTBEAT] = ask_heartbeat,
    [MSG_TASK_GET] = ask_task_get,
    [MSG_TASK_LIST] = ask_task_list,
    [MSG_AWAIT] = ask_await,
    [MSG_STATUS] = ask_status,
    [MSG_AGENT_LIST] = ask_agent_list,
    [MSG_TAP] = ask_tap,
    [MSG_PING] = ask_ping,
    [MSG_BACKUP] = ask_backup,
    [MSG_DIGEST] = ask_digest,
    [MSG_QUEUE_LIST] = ask_queue_list,
    [MSG_SINCE] = ask_since,
    [MSG_DIFF] = ask_diff,
    [MSG_POLICY_LIST] = ask_policy_list,
    [MSG_READS] = ask_reads,
    [MSG_PROVE] = ask_prove,
    [MSG_ENTRIES] = ask_entries,
    [MSG_SELECT] = ask_select,
    [MSG_KEYS] = ask_keys,
    [MSG_BLAME] = ask_blame,
    [MSG_ERASURE] = ask_erasure,
    [MSG_WHY] = ask_why,
    [MSG_IMPACT] = ask_impact,
    [MSG_CONSISTENCY] = ask_consistency,
    [MSG_MARK_LIST] = ask_mark_list,
    [MSG_INBOX] = ask_inbox,
};

struct asks *asks_new(const struct ask_parts *parts)
{
    struct asks *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->with = *parts;
    a->state = core_state(parts->core);
    a->ledger = core_ledger(parts->core);
    a->tap = tap_new(a->state, a->ledger);
    if (!a->tap)
        asks_destroy(&a);
    return a;
}

bool ask_is_volatile(unsigned verb)
{
    return verb == MSG_WORK || verb == MSG_HEARTBEAT || verb == MSG_PING;
}

uint64_t ask_page(const struct ask *q)
{
    uint64_t n = msg_u(q->op, FIELD_COUNT);

    if (!msg_has(q->op, FIELD_COUNT))
        return PAGE_DEFAULT;
    return n > PAGE_MAX ? PAGE_MAX : n ? n : 1;
}

int ask_over(struct ask *q, const char *field, uint64_t limit, uint64_t size)
{
    msg_set_text(q->reply, FIELD_FIELD, field);
    msg_set_u(q->reply, FIELD_LIMIT, limit);
    msg_set_u(q->reply, FIELD_SIZE, size);
    return CHOIR_OVER_LIMIT;
}

static int unsupported(struct ask *q, unsigned field)
{
    const struct field_row *row = field_row(field);

    msg_set_text(q->reply, FIELD_FIELD, row ? row->name : "unknown");
    return CHOIR_UNSUPPORTED;
}

/* What is being decided is not recorded yet when volatile asks are answered;
 * the outbox holds the reply until it is. */
static uint64_t seen(const struct asks *a)
{
    return core_size(a->with.core) - 1;
}

/* Under a lease, what is read joins what its task is made from. */
static int answer(struct ask *q)
{
    int r = ask_reads_begin(q);

    if (r)
        return r;
    r = verbs[q->op->verb](q);
    return q->lease ? ask_reads_note(q, r) : r;
}

int ask_answer(struct asks *a, struct presence *p, uint64_t number,
               const struct bundle_op *bundle_op)
{
    struct msg op, reply;
    struct ask q = {
        .a = a,
        .p = p,
        .agent = agent_by_number(a->state->agents, p->agent),
        .number = number,
        .op = &op,
        .reply = &reply,
    };
    unsigned field = bundle_op->field;
    int r;

    msg_init(&reply, MSG_REPLY);
    buf_clear(&a->items);
    buf_clear(&a->text);
    if (bundle_op->refusal ||
        msg_decode(bundle_op->head, CLASS_ASK, &op, &field))
        r = unsupported(&q, field);
    else if (!q.agent || q.agent->revoked)
        r = CHOIR_DENIED;
    else
        r = answer(&q);
    if (r < 0)
        return r == ASK_LATER ? 0 : r;
    msg_set_u(&reply, FIELD_ASK, number);
    msg_set_u(&reply, FIELD_OUTCOME, (uint64_t)r);
    msg_set_u(&reply, FIELD_SEEN, seen(a));
    presence_say(a->with.router, p, &reply);
    return 0;
}

void status_number(struct status_list *s, const char *name, uint64_t number)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, name);
    msg_set_u(&item, FIELD_SIZE, number);
    msg_encode(&item, &s->items);
    s->count++;
}

void status_text(struct status_list *s, const char *name, const char *text)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, name);
    msg_set_text(&item, FIELD_TEXT, text);
    msg_encode(&item, &s->items);
    s->count++;
}
