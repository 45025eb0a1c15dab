/* A second, simple-minded broker: walks the record entry by entry and says
 * where it disagrees with an outcome. */
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "proto/refusal.h"
#include "tests/support/history_private.h"

struct version {
    uint64_t revision;
    const char *value;
};

struct key {
    const char *name;
    LIST_OF(struct version) versions;
};

enum task_state { NONE, QUEUED, WORKING, ENDED };

struct task {
    enum task_state state;
    uint64_t token, attempt;
    const char *holder;
};

struct model {
    struct history *h;
    struct hsearch_data table; /* name -> index in keys, from 1 */
    LIST_OF(struct key) keys;
    struct task *tasks; /* by index of their entry */
};

static const struct key *key_find(const struct model *m, const char *name)
{
    ENTRY wanted = {.key = (char *)(uintptr_t)name}, *found;

    if (!hsearch_r(wanted, FIND, &found, (struct hsearch_data *)&m->table))
        return NULL;
    return &m->keys.at[(uintptr_t)found->data - 1];
}

static struct key *key_make(struct model *m, const char *name)
{
    ENTRY wanted = {.key = (char *)(uintptr_t)name}, *found;
    struct key *k = (struct key *)(uintptr_t)key_find(m, name);

    if (k)
        return k;
    k = LIST_ADD(&m->keys);
    k->name = name;
    wanted.data = (void *)(uintptr_t)m->keys.n;
    if (!hsearch_r(wanted, ENTER, &found, &m->table))
        abort();
    return k;
}

static uint64_t key_revision(const struct key *k)
{
    return k && k->versions.n ? k->versions.at[k->versions.n - 1].revision : 0;
}

/* The revision that a compare is about. "p*" is a prefix: its newest. */
static uint64_t current(const struct model *m, const char *name)
{
    size_t n = strlen(name);
    uint64_t newest = 0;

    if (!n || name[n - 1] != '*')
        return key_revision(key_find(m, name));
    for (size_t i = 0; i < m->keys.n; i++)
        if (!strncmp(m->keys.at[i].name, name, n - 1) &&
            key_revision(&m->keys.at[i]) > newest)
            newest = key_revision(&m->keys.at[i]);
    return newest;
}

static bool compare_holds(const struct model *m, const struct pair *c)
{
    uint64_t now = current(m, c->key);

    return c->key[strlen(c->key) - 1] == '*' ? now <= c->revision
                                             : now == c->revision;
}

static void walk_compares(struct model *m, const struct h_entry *e)
{
    const struct pair *failed = NULL;

    for (size_t i = 0; i < e->said.compares.n && !failed; i++)
        if (!compare_holds(m, &e->said.compares.at[i]))
            failed = &e->said.compares.at[i];
    if (e->outcome == CHOIR_OK && failed)
        history_found(m->h, FOUND_STALE_WRITE,
                      "entry %lu wanted %s at %lu, it was at %lu", e->index,
                      failed->key, failed->revision, current(m, failed->key));
    if (e->outcome == CHOIR_CONFLICT && !failed)
        history_found(m->h, FOUND_FALSE_REFUSAL, "entry %lu", e->index);
    if (e->outcome == CHOIR_CONFLICT && failed &&
        e->told != current(m, failed->key))
        history_found(m->h, FOUND_WRONG_READ,
                      "CONFLICT of entry %lu tells %lu of %s, it was at %lu",
                      e->index, e->told, failed->key, current(m, failed->key));
}

static void walk_writes(struct model *m, const struct h_entry *e)
{
    for (size_t i = 0; i < e->said.writes.n; i++) {
        struct key *k = key_make(m, e->said.writes.at[i].key);

        *LIST_ADD(&k->versions) =
            (struct version){e->index, e->said.writes.at[i].value};
    }
}

/* --- Tasks ---------------------------------------------------------------- */

static void walk_claim(struct model *m, const struct h_entry *e, struct task *t)
{
    if (t->state != QUEUED || e->attempt != t->attempt + 1)
        history_found(m->h, FOUND_TWO_HOLDERS,
                      "entry %lu claims task %lu, attempt %lu, which is held "
                      "by %lu, attempt %lu",
                      e->index, e->said.task, e->attempt, t->token, t->attempt);
    *t = (struct task){WORKING, e->index, e->attempt, e->said.value};
}

/* What only the holder may say: does the outcome fit? */
static void walk_holder(struct model *m, const struct h_entry *e,
                        const struct task *t)
{
    bool holds = t->state == WORKING && t->token == e->said.token &&
                 !strcmp(t->holder, e->agent);

    if (e->outcome == CHOIR_OK && !holds)
        history_found(m->h,
                      t->state == ENDED ? FOUND_DONE_TWICE : FOUND_TWO_HOLDERS,
                      "entry %lu, %s of task %lu with token %lu", e->index,
                      e->said.verb, e->said.task, e->said.token);
    if (e->outcome == CHOIR_FENCED && holds)
        history_found(m->h, FOUND_FALSE_REFUSAL, "entry %lu", e->index);
}

static void walk_task(struct model *m, const struct h_entry *e)
{
    const char *verb = e->said.verb;
    struct task *t;

    if (e->said.task >= e->index)
        return;
    t = &m->tasks[e->said.task];
    if (!strcmp(verb, "claim")) {
        walk_claim(m, e, t);
    } else if (!strcmp(verb, "expire")) {
        if (t->state != WORKING || t->token != e->said.token)
            history_found(m->h, FOUND_TWO_HOLDERS,
                          "entry %lu expires a lease that is not alive",
                          e->index);
        t->state = QUEUED;
    } else if (!strcmp(verb, "cancel") && !e->outcome) {
        t->state = ENDED;
    } else if (!strcmp(verb, "progress") || !strcmp(verb, "nak") ||
               !strcmp(verb, "complete") || !strcmp(verb, "fail")) {
        walk_holder(m, e, t);
        if (e->outcome || !strcmp(verb, "progress"))
            return;
        t->state = strcmp(verb, "nak") ? ENDED : QUEUED;
    }
}

/* --- All of it ------------------------------------------------------------ */

static int by_index(const void *a, const void *b)
{
    const struct h_entry *x = a, *y = b;

    return (x->index > y->index) - (x->index < y->index);
}

static void walk(struct model *m, const struct h_entry *e)
{
    if (e->outcome == CHOIR_REPEATED)
        return;
    walk_compares(m, e);
    if (e->said.task)
        walk_task(m, e);
    if (e->outcome)
        return;
    walk_writes(m, e);
    if (!strcmp(e->said.verb, "submit") || !strcmp(e->said.verb, "requeue"))
        m->tasks[e->index].state = QUEUED;
}

struct model *model_walk(struct history *h)
{
    struct model *m = calloc(1, sizeof *m);
    uint64_t last = 0, expected = 0;
    size_t writes = 16;

    if (!m)
        abort();
    m->h = h;
    if (h->entries.n)
        qsort(h->entries.at, h->entries.n, sizeof *h->entries.at, by_index);
    for (size_t i = 0; i < h->entries.n; i++) {
        writes += h->entries.at[i].said.writes.n;
        last = h->entries.at[i].index;
    }
    m->tasks = calloc(last + 1, sizeof *m->tasks);
    if (!m->tasks || !hcreate_r(2 * writes, &m->table))
        abort();
    for (size_t i = 0; i < h->entries.n; i++) {
        if (h->entries.at[i].index != expected)
            history_found(h, FOUND_BROKEN_OFF, "at %lu, where %lu should be",
                          h->entries.at[i].index, expected);
        expected = h->entries.at[i].index + 1;
        walk(m, &h->entries.at[i]);
    }
    return m;
}

void model_free(struct model **m_p)
{
    struct model *m = *m_p;

    for (size_t i = 0; i < m->keys.n; i++)
        free(m->keys.at[i].versions.at);
    free(m->keys.at);
    free(m->tasks);
    hdestroy_r(&m->table);
    free(m);
    *m_p = NULL;
}

uint64_t model_at(const struct model *m, const char *key, uint64_t seen,
                  const char **value)
{
    const struct key *k = key_find(m, key);
    size_t low = 0, high = k ? k->versions.n : 0;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (k->versions.at[middle].revision <= seen)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low)
        return 0;
    *value = k->versions.at[low - 1].value;
    return k->versions.at[low - 1].revision;
}
