/* No forgery of an export passes, by either reader. They are made, and judged
 * by the second reader, in tests/support/exports_campaign.mjs; the first one
 * judges each as it comes, at the same record, and `choir verify` some of them.
 * EXPORTS_FORGED=N: so many; EXPORTS_SEED=S: others. test-timeout: 120 */
#include <inttypes.h>
#include <sys/wait.h>

#include "proto/export.h"
#include "proto/refusal.h"
#include "tests/check.h"

enum { VERIFIED_ONE_IN = 50, TRUSTED_MAX = 16 };
static const uint32_t accepted = UINT32_MAX;

struct campaign {
    FILE *in;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    struct hash trusted[TRUSTED_MAX];
    uint32_t trusted_count;
    struct buf file, what; /* owned */
    uint32_t second;       /* the record at which the second reader stops */
    unsigned long forged;
};

static unsigned long number_of(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);

    return text ? strtoul(text, NULL, 10) : otherwise;
}

static void must_read(FILE *in, void *p, size_t n)
{
    if (fread(p, 1, n, in) != n)
        fail_msg("the second reader has ended too early");
}

/* false: there are no more. */
static bool read_sized(FILE *in, struct buf *out)
{
    uint8_t n[4];
    uint32_t bytes;

    if (fread(n, 1, sizeof n, in) != sizeof n)
        return false;
    bytes = get_u32(n);
    buf_clear(out);
    if (bytes)
        must_read(in, buf_grow(out, bytes), bytes);
    return true;
}

static bool next(struct campaign *c)
{
    uint8_t record[4];

    if (!read_sized(c->in, &c->file))
        return false;
    must_read(c->in, record, sizeof record);
    c->second = get_u32(record);
    CHECK(read_sized(c->in, &c->what));
    return true;
}

/* The first reader. The record at which it stops. */
static uint32_t judge(const struct campaign *c, const char **why)
{
    struct export_options o = {
        .broker_key = c->broker_key,
        .trusted = c->trusted,
        .trusted_count = c->trusted_count,
    };
    struct export_reader *r = export_reader_new(&o);
    uint32_t record = accepted;
    int code;

    CHECK(r != NULL);
    code = export_read(r, buf_bytes(&c->file));
    if (!code)
        code = export_read_end(r);
    CHECK(code >= 0);
    *why = "";
    if (code) {
        *why = export_report(r)->why;
        record = (uint32_t)export_report(r)->at.record;
    }
    export_reader_destroy(&r);
    return record;
}

static void keep(const struct campaign *c, const char *path)
{
    FILE *f = fopen(path, "w");

    CHECK(f != NULL);
    CHECK_EQ(fwrite(c->file.p, 1, c->file.n, f), c->file.n);
    CHECK_OK(fclose(f));
}

/* The exit code of `choir verify`. */
static int verify(const struct campaign *c)
{
    char command[1024], path[300], key[HASH_HEX];
    struct hash h;
    int status;

    snprintf(path, sizeof path, "%s/forged.export", getenv("CHOIR_TMP"));
    keep(c, path);
    memcpy(h.b, c->broker_key, sizeof h.b);
    hash_hex(&h, key);
    snprintf(command, sizeof command,
             "choir verify '%s' --key %s --agents '%s/agents' >/dev/null 2>&1",
             path, key, getenv("CHOIR_TMP"));
    status = system(command);
    CHECK(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void genuine(struct campaign *c)
{
    const char *why;

    if (c->second != accepted)
        fail_msg("the second reader refuses %.*s", (int)c->what.n, c->what.p);
    if (judge(c, &why) != accepted)
        fail_msg("%.*s is refused: %s", (int)c->what.n, c->what.p, why);
    CHECK_EQ(verify(c), 0);
}

/* It is kept for whoever looks into it. */
static void wrong(const struct campaign *c, const char *what)
{
    char path[300];

    snprintf(path, sizeof path, "%s/log/forged.export", getenv("CHOIR_BUILD"));
    keep(c, path);
    fail_msg("%s %.*s; see %s", what, (int)c->what.n, c->what.p, path);
}

/* A proof that fails; without its first bytes it is no export at all. */
static int exit_code_due(const struct campaign *c)
{
    enum { USAGE = 2, PROOF = 4 };

    return bytes_start_with(buf_bytes(&c->file), bytes_text("CHE1")) ? PROOF
                                                                     : USAGE;
}

static void forgery(struct campaign *c)
{
    const char *why;
    uint32_t first = judge(c, &why);

    if (c->second == accepted)
        wrong(c, "the second reader accepts");
    if (first == accepted)
        wrong(c, "the first reader accepts");
    if (first != c->second)
        wrong(c, "the readers do not agree where it goes wrong in");
    if (c->forged % VERIFIED_ONE_IN == 0 && verify(c) != exit_code_due(c))
        wrong(c, "choir verify does not refuse");
    c->forged++;
}

TEST(forgery_of_an_export_is_refused_by_both_readers)
{
    unsigned long seed = number_of("EXPORTS_SEED", 1),
                  count = number_of("EXPORTS_FORGED", 600);
    struct campaign c = {0};
    uint8_t word[4];
    char command[600];

    snprintf(command, sizeof command,
             "node tests/support/exports_campaign.mjs '%s' %lu %lu",
             getenv("CHOIR_TMP"), seed, count);
    c.in = popen(command, "r");
    CHECK(c.in != NULL);
    must_read(c.in, c.broker_key, sizeof c.broker_key);
    must_read(c.in, word, sizeof word);
    c.trusted_count = get_u32(word);
    CHECK(c.trusted_count <= TRUSTED_MAX);
    must_read(c.in, c.trusted, c.trusted_count * sizeof c.trusted[0]);
    must_read(c.in, word, sizeof word);
    for (uint32_t n = get_u32(word); n > 0; n--) {
        CHECK(next(&c));
        genuine(&c);
    }
    while (next(&c))
        forgery(&c);
    CHECK_OK(pclose(c.in));
    CHECK_EQ(c.forged, count);
    printf("seed %lu: %lu forgeries refused by both readers\n", seed, c.forged);
    buf_free(&c.file);
    buf_free(&c.what);
}

CHECK_MAIN
