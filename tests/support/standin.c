#include "standin.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "proto/answer.h"
#include "proto/armour.h"
#include "proto/bundle.h"
#include "proto/note.h"
#include "proto/refusal.h"
#include "rows.h"

enum {
    SESSIONS = 64,
    PEERS = 64,
    KEYS = 256,
    ACCEPTED = 4096,
    WATCHES = 64,
    LIST_PAGE = 4
};

struct accepted_bundle {
    struct hash hash;
    uint64_t session, first_seq, revision;
    uint32_t count;
    int codes[LIMIT_BUNDLE_OPS];
    uint64_t at[LIMIT_BUNDLE_OPS];
};

struct session {
    uint64_t id, next_seq;
    struct hash agent, last;
    uint8_t key[KEY_PUBLIC_BYTES];
    uint8_t route[8];
    size_t route_bytes;
    bool ended;
};

struct version {
    char key[64];
    uint64_t revision;
    char value[256];
    size_t bytes;
};

struct watch {
    uint64_t session, number, next;
    bool work;
    uint64_t credit;
    char queue[64], prefix[64];
};

struct standin {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t done;
    /* a command for the thread, which alone touches everything else */
    void (*command)(struct standin *s, long a, const char *b);
    long a;
    const char *b;
    void *context, *router, *zap;
    int wake;
    bool stop;
    char url[512];
    struct key_pair key;
    struct curve_pair curve;
    struct hash ledger, challenge;
    uint64_t size, epoch, epoch_began;
    struct frontier tree;
    uint64_t branched, branches;
    int busy_proofs;
    struct session sessions[SESSIONS];
    unsigned session_count;
    struct version keys[KEYS];
    unsigned key_count;
    struct accepted_bundle *accepted;
    unsigned accepted_count;
    struct watch watches[WATCHES];
    unsigned watch_count;
    struct {
        char queue[64];
        uint64_t task, token;
        uint64_t session; /* 0: nobody has it */
        bool lost;
    } tasks[64];
    unsigned task_count;
    enum standin_trick trick;
    int away_code, away_left, asks_code, asks_left, swallow;
    bool mute, repeat, refuse, hold_lists;
    int stale, diverge;
    bool fences_reads;
    uint64_t marks;
    uint64_t compacted, marked; /* the line; the one mark there is */
    char read_set[1024], told_reads[1024], heed[64];
    struct standin_counts counts;
    struct standin_counts told; /* a copy for the test's thread */
    uint64_t told_task;
    /* one answer being made */
    uint8_t route[256];
    size_t route_bytes;
    struct answer_body body;
    uint64_t body_session;
    struct hash body_agent;
};

/* --- Answers -------------------------------------------------------------- */

static void body_begin(struct standin *s, uint64_t session,
                       const struct hash *agent)
{
    s->body_session = session;
    s->body_agent = *agent;
    answer_begin(&s->body, session, agent);
}

static void body_item(struct standin *s, const struct msg *item)
{
    answer_add(&s->body, item);
}

/* Its tree is a real one, over leaves that stand for nothing. */
static struct hash leaf_of(const struct standin *s, uint64_t i)
{
    uint8_t b[16] = {0};

    put_u64(b, i);
    if (i >= s->branched)
        put_u64(b + 8, s->branches);
    return tree_leaf(bytes_of(b, sizeof b));
}

static struct hash range_root(const struct standin *s, uint64_t from,
                              uint64_t to)
{
    struct frontier f;

    frontier_init(&f);
    for (; from < to; from++)
        frontier_add(&f, leaf_of(s, from));
    return frontier_root(&f);
}

static struct hash root_of(struct standin *s, uint64_t size)
{
    if (s->tree.size > size)
        return range_root(s, 0, size);
    while (s->tree.size < size)
        frontier_add(&s->tree, leaf_of(s, s->tree.size));
    return frontier_root(&s->tree);
}

/* From here on it tells another story than before. */
static void branch(struct standin *s, uint64_t at)
{
    s->branched = at;
    s->branches++;
    frontier_init(&s->tree);
}

/* RFC 6962, 2.1.2, word for word. */
static void subproof(const struct standin *s, uint64_t old, uint64_t from,
                     uint64_t to, bool whole, struct buf *path)
{
    uint64_t n = to - from, k = 1;
    struct hash root;

    if (old == n && !whole) {
        root = range_root(s, from, to);
        buf_put(path, root.b, sizeof root.b);
    }
    if (old == n)
        return;
    while (2 * k < n)
        k *= 2;
    if (old <= k) {
        subproof(s, old, from, from + k, whole, path);
        root = range_root(s, from + k, to);
    } else {
        subproof(s, old - k, from + k, to, false, path);
        root = range_root(s, from, from + k);
    }
    buf_put(path, root.b, sizeof root.b);
}

static void reply_growth(struct standin *s, const struct msg *ask,
                         struct msg *m, struct buf *path, struct buf *text)
{
    uint64_t size = msg_has(ask, FIELD_SIZE) ? msg_u(ask, FIELD_SIZE) : s->size;
    struct note note = {.ledger = s->ledger,
                        .root = range_root(s, 0, size),
                        .size = size,
                        .epoch = s->epoch};

    if (s->busy_proofs) {
        s->busy_proofs--;
        msg_set_u(m, FIELD_OUTCOME, CHOIR_BUSY);
        return;
    }
    subproof(s, msg_u(ask, FIELD_PREV), 0, size, true, path);
    note_put(text, &note, &s->key);
    buf_put(text, note.root.b, sizeof note.root.b);
    text->n -= sizeof note.root.b;
    msg_set_u(m, FIELD_SIZE, size);
    msg_set_b(m, FIELD_ROOT, bytes_of(text->p + text->n, HASH_BYTES));
    msg_set_b(m, FIELD_PATH, buf_bytes(path));
    msg_set_b(m, FIELD_TEXT, buf_bytes(text));
}

static void play(struct standin *s, struct answer_facts *facts,
                 struct key_pair *key)
{
    switch (s->trick) {
    case TRICK_BAD_SIGNATURE: key_pair_new(key); return;
    case TRICK_OTHER_LEDGER: facts->ledger.b[0] ^= 1; return;
    case TRICK_SHRUNK: facts->size = 1; return;
    case TRICK_FORKED: facts->root.b[0] ^= 1; return;
    case TRICK_OTHER_RECIPIENT:
        memset(s->body.bytes.p + 8, 0x55, HASH_BYTES);
        return;
    default: return;
    }
}

static void body_send(struct standin *s, const uint8_t *route, size_t n)
{
    struct answer_facts facts = {.ledger = s->ledger,
                                 .epoch = s->epoch,
                                 .time = 1,
                                 .size = s->size,
                                 .root = root_of(s, s->size)};
    struct key_pair key = s->key;
    struct merkle tree = {0};
    struct buf front = {0}, frame = {0};
    struct hash leaf;
    struct bytes body = answer_end(&s->body);

    play(s, &facts, &key);
    leaf = answer_leaf(body);
    merkle_build(&tree, &leaf, 1);
    answer_sign(&facts, &tree, &key, &front);
    answer_frame(&frame, buf_bytes(&front), &tree, 0, body);
    if (s->trick == TRICK_GARBAGE)
        memset(frame.p, 'x', frame.n);
    if (!s->mute) {
        zmq_send(s->router, route, n, ZMQ_SNDMORE);
        zmq_send(s->router, frame.p, frame.n,
                 s->trick == TRICK_TWO_PARTS ? ZMQ_SNDMORE : 0);
        if (s->trick == TRICK_TWO_PARTS)
            zmq_send(s->router, "more", 4, 0);
    }
    s->trick = TRICK_NONE;
    merkle_free(&tree);
    buf_free(&front);
    buf_free(&frame);
}

static void say(struct standin *s, const struct session *to,
                const struct msg *item)
{
    body_begin(s, to->id, &to->agent);
    body_item(s, item);
    body_send(s, to->route, to->route_bytes);
}

static struct session *session_of(struct standin *s, uint64_t id)
{
    for (unsigned i = 0; i < s->session_count; i++)
        if (s->sessions[i].id == id)
            return &s->sessions[i];
    return NULL;
}

static void away(struct standin *s, const struct bundle *b, int code)
{
    struct msg m;

    msg_init(&m, MSG_TURNED_AWAY);
    msg_set_u(&m, FIELD_SESSION, b->session);
    msg_set_u(&m, FIELD_FIRST_SEQ, b->first_seq);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)code);
    msg_set_u(&m, FIELD_KIND, b->kind);
    body_begin(s, b->session, &b->agent);
    body_item(s, &m);
    body_send(s, s->route, s->route_bytes);
}

/* --- Operations ----------------------------------------------------------- */

static struct version *version_of(struct standin *s, struct bytes key)
{
    for (unsigned i = 0; i < s->key_count; i++)
        if (bytes_equal(bytes_text(s->keys[i].key), key))
            return &s->keys[i];
    return NULL;
}

static void store(struct standin *s, struct bytes key, struct bytes value,
                  uint64_t revision)
{
    struct version *v = version_of(s, key);

    if (!v)
        v = &s->keys[s->key_count++ % KEYS];
    snprintf(v->key, sizeof v->key, "%.*s", (int)key.n, (const char *)key.p);
    v->revision = revision;
    v->bytes = value.n < sizeof v->value ? value.n : sizeof v->value;
    memcpy(v->value, value.p, v->bytes);
}

/* value: NULL: it is gone. */
static void tell_watches(struct standin *s, struct bytes key,
                         const struct bytes *value, uint64_t revision,
                         const struct hash *agent)
{
    for (unsigned i = 0; i < s->watch_count; i++) {
        struct watch *w = &s->watches[i];
        struct session *to = session_of(s, w->session);
        struct buf items = {0};
        struct msg m, item;

        if (w->work || !to || !w->credit || revision < w->next ||
            !bytes_start_with(key, bytes_text(w->prefix)))
            continue;
        msg_init(&item, MSG_ITEM);
        msg_set_b(&item, FIELD_KEY, key);
        if (value)
            msg_set_b(&item, FIELD_VALUE, *value);
        msg_set_u(&item, FIELD_KIND, !value);
        msg_encode(&item, &items);
        msg_init(&m, MSG_CHANGE);
        msg_set_u(&m, FIELD_WATCH, w->number);
        msg_set_u(&m, FIELD_REVISION, revision);
        msg_set_u(&m, FIELD_TIME, 1);
        msg_set_hash(&m, FIELD_AGENT, agent);
        msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
        say(s, to, &m);
        buf_free(&items);
        w->credit--;
        w->next = revision + 1;
    }
}

static int put_apply(struct standin *s, const struct bundle *b,
                     const struct bundle_op *op, const struct msg *m,
                     uint64_t revision)
{
    struct version *v = version_of(s, msg_b(m, FIELD_KEY));
    struct bytes salt, value;

    if (msg_has(m, FIELD_IF_REVISION) &&
        msg_u(m, FIELD_IF_REVISION) != (v ? v->revision : 0))
        return CHOIR_CONFLICT;
    slot_at(msg_b(m, FIELD_SLOTS), op->payload, 0, &salt, &value);
    store(s, msg_b(m, FIELD_KEY), value, revision);
    tell_watches(s, msg_b(m, FIELD_KEY), &value, revision, &b->agent);
    return 0;
}

static int delete_apply(struct standin *s, const struct bundle *b,
                        const struct msg *m, uint64_t revision)
{
    struct version *v = version_of(s, msg_b(m, FIELD_KEY));

    if (!v)
        return CHOIR_NOT_FOUND;
    *v = s->keys[--s->key_count];
    tell_watches(s, msg_b(m, FIELD_KEY), NULL, revision, &b->agent);
    return 0;
}

static int complete_apply(struct standin *s, const struct bundle_op *op,
                          const struct msg *m)
{
    struct bytes salt, part;
    struct msg set;
    unsigned field;

    s->read_set[0] = '\0';
    if (msg_has(m, FIELD_READS) &&
        !slot_at(msg_b(m, FIELD_SLOTS), op->payload, msg_u(m, FIELD_READS),
                 &salt, &part) &&
        !part_decode(MSG_READ_SET, part, &set, &field))
        rows_text(msg_list(&set, FIELD_COMPARES), s->read_set,
                  sizeof s->read_set);
    if (s->stale) {
        s->stale--;
        return CHOIR_STALE;
    }
    s->counts.completes++;
    return 0;
}

static int heed_apply(struct standin *s, const struct msg *m)
{
    s->counts.heeds++;
    snprintf(s->heed, sizeof s->heed, "%llu %llu",
             (unsigned long long)msg_u(m, FIELD_KIND),
             (unsigned long long)msg_u(m, FIELD_REVISION));
    return 0;
}

static int op_apply(struct standin *s, const struct bundle *b,
                    const struct bundle_op *op, uint64_t revision)
{
    struct msg m;
    unsigned field;

    if (msg_decode(op->head, CLASS_OPERATION, &m, &field))
        return CHOIR_UNSUPPORTED;
    s->counts.operations++;
    switch (m.verb) {
    case MSG_PUT: return put_apply(s, b, op, &m, revision);
    case MSG_DELETE: return delete_apply(s, b, &m, revision);
    case MSG_NAK: s->counts.naks++; return 0;
    case MSG_MARK: s->marked = msg_u(&m, FIELD_REVISION); return 0;
    case MSG_COMPLETE: return complete_apply(s, op, &m);
    case MSG_HEED: return heed_apply(s, &m);
    default: return 0;
    }
}

static void row_put(struct buf *out, const char *key, uint64_t prev,
                    uint64_t revision)
{
    struct hash writer = {{0xab}};
    struct msg item;

    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_KEY, key);
    msg_set_u(&item, FIELD_PREV, prev);
    msg_set_u(&item, FIELD_REVISION, revision);
    msg_set_hash(&item, FIELD_AGENT, &writer);
    msg_encode(&item, out);
}

static void stale_put(struct msg *done, struct buf *bytes)
{
    struct buf items = {0};
    struct msg effect;

    row_put(&items, "plan", 5, 900);
    msg_init(&effect, MSG_EFFECT);
    msg_set_list(&effect, FIELD_ITEMS, 1, buf_bytes(&items));
    msg_set_u(&effect, FIELD_COUNT, 1);
    msg_encode(&effect, bytes);
    msg_set_b(done, FIELD_EFFECT, buf_bytes(bytes));
    buf_free(&items);
}

static void done_put(struct standin *s, const struct accepted_bundle *a,
                     uint32_t i)
{
    struct msg m, effect;
    struct buf bytes = {0};

    msg_init(&m, MSG_DONE);
    msg_set_u(&m, FIELD_SEQ, a->first_seq + i);
    msg_set_u(&m, FIELD_OUTCOME, (uint64_t)a->codes[i]);
    msg_set_u(&m, FIELD_REVISION, a->revision + i);
    if (a->codes[i] == CHOIR_CONFLICT) {
        msg_init(&effect, MSG_EFFECT);
        msg_set_text(&effect, FIELD_KEY, "plan");
        msg_set_u(&effect, FIELD_REVISION, a->at[i]);
        msg_encode(&effect, &bytes);
        msg_set_b(&m, FIELD_EFFECT, buf_bytes(&bytes));
    }
    if (a->codes[i] == CHOIR_STALE)
        stale_put(&m, &bytes);
    body_item(s, &m);
    buf_free(&bytes);
}

static void outcomes_send(struct standin *s, const struct accepted_bundle *a,
                          const struct hash *agent)
{
    bool plain = true;
    struct msg m;

    for (uint32_t i = 0; i < a->count; i++)
        plain = plain && a->codes[i] == 0;
    body_begin(s, a->session, agent);
    if (plain && a->count > 1) {
        msg_init(&m, MSG_DONE_ALL);
        msg_set_u(&m, FIELD_FIRST_SEQ, a->first_seq);
        msg_set_u(&m, FIELD_COUNT, a->count);
        msg_set_u(&m, FIELD_REVISION, a->revision);
        body_item(s, &m);
    }
    for (uint32_t i = 0; i < a->count && !(plain && a->count > 1); i++)
        done_put(s, a, i);
    body_send(s, s->route, s->route_bytes);
}

static struct accepted_bundle *accepted_at(struct standin *s, uint64_t session,
                                           uint64_t first_seq)
{
    for (unsigned i = s->accepted_count; i-- > 0;)
        if (s->accepted[i].session == session &&
            s->accepted[i].first_seq == first_seq)
            return &s->accepted[i];
    return NULL;
}

static void bundle_apply(struct standin *s, struct session *session,
                         const struct bundle *b)
{
    struct accepted_bundle *a = &s->accepted[s->accepted_count++ % ACCEPTED];

    *a = (struct accepted_bundle){.hash = b->hash,
                                  .session = b->session,
                                  .first_seq = b->first_seq,
                                  .revision = s->size,
                                  .count = b->count};
    s->size += b->count;
    for (uint32_t i = 0; i < b->count; i++) {
        struct version *v;
        struct msg m;
        unsigned field;

        a->codes[i] = op_apply(s, b, &b->ops[i], a->revision + i);
        msg_decode(b->ops[i].head, CLASS_OPERATION, &m, &field);
        v = version_of(s, msg_b(&m, FIELD_KEY));
        a->at[i] = v ? v->revision : 0;
    }
    session->next_seq += b->count;
    session->last = b->hash;
    if (s->swallow > 0) {
        s->swallow--;
        return;
    }
    outcomes_send(s, a, &b->agent);
    if (s->repeat)
        outcomes_send(s, a, &b->agent);
}

static void record_hear(struct standin *s, struct session *session,
                        struct bundle *b)
{
    struct accepted_bundle *before;

    s->counts.bundles++;
    if (b->epoch != s->epoch) {
        away(s, b, CHOIR_EPOCH_CHANGED);
        return;
    }
    before = accepted_at(s, b->session, b->first_seq);
    if (before && hash_equal(&before->hash, &b->hash)) {
        s->counts.duplicates++;
        outcomes_send(s, before, &b->agent);
        return;
    }
    if (before) {
        s->counts.equivocations++;
        away(s, b, CHOIR_EQUIVOCATION);
        return;
    }
    if (s->away_left) {
        s->away_left -= s->away_left > 0;
        away(s, b, s->away_code);
        return;
    }
    if (b->first_seq != session->next_seq) {
        away(s, b, CHOIR_SEQ_GAP);
        return;
    }
    if (!hash_equal(&b->prev_hash, &session->last)) {
        s->counts.bad++;
        away(s, b, CHOIR_MALFORMED);
        return;
    }
    bundle_apply(s, session, b);
}

/* --- Sessions ------------------------------------------------------------- */

static void opening_hear(struct standin *s, struct bundle *b)
{
    struct msg m, op;
    unsigned field;

    if (b->epoch != s->epoch) {
        away(s, b, CHOIR_EPOCH_CHANGED);
        return;
    }
    msg_decode(b->ops[0].head, CLASS_OPERATION, &op, &field);
    if (op.verb == MSG_ENROL) {
        s->counts.enrolments++;
    } else if (s->away_left && s->away_code == CHOIR_READ_ONLY) {
        away(s, b, CHOIR_READ_ONLY);
        return;
    } else {
        struct session *new = &s->sessions[s->session_count++ % SESSIONS];

        *new = (struct session){.id = s->size,
                                .next_seq = 1,
                                .agent = b->agent,
                                .last = b->hash,
                                .route_bytes = s->route_bytes};
        memcpy(new->key, b->public_key, KEY_PUBLIC_BYTES);
        memcpy(new->route, s->route, s->route_bytes);
        s->counts.sessions++;
    }
    msg_init(&m, MSG_DONE);
    msg_set_u(&m, FIELD_SEQ, 0);
    msg_set_u(&m, FIELD_OUTCOME, 0);
    msg_set_u(&m, FIELD_REVISION, s->size);
    s->size++;
    body_begin(s, 0, &b->agent);
    body_item(s, &m);
    body_send(s, s->route, s->route_bytes);
}

/* --- Asks ----------------------------------------------------------------- */

static void reply_get(struct standin *s, const struct msg *ask, struct msg *m)
{
    struct version *v = version_of(s, msg_b(ask, FIELD_KEY));

    if (!v) {
        msg_set_u(m, FIELD_OUTCOME, CHOIR_NOT_FOUND);
        return;
    }
    if (msg_has(ask, FIELD_REVISION) &&
        msg_u(ask, FIELD_REVISION) < s->compacted) {
        msg_set_u(m, FIELD_OUTCOME, CHOIR_COMPACTED);
        return;
    }
    msg_set_u(m, FIELD_REVISION, v->revision);
    msg_set_b(m, FIELD_VALUE, bytes_of(v->value, v->bytes));
}

static const struct version *version_after(const struct standin *s,
                                           struct bytes prefix,
                                           const char *after)
{
    const struct version *v = NULL;

    for (unsigned i = 0; i < s->key_count; i++)
        if (bytes_start_with(bytes_text(s->keys[i].key), prefix) &&
            strcmp(s->keys[i].key, after) > 0 &&
            (!v || strcmp(s->keys[i].key, v->key) < 0))
            v = &s->keys[i];
    return v;
}

/* Short pages, whatever was asked for. */
/* Of a list, or of since: then what is newer, and no word of what was before
 * unless that is compacted. */
static void reply_list(const struct standin *s, const struct msg *ask,
                       struct msg *m, struct buf *items)
{
    bool since = ask->verb == MSG_SINCE;
    uint64_t newer = since ? msg_u(ask, FIELD_REVISION) : 0;
    struct bytes prefix = msg_b(ask, FIELD_PREFIX);
    const struct version *v, *last = NULL;
    char after[64];
    uint64_t n = 0;

    snprintf(after, sizeof after, "%.*s", (int)msg_b(ask, FIELD_AFTER).n,
             (const char *)msg_b(ask, FIELD_AFTER).p);
    v = version_after(s, prefix, after);
    for (; v && n < LIST_PAGE; v = version_after(s, prefix, v->key)) {
        struct msg item;

        last = v;
        if (v->revision <= newer)
            continue;
        n++;
        msg_init(&item, MSG_ITEM);
        msg_set_text(&item, FIELD_KEY, v->key);
        msg_set_u(&item, FIELD_REVISION, v->revision);
        msg_set_u(&item, FIELD_SIZE, v->bytes);
        if (since && s->compacted)
            msg_set_u(&item, FIELD_PREV, 1);
        msg_encode(&item, items);
    }
    if (v && last)
        msg_set_text(m, FIELD_AFTER, last->key);
    msg_set_list(m, FIELD_ITEMS, n, buf_bytes(items));
    if (since)
        msg_set_u(m, FIELD_REVISION, s->size - 1);
}

static uint64_t mark_of(const struct standin *s)
{
    return s->marks ? s->marks : s->size - 1;
}

static struct watch *watch_of(struct standin *s, const struct session *session,
                              const struct msg *ask)
{
    bool work = ask->verb == MSG_WORK;

    for (unsigned i = 0; i < s->watch_count; i++) {
        struct watch *w = &s->watches[i];

        if (w->session == session->id && w->work == work &&
            (work || w->number == msg_u(ask, FIELD_WATCH)))
            return w;
    }
    for (unsigned i = 0; i < s->watch_count; i++)
        if (!s->watches[i].session) /* it was ended */
            return &s->watches[i];
    if (s->watch_count == WATCHES) {
        fprintf(stderr, "standin: more than %d watches\n", WATCHES);
        abort();
    }
    return &s->watches[s->watch_count++];
}

static void watch_open(struct standin *s, const struct session *session,
                       const struct msg *ask)
{
    struct watch *w = watch_of(s, session, ask);
    struct msg m;

    w->session = session->id;
    w->work = ask->verb == MSG_WORK;
    w->number = msg_u(ask, FIELD_WATCH);
    if (msg_u(ask, FIELD_KIND) == WORK_MORE && w->work)
        w->credit += msg_u(ask, FIELD_CREDIT);
    else
        w->credit = msg_u(ask, FIELD_CREDIT);
    w->next = msg_u(ask, FIELD_REVISION);
    if (!w->work) {
        s->counts.watch_from = w->next;
        s->counts.watches++;
    }
    snprintf(w->queue, sizeof w->queue, "%.*s", (int)msg_b(ask, FIELD_QUEUE).n,
             (const char *)msg_b(ask, FIELD_QUEUE).p);
    snprintf(w->prefix, sizeof w->prefix, "%.*s",
             (int)msg_b(ask, FIELD_PREFIX).n,
             (const char *)msg_b(ask, FIELD_PREFIX).p);
    if (w->work)
        return;
    msg_init(&m, MSG_CAUGHT_UP);
    msg_set_u(&m, FIELD_WATCH, w->number);
    msg_set_u(&m, FIELD_REVISION, mark_of(s));
    body_item(s, &m);
}

static void tasks_hand_out(struct standin *s)
{
    for (unsigned i = 0; i < s->task_count; i++) {
        for (unsigned k = 0; k < s->watch_count; k++) {
            struct watch *w = &s->watches[k];
            struct session *to = session_of(s, w->session);
            struct hash nobody = {{0}};
            struct msg m;

            if (!w->work || !w->credit || !to || s->tasks[i].session ||
                strcmp(w->queue, s->tasks[i].queue))
                continue;
            w->credit--;
            s->tasks[i].session = to->id;
            msg_init(&m, MSG_TASK);
            msg_set_u(&m, FIELD_TASK, s->tasks[i].task);
            s->tasks[i].token = s->size++;
            msg_set_u(&m, FIELD_TOKEN, s->tasks[i].token);
            msg_set_u(&m, FIELD_ATTEMPT, 1);
            msg_set_text(&m, FIELD_SPACE, "main");
            msg_set_text(&m, FIELD_QUEUE, s->tasks[i].queue);
            msg_set_u(&m, FIELD_LEASE_MS, 60);
            msg_set_b(&m, FIELD_VALUE, bytes_text("payload"));
            msg_set_hash(&m, FIELD_AGENT, &nobody);
            msg_set_u(&m, FIELD_REVISION, s->tasks[i].task);
            say(s, to, &m);
        }
    }
}

static void beat_hear(struct standin *s, const struct msg *ask, struct msg *m,
                      struct buf *items)
{
    struct list at = msg_list(ask, FIELD_ITEMS);
    struct msg e;
    uint64_t lost = 0;

    s->counts.heartbeats++;
    while (list_next(&at, &e))
        for (unsigned i = 0; i < s->task_count; i++)
            if (s->tasks[i].lost && s->tasks[i].task == msg_u(&e, FIELD_TASK)) {
                msg_set_u(&e, FIELD_OUTCOME, CHOIR_FENCED);
                msg_encode(&e, items);
                lost++;
            }
    if (lost)
        msg_set_list(m, FIELD_ITEMS, lost, buf_bytes(items));
}

static void told_add(struct standin *s, const struct msg *ask)
{
    size_t at = strlen(s->told_reads);

    if (at)
        s->told_reads[at++] = '|';
    rows_text(msg_list(ask, FIELD_COMPARES), s->told_reads + at,
              sizeof s->told_reads - at);
}

static void digest_hear(struct standin *s, struct msg *m)
{
    s->counts.digests++;
    if (!s->diverge)
        return;
    s->diverge--;
    msg_set_u(m, FIELD_OUTCOME, CHOIR_DIVERGED);
}

static void ask_hear(struct standin *s, struct session *session,
                     struct bundle *b)
{
    s->counts.asks++;
    if (s->asks_left) {
        s->asks_left -= s->asks_left > 0;
        away(s, b, s->asks_code);
        return;
    }
    body_begin(s, b->session, &b->agent);
    for (uint32_t i = 0; i < b->count; i++) {
        struct buf items = {0}, text = {0};
        struct msg ask, m;
        unsigned field;

        msg_decode(b->ops[i].head, CLASS_ASK, &ask, &field);
        msg_init(&m, MSG_REPLY);
        msg_set_u(&m, FIELD_ASK, b->first_seq + i);
        msg_set_u(&m, FIELD_OUTCOME, 0);
        msg_set_u(&m, FIELD_SEEN, s->size - 1);
        if (ask.verb == MSG_GET)
            reply_get(s, &ask, &m);
        if (ask.verb == MSG_HEARTBEAT)
            beat_hear(s, &ask, &m, &items);
        if (ask.verb == MSG_WATCH || ask.verb == MSG_WORK)
            watch_open(s, session, &ask);
        if (ask.verb == MSG_LIST || ask.verb == MSG_SINCE)
            reply_list(s, &ask, &m, &items);
        if (ask.verb == MSG_MARK_LIST)
            msg_set_u(&m, FIELD_REVISION, s->marked);
        if (ask.verb == MSG_CONSISTENCY)
            reply_growth(s, &ask, &m, &items, &text);
        if (ask.verb == MSG_CREDIT) {
            watch_of(s, session, &ask)->credit += msg_u(&ask, FIELD_CREDIT);
            msg_set_u(&m, FIELD_REVISION, mark_of(s));
        }
        if (ask.verb == MSG_READS)
            told_add(s, &ask);
        if (ask.verb == MSG_READS && s->fences_reads)
            msg_set_u(&m, FIELD_OUTCOME, CHOIR_FENCED);
        if (ask.verb == MSG_DIGEST)
            digest_hear(s, &m);
        s->counts.leased += ask.verb != MSG_READS && msg_has(&ask, FIELD_TOKEN);
        if (ask.verb != MSG_LIST || !s->hold_lists)
            body_item(s, &m);
        buf_free(&items);
        buf_free(&text);
    }
    body_send(s, s->route, s->route_bytes);
    tasks_hand_out(s);
}

/* --- The thread ----------------------------------------------------------- */

static void session_hear(struct standin *s, struct bundle *b)
{
    struct session *session = session_of(s, b->session);

    if (!session || session->ended) {
        away(s, b, CHOIR_SESSION_ENDED);
        return;
    }
    if (bundle_verify(b, session->key)) {
        s->counts.bad++;
        return;
    }
    memcpy(session->route, s->route, s->route_bytes);
    session->route_bytes = s->route_bytes;
    if (b->kind == BUNDLE_ASK)
        ask_hear(s, session, b);
    else
        record_hear(s, session, b);
}

static void hello_hear(struct standin *s)
{
    struct hash nobody = {{0}};
    struct buf items = {0};
    struct msg m, item;

    s->counts.hellos++;
    s->told_reads[0] = '\0';
    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, "value_bytes_max");
    msg_set_u(&item, FIELD_LIMIT, 4096);
    msg_encode(&item, &items);
    msg_init(&item, MSG_ITEM);
    msg_set_text(&item, FIELD_NAME, "epoch_began");
    msg_set_u(&item, FIELD_LIMIT, s->epoch_began);
    msg_encode(&item, &items);
    msg_init(&m, MSG_WELCOME);
    msg_set_hash(&m, FIELD_CHALLENGE, &s->challenge);
    msg_set_u(&m, FIELD_FORMAT, 1);
    msg_set_list(&m, FIELD_ITEMS, 2, buf_bytes(&items));
    body_begin(s, 0, &nobody);
    body_item(s, &m);
    body_send(s, s->route, s->route_bytes);
    buf_free(&items);
}

static void frame_hear(struct standin *s, struct bytes frame)
{
    struct bundle b = {0};

    if (bytes_start_with(frame, bytes_text("CHH1"))) {
        hello_hear(s);
        return;
    }
    if (bundle_open(&b, frame) ||
        bundle_check(&b, CLASS_OPERATION | CLASS_ASK) ||
        !hash_equal(&b.ledger, &s->ledger))
        s->counts.bad++;
    else if (b.session)
        session_hear(s, &b);
    else if (bundle_verify(&b, b.public_key))
        s->counts.bad++;
    else
        opening_hear(s, &b);
    bundle_free(&b);
}

static void router_open(struct standin *s)
{
    int one = 1, zero = 0;

    s->router = zmq_socket(s->context, ZMQ_ROUTER);
    zmq_setsockopt(s->router, ZMQ_LINGER, &zero, sizeof zero);
    zmq_setsockopt(s->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(s->router, ZMQ_CURVE_SECRETKEY, s->curve.secret_key, 32);
    zmq_setsockopt(s->router, ZMQ_ZAP_DOMAIN, "choir", 5);
    while (zmq_bind(s->router, s->url)) {
        if (errno != EADDRINUSE)
            abort();
        usleep(1000);
    }
}

static void zap_hear(struct standin *s)
{
    char part[256], id[256];
    int more = 1, n = 0;
    size_t size = sizeof more;

    id[0] = 0;
    while (more) {
        int got = zmq_recv(s->zap, part, sizeof part - 1, 0);

        part[got > 0 ? got : 0] = 0;
        if (n++ == 1)
            strcpy(id, part);
        zmq_getsockopt(s->zap, ZMQ_RCVMORE, &more, &size);
    }
    zmq_send(s->zap, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(s->zap, id, strlen(id), ZMQ_SNDMORE);
    zmq_send(s->zap, s->refuse ? "400" : "200", 3, ZMQ_SNDMORE);
    zmq_send(s->zap, "", 0, ZMQ_SNDMORE);
    zmq_send(s->zap, "", 0, ZMQ_SNDMORE);
    zmq_send(s->zap, "", 0, 0);
}

static void router_hear(struct standin *s)
{
    zmq_msg_t frame;
    int n = zmq_recv(s->router, s->route, sizeof s->route, ZMQ_DONTWAIT);

    if (n < 0)
        return;
    s->route_bytes = (size_t)n;
    zmq_msg_init(&frame);
    zmq_msg_recv(&frame, s->router, 0);
    if (!s->mute)
        frame_hear(s, bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame)));
    zmq_msg_close(&frame);
}

static void command_hear(struct standin *s)
{
    uint64_t count;

    if (read(s->wake, &count, sizeof count) < 0)
        return;
    pthread_mutex_lock(&s->lock);
    if (s->command)
        s->command(s, s->a, s->b);
    s->command = NULL;
    pthread_cond_signal(&s->done);
    pthread_mutex_unlock(&s->lock);
}

static void *run(void *arg)
{
    struct standin *s = arg;

    while (!s->stop) {
        zmq_pollitem_t items[3] = {{.socket = s->zap, .events = ZMQ_POLLIN},
                                   {.fd = s->wake, .events = ZMQ_POLLIN},
                                   {.socket = s->router, .events = ZMQ_POLLIN}};

        zmq_poll(items, 3, 1000);
        if (items[0].revents)
            zap_hear(s);
        if (items[2].revents)
            router_hear(s);
        if (items[1].revents)
            command_hear(s);
    }
    return NULL;
}

/* --- Starting and stopping ------------------------------------------------ */

static void invite_write(const struct standin *s, const char *dir)
{
    struct curve_pair guest;
    struct buf text = {0};
    char path[600];
    struct msg m;
    FILE *f;

    curve_pair_new(&guest);
    msg_init(&m, MSG_INVITATION);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(guest.public_key, 32));
    msg_set_b(&m, FIELD_SECRET, bytes_of(guest.secret_key, 32));
    msg_set_hash(&m, FIELD_LEDGER, &s->ledger);
    msg_set_text(&m, FIELD_URL, s->url);
    msg_set_b(&m, FIELD_BROKER_KEY, bytes_of(s->key.public_key, 32));
    msg_set_b(&m, FIELD_BROKER_CURVE, bytes_of(s->curve.public_key, 32));
    armour_put(&text, &m);
    snprintf(path, sizeof path, "%s/local.invite", dir);
    f = fopen(path, "w");
    if (!f || chmod(path, 0600))
        abort();
    fprintf(f, "# the stand-in\n%.*s\n", (int)text.n, (const char *)text.p);
    fclose(f);
    buf_free(&text);
}

struct standin *standin_start(const char *dir)
{
    struct standin *s = calloc(1, sizeof *s);
    int zero = 0;

    if (!s || crypto_start())
        abort();
    s->accepted = calloc(ACCEPTED, sizeof *s->accepted);
    s->wake = eventfd(0, EFD_NONBLOCK);
    s->context = zmq_ctx_new();
    s->zap = zmq_socket(s->context, ZMQ_REP);
    zmq_setsockopt(s->zap, ZMQ_LINGER, &zero, sizeof zero);
    if (zmq_bind(s->zap, "inproc://zeromq.zap.01"))
        abort();
    snprintf(s->url, sizeof s->url, "ipc://%s/socket", dir);
    key_pair_new(&s->key);
    curve_pair_new(&s->curve);
    random_bytes(&s->ledger, sizeof s->ledger);
    random_bytes(&s->challenge, sizeof s->challenge);
    s->branched = UINT64_MAX;
    s->size = 100; /* a ledger that has seen something */
    s->epoch = 1;
    invite_write(s, dir);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->done, NULL);
    router_open(s);
    pthread_create(&s->thread, NULL, run, s);
    return s;
}

static void tell(struct standin *s,
                 void (*command)(struct standin *, long, const char *), long a,
                 const char *b)
{
    uint64_t one = 1;

    pthread_mutex_lock(&s->lock);
    s->command = command;
    s->a = a;
    s->b = b;
    if (write(s->wake, &one, sizeof one) < 0)
        abort();
    while (s->command)
        pthread_cond_wait(&s->done, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void do_stop(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->stop = true;
}

void standin_stop(struct standin **self_p)
{
    struct standin *s = *self_p;

    tell(s, do_stop, 0, NULL);
    pthread_join(s->thread, NULL);
    zmq_close(s->router);
    zmq_close(s->zap);
    zmq_ctx_term(s->context);
    close(s->wake);
    buf_free(&s->body.bytes);
    free(s->accepted);
    free(s);
    *self_p = NULL;
}

static void do_trick(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->trick = (enum standin_trick)a;
}

void standin_trick(struct standin *s, enum standin_trick trick)
{
    tell(s, do_trick, trick, NULL);
}

static void do_mute(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->mute = a;
}

void standin_mute(struct standin *s, bool mute)
{
    tell(s, do_mute, mute, NULL);
}

static void do_repeat(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->repeat = a;
}

void standin_repeat(struct standin *s, bool repeat)
{
    tell(s, do_repeat, repeat, NULL);
}

static void do_swallow(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->swallow = (int)a;
}

void standin_swallow(struct standin *s, int n)
{
    tell(s, do_swallow, n, NULL);
}

static void do_hold_lists(struct standin *s, long a, const char *b)
{
    (void)b;
    s->hold_lists = a;
}

void standin_hold_lists(struct standin *s, bool hold)
{
    tell(s, do_hold_lists, hold, NULL);
}

static void do_compact(struct standin *s, long a, const char *b)
{
    (void)b;
    s->compacted = (uint64_t)a;
}

void standin_compact(struct standin *s, uint64_t revision)
{
    tell(s, do_compact, (long)revision, NULL);
}

static void do_end_watches(struct standin *s, long a, const char *b)
{
    (void)b;
    for (unsigned i = 0; i < s->watch_count; i++) {
        struct session *to = session_of(s, s->watches[i].session);
        struct msg m;

        if (s->watches[i].work || !to)
            continue;
        msg_init(&m, MSG_WATCH_OVER);
        msg_set_u(&m, FIELD_WATCH, s->watches[i].number);
        msg_set_u(&m, FIELD_OUTCOME, (uint64_t)a);
        say(s, to, &m);
        s->watches[i].session = 0;
    }
}

void standin_end_watches(struct standin *s, int code)
{
    tell(s, do_end_watches, code, NULL);
}

static void do_refuse_keys(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->refuse = a;
}

void standin_refuse_keys(struct standin *s, bool refuse)
{
    tell(s, do_refuse_keys, refuse, NULL);
}

static void do_end_sessions(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    for (unsigned i = 0; i < SESSIONS; i++)
        s->sessions[i].ended = true;
}

void standin_end_sessions(struct standin *s)
{
    tell(s, do_end_sessions, 0, NULL);
}

static void do_restart(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    zmq_close(s->router);
    usleep((useconds_t)a * 1000);
    router_open(s);
}

void standin_restart(struct standin *s, int down_ms)
{
    tell(s, do_restart, down_ms, NULL);
}

static void do_restore(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->epoch++;
    s->size = s->epoch_began = (uint64_t)a;
    branch(s, s->size);
    for (unsigned i = 0; i < SESSIONS; i++)
        s->sessions[i].ended = true;
}

void standin_restore(struct standin *s, uint64_t size)
{
    tell(s, do_restore, (long)size, NULL);
}

static void do_branch(struct standin *s, long a, const char *b)
{
    (void)b;
    branch(s, (uint64_t)a);
}

void standin_branch(struct standin *s, uint64_t at)
{
    tell(s, do_branch, (long)at, NULL);
}

static void do_busy_proofs(struct standin *s, long a, const char *b)
{
    (void)b;
    s->busy_proofs = (int)a;
}

void standin_busy_proofs(struct standin *s, int n)
{
    tell(s, do_busy_proofs, n, NULL);
}

static void do_lose_lease(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    for (unsigned i = 0; i < s->task_count; i++)
        if (s->tasks[i].task == (uint64_t)a)
            s->tasks[i].lost = true;
}

void standin_lose_lease(struct standin *s, uint64_t task)
{
    tell(s, do_lose_lease, (long)task, NULL);
}

static void do_turn_away(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->away_code = (int)a % 1000;
    s->away_left = (int)(a / 1000) - 1;
}

void standin_turn_away(struct standin *s, int code, int n)
{
    tell(s, do_turn_away, code + 1000L * (n + 1), NULL);
}

static void do_turn_asks_away(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->asks_code = (int)a % 1000;
    s->asks_left = (int)(a / 1000) - 1;
}

void standin_turn_asks_away(struct standin *s, int code, int n)
{
    tell(s, do_turn_asks_away, code + 1000L * (n + 1), NULL);
}

static void do_task(struct standin *s, long a, const char *b)
{
    (void)a;
    snprintf(s->tasks[s->task_count].queue, 64, "%s", b);
    s->tasks[s->task_count].session = 0;
    s->told_task = s->tasks[s->task_count++].task = s->size++;
    tasks_hand_out(s);
}

uint64_t standin_task(struct standin *s, const char *queue)
{
    tell(s, do_task, 0, queue);
    return s->told_task;
}

struct move {
    uint64_t task, prev, revision;
};

static void do_move(struct standin *s, long a, const char *b)
{
    const struct move *move = (const struct move *)a;
    struct buf items = {0};
    struct msg m;

    row_put(&items, b, move->prev, move->revision);
    msg_init(&m, MSG_MOVED);
    msg_set_u(&m, FIELD_TASK, move->task);
    msg_set_u(&m, FIELD_REVISION, move->revision);
    msg_set_list(&m, FIELD_ITEMS, 1, buf_bytes(&items));
    for (unsigned i = 0; i < s->task_count; i++) {
        if (s->tasks[i].task != move->task)
            continue;
        msg_set_u(&m, FIELD_TOKEN, s->tasks[i].token);
        say(s, session_of(s, s->tasks[i].session), &m);
    }
    buf_free(&items);
}

void standin_move(struct standin *s, uint64_t task, const char *key,
                  uint64_t prev, uint64_t revision)
{
    struct move move = {task, prev, revision};

    tell(s, do_move, (long)&move, key);
}

static void do_stale(struct standin *s, long a, const char *b)
{
    (void)b;
    s->stale = (int)a;
}

void standin_stale(struct standin *s, int n)
{
    tell(s, do_stale, n, NULL);
}

static void do_fence_reads(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->fences_reads = true;
}

void standin_fence_reads(struct standin *s)
{
    tell(s, do_fence_reads, 0, NULL);
}

static void do_diverge(struct standin *s, long a, const char *b)
{
    (void)b;
    s->diverge = (int)a;
}

void standin_diverge(struct standin *s, int n)
{
    tell(s, do_diverge, n, NULL);
}

static void do_hold_marks(struct standin *s, long a, const char *b)
{
    (void)b;
    s->marks = (uint64_t)a;
}

void standin_hold_marks(struct standin *s, uint64_t revision)
{
    tell(s, do_hold_marks, (long)revision, NULL);
}

/* Copied where the test's thread may read it. */
static void do_copy(struct standin *s, long a, const char *b)
{
    (void)s;
    snprintf((char *)a, sizeof s->read_set, "%s", b);
}

static const char *copy(struct standin *s, const char *text)
{
    static char out[sizeof s->read_set];

    tell(s, do_copy, (long)out, text);
    return out;
}

const char *standin_read_set(struct standin *s)
{
    return copy(s, s->read_set);
}

const char *standin_told_reads(struct standin *s)
{
    return copy(s, s->told_reads);
}

const char *standin_heed(struct standin *s)
{
    return copy(s, s->heed);
}

static void do_counts(struct standin *s, long a, const char *b)
{
    (void)a;
    (void)b;
    s->counts.size = s->size;
    s->told = s->counts;
}

struct standin_counts standin_counts(struct standin *s)
{
    tell(s, do_counts, 0, NULL);
    return s->told;
}
