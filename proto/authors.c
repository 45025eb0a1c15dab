/* Two tables, agents and sessions. Their keys are others' to choose, so they
 * are hashed with a seed of our own. */
#include "authors.h"

#include <errno.h>
#include <stdlib.h>

#include "bundle.h"
#include "refusal.h"

/* Out of memory gives an error, not an exit. */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((element)->lost = true)
#include <uthash.h>
#include <utlist.h>

struct author_key {
    struct author_key *next;
    uint8_t key[KEY_PUBLIC_BYTES];
    uint64_t ended; /* the entry that did it; 0: it has not */
};

struct author {
    UT_hash_handle hh;
    struct hash id;
    struct author_key *keys; /* owned; the first one first */
    uint64_t ended;          /* likewise */
    bool recovers, lost;
    uint8_t recovery[KEY_PUBLIC_BYTES];
};

struct session {
    UT_hash_handle hh;
    uint64_t id;
    struct author *author;  /* borrowed */
    struct author_key *key; /* that opened it; borrowed */
    struct author_chain chain;
    uint64_t ended; /* likewise */
    bool lost;
};

struct authors {
    bool all;
    struct hash_seed seed;
    struct author *authors;   /* owned */
    struct session *sessions; /* owned */
    struct hash ledger, broker;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    struct author_chain broker_chain;
    /* of the bundle at hand */
    uint64_t first; /* index */
    struct hash agent, bundle;
    bool by_broker, outside; /* in session 0 */
    uint8_t key[KEY_PUBLIC_BYTES];
    struct session *session; /* or NULL */
    struct author_chain none;
    uint64_t index; /* of the entry at hand */
};

static int broken(const char **why, const char *sentence)
{
    *why = sentence;
    return CHOIR_BROKEN;
}

struct authors *authors_new(bool all)
{
    struct authors *a = calloc(1, sizeof *a);

    if (!a)
        return NULL;
    a->all = all;
    random_bytes(a->seed.b, sizeof a->seed.b);
    return a;
}

static void author_free(struct author *a)
{
    struct author_key *k, *next;

    LL_FOREACH_SAFE (a->keys, k, next)
        free(k);
    free(a);
}

void authors_destroy(struct authors **self_p)
{
    struct authors *a = *self_p;
    struct author *at, *next;
    struct session *s, *next_s;

    if (!a)
        return;
    HASH_ITER (hh, a->authors, at, next) {
        HASH_DEL(a->authors, at);
        author_free(at);
    }
    HASH_ITER (hh, a->sessions, s, next_s) {
        HASH_DEL(a->sessions, s);
        free(s);
    }
    free(a);
    *self_p = NULL;
}

/* --- Finding and adding -------------------------------------------------- */

static unsigned spread(const struct authors *a, const void *p, size_t n)
{
    return (unsigned)hash_seeded(&a->seed, bytes_of(p, n));
}

static struct author *author_find(const struct authors *a,
                                  const struct hash *id)
{
    unsigned h = spread(a, id->b, HASH_BYTES);
    struct author *found;

    HASH_FIND_BYHASHVALUE(hh, a->authors, id->b, HASH_BYTES, h, found);
    return found;
}

static struct session *session_find(const struct authors *a, uint64_t id)
{
    unsigned h = spread(a, &id, sizeof id);
    struct session *found;

    HASH_FIND_BYHASHVALUE(hh, a->sessions, &id, sizeof id, h, found);
    return found;
}

/* Is the bundle at hand too late? The broker goes on with one that ends its own
 * key. */
static bool is_over(const struct authors *a, uint64_t ended)
{
    return ended && a->first > ended;
}

static void end_at(uint64_t *ended, uint64_t index)
{
    if (!*ended)
        *ended = index;
}

static struct author_key *key_find(const struct author *a, const uint8_t *key)
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

static int author_add(struct authors *a, const struct hash *id,
                      const uint8_t *key, const char **why)
{
    unsigned h = spread(a, id->b, HASH_BYTES);
    struct hash due = agent_id(key);
    struct author *new;

    if (!hash_equal(&due, id))
        return broken(why, "an agent's id is not the hash of its key");
    if (author_find(a, id))
        return broken(why, "an agent is enrolled twice");
    new = calloc(1, sizeof *new);
    if (!new)
        return -ENOMEM;
    new->id = *id;
    new->lost = key_add(new, key) != 0;
    if (!new->lost)
        HASH_ADD_BYHASHVALUE(hh, a->authors, id, HASH_BYTES, h, new);
    if (!new->lost)
        return 0;
    author_free(new);
    return -ENOMEM;
}

static int session_add(struct authors *a, const struct msg *m, const char **why)
{
    struct author *author = author_find(a, &a->agent);
    struct author_key *key = author ? key_find(author, a->key) : NULL;
    unsigned h = spread(a, &a->index, sizeof a->index);
    struct session *new;

    (void)m;
    if (!key || is_over(a, key->ended) || !a->outside)
        return broken(why, "a session is opened by one who cannot open one");
    new = calloc(1, sizeof *new);
    if (!new)
        return -ENOMEM;
    new->id = a->index;
    new->author = author;
    new->key = key;
    new->chain.next_seq = 1;
    new->chain.prev = a->bundle;
    HASH_ADD_BYHASHVALUE(hh, a->sessions, id, sizeof new->id, h, new);
    if (!new->lost)
        return 0;
    free(new);
    return -ENOMEM;
}

/* --- Bundles ------------------------------------------------------------- */

int authors_genesis(struct authors *a, struct bytes head, const char **why)
{
    unsigned field;
    struct msg m;

    if (msg_decode(head, CLASS_BROKER, &m, &field) || m.verb != MSG_GENESIS)
        return broken(why, "the first entry is not a genesis");
    a->ledger = hash_of(HASH_LEDGER, head);
    memcpy(a->broker_key, msg_b(&m, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
    a->broker = agent_id(a->broker_key);
    return 0;
}

static int by_broker(struct authors *a, const char **why)
{
    if (!a->outside)
        return broken(why, "the broker has no sessions");
    memcpy(a->key, a->broker_key, KEY_PUBLIC_BYTES);
    return 0;
}

/* Whose key is it? A stranger's own, if he is about to enrol. */
static bool newcomer_has(const struct authors *a, const struct author *author,
                         const uint8_t *key)
{
    struct author_key *k = author ? key_find(author, key) : NULL;
    struct hash due = agent_id(key);

    if (!author)
        return hash_equal(&due, &a->agent);
    return (k && !is_over(a, k->ended)) ||
           (author->recovers &&
            memcmp(author->recovery, key, KEY_PUBLIC_BYTES) == 0);
}

static int by_newcomer(struct authors *a, struct bytes key, const char **why)
{
    struct author *author = author_find(a, &a->agent);

    if (key.n != KEY_PUBLIC_BYTES)
        return broken(why, "a bundle outside a session names no key");
    if (!newcomer_has(a, author, key.p))
        return broken(why, "a bundle names a key that is not its author's");
    if (author && is_over(a, author->ended))
        return broken(why, "a bundle by an agent that was revoked");
    memcpy(a->key, key.p, KEY_PUBLIC_BYTES);
    return 0;
}

static int in_session(struct authors *a, uint64_t id, struct bytes key,
                      const char **why)
{
    struct session *s = session_find(a, id);

    a->session = s;
    if (!s)
        return broken(why, "a bundle in a session that was never opened");
    if (is_over(a, s->ended) || is_over(a, s->author->ended) ||
        is_over(a, s->key->ended))
        return broken(why, "a bundle in a session that has ended");
    if (!hash_equal(&s->author->id, &a->agent))
        return broken(why, "a bundle in another agent's session");
    if (key.n)
        return broken(why, "a bundle in a session names a key");
    memcpy(a->key, s->key->key, KEY_PUBLIC_BYTES);
    return 0;
}

int authors_bundle(struct authors *a, const struct author_bundle *b,
                   const char **why)
{
    if (!hash_equal(&b->ledger, &a->ledger))
        return broken(why, "a bundle is meant for another ledger");
    if (b->kind != BUNDLE_RECORD || b->format != 1)
        return broken(why, "a bundle of a kind or format that is not recorded");
    a->agent = b->agent;
    a->bundle = b->hash;
    a->first = b->first;
    a->outside = b->session == 0;
    a->by_broker = hash_equal(&a->agent, &a->broker);
    a->session = NULL;
    a->none = (struct author_chain){0};
    return a->by_broker ? by_broker(a, why)
           : a->outside ? by_newcomer(a, b->public_key, why)
                        : in_session(a, b->session, b->public_key, why);
}

/* The broker invites the users of its own host, and compacts as it was
 * configured to; of what agents say it says nothing else. */
int authors_may_say(const struct authors *a, enum message verb,
                    const char **why)
{
    unsigned class = message_row(verb)->class;
    bool joins =
        verb == MSG_ENROL || verb == MSG_SESSION_OPEN || verb == MSG_RECOVER;
    bool may = a->by_broker ? class & CLASS_BROKER || verb == MSG_INVITE ||
                                  verb == MSG_COMPACT
                            : class & CLASS_OPERATION && (joins || !a->outside);

    return may ? 0
               : broken(why, "an operation that its author may not say there");
}

/* --- What is learned ----------------------------------------------------- */

static int session_end(struct authors *a, uint64_t id, const char **why)
{
    struct session *s = session_find(a, id);

    if (!s && a->all)
        return broken(why, "a session ends that was never opened");
    if (s)
        end_at(&s->ended, a->index);
    return 0;
}

static int revoke(struct authors *a, const struct msg *m, const char **why)
{
    struct hash id = msg_hash(m, FIELD_AGENT);
    struct author *author = author_find(a, &id);
    struct author_key *k;

    if (!author)
        return a->all ? broken(why, "an agent is revoked that was never "
                                    "enrolled")
                      : 0;
    if (!msg_has(m, FIELD_PUBLIC_KEY)) {
        end_at(&author->ended, a->index);
        return 0;
    }
    k = key_find(author, msg_b(m, FIELD_PUBLIC_KEY).p);
    if (k ? k->ended : a->all)
        return broken(why, "a key is revoked that is not valid");
    if (k)
        end_at(&k->ended, a->index);
    return 0;
}

/* A new key, which must say itself whose it is. */
static int key_claimed(struct authors *a, struct author *author,
                       const struct msg *m, const char **why)
{
    const uint8_t *key = msg_b(m, FIELD_PUBLIC_KEY).p;
    uint8_t claim[KEY_CLAIM_BYTES];

    if (!msg_has(m, FIELD_CURVE_KEY) || !msg_has(m, FIELD_SIGNATURE) ||
        key_find(author, key))
        return broken(why, "a key is taken twice, or without its own word");
    key_claim(claim, &author->id, key, msg_b(m, FIELD_CURVE_KEY).p);
    if (key_verify(key, KEY_FOR_KEY, &a->ledger, bytes_of(claim, sizeof claim),
                   msg_b(m, FIELD_SIGNATURE).p))
        return broken(why, "a new key has not signed whose it is");
    return key_add(author, key);
}

static void recovery_learn(struct author *author, const struct msg *m)
{
    if (!msg_has(m, FIELD_RECOVERY_KEY))
        return;
    author->recovers = true;
    memcpy(author->recovery, msg_b(m, FIELD_RECOVERY_KEY).p, KEY_PUBLIC_BYTES);
}

static int rotate(struct authors *a, const struct msg *m, const char **why)
{
    struct session *s = a->session;

    if (!s)
        return broken(why, "a key is rotated outside a session");
    recovery_learn(s->author, m);
    if (!msg_has(m, FIELD_PUBLIC_KEY))
        return 0;
    if (msg_u(m, FIELD_KIND) != ROTATE_ADD)
        end_at(&s->key->ended, a->index);
    return key_claimed(a, s->author, m, why);
}

static int recover(struct authors *a, const struct msg *m, const char **why)
{
    struct author *author = author_find(a, &a->agent);
    struct author_key *k;

    if (!author || !author->recovers || !a->outside ||
        memcmp(author->recovery, a->key, KEY_PUBLIC_BYTES) != 0)
        return broken(why, "an agent is recovered without its recovery key");
    LL_FOREACH (author->keys, k)
        end_at(&k->ended, a->index);
    recovery_learn(author, m);
    return key_claimed(a, author, m, why);
}

/* Both headers are in the record: the one that was accepted, and this one. */
static int equivocate(struct authors *a, const struct msg *m, const char **why)
{
    struct session *s = session_find(a, msg_u(m, FIELD_SESSION));

    if (s && key_verify(s->key->key, KEY_FOR_BUNDLE, &a->ledger,
                        msg_b(m, FIELD_HEADER), msg_b(m, FIELD_SIGNATURE).p))
        return broken(why, "the proof of an equivocation is not signed by whom "
                           "it blames");
    return session_end(a, msg_u(m, FIELD_SESSION), why);
}

static int enrol(struct authors *a, const struct msg *m, const char **why)
{
    if (memcmp(msg_b(m, FIELD_PUBLIC_KEY).p, a->key, KEY_PUBLIC_BYTES) != 0)
        return broken(why,
                      "an agent enrols with another key than it signs with");
    return author_add(a, &a->agent, a->key, why);
}

static int admit(struct authors *a, const struct msg *m, const char **why)
{
    struct hash id = msg_hash(m, FIELD_AGENT);

    return author_add(a, &id, msg_b(m, FIELD_PUBLIC_KEY).p, why);
}

static int genesis_again(struct authors *a, const struct msg *m,
                         const char **why)
{
    (void)m;
    return a->index == 0 ? 0 : broken(why, "a second genesis");
}

static int session_closed(struct authors *a, const struct msg *m,
                          const char **why)
{
    (void)m;
    return a->session ? session_end(a, a->session->id, why)
                      : broken(why, "a session ends that was never opened");
}

static int session_ended(struct authors *a, const struct msg *m,
                         const char **why)
{
    return session_end(a, msg_u(m, FIELD_SESSION), why);
}

typedef int (*lesson)(struct authors *a, const struct msg *m, const char **why);

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
};

bool authors_heed(enum message verb)
{
    return lessons[verb] != NULL;
}

int authors_learn(struct authors *a, uint64_t index, const struct msg *m,
                  const char **why)
{
    a->index = index;
    return lessons[m->verb] ? lessons[m->verb](a, m, why) : 0;
}

/* --- What is known ------------------------------------------------------- */

int authors_key_fits(const struct authors *a, const struct hash *agent,
                     const uint8_t key[KEY_PUBLIC_BYTES], const char **why)
{
    struct author *author = author_find(a, agent);
    struct author_key *k = author ? key_find(author, key) : NULL;

    if (!k)
        return broken(why, "the key is not shown to be that agent's");
    if (k->ended || author->ended)
        return broken(why, "the key has ended");
    return 0;
}

const uint8_t *authors_key(const struct authors *a)
{
    return a->key;
}

bool authors_by_broker(const struct authors *a)
{
    return a->by_broker;
}

struct author_chain *authors_chain(struct authors *a)
{
    return a->by_broker ? &a->broker_chain
           : a->session ? &a->session->chain
                        : &a->none;
}

const struct hash *authors_ledger(const struct authors *a)
{
    return &a->ledger;
}

const uint8_t *authors_broker_key(const struct authors *a)
{
    return a->broker_key;
}

uint64_t authors_agents(const struct authors *a)
{
    return HASH_COUNT(a->authors);
}

uint64_t authors_sessions(const struct authors *a)
{
    return HASH_COUNT(a->sessions);
}
