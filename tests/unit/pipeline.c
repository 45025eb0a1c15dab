/* Syncs that go on while the next cycles do: what is told, and when. The disk
 * is this program's own fdatasync, which waits until it is let go. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob;

/* --- The disk ------------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool is_slow;
static unsigned begun, let_go, left_before;
static int failure;

/* Answers that have left; only the broker's own thread looks at them. */
static unsigned left(void)
{
    return (unsigned)(guest_items(&ada, MSG_DONE_ALL) +
                      guest_items(&bob, MSG_DONE_ALL));
}

int fdatasync(int fd)
{
    int r = 0;

    pthread_mutex_lock(&lock);
    if (gettid() == getpid())
        left_before = left();
    if (is_slow) {
        unsigned mine = ++begun;

        pthread_cond_broadcast(&changed);
        while (let_go < mine)
            pthread_cond_wait(&changed, &lock);
    }
    if (failure) {
        errno = failure;
        r = -1;
    }
    pthread_mutex_unlock(&lock);
    return r ? r : fsync(fd);
}

static void disk_set(bool slow, int fails)
{
    pthread_mutex_lock(&lock);
    is_slow = slow;
    failure = fails;
    begun = 0;
    let_go = slow ? 0 : UINT_MAX; /* those that wait, too */
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_until_begun(unsigned n)
{
    pthread_mutex_lock(&lock);
    while (begun < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* The oldest sync has ended; the broker has not looked yet. */
static void sync_has_ended(void)
{
    struct pollfd p = {.fd = hall.synced_fd, .events = POLLIN};

    pthread_mutex_lock(&lock);
    let_go++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    CHECK_EQ(poll(&p, 1, 20000), 1);
}

/* The broker hears of it. What cycle_settle says. */
static int sync_ends(void)
{
    sync_has_ended();
    return cycle_settle(hall.cycle);
}

static void begin(void)
{
    disk_set(false, 0);
    hall_open_beside(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", 127);
    hall_turn(&hall);
    disk_set(true, 0);
}

static void end(void)
{
    disk_set(false, 0);
    hall_close(&hall);
}

static unsigned done(struct guest *g)
{
    return (unsigned)guest_items(g, MSG_DONE_ALL);
}

/* A turn of two frames, so that its sync goes on beside. */
static void both_put(const char *key)
{
    CHECK_OK(guest_put(&ada, key, "1"));
    CHECK_OK(guest_put(&bob, "other", "1"));
    hall_turn(&hall);
}

static void let_all_out(void)
{
    struct pollfd p = {.fd = hall.synced_fd, .events = POLLIN};

    disk_set(false, 0);
    hall_turn(&hall);
    while (cycle_waits(hall.cycle)) {
        CHECK_EQ(poll(&p, 1, 20000), 1);
        CHECK_OK(cycle_settle(hall.cycle));
    }
}

/* --- Tests --------------------------------------------------------------- */

TEST(nothing_is_answered_while_its_sync_goes_on)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    CHECK(cycle_waits(hall.cycle));
    CHECK_OK(cycle_settle(hall.cycle)); /* nothing has ended */
    CHECK_EQ(done(&ada) + done(&bob), 0);
    CHECK_OK(sync_ends());
    CHECK_EQ(done(&ada), 1);
    CHECK_EQ(done(&bob), 1);
    CHECK(!cycle_waits(hall.cycle));
    end();
}

TEST(a_sync_releases_only_what_it_covers)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    both_put("b"); /* goes on: state and record move, nobody is told */
    CHECK_OK(guest_put(&ada, "c", "1"));
    hall_turn(&hall);
    CHECK_EQ(done(&ada), 0);
    CHECK_OK(sync_ends());
    CHECK_EQ(done(&ada), 1);
    CHECK_EQ(done(&bob), 1);
    wait_until_begun(2); /* one for both turns */
    CHECK_OK(sync_ends());
    CHECK_EQ(done(&ada), 3);
    CHECK_EQ(done(&bob), 2);
    end();
}

/* Or whoever is shown a head of one size and the root of another takes the
 * broker for a liar. */
TEST(the_head_that_answers_state_is_of_what_is_durable)
{
    struct answer_facts facts;
    struct hash root;
    uint64_t size;

    begin();
    both_put("a");
    size = core_size(hall.rig.core);
    root = frontier_root(&rig_state(&hall.rig)->tree);
    wait_until_begun(1);
    both_put("b");
    both_put("c");
    CHECK_OK(sync_ends());
    core_answer_facts(hall.rig.core, &facts);
    CHECK_EQ(facts.size, size);
    CHECK(hash_equal(&facts.root, &root));
    size = core_size(hall.rig.core);
    root = frontier_root(&rig_state(&hall.rig)->tree);
    wait_until_begun(2);
    CHECK_OK(sync_ends());
    core_answer_facts(hall.rig.core, &facts);
    CHECK_EQ(facts.size, size);
    CHECK(hash_equal(&facts.root, &root));
    end();
}

/* One beyond the record's end would say after a crash that entries were lost.
 */
TEST(a_snapshot_begins_when_all_it_holds_is_durable)
{
    uint64_t size, before;

    begin();
    disk_set(false, 0);
    both_put("a");
    let_all_out();
    before = core_counters(hall.rig.core)->snapshots;
    hall.rig.config->checkpoint_entries = 1;
    both_put("b");
    size = core_size(hall.rig.core);
    CHECK_EQ(core_durable(hall.rig.core), size);
    for (int i = 0; core_counters(hall.rig.core)->snapshots == before; i++) {
        CHECK(i < 10000);
        hall_pass(&hall, 1000);
    }
    end();
}

TEST(a_read_of_what_is_not_durable_waits_with_it)
{
    struct msg get;

    msg_init(&get, MSG_GET);
    msg_set_text(&get, FIELD_SPACE, "main");
    msg_set_text(&get, FIELD_KEY, "a");
    begin();
    both_put("a");
    wait_until_begun(1);
    guest_ask(&bob, &get);
    hall_turn(&hall);
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 0);
    CHECK_OK(sync_ends());
    CHECK_EQ(guest_items(&bob, MSG_REPLY), 1);
    CHECK_EQ(msg_u(guest_item(&bob, MSG_REPLY), FIELD_OUTCOME), CHOIR_OK);
    end();
}

TEST(a_retry_is_not_answered_before_the_original_is_durable)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    CHECK_OK(guest_resend(&ada));
    hall_turn(&hall);
    CHECK_EQ(done(&ada) + guest_items(&ada, MSG_DONE), 0);
    CHECK_OK(sync_ends());
    CHECK(done(&ada) + guest_items(&ada, MSG_DONE) >= 1);
    end();
}

TEST(an_event_waits_for_the_sync_of_its_entry)
{
    struct msg watch;

    msg_init(&watch, MSG_WATCH);
    msg_set_text(&watch, FIELD_SPACE, "main");
    msg_set_text(&watch, FIELD_PREFIX, "");
    msg_set_u(&watch, FIELD_WATCH, 1);
    begin();
    disk_set(false, 0);
    msg_set_u(&watch, FIELD_REVISION, core_size(hall.rig.core));
    msg_set_u(&watch, FIELD_CREDIT, 100);
    guest_ask(&bob, &watch);
    hall_settle(&hall);
    disk_set(true, 0);
    both_put("a");
    wait_until_begun(1);
    CHECK_EQ(guest_items(&bob, MSG_CHANGE), 0);
    CHECK_OK(sync_ends());
    CHECK_EQ(guest_items(&bob, MSG_CHANGE), 2);
    end();
}

TEST(a_sync_that_fails_beside_ends_the_daemon_and_tells_nobody)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    both_put("b");
    disk_set(true, EIO);
    CHECK_EQ(sync_ends(), -EIO);
    CHECK_EQ(done(&ada) + done(&bob), 0);
    CHECK_EQ(guest_put(&ada, "c", "1"), -EIO); /* nor is anything taken */
    CHECK_EQ(done(&ada) + done(&bob), 0);
    end();
}

TEST(a_disk_that_does_not_answer_stops_the_intake)
{
    static char value[1000001]; /* too long: the refusal is an entry, too */
    unsigned n = 0;

    memset(value, 'v', sizeof value - 1);
    begin();
    disk_set(false, 0);
    hall.rig.config->segment_bytes = 64 << 20; /* its end is a sync, too */
    hall_restart(&hall, true);
    guest_connect(&ada);
    guest_connect(&bob);
    hall_turn(&hall);
    disk_set(true, 0);
    both_put("a");
    wait_until_begun(1);
    for (; !cycle_blocked(hall.cycle) && n < 100; n++) {
        CHECK_OK(guest_put(n % 2 ? &ada : &bob, "big", value));
        hall_turn(&hall);
    }
    CHECK(n > 28 && n < 36);
    CHECK(cycle_full(hall.cycle));
    CHECK_EQ(done(&ada) + done(&bob), 0);
    CHECK_OK(sync_ends());
    let_all_out();
    CHECK(!cycle_blocked(hall.cycle));
    CHECK_EQ(done(&ada) + done(&bob), 2);
    CHECK_EQ(guest_items(&ada, MSG_DONE) + guest_items(&bob, MSG_DONE), n);
    end();
}

TEST(a_lone_frame_is_synced_in_its_own_turn)
{
    begin();
    disk_set(false, 0);
    hall_pass(&hall, 1); /* nobody has waited for the last sync */
    CHECK_OK(guest_put(&ada, "a", "1"));
    hall_turn(&hall);
    CHECK_EQ(done(&ada), 1);
    end();
}

/* It is signed before, while the disk is at work: it must not leave then. */
TEST(a_lone_frame_is_answered_after_its_sync)
{
    begin();
    disk_set(false, 0);
    hall_pass(&hall, 1);
    left_before = 99;
    CHECK_OK(guest_put(&ada, "a", "1"));
    CHECK_OK(cycle_end(hall.cycle));
    CHECK_EQ(left_before, 0);
    CHECK_EQ(done(&ada), 1);
    CHECK(cycle_was_alone(hall.cycle));
    CHECK_OK(cycle_begin(hall.cycle));
    end();
}

TEST(frames_of_one_turn_are_not_alone)
{
    begin();
    disk_set(false, 0);
    CHECK_OK(guest_put(&ada, "a", "1"));
    CHECK_OK(guest_put(&bob, "b", "1"));
    CHECK_OK(cycle_end(hall.cycle));
    CHECK(!cycle_was_alone(hall.cycle));
    CHECK_OK(cycle_begin(hall.cycle));
    end();
}

TEST(a_lone_frame_whose_sync_fails_is_not_answered)
{
    begin();
    disk_set(false, 0);
    hall_pass(&hall, 1);
    disk_set(false, EIO);
    CHECK_OK(guest_put(&ada, "a", "1"));
    CHECK_EQ(cycle_end(hall.cycle), -EIO);
    CHECK_EQ(done(&ada), 0);
    CHECK_EQ(guest_put(&ada, "b", "1"), -EIO);
    CHECK_EQ(done(&ada), 0);
    end();
}

/* --- Proof ahead --------------------------------------------------------- */

static struct arrival arrival_of(struct guest *g)
{
    return (struct arrival){.from = g->connection,
                            .frame = buf_bytes(&g->actor.frame)};
}

static void sign_put(struct guest *g, const char *key)
{
    struct bytes value = bytes_text("1");
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, key);
    actor_sign(&hall.rig, &g->actor, &m, &value, 1);
}

/* One bundle after the other of the same session, in one batch: each follows
 * from the one before, whichever core proved it first. */
TEST(frames_that_are_proven_together_are_taken_in_order)
{
    enum { FRAMES = 40 };
    struct arrival list[FRAMES];
    struct buf frames[FRAMES] = {{0}};
    char key[8];

    begin();
    disk_set(false, 0);
    for (unsigned i = 0; i < FRAMES; i++) {
        snprintf(key, sizeof key, "k%u", i);
        sign_put(i % 3 ? &ada : &bob, key);
        list[i] = arrival_of(i % 3 ? &ada : &bob);
        buf_put(&frames[i], list[i].frame.p, list[i].frame.n);
        list[i].frame = buf_bytes(&frames[i]);
    }
    CHECK_OK(cycle_take_all(hall.cycle, list, FRAMES));
    for (unsigned i = 0; i < FRAMES; i++) {
        CHECK_EQ(list[i].code, 0);
        buf_free(&frames[i]);
    }
    let_all_out();
    CHECK_EQ(done(&ada) + done(&bob), FRAMES);
    end();
}

TEST(forged_frames_in_a_batch_are_dropped_alone)
{
    enum { FRAMES = 10 };
    struct arrival list[FRAMES];
    struct buf forged = {0};

    begin();
    disk_set(false, 0);
    sign_put(&bob, "b");
    buf_put(&forged, bob.actor.frame.p, bob.actor.frame.n);
    sign_put(&ada, "a");
    for (unsigned i = 0; i < FRAMES; i++)
        list[i] = (struct arrival){.from = bob.connection,
                                   .frame = buf_bytes(&forged)};
    list[0] = arrival_of(&ada);
    forged.p[8 + get_u32(forged.p + 4)] ^= 1; /* in the signature */
    list[FRAMES - 1] = arrival_of(&bob);
    CHECK_OK(cycle_take_all(hall.cycle, list, FRAMES));
    CHECK_EQ(list[0].code, 0);
    for (unsigned i = 1; i < FRAMES - 1; i++)
        CHECK_REFUSED(list[i].code, CHOIR_BAD_SIGNATURE);
    CHECK_EQ(list[FRAMES - 1].code, 0);
    let_all_out();
    CHECK_EQ(done(&ada), 1);
    CHECK_EQ(done(&bob), 1);
    buf_free(&forged);
    end();
}

/* Opens another session; what the guest signs next is said in that. */
static void session_sign(struct guest *g, struct buf *frame)
{
    struct actor *a = &g->actor;
    const struct state *s = rig_state(&hall.rig);
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = s->ledger,
        .agent = a->id,
        .epoch = s->epoch,
        .time = env_wall_us(hall.rig.env),
        .public_key = a->key.public_key,
    };
    struct msg m;

    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &a->challenge);
    actor_begin(a);
    actor_add(a, &m, NULL, 0);
    CHECK_OK(bundle_finish(&a->writer, &facts, &a->key, frame, &a->prev_hash));
    a->session = core_size(hall.rig.core);
    a->next_seq = 1;
    a->answered = 0;
}

/* Whose key it must be signed with was not known when it arrived: so nothing
 * was proven ahead, and what was proven at its place before, of another frame,
 * says nothing about it. */
TEST(a_forged_frame_is_dropped_although_its_session_opens_in_the_same_batch)
{
    struct arrival list[3];
    struct buf opening = {0}, forged = {0};

    begin();
    disk_set(false, 0);
    sign_put(&ada, "a");
    list[0] = list[1] = list[2] = arrival_of(&ada);
    CHECK_OK(cycle_take_all(hall.cycle, list, 3));
    hall_turn(&hall);
    session_sign(&ada, &opening);
    sign_put(&ada, "b");
    buf_put(&forged, ada.actor.frame.p, ada.actor.frame.n);
    forged.p[8 + get_u32(forged.p + 4)] ^= 1;
    list[0].frame = buf_bytes(&opening);
    list[1].frame = buf_bytes(&forged);
    list[2] = arrival_of(&ada);
    CHECK_OK(cycle_take_all(hall.cycle, list, 3));
    CHECK_EQ(list[0].code, 0);
    CHECK_REFUSED(list[1].code, CHOIR_BAD_SIGNATURE);
    CHECK_EQ(list[2].code, 0);
    let_all_out();
    CHECK(context_find(rig_state(&hall.rig)->context, bytes_text("main"),
                       bytes_text("b")));
    buf_free(&opening);
    buf_free(&forged);
    end();
}

/* The turn goes on, and what it takes waits for its own sync. */
TEST(what_is_durable_leaves_in_the_midst_of_a_turn)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    CHECK_OK(guest_put(&ada, "b", "1"));
    CHECK_EQ(done(&ada) + done(&bob), 0);
    sync_has_ended();
    CHECK_OK(guest_put(&bob, "b", "1"));
    CHECK_EQ(done(&ada), 1);
    CHECK_EQ(done(&bob), 1);
    CHECK_OK(cycle_end(hall.cycle));
    CHECK_EQ(done(&ada) + done(&bob), 2);
    wait_until_begun(2);
    CHECK_OK(cycle_begin(hall.cycle));
    CHECK_OK(sync_ends());
    CHECK_EQ(done(&ada), 2);
    CHECK_EQ(done(&bob), 2);
    end();
}

/* What an earlier turn has appended does not wait for the end of this one. */
TEST(the_next_sync_begins_in_the_midst_of_a_turn)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    both_put("b");
    sync_has_ended();
    CHECK_OK(guest_put(&ada, "c", "1"));
    wait_until_begun(2);
    CHECK_EQ(done(&ada) + done(&bob), 2);
    sync_has_ended();
    CHECK_OK(guest_put(&bob, "c", "1"));
    CHECK_EQ(done(&ada) + done(&bob), 4);
    let_all_out();
    CHECK_EQ(done(&ada) + done(&bob), 6);
    end();
}

TEST(a_sync_that_fails_in_the_midst_of_a_turn_ends_the_daemon)
{
    begin();
    both_put("a");
    wait_until_begun(1);
    disk_set(true, EIO);
    sync_has_ended();
    CHECK_EQ(guest_put(&ada, "b", "1"), -EIO);
    CHECK_EQ(done(&ada) + done(&bob), 0);
    end();
}

/* Its end waits for all syncs, and nobody else will tell that they have ended.
 */
TEST(what_the_end_of_a_segment_made_durable_leaves_at_once)
{
    struct msg erase;
    uint64_t segments;

    msg_init(&erase, MSG_ERASE);
    msg_set_text(&erase, FIELD_SPACE, "main");
    msg_set_text(&erase, FIELD_KEY, "a");
    begin();
    disk_set(false, 0);
    both_put("a");
    let_all_out();
    CHECK_OK(guest_do(&ada, &erase, NULL));
    let_all_out();
    hall_turn(&hall);
    segments = ledger_segments(core_ledger(hall.rig.core));
    env_sim_advance_us(hall.rig.env, 600000);
    CHECK_OK(cycle_begin(hall.cycle));
    CHECK_OK(guest_put(&ada, "b", "1"));
    CHECK_OK(guest_put(&bob, "b", "1"));
    CHECK_OK(cycle_end(hall.cycle));
    CHECK_EQ(ledger_segments(core_ledger(hall.rig.core)), segments + 1);
    CHECK(!core_syncing(hall.rig.core));
    CHECK(!cycle_waits(hall.cycle));
    CHECK_OK(cycle_begin(hall.cycle));
    end();
}

/* The proof is made when the bundle arrives, the judgement when its turn has
 * come: what was decided in between counts. */
TEST(a_key_revoked_earlier_in_the_batch_proves_nothing)
{
    struct arrival list[2];
    struct msg revoke;

    begin();
    disk_set(false, 0);
    msg_init(&revoke, MSG_REVOKE);
    msg_set_hash(&revoke, FIELD_AGENT, &bob.actor.id);
    actor_sign(&hall.rig, &ada.actor, &revoke, NULL, 0);
    sign_put(&bob, "late");
    list[0] = arrival_of(&ada);
    list[1] = arrival_of(&bob);
    CHECK_OK(cycle_take_all(hall.cycle, list, 2));
    let_all_out();
    CHECK_EQ(done(&bob), 0);
    CHECK(!context_find(rig_state(&hall.rig)->context, bytes_text("main"),
                        bytes_text("late")));
    end();
}

CHECK_MAIN
