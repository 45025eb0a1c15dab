/* Giving space back: segment by segment, from the last one to the first, as
 * often as there is more that need not be kept. */
#include <errno.h>
#include <stdlib.h>

#include "core_private.h"
#include "proto/refusal.h"

enum {
    LEAST_SHARE = 8, /* of a segment, that makes the work worth it */
    NO_ROOM_AGAIN_S = 60,
    /* Whoever erases one thing erases another: one pass for all that comes in
     * such a time, unless it goes on for long. */
    QUIET_MS = 500,
    LONG_S = 30,
};

static const uint64_t second_us = 1000000;

void core_hold(struct core *c, bool held)
{
    c->reclaim.held = held;
}

uint64_t core_reclaimed(const struct core *c)
{
    return c->reclaim.bytes;
}

void core_reclaim_close(struct core *c)
{
    reclaim_destroy(&c->reclaim.plan);
    free(c->reclaim.taken);
}

/* --- What there is to do -------------------------------------------------- */

/* Lines only rise, so their sum tells whether one did. */
static bool lines_rose(const struct core *c)
{
    return c->reclaim.line != compaction_sum(c->state->compaction);
}

/* Likewise: what was erased stays so. */
static bool more_erased(const struct core *c)
{
    return c->reclaim.erased != erasure_count(c->state->erasure);
}

bool core_reclaims(const struct core *c)
{
    return c->reclaim.plan ||
           (c->steady >= c->reclaim.again && (lines_rose(c) || more_erased(c)));
}

/* It must not be undone by a crash once payloads are gone. */
static bool is_durable(struct core *c)
{
    uint64_t line = compaction_sum(c->state->compaction);
    uint64_t erased = erasure_count(c->state->erasure);

    if (line != c->reclaim.seen_line || erased != c->reclaim.seen_erased) {
        c->reclaim.seen_line = line;
        c->reclaim.seen_erased = erased;
        c->reclaim.rests_on = c->state->size;
        c->reclaim.seen_at = c->steady;
        if (!c->reclaim.since)
            c->reclaim.since = c->steady;
    }
    return c->durable_size >= c->reclaim.rests_on;
}

static bool is_quiet(const struct core *c)
{
    return lines_rose(c) ||
           c->steady >= c->reclaim.seen_at + QUIET_MS * (second_us / 1000) ||
           c->steady >= c->reclaim.since + LONG_S * second_us;
}

/* --- Segments ------------------------------------------------------------- */

/* Erased slots of a segment's entries. */
static uint64_t erased_in(const struct core *c, uint64_t segment)
{
    return erasure_between(c->state->erasure,
                           ledger_segment_first(c->ledger, segment),
                           ledger_segment_first(c->ledger, segment + 1));
}

/* How many of them it was written again without. */
static uint64_t *taken_of(struct core *c, uint64_t segment)
{
    return &c->reclaim.taken[segment - 1];
}

static int taken_room(struct core *c, uint64_t segments)
{
    uint64_t *p;

    if (segments <= c->reclaim.taken_count)
        return 0;
    p = realloc(c->reclaim.taken, segments * sizeof *p);
    if (!p)
        return -ENOMEM;
    for (uint64_t i = c->reclaim.taken_count; i < segments; i++)
        p[i] = 0;
    c->reclaim.taken = p;
    c->reclaim.taken_count = segments;
    return 0;
}

/* The last one is not written again: what was erased there has a new one
 * begin. 0; CHOIR_READ_ONLY; negative errno. */
static int last_close(struct core *c)
{
    return erased_in(c, ledger_segments(c->ledger)) ? ledger_roll(c->ledger)
                                                    : 0;
}

/* --- A plan --------------------------------------------------------------- */

static void plan_end(struct core *c, bool done)
{
    reclaim_destroy(&c->reclaim.plan);
    if (done) {
        c->reclaim.line = c->reclaim.planned;
        c->reclaim.erased = c->reclaim.planned_erased;
    } else {
        c->reclaim.again = c->steady + NO_ROOM_AGAIN_S * second_us;
    }
}

static int plan_begin(struct core *c)
{
    int r;

    if (!is_durable(c) || !core_reclaims(c) || !is_quiet(c))
        return 0;
    r = last_close(c);
    if (!r)
        r = taken_room(c, ledger_segments(c->ledger));
    if (r == CHOIR_READ_ONLY)
        plan_end(c, false);
    if (r)
        return r < 0 ? r : 0;
    c->reclaim.plan =
        reclaim_new(c->state, c->config->segment_bytes / LEAST_SHARE);
    if (!c->reclaim.plan)
        return -ENOMEM;
    c->reclaim.all = lines_rose(c);
    c->reclaim.planned = compaction_sum(c->state->compaction);
    c->reclaim.planned_erased = erasure_count(c->state->erasure);
    c->reclaim.since = 0;
    c->reclaim.segment = ledger_segments(c->ledger);
    return 0;
}

static int segment_end(struct core *c)
{
    struct ledger_thinned thinned;
    int r = ledger_thin_end(c->ledger, false, &thinned);

    if (r == -EAGAIN)
        return 0;
    if (r == -ENOSPC) {
        plan_end(c, false);
        return 0;
    }
    if (r)
        return r;
    c->reclaim.bytes += thinned.bytes;
    *taken_of(c, c->reclaim.segment + 1) = c->reclaim.taking;
    return 0;
}

/* Is there anything to do in it? Lines concern them all, one after the other.
 */
static bool concerns(struct core *c, uint64_t segment)
{
    return c->reclaim.all || erased_in(c, segment) != *taken_of(c, segment);
}

static int segment_begin(struct core *c)
{
    struct reclaim *plan = c->reclaim.plan;
    uint64_t n = c->reclaim.segment;

    while (n && !concerns(c, n))
        n--;
    c->reclaim.segment = n ? n - 1 : 0;
    if (n == 0) {
        plan_end(c, true);
        return 0;
    }
    c->reclaim.taking = reclaim_erased(plan, ledger_segment_first(c->ledger, n),
                                       ledger_segment_first(c->ledger, n + 1));
    return ledger_thin_begin(c->ledger, n, reclaim_thinner(plan));
}

/* Not while a child reads, which knows only the old places. */
int core_reclaim(struct core *c)
{
    int r = 0;

    if (c->reclaim.held)
        return 0;
    if (ledger_thinning(c->ledger))
        r = segment_end(c);
    else if (!c->reclaim.plan)
        r = plan_begin(c);
    if (r || !c->reclaim.plan || ledger_thinning(c->ledger))
        return r;
    return segment_begin(c);
}
