/* The mistakes in what goes to and fro between agents: mail, marks, questions,
 * tasks and what they wait for, keys, lists. See broker.h and broker.c. */
#include "tests/mutants/broker.h"

#include <stdlib.h>

#include "broker/changes.h"
#include "broker/decide_private.h"
#include "broker/evolve_private.h"
#include "broker/lease_private.h"
#include "broker/mailbox.h"
#include "broker/partial.h"
#include "proto/merge.h"
#include "proto/refusal.h"

#define REAL(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

REAL(void, inboxes_touch, struct inboxes *i, const struct msg *op);
REAL(uint32_t, mail_take, struct mail *m, const struct box_id *box,
     uint64_t from, uint64_t upto);
REAL(int, mark_set, struct marks *m, const struct mark_id *id,
     uint64_t revision, int *made);
REAL(void, await_touch, struct awaits *a, uint64_t task);
REAL(int, partials_after, struct ledger *l, const struct task *t, uint32_t had,
     struct buf *entries);
REAL(int, bundle_verify, const struct bundle *b, const uint8_t *public_key);
REAL(uint64_t, ledger_unproven, const struct ledger *l);
REAL(int, decide_input, struct decision *d);
REAL(void, delivery_due_input, struct leases *l, struct lease *lease);
REAL(int, task_link, struct tasks *t, struct task *task,
     const struct task_terms *terms);
REAL(const struct task *, tasks_first_deadline, const struct tasks *t);
REAL(bool, capabilities_cover, struct bytes have, struct bytes want);
REAL(enum settle, tasks_settle, struct tasks *t, struct settled *out);
REAL(int, queue_set, struct tasks *t, struct bytes space, struct bytes name,
     enum queue_kind kind, uint64_t limit);
REAL(int, decide_submit, struct decision *d);
REAL(int, evolve_recover, struct state *s, const struct evolve_op *o);
REAL(int, agent_key_end, struct agents *a, struct agent *agent, unsigned slot,
     uint64_t index);
REAL(int, agent_key_suspect, struct agents *a, struct agent *agent,
     unsigned slot, uint64_t since);
REAL(int, merge_values, enum merge_rule rule, const struct merge_inputs *in,
     struct buf *out, struct merge_clashes *clashes);
REAL(enum merge_rule, policy_of, const struct policies *p, struct bytes space,
     struct bytes key);
REAL(int, core_erase, struct core *c);
REAL(int, task_place, const struct state *s, struct ledger *l, uint64_t task,
     struct place *out);

void __wrap_inboxes_touch(struct inboxes *i, const struct msg *op)
{
    if (!makes(MUTANT_UNTOLD_MAIL))
        __real_inboxes_touch(i, op);
}

uint32_t __wrap_mail_take(struct mail *m, const struct box_id *box,
                          uint64_t from, uint64_t upto)
{
    bool wrong = mutant == MUTANT_UNREAD_MAIL && !from && upto;

    return __real_mail_take(m, box, from, wrong ? upto - 1 : upto);
}

int __wrap_mark_set(struct marks *m, const struct mark_id *id,
                    uint64_t revision, int *made)
{
    int ended = 0, r;

    if (mutant == MUTANT_MARK_BACK && revision &&
        __real_mark_set(m, id, 0, &ended))
        abort();
    r = __real_mark_set(m, id, revision, made);
    *made += ended;
    return r;
}

void __wrap_await_touch(struct awaits *a, uint64_t task)
{
    if (!makes(MUTANT_UNTOLD_END))
        __real_await_touch(a, task);
}

int __wrap_partials_after(struct ledger *l, const struct task *t, uint32_t had,
                          struct buf *entries)
{
    return __real_partials_after(
        l, t, mutant == MUTANT_LOST_PARTIAL ? had + 1 : had, entries);
}

int __wrap_decide_input(struct decision *d)
{
    int r = __real_decide_input(d);
    const struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (r != CHOIR_CONFLICT || mutant != MUTANT_OTHER_ANSWER)
        return r;
    msg_init(d->effect, MSG_EFFECT);
    msg_set_u(d->effect, FIELD_STATE, t->token ? TASK_WORKING : TASK_QUEUED);
    return 0;
}

void __wrap_delivery_due_input(struct leases *l, struct lease *lease)
{
    if (mutant != MUTANT_UNTOLD_INPUT)
        __real_delivery_due_input(l, lease);
}

int __wrap_task_link(struct tasks *t, struct task *task,
                     const struct task_terms *terms)
{
    struct task_terms less = *terms;

    if (mutant == MUTANT_NO_NEEDS)
        less.need_count = 0;
    return __real_task_link(t, task, &less);
}

const struct task *__wrap_tasks_first_deadline(const struct tasks *t)
{
    return mutant == MUTANT_NO_DEADLINE ? NULL : __real_tasks_first_deadline(t);
}

bool __wrap_capabilities_cover(struct bytes have, struct bytes want)
{
    return mutant == MUTANT_ANY_WORKER || __real_capabilities_cover(have, want);
}

enum settle __wrap_tasks_settle(struct tasks *t, struct settled *out)
{
    return mutant == MUTANT_NO_CONSEQUENCE ? SETTLE_NOTHING
                                           : __real_tasks_settle(t, out);
}

int __wrap_queue_set(struct tasks *t, struct bytes space, struct bytes name,
                     enum queue_kind kind, uint64_t limit)
{
    if (mutant == MUTANT_NO_STOP && kind == QUEUE_PAUSED)
        kind = QUEUE_OPEN;
    return __real_queue_set(t, space, name, kind, limit);
}

int __wrap_decide_submit(struct decision *d)
{
    struct queue *q = queue_find(d->s->tasks, msg_b(d->op, FIELD_SPACE),
                                 msg_b(d->op, FIELD_QUEUE));
    uint8_t kind = q ? q->kind : 0;
    int r;

    if (q && mutant == MUTANT_NO_DRAIN)
        q->kind = QUEUE_OPEN;
    r = __real_decide_submit(d);
    if (q)
        q->kind = kind;
    return r;
}

static bool recovers;

int __wrap_evolve_recover(struct state *s, const struct evolve_op *o)
{
    int r;

    recovers = true;
    r = __real_evolve_recover(s, o);
    recovers = false;
    return r;
}

int __wrap_agent_key_end(struct agents *a, struct agent *agent, unsigned slot,
                         uint64_t index)
{
    return recovers && mutant == MUTANT_OLD_KEYS
               ? 0
               : __real_agent_key_end(a, agent, slot, index);
}

int __wrap_bundle_verify(const struct bundle *b, const uint8_t *public_key)
{
    return mutant == MUTANT_FORGED ? 0 : __real_bundle_verify(b, public_key);
}

uint64_t __wrap_ledger_unproven(const struct ledger *l)
{
    return mutant == MUTANT_UNPROVEN ? UINT64_MAX : __real_ledger_unproven(l);
}

int __wrap_agent_key_suspect(struct agents *a, struct agent *agent,
                             unsigned slot, uint64_t since)
{
    return __real_agent_key_suspect(a, agent, slot,
                                    mutant == MUTANT_NO_DOUBT ? 0 : since);
}

int __wrap_merge_values(enum merge_rule rule, const struct merge_inputs *in,
                        struct buf *out, struct merge_clashes *clashes)
{
    struct merge_inputs less = *in;

    if (rule == RULE_APPEND && makes(MUTANT_NO_THEIRS))
        less.theirs = (struct bytes){0};
    return __real_merge_values(rule, &less, out, clashes);
}

enum merge_rule __wrap_policy_of(const struct policies *p, struct bytes space,
                                 struct bytes key)
{
    return mutant == MUTANT_NO_POLICY ? RULE_NONE
                                      : __real_policy_of(p, space, key);
}

static bool erases;

int __wrap_core_erase(struct core *c)
{
    int r;

    erases = true;
    r = __real_core_erase(c);
    erases = false;
    return r;
}

int __wrap_task_place(const struct state *s, struct ledger *l, uint64_t task,
                      struct place *out)
{
    return erases && mutant == MUTANT_HALF_ERASED
               ? CHOIR_NOT_FOUND
               : __real_task_place(s, l, task, out);
}
