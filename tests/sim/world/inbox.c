/* What agents are told of their mailboxes and topics: all that stands there,
 * once, in order, and as it was sent; and what they read of their marks. */
#include "tests/sim/world/world.h"

enum {
    FIRST_WATCH = 2,
    CREDIT_MAX = 6,
    CREDIT_CALM = 100,
    /* What stands there is told long before all of this has passed. */
    PATIENCE_STEPS = 400,
    PATIENCE_US = 2000000,
};

void inbox_join(struct client *a)
{
    a->inboxes[0].box = a->number;
    a->inboxes[1].box = MODEL_AGENTS + a->number % MODEL_TOPICS;
}

void inbox_lost(struct client *a)
{
    for (size_t i = 0; i < INBOXES; i++) {
        a->inboxes[i].is_open = false;
        a->inboxes[i].credit = a->inboxes[i].missed = 0;
    }
}

bool inbox_is_one(uint64_t watch)
{
    return watch >= FIRST_WATCH && watch < FIRST_WATCH + INBOXES;
}

/* One that could give more credit waits for what comes, so that it is found
 * out if nobody tells it. */
static bool is_done(const struct world *w, const struct inbox *x)
{
    return x->is_open && !model_mail(&w->model, x->box, x->next);
}

bool inbox_is_done(const struct world *w, const struct client *a)
{
    for (size_t i = 0; i < INBOXES; i++)
        if (!is_done(w, &a->inboxes[i]))
            return false;
    return true;
}

/* --- Asking -------------------------------------------------------------- */

/* From the beginning, where it had come to, or as the broker thinks. */
static void draft_open(const struct inbox *x, struct question *q, struct msg *m)
{
    msg_set_text(m, FIELD_SPACE, SIM_SPACE);
    if (box_topic(x->box))
        msg_set_text(m, FIELD_TOPIC, box_topic(x->box));
    q->from = UINT64_MAX;
    if (world_any(2))
        q->from = world_any(2) ? 0 : x->next;
    if (q->from != UINT64_MAX)
        msg_set_u(m, FIELD_REVISION, q->from);
}

static bool is_asked(const struct client *a, const struct inbox *x)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        if (a->questions[i].number && a->questions[i].inbox == x &&
            a->questions[i].verb == MSG_INBOX)
            return true;
    return false;
}

/* Does it wait too long for the same one? */
static void watch_patience(struct world *w, struct client *a, struct inbox *x)
{
    const struct m_message *next = model_mail(&w->model, x->box, x->next);
    uint64_t revision =
        next && x->credit && !is_asked(a, x) ? next->revision : 0;

    if (revision != x->missed || !w->cycle) {
        x->missed = revision;
        x->missed_step = w->step;
        x->missed_at = world_now(w);
    }
    if (revision && w->step > x->missed_step + PATIENCE_STEPS &&
        world_now(w) > x->missed_at + PATIENCE_US)
        world_fail(w, "agent %d waits for message %lu, and is not told",
                   a->number, revision);
}

void inbox_act(struct world *w, struct client *a)
{
    struct inbox *x = &a->inboxes[world_any(INBOXES)];
    bool open = !x->is_open || (!x->credit && !w->calm && world_any(3) == 0);
    struct question *q;
    struct msg m;

    watch_patience(w, a, x);
    if (is_asked(a, x) || x->credit > CREDIT_MAX ||
        (w->calm && x->is_open && (x->credit || is_done(w, x))))
        return;
    q = question_new(w, a, open ? MSG_INBOX : MSG_CREDIT);
    if (!q)
        return;
    q->inbox = x;
    q->credit = w->calm ? CREDIT_CALM : world_any(CREDIT_MAX);
    msg_init(&m, q->verb);
    msg_set_u(&m, FIELD_WATCH, FIRST_WATCH + (uint64_t)(x - a->inboxes));
    msg_set_u(&m, FIELD_CREDIT, q->credit);
    if (open)
        draft_open(x, q, &m);
    x->is_open = true;
    x->credit += q->credit;
    question_ask(w, a, q, &m);
}

/* --- Being told ---------------------------------------------------------- */

static void pass(struct world *w, struct client *a, struct inbox *x,
                 uint64_t upto)
{
    const struct m_message *left = model_mail(&w->model, x->box, x->next);

    if (left && left->revision < upto)
        world_fail(w, "agent %d is not told of message %lu", a->number,
                   left->revision);
    if (upto > x->next)
        x->next = upto;
}

/* Said of the state with that many entries. */
static void told_upto(struct world *w, struct client *a, struct inbox *x,
                      uint64_t upto)
{
    if (upto >= w->model.size)
        world_fail(w, "agent %d's inbox has come to %lu, durable are %lu",
                   a->number, upto, w->model.size);
    pass(w, a, x, upto + 1);
}

static struct inbox *inbox_of(struct client *a, const struct msg *m)
{
    return inbox_is_one(msg_u(m, FIELD_WATCH))
               ? &a->inboxes[msg_u(m, FIELD_WATCH) - FIRST_WATCH]
               : NULL;
}

/* Of one that is about to be opened again nothing counts any more. */
void inbox_caught_up(struct world *w, struct client *a, const struct msg *m)
{
    struct inbox *x = inbox_of(a, m);

    if (!is_asked(a, x))
        told_upto(w, a, x, msg_u(m, FIELD_REVISION));
}

void inbox_replied(struct world *w, struct client *a, const struct question *q,
                   const struct msg *m)
{
    struct inbox *x = q->inbox;
    uint64_t code = msg_u(m, FIELD_OUTCOME), from = q->from;
    const char *topic = box_topic(x->box);

    if (code)
        world_fail(w, "agent %d's inbox: %s", a->number,
                   refusal_name((int)code));
    if (q->verb == MSG_CREDIT) {
        if (!is_asked(a, x))
            told_upto(w, a, x, msg_u(m, FIELD_REVISION));
        return;
    }
    if (from == UINT64_MAX)
        from = topic ? 1 + model_mark(&w->model, a->number, true,
                                      bytes_text(topic), msg_u(m, FIELD_SEEN))
                     : 0;
    x->next = from;
}

void inbox_turned_away(const struct question *q)
{
    if (q->verb == MSG_INBOX)
        q->inbox->is_open = false;
    q->inbox->credit -= q->credit;
}

/* As it was sent. */
static void check_message(struct world *w, struct client *a,
                          const struct m_message *x, const struct msg *m)
{
    struct hash sender = msg_hash(m, FIELD_AGENT);
    const char *topic = box_topic(x->box);
    const struct m_erased *e = model_erased(&w->model, x->revision, x->slot);

    if (!hash_equal(&sender, &w->model.agents[x->sender]) ||
        msg_u(m, FIELD_KIND) != x->kind ||
        msg_u(m, FIELD_REPLY_TO) != x->reply_to ||
        msg_u(m, FIELD_PREV) != x->prev || msg_u(m, FIELD_TASK) != x->task ||
        !bytes_equal(msg_b(m, FIELD_TOPIC), bytes_text(topic ? topic : "")))
        world_fail(w, "agent %d is told another message than %lu", a->number,
                   x->revision);
    if (msg_u(m, FIELD_OUTCOME) == CHOIR_ERASED
            ? !e
            : (e && e->index < a->before) ||
                  model_hash(msg_b(m, FIELD_VALUE)) != x->value)
        world_fail(w, "agent %d is told %s of message %lu, or another body",
                   a->number, refusal_name((int)msg_u(m, FIELD_OUTCOME)),
                   x->revision);
}

void inbox_message(struct world *w, struct client *a, const struct msg *m)
{
    struct inbox *x = inbox_of(a, m);
    uint64_t revision = msg_u(m, FIELD_REVISION);
    const struct m_message *sent =
        x ? model_sent(&w->model, x->box, revision) : NULL;

    if (!sent || !x->credit)
        world_fail(w, "agent %d is told of message %lu, %s", a->number,
                   revision, sent ? "unasked" : "which was not sent there");
    if (revision < x->next)
        world_fail(w, "agent %d is told of message %lu, where %lu may come",
                   a->number, revision, x->next);
    if (sent->gone && sent->gone < a->before)
        world_fail(w, "agent %d is told of message %lu, which left at %lu",
                   a->number, revision, sent->gone);
    pass(w, a, x, revision);
    check_message(w, a, sent, m);
    x->next = revision + 1;
    x->credit--;
    client_knows(a, revision);
    w->out->messages++;
}

/* --- Marks ---------------------------------------------------------------- */

void mark_ask(struct world *w, struct client *a)
{
    struct question *q = question_new(w, a, MSG_MARK_LIST);
    struct msg m;

    if (!q)
        return;
    snprintf(q->key, sizeof q->key, "%s%lu", world_any(2) ? "m/" : "t/",
             1 + world_any(MODEL_TOPICS));
    msg_init(&m, MSG_MARK_LIST);
    msg_set_text(&m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&m, *q->key == 't' ? FIELD_TOPIC : FIELD_NAME, q->key);
    question_ask(w, a, q, &m);
}

void mark_check(struct world *w, struct client *a, const struct question *q,
                const struct msg *m)
{
    uint64_t seen = msg_u(m, FIELD_SEEN);
    uint64_t wanted = model_mark(&w->model, a->number, *q->key == 't',
                                 bytes_text(q->key), seen);

    if (seen < q->floor || seen >= w->model.size ||
        msg_u(m, FIELD_REVISION) != wanted ||
        msg_u(m, FIELD_OUTCOME) != (wanted ? 0 : CHOIR_NOT_FOUND))
        world_fail(w, "agent %d's mark %s is said to be %lu at %lu, it is %lu",
                   a->number, q->key, msg_u(m, FIELD_REVISION), seen, wanted);
}
