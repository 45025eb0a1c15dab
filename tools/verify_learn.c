/* What entries say about who may say what: keys, sessions, and the checkpoints
 * that state the tree before them. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "proto/note.h"
#include "proto/refusal.h"
#include "tools/verify_rules.h"

struct author *rules_author(struct rules *r, const struct hash *id)
{
    struct author *a;

    HASH_FIND(hh, r->authors, id->b, HASH_BYTES, a);
    return a;
}

struct spoken *rules_session(struct rules *r, uint64_t id)
{
    struct spoken *s;

    HASH_FIND(hh, r->sessions, &id, sizeof id, s);
    return s;
}

struct author_key *author_key_find(struct author *a, const uint8_t *key)
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
        return rules_broken(r, "an agent's id is not the hash of its key");
    if (rules_author(r, id))
        return rules_broken(r, "an agent is enrolled twice");
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

static int session_add(struct rules *r, const struct said *e)
{
    struct author *a = rules_author(r, &e->bundle->agent);
    struct author_key *key = a ? author_key_find(a, r->key) : NULL;
    struct spoken *s;

    if (!key || key->ended || e->bundle->session != 0)
        return rules_broken(r,
                            "a session is opened by one who cannot open one");
    s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->id = e->index;
    s->author = a;
    s->key = key;
    s->next_seq = 1;
    s->prev = e->bundle->hash;
    HASH_ADD(hh, r->sessions, id, sizeof s->id, s);
    r->counts->sessions++;
    return 0;
}

static int session_end(struct rules *r, uint64_t id)
{
    struct spoken *s = rules_session(r, id);

    if (!s)
        return rules_broken(r, "a session ends that was never opened");
    s->ended = true;
    return 0;
}

static int session_closed(struct rules *r, const struct said *e)
{
    return session_end(r, e->bundle->session);
}

static int session_ended(struct rules *r, const struct said *e)
{
    return session_end(r, msg_u(e->m, FIELD_SESSION));
}

static int admit(struct rules *r, const struct said *e)
{
    struct hash id = msg_hash(e->m, FIELD_AGENT);

    return author_add(r, &id, msg_b(e->m, FIELD_PUBLIC_KEY).p);
}

static int revoke(struct rules *r, const struct said *e)
{
    const struct msg *m = e->m;
    struct hash id = msg_hash(m, FIELD_AGENT);
    struct author *a = rules_author(r, &id);
    struct author_key *k;

    if (!a)
        return rules_broken(r, "an agent is revoked that was never enrolled");
    if (!msg_has(m, FIELD_PUBLIC_KEY)) {
        a->revoked = true;
        return 0;
    }
    k = author_key_find(a, msg_b(m, FIELD_PUBLIC_KEY).p);
    if (!k || k->ended)
        return rules_broken(r, "a key is revoked that is not valid");
    k->ended = true;
    return 0;
}

/* A new key, which must say itself whose it is. */
static int key_claimed(struct rules *r, struct author *a, const struct msg *m)
{
    const uint8_t *key = msg_b(m, FIELD_PUBLIC_KEY).p;
    uint8_t claim[KEY_CLAIM_BYTES];

    if (!msg_has(m, FIELD_CURVE_KEY) || !msg_has(m, FIELD_SIGNATURE) ||
        author_key_find(a, key))
        return rules_broken(r, "a key is taken twice, or without its own word");
    key_claim(claim, &a->id, key, msg_b(m, FIELD_CURVE_KEY).p);
    if (key_verify(key, KEY_FOR_KEY, &r->ledger, bytes_of(claim, sizeof claim),
                   msg_b(m, FIELD_SIGNATURE).p))
        return rules_broken(r, "a new key has not signed whose it is");
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

static int rotate(struct rules *r, const struct said *e)
{
    struct spoken *s = r->session;
    const struct msg *m = e->m;

    if (!s)
        return rules_broken(r, "a key is rotated outside a session");
    recovery_learn(s->author, m);
    if (!msg_has(m, FIELD_PUBLIC_KEY))
        return 0;
    if (msg_u(m, FIELD_KIND) != ROTATE_ADD)
        s->key->ended = true;
    return key_claimed(r, s->author, m);
}

static int recover(struct rules *r, const struct said *e)
{
    const struct msg *m = e->m;
    struct author *a = rules_author(r, &e->bundle->agent);
    struct author_key *k;

    if (!a || !a->recovers || e->bundle->session != 0 ||
        memcmp(a->recovery, r->key, KEY_PUBLIC_BYTES) != 0)
        return rules_broken(r,
                            "an agent is recovered without its recovery key");
    LL_FOREACH (a->keys, k)
        k->ended = true;
    recovery_learn(a, m);
    return key_claimed(r, a, m);
}

static int enrol(struct rules *r, const struct said *e)
{
    if (memcmp(msg_b(e->m, FIELD_PUBLIC_KEY).p, r->key, KEY_PUBLIC_BYTES) != 0)
        return rules_broken(
            r, "an agent enrols with another key than it signs with");
    return author_add(r, &e->bundle->agent, r->key);
}

/* Does it state the tree that the entries before it make? */
static bool root_said(struct rules *r, const struct said *e, struct hash *root)
{
    struct hash said = msg_hash(e->m, FIELD_ROOT);

    rules_tree_reach(r, e->reading, e->index);
    *root = frontier_root(&r->tree);
    return msg_u(e->m, FIELD_SIZE) == e->index && hash_equal(root, &said);
}

static int checkpoint(struct rules *r, const struct said *e)
{
    struct hash root;
    struct note note;

    if (!root_said(r, e, &root))
        return rules_broken(r,
                            "a checkpoint states another tree than the entries "
                            "before it make");
    if (note_get(&note, msg_b(e->m, FIELD_TEXT), r->broker_key))
        return rules_broken(r,
                            "a checkpoint's note is not signed by the broker");
    if (note.size != e->index || !hash_equal(&note.root, &root) ||
        !hash_equal(&note.ledger, &r->ledger) || note.epoch != e->bundle->epoch)
        return rules_broken(
            r, "a checkpoint's note states something else than the "
               "checkpoint");
    r->counts->checkpoints++;
    return 0;
}

static int new_epoch(struct rules *r, const struct said *e)
{
    struct hash root;

    return root_said(r, e, &root)
               ? 0
               : rules_broken(
                     r, "a new epoch continues from another tree than the "
                        "entries before it make");
}

/* Both headers are in the record: the one that was accepted, and this one. */
static int equivocate(struct rules *r, const struct said *e)
{
    struct spoken *s = rules_session(r, msg_u(e->m, FIELD_SESSION));

    if (s &&
        key_verify(s->key->key, KEY_FOR_BUNDLE, &r->ledger,
                   msg_b(e->m, FIELD_HEADER), msg_b(e->m, FIELD_SIGNATURE).p))
        return rules_broken(
            r, "the proof of an equivocation is not signed by whom "
               "it blames");
    return session_ended(r, e);
}

static int genesis_again(struct rules *r, const struct said *e)
{
    return e->index == 0 ? 0 : rules_broken(r, "a second genesis");
}

typedef int (*lesson)(struct rules *r, const struct said *e);

static const lesson lessons[256] = {
    [MSG_GENESIS] = genesis_again,
    [MSG_ADMIT] = admit,
    [MSG_ENROL] = enrol,
    [MSG_SESSION_OPEN] = session_add,
    [MSG_SESSION_CLOSE] = session_closed,
    [MSG_SESSION_END] = session_ended,
    [MSG_EQUIVOCATE] = equivocate,
    [MSG_REVOKE] = revoke,
    [MSG_ROTATE] = rotate,
    [MSG_RECOVER] = recover,
    [MSG_CHECKPOINT] = checkpoint,
    [MSG_NEW_EPOCH] = new_epoch,
};

int rules_learn(struct rules *r, struct said *e)
{
    lesson of = lessons[e->entry->verb];
    unsigned field;
    struct msg m;

    if (!of)
        return 0;
    if (msg_decode(e->entry->head, CLASS_BROKER | CLASS_OPERATION, &m, &field))
        return rules_broken(r, "an operation that cannot be read");
    e->m = &m;
    return of(r, e);
}
