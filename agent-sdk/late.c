#include "late.h"

#include <utlist.h>

#include "replica.h"

/* The claim is younger than everything the task can have been written from. */
static bool must_wait(struct choir *c, const struct choir_event *event)
{
    const struct msg *task =
        event->kind == MSG_TASK ? event_message(event) : NULL;

    return task && !replicas_complete(c, msg_u(task, FIELD_TOKEN));
}

static bool waits_for(const struct choir *c, uint64_t request)
{
    const struct choir_event *event;

    DL_FOREACH (c->late, event)
        if (event->request == request)
            return true;
    return false;
}

bool late_take(struct choir *c, struct choir_event *event)
{
    if (event->last) {
        late_drop(c, event->request);
        return false;
    }
    if (!must_wait(c, event) && !waits_for(c, event->request))
        return false;
    DL_APPEND(c->late, event);
    return true;
}

void late_look(struct choir *c)
{
    struct choir_event *event, *next;
    bool told = false;

    DL_FOREACH_SAFE (c->late, event, next) {
        if (must_wait(c, event))
            break;
        DL_DELETE(c->late, event);
        handle_deliver(c, event);
        told = true;
    }
    if (told)
        handle_changed(c);
}

void late_drop(struct choir *c, uint64_t request)
{
    struct choir_event *event, *next;

    DL_FOREACH_SAFE (c->late, event, next) {
        if (event->request != request)
            continue;
        DL_DELETE(c->late, event);
        handle_give_back(c, event);
        choir_event_free(&event);
    }
}
