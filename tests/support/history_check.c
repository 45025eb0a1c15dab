/* Holds what the clients saw against the record. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/refusal.h"
#include "tests/support/history_private.h"

/* A pointer array sorted by something; `of` says by what. */
typedef int (*comparer)(const void *, const void *);

static void *sorted(size_t n, comparer by, void *(*at)(void *arg, size_t i),
                    void *arg)
{
    void **all = calloc(n + 1, sizeof *all);

    if (!all)
        abort();
    for (size_t i = 0; i < n; i++)
        all[i] = at(arg, i);
    qsort(all, n, sizeof *all, by);
    return all;
}

static int cmp(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* --- Each operation and its entry ----------------------------------------- */

static int by_tag(const void *a, const void *b)
{
    const struct h_entry *x = *(struct h_entry *const *)a;
    const struct h_entry *y = *(struct h_entry *const *)b;
    const char *s = said_tag(&x->said), *t = said_tag(&y->said);
    int order = strcmp(s ? s : "", t ? t : "");

    return order ? order : cmp(x->index, y->index);
}

static void *entry_at(void *arg, size_t i)
{
    return &((struct history *)arg)->entries.at[i];
}

static bool pairs_equal(const pairs *a, const pairs *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (strcmp(a->at[i].key, b->at[i].key) ||
            a->at[i].revision != b->at[i].revision ||
            (a->at[i].value && strcmp(a->at[i].value, b->at[i].value)))
            return false;
    return true;
}

static bool said_equal(const struct said *a, const struct said *b)
{
    return !strcmp(a->verb, b->verb) && !strcmp(a->value, b->value) &&
           a->task == b->task && a->token == b->token &&
           pairs_equal(&a->compares, &b->compares) &&
           pairs_equal(&a->writes, &b->writes);
}

static bool is_unknown(const struct h_op *op)
{
    return !op->ended || refusal_class(op->code) == REFUSAL_LOCAL;
}

static void check_entry(struct history *h, const struct h_op *op,
                        const struct h_entry *e)
{
    const char *agent =
        op->client < h->agents.n ? h->agents.at[op->client] : NULL;

    if (!said_equal(&op->said, &e->said) || !agent || strcmp(agent, e->agent))
        history_found(h, FOUND_ALTERED, "entry %lu is not what %u:%lu said",
                      e->index, op->client, op->n);
    if (is_unknown(op))
        return;
    if (op->code != e->outcome)
        history_found(h, FOUND_ALTERED, "%u:%lu was told %s, entry %lu has %s",
                      op->client, op->n, refusal_name(op->code), e->index,
                      refusal_name(e->outcome));
    else if (op->code ? op->code == CHOIR_CONFLICT && op->revision != e->told
                      : op->revision && op->revision != e->index)
        history_found(h, FOUND_MISPLACED, "%u:%lu was told %lu, not %lu",
                      op->client, op->n, op->revision,
                      op->code ? e->told : e->index);
}

/* The entries of one tag: [from, to). A repetition by operation id is recorded
 * as one and counts for nothing. */
static void check_op(struct history *h, struct h_op *op,
                     struct h_entry *const *from, struct h_entry *const *to)
{
    unsigned n = 0;
    bool known = !is_unknown(op);

    for (; from < to; from++) {
        (*from)->claimed = true;
        if ((*from)->outcome == CHOIR_REPEATED)
            continue;
        if (n++ == 0) {
            op->entry = *from;
            check_entry(h, op, *from);
        }
    }
    if (n > 1)
        history_found(h, FOUND_TWICE, "%u:%lu, %s %.40s, %u times", op->client,
                      op->n, op->said.verb, said_tag(&op->said), n);
    if (known && refusal_class(op->code) == REFUSAL_OUTCOME && n == 0)
        history_found(h, FOUND_LOST, "%u:%lu, %s %.40s, told %s at %lu",
                      op->client, op->n, op->said.verb, said_tag(&op->said),
                      refusal_name(op->code), op->revision);
}

static size_t tag_bound(struct h_entry *const *all, size_t n, const char *tag,
                        bool upper)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const char *t = said_tag(&all[middle]->said);
        int order = strcmp(t ? t : "", tag);

        if (order < 0 || (upper && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_client(const struct history *h, const char *agent)
{
    for (size_t i = 0; i < h->agents.n; i++)
        if (h->agents.at[i] && !strcmp(h->agents.at[i], agent))
            return true;
    return false;
}

static void check_ops(struct history *h)
{
    struct h_entry **all = sorted(h->entries.n, by_tag, entry_at, h);

    for (size_t i = 0; i < h->ops.n; i++) {
        const char *tag = said_tag(&h->ops.at[i].said);
        size_t from = tag_bound(all, h->entries.n, tag, false);
        size_t to = tag_bound(all, h->entries.n, tag, true);

        check_op(h, &h->ops.at[i], all + from, all + to);
    }
    for (size_t i = 0; i < h->entries.n; i++)
        if (!all[i]->claimed && said_tag(&all[i]->said) &&
            is_client(h, all[i]->agent))
            history_found(h, FOUND_FROM_NOWHERE, "entry %lu, %s %.40s",
                          all[i]->index, all[i]->said.verb,
                          said_tag(&all[i]->said));
    free(all);
}

/* --- One number, one entry ------------------------------------------------ */

static int by_seq(const void *a, const void *b)
{
    const struct h_entry *x = *(struct h_entry *const *)a;
    const struct h_entry *y = *(struct h_entry *const *)b;
    int order = cmp(x->session, y->session);

    return order ? order : cmp(x->seq, y->seq);
}

static void check_numbers(struct history *h)
{
    struct h_entry **all = sorted(h->entries.n, by_seq, entry_at, h);

    for (size_t i = 1; i < h->entries.n; i++)
        if (all[i]->session && by_seq(&all[i - 1], &all[i]) == 0)
            history_found(h, FOUND_TWICE, "session %lu seq %lu at %lu and %lu",
                          all[i]->session, all[i]->seq, all[i - 1]->index,
                          all[i]->index);
    free(all);
}

/* --- Time ----------------------------------------------------------------- */

/* A span of time with the point in the ledger it took effect at. */
struct span {
    uint64_t start, end, point;
    bool writes;
    unsigned client;
};

static int by_start(const void *a, const void *b)
{
    return cmp((*(struct span *const *)a)->start,
               (*(struct span *const *)b)->start);
}

static int by_end(const void *a, const void *b)
{
    return cmp((*(struct span *const *)a)->end,
               (*(struct span *const *)b)->end);
}

static void *span_at(void *arg, size_t i)
{
    return &((struct span *)arg)[i];
}

static struct span *spans_of(const struct history *h, size_t *n)
{
    struct span *all = calloc(h->ops.n + h->reads.n + 1, sizeof *all);

    if (!all)
        abort();
    *n = 0;
    for (size_t i = 0; i < h->ops.n; i++)
        if (h->ops.at[i].entry && !is_unknown(&h->ops.at[i]))
            all[(*n)++] = (struct span){h->ops.at[i].start, h->ops.at[i].end,
                                        h->ops.at[i].entry->index, true,
                                        h->ops.at[i].client};
    for (size_t i = 0; i < h->reads.n; i++)
        all[(*n)++] =
            (struct span){h->reads.at[i].start, h->reads.at[i].end,
                          h->reads.at[i].seen, false, h->reads.at[i].client};
    return all;
}

/* What begins after something has ended comes after it. */
static void check_time(struct history *h)
{
    size_t n, ended = 0;
    struct span *all = spans_of(h, &n);
    struct span **starts = sorted(n, by_start, span_at, all);
    struct span **ends = sorted(n, by_end, span_at, all);
    uint64_t floor = 0;

    for (size_t i = 0; i < n; i++) {
        const struct span *s = starts[i];

        for (; ended < n && ends[ended]->end < s->start; ended++)
            if (ends[ended]->point > floor)
                floor = ends[ended]->point;
        if (ended && (s->writes ? s->point <= floor : s->point < floor))
            history_found(h, FOUND_BACKWARDS,
                          "client %u at %lu, after %lu was told", s->client,
                          s->point, floor);
    }
    free(starts);
    free(ends);
    free(all);
}

/* --- Reads, leases, watches ------------------------------------------------ */

static void check_reads(struct history *h, const struct model *m)
{
    for (size_t i = 0; i < h->reads.n; i++) {
        const struct h_read *r = &h->reads.at[i];
        const char *value = "";

        if (model_at(m, r->key, r->seen, &value) != r->revision ||
            strcmp(value, r->value))
            history_found(h, FOUND_WRONG_READ,
                          "client %u read %s@%lu, seen %lu", r->client, r->key,
                          r->revision, r->seen);
    }
}

static const struct h_entry *entry_of(const struct history *h, uint64_t index)
{
    return index < h->entries.n && h->entries.at[index].index == index
               ? &h->entries.at[index]
               : NULL;
}

static void check_leases(struct history *h)
{
    for (size_t i = 0; i < h->leases.n; i++) {
        const struct h_lease *l = &h->leases.at[i];
        const struct h_entry *claim = entry_of(h, l->token);
        const struct h_entry *task = entry_of(h, l->task);
        const char *agent =
            l->client < h->agents.n ? h->agents.at[l->client] : NULL;

        if (!claim || strcmp(claim->said.verb, "claim") || !agent ||
            strcmp(claim->said.value, agent) || claim->said.task != l->task ||
            claim->attempt != l->attempt || !task ||
            strcmp(task->said.value, l->payload))
            history_found(h, FOUND_FALSE_LEASE,
                          "client %u, task %lu, token %lu", l->client, l->task,
                          l->token);
    }
}

/* The writes of an entry that a watch on prefix is told of. */
static void slice(const struct h_entry *e, const char *prefix, pairs *out)
{
    size_t n = strcmp(prefix, "*") ? strlen(prefix) : 0;

    out->n = 0;
    for (size_t i = 0; e->outcome == CHOIR_OK && i < e->said.writes.n; i++)
        if (!strncmp(e->said.writes.at[i].key, prefix, n))
            *LIST_ADD(out) = e->said.writes.at[i];
}

static void check_watch(struct history *h, const struct h_watch *w)
{
    size_t next = 0;
    pairs expected = {0};

    for (size_t i = 0; i < h->entries.n; i++) {
        const struct h_entry *e = &h->entries.at[i];

        slice(e, w->prefix, &expected);
        if (e->index < w->from || !expected.n)
            continue;
        if (next == w->changes.n && !w->complete)
            break;
        if (next == w->changes.n || w->changes.at[next].revision > e->index) {
            history_found(h, FOUND_WATCH_GAP, "client %u watch %lu: no %lu",
                          w->client, w->number, e->index);
            continue;
        }
        if (w->changes.at[next].revision < e->index ||
            !pairs_equal(&w->changes.at[next].items, &expected)) {
            history_found(h, FOUND_WATCH_WRONG,
                          "client %u watch %lu at %lu, where %lu comes",
                          w->client, w->number, w->changes.at[next].revision,
                          e->index);
            break;
        }
        next++;
    }
    if (next < w->changes.n && !h->found[FOUND_WATCH_WRONG])
        history_found(h, FOUND_WATCH_WRONG, "client %u watch %lu at %lu",
                      w->client, w->number, w->changes.at[next].revision);
    free(expected.at);
}

/* --- All of it ------------------------------------------------------------- */

unsigned history_check(struct history *h, unsigned found[FINDINGS], FILE *out)
{
    unsigned sum = h->unreadable;
    struct model *m;

    memset(found, 0, FINDINGS * sizeof *found);
    h->found = found;
    h->out = out;
    m = model_walk(h);
    check_ops(h);
    check_numbers(h);
    check_time(h);
    check_reads(h, m);
    check_leases(h);
    for (size_t i = 0; i < h->watches.n; i++)
        check_watch(h, &h->watches.at[i]);
    model_free(&m);
    for (size_t i = 0; i < FINDINGS; i++)
        sum += found[i];
    return sum;
}
