/* The record itself as lines of a history, read from the files without the
 * daemon, the wire or the library. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "broker/ledger/ledger.h"
#include "proto/refusal.h"
#include "tests/support/history.h"

static struct bytes slot_of(const struct entry *e, const struct msg *op,
                            size_t wanted)
{
    struct cursor c = cursor_of(e->payload);
    struct bytes value = {0};

    for (size_t i = 0; i <= wanted && i < msg_slots(op); i++) {
        cursor_take(&c, SLOT_SALT_BYTES);
        value = cursor_take(&c, msg_slot_bytes(op, i));
    }
    return value;
}

static void text_put(FILE *f, struct bytes text)
{
    if (!text.n)
        text = bytes_text("-");
    fprintf(f, " %.*s", (int)text.n, (const char *)text.p);
}

static void hex_put(FILE *f, const struct hash *h)
{
    char hex[HASH_HEX];

    hash_hex(h, hex);
    fprintf(f, " %s", hex);
}

static void compares_put(FILE *f, const struct msg *op)
{
    struct list at = msg_list(op, FIELD_COMPARES);
    struct msg c;

    if (msg_has(op, FIELD_IF_REVISION)) {
        fprintf(f, " 1");
        text_put(f, msg_b(op, FIELD_KEY));
        fprintf(f, " %" PRIu64, msg_u(op, FIELD_IF_REVISION));
        return;
    }
    fprintf(f, " %" PRIu64, at.left);
    while (list_next(&at, &c)) {
        if (msg_has(&c, FIELD_PREFIX)) {
            text_put(f, msg_b(&c, FIELD_PREFIX));
            fputc('*', f);
        } else {
            text_put(f, msg_b(&c, FIELD_KEY));
        }
        fprintf(f, " %" PRIu64, msg_u(&c, FIELD_REVISION));
    }
}

static void writes_put(FILE *f, const struct entry *e, const struct msg *op)
{
    struct list at = msg_list(op, FIELD_WRITES);
    struct msg w;

    if (op->verb == MSG_PUT) {
        fprintf(f, " 1");
        text_put(f, msg_b(op, FIELD_KEY));
        text_put(f, slot_of(e, op, 0));
        return;
    }
    fprintf(f, " %" PRIu64, at.left);
    while (list_next(&at, &w)) {
        text_put(f, msg_b(&w, FIELD_KEY));
        text_put(f, slot_of(e, op, msg_u(&w, FIELD_SLOT)));
    }
}

/* Reasons that agents give are words; a sentence is the library's own, which
 * gives back what nobody fetched, and which no agent has told of. */
static struct bytes reason_of(const struct msg *op)
{
    struct bytes reason = msg_b(op, FIELD_REASON);

    return reason.n && memchr(reason.p, ' ', reason.n) ? (struct bytes){0}
                                                       : reason;
}

static void value_put(FILE *f, const struct entry *e, const struct msg *op)
{
    struct hash holder = msg_hash(op, FIELD_AGENT);

    switch (op->verb) {
    case MSG_CLAIM: hex_put(f, &holder); break;
    case MSG_SUBMIT:
    case MSG_PROGRESS:
    case MSG_COMPLETE: text_put(f, slot_of(e, op, 0)); break;
    case MSG_FAIL:
    case MSG_NAK: text_put(f, reason_of(op)); break;
    default: fprintf(f, " -");
    }
}

static int entry_put(FILE *f, const struct entry *e)
{
    struct hash agent = msg_hash(&e->bundle, FIELD_AGENT);
    struct msg op, effect;
    unsigned field;
    int r = msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &op, &field);

    msg_init(&effect, MSG_EFFECT);
    if (!r && e->effect.n)
        r = part_decode(MSG_EFFECT, e->effect, &effect, &field);
    if (r)
        return r;
    fprintf(f, "R %" PRIu64, e->index);
    hex_put(f, &agent);
    fprintf(f, " %" PRIu64 " %" PRIu64 " %s %d", e->session, e->seq,
            message_row(op.verb)->name, e->outcome);
    fprintf(f, " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64,
            msg_u(&op, FIELD_TASK), msg_u(&op, FIELD_TOKEN),
            msg_u(&op, FIELD_ATTEMPT), msg_u(&effect, FIELD_REVISION));
    compares_put(f, &op);
    writes_put(f, e, &op);
    value_put(f, e, &op);
    return 0;
}

static int entries_put(FILE *to, struct ledger *l)
{
    struct ledger_reader *reader;
    const struct entry *e;
    int r = ledger_reader_open(l, 0, &reader);

    if (r)
        return r;
    while (!r && (r = ledger_reader_next(reader, &e)) == 0) {
        r = entry_put(to, e);
        fputc('\n', to);
    }
    ledger_reader_close(&reader);
    return r == CHOIR_NOT_FOUND ? 0 : r;
}

int history_write_record(const char *dir, FILE *to)
{
    struct ledger_options o = {.dir = dir, .env = env_real_new()};
    struct ledger_head head = {0};
    struct ledger *l = NULL;
    int r = ledger_open(&l, &o, &head);

    if (!r)
        r = entries_put(to, l);
    else
        fprintf(stderr, "history: %s\n", head.trouble);
    ledger_close(&l);
    env_destroy(&o.env);
    return r;
}

int history_read_record(struct history *h, const char *dir)
{
    FILE *lines = tmpfile();
    int r = lines ? history_write_record(dir, lines) : -errno;

    if (!r && fseek(lines, 0, SEEK_SET))
        r = -errno;
    if (!r)
        history_read_lines(h, 0, lines);
    if (lines)
        fclose(lines);
    return r;
}
