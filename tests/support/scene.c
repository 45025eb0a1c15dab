#include "tests/support/scene.h"

#include "tests/check.h"

struct standin *broker;
struct choir_options options;
char dir[HOME_BYTES];

void begin(void)
{
    home_make(dir);
    broker = standin_start(dir);
    options = (struct choir_options)CHOIR_OPTIONS_INIT;
    options.data_dir = dir;
    options.name = "ada";
    options.timeout_ms = 5000;
}

void end(void)
{
    standin_stop(&broker);
    home_remove(dir);
}

struct choir *open_or_fail(void)
{
    struct choir *c;

    if (choir_open(&options, &c))
        fail_msg("%s", choir_error_text());
    return c;
}

struct choir *begin_one(void)
{
    begin();
    return open_or_fail();
}

void end_one(struct choir *c)
{
    choir_close(&c);
    end();
}

void send_one_put(struct choir *c)
{
    struct choir_request *r = choir_request_new(c, "put");
    uint64_t id;

    choir_request_text(r, "key", "k");
    choir_request_slot(r, "v", 1, NULL);
    CHECK_OK(choir_send(c, &r, -1, &id));
}
