/* Who reads a box stands at it, so that what is sent finds him; who has
 * something to be told stands in one line, and is told a few at a time. */
#include "mailbox.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "changes.h"
#include "proto/refusal.h"
#include "tally.h"

enum {
    PUMP_MESSAGES = 1024, /* told per cycle, over all */
    SLICE = 64,           /* and to one before the next one's turn */
};

/* QUIET: told all there is, or without credit. DUE: in line. STALLED: its
 * connection has no room. */
enum inbox_stand { INBOX_QUIET, INBOX_DUE, INBOX_STALLED };

struct inbox_id {
    uint64_t session, number;
};

/* A box that somebody reads. */
struct spot {
    struct inbox *readers;
    UT_hash_handle hh;
    struct box_key key;
};

struct inbox {
    struct inbox_id id;
    struct presence *p;
    struct spot *spot;
    uint64_t next, credit;
    uint64_t opened_at; /* last entry there was */
    bool caught_up;
    enum inbox_stand stand;
    struct inbox *prev, *next_in;      /* at its spot */
    struct inbox *due_prev, *due_next; /* in line */
    struct inbox *p_prev, *p_next;     /* of its presence */
    UT_hash_handle hh;
    size_t space_bytes, topic_bytes;
    char names[]; /* space, topic */
};

struct inboxes {
    const struct state *state;
    struct ledger *ledger;
    struct router *router;
    struct inbox *all, *due;
    struct spot *spots;
    struct tally per_agent;
};

struct inboxes *inboxes_new(const struct state *state, struct ledger *ledger,
                            struct router *router)
{
    struct inboxes *i = calloc(1, sizeof *i);

    if (!i)
        return NULL;
    i->state = state;
    i->ledger = ledger;
    i->router = router;
    return i;
}

void inboxes_destroy(struct inboxes **self_p)
{
    struct inboxes *i = *self_p;

    if (!i)
        return;
    tally_free(&i->per_agent);
    free(i);
    *self_p = NULL;
}

static struct box_id box_of(const struct inbox *x)
{
    struct bytes topic = bytes_of(x->names + x->space_bytes, x->topic_bytes);

    return (struct box_id){
        .agent = topic.n ? AGENT_NONE : x->p->agent,
        .space = bytes_of(x->names, x->space_bytes),
        .topic = topic,
    };
}

static const struct agent *reader_of(const struct inboxes *i,
                                     const struct presence *p)
{
    return agent_by_number(i->state->agents, p->agent);
}

/* Its own mailbox in a space it belongs to, or a topic that it may read as it
 * would a key of that name. */
static bool may_read(const struct agent *a, const struct box_id *box)
{
    return box->topic.n ? agent_may(a, RIGHT_READ, box->space, box->topic,
                                    (struct bytes){0})
                        : agent_belongs(a, box->space);
}

/* --- Where an inbox stands ----------------------------------------------- */

static struct spot *spot_find(const struct inboxes *i, const struct box_key *k)
{
    struct spot *s;

    HASH_FIND(hh, i->spots, k->b, (unsigned)k->n, s);
    return s;
}

static struct spot *spot_make(struct inboxes *i, const struct box_key *k)
{
    struct spot *s = spot_find(i, k);

    if (s)
        return s;
    s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->key = *k;
    HASH_ADD_KEYPTR(hh, i->spots, s->key.b, (unsigned)s->key.n, s);
    return s;
}

static void spot_tidy(struct inboxes *i, struct spot *s)
{
    if (s->readers)
        return;
    HASH_DEL(i->spots, s);
    free(s);
}

static void inbox_stand(struct inboxes *i, struct inbox *x,
                        enum inbox_stand stand)
{
    if (x->stand == INBOX_DUE)
        DL_DELETE2(i->due, x, due_prev, due_next);
    x->stand = stand;
    if (stand == INBOX_DUE)
        DL_APPEND2(i->due, x, due_prev, due_next);
}

static struct inbox *inbox_find(const struct inboxes *i,
                                const struct presence *p, uint64_t number)
{
    const struct inbox_id id = {p->session, number};
    struct inbox *x;

    HASH_FIND(hh, i->all, &id, sizeof id, x);
    return x;
}

static void inbox_free(struct inboxes *i, struct inbox *x)
{
    struct spot *s = x->spot;

    inbox_stand(i, x, INBOX_QUIET);
    HASH_DEL(i->all, x);
    DL_DELETE2(s->readers, x, prev, next_in);
    DL_DELETE2(x->p->inboxes, x, p_prev, p_next);
    tally_sub(&i->per_agent, x->p->agent);
    free(x);
    spot_tidy(i, s);
}

static struct inbox *inbox_new(struct presence *p,
                               const struct inbox_request *q)
{
    struct inbox *x = calloc(1, sizeof *x + q->space.n + q->topic.n);

    if (!x)
        return NULL;
    x->id = (struct inbox_id){p->session, q->number};
    x->p = p;
    x->next = q->from;
    x->credit = q->credit;
    x->space_bytes = q->space.n;
    x->topic_bytes = q->topic.n;
    memcpy(x->names, q->space.p, q->space.n);
    if (q->topic.n)
        memcpy(x->names + q->space.n, q->topic.p, q->topic.n);
    return x;
}

int inbox_open(struct inboxes *i, struct presence *p,
               const struct inbox_request *q, uint64_t limit_max)
{
    struct box_id box = {.agent = q->topic.n ? AGENT_NONE : p->agent,
                         .space = q->space,
                         .topic = q->topic};
    struct inbox *x;
    struct box_key key;
    struct spot *spot;
    int r;

    if (!q->space.n)
        return CHOIR_INVALID;
    if (!may_read(reader_of(i, p), &box))
        return CHOIR_DENIED;
    inbox_close(i, p, q->number);
    r = tally_add(&i->per_agent, p->agent, limit_max);
    if (r)
        return r;
    box_key(&box, &key);
    spot = spot_make(i, &key);
    x = spot ? inbox_new(p, q) : NULL;
    if (!x) {
        if (spot)
            spot_tidy(i, spot);
        tally_sub(&i->per_agent, p->agent);
        return -ENOMEM;
    }
    x->spot = spot;
    x->opened_at = i->state->size - 1;
    HASH_ADD(hh, i->all, id, sizeof x->id, x);
    DL_APPEND2(spot->readers, x, prev, next_in);
    DL_APPEND2(p->inboxes, x, p_prev, p_next);
    inbox_stand(i, x, INBOX_DUE);
    return 0;
}

int inbox_credit(struct inboxes *i, struct presence *p, uint64_t number,
                 uint64_t credit, uint64_t *told)
{
    struct inbox *x = inbox_find(i, p, number);

    if (!x)
        return CHOIR_NOT_FOUND;
    *told = x->next ? x->next - 1 : 0;
    x->credit = credit > LIMIT_UINT_MAX_WIRE - x->credit ? LIMIT_UINT_MAX_WIRE
                                                         : x->credit + credit;
    if (x->stand == INBOX_QUIET && credit)
        inbox_stand(i, x, INBOX_DUE);
    return 0;
}

int inbox_close(struct inboxes *i, struct presence *p, uint64_t number)
{
    struct inbox *x = inbox_find(i, p, number);

    if (!x)
        return CHOIR_NOT_FOUND;
    inbox_free(i, x);
    return 0;
}

void inboxes_wake(struct inboxes *i, struct presence *p)
{
    struct inbox *x;

    DL_FOREACH2(p->inboxes, x, p_next)
    {
        if (x->stand == INBOX_STALLED)
            inbox_stand(i, x, INBOX_DUE);
    }
}

void inboxes_drop(struct inboxes *i, struct presence *p)
{
    while (p->inboxes)
        inbox_free(i, p->inboxes);
}

static void inbox_deny(struct inboxes *i, struct inbox *x)
{
    struct msg m;

    msg_init(&m, MSG_WATCH_OVER);
    msg_set_u(&m, FIELD_WATCH, x->id.number);
    msg_set_u(&m, FIELD_OUTCOME, CHOIR_DENIED);
    presence_say(i->router, x->p, &m);
    inbox_free(i, x);
}

void inboxes_recheck(struct inboxes *i, struct presence *p)
{
    struct inbox *x, *next;

    DL_FOREACH_SAFE2(p->inboxes, x, next, p_next)
    {
        struct box_id box = box_of(x);

        if (!may_read(reader_of(i, p), &box))
            inbox_deny(i, x);
    }
}

/* --- What is sent -------------------------------------------------------- */

static void touch(struct inboxes *i, struct bytes space, const struct msg *m)
{
    struct box_id box;
    struct box_key key;
    struct spot *s;
    struct inbox *x;

    if (!state_box(i->state, space, m, &box))
        return;
    box_key(&box, &key);
    s = spot_find(i, &key);
    if (!s)
        return;
    DL_FOREACH2(s->readers, x, next_in)
    {
        if (x->stand == INBOX_QUIET && x->credit)
            inbox_stand(i, x, INBOX_DUE);
    }
}

void inboxes_touch(struct inboxes *i, const struct msg *op)
{
    struct list sends = msg_list(op, FIELD_SENDS);
    const struct task *t;
    struct msg m;

    if (!i->all)
        return;
    if (op->verb == MSG_SEND) {
        touch(i, msg_b(op, FIELD_SPACE), op);
        return;
    }
    t = task_by_id(i->state->tasks, msg_u(op, FIELD_TASK));
    while (t && list_next(&sends, &m))
        touch(i, bytes_text(t->queue->space), &m);
}

/* --- Telling ------------------------------------------------------------- */

/* A message as the record has it: of which head, of which slot, and what was
 * decided about it. */
struct sent {
    struct msg head, row, effect, item;
    size_t slot;
};

/* The message of a completion that went to that box. 0 or -EUCLEAN. */
static int sent_row(const struct state *s, const struct box_id *box,
                    struct list *items, struct sent *out)
{
    struct list sends = msg_list(&out->head, FIELD_SENDS);
    uint64_t writes = msg_u(&out->head, FIELD_WRITES);
    struct box_id to;

    while (writes-- && list_next(items, &out->item))
        ;
    while (list_next(&sends, &out->row) && list_next(items, &out->item)) {
        if (state_box(s, box->space, &out->row, &to) &&
            to.agent == box->agent && bytes_equal(to.topic, box->topic)) {
            out->slot = (size_t)msg_u(&out->row, FIELD_SLOT);
            return 0;
        }
    }
    return -EUCLEAN;
}

static int sent_read(const struct state *s, const struct entry *e,
                     const struct box_id *box, struct sent *out)
{
    struct list items;
    unsigned field;

    msg_init(&out->effect, MSG_EFFECT);
    if (msg_decode(e->head, CLASS_OPERATION, &out->head, &field) ||
        part_decode(MSG_EFFECT, e->effect, &out->effect, &field))
        return -EUCLEAN;
    items = msg_list(&out->effect, FIELD_ITEMS);
    if (out->head.verb == MSG_COMPLETE)
        return sent_row(s, box, &items, out);
    out->row = out->head;
    out->slot = 0;
    return list_next(&items, &out->item) ? 0 : -EUCLEAN;
}

static void copy_fields(struct msg *to, const struct msg *from,
                        const enum field *fields, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!msg_has(from, fields[i]))
            continue;
        to->has |= (field_mask)1 << fields[i];
        to->v[fields[i]] = from->v[fields[i]];
    }
}

static int say_message(struct inboxes *i, struct inbox *x,
                       const struct box_id *box, const struct mail_message *at)
{
    static const enum field of_row[] = {FIELD_TYPE, FIELD_REPLY_TO,
                                        FIELD_TOPIC};
    static const enum field of_head[] = {FIELD_TASK};
    static const enum field of_item[] = {FIELD_PREV};
    const struct agent *sender = agent_by_number(i->state->agents, at->sender);
    const struct entry *e;
    struct sent sent;
    struct msg m;
    int r = ledger_body(i->ledger, at->revision, &e);

    if (!r)
        r = sent_read(i->state, e, box, &sent);
    if (r || !sender)
        return r < 0 ? r : -EUCLEAN;
    msg_init(&m, MSG_MESSAGE);
    msg_set_u(&m, FIELD_WATCH, x->id.number);
    msg_set_u(&m, FIELD_REVISION, at->revision);
    msg_set_u(&m, FIELD_TIME, e->time);
    msg_set_hash(&m, FIELD_AGENT, &sender->id);
    msg_set_u(&m, FIELD_KIND, msg_u(&sent.row, FIELD_KIND));
    copy_fields(&m, &sent.row, of_row, 3);
    copy_fields(&m, &sent.head, of_head, 1);
    copy_fields(&m, &sent.item, of_item, 1);
    slot_tell(e, sent.slot, &m);
    presence_say(i->router, x->p, &m);
    return 0;
}

static void say_caught_up(struct inboxes *i, struct inbox *x)
{
    struct msg m;

    x->caught_up = true;
    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, x->id.number);
    msg_set_u(&m, FIELD_REVISION, x->opened_at);
    presence_say(i->router, x->p, &m);
}

/* What comes next for it: told, or it leaves the line. */
static int tell_next(struct inboxes *i, struct inbox *x)
{
    struct box_id box = box_of(x);
    const struct mail_message *at = mail_next(i->state->mail, &box, x->next);
    int r;

    if (!x->caught_up && (!at || at->revision > x->opened_at))
        say_caught_up(i, x);
    if (!at || x->credit == 0) {
        if (!at)
            x->next = i->state->size;
        inbox_stand(i, x, INBOX_QUIET);
        return 0;
    }
    if (!connection_has_room(i->router, x->p->connection)) {
        inbox_stand(i, x, INBOX_STALLED);
        return 0;
    }
    r = say_message(i, x, &box, at);
    if (r)
        return r;
    x->credit--;
    x->next = at->revision + 1;
    return 0;
}

int inboxes_pump(struct inboxes *i)
{
    unsigned left = PUMP_MESSAGES;
    struct inbox *x;
    int r = 0;

    while (!r && left && (x = i->due)) {
        for (unsigned n = SLICE; !r && n && left && x->stand == INBOX_DUE;
             n--) {
            r = tell_next(i, x);
            left--;
        }
        if (x->stand == INBOX_DUE)
            inbox_stand(i, x, INBOX_DUE); /* to the end of the line */
    }
    return r;
}

bool inboxes_ready(const struct inboxes *i)
{
    return i->due != NULL;
}

uint64_t inboxes_count(const struct inboxes *i)
{
    return HASH_COUNT(i->all);
}
