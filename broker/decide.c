/* What becomes of an operation: who may say it at all, and which function has
 * the rest. Grants come first, so that a refusal tells nothing that the asker
 * may not see. */
#include "decide_private.h"

#include <errno.h>

#include "proto/refusal.h"

bool by_broker(const struct decision *d)
{
    return d->f->agent == BROKER;
}

bool author_may(const struct decision *d, enum right right, struct bytes space,
                struct bytes key, struct bytes queue)
{
    return d->author &&
           (by_broker(d) || agent_may(d->author, right, space, key, queue));
}

int over_limit(struct decision *d, const char *field, uint64_t limit,
               uint64_t size)
{
    msg_set_u(d->effect, FIELD_SIZE, size);
    msg_set_u(d->effect, FIELD_LIMIT, limit);
    msg_set_text(d->effect, FIELD_FIELD, field);
    return CHOIR_OVER_LIMIT;
}

int slots_fit(struct decision *d, size_t least, size_t most)
{
    size_t n = msg_slots(d->op);

    if (n < least || n > most)
        return CHOIR_INVALID;
    for (size_t i = 0; i < n; i++) {
        uint32_t bytes = msg_slot_bytes(d->op, i);

        if (bytes > d->s->rules.value_bytes_max)
            return over_limit(d, "value_bytes_max", d->s->rules.value_bytes_max,
                              bytes);
    }
    return 0;
}

int names_fit(struct bytes space, struct bytes key)
{
    return space.n == 0 || key.n == 0 || bytes_equal(space, bytes_text("*"))
               ? CHOIR_INVALID
               : 0;
}

/* The task, if its live lease is the author's and the token is right. */
struct task *held_task(const struct decision *d)
{
    struct task *t = task_by_id(d->s->tasks, msg_u(d->op, FIELD_TASK));

    if (!t || !t->token || t->holder != d->f->agent ||
        t->token != msg_u(d->op, FIELD_TOKEN))
        return NULL;
    return t;
}

/* Writes may name the lease they were made under. */
int lease_fits(const struct decision *d)
{
    bool task = msg_has(d->op, FIELD_TASK);

    if (task != msg_has(d->op, FIELD_TOKEN))
        return CHOIR_INVALID;
    return task && !held_task(d) ? CHOIR_FENCED : 0;
}

/* --- One function per verb --------------------------------------------------- */

static int decide_ok(struct decision *d)
{
    (void)d; /* the broker says what it did, and core saw to it that it is so */
    return CHOIR_OK;
}

typedef int (*decide_verb)(struct decision *d);

static const decide_verb verbs[256] = {
    [MSG_SESSION_OPEN] = decide_session_open,
    [MSG_SESSION_CLOSE] = decide_session_close,
    [MSG_ENROL] = decide_enrol,
    [MSG_INVITE] = decide_invite,
    [MSG_GRANT] = decide_grant,
    [MSG_REVOKE] = decide_revoke,
    [MSG_ROTATE] = decide_rotate,
    [MSG_SUSPECT] = decide_suspect,
    [MSG_RECOVER] = decide_recover,
    [MSG_PUT] = decide_put,
    [MSG_DELETE] = decide_delete,
    [MSG_TXN] = decide_txn,
    [MSG_SUBMIT] = decide_submit,
    [MSG_PROGRESS] = decide_progress,
    [MSG_COMPLETE] = decide_complete,
    [MSG_FAIL] = decide_fail,
    [MSG_NAK] = decide_nak,
    [MSG_CANCEL] = decide_cancel,
    [MSG_REQUEUE] = decide_requeue,
    [MSG_POLICY] = decide_policy,
    [MSG_APPEND] = decide_append,
    [MSG_INCR] = decide_incr,
    [MSG_SEND] = decide_send,
    [MSG_MARK] = decide_mark,
    [MSG_PARTIAL] = decide_partial,
    [MSG_ASK_INPUT] = decide_ask_input,
    [MSG_INPUT] = decide_input,
    [MSG_QUEUE_SET] = decide_queue_set,
    [MSG_COMPACT] = decide_compact,
    [MSG_ERASE] = decide_erase,
    [MSG_HEED] = decide_heed,
    [MSG_GENESIS] = decide_ok,
    [MSG_ADMIT] = decide_ok,
    [MSG_CLAIM] = decide_claim,
    [MSG_EXPIRE] = decide_expire,
    [MSG_SESSION_END] = decide_session_end,
    [MSG_CHECKPOINT] = decide_ok,
    [MSG_NEW_EPOCH] = decide_ok,
    [MSG_CUT] = decide_ok,
    [MSG_TAPPED] = decide_ok,
    [MSG_RULES] = decide_ok,
    [MSG_FORGET] = decide_ok,
    [MSG_EQUIVOCATE] = decide_session_end,
    [MSG_GIVE_UP] = decide_give_up,
    [MSG_LAPSE] = decide_lapse,
    [MSG_ERASED] = decide_erased,
};

/* Joining stands in session 0; everything else needs a session that lives and
 * an author whose key is valid now, at the moment it is applied. */
static int place_fits(const struct decision *d)
{
    bool joins = d->op->verb == MSG_ENROL || d->op->verb == MSG_SESSION_OPEN ||
                 d->op->verb == MSG_RECOVER;

    if (by_broker(d))
        return 0;
    if (joins != (d->f->session == 0))
        return CHOIR_INVALID;
    if (joins)
        return 0;
    if (!d->author || d->author->revoked)
        return CHOIR_DENIED;
    return session_by_id(d->s->sessions, d->f->session) ? 0 : CHOIR_INVALID;
}

/* One operation for one id, whichever process says it again. */
static int id_fits(struct decision *d)
{
    int outcome;
    uint64_t first;

    if (!msg_has(d->op, FIELD_ID))
        return 0;
    if (msg_b(d->op, FIELD_ID).n == 0)
        return CHOIR_INVALID;
    first = operation_id_find(d->s->agents, d->f->agent, msg_b(d->op, FIELD_ID),
                              &outcome);
    if (!first)
        return 0;
    msg_set_u(d->effect, FIELD_REVISION, first);
    msg_set_u(d->effect, FIELD_OUTCOME, (uint64_t)outcome);
    return CHOIR_REPEATED;
}

void decide_fetch(const struct state *s, const struct bundle *b)
{
    struct context_name names[INDEX_FETCH_MAX];
    size_t n = 0;

    for (uint32_t i = 0; i < b->count; i++) {
        const struct bundle_op *op = &b->ops[i];

        if (op->key.n)
            names[n++] = (struct context_name){op->space, op->key};
        if (n == INDEX_FETCH_MAX || i + 1 == b->count) {
            context_fetch(s->context, names, n);
            n = 0;
        }
    }
}

void decide_values_free(struct decide_values *v)
{
    buf_free(&v->rows);
    buf_free(&v->payload);
    buf_free(&v->base);
    buf_free(&v->theirs);
    buf_free(&v->yours);
    buf_free(&v->value);
}

/* Whatever was merged before it was refused is nobody's. */
static void values_clear(struct decide_values *v)
{
    if (!v)
        return;
    buf_clear(&v->rows);
    buf_clear(&v->payload);
}

int decide(const struct state *s, const struct msg *op,
           const struct decide_facts *facts, struct msg *effect,
           struct buf *scratch)
{
    struct decision d = {
        .s = s,
        .op = op,
        .f = facts,
        .author = agent_by_number(s->agents, facts->agent),
        .effect = effect,
        .scratch = scratch,
    };
    int r;

    msg_init(effect, MSG_EFFECT);
    buf_clear(scratch);
    values_clear(facts->values);
    if (!verbs[op->verb])
        return CHOIR_UNSUPPORTED;
    r = place_fits(&d);
    if (!r)
        r = id_fits(&d);
    if (!r)
        r = verbs[op->verb](&d);
    if (r)
        values_clear(facts->values);
    return scratch->failed ? -ENOMEM : r;
}
