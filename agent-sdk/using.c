/* A thread acts under one lease at a time: so what it reads joins the read set
 * without anybody having to think of it. */
#include "using.h"

#include "error.h"
#include "proto/refusal.h"

static __thread struct {
    uint64_t handle; /* serial */
    uint64_t task, token;
} mine;

uint64_t using_token(const struct choir *c)
{
    return mine.handle == c->serial ? mine.token : 0;
}

void using_begin(const struct choir *c, uint64_t task, uint64_t token)
{
    mine.handle = c->serial;
    mine.task = task;
    mine.token = token;
}

void using_end(const struct choir *c, uint64_t token)
{
    if (using_token(c) == token)
        mine.handle = mine.task = mine.token = 0;
}

int choir_lease_use(struct choir *c, uint64_t token)
{
    uint64_t task;
    int r = handle_check(c);

    if (r)
        return r;
    task = token ? reads_task(c->reads, token) : 0;
    if (token && !task)
        return error_set(CHOIR_FENCED, 0,
                         "token=%llu: this handle holds no such lease",
                         (unsigned long long)token);
    using_begin(c, task, token);
    return 0;
}

/* --- What requests carry -------------------------------------------------- */

static bool takes_lease(const struct choir_request *r)
{
    const struct message_row *row = message_row(request_verb(r));
    field_mask both = FIELD_BIT(TASK) | FIELD_BIT(TOKEN);

    return ((row->need | row->may) & both) == both &&
           !request_has(r, FIELD_TASK) && !request_has(r, FIELD_TOKEN);
}

static int lease_fill(const struct choir *c, struct choir_request *r)
{
    int e;

    if (!using_token(c) || !takes_lease(r))
        return 0;
    e = choir_request_uint(r, "task", mine.task);
    return e ? e : choir_request_uint(r, "token", mine.token);
}

static int reads_fill(struct choir *c, struct choir_request *r)
{
    uint64_t limit = choir_limit(c, "value_bytes_max");
    struct buf part = {0};
    unsigned slot;
    int e = 0;

    if (request_has(r, FIELD_READS) || !request_slots(r))
        return 0;
    if (reads_encode(c->reads, request_token(r), limit ? limit : SIZE_MAX,
                     &part)) {
        e = choir_request_slot(r, part.p, part.n, &slot);
        if (!e)
            e = choir_request_uint(r, "reads", slot);
    }
    buf_free(&part);
    return e;
}

static int heed_fill(struct choir *c, struct choir_request *r)
{
    if (request_has(r, FIELD_REVISION))
        return 0;
    return choir_request_uint(r, "revision",
                              reads_told(c->reads, request_token(r)));
}

/* The next attempt is to know what made this one stale. */
static int nak_fill(struct choir *c, struct choir_request *r)
{
    uint64_t stale = reads_stale(c->reads, request_token(r));

    if (!stale || request_has(r, FIELD_REVISION))
        return 0;
    return choir_request_uint(r, "revision", stale);
}

int using_fill(struct choir *c, struct choir_request *r)
{
    int e = lease_fill(c, r);

    if (e)
        return e;
    switch (request_verb(r)) {
    case MSG_COMPLETE: return reads_fill(c, r);
    case MSG_HEED: return heed_fill(c, r);
    case MSG_NAK: return nak_fill(c, r);
    default: return 0;
    }
}
