/* What agents are told, and whether it is so. */
#include "tests/sim/world/world.h"

enum { RESEND_US = 30000 };

static bool held_drop(struct client *a, uint64_t task, uint64_t token)
{
    for (size_t i = 0; i < a->held_count; i++) {
        if (a->held[i].task != task || a->held[i].token != token)
            continue;
        a->held[i] = a->held[--a->held_count];
        return true;
    }
    return false;
}

/* --- Outcomes ------------------------------------------------------------ */

static void session_opened(struct world *w, struct client *a, uint64_t id)
{
    struct actor *x = &a->actor;

    if (x->session || !a->is_opening)
        return;
    x->session = id;
    x->next_seq = 1;
    x->answered = x->asks = 0;
    a->is_opening = false;
    world_say(w, "agent %d has session %lu", a->number, id);
}

static void recovered(struct world *w, struct client *a, int code)
{
    if (!a->actor.session)
        a->is_opening = false;
    w->out->recovered += code == CHOIR_OK;
}

static struct sent *sent_find(struct client *a, uint64_t seq)
{
    for (size_t i = 0; i < a->sent_count; i++)
        if (seq >= a->sent[i].first &&
            seq < a->sent[i].first + a->sent[i].count)
            return &a->sent[i];
    return NULL;
}

static void sent_settle(struct client *a)
{
    while (a->sent_count &&
           a->sent[0].answered == (UINT64_C(1) << a->sent[0].count) - 1) {
        a->actor.answered = a->sent[0].first + a->sent[0].count - 1;
        buf_free(&a->sent[0].frame);
        a->sent_count--;
        memmove(a->sent, a->sent + 1, a->sent_count * sizeof *a->sent);
    }
}

/* An outcome was told: it stands in the record, and durably. */
static void outcome(struct world *w, struct client *a, uint64_t session,
                    uint64_t seq, int code, uint64_t revision)
{
    const struct m_entry *e;
    struct sent *s;

    if (revision >= w->model.size)
        world_fail(w, "agent %d is told of %lu, durable are %lu", a->number,
                   revision, w->model.size);
    e = &w->model.entries[revision];
    if (e->agent != a->number || e->session != session || e->seq != seq ||
        e->outcome != code)
        world_fail(w,
                   "agent %d is told %s at %lu for %lu.%lu; there is %s for "
                   "%lu.%lu of agent %d",
                   a->number, refusal_name(code), revision, session, seq,
                   refusal_name(e->outcome), e->session, e->seq, e->agent);
    client_knows(a, revision);
    w->out->acknowledged++;
    if (session == 0 && e->verb == MSG_RECOVER)
        recovered(w, a, code);
    else if (session == 0)
        session_opened(w, a, revision);
    s = session && session == a->actor.session ? sent_find(a, seq) : NULL;
    if (s)
        s->answered |= UINT64_C(1) << (seq - s->first);
    sent_settle(a);
    if (session && session == a->actor.session)
        keys_heard(w, a, seq, code);
}

static struct question *question_find(struct client *a, uint64_t number)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (number && a->questions[i].number == number)
            return &a->questions[i];
    return NULL;
}

static void ask_turned_away(struct client *a, const struct msg *m)
{
    struct question *q = question_find(a, msg_u(m, FIELD_FIRST_SEQ));

    if (q && q->inbox)
        inbox_turned_away(q);
    else if (q && q->waiting)
        q->waiting->is_open = false;
    else
        return;
    q->number = 0;
}

static void turned_away(struct world *w, struct client *a, const struct msg *m)
{
    int code = (int)msg_u(m, FIELD_OUTCOME);
    bool asked = msg_u(m, FIELD_KIND) == BUNDLE_ASK;

    world_say(w, "agent %d is turned away: %s", a->number, refusal_name(code));
    if (asked && msg_u(m, FIELD_SESSION) == a->actor.session)
        ask_turned_away(a, m);
    switch (code) {
    case CHOIR_ANSWERED: return;
    case CHOIR_UNKNOWN_AGENT: /* with a key that has ended */
    case CHOIR_BUSY:
    case CHOIR_READ_ONLY:
    case CHOIR_SEQ_GAP:
        if (!a->actor.session)
            a->is_opening = false;
        else if (!asked)
            a->resend_at = world_now(w) + RESEND_US;
        return;
    case CHOIR_SESSION_ENDED:
        if (msg_u(m, FIELD_SESSION) == a->actor.session) {
            client_die(w, a);
            a->known = 0;
        }
        return;
    default:
        world_fail(w, "agent %d is turned away: %s", a->number,
                   refusal_name(code));
    }
}

/* --- Replies ------------------------------------------------------------- */

/* A lease that was not named as lost was prolonged, at the earliest when its
 * holder asked for it. */
static void check_heartbeat(struct world *w, struct client *a,
                            struct question *q, const struct msg *m)
{
    struct list items = msg_list(m, FIELD_ITEMS);
    struct msg item;

    while (list_next(&items, &item)) {
        held_drop(a, msg_u(&item, FIELD_TASK), msg_u(&item, FIELD_TOKEN));
        for (size_t i = 0; i < q->count; i++)
            if (q->items[i].token == msg_u(&item, FIELD_TOKEN))
                q->items[i].task = 0;
    }
    for (size_t i = 0; i < q->count; i++) {
        struct m_task *t = model_task(&w->model, q->items[i].task);

        waiting_holds(a, q->items[i].task ? q->items[i].token : 0,
                      msg_u(m, FIELD_SEEN));
        if (t && task_is_held(t) && t->token == q->items[i].token &&
            t->renewed < q->asked)
            t->renewed = q->asked;
    }
}

static void reply(struct world *w, struct client *a, const struct msg *m)
{
    struct question *q = question_find(a, msg_u(m, FIELD_ASK));

    if (!q)
        return;
    if (msg_u(m, FIELD_OUTCOME))
        world_say(w, "agent %d, ask %lu: %s", a->number, q->number,
                  refusal_name((int)msg_u(m, FIELD_OUTCOME)));
    switch (q->verb) {
    case MSG_GET:
    case MSG_LIST: read_check(w, a, q, m); break;
    case MSG_HEARTBEAT: check_heartbeat(w, a, q, m); break;
    case MSG_WATCH:
    case MSG_CREDIT:
        if (q->inbox)
            inbox_replied(w, a, q, m);
        else
            watch_replied(w, a, q, m);
        break;
    case MSG_INBOX: inbox_replied(w, a, q, m); break;
    case MSG_AWAIT: waiting_replied(w, a, q, m); break;
    case MSG_KEYS: keys_check(w, a, q, m); break;
    case MSG_MARK_LIST: mark_check(w, a, q, m); break;
    default: break;
    }
    q->number = 0;
}

/* --- Tasks --------------------------------------------------------------- */

static void task(struct world *w, struct client *a, const struct msg *m)
{
    struct held h = {msg_u(m, FIELD_TASK), msg_u(m, FIELD_TOKEN), 0, 0,
                     msg_u(m, FIELD_REVISION)};
    const struct m_entry *e =
        h.token < w->model.size ? &w->model.entries[h.token] : NULL;
    const struct m_task *t = model_task(&w->model, h.task);

    if (!e || e->verb != MSG_CLAIM)
        world_fail(w, "agent %d gets task %lu by %lu, which is no claim",
                   a->number, h.task, h.token);
    if (t && t->token == h.token && t->state == TASK_WORKING &&
        (t->holder != a->number || t->attempt != msg_u(m, FIELD_ATTEMPT)))
        world_fail(w, "agent %d gets task %lu of agent %d", a->number, h.task,
                   t->holder);
    w->out->claims++;
    h.input = waiting_task(w, a, m);
    held_drop(a, h.task, h.token);
    if (a->held_count < DRAFT_LEASES)
        a->held[a->held_count++] = h;
}

/* --- All of it ----------------------------------------------------------- */

static void hear(struct world *w, struct client *a, const struct answer *from,
                 const struct msg *m)
{
    bool is_mine = from->session == 0 || from->session == a->actor.session;
    uint64_t n = msg_u(m, FIELD_COUNT);

    if (!is_mine && m->verb != MSG_DONE && m->verb != MSG_DONE_ALL)
        return; /* of a life before this one */
    switch (m->verb) {
    case MSG_DONE:
        outcome(w, a, from->session, msg_u(m, FIELD_SEQ),
                (int)msg_u(m, FIELD_OUTCOME), msg_u(m, FIELD_REVISION));
        return;
    case MSG_DONE_ALL:
        for (uint64_t i = 0; i < n; i++)
            outcome(w, a, from->session, msg_u(m, FIELD_FIRST_SEQ) + i,
                    CHOIR_OK, msg_u(m, FIELD_REVISION) + i);
        return;
    case MSG_TURNED_AWAY: turned_away(w, a, m); return;
    case MSG_REPLY: reply(w, a, m); return;
    case MSG_CHANGE: watch_changed(w, a, m); return;
    case MSG_CAUGHT_UP:
        if (inbox_is_one(msg_u(m, FIELD_WATCH)))
            inbox_caught_up(w, a, m);
        else
            watch_told(w, a, msg_u(m, FIELD_REVISION));
        return;
    case MSG_MESSAGE: inbox_message(w, a, m); return;
    case MSG_TASK_STATE: waiting_state(w, a, m); return;
    case MSG_PARTIAL_TOLD: waiting_partial(w, a, m); return;
    case MSG_INPUT_TOLD: waiting_input(w, a, m); return;
    case MSG_TASK: task(w, a, m); return;
    case MSG_MOVED: client_moved(w, a, m); return;
    case MSG_LEASE_LOST:
        held_drop(a, msg_u(m, FIELD_TASK), msg_u(m, FIELD_TOKEN));
        return;
    case MSG_SESSION_OVER:
        if (msg_u(m, FIELD_SESSION) == a->actor.session)
            client_die(w, a);
        return;
    case MSG_WATCH_OVER: watch_over(w, a, m); return;
    default: return;
    }
}

void client_hear(struct world *w, struct client *a, struct bytes frame)
{
    struct answer answer;
    struct msg m;

    if (answer_open(&answer, frame) ||
        answer_verify(&answer, core_key(w->rig.core)->public_key))
        world_fail(w, "agent %d cannot open what it is sent", a->number);
    if (answer.size > w->model.size)
        world_fail(w, "%lu entries are said to be durable, they are %lu",
                   answer.size, w->model.size);
    if (answer.size > a->size) {
        a->before = a->size;
        a->size = answer.size;
    }
    while (answer_next(&answer, &m) == 0)
        hear(w, a, &answer, &m);
    waiting_check(w, a);
    looks_check(w, a, answer.size);
}
