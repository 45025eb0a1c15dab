/* The mistakes; see broker.h. Each __wrap_x takes the place of x wherever it
 * is called from another file. */
#include "tests/mutants/broker.h"

#include <stdlib.h>
#include <string.h>

#include "broker/changes.h"
#include "broker/cursor.h"
#include "broker/decide_private.h"
#include "broker/evolve_private.h"
#include "broker/lease.h"
#include "broker/ledger/ledger.h"
#include "broker/reclaim.h"
#include "broker/timers.h"
#include "proto/refusal.h"
#include "tests/support/crash_client.h"

enum { NOW_AND_THEN = 25, OFTEN = 3, EARLY_US = 200000 };

enum mutant mutant;

__attribute__((constructor)) static void choose(void)
{
    const char *name = getenv("CHOIR_MUTANT");

    for (unsigned i = 1; name && i < MUTANT_END; i++)
        if (!strcmp(name, mutant_name(i)))
            mutant = (enum mutant)i;
}

/* A mistake that is made always is too easy to see. */
bool makes(enum mutant m)
{
    static unsigned passes;
    bool often = m == MUTANT_UNSEEN_READ || m == MUTANT_FORGOTTEN_LINE ||
                 m == MUTANT_STILL_SHOWN || m == MUTANT_UNTOLD_END ||
                 m == MUTANT_UNTOLD_MAIL;

    return mutant == m && ++passes % (often ? OFTEN : NOW_AND_THEN) == 0;
}

#define REAL(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)

REAL(int, decide_put, struct decision *d);
REAL(struct task *, held_task, const struct decision *d);
REAL(int, decide_cancel, struct decision *d);
REAL(struct timer *, timers_take, struct timers *t, uint64_t now);
REAL(uint64_t, ledger_durable, const struct ledger *l);
REAL(int, cursors_live, struct cursors *c, const struct entry *e,
     const struct hash *author);
REAL(int, change_value, const struct entry *e, const struct change *change,
     struct bytes *value);
REAL(int, evolve_put, struct state *s, const struct evolve_op *o);
REAL(const struct session_bundle *, session_find, const struct session *s,
     uint64_t first_seq);
REAL(uint64_t, operation_id_find, const struct agents *a, uint32_t agent,
     struct bytes id, int *outcome);
REAL(bool, agent_may, const struct agent *a, enum right right,
     struct bytes space, struct bytes key, struct bytes queue);
REAL(int, decide_reads, struct decision *d, const struct task *t);
REAL(int, leases_changed, struct leases *l, const struct entry *e,
     const struct hash *agent);
REAL(uint64_t, leases_observed, void *leases, uint64_t task, uint64_t token,
     struct buf *rows);
REAL(int, sessions_save, const struct sessions *s, session_sink put, void *to);
REAL(uint64_t, compaction_line, const struct compaction *c, struct bytes space);
REAL(bool, erasure_has, const struct erasure *e, uint64_t index, size_t slot);
REAL(int, context_lapse_at, struct context *c, struct bytes space,
     struct bytes name, uint64_t due);
REAL(const struct ttl *, ttls_first, const struct ttls *t);
REAL(int, sessions_over, struct state *s, const struct agent *a, int slot);
REAL(const uint8_t *, agent_key_valid, const struct agent *a, unsigned slot);
REAL(const struct ledger_thinner *, reclaim_thinner, const struct reclaim *r);

int __wrap_decide_put(struct decision *d)
{
    int r = __real_decide_put(d);

    if (r == CHOIR_CONFLICT && makes(MUTANT_STALE_WRITE)) {
        msg_init(d->effect, MSG_EFFECT);
        return 0;
    }
    if (r == 0 && msg_has(d->op, FIELD_IF_REVISION) &&
        makes(MUTANT_FALSE_REFUSAL)) {
        msg_init(d->effect, MSG_EFFECT);
        msg_set_b(d->effect, FIELD_KEY, msg_b(d->op, FIELD_KEY));
        msg_set_u(d->effect, FIELD_REVISION, msg_u(d->op, FIELD_IF_REVISION));
        return CHOIR_CONFLICT;
    }
    return r;
}

struct task *__wrap_held_task(const struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (mutant == MUTANT_ZOMBIE && t && t->state == TASK_WORKING)
        return t;
    return __real_held_task(d);
}

int __wrap_decide_cancel(struct decision *d)
{
    int r = __real_decide_cancel(d);

    return r == CHOIR_TERMINAL && mutant == MUTANT_NOT_FINAL ? 0 : r;
}

struct timer *__wrap_timers_take(struct timers *t, uint64_t now)
{
    return __real_timers_take(t, mutant == MUTANT_EARLY_EXPIRY ? now + EARLY_US
                                                               : now);
}

uint64_t __wrap_ledger_durable(const struct ledger *l)
{
    return mutant == MUTANT_EARLY_ANSWER ? ledger_size(l)
                                         : __real_ledger_durable(l);
}

/* Never what tells those who watch that nothing more comes: a campaign would
 * wait two minutes for them, once in twenty-five times. */
int __wrap_cursors_live(struct cursors *c, const struct entry *e,
                        const struct hash *author)
{
    bool end =
        memmem(e->head.p, e->head.n, CLIENT_END_KEY, strlen(CLIENT_END_KEY));

    return !end && makes(MUTANT_LOST_CHANGE)
               ? 0
               : __real_cursors_live(c, e, author);
}

int __wrap_change_value(const struct entry *e, const struct change *change,
                        struct bytes *value)
{
    int r = __real_change_value(e, change, value);

    if (!r && value->n && makes(MUTANT_OTHER_VALUE))
        value->n--;
    return r;
}

int __wrap_evolve_put(struct state *s, const struct evolve_op *o)
{
    return makes(MUTANT_LOST_WRITE) ? 0 : __real_evolve_put(s, o);
}

const struct session_bundle *__wrap_session_find(const struct session *s,
                                                 uint64_t first_seq)
{
    return mutant == MUTANT_NO_REPEATS ? NULL
                                       : __real_session_find(s, first_seq);
}

uint64_t __wrap_operation_id_find(const struct agents *a, uint32_t agent,
                                  struct bytes id, int *outcome)
{
    if (outcome && makes(MUTANT_NO_IDS))
        return 0;
    return __real_operation_id_find(a, agent, id, outcome);
}

bool __wrap_agent_may(const struct agent *a, enum right right,
                      struct bytes space, struct bytes key, struct bytes queue)
{
    return mutant == MUTANT_NO_GRANTS ||
           __real_agent_may(a, right, space, key, queue);
}

int __wrap_decide_reads(struct decision *d, const struct task *t)
{
    int r = __real_decide_reads(d, t);

    if (r != CHOIR_STALE || !makes(MUTANT_STALE_DONE))
        return r;
    msg_init(d->effect, MSG_EFFECT);
    return results_combine(d, bytes_text(t->queue->space));
}

int __wrap_leases_changed(struct leases *l, const struct entry *e,
                          const struct hash *agent)
{
    return makes(MUTANT_UNTOLD_MOVE) ? 0 : __real_leases_changed(l, e, agent);
}

uint64_t __wrap_leases_observed(void *leases, uint64_t task, uint64_t token,
                                struct buf *rows)
{
    return makes(MUTANT_UNSEEN_READ)
               ? 0
               : __real_leases_observed(leases, task, token, rows);
}

uint64_t __wrap_compaction_line(const struct compaction *c, struct bytes space)
{
    return makes(MUTANT_FORGOTTEN_LINE) ? 0 : __real_compaction_line(c, space);
}

bool __wrap_erasure_has(const struct erasure *e, uint64_t index, size_t slot)
{
    return __real_erasure_has(e, index, slot) && !makes(MUTANT_STILL_SHOWN);
}

int __wrap_context_lapse_at(struct context *c, struct bytes space,
                            struct bytes name, uint64_t due)
{
    return __real_context_lapse_at(
        c, space, name, mutant == MUTANT_EARLY_LAPSE ? due - EARLY_US : due);
}

const struct ttl *__wrap_ttls_first(const struct ttls *t)
{
    return mutant == MUTANT_NO_LAPSE ? NULL : __real_ttls_first(t);
}

int __wrap_sessions_over(struct state *s, const struct agent *a, int slot)
{
    return mutant == MUTANT_ENDED_KEY ? 0 : __real_sessions_over(s, a, slot);
}

const uint8_t *__wrap_agent_key_valid(const struct agent *a, unsigned slot)
{
    if (mutant == MUTANT_ENDED_KEY && slot < a->key_count)
        return a->keys[slot].public_key;
    return __real_agent_key_valid(a, slot);
}

static const struct ledger_thinner *thinner;

static void mark_more(void *arg, const struct entry *e, uint8_t *marks,
                      uint8_t *effect_marks)
{
    thinner->mark(arg, e, marks, effect_marks);
    if (e->rows.n && marks[0] == SLOT_KEPT && makes(MUTANT_TOO_MUCH_GONE))
        marks[0] = SLOT_COMPACTED;
}

const struct ledger_thinner *__wrap_reclaim_thinner(const struct reclaim *r)
{
    static struct ledger_thinner more;

    thinner = __real_reclaim_thinner(r);
    if (mutant != MUTANT_TOO_MUCH_GONE)
        return thinner;
    more = *thinner;
    more.mark = mark_more;
    return &more;
}

static int leave_out(void *to, struct bytes record)
{
    (void)to, (void)record;
    return 0;
}

int __wrap_sessions_save(const struct sessions *s, session_sink put, void *to)
{
    return __real_sessions_save(
        s, mutant == MUTANT_HALF_SNAPSHOT ? leave_out : put, to);
}
