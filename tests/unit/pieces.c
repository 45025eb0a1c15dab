/* broker/ledger/pieces: entries read by memory, from files that others have
 * had their hands on. */
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/ledger.h"
#include "tests/support/scribe.h"

enum { SEGMENT = 1 << 14, SEGMENTS_MANY = 20, MAPPED_MAX = 4, VALUE = 4000 };

struct desk {
    char dir[200];
    struct env *env;
    struct scribe s;
    struct ledger *l;
};

static void desk_init(struct desk *d)
{
    struct ledger_options o = {.dir = d->dir,
                               .segment_bytes = SEGMENT,
                               .reserve_bytes = 256,
                               .mapped_max = MAPPED_MAX};
    const char *tmp = getenv("TMPDIR");
    struct ledger_head head;

    *d = (struct desk){.env = env_sim_new(1)};
    o.env = d->env;
    snprintf(d->dir, sizeof d->dir, "%s/pieces-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(d->dir));
    scribe_init(&d->s);
    scribe_genesis(&d->s);
    CHECK_OK(ledger_create(&o, &d->s.ledger, &d->s.g));
    CHECK_OK(ledger_open(&d->l, &o, &head));
}

static void desk_free(struct desk *d)
{
    char command[300];

    ledger_close(&d->l);
    scribe_free(&d->s);
    env_destroy(&d->env);
    snprintf(command, sizeof command, "rm -rf '%s'", d->dir);
    CHECK_EQ(system(command), 0);
}

/* A group of two puts. */
static void desk_write(struct desk *d, size_t bytes)
{
    scribe_group(&d->s, 2, bytes);
    CHECK_OK(ledger_room(d->l, 2 * bytes + 2048));
    CHECK_OK(ledger_append(d->l, &d->s.g));
}

static int segment_file(const struct desk *d, unsigned number)
{
    char path[300];
    int fd;

    snprintf(path, sizeof path, "%s/segment-%010u", d->dir, number);
    fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    return fd;
}

static void check_all(struct desk *d)
{
    const struct entry *e;

    for (uint64_t i = 0; i < ledger_size(d->l); i++) {
        if (ledger_entry(d->l, i, &e))
            fail_msg("%s", ledger_trouble(d->l));
        CHECK_EQ(e->index, i);
    }
}

TEST(entries_are_read_while_the_last_segment_grows)
{
    struct desk d;

    desk_init(&d);
    for (int i = 0; i < 60; i++) {
        desk_write(&d, VALUE / 4);
        check_all(&d);
    }
    CHECK(ledger_segments(d.l) > 3);
    desk_free(&d);
}

/* Mapped or not, each read is checked. */
TEST(entry_whose_value_was_changed_on_disk_is_refused)
{
    const struct entry *e;
    uint64_t last;
    struct desk d;
    uint8_t byte;
    int fd;

    desk_init(&d);
    desk_write(&d, VALUE);
    last = ledger_size(d.l) - 1;
    check_all(&d);
    fd = segment_file(&d, 1);
    for (uint64_t at = SEGMENT - 1;; at--) { /* of the last value */
        if (file_pread_all(fd, &byte, 1, at))
            continue;
        if (!byte)
            continue;
        byte ^= 1;
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
        CHECK_EQ(ledger_entry(d.l, last, &e), -EUCLEAN);
        CHECK_EQ(ledger_body(d.l, last, &e), -EUCLEAN);
        byte ^= 1;
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
        break;
    }
    check_all(&d);
    close(fd);
    desk_free(&d);
}

/* What a mapping answers with SIGBUS. */
TEST(entry_whose_file_was_cut_is_an_error)
{
    const struct entry *e;
    struct desk d;
    uint64_t n;
    int fd;

    desk_init(&d);
    while (ledger_segments(d.l) < 3)
        desk_write(&d, VALUE);
    check_all(&d);
    n = ledger_segment_first(d.l, 2);
    fd = segment_file(&d, 1);
    CHECK_EQ(ftruncate(fd, 160), 0);
    close(fd);
    CHECK_EQ(ledger_entry(d.l, n - 1, &e), -EUCLEAN); /* zeros, in that page */
    CHECK_EQ(ledger_body(d.l, n - 1, &e), -ENODATA);
    CHECK(strstr(ledger_trouble(d.l), "cannot be read"));
    for (uint64_t i = n; i < ledger_size(d.l); i++)
        CHECK_OK(ledger_entry(d.l, i, &e));
    desk_free(&d);
}

TEST(entries_of_more_segments_than_are_mapped_are_read)
{
    struct desk d;

    desk_init(&d);
    while (ledger_segments(d.l) < SEGMENTS_MANY)
        desk_write(&d, VALUE);
    check_all(&d);
    check_all(&d);
    desk_free(&d);
}

CHECK_MAIN
