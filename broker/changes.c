/* Heads and effects are in the record as they were signed and decided; what
 * they mean for keys is said here once. */
#include "changes.h"

#include <errno.h>

#include "proto/merge.h"
#include "proto/refusal.h"

unsigned head_verb(struct bytes head)
{
    /* A map's first pair is the verb; fixmap and map 16 are all that fit. */
    size_t at = head.n && (head.p[0] & 0xf0) == 0x80 ? 2 : 4;

    if (head.n <= at || head.p[at - 1] != FIELD_VERB)
        return 0;
    if (head.p[at] != 0xcc)
        return head.p[at];
    return head.n > at + 1 ? head.p[at + 1] : 0;
}

static bool changes_one_key(unsigned verb)
{
    return verb == MSG_PUT || verb == MSG_DELETE || verb == MSG_APPEND ||
           verb == MSG_INCR || verb == MSG_LAPSE;
}

static bool changes_keys(unsigned verb)
{
    return changes_one_key(verb) || verb == MSG_TXN || verb == MSG_COMPLETE;
}

/* What was merged is a slot of the effect, and of the type that merges. */
static void merged_into(struct change *c, uint64_t slot, const struct msg *how)
{
    c->merged = true;
    c->operand = c->slot;
    c->base = msg_u(how, FIELD_BASE);
    c->slot = (size_t)slot;
    c->type = bytes_text(MERGE_TYPE);
}

int changes_begin(struct changes *c, const struct entry *e)
{
    unsigned field;

    if (e->outcome != CHOIR_OK || !changes_keys(head_verb(e->head)))
        return CHOIR_NOT_FOUND;
    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &c->head, &field))
        return -EUCLEAN;
    msg_init(&c->effect, MSG_EFFECT);
    if (e->effect.n && part_decode(MSG_EFFECT, e->effect, &c->effect, &field))
        return -EUCLEAN;
    c->writes = msg_list(&c->head, FIELD_WRITES);
    c->prevs = msg_list(&c->effect, FIELD_ITEMS);
    c->left = changes_one_key(c->head.verb);
    return c->left || c->writes.left ? 0 : CHOIR_NOT_FOUND;
}

static bool next_write(struct changes *c, struct change *out)
{
    struct msg write, prev;

    while (list_next(&c->writes, &write)) {
        if (!list_next(&c->prevs, &prev))
            return false;
        *out = (struct change){
            .key = msg_b(&write, FIELD_KEY),
            .type = msg_b(&write, FIELD_TYPE),
            .deleted = !msg_has(&write, FIELD_SLOT),
            .slot = (size_t)msg_u(&write, FIELD_SLOT),
            .prev = msg_u(&prev, FIELD_PREV),
        };
        if (msg_has(&prev, FIELD_SLOT))
            merged_into(out, msg_u(&prev, FIELD_SLOT), &prev);
        if (!out->deleted || out->prev)
            return true; /* deleting what is absent changes nothing */
    }
    return false;
}

bool changes_next(struct changes *c, struct change *out)
{
    if (!c->left)
        return next_write(c, out);
    c->left = 0;
    *out = (struct change){
        .key = msg_b(&c->head, FIELD_KEY),
        .type = msg_b(&c->head, FIELD_TYPE),
        .deleted = c->head.verb == MSG_DELETE || c->head.verb == MSG_LAPSE,
        .prev = msg_u(&c->effect, FIELD_PREV),
    };
    if (msg_has(&c->effect, FIELD_SLOTS))
        merged_into(out, SLOT_EFFECT, &c->effect);
    return true;
}

int changes_find(const struct entry *e, struct bytes key, struct change *out,
                 struct changes *walk)
{
    int r = changes_begin(walk, e);

    if (r)
        return r;
    while (changes_next(walk, out)) {
        if (bytes_equal(out->key, key))
            return 0;
    }
    return CHOIR_NOT_FOUND;
}

int change_value(const struct entry *e, const struct change *change,
                 struct bytes *value)
{
    return entry_slot(e, change->slot, value);
}

void slot_tell(const struct entry *e, size_t slot, struct msg *m)
{
    struct bytes value;
    int r = entry_slot(e, slot, &value);

    if (!r)
        msg_set_b(m, FIELD_VALUE, value);
    else if (r == CHOIR_ERASED)
        msg_set_u(m, FIELD_OUTCOME, CHOIR_ERASED);
}

uint32_t change_bytes(const struct entry *e, const struct change *change)
{
    bool of_effect = change->slot >= SLOT_EFFECT;
    struct bytes rows = of_effect ? e->effect_rows : e->rows;
    size_t at = change->slot - (of_effect ? SLOT_EFFECT : 0);

    return change->deleted || at >= rows.n / SLOT_ROW_BYTES
               ? 0
               : get_u32(rows.p + at * SLOT_ROW_BYTES);
}

static void name_copy(char out[LIMIT_NAME_BYTES + 1], struct bytes name)
{
    size_t n = name.n < LIMIT_NAME_BYTES ? name.n : LIMIT_NAME_BYTES;

    if (n)
        memcpy(out, name.p, n);
    out[n] = 0;
}

int task_place(const struct state *s, struct ledger *l, uint64_t task,
               struct place *out)
{
    const struct task *t = task_by_id(s->tasks, task);

    if (t) {
        name_copy(out->space, bytes_text(t->queue->space));
        name_copy(out->queue, bytes_text(t->queue->name));
        return 0;
    }
    for (;;) { /* each requeue names an earlier task */
        const struct entry *e;
        struct msg head;
        unsigned field;
        int r = ledger_entry(l, task, &e);

        if (r)
            return r;
        if (msg_decode(e->head, CLASS_OPERATION, &head, &field))
            return CHOIR_NOT_FOUND;
        if (head.verb == MSG_SUBMIT) {
            name_copy(out->space, msg_b(&head, FIELD_SPACE));
            name_copy(out->queue, msg_b(&head, FIELD_QUEUE));
            return 0;
        }
        if (head.verb != MSG_REQUEUE || msg_u(&head, FIELD_TASK) >= task)
            return CHOIR_NOT_FOUND;
        task = msg_u(&head, FIELD_TASK);
    }
}
