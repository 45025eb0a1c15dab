/* Agents do at random whatever the wire lets them say, the broker's own
 * entries come in between, and it dies and starts again: whatever is decided
 * can be evolved, and the state is the same from wherever it is rebuilt.
 *
 * CORE_SEED=N repeats one run, CORE_RUNS=N makes N, each from another seed;
 * `make check-all` makes 40. */
#include "broker/core.h"

#include <unistd.h>

#include "broker/decide.h"
#include "broker/verify.h"
#include "proto/merge.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/rig.h"

enum { ACTORS = 4, STEPS = 400, OPS_MAX = 5, WRITES_MAX = 4 };
enum {
    WORKER = RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK | RIGHT_SEND
};

static struct rig rig;
static struct actor actors[ACTORS];
static struct told told;
static uint64_t seed, joined, bundles;

/* --- Chance -------------------------------------------------------------- */

static uint64_t chance_state;

static uint64_t any(uint64_t n)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state % n;
}

static bool one_in(uint64_t n)
{
    return any(n) == 0;
}

#define ANY_OF(...)                       \
    (((const char *[]){__VA_ARGS__})[any( \
        sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *))])

static const char *any_space(void)
{
    return one_in(8) ? ANY_OF("", "*", "other") : "team";
}

static const char *any_key(void)
{
    return one_in(20) ? "" : ANY_OF("a", "a/b", "a/c", "b", "\xc3\xa4");
}

static uint64_t any_number(void)
{
    switch (any(4)) {
    case 0: return 0;
    case 1: return LIMIT_UINT_MAX_WIRE;
    case 2: return any(4);
    default: return any(core_size(rig.core) + 3);
    }
}

/* Some task, most often one that there is. */
static const struct task *any_task(void)
{
    const struct tasks *tasks = rig_state(&rig)->tasks;
    const struct task *t = tasks_next(tasks, any(core_size(rig.core)));

    return t ? t : tasks_next(tasks, 0);
}

static struct hash any_agent(void)
{
    struct hash h = actors[any(ACTORS)].id;

    if (one_in(8))
        h.b[0] ^= 1;
    if (one_in(8))
        h = agent_by_number(rig_state(&rig)->agents, 1 + (uint32_t)any(2))->id;
    return h;
}

/* --- Operations ---------------------------------------------------------- */

struct draft {
    struct msg m;
    struct buf lists[3];
    struct bytes values[WRITES_MAX];
    size_t slots;
};

static void draft_values(struct draft *d, size_t n)
{
    static const char big[400];

    d->slots = n;
    for (size_t i = 0; i < n; i++)
        d->values[i] = bytes_of(big, one_in(10) ? sizeof big : any(30));
}

static void maybe_u(struct msg *m, enum field f, uint64_t n)
{
    if (one_in(3))
        msg_set_u(m, f, n);
}

static void draft_name(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    msg_set_text(&d->m, FIELD_KEY, any_key());
}

static void draft_id(struct draft *d)
{
    if (one_in(3))
        msg_set_text(&d->m, FIELD_ID, ANY_OF("", "1", "2", "3", "4", "5"));
}

static void draft_lease(struct draft *d, bool always)
{
    const struct task *t = any_task();

    if (!always && !one_in(4))
        return;
    msg_set_u(&d->m, FIELD_TASK, t && !one_in(8) ? t->id : any_number());
    if (always || !one_in(8))
        msg_set_u(&d->m, FIELD_TOKEN,
                  t && !one_in(8) ? t->token : any_number());
}

static void draft_compares(struct draft *d)
{
    uint64_t n = any(3);
    struct msg c;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&c, MSG_COMPARE);
        msg_set_u(&c, FIELD_REVISION, any_number());
        if (one_in(2))
            msg_set_text(&c, FIELD_PREFIX, any_key());
        if (one_in(2))
            msg_set_text(&c, FIELD_KEY, any_key());
        msg_encode(&c, &d->lists[0]);
    }
    if (n)
        msg_set_list(&d->m, FIELD_COMPARES, n, buf_bytes(&d->lists[0]));
}

static void draft_writes(struct draft *d)
{
    uint64_t n = any(WRITES_MAX);
    struct msg w;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, any_key());
        maybe_u(&w, FIELD_SLOT, any(WRITES_MAX));
        if (one_in(4))
            msg_set_u(&w, FIELD_BASE, any_number());
        if (one_in(2))
            msg_set_text(&w, FIELD_TYPE, MERGE_TYPE);
        msg_encode(&w, &d->lists[1]);
    }
    if (n || d->m.verb == MSG_TXN)
        msg_set_list(&d->m, FIELD_WRITES, n, buf_bytes(&d->lists[1]));
}

static void draft_grants(struct draft *d)
{
    uint64_t n = any(3);
    struct msg g;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&g, MSG_GRANT_ROW);
        msg_set_text(&g, FIELD_SPACE, any_space());
        msg_set_u(&g, FIELD_RIGHTS, one_in(3) ? 0 : any(128));
        if (one_in(3))
            msg_set_text(&g, FIELD_PREFIX, any_key());
        if (one_in(3))
            msg_set_text(&g, FIELD_QUEUE, ANY_OF("", "q", "r"));
        msg_encode(&g, &d->lists[0]);
    }
    msg_set_list(&d->m, FIELD_GRANTS, n, buf_bytes(&d->lists[0]));
}

/* Small maps, arrays and numbers: some fit together. */
static void draft_msgpack(struct draft *d)
{
    static const char *const some[] = {
        "\x82\x01\x01\x02\x02",
        "\x82\x01\x03\x02\x02",
        "\x82\x01\x01\x02\x04",
        "\x93\x01\x02\x03",
        "\x92\x05\x03",
        "\x07",
        "\xff",
        "\xc1",
    };

    for (size_t i = 0; i < d->slots; i++)
        d->values[i] = bytes_text(some[any(sizeof some / sizeof *some)]);
    if (d->m.verb == MSG_PUT)
        msg_set_text(&d->m, FIELD_TYPE, MERGE_TYPE);
}

static void draft_policy(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    msg_set_text(&d->m, FIELD_PREFIX, one_in(8) ? "" : any_key());
    msg_set_u(&d->m, FIELD_RULE, any(RULE_END + 1));
}

static void draft_add_to(struct draft *d)
{
    draft_name(d);
    draft_values(d, one_in(10) ? any(3) : 1);
    draft_msgpack(d);
    draft_id(d);
    draft_lease(d, false);
}

static void draft_put(struct draft *d)
{
    draft_name(d);
    draft_values(d, one_in(10) ? any(3) : 1);
    if (one_in(2))
        draft_msgpack(d);
    maybe_u(&d->m, FIELD_IF_REVISION, any_number());
    if (one_in(4))
        msg_set_u(&d->m, FIELD_TTL_MS,
                  one_in(10) ? any_number() : 1 + any(60000));
    draft_id(d);
    draft_lease(d, false);
}

static void draft_delete(struct draft *d)
{
    draft_name(d);
    maybe_u(&d->m, FIELD_IF_REVISION, any_number());
    draft_id(d);
    draft_lease(d, false);
}

static void draft_txn(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    draft_values(d, any(WRITES_MAX));
    if (one_in(2))
        draft_msgpack(d);
    draft_writes(d);
    draft_compares(d);
    draft_id(d);
    draft_lease(d, false);
}

static void draft_needs(struct draft *d)
{
    uint64_t n = 1 + any(3);

    for (uint64_t i = 0; i < n; i++) {
        const struct task *t = any_task();
        struct msg item;

        msg_init(&item, MSG_ITEM);
        msg_set_u(&item, FIELD_TASK, t ? t->id : any_number());
        msg_encode(&item, &d->lists[0]);
    }
    msg_set_list(&d->m, FIELD_NEEDS, n, buf_bytes(&d->lists[0]));
}

static void draft_capabilities(struct draft *d)
{
    uint64_t n = 1 + any(3);

    for (uint64_t i = 0; i < n; i++) {
        struct msg item;

        msg_init(&item, MSG_ITEM);
        msg_set_text(&item, FIELD_NAME, ANY_OF("gpu", "web", "c", "rust", ""));
        msg_encode(&item, &d->lists[1]);
    }
    msg_set_list(&d->m, FIELD_CAPABILITIES, n, buf_bytes(&d->lists[1]));
}

/* Most often a time that comes while the run lasts. */
static uint64_t any_time(void)
{
    return one_in(4) ? any_number() : env_wall_us(rig.env) + any(20) * 1000000;
}

static void draft_terms(struct draft *d)
{
    const struct task *parent = one_in(3) ? any_task() : NULL;

    if (one_in(3))
        draft_needs(d);
    if (one_in(4))
        draft_capabilities(d);
    if (parent)
        msg_set_u(&d->m, FIELD_PARENT, parent->id);
    if (parent && one_in(3))
        msg_set_u(&d->m, FIELD_TOKEN, parent->token);
    maybe_u(&d->m, FIELD_DEADLINE, any_time());
    maybe_u(&d->m, FIELD_NOT_BEFORE, any_time());
}

static void draft_queue(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    msg_set_text(&d->m, FIELD_QUEUE, one_in(8) ? "" : ANY_OF("q", "r"));
    if (!one_in(4))
        msg_set_u(&d->m, FIELD_KIND, one_in(3) ? any(5) : QUEUE_OPEN);
    maybe_u(&d->m, FIELD_LIMIT, any(20));
}

static void draft_submit(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    msg_set_text(&d->m, FIELD_QUEUE, one_in(8) ? "" : ANY_OF("q", "r"));
    draft_values(d, one_in(10) ? any(3) : 1);
    maybe_u(&d->m, FIELD_PRIORITY, any(10));
    maybe_u(&d->m, FIELD_MAX_ATTEMPTS, any(4));
    maybe_u(&d->m, FIELD_LEASE_MS, one_in(2) ? 1000 : any_number());
    maybe_u(&d->m, FIELD_BACKOFF_MS, any_number());
    if (one_in(2))
        draft_terms(d);
    draft_id(d);
}

static void draft_invite(struct draft *d)
{
    static uint8_t curve[32];

    random_bytes(curve, sizeof curve);
    if (one_in(4))
        memcpy(curve, actors[any(ACTORS)].curve.public_key, sizeof curve);
    msg_set_b(&d->m, FIELD_CURVE_KEY, bytes_of(curve, sizeof curve));
    draft_grants(d);
    maybe_u(&d->m, FIELD_USES, any_number());
    maybe_u(&d->m, FIELD_EXPIRES, any_number());
}

static void draft_message(struct msg *m, struct hash *room)
{
    if (!one_in(3))
        msg_set_text(m, FIELD_TOPIC, any_key());
    if (one_in(3)) {
        *room = any_agent();
        msg_set_hash(m, FIELD_AGENT, room);
    }
    maybe_u(m, FIELD_KIND, any(5));
    maybe_u(m, FIELD_REPLY_TO, any_number());
}

static void draft_sends(struct draft *d)
{
    uint64_t n = any(3);
    struct hash agent;
    struct msg m;

    for (uint64_t i = 0; i < n; i++) {
        msg_init(&m, MSG_SEND_ROW);
        msg_set_u(&m, FIELD_SLOT, any(WRITES_MAX));
        draft_message(&m, &agent);
        msg_encode(&m, &d->lists[2]);
    }
    if (n)
        msg_set_list(&d->m, FIELD_SENDS, n, buf_bytes(&d->lists[2]));
}

static void draft_mark(struct draft *d)
{
    msg_set_text(&d->m, FIELD_SPACE, any_space());
    if (!one_in(3))
        msg_set_text(&d->m, one_in(2) ? FIELD_NAME : FIELD_TOPIC, any_key());
    else if (one_in(2))
        msg_set_u(&d->m, FIELD_KIND, any(3));
    if (one_in(10))
        msg_set_text(&d->m, FIELD_NAME, "");
    msg_set_u(&d->m, FIELD_REVISION, any_number());
}

static void draft_agent(struct draft *d, struct hash *room)
{
    *room = any_agent();
    msg_set_hash(&d->m, FIELD_AGENT, room);
}

/* Of any kind, and what does not go with it now and then. */
static void draft_erase(struct draft *d, struct hash *agent)
{
    unsigned kind = any(4);

    msg_set_text(&d->m, FIELD_SPACE, one_in(4) ? "*" : any_space());
    if (kind != ERASE_VALUES)
        msg_set_u(&d->m, FIELD_KIND, kind);
    if (kind <= ERASE_HISTORY || one_in(10))
        msg_set_text(&d->m, FIELD_KEY, any_key());
    if (kind == ERASE_AGENT || one_in(10))
        draft_agent(d, agent);
    if (kind == ERASE_ENTRY || one_in(2))
        msg_set_u(&d->m, FIELD_REVISION, any_number());
    if (one_in(3))
        msg_set_u(&d->m, FIELD_DERIVED, any(2));
}

static void draft_make(struct draft *d, struct hash *agent)
{
    static const enum message verbs[] = {
        MSG_PUT,     MSG_PUT,       MSG_PUT,     MSG_DELETE, MSG_TXN,
        MSG_TXN,     MSG_SUBMIT,    MSG_SUBMIT,  MSG_SUBMIT, MSG_PROGRESS,
        MSG_CANCEL,  MSG_COMPLETE,  MSG_FAIL,    MSG_NAK,    MSG_REQUEUE,
        MSG_INVITE,  MSG_GRANT,     MSG_MARK,    MSG_POLICY, MSG_APPEND,
        MSG_APPEND,  MSG_INCR,      MSG_COMPACT, MSG_SEND,   MSG_SEND,
        MSG_PARTIAL, MSG_ASK_INPUT, MSG_INPUT,   MSG_INPUT,  MSG_QUEUE_SET,
        MSG_ERASE,
    };
    enum message verb = verbs[any(sizeof verbs / sizeof *verbs)];

    if (one_in(60))
        verb = one_in(4) ? MSG_REVOKE : MSG_SESSION_CLOSE;
    msg_init(&d->m, verb);
    switch (verb) {
    case MSG_PUT: draft_put(d); return;
    case MSG_DELETE: draft_delete(d); return;
    case MSG_POLICY: draft_policy(d); return;
    case MSG_APPEND:
    case MSG_INCR: draft_add_to(d); return;
    case MSG_TXN: draft_txn(d); return;
    case MSG_SUBMIT: draft_submit(d); return;
    case MSG_INVITE: draft_invite(d); return;
    case MSG_MARK: draft_mark(d); return;
    case MSG_SEND:
        msg_set_text(&d->m, FIELD_SPACE, any_space());
        draft_values(d, one_in(10) ? any(3) : 1);
        draft_message(&d->m, agent);
        draft_id(d);
        draft_lease(d, false);
        return;
    case MSG_REVOKE: draft_agent(d, agent); return;
    case MSG_COMPACT:
        msg_set_u(&d->m, FIELD_REVISION, any_number());
        if (one_in(2))
            msg_set_text(&d->m, FIELD_SPACE, any_space());
        return;
    case MSG_ERASE: draft_erase(d, agent); return;
    case MSG_GRANT:
        draft_agent(d, agent);
        draft_grants(d);
        return;
    case MSG_SESSION_CLOSE: return;
    case MSG_QUEUE_SET: draft_queue(d); return;
    case MSG_INPUT:
        draft_values(d, one_in(8) ? any(3) : 1);
        maybe_u(&d->m, FIELD_REVISION, any_number());
        /* fall through */
    case MSG_CANCEL:
    case MSG_REQUEUE:
        draft_lease(d, true);
        draft_id(d);
        d->m.has &= ~FIELD_BIT(TOKEN);
        return;
    case MSG_COMPLETE:
        draft_values(d, any(WRITES_MAX));
        draft_writes(d);
        draft_compares(d);
        draft_sends(d);
        break;
    case MSG_PARTIAL:
    case MSG_ASK_INPUT:
    case MSG_PROGRESS: draft_values(d, one_in(8) ? any(3) : 1); break;
    case MSG_FAIL: msg_set_text(&d->m, FIELD_REASON, ""); break;
    default: maybe_u(&d->m, FIELD_BACKOFF_MS, any_number());
    }
    draft_lease(d, true);
}

/* --- What happens -------------------------------------------------------- */

#define HOLDS(claim)                                                        \
    do {                                                                    \
        if (!(claim))                                                       \
            fail_msg("seed %llu, after %llu bundles: %s",                   \
                     (unsigned long long)seed, (unsigned long long)bundles, \
                     #claim);                                               \
    } while (0)

/* A slots field is needed by some, and there without a slot. */
static void draft_add(struct actor *a)
{
    struct draft d = {0};
    struct hash agent;

    draft_make(&d, &agent);
    if (!d.slots && (message_row(d.m.verb)->need & FIELD_BIT(SLOTS)))
        msg_set_b(&d.m, FIELD_SLOTS, bytes_of("", 0));
    actor_add(a, &d.m, d.values, d.slots);
    buf_free(&d.lists[0]);
    buf_free(&d.lists[1]);
    buf_free(&d.lists[2]);
}

static void actor_enter(struct actor *a)
{
    const char *spaces[] = {"team", "*"};
    char name[32];

    snprintf(name, sizeof name, "agent-%llu", (unsigned long long)joined++);
    actor_join(&rig, a, name, spaces[any(2)],
               one_in(2) ? WORKER : WORKER | RIGHT_ADMIN);
}

/* In a session that lives, as an agent whose key does. */
static void actor_ready(struct actor *a)
{
    const struct state *s = rig_state(&rig);

    if (session_by_id(s->sessions, a->session))
        return;
    if (agent_by_number(s->agents, a->number)->revoked)
        actor_enter(a);
    else
        actor_session(&rig, a);
}

static void do_something(struct actor *a)
{
    uint64_t n = 1 + any(OPS_MAX);

    actor_ready(a);
    actor_begin(a);
    while (n--)
        draft_add(a);
    HOLDS(actor_finish(&rig, a, &told) == 0);
    HOLDS(told.turnaway == 0);
    bundles++;
    if (!one_in(8))
        return;
    HOLDS(actor_resend(&rig, a, &told) == 0);
    HOLDS(told.duplicate || told.turnaway == CHOIR_SESSION_ENDED ||
          told.turnaway == CHOIR_UNKNOWN_AGENT);
}

static void give_up(uint64_t task, unsigned kind)
{
    uint64_t index;
    struct msg m;

    msg_init(&m, MSG_GIVE_UP);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_KIND, kind);
    HOLDS(rig_say(&rig, &m, &index) == 0);
}

static void lapse(const struct ttl *t)
{
    const struct key *k =
        context_find(rig_state(&rig)->context, ttl_space(t), ttl_name(t));
    uint64_t index;
    struct msg m;

    HOLDS(k && k->lapses && !k->deleted);
    msg_init(&m, MSG_LAPSE);
    msg_set_b(&m, FIELD_SPACE, ttl_space(t));
    msg_set_b(&m, FIELD_KEY, ttl_name(t));
    msg_set_u(&m, FIELD_REVISION, k->revision);
    HOLDS(rig_say(&rig, &m, &index) == 0);
}

/* What the broker owes: some of it now, the rest another time. */
static void broker_settles(void)
{
    const struct tasks *tasks = rig_state(&rig)->tasks;
    const struct ttls *ttls = context_ttls(rig_state(&rig)->context);
    const struct ttl *due = ttls_first(ttls);
    const struct task *t;
    struct settled s;
    enum settle what;

    core_begin(rig.core);
    if (due && due->due <= core_time(rig.core))
        lapse(due);
    t = tasks_first_deadline(tasks);
    if (t && t->links->deadline <= core_time(rig.core))
        give_up(t->id, GIVE_UP_DEADLINE);
    for (uint64_t n = any(6);
         n && (what = tasks_settle(rig_state(&rig)->tasks, &s)); n--)
        if (what != SETTLE_FREED)
            give_up(s.task->id,
                    what == SETTLE_NEED ? GIVE_UP_NEED : GIVE_UP_PARENT);
}

/* What was ordered to be erased, and what that gives back. */
static void broker_erases(void)
{
    core_begin(rig.core);
    HOLDS(core_erase(rig.core) == 0);
    HOLDS(core_commit(rig.core) == 0);
    HOLDS(core_tend(rig.core) == 0);
}

static void broker_acts(void)
{
    const struct task *t = any_task();
    struct actor *a = &actors[any(ACTORS)];
    uint64_t index;
    struct msg m;

    if (one_in(2))
        broker_erases();
    if (one_in(2)) {
        broker_settles();
        return;
    }
    if (t && t->state == TASK_QUEUED) {
        HOLDS(rig_claim(&rig, a, t->id, &index) >= 0);
        return;
    }
    if (one_in(3)) {
        msg_init(&m, MSG_SESSION_END);
        msg_set_u(&m, FIELD_SESSION, a->session);
    } else {
        msg_init(&m, MSG_EXPIRE);
        msg_set_u(&m, FIELD_TASK, t ? t->id : 1);
        msg_set_u(&m, FIELD_TOKEN, t ? t->token : 1);
    }
    HOLDS(rig_say(&rig, &m, &index) >= 0);
}

static void rules_change(void)
{
    rig.config->queue_tasks_max = 1 + any(40);
    rig.config->leases_per_agent_max = 1 + any(8);
    rig.config->messages_per_agent_max = 1 + any(40);
    rig.config->mailbox_messages_max = 1 + any(6);
    rig.config->topic_messages_max = 1 + any(6);
    rig.config->topic_entries_kept = 1 + any(400);
    rig.config->marks_per_agent_max = 1 + any(6);
    rig.config->value_bytes_max = 256 + any(400);
    core_begin(rig.core);
    HOLDS(core_rules(rig.core, rig.config) == 0);
    HOLDS(core_commit(rig.core) == 0);
}

/* --- What must hold ------------------------------------------------------ */

/* What is counted beside the digest. */
static uint64_t charged(const struct state *s)
{
    const struct agent *a = NULL;
    const struct queue *q = NULL;
    uint64_t sum = 0;

    while ((a = agents_next(s->agents, a)) != NULL)
        sum = sum * 31 + a->sessions + 101 * a->leases + 10007 * a->open_tasks +
              1000003 * (uint64_t)a->marks + 7 * (uint64_t)a->messages;
    while ((q = queues_next(s->tasks, q)) != NULL)
        sum = sum * 31 + q->open + 101 * q->queued;
    return sum;
}

static void snapshot_delete(void)
{
    char path[300];

    snprintf(path, sizeof path, "%s/state.snapshot", rig.dir);
    unlink(path);
}

static void start_again(void)
{
    struct hash digest, again, root;
    uint64_t charges;
    bool clean = one_in(2);

    if (clean)
        HOLDS(core_close_clean(rig.core) == 0);
    digest = state_digest(rig_state(&rig));
    root = frontier_root(&rig_state(&rig)->tree);
    charges = charged(rig_state(&rig));
    if (one_in(2))
        snapshot_delete();
    if (rig_reopen(&rig, false))
        fail_msg("seed %llu, after %llu bundles: %s", (unsigned long long)seed,
                 (unsigned long long)bundles, rig.trouble);
    again = state_digest(rig_state(&rig));
    HOLDS(hash_equal(&digest, &again));
    again = frontier_root(&rig_state(&rig)->tree);
    HOLDS(hash_equal(&root, &again));
    HOLDS(charges == charged(rig_state(&rig)));
}

static void step(void)
{
    switch (any(40)) {
    case 0: start_again(); return;
    case 1: rules_change(); return;
    case 2:
    case 3:
    case 4:
    case 5:
    case 6: broker_acts(); return;
    case 7: env_sim_advance_us(rig.env, any(10000000)); return;
    default: do_something(&actors[any(ACTORS)]);
    }
    HOLDS(core_tend(rig.core) == 0); /* a slice of a snapshot, maybe */
}

static void run(void)
{
    struct verify_result result;
    struct hash digest;

    chance_state = seed * 0x9e3779b97f4a7c15 + 1;
    joined = bundles = 0;
    rig_open(&rig);
    rig.config->checkpoint_entries = 150;
    rig.snapshot_keys = 2 + (unsigned)any(5);
    rig.config->terminal_tasks_kept = 10;
    rig.config->operation_ids_kept = 100;
    for (int i = 0; i < ACTORS; i++)
        actor_enter(&actors[i]);
    for (int i = 0; i < STEPS; i++)
        step();
    start_again();
    digest = state_digest(rig_state(&rig));
    core_destroy(&rig.core);
    if (verify_record(rig.dir, rig.env, &result))
        fail_msg("seed %llu: %s", (unsigned long long)seed, result.trouble);
    HOLDS(hash_equal(&digest, &result.digest));
    HOLDS(result.merged > 0);
    for (int i = 0; i < ACTORS; i++)
        actor_free(&actors[i]);
    buf_free(&told.effect_bytes);
    told = (struct told){0};
    rig_close(&rig);
}

TEST(whatever_agents_say_is_decided_evolved_and_replayed_alike)
{
    const char *only = getenv("CORE_SEED"), *more = getenv("CORE_RUNS");
    uint64_t runs = more ? strtoull(more, NULL, 10) : getenv("SLOW") ? 40 : 2;

    seed = only ? strtoull(only, NULL, 10) : 1;
    for (uint64_t last = seed + (only ? 1 : runs); seed < last; seed++)
        run();
}

CHECK_MAIN
