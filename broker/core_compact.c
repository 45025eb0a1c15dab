/* Compaction as it was configured, by age, count and size. */
#include <errno.h>

#include "core_private.h"
#include "proto/refusal.h"

enum { LOOK_AGAIN_S = 60 }; /* age alone makes a segment due */

static const uint64_t second_us = 1000000;

static struct ledger_keep wanted(const struct core *c)
{
    uint64_t age = c->config->compact_age_s * second_us;

    return (struct ledger_keep){
        .entries = c->config->compact_entries,
        .bytes = c->config->compact_bytes,
        .since = age && age < c->time ? c->time - age : 0,
    };
}

static int say_compact(struct core *c, uint64_t line)
{
    struct msg m;
    uint64_t index;

    msg_init(&m, MSG_COMPACT);
    msg_set_u(&m, FIELD_REVISION, line);
    msg_set_text(&m, FIELD_REASON, "configured");
    return core_say(c, &m, &index);
}

int core_compact(struct core *c)
{
    struct ledger_keep keep = wanted(c);
    uint64_t segments = ledger_segments(c->ledger), line;
    struct bytes all = {0};
    int r;

    if ((!keep.entries && !keep.bytes && !keep.since) ||
        (segments == c->compact_segments && c->steady < c->compact_again))
        return 0;
    r = ledger_surplus(c->ledger, &keep, &line);
    if (!r && line > compaction_line(c->state->compaction, all))
        r = say_compact(c, line);
    if (r)
        return r;
    c->compact_segments = segments;
    c->compact_again = c->steady + LOOK_AGAIN_S * second_us;
    return 0;
}

/* --- Giving space back ---------------------------------------------------- */

enum {
    LEAST_SHARE = 8, /* of a segment, that makes the work worth it */
    NO_ROOM_AGAIN_S = 60,
};

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
}

static void plan_end(struct core *c, bool done)
{
    reclaim_destroy(&c->reclaim.plan);
    if (done)
        c->reclaim.line = c->reclaim.planned;
    else
        c->reclaim.again = c->steady + NO_ROOM_AGAIN_S * second_us;
}

/* Lines only rise, so their sum tells whether one did; what they permit must
 * not be undone by a crash. */
static int plan_begin(struct core *c)
{
    uint64_t sum = compaction_sum(c->state->compaction);

    if (sum != c->reclaim.planned) {
        c->reclaim.planned = sum;
        c->reclaim.rests_on = c->state->size;
    }
    if (sum == c->reclaim.line || c->steady < c->reclaim.again ||
        c->durable_size < c->reclaim.rests_on)
        return 0;
    c->reclaim.plan =
        reclaim_new(c->state, c->config->segment_bytes / LEAST_SHARE);
    if (!c->reclaim.plan)
        return -ENOMEM;
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
    if (!r)
        c->reclaim.bytes += thinned.bytes;
    return r;
}

bool core_reclaims(const struct core *c)
{
    return c->reclaim.plan ||
           (c->steady >= c->reclaim.again &&
            c->reclaim.line != compaction_sum(c->state->compaction));
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
    if (c->reclaim.segment == 0) {
        plan_end(c, true);
        return 0;
    }
    return ledger_thin_begin(c->ledger, c->reclaim.segment--,
                             reclaim_thinner(c->reclaim.plan));
}
