/* Places are fixed, so that nobody's keys make them grow: a key has its set, by
 * a hash that strangers cannot foresee, and within it one of a few places. */
#include "key_known.h"

#include <pthread.h>
#include <sodium.h>

#include "ed25519.h"

enum { WAYS = 4, SETS = KEYS_KNOWN_MAX / WAYS };

struct place {
    uint8_t key[KEY_PUBLIC_BYTES];
    uint64_t met;                /* last, by the count of meetings; 0: empty */
    unsigned accepted;           /* by libsodium */
    unsigned users;              /* threads that have the table in hand */
    struct ed25519_table *table; /* NULL: a stranger's place */
};

/* Who is not known yet takes no place of who is. */
struct set {
    struct place known[WAYS], strangers[WAYS];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct set sets[SETS];
static uint8_t seed[crypto_shorthash_KEYBYTES];
static uint64_t meetings;
static struct keys_known facts;

static struct set *set_of(const uint8_t key[KEY_PUBLIC_BYTES])
{
    uint8_t hash[crypto_shorthash_BYTES];

    if (meetings == 0)
        random_bytes(seed, sizeof seed);
    crypto_shorthash(hash, key, KEY_PUBLIC_BYTES, seed);
    return &sets[hash[0] % SETS];
}

static struct place *find(struct place *places,
                          const uint8_t key[KEY_PUBLIC_BYTES])
{
    for (unsigned i = 0; i < WAYS; i++) {
        struct place *p = &places[i];

        if (p->met && memcmp(p->key, key, sizeof p->key) == 0) {
            p->met = ++meetings;
            return p;
        }
    }
    return NULL;
}

/* Of whoever was met longest ago and is in nobody's hands; NULL: all are. */
static struct place *make_room(struct place *places)
{
    struct place *oldest = NULL;

    for (unsigned i = 0; i < WAYS; i++)
        if (!places[i].users && (!oldest || places[i].met < oldest->met))
            oldest = &places[i];
    if (!oldest)
        return NULL;
    facts.keys -= oldest->table != NULL;
    ed25519_table_free(oldest->table);
    *oldest = (struct place){0};
    return oldest;
}

/* There is nothing to do while libsodium alone is believed. */
static bool lock_try(void)
{
    if (pthread_mutex_trylock(&lock))
        return false;
    if (!facts.are_off)
        return true;
    pthread_mutex_unlock(&lock);
    return false;
}

static void become_known(struct set *set, struct place *stranger)
{
    struct ed25519_table *table = ed25519_table_new(stranger->key);
    struct place *p = table ? make_room(set->known) : NULL;

    if (!p) {
        ed25519_table_free(table);
        return;
    }
    *p = *stranger;
    p->table = table;
    *stranger = (struct place){0};
    facts.keys++;
}

/* By libsodium. */
static void accepted(const uint8_t key[KEY_PUBLIC_BYTES])
{
    struct set *set;
    struct place *p;

    if (!lock_try())
        return;
    set = set_of(key);
    if (!find(set->known, key)) { /* else somebody else was quicker */
        p = find(set->strangers, key);
        if (!p) {
            p = make_room(set->strangers);
            memcpy(p->key, key, sizeof p->key);
            p->met = ++meetings;
        }
        if (++p->accepted % KEY_KNOWN_AFTER == 0)
            become_known(set, p);
    }
    pthread_mutex_unlock(&lock);
}

static struct place *take(const uint8_t key[KEY_PUBLIC_BYTES])
{
    struct place *p;

    if (!lock_try())
        return NULL;
    p = find(set_of(key)->known, key);
    if (p)
        p->users++;
    pthread_mutex_unlock(&lock);
    return p;
}

static void give_back(struct place *p, bool has_proven, bool is_wrong)
{
    pthread_mutex_lock(&lock);
    p->users--;
    facts.proofs += has_proven;
    facts.are_off |= is_wrong;
    pthread_mutex_unlock(&lock);
}

bool key_known_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                      struct bytes message,
                      const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    struct place *p = take(public_key);
    bool by_table = p && ed25519_proves(p->table, message, signature);
    bool is_proven =
        by_table || crypto_sign_verify_detached(signature, message.p, message.n,
                                                public_key) == 0;

    if (p)
        give_back(p, by_table, is_proven && !by_table);
    else if (is_proven)
        accepted(public_key);
    return is_proven;
}

struct keys_known keys_known(void)
{
    struct keys_known now;

    pthread_mutex_lock(&lock);
    now = facts;
    pthread_mutex_unlock(&lock);
    return now;
}
