/* What stands in an export, entry by entry. It is kept aside while the export is
 * read, and shown when all of it is proven. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "cli.h"
#include "proto/refusal.h"
#include "values.h"
#include "verify.h"

enum { TEXT_BYTES = LIMIT_KEY_BYTES + 1 };

struct named {
    struct hash agent;
    char name[LIMIT_NAME_BYTES + 1];
    UT_hash_handle hh;
};

struct showing {
    FILE *kept;          /* a temporary file */
    struct named *names; /* owned: as they were enrolled */
    bool json;
};

struct showing *showing_new(bool json)
{
    struct showing *s = calloc(1, sizeof *s);

    if (!s)
        return NULL;
    s->json = json;
    s->kept = tmpfile();
    if (!s->kept)
        showing_destroy(&s);
    return s;
}

void showing_destroy(struct showing **self_p)
{
    struct showing *s = *self_p;
    struct named *n, *next;

    if (!s)
        return;
    HASH_ITER (hh, s->names, n, next) {
        HASH_DEL(s->names, n);
        free(n);
    }
    if (s->kept)
        fclose(s->kept);
    free(s);
    *self_p = NULL;
}

/* --- Who ------------------------------------------------------------------ */

static void text_cut(struct bytes b, char *out, size_t room)
{
    size_t n = b.n < room ? b.n : room - 1;

    if (n)
        memcpy(out, b.p, n);
    out[n] = '\0';
}

static void text_of(struct bytes b, char out[TEXT_BYTES])
{
    text_cut(b, out, TEXT_BYTES);
}

/* Agents by what they were enrolled under. */
static int name_learn(struct showing *s, const struct entry *e,
                      const struct msg *op)
{
    struct named *n = calloc(1, sizeof *n);
    bool broker = op->verb == MSG_GENESIS;

    if (!n)
        return -ENOMEM;
    n->agent = op->verb == MSG_ADMIT ? msg_hash(op, FIELD_AGENT)
                                     : msg_hash(&e->bundle, FIELD_AGENT);
    text_cut(broker ? bytes_text("the broker") : msg_b(op, FIELD_NAME), n->name,
             sizeof n->name);
    HASH_ADD(hh, s->names, agent, sizeof n->agent, n);
    return 0;
}

static bool names_an_agent(const struct msg *op)
{
    return op->verb == MSG_GENESIS || op->verb == MSG_ADMIT ||
           op->verb == MSG_ENROL;
}

static void author_text(const struct showing *s, const struct entry *e,
                        char out[HASH_HEX])
{
    struct hash agent = msg_hash(&e->bundle, FIELD_AGENT);
    struct named *n;

    HASH_FIND(hh, s->names, &agent, sizeof agent, n);
    if (n)
        snprintf(out, HASH_HEX, "%s", n->name);
    else
        hash_hex(&agent, out);
}

/* --- What ----------------------------------------------------------------- */

static void subject_print(FILE *out, const struct msg *op)
{
    static const unsigned fields[] = {FIELD_KEY, FIELD_QUEUE, FIELD_NAME};
    struct list writes = msg_list(op, FIELD_WRITES);
    char text[TEXT_BYTES];
    struct msg write;

    if (msg_has(op, FIELD_TASK))
        fprintf(out, "  task %" PRIu64, msg_u(op, FIELD_TASK));
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!msg_has(op, fields[i]))
            continue;
        text_of(msg_b(op, fields[i]), text);
        fputs("  ", out);
        cli_print_text(out, text);
        break;
    }
    while (msg_has(op, FIELD_WRITES) && list_next(&writes, &write)) {
        text_of(msg_b(&write, FIELD_KEY), text);
        fputs("  ", out);
        cli_print_text(out, text);
    }
}

static void entry_print(struct showing *s, const struct entry *e,
                        const struct msg *op)
{
    char when[32], author[HASH_HEX];

    cli_time_text(e->time, when);
    author_text(s, e, author);
    fprintf(s->kept, "%8" PRIu64 "  %s  ", e->index, when);
    cli_print_text(s->kept, author);
    fprintf(s->kept, "  %s", op ? message_row(op->verb)->name : "unknown");
    if (op)
        subject_print(s->kept, op);
    fprintf(s->kept, "  %s\n", refusal_name(e->outcome));
    values_print(s->kept, e);
}

static void entry_json(struct showing *s, const struct entry *e,
                       const struct msg *op)
{
    static const unsigned fields[] = {FIELD_SPACE, FIELD_KEY,  FIELD_QUEUE,
                                      FIELD_NAME,  FIELD_TYPE, FIELD_REASON};
    struct hash agent = msg_hash(&e->bundle, FIELD_AGENT);
    char id[HASH_HEX], author[HASH_HEX];
    struct bytes text;
    json_t *o;

    hash_hex(&agent, id);
    author_text(s, e, author);
    o = json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "revision",
                  (json_int_t)e->index, "time", (json_int_t)e->time, "agent",
                  id, "name", author, "verb",
                  op ? message_row(op->verb)->name : "unknown", "outcome",
                  refusal_name(e->outcome));
    for (size_t i = 0; op && i < sizeof fields / sizeof *fields; i++) {
        if (!msg_has(op, fields[i]))
            continue;
        text = msg_b(op, fields[i]);
        json_object_set_new(
            o,
            fields[i] == FIELD_NAME ? "given_name" : field_row(fields[i])->name,
            json_stringn((const char *)text.p, text.n));
    }
    if (op && msg_has(op, FIELD_TASK))
        json_object_set_new(o, "task",
                            json_integer((json_int_t)msg_u(op, FIELD_TASK)));
    json_object_set_new(o, "values", values_json(e));
    json_dumpf(o, s->kept, JSON_COMPACT);
    putc('\n', s->kept);
    json_decref(o);
}

int showing_take(void *context, enum export_record kind, const struct entry *e)
{
    struct showing *s = context;
    unsigned field;
    struct msg op;
    bool known =
        !msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field);
    int r = 0;

    if (known && e->outcome == CHOIR_OK && names_an_agent(&op))
        r = name_learn(s, e, &op);
    if (kind == EXPORT_ENTRY && s->json)
        entry_json(s, e, known ? &op : NULL);
    else if (kind == EXPORT_ENTRY)
        entry_print(s, e, known ? &op : NULL);
    return r ? r : ferror(s->kept) ? -EIO : 0;
}

int showing_show(struct showing *s, FILE *out)
{
    char piece[8192];
    size_t n;

    rewind(s->kept);
    while ((n = fread(piece, 1, sizeof piece, s->kept)) > 0)
        fwrite(piece, 1, n, out);
    return ferror(s->kept) || ferror(out) ? -EIO : 0;
}
