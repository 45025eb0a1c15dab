/* Tree heads: ours to show to others, and others' held against ours. */
#include <errno.h>
#include <string.h>

#include "error.h"
#include "handle.h"
#include "proof.h"
#include "proto/refusal.h"

static int growth_call(struct choir *c, uint64_t old, uint64_t size,
                       struct choir_event **e)
{
    struct choir_request *r = choir_request_new(c, "consistency");

    if (!r)
        return choir_error_code();
    choir_request_uint(r, "prev", old);
    choir_request_uint(r, "size", size);
    return choir_call(c, &r, c->timeout_ms, e);
}

static struct checkpoint seen_of(struct choir *c)
{
    struct checkpoint seen;

    pthread_mutex_lock(&c->lock);
    seen = c->seen;
    pthread_mutex_unlock(&c->lock);
    return seen;
}

static int fork_told(const struct checkpoint *head)
{
    return error_set(CHOIR_BROKEN, 0,
                     "what=fork size=%llu: the broker has signed that head "
                     "and shows us another ledger",
                     (unsigned long long)head->size);
}

/* The two heads of one size: that one, and the one we are shown. */
static int fork_find(struct choir *c, const char *text,
                     const struct checkpoint *head, char **evidence)
{
    struct choir_event *e = NULL;
    const char *ours = NULL;

    if (evidence && !growth_call(c, 1, head->size, &e))
        ours = choir_event_text(e, "text");
    if (ours)
        *evidence = proof_fork(text, ours, &c->id.broker);
    choir_event_free(&e);
    return fork_told(head);
}

int choir_root_check(struct choir *c, uint64_t size, const void *root)
{
    struct checkpoint seen, head = {.size = size}, now;
    struct choir_event *e = NULL;
    int code = handle_check(c);

    if (code)
        return code;
    memcpy(head.root.b, root, HASH_BYTES);
    seen = seen_of(c);
    if (size <= seen.size)
        code = growth_call(c, size, seen.size, &e);
    if (!code && (!e || proof_growth(e, &head, &c->id.broker, &now) ||
                  now.size != seen.size || !hash_equal(&now.root, &seen.root)))
        code = error_set(CHOIR_BROKEN, 0,
                         "what=seen_root size=%llu: another agent was shown "
                         "another ledger, or says so",
                         (unsigned long long)size);
    choir_event_free(&e);
    return code;
}

int choir_head(struct choir *c, char **text)
{
    struct checkpoint seen, now;
    struct choir_event *e = NULL;
    int code = handle_check(c);

    *text = NULL;
    if (code)
        return code;
    seen = seen_of(c);
    code = growth_call(c, seen.size, seen.size, &e);
    if (!code && proof_growth(e, &seen, &c->id.broker, &now))
        code = fork_told(&seen);
    if (!code) {
        *text = strdup(choir_event_text(e, "text"));
        code = *text ? 0 : error_set(-ENOMEM, 0, NULL);
    }
    choir_event_free(&e);
    return code;
}

int choir_head_check(struct choir *c, const char *text, char **evidence)
{
    struct checkpoint head, seen, now;
    struct choir_event *e = NULL;
    int code = handle_check(c);

    if (evidence)
        *evidence = NULL;
    if (!code)
        code = proof_head(text, &c->id.broker, &head);
    if (code)
        return code;
    seen = seen_of(c);
    if (head.epoch != seen.epoch)
        return error_set(CHOIR_EPOCH_CHANGED, 0,
                         "epoch=%llu ours=%llu: signed before or after a "
                         "restore",
                         (unsigned long long)head.epoch,
                         (unsigned long long)seen.epoch);
    if (head.size > seen.size)
        return error_set(CHOIR_FUTURE, 0, "size=%llu ours=%llu: %s",
                         (unsigned long long)head.size,
                         (unsigned long long)seen.size,
                         "our ledger has not come so far; ask again later");
    code = growth_call(c, head.size, seen.size, &e);
    if (!code && (proof_growth(e, &head, &c->id.broker, &now) ||
                  now.size != seen.size || !hash_equal(&now.root, &seen.root)))
        code = fork_find(c, text, &head, evidence);
    choir_event_free(&e);
    return code;
}
