/* Exports: which entries belong to the selection, whose keys are needed to
 * check them, then all of it in order into the file. Everything is asked about the
 * tree of one size, so it can be asked again, after a reconnect or when the
 * broker was busy. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "calls.h"
#include "error.h"
#include "export_file.h"
#include "proof.h"
#include "proto/refusal.h"
#include "table.h"

enum {
    ASK_ENTRIES = 256,
    PAGE = 1000,
    BUSY_MS = 50,
    ITEM_GAP = 2, /* kind of an item of `entries` */
    OF_KEYS = 6,  /* kind of `select`: what says whose a key is */
    WITHOUT_PAYLOADS = 1,
};

/* Ascending in the end, each once. */
struct indices {
    uint64_t *at; /* owned */
    size_t n, cap;
};

struct seen_agent {
    UT_hash_handle hh;
    struct hash id;
};

/* An entry that says whose a key is. */
struct identity_row {
    uint64_t index, session;
    struct hash author, whose;
    bool taken;
};

struct exporting {
    struct choir *c;
    const struct choir_export_options *o;
    struct hash broker;
    struct export_about about;
    struct buf note; /* owned */
    uint64_t size;
    struct indices selected, others, sessions;
    struct seen_agent *agents; /* owned: whose keys are needed */
    struct identity_row *rows; /* owned */
    size_t row_count, row_cap;
    struct export_file *file; /* owned */
};

/* --- Indices -------------------------------------------------------------- */

static int indices_add(struct indices *x, uint64_t index)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? 2 * x->cap : 1024;
        uint64_t *at = realloc(x->at, cap * sizeof *at);

        if (!at)
            return error_set(-ENOMEM, 0, NULL);
        x->at = at;
        x->cap = cap;
    }
    x->at[x->n++] = index;
    return 0;
}

static int order(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void indices_sort(struct indices *x)
{
    size_t n = 0;

    if (x->n)
        qsort(x->at, x->n, sizeof *x->at, order);
    for (size_t i = 0; i < x->n; i++) {
        if (!n || x->at[n - 1] != x->at[i])
            x->at[n++] = x->at[i];
    }
    x->n = n;
}

static bool indices_have(const struct indices *x, uint64_t index)
{
    return x->n && bsearch(&index, x->at, x->n, sizeof *x->at, order);
}

/* --- Asking --------------------------------------------------------------- */

/* A request can be sent once only, so each try makes one. */
typedef struct choir_request *(*request_made)(struct exporting *x,
                                              const void *arg);

/* e: as choir_call. The broker is busy while it makes its proofs anew. */
static int ask(struct exporting *x, request_made made, const void *arg,
               struct choir_event **e)
{
    int64_t deadline = deadline_after(x->c->timeout_ms);
    const struct timespec pause = {0, BUSY_MS * 1000000L};

    for (;;) {
        struct choir_request *r = made(x, arg);
        int code =
            r ? choir_call(x->c, &r, x->c->timeout_ms, e) : choir_error_code();

        if (code != CHOIR_BUSY || (deadline >= 0 && sdk_clock_ms() > deadline))
            return code;
        choir_event_free(e);
        nanosleep(&pause, NULL);
    }
}

static struct choir_request *head_made(struct exporting *x, const void *arg)
{
    (void)arg;
    return choir_request_new(x->c, "entries");
}

/* The tree head that all of it is about. */
static int head_take(struct exporting *x)
{
    const struct pinned *broker = &x->c->id.broker;
    struct choir_event *e = NULL;
    struct checkpoint head;
    const char *text;
    int code = ask(x, head_made, NULL, &e);

    text = code ? NULL : choir_event_text(e, "text");
    if (!code)
        code = proof_head(text ? text : "", broker, &head);
    if (!code) {
        x->size = head.size;
        buf_put(&x->note, text, strlen(text));
        code = x->note.failed ? error_set(-ENOMEM, 0, NULL) : 0;
    }
    choir_event_free(&e);
    return code;
}

/* --- What belongs to it --------------------------------------------------- */

static int agent_add(struct exporting *x, const struct hash *id)
{
    struct seen_agent *a;

    HASH_FIND(hh, x->agents, id, sizeof *id, a);
    if (a)
        return 0;
    a = calloc(1, sizeof *a);
    if (!a)
        return error_set(-ENOMEM, 0, NULL);
    a->id = *id;
    HASH_ADD(hh, x->agents, id, sizeof a->id, a);
    return 0;
}

static bool agent_is_seen(const struct exporting *x, const struct hash *id)
{
    struct seen_agent *a;

    HASH_FIND(hh, x->agents, id, sizeof *id, a);
    return a != NULL;
}

/* What it takes to check what was said there. */
static int author_add(struct exporting *x, const struct hash *author,
                      uint64_t session)
{
    struct indices *s = &x->sessions;
    int code = agent_add(x, author);

    if (code || !session || hash_equal(author, &x->broker) ||
        (s->n && s->at[s->n - 1] == session))
        return code;
    return indices_add(s, session);
}

struct selecting {
    unsigned kind;
    uint64_t from, to;
};

static struct choir_request *select_made(struct exporting *x, const void *arg)
{
    const struct choir_export_options *o = x->o;
    const struct selecting *s = arg;
    struct choir_request *r = choir_request_new(x->c, "select");

    if (!r)
        return NULL;
    choir_request_uint(r, "kind", s->kind);
    choir_request_uint(r, "revision", s->from);
    choir_request_uint(r, "size", s->to);
    choir_request_uint(r, "count", PAGE);
    if (o->space)
        choir_request_text(r, "space", o->space);
    if (s->kind == CHOIR_EXPORT_KEY)
        choir_request_text(r, "key", o->key);
    if (s->kind == CHOIR_EXPORT_TASK)
        choir_request_uint(r, "task", o->task);
    if (s->kind == CHOIR_EXPORT_AGENT)
        choir_request_bytes(r, "agent", x->about.agent.b, HASH_BYTES);
    return r;
}

static int run_take(struct exporting *x, const struct msg *item)
{
    uint64_t first = msg_u(item, FIELD_REVISION);
    uint64_t count = msg_u(item, FIELD_COUNT);
    struct hash author = msg_hash(item, FIELD_AGENT);
    int code = author_add(x, &author, msg_u(item, FIELD_SESSION));

    if (!code && (first >= x->size || count > x->size - first))
        code = error_set(CHOIR_BROKEN, 0, "what=select: beyond the ledger");
    for (uint64_t i = 0; !code && i < count; i++)
        code = indices_add(&x->selected, first + i);
    return code;
}

static int row_take(struct exporting *x, const struct msg *item)
{
    struct identity_row *row;

    if (msg_u(item, FIELD_OPERATION) == MSG_SUSPECT)
        return 0; /* it ends no key */
    if (x->row_count == x->row_cap) {
        size_t cap = x->row_cap ? 2 * x->row_cap : 64;
        struct identity_row *rows = realloc(x->rows, cap * sizeof *rows);

        if (!rows)
            return error_set(-ENOMEM, 0, NULL);
        x->rows = rows;
        x->row_cap = cap;
    }
    row = &x->rows[x->row_count++];
    *row = (struct identity_row){
        .index = msg_u(item, FIELD_REVISION),
        .session = msg_u(item, FIELD_SESSION),
        .author = msg_hash(item, FIELD_AGENT),
    };
    row->whose = msg_has(item, FIELD_HOLDER) ? msg_hash(item, FIELD_HOLDER)
                                             : row->author;
    return 0;
}

/* Of all that is in a stretch one may not be seen: which. */
static int hidden(const struct choir_event *e, int code)
{
    uint64_t index = e ? choir_event_uint(e, "revision") : 0;

    if (code != CHOIR_NOT_FOUND)
        return code;
    return error_set(CHOIR_NOT_FOUND, index,
                     "entry=%llu: it may not be shown to you; whose it is not "
                     "needs tap or read of all that it names",
                     (unsigned long long)index);
}

/* One page; more: there is another, and *s is what to ask for it. */
static int page_take(struct exporting *x, struct selecting *s, bool *more)
{
    struct choir_event *e = NULL;
    int code = ask(x, select_made, s, &e);
    const struct msg *m = code ? NULL : event_message(e);
    struct list items;
    struct msg item;

    if (code || !m) {
        code = code ? hidden(e, code) : error_set(-ENOMEM, 0, NULL);
        choir_event_free(&e);
        return code;
    }
    *more = msg_has(m, FIELD_REVISION) || msg_has(m, FIELD_SIZE);
    if (msg_has(m, FIELD_REVISION))
        s->from = msg_u(m, FIELD_REVISION);
    if (msg_has(m, FIELD_SIZE))
        s->to = msg_u(m, FIELD_SIZE);
    items = msg_list(m, FIELD_ITEMS);
    while (!code && list_next(&items, &item))
        code = s->kind == OF_KEYS ? row_take(x, &item) : run_take(x, &item);
    choir_event_free(&e);
    return code;
}

static int select_all(struct exporting *x, unsigned kind, uint64_t from,
                      uint64_t to)
{
    struct selecting s = {kind, from, to};
    bool more = true;
    int code = 0;

    while (!code && more)
        code = page_take(x, &s, &more);
    return code;
}

static int nothing_here(const struct choir_export_options *o)
{
    bool key = o->kind == CHOIR_EXPORT_KEY;

    return error_set(CHOIR_NOT_FOUND, 0,
                     "%s%s%snothing belongs to it that you may see",
                     key ? "key=" : "", key ? o->key : "", key ? ": " : "");
}

static int selection_take(struct exporting *x)
{
    const struct choir_export_options *o = x->o;
    struct export_about *s = &x->about;
    int code = 0;

    if (s->kind == CHOIR_EXPORT_RANGE) {
        s->to = o->to ? o->to : x->size;
        s->from = o->from;
        if (s->to > x->size || s->from >= s->to)
            return error_set(s->to > x->size ? CHOIR_FUTURE : CHOIR_INVALID, 0,
                             "from=%llu to=%llu size=%llu: a range is from an "
                             "entry up to but not to a later one",
                             (unsigned long long)s->from,
                             (unsigned long long)s->to,
                             (unsigned long long)x->size);
        code = select_all(x, CHOIR_EXPORT_RANGE, s->from, s->to);
    } else if (s->kind == CHOIR_EXPORT_ENTRIES) {
        for (size_t i = 0; !code && i < o->count; i++)
            code = select_all(x, CHOIR_EXPORT_RANGE, o->entries[i],
                              o->entries[i] + 1);
    } else {
        code = select_all(x, s->kind, 0, x->size);
    }
    indices_sort(&x->selected);
    if (!code && !x->selected.n)
        code = nothing_here(o);
    return code;
}

/* Whoever said something has keys; whoever gave or ended one of these did so
 * with his own. */
static int keys_take(struct exporting *x)
{
    bool more = true;
    int code = agent_add(x, &x->c->id.agent);

    if (!code)
        code = select_all(x, OF_KEYS, 0, x->size);
    if (!code)
        code = indices_add(&x->others, 0);
    while (!code && more) {
        more = false;
        for (size_t i = 0; !code && i < x->row_count; i++) {
            struct identity_row *row = &x->rows[i];

            if (row->taken || !agent_is_seen(x, &row->whose))
                continue;
            row->taken = more = true;
            code = indices_add(&x->others, row->index);
            if (!code)
                code = author_add(x, &row->author, row->session);
        }
    }
    for (size_t i = 0; !code && i < x->sessions.n; i++)
        code = indices_add(&x->others, x->sessions.at[i]);
    indices_sort(&x->others);
    return code;
}

/* --- Writing -------------------------------------------------------------- */

struct wanted {
    uint64_t prev;
    const uint64_t *at;
    size_t n;
};

static struct choir_request *entries_made(struct exporting *x, const void *arg)
{
    const struct wanted *w = arg;
    struct choir_request *r = choir_request_new(x->c, "entries");
    uint8_t value[8 * ASK_ENTRIES];

    if (!r)
        return NULL;
    for (size_t i = 0; i < w->n; i++)
        put_u64(value + 8 * i, w->at[i]);
    choir_request_uint(r, "size", x->size);
    choir_request_uint(r, "prev", w->prev);
    if (w->n)
        choir_request_bytes(r, "value", value, 8 * w->n);
    if (x->o->without_payloads)
        choir_request_uint(r, "kind", WITHOUT_PAYLOADS);
    return r;
}

static int item_write(struct exporting *x, const struct msg *item)
{
    struct bytes value = msg_b(item, FIELD_VALUE);
    bool selected = indices_have(&x->selected, msg_u(item, FIELD_REVISION));

    return msg_u(item, FIELD_KIND) == ITEM_GAP
               ? export_file_gap(x->file, value)
               : export_file_entry(x->file, selected, value);
}

/* One ask's worth. told: how many of those wanted came. */
static int entries_write(struct exporting *x, const struct wanted *w,
                         uint64_t *told)
{
    struct choir_event *e = NULL;
    int code = ask(x, entries_made, w, &e);
    const struct msg *m = code ? NULL : event_message(e);
    struct list items;
    struct msg item;

    *told = 0;
    if (code || !m) {
        code = code ? hidden(e, code) : error_set(-ENOMEM, 0, NULL);
        choir_event_free(&e);
        return code;
    }
    *told = msg_u(m, FIELD_COUNT);
    if (*told > w->n || (w->n && !*told))
        code = error_set(CHOIR_BROKEN, 0, "what=entries: not those asked for");
    items = msg_list(m, FIELD_ITEMS);
    while (!code && list_next(&items, &item))
        code = item_write(x, &item);
    choir_event_free(&e);
    return code;
}

/* The next ones of both lists, in order. */
static size_t batch(const struct exporting *x, size_t *i, size_t *k,
                    uint64_t out[ASK_ENTRIES])
{
    const struct indices *a = &x->selected, *b = &x->others;
    size_t n = 0;

    while (n < ASK_ENTRIES && (*i < a->n || *k < b->n)) {
        if (*k == b->n || (*i < a->n && a->at[*i] <= b->at[*k])) {
            *k += *k < b->n && a->at[*i] == b->at[*k];
            out[n++] = a->at[(*i)++];
        } else {
            out[n++] = b->at[(*k)++];
        }
    }
    return n;
}

static int all_write(struct exporting *x)
{
    uint64_t at[ASK_ENTRIES], told;
    struct wanted w = {.at = at};
    size_t i = 0, k = 0;
    int code = 0;

    while (!code && (w.n = batch(x, &i, &k, at)) > 0) {
        for (w.at = at; !code && w.n; w.at += told, w.n -= told) {
            code = entries_write(x, &w, &told);
            if (!code)
                w.prev = w.at[told - 1] + 1;
        }
    }
    w.n = 0;
    return code || w.prev == x->size ? code : entries_write(x, &w, &told);
}

/* --- What is asked for ---------------------------------------------------- */

static bool is_complete(const struct choir_export_options *o)
{
    switch (o->kind) {
    case CHOIR_EXPORT_KEY: return o->key != NULL;
    case CHOIR_EXPORT_AGENT: return o->agent != NULL;
    case CHOIR_EXPORT_ENTRIES: return o->entries && o->count;
    case CHOIR_EXPORT_TASK:
    case CHOIR_EXPORT_RANGE:
    case CHOIR_EXPORT_SPACE: return true;
    }
    return false;
}

static int agent_find(struct exporting *x, const char *agent)
{
    struct hash *id = &x->about.agent;
    struct choir_request *r;
    struct choir_event *e;
    const struct choir_event *item;
    const char *hex = NULL;
    int code;

    if (!hash_parse_hex(id, bytes_text(agent)))
        return 0;
    r = choir_request_new(x->c, "agent_list");
    if (r)
        choir_request_text(r, "name", agent);
    code = call_reply(x->c, &r, &e);
    item = code ? NULL : choir_event_item(e, "items", 0);
    if (item)
        hex = choir_event_text(item, "agent");
    if (!hex || hash_parse_hex(id, bytes_text(hex)))
        code = code && code != CHOIR_NOT_FOUND
                   ? code
                   : error_set(CHOIR_NOT_FOUND, 0,
                               "agent=%s: no agent has that name", agent);
    choir_event_free(&e);
    return code;
}

static int begin(struct exporting *x)
{
    const struct choir_export_options *o = x->o;
    struct export_about *s = &x->about;
    const char *space = o->space ? o->space : x->c->space;

    if (o->struct_bytes < sizeof *o || !is_complete(o))
        return error_set(CHOIR_INVALID, 0, "kind=%d: what to export is missing",
                         (int)o->kind);
    s->kind = o->kind;
    s->space = bytes_text(space);
    s->key = o->key ? bytes_text(o->key) : (struct bytes){0};
    s->task = o->task;
    x->broker = agent_id(x->c->id.broker.broker_key);
    return o->kind == CHOIR_EXPORT_AGENT ? agent_find(x, o->agent) : 0;
}

static void exporting_free(struct exporting *x)
{
    struct seen_agent *a, *next;

    HASH_ITER (hh, x->agents, a, next) {
        HASH_DEL(x->agents, a);
        free(a);
    }
    export_file_destroy(&x->file);
    free(x->selected.at);
    free(x->others.at);
    free(x->sessions.at);
    free(x->rows);
    buf_free(&x->note);
}

int choir_export(struct choir *c, const struct choir_export_options *options,
                 int fd, struct choir_export_facts *facts)
{
    struct exporting x = {.c = c, .o = options};
    int code = handle_check(c);

    if (!code)
        code = begin(&x);
    if (!code)
        code = head_take(&x);
    if (!code)
        code = selection_take(&x);
    if (!code)
        code = keys_take(&x);
    if (!code)
        code = export_file_begin(&x.file, &c->id, &x.about, buf_bytes(&x.note),
                                 fd);
    if (!code)
        code = all_write(&x);
    if (!code)
        code = export_file_end(x.file, facts);
    if (!code && facts)
        facts->size = x.size;
    exporting_free(&x);
    return code;
}
