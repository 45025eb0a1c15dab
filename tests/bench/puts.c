/* What a put of row 1 costs the broker in process: as many bundles a turn, as
 * large, of keys out of a million, each written again and again. Processor time
 * of the one thread, from frames that have arrived to answers.
 *
 *   build/tests/bench/puts [KEYS [TURNS]]
 *
 * Turns that are measured lie in turn_measured(), for callgrind's
 * --toggle-collect. The record is in TMPDIR. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/bench/stopwatch.h"
#include "tests/support/hall.h"

enum { GUESTS = 16, PUTS = 46, VALUE = 256 };

static struct hall hall;
static struct guest guests[GUESTS];
static char value[VALUE + 1];
static uint64_t keys = 1000000;

static double now_us(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID) / 1e3;
}

/* Signed, with the bundle's numbers. */
static struct buf bundle_close(struct guest *g)
{
    struct actor *a = &g->actor;
    const struct state *s = rig_state(&hall.rig);
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = s->ledger,
        .agent = a->id,
        .session = a->session,
        .first_seq = a->next_seq,
        .prev_hash = a->prev_hash,
        .answered = a->next_seq - 1,
        .epoch = s->epoch,
        .time = env_wall_us(hall.rig.env),
    };
    struct buf frame = {0};

    must_hold(
        !bundle_finish(&a->writer, &facts, &a->key, &frame, &a->prev_hash),
        "sign");
    a->next_seq += a->writer.count;
    return frame;
}

static struct buf puts_of(struct guest *g, uint64_t first, bool random,
                          unsigned n)
{
    struct bytes v = bytes_text(value);
    char key[64];
    struct msg m;

    bundle_begin(&g->actor.writer);
    for (unsigned i = 0; i < n; i++) {
        snprintf(key, sizeof key, "key:%07llu",
                 (unsigned long long)(random ? (uint64_t)rand() * 7919 % keys
                                             : first + i));
        msg_init(&m, MSG_PUT);
        msg_set_text(&m, FIELD_SPACE, "main");
        msg_set_text(&m, FIELD_KEY, key);
        actor_add(&g->actor, &m, &v, 1);
    }
    return bundle_close(g);
}

void turn_measured(struct arrival *list, size_t n);

__attribute__((noinline)) void turn_measured(struct arrival *list, size_t n)
{
    must_hold(!cycle_take_all(hall.cycle, list, n), "cycle_take_all");
    for (size_t i = 0; i < n; i++)
        must_hold(list[i].code == 0, "a bundle was turned away");
    must_hold(!cycle_end(hall.cycle), "cycle_end");
    must_hold(!cycle_begin(hall.cycle), "cycle_begin");
}

static double turn(struct buf frames[], size_t n)
{
    struct arrival list[GUESTS];
    double began;

    for (size_t i = 0; i < n; i++)
        list[i] = (struct arrival){.from = guests[i].connection,
                                   .frame = buf_bytes(&frames[i])};
    began = now_us();
    turn_measured(list, n);
    began = now_us() - began;
    for (size_t i = 0; i < n; i++)
        buf_free(&frames[i]);
    return began;
}

static void keys_fill(void)
{
    enum { MANY = 1024 };

    for (uint64_t at = 0; at < keys; at += MANY) {
        struct buf frame = puts_of(&guests[0], at, false, MANY);

        turn(&frame, 1);
    }
}

static int less(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    size_t turns = argc > 2 ? (size_t)atoi(argv[2]) : 300;
    double *us = calloc(turns, sizeof *us);
    char name[32];

    keys = argc > 1 ? (uint64_t)atoll(argv[1]) : keys;
    memset(value, 'v', VALUE);
    hall_open(&hall);
    for (unsigned i = 0; i < GUESTS; i++) {
        snprintf(name, sizeof name, "agent-%u", i);
        guest_join(&hall, &guests[i], name, 127);
        guests[i].deaf = true;
    }
    must_hold(!cycle_begin(hall.cycle), "cycle_begin");
    keys_fill();
    for (size_t t = 0; t < turns; t++) {
        struct buf frames[GUESTS];

        for (unsigned i = 0; i < GUESTS; i++)
            frames[i] = puts_of(&guests[i], 0, true, PUTS);
        us[t] = turn(frames, GUESTS);
    }
    qsort(us, turns, sizeof *us, less);
    printf("%llu keys: %.2f us a put (p10 %.2f, p90 %.2f), %d bundles of %d\n",
           (unsigned long long)keys, us[turns / 2] / (GUESTS * PUTS),
           us[turns / 10] / (GUESTS * PUTS),
           us[turns * 9 / 10] / (GUESTS * PUTS), GUESTS, PUTS);
    hall_close(&hall);
    free(us);
    return 0;
}
