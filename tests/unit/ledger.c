/* test-timeout: 120 */
#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/ledger.h"
#include "proto/refusal.h"
#include "proto/slots.h"
#include "tests/support/scribe.h"

enum { SEGMENT = 1 << 14 };

static ino_t watched;       /* a file, */
static unsigned synced_now; /* and how often it was synced */

int fdatasync(int fd)
{
    struct stat st;

    if (watched && !fstat(fd, &st) && st.st_ino == watched)
        synced_now++;
    return fsync(fd);
}

/* A directory, a scribe and a ledger in it; small segments. */
struct desk {
    char dir[200];
    struct env *env;
    struct scribe s;
    struct ledger *l;
    struct ledger_head head;
    struct ledger_options o;
};

static void sh(const char *format, const char *a, const char *b)
{
    char command[700];

    snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0)
        fail_msg("%s", command);
}

static void desk_at(struct desk *d, const char *dir)
{
    *d = (struct desk){0};
    snprintf(d->dir, sizeof d->dir, "%s", dir);
    d->env = env_sim_new(1);
    d->o = (struct ledger_options){
        .dir = d->dir,
        .env = d->env,
        .segment_bytes = SEGMENT,
        .reserve_bytes = 256,
    };
    scribe_init(&d->s);
}

static void desk_open(struct desk *d)
{
    int r = ledger_open(&d->l, &d->o, &d->head);

    if (r)
        fail_msg("open: %d %s", r, d->head.trouble);
}

static void desk_init(struct desk *d)
{
    char dir[200];
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/ledger-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    desk_at(d, dir);
    scribe_genesis(&d->s);
    CHECK_OK(ledger_create(&d->o, &d->s.ledger, &d->s.g));
    desk_open(d);
}

static void desk_free(struct desk *d)
{
    ledger_close(&d->l);
    scribe_free(&d->s);
    env_destroy(&d->env);
    sh("rm -rf '%s'", d->dir, "");
}

/* One group of n puts, appended and, if asked, synced. */
static void desk_write(struct desk *d, uint32_t n, size_t bytes, bool sync)
{
    scribe_group(&d->s, n, bytes);
    CHECK_OK(ledger_room(d->l, 4096));
    CHECK_OK(ledger_append(d->l, &d->s.g));
    if (sync)
        CHECK_OK(ledger_sync(d->l));
}

static void path_of(char out[500], const struct desk *d, const char *name)
{
    snprintf(out, 500, "%s/%s", d->dir, name);
}

static void last_segment(char out[500], const struct desk *d)
{
    char name[40];

    snprintf(name, sizeof name, "segment-%010u",
             (unsigned)ledger_segments(d->l));
    path_of(out, d, name);
}

static char *slurp(const char *path, size_t *n)
{
    char *bytes;

    CHECK_OK(file_read_whole(path, 1 << 26, &bytes, n));
    return bytes;
}

static void spit(const char *path, const void *bytes, size_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    CHECK(fd >= 0);
    CHECK_OK(file_write_all(fd, bytes, n));
    close(fd);
}

/* Every entry is there, in order, by reader and by index. */
static void check_readable(struct desk *d, uint64_t size)
{
    struct ledger_reader *r;
    const struct entry *e;

    CHECK_EQ(ledger_size(d->l), size);
    CHECK_OK(ledger_reader_open(d->l, 0, &r));
    for (uint64_t i = 0; i < size; i++) {
        struct hash leaf;

        CHECK_OK(ledger_reader_next(r, &e));
        CHECK_EQ(e->index, i);
        leaf = entry_leaf(e);
        if (ledger_entry(d->l, i, &e))
            fail_msg("%s", ledger_trouble(d->l));
        CHECK_EQ(e->index, i);
        CHECK_MEM(entry_leaf(e).b, leaf.b, HASH_BYTES);
        CHECK_OK(slots_check(e->rows, e->payload));
    }
    CHECK_EQ(ledger_reader_next(r, &e), CHOIR_NOT_FOUND);
    CHECK_EQ(ledger_entry(d->l, size, &e), CHOIR_NOT_FOUND);
    ledger_reader_close(&r);
}

/* More groups than are remembered: those asked for again stay, all of them are
 * found. */
TEST(entries_of_more_groups_than_are_remembered_are_found)
{
    const struct entry *e;
    uint64_t size, at;
    struct desk d;

    desk_init(&d);
    ledger_close(&d.l);
    d.o.maps_max = 8;
    desk_open(&d);
    for (int i = 0; i < 100; i++)
        desk_write(&d, 1 + i % 3, 0, i % 50 == 49);
    size = ledger_size(d.l);
    for (uint64_t i = 0; i < 10 * size; i++) {
        at = i % 3 ? i * 7919 % size : i % 16;
        CHECK_OK(ledger_entry(d.l, at, &e));
        CHECK_EQ(e->index, at);
    }
    desk_free(&d);
}

TEST(ledger_gives_back_what_was_appended)
{
    struct desk d;
    struct ledger_reader *r;
    const struct entry *e;

    desk_init(&d);
    CHECK_EQ(d.head.size, 3);
    CHECK_NOT(d.head.was_sealed);
    CHECK_OK(ledger_reader_open(d.l, 3, &r));
    CHECK_EQ(ledger_reader_next(r, &e), CHOIR_NOT_FOUND);
    for (int i = 0; i < 80; i++)
        desk_write(&d, 1 + i % 5, i * 13, i % 3 == 0);
    CHECK_OK(ledger_reader_next(r, &e)); /* a reader at the end goes on */
    CHECK_EQ(e->index, 3);
    ledger_reader_close(&r);
    CHECK(ledger_segments(d.l) > 4);
    check_readable(&d, d.s.tree.size);
    CHECK_OK(ledger_sync(d.l));
    CHECK_EQ(ledger_durable(d.l), d.s.tree.size);
    for (int i = 0; i < 3; i++) {
        CHECK_OK(i == 1 ? ledger_seal(d.l) : 0);
        ledger_close(&d.l);
        d.o.check_bytes = i == 2 ? 1 : 0;
        desk_open(&d);
        CHECK_EQ(d.head.was_sealed, i > 0);
        CHECK_EQ(d.head.size, d.s.tree.size);
        CHECK_NOT(d.head.cut);
        check_readable(&d, d.s.tree.size);
    }
    desk_write(&d, 2, 10, true);
    ledger_close(&d.l);
    desk_open(&d);
    CHECK_NOT(d.head.was_sealed);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

TEST(ledger_is_not_durable_by_a_sync_that_is_only_prepared)
{
    struct desk d;
    uint64_t durable;

    desk_init(&d);
    durable = ledger_durable(d.l);
    CHECK_OK(ledger_sync_ahead(d.l)); /* of nothing */
    for (int i = 0; i < 20; i++) {    /* of one segment, and of several */
        desk_write(&d, 2, 100, false);
        durable = ledger_durable(d.l);
        CHECK(durable < d.s.tree.size);
        CHECK_OK(ledger_sync_ahead(d.l));
        CHECK_EQ(ledger_durable(d.l), durable);
    }
    CHECK(ledger_segments(d.l) > 1);
    CHECK_OK(ledger_sync(d.l));
    CHECK_EQ(ledger_durable(d.l), d.s.tree.size);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

TEST(ledger_reads_from_any_index_on)
{
    struct desk d;
    struct ledger_reader *r;
    const struct entry *e;

    desk_init(&d);
    for (int i = 0; i < 30; i++)
        desk_write(&d, 3, 50, false);
    CHECK_OK(ledger_reader_open(d.l, 0, &r));
    for (uint64_t i = d.s.tree.size; i-- > 0;) {
        CHECK_OK(ledger_reader_seek(r, i));
        CHECK_EQ(ledger_reader_index(r), i);
        CHECK_OK(ledger_reader_next(r, &e));
        CHECK_EQ(e->index, i);
    }
    CHECK_EQ(ledger_reader_seek(r, d.s.tree.size + 1), CHOIR_NOT_FOUND);
    ledger_reader_close(&r);
    desk_free(&d);
}

TEST(ledger_makes_a_larger_segment_for_a_larger_group)
{
    struct desk d;

    desk_init(&d);
    scribe_group(&d.s, 3, 20000);
    CHECK_OK(ledger_room(d.l, 80000));
    CHECK_OK(ledger_append(d.l, &d.s.g));
    desk_write(&d, 1, 10, true);
    ledger_close(&d.l);
    desk_open(&d);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

TEST(ledger_writes_zeros_ahead_when_asked)
{
    struct desk d;

    desk_init(&d);
    ledger_close(&d.l);
    d.o.preallocate = true;
    d.o.segment_bytes = 1 << 20;
    desk_open(&d);
    for (int i = 0; i < 30; i++)
        desk_write(&d, 10, 9000, true);
    CHECK(ledger_segments(d.l) > 2);
    check_readable(&d, d.s.tree.size);
    CHECK_OK(ledger_seal(d.l));
    ledger_close(&d.l);
    desk_open(&d);
    CHECK(d.head.was_sealed);
    desk_free(&d);
}

/* A segment's length, if there is no place in it that was never written to. */
static uint64_t written_through(const struct desk *d, unsigned number)
{
    char name[40], path[500];
    off_t length, hole;
    int fd;

    snprintf(name, sizeof name, "segment-%010u", number);
    path_of(path, d, name);
    fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    length = lseek(fd, 0, SEEK_END);
    hole = lseek(fd, 0, SEEK_HOLE);
    close(fd);
    CHECK_EQ(hole, length);
    return (uint64_t)length;
}

TEST(ledger_young_has_small_segments_all_of_zeros_before_they_are_used)
{
    static const uint64_t lengths[] = {1 << 20, 4 << 20, 9 << 20, 9 << 20};
    struct desk d;

    desk_init(&d);
    ledger_close(&d.l);
    d.o.preallocate = true;
    d.o.segment_bytes = 9 << 20;
    desk_open(&d);
    for (unsigned number = 1; number <= 4; number++) {
        CHECK_OK(ledger_room(d.l, 4096));
        CHECK_EQ(written_through(&d, number), lengths[number - 1]);
        while (ledger_segments(d.l) == number) {
            scribe_group(&d.s, 10, 9000);
            CHECK_OK(ledger_room(d.l, 100000));
            CHECK_OK(ledger_append(d.l, &d.s.g));
        }
    }
    desk_free(&d);
}

/* How much of the second segment was written to. */
static uint64_t zeros_in_second(const struct desk *d)
{
    char path[500];
    off_t hole;
    int fd;

    path_of(path, d, "segment-0000000002");
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    hole = lseek(fd, 0, SEEK_HOLE);
    close(fd);
    return (uint64_t)hole;
}

/* Fill the first segment, of 1 MiB, up to there. */
static void fill_to(struct desk *d, uint64_t eighths)
{
    while (ledger_bytes(d->l) < eighths << 17) {
        scribe_group(&d->s, 1, 9000);
        CHECK_OK(ledger_room(d->l, 10000));
        CHECK_OK(ledger_append(d->l, &d->s.g));
    }
}

static void desk_young(struct desk *d)
{
    desk_init(d);
    ledger_close(&d->l);
    d->o.preallocate = true;
    d->o.segment_bytes = 9 << 20;
    d->o.reserve_bytes = 1;
    desk_open(d);
}

TEST(ledger_spreads_zeros_while_a_segment_is_filled)
{
    struct desk d;

    desk_young(&d);
    fill_to(&d, 4);
    CHECK(zeros_in_second(&d) < 1 << 20);
    fill_to(&d, 5);
    CHECK(zeros_in_second(&d) >= 1 << 20);
    CHECK(zeros_in_second(&d) < 2 << 20);
    fill_to(&d, 6);
    CHECK(zeros_in_second(&d) >= 2 << 20);
    CHECK(zeros_in_second(&d) < 3 << 20);
    fill_to(&d, 7);
    CHECK_OK(ledger_room(d.l, 10000));
    CHECK_EQ(written_through(&d, 2), 4 << 20);
    desk_free(&d);
}

TEST(ledger_writes_zeros_beside_when_the_disk_has_a_moment)
{
    struct desk d;
    int fd;

    desk_young(&d);
    CHECK_OK(ledger_beside(d.l, &fd));
    fill_to(&d, 6);
    CHECK_EQ(zeros_in_second(&d), 0);
    CHECK_OK(ledger_zeros_ahead(d.l));
    ledger_close(&d.l); /* waits for it */
    CHECK_EQ(zeros_in_second(&d), 1 << 20);
    desk_open(&d);
    desk_free(&d);
}

/* Synced or not, beside or not, also where it began a segment: the next group
 * takes its place. */
static void take_back(bool beside, bool synced)
{
    struct desk d;
    int fd;

    desk_init(&d);
    if (beside)
        CHECK_OK(ledger_beside(d.l, &fd));
    for (int i = 0; i < 40; i++) {
        uint64_t size = ledger_size(d.l);
        struct scribe before = d.s;
        struct hash group = ledger_group(d.l);

        scribe_group(&d.s, 2, 100);
        CHECK_OK(ledger_room(d.l, 4096));
        CHECK_OK(ledger_append(d.l, &d.s.g));
        if (beside)
            CHECK_OK(ledger_sync_aside(d.l));
        if (synced)
            CHECK_OK(ledger_sync(d.l));
        CHECK_OK(ledger_take_back(d.l));
        CHECK_EQ(ledger_take_back(d.l), -EINVAL);
        CHECK_EQ(ledger_size(d.l), size);
        CHECK_EQ(ledger_durable(d.l), size);
        CHECK_MEM(ledger_group(d.l).b, group.b, HASH_BYTES);
        before.g = d.s.g;
        before.w = d.s.w;
        d.s = before;
        desk_write(&d, 2, 100, true);
    }
    CHECK(ledger_segments(d.l) > 1);
    check_readable(&d, d.s.tree.size);
    ledger_close(&d.l);
    desk_open(&d);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

static bool is_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, 0) == 1;
}

/* Else whoever sleeps on it would never sleep again. */
TEST(ledger_tells_of_no_sync_that_was_waited_for)
{
    struct pollfd ended = {.events = POLLIN};
    struct desk d;

    desk_init(&d);
    CHECK_OK(ledger_beside(d.l, &ended.fd));
    for (int i = 0; i < 3; i++) {
        desk_write(&d, 2, 100, false);
        CHECK_OK(ledger_sync_aside(d.l));
        CHECK_OK(ledger_sync(d.l));
        CHECK_EQ(ledger_durable(d.l), ledger_size(d.l));
        CHECK(!is_readable(ended.fd));
        desk_write(&d, 2, 100, false);
        CHECK_OK(ledger_sync_begin(d.l));
        CHECK_EQ(poll(&ended, 1, 5000), 1);
        CHECK_OK(ledger_sync_end(d.l));
        CHECK(!is_readable(ended.fd));
    }
    desk_free(&d);
}

TEST(ledger_takes_the_last_group_back)
{
    take_back(false, false);
    take_back(false, true);
    take_back(true, false);
    take_back(true, true);
}

TEST(ledger_cuts_a_last_group_that_was_not_proven)
{
    struct desk d;
    uint64_t size;

    desk_init(&d);
    desk_write(&d, 2, 100, true);
    size = ledger_size(d.l);
    desk_write(&d, 3, 100, true);
    ledger_close(&d.l); /* as a crash leaves it */
    desk_open(&d);
    CHECK_EQ(ledger_unproven(d.l), size);
    CHECK_OK(ledger_cut_unproven(d.l, &d.head));
    CHECK_EQ(ledger_size(d.l), size);
    CHECK(d.head.cut);
    CHECK_EQ(d.head.cut_at, size);
    CHECK_EQ(d.head.size, size);
    CHECK_EQ(ledger_cut_unproven(d.l, &d.head), -EINVAL);
    CHECK_OK(ledger_seal(d.l));
    ledger_close(&d.l);
    desk_open(&d);
    CHECK_EQ(ledger_unproven(d.l), size); /* nothing: it was sealed */
    desk_free(&d);
}

TEST(ledger_refuses_a_group_that_does_not_follow)
{
    struct desk d;

    desk_init(&d);
    scribe_group(&d.s, 1, 1);
    d.s.g.h.first++;
    CHECK_EQ(ledger_append(d.l, &d.s.g), -EINVAL);
    desk_free(&d);
}

TEST(ledger_is_created_once)
{
    struct desk d;

    desk_init(&d);
    CHECK_EQ(ledger_create(&d.o, &d.s.ledger, &d.s.g), -EEXIST);
    desk_free(&d);
}

TEST(ledger_refuses_an_empty_directory)
{
    struct desk d;
    struct ledger *other;

    desk_init(&d);
    ledger_close(&d.l);
    sh("rm -f '%s'/segment*", d.dir, "");
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), CHOIR_NOT_FOUND);
    CHECK(strstr(d.head.trouble, "no ledger"));
    desk_free(&d);
}

TEST(ledger_refuses_a_second_process)
{
    struct desk d;
    struct ledger *other;
    char pid[40];

    desk_init(&d);
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), -EBUSY);
    snprintf(pid, sizeof pid, "pid %ld", (long)getpid());
    CHECK(strstr(d.head.trouble, pid));
    desk_free(&d);
}

TEST(ledger_refuses_a_newer_format_by_name)
{
    struct desk d;
    struct hash sum;
    uint8_t raw[SEGMENT_HEADER_BYTES];
    char path[500];
    struct ledger *other;
    int fd;

    desk_init(&d);
    last_segment(path, &d);
    ledger_close(&d.l);
    fd = open(path, O_RDWR);
    CHECK_OK(file_pread_all(fd, raw, sizeof raw, 0));
    put_u32(raw + 8, 9);
    sum = hash_of(HASH_SUM, bytes_of(raw, 128));
    memcpy(raw + 128, sum.b, 16);
    CHECK_OK(file_pwrite_all(fd, raw, sizeof raw, 0));
    close(fd);
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), CHOIR_UNSUPPORTED);
    CHECK(strstr(d.head.trouble, "format 9"));
    desk_free(&d);
}

TEST(ledger_refuses_a_missing_segment)
{
    struct desk d;
    struct ledger *other;

    desk_init(&d);
    while (ledger_segments(d.l) < 3)
        desk_write(&d, 3, 50, true);
    ledger_close(&d.l);
    sh("rm '%s'/segment-0000000002", d.dir, "");
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), -EUCLEAN);
    CHECK(strstr(d.head.trouble, "segment 2"));
    desk_free(&d);
}

/* Without a shell, which at every length took longer than the rest. */
static void forget_cuts(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    CHECK(d);
    while ((e = readdir(d)))
        if (strncmp(e->d_name, "cut-", 4) == 0)
            CHECK_OK(unlinkat(dirfd(d), e->d_name, 0));
    closedir(d);
}

/* The last group was never known durable: whatever is left of it is cut. */
TEST(ledger_cuts_a_torn_last_group_at_every_length)
{
    struct desk d;
    char path[500];
    size_t n, from, to;
    char *whole;
    uint64_t size, bytes;

    desk_init(&d);
    desk_write(&d, 2, 20, true);
    size = ledger_size(d.l);
    from = (size_t)ledger_bytes(d.l);
    desk_write(&d, 2, 3, false);
    to = (size_t)ledger_bytes(d.l);
    CHECK_EQ(ledger_segments(d.l), 1);
    last_segment(path, &d);
    ledger_close(&d.l);
    whole = slurp(path, &n);
    for (size_t k = from; k <= to; k++) {
        char *torn = calloc(1, n);
        bool nothing = true;

        memcpy(torn, whole, k);
        for (size_t i = from; i < k; i++)
            nothing &= torn[i] == 0;
        spit(path, torn, k % 2 ? n : k); /* zeros behind it, or the end */
        free(torn);
        desk_open(&d);
        bytes = d.head.cut_bytes;
        if (d.head.size != size) { /* only padding was missing */
            CHECK_EQ(d.head.size, size + 2);
            CHECK(k > to - GROUP_ALIGN);
        } else {
            CHECK_EQ(d.head.cut, !nothing);
            CHECK(bytes <= k - from && (nothing || d.head.cut_at == size));
        }
        ledger_close(&d.l);
        if (k % 16 == 0) { /* told again until it is recorded */
            desk_open(&d);
            CHECK_EQ(d.head.cut_bytes, bytes);
            ledger_close(&d.l);
        }
        forget_cuts(d.dir);
    }
    free(whole);
    desk_free(&d);
}

TEST(ledger_keeps_what_it_cuts_and_writes_on)
{
    struct desk d;
    struct scribe before;
    char path[500], side[500];
    size_t n, k, from;
    char *whole, *kept;

    desk_init(&d);
    desk_write(&d, 2, 20, true);
    from = (size_t)ledger_bytes(d.l);
    before = d.s;
    desk_write(&d, 9, 20, false);
    last_segment(path, &d);
    ledger_close(&d.l);
    whole = slurp(path, &n);
    whole[from + 200] ^= 1;
    spit(path, whole, n);
    desk_open(&d);
    CHECK(d.head.cut);
    CHECK_EQ(d.head.cut_at, before.tree.size);
    snprintf(side, sizeof side, "%s/cut-%012u-1", d.dir,
             (unsigned)d.head.cut_at);
    kept = slurp(side, &k);
    CHECK_EQ(k, d.head.cut_bytes);
    CHECK_MEM(kept, whole + from, k);
    before.g = d.s.g; /* the buffers are shared */
    before.w = d.s.w;
    d.s = before;
    desk_write(&d, 1, 5, true);
    ledger_close(&d.l);
    desk_open(&d);
    CHECK_NOT(d.head.cut);
    check_readable(&d, d.s.tree.size);
    free(whole);
    free(kept);
    desk_free(&d);
}

/* Each byte in turn, from..to of a file. want: what open must say, where 0
 * stands for "opens, and everything up to size is there". */
static void flip_each(struct desk *d, const char *path, size_t from, size_t to,
                      int want, uint64_t size)
{
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0);
    for (size_t at = from; at < to; at++) {
        uint8_t byte, flipped;
        struct ledger *l = NULL;
        int r;

        CHECK_OK(file_pread_all(fd, &byte, 1, at));
        flipped = byte ^ (uint8_t)(1 << at % 8);
        CHECK_OK(file_pwrite_all(fd, &flipped, 1, at));
        r = ledger_open(&l, &d->o, &d->head);
        if (want ? r != want : r == 0 && d->head.size < size)
            fail_msg("byte %zu of %s: %d, size %d (%s)", at, path, r,
                     (int)d->head.size, d->head.trouble);
        if (r == -EUCLEAN && !strstr(d->head.trouble, "damage"))
            fail_msg("byte %zu of %s: %s", at, path, d->head.trouble);
        ledger_close(&l);
        CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
    }
    close(fd);
}

TEST(sealed_ledger_refuses_every_flipped_byte)
{
    struct desk d;
    DIR *dir;
    struct dirent *e;
    int files = 0;

    desk_init(&d);
    ledger_close(&d.l);
    d.o.segment_bytes = 2048;
    desk_open(&d);
    for (int i = 0; i < 4; i++)
        desk_write(&d, 1, 3 + i, true);
    CHECK(ledger_segments(d.l) >= 2);
    CHECK_OK(ledger_seal(d.l));
    ledger_close(&d.l);
    dir = opendir(d.dir);
    while ((e = readdir(dir))) {
        char path[500];
        struct stat st;

        path_of(path, &d, e->d_name);
        CHECK_OK(stat(path, &st));
        if (!S_ISREG(st.st_mode) || strcmp(e->d_name, "LOCK") == 0)
            continue;
        files++;
        flip_each(&d, path, 0, (size_t)st.st_size, -EUCLEAN, 0);
    }
    closedir(dir);
    CHECK(files >= 3);
    desk_open(&d);
    CHECK(d.head.was_sealed);
    desk_free(&d);
}

TEST(sealed_ledger_refuses_another_length)
{
    struct desk d;
    char path[500];
    struct stat st;
    struct ledger *other;

    desk_init(&d);
    desk_write(&d, 1, 3, true);
    CHECK_OK(ledger_seal(d.l));
    last_segment(path, &d);
    ledger_close(&d.l);
    CHECK_OK(stat(path, &st));
    CHECK_OK(truncate(path, st.st_size - 8));
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), -EUCLEAN);
    CHECK_OK(truncate(path, st.st_size + 8));
    CHECK_EQ(ledger_open(&other, &d.o, &d.head), -EUCLEAN);
    CHECK_OK(truncate(path, st.st_size));
    desk_open(&d);
    desk_free(&d);
}

/* What a later group says was durable is never cut, whatever is flipped. */
TEST(unsealed_ledger_never_cuts_below_synced)
{
    struct desk d;
    char path[500];
    size_t from, to;

    desk_init(&d);
    from = (size_t)ledger_bytes(d.l);
    for (int i = 0; i < 3; i++)
        desk_write(&d, 1, 10, true);
    to = (size_t)ledger_bytes(d.l);
    desk_write(&d, 1, 10, false); /* says that all before it is durable */
    last_segment(path, &d);
    ledger_close(&d.l);
    flip_each(&d, path, 0, to, -EUCLEAN, 0);
    CHECK(from > SEGMENT_HEADER_BYTES);
    desk_open(&d);
    CHECK_NOT(d.head.cut);
    CHECK_EQ(d.head.size, d.s.tree.size);
    desk_free(&d);
}

/* What is written reaches the disk in any order until it is synced: a group may
 * be torn although the next one is whole, which then must not have said that it
 * was durable. Nor may it while the sync is under way. */
TEST(unsealed_ledger_cuts_a_torn_group_before_a_whole_one)
{
    for (int beside = 0; beside < 2; beside++) {
        struct desk d;
        char path[500], *bytes;
        uint64_t size;
        size_t n, at;
        int fd;

        desk_init(&d);
        if (beside)
            CHECK_OK(ledger_beside(d.l, &fd));
        desk_write(&d, 1, 10, true);
        size = ledger_size(d.l);
        at = (size_t)ledger_bytes(d.l) + GROUP_HEADER_BYTES;
        desk_write(&d, 1, 10, false);
        if (beside)
            CHECK_OK(ledger_sync_begin(d.l));
        desk_write(&d, 1, 10, false);
        last_segment(path, &d);
        ledger_close(&d.l);
        bytes = slurp(path, &n);
        bytes[at] ^= 1;
        spit(path, bytes, n);
        free(bytes);
        desk_open(&d);
        CHECK(d.head.cut);
        CHECK_EQ(d.head.size, size);
        desk_free(&d);
    }
}

/* Or what lies in the old one would count as durable by a sync of the new one,
 * which is another file. */
TEST(ledger_begins_no_segment_before_the_last_one_is_durable)
{
    struct desk d;
    char path[500];
    struct stat st;
    uint64_t size;

    desk_init(&d);
    last_segment(path, &d);
    CHECK_OK(stat(path, &st));
    watched = st.st_ino;
    do {
        size = ledger_size(d.l);
        synced_now = 0;
        desk_write(&d, 1, 1000, false);
    } while (ledger_segments(d.l) < 2);
    watched = 0;
    CHECK(synced_now > 0);
    CHECK_EQ(ledger_durable(d.l), size);
    desk_free(&d);
}

TEST(unsealed_ledger_never_cuts_an_earlier_segment)
{
    struct desk d;
    char path[500];
    struct stat st;

    desk_init(&d);
    ledger_close(&d.l);
    d.o.segment_bytes = 1024;
    desk_open(&d);
    while (ledger_segments(d.l) < 2)
        desk_write(&d, 1, 10, false);
    path_of(path, &d, "segment-0000000001");
    ledger_close(&d.l);
    CHECK_OK(stat(path, &st));
    flip_each(&d, path, 0, (size_t)st.st_size, -EUCLEAN, 0);
    desk_free(&d);
}

/* As by another release, which knew more: it was acknowledged, perhaps. */
TEST(ledger_cuts_nothing_that_is_whole_but_not_understood)
{
    struct desk d;
    char path[500], *before, *after;
    size_t n, m;

    desk_init(&d);
    desk_write(&d, 2, 20, true);
    scribe_group(&d.s, 2, 20);
    d.s.g.heads.p[sizeof(uint32_t)] = 0xc1; /* no msgpack begins so */
    CHECK_OK(ledger_append(d.l, &d.s.g));
    CHECK_OK(ledger_sync(d.l));
    last_segment(path, &d);
    ledger_close(&d.l);
    before = slurp(path, &n);
    CHECK_EQ(ledger_open(&d.l, &d.o, &d.head), -EUCLEAN);
    CHECK(strstr(d.head.trouble, "does not understand") != NULL);
    after = slurp(path, &m);
    CHECK(n == m && memcmp(before, after, n) == 0);
    free(before);
    free(after);
    scribe_free(&d.s);
    env_destroy(&d.env);
    sh("rm -rf '%s'", d.dir, "");
}

TEST(ledger_starts_a_segment_whose_header_was_torn_anew)
{
    struct desk d;
    char path[500];
    uint8_t torn[SEGMENT_HEADER_BYTES] = "CHOIRSEG";
    int fd;

    desk_init(&d);
    desk_write(&d, 1, 10, true);
    ledger_close(&d.l);
    path_of(path, &d, "segment-0000000002");
    fd = open(path, O_RDWR | O_CREAT, 0600);
    CHECK_OK(file_pwrite_all(fd, torn, 20, 0));
    CHECK_OK(ftruncate(fd, SEGMENT));
    close(fd);
    desk_open(&d);
    CHECK_NOT(d.head.cut);
    while (ledger_segments(d.l) < 3)
        desk_write(&d, 2, 100, true);
    ledger_close(&d.l);
    desk_open(&d);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

TEST(ledger_seal_is_gone_before_anything_changes)
{
    struct desk d;
    char path[500];

    desk_init(&d);
    path_of(path, &d, "seal");
    CHECK_OK(ledger_seal(d.l));
    CHECK_OK(access(path, F_OK));
    desk_write(&d, 1, 1, false);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_OK(ledger_seal(d.l));
    CHECK_OK(access(path, F_OK));
    desk_free(&d);
}

TEST(ledger_backup_is_sealed_and_whole)
{
    struct desk d, copy;
    char to[500];
    uint64_t size;
    int status;
    pid_t pid;

    desk_init(&d);
    for (int i = 0; i < 20; i++)
        desk_write(&d, 3, 50, true);
    size = ledger_durable(d.l);
    desk_write(&d, 3, 50, false); /* not durable: not in it */
    path_of(to, &d, "copy");
    pid = fork();
    if (pid == 0) {
        ledger_child(d.l);
        _exit(ledger_backup(d.l, to) != 0);
    }
    for (int i = 0; i < 20; i++)
        desk_write(&d, 3, 50, true);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(ledger_backup(d.l, to), -ENOTEMPTY);
    desk_at(&copy, to);
    desk_open(&copy);
    CHECK(copy.head.was_sealed);
    check_readable(&copy, size);
    ledger_close(&copy.l);
    scribe_free(&copy.s);
    env_destroy(&copy.env);
    check_readable(&d, d.s.tree.size);
    desk_free(&d);
}

/* Fill it until it says so; nothing that was accepted is lost, the reserve
 * still takes what the broker has to say, and room lets it go on. */
static void fill(struct desk *d, const char *blocker)
{
    uint64_t free_bytes;
    int r, n = 0;

    while ((r = ledger_room(d->l, 4096)) == 0) {
        scribe_group(&d->s, 2, 1500);
        CHECK_OK(ledger_append(d->l, &d->s.g));
        CHECK_OK(ledger_sync(d->l));
        CHECK(++n < 3000);
    }
    CHECK_EQ(r, CHOIR_READ_ONLY);
    CHECK(strstr(ledger_trouble(d->l), "no space"));
    free_bytes = ledger_free(d->l);
    CHECK(free_bytes >= 256);
    while (ledger_free(d->l) >= 2000) {
        scribe_group(&d->s, 1, 100);
        CHECK_OK(ledger_append(d->l, &d->s.g));
    }
    CHECK_OK(ledger_sync(d->l));
    CHECK_EQ(ledger_room(d->l, 4096), CHOIR_READ_ONLY);
    CHECK_OK(unlink(blocker));
    desk_write(d, 2, 1500, true);
}

TEST(ledger_is_read_only_on_a_full_disk_and_recovers)
{
    struct desk d;
    char dir[] = "/tmp/choir-full-XXXXXX", blocker[500], zeros[65536] = {0};

    CHECK(mkdtemp(dir));
    if (mount("none", dir, "tmpfs", 0, "size=1m")) {
        print_message("not possible here: mount: %s\n", strerror(errno));
        rmdir(dir);
        skip();
    }
    desk_at(&d, dir);
    path_of(blocker, &d, "blocker");
    spit(blocker, zeros, sizeof zeros);
    d.o.segment_bytes = 16384;
    scribe_genesis(&d.s);
    CHECK_OK(ledger_create(&d.o, &d.s.ledger, &d.s.g));
    desk_open(&d);
    fill(&d, blocker);
    ledger_close(&d.l);
    desk_open(&d);
    check_readable(&d, d.s.tree.size);
    ledger_close(&d.l);
    scribe_free(&d.s);
    env_destroy(&d.env);
    CHECK_OK(umount2(dir, MNT_DETACH));
    rmdir(dir);
}

TEST(ledger_is_read_only_at_a_file_size_limit)
{
    struct desk d;
    struct rlimit before, low;

    desk_init(&d);
    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &before));
    low = (struct rlimit){2048, before.rlim_max};
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &low));
    CHECK_EQ(ledger_room(d.l, 2000), CHOIR_READ_ONLY);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &before));
    CHECK_OK(ledger_room(d.l, 2000));
    desk_write(&d, 1, 10, true);
    desk_free(&d);
}

TEST(ledger_stays_broken_after_a_failed_write)
{
    struct desk d;
    struct rlimit before, low;

    desk_init(&d);
    signal(SIGXFSZ, SIG_IGN);
    desk_write(&d, 1, 10, true);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &before));
    low = (struct rlimit){ledger_bytes(d.l) + 100, before.rlim_max};
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &low));
    scribe_group(&d.s, 1, 10);
    CHECK(ledger_append(d.l, &d.s.g) < 0);
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &before));
    CHECK(ledger_append(d.l, &d.s.g) < 0);
    CHECK(ledger_sync_ahead(d.l) < 0);
    CHECK(ledger_sync(d.l) < 0);
    CHECK(ledger_room(d.l, 0) < 0);
    CHECK(ledger_seal(d.l) < 0);
    desk_free(&d);
}

CHECK_MAIN
