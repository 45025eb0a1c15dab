/* The cycle, sessions and recovery: exactly once, and the same state from
 * wherever it is rebuilt. */
#include "broker/core.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "broker/verify.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

enum { ALL = RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK };

static struct rig rig;
static struct actor ada;
static struct told told;
static struct msg put;

static void begin(void)
{
    rig_open(&rig);
    actor_join(&rig, &ada, "ada", "team", ALL);
    msg_init(&put, MSG_PUT);
    msg_set_text(&put, FIELD_SPACE, "team");
    msg_set_text(&put, FIELD_KEY, "k");
}

static void end(void)
{
    actor_free(&ada);
    buf_free(&told.effect_bytes);
    told = (struct told){0};
    rig_close(&rig);
}

static struct bytes one(void)
{
    return bytes_text("one");
}

static void ignore(void *arg, const struct bundle *b, uint32_t position,
                   int outcome, uint64_t index, struct bytes effect)
{
    (void)arg, (void)b, (void)position;
    (void)outcome, (void)index, (void)effect;
}

TEST(the_same_bytes_again_give_the_original_outcome)
{
    struct bytes v = one();
    uint64_t first;

    begin();
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    first = told.index;
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK(told.duplicate);
    CHECK_EQ(told.outcome, CHOIR_OK);
    CHECK_EQ(told.index, first);
    CHECK_EQ(core_size(rig.core), first + 1);
    end();
}

TEST(old_outcomes_are_read_back_so_many_times_a_cycle)
{
    struct bytes v = one();
    struct bundle b = {0};
    struct accepted out = {0};
    struct sender from;
    int n = 0;

    begin();
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    from = (struct sender){.agent = ada.number, .challenge = &ada.challenge};
    core_begin(rig.core);
    while (!out.turnaway && n++ < 5000) {
        CHECK_OK(bundle_open(&b, buf_bytes(&ada.frame)));
        CHECK_OK(core_accept(rig.core, &b, &from, ignore, NULL, &out));
    }
    CHECK_EQ(out.turnaway, CHOIR_BUSY);
    CHECK_EQ(out.limit, 4096);
    CHECK_EQ(n, 4097);
    CHECK_OK(core_commit(rig.core));
    CHECK_OK(actor_resend(&rig, &ada, &told)); /* the next cycle answers */
    CHECK(told.duplicate);
    bundle_free(&b);
    end();
}

TEST(a_retry_after_a_crash_gives_the_original_outcome)
{
    struct bytes v = one();
    uint64_t first;

    begin();
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    first = told.index;
    CHECK_OK(rig_reopen(&rig, false));
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK(told.duplicate);
    CHECK_EQ(told.index, first);
    end();
}

TEST(other_bytes_under_the_same_number_end_the_session)
{
    struct bytes v = one(), w = bytes_text("two");
    struct hash before;

    begin();
    before = ada.prev_hash;
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    ada.next_seq--;
    ada.prev_hash = before;
    CHECK_OK(actor_do(&rig, &ada, &put, &w, 1, &told));
    CHECK_EQ(told.turnaway, CHOIR_EQUIVOCATION);
    CHECK(told.ends_session);
    CHECK_NULL(session_by_id(rig_state(&rig)->sessions, ada.session));
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK_EQ(told.turnaway, CHOIR_SESSION_ENDED);
    end();
}

TEST(a_gap_is_turned_away_and_uses_up_nothing)
{
    struct bytes v = one();
    uint64_t size;

    begin();
    size = core_size(rig.core);
    ada.next_seq++;
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    CHECK_EQ(told.turnaway, CHOIR_SEQ_GAP);
    CHECK_EQ(core_size(rig.core), size);
    ada.next_seq--;
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    end();
}

TEST(an_answered_bundle_is_not_answered_again)
{
    struct bytes v = one();
    struct buf old = {0};

    begin();
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    buf_put(&old, ada.frame.p, ada.frame.n);
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    CHECK_OK(actor_send(&rig, &ada, buf_bytes(&old), &told));
    CHECK_EQ(told.turnaway, CHOIR_ANSWERED);
    buf_free(&old);
    end();
}

TEST(a_bundle_that_follows_from_another_one_ends_the_session)
{
    struct bytes v = one();

    begin();
    ada.prev_hash.b[0] ^= 1;
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    CHECK_EQ(told.turnaway, CHOIR_MALFORMED);
    CHECK(told.ends_session);
    CHECK(!session_by_id(rig_state(&rig)->sessions, ada.session));
    end();
}

TEST(a_flipped_bit_in_header_or_signature_is_turned_away)
{
    struct bytes v = one();
    uint64_t size;

    begin();
    size = core_size(rig.core);
    actor_sign(&rig, &ada, &put, &v, 1);
    ada.frame.p[ada.frame.n - 1] ^= 1; /* the payload */
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK_EQ(told.turnaway, CHOIR_MALFORMED);
    CHECK(told.ends_session);
    actor_session(&rig, &ada);
    size = core_size(rig.core);
    actor_sign(&rig, &ada, &put, &v, 1);
    ada.frame.p[get_u32(ada.frame.p + 4) + 8] ^= 1; /* the signature */
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK_EQ(told.turnaway, CHOIR_BAD_SIGNATURE);
    CHECK_EQ(core_size(rig.core), size);
    end();
}

TEST(another_agents_connection_cannot_speak_in_a_session)
{
    struct bytes v = one();
    struct actor eve = {0};

    begin();
    actor_join(&rig, &eve, "eve", "team", ALL);
    actor_sign(&rig, &ada, &put, &v, 1);
    CHECK_OK(actor_send(&rig, &eve, buf_bytes(&ada.frame), &told));
    CHECK_EQ(told.turnaway, CHOIR_UNKNOWN_AGENT);
    CHECK_OK(actor_resend(&rig, &ada, &told));
    CHECK_EQ(told.outcome, CHOIR_OK);
    actor_free(&eve);
    end();
}

TEST(a_session_is_opened_for_this_connections_challenge_only)
{
    struct hash other;

    begin();
    other = ada.challenge;
    other.b[0] ^= 1;
    ada.challenge = other;
    CHECK_OK(actor_resend(&rig, &ada, &told)); /* its joining bundle */
    CHECK_EQ(told.turnaway, CHOIR_BAD_CHALLENGE);
    end();
}

TEST(a_joining_bundle_outside_every_chain_is_malformed)
{
    struct bundle_facts facts;
    struct buf head = {0}, frame = {0};
    struct bundle_writer w = {0};
    struct hash hash;
    struct msg m;

    begin();
    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &ada.challenge);
    msg_encode(&m, &head);
    facts = (struct bundle_facts){
        .kind = BUNDLE_RECORD,
        .ledger = rig_state(&rig)->ledger,
        .agent = ada.id,
        .prev_hash = ada.prev_hash, /* zeros belong there */
        .epoch = rig_state(&rig)->epoch,
        .public_key = ada.key.public_key,
    };
    bundle_begin(&w);
    CHECK_OK(bundle_add(&w, buf_bytes(&head), (struct bytes){0}));
    CHECK_OK(bundle_finish(&w, &facts, &ada.key, &frame, &hash));
    CHECK_OK(actor_send(&rig, &ada, buf_bytes(&frame), &told));
    CHECK_EQ(told.turnaway, CHOIR_MALFORMED);
    facts.prev_hash = (struct hash){{0}};
    buf_clear(&frame);
    CHECK_OK(bundle_finish(&w, &facts, &ada.key, &frame, &hash));
    CHECK_OK(actor_send(&rig, &ada, buf_bytes(&frame), &told));
    CHECK_EQ(told.turnaway, 0);
    bundle_writer_free(&w);
    buf_free(&head);
    buf_free(&frame);
    end();
}

TEST(an_unknown_field_is_refused_by_name_and_recorded)
{
    struct buf head = {0};
    uint64_t size;

    begin();
    size = core_size(rig.core);
    msg_init(&put, MSG_DELETE);
    msg_set_text(&put, FIELD_SPACE, "team");
    msg_set_text(&put, FIELD_KEY, "k");
    msg_set_u(&put, FIELD_CREDIT, 3); /* delete has no such option */
    CHECK_OK(actor_do(&rig, &ada, &put, NULL, 0, &told));
    CHECK_EQ(told.outcome, CHOIR_UNSUPPORTED);
    CHECK_MEM(msg_b(&told.effect, FIELD_FIELD).p, "credit", 6);
    CHECK_EQ(core_size(rig.core), size + 1);
    CHECK_OK(rig_reopen(&rig, false));
    buf_free(&head);
    end();
}

static void do_some_work(void)
{
    uint64_t task, token;

    for (int i = 0; i < 40; i++) {
        char key[16];

        snprintf(key, sizeof key, "key/%d", i % 11);
        CHECK_EQ(actor_put(&rig, &ada, "team", key, "v", NULL), CHOIR_OK);
    }
    CHECK_EQ(actor_submit(&rig, &ada, "q", &task), CHOIR_OK);
    CHECK_EQ(actor_submit(&rig, &ada, "q", NULL), CHOIR_OK);
    CHECK_EQ(rig_claim(&rig, &ada, task, &token), CHOIR_OK);
}

static void same_after_reopen(bool clean, const char *remove_file)
{
    struct hash digest, root, now;
    uint64_t size;
    char path[600];

    if (clean) {
        CHECK_OK(rig_reopen(&rig, true));
    }
    digest = state_digest(rig_state(&rig));
    root = frontier_root(&rig_state(&rig)->tree);
    size = core_size(rig.core);
    if (remove_file) {
        snprintf(path, sizeof path, "%s/%s", rig.dir, remove_file);
        CHECK_OK(unlink(path));
    }
    CHECK_OK(rig_reopen(&rig, false));
    now = state_digest(rig_state(&rig));
    CHECK_EQ(core_size(rig.core), size);
    CHECK_MEM(now.b, digest.b, HASH_BYTES);
    now = frontier_root(&rig_state(&rig)->tree);
    CHECK_MEM(now.b, root.b, HASH_BYTES);
}

TEST(replay_from_scratch_gives_the_same_digest)
{
    begin();
    do_some_work();
    same_after_reopen(false, NULL);
    end();
}

TEST(snapshot_and_tail_give_the_same_digest)
{
    begin();
    do_some_work();
    CHECK_OK(rig_reopen(&rig, true)); /* writes a snapshot */
    do_some_work();
    same_after_reopen(false, NULL);
    end();
}

TEST(deleting_the_snapshot_changes_nothing)
{
    begin();
    do_some_work();
    same_after_reopen(true, "state.snapshot");
    end();
}

TEST(a_snapshot_beyond_the_record_stops_the_start)
{
    char command[1400];

    begin();
    do_some_work();
    CHECK_OK(rig_reopen(&rig, true));
    snprintf(command, sizeof command, "cp -r %s %s.old", rig.dir, rig.dir);
    CHECK_OK(system(command));
    do_some_work();
    CHECK_OK(rig_reopen(&rig, true));
    snprintf(command, sizeof command,
             "cp %s/state.snapshot %s.old/ && rm -rf %s && mv %s.old %s",
             rig.dir, rig.dir, rig.dir, rig.dir, rig.dir);
    core_destroy(&rig.core);
    CHECK_OK(system(command));
    CHECK_EQ(
        core_open(&rig.core,
                  &(struct core_options){.config = rig.config, .env = rig.env},
                  rig.trouble),
        -EUCLEAN);
    CHECK(strstr(rig.trouble, "lost") != NULL);
    end();
}

TEST(a_snapshot_of_another_history_stops_the_start)
{
    char command[1600];

    begin();
    do_some_work();
    CHECK_OK(rig_reopen(&rig, true));
    snprintf(command, sizeof command, "cp -r %s %s.old", rig.dir, rig.dir);
    CHECK_OK(system(command));
    do_some_work();
    CHECK_OK(rig_reopen(&rig, true));
    core_destroy(&rig.core);
    snprintf(command, sizeof command,
             "cp %s/state.snapshot /%s.snap && rm -rf %s && mv %s.old %s",
             rig.dir, rig.dir, rig.dir, rig.dir, rig.dir);
    CHECK_OK(system(command));
    CHECK_OK(core_open(
        &rig.core, &(struct core_options){.config = rig.config, .env = rig.env},
        rig.trouble));
    env_sim_advance_us(rig.env, 5);
    actor_session(&rig, &ada);
    do_some_work(); /* the same operations, at other times: another fork */
    CHECK_OK(rig_reopen(&rig, true));
    core_destroy(&rig.core);
    snprintf(command, sizeof command, "mv /%s.snap %s/state.snapshot", rig.dir,
             rig.dir);
    CHECK_OK(system(command));
    CHECK_EQ(
        core_open(&rig.core,
                  &(struct core_options){.config = rig.config, .env = rig.env},
                  rig.trouble),
        -EUCLEAN);
    CHECK(strstr(rig.trouble, "history") != NULL);
    end();
}

TEST(deciding_again_gives_every_recorded_outcome)
{
    struct verify_result result;
    struct actor eve = {0};

    begin();
    do_some_work();
    CHECK_EQ(actor_put_if(&rig, &ada, "team", "key/1", "v", 1, NULL),
             CHOIR_CONFLICT);
    actor_join(&rig, &eve, "eve", "elsewhere", ALL);
    CHECK_EQ(actor_put(&rig, &eve, "team", "key/1", "v", NULL), CHOIR_DENIED);
    CHECK_OK(rig_reopen(&rig, true));
    CHECK_OK(verify_record(rig.dir, rig.env, &result));
    CHECK_EQ(result.entries, core_size(rig.core));
    CHECK_EQ(result.checkpoints, 1);
    CHECK_EQ(result.decided, result.entries - 2);
    actor_free(&eve);
    end();
}

/* A group whose one entry says OK to what decide refuses. */
static void append_wrong_outcome(const struct bundle_facts *facts,
                                 uint64_t size, uint64_t time)
{
    struct ledger_options o = {.dir = rig.dir, .env = rig.env};
    struct buf header = {0}, head = {0};
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct hash root;
    struct ledger_head found;
    struct group group = {0};
    struct bytes none = {0};
    struct ledger *l;
    struct msg m;

    msg_init(&m, MSG_DELETE);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_KEY, "never was");
    msg_encode(&m, &head);
    root = op_hash(buf_bytes(&head));
    bundle_header_put(&header, facts, &root, 1);
    key_sign(&ada.key, KEY_FOR_BUNDLE, &facts->ledger, buf_bytes(&header),
             signature);
    group_begin(&group, 1, size, time);
    group_add_bundle(&group, buf_bytes(&header), signature);
    group_add(&group, buf_bytes(&head), none, CHOIR_OK, none, none);
    CHECK_OK(ledger_open(&l, &o, &found));
    CHECK_OK(ledger_room(l, 4096));
    CHECK_OK(ledger_append(l, &group));
    CHECK_OK(ledger_sync(l));
    ledger_close(&l);
    group_free(&group);
    buf_free(&header);
    buf_free(&head);
}

TEST(an_outcome_that_would_be_decided_otherwise_is_named)
{
    struct verify_result result;
    struct bundle_facts facts;
    uint64_t size, time;

    begin();
    facts = (struct bundle_facts){
        .kind = BUNDLE_RECORD,
        .ledger = rig_state(&rig)->ledger,
        .agent = ada.id,
        .session = ada.session,
        .first_seq = ada.next_seq,
        .prev_hash = ada.prev_hash,
        .epoch = 1,
    };
    size = core_size(rig.core);
    time = rig_state(&rig)->time;
    core_destroy(&rig.core);
    append_wrong_outcome(&facts, size, time);
    CHECK_EQ(verify_record(rig.dir, rig.env, &result), -EUCLEAN);
    CHECK(strstr(result.trouble, "decided otherwise") != NULL);
    end();
}

TEST(a_clock_set_back_never_sets_the_ledger_back)
{
    uint64_t before;

    begin();
    before = rig_state(&rig)->time;
    env_sim_set_wall_us(rig.env, 1000);
    CHECK_EQ(actor_put(&rig, &ada, "team", "k", "v", NULL), CHOIR_OK);
    CHECK(rig_state(&rig)->time >= before);
    end();
}

TEST(an_agent_over_its_rate_is_turned_away_until_time_passes)
{
    begin();
    rig.config->agent_bytes_per_s = 2000;
    for (int i = 0; i < 20; i++) {
        if (actor_put(&rig, &ada, "team", "k", "v", NULL) == -CHOIR_RATE)
            break;
        CHECK_NE(i, 19);
    }
    env_sim_advance_us(rig.env, 5 * 1000 * 1000);
    CHECK_EQ(actor_put(&rig, &ada, "team", "k", "v", NULL), CHOIR_OK);
    end();
}

/* One more bundle without a commit. */
static int squeeze(void)
{
    struct sender from = {.agent = ada.number, .challenge = &ada.challenge};
    struct bytes v = one();
    struct bundle b = {0};
    struct accepted out;

    actor_sign(&rig, &ada, &put, &v, 1);
    CHECK_OK(bundle_open(&b, buf_bytes(&ada.frame)));
    CHECK_OK(core_accept(rig.core, &b, &from, ignore, NULL, &out));
    bundle_free(&b);
    return out.turnaway;
}

TEST(a_session_with_too_many_unanswered_bundles_has_to_wait)
{
    struct bytes v = one();

    begin();
    actor_begin(&ada);
    actor_add(&ada, &put, &v, 1);
    actor_add(&ada, &put, &v, 1);
    CHECK_OK(actor_finish(&rig, &ada, &told));
    ada.answered = 1; /* half of it, for ever */
    core_begin(rig.core);
    for (int i = 1; i < LIMIT_SESSION_WINDOW; i++)
        CHECK_EQ(squeeze(), 0);
    CHECK_EQ(squeeze(), CHOIR_BUSY);
    CHECK_OK(core_commit(rig.core));
    same_after_reopen(true, NULL);
    end();
}

TEST(the_tree_grows_once_the_group_is_written_and_before_anything_is_stated)
{
    struct bytes v = one();
    struct answer_facts facts;
    struct hash root;
    uint64_t before;

    begin();
    CHECK_OK(actor_do(&rig, &ada, &put, &v, 1, &told));
    before = core_size(rig.core);
    core_begin(rig.core);
    CHECK_EQ(squeeze(), 0);
    CHECK_EQ(squeeze(), 0);
    CHECK_OK(core_append(rig.core));
    CHECK_EQ(core_size(rig.core), before + 2);
    CHECK_EQ(rig_state(&rig)->tree.size, before); /* the disk comes first */
    CHECK_OK(core_tend(rig.core));
    CHECK_EQ(rig_state(&rig)->tree.size, before + 2);
    root = frontier_root(&rig_state(&rig)->tree);
    core_answer_facts_ahead(rig.core, &facts);
    CHECK_EQ(facts.size, before + 2);
    CHECK_MEM(facts.root.b, root.b, HASH_BYTES);
    CHECK_OK(core_sync(rig.core));
    core_answer_facts(rig.core, &facts);
    CHECK_EQ(facts.size, before + 2);
    CHECK_MEM(facts.root.b, root.b, HASH_BYTES);
    same_after_reopen(true, NULL);
    end();
}

TEST(final_tasks_leave_memory_by_an_entry)
{
    uint64_t task, token;
    struct bytes v = one();
    struct msg m;

    begin();
    rig.config->terminal_tasks_kept = 4;
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(actor_submit(&rig, &ada, "q", &task), CHOIR_OK);
        CHECK_EQ(rig_claim(&rig, &ada, task, &token), CHOIR_OK);
        msg_init(&m, MSG_COMPLETE);
        msg_set_u(&m, FIELD_TASK, task);
        msg_set_u(&m, FIELD_TOKEN, token);
        CHECK_OK(actor_do(&rig, &ada, &m, &v, 1, &told));
        CHECK_EQ(told.outcome, CHOIR_OK);
    }
    CHECK(tasks_final_count(rig_state(&rig)->tasks) < 100);
    same_after_reopen(false, NULL);
    end();
}

TEST(expired_invitations_leave_memory_by_an_entry)
{
    struct curve_pair once;
    struct msg m, row;
    struct buf rows = {0};
    uint64_t index;

    begin();
    curve_pair_new(&once);
    msg_init(&row, MSG_GRANT_ROW);
    msg_set_text(&row, FIELD_SPACE, "team");
    msg_set_u(&row, FIELD_RIGHTS, ALL);
    msg_encode(&row, &rows);
    msg_init(&m, MSG_INVITE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(once.public_key, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    CHECK_OK(rig_say(&rig, &m, &index));
    CHECK(invite_by_index(rig_state(&rig)->agents, index) != NULL);
    env_sim_advance_us(rig.env, UINT64_C(601000000));
    CHECK_EQ(actor_put(&rig, &ada, "team", "k", "v", NULL), CHOIR_OK);
    CHECK_NULL(invite_by_index(rig_state(&rig)->agents, index));
    same_after_reopen(false, NULL);
    buf_free(&rows);
    end();
}

TEST(a_missing_record_beside_keys_is_not_taken_for_a_first_start)
{
    char command[600];

    begin();
    core_destroy(&rig.core);
    snprintf(command, sizeof command, "find %s -name 'segment-*' -delete",
             rig.dir);
    CHECK_OK(system(command));
    CHECK_EQ(
        core_open(&rig.core,
                  &(struct core_options){.config = rig.config, .env = rig.env},
                  rig.trouble),
        -EUCLEAN);
    CHECK(strstr(rig.trouble, "gone") != NULL);
    end();
}

CHECK_MAIN
