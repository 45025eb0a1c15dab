/* A frame of the record that came alone: whoever sent it waits for the answer,
 * and nobody else wants anything. What is otherwise done one after the other is
 * done at the same time then, if that is quicker on this machine (ADR 17). */
#include "base/crew.h"
#include "cycle_private.h"
#include "proto/refusal.h"

enum {
    WAYS = LONE_ASIDE - LONE_PROVEN + 1,
    HELP_OPS = 16, /* fewer are proven before the disk is done */
};

static unsigned way_number(enum lone_way way)
{
    return way - LONE_PROVEN;
}

void lone_begin(struct cycle *c, enum lone_way always)
{
    bool is_helped = c->crew && crew_helpers(c->crew) > 0;
    enum lone_way large = is_helped ? LONE_ASIDE : LONE_PROVEN;

    c->lone.always = always;
    trial_init(&c->lone.trials[0], WAYS, way_number(LONE_PROVEN));
    trial_init(&c->lone.trials[1], WAYS, way_number(large));
}

bool is_lone(struct cycle *c, const struct arrival *a, const struct opened *o)
{
    return a->is_lone && o->is_wanted && o->bundle.kind == BUNDLE_RECORD &&
           !c->draining && !c->overlap && !core_syncing(c->core) &&
           core_unsynced_bytes(c->core) == 0 && !c->jobs &&
           !router_waits(c->router) && !cursors_wait(c->cursors) &&
           cycle_next(c) > env_steady_us(c->env);
}

/* A piece of the proof, for whoever has time first. */
static void piece_prove(void *lone_proof, size_t i)
{
    struct lone_proof *p = lone_proof;
    struct bundle *b = &p->opened->bundle;

    switch (i) {
    case PIECE_SIGNATURE:
        p->results[i] = bundle_verify(b, p->opened->proof.key);
        break;
    case PIECE_PAYLOADS: p->results[i] = bundle_covers_payloads(b); break;
    default: p->results[i] = bundle_covers_heads(b); break;
    }
}

static int help_begin(struct cycle *c, struct opened *o)
{
    c->lone.is_helped = true;
    c->lone.proof = (struct lone_proof){
        o, {CHOIR_BAD_SIGNATURE, CHOIR_MALFORMED, CHOIR_MALFORMED}};
    return crew_hand(c->crew, piece_prove, &c->lone.proof, PIECES);
}

static void help_end(struct cycle *c, struct proof *proof)
{
    const int *results = c->lone.proof.results;

    for (size_t i = 0; i < PIECES; i++)
        crew_need(c->crew, i);
    proof->signature = results[PIECE_SIGNATURE];
    proof->contents =
        results[PIECE_HEADS] ? results[PIECE_HEADS] : results[PIECE_PAYLOADS];
}

void lone_drop(struct cycle *c)
{
    if (c->lone.is_helped)
        crew_end(c->crew);
    c->lone.is_helped = false;
    c->lone.arrival = NULL;
}

static void prove(struct cycle *c, struct opened *o)
{
    if (c->lone.is_helped) {
        help_end(c, &o->proof);
    } else {
        o->proof.signature = bundle_verify(&o->bundle, o->proof.key);
        if (!o->proof.signature)
            o->proof.contents = bundle_covers(&o->bundle);
    }
    lone_drop(c);
    o->proof.is_made = true;
    o->proof.may_follow = false;
}

/* Ahead of its proof? And who makes that? */
static int way_choose(struct cycle *c, const struct arrival *a,
                      struct opened *o)
{
    struct sender sender = cycle_sender(a->from, NULL);
    bool is_large = o->bundle.count >= HELP_OPS;
    struct trial *trial = &c->lone.trials[is_large];

    if (!core_may_precede(c->core, &o->bundle, &sender))
        return 0;
    c->lone.trial = trial;
    c->lone.way =
        c->lone.always ? c->lone.always : LONE_PROVEN + trial_way(trial);
    o->proof.may_follow = c->lone.way != LONE_PROVEN;
    if (c->lone.way != LONE_ASIDE || !is_large || !c->crew)
        return 0;
    return help_begin(c, o);
}

int take_lone(struct cycle *c, struct arrival *a, struct opened *o)
{
    int r = bundle_decode(&o->bundle, CLASS_OPERATION);

    if (r) {
        proof_make(&o->proof, &o->bundle, CLASS_OPERATION);
    } else {
        r = way_choose(c, a, o);
        if (r)
            return r;
        if (!o->proof.may_follow)
            prove(c, o);
    }
    a->code = r = take_one(c, a, o);
    if (r < 0 || !c->lone.arrival) /* nobody will ask for its proof */
        lone_drop(c);
    return r < 0 ? r : 0;
}

void lone_leave(struct cycle *c, struct arrival *a, struct opened *o)
{
    c->lone.arrival = a;
    c->lone.opened = o;
}

int lone_prove(struct cycle *c, bool *again)
{
    struct arrival *a = c->lone.arrival;
    struct opened *o = c->lone.opened;
    bool is_ahead = core_is_ahead(c->core);
    int r = 0;

    *again = false;
    if (!a)
        return 0;
    prove(c, o);
    if (is_ahead && !o->proof.signature && !o->proof.contents) {
        r = record_follows(c, a->from, &o->bundle);
    } else { /* as if it had come now */
        *again = true;
        c->lone.trial = NULL;
        if (is_ahead)
            r = core_take_back(c->core);
        if (!r)
            r = take_one(c, a, o);
    }
    a->code = r;
    return r < 0 ? r : 0;
}

enum sync_by lone_sync(const struct cycle *c)
{
    static const enum sync_by by[] = {
        [LONE_PROVEN] = SYNC_HERE,
        [LONE_BESIDE] = SYNC_BESIDE,
        [LONE_ASIDE] = SYNC_ASIDE,
    };

    return c->lone.trial && c->beside ? by[c->lone.way] : SYNC_HERE;
}

void lone_end(struct cycle *c, bool was_synced)
{
    if (c->lone.trial && was_synced)
        trial_took(c->lone.trial, env_steady_us(c->env) - c->began_us);
    c->lone.trial = NULL;
}
