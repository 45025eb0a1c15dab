/* Heads and effects name what they rest on; read sets do it in a payload. */
#include "linking.h"

#include "proto/refusal.h"

bool linking_concerns(unsigned verb)
{
    switch (verb) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_TXN:
    case MSG_APPEND:
    case MSG_INCR:
    case MSG_SUBMIT:
    case MSG_REQUEUE:
    case MSG_CLAIM:
    case MSG_COMPLETE:
    case MSG_PARTIAL:
    case MSG_ASK_INPUT:
    case MSG_INPUT:
    case MSG_SEND: return true;
    default: return false;
    }
}

/* --- What it names ---------------------------------------------------------- */

struct walk {
    rests_told told;
    void *arg;
    bool over;
};

static void tell(struct walk *w, unsigned kind, uint64_t on)
{
    struct rests r = {.kind = kind, .on = on};

    if (on && !w->over)
        w->over = !w->told(w->arg, &r);
}

/* `key` at a revision, or what was under `prefix`; rows of a read set and
 * compares of a transaction are alike. */
static void rows_tell(struct walk *w, struct list rows, struct bytes space)
{
    struct msg m;

    while (!w->over && list_next(&rows, &m)) {
        struct rests r = {.kind = LINK_LISTED, .on = msg_u(&m, FIELD_REVISION)};

        if (msg_has(&m, FIELD_KEY)) {
            tell(w, LINK_READ, r.on);
            continue;
        }
        r.prefix = msg_b(&m, FIELD_PREFIX);
        r.space = msg_has(&m, FIELD_SPACE) ? msg_b(&m, FIELD_SPACE) : space;
        w->over = !w->told(w->arg, &r);
    }
}

/* A merged value has two parents. Theirs is one even if yours named no base. */
static void merged_tell(struct walk *w, const struct msg *how)
{
    if (!msg_has(how, FIELD_RULE))
        return;
    tell(w, LINK_BASE, msg_u(how, FIELD_PREV));
    tell(w, LINK_BASE, msg_u(how, FIELD_BASE));
}

static void key_tell(struct walk *w, const struct linked *e)
{
    tell(w, LINK_BASE, msg_u(e->op, FIELD_IF_REVISION));
    if (e->op->verb == MSG_APPEND || e->op->verb == MSG_INCR)
        tell(w, LINK_BASE, msg_u(e->effect, FIELD_PREV));
    merged_tell(w, e->effect);
}

static void writes_tell(struct walk *w, const struct linked *e)
{
    struct list writes = msg_list(e->op, FIELD_WRITES);
    struct list effects = msg_list(e->effect, FIELD_ITEMS);
    struct msg m, effect;

    while (!w->over && list_next(&writes, &m)) {
        tell(w, LINK_BASE, msg_u(&m, FIELD_BASE));
        if (list_next(&effects, &effect))
            merged_tell(w, &effect);
    }
}

static void reads_tell(struct walk *w, const struct linked *e)
{
    struct msg set;
    unsigned field;

    if (e->reads.n && !part_decode(MSG_READ_SET, e->reads, &set, &field))
        rows_tell(w, msg_list(&set, FIELD_COMPARES), e->space);
    rows_tell(w, msg_list(e->effect, FIELD_COMPARES), e->space);
}

static void sends_tell(struct walk *w, const struct linked *e)
{
    struct list sends = msg_list(e->op, FIELD_SENDS);
    struct msg m;

    while (!w->over && list_next(&sends, &m))
        tell(w, LINK_REPLY, msg_u(&m, FIELD_REPLY_TO));
}

static void submit_tell(struct walk *w, const struct linked *e)
{
    struct list needs = msg_list(e->op, FIELD_NEEDS);
    struct msg m;

    while (!w->over && list_next(&needs, &m))
        tell(w, LINK_NEED, msg_u(&m, FIELD_TASK));
    tell(w, LINK_PARENT, msg_u(e->op, FIELD_PARENT));
}

void linking_walk(const struct linked *e, rests_told told, void *arg)
{
    struct walk w = {told, arg, false};

    switch (e->op->verb) {
    case MSG_PUT:
    case MSG_DELETE:
    case MSG_APPEND:
    case MSG_INCR: key_tell(&w, e); break;
    case MSG_COMPLETE: reads_tell(&w, e); sends_tell(&w, e); /* fall through */
    case MSG_TXN:
        rows_tell(&w, msg_list(e->op, FIELD_COMPARES),
                  msg_has(e->op, FIELD_SPACE) ? msg_b(e->op, FIELD_SPACE)
                                              : e->space);
        writes_tell(&w, e);
        break;
    case MSG_SUBMIT: submit_tell(&w, e); break;
    case MSG_SEND: tell(&w, LINK_REPLY, msg_u(e->op, FIELD_REPLY_TO)); break;
    case MSG_CLAIM: tell(&w, LINK_CLAIM, msg_u(e->op, FIELD_TASK)); break;
    case MSG_REQUEUE: tell(&w, LINK_AGAIN, msg_u(e->op, FIELD_TASK)); break;
    case MSG_INPUT: tell(&w, LINK_INPUT, msg_u(e->op, FIELD_TASK)); break;
    default: break;
    }
    tell(&w, LINK_LEASE, msg_u(e->op, FIELD_TOKEN));
}

/* --- The index -------------------------------------------------------------- */

/* Lengths are kept as links of their own: they are what must be known before
 * anything can be looked for. */
static const uint64_t lengths_to = (uint64_t)1 << 63;

uint64_t linking_list(struct bytes space, struct bytes prefix)
{
    struct hash h = hash_parts(HASH_KEYS, space, bytes_of("", 1), prefix);

    return links_list(&h) | 1; /* and not lengths_to */
}

bool linking_has_length(const struct linking *l, size_t bytes)
{
    return l->lengths[bytes / 64] >> bytes % 64 & 1;
}

static void length_set(struct linking *l, size_t bytes)
{
    l->lengths[bytes / 64] |= (uint64_t)1 << bytes % 64;
}

int linking_load(struct linking *l)
{
    struct link found[64];
    uint64_t after = 0;
    bool more = true;
    int n = 0;

    memset(l->lengths, 0, sizeof l->lengths);
    while (more && n >= 0) {
        n = links_find(l->links, lengths_to, after, found, 64, &more);
        for (int i = 0; i < n; i++) {
            if (found[i].value <= LIMIT_KEY_BYTES)
                length_set(l, (size_t)found[i].value);
            after = found[i].from;
        }
    }
    return n < 0 ? n : 0;
}

struct adding {
    struct linking *l;
    uint64_t token; /* under which its author read */
};

static bool add(void *arg, const struct rests *r)
{
    struct adding *a = arg;
    struct links *l = a->l->links;

    if (r->kind != LINK_LISTED) {
        links_add(l, r->on, r->kind, r->kind == LINK_READ ? a->token : 0);
        return true;
    }
    if (!linking_has_length(a->l, r->prefix.n)) {
        length_set(a->l, r->prefix.n);
        links_add(l, lengths_to, LINK_LENGTH, r->prefix.n);
    }
    links_add(l, linking_list(r->space, r->prefix), LINK_LISTED, r->on);
    return true;
}

/* The path of a plain put: nothing but its author. */
static bool is_plain(const struct linked *e)
{
    const field_mask more = FIELD_BIT(IF_REVISION) | FIELD_BIT(TOKEN);

    return e->op->verb == MSG_PUT && !(e->op->has & more) &&
           !msg_has(e->effect, FIELD_RULE);
}

void linking_add(struct linking *l, const struct linked *e, uint32_t agent)
{
    struct adding a = {l, msg_u(e->op, FIELD_TOKEN)};

    if (!linking_concerns(e->op->verb))
        return;
    links_author(l->links, agent, LINK_AUTHOR);
    if (is_plain(e))
        return;
    linking_walk(e, add, &a);
    if (e->op->verb == MSG_COMPLETE)
        links_add(l->links, msg_u(e->op, FIELD_TASK), LINK_DONE, a.token);
}
