/* The edge's part, played by lists. */
#include "tests/support/hall.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/base/crew.h"
#include "broker/verify.h"
#include "proto/refusal.h"

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "hall: %s: %d\n", what, r);
    abort();
}

/* --- Transport ----------------------------------------------------------- */

static void keep_frame(struct guest *g, struct bytes frame)
{
    struct buf *kept;

    g->frames = realloc(g->frames, (g->frame_count + 1) * sizeof *g->frames);
    kept = &g->frames[g->frame_count++];
    *kept = (struct buf){0};
    buf_put(kept, frame.p, frame.n);
}

static void keep_items(struct guest *g, struct bytes frame)
{
    const uint8_t *key = core_key(g->hall->rig.core)->public_key;
    struct answer a;
    struct msg item;
    int r;

    must(answer_open(&a, frame), "answer_open");
    must(answer_verify(&a, key), "answer_verify");
    while ((r = answer_next(&a, &item)) == 0) {
        if (g->count == g->cap) {
            g->cap = g->cap ? 2 * g->cap : 16;
            g->items = realloc(g->items, g->cap * sizeof *g->items);
        }
        g->items[g->count] = malloc(sizeof item);
        *g->items[g->count++] = item;
    }
    must(r == CHOIR_NOT_FOUND ? 0 : r, "answer_next");
}

static void transport_send(void *arg, struct connection *c, struct bytes frame)
{
    struct hall *h = arg;
    struct guest *g = c->peer;

    h->frames++;
    h->bytes += frame.n;
    if (g->deaf)
        return;
    keep_frame(g, frame);
    if (!g->later)
        guest_read(g);
}

static uint64_t transport_backlog(void *arg, struct connection *c)
{
    struct hall *h = arg;
    struct guest *g = c->peer;

    h->looks++;
    env_sim_advance_us(h->rig.env, g->slow_us);
    return g->backlog;
}

static void transport_cut(void *arg, struct connection *c, const char *why)
{
    (void)arg;
    (void)why;
    ((struct guest *)c->peer)->cut = true;
}

/* --- Hall ---------------------------------------------------------------- */

static void cycle_make(struct hall *h)
{
    struct cycle_options o = {
        .core = h->rig.core,
        .env = h->rig.env,
        .config = h->rig.config,
        .transport = {h, transport_send, transport_backlog, transport_cut},
        .crew = h->crew,
        .beside = h->beside,
        .lone = h->lone,
    };

    if (h->beside)
        must(ledger_beside(core_ledger(h->rig.core), &h->synced_fd),
             "ledger_beside");
    h->cycle = cycle_new(&o);
    must(h->cycle ? 0 : -1, "cycle_new");
    must(cycle_begin(h->cycle), "cycle_begin");
}

void hall_open(struct hall *h)
{
    *h = (struct hall){0};
    rig_open(&h->rig);
    cycle_make(h);
}

void hall_open_beside(struct hall *h)
{
    hall_open_lone(h, LONE_BY_TRIAL);
}

void hall_open_lone(struct hall *h, enum lone_way lone)
{
    *h = (struct hall){.beside = true, .lone = lone};
    must(crew_new(&h->crew, 1), "crew_new");
    rig_open(&h->rig);
    cycle_make(h);
}

void hall_close(struct hall *h)
{
    while (h->guests)
        guest_free(h->guests);
    cycle_destroy(&h->cycle);
    crew_destroy(&h->crew);
    rig_close(&h->rig);
}

void hall_close_read(struct hall *h)
{
    struct verify_result result;

    if (verify_record(h->rig.dir, h->rig.env, &result)) {
        fprintf(stderr, "%s\n", result.trouble);
        must(-1, "verify_record");
    }
    hall_restart(h, false);
    hall_close(h);
}

const struct key *hall_key(const struct hall *h, const char *key)
{
    return context_find(rig_state(&h->rig)->context, bytes_text("main"),
                        bytes_text(key));
}

void hall_restart(struct hall *h, bool clean)
{
    for (struct guest *g = h->guests; g; g = g->in_hall)
        guest_disconnect(g);
    cycle_destroy(&h->cycle);
    must(rig_reopen(&h->rig, clean), h->rig.trouble);
    cycle_make(h);
}

void hall_turn(struct hall *h)
{
    uint64_t before = rig_state(&h->rig)->size, added;

    must(cycle_end(h->cycle), "cycle_end");
    added = rig_state(&h->rig)->size - before;
    if (added > h->turn_entries_max)
        h->turn_entries_max = added;
    must(cycle_begin(h->cycle), "cycle_begin");
}

void hall_settle(struct hall *h)
{
    do
        hall_turn(h);
    while (cycle_next(h->cycle) <= env_steady_us(h->rig.env));
}

void hall_pass(struct hall *h, uint64_t ms)
{
    must(cycle_end(h->cycle), "cycle_end");
    env_sim_advance_us(h->rig.env, ms * 1000);
    must(cycle_begin(h->cycle),
         "cycle_begin"); /* a cycle's time is that of its beginning */
    hall_settle(h);
}

/* --- Guests -------------------------------------------------------------- */

void guest_join(struct hall *h, struct guest *g, const char *name,
                unsigned rights)
{
    *g = (struct guest){.hall = h, .in_hall = h->guests};
    must(cycle_end(h->cycle), "cycle_end");
    actor_join(&h->rig, &g->actor, name, "*", rights);
    must(cycle_begin(h->cycle), "cycle_begin");
    h->guests = g;
    guest_connect(g);
}

void guest_connect(struct guest *g)
{
    g->connection =
        cycle_connect(g->hall->cycle, g->actor.number, 0, &g->actor.challenge);
    must(g->connection ? 0 : -1, "cycle_connect");
    g->connection->peer = g;
}

void guest_disconnect(struct guest *g)
{
    if (g->connection)
        cycle_disconnect(g->hall->cycle, g->connection);
    g->connection = NULL;
}

void guest_forget(struct guest *g)
{
    for (size_t i = 0; i < g->frame_count; i++)
        buf_free(&g->frames[i]);
    for (size_t i = 0; i < g->count; i++)
        free(g->items[i]);
    free(g->frames);
    free(g->items);
    g->frames = NULL;
    g->items = NULL;
    g->frame_count = g->frames_read = g->count = g->cap = g->next = 0;
}

void guest_read(struct guest *g)
{
    while (g->frames_read < g->frame_count)
        keep_items(g, buf_bytes(&g->frames[g->frames_read++]));
}

void guest_free(struct guest *g)
{
    struct guest **at = &g->hall->guests;

    while (*at != g)
        at = &(*at)->in_hall;
    *at = g->in_hall;
    guest_disconnect(g);
    guest_forget(g);
    actor_free(&g->actor);
}

int guest_resend(struct guest *g)
{
    return cycle_take(g->hall->cycle, g->connection,
                      buf_bytes(&g->actor.frame));
}

int guest_send_alone(struct guest *g)
{
    struct cycle *c = g->hall->cycle;
    struct arrival one = {
        .from = g->connection,
        .frame = buf_bytes(&g->actor.frame),
        .is_lone = true,
    };
    int r = cycle_take_all(c, &one, 1);

    if (!r)
        r = cycle_end(c);
    if (r)
        return r;
    env_sim_advance_us(g->hall->rig.env, 1000); /* the next one is later */
    must(cycle_begin(c), "cycle_begin");
    return one.code;
}

int guest_do_n(struct guest *g, struct msg *op, const struct bytes *values,
               size_t n)
{
    actor_sign(&g->hall->rig, &g->actor, op, values, n);
    return guest_resend(g);
}

int guest_do(struct guest *g, struct msg *op, const char *value)
{
    struct bytes v = bytes_text(value);

    return guest_do_n(g, op, &v, value ? 1 : 0);
}

int guest_put(struct guest *g, const char *key, const char *value)
{
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    return guest_do(g, &m, value);
}

enum { AT_ONCE = 100 };

int guest_do_times(struct guest *g, struct msg *op, const char *value,
                   unsigned times)
{
    struct bytes v = bytes_text(value);
    struct actor *a = &g->actor;
    const struct msg *done;
    int r = 0;

    guest_forget(g);
    while (times && !r) {
        actor_begin(a);
        for (unsigned i = 0; times && i < AT_ONCE; i++, times--)
            actor_add(a, op, &v, value ? 1 : 0);
        actor_sign_begun(&g->hall->rig, a);
        r = guest_resend(g);
        hall_settle(g->hall);
        while (!r && (done = guest_item(g, MSG_DONE)))
            r = (int)msg_u(done, FIELD_OUTCOME);
        guest_forget(g);
        a->answered = a->next_seq - 1;
    }
    return r;
}

uint64_t guest_ask(struct guest *g, const struct msg *op)
{
    return guest_ask_times(g, op, 1);
}

void guest_ask_sign(struct guest *g, const struct msg *op, unsigned times,
                    struct buf *frame)
{
    struct actor *a = &g->actor;
    const struct state *s = rig_state(&g->hall->rig);
    struct bundle_facts facts = {
        .kind = BUNDLE_ASK,
        .ledger = s->ledger,
        .agent = a->id,
        .session = a->session,
        .first_seq = a->asks + 1,
        .answered = a->answered,
        .epoch = s->epoch,
        .time = env_wall_us(g->hall->rig.env),
        .seen = a->seen,
        .labels = a->labels,
        .label_count = a->label_count,
    };
    struct buf head = {0};
    struct hash hash;

    bundle_begin(&a->writer);
    msg_encode(op, &head);
    for (unsigned i = 0; i < times; i++)
        must(bundle_add(&a->writer, buf_bytes(&head), (struct bytes){0}),
             "add");
    a->asks += times;
    must(bundle_finish(&a->writer, &facts, &a->key, frame, &hash), "finish");
    buf_free(&head);
}

uint64_t guest_ask_times(struct guest *g, const struct msg *op, unsigned times)
{
    struct buf frame = {0};

    guest_ask_sign(g, op, times, &frame);
    must(cycle_take(g->hall->cycle, g->connection, buf_bytes(&frame)),
         "cycle_take");
    buf_free(&frame); /* whatever is kept must be a copy */
    return g->actor.asks;
}

const struct msg *guest_reply(struct guest *g, const struct msg *op)
{
    uint64_t number = guest_ask(g, op);

    hall_settle(g->hall);
    for (size_t i = 0; i < g->count; i++) {
        if (g->items[i]->verb == MSG_REPLY &&
            msg_u(g->items[i], FIELD_ASK) == number)
            return g->items[i];
    }
    return NULL;
}

const struct msg *guest_item(struct guest *g, enum message verb)
{
    for (size_t i = g->next; i < g->count; i++) {
        if (g->items[i]->verb != verb)
            continue;
        g->next = i + 1;
        return g->items[i];
    }
    return NULL;
}

size_t guest_items(const struct guest *g, enum message verb)
{
    size_t n = 0;

    for (size_t i = 0; i < g->count; i++)
        n += g->items[i]->verb == verb;
    return n;
}

void hall_damage_leaf(const struct hall *h, uint64_t leaf)
{
    char path[300];
    int byte;
    FILE *f;

    snprintf(path, sizeof path, "%s/tree-0", h->rig.dir);
    f = fopen(path, "r+");
    must(f ? 0 : -errno, "tree-0");
    fseek(f, (long)(leaf * HASH_BYTES), SEEK_SET);
    byte = fgetc(f);
    fseek(f, -1, SEEK_CUR);
    fputc(byte ^ 0xff, f); /* turned, not set: it may be anything */
    fclose(f);
}
