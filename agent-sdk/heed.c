/* What moved under a task in hand, and the answer to it. */
#include <errno.h>

#include "error.h"
#include "proto/refusal.h"
#include "using.h"

static int not_held(uint64_t token)
{
    return error_set(CHOIR_FENCED, 0,
                     "token=%llu: the lease is over, or was never held by "
                     "this handle",
                     (unsigned long long)token);
}

static int moved_event(uint64_t revision, struct bytes item,
                       struct choir_event **e)
{
    *e = event_new(0, MSG_WORK, MSG_MOVED, 0);
    if (*e && event_keep_bytes(*e, item))
        choir_event_free(e);
    if (!*e)
        return error_set(-ENOMEM, 0, NULL);
    (*e)->revision = revision;
    return 0;
}

/* 0: nothing yet, or *e. */
static int moved_look(struct choir *c, uint64_t token, struct choir_event **e)
{
    struct buf item = {0};
    uint64_t revision;
    int r = 0;

    if (!leases_held(c->leases, token))
        r = not_held(token);
    else if (reads_pending(c->reads, token, &revision, &item))
        r = moved_event(revision, buf_bytes(&item), e);
    buf_free(&item);
    return r;
}

int choir_moved(struct choir *c, uint64_t token, int timeout_ms,
                struct choir_event **moved)
{
    struct sleep s;
    int r = handle_check(c);

    *moved = NULL;
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    s = handle_sleep_begin(c, timeout_ms);
    do {
        r = moved_look(c, token, moved);
        if (!r && !*moved)
            r = c->ended ? handle_ended(c) : handle_sleep(c, &s);
    } while (!r && !*moved);
    pthread_mutex_unlock(&c->lock);
    return r;
}

int choir_heed(struct choir *c, uint64_t token, enum choir_heed heed,
               uint64_t revision, const char *reason)
{
    uint64_t task = handle_check(c) ? 0 : reads_task(c->reads, token);
    struct choir_request *r;
    int e;

    if (!task)
        return handle_check(c) ? CHOIR_CLOSED : not_held(token);
    r = choir_request_new(c, "heed");
    if (!r)
        return choir_error_code();
    choir_request_uint(r, "task", task);
    choir_request_uint(r, "token", token);
    choir_request_uint(r, "kind", heed);
    if (revision)
        choir_request_uint(r, "revision", revision);
    if (reason)
        choir_request_text(r, "reason", reason);
    e = choir_call(c, &r, c->timeout_ms, NULL);
    if (heed == CHOIR_ABANDON && (!e || e == CHOIR_FENCED))
        using_end(c, token);
    return e;
}
