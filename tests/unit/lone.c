/* A bundle that comes alone is written ahead of its proof: what it must not be
 * told apart by, and what becomes of it when its signature is false. Writes to
 * the record are counted and kept by this program's own pwritev. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "broker/base/trial.h"
#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

enum { MANY = 40 }; /* operations: the crew helps */

static struct hall hall;
static struct guest ada, bob;

/* --- The disk ------------------------------------------------------------ */

static unsigned writes;
static bool first_only; /* is kept, from when last.n was 0 */
static int sync_fails, write_fails;
static struct {
    off_t at;
    char bytes[1 << 16];
    size_t n;
    char path[64]; /* of the file */
} last;

ssize_t pwritev(int fd, const struct iovec *part, int count, off_t at)
{
    char link[64];
    ssize_t n;

    if (write_fails) {
        errno = write_fails;
        return -1;
    }
    writes++;
    if (first_only && last.n)
        return syscall(SYS_pwritev, fd, part, count, at, 0);
    last.at = at;
    last.n = 0;
    for (int i = 0; i < count && last.n + part[i].iov_len < sizeof last.bytes;
         i++) {
        memcpy(last.bytes + last.n, part[i].iov_base, part[i].iov_len);
        last.n += part[i].iov_len;
    }
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, last.path, sizeof last.path - 1);
    last.path[n > 0 ? n : 0] = '\0';
    return syscall(SYS_pwritev, fd, part, count, at, 0);
}

int fdatasync(int fd)
{
    if (sync_fails) {
        errno = sync_fails;
        return -1;
    }
    return fsync(fd);
}

/* What was written last is on the disk again, as if nothing had come after it. */
static void written_again(void)
{
    int fd = open(last.path, O_WRONLY);

    CHECK(fd >= 0);
    CHECK_EQ(pwrite(fd, last.bytes, last.n, last.at), last.n);
    close(fd);
}

static bool is_zero_there(void)
{
    static char there[sizeof last.bytes], zeros[sizeof last.bytes];
    int fd = open(last.path, O_RDONLY);
    ssize_t n = pread(fd, there, last.n, last.at);

    close(fd);
    return n >= 0 && memcmp(there, zeros, (size_t)n) == 0;
}

/* --- The hall ------------------------------------------------------------ */

static void begin(enum lone_way way)
{
    sync_fails = write_fails = 0;
    hall_open_lone(&hall, way);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
    hall_settle(&hall);
}

static void op_put(struct msg *m, const char *key)
{
    msg_init(m, MSG_PUT);
    msg_set_text(m, FIELD_SPACE, "main");
    msg_set_text(m, FIELD_KEY, key);
}

static void sign_one(struct guest *g, struct msg *m, const char *value)
{
    struct bytes v = bytes_text(value);

    actor_sign(&hall.rig, &g->actor, m, &v, 1);
}

static void sign_put(struct guest *g, const char *key)
{
    struct msg m;

    op_put(&m, key);
    sign_one(g, &m, "1");
}

static void sign_puts(struct guest *g, unsigned n, const char *prefix)
{
    struct bytes v = bytes_text("1");
    char key[32];
    struct msg m;

    actor_begin(&g->actor);
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%s%u", prefix, i);
        op_put(&m, key);
        actor_add(&g->actor, &m, &v, 1);
    }
    actor_sign_begun(&hall.rig, &g->actor);
}

static uint8_t *signature_of(struct guest *g)
{
    uint8_t *frame = g->actor.frame.p;

    return frame + 8 + get_u32(frame + 4);
}

static bool is_there(const char *key)
{
    const struct key *k = hall_key(&hall, key);

    return k && !k->deleted;
}

static unsigned done(struct guest *g)
{
    return (unsigned)guest_items(g, MSG_DONE_ALL);
}

/* --- It is the same ------------------------------------------------------ */

static void puts_of_all_sizes(enum lone_way way)
{
    uint64_t size;

    begin(way);
    for (unsigned n = 1; n <= MANY; n += 13) {
        size = core_size(hall.rig.core);
        sign_puts(&ada, n, "k");
        CHECK_OK(guest_send_alone(&ada));
        CHECK_EQ(core_size(hall.rig.core), size + n);
        CHECK_EQ(core_durable(hall.rig.core), size + n);
        CHECK(is_there("k0"));
        CHECK_EQ(hall_key(&hall, "k0")->revision, size);
    }
    CHECK_EQ(done(&ada), 4);
    hall_close_read(&hall);
}

TEST(lone_puts_proven_first)
{
    puts_of_all_sizes(LONE_PROVEN);
}

TEST(lone_puts_proven_while_a_thread_syncs)
{
    puts_of_all_sizes(LONE_BESIDE);
}

TEST(lone_puts_proven_while_another_core_syncs)
{
    puts_of_all_sizes(LONE_ASIDE);
}

TEST(the_way_of_lone_puts_is_found_by_trying)
{
    begin(LONE_BY_TRIAL);
    for (unsigned i = 0; i < 3 * TRIAL_LOOKS + 8; i++) {
        sign_put(&ada, "a");
        CHECK_OK(guest_send_alone(&ada));
    }
    CHECK_EQ(done(&ada), 3 * TRIAL_LOOKS + 8);
    hall_close_read(&hall);
}

/* Whoever watches hears of it; a condition that does not hold is told. */
TEST(what_goes_ahead_is_told_as_ever)
{
    struct msg m;
    const struct msg *told;
    unsigned field;

    begin(LONE_BESIDE);
    msg_init(&m, MSG_WATCH);
    msg_set_u(&m, FIELD_WATCH, 1);
    msg_set_u(&m, FIELD_REVISION, core_size(hall.rig.core));
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "");
    msg_set_u(&m, FIELD_CREDIT, 100);
    guest_ask(&bob, &m);
    hall_settle(&hall);
    sign_put(&ada, "a");
    CHECK_OK(guest_send_alone(&ada));
    hall_settle(&hall);
    CHECK_EQ(guest_items(&bob, MSG_CHANGE), 1);
    op_put(&m, "a");
    msg_set_u(&m, FIELD_IF_REVISION, 1);
    sign_one(&ada, &m, "2");
    CHECK_OK(guest_send_alone(&ada));
    told = guest_item(&ada, MSG_DONE);
    CHECK(told);
    CHECK_EQ(msg_u(told, FIELD_OUTCOME), CHOIR_CONFLICT);
    CHECK_OK(part_decode(MSG_EFFECT, msg_b(told, FIELD_EFFECT), &m, &field));
    CHECK_EQ(msg_u(&m, FIELD_REVISION), hall_key(&hall, "a")->revision);
    hall_close_read(&hall);
}

/* What rests on what came before it in the bundle is decided after that. */
static void two_puts(const char *first, const char *second, const char *id,
                     int outcome)
{
    struct bytes v = bytes_text("1");
    struct msg m;

    begin(LONE_BESIDE);
    actor_begin(&ada.actor);
    for (unsigned i = 0; i < 2; i++) {
        op_put(&m, i ? second : first);
        if (id)
            msg_set_text(&m, FIELD_ID, id);
        else
            msg_set_u(&m, FIELD_IF_REVISION, 0);
        actor_add(&ada.actor, &m, &v, 1);
    }
    actor_sign_begun(&hall.rig, &ada.actor);
    CHECK_OK(guest_send_alone(&ada));
    CHECK_EQ(core_counters(hall.rig.core)->outcomes[outcome], 1);
    hall_close_read(&hall);
}

TEST(puts_that_rest_on_each_other_follow_each_other)
{
    two_puts("a", "a", NULL, CHOIR_CONFLICT);
    two_puts("a", "b", "once", CHOIR_REPEATED);
}

TEST(other_operations_and_merged_prefixes_are_proven_first)
{
    struct msg m;

    begin(LONE_BESIDE);
    msg_init(&m, MSG_POLICY);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_PREFIX, "m/");
    msg_set_u(&m, FIELD_RULE, RULE_LWW);
    CHECK_OK(guest_do(&ada, &m, NULL));
    hall_settle(&hall);
    writes = 0;
    sign_put(&ada, "m/a");
    signature_of(&ada)[0] ^= 1;
    CHECK_REFUSED(guest_send_alone(&ada), CHOIR_BAD_SIGNATURE);
    CHECK_EQ(writes, 0);
    hall_close_read(&hall);
}

/* Checkpoints and what else the broker says by itself are not starved. */
TEST(the_house_is_kept_while_all_goes_ahead)
{
    uint64_t checkpoint;

    begin(LONE_BESIDE);
    checkpoint = rig_state(&hall.rig)->checkpoint;
    hall.rig.config->checkpoint_entries = 50;
    for (unsigned i = 0; i < 200; i++) {
        sign_put(&ada, "a");
        CHECK_OK(guest_send_alone(&ada));
        CHECK(core_size(hall.rig.core) - rig_state(&hall.rig)->checkpoint <=
              51);
    }
    CHECK(rig_state(&hall.rig)->checkpoint > checkpoint);
    hall_close_read(&hall);
}

TEST(one_in_a_while_is_proven_first)
{
    struct curve_pair once;
    struct buf rows = {0};
    struct msg m, row;
    uint64_t index;

    begin(LONE_BESIDE);
    curve_pair_new(&once);
    msg_init(&row, MSG_GRANT_ROW);
    msg_set_u(&row, FIELD_RIGHTS, 1);
    msg_set_text(&row, FIELD_SPACE, "main");
    msg_set_text(&row, FIELD_PREFIX, "");
    msg_encode(&row, &rows);
    msg_init(&m, MSG_INVITE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(once.public_key, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    CHECK_OK(rig_say(&hall.rig, &m, &index));
    buf_free(&rows);
    hall_settle(&hall);
    env_sim_advance_us(hall.rig.env, UINT64_C(601000000));
    hall.rig.config->session_idle_s = 100000;
    for (unsigned i = 0; i < 70; i++) {
        sign_put(&ada, "a");
        CHECK_OK(guest_send_alone(&ada));
    }
    CHECK_NULL(invite_by_index(rig_state(&hall.rig)->agents, index));
    hall_close_read(&hall);
}

/* --- A false signature --------------------------------------------------- */

static void false_signatures(enum lone_way way, unsigned n)
{
    uint64_t size, bytes;
    struct hash digest;

    begin(way);
    sign_put(&ada, "a");
    CHECK_OK(guest_send_alone(&ada));
    size = core_size(hall.rig.core);
    bytes = ledger_bytes(core_ledger(hall.rig.core));
    digest = state_digest(rig_state(&hall.rig));
    sign_puts(&ada, n, "b");
    for (unsigned i = 0; i < 3; i++) {
        struct hash after;

        writes = 0;
        signature_of(&ada)[40] ^= 1;
        CHECK_REFUSED(guest_send_alone(&ada), CHOIR_BAD_SIGNATURE);
        CHECK_EQ(writes, way != LONE_PROVEN); /* it was on its way */
        CHECK(!writes || is_zero_there());
        after = state_digest(rig_state(&hall.rig));
        CHECK(hash_equal(&digest, &after));
        CHECK_EQ(core_size(hall.rig.core), size);
        CHECK_EQ(ledger_size(core_ledger(hall.rig.core)), size);
        CHECK_EQ(ledger_durable(core_ledger(hall.rig.core)), size);
        CHECK_EQ(ledger_bytes(core_ledger(hall.rig.core)), bytes);
        CHECK_EQ(core_counters(hall.rig.core)->bad_signatures, i + 1);
        CHECK_EQ(done(&ada), 1);
        signature_of(&ada)[40] ^= 1;
    }
    CHECK_OK(guest_send_alone(&ada)); /* the true one, at its place */
    CHECK_EQ(hall_key(&hall, "b0")->revision, size);
    CHECK_EQ(done(&ada), 2);
    hall_close_read(&hall);
}

TEST(a_false_signature_leaves_nothing)
{
    false_signatures(LONE_PROVEN, 1);
    false_signatures(LONE_BESIDE, 1);
    false_signatures(LONE_ASIDE, 1);
}

TEST(a_false_signature_of_many_leaves_nothing)
{
    false_signatures(LONE_BESIDE, MANY);
    false_signatures(LONE_ASIDE, MANY);
}

/* What would be turned away, and how, is nothing to say to a forger. */
TEST(a_false_signature_out_of_order_is_dropped)
{
    struct actor *a = &ada.actor;
    struct hash prev;
    uint64_t next;

    begin(LONE_BESIDE);
    sign_put(&ada, "a");
    CHECK_OK(guest_send_alone(&ada));
    prev = a->prev_hash;
    next = a->next_seq;
    for (unsigned i = 0; i < 3; i++) {
        a->prev_hash = prev;
        a->next_seq = next;
        a->answered = 0;
        if (i == 0)
            a->prev_hash.b[0] ^= 1;
        else if (i == 1)
            a->answered = next + 5;
        else
            a->next_seq++;
        sign_put(&ada, "b");
        signature_of(&ada)[0] ^= 1;
        CHECK_REFUSED(guest_send_alone(&ada), CHOIR_BAD_SIGNATURE);
        CHECK(session_by_id(rig_state(&hall.rig)->sessions, a->session));
    }
    CHECK_EQ(guest_items(&ada, MSG_TURNED_AWAY), 0);
    hall_close_read(&hall);
}

enum { IN_HEAD, IN_PAYLOAD };

/* Signed, and then a key or a value is made another. */
static void falsify(struct guest *g, unsigned where)
{
    struct buf *frame = &g->actor.frame;
    uint8_t *key = memmem(frame->p, frame->n, "b0", 2);

    CHECK(key);
    if (where == IN_HEAD)
        *key = 'x';
    else
        frame->p[frame->n - 1] ^= 1;
}

/* Its session ends, as ever. */
static void false_contents(enum lone_way way, unsigned n, unsigned where)
{
    uint64_t size;

    begin(way);
    sign_put(&ada, "a");
    CHECK_OK(guest_send_alone(&ada));
    size = core_size(hall.rig.core);
    sign_puts(&ada, n, "b");
    falsify(&ada, where);
    writes = 0;
    CHECK_OK(guest_send_alone(&ada));
    CHECK_EQ(writes, way == LONE_PROVEN ? 1 : 2); /* that, and the end */
    CHECK_EQ(core_size(hall.rig.core), size + 1);
    CHECK_EQ(core_durable(hall.rig.core), size + 1);
    CHECK_NOT(is_there("b0") || is_there("x0"));
    CHECK_EQ(done(&ada), 1);
    CHECK_EQ(guest_items(&ada, MSG_TURNED_AWAY), 1);
    CHECK_EQ(core_counters(hall.rig.core)->turned_away, 1);
    CHECK_NULL(
        session_by_id(rig_state(&hall.rig)->sessions, ada.actor.session));
    hall_close_read(&hall);
}

TEST(false_contents_end_the_session_and_leave_nothing)
{
    for (unsigned where = IN_HEAD; where <= IN_PAYLOAD; where++) {
        false_contents(LONE_PROVEN, 1, where);
        false_contents(LONE_BESIDE, 1, where);
        false_contents(LONE_ASIDE, MANY, where);
    }
}

/* What was taken back is not charged to whom it was not from. */
TEST(a_false_signature_uses_up_no_rate)
{
    begin(LONE_BESIDE);
    hall.rig.config->agent_bytes_per_s = 20000;
    sign_puts(&ada, MANY, "a");
    signature_of(&ada)[0] ^= 1;
    for (unsigned i = 0; i < 20; i++)
        CHECK_REFUSED(guest_send_alone(&ada), CHOIR_BAD_SIGNATURE);
    signature_of(&ada)[0] ^= 1;
    CHECK_OK(guest_send_alone(&ada));
    CHECK_EQ(done(&ada), 1);
    hall_close_read(&hall);
}

TEST(a_false_signature_is_all_that_is_said_without_room)
{
    begin(LONE_ASIDE);
    hall.rig.config->agent_bytes_per_s = 1;
    sign_puts(&ada, MANY, "a");
    CHECK_OK(guest_send_alone(&ada));
    sign_puts(&ada, MANY, "b");
    signature_of(&ada)[0] ^= 1;
    CHECK_REFUSED(guest_send_alone(&ada), CHOIR_BAD_SIGNATURE);
    CHECK_EQ(guest_items(&ada, MSG_TURNED_AWAY), 0);
    signature_of(&ada)[0] ^= 1;
    CHECK_OK(guest_send_alone(&ada));
    CHECK_EQ(guest_items(&ada, MSG_TURNED_AWAY), 1);
    hall_close_read(&hall);
}

/* --- The broker dies in between ------------------------------------------- */

static bool a_file_was_cut(uint64_t index)
{
    char path[512];

    snprintf(path, sizeof path, "%s/cut-%012llu-1", hall.rig.dir,
             (unsigned long long)index);
    return access(path, F_OK) == 0;
}

static void spoil_signature(struct guest *g)
{
    signature_of(g)[0] ^= 1;
}

static void spoil_head(struct guest *g)
{
    falsify(g, IN_HEAD);
}

static void spoil_payload(struct guest *g)
{
    falsify(g, IN_PAYLOAD);
}

/* The broker dies when a false bundle has been written and is not yet taken
 * back. `torn`: the group itself says so. */
static void dies_with(void (*spoil)(struct guest *g), bool torn)
{
    struct verify_result result;
    uint64_t size;

    begin(LONE_BESIDE);
    sign_put(&ada, "a");
    CHECK_OK(guest_send_alone(&ada));
    size = core_size(hall.rig.core);
    sign_puts(&bob, 3, "b");
    spoil(&bob);
    first_only = true;
    last.n = 0;
    CHECK(guest_send_alone(&bob) >= 0);
    first_only = false;
    CHECK(last.n);
    written_again();
    CHECK_OK(verify_record(hall.rig.dir, hall.rig.env, &result));
    CHECK_EQ(result.cut, torn ? 0 : size);
    CHECK_EQ(result.entries, size);
    hall_restart(&hall, false);
    CHECK(is_there("a"));
    CHECK_NOT(is_there("b1"));
    CHECK(a_file_was_cut(size));
    CHECK_EQ(core_size(hall.rig.core), size + 1); /* the cut */
    hall_restart(&hall, false);                   /* once is enough */
    CHECK_EQ(core_size(hall.rig.core), size + 1);
    hall_close_read(&hall);
}

TEST(what_was_not_proven_before_a_crash_is_cut)
{
    dies_with(spoil_signature, false);
    dies_with(spoil_head, false);
    dies_with(spoil_payload, true);
}

TEST(what_was_proven_before_a_crash_stays)
{
    uint64_t size;

    begin(LONE_BESIDE);
    sign_puts(&ada, 3, "a");
    CHECK_OK(guest_send_alone(&ada));
    size = core_size(hall.rig.core);
    hall_restart(&hall, false);
    CHECK_EQ(core_size(hall.rig.core), size);
    CHECK(is_there("a2"));
    hall_close_read(&hall);
}

/* How many, and whether their signature is false. */
static void disk_fails(int *how, unsigned n, bool is_false)
{
    begin(LONE_ASIDE);
    sign_puts(&ada, n, "a");
    if (is_false)
        signature_of(&ada)[0] ^= 1;
    *how = EIO;
    CHECK_EQ(guest_send_alone(&ada), -EIO);
    buf_free(&ada.actor.frame); /* nobody is at it any more */
    *how = 0;
    CHECK_EQ(done(&ada), 0);
    hall_close(&hall);
}

TEST(a_sync_that_fails_ends_it)
{
    disk_fails(&sync_fails, 1, false);
    disk_fails(&sync_fails, MANY, false);
}

TEST(a_false_one_that_cannot_be_taken_back_ends_it)
{
    disk_fails(&sync_fails, 1, true);
    disk_fails(&sync_fails, MANY, true);
}

/* While the crew is at its proof. */
TEST(a_write_that_fails_ends_it)
{
    disk_fails(&write_fails, 1, false);
    for (int i = 0; i < 20; i++)
        disk_fails(&write_fails, MANY, false);
}

CHECK_MAIN
