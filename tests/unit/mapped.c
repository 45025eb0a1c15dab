/* broker/base/mapped: what SIGBUS says is an error again. */
#include "tests/check.h"

#include "broker/base/mapped.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 65536 }; /* of any processor, and more */

/* Two pages of 'a', then of 'b'; unlinked. */
static int file_make(void)
{
    char name[] = "/tmp/choir-mapped-XXXXXX", bytes[PAGE];
    int fd = mkstemp(name);

    CHECK(fd >= 0);
    unlink(name);
    memset(bytes, 'a', sizeof bytes);
    CHECK_EQ(write(fd, bytes, sizeof bytes), PAGE);
    memset(bytes, 'b', sizeof bytes);
    CHECK_EQ(write(fd, bytes, sizeof bytes), PAGE);
    return fd;
}

TEST(mapped_copy_gives_the_files_bytes)
{
    struct mapped m = {0};
    int fd = file_make();
    char to[4];

    CHECK_OK(mapped_open(&m, fd, 0));
    CHECK_EQ(m.n, 2 * PAGE);
    CHECK_OK(mapped_copy(&m, to, 4, PAGE - 2));
    CHECK(memcmp(to, "aabb", 4) == 0);
    CHECK_EQ(pwrite(fd, "cd", 2, PAGE - 1), 2);
    CHECK_OK(mapped_copy(&m, to, 4, PAGE - 2));
    CHECK(memcmp(to, "acdb", 4) == 0);
    mapped_close(&m);
    close(fd);
}

TEST(mapped_copy_refuses_what_is_not_mapped)
{
    struct mapped m = {0};
    int fd = file_make();
    char to[4];

    CHECK_EQ(mapped_copy(&m, to, 1, 0), -ENODATA);
    CHECK_OK(mapped_open(&m, fd, 0));
    CHECK_EQ(mapped_copy(&m, to, 2, 2 * PAGE - 1), -ENODATA);
    CHECK_EQ(mapped_copy(&m, to, 1, UINT64_MAX), -ENODATA);
    CHECK_OK(mapped_copy(&m, to, 1, 2 * PAGE - 1));
    mapped_close(&m);
    CHECK_EQ(mapped_copy(&m, to, 1, 0), -ENODATA);
    close(fd);
}

TEST(mapped_copy_survives_a_file_that_became_shorter)
{
    struct mapped m = {0};
    int fd = file_make();
    char to[4];

    CHECK_OK(mapped_open(&m, fd, 0));
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(mapped_copy(&m, to, 4, PAGE - 2), -EIO);
        CHECK_EQ(mapped_copy(&m, to, 4, 2 * PAGE - 4), -EIO);
        CHECK_OK(mapped_copy(&m, to, 4, PAGE - 4));
    }
    mapped_close(&m);
    close(fd);
}

TEST(mapped_file_may_grow_to_what_was_asked_for)
{
    struct mapped m = {0};
    int fd = file_make();
    char to[4];

    CHECK_OK(mapped_open(&m, fd, 3 * PAGE));
    CHECK_EQ(mapped_copy(&m, to, 4, 3 * PAGE - 4), -EIO);
    CHECK_EQ(pwrite(fd, "last", 4, 3 * PAGE - 4), 4);
    CHECK_OK(mapped_copy(&m, to, 4, 3 * PAGE - 4));
    CHECK(memcmp(to, "last", 4) == 0);
    mapped_close(&m);
    close(fd);
}

TEST(mapped_open_says_what_cannot_be_mapped)
{
    struct mapped m = {0};
    int fd = file_make();

    CHECK_OK(mapped_open(&m, fd, 0));
    CHECK_EQ(mapped_open(&m, -1, 0), -EBADF);
    CHECK_EQ(m.n, 0);
    CHECK_EQ(ftruncate(fd, 0), 0);
    CHECK_EQ(mapped_open(&m, fd, 0), -ENODATA);
    close(fd);
}

/* Another mistake must not be taken for a disk's. */
TEST(bus_error_elsewhere_kills)
{
    struct mapped m = {0};
    int fd = file_make(), status;
    pid_t child;

    CHECK_OK(mapped_open(&m, fd, 0));
    child = fork();
    if (child == 0) {
        char *p = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, PAGE);

        alarm(10);
        if (ftruncate(fd, PAGE) == 0)
            _exit(*(volatile char *)p);
        _exit(1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
#else
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 'b');
#endif
    mapped_close(&m);
    close(fd);
}

CHECK_MAIN
