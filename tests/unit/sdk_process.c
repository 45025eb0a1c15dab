/* Which process this is, salts, and names looked up by guessing. */
#include "agent-sdk/process.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-sdk/names.h"
#include "tests/check.h"

enum { DRAWN = 300 }; /* more than a thread keeps in store */

struct drawn {
    uint64_t mark;
    uint8_t salts[DRAWN][SLOT_SALT_BYTES];
};

static void draw(struct drawn *d)
{
    d->mark = process_mark();
    for (int i = 0; i < DRAWN; i++)
        salt_next(d->salts[i]);
}

static void child_draw(struct drawn *d)
{
    int pipes[2], status;
    pid_t pid;

    CHECK_OK(pipe(pipes));
    pid = fork();
    if (pid == 0) {
        draw(d);
        _exit(write(pipes[1], d, sizeof *d) != sizeof *d);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(read(pipes[0], d, sizeof *d), sizeof *d);
    close(pipes[0]);
    close(pipes[1]);
}

static int order(const void *a, const void *b)
{
    return memcmp(a, b, SLOT_SALT_BYTES);
}

static void check_all_differ(uint8_t (*salts)[SLOT_SALT_BYTES], size_t n)
{
    static const uint8_t none[SLOT_SALT_BYTES];

    qsort(salts, n, SLOT_SALT_BYTES, order);
    CHECK(memcmp(salts[0], none, sizeof none) != 0);
    for (size_t i = 1; i < n; i++)
        CHECK(order(salts[i - 1], salts[i]) != 0);
}

TEST(a_process_has_one_mark_and_its_child_another)
{
    struct drawn child;
    uint64_t mark = process_mark();

    CHECK(mark != 0);
    CHECK_EQ(process_mark(), mark);
    child_draw(&child);
    CHECK(child.mark != 0);
    CHECK(child.mark != mark);
    CHECK_EQ(process_mark(), mark);
}

TEST(a_forked_child_never_repeats_a_salt)
{
    static uint8_t all[4 * DRAWN + 1][SLOT_SALT_BYTES];
    static struct drawn d;

    salt_next(all[4 * DRAWN]); /* the rest of the store is in every child */
    for (int i = 0; i < 3; i++) {
        child_draw(&d);
        memcpy(all[i * DRAWN], d.salts, sizeof d.salts);
    }
    draw(&d);
    memcpy(all[3 * DRAWN], d.salts, sizeof d.salts);
    check_all_differ(all, 4 * DRAWN + 1);
}

static void *thread_draw(void *d)
{
    draw(d);
    return NULL;
}

TEST(threads_never_share_a_salt)
{
    static uint8_t all[2 * DRAWN][SLOT_SALT_BYTES];
    static struct drawn d[2];
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        CHECK_OK(pthread_create(&threads[i], NULL, thread_draw, &d[i]));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(pthread_join(threads[i], NULL));
        memcpy(all[i * DRAWN], d[i].salts, sizeof d[i].salts);
    }
    CHECK_EQ(d[0].mark, d[1].mark);
    check_all_differ(all, 2 * DRAWN);
}

TEST(every_name_is_found_whichever_was_looked_for_before)
{
    for (int twice = 0; twice < 2; twice++) {
        for (unsigned f = 0; f < FIELD_END; f++)
            if (field_row(f))
                CHECK_EQ(name_field(field_row(f)->name), f);
        for (unsigned v = 0; v < 256; v++)
            if (message_row(v))
                CHECK_EQ(name_verb(message_row(v)->name), v);
        CHECK_EQ(name_field("nonsense"), 0);
        CHECK_EQ(name_verb("nonsense"), 0);
        CHECK_EQ(name_field(""), 0);
        CHECK_EQ(name_verb(NULL), 0);
    }
}

CHECK_MAIN
