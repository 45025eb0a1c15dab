#include "tests/check.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/snapshot.h"
#include "proto/key.h"
#include "proto/refusal.h"

static char dir[200], path[300], trouble[LEDGER_TROUBLE_BYTES];
static struct snapshot_facts facts;

static void begin(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(dir, sizeof dir, "%s/snapshot-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/%s", dir, SNAPSHOT_NAME);
    facts = (struct snapshot_facts){.epoch = 3, .time = 99};
    CHECK_OK(crypto_start());
    frontier_init(&facts.tree);
    for (uint64_t i = 0; i < 77; i++)
        frontier_add(&facts.tree, tree_leaf(bytes_of(&i, sizeof i)));
    facts.size = facts.tree.size;
    facts.ledger.b[0] = 1;
    facts.group.b[31] = 2;
    facts.digest.b[7] = 3;
}

static void end(void)
{
    unlink(path);
    CHECK_OK(rmdir(dir));
}

/* Record i of n is i % 7 bytes, or `bytes`, all of value i. */
static struct bytes record_of(uint8_t *room, uint32_t i, size_t bytes)
{
    size_t n = bytes ? bytes : i % 7;

    memset(room, (int)i, n);
    return bytes_of(room, n);
}

static void save(uint32_t n, size_t bytes)
{
    struct snapshot_writer *w;
    uint8_t *room = malloc(bytes + 7);

    CHECK_OK(snapshot_begin(&w, dir, &facts));
    for (uint32_t i = 0; i < n; i++)
        CHECK_OK(snapshot_put(w, record_of(room, i, bytes)));
    CHECK_OK(snapshot_commit(&w));
    CHECK_NULL(w);
    free(room);
}

static int load(uint32_t *n, size_t bytes)
{
    struct snapshot_reader *s;
    struct snapshot_facts got;
    struct bytes record;
    uint8_t *room = malloc(bytes + 7);
    int r = snapshot_open(&s, dir, &got, trouble);

    *n = 0;
    if (!r) {
        CHECK_EQ(got.size, facts.size);
        CHECK_EQ(got.epoch, facts.epoch);
        CHECK_EQ(got.time, facts.time);
        CHECK_MEM(got.ledger.b, facts.ledger.b, HASH_BYTES);
        CHECK_MEM(got.group.b, facts.group.b, HASH_BYTES);
        CHECK_MEM(got.digest.b, facts.digest.b, HASH_BYTES);
        CHECK_MEM(frontier_root(&got.tree).b, frontier_root(&facts.tree).b,
                  HASH_BYTES);
        while (!(r = snapshot_next(s, &record)))
            CHECK(bytes_equal(record, record_of(room, (*n)++, bytes)));
        if (r == CHOIR_NOT_FOUND)
            CHECK_EQ(snapshot_next(s, &record), CHOIR_NOT_FOUND);
        snapshot_close(&s);
    }
    free(room);
    return r;
}

TEST(snapshot_gives_back_every_record)
{
    static const uint32_t counts[] = {0, 1, 10, 100000};
    uint32_t n;

    begin();
    for (size_t i = 0; i < 4; i++) {
        save(counts[i], 0);
        CHECK_EQ(load(&n, 0), CHOIR_NOT_FOUND);
        CHECK_EQ(n, counts[i]);
    }
    save(20, 300000);
    CHECK_EQ(load(&n, 300000), CHOIR_NOT_FOUND);
    CHECK_EQ(n, 20);
    end();
}

TEST(snapshot_refuses_a_record_over_the_limit)
{
    static uint8_t much[SNAPSHOT_RECORD_MAX + 1];
    struct snapshot_writer *w;

    begin();
    CHECK_OK(snapshot_begin(&w, dir, &facts));
    CHECK_EQ(snapshot_put(w, bytes_of(much, sizeof much)), -EFBIG);
    snapshot_abort(&w);
    end();
}

TEST(snapshot_that_is_not_there_is_not_found)
{
    uint32_t n;

    begin();
    CHECK_EQ(load(&n, 0), CHOIR_NOT_FOUND);
    CHECK_STR(trouble, "");
    end();
}

TEST(snapshot_abort_leaves_the_old_file)
{
    struct snapshot_writer *w;
    uint32_t n;

    begin();
    save(5, 0);
    CHECK_OK(snapshot_begin(&w, dir, &facts));
    CHECK_OK(snapshot_put(w, bytes_text("new")));
    snapshot_abort(&w);
    CHECK_EQ(load(&n, 0), CHOIR_NOT_FOUND);
    CHECK_EQ(n, 5);
    end();
}

static void damaged(const char *bytes, size_t n, size_t at)
{
    uint32_t got;
    int fd;

    CHECK_OK(file_write_atomic(path, bytes, n, 0600));
    fd = load(&got, 0);
    if (fd != -EUCLEAN || !strstr(trouble, "delete it") ||
        !strstr(trouble, path))
        fail_msg("byte %zu: %d %s", at, fd, trouble);
}

TEST(snapshot_refuses_every_flipped_byte_and_every_length)
{
    char *bytes;
    size_t n;

    begin();
    save(30, 0);
    CHECK_OK(file_read_whole(path, 1 << 20, &bytes, &n));
    CHECK(n < 4000);
    for (size_t at = 0; at < n; at++) {
        bytes[at] ^= (char)(1 << at % 8);
        damaged(bytes, n, at);
        bytes[at] ^= (char)(1 << at % 8);
    }
    for (size_t k = 0; k < n; k += k < 2200 ? 97 : 1)
        damaged(bytes, k, k);
    bytes = realloc(bytes, n + 1);
    bytes[n] = 0;
    damaged(bytes, n + 1, n);
    free(bytes);
    end();
}

TEST(snapshot_refuses_a_newer_format_by_name)
{
    struct hash sum;
    char *bytes;
    uint32_t got;
    size_t n;

    begin();
    save(1, 0);
    CHECK_OK(file_read_whole(path, 1 << 20, &bytes, &n));
    put_u32((uint8_t *)bytes + 8, 8);
    sum = hash_of(HASH_SUM, bytes_of(bytes, 2280));
    memcpy(bytes + 2280, sum.b, 16);
    CHECK_OK(file_write_atomic(path, bytes, n, 0600));
    CHECK_EQ(load(&got, 0), CHOIR_UNSUPPORTED);
    CHECK(strstr(trouble, "format 8"));
    free(bytes);
    end();
}

CHECK_MAIN
