/* Keys need no directory: an agent's id is the hash of its first key, and later
 * ones are told by entries that an earlier one signed. */
#include "check.h"

#include <stdlib.h>

#include <uthash.h>
#include <utlist.h>

#include "proto/evidence.h"

struct known_key {
    struct known_key *next;
    uint8_t key[KEY_PUBLIC_BYTES];
};

struct known {
    struct hash agent;
    struct known_key *keys; /* owned */
    UT_hash_handle hh;
};

struct check {
    struct hash ledger;
    check_key ask;
    void *arg;
    struct known *keys;
    struct hash verified; /* name of the last bundle whose signature held */
    struct frontier tree;
    bool missed; /* entries are missing: no tree any more */
    uint64_t agreed, waits_size;
    struct hash waits_root; /* of a head that is ahead of the entries */
};

struct check *check_new(const struct hash *ledger, check_key key, void *arg)
{
    struct check *c = calloc(1, sizeof *c);

    if (!c)
        return NULL;
    c->ledger = *ledger;
    c->ask = key;
    c->arg = arg;
    frontier_init(&c->tree);
    return c;
}

void check_destroy(struct check **self_p)
{
    struct check *c = self_p ? *self_p : NULL;
    struct known *k, *next;

    if (!c)
        return;
    HASH_ITER (hh, c->keys, k, next) {
        struct known_key *key, *next_key;

        LL_FOREACH_SAFE (k->keys, key, next_key)
            free(key);
        HASH_DEL(c->keys, k);
        free(k);
    }
    free(c);
    *self_p = NULL;
}

/* --- The author ------------------------------------------------------------ */

static struct known *known_find(struct check *c, const struct hash *agent)
{
    struct known *k;

    HASH_FIND(hh, c->keys, agent, sizeof *agent, k);
    return k;
}

static void key_keep(struct known *k, const uint8_t *key)
{
    struct known_key *one = calloc(1, sizeof *one);

    if (!one)
        return;
    memcpy(one->key, key, sizeof one->key);
    LL_PREPEND(k->keys, one);
}

/* An agent's first key proves itself; any other must have been told. */
static struct known *known_add(struct check *c, const struct hash *agent,
                               const uint8_t *key)
{
    struct hash id = agent_id(key);
    struct known *k;

    if (!hash_equal(&id, agent))
        return NULL;
    k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    k->agent = *agent;
    key_keep(k, key);
    HASH_ADD(hh, c->keys, agent, sizeof k->agent, k);
    return k;
}

static struct known *author_of(struct check *c, const struct msg *header)
{
    struct hash agent = msg_hash(header, FIELD_AGENT);
    struct known *k = known_find(c, &agent);
    uint8_t key[KEY_PUBLIC_BYTES];

    if (!k && msg_has(header, FIELD_PUBLIC_KEY))
        k = known_add(c, &agent, msg_b(header, FIELD_PUBLIC_KEY).p);
    if (!k && c->ask(c->arg, &agent, key) == 0)
        k = known_add(c, &agent, key);
    return k;
}

static int signature_check(struct check *c, const struct entry *e,
                           const char **why)
{
    struct known_key *key;
    struct known *k;
    int r = CHOIR_BROKEN;

    if (hash_equal(&c->verified, &e->bundle_hash))
        return 0;
    k = author_of(c, &e->bundle);
    if (!k) {
        *why = "nobody knows its author's key";
        return CHOIR_UNKNOWN_AGENT;
    }
    LL_FOREACH (k->keys, key) {
        r = entry_check_author(e, &c->ledger, key->key, why);
        if (!r)
            break;
    }
    if (!r)
        c->verified = e->bundle_hash;
    return r;
}

/* What a key that we know has said about others of its agent. */
static void keys_learn(struct check *c, const struct entry *e)
{
    struct hash agent = msg_hash(&e->bundle, FIELD_AGENT);
    struct known *k = known_find(c, &agent);
    unsigned field;
    struct msg m;

    if (!k || e->outcome || msg_decode(e->head, CLASS_OPERATION, &m, &field) ||
        (m.verb != MSG_ROTATE && m.verb != MSG_RECOVER))
        return;
    if (msg_has(&m, FIELD_PUBLIC_KEY))
        key_keep(k, msg_b(&m, FIELD_PUBLIC_KEY).p);
    if (msg_has(&m, FIELD_RECOVERY_KEY))
        key_keep(k, msg_b(&m, FIELD_RECOVERY_KEY).p);
}

/* --- The tree -------------------------------------------------------------- */

static int head_compare(struct check *c, uint64_t size, const struct hash *root)
{
    struct hash ours = frontier_root(&c->tree);

    if (!hash_equal(&ours, root))
        return CHOIR_BROKEN;
    c->agreed = size;
    return 0;
}

int check_head(struct check *c, uint64_t size, const struct hash *root)
{
    if (c->missed || size < c->tree.size || size == 0)
        return 0;
    if (size == c->tree.size)
        return head_compare(c, size, root);
    /* The nearest one is kept: it comes first, and others follow it. */
    if (c->waits_size <= c->tree.size || size < c->waits_size) {
        c->waits_size = size;
        c->waits_root = *root;
    }
    return 0;
}

static int tree_add(struct check *c, const struct entry *e, const char **why)
{
    if (e->index != c->tree.size)
        c->missed = true;
    if (c->missed)
        return 0;
    frontier_add(&c->tree, entry_leaf(e));
    if (c->tree.size == c->waits_size &&
        head_compare(c, c->waits_size, &c->waits_root)) {
        *why = "the entries do not give the tree the broker signed";
        return CHOIR_BROKEN;
    }
    return 0;
}

/* A checkpoint entry states the tree before itself. */
static int stated_check(struct check *c, const struct entry *e,
                        const char **why)
{
    struct hash root;
    struct msg head;
    unsigned field;

    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field) ||
        head.verb != MSG_CHECKPOINT || c->missed ||
        msg_u(&head, FIELD_SIZE) != c->tree.size)
        return 0;
    root = msg_hash(&head, FIELD_ROOT);
    if (!head_compare(c, c->tree.size, &root))
        return 0;
    *why = "it states another tree than the entries before it give";
    return CHOIR_BROKEN;
}

/* --- An entry -------------------------------------------------------------- */

static struct bytes bytes_field(const struct choir_event *event,
                                const char *name)
{
    struct bytes b;

    b.p = choir_event_bytes(event, name, &b.n);
    return b;
}

static int entry_read(struct entry *e, const struct choir_event *event)
{
    struct bytes signature = bytes_field(event, "signature");
    unsigned field;

    memset(e, 0, sizeof *e);
    e->header = bytes_field(event, "header");
    if (signature.n != KEY_SIGNATURE_BYTES ||
        part_decode(MSG_BUNDLE_HEADER, e->header, &e->bundle, &field))
        return CHOIR_BROKEN;
    e->signature = signature.p;
    e->bundle_hash = bundle_hash(e->header);
    e->index = choir_event_uint(event, "revision");
    e->time = choir_event_uint(event, "time");
    e->outcome = (int)choir_event_uint(event, "outcome");
    e->position = (uint32_t)choir_event_uint(event, "position");
    e->count = (uint32_t)msg_u(&e->bundle, FIELD_COUNT);
    e->session = msg_u(&e->bundle, FIELD_SESSION);
    e->seq = msg_u(&e->bundle, FIELD_FIRST_SEQ) + e->position;
    e->head = bytes_field(event, "head");
    e->effect = bytes_field(event, "effect");
    e->payload = bytes_field(event, "payload");
    e->marks = bytes_field(event, "marks");
    return 0;
}

int check_entry(struct check *c, const struct choir_event *event,
                const char **why)
{
    struct entry e;
    int r = entry_read(&e, event);

    if (r) {
        *why = "its bundle's header cannot be read";
        return r;
    }
    r = signature_check(c, &e, why);
    if (!r)
        r = entry_check_place(&e, bytes_field(event, "path"), why);
    if (!r)
        r = entry_check_payload(&e, why);
    if (!r)
        r = stated_check(c, &e, why);
    if (!r)
        keys_learn(c, &e);
    return r ? r : tree_add(c, &e, why);
}

uint64_t check_agreed(const struct check *c)
{
    return c->agreed;
}
