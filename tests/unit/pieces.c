/* broker/ledger/pieces: entries read by memory, from files that others have
 * had their hands on. */
#include "tests/check.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/ledger.h"
#include "proto/refusal.h"
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

/* Before anybody has read it, and so remembers where its entries lie. */
TEST(group_whose_heads_were_changed_on_disk_is_refused)
{
    const struct entry *e;
    struct ledger_reader *r;
    struct desk d;
    uint64_t first, at;
    uint8_t byte;
    int fd;

    desk_init(&d);
    first = ledger_size(d.l);
    at = ledger_bytes(d.l) + GROUP_HEADER_BYTES;
    desk_write(&d, 10);
    fd = segment_file(&d, 1);
    for (size_t i = 0; i < d.s.g.h.heads_bytes; i++) {
        CHECK_OK(file_pread_all(fd, &byte, 1, at + i));
        byte ^= 1;
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at + i));
        CHECK_EQ(ledger_entry(d.l, first, &e), -EUCLEAN);
        CHECK_OK(ledger_reader_open(d.l, first, &r));
        CHECK_EQ(ledger_reader_next(r, &e), -EUCLEAN);
        ledger_reader_close(&r);
        byte ^= 1;
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at + i));
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

/* --- Read ahead ----------------------------------------------------------- */

static void check_body(struct desk *d, uint64_t index)
{
    const struct entry *e;
    struct buf was = {0};

    CHECK_OK(ledger_entry(d->l, index, &e));
    buf_put(&was, e->head.p, e->head.n);
    buf_put(&was, e->effect.p, e->effect.n);
    buf_put(&was, e->payload.p, e->payload.n);
    if (ledger_body(d->l, index, &e))
        fail_msg("%s", ledger_trouble(d->l));
    CHECK_EQ(e->index, index);
    CHECK_EQ(e->head.n + e->effect.n + e->payload.n, was.n);
    CHECK_MEM(e->head.p, was.p, e->head.n);
    CHECK_MEM(e->payload.p, was.p + e->head.n + e->effect.n, e->payload.n);
    CHECK_OK(entry_slots_check(e));
    buf_free(&was);
}

TEST(entries_read_ahead_are_what_they_are)
{
    uint64_t indices[LEDGER_AHEAD_MAX], size;
    const struct entry *e;
    struct desk d;

    desk_init(&d);
    for (int i = 0; i < 60; i++)
        desk_write(&d, 100 + 40 * (size_t)i);
    size = ledger_size(d.l);
    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t i = 0; i < LEDGER_AHEAD_MAX; i++)
            indices[i] = (round * 31 + i * i) % (size + 3);
        ledger_ahead(d.l, indices, LEDGER_AHEAD_MAX);
        for (uint64_t i = 0; i < LEDGER_AHEAD_MAX; i++) {
            uint64_t at = indices[round % 2 ? i : LEDGER_AHEAD_MAX - 1 - i];

            if (at < size)
                check_body(&d, at);
            else
                CHECK_EQ(ledger_body(d.l, at, &e), CHOIR_NOT_FOUND);
        }
        check_body(&d, round * 3);
    }
    desk_free(&d);
}

/* 64 of a megabyte are not held at once. */
TEST(entries_too_large_to_be_read_ahead_are_read)
{
    uint64_t indices[4];
    struct desk d;

    desk_init(&d);
    for (int i = 0; i < 2; i++)
        desk_write(&d, 200000);
    for (uint64_t i = 0; i < 4; i++)
        indices[i] = ledger_size(d.l) - 4 + i;
    ledger_ahead(d.l, indices, 4);
    for (uint64_t i = 0; i < 4; i++)
        check_body(&d, indices[i]);
    desk_free(&d);
}

/* The last one is; nobody else suffers for it. */
TEST(damage_among_entries_read_ahead_is_refused)
{
    uint64_t indices[12], last;
    const struct entry *e;
    struct desk d;
    uint8_t byte;
    int fd;

    desk_init(&d);
    for (int i = 0; i < 6; i++)
        desk_write(&d, 300);
    last = ledger_size(d.l) - 1;
    check_all(&d);
    fd = segment_file(&d, 1);
    for (uint64_t at = SEGMENT - 1;; at--) {
        if (file_pread_all(fd, &byte, 1, at) || !byte)
            continue;
        byte ^= 1;
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
        break;
    }
    close(fd);
    for (uint64_t i = 0; i < 12; i++)
        indices[i] = last - i;
    ledger_ahead(d.l, indices, 12);
    CHECK_EQ(ledger_body(d.l, last, &e), -EUCLEAN);
    for (uint64_t i = 1; i < 12; i++)
        CHECK_OK(ledger_body(d.l, last - i, &e));
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
