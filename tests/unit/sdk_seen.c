/* What a handle stores of the ledger it saw, and how files take turns. */
#include "agent-sdk/identity.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/home.h"

enum { ROUNDS = 2000, PROOF_MAX = 600 };

static const struct hash ledger = {{7}};
static char dir[HOME_BYTES], path[HOME_BYTES + 16];

static void begin(void)
{
    home_make(dir);
    snprintf(path, sizeof path, "%s/ada", dir);
}

static void end(void)
{
    home_remove(dir);
}

/* Everything of it follows from its size. */
static void save(uint64_t size)
{
    struct checkpoint seen = {.epoch = 1 + size % 3, .size = size};
    uint8_t proof[PROOF_MAX];
    size_t n = 1 + size * 37 % PROOF_MAX;

    memset(seen.root.b, (int)(size & 0xff), sizeof seen.root.b);
    memset(proof, (int)(size & 0xff), n);
    seen_save(&seen, bytes_of(proof, n), path, &ledger, true);
}

static bool is_whole(const struct checkpoint *seen, const struct buf *proof)
{
    if (seen->epoch != 1 + seen->size % 3 ||
        proof->n != 1 + seen->size * 37 % PROOF_MAX)
        return false;
    for (size_t i = 0; i < sizeof seen->root.b; i++)
        if (seen->root.b[i] != (seen->size & 0xff))
            return false;
    for (size_t i = 0; i < proof->n; i++)
        if (proof->p[i] != (seen->size & 0xff))
            return false;
    return true;
}

static uint64_t load(void)
{
    struct checkpoint seen;
    struct buf proof = {0};

    seen_load(&seen, &proof, path, &ledger);
    CHECK(seen.size == 0 || is_whole(&seen, &proof));
    buf_free(&proof);
    return seen.size;
}

static ino_t inode(void)
{
    char name[HOME_BYTES + 32];
    struct stat s;

    snprintf(name, sizeof name, "%s.seen", path);
    return stat(name, &s) ? 0 : s.st_ino;
}

static int files(void)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    int n = 0;

    while ((e = readdir(d)) != NULL)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

TEST(seen_is_what_was_saved_last)
{
    begin();
    CHECK(load() == 0);
    for (uint64_t i = 1; i < 50; i++) {
        save(i);
        CHECK(load() == i);
    }
    end();
}

TEST(seen_takes_turns_with_two_files)
{
    ino_t first, second;

    begin();
    save(1);
    first = inode();
    CHECK(files() == 2);
    save(2);
    second = inode();
    CHECK(first && second && first != second);
    for (uint64_t i = 3; i < 20; i++) {
        save(i);
        CHECK(inode() == (i % 2 ? first : second));
    }
    CHECK(files() == 2);
    end();
}

/* One of the two, locked as whoever is about to read or write it does. */
static int lock(const char *ending, int how)
{
    char name[HOME_BYTES + 32];
    int fd;

    snprintf(name, sizeof name, "%s%s", path, ending);
    fd = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(fd >= 0 && !flock(fd, how));
    return fd;
}

TEST(seen_leaves_alone_what_somebody_reads)
{
    char before[4096], after[4096];
    ssize_t n;
    int fd;

    begin();
    save(1);
    save(2);
    fd = lock(".seen.other", LOCK_SH);
    n = pread(fd, before, sizeof before, 0);
    save(3);
    CHECK(load() == 3);
    CHECK(n > 0 && pread(fd, after, sizeof after, 0) == n);
    CHECK(memcmp(before, after, (size_t)n) == 0);
    close(fd);
    save(4);
    CHECK(load() == 4);
    CHECK(files() == 2);
    end();
}

TEST(seen_is_not_read_while_it_is_written)
{
    int fd;

    begin();
    save(1);
    fd = lock(".seen", LOCK_EX);
    CHECK(load() == 0);
    close(fd);
    CHECK(load() == 1);
    end();
}

/* As a power failure may leave it, which wrote its size and not its bytes. */
TEST(seen_that_became_zeros_is_what_it_was_before)
{
    char name[HOME_BYTES + 32];

    begin();
    save(1);
    save(2);
    snprintf(name, sizeof name, "%s.seen", path);
    CHECK(!truncate(name, 0) && !truncate(name, 200));
    CHECK(load() == 1);
    save(3);
    CHECK(load() == 3);
    CHECK(!unlink(name)); /* whoever takes it away wants it forgotten */
    CHECK(load() == 0);
    end();
}

static void *saves(void *from)
{
    for (uint64_t i = 0; i < ROUNDS; i++)
        save(*(uint64_t *)from + i);
    return NULL;
}

TEST(seen_is_whole_though_two_write)
{
    uint64_t from[] = {1000, 500000};
    pthread_t writers[2];

    begin();
    save(1);
    for (size_t i = 0; i < 2; i++)
        CHECK(!pthread_create(&writers[i], NULL, saves, &from[i]));
    for (int i = 0; i < ROUNDS; i++)
        (void)load();
    for (size_t i = 0; i < 2; i++)
        pthread_join(writers[i], NULL);
    CHECK(load() >= 1000);
    end();
}

CHECK_MAIN
