/* broker/base/file: files that survive a crash, and failures said. */
#include "tests/check.h"

#include "broker/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void check_holds(const char *path, const char *wanted)
{
    char *bytes = NULL;
    size_t len = 0;

    CHECK_OK(file_read_whole(path, 1 << 20, &bytes, &len));
    CHECK_STR(bytes, wanted);
    CHECK_EQ(len, strlen(wanted));
    free(bytes);
}

TEST(file_write_atomic_makes_and_replaces_a_file)
{
    struct stat st;

    CHECK_OK(chdir(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"));
    (void)!system("rm -rf unit-file");
    CHECK_OK(dir_make("unit-file", 0700));
    CHECK_OK(chdir("unit-file"));
    umask(077);
    CHECK_OK(file_write_atomic("a", "one", 3, 0644));
    check_holds("a", "one");
    CHECK_OK(file_write_atomic("a", "", 0, 0640));
    check_holds("a", "");
    CHECK_OK(stat("a", &st));
    CHECK_EQ(st.st_mode & 0777, 0640);
    CHECK_EQ(access("a.new", F_OK), -1);
}

TEST(file_write_atomic_overwrites_a_leftover_and_its_wide_mode)
{
    struct stat st;
    int fd = open("key.new", O_WRONLY | O_CREAT, 0666);

    fchmod(fd, 0666);
    CHECK_OK(file_write_all(fd, "old and long", 12));
    close(fd);
    CHECK_OK(file_write_atomic("key", "new", 3, 0600));
    check_holds("key", "new");
    CHECK_OK(stat("key", &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
}

TEST(file_write_atomic_keeps_the_old_file_when_it_fails)
{
    struct rlimit limit;
    struct rlimit small;
    int rc;

    CHECK_OK(file_write_atomic("a", "old", 3, 0600));
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &limit));
    small = limit;
    small.rlim_cur = 2;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &small));
    rc = file_write_atomic("a", "new", 3, 0600);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
    CHECK_EQ(rc, -EFBIG);
    check_holds("a", "old");
    CHECK_EQ(access("a.new", F_OK), -1);
    CHECK_EQ(file_write_atomic("none/a", "x", 1, 0600), -ENOENT);
    CHECK_OK(dir_make("is-dir", 0700));
    CHECK_EQ(file_write_atomic("is-dir", "x", 1, 0600), -EISDIR);
    CHECK_EQ(access("is-dir.new", F_OK), -1);
}

TEST(file_atomic_abort_leaves_the_old_file)
{
    struct file_atomic *file = NULL;

    CHECK_OK(file_write_atomic("a", "old", 3, 0600));
    CHECK_OK(file_atomic_open("a", 0600, &file));
    CHECK_OK(file_write_all(file_atomic_fd(file), "new", 3));
    file_atomic_abort(&file);
    CHECK_NULL(file);
    file_atomic_abort(&file);
    file_atomic_abort(NULL);
    check_holds("a", "old");
}

TEST(file_atomic_commit_shows_all_pieces_at_once)
{
    struct file_atomic *file = NULL;

    CHECK_OK(file_write_atomic("a", "old", 3, 0600));
    CHECK_OK(file_atomic_open("a", 0600, &file));
    CHECK_OK(file_write_all(file_atomic_fd(file), "ne", 2));
    check_holds("a", "old");
    CHECK_OK(file_write_all(file_atomic_fd(file), "w", 1));
    CHECK_OK(file_atomic_commit(&file));
    CHECK_NULL(file);
    check_holds("a", "new");
}

TEST(file_read_whole_refuses_one_byte_too_many)
{
    char *bytes = NULL;
    size_t len = 77;

    CHECK_OK(file_write_atomic("a", "12345", 5, 0600));
    CHECK_EQ(file_read_whole("a", 4, &bytes, &len), -EFBIG);
    CHECK_NULL(bytes);
    CHECK_EQ(len, 77);
    CHECK_OK(file_read_whole("a", 5, &bytes, &len));
    CHECK_EQ(len, 5);
    free(bytes);
}

TEST(file_read_whole_reads_what_grows_its_buffer)
{
    char *big = malloc(100000);
    char *bytes = NULL;
    size_t len = 0;

    for (size_t i = 0; i < 100000; i++)
        big[i] = (char)(i * 7);
    CHECK_OK(file_write_atomic("big", big, 100000, 0600));
    CHECK_OK(file_read_whole("big", 100000, &bytes, &len));
    CHECK_EQ(len, 100000);
    CHECK_MEM(bytes, big, 100000);
    free(bytes);
    free(big);
}

TEST(file_read_whole_refuses_what_is_not_a_file)
{
    char *bytes = NULL;
    size_t len = 0;

    CHECK_EQ(file_read_whole("none", 9, &bytes, &len), -ENOENT);
    CHECK_EQ(file_read_whole(".", 9, &bytes, &len), -EISDIR);
    CHECK_OK(mkfifo("pipe", 0600));
    CHECK_EQ(file_read_whole("pipe", 9, &bytes, &len), -EINVAL);
    CHECK_EQ(file_read_whole("/dev/zero", 9, &bytes, &len), -EINVAL);
}

TEST(file_pread_all_says_where_a_file_ends)
{
    char bytes[8] = {0};
    int fd = open("p", O_RDWR | O_CREAT, 0600);

    CHECK_OK(file_pwrite_all(fd, "abcdef", 6, 2));
    CHECK_OK(file_pread_all(fd, bytes, 4, 4));
    CHECK_MEM(bytes, "cdef", 4);
    CHECK_EQ(file_pread_all(fd, bytes, 5, 4), -ENODATA);
    close(fd);
    CHECK_EQ(file_pread_all(fd, bytes, 1, 0), -EBADF);
    CHECK_EQ(file_pwrite_all(fd, bytes, 1, 0), -EBADF);
    CHECK_EQ(file_write_all(fd, bytes, 1), -EBADF);
}

TEST(dir_make_makes_what_is_missing_above)
{
    struct stat st;

    umask(022);
    CHECK_OK(dir_make("d/e//f/", 0700));
    CHECK_OK(stat("d/e/f", &st));
    CHECK_EQ(st.st_mode & 0777, 0700);
    CHECK_OK(stat("d/e", &st));
    CHECK_EQ(st.st_mode & 0777, 0755);
    CHECK_OK(dir_make("d/e/f", 0700));
    CHECK_OK(dir_make("/", 0700));
    CHECK_OK(file_write_atomic("d/file", "", 0, 0600));
    CHECK_EQ(dir_make("d/file", 0700), -ENOTDIR);
    CHECK_EQ(dir_make("d/file/g", 0700), -ENOTDIR);
    CHECK_EQ(dir_make("", 0700), -ENOENT);
}

TEST(dir_sync_refuses_what_is_no_directory)
{
    CHECK_OK(dir_sync("d"));
    CHECK_OK(dir_sync_parent("d"));
    CHECK_OK(dir_sync_parent("d/e/f/"));
    CHECK_EQ(dir_sync("d/file"), -ENOTDIR);
    CHECK_EQ(dir_sync("none"), -ENOENT);
    CHECK_EQ(dir_sync_parent("none/x"), -ENOENT);
}

TEST(dir_lock_refuses_a_second_holder_with_the_pid_of_the_first)
{
    pid_t holder = 0;
    int first = -1;
    int second = -1;

    CHECK_OK(dir_lock("d", &first, &holder));
    CHECK_EQ(holder, 0);
    CHECK_EQ(dir_lock("d", &second, &holder), -EBUSY);
    CHECK_EQ(holder, getpid());
    CHECK_EQ(second, -1);
    close(first);
    CHECK_OK(dir_lock("d", &first, &holder));
    close(first);
    CHECK_EQ(dir_lock("none", &first, &holder), -ENOENT);
}

TEST(dir_lock_goes_with_a_killed_process)
{
    pid_t holder = 0;
    int fd = -1;
    int ready[2];
    char byte;
    pid_t child;

    CHECK_OK(pipe(ready));
    child = fork();
    if (!child) {
        if (dir_lock("d", &fd, &holder) || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(dir_lock("d", &fd, &holder), -EBUSY);
    CHECK_EQ(holder, child);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    CHECK_OK(dir_lock("d", &fd, &holder));
    close(fd);
    close(ready[0]);
    close(ready[1]);
}

CHECK_MAIN
