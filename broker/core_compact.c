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
