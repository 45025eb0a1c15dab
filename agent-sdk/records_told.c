/* What the broker says about operations, and what follows from it. The rule
 * in records.h decides between signing anew and sending the same bytes. */
#include <utlist.h>

#include "error.h"
#include "proto/refusal.h"
#include "records_private.h"

static void session_opened(struct records *r, uint64_t session)
{
    r->state = SESSION_OPEN;
    r->session = session;
    r->next_seq = 1;
    r->answered = 0;
    r->last = r->opening;
    r->backoff_ms = 0;
    r->trouble = 0;
}

static struct sent *sent_with(struct records *r, uint64_t seq)
{
    struct sent *s;

    DL_FOREACH (r->sent, s)
        if (seq >= s->first_seq && seq - s->first_seq < s->count)
            return s;
    return NULL;
}

/* Said twice under one operation id: the first outcome is the one. */
static void repeated(struct wire *w, struct op *op, const struct msg *item)
{
    struct msg effect;
    unsigned field;

    if (part_decode(MSG_EFFECT, msg_b(item, FIELD_EFFECT), &effect, &field)) {
        wire_outcome(w, op, MSG_DONE, CHOIR_REPEATED, 0, item, NULL);
        return;
    }
    wire_outcome(w, op, MSG_DONE, (int)msg_u(&effect, FIELD_OUTCOME),
                 msg_u(&effect, FIELD_REVISION), NULL, NULL);
}

/* item: NULL when there is nothing to tell but the revision. */
static void done(struct records *r, struct wire *w, uint64_t seq, int code,
                 uint64_t revision, const struct msg *item)
{
    struct sent *s = sent_with(r, seq);
    struct op *op = s ? s->ops[seq - s->first_seq] : NULL;

    if (!op)
        return; /* told a second time */
    ops_fetch(s->ops, s->count, seq - s->first_seq);
    s->ops[seq - s->first_seq] = NULL;
    s->left--;
    r->unanswered--;
    r->told += op->id != 0;
    op->number = seq;
    if (code == CHOIR_REPEATED && op->again && item)
        repeated(w, op, item);
    else
        wire_outcome(w, op, MSG_DONE, code, revision, item, NULL);
    while (r->sent && r->sent->left == 0) {
        r->answered = r->sent->first_seq + r->sent->count - 1;
        wire_round(w, r->sent->sent_ms);
        records_drop(r, r->sent);
    }
    r->backoff_ms = 0;
    r->trouble = 0;
}

static int opening_done(struct records *r, struct wire *w, int code,
                        uint64_t revision)
{
    if (code == 0) {
        session_opened(r, revision);
        return 0;
    }
    (void)w;
    return error_set(code, 0, "what=session: the broker opens no session: %s",
                     refusal_sentence(code));
}

static int done_item(struct records *r, struct wire *w, const struct msg *item)
{
    uint64_t seq = msg_u(item, FIELD_SEQ);
    int code = (int)msg_u(item, FIELD_OUTCOME);
    uint64_t revision = msg_u(item, FIELD_REVISION);

    if (seq == 0)
        return r->state == SESSION_OPENING ? opening_done(r, w, code, revision)
                                           : 0;
    done(r, w, seq, code, revision, msg_has(item, FIELD_EFFECT) ? item : NULL);
    return 0;
}

static int done_all_item(struct records *r, struct wire *w,
                         const struct msg *item)
{
    uint64_t first = msg_u(item, FIELD_FIRST_SEQ);
    uint64_t revision = msg_u(item, FIELD_REVISION);
    uint64_t count = msg_u(item, FIELD_COUNT);

    if (first == 0)
        return r->state == SESSION_OPENING
                   ? opening_done(r, w, 0, revision + count - 1)
                   : 0;
    if (count > LIMIT_BUNDLE_OPS)
        return 0;
    for (uint64_t i = 0; i < count; i++) {
        done(r, w, first + i, 0, revision + i, NULL);
    }
    return 0;
}

/* --- Turned away ---------------------------------------------------------- */

/* Everything behind the refused bundle has been turned away too: its numbers
 * are free, and so are theirs. */
static void sign_anew(struct records *r)
{
    struct op *again = NULL;

    r->next_seq = r->sent->first_seq;
    r->last = r->sent->before;
    while (r->sent) {
        records_take_ops(r->sent, &again);
        records_drop(r, r->sent);
    }
    records_requeue(r, again);
    r->draining = false;
    r->again_ms = 0;
}

static bool accounted_for(const struct records *r)
{
    const struct sent *s;

    DL_FOREACH (r->sent, s)
        if (s->copies)
            return false;
    return true;
}

static bool definite(const struct sent *s)
{
    for (; s; s = s->next)
        if (s->elsewhere)
            return false;
    return true;
}

static void refuse(struct records *r, struct wire *w, struct sent *s,
                   const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            wire_outcome(w, s->ops[i], MSG_DONE, code, 0, item, NULL);
        s->ops[i] = NULL;
    }
    r->draining = true;
    if (accounted_for(r))
        sign_anew(r);
}

/* The whole bundle was refused. Its operations are told so if no copy of it
 * can be accepted any more; otherwise the same bytes go out again. */
static void refused(struct records *r, struct wire *w, struct sent *s,
                    const struct msg *item)
{
    r->trouble = (int)msg_u(item, FIELD_OUTCOME);
    if (s == r->sent && s->copies == 0 && definite(s))
        refuse(r, w, s, item);
    else
        records_backoff(r, w);
}

static int fatal(const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    return error_set(
        code, 0, "what=bundle: %s%s%.*s", refusal_sentence(code),
        msg_has(item, FIELD_TEXT) ? ": " : "", (int)msg_b(item, FIELD_TEXT).n,
        msg_has(item, FIELD_TEXT) ? (const char *)msg_b(item, FIELD_TEXT).p
                                  : "");
}

static int opening_away(struct records *r, struct wire *w,
                        const struct msg *item)
{
    int code = (int)msg_u(item, FIELD_OUTCOME);

    if (r->state != SESSION_OPENING)
        return 0;
    switch (code) {
    case CHOIR_READ_ONLY:
    case CHOIR_BUSY:
    case CHOIR_RATE:
        r->trouble = code;
        r->state = SESSION_NONE;
        records_backoff(r, w);
        return 0;
    case CHOIR_EPOCH_CHANGED: /* the answer's header told the new one */
        r->state = SESSION_NONE;
        r->again_ms = w->now_ms;
        return 0;
    case CHOIR_BAD_CHALLENGE: w->reconnect = true; return 0;
    default: return fatal(item);
    }
}

/* The bytes of this bundle are refused for what they are: never again. */
static void abandon(struct records *r, struct wire *w, struct sent *s, int code,
                    const char *line)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (s->ops[i])
            wire_outcome(w, s->ops[i], MSG_DONE, code, 0, NULL, line);
        s->ops[i] = NULL;
    }
    records_session_over(r, w);
}

static int judge(struct records *r, struct wire *w, struct sent *s,
                 const struct msg *item)
{
    switch (msg_u(item, FIELD_OUTCOME)) {
    case CHOIR_BUSY:
        r->trouble = CHOIR_BUSY;
        records_backoff(r, w);
        return 0;
    case CHOIR_SEQ_GAP:
        if (!r->again_ms)
            records_backoff(r, w);
        return 0;
    case CHOIR_READ_ONLY:
    case CHOIR_RATE:
    case CHOIR_TOO_LARGE: refused(r, w, s, item); return 0;
    case CHOIR_SESSION_ENDED:
    case CHOIR_EPOCH_CHANGED: records_session_over(r, w); return 0;
    case CHOIR_MALFORMED: abandon(r, w, s, CHOIR_MALFORMED, NULL); return 0;
    case CHOIR_ANSWERED:
    case CHOIR_EQUIVOCATION:
        abandon(r, w, s, CHOIR_OUTCOME_UNKNOWN,
                "OUTCOME_UNKNOWN: the broker and the library disagree about "
                "this session");
        return 0;
    default: return fatal(item);
    }
}

static int turned_away(struct records *r, struct wire *w,
                       const struct msg *item)
{
    uint64_t session = msg_u(item, FIELD_SESSION);
    struct sent *s;

    if (session == 0)
        return opening_away(r, w, item);
    if (session != r->session)
        return 0;
    s = sent_with(r, msg_u(item, FIELD_FIRST_SEQ));
    if (!s || s->first_seq != msg_u(item, FIELD_FIRST_SEQ))
        return 0;
    if (s->copies)
        s->copies--;
    if (r->draining) {
        if (accounted_for(r))
            sign_anew(r);
        return 0;
    }
    return judge(r, w, s, item);
}

int records_item(struct records *r, struct wire *w, const struct msg *item)
{
    switch (item->verb) {
    case MSG_DONE: return done_item(r, w, item);
    case MSG_DONE_ALL: return done_all_item(r, w, item);
    case MSG_TURNED_AWAY: return turned_away(r, w, item);
    case MSG_SESSION_OVER:
        /* With bundles under way their turn-aways follow and say more. */
        if (msg_u(item, FIELD_SESSION) == r->session && !r->sent)
            records_session_over(r, w);
        return 0;
    default: return 0;
    }
}
