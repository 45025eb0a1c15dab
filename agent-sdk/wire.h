/* What the two halves of a session, records and asks, have in common: who we
 * are, how a bundle is signed and sent, and where outcomes go. Engine only. */
#ifndef CHOIR_SDK_WIRE_H
#define CHOIR_SDK_WIRE_H

#include "connection.h"
#include "event.h"
#include "growth.h"
#include "identity.h"
#include "leases.h"
#include "proto/bundle.h"
#include "reads.h"
#include "request.h"

/* A bundle is sent while others are under way only if it is worth its
 * signature; otherwise it collects what comes until they are answered. Half of
 * what is under way: so what one answer sets free is not sent in shreds. */
enum {
    BUNDLES_UNDER_WAY = 16,
    BUNDLE_OPS_WORTH = 32,
    BUNDLE_BYTES_WORTH = 65536,
    BUNDLE_BYTES_USUAL = 1048576,
    SILENCE_MS = 10000, /* unanswered for so long: say it again */
    CARRY_MS = 1000,    /* at most so often, a bundle tells the head seen */
    ROUND_MAX_MS = 20,  /* more than that is not the broker's usual pace */
};

struct wire {
    const struct identity *id;
    struct connection *connection; /* shared with the engine */
    struct verifier verifier;
    struct growth growth;  /* what it must show before it is believed */
    struct leases *leases; /* shared with the handle */
    struct reads *reads;   /* likewise */
    struct hash challenge; /* of the present connection */
    struct buf labels;     /* encoded pairs */
    unsigned label_count;
    uint64_t ops_max, bytes_max; /* of a bundle, as the broker said */
    uint64_t carried;            /* size of the head told last, */
    int64_t carried_ms;          /* and when */
    struct bundle_writer writer;
    const struct msg *heard; /* the item that is being heard, */
    struct bytes heard_raw;  /* as it came; or NULL */
    int64_t now_ms;
    int64_t round_ms; /* what a bundle took last, ROUND_MAX_MS at most */
    struct choir_event *events; /* to be published, oldest first */
    struct op *records;         /* the library's own, to be recorded */
    struct op *spare;           /* by next: done with, reset */
    bool reconnect;             /* somebody found the connection dead */
};

void wire_free(struct wire *w);
/* Of what was to be published only that the requests have ended, with this. */
void wire_disown_events(struct wire *w, int code, const char *line);

/* Is it? ops: of them under way, without an outcome. */
static inline bool wire_worth(size_t queued, size_t queued_bytes, size_t ops)
{
    return ops == 0 || queued_bytes >= BUNDLE_BYTES_WORTH ||
           (queued >= BUNDLE_OPS_WORTH && queued >= ops / 2);
}

/* A bundle sent then has all its answers. */
static inline void wire_round(struct wire *w, int64_t sent_ms)
{
    int64_t ms = w->now_ms - sent_ms;

    w->round_ms = ms > ROUND_MAX_MS ? ROUND_MAX_MS : ms;
}

/* How many ops of the queue go into one bundle, 1 or more. */
size_t wire_share(const struct wire *w, const struct op *queue);

/* Sign ops as one bundle and append its frame. ops: the first of `count` in a
 * list. 0 or -ENOMEM. */
int wire_sign(struct wire *w, struct bundle_facts *facts, struct op *ops,
              size_t count, struct buf *frame, struct hash *hash);

/* Bookkeeping for one outcome, and its event unless the op is our own. Takes
 * op. item: the message it came in, kept if it says more than code and
 * revision; or NULL. line: why, if the library itself says it; or NULL. */
void wire_outcome(struct wire *w, struct op *op, enum message kind, int code,
                  uint64_t revision, const struct msg *item, const char *line);
/* An event of a standing request. */
void wire_event(struct wire *w, uint64_t request, enum message verb,
                const struct msg *item, int code, bool last);
/* Give a task back. */
void wire_nak(struct wire *w, uint64_t task, uint64_t token);

#endif
