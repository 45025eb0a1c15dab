/* The course of the world: who does what next, what fails, what must hold. */
#include "tests/sim/world/world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/core_private.h"
#include "broker/verify.h"
#include "tests/sim/world/disk.h"
#include "tests/sim/world/inputs.h"

#define MS UINT64_C(1000)
#define SECOND UINT64_C(1000000)

enum {
    CALM_ROUNDS = 4000,
    REPLAY_ONE_IN = 6,
    SETTLE_TURNS = 1000,
    LEAVE_TURNS = 120
};

/* --- Chance, time, trace ------------------------------------------------- */

static uint64_t chance;

uint64_t world_any(uint64_t n)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return n ? chance % n : 0;
}

static bool one_in(uint64_t n)
{
    return world_any(n) == 0;
}

uint64_t world_now(const struct world *w)
{
    return env_steady_us(w->rig.env);
}

void world_say(struct world *w, const char *format, ...)
{
    char *line = w->lines[w->line++ % WORLD_LINES];
    va_list args;
    int n = snprintf(line, WORLD_LINE, "%6lu %10.6f ", w->step,
                     (double)world_now(w) / 1e6);

    va_start(args, format);
    vsnprintf(line + n, WORLD_LINE - (size_t)n, format, args);
    va_end(args);
    w->out->trace =
        w->out->trace * UINT64_C(0x100000001b3) ^ model_hash(bytes_text(line));
    if (w->o.trace)
        fprintf(stderr, "%s\n", line);
}

void world_fail(struct world *w, const char *format, ...)
{
    va_list args;
    int n = snprintf(w->out->why, sizeof w->out->why, "step %lu: ", w->step);

    va_start(args, format);
    vsnprintf(w->out->why + n, sizeof w->out->why - (size_t)n, format, args);
    va_end(args);
    longjmp(w->failed, 1);
}

/* --- Network ------------------------------------------------------------- */

static void packet_put(struct world *w, struct packet *p)
{
    struct packet **at = &w->packets;

    while (*at && ((*at)->due < p->due ||
                   ((*at)->due == p->due && (*at)->order < p->order)))
        at = &(*at)->next;
    p->next = *at;
    *at = p;
}

void world_send(struct world *w, struct client *a, bool to_broker,
                struct bytes frame)
{
    struct packet *p = calloc(1, sizeof *p);
    uint64_t delay = one_in(20) ? world_any(300 * MS) : world_any(5 * MS);

    if (!p)
        abort();
    p->due = world_now(w) + delay;
    if (p->due < a->last_due[to_broker])
        p->due = a->last_due[to_broker];
    a->last_due[to_broker] = p->due;
    p->order = w->orders++;
    p->serial = a->serial;
    p->agent = a->number;
    p->to_broker = to_broker;
    buf_put(&p->frame, frame.p, frame.n);
    packet_put(w, p);
}

static void packet_free(struct packet *p)
{
    buf_free(&p->frame);
    free(p);
}

/* The next one for that side that has arrived, if its connection is still
 * there; owned by the caller. */
static struct packet *packet_take(struct world *w, bool to_broker)
{
    struct packet **at = &w->packets;

    while (*at && (*at)->due <= world_now(w)) {
        struct packet *p = *at;
        struct client *a = &w->agents[p->agent];
        bool is_lost = p->serial != a->serial || !a->connection;

        if (p->to_broker != to_broker && !is_lost) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        if (!is_lost)
            return p;
        packet_free(p);
    }
    return NULL;
}

static void transport_send(void *arg, struct connection *c, struct bytes frame)
{
    struct world *w = arg;

    if (!disk_is_cut()) /* else whoever sends it is no more */
        world_send(w, c->peer, false, frame);
}

static uint64_t transport_backlog(void *arg, struct connection *c)
{
    (void)arg, (void)c;
    return 0;
}

static void transport_cut(void *arg, struct connection *c, const char *why)
{
    (void)arg, (void)why;
    ((struct client *)c->peer)->is_cut = true;
}

/* --- The record, as it becomes durable ----------------------------------- */

static bool is_forged(const struct world *w, const struct entry *e)
{
    for (unsigned i = 0; i < FORGED_KEPT && i < w->forgeries; i++)
        if (memcmp(w->forged[i], e->signature, KEY_SIGNATURE_BYTES) == 0)
            return true;
    return false;
}

static void catch_up(struct world *w)
{
    while (w->model.size < core_durable(w->rig.core)) {
        const struct entry *e;
        int r = ledger_reader_next(w->reader, &e);

        if (r)
            world_fail(w, "the record cannot be read at %lu: %d", w->model.size,
                       r);
        if (is_forged(w, e))
            world_fail(w, "entry %lu has a forged signature", e->index);
        client_judge(w, e);
        if (!model_take(&w->model, e))
            world_fail(w, "entry %lu: %s", e->index, w->model.why);
        if (w->model.entries[e->index].agent != MODEL_BROKER && e->session &&
            !client_said(w, w->model.entries[e->index].agent, e))
            world_fail(w, "entry %lu was never said", e->index);
    }
}

/* --- Start and stop ------------------------------------------------------ */

static void cycle_make(struct world *w)
{
    struct cycle_options o = {
        .core = w->rig.core,
        .env = w->rig.env,
        .config = w->rig.config,
        .transport = {w, transport_send, transport_backlog, transport_cut},
        .beside = w->beside,
        .lone = LONE_PROVEN + (enum lone_way)world_any(3),
    };
    int fd;

    if (w->beside && ledger_beside(core_ledger(w->rig.core), &fd))
        abort();
    w->cycle = cycle_new(&o);
    if (!w->cycle ||
        ledger_reader_open(core_ledger(w->rig.core), w->model.size, &w->reader))
        abort();
}

static void stop(struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS; i++)
        if (w->agents[i].connection)
            client_lost(w, &w->agents[i]);
    ledger_reader_close(&w->reader);
    cycle_destroy(&w->cycle);
    if (w->rig.core)
        w->out->reclaimed += core_reclaimed(w->rig.core);
    core_destroy(&w->rig.core);
}

/* Did the world do something to it that it may end with? */
static bool is_excused(const struct world *w, int r)
{
    return w->fault || disk_is_cut() || (w->full && r == -ENOSPC);
}

/* It ended in the middle of something; maybe the whole machine did. */
void world_crash(struct world *w, const char *why)
{
    bool power = disk_is_cut() ? !one_in(4) : one_in(2);
    unsigned harmed = 0;

    world_say(w, "the broker ends: %s%s", why, power ? ", with the power" : "");
    if (power)
        disk_cut();
    stop(w);
    if (power)
        harmed = disk_lose_power();
    else
        disk_restart();
    w->out->losses += harmed;
    w->fault = false;
    w->start_at = world_now(w) + world_any(w->calm ? 2 : 400) * MS;
}

struct core_options world_core(const struct world *w)
{
    return (struct core_options){
        .env = w->rig.env,
        .config = w->rig.config,
        .reserve_bytes = w->reserve_bytes,
        .snapshot_keys = w->snapshot_keys,
    };
}

static void start(struct world *w)
{
    struct core_options o = world_core(w);
    bool compare = w->calm || one_in(REPLAY_ONE_IN);
    struct projection scratch, p;
    int r;

    if (compare)
        scratch = projection_from_scratch(w);
    if (!w->calm && one_in(6))
        disk_cut_after(1 + world_any(12));
    r = core_open(&w->rig.core, &o, w->rig.trouble);
    if (disk_is_cut() || (r && is_excused(w, r))) {
        world_crash(w, "while it starts");
        return;
    }
    if (r)
        world_fail(w, "the broker does not start: %s", w->rig.trouble);
    disk_cut_after(0);
    p = projection_of(w->rig.core);
    if (compare &&
        (p.size != scratch.size || !hash_equal(&p.digest, &scratch.digest) ||
         !hash_equal(&p.root, &scratch.root)))
        world_fail(w, "from scratch it is another state");
    if (p.size < w->model.size)
        world_fail(w, "%lu entries are left of %lu that were durable", p.size,
                   w->model.size);
    w->out->restarts++;
    world_say(w, "the broker starts with %lu entries", p.size);
    cycle_make(w);
    catch_up(w);
    record_check_tree(w);
    if (compare)
        record_check(w);
    for (size_t i = 0; i < w->model.task_count; i++)
        w->model.tasks[i].renewed = env_wall_us(w->rig.env);
}

void world_stop_clean(struct world *w)
{
    int r = core_close_clean(w->rig.core);

    if (r == 0)
        catch_up(w);
    else if (!is_excused(w, r))
        world_fail(w, "it does not stop cleanly: %d", r);
    world_say(w, "the broker stops: %d", r);
    stop(w);
    disk_restart();
    w->fault = false;
    w->start_at = world_now(w) + world_any(100) * MS;
}

/* --- A turn of the broker ------------------------------------------------ */

/* Nothing ends it but what the world did to it. */
static void ended(struct world *w, int r)
{
    if (!is_excused(w, r))
        world_fail(w, "the broker ends by itself: %d, %s", r,
                   ledger_trouble(core_ledger(w->rig.core)));
    world_crash(w, "its disk fails");
}

static void dropped(struct world *w, const struct client *a, int code)
{
    if (code > 0 && code != CHOIR_UNKNOWN_AGENT)
        world_fail(w, "a frame of agent %d is dropped: %s", a->number,
                   refusal_name(code));
}

static int deliver(struct world *w)
{
    struct packet *p;
    int r = 0;

    while (r >= 0 && !cycle_full(w->cycle) &&
           (p = packet_take(w, true)) != NULL) {
        struct client *a = &w->agents[p->agent];

        r = cycle_take(w->cycle, a->connection, buf_bytes(&p->frame));
        dropped(w, a, r);
        packet_free(p);
    }
    return r < 0 ? r : 0;
}

static void cut_connections(struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS; i++) {
        struct client *a = &w->agents[i];

        if (!a->connection || !a->is_cut)
            continue;
        cycle_disconnect(w->cycle, a->connection);
        client_lost(w, a);
    }
}

/* alone: the frame that comes into this turn, and no other; or NULL. */
static void turn(struct world *w, struct arrival *alone)
{
    int r;

    if (!w->cycle)
        return;
    inputs_sync_looks((unsigned)world_any(one_in(30) ? 60 : 4));
    r = cycle_begin(w->cycle);
    if (!r)
        r = alone ? cycle_take_all(w->cycle, alone, 1) : deliver(w);
    if (!r)
        r = cycle_end(w->cycle);
    if (!r)
        r = cycle_settle(w->cycle);
    if (r || disk_is_cut()) {
        ended(w, r);
        return;
    }
    catch_up(w);
    if (disk_is_cut())
        ended(w, 0);
    else
        cut_connections(w);
}

/* The same, but for the signature; nothing must come of it. */
static void forge(struct world *w, const struct arrival *alone)
{
    uint64_t bundles = core_counters(w->rig.core)->bundles;
    struct arrival forged = *alone;
    struct buf *frame = &w->forgery;
    uint8_t *signature;

    buf_clear(frame);
    buf_put(frame, alone->frame.p, alone->frame.n);
    signature = frame->p + 8 + get_u32(frame->p + 4);
    signature[world_any(KEY_SIGNATURE_BYTES)] ^= 1;
    memcpy(w->forged[w->forgeries++ % FORGED_KEPT], signature,
           KEY_SIGNATURE_BYTES);
    forged.frame = buf_bytes(frame);
    if (!w->calm && one_in(2)) /* with it in the record, perhaps */
        disk_cut_after(1 + world_any(10));
    turn(w, &forged);
    if (w->cycle && core_counters(w->rig.core)->bundles != bundles)
        world_fail(w, "a forged frame is accepted");
}

/* Said in a session? Else its agent would hear what was said to the forger, and
 * take it for the answer to what he sent himself. */
static bool is_of_a_session(struct bytes frame)
{
    struct bundle b = {.count = 0};
    bool is = bundle_open(&b, frame) == 0 && b.session;

    bundle_free(&b);
    return is;
}

static void turn_alone(struct world *w)
{
    struct packet *p = packet_take(w, true);
    struct client *a;
    struct arrival alone = {.is_lone = true};

    if (!p) {
        turn(w, NULL);
        return;
    }
    a = &w->agents[p->agent];
    alone.from = a->connection;
    alone.frame = buf_bytes(&p->frame);
    w->alone = p;
    if (one_in(4) && is_of_a_session(alone.frame))
        forge(w, &alone);
    if (w->cycle && a->connection == alone.from) {
        turn(w, &alone);
        dropped(w, a, alone.code);
    }
    w->alone = NULL;
    packet_free(p);
}

static void hear_all(struct world *w)
{
    struct packet *p;

    while ((p = packet_take(w, false)) != NULL) {
        w->heard = p; /* what it says may end the world */
        client_hear(w, &w->agents[p->agent], buf_bytes(&p->frame));
        w->heard = NULL;
        packet_free(p);
    }
}

static void time_passes(struct world *w)
{
    uint64_t us = world_any(4 * MS);

    if (one_in(50))
        us = world_any(2 * SECOND);
    if (one_in(3000))
        us = 30 * SECOND; /* longer than a session may be idle */
    env_sim_advance_us(w->rig.env, us);
}

static void step(struct world *w)
{
    w->step++;
    if (!w->cycle && world_now(w) >= w->start_at)
        start(w);
    if (!w->calm && one_in(60))
        world_misfortune(w);
    else
        client_act(w, &w->agents[world_any(WORLD_AGENTS)]);
    time_passes(w);
    if (one_in(2)) {
        if (w->cycle && one_in(2))
            turn_alone(w);
        else
            turn(w, NULL);
    }
    hear_all(w);
}

/* --- Beginning and end --------------------------------------------------- */

static void begin(struct world *w)
{
    struct core_options o;

    chance = w->o.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
    inputs_reset(w->o.seed);
    disk_reset(w->o.seed);
    w->rig.env = env_sim_new(w->o.seed);
    w->beside = one_in(2);
    w->reserve_bytes = one_in(3) ? 0 : 64 << 10;
    w->snapshot_keys = one_in(3) ? 0 : 2 + (unsigned)world_any(20);
    world_configure(w);
    frontier_init(&w->model.tree);
    o = world_core(w);
    if (mkdir(DISK_ROOT, 0700) || core_open(&w->rig.core, &o, w->rig.trouble))
        world_fail(w, "the broker does not start: %s", w->rig.trouble);
    for (unsigned i = 0; i < WORLD_AGENTS; i++)
        client_join(w, &w->agents[i], i);
    cycle_make(w);
    catch_up(w);
    disk_lie(w->o.lies);
}

static bool all_done(const struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS; i++)
        if (!client_is_done(w, &w->agents[i]))
            return false;
    return w->cycle != NULL;
}

/* No more faults: everything that was said gets its answer. */
static void calm_down(struct world *w)
{
    w->calm = true;
    w->full = false;
    disk_set_room(UINT64_MAX);
    disk_cut_after(0);
    disk_fail_sync(0);
    for (int i = 0; i < CALM_ROUNDS && !all_done(w); i++)
        step(w);
    for (int i = 0; i < WORLD_AGENTS; i++)
        if (!client_is_done(w, &w->agents[i]))
            world_fail(w,
                       "agent %d waits for ever: session %lu, %zu bundles, "
                       "watch at %lu of %lu with credit %lu",
                       i, w->agents[i].actor.session, w->agents[i].sent_count,
                       w->agents[i].watch_next, w->model.size,
                       w->agents[i].credit);
}

/* And nobody is there any more: every lease ends. */
static void leave(struct world *w)
{
    for (int i = 0; i < WORLD_AGENTS; i++)
        w->agents[i].is_cut = true;
    for (int i = 0; i < LEAVE_TURNS; i++) {
        env_sim_advance_us(w->rig.env, SECOND / 8);
        turn(w, NULL);
    }
    for (size_t i = 0; i < w->model.task_count; i++)
        if (w->model.tasks[i].state == TASK_WORKING)
            world_fail(w, "the lease of task %lu never ends",
                       w->model.tasks[i].id);
}

static const struct m_key *overdue(const struct world *w)
{
    return model_overdue(&w->model, env_wall_us(w->rig.env) - 2 * SECOND);
}

static const struct m_task *hopeless(const struct world *w)
{
    return model_hopeless(&w->model, env_wall_us(w->rig.env) - 2 * SECOND);
}

/* What need not be kept is given back, as far as that is worth it; keys whose
 * time is up end. */
static void settle(struct world *w)
{
    env_sim_advance_us(w->rig.env, 61 * SECOND); /* it may have had no room */
    for (int i = 0; i < SETTLE_TURNS && !w->settled; i++) {
        env_sim_advance_us(w->rig.env, SECOND / 8);
        turn(w, NULL);
        w->settled = !core_reclaims(w->rig.core) && !core_erases(w->rig.core) &&
                     !overdue(w) && !hopeless(w);
    }
    if (!w->settled && hopeless(w))
        world_fail(w, "task %lu is never given up", hopeless(w)->id);
    if (!w->settled)
        world_fail(w, overdue(w) ? "a key never ends"
                                 : "it does not end giving space back");
}

static void check_whole(struct world *w)
{
    struct verify_result result = {0};
    struct hash digest;

    if (!w->cycle)
        start(w);
    world_stop_clean(w);
    start(w);
    digest = state_digest(rig_state(&w->rig));
    stop(w);
    disk_restart();
    if (verify_record(w->rig.config->data, w->rig.env, &result))
        world_fail(w, "verify: %s", result.trouble);
    if (!hash_equal(&digest, &result.digest))
        world_fail(w, "verify finds another state");
}

static void end(struct world *w)
{
    struct packet *p;

    w->out->entries = w->model.size;
    w->out->ledger = disk_hash();
    ledger_reader_close(&w->reader);
    cycle_destroy(&w->cycle);
    core_destroy(&w->rig.core);
    for (int i = 0; i < WORLD_AGENTS; i++)
        client_end(w, &w->agents[i]);
    while ((p = w->packets) != NULL) {
        w->packets = p->next;
        packet_free(p);
    }
    if (w->heard)
        packet_free(w->heard);
    if (w->alone)
        packet_free(w->alone);
    buf_free(&w->forgery);
    model_free(&w->model);
    config_destroy(&w->rig.config);
    env_destroy(&w->rig.env);
    disk_free();
}

static void show(const struct world *w)
{
    uint64_t from = w->line > WORLD_LINES ? w->line - WORLD_LINES : 0;

    for (uint64_t i = from; i < w->line; i++)
        fprintf(stderr, "%s\n", w->lines[i % WORLD_LINES]);
    fprintf(stderr, "seed %lu, %s\n", w->o.seed, w->out->why);
}

void world_run(const struct world_options *o, struct world_result *out)
{
    struct world *w = calloc(1, sizeof *w);
    int nowhere = open("/dev/null", O_WRONLY);

    if (!w || nowhere < 0)
        abort();
    log_open(LOG_LEVEL_ERROR, nowhere);
    *out = (struct world_result){0};
    w->o = *o;
    w->out = out;
    if (setjmp(w->failed) == 0) {
        begin(w);
        while (w->step < o->steps)
            step(w);
        calm_down(w);
        leave(w);
        settle(w);
        check_whole(w);
        out->good = true;
    } else if (o->trace) {
        show(w);
    }
    end(w);
    close(nowhere);
    free(w);
}
