#include "tests/check.h"

#include <stdatomic.h>

#include "tools/verify_pool.h"

enum { MANY = 500 };

struct square {
    struct pool_job job;
    unsigned of, is, times;
};

static atomic_uint ran;
static struct square all[MANY];

static void square(struct pool_job *job)
{
    struct square *s = (struct square *)job;

    s->is = s->of * s->of;
    s->times++;
    atomic_fetch_add(&ran, 1);
}

static struct pool *begin(unsigned helpers)
{
    struct pool *p = pool_new(helpers);

    CHECK(p);
    ran = 0;
    for (unsigned i = 0; i < MANY; i++)
        all[i] = (struct square){.job.run = square, .of = i};
    return p;
}

static void run_with(unsigned helpers)
{
    struct pool *p = begin(helpers);

    CHECK_EQ(pool_width(p), helpers + 1);
    for (unsigned i = 0; i < MANY; i++) {
        pool_give(p, &all[i].job);
        if (i >= 10) {
            pool_wait(p, &all[i - 10].job);
            CHECK_EQ(all[i - 10].is, (i - 10) * (i - 10));
        }
    }
    for (unsigned i = MANY; i-- > MANY - 10;) { /* the last one first */
        pool_wait(p, &all[i].job);
        CHECK_EQ(all[i].is, i * i);
    }
    for (unsigned i = 0; i < MANY; i++)
        CHECK_EQ(all[i].times, 1);
    pool_destroy(&p);
    CHECK(!p);
}

TEST(pool_does_every_job_once_with_any_number_of_helpers)
{
    run_with(0);
    run_with(1);
    run_with(7);
}

TEST(pool_without_helpers_works_only_while_somebody_waits)
{
    struct pool *p = begin(0);

    pool_give(p, &all[0].job);
    pool_give(p, &all[1].job);
    CHECK_EQ(ran, 0);
    pool_wait(p, &all[0].job);
    CHECK_EQ(ran, 1);
    pool_destroy(&p); /* what has not begun is never run */
    CHECK_EQ(ran, 1);
}

TEST(pool_takes_a_job_again_when_it_is_done)
{
    struct pool *p = begin(2);

    for (unsigned i = 0; i < MANY; i++) {
        pool_give(p, &all[3].job);
        pool_wait(p, &all[3].job);
    }
    CHECK_EQ(all[3].times, MANY);
    CHECK_EQ(ran, MANY);
    pool_destroy(&p);
}

TEST(pool_for_all_cores_is_at_least_its_caller)
{
    struct pool *p = pool_for_all_cores(), *none = NULL;

    CHECK(p);
    CHECK(pool_width(p) >= 1);
    pool_destroy(&p);
    pool_destroy(&none);
}

CHECK_MAIN
