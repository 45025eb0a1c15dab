/* The calls for single verbs, made of requests and events. */
#include "calls.h"

#include <errno.h>

#include "error.h"
#include "proto/pack.h"
#include "proto/refusal.h"
#include "using.h"

int event_error(const struct choir_event *e)
{
    uint64_t revision = choir_event_uint(e, "revision");
    const struct choir_event *effect = choir_event_item(e, "effect", 0);

    if (effect)
        revision = choir_event_uint(effect, "revision");
    return error_line(e->code, revision, choir_event_explain(e));
}

int choir_call(struct choir *c, struct choir_request **r, int timeout_ms,
               struct choir_event **out)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct choir_event *e = NULL;
    uint64_t id;
    int code = handle_check(c);

    if (out)
        *out = NULL;
    if (!code)
        code = handle_send(c, r, timeout_ms, true, &id);
    choir_request_free(r);
    if (code)
        return code;
    if (deadline >= 0)
        timeout_ms = (int)(deadline - sdk_clock_ms());
    code =
        choir_wait(c, id, timeout_ms < 0 && deadline >= 0 ? 0 : timeout_ms, &e);
    if (code) {
        handle_forget(c, id);
        return code;
    }
    if (e->code)
        code = event_error(e);
    if (out)
        *out = e;
    else
        choir_event_free(&e);
    return code;
}

int call_revision(struct choir *c, struct choir_request **r, uint64_t *revision)
{
    struct choir_event *e;
    int code;

    if (!*r)
        return choir_error_code();
    code = choir_call(c, r, c->timeout_ms, &e);
    if (e && !code && revision)
        *revision = e->revision;
    choir_event_free(&e);
    return code;
}

int call_reply(struct choir *c, struct choir_request **r,
               struct choir_event **e)
{
    int code;

    *e = NULL;
    if (!*r)
        return choir_error_code();
    code = choir_call(c, r, c->timeout_ms, e);
    if (code)
        choir_event_free(e);
    return code;
}

static struct choir_request *request(struct choir *c, const char *verb)
{
    return handle_check(c) ? NULL : choir_request_new(c, verb);
}

/* --- Context -------------------------------------------------------------- */

static int put(struct choir *c, const char *key, const void *value,
               size_t bytes, const uint64_t *if_revision, uint64_t *revision)
{
    struct choir_request *r = request(c, "put");

    if (r) {
        choir_request_text(r, "key", key);
        choir_request_slot(r, value, bytes, NULL);
        if (if_revision)
            choir_request_uint(r, "if_revision", *if_revision);
    }
    return call_revision(c, &r, revision);
}

int choir_put(struct choir *c, const char *key, const void *value, size_t bytes,
              uint64_t *revision)
{
    return put(c, key, value, bytes, NULL, revision);
}

int choir_put_if(struct choir *c, const char *key, const void *value,
                 size_t bytes, uint64_t if_revision, uint64_t *revision)
{
    return put(c, key, value, bytes, &if_revision, revision);
}

int choir_delete(struct choir *c, const char *key, uint64_t if_revision,
                 uint64_t *revision)
{
    struct choir_request *r = request(c, "delete");

    if (r) {
        choir_request_text(r, "key", key);
        if (if_revision)
            choir_request_uint(r, "if_revision", if_revision);
    }
    return call_revision(c, &r, revision);
}

int choir_append(struct choir *c, const char *key, const void *element,
                 size_t bytes, uint64_t *revision)
{
    struct choir_request *r = request(c, "append");

    if (r) {
        choir_request_text(r, "key", key);
        choir_request_slot(r, element, bytes, NULL);
    }
    return call_revision(c, &r, revision);
}

int choir_incr(struct choir *c, const char *key, int64_t by, uint64_t *revision)
{
    struct choir_request *r = request(c, "incr");
    struct buf number = {0};

    pack_int(&number, by);
    if (r) {
        choir_request_text(r, "key", key);
        choir_request_slot(r, number.p, number.n, NULL);
    }
    buf_free(&number);
    return call_revision(c, &r, revision);
}

int choir_policy(struct choir *c, const char *prefix, const char *policy,
                 uint64_t *revision)
{
    struct choir_request *r = request(c, "policy");

    if (r) {
        choir_request_text(r, "prefix", prefix);
        choir_request_uint(r, "rule", merge_rule_number(bytes_text(policy)));
    }
    return call_revision(c, &r, revision);
}

int choir_erase(struct choir *c, const char *key, uint64_t at_revision,
                const char *reason, uint64_t *revision)
{
    struct choir_request *r = request(c, "erase");

    if (r) {
        choir_request_text(r, "key", key);
        if (at_revision)
            choir_request_uint(r, "revision", at_revision);
        if (reason)
            choir_request_text(r, "reason", reason);
    }
    return call_revision(c, &r, revision);
}

int choir_get(struct choir *c, const char *key, uint64_t at_revision,
              struct choir_event **e)
{
    struct choir_request *r = request(c, "get");

    if (r) {
        choir_request_text(r, "key", key);
        if (at_revision)
            choir_request_uint(r, "revision", at_revision);
    }
    return call_reply(c, &r, e);
}

int choir_list(struct choir *c, const char *prefix, const char *after,
               uint64_t at_revision, struct choir_event **e)
{
    struct choir_request *r = request(c, "list");

    if (r) {
        choir_request_text(r, "prefix", prefix);
        if (after)
            choir_request_text(r, "after", after);
        if (at_revision)
            choir_request_uint(r, "revision", at_revision);
    }
    return call_reply(c, &r, e);
}

int choir_log(struct choir *c, const char *key, uint64_t from,
              struct choir_event **e)
{
    struct choir_request *r = request(c, "log");

    if (r) {
        choir_request_text(r, "key", key);
        if (from)
            choir_request_uint(r, "revision", from);
    }
    return call_reply(c, &r, e);
}

/* Where the page before ended, of the version that it was about. */
static void blame_resume(struct choir_request *r,
                         const struct choir_event *page)
{
    uint64_t prev = choir_event_uint(page, "prev");
    const char *after = choir_event_text(page, "after");

    choir_request_uint(r, "revision", choir_event_uint(page, "revision"));
    if (prev)
        choir_request_uint(r, "prev", prev);
    if (after)
        choir_request_text(r, "after", after);
}

int choir_blame(struct choir *c, const char *key, uint64_t at_revision,
                const struct choir_event *page, struct choir_event **e)
{
    struct choir_request *r = request(c, "blame");

    if (r) {
        choir_request_text(r, "key", key);
        if (page)
            blame_resume(r, page);
        else if (at_revision)
            choir_request_uint(r, "revision", at_revision);
    }
    return call_reply(c, &r, e);
}

int call_begin(struct choir *c, struct choir_request **r, uint64_t *id)
{
    struct choir_event *e = NULL;
    int code;

    if (!*r)
        return choir_error_code();
    code = handle_send(c, r, c->timeout_ms, true, id);
    choir_request_free(r);
    if (code)
        return code;
    code = choir_wait(c, *id, c->timeout_ms, &e);
    if (code) {
        handle_forget(c, *id);
        return code;
    }
    if (e->code)
        code = event_error(e);
    choir_event_free(&e);
    if (!code)
        handle_release(c, *id);
    return code;
}

int choir_watch(struct choir *c, const char *prefix, uint64_t from,
                uint64_t *watch)
{
    struct choir_request *r = request(c, "watch");

    if (r) {
        choir_request_text(r, "prefix", prefix);
        choir_request_uint(r, "revision", from);
    }
    return call_begin(c, &r, watch);
}

/* --- Marks ---------------------------------------------------------------- */

int choir_mark(struct choir *c, const char *name, uint64_t revision)
{
    struct choir_request *r = request(c, "mark");

    if (r) {
        choir_request_text(r, "name", name);
        choir_request_uint(r, "revision", revision);
    }
    return call_revision(c, &r, NULL);
}

int choir_marked(struct choir *c, const char *name, uint64_t *revision)
{
    struct choir_request *r = request(c, "mark_list");
    struct choir_event *e;
    int code;

    *revision = 0;
    if (r)
        choir_request_text(r, "name", name);
    code = call_reply(c, &r, &e);
    if (e)
        *revision = e->revision;
    choir_event_free(&e);
    return code == CHOIR_NOT_FOUND ? 0 : code;
}

/* --- Tasks ---------------------------------------------------------------- */

int choir_submit(struct choir *c, const char *queue, const void *payload,
                 size_t bytes, uint64_t *task)
{
    struct choir_request *r = request(c, "submit");

    if (r) {
        choir_request_text(r, "queue", queue);
        choir_request_slot(r, payload, bytes, NULL);
    }
    return call_revision(c, &r, task);
}

static int left_of(int64_t deadline)
{
    int64_t left = deadline - sdk_clock_ms();

    return deadline < 0 ? -1 : left < 0 ? 0 : (int)left;
}

int choir_result(struct choir *c, uint64_t task, int timeout_ms,
                 struct choir_event **out)
{
    struct choir_request *r = request(c, "await");
    int64_t deadline = deadline_after(timeout_ms);
    struct choir_event *e = NULL;
    uint64_t id;
    int code;

    *out = NULL;
    if (!r)
        return choir_error_code();
    choir_request_uint(r, "task", task);
    code = handle_send(c, &r, timeout_ms, true, &id);
    choir_request_free(&r);
    while (!code) {
        code = choir_wait(c, id, left_of(deadline), &e);
        if (code) {
            handle_forget(c, id);
            return code;
        }
        if (e->kind == MSG_TASK_STATE && e->last) {
            *out = e;
            return 0;
        }
        if (e->code)
            code = event_error(e);
        choir_event_free(&e);
    }
    return code;
}

bool choir_task_held(struct choir *c, const struct choir_event *task)
{
    return !handle_check(c) &&
           leases_held(c->leases, choir_event_uint(task, "token"));
}

/* A request that speaks for the task's lease. */
static struct choir_request *task_request(struct choir *c, const char *verb,
                                          const struct choir_event *task)
{
    struct choir_request *r = request(c, verb);

    if (r) {
        choir_request_uint(r, "task", choir_event_uint(task, "task"));
        choir_request_uint(r, "token", choir_event_uint(task, "token"));
    }
    return r;
}

int choir_progress(struct choir *c, const struct choir_event *task,
                   const void *value, size_t bytes)
{
    struct choir_request *r = task_request(c, "progress", task);

    if (r)
        choir_request_slot(r, value, bytes, NULL);
    return call_revision(c, &r, NULL);
}

/* For calls that end the task: with it this thread's lease is over. */
static int call_end(struct choir *c, struct choir_request **r,
                    uint64_t *revision)
{
    uint64_t token = *r ? request_token(*r) : 0;
    int code = call_revision(c, r, revision);

    if (token && !leases_held(c->leases, token))
        using_end(c, token);
    return code;
}

int choir_complete(struct choir *c, const struct choir_event *task,
                   const void *result, size_t bytes)
{
    struct choir_request *r = choir_complete_new(c, task, result, bytes);

    return call_end(c, &r, NULL);
}

int choir_fail(struct choir *c, const struct choir_event *task,
               const char *reason)
{
    struct choir_request *r = task_request(c, "fail", task);

    if (r)
        choir_request_text(r, "reason", reason);
    return call_end(c, &r, NULL);
}

int choir_nak(struct choir *c, const struct choir_event *task,
              const char *reason)
{
    struct choir_request *r = task_request(c, "nak", task);

    if (r && reason)
        choir_request_text(r, "reason", reason);
    return call_end(c, &r, NULL);
}

/* --- Transactions --------------------------------------------------------- */

struct choir_request *choir_txn_new(struct choir *c)
{
    return request(c, "txn");
}

struct choir_request *choir_complete_new(struct choir *c,
                                         const struct choir_event *task,
                                         const void *result, size_t bytes)
{
    struct choir_request *r = task_request(c, "complete", task);

    if (r)
        choir_request_slot(r, result, bytes, NULL);
    return r;
}

static void compare(struct choir_request *r, const char *field,
                    const char *text, uint64_t revision)
{
    if (!r || choir_request_begin(r, "compares"))
        return;
    choir_request_text(r, field, text);
    choir_request_uint(r, "revision", revision);
    choir_request_end(r);
}

void choir_txn_compare(struct choir_request *r, const char *key,
                       uint64_t revision)
{
    compare(r, "key", key, revision);
}

void choir_txn_unchanged(struct choir_request *r, const char *prefix,
                         uint64_t revision)
{
    compare(r, "prefix", prefix, revision);
}

void choir_txn_put(struct choir_request *r, const char *key, const void *value,
                   size_t bytes)
{
    unsigned slot;

    if (!r || choir_request_slot(r, value, bytes, &slot) ||
        choir_request_begin(r, "writes"))
        return;
    choir_request_text(r, "key", key);
    choir_request_uint(r, "slot", slot);
    choir_request_end(r);
}

void choir_txn_delete(struct choir_request *r, const char *key)
{
    if (!r || choir_request_begin(r, "writes"))
        return;
    choir_request_text(r, "key", key);
    choir_request_end(r);
}

int choir_commit(struct choir *c, struct choir_request **r, uint64_t *revision)
{
    if (!*r)
        return error_set(-ENOMEM, 0, NULL);
    if (request_verb(*r) == MSG_COMPLETE)
        return call_end(c, r, revision);
    return call_revision(c, r, revision);
}
