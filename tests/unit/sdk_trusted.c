#include "agent-sdk/trusted.h"

#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

static uint8_t key[KEY_PUBLIC_BYTES] = {1}, other_key[KEY_PUBLIC_BYTES] = {2};
static uint8_t signature[KEY_SIGNATURE_BYTES] = {3};

static struct bytes header(unsigned i)
{
    static uint8_t text[200];

    memset(text, 'h', sizeof text);
    put_u32(text + 50, i);
    return bytes_of(text, sizeof text);
}

TEST(trusted_knows_what_was_verified)
{
    CHECK(!trusted_has(key, header(1), signature));
    trusted_add(key, header(1), signature);
    CHECK(trusted_has(key, header(1), signature));
}

TEST(trusted_wants_every_byte_the_same)
{
    uint8_t bent[KEY_SIGNATURE_BYTES];
    struct bytes shorter;

    trusted_add(key, header(2), signature);
    for (unsigned i = 0; i < 8 * sizeof bent; i++) {
        memcpy(bent, signature, sizeof bent);
        bent[i / 8] ^= (uint8_t)(1 << i % 8);
        CHECK(!trusted_has(key, header(2), bent));
    }
    CHECK(!trusted_has(other_key, header(2), signature));
    CHECK(!trusted_has(key, header(3), signature));
    shorter = header(2);
    shorter.n--;
    CHECK(!trusted_has(key, shorter, signature));
    CHECK(!trusted_has(key, bytes_of("", 0), signature));
}

TEST(trusted_forgets_the_old)
{
    for (unsigned i = 100; i < 200; i++)
        trusted_add(key, header(i), signature);
    CHECK(trusted_has(key, header(199), signature));
    CHECK(trusted_has(key, header(190), signature));
    CHECK(!trusted_has(key, header(100), signature));
}

TEST(trusted_keeps_nothing_that_is_too_long)
{
    static uint8_t text[4096];

    trusted_add(key, bytes_of(text, sizeof text), signature);
    CHECK(!trusted_has(key, bytes_of(text, sizeof text), signature));
}

TEST(trusted_is_of_use_to_a_forked_child)
{
    int status;
    pid_t pid;

    trusted_add(key, header(7), signature);
    pid = fork();
    if (pid == 0)
        _exit(trusted_has(key, header(7), signature) ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

CHECK_MAIN
