/* How frames come in: opened in order, proven on any core, taken in order. The
 * proof is the dear part and needs nothing but the frame and a key. */
#include <errno.h>
#include <stdlib.h>

#include "base/crew.h"
#include "base/log.h"
#include "cycle_private.h"
#include "proto/refusal.h"

static const uint8_t hello_magic[4] = {'C', 'H', 'H', '1'};

/* --- Hello --------------------------------------------------------------- */

static void limit_put(struct buf *items, uint64_t *n, const char *name,
                      uint64_t limit)
{
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, name);
    msg_set_u(&item, FIELD_LIMIT, limit);
    msg_encode(&item, items);
    ++*n;
}

static int say_welcome(struct cycle *c, struct connection *to)
{
    struct hash nobody = {{0}};
    struct buf items = {0};
    struct msg m, head;
    uint64_t n = 0;

    limit_put(&items, &n, "value_bytes_max",
              cycle_state(c)->rules.value_bytes_max);
    limit_put(&items, &n, "bundle_bytes_max", c->config->bundle_bytes_max);
    limit_put(&items, &n, "bundle_ops_max", c->config->bundle_ops_max);
    limit_put(&items, &n, "lease_ms_default",
              cycle_state(c)->rules.lease_ms_default);
    limit_put(&items, &n, "session_idle_s", c->config->session_idle_s);
    limit_put(&items, &n, "epoch_began", cycle_state(c)->epoch_began);
    msg_init(&head, MSG_ITEM);
    msg_set_text(&head, FIELD_NAME, "head");
    msg_set_u(&head, FIELD_REVISION, core_size(c->core) - 1);
    msg_encode(&head, &items);
    msg_init(&m, MSG_WELCOME);
    msg_set_hash(&m, FIELD_CHALLENGE, &to->challenge);
    msg_set_u(&m, FIELD_FORMAT, 1);
    msg_set_list(&m, FIELD_ITEMS, n + 1, buf_bytes(&items));
    if (!items.failed)
        router_say(c->router, to, 0, &nobody, &m);
    buf_free(&items);
    return 0;
}

static int take_hello(struct cycle *c, struct connection *from,
                      struct bytes body)
{
    unsigned field;
    struct msg m;
    int r = part_decode(MSG_HELLO, body, &m, &field);

    if (r)
        return r;
    if (msg_u(&m, FIELD_FORMAT) != 1)
        log_warn_limited("hello", "format=%llu error=%s",
                         (unsigned long long)msg_u(&m, FIELD_FORMAT),
                         "answered with format 1");
    return say_welcome(c, from);
}

/* --- Opening ------------------------------------------------------------- */

static int opened_reserve(struct cycle *c, size_t n)
{
    struct opened *p;

    if (n <= c->opened_cap)
        return 0;
    p = realloc(c->opened, n * sizeof *p);
    if (!p)
        return -ENOMEM;
    memset(p + c->opened_cap, 0, (n - c->opened_cap) * sizeof *p);
    c->opened = p;
    c->opened_cap = n;
    return 0;
}

void opened_free(struct cycle *c)
{
    for (size_t i = 0; i < c->opened_cap; i++)
        bundle_free(&c->opened[i].bundle);
    free(c->opened);
}

static bool is_hello(struct bytes frame)
{
    return frame.n >= sizeof hello_magic &&
           memcmp(frame.p, hello_magic, sizeof hello_magic) == 0;
}

static void open_one(struct cycle *c, struct arrival *a, struct opened *o)
{
    struct sender sender = cycle_sender(a->from, NULL);

    o->is_wanted = false;
    o->proof = (struct proof){.signature = CHOIR_BAD_SIGNATURE,
                              .contents = CHOIR_MALFORMED};
    c->frames++;
    c->bytes += a->frame.n;
    a->code = is_hello(a->frame) ? 0 : bundle_open(&o->bundle, a->frame);
    if (a->code == 0 && !is_hello(a->frame))
        o->is_wanted = core_prepare(c->core, &o->bundle, &sender, &o->proof);
}

/* For the crew. */
static void prove_one(void *opened, size_t i)
{
    struct opened *o = (struct opened *)opened + i;

    if (o->is_wanted)
        proof_make(&o->proof, &o->bundle,
                   o->bundle.kind == BUNDLE_ASK ? CLASS_ASK : CLASS_OPERATION);
}

int take_one(struct cycle *c, struct arrival *a, struct opened *o)
{
    if (a->code)
        return a->code;
    if (is_hello(a->frame))
        return take_hello(c, a->from,
                          bytes_of(a->frame.p + sizeof hello_magic,
                                   a->frame.n - sizeof hello_magic));
    return o->bundle.kind == BUNDLE_ASK ? take_ask(c, a->from, o, a->frame)
                                        : take_record(c, a, o);
}

static int take_in_turn(struct cycle *c, struct arrival *list, size_t n)
{
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n; i++) {
        if (c->crew)
            crew_need(c->crew, i);
        r = take_one(c, &list[i], &c->opened[i]);
        list[i].code = r;
        if (r >= 0)
            r = let_out(c);
    }
    return r < 0 ? r : 0;
}

/* The next ones are proven beside what is decided about those before. */
int cycle_take_all(struct cycle *c, struct arrival *list, size_t n)
{
    int r = opened_reserve(c, n);

    for (size_t i = 0; !r && i < n; i++)
        open_one(c, &list[i], &c->opened[i]);
    if (!r && n == 1 && is_lone(c, list, c->opened))
        return take_lone(c, list, c->opened);
    if (!r && c->crew)
        r = crew_begin(c->crew, prove_one, c->opened, n);
    if (r)
        return r;
    r = take_in_turn(c, list, n);
    if (c->crew)
        crew_end(c->crew);
    return r;
}

int cycle_take(struct cycle *c, struct connection *from, struct bytes frame)
{
    struct arrival one = {.from = from, .frame = frame};
    int r = cycle_take_all(c, &one, 1);

    return r ? r : one.code;
}
