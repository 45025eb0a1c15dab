/* What a watch gives back to the broker of what was taken. */
#include "agent-sdk/window.h"

#include "tests/check.h"

enum { SMALL = 400, LARGE = 100000 };

/* What the broker may still send, if it sends all it may and all is taken. */
static uint64_t run(struct window *w, uint64_t credit, unsigned events,
                    size_t bytes, unsigned *asks)
{
    for (unsigned i = 0; i < events; i++) {
        uint64_t more = window_take(w, bytes);

        CHECK(credit != 0); /* never without any */
        credit += more - 1;
        *asks += more != 0;
        CHECK_EQ(credit + w->taken, w->size);
    }
    return credit;
}

TEST(window_that_the_caller_chose_stays)
{
    for (uint64_t size = 1; size < 20; size++) {
        struct window w = {.size = size};
        unsigned asks = 0;

        run(&w, size, 1000, SMALL, &asks);
        CHECK_EQ(w.size, size);
        CHECK_EQ(asks, 1000 / ((size + 1) / 2));
    }
}

TEST(window_grows_while_events_are_small)
{
    struct window w = {.size = WINDOW_FIRST, .is_elastic = true};
    unsigned asks = 0;

    run(&w, WINDOW_FIRST, WINDOW_FIRST / 2 - 1, SMALL, &asks);
    CHECK_EQ(asks, 0);
    run(&w, WINDOW_FIRST / 2 + 1, 1, SMALL, &asks);
    CHECK_EQ(asks, 1);
    CHECK_EQ(w.size, WINDOW_MAX);
    asks = 0;
    run(&w, WINDOW_MAX, 10 * WINDOW_MAX, SMALL, &asks);
    CHECK_EQ(asks, 20);
    CHECK_EQ(w.size, WINDOW_MAX);
}

TEST(window_shrinks_when_events_are_large)
{
    struct window w = {.size = WINDOW_MAX, .is_elastic = true};
    unsigned asks = 0;
    uint64_t credit;

    credit = run(&w, WINDOW_MAX, WINDOW_MAX / 2, LARGE, &asks);
    CHECK_EQ(asks, 0); /* nothing is given back */
    CHECK_EQ(credit, WINDOW_MAX / 2);
    credit = run(&w, credit, WINDOW_MAX / 4, LARGE, &asks);
    CHECK_EQ(w.size, WINDOW_FIRST);
    credit = run(&w, credit, 1000, LARGE, &asks);
    CHECK_EQ(w.size, WINDOW_FIRST);
    run(&w, credit, WINDOW_FIRST, SMALL, &asks); /* and grows again */
    CHECK_EQ(w.size, WINDOW_MAX);
}

CHECK_MAIN
