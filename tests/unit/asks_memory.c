/* Asks that come again take no memory again, and what is kept for them has a
 * bound. */
#include <stdlib.h>

static unsigned jobs_made;

static void *counted_calloc(size_t n, size_t bytes)
{
    jobs_made++;
    return calloc(n, bytes);
}

#define calloc(n, bytes) counted_calloc(n, bytes)
#include "broker/cycle_ask.c"
#undef calloc

#define told rig_told /* the broker has one of that name, too */
#include "tests/check.h"
#include "tests/support/hall.h"
#undef told

static struct hall hall;
static struct guest ada;

/* So many bundles that wait for one commit. */
static unsigned ask(unsigned n)
{
    struct msg m;

    msg_init(&m, MSG_GET);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "plan");
    jobs_made = 0;
    for (unsigned i = 0; i < n; i++)
        guest_ask(&ada, &m);
    CHECK_EQ(ada.connection->asks, n);
    hall_settle(&hall);
    CHECK_EQ(ada.connection->asks, 0);
    return jobs_made;
}

TEST(asks_take_memory_once_and_keep_some_of_it)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", RIGHT_READ);
    CHECK_EQ(ask(JOBS_SPARE), JOBS_SPARE);
    CHECK_EQ(ask(JOBS_SPARE), 0);
    CHECK_EQ(ask(3), 0);
    CHECK_EQ(ask(3 * JOBS_SPARE), 2 * JOBS_SPARE);
    CHECK_EQ(ask(2 * JOBS_SPARE), JOBS_SPARE);
    hall_close(&hall);
}

CHECK_MAIN
