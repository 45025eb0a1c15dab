/* Reading an export in one pass: records out of pieces, the tree from left to
 * right, the head and the end. What an entry must fulfil is export_entry.c's. */
#include <errno.h>
#include <stdlib.h>

#include "export_private.h"
#include "refusal.h"

static const char magic[] = "CHE1";

enum { MAGIC_BYTES = 4, LEAD_BYTES = 8 };

int export_broken(struct export_reader *r, const char *sentence)
{
    r->report.why = sentence;
    return CHOIR_BROKEN;
}

static int hash_order(const void *a, const void *b)
{
    return memcmp(a, b, HASH_BYTES);
}

static bool trusted_take(struct export_reader *r,
                         const struct export_options *o)
{
    size_t bytes = o->trusted_count * sizeof *o->trusted;

    if (!o->trusted)
        return true;
    r->trusted = malloc(bytes ? bytes : 1);
    if (!r->trusted)
        return false;
    memcpy(r->trusted, o->trusted, bytes);
    qsort(r->trusted, o->trusted_count, sizeof *r->trusted, hash_order);
    return true;
}

bool export_trusts(const struct export_reader *r, const struct hash *agent)
{
    return !r->trusted || bsearch(agent, r->trusted, r->options.trusted_count,
                                  sizeof *r->trusted, hash_order);
}

struct export_reader *export_reader_new(const struct export_options *options)
{
    struct export_reader *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    r->options = *options;
    r->authors = authors_new(false);
    hash_run_begin(&r->digest, HASH_EXPORT);
    frontier_init(&r->tree);
    if (!trusted_take(r, options) || !r->authors)
        export_reader_destroy(&r);
    return r;
}

void export_reader_destroy(struct export_reader **self_p)
{
    struct export_reader *r = *self_p;

    if (!r)
        return;
    authors_destroy(&r->authors);
    free(r->trusted);
    buf_free(&r->in);
    buf_free(&r->head);
    free(r);
    *self_p = NULL;
}

const struct export_report *export_report(const struct export_reader *r)
{
    return &r->report;
}

/* --- The head ------------------------------------------------------------ */

static field_mask bit(enum field f)
{
    return (field_mask)1 << f;
}

/* What a selection of that kind is stated with. */
static field_mask selection_fields(uint64_t kind)
{
    switch (kind) {
    case EXPORT_OF_KEY: return bit(FIELD_SPACE) | bit(FIELD_KEY);
    case EXPORT_OF_TASK: return bit(FIELD_TASK);
    case EXPORT_OF_RANGE: return bit(FIELD_REVISION) | bit(FIELD_SIZE);
    case EXPORT_OF_SPACE: return bit(FIELD_SPACE);
    case EXPORT_OF_AGENT: return bit(FIELD_HOLDER);
    default: return 0;
    }
}

static int selection_get(struct export_reader *r, const struct msg *m)
{
    struct export_selection *s = &r->report.facts.selection;
    uint64_t kind = msg_u(m, FIELD_KIND);

    if (kind < EXPORT_OF_KEY || kind > EXPORT_OF_NAMED ||
        (m->has & message_row(MSG_EXPORT_HEAD)->may) != selection_fields(kind))
        return export_broken(r, "its head does not say what was asked for");
    *s = (struct export_selection){
        .kind = (enum export_kind)kind,
        .space = msg_b(m, FIELD_SPACE),
        .key = msg_b(m, FIELD_KEY),
        .task = msg_u(m, FIELD_TASK),
        .from = msg_u(m, FIELD_REVISION),
        .to = msg_u(m, FIELD_SIZE),
        .agent = msg_hash(m, FIELD_HOLDER),
    };
    return kind == EXPORT_OF_RANGE && s->from >= s->to
               ? export_broken(r, "a range of nothing")
               : 0;
}

static int head_take(struct export_reader *r, struct bytes body)
{
    struct export_facts *f = &r->report.facts;
    unsigned field;
    struct msg m;

    buf_put(&r->head, body.p, body.n);
    if (r->head.failed)
        return -ENOMEM;
    if (part_decode(MSG_EXPORT_HEAD, buf_bytes(&r->head), &m, &field))
        return export_broken(r, "its head does not follow the specification");
    if (msg_u(&m, FIELD_FORMAT) != EXPORT_FORMAT)
        return export_broken(r, "a format that this version does not know");
    f->ledger = msg_hash(&m, FIELD_LEDGER);
    f->agent = msg_hash(&m, FIELD_AGENT);
    memcpy(f->public_key, msg_b(&m, FIELD_PUBLIC_KEY).p, KEY_PUBLIC_BYTES);
    f->time = msg_u(&m, FIELD_TIME);
    f->note = msg_b(&m, FIELD_TEXT);
    return selection_get(r, &m);
}

/* --- Gaps ---------------------------------------------------------------- */

static int gap_take(struct export_reader *r, struct bytes body)
{
    if (r->gap_hashes)
        return export_broken(r, "two gaps, one behind the other");
    if (body.n == 0 || body.n % HASH_BYTES ||
        body.n > MERKLE_GAP_MAX * HASH_BYTES)
        return export_broken(r, "a gap of a length that none has");
    memcpy(r->gap, body.p, body.n);
    r->gap_hashes = body.n / HASH_BYTES;
    return 0;
}

/* Would entries up to that index be missing in a range that must be whole? */
static bool range_lacks(const struct export_reader *r, uint64_t index)
{
    const struct export_selection *s = &r->report.facts.selection;

    return s->kind == EXPORT_OF_RANGE && r->tree.size < s->to &&
           index > s->from;
}

int export_reach(struct export_reader *r, uint64_t index)
{
    struct subtree tiles[MERKLE_GAP_MAX];
    size_t n = merkle_gap(r->tree.size, index, tiles);

    if (index < r->tree.size)
        return export_broken(r, "an entry that does not come after the one "
                                "before it");
    if (n && !r->gap_hashes)
        return export_broken(r, "entries are left out, and no gap tells of "
                                "them");
    if (n == 0 && r->gap_hashes)
        return export_broken(r, "a gap where nothing is left out");
    if (n != r->gap_hashes)
        return export_broken(r, "a gap has not as many hashes as what is left "
                                "out");
    if (n && range_lacks(r, index))
        return export_broken(r, "entries of the range are missing");
    for (size_t i = 0; i < n; i++) /* where merkle_gap says, each fits */
        (void)frontier_add_node(&r->tree, tiles[i].level, r->gap[i]);
    r->gap_hashes = 0;
    return 0;
}

/* --- The end ------------------------------------------------------------- */

static int tree_end(struct export_reader *r)
{
    const struct export_report *report = &r->report;
    struct hash root;
    int code;

    if (r->tree.size == 0)
        return export_broken(r, "there is no genesis in it");
    code = export_reach(r, report->note.size);
    if (code)
        return code;
    root = frontier_root(&r->tree);
    return hash_equal(&root, &report->note.root)
               ? 0
               : export_broken(r, "its entries are not in the tree that the "
                                  "broker signed");
}

static int signed_by_exporter(struct export_reader *r, const struct msg *m)
{
    const struct export_facts *f = &r->report.facts;
    struct hash digest = hash_run_now(&r->digest);
    struct hash said = msg_hash(m, FIELD_DIGEST);
    int code;

    if (msg_u(m, FIELD_SIZE) != r->report.bytes ||
        msg_u(m, FIELD_COUNT) != r->report.records)
        return export_broken(r, "its end counts other bytes or records");
    if (!hash_equal(&digest, &said))
        return export_broken(r, "its end states another digest");
    if (key_verify(f->public_key, KEY_FOR_EXPORT, &f->ledger,
                   hash_bytes(&digest), msg_b(m, FIELD_SIGNATURE).p))
        return export_broken(r, "its exporter's signature does not fit");
    code =
        authors_key_fits(r->authors, &f->agent, f->public_key, &r->report.why);
    if (code)
        return export_broken(r, "its exporter's key is not shown to be valid");
    return export_trusts(r, &f->agent)
               ? 0
               : export_broken(r, "its exporter is not an agent you trust");
}

static int end_take(struct export_reader *r, struct bytes body)
{
    unsigned field;
    struct msg m;
    int code;

    if (part_decode(MSG_EXPORT_END, body, &m, &field))
        return export_broken(r, "its end does not follow the specification");
    code = tree_end(r);
    if (!code)
        code = signed_by_exporter(r, &m);
    r->ended = !code;
    return code;
}

/* --- Records ------------------------------------------------------------- */

static int record_take(struct export_reader *r, uint32_t kind,
                       struct bytes body)
{
    if (r->report.records == 0)
        return kind == EXPORT_HEAD
                   ? head_take(r, body)
                   : export_broken(r, "it does not begin with a head");
    switch (kind) {
    case EXPORT_GAP: return gap_take(r, body);
    case EXPORT_ENTRY:
    case EXPORT_IDENTITY: return export_entry_take(r, kind, body);
    case EXPORT_END: return end_take(r, body);
    default: return export_broken(r, "a record of a kind that is not due");
    }
}

/* The record at the beginning of that; *used: its bytes, 0 if it is not whole.
 */
static int record_next(struct export_reader *r, struct bytes in, size_t *used)
{
    uint32_t kind, n;
    int code;

    *used = 0;
    if (in.n == 0)
        return 0;
    if (r->ended)
        return export_broken(r, "something follows its end");
    if (in.n < LEAD_BYTES)
        return 0;
    kind = get_u32(in.p);
    n = get_u32(in.p + 4);
    if (n > EXPORT_RECORD_BYTES_MAX)
        return export_broken(r, "a record that is too long");
    if (in.n - LEAD_BYTES < n)
        return 0;
    code = record_take(r, kind, bytes_of(in.p + LEAD_BYTES, n));
    if (code)
        return code;
    *used = LEAD_BYTES + n;
    hash_run_add(&r->digest, bytes_of(in.p, *used));
    r->report.bytes += *used;
    r->report.records++;
    r->report.at = (struct export_place){.record = r->report.records,
                                         .offset = r->report.bytes};
    return 0;
}

static int magic_take(struct export_reader *r, struct bytes in, size_t *used)
{
    size_t n = in.n < MAGIC_BYTES ? in.n : MAGIC_BYTES;

    *used = 0;
    if (memcmp(in.p, magic, n) != 0)
        return export_broken(r, "it is not an export");
    if (n < MAGIC_BYTES)
        return 0;
    *used = MAGIC_BYTES;
    hash_run_add(&r->digest, bytes_of(in.p, MAGIC_BYTES));
    r->report.bytes = r->report.at.offset = MAGIC_BYTES;
    return 0;
}

static int records_take(struct export_reader *r)
{
    struct bytes left = buf_bytes(&r->in);
    size_t used;
    int code = 0;

    do {
        code = r->report.bytes ? record_next(r, left, &used)
                               : magic_take(r, left, &used);
        left.p += used;
        left.n -= used;
    } while (!code && used);
    memmove(r->in.p, left.p, left.n);
    r->in.n = left.n;
    return code;
}

int export_read(struct export_reader *r, struct bytes piece)
{
    if (r->failure || piece.n == 0)
        return r->failure;
    buf_put(&r->in, piece.p, piece.n);
    r->failure = r->in.failed ? -ENOMEM : records_take(r);
    return r->failure;
}

int export_read_end(struct export_reader *r)
{
    if (!r->failure && !r->ended)
        r->failure = export_broken(r, "it is cut off");
    return r->failure;
}
