/* Which entries belong together: those of a key, a task, a space, an agent, or
 * all of a stretch. A key's versions are found by following each one's `prev`;
 * for everything else the record's heads are read, so many in one answer. */
#include <errno.h>

#include "ask_private.h"
#include "proto/export.h"
#include "proto/refusal.h"

enum {
    STEPS_MAX = 16384, /* of one answer: some ten milliseconds */
    STEPS_MATCH = 8,   /* what an entry costs that is looked at closely */
};

/* `kind`: of an export's head, and 6 for what says whose a key is. */
enum select_kind { OF_KEY = 1, OF_TASK, OF_ALL, OF_SPACE, OF_AGENT, OF_KEYS };

struct selection {
    struct ask *q;
    uint64_t from, to; /* of these entries */
    enum select_kind kind;
    struct bytes space;
    uint64_t task;
    struct hash agent;
    uint64_t page, steps;
    struct msg run; /* item: entries in a row, of one session; empty: none */
    struct hash run_agent;
    uint64_t items;
    uint64_t placed; /* the task whose place is known; 0: none */
    bool placed_here;
};

/* --- Telling -------------------------------------------------------------- */

static void run_end(struct selection *s)
{
    if (s->run.has)
        msg_encode(&s->run, &s->q->a->items);
    msg_init(&s->run, MSG_ITEM);
}

static bool run_goes_on(const struct selection *s, const struct entry *e)
{
    return s->run.has && s->kind != OF_KEYS &&
           msg_u(&s->run, FIELD_REVISION) + msg_u(&s->run, FIELD_COUNT) ==
               e->index &&
           msg_u(&s->run, FIELD_SESSION) == e->session &&
           bytes_equal(hash_bytes(&s->run_agent),
                       msg_b(&e->bundle, FIELD_AGENT));
}

/* Whose key it is about. */
static void subject_set(struct msg *item, const struct entry *e)
{
    unsigned verb = head_verb(e->head), field;
    struct msg op;

    msg_set_u(item, FIELD_OPERATION, verb);
    if ((verb == MSG_ADMIT || verb == MSG_REVOKE || verb == MSG_SUSPECT) &&
        !msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field))
        msg_set_b(item, FIELD_HOLDER, msg_b(&op, FIELD_AGENT));
}

/* False: the page is full. */
static bool tell(struct selection *s, const struct entry *e)
{
    if (run_goes_on(s, e)) {
        msg_set_u(&s->run, FIELD_COUNT, msg_u(&s->run, FIELD_COUNT) + 1);
        return true;
    }
    if (s->items == s->page)
        return false;
    run_end(s);
    s->run_agent = msg_hash(&e->bundle, FIELD_AGENT);
    msg_set_u(&s->run, FIELD_REVISION, e->index);
    msg_set_u(&s->run, FIELD_COUNT, 1);
    msg_set_u(&s->run, FIELD_SESSION, e->session);
    msg_set_hash(&s->run, FIELD_AGENT, &s->run_agent);
    if (s->kind == OF_KEYS) {
        subject_set(&s->run, e);
        run_end(s);
    }
    s->items++;
    return true;
}

/* --- Does it belong? ------------------------------------------------------ */

static int task_is_here(struct selection *s, uint64_t task, bool *is)
{
    struct ask *q = s->q;
    struct place place;
    int r;

    if (!s->placed || s->placed != task) {
        s->steps += STEPS_MATCH;
        r = task_place(q->a->state, q->a->ledger, task, &place);
        if (r < 0)
            return r;
        s->placed = task;
        s->placed_here = !r && bytes_equal(bytes_text(place.space), s->space);
    }
    *is = s->placed_here;
    return 0;
}

/* By what its head names: the task, or the space, its own or its task's. */
static int head_belongs(struct selection *s, const struct entry *e, bool *is)
{
    const struct message_row *row = message_row(head_verb(e->head));
    field_mask about =
        FIELD_BIT(TASK) | (s->kind == OF_SPACE ? FIELD_BIT(SPACE) : 0);
    struct msg op;
    unsigned field;

    *is =
        s->kind == OF_TASK && e->index == s->task &&
        (head_verb(e->head) == MSG_SUBMIT || head_verb(e->head) == MSG_REQUEUE);
    if (*is || !row || !((row->need | row->may) & about) ||
        msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field))
        return 0;
    if (s->kind == OF_TASK) {
        *is = msg_has(&op, FIELD_TASK) && msg_u(&op, FIELD_TASK) == s->task;
        return 0;
    }
    *is = msg_has(&op, FIELD_SPACE) &&
          bytes_equal(msg_b(&op, FIELD_SPACE), s->space);
    return msg_has(&op, FIELD_SPACE) || !msg_has(&op, FIELD_TASK)
               ? 0
               : task_is_here(s, msg_u(&op, FIELD_TASK), is);
}

static int belongs(struct selection *s, const struct entry *e, bool *is)
{
    switch (s->kind) {
    case OF_KEYS:
        *is = export_identifies(e, head_verb(e->head)) &&
              head_verb(e->head) != MSG_SESSION_OPEN;
        return 0;
    case OF_AGENT:
        *is =
            bytes_equal(msg_b(&e->bundle, FIELD_AGENT), hash_bytes(&s->agent));
        return 0;
    case OF_TASK:
    case OF_SPACE: return head_belongs(s, e, is);
    default: *is = true; return 0;
    }
}

/* A read set is a payload, and heads have none: such entries are read whole. */
static int may_export(struct selection *s, const struct entry *e)
{
    const struct entry *whole = e;
    int r = 0;

    s->steps += STEPS_MATCH;
    if (head_verb(e->head) == MSG_COMPLETE)
        r = ask_entry(s->q, e->index, &whole);
    return r ? r : ask_may_export(s->q, whole);
}

/* --- Looking through the record ------------------------------------------- */

/* *next: the entry to go on with. 0; CHOIR_NOT_FOUND: that one may not be
 * seen, and all were wanted; negative errno. */
static int look(struct selection *s, const struct entry *e, uint64_t *next,
                bool *more)
{
    bool is;
    int r;

    s->steps++;
    r = belongs(s, e, &is);
    if (!r && is) {
        r = may_export(s, e);
        if (r == CHOIR_NOT_FOUND && s->kind == OF_ALL) {
            *more = false;
            return s->items ? 0 : r;
        }
        if (!r)
            *more = tell(s, e);
    }
    if (*more)
        *next = e->index + 1;
    return r < 0 ? r : 0;
}

static int group_look(struct selection *s, struct ledger_reader *reader,
                      uint64_t *next, bool *more)
{
    struct group_header g;
    struct group_walk walk;
    const struct entry *e;
    struct bytes heads;
    int r = ledger_reader_group(reader, &g, &heads);

    if (r)
        return r > 0 ? -EUCLEAN : r;
    group_walk_begin(&walk, &g, heads);
    while (!r && *more && *next < s->to && s->steps < STEPS_MAX) {
        r = group_walk_next(&walk, &e);
        if (r)
            return r == CHOIR_NOT_FOUND ? 0 : -EUCLEAN;
        if (e->index >= *next)
            r = look(s, e, next, more);
    }
    return r;
}

static int scan(struct selection *s)
{
    struct asks *a = s->q->a;
    uint64_t next = s->from;
    bool more = true;
    int r = a->select_reader
                ? ledger_reader_seek(a->select_reader, next)
                : ledger_reader_open(a->ledger, next, &a->select_reader);

    while (!r && more && next < s->to && s->steps < STEPS_MAX)
        r = group_look(s, a->select_reader, &next, &more);
    if (next < s->to)
        msg_set_u(s->q->reply, FIELD_REVISION, next);
    return r;
}

/* --- A key's versions ----------------------------------------------------- */

/* That there is such a key is no secret to who may write it. */
static bool may_know(const struct ask *q, struct bytes space, struct bytes key)
{
    static const enum right rights[] = {RIGHT_READ, RIGHT_TAP, RIGHT_WRITE};
    struct bytes none = {0};

    for (size_t i = 0; i < sizeof rights / sizeof *rights; i++)
        if (agent_may(q->agent, rights[i], space, key, none))
            return true;
    return false;
}

/* From the newest one on: the reply's `size` is where to go on. */
static int versions(struct selection *s)
{
    struct ask *q = s->q;
    struct bytes key = msg_b(q->op, FIELD_KEY);
    const struct key *k =
        may_know(q, s->space, key)
            ? context_find(q->a->state->context, s->space, key)
            : NULL;
    struct version v;
    int r = k && s->to ? version_at(q, k, s->to - 1, &v) : CHOIR_NOT_FOUND;

    while (!r && v.e->index >= s->from) {
        uint64_t at = v.e->index, prev = v.change.prev;
        const struct entry *e;

        if (s->items == s->page || s->steps >= STEPS_MAX) {
            msg_set_u(q->reply, FIELD_SIZE, at + 1);
            return 0;
        }
        s->steps += STEPS_MATCH;
        r = ask_entry(q, at, &e);
        if (!r)
            r = ask_may_export(q, e);
        if (!r)
            tell(s, e);
        if (r >= 0)
            r = prev ? version_read(q, prev, k, &v) : CHOIR_NOT_FOUND;
    }
    return r == CHOIR_NOT_FOUND ? 0 : r; /* as if there were no such key */
}

/* --- What is asked for ---------------------------------------------------- */

static bool is_complete(const struct msg *op)
{
    switch (msg_u(op, FIELD_KIND)) {
    case OF_KEY: return msg_has(op, FIELD_SPACE) && msg_has(op, FIELD_KEY);
    case OF_TASK: return msg_has(op, FIELD_TASK);
    case OF_SPACE: return msg_has(op, FIELD_SPACE);
    case OF_AGENT: return msg_has(op, FIELD_AGENT);
    case OF_ALL:
    case OF_KEYS: return true;
    default: return false;
    }
}

static int selection_get(struct selection *s, struct ask *q)
{
    uint64_t size = core_size(q->a->with.core);

    memset(s, 0, sizeof *s);
    msg_init(&s->run, MSG_ITEM);
    s->q = q;
    s->kind = (enum select_kind)msg_u(q->op, FIELD_KIND);
    s->page = ask_page(q);
    s->from = msg_u(q->op, FIELD_REVISION);
    s->to = msg_has(q->op, FIELD_SIZE) ? msg_u(q->op, FIELD_SIZE) : size;
    s->space = msg_b(q->op, FIELD_SPACE);
    s->task = msg_u(q->op, FIELD_TASK);
    s->agent = msg_hash(q->op, FIELD_AGENT);
    if (!is_complete(q->op) || s->from > s->to)
        return CHOIR_INVALID;
    if (s->kind == OF_TASK && s->from < s->task)
        s->from = s->task < s->to ? s->task : s->to;
    return s->to > size ? CHOIR_FUTURE : 0;
}

int ask_select(struct ask *q)
{
    struct selection s;
    int r = selection_get(&s, q);

    if (!r)
        r = s.kind == OF_KEY ? versions(&s) : scan(&s);
    if (r)
        return r;
    run_end(&s);
    msg_set_list(q->reply, FIELD_ITEMS, s.items, buf_bytes(&q->a->items));
    return q->a->items.failed ? -ENOMEM : 0;
}
