/* Bodies lie in a ring that is reused, oldest first: those that wait for the
 * disk, then those that are open. A small table finds the one that is still
 * open for a recipient. */
#include "outbox.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BODY_FULL = 256 * 1024,  /* then another one is begun */
    BODY_KEEP = 1024 * 1024, /* a larger buffer is given back */
    BODIES_KEEP = 1024,      /* so many keep their buffers */
};

struct body {
    uint64_t connection, session;
    uint64_t rests_on;
    size_t took;
    struct answer_body answer;
};

/* Bodies are numbered from 1 for ever. */
struct outbox {
    struct body *ring; /* owned; cap is a power of two */
    size_t cap;
    uint64_t first, open, next; /* waiting: first..open; open: open..next */
    uint64_t *table; /* numbers of bodies; below `open`: a free place. Open
                        addressing; a power of two, half full */
    size_t table_size;
    size_t bytes;
    struct hash *leaves;
    size_t leaf_cap;
    struct buf pieces; /* scratch of answer_leaves */
    struct merkle tree;
    struct buf front, frame;
    struct { /* what front is the signature of */
        uint64_t first;
        size_t n; /* 0: nothing that is still here */
        struct answer_facts facts;
    } ahead;
};

static struct body *body_at(const struct outbox *o, uint64_t number)
{
    return &o->ring[number & (o->cap - 1)];
}

struct outbox *outbox_new(void)
{
    struct outbox *o = calloc(1, sizeof *o);

    if (!o)
        return NULL;
    o->first = o->open = o->next = 1;
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
        buf_free(&o->ring[i].answer.bytes);
    free(o->ring);
    free(o->table);
    free(o->leaves);
    buf_free(&o->pieces);
    merkle_free(&o->tree);
    buf_free(&o->front);
    buf_free(&o->frame);
    free(o);
    *self_p = NULL;
}

/* Where the recipient's open body is, or would be. */
static uint64_t *place_of(struct outbox *o, uint64_t connection,
                          uint64_t session)
{
    uint64_t h =
        (connection * 0x9e3779b97f4a7c15 ^ session) * 0xbf58476d1ce4e5b9;
    size_t at = (size_t)(h >> 32) & (o->table_size - 1);

    for (;; at = (at + 1) & (o->table_size - 1)) {
        uint64_t *place = &o->table[at];
        struct body *b;

        if (*place < o->open)
            return place;
        b = body_at(o, *place);
        if (b->connection == connection && b->session == session)
            return place;
    }
}

static int table_grow(struct outbox *o)
{
    uint64_t *table = calloc(2 * o->table_size, sizeof *table);

    if (!table)
        return -ENOMEM;
    free(o->table);
    o->table = table;
    o->table_size *= 2;
    for (uint64_t i = o->open; i < o->next; i++) { /* the last one stays */
        struct body *b = body_at(o, i);

        *place_of(o, b->connection, b->session) = i;
    }
    return 0;
}

static int ring_grow(struct outbox *o)
{
    size_t cap = o->cap ? 2 * o->cap : 64;
    struct body *ring = calloc(cap, sizeof *ring);

    if (!ring)
        return -ENOMEM;
    for (uint64_t i = o->first; o->cap && i < o->first + o->cap; i++)
        ring[i & (cap - 1)] = *body_at(o, i); /* spare buffers, too */
    free(o->ring);
    o->ring = ring;
    o->cap = cap;
    return 0;
}

static int body_begin(struct outbox *o, uint64_t connection, uint64_t session,
                      const struct hash *agent)
{
    struct body *b;

    if (o->next - o->open == LIMIT_ANSWERS_PER_CYCLE)
        return -ENOMEM;
    if (o->next - o->first == o->cap && ring_grow(o))
        return -ENOMEM;
    if (2 * (o->next - o->open + 1) > o->table_size && table_grow(o))
        return -ENOMEM;
    b = body_at(o, o->next);
    b->connection = connection;
    b->session = session;
    b->took = 0;
    answer_begin(&b->answer, session, agent);
    *place_of(o, connection, session) = o->next++;
    return 0;
}

static bool fits(const struct body *b, const struct hash *agent)
{
    return !b->answer.bytes.failed && b->answer.bytes.n < BODY_FULL &&
           memcmp(b->answer.bytes.p + 8, agent->b, HASH_BYTES) == 0;
}

/* The recipient's open body, begun if need be; NULL: no memory or too many. */
static struct body *body_of(struct outbox *o, uint64_t connection,
                            uint64_t session, const struct hash *agent)
{
    uint64_t *place = place_of(o, connection, session);

    if (*place < o->open || !fits(body_at(o, *place), agent)) {
        if (body_begin(o, connection, session, agent))
            return NULL;
        place = place_of(o, connection, session);
    }
    return body_at(o, *place);
}

static size_t added(struct outbox *o, struct body *b, size_t before)
{
    size_t took = b->answer.bytes.n - before;

    if (b->answer.bytes.failed)
        return 0;
    b->took += took;
    o->bytes += took;
    return took;
}

size_t outbox_add(struct outbox *o, uint64_t connection, uint64_t session,
                  const struct hash *agent, const struct msg *item)
{
    struct body *b = body_of(o, connection, session, agent);
    size_t before;

    if (!b)
        return 0;
    before = b->answer.bytes.n;
    answer_add(&b->answer, item);
    return added(o, b, before);
}

size_t outbox_add_bytes(struct outbox *o, uint64_t connection, uint64_t session,
                        const struct hash *agent, struct bytes item)
{
    struct body *b = body_of(o, connection, session, agent);
    size_t before;

    if (!b)
        return 0;
    before = b->answer.bytes.n;
    buf_put_u32(&b->answer.bytes, (uint32_t)item.n);
    buf_put(&b->answer.bytes, item.p, item.n);
    b->answer.items++;
    return added(o, b, before);
}

size_t outbox_bytes(const struct outbox *o)
{
    return o->bytes;
}

void outbox_rests_on(struct outbox *o, uint64_t size)
{
    for (; o->open < o->next; o->open++)
        body_at(o, o->open)->rests_on = size;
}

bool outbox_waits(const struct outbox *o)
{
    return o->first < o->next;
}

/* Those that may leave now; they are at the front. */
static size_t ready(const struct outbox *o, uint64_t size)
{
    uint64_t at = o->first;

    while (at < o->open && at - o->first < LIMIT_ANSWERS_PER_CYCLE &&
           body_at(o, at)->rests_on <= size)
        at++;
    return (size_t)(at - o->first);
}

static int leaves_make(struct outbox *o, size_t n)
{
    if (o->leaf_cap < n) {
        struct hash *leaves = realloc(o->leaves, o->cap * sizeof *leaves);

        if (!leaves)
            return -ENOMEM;
        o->leaves = leaves;
        o->leaf_cap = o->cap;
    }
    for (size_t i = 0, some; i < n; i += some) {
        struct bytes bodies[ANSWER_LEAVES_MAX];

        for (some = 0; some < ANSWER_LEAVES_MAX && i + some < n; some++)
            bodies[some] = answer_end(&body_at(o, o->first + i + some)->answer);
        if (answer_leaves(bodies, some, &o->pieces, o->leaves + i))
            return -ENOMEM;
    }
    if (o->pieces.cap > BODY_KEEP)
        buf_free(&o->pieces);
    return merkle_build(&o->tree, o->leaves, n);
}

static void body_leave(struct outbox *o)
{
    struct body *b = body_at(o, o->first);
    struct buf *bytes = &b->answer.bytes;

    o->bytes -= b->took;
    if (o->next - o->first > BODIES_KEEP || bytes->cap > BODY_KEEP ||
        bytes->failed)
        buf_free(bytes);
    o->first++;
}

static bool is_signed(const struct outbox *o, size_t n,
                      const struct answer_facts *facts)
{
    return o->ahead.n == n && o->ahead.first == o->first &&
           memcmp(&o->ahead.facts, facts, sizeof *facts) == 0;
}

static int sign(struct outbox *o, size_t n, const struct answer_facts *facts,
                const struct key_pair *key)
{
    buf_clear(&o->front);
    o->ahead.n = 0;
    if (leaves_make(o, n) || answer_sign(facts, &o->tree, key, &o->front))
        return -ENOMEM;
    o->ahead.n = n;
    o->ahead.first = o->first;
    o->ahead.facts = *facts;
    return 0;
}

static int release_some(struct outbox *o, size_t n,
                        const struct answer_facts *facts,
                        const struct key_pair *key, outbox_send send, void *arg)
{
    if (!is_signed(o, n, facts) && sign(o, n, facts, key))
        return -ENOMEM;
    for (size_t i = 0; i < n; i++, body_leave(o)) {
        struct body *b = body_at(o, o->first);

        if (b->answer.bytes.failed)
            continue;
        buf_clear(&o->frame);
        answer_frame(&o->frame, buf_bytes(&o->front), &o->tree, i,
                     buf_bytes(&b->answer.bytes));
        if (!o->frame.failed)
            send(arg, b->connection, buf_bytes(&o->frame), b->took);
    }
    if (o->frame.cap > BODY_KEEP)
        buf_free(&o->frame);
    return 0;
}

int outbox_sign(struct outbox *o, const struct answer_facts *facts,
                const struct key_pair *key)
{
    size_t n = ready(o, facts->size);

    return n ? sign(o, n, facts, key) : 0;
}

int outbox_release(struct outbox *o, const struct answer_facts *facts,
                   const struct key_pair *key, outbox_send send, void *arg)
{
    int count = 0;
    size_t n;

    while ((n = ready(o, facts->size)) > 0) {
        if (release_some(o, n, facts, key, send, arg))
            return -ENOMEM;
        count += (int)n;
    }
    return count;
}
