/* Submissions with everything they may say, pieces of results, and questions:
 * made of requests, like the calls for single verbs. */
#include "tasks.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "proto/refusal.h"

enum { ITEM_INPUT = 7 }; /* its kind in the reply to task_get */

void names_add(struct choir_request *r, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        choir_request_begin(r, "capabilities");
        choir_request_text(r, "name", names[i]);
        choir_request_end(r);
    }
}

void capabilities_free(struct choir *c)
{
    for (size_t i = 0; i < c->capability_count; i++)
        free(c->capabilities[i]);
    free(c->capabilities);
    c->capabilities = NULL;
    c->capability_count = 0;
}

int choir_capabilities(struct choir *c, const char *const *names, size_t count)
{
    int r = handle_check(c);

    if (r)
        return r;
    pthread_mutex_lock(&c->work_lock);
    capabilities_free(c);
    c->capabilities = calloc(count ? count : 1, sizeof *c->capabilities);
    for (size_t i = 0; c->capabilities && i < count; i++) {
        c->capabilities[i] = strdup(names[i]);
        if (!c->capabilities[i])
            break;
        c->capability_count++;
    }
    if (c->capability_count != count)
        capabilities_free(c);
    r = c->capability_count == count ? 0 : error_set(-ENOMEM, 0, NULL);
    pthread_mutex_unlock(&c->work_lock);
    return r;
}

/* Send, and the revision of what was done. */
static int revision_call(struct choir *c, struct choir_request **r,
                         uint64_t *revision)
{
    struct choir_event *e = NULL;
    int code;

    if (!*r)
        return choir_error_code();
    code = choir_call(c, r, c->timeout_ms, &e);
    if (!code && revision)
        *revision = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return code;
}

static struct choir_request *begin(struct choir *c, const char *verb)
{
    return handle_check(c) ? NULL : choir_request_new(c, verb);
}

/* --- Submitting ------------------------------------------------------------ */

static void set_if(struct choir_request *r, const char *field, uint64_t n)
{
    if (n)
        choir_request_uint(r, field, n);
}

static void options_set(struct choir_request *r,
                        const struct choir_submit_options *o)
{
    if (o->type)
        choir_request_text(r, "type", o->type);
    if (o->id)
        choir_request_text(r, "id", o->id);
    set_if(r, "priority", o->priority);
    set_if(r, "max_attempts", o->max_attempts);
    set_if(r, "lease_ms", o->lease_ms);
    set_if(r, "backoff_ms", o->backoff_ms);
    set_if(r, "not_before", o->not_before);
    set_if(r, "deadline", o->deadline);
    set_if(r, "parent", o->parent);
    for (size_t i = 0; i < o->need_count; i++) {
        choir_request_begin(r, "needs");
        choir_request_uint(r, "task", o->needs[i]);
        choir_request_end(r);
    }
    names_add(r, o->capabilities, o->capability_count);
}

int choir_submit_with(struct choir *c, const char *queue, const void *payload,
                      size_t bytes, const struct choir_submit_options *options,
                      uint64_t *task)
{
    struct choir_request *r = begin(c, "submit");

    if (r) {
        choir_request_text(r, "queue", queue);
        choir_request_slot(r, payload, bytes, NULL);
        options_set(r, options);
    }
    return revision_call(c, &r, task);
}

int choir_input(struct choir *c, uint64_t task, uint64_t question,
                const void *value, size_t bytes)
{
    struct choir_request *r = begin(c, "input");

    if (r) {
        choir_request_uint(r, "task", task);
        set_if(r, "revision", question);
        choir_request_slot(r, value, bytes, NULL);
    }
    return revision_call(c, &r, NULL);
}

/* --- Working --------------------------------------------------------------- */

static int say(struct choir *c, const char *verb,
               const struct choir_event *task, const void *value, size_t bytes,
               uint64_t *revision)
{
    struct choir_request *r = begin(c, verb);

    if (r) {
        choir_request_uint(r, "task", choir_event_uint(task, "task"));
        choir_request_uint(r, "token", choir_event_uint(task, "token"));
        choir_request_slot(r, value, bytes, NULL);
    }
    return revision_call(c, &r, revision);
}

int choir_partial(struct choir *c, const struct choir_event *task,
                  const void *value, size_t bytes)
{
    return say(c, "partial", task, value, bytes, NULL);
}

static int left_of(int64_t deadline)
{
    int64_t left = deadline - sdk_clock_ms();

    return deadline < 0 ? -1 : left < 0 ? 0 : (int)left;
}

/* What is told of it. *waits: the task is still as the question left it. */
static int await_look(const struct choir_event *e, uint64_t question,
                      bool *waits)
{
    uint64_t state = choir_event_uint(e, "state");

    if (choir_event_code(e))
        return error_line(choir_event_code(e), 0, choir_event_explain(e));
    *waits = choir_event_uint(e, "revision") <= question ||
             state == CHOIR_TASK_INPUT_REQUIRED;
    return *waits || state == CHOIR_TASK_WORKING
               ? 0
               : error_set(CHOIR_TERMINAL, 0, "task=%llu: it is not ours now",
                           (unsigned long long)choir_event_uint(e, "task"));
}

/* It may have been answered before the await began. */
static int state_look(struct choir *c, uint64_t task, uint64_t question,
                      bool *waits)
{
    struct choir_request *r = begin(c, "task_get");
    const struct choir_event *item;
    struct choir_event *e = NULL;
    int code;

    if (!r)
        return choir_error_code();
    choir_request_uint(r, "task", task);
    code = choir_call(c, &r, c->timeout_ms, &e);
    item = code ? NULL : choir_event_item(e, "items", 0);
    if (item)
        code = await_look(item, question, waits);
    choir_event_free(&e);
    return code;
}

static int answered_wait(struct choir *c, uint64_t task, uint64_t question,
                         int64_t deadline)
{
    struct choir_request *r = begin(c, "await");
    struct choir_event *e;
    bool waits = true, over = false;
    uint64_t id;
    int code;

    if (!r)
        return choir_error_code();
    choir_request_uint(r, "task", task);
    code = handle_send(c, &r, left_of(deadline), true, &id);
    choir_request_free(&r);
    if (code)
        return code;
    while (!code && waits) {
        code = choir_wait(c, id, left_of(deadline), &e);
        if (code)
            break;
        code = await_look(e, question, &waits);
        if (!code && e->kind == MSG_REPLY)
            code = state_look(c, task, question, &waits);
        over = choir_event_last(e);
        choir_event_free(&e);
    }
    if (!over)
        handle_forget(c, id);
    return code;
}

/* As the event that would have told it. */
static struct choir_event *answer_event(const struct choir_event *task,
                                        const struct choir_event *item)
{
    const struct msg *from = event_message(item);
    struct choir_event *e = event_new(0, MSG_WORK, MSG_INPUT_TOLD, 0);
    struct msg m;

    msg_init(&m, MSG_INPUT_TOLD);
    msg_set_u(&m, FIELD_TASK, choir_event_uint(task, "task"));
    msg_set_u(&m, FIELD_TOKEN, choir_event_uint(task, "token"));
    msg_set_u(&m, FIELD_REVISION, msg_u(from, FIELD_REVISION));
    msg_set_b(&m, FIELD_VALUE, msg_b(from, FIELD_VALUE));
    if (msg_has(from, FIELD_TYPE))
        msg_set_b(&m, FIELD_TYPE, msg_b(from, FIELD_TYPE));
    if (e && event_keep(e, &m))
        choir_event_free(&e);
    return e;
}

static int answer_get(struct choir *c, const struct choir_event *task,
                      struct choir_event **answer)
{
    struct choir_request *r = begin(c, "task_get");
    struct choir_event *e = NULL;
    int code;

    if (!r)
        return choir_error_code();
    choir_request_uint(r, "task", choir_event_uint(task, "task"));
    code = choir_call(c, &r, c->timeout_ms, &e);
    for (size_t i = code ? 0 : choir_event_count(e, "items"); i--;) {
        const struct choir_event *item = choir_event_item(e, "items", i);

        if (choir_event_uint(item, "kind") != ITEM_INPUT)
            continue;
        *answer = answer_event(task, item);
        break;
    }
    choir_event_free(&e);
    return code || *answer ? code : error_set(-ENOMEM, 0, NULL);
}

int choir_ask_input(struct choir *c, const struct choir_event *task,
                    const void *question, size_t bytes, int timeout_ms,
                    struct choir_event **answer)
{
    uint64_t id = choir_event_uint(task, "task"), asked = 0;
    int64_t deadline = deadline_after(timeout_ms);
    int code = say(c, "ask_input", task, question, bytes, &asked);

    *answer = NULL;
    if (!code)
        code = answered_wait(c, id, asked, deadline);
    return code ? code : answer_get(c, task, answer);
}
