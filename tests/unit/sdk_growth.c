/* A ledger must be the one it was: after every reconnect, and in the next run
 * of the program; and what shows that it is not must convince others. */
#include "agent-sdk/choir.h"

#include <stdio.h>
#include <unistd.h>

#include "agent-sdk/identity.h"
#include "proto/fork.h"
#include "tests/check.h"
#include "tests/support/scene.h"

static uint64_t put_or_fail(struct choir *c, const char *key, const char *value)
{
    uint64_t revision = 0;

    if (choir_put(c, key, value, strlen(value), &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

/* Where the identity keeps what it has against its broker. */
static size_t evidence_read(struct choir *c, char *text, size_t most)
{
    char path[600];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s.fork", choir_identity_path(c));
    f = fopen(path, "re");
    if (!f)
        return 0;
    n = fread(text, 1, most, f);
    fclose(f);
    return n;
}

static void broker_key_read(struct choir *c, uint8_t key[KEY_PUBLIC_BYTES])
{
    struct identity id;

    CHECK_OK(identity_load(&id, choir_identity_path(c)));
    memcpy(key, id.broker.broker_key, KEY_PUBLIC_BYTES);
    identity_wipe(&id);
}

TEST(another_past_after_a_reconnect_ends_the_handle_with_evidence)
{
    uint8_t key[KEY_PUBLIC_BYTES];
    struct choir_event *e;
    char text[4096];
    struct choir *c;
    size_t n;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 20; i++)
        put_or_fail(c, "k", "v");
    standin_branch(broker, 90);
    standin_task(broker, "none"); /* it grows */
    standin_restart(broker, 0);
    CHECK_REFUSED(choir_get(c, "k", 0, &e), CHOIR_BROKEN);
    CHECK(strstr(choir_error_text(), "what=fork"));
    CHECK(strstr(choir_error_text(), "evidence="));
    broker_key_read(c, key);
    n = evidence_read(c, text, sizeof text);
    CHECK_OK(fork_check(bytes_of(text, n), key, NULL));
    choir_close(&c);
    end();
}

TEST(another_past_in_the_next_run_of_the_program_is_evidence_too)
{
    uint8_t key[KEY_PUBLIC_BYTES];
    struct choir_event *e;
    char text[4096];
    struct choir *c;
    size_t n;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 20; i++)
        put_or_fail(c, "k", "v");
    choir_close(&c);
    standin_branch(broker, 118);
    for (int i = 0; i < 40; i++)
        standin_task(broker, "none");
    if (!choir_open(&options, &c))
        CHECK_REFUSED(choir_get(c, "k", 0, &e), CHOIR_BROKEN);
    CHECK(strstr(choir_error_text(), "what=fork"));
    options.flags = CHOIR_OPEN_NOWAIT;
    choir_close(&c);
    CHECK_OK(choir_open(&options, &c));
    broker_key_read(c, key);
    n = evidence_read(c, text, sizeof text);
    CHECK_OK(fork_check(bytes_of(text, n), key, NULL));
    choir_close(&c);
    options.flags = 0;
    end();
}

TEST(a_ledger_that_only_grew_is_believed_after_every_reconnect)
{
    struct choir *c;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 5; i++) {
        put_or_fail(c, "k", "v");
        for (int k = 0; k < 7; k++)
            standin_task(broker, "none");
        standin_busy_proofs(broker, i == 2);
        standin_restart(broker, 0);
    }
    put_or_fail(c, "k", "v");
    choir_close(&c);
    end();
}

CHECK_MAIN
