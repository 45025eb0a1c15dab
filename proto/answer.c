/* A leaf of a cycle's tree is one message to one agent, recipient included,
 * so that no answer can be passed off as another's. It covers the bytes as they
 * lie, before anything is read in them. */
#include "answer.h"

#include <errno.h>

#include "refusal.h"

static const uint8_t magic[4] = {'C', 'H', 'A', '1'};

enum { COUNT_AT = 8 + HASH_BYTES };

void answer_begin(struct answer_body *a, uint64_t session,
                  const struct hash *agent)
{
    buf_clear(&a->bytes);
    buf_put_u64(&a->bytes, session);
    buf_put(&a->bytes, agent->b, HASH_BYTES);
    buf_put_u32(&a->bytes, 0);
    a->items = 0;
}

void answer_add(struct answer_body *a, const struct msg *item)
{
    size_t at = a->bytes.n;

    buf_put_u32(&a->bytes, 0);
    msg_encode(item, &a->bytes);
    if (!a->bytes.failed)
        put_u32(a->bytes.p + at, (uint32_t)(a->bytes.n - at - 4));
    a->items++;
}

struct bytes answer_end(struct answer_body *a)
{
    if (!a->bytes.failed)
        put_u32(a->bytes.p + COUNT_AT, a->items);
    return buf_bytes(&a->bytes);
}

/* --- Leaves --------------------------------------------------------------- */

static bool is_whole(struct bytes body)
{
    return body.n <= ANSWER_PIECE;
}

static size_t pieces_of(struct bytes body)
{
    return (body.n + ANSWER_PIECE - 1) / ANSWER_PIECE;
}

static struct bytes piece_take(struct bytes *left)
{
    size_t n = left->n < ANSWER_PIECE ? left->n : ANSWER_PIECE;
    struct bytes piece = bytes_of(left->p, n);

    *left = bytes_of(left->p + n, left->n - n);
    return piece;
}

struct hash answer_leaf(struct bytes body)
{
    struct hash_job jobs[ANSWER_LEAVES_MAX];
    struct hash hashes[ANSWER_LEAVES_MAX];
    struct hash_run leaf;

    if (is_whole(body))
        return hash_of(HASH_ANSWER, body);
    hash_run_begin(&leaf, HASH_PIECES);
    while (body.n) {
        size_t n = 0;

        for (; n < ANSWER_LEAVES_MAX && body.n; n++)
            jobs[n] = (struct hash_job){.a = piece_take(&body)};
        hash_many(HASH_PIECE, jobs, n, hashes);
        hash_run_add(&leaf, bytes_of(hashes, n * HASH_BYTES));
    }
    return hash_run_now(&leaf);
}

static void pieces_hash(const struct hash_job *jobs, size_t n, struct buf *out)
{
    struct hash hashes[ANSWER_LEAVES_MAX];

    hash_many(HASH_PIECE, jobs, n, hashes);
    buf_put(out, hashes, n * HASH_BYTES);
}

/* Of all bodies that are hashed in pieces, these pieces' hashes. */
static void all_pieces(const struct bytes *bodies, size_t n, struct buf *out)
{
    struct hash_job jobs[ANSWER_LEAVES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        struct bytes left = bodies[i];

        while (!is_whole(bodies[i]) && left.n) {
            jobs[count++] = (struct hash_job){.a = piece_take(&left)};
            if (count < ANSWER_LEAVES_MAX)
                continue;
            pieces_hash(jobs, count, out);
            count = 0;
        }
    }
    if (count)
        pieces_hash(jobs, count, out);
}

/* Leaves of the bodies of one kind; of each body, the message to hash. */
static void leaves_with(enum hash_tag tag, const struct bytes *bodies,
                        const struct bytes *messages, size_t n,
                        struct hash *leaves)
{
    struct hash_job jobs[ANSWER_LEAVES_MAX];
    struct hash hashes[ANSWER_LEAVES_MAX];
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (is_whole(bodies[i]) == (tag == HASH_ANSWER))
            jobs[count++] = (struct hash_job){.a = messages[i]};
    }
    if (count == 0)
        return;
    hash_many(tag, jobs, count, hashes);
    while (n-- > 0) {
        if (is_whole(bodies[n]) == (tag == HASH_ANSWER))
            leaves[n] = hashes[--count];
    }
}

int answer_leaves(const struct bytes *bodies, size_t n, struct buf *scratch,
                  struct hash *leaves)
{
    struct bytes messages[ANSWER_LEAVES_MAX];
    size_t at = 0;

    buf_clear(scratch);
    all_pieces(bodies, n, scratch);
    if (scratch->failed)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = pieces_of(bodies[i]) * HASH_BYTES;

        messages[i] = bodies[i];
        if (is_whole(bodies[i]))
            continue;
        messages[i] = bytes_of(scratch->p + at, bytes);
        at += bytes;
    }
    leaves_with(HASH_ANSWER, bodies, messages, n, leaves);
    leaves_with(HASH_PIECES, bodies, messages, n, leaves);
    return 0;
}

/* --- Signing and frames --------------------------------------------------- */

int answer_sign(const struct answer_facts *facts, const struct merkle *tree,
                const struct key_pair *key, struct buf *out)
{
    struct hash answers = merkle_root(tree);
    size_t start = out->n + sizeof magic + 4;
    struct bytes header;
    uint8_t *signature;
    struct msg h;

    msg_init(&h, MSG_ANSWER_HEADER);
    msg_set_u(&h, FIELD_TIME, facts->time);
    msg_set_u(&h, FIELD_SIZE, facts->size);
    msg_set_hash(&h, FIELD_ROOT, &facts->root);
    msg_set_u(&h, FIELD_EPOCH, facts->epoch);
    msg_set_u(&h, FIELD_FORMAT, 1);
    msg_set_hash(&h, FIELD_LEDGER, &facts->ledger);
    msg_set_u(&h, FIELD_COUNT, tree->count);
    msg_set_hash(&h, FIELD_ANSWERS, &answers);
    buf_put(out, magic, sizeof magic);
    buf_put_u32(out, 0);
    msg_encode(&h, out);
    signature = buf_grow(out, KEY_SIGNATURE_BYTES);
    if (!signature)
        return -ENOMEM;
    header = bytes_of(out->p + start, (size_t)(signature - out->p) - start);
    put_u32(out->p + start - 4, (uint32_t)header.n);
    key_sign(key, KEY_FOR_ANSWER, &facts->ledger, header, signature);
    return 0;
}

void answer_frame(struct buf *out, struct bytes front,
                  const struct merkle *tree, size_t i, struct bytes body)
{
    struct hash path[MERKLE_PATH_MAX];
    size_t n = merkle_path(tree, i, path);

    buf_put(out, front.p, front.n);
    buf_put_u32(out, (uint32_t)i);
    buf_put_u32(out, (uint32_t)n);
    buf_put(out, path, n * HASH_BYTES);
    buf_put(out, body.p, body.n);
}

static int header_open(struct answer *a)
{
    struct msg h;
    unsigned field;
    int r = part_decode(MSG_ANSWER_HEADER, a->header, &h, &field);

    if (r)
        return r;
    if (msg_u(&h, FIELD_FORMAT) != 1)
        return CHOIR_UNSUPPORTED;
    a->ledger = msg_hash(&h, FIELD_LEDGER);
    a->root = msg_hash(&h, FIELD_ROOT);
    a->answers = msg_hash(&h, FIELD_ANSWERS);
    a->epoch = msg_u(&h, FIELD_EPOCH);
    a->time = msg_u(&h, FIELD_TIME);
    a->size = msg_u(&h, FIELD_SIZE);
    a->count = msg_u(&h, FIELD_COUNT);
    return 0;
}

int answer_open(struct answer *a, struct bytes frame)
{
    struct cursor c = cursor_of(frame);
    struct bytes mark = cursor_take(&c, sizeof magic), path, body, agent;
    uint32_t n = cursor_u32(&c), position, hashes;
    struct hash root;
    int r;

    if (c.failed || memcmp(mark.p, magic, sizeof magic) != 0 ||
        n > LIMIT_HEADER_BYTES)
        return CHOIR_MALFORMED;
    a->header = cursor_take(&c, n);
    a->signature = cursor_take(&c, KEY_SIGNATURE_BYTES).p;
    position = cursor_u32(&c);
    hashes = cursor_u32(&c);
    if (c.failed || hashes > MERKLE_PATH_MAX)
        return CHOIR_MALFORMED;
    path = cursor_take(&c, (size_t)hashes * HASH_BYTES);
    body = bytes_of(c.p, cursor_left(&c));
    a->session = cursor_u64(&c);
    agent = cursor_take(&c, HASH_BYTES);
    a->items = cursor_u32(&c);
    if (c.failed)
        return CHOIR_MALFORMED;
    memcpy(a->agent.b, agent.p, HASH_BYTES);
    a->body = c;
    r = header_open(a);
    if (r)
        return r;
    r = merkle_climb(merkle_blake, answer_leaf(body), position, a->count,
                     path.p, hashes, &root);
    if (r)
        return r;
    return hash_equal(&root, &a->answers) ? 0 : CHOIR_MALFORMED;
}

int answer_verify(const struct answer *a,
                  const uint8_t broker_key[KEY_PUBLIC_BYTES])
{
    return key_verify_often(broker_key, KEY_FOR_ANSWER, &a->ledger, a->header,
                            a->signature);
}

int answer_next(struct answer *a, struct msg *item)
{
    struct bytes b;
    unsigned field;

    if (a->items == 0)
        return cursor_left(&a->body) ? CHOIR_MALFORMED : CHOIR_NOT_FOUND;
    a->items--;
    b = cursor_take(&a->body, cursor_u32(&a->body));
    if (a->body.failed)
        return CHOIR_MALFORMED;
    return msg_decode(b, CLASS_ITEM, item, &field);
}
