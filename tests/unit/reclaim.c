/* Space is given back while the broker goes on, and nothing else changes. */
#include <errno.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/reader.h"

static struct hall hall;
static struct guest ada;

enum { VALUE_BYTES = 16 << 10, ROUNDS = 45, KEYS = 20 };

static uint64_t head(void)
{
    return rig_state(&hall.rig)->size - 1;
}

static void value_of(char value[VALUE_BYTES + 1], unsigned round, unsigned key)
{
    memset(value, 'a' + (int)(key % 26), VALUE_BYTES);
    value[VALUE_BYTES] = '\0';
    snprintf(value, 32, "%u of key %u", round, key);
    value[strlen(value)] = '.';
}

static const char *key_of(unsigned key)
{
    static char name[32];

    snprintf(name, sizeof name, "key/%u", key);
    return name;
}

static void put(unsigned round, unsigned key)
{
    static char value[VALUE_BYTES + 1];

    value_of(value, round, key);
    CHECK_OK(guest_put(&ada, key_of(key), value));
}

/* Every key written again and again; revisions of every version. */
static uint64_t made[ROUNDS][KEYS];

static void fill(void)
{
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned key = 0; key < KEYS; key++)
            put(round, key);
        hall_settle(&hall);
        guest_forget(&ada);
        for (unsigned key = 0; key < KEYS; key++)
            made[round][key] = head() - (KEYS - 1 - key);
    }
}

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
}

static void compact(uint64_t at)
{
    struct msg m;

    msg_init(&m, MSG_COMPACT);
    msg_set_u(&m, FIELD_REVISION, at);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
}

static void reclaim_all(void)
{
    do {
        hall_turn(&hall);
        sched_yield();
    } while (core_reclaims(hall.rig.core));
}

static const struct msg *get_at(unsigned key, uint64_t at)
{
    struct msg m;

    guest_forget(&ada);
    msg_init(&m, MSG_GET);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key_of(key));
    msg_set_u(&m, FIELD_REVISION, at);
    return guest_reply(&ada, &m);
}

static void check_all_from(unsigned first)
{
    static char value[VALUE_BYTES + 1];

    for (unsigned round = first; round < ROUNDS; round++) {
        for (unsigned key = 0; key < KEYS; key++) {
            const struct msg *r = get_at(key, made[round][key]);

            value_of(value, round, key);
            CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
            CHECK(bytes_equal(msg_b(r, FIELD_VALUE), bytes_text(value)));
        }
    }
}

static uint64_t files(void)
{
    return ledger_bytes(core_ledger(hall.rig.core));
}

TEST(compacted_versions_are_given_back_and_the_others_are_not)
{
    uint64_t line, before;

    begin();
    fill();
    line = made[ROUNDS - 5][KEYS - 1];
    before = files();
    compact(line);
    reclaim_all();
    CHECK(files() < before - (uint64_t)KEYS * 25 * VALUE_BYTES);
    CHECK(core_reclaimed(hall.rig.core) >= before - files());
    check_all_from(ROUNDS - 4);
    CHECK_EQ(msg_u(get_at(0, line - 1), FIELD_OUTCOME), CHOIR_COMPACTED);
    hall_close(&hall);
}

TEST(state_and_tree_are_the_same_after_a_replay_of_thin_segments)
{
    struct hash digest, root, again, root_again;

    begin();
    fill();
    compact(made[ROUNDS - 1][0]);
    reclaim_all();
    digest = state_digest(rig_state(&hall.rig));
    root = frontier_root(&rig_state(&hall.rig)->tree);
    hall_restart(&hall, false);
    again = state_digest(rig_state(&hall.rig));
    root_again = frontier_root(&rig_state(&hall.rig)->tree);
    CHECK(hash_equal(&digest, &again));
    CHECK(hash_equal(&root, &root_again));
    guest_connect(&ada);
    check_all_from(ROUNDS - 1);
    hall_close(&hall);
}

TEST(watch_with_gaps_is_told_each_key_that_is_kept)
{
    struct msg m;
    size_t changes = 0;

    begin();
    fill();
    compact(head());
    reclaim_all();
    msg_init(&m, MSG_WATCH);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_REVISION, 1);
    msg_set_u(&m, FIELD_CREDIT, 10000);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_KIND, 1);
    guest_forget(&ada);
    CHECK_EQ(msg_u(guest_reply(&ada, &m), FIELD_OUTCOME), 0);
    hall_settle(&hall);
    changes = guest_items(&ada, MSG_CHANGE);
    CHECK(changes >= KEYS);
    CHECK(changes < KEYS * ROUNDS / 2);
    hall_close(&hall);
}

TEST(readers_go_on_while_segments_are_replaced)
{
    struct ledger_reader *reader;
    const struct entry *e;
    uint64_t index = 0;
    int r;

    begin();
    fill();
    CHECK_OK(ledger_reader_open(core_ledger(hall.rig.core), 0, &reader));
    for (; index < 100; index++)
        CHECK_OK(ledger_reader_next(reader, &e));
    compact(head());
    while (!(r = ledger_reader_next(reader, &e))) {
        CHECK_EQ(e->index, index++);
        if (index % 16 == 0)
            hall_turn(&hall);
    }
    CHECK_EQ(r, CHOIR_NOT_FOUND);
    CHECK_EQ(index, ledger_size(core_ledger(hall.rig.core)));
    ledger_reader_close(&reader);
    reclaim_all();
    hall_close(&hall);
}

/* It holds bytes of the old file, at places where the new one has others. */
TEST(a_reader_finds_its_way_in_a_segment_that_was_replaced)
{
    struct ledger_reader *reader;
    const struct entry *e;

    begin();
    fill();
    CHECK_OK(ledger_reader_open(core_ledger(hall.rig.core), 0, &reader));
    CHECK_OK(ledger_reader_next(reader, &e));
    compact(head());
    reclaim_all();
    for (uint64_t i = 0; i < 200; i++) {
        CHECK_OK(ledger_reader_seek(reader, i));
        CHECK_OK(ledger_reader_next(reader, &e));
        CHECK_EQ(e->index, i);
    }
    ledger_reader_close(&reader);
    hall_close(&hall);
}

TEST(what_a_live_lease_may_have_read_stays)
{
    const struct entry *e;
    struct bytes value;
    struct guest bob;
    uint64_t task, token, base;

    begin();
    guest_join(&hall, &bob, "bob", 127);
    put(0, 0);
    hall_settle(&hall);
    base = head();
    CHECK_OK(actor_submit(&hall.rig, &ada.actor, "q", &task));
    CHECK_OK(rig_claim(&hall.rig, &bob.actor, task, &token));
    fill();
    compact(head());
    reclaim_all();
    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), base, &e));
    CHECK_OK(entry_slot(e, 0, &value));
    hall_close(&hall);
}

static uint64_t send(const struct hash *to, const char *body)
{
    struct msg m;

    msg_init(&m, MSG_SEND);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_hash(&m, FIELD_AGENT, to);
    CHECK_OK(guest_do(&ada, &m, body));
    hall_settle(&hall);
    return head();
}

/* Slot 1 is written to key 0 and sent, too; slot 2 is written to key 1. */
static uint64_t complete_sending(struct guest *g, const struct hash *to)
{
    static const uint8_t written[VALUE_BYTES];
    const struct bytes values[] = {bytes_text("result"), bytes_text("sent"),
                                   bytes_of(written, sizeof written)};
    struct buf writes = {0}, sends = {0};
    uint64_t task = reader_submit(&ada, 0), token;
    struct msg m, row;

    CHECK_OK(rig_claim(&hall.rig, &g->actor, task, &token));
    for (unsigned i = 0; i < 2; i++) {
        msg_init(&row, MSG_WRITE);
        msg_set_text(&row, FIELD_KEY, key_of(i));
        msg_set_u(&row, FIELD_SLOT, i + 1);
        msg_encode(&row, &writes);
    }
    msg_init(&row, MSG_SEND_ROW);
    msg_set_hash(&row, FIELD_AGENT, to);
    msg_set_u(&row, FIELD_SLOT, 1);
    msg_encode(&row, &sends);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_list(&m, FIELD_WRITES, 2, buf_bytes(&writes));
    msg_set_list(&m, FIELD_SENDS, 1, buf_bytes(&sends));
    CHECK_OK(guest_do_n(g, &m, values, 3));
    hall_settle(&hall);
    buf_free(&writes);
    buf_free(&sends);
    return head();
}

static int slot_of(uint64_t index, size_t slot, struct bytes *value)
{
    const struct entry *e;

    CHECK_OK(ledger_entry(core_ledger(hall.rig.core), index, &e));
    CHECK_EQ(e->outcome, CHOIR_OK);
    return entry_slot(e, slot, value);
}

TEST(messages_stay_though_what_was_written_beside_them_goes)
{
    uint64_t sent, completed;
    struct bytes value;
    struct guest bob;

    begin();
    guest_join(&hall, &bob, "bob", 127);
    sent = send(&bob.actor.id, "hello");
    completed = complete_sending(&bob, &ada.actor.id);
    fill();
    compact(head());
    reclaim_all();
    CHECK_OK(slot_of(sent, 0, &value));
    CHECK(bytes_equal(value, bytes_text("hello")));
    CHECK_OK(slot_of(completed, 1, &value));
    CHECK(bytes_equal(value, bytes_text("sent")));
    CHECK_REFUSED(slot_of(completed, 2, &value), CHOIR_COMPACTED);
    hall_close(&hall);
}

/* Everything goes, whether anybody permits it or not. */
static int look_away(void *arg, const struct entry *e)
{
    (void)arg;
    (void)e;
    return 0;
}

static void mark_all(void *arg, const struct entry *e, uint8_t *marks,
                     uint8_t *effect_marks)
{
    (void)effect_marks;
    memset(marks, *(const int *)arg, e->rows.n / SLOT_ROW_BYTES);
}

static void lose_segment_one(enum slot_mark why)
{
    int mark = (int)why;
    struct ledger_thinner t = {&mark, look_away, mark_all, 1};
    struct ledger_thinned out;

    CHECK_OK(ledger_thin_begin(core_ledger(hall.rig.core), 1, &t));
    CHECK_OK(ledger_thin_end(core_ledger(hall.rig.core), true, &out));
    CHECK(out.bytes > 1000000);
    CHECK_EQ(out.erased, why == SLOT_ERASED);
}

static void files_at_most(rlim_t bytes)
{
    struct rlimit limit;

    signal(SIGXFSZ, SIG_IGN);
    CHECK_OK(getrlimit(RLIMIT_FSIZE, &limit));
    limit.rlim_cur = bytes ? bytes : limit.rlim_max;
    CHECK_OK(setrlimit(RLIMIT_FSIZE, &limit));
}

static unsigned files_beside(void)
{
    char pattern[300];
    glob_t found;
    unsigned n;

    snprintf(pattern, sizeof pattern, "%s/segment-*.*", hall.rig.dir);
    n = glob(pattern, 0, NULL, &found) ? 0 : (unsigned)found.gl_pathc;
    globfree(&found);
    return n;
}

/* As full as a disk: whoever waits for room gets it some time. */
TEST(a_limit_on_sizes_is_no_room_for_the_copy)
{
    struct ledger_thinned out;
    int mark = SLOT_ERASED;
    struct ledger_thinner t = {&mark, look_away, mark_all, 1};

    begin();
    fill();
    files_at_most(4096);
    CHECK_OK(ledger_thin_begin(core_ledger(hall.rig.core), 1, &t));
    CHECK_EQ(ledger_thin_end(core_ledger(hall.rig.core), true, &out), -ENOSPC);
    CHECK_EQ(files_beside(), 0);
    files_at_most(
        256 << 10); /* enough for the copy, not to overwrite the old */
    lose_segment_one(SLOT_ERASED);
    CHECK_EQ(files_beside(), 0);
    files_at_most(0);
    hall_close(&hall);
}

static void check_verify(int wanted)
{
    struct verify_result result;
    int r;

    CHECK_OK(core_close_clean(hall.rig.core));
    r = verify_record(hall.rig.dir, hall.rig.env, &result);
    CHECK_EQ(r, wanted);
    if (r)
        CHECK(strstr(result.trouble, "a payload is missing") != NULL);
}

TEST(verify_accepts_what_was_compacted)
{
    begin();
    fill();
    compact(head());
    reclaim_all();
    check_verify(0);
    hall_close(&hall);
}

TEST(verify_refuses_what_is_missing_although_no_line_permits_it)
{
    begin();
    fill();
    lose_segment_one(SLOT_COMPACTED);
    check_verify(-EUCLEAN);
    hall_close(&hall);
}

TEST(verify_refuses_what_is_missing_and_was_never_superseded)
{
    begin();
    put(0, KEYS);
    fill();
    compact(head());
    lose_segment_one(SLOT_COMPACTED);
    check_verify(-EUCLEAN);
    hall_close(&hall);
}

/* Stored and checked, and not shown, one by one or in order. */
TEST(what_the_state_says_is_erased_is_hidden_at_once)
{
    struct ledger *l;
    struct ledger_reader *reader;
    const struct entry *e;
    uint64_t at;

    begin();
    fill();
    l = core_ledger(hall.rig.core);
    at = made[0][1];
    CHECK_OK(erasure_add(rig_state(&hall.rig)->erasure, at, 0));
    CHECK_EQ(msg_u(get_at(1, at), FIELD_OUTCOME), CHOIR_ERASED);
    CHECK_OK(msg_u(get_at(0, made[0][0]), FIELD_OUTCOME));
    CHECK_OK(msg_u(get_at(1, made[1][1]), FIELD_OUTCOME));
    CHECK_OK(ledger_reader_open(l, at - 1, &reader));
    for (int i = -1; i <= 1; i++) {
        struct bytes value;

        CHECK_OK(ledger_reader_next(reader, &e));
        CHECK_EQ(entry_slot(e, 0, &value), i ? 0 : CHOIR_ERASED);
        CHECK_EQ(entry_is_thin(e), i == 0);
        CHECK_OK(entry_slots_check(e));
    }
    ledger_reader_close(&reader);
    hall_close(&hall);
}

/* Whatever was read before. */
TEST(what_was_read_ahead_is_hidden_and_given_back_as_well)
{
    const struct entry *e;
    struct bytes value;
    struct ledger *l;
    uint64_t at;

    begin();
    fill();
    l = core_ledger(hall.rig.core);
    at = made[0][1];
    ledger_ahead(l, &at, 1);
    CHECK_OK(ledger_body(l, at, &e));
    CHECK_OK(entry_slot(e, 0, &value));
    CHECK_OK(erasure_add(rig_state(&hall.rig)->erasure, at, 0));
    CHECK_OK(ledger_body(l, at, &e));
    CHECK_EQ(entry_slot(e, 0, &value), CHOIR_ERASED);
    CHECK_OK(ledger_entry(l, at, &e));
    CHECK_EQ(entry_slot(e, 0, &value), CHOIR_ERASED);
    ledger_ahead(l, &at, 1);
    compact(head());
    reclaim_all();
    CHECK_OK(ledger_body(l, at, &e));
    CHECK_EQ(e->payload.n, 0);
    ledger_ahead(l, &at, 1);
    CHECK_OK(ledger_body(l, at, &e));
    CHECK_EQ(e->payload.n, 0);
    CHECK(entry_slot(e, 0, &value) != 0);
    hall_close(&hall);
}

TEST(verify_refuses_what_is_missing_as_if_erased)
{
    begin();
    fill();
    lose_segment_one(SLOT_ERASED);
    CHECK_EQ(msg_u(get_at(0, made[0][0]), FIELD_OUTCOME), CHOIR_ERASED);
    check_verify(-EUCLEAN);
    hall_close(&hall);
}

CHECK_MAIN
