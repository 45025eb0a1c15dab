#include "values.h"

#include "cli.h"
#include "json.h"
#include "proto/refusal.h"
#include "proto/schema.h"

/* One by one. */
struct walk {
    const struct entry *e;
    struct msg op;
    bool is_known; /* op could be read */
    size_t next;   /* slot */
    size_t slot;   /* what stands there: */
    int code;      /* 0, or why it is missing */
    struct bytes value;
    char type[LIMIT_TEXT_BYTES + 1];
};

static void walk_begin(struct walk *w, const struct entry *e)
{
    unsigned field;

    *w = (struct walk){.e = e};
    w->is_known =
        !msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &w->op, &field);
}

static void type_set(struct walk *w, struct bytes type)
{
    size_t n = type.n < sizeof w->type ? type.n : sizeof w->type - 1;

    if (n)
        memcpy(w->type, type.p, n);
    w->type[n] = '\0';
}

/* A transaction's writes and a completion's messages have types of their own. */
static bool row_type(struct walk *w, enum field rows)
{
    struct list list = msg_list(&w->op, rows);
    struct msg row;

    while (msg_has(&w->op, rows) && list_next(&list, &row)) {
        if (!msg_has(&row, FIELD_SLOT) || msg_u(&row, FIELD_SLOT) != w->slot)
            continue;
        type_set(w, msg_b(&row, FIELD_TYPE));
        return true;
    }
    return false;
}

static bool is_msgpack(const struct walk *w)
{
    return w->slot >= SLOT_EFFECT ||
           is_msgpack_alone(message_row(w->op.verb)->name) ||
           (msg_has(&w->op, FIELD_READS) &&
            msg_u(&w->op, FIELD_READS) == w->slot);
}

static void type_find(struct walk *w)
{
    w->type[0] = '\0';
    if (!w->is_known)
        return;
    if (is_msgpack(w))
        type_set(w, bytes_text(JSON_TYPE));
    else if (!row_type(w, FIELD_WRITES) && !row_type(w, FIELD_SENDS))
        type_set(w, msg_b(&w->op, FIELD_TYPE));
}

/* False: no more. */
static bool walk_next(struct walk *w)
{
    w->code = entry_slot(w->e, w->next, &w->value);
    if (w->code == CHOIR_NOT_FOUND && w->next < SLOT_EFFECT) {
        w->next = SLOT_EFFECT;
        w->code = entry_slot(w->e, w->next, &w->value);
    }
    w->slot = w->next++;
    if (w->code == CHOIR_NOT_FOUND)
        return false;
    type_find(w);
    return true;
}

static const char *missing_text(int code)
{
    switch (code) {
    case CHOIR_ERASED: return "erased";
    case CHOIR_COMPACTED: return "compacted";
    default: return "left out";
    }
}

static void value_print(FILE *out, const struct walk *w)
{
    char *text;

    fputs(w->slot >= SLOT_EFFECT ? "    merged: " : "    ", out);
    if (w->code) {
        fprintf(out, "(%s)\n", missing_text(w->code));
        return;
    }
    if (!choir_value_text(w->value.p, w->value.n, w->type, &text)) {
        cli_print_text(out, text);
        choir_free(text);
    }
    putc('\n', out);
}

void values_print(FILE *out, const struct entry *e)
{
    struct walk w;

    for (walk_begin(&w, e); walk_next(&w);)
        value_print(out, &w);
}

json_t *values_json(const struct entry *e)
{
    json_t *values = json_array();
    struct walk w;

    for (walk_begin(&w, e); walk_next(&w);) {
        json_t *o = json_object();

        if (w.code)
            json_object_set_new(o, "missing",
                                json_string(missing_text(w.code)));
        else
            bytes_to_json(o, "value", w.value, w.type);
        if (w.slot >= SLOT_EFFECT)
            json_object_set_new(o, "merged", json_true());
        json_array_append_new(values, o);
    }
    return values;
}
