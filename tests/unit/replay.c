/* A record of several segments, replayed without its core. */
#include "tests/check.h"

#include "broker/replay.h"

#include <errno.h>
#include <stdio.h>

#include "broker/evolve.h"
#include "proto/refusal.h"
#include "tests/support/rig.h"

enum { VALUES = 300, VALUE_BYTES = 40000, SEGMENT_BYTES = 4 << 20 };

/* What the core had at the end: its checkpoint is the last but one entry. */
struct made {
    struct rig rig;
    struct hash digest, root;
    uint64_t size;
    struct ledger *ledger;
};

static void made_open(struct made *m)
{
    struct ledger_options o = {
        .dir = m->rig.dir, .env = m->rig.env, .check_bytes = 1};
    struct ledger_head head;

    CHECK_OK(ledger_open(&m->ledger, &o, &head));
    CHECK(ledger_segments(m->ledger) > 2);
}

static void make(struct made *m)
{
    struct actor ada = {0};
    static char value[VALUE_BYTES + 1];
    char key[32];

    rig_open(&m->rig); /* its segments have SEGMENT_BYTES */
    actor_join(&m->rig, &ada, "ada", "*", 127);
    for (int i = 0; i < VALUES; i++) {
        snprintf(key, sizeof key, "key/%d", i % 100);
        snprintf(value, sizeof value, "value %d %0*d", i, VALUE_BYTES - 16, i);
        CHECK_OK(actor_put(&m->rig, &ada, "s", key, value, NULL));
    }
    actor_free(&ada);
    CHECK_OK(rig_reopen(&m->rig, true)); /* states a checkpoint */
    m->digest = state_digest(rig_state(&m->rig));
    m->root = frontier_root(&rig_state(&m->rig)->tree);
    m->size = rig_state(&m->rig)->size;
    core_destroy(&m->rig.core);
}

static void made_free(struct made *m)
{
    ledger_close(&m->ledger);
    rig_close(&m->rig);
}

/* Change one byte of the first segment, behind that text or at its start. */
static void spoil(const struct made *m, const char *behind, long offset)
{
    static char all[SEGMENT_BYTES];
    char path[300];
    FILE *f;
    size_t n;

    snprintf(path, sizeof path, "%s/segment-0000000001", m->rig.dir);
    f = fopen(path, "r+");
    n = fread(all, 1, sizeof all, f);
    if (behind)
        offset += (char *)memmem(all, n, behind, strlen(behind)) - all;
    fseek(f, offset, SEEK_SET);
    fputc(all[offset] ^ 1, f);
    CHECK_OK(fclose(f));
}

static void ends_as_made(const struct made *m, const struct state *s)
{
    struct hash digest = state_digest(s), root = frontier_root(&s->tree);

    CHECK_EQ(s->size, m->size);
    CHECK(hash_equal(&digest, &m->digest));
    CHECK(hash_equal(&root, &m->root));
}

TEST(replay_gives_the_state_that_was)
{
    struct made m = {0};
    struct state *s = state_new();
    char trouble[512] = "";

    make(&m);
    made_open(&m);
    CHECK_OK(replay_record(s, m.ledger, trouble));
    ends_as_made(&m, s);
    CHECK_OK(replay_record(s, m.ledger, trouble)); /* nothing is left */
    ends_as_made(&m, s);
    state_destroy(&s);
    made_free(&m);
}

TEST(replay_goes_on_from_within_a_group)
{
    struct made m = {0};
    struct state *s = state_new();
    char trouble[512] = "";
    struct ledger_reader *r;
    const struct entry *e;

    make(&m);
    made_open(&m);
    CHECK_OK(ledger_reader_open(m.ledger, 0, &r));
    CHECK_OK(ledger_reader_next(r, &e)); /* the first of the genesis' two */
    CHECK_OK(evolve(s, e));
    ledger_reader_close(&r);
    CHECK_OK(replay_record(s, m.ledger, trouble));
    ends_as_made(&m, s);
    state_destroy(&s);
    made_free(&m);
}

TEST(replay_stops_at_a_damaged_head_and_names_the_place)
{
    struct made m = {0};
    struct state *s = state_new();
    char trouble[512] = "";

    make(&m);
    spoil(&m, "key/40", 4);
    made_open(&m);
    CHECK_EQ(replay_record(s, m.ledger, trouble), -EUCLEAN);
    CHECK(strstr(trouble, "segment 1 at byte"));
    CHECK(s->size > 40 && s->size < 60);
    state_destroy(&s);
    made_free(&m);
}

/* It needs none; whoever reads one is told. */
TEST(replay_leaves_payloads_to_their_readers)
{
    struct made m = {0};
    struct state *s = state_new();
    char trouble[512] = "";
    const struct entry *e;
    int r = 0;

    make(&m);
    spoil(&m, "value 40 ", 0);
    made_open(&m);
    CHECK_OK(replay_record(s, m.ledger, trouble));
    ends_as_made(&m, s);
    for (uint64_t i = 0; !r && i < 60; i++)
        r = ledger_entry(m.ledger, i, &e);
    CHECK_EQ(r, -EUCLEAN);
    state_destroy(&s);
    made_free(&m);
}

TEST(replay_refuses_a_state_that_a_checkpoint_does_not_state)
{
    struct made m = {0};
    struct state *s = state_new();
    char trouble[512] = "";

    make(&m);
    made_open(&m);
    s->digest.lane[2]++;
    CHECK_EQ(replay_record(s, m.ledger, trouble), -EUCLEAN);
    CHECK(strstr(trouble, "another digest"));
    state_destroy(&s);
    made_free(&m);
}

CHECK_MAIN
