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
