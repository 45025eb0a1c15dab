/* A frame of the record that came alone: whoever sent it waits for the answer,
 * and nobody else wants anything. What is otherwise done one after the other is
 * done at the same time then, if that is quicker on this machine (ADR 17). */
#include "base/crew.h"
#include "cycle_private.h"

enum {
    WAYS = LONE_ASIDE - LONE_PROVEN + 1,
    HELP_OPS = 16, /* fewer are proven before the disk is done */
};

void lone_begin(struct cycle *c, enum lone_way always)
{
    c->lone.always = always;
    trial_init(&c->lone.trials[0], WAYS);
    trial_init(&c->lone.trials[1], WAYS);
}

bool is_lone(struct cycle *c, const struct arrival *a, const struct opened *o)
{
    return a->is_lone && o->is_wanted && o->bundle.kind == BUNDLE_RECORD &&
           !c->draining && !c->overlap && !core_syncing(c->core) &&
           core_unsynced_bytes(c->core) == 0 && !c->jobs &&
           !router_waits(c->router) && !cursors_wait(c->cursors) &&
           cycle_next(c) > env_steady_us(c->env);
}

/* The rest of the proof, for the crew. */
static void prove_decoded(void *opened, size_t i)
{
    struct opened *o = (struct opened *)opened + i;

    o->proof.signature = bundle_verify(&o->bundle, o->proof.key);
    if (!o->proof.signature)
        o->proof.contents = bundle_covers(&o->bundle);
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
    if (c->lone.is_helped)
        crew_need(c->crew, 0);
    else
        prove_decoded(o, 0);
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
    c->lone.is_helped = true;
    return crew_hand(c->crew, prove_decoded, o);
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
    if (r < 0)
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
