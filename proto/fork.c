/* Two words of the broker's that cannot both be true. */
#include "fork.h"

#include <errno.h>

#include "refusal.h"
#include "schema.h"

static const char lead[] = "choir-fork-1\n";

static bool is_note(struct bytes head)
{
    return bytes_start_with(head, bytes_text("choir.ledger/"));
}

int fork_put(struct buf *out, struct bytes head, struct bytes other)
{
    struct bytes heads[2] = {head, other};
    int r = 0;

    buf_put(out, lead, sizeof lead - 1);
    for (int i = 0; !r && i < 2; i++) {
        const char *word = is_note(heads[i]) ? "note " : "answer ";

        buf_put(out, word, strlen(word));
        r = base64_put(out, heads[i], false);
        buf_put(out, "\n", 1);
    }
    return r || out->failed ? -ENOMEM : 0;
}

bool fork_is(struct bytes text)
{
    return bytes_start_with(text, bytes_text(lead));
}

static int answer_head(struct note *n, struct bytes head, const uint8_t *key)
{
    struct msg m;
    unsigned field;
    int r;

    if (head.n <= KEY_SIGNATURE_BYTES)
        return CHOIR_MALFORMED;
    head.n -= KEY_SIGNATURE_BYTES;
    if (part_decode(MSG_ANSWER_HEADER, head, &m, &field))
        return CHOIR_MALFORMED;
    n->ledger = msg_hash(&m, FIELD_LEDGER);
    n->root = msg_hash(&m, FIELD_ROOT);
    n->size = msg_u(&m, FIELD_SIZE);
    n->epoch = msg_u(&m, FIELD_EPOCH);
    r = key_verify(key, KEY_FOR_ANSWER, &n->ledger, head, head.p + head.n);
    return r ? CHOIR_BAD_SIGNATURE : 0;
}

static int head_get(struct cursor *c, const uint8_t *key, struct note *n)
{
    struct bytes line, word;
    struct buf head = {0};
    bool note;
    int r = cursor_line(c, &line);

    if (r)
        return r;
    note = bytes_start_with(line, bytes_text("note "));
    word = bytes_text(note ? "note " : "answer ");
    if (!bytes_start_with(line, word))
        return CHOIR_MALFORMED;
    r = base64_get(&head, bytes_of(line.p + word.n, line.n - word.n), false);
    if (!r)
        r = note ? note_get(n, buf_bytes(&head), key)
                 : answer_head(n, buf_bytes(&head), key);
    buf_free(&head);
    return r;
}

int fork_check(struct bytes text, const uint8_t broker_key[KEY_PUBLIC_BYTES],
               struct fork_facts *what)
{
    struct cursor c = cursor_of(text);
    struct bytes line;
    struct note a, b;
    int r;

    if (!fork_is(text) || cursor_line(&c, &line))
        return CHOIR_MALFORMED;
    r = head_get(&c, broker_key, &a);
    if (!r)
        r = head_get(&c, broker_key, &b);
    if (!r && cursor_left(&c))
        r = CHOIR_MALFORMED;
    if (r)
        return r;
    if (!hash_equal(&a.ledger, &b.ledger) || a.epoch != b.epoch ||
        a.size != b.size || hash_equal(&a.root, &b.root))
        return CHOIR_INVALID;
    if (what)
        *what =
            (struct fork_facts){a.ledger, {a.root, b.root}, a.epoch, a.size};
    return 0;
}
