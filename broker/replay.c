/* Two batches in turn: one is filled by the reading thread while the state's
 * own evolves the other. */
#include "replay.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include "base/thread.h"
#include "evolve.h"
#include "proto/refusal.h"

/* Some thousand entries: little beside the caches, much beside a hand-over. */
enum { BATCH_HEADS = 256 << 10 };

/* Entries whose hashes are made together. */
enum { AT_ONCE = 64 };

struct batch_group {
    struct group_header g;
    size_t heads; /* offset */
};

/* The key that an entry puts or deletes, as offsets of the heads; or none. */
struct batch_name {
    uint32_t space, space_bytes, key, key_bytes;
};

struct batch {
    bool full;
    struct buf heads;   /* of all groups, one after the other */
    struct buf groups;  /* struct batch_group */
    struct buf bundles; /* struct hash of each */
    struct buf leaves;  /* struct hash of each entry's */
    struct buf names;   /* struct batch_name of each entry */
    int end;            /* what comes behind the last group; 0: another batch */
};

struct replay {
    struct ledger_reader *reader;
    pthread_mutex_t lock; /* guards full and stop */
    pthread_cond_t turned;
    bool stop;
    struct batch batches[2];
};

/* --- The reading thread -------------------------------------------------- */

/* Entries that have no leaf yet, of whatever bundles they are. */
struct unhashed {
    struct leaf_of of[AT_ONCE];
    size_t bundle[AT_ONCE]; /* its place among the batch's */
    struct hash_job operations[AT_ONCE], bundles[AT_ONCE];
    size_t count, bundle_count;
};

static void leaves_add(struct batch *b, struct unhashed *u)
{
    struct hash hashes[AT_ONCE];
    const struct hash *bundles;

    hash_many(HASH_BUNDLE, u->bundles, u->bundle_count, hashes);
    buf_put(&b->bundles, hashes, u->bundle_count * sizeof *hashes);
    bundles = (const void *)b->bundles.p;
    hash_many(HASH_OP, u->operations, u->count, hashes);
    for (size_t i = 0; i < u->count && !b->bundles.failed; i++) {
        u->of[i].bundle = &bundles[u->bundle[i]];
        u->of[i].operation = &hashes[i];
    }
    if (!b->bundles.failed) {
        struct hash leaves[AT_ONCE];

        entry_leaves(u->of, u->count, leaves);
        buf_put(&b->leaves, leaves, u->count * sizeof *leaves);
    }
    u->count = u->bundle_count = 0;
}

static void leaf_want(struct batch *b, struct unhashed *u,
                      const struct entry *e)
{
    size_t known = b->bundles.n / sizeof(struct hash);

    if (e->position == 0)
        u->bundles[u->bundle_count++] = (struct hash_job){.a = e->header};
    u->bundle[u->count] = known + u->bundle_count - 1;
    u->operations[u->count] = (struct hash_job){.a = e->head};
    u->of[u->count++] = (struct leaf_of){
        .index = e->index,
        .time = e->time,
        .session = e->session,
        .seq = e->seq,
        /* a hash is 32 bytes wherever it stands */
        .agent = (const void *)msg_b(&e->bundle, FIELD_AGENT).p,
        .effect = e->effect,
        .position = e->position,
        .outcome = e->outcome,
    };
    if (u->count == AT_ONCE)
        leaves_add(b, u);
}

static void name_add(struct batch *b, const struct group_header *g,
                     struct bytes heads, const struct entry *e)
{
    size_t at = b->heads.n - (size_t)g->heads_bytes;
    struct batch_name name = {0};
    struct msg op;
    unsigned field;

    if (!msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field) &&
        msg_has(&op, FIELD_SPACE) && msg_has(&op, FIELD_KEY)) {
        struct bytes space = msg_b(&op, FIELD_SPACE);
        struct bytes key = msg_b(&op, FIELD_KEY);

        name.space = (uint32_t)(at + (size_t)(space.p - heads.p));
        name.space_bytes = (uint32_t)space.n;
        name.key = (uint32_t)(at + (size_t)(key.p - heads.p));
        name.key_bytes = (uint32_t)key.n;
    }
    buf_put(&b->names, &name, sizeof name);
}

static int group_add_to(struct batch *b, const struct group_header *g,
                        struct bytes heads)
{
    struct batch_group at = {*g, b->heads.n};
    struct unhashed u = {.count = 0};
    struct group_walk walk;
    const struct entry *e;
    int r;

    buf_put(&b->groups, &at, sizeof at);
    buf_put(&b->heads, heads.p, heads.n);
    group_walk_begin(&walk, g, heads);
    walk.unhashed = true;
    while (!(r = group_walk_next(&walk, &e))) {
        leaf_want(b, &u, e);
        name_add(b, g, heads, e);
    }
    leaves_add(b, &u);
    if (r != CHOIR_NOT_FOUND)
        return -EUCLEAN; /* as group_apply will see, at the same place */
    return b->heads.failed || b->groups.failed || b->bundles.failed ||
                   b->leaves.failed || b->names.failed
               ? -ENOMEM
               : 0;
}

static void batch_fill(struct replay *rp, struct batch *b)
{
    struct group_header g;
    struct bytes heads;

    buf_clear(&b->heads);
    buf_clear(&b->groups);
    buf_clear(&b->bundles);
    buf_clear(&b->leaves);
    buf_clear(&b->names);
    b->end = 0;
    while (!b->end && b->heads.n < BATCH_HEADS) {
        b->end = ledger_reader_group(rp->reader, &g, &heads);
        if (!b->end)
            b->end = group_add_to(b, &g, heads);
    }
}

/* Waits until the batch is the caller's: full or empty. False: it is over. */
static bool batch_await(struct replay *rp, const struct batch *b, bool full)
{
    bool go;

    pthread_mutex_lock(&rp->lock);
    while (b->full != full && !rp->stop)
        pthread_cond_wait(&rp->turned, &rp->lock);
    go = !rp->stop;
    pthread_mutex_unlock(&rp->lock);
    return go;
}

static void batch_turn(struct replay *rp, struct batch *b, bool stop)
{
    pthread_mutex_lock(&rp->lock);
    b->full = !b->full;
    rp->stop = stop;
    pthread_cond_signal(&rp->turned);
    pthread_mutex_unlock(&rp->lock);
}

static void *read_on(void *arg)
{
    struct replay *rp = arg;
    int end = 0;

    for (unsigned i = 0; !end; i ^= 1) {
        struct batch *b = &rp->batches[i];

        if (!batch_await(rp, b, false))
            return NULL;
        batch_fill(rp, b);
        end = b->end;
        batch_turn(rp, b, false);
    }
    return NULL;
}

/* --- The state's thread -------------------------------------------------- */

static int damaged(char trouble[512], uint64_t index, const char *what)
{
    snprintf(trouble, 512, "entry %llu %s", (unsigned long long)index, what);
    return -EUCLEAN;
}

/* Where in a batch the state stands. */
struct place {
    const struct hash *bundle;
    size_t entry;
};

/* Before every so many entries: what they will look for. */
static void names_fetch(const struct state *s, const struct batch *b,
                        size_t entry)
{
    const struct batch_name *at = (const void *)b->names.p;
    struct context_name names[INDEX_FETCH_MAX];
    size_t all = b->names.n / sizeof *at, n = 0;

    if (entry % INDEX_FETCH_MAX)
        return;
    for (; entry < all && n < INDEX_FETCH_MAX; entry++) {
        if (!at[entry].key_bytes)
            continue;
        names[n++] = (struct context_name){
            bytes_of(b->heads.p + at[entry].space, at[entry].space_bytes),
            bytes_of(b->heads.p + at[entry].key, at[entry].key_bytes),
        };
    }
    context_fetch(s->context, names, n);
}

/* Whose signature it must bear, as the state stands before it; NULL: the
 * broker's own, or of somebody without a session, which never goes ahead. */
static const uint8_t *signer_of(const struct state *s, const struct entry *e)
{
    const struct session *session = session_by_id(s->sessions, e->session);
    const struct agent *a =
        session ? agent_by_number(s->agents, session->agent) : NULL;

    return a ? agent_key_valid(a, session->key) : NULL;
}

/* Do the heads that follow e, and its own, make up the root of its header? */
static bool is_covered(struct group_walk *walk, const struct entry *e)
{
    struct hash root = msg_hash(&e->bundle, FIELD_ROOT), made;
    struct buf hashes = {0};
    size_t n = 0;
    int r;

    do {
        struct hash hash = op_hash(e->head);

        buf_put(&hashes, &hash, sizeof hash);
        n++;
    } while (!(r = group_walk_next(walk, &e)));
    if (hashes.failed || r != CHOIR_NOT_FOUND) {
        buf_free(&hashes);
        return true; /* what it is will be said of it elsewhere */
    }
    made = merkle_shrink((struct hash *)(void *)hashes.p, n);
    buf_free(&hashes);
    return hash_equal(&made, &root);
}

bool replay_proves(const struct state *s, const struct group_header *g,
                   struct bytes heads)
{
    struct group_walk walk;
    const struct entry *e;
    const uint8_t *key;

    group_walk_begin(&walk, g, heads);
    if (g->bundles != 1 || group_walk_next(&walk, &e))
        return true;
    key = signer_of(s, e);
    return !key || (key_verify(key, KEY_FOR_BUNDLE, &s->ledger, e->header,
                               e->signature) == 0 &&
                    is_covered(&walk, e));
}

static int group_apply(struct state *s, const struct batch_group *at,
                       const struct batch *b, struct place *place,
                       char trouble[512])
{
    const struct hash *leaves = (const void *)b->leaves.p;
    struct group_walk walk;
    const struct entry *e;
    uint64_t next = at->g.first;
    int r;

    group_walk_begin(
        &walk, &at->g,
        bytes_of(b->heads.p + at->heads, (size_t)at->g.heads_bytes));
    walk.bundle_hashes = place->bundle;
    for (; !(r = group_walk_next(&walk, &e)); next = e->index + 1) {
        const struct hash *leaf = &leaves[place->entry];

        names_fetch(s, b, place->entry++);
        if (e->index < s->size)
            continue; /* the state begins within this group */
        r = evolve_with(s, e, leaf);
        if (r == -EUCLEAN)
            return damaged(trouble, e->index,
                           "does not follow from the state before it, or "
                           "states another digest than replay gives");
        if (r)
            return r;
    }
    place->bundle = walk.bundle_hashes;
    return r == CHOIR_NOT_FOUND
               ? 0
               : damaged(trouble, next, "is not what its group says of it");
}

static int batch_apply(struct state *s, const struct batch *b,
                       uint64_t unproven, char trouble[512])
{
    const struct batch_group *at = (const void *)b->groups.p;
    struct place place = {.bundle = (const void *)b->bundles.p};
    /* what had no room is missing somewhere */
    size_t n = b->end == -ENOMEM ? 0 : b->groups.n / sizeof *at;
    int r = 0;

    for (size_t i = 0; !r && i < n; i++) {
        if (at[i].g.first == unproven && s->size == unproven)
            r = replay_proves(s, &at[i].g,
                              bytes_of(b->heads.p + at[i].heads,
                                       (size_t)at[i].g.heads_bytes))
                    ? 0
                    : CHOIR_BAD_SIGNATURE;
        if (!r)
            r = group_apply(s, at + i, b, &place, trouble);
    }
    return r ? r : b->end;
}

static int apply_all(struct replay *rp, struct state *s, uint64_t unproven,
                     char trouble[512])
{
    for (unsigned i = 0;; i ^= 1) {
        struct batch *b = &rp->batches[i];
        int r;

        batch_await(rp, b, true);
        r = batch_apply(s, b, unproven, trouble);
        batch_turn(rp, b, r != 0);
        if (r)
            return r;
    }
}

int replay_record(struct state *s, struct ledger *l, char trouble[512])
{
    struct replay rp = {
        .lock = PTHREAD_MUTEX_INITIALIZER,
        .turned = PTHREAD_COND_INITIALIZER,
    };
    pthread_t thread;
    int r = ledger_reader_open(l, s->size, &rp.reader);

    if (r)
        return r;
    r = thread_start(&thread, read_on, &rp);
    if (!r) {
        r = apply_all(&rp, s, ledger_unproven(l), trouble);
        pthread_join(thread, NULL);
    }
    ledger_reader_close(&rp.reader);
    for (unsigned i = 0; i < 2; i++) {
        buf_free(&rp.batches[i].heads);
        buf_free(&rp.batches[i].groups);
        buf_free(&rp.batches[i].bundles);
        buf_free(&rp.batches[i].leaves);
        buf_free(&rp.batches[i].names);
    }
    if (r == -EUCLEAN && !trouble[0])
        snprintf(trouble, 512, "%s", ledger_trouble(l));
    return r == CHOIR_NOT_FOUND ? 0 : r;
}
