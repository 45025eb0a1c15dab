/* From the author's signature to the broker's: bundle, operation, leaf, tree,
 * tree head. */
#include "evidence.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "refusal.h"

static const char first_line[] = "c2sp.org/tlog-proof@v1\n";

int evidence_get(struct evidence *out, struct bytes part)
{
    struct entry *e = &out->e;
    unsigned field;
    struct msg m;

    memset(out, 0, sizeof *out);
    if (part_decode(MSG_EVIDENCE, part, &m, &field) ||
        part_decode(MSG_BUNDLE_HEADER, msg_b(&m, FIELD_HEADER), &e->bundle,
                    &field))
        return CHOIR_MALFORMED;
    e->header = msg_b(&m, FIELD_HEADER);
    e->signature = msg_b(&m, FIELD_SIGNATURE).p;
    e->bundle_hash = bundle_hash(e->header);
    e->index = msg_u(&m, FIELD_REVISION);
    e->time = msg_u(&m, FIELD_TIME);
    e->outcome = (int)msg_u(&m, FIELD_OUTCOME);
    e->count = (uint32_t)msg_u(&e->bundle, FIELD_COUNT);
    if (msg_u(&m, FIELD_POSITION) >= e->count)
        return CHOIR_MALFORMED;
    e->position = (uint32_t)msg_u(&m, FIELD_POSITION);
    e->session = msg_u(&e->bundle, FIELD_SESSION);
    e->seq = msg_u(&e->bundle, FIELD_FIRST_SEQ) + e->position;
    e->head = msg_b(&m, FIELD_HEAD);
    e->effect = msg_b(&m, FIELD_EFFECT);
    e->payload = msg_b(&m, FIELD_PAYLOAD);
    e->marks = msg_b(&m, FIELD_MARKS);
    out->path = msg_b(&m, FIELD_PATH);
    if (msg_has(&m, FIELD_PUBLIC_KEY))
        out->public_key = msg_b(&m, FIELD_PUBLIC_KEY).p;
    return 0;
}

/* --- The pieces ------------------------------------------------------------ */

static int broken(const char **why, const char *sentence)
{
    *why = sentence;
    return CHOIR_BROKEN;
}

int entry_check_place(const struct entry *e, struct bytes path,
                      const char **why)
{
    struct hash stated = msg_hash(&e->bundle, FIELD_ROOT), root;

    if (path.n % HASH_BYTES == 0 &&
        !merkle_climb(merkle_blake, op_hash(e->head), e->position, e->count,
                      path.p, path.n / HASH_BYTES, &root) &&
        hash_equal(&root, &stated))
        return 0;
    return broken(why, "its operation is not under its bundle's root");
}

/* A mark for each slot; without any that says something there need be none. */
static bool marks_fit(struct bytes marks, size_t slots)
{
    bool some = false;

    for (size_t i = 0; i < marks.n; i++) {
        some |= marks.p[i] != SLOT_KEPT;
        if (marks.p[i] > SLOT_LEFT_OUT)
            return false;
    }
    return marks.n == 0 || (some && marks.n == slots);
}

int entry_split_payload(struct entry *e)
{
    struct cursor c = cursor_of(e->payload), marks = cursor_of(e->marks);
    size_t own, effects;

    e->rows = e->effect_rows = (struct bytes){0};
    if (head_slots(e->head, &e->rows) ||
        (e->effect.n && head_slots(e->effect, &e->effect_rows)))
        return CHOIR_MALFORMED;
    own = e->rows.n / SLOT_ROW_BYTES;
    effects = e->effect_rows.n / SLOT_ROW_BYTES;
    if (!marks_fit(e->marks, own + effects))
        return CHOIR_MALFORMED;
    e->effect_marks = (struct bytes){0};
    if (e->marks.n) {
        e->marks = cursor_take(&marks, own);
        e->effect_marks = cursor_take(&marks, effects);
    }
    e->payload = cursor_take(&c, (size_t)slots_kept_bytes(e->rows, e->marks));
    e->effect_payload = cursor_take(
        &c, (size_t)slots_kept_bytes(e->effect_rows, e->effect_marks));
    return c.failed || cursor_left(&c) ? CHOIR_MALFORMED : 0;
}

int entry_check_payload(const struct entry *told, const char **why)
{
    struct entry e = *told;

    if ((!e.payload.n && !e.marks.n) ||
        (!entry_split_payload(&e) && !entry_slots_check(&e)))
        return 0;
    return broken(why, "its payload has not the hashes its operation states");
}

int entry_check_author(const struct entry *e, const struct hash *ledger,
                       const uint8_t key[KEY_PUBLIC_BYTES], const char **why)
{
    struct hash stated = msg_hash(&e->bundle, FIELD_LEDGER);

    if (!hash_equal(&stated, ledger))
        return broken(why, "its bundle is meant for another ledger");
    if (key_verify(key, KEY_FOR_BUNDLE, ledger, e->header, e->signature))
        return broken(why, "its author's signature does not fit");
    return 0;
}

/* --- The text -------------------------------------------------------------- */

int receipt_put(struct buf *out, uint64_t index, struct bytes path,
                struct bytes evidence, struct bytes note)
{
    char line[48];
    int r;

    buf_put(out, first_line, sizeof first_line - 1);
    buf_put(out, "extra ", 6);
    r = base64_put(out, evidence, false);
    snprintf(line, sizeof line, "\nindex %" PRIu64 "\n", index);
    buf_put(out, line, strlen(line));
    for (size_t i = 0; !r && i + HASH_BYTES <= path.n; i += HASH_BYTES) {
        r = base64_put(out, bytes_of(path.p + i, HASH_BYTES), false);
        buf_put(out, "\n", 1);
    }
    buf_put(out, "\n", 1);
    buf_put(out, note.p, note.n);
    return r || out->failed ? -ENOMEM : 0;
}

static struct bytes behind(struct bytes line, const char *word)
{
    size_t n = strlen(word);

    return bytes_start_with(line, bytes_text(word))
               ? bytes_of(line.p + n, line.n - n)
               : (struct bytes){0};
}

/* Up to the empty line: a hash a line. */
static int path_get(struct cursor *c, struct buf *room)
{
    struct bytes line;
    size_t before = room->n;
    int r = cursor_line(c, &line);

    while (!r && line.n) {
        size_t n = room->n;

        r = base64_get(room, line, false);
        if (!r && room->n - n != HASH_BYTES)
            r = CHOIR_MALFORMED;
        if (!r && room->n - before > 64 * HASH_BYTES)
            r = CHOIR_MALFORMED;
        if (!r)
            r = cursor_line(c, &line);
    }
    return r;
}

int receipt_get(struct receipt *out, struct bytes text)
{
    struct cursor c = cursor_of(text);
    struct bytes line;
    size_t extra_n;
    int r;

    memset(out, 0, sizeof *out);
    if (text.n > RECEIPT_BYTES_MAX || cursor_line(&c, &line) ||
        line.n != sizeof first_line - 2 ||
        memcmp(line.p, first_line, line.n) != 0)
        return CHOIR_MALFORMED;
    r = cursor_line(&c, &line);
    if (!r)
        r = base64_get(&out->room, behind(line, "extra "), false);
    extra_n = out->room.n;
    if (!r)
        r = cursor_line(&c, &line);
    if (!r)
        r = bytes_decimal(behind(line, "index "), &out->index);
    if (!r)
        r = path_get(&c, &out->room);
    if (r)
        return r == -ENOMEM ? r : CHOIR_MALFORMED;
    out->extra = bytes_of(out->room.p, extra_n);
    out->path = bytes_of(out->room.p + extra_n, out->room.n - extra_n);
    out->note = cursor_take(&c, cursor_left(&c));
    return 0;
}

void receipt_free(struct receipt *r)
{
    buf_free(&r->room);
}

/* --- All of it ------------------------------------------------------------- */

static int tree_check(const struct receipt *r, const struct evidence *e,
                      const struct note *note, const char **why)
{
    struct hash root;

    if (e->e.index != r->index)
        return broken(why, "it states another entry than it proves");
    if (merkle_climb(tree_node, entry_leaf(&e->e), r->index, note->size,
                     r->path.p, r->path.n / HASH_BYTES, &root) ||
        !hash_equal(&root, &note->root))
        return broken(why, "its entry is not in the tree the broker signed");
    return 0;
}

static int author_check(const struct evidence *e, const struct hash *ledger,
                        const char **why)
{
    struct hash agent = msg_hash(&e->e.bundle, FIELD_AGENT), id;

    if (!e->public_key) {
        *why = "it does not tell its author's key";
        return CHOIR_UNKNOWN_AGENT;
    }
    id = agent_id(e->public_key);
    if (!hash_equal(&id, &agent)) {
        *why = "its author's key is not the first one; an export proves it";
        return CHOIR_UNKNOWN_AGENT;
    }
    return entry_check_author(&e->e, ledger, e->public_key, why);
}

int receipt_check(const struct receipt *r,
                  const uint8_t broker_key[KEY_PUBLIC_BYTES],
                  const struct hash *ledger, struct evidence *evidence,
                  struct note *note, const char **why)
{
    int code = note_get(note, r->note, broker_key);

    *why = code == CHOIR_BAD_SIGNATURE
               ? "its tree head is not signed by that broker"
               : "it does not follow the specification";
    if (!code)
        code = evidence_get(evidence, r->extra);
    if (!code && ledger && !hash_equal(ledger, &note->ledger)) {
        *why = "it is of another ledger";
        code = CHOIR_WRONG_LEDGER;
    }
    if (!code)
        code = tree_check(r, evidence, note, why);
    if (!code)
        code = entry_check_place(&evidence->e, evidence->path, why);
    if (!code)
        code = entry_check_payload(&evidence->e, why);
    return code ? code : author_check(evidence, &note->ledger, why);
}
