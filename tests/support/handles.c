#include "tests/support/handles.h"

#include "tests/check.h"

enum { WAIT_MS = 10000, HANDLES_MAX = 64 };

void handles_open(struct choir **handles, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct choir_options o = CHOIR_OPTIONS_INIT;
        char name[16];

        snprintf(name, sizeof name, "one-%u", i);
        o.name = name;
        o.timeout_ms = WAIT_MS;
        CHECK_OK(choir_open(&o, &handles[i]));
    }
}

void handles_close(struct choir **handles, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        choir_close(&handles[i]);
}

void handles_put(struct choir **handles, unsigned n)
{
    uint64_t requests[HANDLES_MAX];

    CHECK(n <= HANDLES_MAX);
    for (unsigned i = 0; i < n; i++) {
        struct choir_request *r = choir_request_new(handles[i], "put");

        choir_request_text(r, "key", "k");
        choir_request_slot(r, "v", 1, NULL);
        CHECK_OK(choir_send(handles[i], &r, WAIT_MS, &requests[i]));
    }
    for (unsigned i = 0; i < n; i++) {
        struct choir_event *e = NULL;

        CHECK_OK(choir_wait(handles[i], requests[i], WAIT_MS, &e));
        choir_event_free(&e);
    }
}
