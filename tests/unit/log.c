/* broker/base/log: lines that nobody can forge. */
#include "tests/check.h"

#include "broker/base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

static char heard[1 << 20];
static int log_file;

static void listen_at(enum log_level level)
{
    if (log_file)
        close(log_file);
    log_file = open(".", O_TMPFILE | O_RDWR, 0600);
    assert_true(log_file > 0);
    log_open(level, log_file);
}

/* All that was written, without the times. */
static const char *said(void)
{
    ssize_t n = pread(log_file, heard, sizeof(heard) - 1, 0);
    char *to = heard;
    char *from = heard;

    assert_true(n >= 0);
    heard[n] = '\0';
    while (*from) {
        size_t line = strcspn(from, "\n") + 1;
        size_t time = strncmp(from, "time=", 5) ? 0 : 30;

        memmove(to, from + time, line - time);
        to += line - time;
        from += line;
    }
    *to = '\0';
    return heard;
}

TEST(log_writes_event_level_and_values)
{
    CHECK_OK(chdir(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp"));
    listen_at(LOG_LEVEL_INFO);
    log_info("session_open", "agent=%s session=%" PRIu64, "ada", UINT64_MAX);
    CHECK_STR(said(), "level=info event=session_open agent=ada "
                      "session=18446744073709551615\n");
}

TEST(log_begins_with_the_time)
{
    listen_at(LOG_LEVEL_INFO);
    log_info("ready");
    CHECK(pread(log_file, heard, sizeof(heard), 0) > 30);
    CHECK_MEM(heard, "time=20", 7);
    CHECK_MEM(heard + 15, "T", 1);
    CHECK_MEM(heard + 28, "Z level=info event=ready\n", 25);
}

TEST(log_accepts_an_event_alone)
{
    listen_at(LOG_LEVEL_INFO);
    log_error("drained");
    CHECK_STR(said(), "level=error event=drained\n");
}

TEST(log_escapes_a_newline_in_a_value)
{
    listen_at(LOG_LEVEL_INFO);
    log_info("join", "name=%s", "eve\nlevel=info event=granted");
    CHECK_STR(said(), "level=info event=join "
                      "name=\"eve\\nlevel=info event=granted\"\n");
}

TEST(log_quotes_a_value_that_looks_like_another_key)
{
    listen_at(LOG_LEVEL_INFO);
    log_info("join", "name=%s empty=%s none=%s", "eve role=admin", "",
             getenv("CHOIR_NO_SUCH_NAME"));
    CHECK_STR(said(), "level=info event=join name=\"eve role=admin\" "
                      "empty=\"\" none=-\n");
}

TEST(log_quotes_a_lone_backslash_quote_and_equals_sign)
{
    listen_at(LOG_LEVEL_INFO);
    log_info("e", "a=%s b=%s c=%s", "\\n", "\"", "x=y");
    CHECK_STR(said(), "level=info event=e a=\"\\\\n\" b=\"\\\"\" c=\"x=y\"\n");
}

TEST(log_lets_no_control_byte_through)
{
    char every[256];

    listen_at(LOG_LEVEL_INFO);
    for (int i = 0; i < 255; i++)
        every[i] = (char)(i + 1);
    every[255] = '\0';
    for (int i = 0; i < 255; i += 50)
        log_info("e", "v=%.*s", 50, every + i);
    said();
    for (const char *c = heard; *c; c++)
        CHECK(*c == '\n' || (*c >= ' ' && *c < 0x7f));
    CHECK(strstr(heard, "\\x01\\x02"));
    CHECK(strstr(heard, "\\x1b"));
    CHECK(strstr(heard, "\\xc2"));
}

TEST(log_cuts_a_long_value_and_says_so)
{
    char name[4000];

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    listen_at(LOG_LEVEL_INFO);
    log_info("e", "name=%s next=%d", name, 7);
    CHECK(strlen(said()) < 700);
    CHECK(strstr(heard, "aaa...\" next=7\n"));
}

TEST(log_cuts_a_long_line_and_says_so)
{
    char name[600];

    memset(name, 'a', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    listen_at(LOG_LEVEL_INFO);
    log_info("e", "a=%s b=%s c=%s d=%s e=%s f=%d", name, name, name, name, name,
             7);
    log_info("next");
    said();
    CHECK(strstr(heard, " truncated=1\nlevel=info event=next\n"));
    CHECK_NULL(strstr(heard, "f=7"));
}

TEST(log_prints_integers_as_printf_does)
{
    listen_at(LOG_LEVEL_INFO);
    log_info("e", "%d %i %u %x %ld %lld %zu %zd %hhd %hhu %c %jd %%", -1,
             INT32_MIN, UINT32_MAX, 0xabcu, -5L, (long long)INT64_MIN,
             (size_t)9, (ssize_t)-9, -1, 255, 'x', (intmax_t)-3);
    CHECK_STR(said(), "level=info event=e -1 -2147483648 4294967295 abc -5 "
                      "-9223372036854775808 9 -9 -1 255 x -3 %\n");
}

TEST(log_reads_no_more_of_a_sized_value_than_its_size)
{
    char bytes[3] = {'a', 'b', 'c'}; /* no NUL */

    listen_at(LOG_LEVEL_INFO);
    log_info("e", "v=%.*s w=%.*s", 3, bytes, 0, bytes);
    CHECK_STR(said(), "level=info event=e v=abc w=\"\"\n");
}

TEST(log_keeps_quiet_below_its_level)
{
    listen_at(LOG_LEVEL_WARN);
    log_info("no");
    log_debug("no");
    log_warn("yes");
    CHECK_STR(said(), "level=warn event=yes\n");
    CHECK(log_shows(LOG_LEVEL_ERROR));
    CHECK_NOT(log_shows(LOG_LEVEL_INFO));
    log_set_level(LOG_LEVEL_DEBUG);
    log_debug("yes");
    CHECK(strstr(said(), "level=debug event=yes\n"));
}

TEST(log_keeps_errno)
{
    listen_at(LOG_LEVEL_INFO);
    errno = EAGAIN;
    log_info("e");
    CHECK_EQ(errno, EAGAIN);
    log_open(LOG_LEVEL_INFO, -1);
    log_info("e");
    CHECK_EQ(errno, EAGAIN);
}

TEST(log_gives_priorities_and_no_time_to_journald)
{
    struct stat st;
    char stream[64];

    listen_at(LOG_LEVEL_DEBUG);
    CHECK_OK(fstat(log_file, &st));
    sprintf(stream, "%llu:%llu", (unsigned long long)st.st_dev,
            (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_open(LOG_LEVEL_DEBUG, log_file);
    log_error("a");
    log_warn("b");
    log_info("c");
    log_debug("d");
    unsetenv("JOURNAL_STREAM");
    CHECK_STR(said(), "<3>level=error event=a\n<4>level=warn event=b\n"
                      "<6>level=info event=c\n<7>level=debug event=d\n");
}

TEST(log_under_journald_but_redirected_keeps_the_time)
{
    setenv("JOURNAL_STREAM", "1:2", 1);
    listen_at(LOG_LEVEL_INFO);
    unsetenv("JOURNAL_STREAM");
    log_info("e");
    CHECK(pread(log_file, heard, sizeof(heard), 0) > 0);
    CHECK_MEM(heard, "time=", 5);
}

TEST(log_limit_passes_a_burst_then_one_a_second)
{
    struct log_limit limit = {0};
    uint64_t now = UINT64_C(5000000);
    uint32_t suppressed;

    for (int i = 0; i < LOG_BURST; i++)
        CHECK(log_limit_passes(&limit, now, &suppressed));
    for (int i = 0; i < 41; i++)
        CHECK_NOT(log_limit_passes(&limit, now + 999999, &suppressed));
    CHECK(log_limit_passes(&limit, now + 1000000, &suppressed));
    CHECK_EQ(suppressed, 41);
    CHECK_NOT(log_limit_passes(&limit, now + 1000000, &suppressed));
    now += UINT64_C(3600000000);
    for (int i = 0; i < LOG_BURST; i++) {
        CHECK(log_limit_passes(&limit, now, &suppressed));
        CHECK_EQ(suppressed, i == 0 ? 1 : 0);
    }
    CHECK_NOT(log_limit_passes(&limit, now, &suppressed));
}

TEST(log_warn_limited_writes_a_burst_only)
{
    int lines = 0;

    listen_at(LOG_LEVEL_INFO);
    for (int i = 0; i < 1000; i++)
        log_warn_limited("refused", "n=%d", i);
    for (const char *c = said(); *c; c++)
        lines += *c == '\n';
    CHECK(lines >= LOG_BURST && lines <= LOG_BURST + 2);
}

TEST(log_quote_never_leaves_its_room)
{
    char out[64];
    char in[100];

    memset(in, '\x01', sizeof(in));
    for (size_t room = 16; room <= sizeof(out); room++)
        for (size_t len = 0; len <= sizeof(in); len++) {
            memset(out, 'Z', sizeof(out));
            CHECK(strlen(log_quote(out, room, in, len)) < room);
            CHECK(out[0] == '"' && out[strlen(out) - 1] == '"');
            CHECK(room == sizeof(out) || out[room] == 'Z');
        }
    CHECK_STR(log_quote(out, 16, "plain", 5), "plain");
    CHECK_STR(log_quote(out, 16, "a-word-too-long-for-it", 22),
              "\"a-word-too...\"");
}

static void *shout(void *arg)
{
    for (int i = 0; i < 500; i++)
        log_info("shout", "who=%s end=1", (const char *)arg);
    return NULL;
}

TEST(log_lines_of_two_threads_do_not_mix)
{
    pthread_t thread;
    int lines = 0;

    listen_at(LOG_LEVEL_INFO);
    CHECK_OK(pthread_create(&thread, NULL, shout, "one"));
    shout("two");
    pthread_join(thread, NULL);
    said();
    for (char *line = strtok(heard, "\n"); line; line = strtok(NULL, "\n")) {
        CHECK(!strcmp(line, "level=info event=shout who=one end=1") ||
              !strcmp(line, "level=info event=shout who=two end=1"));
        lines++;
    }
    CHECK_EQ(lines, 1000);
}

CHECK_MAIN
