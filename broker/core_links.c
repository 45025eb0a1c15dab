/* The index of links follows the record: entry by entry as they are decided,
 * and where it lacks some, after an upgrade or a crash, read back a little in
 * each turn. */
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "changes.h"
#include "core_private.h"
#include "proto/refusal.h"

enum { SLICE_ENTRIES = 512, AGAIN_US = 1000 * 1000 };

/* -EUCLEAN is the index's own, which is then made anew; the record's damage is
 * not mended by that. */
static int of_record(int r)
{
    return r > 0 || r == -EUCLEAN ? -EIO : r;
}

static int leaf(void *arg, uint64_t index, struct hash *out)
{
    struct core *c = arg;
    const struct entry *e;
    int r = ledger_entry(c->ledger, index, &e);

    if (!r)
        *out = entry_leaf(e);
    return of_record(r);
}

static int begin(struct core *c)
{
    struct links_options o = {
        .dir = c->config->data,
        .ledger = c->state->ledger,
        .size = c->state->size,
        .leaf = leaf,
        .arg = c,
    };
    int r = links_open(&c->links.links, &o);

    if (!r)
        r = linking_load(&c->links);
    if (c->links.links && c->links_beside)
        links_beside(c->links.links);
    return r;
}

/* --- As they come ----------------------------------------------------------- */

/* The read set that a completion carries, while it is there. */
static struct bytes reads_of(const struct msg *op, struct bytes payload)
{
    struct bytes salt, value = {0};

    if (!msg_has(op, FIELD_READS) ||
        slot_at(msg_b(op, FIELD_SLOTS), payload, (size_t)msg_u(op, FIELD_READS),
                &salt, &value))
        return (struct bytes){0};
    return value;
}

static struct bytes space_of(struct core *c, const struct msg *op,
                             struct place *place)
{
    if (op->verb != MSG_COMPLETE ||
        task_place(c->state, c->ledger, msg_u(op, FIELD_TASK), place))
        return (struct bytes){0};
    return bytes_text(place->space);
}

void core_links_note(struct core *c, const struct evolve_op *step,
                     struct bytes payload)
{
    struct linked e = {
        .op = step->op,
        .effect = step->effect,
    };
    struct place place;

    if (!links_entry(c->links.links, step->index) || !step->op ||
        step->outcome != CHOIR_OK)
        return;
    if (step->op->verb == MSG_COMPLETE) {
        e.reads = reads_of(step->op, payload);
        e.space = space_of(c, step->op, &place);
    }
    linking_add(&c->links, &e, step->agent);
}

/* --- From the record -------------------------------------------------------- */

static int note_entry(struct core *c, const struct entry *e)
{
    struct hash id = msg_hash(&e->bundle, FIELD_AGENT);
    const struct agent *author = agent_by_id(c->state->agents, &id);
    struct msg op, effect;
    struct linked linked = {.op = &op, .effect = &effect};
    struct place place;
    unsigned field;

    if (!links_entry(c->links.links, e->index))
        return -EAGAIN;
    if (e->outcome != CHOIR_OK || !linking_concerns(head_verb(e->head)))
        return 0;
    msg_init(&effect, MSG_EFFECT);
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field) ||
        (e->effect.n && part_decode(MSG_EFFECT, e->effect, &effect, &field)))
        return -EUCLEAN;
    if (msg_has(&op, FIELD_READS) &&
        entry_slot(e, (size_t)msg_u(&op, FIELD_READS), &linked.reads))
        linked.reads = (struct bytes){0};
    linked.space = space_of(c, &op, &place);
    linking_add(&c->links, &linked, author ? author->number : AGENT_NONE);
    return 0;
}

static int read_on(struct core *c)
{
    uint64_t at = links_size(c->links.links), upto = at + SLICE_ENTRIES;
    int r = c->links_reader
                ? 0
                : ledger_reader_open(c->ledger, at, &c->links_reader);

    if (!r && ledger_reader_index(c->links_reader) != at)
        r = ledger_reader_seek(c->links_reader, at);
    for (; !r && at < c->state->size && at < upto; at++) {
        const struct entry *e;

        r = ledger_reader_next(c->links_reader, &e);
        if (!r)
            r = note_entry(c, e);
    }
    return r == -EAGAIN ? 0 : of_record(r);
}

static int follow(struct core *c)
{
    int r = c->links.links ? links_tend(c->links.links, c->durable_size, false)
                           : begin(c);

    if (r)
        return r;
    if (links_size(c->links.links) < c->state->size)
        return core_slice(c, read_on);
    ledger_reader_close(&c->links_reader);
    return 0;
}

/* What cannot be read is made anew; what cannot be written is tried again. */
static void in_trouble(struct core *c, int error)
{
    int r = 0;

    if (error == -EUCLEAN && c->links.links) {
        log_warn("links", "note=%s", "its files are wrong and are made anew");
        r = links_reset(c->links.links);
        if (!r)
            r = linking_load(&c->links);
    } else if (!c->links_troubled) {
        log_warn("links", "error=%s note=%s", strerror(-error),
                 "what rests on what is known later");
        c->links_troubled = true;
    }
    if (r || error != -EUCLEAN)
        c->links_again = env_steady_us(c->env) + AGAIN_US;
}

void core_links_follow(struct core *c)
{
    int r = env_steady_us(c->env) < c->links_again ? 0 : follow(c);

    if (r)
        in_trouble(c, r);
}

bool core_links_lag(const struct core *c)
{
    return c->links.links && links_size(c->links.links) < c->state->size &&
           !links_full(c->links.links) &&
           env_steady_us(c->env) >= c->links_again;
}

void core_links_beside(struct core *c)
{
    c->links_beside = true;
    if (c->links.links)
        links_beside(c->links.links);
}

void core_links_keep(struct core *c)
{
    int r =
        c->links.links ? links_tend(c->links.links, c->durable_size, true) : 0;

    if (r)
        in_trouble(c, r);
}

void core_links_close(struct core *c)
{
    ledger_reader_close(&c->links_reader);
    links_close(&c->links.links);
}

/* --- For whoever asks ------------------------------------------------------- */

const struct linking *core_links(const struct core *c)
{
    return c->links.links && links_size(c->links.links) == c->state->size
               ? &c->links
               : NULL;
}

int core_links_find(struct core *c, uint64_t to, uint64_t after,
                    struct link *out, int max, bool *more)
{
    int n = links_find(c->links.links, to, after, out, max, more);

    if (n != -EUCLEAN)
        return n;
    in_trouble(c, n);
    return -EAGAIN;
}
