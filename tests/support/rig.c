/* Everything an agent and the edge would do between them, in one process. */
#include "tests/support/rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "proto/refusal.h"

static void must(int r, const char *what)
{
    if (r == 0)
        return;
    fprintf(stderr, "rig: %s: %d\n", what, r);
    abort();
}

static int open_core(struct rig *r)
{
    struct core_options o = {
        .config = r->config,
        .env = r->env,
        .snapshot_keys = r->snapshot_keys,
    };

    return core_open(&r->core, &o, r->trouble);
}

static void complain(void *arg, const char *message)
{
    (void)arg;
    fprintf(stderr, "rig: %s\n", message);
}

void rig_open(struct rig *r)
{
    const char *tmp = getenv("TMPDIR");

    *r = (struct rig){0};
    must(crypto_start(), "crypto");
    snprintf(r->dir, sizeof r->dir, "%s/choir-rig-XXXXXX", tmp ? tmp : "/tmp");
    must(mkdtemp(r->dir) ? 0 : -errno, "mkdtemp");
    r->env = env_sim_new(1);
    r->config = config_default();
    must(config_set(r->config, "data", r->dir, false, "rig", complain, NULL),
         "data");
    r->config->value_bytes_max = 65536;
    r->config->bundle_bytes_max = 1 << 20;
    r->config->segment_bytes = 4 << 20;
    r->config->preallocate = false;
    must(open_core(r), r->trouble[0] ? r->trouble : "core_open");
}

int rig_reopen(struct rig *r, bool clean)
{
    int got = clean ? core_close_clean(r->core) : 0;

    must(got, "core_close_clean");
    core_destroy(&r->core);
    return open_core(r);
}

void rig_close(struct rig *r)
{
    char command[320];

    core_destroy(&r->core);
    config_destroy(&r->config);
    env_destroy(&r->env);
    snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
    must(system(command), "rm");
}

const struct state *rig_state(const struct rig *r)
{
    return core_state(r->core);
}

int rig_say(struct rig *r, const struct msg *op, uint64_t *index)
{
    int got;

    core_begin(r->core);
    got = core_say(r->core, op, index);
    must(core_commit(r->core), "commit");
    return got;
}

static void invite(struct rig *r, const uint8_t *curve, const char *space,
                   unsigned rights)
{
    struct buf grants = {0};
    struct msg m, g;
    uint64_t index;

    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, space);
    msg_set_u(&g, FIELD_RIGHTS, rights);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_INVITE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    must(rig_say(r, &m, &index), "invite");
    buf_free(&grants);
}

static void tell(void *arg, const struct bundle *b, uint32_t position,
                 int outcome, uint64_t index, struct bytes effect)
{
    struct told *t = arg;
    unsigned field;

    (void)b;
    (void)position;
    t->outcome = outcome;
    t->index = index;
    t->count++;
    buf_clear(&t->effect_bytes);
    buf_put(&t->effect_bytes, effect.p, effect.n);
    msg_init(&t->effect, MSG_EFFECT);
    if (effect.n)
        must(part_decode(MSG_EFFECT, buf_bytes(&t->effect_bytes), &t->effect,
                         &field),
             "effect");
}

static int send_as(struct rig *r, const struct sender *from, struct bytes frame,
                   struct told *told)
{
    struct bundle b = {0};
    struct accepted out = {0};
    struct buf keep = told->effect_bytes;
    int got = bundle_open(&b, frame);

    *told = (struct told){.effect_bytes = keep, .outcome = -1};
    msg_init(&told->effect, MSG_EFFECT);
    if (got) {
        told->turnaway = got;
        return 0;
    }
    core_begin(r->core);
    got = core_accept(r->core, &b, from, tell, told, &out);
    if (!got)
        got = core_commit(r->core);
    told->turnaway = out.turnaway;
    told->duplicate = out.duplicate;
    told->ends_session = out.ends_session;
    told->limit = out.limit;
    told->size = out.size;
    bundle_free(&b);
    return got;
}

int actor_send(struct rig *r, const struct actor *a, struct bytes frame,
               struct told *told)
{
    struct sender from = {.agent = a->number, .challenge = &a->challenge};

    return send_as(r, &from, frame, told);
}

int actor_resend(struct rig *r, struct actor *a, struct told *told)
{
    return actor_send(r, a, buf_bytes(&a->frame), told);
}

void actor_begin(struct actor *a)
{
    bundle_begin(&a->writer);
}

void actor_add(struct actor *a, struct msg *op, const struct bytes *values,
               size_t n)
{
    struct buf rows = {0}, payload = {0}, head = {0};
    uint8_t salt[SLOT_SALT_BYTES] = {7};

    for (size_t i = 0; i < n; i++) {
        slot_row(&rows, salt, values[i]);
        buf_put(&payload, salt, sizeof salt);
        buf_put(&payload, values[i].p, values[i].n);
    }
    if (n)
        msg_set_b(op, FIELD_SLOTS, buf_bytes(&rows));
    msg_encode(op, &head);
    must(bundle_add(&a->writer, buf_bytes(&head), buf_bytes(&payload)), "add");
    buf_free(&rows);
    buf_free(&payload);
    buf_free(&head);
}

static void sign(struct rig *r, struct actor *a, bool joins)
{
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = rig_state(r)->ledger,
        .agent = a->id,
        .session = joins ? 0 : a->session,
        .first_seq = joins ? 0 : a->next_seq,
        .answered = joins ? 0 : a->answered,
        .epoch = rig_state(r)->epoch,
        .time = env_wall_us(r->env),
        .public_key = joins ? a->key.public_key : NULL,
        .seen = a->seen,
        .seen_root = a->seen_root,
        .labels = a->labels,
        .label_count = a->label_count,
    };

    if (!joins)
        facts.prev_hash = a->prev_hash;
    buf_clear(&a->frame);
    must(bundle_finish(&a->writer, &facts, &a->key, &a->frame, &a->prev_hash),
         "sign");
}

void actor_sign_begun(struct rig *r, struct actor *a)
{
    sign(r, a, false);
    a->next_seq += a->writer.count;
}

void actor_sign(struct rig *r, struct actor *a, struct msg *op,
                const struct bytes *values, size_t n)
{
    actor_begin(a);
    actor_add(a, op, values, n);
    actor_sign_begun(r, a);
}

static void open_session(struct rig *r, struct actor *a, const char *name,
                         uint64_t invitation)
{
    struct sender from = {
        .agent = a->number,
        .invite = invitation,
        .challenge = &a->challenge,
    };
    struct told told = {0};
    struct msg m;

    actor_begin(a);
    if (name) {
        msg_init(&m, MSG_ENROL);
        msg_set_text(&m, FIELD_NAME, name);
        msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(a->key.public_key, 32));
        msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(a->curve.public_key, 32));
        actor_add(a, &m, NULL, 0);
    }
    msg_init(&m, MSG_SESSION_OPEN);
    msg_set_hash(&m, FIELD_CHALLENGE, &a->challenge);
    actor_add(a, &m, NULL, 0);
    sign(r, a, true);
    must(send_as(r, &from, buf_bytes(&a->frame), &told), "join");
    must(told.turnaway, "join turned away");
    must(told.outcome, "session_open");
    a->session = told.index;
    a->next_seq = 1;
    a->answered = 0;
    a->asks = 0;
    buf_free(&told.effect_bytes);
}

void actor_join(struct rig *r, struct actor *a, const char *name,
                const char *space, unsigned rights)
{
    struct curve_pair once;

    actor_free(a);
    *a = (struct actor){0};
    key_pair_new(&a->key);
    curve_pair_new(&a->curve);
    curve_pair_new(&once);
    random_bytes(a->challenge.b, HASH_BYTES);
    a->id = agent_id(a->key.public_key);
    invite(r, once.public_key, space, rights);
    open_session(r, a, name,
                 invite_by_curve(rig_state(r)->agents, once.public_key)->index);
    a->number = agent_by_id(rig_state(r)->agents, &a->id)->number;
}

void actor_session(struct rig *r, struct actor *a)
{
    random_bytes(a->challenge.b, HASH_BYTES);
    open_session(r, a, NULL, 0);
}

void actor_free(struct actor *a)
{
    bundle_writer_free(&a->writer);
    buf_free(&a->frame);
}

int actor_outside(struct rig *r, struct actor *a, struct msg *op,
                  struct told *told)
{
    struct hash before = a->prev_hash;

    actor_begin(a);
    actor_add(a, op, NULL, 0);
    sign(r, a, true);
    a->prev_hash = before;
    return actor_resend(r, a, told);
}

int actor_finish(struct rig *r, struct actor *a, struct told *told)
{
    struct hash before = a->prev_hash;
    int got;

    sign(r, a, false);
    got = actor_resend(r, a, told);
    if (told->turnaway) { /* nothing was used up */
        a->prev_hash = before;
    } else {
        a->next_seq += a->writer.count;
        a->answered = a->next_seq - 1;
    }
    return got;
}

int actor_do(struct rig *r, struct actor *a, struct msg *op,
             const struct bytes *values, size_t n, struct told *told)
{
    actor_begin(a);
    actor_add(a, op, values, n);
    return actor_finish(r, a, told);
}

static int outcome_of(struct rig *r, struct actor *a, struct msg *op,
                      const char *value, uint64_t *index)
{
    struct bytes v = bytes_text(value);
    struct told told = {0};

    must(actor_do(r, a, op, &v, value ? 1 : 0, &told), "actor_do");
    if (index)
        *index = told.index;
    buf_free(&told.effect_bytes);
    return told.turnaway ? -told.turnaway : told.outcome;
}

int actor_put(struct rig *r, struct actor *a, const char *space,
              const char *key, const char *value, uint64_t *index)
{
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, space);
    msg_set_text(&m, FIELD_KEY, key);
    return outcome_of(r, a, &m, value, index);
}

int actor_put_if(struct rig *r, struct actor *a, const char *space,
                 const char *key, const char *value, uint64_t if_revision,
                 uint64_t *index)
{
    struct msg m;

    msg_init(&m, MSG_PUT);
    msg_set_text(&m, FIELD_SPACE, space);
    msg_set_text(&m, FIELD_KEY, key);
    msg_set_u(&m, FIELD_IF_REVISION, if_revision);
    return outcome_of(r, a, &m, value, index);
}

int actor_submit(struct rig *r, struct actor *a, const char *queue,
                 uint64_t *task)
{
    struct msg m;

    msg_init(&m, MSG_SUBMIT);
    msg_set_text(&m, FIELD_SPACE, "team");
    msg_set_text(&m, FIELD_QUEUE, queue);
    return outcome_of(r, a, &m, "payload", task);
}

int rig_claim(struct rig *r, const struct actor *a, uint64_t task,
              uint64_t *token)
{
    struct task *t = task_by_id(rig_state(r)->tasks, task);
    struct msg m;

    msg_init(&m, MSG_CLAIM);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_hash(&m, FIELD_AGENT, &a->id);
    msg_set_u(&m, FIELD_SESSION, a->session);
    msg_set_u(&m, FIELD_ATTEMPT, t ? t->attempt + 1 : 1);
    msg_set_u(&m, FIELD_LEASE_MS, t ? t->lease_ms : 1);
    return rig_say(r, &m, token);
}
