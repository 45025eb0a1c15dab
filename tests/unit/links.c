/* Links are found again, whether they are in memory, in a run or in one that is
 * being written; what a crash or damage leaves of the files is used as far as
 * it can be trusted. */
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/ledger/links.h"
#include "tests/support/records.h"

enum { MANY = 8000, SHARED = 7, KIND = 3 };

static char dir[200];
static uint64_t record; /* which one it is: other leaves */

static void begin(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/links-test-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    record = 1;
}

static size_t files(char last[300], bool removed)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n = 0;

    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(last, 300, "%s/%.90s", dir, e->d_name);
        if (removed)
            unlink(last);
        n++;
    }
    closedir(d);
    return n;
}

static void end(void)
{
    char last[300];

    files(last, true);
    CHECK_OK(rmdir(dir));
}

static int leaf(void *arg, uint64_t index, struct hash *out)
{
    uint64_t what[2] = {record, index};

    (void)arg;
    *out = tree_leaf(bytes_of(what, sizeof what));
    return 0;
}

/* What the options point to may go. */
static struct links *opened(uint64_t size)
{
    char *lent = strdup(dir);
    struct links_options o = {
        .dir = lent, .size = size, .leaf = leaf, .tail = 500};
    struct links *l;

    CHECK_OK(links_open(&l, &o));
    memset(lent, '?', strlen(lent));
    free(lent);
    return l;
}

/* Entry i rests on i/2 and on SHARED; agent 5 said it if i % 100 is not 0. */
static void grow(struct links *l, uint64_t to)
{
    for (uint64_t i = links_size(l); i < to; i = links_size(l)) {
        while (links_full(l)) /* a thread is writing */
            CHECK_OK(links_tend(l, i, false));
        CHECK(links_entry(l, i));
        if (i > SHARED)
            links_add(l, i / 2, KIND, i + 1);
        if (i > SHARED)
            links_add(l, SHARED, KIND + 1, 0);
        if (i % 100)
            links_author(l, 5, KIND + 2);
        CHECK_OK(links_tend(l, i > 50 ? i - 50 : 0, false));
    }
}

static void look(struct links *l, uint64_t to, uint64_t size)
{
    struct link found[8];
    bool more;
    int n = links_find(l, to, 0, found, 8, &more), wanted = 0;

    CHECK_NOT(more);

    for (uint64_t from = 2 * to; from < 2 * to + 2; from++) {
        if (from <= SHARED || from >= size)
            continue;
        CHECK(wanted < n);
        CHECK_EQ(found[wanted].from, from);
        CHECK_EQ(found[wanted].kind, KIND);
        CHECK_EQ(found[wanted].value, from + 1);
        wanted++;
    }
    CHECK_EQ(n, wanted);
}

static void look_all(struct links *l, uint64_t size)
{
    struct link found[900];
    uint64_t after = 0, all = 0, twice = 0;
    bool more = true;
    int n;

    for (uint64_t to = SHARED + 1; to < size; to += 1 + to / 50)
        look(l, to, size);
    while (more) { /* entries 14 and 15 rest on it twice */
        n = links_find(l, SHARED, after, found, 90 + (int)(all % 7), &more);
        CHECK(n > 0);
        CHECK(found[0].from > after);
        for (int i = 0; i < n; i++) {
            CHECK(found[i].from >= after);
            after = found[i].from;
            all += found[i].kind == KIND + 1;
            twice += found[i].kind == KIND;
        }
    }
    CHECK_EQ(twice, size < 2 * SHARED ? 0 : 2);
    CHECK_EQ(all, size - SHARED - 1);
    n = links_find(l, links_agent(5), 0, found, 900, &more);
    CHECK_NOT(more);
    for (int i = (int)(all = 0); i < n; i++)
        all += found[i].value;
    CHECK_EQ(all, size - (size + 99) / 100);
}

TEST(links_are_found_wherever_they_are)
{
    struct links *l;

    begin();
    l = opened(MANY);
    for (uint64_t size = 100; size <= MANY; size *= 3) {
        grow(l, size);
        look_all(l, size);
    }
    grow(l, MANY);
    look_all(l, MANY);
    CHECK(links_runs(l) > 0 && links_runs(l) < 12);
    links_close(&l);
    end();
}

TEST(links_are_found_while_a_thread_writes_them)
{
    struct links *l;

    begin();
    l = opened(MANY);
    links_beside(l);
    for (uint64_t size = 300; size < 6000; size += 300) {
        grow(l, size);
        look_all(l, size);
    }
    links_close(&l);
    end();
}

TEST(links_of_runs_outlive_a_crash_and_the_others_are_to_be_read_back)
{
    struct links *l;
    uint64_t kept;

    begin();
    l = opened(0);
    grow(l, 5000);
    links_close(&l); /* nothing more is written */
    l = opened(5000);
    kept = links_size(l);
    CHECK(kept > 3500 && kept < 5000);
    CHECK(!links_entry(l, kept + 1)); /* not without those before it */
    grow(l, 6000);
    look_all(l, 6000);
    CHECK_OK(links_tend(l, 6000, true));
    links_close(&l);
    l = opened(6000);
    CHECK_EQ(links_size(l), 6000);
    look_all(l, 6000);
    links_close(&l);
    end();
}

TEST(links_of_another_record_or_beyond_its_end_are_removed)
{
    char last[300];
    struct links *l;

    begin();
    l = opened(0);
    grow(l, 3000);
    CHECK_OK(links_tend(l, 3000, true));
    links_close(&l);
    l = opened(2999);
    CHECK(links_size(l) < 2999);
    grow(l, 3000);
    CHECK_OK(links_tend(l, 3000, true));
    links_close(&l);
    record = 2;
    l = opened(3000);
    CHECK_EQ(links_size(l), 0);
    CHECK_EQ(files(last, false), 0);
    links_close(&l);
    end();
}

TEST(links_of_a_damaged_file_are_refused_wherever_it_is_damaged)
{
    char path[300], byte;
    struct links *l;
    off_t bytes;
    unsigned found = 0;

    begin();
    l = opened(0);
    grow(l, 400);
    CHECK_OK(links_tend(l, 400, true));
    links_close(&l);
    CHECK_EQ(files(path, false), 1);
    for (off_t at = 0;; at += 397) {
        struct link out[500];
        int fd = open(path, O_RDWR), r = 0;
        bool more;

        bytes = lseek(fd, 0, SEEK_END);
        if (at >= bytes)
            break;
        CHECK_EQ(pread(fd, &byte, 1, at), 1);
        byte ^= 4;
        CHECK_EQ(pwrite(fd, &byte, 1, at), 1);
        l = opened(400);
        if (links_size(l) == 0)
            found++; /* at once, and it is removed */
        for (uint64_t to = 0; links_size(l) && !r && to < 400; to++) {
            int n = links_find(l, to, 0, out, 500, &more);

            r = n < 0 ? n : 0;
        }
        if (links_size(l)) {
            int n = r ? r : links_find(l, links_agent(5), 0, out, 500, &more);

            CHECK_EQ(n, -EUCLEAN);
            CHECK_OK(links_reset(l));
            CHECK_EQ(links_size(l), 0);
            found++;
        }
        grow(l, 400);
        look_all(l, 400);
        CHECK_OK(links_tend(l, 400, true));
        links_close(&l);
        close(fd);
    }
    CHECK(found > 50);
    end();
}

TEST(links_that_cannot_be_written_are_to_be_read_back)
{
    char last[300], away[220];
    struct links *l;

    begin();
    snprintf(away, sizeof away, "%s-away", dir);
    l = opened(0);
    grow(l, 100);
    CHECK_OK(rename(dir, away));
    CHECK(links_tend(l, 100, true) < 0);
    CHECK_EQ(links_size(l), 0);
    CHECK_OK(rename(away, dir));
    grow(l, 100);
    CHECK_OK(links_tend(l, 100, true));
    CHECK_EQ(files(last, false), 1);
    links_close(&l);
    end();
}

CHECK_MAIN
