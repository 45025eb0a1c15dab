/* What agents do. They are simple SDKs: they number and sign, keep what has no
 * answer, and send it again. */
#include <stdlib.h>

#include "tests/sim/world/world.h"

static const unsigned all_rights =
    RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK | RIGHT_SEND;

/* --- Joining and leaving ------------------------------------------------- */

/* The first administers, the last may only read. */
void client_join(struct world *w, struct client *a, unsigned i)
{
    unsigned rights = i == 0                 ? all_rights | RIGHT_ADMIN
                      : i + 1 < WORLD_AGENTS ? all_rights
                                             : (unsigned)RIGHT_READ;
    char name[16];

    *a = (struct client){.watches = i % 2 == 0, .watch_next = 1};
    snprintf(name, sizeof name, "agent-%u", i);
    actor_join(&w->rig, &a->actor, name, "*", rights);
    a->number = model_agent(&w->model, &a->actor.id, rights);
    keys_join(w, a);
    inbox_join(a);
    a->connect_at = world_now(w);
}

static void forget_questions(struct client *a)
{
    for (size_t i = 0; i < ASKS_MAX; i++)
        a->questions[i].number = 0;
}

void client_lost(struct world *w, struct client *a)
{
    world_say(w, "agent %d is cut off", a->number);
    a->connection = NULL;
    a->serial++;
    a->is_opening = a->is_cut = false;
    a->credit = 0;
    a->connect_at = world_now(w) + world_any(w->calm ? 2 : 200) * 1000;
    a->last_due[0] = a->last_due[1] = 0;
    forget_questions(a);
    inbox_lost(a);
    waiting_lost(a);
    a->look_count = 0;
}

static void drop_sent(struct client *a)
{
    for (size_t i = 0; i < a->sent_count; i++)
        buf_free(&a->sent[i].frame);
    a->sent_count = 0;
}

static void new_life(struct client *a)
{
    drop_sent(a);
    forget_questions(a);
    a->actor.session = 0;
    a->is_opening = false;
    a->credit = 0;
    inbox_lost(a);
    waiting_lost(a);
    a->resend_at = a->rotating = 0;
}

void client_die(struct world *w, struct client *a)
{
    world_say(w, "agent %d dies", a->number);
    new_life(a);
    a->held_count = a->look_count = 0;
    a->watch_next = 1 + world_any(w->model.size);
    a->gaps = world_any(6) == 0;
}

void client_knows(struct client *a, uint64_t revision)
{
    if (revision > a->known)
        a->known = revision;
}

void client_end(struct world *w, struct client *a)
{
    new_life(a);
    free(w->said[a->number]);
    actor_free(&a->actor);
}

bool client_is_done(const struct world *w, const struct client *a)
{
    return model_pairs(&w->model, a->number) == 0 ||
           (a->connection && a->actor.session && !a->sent_count &&
            inbox_is_done(w, a) && waiting_is_done(w, a) &&
            (!a->watches || !model_writes(&w->model, a->watch_next)));
}

/* --- Saying -------------------------------------------------------------- */

static void said_keep(struct world *w, const struct client *a, uint64_t seq,
                      const struct hash *hash)
{
    int i = a->number;

    if (w->said_count[i] == w->said_cap[i]) {
        w->said_cap[i] = w->said_cap[i] ? 2 * w->said_cap[i] : 64;
        w->said[i] = realloc(w->said[i], w->said_cap[i] * sizeof *w->said[i]);
        if (!w->said[i])
            abort();
    }
    w->said[i][w->said_count[i]++] =
        (struct signed_op){a->actor.session, seq, *hash};
}

bool client_said(const struct world *w, int agent, const struct entry *e)
{
    struct hash hash = op_hash(e->head);

    for (size_t i = w->said_count[agent]; i-- > 0;) {
        const struct signed_op *s = &w->said[agent][i];

        if (s->session == e->session && s->seq == e->seq)
            return hash_equal(&s->hash, &hash);
    }
    return false;
}

static void draft_free(struct draft *d)
{
    for (size_t i = 0; i < sizeof d->lists / sizeof *d->lists; i++)
        buf_free(&d->lists[i]);
}

/* What it is about, with its values, into the bundle at hand. */
static struct hash add(struct client *a, struct draft *d)
{
    static const uint8_t salt[SLOT_SALT_BYTES] = {7};
    struct buf rows = {0}, payload = {0}, head = {0};
    struct hash hash;

    for (size_t i = 0; i < d->slots; i++) {
        slot_row(&rows, salt, d->values[i]);
        buf_put(&payload, salt, sizeof salt);
        buf_put(&payload, d->values[i].p, d->values[i].n);
    }
    if (d->slots || (message_row(d->m.verb)->need & FIELD_BIT(SLOTS)))
        msg_set_b(&d->m, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(&d->m, &head);
    hash = op_hash(buf_bytes(&head));
    if (bundle_add(&a->actor.writer, buf_bytes(&head), buf_bytes(&payload)))
        abort();
    buf_free(&rows);
    buf_free(&payload);
    buf_free(&head);
    return hash;
}

static void add_one(struct world *w, struct client *a, uint64_t seq)
{
    struct knowledge k = {&w->model,
                          a->number,
                          a->held,
                          a->held_count,
                          w->values++,
                          world_any,
                          env_wall_us(w->rig.env)};
    const struct verb *v;
    struct draft d;
    struct hash hash;

    do {
        v = verb_any(world_any);
        memset(&d, 0, offsetof(struct draft, texts));
        msg_init(&d.m, v->verb);
    } while (!v->draft(&d, &k) && (draft_free(&d), true));
    if (v->verb == MSG_HEED)
        looks_drop(a, msg_u(&d.m, FIELD_TOKEN));
    hash = add(a, &d);
    said_keep(w, a, seq, &hash);
    world_say(w, "agent %d says %lu.%lu %s", a->number, a->actor.session, seq,
              message_row(v->verb)->name);
    draft_free(&d);
}

void client_sign(struct world *w, struct client *a, unsigned kind,
                 uint64_t first, struct buf *frame)
{
    struct actor *x = &a->actor;
    bool joins = kind == BUNDLE_RECORD && x->session == 0;
    struct bundle_facts facts = {
        .kind = kind,
        .ledger = rig_state(&w->rig)->ledger,
        .agent = x->id,
        .session = x->session,
        .first_seq = first,
        .answered = joins ? 0 : x->answered,
        .epoch = 1,
        .time = env_wall_us(w->rig.env),
        .public_key = joins ? x->key.public_key : NULL,
    };
    struct hash hash;

    if (kind == BUNDLE_RECORD && !joins)
        facts.prev_hash = x->prev_hash;
    if (bundle_finish(&x->writer, &facts, &x->key, frame, &hash))
        abort();
    if (kind == BUNDLE_RECORD)
        x->prev_hash = hash;
}

static void say_something(struct world *w, struct client *a)
{
    struct sent *s = &a->sent[a->sent_count];
    uint32_t n = 1 + (uint32_t)world_any(3);

    if (a->sent_count == SENT_MAX)
        return;
    *s = (struct sent){.first = a->actor.next_seq, .count = n};
    actor_begin(&a->actor);
    for (uint32_t i = 0; i < n; i++)
        add_one(w, a, s->first + i);
    client_sign(w, a, BUNDLE_RECORD, s->first, &s->frame);
    a->actor.next_seq += n;
    a->sent_count++;
    world_send(w, a, true, buf_bytes(&s->frame));
}

void client_say(struct world *w, struct client *a, struct msg *m)
{
    struct sent *s = &a->sent[a->sent_count++];
    struct draft d = {.m = *m};
    struct hash hash;

    *s = (struct sent){.first = a->actor.next_seq++, .count = 1};
    actor_begin(&a->actor);
    hash = add(a, &d);
    said_keep(w, a, s->first, &hash);
    client_sign(w, a, BUNDLE_RECORD, s->first, &s->frame);
    world_say(w, "agent %d says %lu.%lu %s", a->number, a->actor.session,
              s->first, message_row(m->verb)->name);
    world_send(w, a, true, buf_bytes(&s->frame));
}

static void send_again(struct world *w, struct client *a)
{
    a->resend_at = 0;
    for (size_t i = 0; i < a->sent_count; i++) {
        world_say(w, "agent %d sends %lu.%lu again", a->number,
                  a->actor.session, a->sent[i].first);
        world_send(w, a, true, buf_bytes(&a->sent[i].frame));
    }
}

/* --- Acting -------------------------------------------------------------- */

static void open_session(struct world *w, struct client *a)
{
    struct buf frame = {0};
    struct msg m;

    keys_choose(w, a);
    actor_begin(&a->actor);
    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &a->actor.challenge);
    actor_add(&a->actor, &m, NULL, 0);
    client_sign(w, a, BUNDLE_RECORD, 0, &frame);
    a->is_opening = true;
    world_say(w, "agent %d opens a session", a->number);
    world_send(w, a, true, buf_bytes(&frame));
    buf_free(&frame);
}

static void connect_it(struct world *w, struct client *a)
{
    if (!w->cycle || !model_pairs(&w->model, a->number) || !a->connect_at ||
        world_now(w) < a->connect_at)
        return;
    random_bytes(a->actor.challenge.b, HASH_BYTES);
    a->connection =
        cycle_connect(w->cycle, a->actor.number, 0, &a->actor.challenge);
    if (!a->connection)
        abort();
    a->connection->peer = a;
    world_say(w, "agent %d connects", a->number);
    if (a->actor.session)
        send_again(w, a);
}

static void work_on(struct world *w, struct client *a)
{
    switch (world_any(24)) {
    case 0:
    case 1:
    case 2: client_reads(w, a); return;
    case 3:
    case 4: client_seeks_work(w, a); return;
    case 5: client_heartbeat(w, a); return;
    case 6:
    case 7:
        if (a->watches)
            watch_act(w, a);
        return;
    case 8:
        if (world_any(12) == 0) {
            keys_rotate(w, a);
            return;
        } /* fall through */
    case 9: inbox_act(w, a); return;
    case 11:
    case 12: waiting_act(w, a); return;
    case 10:
        if (world_any(8) == 0)
            keys_ask(w, a);
        else if (world_any(2))
            mark_ask(w, a);
        else
            inbox_act(w, a);
        return;
    default: say_something(w, a);
    }
}

void client_act(struct world *w, struct client *a)
{
    if (!a->connection)
        connect_it(w, a);
    else if (!a->actor.session && !a->is_opening && !w->calm &&
             world_any(4) == 0)
        keys_recover(w, a);
    else if (!a->actor.session && !a->is_opening)
        open_session(w, a);
    else if (!a->actor.session)
        keys_wait(w, a);
    else if (a->resend_at && world_now(w) >= a->resend_at)
        send_again(w, a);
    else if (keys_wait(w, a))
        return;
    else if (!w->calm)
        work_on(w, a);
    else if (a->watches && model_writes(&w->model, a->watch_next))
        watch_act(w, a);
    else if (waiting_lacks_input(w, a))
        client_heartbeat(w, a);
    else if (!waiting_is_done(w, a))
        waiting_act(w, a);
    else
        inbox_act(w, a);
}
