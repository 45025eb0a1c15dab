/* A connection that does not come about is told of, so that it is begun again. */
#include "agent-sdk/connection.h"

#include <sodium.h>

#include "tests/check.h"

enum { WAIT_MS = 20, TIMES = 500 };

static enum connection_state becomes(const char *url)
{
    struct connection_keys keys = {0};
    struct connection *c;
    enum connection_state state = CONNECTION_WAITING;

    crypto_box_keypair(keys.curve.public_key, keys.curve.secret_key);
    memcpy(keys.broker_curve, keys.curve.public_key, KEY_CURVE_BYTES);
    CHECK_OK(connection_new(&c, url, &keys));
    CHECK_OK(connection_begin(c));
    for (int i = 0; i < TIMES && state == CONNECTION_WAITING; i++) {
        connection_poll(c, WAIT_MS);
        state = connection_state(c);
    }
    connection_destroy(&c, 0);
    return state;
}

TEST(where_nobody_listens_a_connection_ends)
{
    CHECK_EQ(becomes("tcp://127.0.0.1:1"), CONNECTION_CLOSED);
}

TEST(a_name_that_nobody_knows_ends_it_too)
{
    /* not even asked for: a label of a name cannot be empty */
    CHECK_EQ(becomes("tcp://a..b:7117"), CONNECTION_CLOSED);
}

CHECK_MAIN
