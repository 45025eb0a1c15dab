/* What the broker keeps, read by the second reader (tests/reader), which
 * shares no code with it: a healthy directory passes, and a forgery whose
 * hashes are all right does not. */
#include "tests/check.h"

#include <sys/wait.h>

#include "proto/record.h"
#include "proto/refusal.h"
#include "tests/support/rig.h"

static void sh(const char *format, const char *a, const char *b)
{
    char command[800];

    snprintf(command, sizeof command, format, a, b);
    if (system(command) != 0)
        fail_msg("%s", command);
}

/* Exit status; the output stays in DIR.said and is in `said`. */
static int verify(const char *dir, const char *more, char said[1024])
{
    char command[800], path[300];
    FILE *f;
    int rc;

    snprintf(path, sizeof path, "%s.said", dir);
    snprintf(command, sizeof command,
             "node tests/reader/verify.mjs '%s' %s >'%s' 2>&1", dir, more,
             path);
    rc = system(command);
    f = fopen(path, "r");
    said[f ? fread(said, 1, 1023, f) : 0] = 0;
    fclose(f);
    remove(path);
    return WEXITSTATUS(rc);
}

/* A day at the broker: two agents, writes, conflicts, tasks, a restart. */
static void live(struct rig *r)
{
    struct actor ada = {0}, bob = {0};
    uint64_t revision, task, token, at;
    char key[32], value[64];

    rig_open(r);
    actor_join(r, &ada, "ada", "*", 127);
    actor_join(r, &bob, "bob", "*", 127);
    for (int i = 0; i < 80; i++) {
        snprintf(key, sizeof key, "notes/%d", i % 40);
        snprintf(value, sizeof value, "note %d", i);
        CHECK_OK(
            actor_put(r, i % 2 ? &ada : &bob, "lab", key, value, &revision));
    }
    CHECK_EQ(actor_put_if(r, &bob, "lab", "notes/1", "late", 3, &at),
             CHOIR_CONFLICT);
    CHECK_OK(actor_submit(r, &ada, "index", &task));
    CHECK_OK(rig_claim(r, &bob, task, &token));
    CHECK_OK(rig_reopen(r, true));
    CHECK_OK(actor_put(r, &ada, "lab", "plan", "after the restart", &at));
    CHECK_OK(rig_reopen(r, false));
    CHECK_OK(actor_put(r, &ada, "lab", "plan", "after the crash", &at));
    actor_free(&ada);
    actor_free(&bob);
}

TEST(second_reader_accepts_a_record_that_is_still_open)
{
    struct rig r;
    char said[1024];

    live(&r);
    if (verify(r.dir, "", said) != 0)
        fail_msg("%s", said);
    CHECK(strstr(said, "unknown key") != NULL);
    CHECK(strstr(said, "not sealed") != NULL);
    rig_close(&r);
}

TEST(second_reader_accepts_a_sealed_record_and_the_pinned_key)
{
    struct rig r;
    char said[1024], pin[80] = "--key ";
    struct hash key;

    live(&r);
    memcpy(key.b, core_key(r.core)->public_key, HASH_BYTES);
    hash_hex(&key, pin + 6);
    CHECK_OK(core_close_clean(r.core));
    if (verify(r.dir, pin, said) != 0)
        fail_msg("%s", said);
    CHECK(strstr(said, "broker key: as pinned") != NULL);
    CHECK(strstr(said, "\nsealed") != NULL);
    key.b[0] ^= 1;
    hash_hex(&key, pin + 6);
    CHECK_EQ(verify(r.dir, pin, said), 1);
    CHECK(strstr(said, "not the pinned broker") != NULL);
    rig_close(&r);
}

/* The record's first segment in a copy of the directory, changed by `bend`. */
static void bent_copy(const struct rig *r, char copy[300],
                      void (*bend)(struct buf *segment, size_t arg), size_t arg)
{
    struct buf b = {0};
    char path[400], part[4096];
    FILE *f;
    size_t n;

    snprintf(copy, 300, "%s.copy", r->dir);
    sh("rm -rf '%s'%s", copy, "");
    sh("cp -r '%s' '%s'", r->dir, copy);
    snprintf(path, sizeof path, "%s/segment-0000000001", copy);
    f = fopen(path, "r+");
    CHECK(f != NULL);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_put(&b, part, n);
    bend(&b, arg);
    rewind(f);
    CHECK_EQ(fwrite(b.p, 1, b.n, f), b.n);
    CHECK_OK(fclose(f));
    buf_free(&b);
}

static void flip(struct buf *segment, size_t percent)
{
    segment->p[(segment->n - 1) * percent / 100] ^= 0x10;
}

TEST(second_reader_names_a_byte_changed_in_a_sealed_record)
{
    static const size_t places[] = {0, 1, 20, 50, 75, 100};
    struct rig r;
    char copy[300], said[1024];

    live(&r);
    CHECK_OK(core_close_clean(r.core));
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        bent_copy(&r, copy, flip, places[i]);
        CHECK_EQ(verify(copy, "", said), 1);
        CHECK(strstr(said, "FAILED segment-0000000001") != NULL);
    }
    sh("rm -rf '%s'%s", copy, "");
    rig_close(&r);
}

/* A bit of the signature of a bundle flipped, and every sum and hash made
 * right again: of the last group of the record. */
static void forge(struct buf *segment, size_t arg)
{
    struct segment_header s;
    struct group_header g;
    size_t at = SEGMENT_HEADER_BYTES, last = at;
    uint32_t format;
    uint8_t *h, *body, place[8];
    struct hash x;

    (void)arg;
    CHECK_OK(segment_header_get(&s, segment->p, &format));
    while (at + GROUP_HEADER_BYTES <= segment->n &&
           !group_header_get(&g, segment->p + at, s.nonce, at)) {
        last = at;
        at += group_bytes(&g);
    }
    h = segment->p + last;
    body = h + GROUP_HEADER_BYTES;
    CHECK_OK(group_header_get(&g, h, s.nonce, last));
    body[4 + get_u32(body) + 3] ^= 1; /* behind the first bundle's header */
    x = hash_parts(HASH_GROUP, bytes_of(h, 96), bytes_of(body, g.heads_bytes),
                   (struct bytes){0});
    memcpy(h + 96, x.b, HASH_BYTES);
    put_u64(place, last);
    x = hash_parts(HASH_SUM, bytes_of(s.nonce, SEGMENT_NONCE_BYTES),
                   bytes_of(place, 8), bytes_of(h, 144));
    memcpy(h + 144, x.b, 16);
}

TEST(second_reader_catches_a_forged_signature_whose_hashes_are_right)
{
    struct rig r;
    char copy[300], said[1024];

    live(&r);
    bent_copy(&r, copy, forge, 0);
    CHECK_EQ(verify(copy, "", said), 1);
    CHECK(strstr(said, "BAD_SIGNATURE") != NULL);
    sh("rm -rf '%s'%s", copy, "");
    rig_close(&r);
}

CHECK_MAIN
