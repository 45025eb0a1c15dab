/* broker/state/state: all parts together, saved and loaded. */
#include "tests/check.h"

#include <errno.h>

#include "broker/state/item.h"
#include "broker/state/state.h"
#include "proto/refusal.h"
#include "tests/support/records.h"

static struct state *fresh(void)
{
    struct state *s;

    CHECK_OK(crypto_start());
    s = state_new();
    assert_non_null(s);
    return s;
}

static int grant(struct state *s, struct agent *a)
{
    struct buf rows = {0};
    struct msg m;
    int r;

    msg_init(&m, MSG_GRANT_ROW);
    msg_set_text(&m, FIELD_SPACE, "s");
    msg_set_u(&m, FIELD_RIGHTS, RIGHT_WORK);
    msg_encode(&m, &rows);
    msg_init(&m, MSG_GRANT);
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&rows));
    r = agent_grant(s->agents, a, msg_list(&m, FIELD_GRANTS));
    buf_free(&rows);
    return r;
}

static void agents_fill(struct state *s)
{
    uint8_t key[32], curve[32];
    char name[8];

    for (uint8_t i = 1; i <= 4; i++) {
        memset(key, i, 32);
        memset(curve, 100 + i, 32);
        sprintf(name, "a%u", i);
        CHECK_OK(agent_enrol(s->agents, i, text(name), key, curve));
    }
    CHECK_OK(grant(s, agent_by_number(s->agents, 3)));
    agent_revoke(s->agents, agent_by_number(s->agents, 4), 12);
    memset(curve, 50, 32);
    CHECK_OK(invite_add(s->agents, 13, curve, 2, 900, 0, (struct bytes){0}));
    CHECK_OK(operation_id_add(s->agents, 2, text("once"), 14, 0));
}

/* Charges what evolve charges, so that a reload can be compared. */
static void work_fill(struct state *s)
{
    struct hash h = {{7}};
    struct task t = {.submitter = 2, .state = TASK_QUEUED};

    for (uint64_t id = 20; id < 23; id++) {
        uint32_t agent = id == 22 ? 3 : 2;

        CHECK_OK(session_start(s->sessions, id, agent, 0, &h));
        agent_by_number(s->agents, agent)->sessions++;
    }
    CHECK_OK(session_accept(s->sessions, session_by_id(s->sessions, 20), 1, 4,
                            0, &h, 23));
    for (t.id = 30; t.id < 34; t.id++) {
        t.changed = t.payload = t.id;
        CHECK_OK(task_add(s->tasks, text("s"), text("q"), &t));
        agent_by_number(s->agents, 2)->open_tasks++;
    }
    task_claim(s->tasks, task_by_id(s->tasks, 30), 35, 3, 22, 1);
    agent_by_number(s->agents, 3)->leases++;
    task_claim(s->tasks, task_by_id(s->tasks, 31), 36, 3, 22, 1);
    task_finish(s->tasks, task_by_id(s->tasks, 31), 37, TASK_COMPLETED);
    agent_by_number(s->agents, 2)->open_tasks--;
}

static void marks_fill(struct state *s)
{
    struct mark_id id = {2, MARK_NAME, text("s"), text("seen")};
    int made;

    CHECK_OK(mark_set(s->marks, &id, 40, &made));
    id.kind = MARK_TOPIC;
    CHECK_OK(mark_set(s->marks, &id, 41, &made));
    agent_by_number(s->agents, 2)->marks += 2;
}

static void mail_fill(struct state *s)
{
    struct box_id box = {.agent = 3, .space = text("s")};

    CHECK_OK(mail_add(s->mail, &box, 40, 2, 7));
    box = (struct box_id){.space = text("s"), .topic = text("news")};
    CHECK_OK(mail_add(s->mail, &box, 41, 2, 7));
    agent_by_number(s->agents, 2)->messages += 2;
}

/* One more key for each of two agents; of the second, the first one ended. */
static void keys_fill(struct state *s)
{
    struct agent *a = agent_by_number(s->agents, 2);
    uint8_t key[32], curve[32];

    memset(key, 60, 32);
    memset(curve, 61, 32);
    CHECK_OK(agent_key_add(s->agents, a, 40, key, curve));
    CHECK_OK(agent_recovery_set(s->agents, a, key));
    a = agent_by_number(s->agents, 3);
    memset(key, 62, 32);
    memset(curve, 63, 32);
    CHECK_OK(agent_key_add(s->agents, a, 41, key, curve));
    CHECK_OK(agent_key_end(s->agents, a, 0, 41));
    CHECK_OK(agent_key_suspect(s->agents, a, 0, 39));
}

static void links_fill(struct state *s)
{
    static const char gpu[] = "gpu";
    uint64_t needs[] = {30, 32};
    struct task_terms terms = {.deadline = 2000,
                               .parent = 32,
                               .needs = needs,
                               .need_count = 2,
                               .capability = bytes_of(gpu, sizeof gpu)};
    struct task t = {
        .id = 34, .changed = 34, .submitter = 2, .state = TASK_QUEUED};

    CHECK_OK(task_add(s->tasks, text("s"), text("q"), &t));
    CHECK_OK(task_link(s->tasks, task_by_id(s->tasks, 34), &terms));
    agent_by_number(s->agents, 2)->open_tasks++;
    CHECK_OK(task_partial(s->tasks, task_by_id(s->tasks, 30), 38));
    CHECK_OK(task_question(s->tasks, task_by_id(s->tasks, 30), 39));
    CHECK_OK(task_input(s->tasks, task_by_id(s->tasks, 30), 40));
    CHECK_OK(queue_set(s->tasks, text("s"), text("q"), QUEUE_PAUSED, 7));
}

static struct state *filled(void)
{
    struct state *s = fresh();
    struct hash leaf = {{1}};

    agents_fill(s);
    work_fill(s);
    CHECK_OK(context_put(s->context, text("s"), text("a/b"), 40, 2, 0, 9));
    CHECK_OK(context_put(s->context, text("s"), text("c"), 41, 2, 3, 9));
    CHECK_OK(context_delete(s->context, text("s"), text("c"), 42, 3));
    CHECK_OK(context_lapse_at(s->context, text("s"), text("a/b"), 2000));
    CHECK_OK(policy_set(s->policies, text("s"), text("a/"), RULE_MERGE));
    CHECK_OK(policy_set(s->policies, text("s"), text(""), RULE_CAS));
    marks_fill(s);
    CHECK_OK(compaction_raise(s->compaction, text("s"), 41));
    CHECK_OK(erasure_add(s->erasure, 40, 0));
    CHECK_OK(erasing_begin(s->erasings, 37));
    CHECK_OK(erasing_slice(s->erasings, 37, 38, 1, true));
    CHECK_OK(erasing_begin(s->erasings, 41));
    mail_fill(s);
    keys_fill(s);
    links_fill(s);
    s->ledger.b[3] = 4;
    s->epoch = 2;
    s->size = 43;
    s->time = 1000;
    s->broker_seq = 17;
    s->broker_prev.b[0] = 9;
    s->checkpoint = 38;
    s->rules.lease_ms_max = 5;
    for (unsigned i = 0; i < 43; i++)
        frontier_add(&s->tree, leaf);
    return s;
}

static void save(const struct state *s, struct records *saved)
{
    CHECK_OK(state_save(s, records_put, saved));
}

/* The first refusal, or 0. */
static int load(struct state *s, const struct records *saved)
{
    int r = 0;

    for (size_t i = 0; !r && i < saved->count; i++)
        r = state_load(s, buf_bytes(&saved->v[i]));
    return r;
}

static bool same_digest(const struct state *a, const struct state *b)
{
    struct hash x = state_digest(a), y = state_digest(b);

    return hash_equal(&x, &y);
}

TEST(digest_returns_after_save_and_load)
{
    struct state *s = filled(), *again = fresh();
    struct records saved = {0}, twice = {0};
    struct hash root = frontier_root(&s->tree), root_again;

    save(s, &saved);
    CHECK_OK(load(again, &saved));
    CHECK(same_digest(s, again));
    root_again = frontier_root(&again->tree);
    CHECK(hash_equal(&root, &root_again));
    CHECK_EQ(again->tree.size, 43);
    CHECK_EQ(again->size, 43);
    CHECK_EQ(again->epoch, 2);
    CHECK_EQ(again->time, 1000);
    CHECK_EQ(again->broker_seq, 17);
    CHECK_EQ(again->checkpoint, 38);
    CHECK_EQ(again->rules.lease_ms_max, 5);
    CHECK_EQ(again->rules.max_attempts_default, 5);
    save(again, &twice);
    CHECK_EQ(twice.count, saved.count);
    for (size_t i = 0; i < saved.count; i++)
        CHECK(bytes_equal(buf_bytes(&twice.v[i]), buf_bytes(&saved.v[i])));
    records_free(&saved);
    records_free(&twice);
    state_destroy(&s);
    state_destroy(&again);
}

TEST(load_counts_again_what_is_charged_to_each_agent)
{
    struct state *s = filled(), *again = fresh();
    struct records saved = {0};

    save(s, &saved);
    CHECK_OK(load(again, &saved));
    for (uint32_t n = 1; n <= 4; n++) {
        const struct agent *a = agent_by_number(s->agents, n);
        const struct agent *b = agent_by_number(again->agents, n);

        CHECK_EQ(b->sessions, a->sessions);
        CHECK_EQ(b->leases, a->leases);
        CHECK_EQ(b->open_tasks, a->open_tasks);
        CHECK_EQ(b->marks, a->marks);
        CHECK_EQ(b->messages, a->messages);
    }
    CHECK_EQ(agent_by_number(again->agents, 2)->sessions, 2);
    CHECK_EQ(agent_by_number(again->agents, 2)->open_tasks, 4);
    CHECK_EQ(agent_by_number(again->agents, 3)->leases, 1);
    records_free(&saved);
    state_destroy(&s);
    state_destroy(&again);
}

/* Else a kind is missing in what the other tests do with records. */
TEST(every_kind_of_record_is_among_those_of_this_test)
{
    struct state *s = filled();
    struct records saved = {0};
    uint32_t kinds = 0;

    save(s, &saved);
    for (size_t i = 0; i < saved.count; i++)
        kinds |= 1u << saved.v[i].p[0];
    CHECK_EQ(saved.v[saved.count - 1].p[0], ITEM_FACTS);
    for (unsigned kind = ITEM_AGENT; kind < ITEM_END; kind++)
        CHECK(kinds >> kind & 1);
    records_free(&saved);
    state_destroy(&s);
}

TEST(digest_holds_every_fact)
{
    struct state *s = filled(), *plain = filled();

#define DIFFERS(field)                \
    s->field++;                       \
    CHECK_NOT(same_digest(s, plain)); \
    s->field--;                       \
    CHECK(same_digest(s, plain));

    DIFFERS(ledger.b[31])
    DIFFERS(epoch)
    DIFFERS(size)
    DIFFERS(time)
    DIFFERS(broker_seq)
    DIFFERS(broker_prev.b[0])
    DIFFERS(checkpoint)
#define X(name, value, unit) DIFFERS(rules.name)
    RULES(X)
#undef X
    state_destroy(&s);
    state_destroy(&plain);
}

TEST(digest_leaves_out_the_tree_and_what_is_volatile)
{
    struct state *s = filled(), *plain = filled();
    struct hash leaf = {{2}};
    uint64_t wake;

    frontier_add(&s->tree, leaf);
    agent_by_number(s->agents, 2)->leases++;
    task_release(s->tasks, task_by_id(s->tasks, 30), 50, 60);
    task_release(plain->tasks, task_by_id(plain->tasks, 30), 50, 60);
    CHECK(queue_first(queue_find(s->tasks, text("s"), text("q")), 99, &wake) !=
          NULL);
    CHECK(same_digest(s, plain));
    state_destroy(&s);
    state_destroy(&plain);
}

TEST(rules_start_with_their_defaults_and_the_digest_does_not_name_those)
{
    struct state *s = fresh();
    struct records saved = {0};

#define X(name, value, unit) CHECK_EQ(s->rules.name, value);
    RULES(X)
#undef X
    s->size = 1;
    save(s, &saved);
    CHECK_EQ(saved.count, 1);
    CHECK_EQ(saved.v[0].n, 1 + 32 + 4 * 8 + 32 + 2 * 8 + 1 + 8);
    records_free(&saved);
    state_destroy(&s);
}

/* --- What load refuses --------------------------------------------------- */

TEST(load_refuses_unknown_kinds_and_nothing)
{
    struct state *s = fresh();

    for (unsigned kind = 0; kind < 256; kind++) {
        uint8_t b[40] = {(uint8_t)kind};

        CHECK_REFUSED(state_load(s, bytes_of(b, sizeof(b))), CHOIR_MALFORMED);
    }
    CHECK_REFUSED(state_load(s, (struct bytes){0}), CHOIR_MALFORMED);
    state_destroy(&s);
}

TEST(load_refuses_records_behind_the_last)
{
    struct state *s = filled(), *again = fresh();
    struct records saved = {0};

    save(s, &saved);
    CHECK_OK(load(again, &saved));
    for (size_t i = 0; i < saved.count; i++)
        CHECK_REFUSED(state_load(again, buf_bytes(&saved.v[i])),
                      CHOIR_MALFORMED);
    records_free(&saved);
    state_destroy(&s);
    state_destroy(&again);
}

/* Everything but the records of one agent. */
TEST(load_refuses_sessions_and_tasks_of_agents_that_are_missing)
{
    struct state *s = filled(), *again;
    struct records saved = {0};
    static const uint8_t kinds[] = {ITEM_SESSION, ITEM_TASK, ITEM_MARK,
                                    ITEM_MESSAGE};

    save(s, &saved);
    for (size_t k = 0; k < sizeof kinds; k++) {
        int r = 0;

        again = fresh();
        for (size_t i = 0; !r && i < saved.count; i++) {
            uint8_t kind = saved.v[i].p[0];

            if (kind == kinds[k] || kind == ITEM_FACTS)
                r = state_load(again, buf_bytes(&saved.v[i]));
        }
        CHECK_REFUSED(r, CHOIR_MALFORMED);
        state_destroy(&again);
    }
    records_free(&saved);
    state_destroy(&s);
}

TEST(load_refuses_one_curve_key_of_two_agents)
{
    enum { CURVE_AT = 1 + 4 + 32 + 32 };
    struct state *s = filled(), *again = fresh();
    struct records saved = {0};

    save(s, &saved);
    CHECK_EQ(saved.v[3].p[0], ITEM_AGENT);
    memcpy(saved.v[3].p + CURVE_AT, saved.v[0].p + CURVE_AT, 32);
    CHECK_REFUSED(load(again, &saved), CHOIR_MALFORMED);
    records_free(&saved);
    state_destroy(&s);
    state_destroy(&again);
}

TEST(load_refuses_facts_cut_anywhere_and_an_empty_state)
{
    struct state *s = filled(), *again = fresh();
    struct records saved = {0};
    const struct buf *facts;

    save(s, &saved);
    facts = &saved.v[saved.count - 1];
    for (size_t n = 0; n < facts->n; n++)
        CHECK_REFUSED(state_load(again, bytes_of(facts->p, n)),
                      CHOIR_MALFORMED);
    memset(facts->p + 1 + 32 + 8, 0, 8); /* size */
    CHECK_REFUSED(state_load(again, buf_bytes(facts)), CHOIR_MALFORMED);
    CHECK_EQ(again->size, 0);
    records_free(&saved);
    state_destroy(&s);
    state_destroy(&again);
}

TEST(load_refuses_a_rule_it_does_not_know)
{
    struct state *s = fresh(), *again = fresh();
    struct records saved = {0};
    uint8_t *name;

    s->size = 1;
    s->rules.lease_ms_max = 5;
    save(s, &saved);
    name = memmem(saved.v[0].p, saved.v[0].n, "lease_ms_max", 12);
    assert_non_null(name);
    *name = 'x';
    CHECK_REFUSED(load(again, &saved), CHOIR_MALFORMED);
    *name = 'l';
    CHECK_OK(load(again, &saved));
    records_free(&saved);
    state_destroy(&s);
    state_destroy(&again);
}

/* A changed byte is refused, or shows in the digest, or is one of the tree. */
TEST(no_changed_byte_of_any_record_goes_unseen)
{
    struct state *s = filled();
    struct records saved = {0};

    save(s, &saved);
    for (size_t i = 0; i < saved.count; i++) {
        size_t n = saved.v[i].n;

        if (saved.v[i].p[0] == ITEM_FACTS)
            n -= 8 + s->tree.depth * HASH_BYTES;
        for (size_t at = 0; at < n; at++) {
            struct state *again = fresh();

            saved.v[i].p[at] ^= (uint8_t)(1 << at % 8);
            CHECK(load(again, &saved) == CHOIR_MALFORMED ||
                  !same_digest(s, again));
            saved.v[i].p[at] ^= (uint8_t)(1 << at % 8);
            state_destroy(&again);
        }
    }
    records_free(&saved);
    state_destroy(&s);
}

CHECK_MAIN
