/* agent-sdk/shelf: what a thread let go of it takes again, and no other. */
#include "tests/check.h"

#include "agent-sdk/shelf.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct shelf shelf;
static atomic_uint destroyed;

static void on_destroy(void *thing)
{
    free(thing);
    destroyed++;
}

static void begin(void)
{
    destroyed = 0;
    shelf_open(&shelf, on_destroy);
}

TEST(what_was_put_last_is_taken_first)
{
    void *a = malloc(1), *b = malloc(1);

    begin();
    CHECK_NULL(shelf_take(&shelf));
    CHECK(shelf_put(&shelf, a) && shelf_put(&shelf, b));
    CHECK(shelf_take(&shelf) == b);
    CHECK(shelf_take(&shelf) == a);
    CHECK_NULL(shelf_take(&shelf));
    shelf_close(&shelf);
    CHECK_EQ(destroyed, 0);
    free(a);
    free(b);
}

TEST(what_has_no_room_stays_the_callers)
{
    void *more = malloc(1);

    begin();
    for (unsigned i = 0; i < SHELF_THINGS; i++)
        CHECK(shelf_put(&shelf, malloc(1)));
    CHECK(!shelf_put(&shelf, more));
    free(more);
    shelf_close(&shelf);
    CHECK_EQ(destroyed, SHELF_THINGS);
}

TEST(a_closed_shelf_is_empty_and_full)
{
    int thing;

    begin();
    shelf_close(&shelf);
    CHECK_NULL(shelf_take(&shelf));
    CHECK(!shelf_put(&shelf, &thing));
    shelf_close(&shelf);
    CHECK_EQ(destroyed, 0);
}

static void *leave_one(void *unused)
{
    (void)unused;
    CHECK_NULL(shelf_take(&shelf)); /* the other's is not ours */
    CHECK(shelf_put(&shelf, malloc(1)));
    return NULL;
}

TEST(what_a_thread_leaves_is_destroyed_with_it)
{
    pthread_t other;

    begin();
    CHECK(shelf_put(&shelf, malloc(1)));
    CHECK_OK(pthread_create(&other, NULL, leave_one, NULL));
    pthread_join(other, NULL);
    CHECK_EQ(destroyed, 1);
    shelf_close(&shelf);
    CHECK_EQ(destroyed, 2);
}

static atomic_uint turns;
static atomic_bool is_over;

static void *use(void *unused)
{
    void *thing;

    (void)unused;
    for (; !is_over; turns++) {
        thing = shelf_take(&shelf);
        if (!thing)
            thing = malloc(1);
        if (!shelf_put(&shelf, thing))
            free(thing);
    }
    for (;;)
        pause(); /* as one whom the program's end overtakes */
    return NULL;
}

/* A program's end unloads the library; its other threads do not know. */
TEST(it_may_be_closed_under_a_thread_that_uses_it)
{
    pthread_t other;

    turns = 0;
    is_over = false;
    begin();
    CHECK_OK(pthread_create(&other, NULL, use, NULL));
    while (turns < 1000)
        ;
    shelf_close(&shelf);
    for (unsigned seen = turns; turns < seen + 1000;)
        ;
    is_over = true;
}

CHECK_MAIN
