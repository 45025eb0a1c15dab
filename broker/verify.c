/* An entry is decided again from the state before it and the facts that its
 * group and its effect keep. */
#include "verify.h"

#include <errno.h>
#include <stdio.h>

#include "decide.h"
#include "evolve.h"
#include "ledger/ledger.h"
#include "proto/missing.h"
#include "proto/refusal.h"
#include "replay.h"

struct verification {
    struct state *state;
    struct verify_result *out;
    struct ledger *ledger;
    struct missing *missing;
    struct buf scratch, effect;
    struct decide_values values;
    bool unsure; /* how much of this bundle's merging was allowed */
};

static int wrong(struct verification *v, uint64_t index, const char *what)
{
    snprintf(v->out->trouble, sizeof v->out->trouble, "entry %llu: %s",
             (unsigned long long)index, what);
    return -EUCLEAN;
}

static int version(void *arg, struct bytes space, struct bytes key,
                   uint64_t revision, struct decide_version *out,
                   struct buf *value)
{
    struct verification *v = arg;
    const struct entry *e;
    int r;

    if (revision >= v->state->size)
        return CHOIR_NOT_FOUND;
    r = ledger_body(v->ledger, revision, &e);
    return r ? r
             : entry_version(v->state, v->ledger, e, space, key, out, value);
}

/* Can it be decided again: is all still there that it was decided from? */
static bool inputs_kept(struct verification *v, const struct entry *e)
{
    if (slots_payload_bytes(e->rows) != e->payload.n)
        v->values.lacking = true;
    if (v->values.lacking)
        v->unsure = true;
    return !v->values.lacking;
}

static int effect_again(struct verification *v, const struct entry *e,
                        const struct msg *effect)
{
    buf_clear(&v->effect);
    if (effect->has)
        msg_encode(effect, &v->effect);
    if (!bytes_equal(buf_bytes(&v->effect), e->effect))
        return wrong(v, e->index, "its effect would be another");
    if (e->effect_payload.n &&
        !bytes_equal(buf_bytes(&v->values.payload), e->effect_payload))
        return wrong(v, e->index, "its merged value would be another");
    v->out->merged += slots_payload_bytes(e->effect_rows) != 0;
    return 0;
}

static bool is_limit(const struct msg *recorded, const char *name)
{
    return bytes_equal(msg_b(recorded, FIELD_FIELD), bytes_text(name));
}

/* Is all there that a completion was decided by? What it did not carry is kept
 * only as far as it fits, and what it carries may have been erased. */
static bool reads_kept(const struct msg *op, const struct msg *recorded,
                       const struct entry *e)
{
    struct bytes value;

    if (e->outcome == CHOIR_OVER_LIMIT &&
        (is_limit(recorded, reads_beyond_limit) ||
         is_limit(recorded, reads_bundle_limit)))
        return false;
    return !msg_has(op, FIELD_READS) ||
           msg_u(op, FIELD_READS) >= msg_slots(op) ||
           entry_slot(e, (size_t)msg_u(op, FIELD_READS), &value) == 0;
}

/* Neither right nor wrong: it is passed over, and what follows from it in its
 * bundle cannot be told either. */
static int unsure(struct verification *v)
{
    v->unsure = true;
    return 0;
}

static int decide_again(struct verification *v, const struct entry *e,
                        const struct agent *a)
{
    struct decide_facts facts = {
        .index = e->index,
        .time = e->time,
        .agent = a ? a->number : AGENT_NONE,
        .session = e->session,
        .public_key = msg_b(&e->bundle, FIELD_PUBLIC_KEY).p,
        .payload = e->payload,
        .values = &v->values,
    };
    struct msg op, recorded, effect;
    unsigned field;
    int r;

    if (e->outcome == CHOIR_UNSUPPORTED)
        return 0; /* a later release may well support it */
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field))
        return wrong(v, e->index, "its head cannot be read");
    msg_init(&recorded, MSG_EFFECT);
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &recorded, &field))
        return wrong(v, e->index, "its effect cannot be read");
    if ((op.verb == MSG_ENROL && e->outcome != CHOIR_REPEATED) ||
        op.verb == MSG_RECOVER)
        facts.invite = msg_u(&recorded, FIELD_REVISION);
    if (e->position == 0)
        v->values.merged = v->values.looked = v->unsure = 0;
    v->values.lacking = false;
    if (op.verb == MSG_COMPLETE && !reads_kept(&op, &recorded, e))
        return unsure(v);
    facts.observed = msg_b(&recorded, FIELD_COMPARES);
    facts.observed_count = msg_u(&recorded, FIELD_COMPARES);
    r = decide(v->state, &op, &facts, &effect, &v->scratch);
    if (r < 0)
        return r;
    if (!inputs_kept(v, e) || (v->unsure && e->outcome == CHOIR_OVER_LIMIT))
        return 0;
    if (r != e->outcome)
        return wrong(v, e->index, "it would be decided otherwise");
    r = effect_again(v, e, &effect);
    if (r)
        return r;
    v->out->decided++;
    if (op.verb == MSG_CHECKPOINT)
        v->out->checkpoints++;
    return 0;
}

static int entry_verify(struct verification *v, const struct entry *e)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    const struct agent *a = agent_by_id(v->state->agents, &id);
    int r = missing_entry(v->missing, e);

    if (r > 0)
        return wrong(v, e->index,
                     "a payload is missing, and nothing permits it");
    if (!r && e->index > 1) /* genesis decides who may say anything at all */
        r = decide_again(v, e, a);
    if (r)
        return r;
    r = evolve(v->state, e);
    if (r == -EUCLEAN)
        return wrong(v, e->index,
                     "it does not follow from the state before it, or states "
                     "another digest than replay gives");
    v->out->entries++;
    return r;
}

/* The last group, before the first of its entries. 0; CHOIR_NOT_FOUND: the
 * record ends before it. */
static int last_prove(struct verification *v, struct ledger *l, uint64_t index)
{
    struct ledger_reader *reader;
    struct group_header g;
    struct bytes heads;
    int r = ledger_reader_open(l, index, &reader);

    if (r)
        return r;
    r = ledger_reader_group(reader, &g, &heads);
    if (!r && !replay_proves(v->state, &g, heads)) {
        v->out->cut = index;
        r = CHOIR_NOT_FOUND;
    }
    ledger_reader_close(&reader);
    return r;
}

static int replay(struct verification *v, struct ledger *l)
{
    struct ledger_reader *reader;
    const struct entry *e;
    uint64_t index;
    int r = ledger_reader_open(l, 0, &reader);

    if (r)
        return r;
    while ((r = ledger_reader_next(reader, &e)) == 0) {
        if (e->index == ledger_unproven(l))
            r = last_prove(v, l, e->index);
        if (!r)
            r = entry_verify(v, e);
        if (r)
            break;
    }
    if (r == CHOIR_NOT_FOUND && missing_end(v->missing, &index))
        r = wrong(v, index, "a payload is missing, and nothing permits it");
    ledger_reader_close(&reader);
    if (r == -EUCLEAN && !v->out->trouble[0])
        snprintf(v->out->trouble, sizeof v->out->trouble, "%s",
                 ledger_trouble(l));
    return r == CHOIR_NOT_FOUND ? 0 : r;
}

int verify_record(const char *dir, struct env *env, struct verify_result *out)
{
    struct ledger_options o = {.dir = dir, .env = env, .read_only = true};
    struct verification v = {
        .out = out, .state = state_new(), .missing = missing_new()};
    struct ledger_head head;
    struct ledger *l = NULL;
    int r = v.state && v.missing ? 0 : -ENOMEM;

    *out = (struct verify_result){0};
    if (!r) {
        r = ledger_open(&l, &o, &head);
        if (r)
            snprintf(out->trouble, sizeof out->trouble, "%s", head.trouble);
    }
    v.ledger = l;
    if (!r)
        ledger_hide(l, &v.state->hider);
    v.values.version = version;
    v.values.arg = &v;
    if (!r)
        r = replay(&v, l);
    if (!r) {
        out->ledger = v.state->ledger;
        out->digest = state_digest(v.state);
        out->root = frontier_root(&v.state->tree);
    }
    ledger_close(&l);
    state_destroy(&v.state);
    missing_destroy(&v.missing);
    buf_free(&v.scratch);
    buf_free(&v.effect);
    decide_values_free(&v.values);
    return r > 0 ? -EUCLEAN : r;
}
