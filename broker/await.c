/* A task somebody waits for has a place in a table; when it changes, those who
 * wait are queued once each and told after the commit, in whatever state it
 * then has. Who cannot be told stands aside until there is room. */
#include "await.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "partial.h"
#include "proto/refusal.h"
#include "stale.h"
#include "tally.h"

struct awaited {
    uint64_t task;
    struct await *waiters;
    UT_hash_handle hh;
};

enum await_stand { AWAIT_QUIET, AWAIT_DUE, AWAIT_STALLED };

struct await_id {
    uint64_t session, task;
};

struct await {
    struct await_id id;
    struct presence *p;
    struct awaited *task;
    uint64_t told;          /* revision of the state it knows */
    uint32_t had;           /* partial results; AWAIT_NO_PARTIALS: wants none */
    enum await_stand stand; /* to be told, and when there is room? */
    struct await *due_prev, *due_next; /* of those, in all or of its presence */
    struct await *prev, *next;         /* for the same task */
    struct await *p_prev, *p_next;     /* of its presence */
    UT_hash_handle hh;
};

/* Entries read in one turn, over all: each state, and each partial result on
 * the way back to the first that is to be told. */
enum { TURN_ENTRIES = 4096 };

struct awaits {
    const struct state *state;
    struct ledger *ledger;
    struct router *router;
    struct awaited *tasks;
    struct await *all, *due;
    struct tally per_agent; /* awaits */
    uint64_t entries_read;  /* in this turn */
    struct buf bytes, entries;
};

struct awaits *awaits_new(const struct state *state, struct ledger *ledger,
                          struct router *router)
{
    struct awaits *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->state = state;
    a->ledger = ledger;
    a->router = router;
    return a;
}

static void await_stand(struct awaits *a, struct await *w,
                        enum await_stand stand)
{
    if (w->stand == AWAIT_DUE)
        DL_DELETE2(a->due, w, due_prev, due_next);
    else if (w->stand == AWAIT_STALLED)
        DL_DELETE2(w->p->awaits_stalled, w, due_prev, due_next);
    w->stand = stand;
    if (stand == AWAIT_DUE)
        DL_APPEND2(a->due, w, due_prev, due_next);
    else if (stand == AWAIT_STALLED)
        DL_APPEND2(w->p->awaits_stalled, w, due_prev, due_next);
}

/* Nobody waits for it any more? */
static void awaited_leave(struct awaits *a, struct awaited *t)
{
    if (t->waiters)
        return;
    HASH_DEL(a->tasks, t);
    free(t);
}

static void await_free(struct awaits *a, struct await *w)
{
    struct awaited *t = w->task;

    await_stand(a, w, AWAIT_QUIET);
    HASH_DEL(a->all, w);
    DL_DELETE(t->waiters, w);
    DL_DELETE2(w->p->awaits, w, p_prev, p_next);
    tally_sub(&a->per_agent, w->p->agent);
    free(w);
    awaited_leave(a, t);
}

void awaits_destroy(struct awaits **self_p)
{
    struct awaits *a = *self_p;
    struct awaited *t, *next;
    struct await *w, *next_w;

    if (!a)
        return;
    HASH_ITER (hh, a->all, w, next_w) {
        HASH_DEL(a->all, w);
        free(w);
    }
    HASH_ITER (hh, a->tasks, t, next) {
        HASH_DEL(a->tasks, t);
        free(t);
    }
    tally_free(&a->per_agent);
    buf_free(&a->bytes);
    buf_free(&a->entries);
    free(a);
    *self_p = NULL;
}

static struct awaited *awaited_find(const struct awaits *a, uint64_t task)
{
    struct awaited *t;

    HASH_FIND(hh, a->tasks, &task, sizeof task, t);
    return t;
}

static struct awaited *awaited_of(struct awaits *a, uint64_t task)
{
    struct awaited *t = awaited_find(a, task);

    if (t)
        return t;
    t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->task = task;
    HASH_ADD(hh, a->tasks, task, sizeof t->task, t);
    return t;
}

/* --- Describing ---------------------------------------------------------- */

struct part {
    size_t at, n;
    bool have, erased;
};

static struct part keep(struct buf *b, struct bytes what)
{
    struct part p = {b->n, what.n, true, false};

    buf_put(b, what.p, what.n);
    return p;
}

static struct bytes part_of(const struct buf *b, struct part p)
{
    return bytes_of(b->p + p.at, p.n);
}

/* Slot 0, media type and reason of an entry, as far as it has them. */
static int entry_parts(struct ledger *l, uint64_t index, struct buf *b,
                       struct part *value, struct part *type,
                       struct part *reason)
{
    const struct entry *e;
    struct bytes v;
    struct msg head;
    unsigned field;
    int r = ledger_entry(l, index, &e);

    if (r)
        return r < 0 ? r : -EUCLEAN;
    r = entry_slot(e, 0, &v);
    value->erased = r == CHOIR_ERASED;
    if (!r)
        *value = keep(b, v);
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field))
        return 0;
    if (msg_has(&head, FIELD_TYPE))
        *type = keep(b, msg_b(&head, FIELD_TYPE));
    if (msg_has(&head, FIELD_REASON))
        *reason = keep(b, msg_b(&head, FIELD_REASON));
    return 0;
}

/* The result, or the question. */
static bool has_value(const struct task *t)
{
    return t->state == TASK_COMPLETED || t->state == TASK_INPUT_REQUIRED;
}

int task_describe(const struct state *s, struct ledger *l, const struct task *t,
                  struct buf *b, struct msg *m)
{
    const struct agent *who = agent_by_number(s->agents, t->holder);
    struct part value = {0}, type = {0}, reason = {0}, progress = {0};
    struct part unused_type = {0}, unused_reason = {0};
    struct stale_facts stale = {0};
    bool ended = task_state_final(t->state) || t->attempt;
    int r = ended && t->state != TASK_WORKING
                ? entry_parts(l, t->changed, b, &value, &type, &reason)
                : 0;

    if (!r && t->state == TASK_COMPLETED)
        r = stale_facts_of(l, t->changed, &stale);
    if (!r && t->progress)
        r = entry_parts(l, t->progress, b, &progress, &unused_type,
                        &unused_reason);
    if (r)
        return r;
    if (b->failed)
        return -ENOMEM;
    msg_set_u(m, FIELD_TASK, t->id);
    msg_set_u(m, FIELD_STATE, t->state);
    msg_set_u(m, FIELD_ATTEMPT, t->attempt);
    msg_set_u(m, FIELD_REVISION, t->changed);
    if (who)
        msg_set_hash(m, FIELD_AGENT, &who->id);
    if (value.have && has_value(t))
        msg_set_b(m, FIELD_VALUE, part_of(b, value));
    if (value.erased && has_value(t))
        msg_set_u(m, FIELD_OUTCOME, CHOIR_ERASED);
    if (type.have && has_value(t))
        msg_set_b(m, FIELD_TYPE, part_of(b, type));
    if (stale.flagged)
        msg_set_u(m, FIELD_STALE, STALE_FLAG);
    if (stale.flagged)
        msg_set_u(m, FIELD_COUNT, stale.count);
    if (reason.have)
        msg_set_b(m, FIELD_REASON, part_of(b, reason));
    if (progress.have)
        msg_set_b(m, FIELD_PROGRESS, part_of(b, progress));
    return 0;
}

/* --- Telling ------------------------------------------------------------- */

/* Each that is told is newer than the last. */
static uint64_t state_revision(const struct task *t)
{
    return t->progress > t->changed ? t->progress : t->changed;
}

/* Is there something to say about its state before it changes? */
static bool state_tells(const struct task *t)
{
    return task_state_final(t->state) || t->progress ||
           t->state == TASK_INPUT_REQUIRED;
}

static int tell(struct awaits *a, struct presence *p, const struct task *t)
{
    struct msg m;
    int r;

    buf_clear(&a->bytes);
    msg_init(&m, MSG_TASK_STATE);
    r = task_describe(a->state, a->ledger, t, &a->bytes, &m);
    if (r)
        return r;
    msg_set_u(&m, FIELD_REVISION, state_revision(t));
    presence_say(a->router, p, &m);
    return 0;
}

/* As many as there is room for. 0 or negative errno. */
static int tell_partials(struct awaits *a, struct await *w,
                         const struct task *t)
{
    struct msg m;
    int r;

    a->entries_read += t->links->partials - w->had;
    buf_clear(&a->entries);
    r = partials_after(a->ledger, t, w->had, &a->entries);
    for (size_t at = 0; !r && at < a->entries.n; at += sizeof(uint64_t)) {
        uint64_t index;

        if (!connection_has_room(a->router, w->p->connection))
            return 0;
        memcpy(&index, a->entries.p + at, sizeof index);
        r = partial_read(a->ledger, index, &m);
        if (!r) {
            presence_say(a->router, w->p, &m);
            w->had++;
        }
    }
    return r;
}

static bool wants_partials(const struct await *w, const struct task *t)
{
    return t->links && w->had < t->links->partials;
}

/* One more that waits for the task. 0, CHOIR_OVER_LIMIT or -ENOMEM. */
static int await_add(struct awaits *a, struct presence *p, uint64_t task,
                     uint64_t limit_max, struct await **out)
{
    const struct await_id id = {p->session, task};
    struct awaited *at;
    struct await *w;
    int r;

    HASH_FIND(hh, a->all, &id, sizeof id, w);
    *out = w;
    if (w)
        return 0;
    at = awaited_of(a, task);
    if (!at)
        return -ENOMEM;
    r = tally_add(&a->per_agent, p->agent, limit_max);
    w = r ? NULL : calloc(1, sizeof *w);
    if (!r && !w) {
        tally_sub(&a->per_agent, p->agent);
        r = -ENOMEM;
    }
    if (r) {
        awaited_leave(a, at);
        return r;
    }
    w->id = id;
    *out = w;
    w->had = AWAIT_NO_PARTIALS;
    w->p = p;
    w->task = at;
    HASH_ADD(hh, a->all, id, sizeof w->id, w);
    DL_APPEND(at->waiters, w);
    DL_APPEND2(p->awaits, w, p_prev, p_next);
    return 0;
}

int await_task(struct awaits *a, struct presence *p, uint64_t task,
               uint32_t had, uint64_t limit_max)
{
    const struct agent *agent = agent_by_number(a->state->agents, p->agent);
    const struct task *t = task_by_id(a->state->tasks, task);
    struct await *w;
    int r;

    if (!t || !agent || !task_visible(agent, t))
        return CHOIR_NOT_FOUND;
    if (task_state_final(t->state) && (!t->links || had >= t->links->partials))
        return tell(a, p, t);
    r = await_add(a, p, task, limit_max, &w);
    if (r)
        return r;
    if (had < w->had)
        w->had = had; /* another of the session's may have had more */
    w->told = state_tells(t) ? 0 : state_revision(t);
    if (w->stand == AWAIT_QUIET && (w->told == 0 || wants_partials(w, t)))
        await_stand(a, w, AWAIT_DUE);
    return 0;
}

void awaits_drop(struct awaits *a, struct presence *p)
{
    while (p->awaits)
        await_free(a, p->awaits);
}

void await_touch(struct awaits *a, uint64_t task)
{
    struct awaited *t = a->tasks ? awaited_find(a, task) : NULL;
    struct await *w;

    if (!t)
        return;
    DL_FOREACH (t->waiters, w) {
        if (w->stand == AWAIT_QUIET)
            await_stand(a, w, AWAIT_DUE);
    }
}

/* What may not be seen any more, because a grant or its lease has gone, is as
 * if it were not there. */
static const struct task *seen_by(const struct awaits *a, const struct await *w)
{
    const struct agent *agent = agent_by_number(a->state->agents, w->p->agent);
    const struct task *t = task_by_id(a->state->tasks, w->id.task);

    return t && agent && task_visible(agent, t) ? t : NULL;
}

static bool has_room(const struct awaits *a, const struct await *w)
{
    return connection_has_room(a->router, w->p->connection);
}

static int tell_one(struct awaits *a, struct await *w)
{
    const struct task *t = seen_by(a, w);
    int r = t && wants_partials(w, t) && has_room(a, w) ? tell_partials(a, w, t)
                                                        : 0;

    if (r)
        return r;
    if ((t && wants_partials(w, t)) || !has_room(a, w)) {
        await_stand(a, w, AWAIT_STALLED);
        return 0;
    }
    if (t && state_revision(t) > w->told) {
        a->entries_read++;
        r = tell(a, w->p, t);
        w->told = state_revision(t);
    }
    if (r)
        return r;
    await_stand(a, w, AWAIT_QUIET);
    if (!t || task_state_final(t->state))
        await_free(a, w);
    return 0;
}

int awaits_tell(struct awaits *a)
{
    int r = 0;

    a->entries_read = 0;
    while (!r && a->due && a->entries_read < TURN_ENTRIES)
        r = tell_one(a, a->due);
    return r;
}

bool awaits_ready(const struct awaits *a)
{
    return a->due != NULL;
}

void awaits_wake(struct awaits *a, struct presence *p)
{
    while (p->awaits_stalled)
        await_stand(a, p->awaits_stalled, AWAIT_DUE);
}
