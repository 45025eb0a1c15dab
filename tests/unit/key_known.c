/* Keys met again and again: when they get a table, who loses it, and that the
 * verdict is libsodium's in any case. */
#include "tests/check.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#include "proto/key_known.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

/* --- libsodium, counted and misled --------------------------------------- */

static atomic_uint asked;
static atomic_bool is_misled;

int crypto_sign_verify_detached(const unsigned char *signature,
                                const unsigned char *m, unsigned long long n,
                                const unsigned char *key)
{
    int (*sodium)(const unsigned char *, const unsigned char *,
                  unsigned long long, const unsigned char *);

    *(void **)&sodium = dlsym(RTLD_NEXT, "crypto_sign_verify_detached");
    atomic_fetch_add(&asked, 1);
    return atomic_load(&is_misled) ? 0 : sodium(signature, m, n, key);
}

/* Called in the midst of a proof by table. */
static _Thread_local bool is_held_up;
static sem_t is_in_hand, may_go_on;

void crypto_core_ed25519_scalar_reduce(unsigned char *r, const unsigned char *s)
{
    void (*sodium)(unsigned char *, const unsigned char *);

    *(void **)&sodium = dlsym(RTLD_NEXT, "crypto_core_ed25519_scalar_reduce");
    if (is_held_up) {
        is_held_up = false;
        sem_post(&is_in_hand);
        sem_wait(&may_go_on);
    }
    sodium(r, s);
}

/* --- Signatures ---------------------------------------------------------- */

static const struct hash ledger = {{7}};

static struct key_pair key_of(unsigned number)
{
    uint8_t seed[32] = {(uint8_t)number, (uint8_t)(number >> 8), 9};
    struct key_pair k;

    key_pair_from_seed(&k, seed);
    return k;
}

static int verify(const struct key_pair *k, bool is_right)
{
    static _Thread_local uint64_t count;
    uint8_t s[KEY_SIGNATURE_BYTES];

    count++;
    key_sign(k, KEY_FOR_BUNDLE, &ledger, bytes_of(&count, sizeof count), s);
    if (!is_right)
        s[count % sizeof s] ^= 4;
    return key_verify_often(k->public_key, KEY_FOR_BUNDLE, &ledger,
                            bytes_of(&count, sizeof count), s);
}

static void meet(const struct key_pair *k, unsigned times)
{
    while (times--)
        CHECK_OK(verify(k, true));
}

/* --- Tests --------------------------------------------------------------- */

TEST(key_is_known_after_so_many_signatures_that_hold)
{
    struct key_pair k = key_of(1);
    unsigned before;

    CHECK_OK(crypto_start());
    for (unsigned i = 0; i < 3 * KEY_KNOWN_AFTER; i++)
        CHECK_REFUSED(verify(&k, false), CHOIR_BAD_SIGNATURE);
    meet(&k, KEY_KNOWN_AFTER - 1);
    CHECK_EQ(keys_known().keys, 0);
    meet(&k, 1);
    CHECK_EQ(keys_known().keys, 1);
    CHECK_EQ(keys_known().proofs, 0);
    before = asked;
    meet(&k, 100);
    CHECK_EQ(keys_known().proofs, 100);
    CHECK_EQ(asked, before);
}

TEST(
    known_key_s_false_signature_is_refused_by_libsodium_and_held_against_nobody)
{
    struct key_pair k = key_of(2);
    unsigned before;

    meet(&k, KEY_KNOWN_AFTER);
    before = asked;
    for (unsigned i = 0; i < 64; i++)
        CHECK_REFUSED(verify(&k, false), CHOIR_BAD_SIGNATURE);
    CHECK_EQ(asked - before, 64);
    CHECK_NOT(keys_known().are_off);
    meet(&k, 1);
    CHECK_EQ(asked - before, 64);
}

TEST(known_key_verifies_as_the_key_that_is_not_looked_up)
{
    struct key_pair k = key_of(3), other = key_of(4);
    struct bytes body = bytes_text("body");
    struct hash elsewhere = {{8}};
    uint8_t s[KEY_SIGNATURE_BYTES];

    meet(&k, KEY_KNOWN_AFTER);
    meet(&other, KEY_KNOWN_AFTER);
    key_sign(&k, KEY_FOR_BUNDLE, &ledger, body, s);
    CHECK_OK(key_verify_often(k.public_key, KEY_FOR_BUNDLE, &ledger, body, s));
    CHECK_REFUSED(
        key_verify_often(k.public_key, KEY_FOR_ANSWER, &ledger, body, s),
        CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(
        key_verify_often(k.public_key, KEY_FOR_BUNDLE, &elsewhere, body, s),
        CHOIR_BAD_SIGNATURE);
    CHECK_REFUSED(
        key_verify_often(other.public_key, KEY_FOR_BUNDLE, &ledger, body, s),
        CHOIR_BAD_SIGNATURE);
}

TEST(known_key_makes_no_room_for_strangers)
{
    struct key_pair k = key_of(10);
    uint64_t proofs;

    meet(&k, KEY_KNOWN_AFTER);
    for (unsigned i = 0; i < 4 * KEYS_KNOWN_MAX; i++) {
        struct key_pair stranger = key_of(1000 + i);

        meet(&stranger, 1);
    }
    proofs = keys_known().proofs;
    meet(&k, 1);
    CHECK_EQ(keys_known().proofs, proofs + 1);
}

/* There is nothing to see of a key but its table. */
TEST(stranger_met_long_ago_begins_anew)
{
    struct key_pair k = key_of(11);
    unsigned before;

    meet(&k, KEY_KNOWN_AFTER - 1);
    for (unsigned i = 0; i < 6 * KEYS_KNOWN_MAX; i++) {
        struct key_pair stranger = key_of(2000 + i);

        meet(&stranger, 1);
    }
    before = keys_known().keys;
    meet(&k, KEY_KNOWN_AFTER - 1);
    CHECK_EQ(keys_known().keys, before);
    meet(&k, 1);
    CHECK_EQ(keys_known().keys, before + 1);
}

enum { BEYOND = KEYS_KNOWN_MAX * 5 / 4 };

static void *verify_held_up(void *arg)
{
    is_held_up = true;
    return verify(arg, true) ? (void *)"wrong" : NULL;
}

TEST(keys_beyond_the_limit_take_the_place_of_who_was_met_longest_ago)
{
    struct key_pair busy = key_of(12), held = key_of(13);
    pthread_t thread;
    uint64_t proofs;
    void *wrong;

    meet(&busy, KEY_KNOWN_AFTER);
    meet(&held, KEY_KNOWN_AFTER);
    CHECK_OK(sem_init(&is_in_hand, 0, 0) | sem_init(&may_go_on, 0, 0));
    CHECK_OK(pthread_create(&thread, NULL, verify_held_up, &held));
    CHECK_OK(sem_wait(&is_in_hand));
    proofs = keys_known().proofs;
    for (unsigned i = 1; i <= BEYOND; i++) {
        struct key_pair k = key_of(10000 + i);

        meet(&k, KEY_KNOWN_AFTER);
        meet(&busy, 1);
        CHECK_EQ(keys_known().proofs, proofs + i);
    }
    CHECK_OK(sem_post(&may_go_on));
    CHECK_OK(pthread_join(thread, &wrong));
    CHECK(wrong == NULL);
    proofs = keys_known().proofs;
    meet(&held, 1); /* nobody has taken what was in hand */
    CHECK_EQ(keys_known().proofs, proofs + 1);
    CHECK(keys_known().keys > KEYS_KNOWN_MAX / 2);
    CHECK(keys_known().keys <= KEYS_KNOWN_MAX);
}

/* --- Threads and processes ----------------------------------------------- */

enum { THREADS = 4, ROUNDS = 300, SHARED = 3 };

static atomic_bool is_over;

static void *verify_much(void *arg)
{
    const unsigned *number = arg;
    unsigned wrong = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct key_pair shared = key_of(20 + i % SHARED);
        struct key_pair fleeting = key_of(20000 + *number * ROUNDS + i);

        wrong += verify(&shared, true) != 0;
        wrong += verify(&fleeting, true) != 0;
        wrong += verify(&shared, false) == 0;
    }
    return wrong ? (void *)"wrong" : NULL;
}

TEST(keys_are_known_to_all_threads)
{
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    uint64_t proofs = keys_known().proofs;

    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        CHECK_OK(pthread_create(&threads[i], NULL, verify_much, &numbers[i]));
    }
    for (unsigned i = 0; i < THREADS; i++) {
        void *wrong;

        CHECK_OK(pthread_join(threads[i], &wrong));
        CHECK(wrong == NULL);
    }
    CHECK(keys_known().proofs > proofs + ROUNDS);
    CHECK_NOT(keys_known().are_off);
}

static void *verify_on(void *arg)
{
    struct key_pair k = key_of(30);

    while (!atomic_load(&is_over))
        if (verify(&k, true))
            return arg;
    return NULL;
}

/* The other thread may be in the midst of it when the process is doubled. */
TEST(keys_are_verified_in_a_child_of_fork)
{
    enum { CHILDREN = 100, CHILD_S = 20 };
    pthread_t thread;
    void *wrong;

    CHECK_OK(pthread_create(&thread, NULL, verify_on, (void *)"wrong"));
    for (unsigned i = 0; i < CHILDREN; i++) {
        pid_t pid = fork();
        int status;

        assert_int_not_equal(pid, -1);
        if (pid == 0) {
            struct key_pair k = key_of(30);

            alarm(CHILD_S);
            _exit(verify(&k, true) != 0 || verify(&k, false) == 0);
        }
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    atomic_store(&is_over, true);
    CHECK_OK(pthread_join(thread, &wrong));
    CHECK(wrong == NULL);
}

/* --- Tables that are wrong ----------------------------------------------- */

/* The last: there are no tables any more then. */
TEST(keys_tables_are_off_once_libsodium_accepts_what_one_did_not_prove)
{
    struct key_pair k = key_of(40);
    uint64_t proofs;

    meet(&k, KEY_KNOWN_AFTER);
    atomic_store(&is_misled, true);
    CHECK_OK(verify(&k, false)); /* its word counts */
    atomic_store(&is_misled, false);
    CHECK(keys_known().are_off);
    proofs = keys_known().proofs;
    meet(&k, 3 * KEY_KNOWN_AFTER);
    CHECK_REFUSED(verify(&k, false), CHOIR_BAD_SIGNATURE);
    CHECK_EQ(keys_known().proofs, proofs);
}

CHECK_MAIN
