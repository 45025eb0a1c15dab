/* Every byte of a record that choird made and sealed is accounted for; of one
 * it could not seal, nothing that was known durable is ever cut.
 * FLIP_SAMPLES: how many flips the programs themselves are asked about, and how
 * many of the zeros that choird keeps behind its last group are flipped. The
 * copy that is flipped byte by byte is a backup: it has next to none of them.
 * FLIP_STEP=1: of the unsealed record every byte too; each that lies in its
 * last group costs the syncs of a cut. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-sdk/choir.h"
#include "broker/ledger/snapshot.h"
#include "tests/check.h"
#include "tests/support/daemon.h"

enum { FILES_MAX = 8, EXIT_PROOF = 4, SAMPLES = 8 };

struct file {
    char path[DAEMON_PATH + 300];
    uint8_t *bytes; /* owned: as it was */
    size_t n;
    int fd;
};

static struct daemon d;
static struct file files[FILES_MAX];
static size_t files_n;
static struct env *env;

static void file_load(const char *name)
{
    struct file *f = &files[files_n++];
    struct stat st;

    CHECK(files_n < FILES_MAX);
    snprintf(f->path, sizeof f->path, "%s/%s", d.data, name);
    f->fd = open(f->path, O_RDWR | O_CLOEXEC);
    CHECK(f->fd >= 0);
    CHECK_OK(fstat(f->fd, &st));
    f->n = (size_t)st.st_size;
    f->bytes = malloc(f->n + 1);
    CHECK_EQ(pread(f->fd, f->bytes, f->n, 0), f->n);
}

static bool of_the_record(const char *name)
{
    return !strncmp(name, "segment-", 8) || !strcmp(name, "seal") ||
           !strcmp(name, SNAPSHOT_NAME);
}

static void files_load(void)
{
    DIR *dir = opendir(d.data);
    struct dirent *e;

    CHECK(dir);
    while ((e = readdir(dir)))
        if (of_the_record(e->d_name))
            file_load(e->d_name);
    closedir(dir);
}

static void files_free(void)
{
    while (files_n) {
        close(files[--files_n].fd);
        free(files[files_n].bytes);
    }
}

static void flip(const struct file *f, size_t at)
{
    uint8_t b = f->bytes[at] ^ (uint8_t)(1u << at % 8);

    CHECK_EQ(pwrite(f->fd, &b, 1, (off_t)at), 1);
}

static void restore(const struct file *f, size_t at)
{
    CHECK_EQ(pwrite(f->fd, &f->bytes[at], 1, (off_t)at), 1);
}

/* A daemon with a handful of entries of several kinds, still running. */
static void make_record(const char *name)
{
    struct choir_options o = CHOIR_OPTIONS_INIT;
    struct choir_event *task = NULL;
    struct choir *c;
    uint64_t id;

    files_free(); /* of a test that failed */
    env = env_real_new();
    daemon_init(&d, name);
    daemon_set(&d, "value_bytes_max = 4KiB");
    daemon_set(&d, "bundle_bytes_max = 32KiB");
    daemon_set(&d, "segment_bytes = 64KiB");
    CHECK_OK(daemon_start(&d, NULL));
    o.name = "ada";
    if (choir_open(&o, &c))
        fail_msg("open: %s", choir_error_text());
    CHECK_OK(choir_put(c, "plan", "draft", 5, NULL));
    CHECK_OK(choir_put(c, "empty", "", 0, NULL));
    CHECK_OK(choir_submit(c, "jobs", "do it", 5, &id));
    CHECK_OK(choir_work(c, "jobs", 10000, &task));
    CHECK_OK(choir_complete(c, task, "done", 4));
    choir_event_free(&task);
    CHECK_OK(choir_delete(c, "plan", 0, NULL));
    choir_close(&c);
}

/* --- Sealed ----------------------------------------------------------------- */

/* What the daemon does at start, without the daemon. */
static int record_opens(void)
{
    struct ledger_options o = {
        .dir = d.data, .env = env, .segment_bytes = 64 << 10};
    struct ledger_head head = {0};
    struct ledger *l = NULL;
    int r = ledger_open(&l, &o, &head);

    ledger_close(&l);
    return r && !head.trouble[0] ? 0 : r; /* unnamed is unfound */
}

static int snapshot_opens(void)
{
    char trouble[LEDGER_TROUBLE_BYTES] = "";
    struct snapshot_facts facts;
    struct snapshot_reader *s;
    struct bytes record;
    int r = snapshot_open(&s, d.data, &facts, trouble);

    if (r)
        return trouble[0] ? r : 0;
    while ((r = snapshot_next(s, &record)) == 0)
        ;
    snapshot_close(&s);
    return r == -EUCLEAN && trouble[0] ? r : 0;
}

/* Every byte; under a sanitizer, which is there for other reasons, one in 7. */
static size_t step(void)
{
    return test_patience() > 1 ? 7 : 1;
}

static bool is_refused(const struct file *f, size_t at)
{
    int r;

    flip(f, at);
    r = strstr(f->path, SNAPSHOT_NAME) ? snapshot_opens() : record_opens();
    restore(f, at);
    return r != 0;
}

static size_t flip_all(const struct file *f)
{
    for (size_t at = 0; at < f->n; at += step())
        if (!is_refused(f, at))
            fail_msg("%s: nobody sees a flip of byte %zu", f->path, at);
    return f->n;
}

static void flip_some(const struct file *f, unsigned samples)
{
    while (samples--) {
        size_t at = (size_t)random() % f->n;

        if (!is_refused(f, at))
            fail_msg("%s: nobody sees a flip of byte %zu", f->path, at);
    }
}

/* The record alone takes up little; with its keys and its snapshot beside it,
 * it is a data directory. */
static void make_small(struct daemon *small)
{
    struct ledger_options o = {.dir = d.data, .env = env};
    struct ledger_head head = {0};
    struct ledger *l = NULL;
    char command[4 * DAEMON_PATH + 64];

    daemon_init(small, "small");
    CHECK_OK(ledger_open(&l, &o, &head));
    CHECK_OK(ledger_backup(l, small->data));
    ledger_close(&l);
    snprintf(command, sizeof command, "cp '%s/'*.identity '%s/%s' '%s'", d.data,
             d.data, SNAPSHOT_NAME, small->data);
    CHECK_OK(system(command));
}

/* The programs themselves, at some places of each file. */
static void flip_samples(const struct file *f, unsigned samples)
{
    const char *const verify[] = {"choir", "verify", d.data, NULL};

    for (unsigned i = 0; i < samples; i++) {
        size_t at = (size_t)random() % f->n;
        int status, code;

        flip(f, at);
        status = daemon_start(&d, NULL);
        code = program_run("choir", verify);
        restore(f, at);
        if (status == 0)
            fail_msg("choird starts with byte %zu of %s flipped", at, f->path);
        if (code != -1 && code != EXIT_PROOF)
            fail_msg("choir verify: %d with byte %zu of %s flipped", code, at,
                     f->path);
    }
}

TEST(every_flipped_byte_of_a_sealed_record_is_named_and_refused)
{
    const char *wanted = getenv("FLIP_SAMPLES");
    unsigned samples = wanted ? (unsigned)strtoul(wanted, NULL, 10) : SAMPLES;
    struct daemon small;
    size_t bytes = 0;

    make_record("sealed");
    CHECK_EQ(daemon_stop(&d), 0);
    files_load();
    for (size_t i = 0; i < files_n; i++)
        flip_some(&files[i], samples);
    files_free();
    make_small(&small);
    d = small;
    files_load();
    CHECK(files_n >= 3); /* segment, seal, snapshot */
    CHECK_OK(record_opens());
    for (size_t i = 0; i < files_n; i++)
        bytes += flip_all(&files[i]);
    for (size_t i = 0; i < files_n; i++)
        flip_samples(&files[i], samples);
    printf("%zu bytes of %zu files\n", bytes, files_n);
    files_free();
    CHECK_OK(daemon_start(&d, NULL)); /* all is as it was */
    CHECK_EQ(daemon_stop(&d), 0);
    env_destroy(&env);
}

/* --- Not sealed -------------------------------------------------------------- */

static void forget_cuts(void)
{
    DIR *dir = opendir(d.data);
    struct dirent *e;

    CHECK(dir);
    while ((e = readdir(dir)))
        if (!strncmp(e->d_name, "cut-", 4))
            unlinkat(dirfd(dir), e->d_name, 0);
    closedir(dir);
}

/* The last one that is begun; the next may be allocated ahead. */
static void load_last_segment(void)
{
    char name[32];

    for (unsigned i = 9; !files_n; i--) {
        struct stat st;
        char path[DAEMON_PATH + 40];

        CHECK(i);
        snprintf(name, sizeof name, "segment-%010u", i);
        snprintf(path, sizeof path, "%s/%s", d.data, name);
        if (stat(path, &st))
            continue;
        file_load(name);
        if (files[0].bytes[0] == 0)
            files_free();
    }
}

/* The highest mark of the segment; *end: where its last group ends. */
static uint64_t synced_of(const struct file *f, size_t *end)
{
    struct segment_header header;
    struct group_header g;
    uint64_t highest = 0;
    uint32_t format;
    size_t at = SEGMENT_HEADER_BYTES;

    CHECK_OK(segment_header_get(&header, f->bytes, &format));
    for (; at + GROUP_HEADER_BYTES < f->n &&
           !group_header_get(&g, f->bytes + at, header.nonce, at);
         at += group_bytes(&g))
        highest = g.synced > highest ? g.synced : highest;
    *end = at;
    return highest;
}

TEST(of_an_unsealed_record_nothing_that_was_durable_is_cut)
{
    struct ledger_options o = {.dir = d.data, .segment_bytes = 64 << 10};
    const char *wanted = getenv("FLIP_STEP");
    size_t stride = wanted ? strtoul(wanted, NULL, 10) : 5;
    size_t end, refused = 0, cut = 0;
    uint64_t synced;

    make_record("unsealed");
    daemon_kill(&d);
    o.env = env;
    load_last_segment();
    synced = synced_of(&files[0], &end);
    CHECK(synced > 4);
    files[0].n = end + 4096; /* zeros enough; more only take time */
    CHECK_OK(ftruncate(files[0].fd, (off_t)files[0].n));
    for (size_t at = 0; at < end; at += stride * step()) {
        struct ledger_head head = {0};
        struct ledger *l = NULL;

        flip(&files[0], at);
        if (ledger_open(&l, &o, &head)) {
            refused++;
        } else {
            if (head.size < synced)
                fail_msg("byte %zu flipped: cut to %lu, durable were %lu", at,
                         head.size, synced);
            cut += head.cut;
        }
        ledger_close(&l);
        CHECK_EQ(pwrite(files[0].fd, files[0].bytes, files[0].n, 0),
                 files[0].n);
        forget_cuts();
    }
    printf("%zu bytes: %zu times damage, %zu times cut\n", end, refused, cut);
    CHECK(refused > 0);
    CHECK(cut > 0);
    CHECK_OK(daemon_start(&d, NULL));
    CHECK_EQ(daemon_stop(&d), 0);
    files_free();
    env_destroy(&env);
}

CHECK_MAIN
