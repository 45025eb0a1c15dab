#include "key_known.h"

#include <pthread.h>
#include <sodium.h>
#include <uthash.h>
#include <utlist.h>

#include "ed25519.h"

struct known {
    uint8_t key[KEY_PUBLIC_BYTES];
    unsigned accepted;           /* by libsodium */
    unsigned users;              /* threads that have the table in hand */
    struct ed25519_table *table; /* NULL: not known yet */
    struct known *prev, *next;   /* met last, first */
    UT_hash_handle hh;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct known *by_key, *by_time;
static struct keys_known facts;

static bool sodium_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                          struct bytes message,
                          const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    return crypto_sign_verify_detached(signature, message.p, message.n,
                                       public_key) == 0;
}

static void forget(struct known *k)
{
    HASH_DEL(by_key, k);
    DL_DELETE(by_time, k);
    facts.keys -= k->table != NULL;
    ed25519_table_free(k->table);
    free(k);
}

/* The one met longest ago that nobody has in hand. */
static void make_room(void)
{
    struct known *k = by_time->prev;

    while (k->users && k != by_time)
        k = k->prev;
    if (!k->users)
        forget(k);
}

static struct known *meet(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    struct known *k;

    HASH_FIND(hh, by_key, public_key, KEY_PUBLIC_BYTES, k);
    if (k) {
        DL_DELETE(by_time, k);
        DL_PREPEND(by_time, k);
    }
    return k;
}

static struct known *meet_first(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    struct known *k;

    if (HASH_COUNT(by_key) >= KEYS_KNOWN_MAX)
        make_room();
    k = calloc(1, sizeof *k);
    if (!k)
        return NULL;
    memcpy(k->key, public_key, sizeof k->key);
    HASH_ADD(hh, by_key, key, sizeof k->key, k);
    DL_PREPEND(by_time, k);
    return k;
}

/* libsodium has accepted one. */
static void accepted(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    struct known *k;

    if (pthread_mutex_trylock(&lock))
        return;
    k = facts.are_off ? NULL : meet(public_key);
    if (!k && !facts.are_off)
        k = meet_first(public_key);
    if (k && !k->table && ++k->accepted % KEY_KNOWN_AFTER == 0) {
        k->table = ed25519_table_new(public_key);
        facts.keys += k->table != NULL;
    }
    pthread_mutex_unlock(&lock);
}

static struct known *take(const uint8_t public_key[KEY_PUBLIC_BYTES])
{
    struct known *k;

    if (pthread_mutex_trylock(&lock))
        return NULL;
    k = facts.are_off ? NULL : meet(public_key);
    if (k && !k->table)
        k = NULL;
    if (k)
        k->users++;
    pthread_mutex_unlock(&lock);
    return k;
}

static void give_back(struct known *k, bool has_proven, bool is_wrong)
{
    pthread_mutex_lock(&lock);
    k->users--;
    facts.proofs += has_proven;
    facts.are_off |= is_wrong;
    pthread_mutex_unlock(&lock);
}

bool key_known_proves(const uint8_t public_key[KEY_PUBLIC_BYTES],
                      struct bytes message,
                      const uint8_t signature[KEY_SIGNATURE_BYTES])
{
    struct known *k = take(public_key);
    bool by_table = k && ed25519_proves(k->table, message, signature);
    bool is_proven = by_table || sodium_proves(public_key, message, signature);

    if (k)
        give_back(k, by_table, is_proven && !by_table);
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
