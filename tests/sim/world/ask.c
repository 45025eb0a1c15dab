/* What agents ask: what there is to read, and for work. */
#include "tests/sim/world/world.h"

struct question *question_new(struct world *w, struct client *a,
                              enum message verb)
{
    for (size_t i = 0; i < ASKS_MAX; i++) {
        struct question *q = &a->questions[i];

        if (q->number)
            continue;
        *q = (struct question){.verb = verb,
                               .floor = a->known,
                               .at = UINT64_MAX,
                               .asked = env_wall_us(w->rig.env)};
        return q;
    }
    return NULL;
}

void question_ask(struct world *w, struct client *a, struct question *q,
                  struct msg *m)
{
    struct buf head = {0}, frame = {0};

    q->number = ++a->actor.asks;
    bundle_begin(&a->actor.writer);
    msg_encode(m, &head);
    if (bundle_add(&a->actor.writer, buf_bytes(&head), (struct bytes){0}))
        abort();
    client_sign(w, a, BUNDLE_ASK, q->number, &frame);
    world_say(w, "agent %d asks %lu %s", a->number, q->number,
              message_row(m->verb)->name);
    world_send(w, a, true, buf_bytes(&frame));
    buf_free(&head);
    buf_free(&frame);
}

void client_reads(struct world *w, struct client *a)
{
    bool list = world_any(4) == 0;
    struct question *q = question_new(w, a, list ? MSG_LIST : MSG_GET);
    struct knowledge k = {.any = world_any};
    struct msg m;

    if (!q)
        return;
    snprintf(q->key, sizeof q->key, "%s", list ? "" : any_key(&k));
    msg_init(&m, q->verb);
    msg_set_text(&m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&m, list ? FIELD_PREFIX : FIELD_KEY, q->key);
    if (a->held_count && world_any(2)) {
        const struct held *h = &a->held[world_any(a->held_count)];

        q->token = h->token;
        msg_set_u(&m, FIELD_TASK, h->task);
        msg_set_u(&m, FIELD_TOKEN, h->token);
    } else if (world_any(4) == 0) {
        q->at = world_any(2) ? 1 + world_any(w->model.size + 1)
                             : w->model.size - world_any(w->model.size) / 20;
        msg_set_u(&m, FIELD_REVISION, q->at);
    }
    question_ask(w, a, q, &m);
}

static uint64_t held_items(const struct client *a, struct buf *items,
                           struct question *q)
{
    for (size_t i = 0; i < a->held_count; i++) {
        struct msg item;

        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, a->held[i].task);
        msg_set_u(&item, FIELD_TOKEN, a->held[i].token);
        msg_encode(&item, items);
        q->items[q->count++] = a->held[i];
    }
    return a->held_count;
}

void client_seeks_work(struct world *w, struct client *a)
{
    struct question *q = question_new(w, a, MSG_WORK);
    struct knowledge k = {.any = world_any};
    struct buf items = {0}, can = {0};
    struct msg m;
    uint64_t n;

    if (!q)
        return;
    n = held_items(a, &items, q);
    msg_init(&m, MSG_WORK);
    if (world_any(4))
        capabilities_say(&m, model_capabilities(a->number), &can);
    msg_set_text(&m, FIELD_SPACE, SIM_SPACE);
    msg_set_text(&m, FIELD_QUEUE, any_queue(&k));
    msg_set_u(&m, FIELD_CREDIT, world_any(4));
    if (world_any(3) == 0)
        msg_set_u(&m, FIELD_KIND, WORK_MORE);
    else
        msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&items));
    question_ask(w, a, q, &m);
    buf_free(&items);
    buf_free(&can);
}

void client_heartbeat(struct world *w, struct client *a)
{
    struct question *q =
        a->held_count ? question_new(w, a, MSG_HEARTBEAT) : NULL;
    struct buf items = {0};
    struct msg m;
    uint64_t n;

    if (!q)
        return;
    n = held_items(a, &items, q);
    msg_init(&m, MSG_HEARTBEAT);
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&items));
    question_ask(w, a, q, &m);
    buf_free(&items);
}
