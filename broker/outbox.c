/* Bodies lie in an array that is reused; a small table finds the one that is
 * still open for a recipient. */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BODY_FULL = 256 * 1024,  /* then another one is begun */
    BODY_KEEP = 1024 * 1024, /* a larger buffer is given back */
    BODIES_KEEP = 1024,      /* so many are kept between cycles */
};

struct body {
    uint64_t connection, session;
    struct answer_body answer;
};

struct place {
    uint64_t round; /* older: free */
    size_t body;
};

struct outbox {
    struct body *bodies;
    size_t count, cap;
    struct place *table; /* open addressing; a power of two, half full */
    size_t table_size;
    uint64_t round, rests_on;
    size_t bytes;
    struct hash *leaves;
    size_t leaf_cap;
    struct merkle tree;
    struct buf front, frame;
};

struct outbox *outbox_new(void)
{
    struct outbox *o = calloc(1, sizeof *o);

    if (!o)
        return NULL;
    o->round = 1;
    o->table_size = 256;
    o->table = calloc(o->table_size, sizeof *o->table);
    if (!o->table)
        outbox_destroy(&o);
    return o;
}

void outbox_destroy(struct outbox **self_p)
{
    struct outbox *o = *self_p;

    if (!o)
        return;
    for (size_t i = 0; i < o->cap; i++)
        buf_free(&o->bodies[i].answer.bytes);
    free(o->bodies);
    free(o->table);
    free(o->leaves);
    merkle_free(&o->tree);
    buf_free(&o->front);
    buf_free(&o->frame);
    free(o);
    *self_p = NULL;
}

/* Where the recipient's open body is, or would be. */
static struct place *place_of(struct outbox *o, uint64_t connection,
                              uint64_t session)
{
    uint64_t h =
        (connection * 0x9e3779b97f4a7c15 ^ session) * 0xbf58476d1ce4e5b9;
    size_t at = (size_t)(h >> 32) & (o->table_size - 1);

    for (;; at = (at + 1) & (o->table_size - 1)) {
        struct place *p = &o->table[at];
        struct body *b = &o->bodies[p->body];

        if (p->round != o->round ||
            (b->connection == connection && b->session == session))
            return p;
    }
}

static int table_grow(struct outbox *o)
{
    struct place *table = calloc(2 * o->table_size, sizeof *table);

    if (!table)
        return -ENOMEM;
    free(o->table);
    o->table = table;
    o->table_size *= 2;
    for (size_t i = 0; i < o->count; i++) { /* the last one is the open one */
        struct body *b = &o->bodies[i];

        *place_of(o, b->connection, b->session) = (struct place){o->round, i};
    }
    return 0;
}

static int body_begin(struct outbox *o, uint64_t connection, uint64_t session,
                      const struct hash *agent)
{
    struct body *b;

    if (o->count == LIMIT_ANSWERS_PER_CYCLE)
        return -ENOMEM;
    if (o->count == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 64;
        struct body *bodies = realloc(o->bodies, cap * sizeof *bodies);

        if (!bodies)
            return -ENOMEM;
        memset(bodies + o->cap, 0, (cap - o->cap) * sizeof *bodies);
        o->bodies = bodies;
        o->cap = cap;
    }
    if (2 * (o->count + 1) > o->table_size && table_grow(o))
        return -ENOMEM;
    b = &o->bodies[o->count];
    b->connection = connection;
    b->session = session;
    answer_begin(&b->answer, session, agent);
    *place_of(o, connection, session) = (struct place){o->round, o->count};
    o->count++;
    return 0;
}

static bool fits(const struct body *b, const struct hash *agent)
{
    return !b->answer.bytes.failed && b->answer.bytes.n < BODY_FULL &&
           memcmp(b->answer.bytes.p + 8, agent->b, HASH_BYTES) == 0;
}

size_t outbox_add(struct outbox *o, uint64_t connection, uint64_t session,
                  const struct hash *agent, const struct msg *item)
{
    struct place *p = place_of(o, connection, session);
    struct answer_body *a;
    size_t before;

    if (p->round != o->round || !fits(&o->bodies[p->body], agent)) {
        if (body_begin(o, connection, session, agent))
            return 0;
        p = place_of(o, connection, session);
    }
    a = &o->bodies[p->body].answer;
    before = a->bytes.n;
    answer_add(a, item);
    if (a->bytes.failed)
        return 0;
    o->bytes += a->bytes.n - before;
    return a->bytes.n - before;
}

size_t outbox_bytes(const struct outbox *o)
{
    return o->bytes;
}

void outbox_rests_on(struct outbox *o, uint64_t size)
{
    o->rests_on = size;
}

static int leaves_make(struct outbox *o)
{
    if (o->leaf_cap < o->count) {
        struct hash *leaves = realloc(o->leaves, o->cap * sizeof *leaves);

        if (!leaves)
            return -ENOMEM;
        o->leaves = leaves;
        o->leaf_cap = o->cap;
    }
    for (size_t i = 0; i < o->count; i++)
        o->leaves[i] = answer_leaf(answer_end(&o->bodies[i].answer));
    return merkle_build(&o->tree, o->leaves, o->count);
}

static void begin_anew(struct outbox *o)
{
    for (size_t i = 0; i < o->count; i++) {
        struct buf *b = &o->bodies[i].answer.bytes;

        if (i >= BODIES_KEEP || b->cap > BODY_KEEP || b->failed)
            buf_free(b);
    }
    if (o->frame.cap > BODY_KEEP)
        buf_free(&o->frame);
    o->count = 0;
    o->bytes = 0;
    o->round++;
}

int outbox_release(struct outbox *o, const struct answer_facts *facts,
                   const struct key_pair *key, outbox_send send, void *arg)
{
    int n = (int)o->count;

    if (n == 0 || facts->size < o->rests_on)
        return 0;
    buf_clear(&o->front);
    if (leaves_make(o) || answer_sign(facts, &o->tree, key, &o->front))
        return -ENOMEM;
    for (size_t i = 0; i < o->count; i++) {
        struct body *b = &o->bodies[i];

        if (b->answer.bytes.failed)
            continue;
        buf_clear(&o->frame);
        answer_frame(&o->frame, buf_bytes(&o->front), &o->tree, i,
                     buf_bytes(&b->answer.bytes));
        if (!o->frame.failed)
            send(arg, b->connection, buf_bytes(&o->frame));
    }
    begin_anew(o);
    return n;
}
