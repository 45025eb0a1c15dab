/* Opening, feeding and ending watches and taps. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "cursor_private.h"
#include "proto/refusal.h"

static struct watch *watch_find(const struct cursors *c,
                                const struct presence *p, uint64_t number)
{
    const struct watch_id id = {p->session, number};
    struct watch *w;

    HASH_FIND(hh, c->all, &id, sizeof id, w);
    return w;
}

static void watch_free(struct cursors *c, struct watch *w)
{
    stand_nowhere(c, w);
    HASH_DEL(c->all, w);
    DL_DELETE2(w->p->watches, w, p_prev, p_next);
    tally_sub(&c->per_agent, w->p->agent);
    if (w->tap) {
        DL_DELETE2(c->all_taps, w, t_prev, t_next);
        c->counters.taps--;
    } else {
        c->counters.watches--;
    }
    free(w);
}

static bool overlaps(const struct grant *g, struct bytes space,
                     struct bytes prefix)
{
    struct bytes scope = bytes_text(g->scope);

    if (g->queue || (strcmp(g->space, "*") != 0 &&
                     !bytes_equal(bytes_text(g->space), space)))
        return false;
    return !g->prefix || bytes_start_with(scope, prefix) ||
           bytes_start_with(prefix, scope);
}

/* Could it ever be told anything? The answer at delivery is agent_may's. */
static bool may_open(const struct agent *a, bool tap, struct bytes space,
                     struct bytes prefix)
{
    if (!a || a->revoked)
        return false;
    if (tap)
        return agent_may_somewhere(a, RIGHT_TAP);
    for (size_t i = 0; i < a->grant_count; i++) {
        if (a->grants[i].rights & RIGHT_READ &&
            overlaps(&a->grants[i], space, prefix))
            return true;
    }
    return false;
}

static bool before_line(const struct cursors *c, struct bytes space,
                        uint64_t revision)
{
    return revision < compaction_line(c->state->compaction, space);
}

static struct watch *watch_new(struct presence *p,
                               const struct watch_request *q)
{
    size_t n = q->space.n + 1 + q->prefix.n;
    struct watch *w = calloc(1, sizeof *w + n);

    if (!w)
        return NULL;
    w->p = p;
    w->id = (struct watch_id){p->session, q->number};
    w->next = q->revision;
    w->credit = q->credit;
    w->tap = q->tap;
    w->values = q->values;
    w->gaps = q->gaps;
    w->space_bytes = q->space.n;
    w->prefix_bytes = q->prefix.n;
    if (q->space.n)
        memcpy(w->key, q->space.p, q->space.n);
    if (q->prefix.n)
        memcpy(w->key + q->space.n + 1, q->prefix.p, q->prefix.n);
    return w;
}

int watch_open(struct cursors *c, struct presence *p,
               const struct watch_request *q, uint64_t limit_max)
{
    const struct agent *a = agent_by_number(c->state->agents, p->agent);
    uint64_t size = ledger_size(c->ledger);
    struct watch *w;
    int r;

    if (!may_open(a, q->tap, q->space, q->prefix))
        return CHOIR_DENIED;
    if (q->revision > size)
        return CHOIR_FUTURE;
    if (!q->tap && !q->gaps && before_line(c, q->space, q->revision))
        return CHOIR_COMPACTED;
    watch_close(c, p, q->number);
    r = tally_add(&c->per_agent, p->agent, limit_max);
    if (r)
        return r;
    w = watch_new(p, q);
    if (!w) {
        tally_sub(&c->per_agent, p->agent);
        return -ENOMEM;
    }
    w->opened_at = size - 1;
    if (w->tap) {
        DL_APPEND2(c->all_taps, w, t_prev, t_next);
        c->counters.taps++;
    } else {
        c->counters.watches++;
    }
    HASH_ADD(hh, c->all, id, sizeof w->id, w);
    DL_APPEND2(p->watches, w, p_prev, p_next);
    if (w->next < size) {
        stand_behind(c, w);
        return 0;
    }
    say_caught_up(c, w);
    return stand_level(c, w);
}

/* A level watch has been told all that is recorded; what is being applied at
 * this moment comes on top. A tap is woken once a cycle: it may lag. */
static uint64_t told_up_to(const struct cursors *c, const struct watch *w)
{
    uint64_t next =
        w->stand == LEVEL && !w->tap ? ledger_size(c->ledger) : w->next;

    return next ? next - 1 : 0;
}

int watch_credit(struct cursors *c, struct presence *p, uint64_t number,
                 uint64_t credit, uint64_t *told)
{
    struct watch *w = watch_find(c, p, number);

    if (!w)
        return CHOIR_NOT_FOUND;
    *told = told_up_to(c, w);
    w->credit = credit > LIMIT_UINT_MAX_WIRE - w->credit ? LIMIT_UINT_MAX_WIRE
                                                         : w->credit + credit;
    if (w->stand == PARKED)
        stand_behind(c, w);
    return 0;
}

int watch_close(struct cursors *c, struct presence *p, uint64_t number)
{
    struct watch *w = watch_find(c, p, number);

    if (!w)
        return CHOIR_NOT_FOUND;
    watch_free(c, w);
    return 0;
}

void watches_drop(struct cursors *c, struct presence *p)
{
    while (p->watches)
        watch_free(c, p->watches);
}

static void say_over(struct cursors *c, struct watch *w, int outcome)
{
    struct msg m;

    msg_init(&m, MSG_WATCH_OVER);
    msg_set_u(&m, FIELD_WATCH, w->id.number);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)outcome);
    if (outcome == CHOIR_COMPACTED)
        msg_set_u(&m, FIELD_REVISION,
                  compaction_line(c->state->compaction, watch_space(w)));
    presence_say(c->router, w->p, &m);
}

bool watch_compacted(const struct cursors *c, const struct watch *w)
{
    return !w->tap && !w->gaps && before_line(c, watch_space(w), w->next);
}

void watch_end(struct cursors *c, struct watch *w, int outcome)
{
    say_over(c, w, outcome);
    watch_free(c, w);
}

void watches_recheck(struct cursors *c, struct presence *p)
{
    struct watch *w, *next;

    DL_FOREACH_SAFE2(p->watches, w, next, p_next)
    {
        if (may_open(watch_agent(c, w), w->tap, watch_space(w),
                     watch_prefix(w)))
            continue;
        watch_end(c, w, CHOIR_DENIED);
    }
}
