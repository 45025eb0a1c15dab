#include "expected.h"

#include <stddef.h>
#include <utlist.h>

enum { LATE_MS = 5 /* much longer than from one answer to the next */ };

int expected_sleep_ms(const struct expected *x, unsigned handles)
{
    return x->others || (x->is_moving && handles > 1) ? LATE_MS : -1;
}

bool expected_is_late(const struct expected *x, int64_t now_ms)
{
    return x->others && now_ms - x->since_ms >= LATE_MS;
}

static void unqueue(struct expected *x, struct expectation *e)
{
    if (e->is_queued)
        DL_DELETE(x->others, e);
    e->is_queued = false;
}

void expected_due(struct expected *x, struct expectation *e)
{
    if (x->first != e)
        return;
    x->first = NULL;
    e->was_first = true;
}

struct expectation *expected_next(struct expected *x, int64_t now_ms)
{
    struct expectation *e = x->first ? NULL : x->others;

    if (!e)
        return NULL;
    x->since_ms = now_ms;
    unqueue(x, e);
    e->was_first = true;
    return e;
}

struct expectation *expected_late(struct expected *x, int64_t now_ms)
{
    x->first = NULL; /* it is told all the same */
    x->is_moving = x->others != NULL;
    return expected_next(x, now_ms);
}

static bool follows(struct expected *x, struct expectation *e, bool may_rest,
                    int64_t now_ms)
{
    if (e->is_queued)
        return true;
    if (!x->first && !x->others) {
        x->first = e;
        return false;
    }
    if (!may_rest)
        return false;
    if (!x->others)
        x->since_ms = now_ms;
    DL_APPEND(x->others, e);
    e->is_queued = true;
    return true;
}

bool expected_after(struct expected *x, struct expectation *e,
                    enum expects expects, bool has_heard, bool may_rest,
                    int64_t now_ms)
{
    bool was_first = e->was_first || x->first == e;

    expected_due(x, e);
    e->was_first = false;
    if (expects != EXPECTS_ANSWER) {
        expected_forget(x, e);
        return false;
    }
    x->is_moving = true;
    if (was_first && !has_heard) {
        unqueue(x, e);
        x->first = e;
        return false;
    }
    if (has_heard) /* what it waits for now was asked for last */
        unqueue(x, e);
    return follows(x, e, may_rest, now_ms);
}

void expected_forget(struct expected *x, struct expectation *e)
{
    if (x->first == e)
        x->first = NULL;
    unqueue(x, e);
    e->was_first = false;
}
