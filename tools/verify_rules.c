/* Who may say what, learned from the record itself in order: keys, sessions,
 * their numbering and chains, trees, checkpoints. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "proto/missing.h"
#include "proto/note.h"
#include "proto/refusal.h"
#include "tools/verify.h"

struct author_key {
    struct author_key *next;
    uint8_t key[KEY_PUBLIC_BYTES];
    bool ended;
};

struct author {
    struct hash id;
    struct author_key *keys; /* owned; the first one first */
    bool revoked, recovers;
    uint8_t recovery[KEY_PUBLIC_BYTES];
    UT_hash_handle hh;
};

struct spoken { /* a session */
    uint64_t id;
    struct author *author;  /* borrowed */
    struct author_key *key; /* that opened it; borrowed */
    uint64_t next_seq;
    struct hash prev;
    bool ended;
    UT_hash_handle hh;
};

struct rules {
    const uint8_t *pinned;
    struct verify_counts *counts;
    char *why;
    struct signatures *signatures; /* owned */
    struct hash ledger, broker;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    uint64_t broker_seq;
    struct hash broker_prev;
    struct author *authors;  /* owned */
    struct spoken *sessions; /* owned */
    struct frontier tree;
    struct missing *missing;              /* owned */
    struct hash leaves[LIMIT_BUNDLE_OPS]; /* of the bundle at hand */
    struct merkle ops;
    bool by_broker;
    uint8_t key[KEY_PUBLIC_BYTES]; /* of the bundle at hand */
    struct spoken *session;        /* likewise, or NULL */
};

static int broken(struct rules *r, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int broken(struct rules *r, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(r->why, VERIFY_WHY, format, args);
    va_end(args);
    return CHOIR_BROKEN;
}

struct rules *rules_new(const uint8_t *key, struct verify_counts *counts,
                        char why[VERIFY_WHY])
{
    struct rules *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->pinned = key;
    r->counts = counts;
    r->why = why;
    frontier_init(&r->tree);
    r->signatures = signatures_new();
    r->missing = missing_new();
    if (!r->signatures || !r->missing)
        rules_destroy(&r);
    return r;
}

void rules_destroy(struct rules **self_p)
{
    struct rules *r = *self_p;
    struct author *a, *next_author;
    struct spoken *s, *next_session;

    if (!r)
        return;
    missing_destroy(&r->missing);
    HASH_ITER (hh, r->authors, a, next_author) {
        struct author_key *k, *next_key;

        LL_FOREACH_SAFE (a->keys, k, next_key)
            free(k);
        HASH_DEL(r->authors, a);
        free(a);
    }
    HASH_ITER (hh, r->sessions, s, next_session) {
        HASH_DEL(r->sessions, s);
        free(s);
    }
    signatures_destroy(&r->signatures);
    merkle_free(&r->ops);
    free(r);
    *self_p = NULL;
}

/* --- What is learned ----------------------------------------------------- */

static struct author *author_find(struct rules *r, const struct hash *id)
{
    struct author *a;

    HASH_FIND(hh, r->authors, id->b, HASH_BYTES, a);
    return a;
}

static struct spoken *session_find(struct rules *r, uint64_t id)
{
    struct spoken *s;

    HASH_FIND(hh, r->sessions, &id, sizeof id, s);
    return s;
}

static struct author_key *key_find(struct author *a, const uint8_t *key)
{
    struct author_key *k;

    LL_FOREACH (a->keys, k)
        if (memcmp(k->key, key, KEY_PUBLIC_BYTES) == 0)
            return k;
    return NULL;
}

static int key_add(struct author *a, const uint8_t *key)
{
    struct author_key *k = calloc(1, sizeof *k);

    if (!k)
        return -ENOMEM;
    memcpy(k->key, key, KEY_PUBLIC_BYTES);
    LL_APPEND(a->keys, k);
    return 0;
}

static int author_add(struct rules *r, const struct hash *id,
                      const uint8_t *key)
{
    struct hash due = agent_id(key);
    struct author *a;

    if (!hash_equal(&due, id))
        return broken(r, "an agent's id is not the hash of its key");
    if (author_find(r, id))
        return broken(r, "an agent is enrolled twice");
    a = calloc(1, sizeof *a);
    if (!a)
        return -ENOMEM;
    a->id = *id;
    if (key_add(a, key)) {
        free(a);
        return -ENOMEM;
    }
    HASH_ADD(hh, r->authors, id, HASH_BYTES, a);
    r->counts->agents++;
    return 0;
}

static int session_add(struct rules *r, const struct entry *e)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    struct author *a = author_find(r, &id);
    struct author_key *key = a ? key_find(a, r->key) : NULL;
    struct spoken *s;

    if (!key || key->ended || e->session != 0)
        return broken(r, "a session is opened by one who cannot open one");
    s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->id = e->index;
    s->author = a;
    s->key = key;
    s->next_seq = 1;
    s->prev = e->bundle_hash;
    HASH_ADD(hh, r->sessions, id, sizeof s->id, s);
    r->counts->sessions++;
    return 0;
}

static int session_end(struct rules *r, uint64_t id)
{
    struct spoken *s = session_find(r, id);

    if (!s)
        return broken(r, "a session ends that was never opened");
    s->ended = true;
    return 0;
}

static int revoke(struct rules *r, const struct msg *m)
{
    struct hash id = msg_hash(m, FIELD_AGENT);
    struct author *a = author_find(r, &id);
    struct author_key *k;

    if (!a)
        return broken(r, "an agent is revoked that was never enrolled");
    if (!msg_has(m, FIELD_PUBLIC_KEY)) {
        a->revoked = true;
        return 0;
    }
    k = key_find(a, msg_b(m, FIELD_PUBLIC_KEY).p);
    if (!k || k->ended)
        return broken(r, "a key is revoked that is not valid");
    k->ended = true;
    return 0;
}

/* A new key, which must say itself whose it is. */
static int key_claimed(struct rules *r, struct author *a, const struct msg *m)
{
    const uint8_t *key = msg_b(m, FIELD_PUBLIC_KEY).p;
    uint8_t claim[KEY_CLAIM_BYTES];

    if (!msg_has(m, FIELD_CURVE_KEY) || !msg_has(m, FIELD_SIGNATURE) ||
        key_find(a, key))
        return broken(r, "a key is taken twice, or without its own word");
    key_claim(claim, &a->id, key, msg_b(m, FIELD_CURVE_KEY).p);
    if (key_verify(key, KEY_FOR_KEY, &r->ledger, bytes_of(claim, sizeof claim),
                   msg_b(m, FIELD_SIGNATURE).p))
        return broken(r, "a new key has not signed whose it is");
    return key_add(a, key);
}

static void recovery_learn(struct author *a, const struct msg *m)
{
    if (!msg_has(m, FIELD_RECOVERY_KEY))
        return;
    a->recovers = true;
    memcpy(a->recovery, msg_b(m, FIELD_RECOVERY_KEY).p, KEY_PUBLIC_BYTES);
}

enum { ROTATE_ADD = 2 };

static int rotate(struct rules *r, const struct msg *m)
{
    struct spoken *s = r->session;

    if (!s)
        return broken(r, "a key is rotated outside a session");
    recovery_learn(s->author, m);
    if (!msg_has(m, FIELD_PUBLIC_KEY))
        return 0;
    if (msg_u(m, FIELD_KIND) != ROTATE_ADD)
        s->key->ended = true;
    return key_claimed(r, s->author, m);
}

static int recover(struct rules *r, const struct entry *e, const struct msg *m)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    struct author *a = author_find(r, &id);
    struct author_key *k;

    if (!a || !a->recovers || e->session != 0 ||
        memcmp(a->recovery, r->key, KEY_PUBLIC_BYTES) != 0)
        return broken(r, "an agent is recovered without its recovery key");
    LL_FOREACH (a->keys, k)
        k->ended = true;
    recovery_learn(a, m);
    return key_claimed(r, a, m);
}

static int enrol(struct rules *r, const struct entry *e, const struct msg *m)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);

    if (memcmp(msg_b(m, FIELD_PUBLIC_KEY).p, r->key, KEY_PUBLIC_BYTES) != 0)
        return broken(r, "an agent enrols with another key than it signs with");
    return author_add(r, &id, r->key);
}

static int checkpoint(struct rules *r, const struct entry *e,
                      const struct msg *m)
{
    struct hash root = frontier_root(&r->tree), said = msg_hash(m, FIELD_ROOT);
    struct note note;

    if (msg_u(m, FIELD_SIZE) != e->index || !hash_equal(&root, &said))
        return broken(r, "a checkpoint states another tree than the entries "
                         "before it make");
    if (note_get(&note, msg_b(m, FIELD_TEXT), r->broker_key))
        return broken(r, "a checkpoint's note is not signed by the broker");
    if (note.size != e->index || !hash_equal(&note.root, &root) ||
        !hash_equal(&note.ledger, &r->ledger) ||
        note.epoch != msg_u(&e->bundle, FIELD_EPOCH))
        return broken(r, "a checkpoint's note states something else than the "
                         "checkpoint");
    r->counts->checkpoints++;
    return 0;
}

static int new_epoch(struct rules *r, const struct entry *e,
                     const struct msg *m)
{
    struct hash root = frontier_root(&r->tree), said = msg_hash(m, FIELD_ROOT);

    if (msg_u(m, FIELD_SIZE) != e->index || !hash_equal(&root, &said))
        return broken(r, "a new epoch continues from another tree than the "
                         "entries before it make");
    return 0;
}

/* Both headers are in the record: the one that was accepted, and this one. */
static int equivocate(struct rules *r, const struct msg *m)
{
    struct spoken *s = session_find(r, msg_u(m, FIELD_SESSION));

    if (s && key_verify(s->key->key, KEY_FOR_BUNDLE, &r->ledger,
                        msg_b(m, FIELD_HEADER), msg_b(m, FIELD_SIGNATURE).p))
        return broken(r, "the proof of an equivocation is not signed by whom "
                         "it blames");
    return session_end(r, msg_u(m, FIELD_SESSION));
}

static int learn(struct rules *r, const struct entry *e, const struct msg *m)
{
    struct hash agent;

    switch (m->verb) {
    case MSG_GENESIS: return e->index == 0 ? 0 : broken(r, "a second genesis");
    case MSG_ADMIT:
        agent = msg_hash(m, FIELD_AGENT);
        return author_add(r, &agent, msg_b(m, FIELD_PUBLIC_KEY).p);
    case MSG_ENROL: return enrol(r, e, m);
    case MSG_SESSION_OPEN: return session_add(r, e);
    case MSG_SESSION_CLOSE: return session_end(r, e->session);
    case MSG_SESSION_END: return session_end(r, msg_u(m, FIELD_SESSION));
    case MSG_EQUIVOCATE: return equivocate(r, m);
    case MSG_REVOKE: return revoke(r, m);
    case MSG_ROTATE: return rotate(r, m);
    case MSG_RECOVER: return recover(r, e, m);
    case MSG_CHECKPOINT: return checkpoint(r, e, m);
    case MSG_NEW_EPOCH: return new_epoch(r, e, m);
    default: return 0;
    }
}

/* --- Bundles ------------------------------------------------------------- */

static int genesis(struct rules *r, const struct entry *e)
{
    unsigned field;
    struct msg m;

    if (msg_decode(e->head, CLASS_BROKER, &m, &field) ||
        m.verb != MSG_GENESIS || e->outcome != CHOIR_OK)
        return broken(r, "the first entry is not a genesis");
    r->ledger = hash_of(HASH_LEDGER, e->head);
    memcpy(r->broker_key, msg_b(&m, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
    r->broker = agent_id(r->broker_key);
    r->broker_seq = msg_u(&e->bundle, FIELD_FIRST_SEQ);
    if (r->pinned && memcmp(r->pinned, r->broker_key, KEY_PUBLIC_BYTES) != 0)
        return broken(r, "the broker's key is not the one that was pinned");
    return 0;
}

static int chain_fits(struct rules *r, const struct entry *e, uint64_t seq,
                      const struct hash *prev)
{
    struct hash said = msg_hash(&e->bundle, FIELD_PREV_HASH);

    if (msg_u(&e->bundle, FIELD_FIRST_SEQ) != seq)
        return broken(r, "a bundle has number %llu where %llu is due",
                      (unsigned long long)msg_u(&e->bundle, FIELD_FIRST_SEQ),
                      (unsigned long long)seq);
    if (!hash_equal(&said, prev))
        return broken(r, "a bundle does not follow its author's one before");
    return 0;
}

static int by_broker(struct rules *r, const struct entry *e)
{
    int code = chain_fits(r, e, r->broker_seq, &r->broker_prev);

    if (e->session != 0)
        return broken(r, "the broker has no sessions");
    r->broker_seq += e->count;
    r->broker_prev = e->bundle_hash;
    memcpy(r->key, r->broker_key, KEY_PUBLIC_BYTES);
    return code;
}

static int by_newcomer(struct rules *r, const struct entry *e,
                       const struct hash *id)
{
    static const struct hash nothing;
    struct bytes key = msg_b(&e->bundle, FIELD_PUBLIC_KEY);
    struct author *a = author_find(r, id);
    struct author_key *k;
    struct hash due;
    bool fits;

    if (key.n != KEY_PUBLIC_BYTES)
        return broken(r, "a bundle outside a session names no key");
    due = agent_id(key.p);
    k = a ? key_find(a, key.p) : NULL;
    fits = a ? (k && !k->ended) ||
                   (a->recovers &&
                    memcmp(a->recovery, key.p, KEY_PUBLIC_BYTES) == 0)
             : hash_equal(&due, id);
    if (!fits)
        return broken(r, "a bundle names a key that is not its author's");
    if (a && a->revoked)
        return broken(r, "a bundle by an agent that was revoked");
    memcpy(r->key, key.p, KEY_PUBLIC_BYTES);
    return chain_fits(r, e, 0, &nothing);
}

static int in_session(struct rules *r, const struct entry *e,
                      const struct hash *id)
{
    struct spoken *s = session_find(r, e->session);
    int code;

    r->session = s;
    if (!s)
        return broken(r, "a bundle in a session that was never opened");
    if (s->ended || s->author->revoked || s->key->ended)
        return broken(r, "a bundle in a session that has ended");
    if (!hash_equal(&s->author->id, id))
        return broken(r, "a bundle in another agent's session");
    code = chain_fits(r, e, s->next_seq, &s->prev);
    s->next_seq += e->count;
    s->prev = e->bundle_hash;
    memcpy(r->key, s->key->key, KEY_PUBLIC_BYTES);
    return code;
}

static int bundle_enter(struct rules *r, const struct entry *e,
                        struct verify_place *at)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    struct hash ledger = msg_hash(&e->bundle, FIELD_LEDGER);
    int code = e->index == 0 ? genesis(r, e) : 0;

    if (code)
        return code;
    if (!hash_equal(&ledger, &r->ledger))
        return broken(r, "a bundle is meant for another ledger");
    if (msg_u(&e->bundle, FIELD_KIND) != BUNDLE_RECORD ||
        msg_u(&e->bundle, FIELD_FORMAT) != 1)
        return broken(r, "a bundle of a kind or format that is not recorded");
    r->by_broker = hash_equal(&id, &r->broker);
    r->session = NULL;
    code = r->by_broker      ? by_broker(r, e)
           : e->session == 0 ? by_newcomer(r, e, &id)
                             : in_session(r, e, &id);
    if (code)
        return code;
    r->counts->bundles++;
    code = signatures_add(r->signatures, r->key, &r->ledger, e->header,
                          e->signature, at);
    return code == CHOIR_BROKEN ? broken(r, "a signature is forged") : code;
}

static int bundle_leave(struct rules *r, const struct entry *e)
{
    struct hash root, said = msg_hash(&e->bundle, FIELD_ROOT);

    if (merkle_build(&r->ops, r->leaves, e->count))
        return -ENOMEM;
    root = merkle_root(&r->ops);
    return hash_equal(&root, &said)
               ? 0
               : broken(r, "a bundle's operations are not those it was signed "
                           "over");
}

/* --- Entries ------------------------------------------------------------- */

static uint64_t slots_there(struct bytes rows, struct bytes marks)
{
    uint64_t n = rows.n / SLOT_ROW_BYTES;

    for (size_t i = 0; i < marks.n; i++)
        n -= marks.p[i] != SLOT_KEPT;
    return n;
}

static int slots_fit(struct rules *r, const struct entry *e)
{
    int code;

    if (entry_slots_check(e))
        return broken(r, "a payload does not fit its hash");
    r->counts->payloads += slots_there(e->rows, e->marks) +
                           slots_there(e->effect_rows, e->effect_marks);
    r->counts->payload_bytes += e->payload.n + e->effect_payload.n;
    code = missing_entry(r->missing, e);
    return code == CHOIR_BROKEN
               ? broken(r, "a payload is missing, and nothing permits it")
               : code;
}

/* The broker invites the users of its own host, and compacts as it was
 * configured to; of what agents say it says nothing else. */
static bool may_say(const struct rules *r, enum message verb)
{
    unsigned class = message_row(verb)->class;

    return class & (r->by_broker ? CLASS_BROKER : CLASS_OPERATION) ||
           (r->by_broker && (verb == MSG_INVITE || verb == MSG_COMPACT));
}

/* What was refused as unsupported may be anything; all else is decoded. */
static int operation(struct rules *r, const struct entry *e)
{
    struct msg m, effect;
    unsigned field;

    if (refusal_class(e->outcome) != REFUSAL_OUTCOME)
        return broken(r, "an outcome that is none");
    if (e->outcome == CHOIR_UNSUPPORTED)
        return 0;
    if (msg_decode(e->head, CLASS_BROKER | CLASS_OPERATION, &m, &field) ||
        !may_say(r, m.verb))
        return broken(r, "an operation that its author may not say");
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field))
        return broken(r, "an effect that cannot be read");
    return e->outcome == CHOIR_OK ? learn(r, e, &m) : 0;
}

int rules_entry(struct rules *r, const struct entry *e, struct verify_place *at)
{
    int code = e->position == 0 ? bundle_enter(r, e, at) : 0;

    at->index = code == 0 ? e->index : at->index;
    if (!code)
        code = slots_fit(r, e);
    if (!code)
        code = operation(r, e);
    if (code)
        return code;
    r->leaves[e->position] = op_hash(e->head);
    frontier_add(&r->tree, entry_leaf(e));
    r->counts->entries++;
    return e->position + 1 == e->count ? bundle_leave(r, e) : 0;
}

int rules_settle(struct rules *r, struct verify_place *at)
{
    int code = signatures_settle(r->signatures, at);

    return code == CHOIR_BROKEN ? broken(r, "a signature is forged") : code;
}

int rules_end(struct rules *r, struct verify_place *at)
{
    return missing_end(r->missing, &at->index)
               ? broken(r, "a payload is missing, and nothing permits it")
               : 0;
}

struct hash rules_ledger(const struct rules *r)
{
    return r->ledger;
}

const uint8_t *rules_broker_key(const struct rules *r)
{
    return r->broker_key;
}

struct hash rules_root(const struct rules *r)
{
    return frontier_root(&r->tree);
}
