/* What the rows of all verbs share. */
#include "tests/sim/world/verbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct verb *const tables[] = {
    verbs_context, verbs_task,  verbs_reads, verbs_agent, verbs_past,
    verbs_erase,   verbs_keys,  verbs_mail,  verbs_marks, verbs_input,
    verbs_terms,   verbs_queue, verbs_doubt, verbs_lists};

enum { TABLES = sizeof tables / sizeof *tables };

/* Each ends with a row without a verb. */
#define EACH_VERB(v)                       \
    for (size_t i_ = 0; i_ < TABLES; i_++) \
        for (v = tables[i_]; v->verb; v++)

const struct verb *verb_find(unsigned verb)
{
    const struct verb *v;

    EACH_VERB(v)
    if (v->verb == verb)
        return v;
    return NULL;
}

const struct verb *verb_any(uint64_t (*any)(uint64_t n))
{
    const struct verb *v;
    uint64_t sum = 0, at;

    EACH_VERB(v)
    sum += v->weight;
    at = any(sum);
    EACH_VERB(v)
    {
        if (at < v->weight)
            return v;
        at -= v->weight;
    }
    abort();
}

/* --- Drafting ------------------------------------------------------------ */

const char *any_key(const struct knowledge *k)
{
    static const char *const keys[] = {"a",   "a/b", "a/b/c", "b",
                                       "b/x", "c",   "d/1",   "d/2"};

    return keys[k->any(sizeof keys / sizeof *keys)];
}

const char *any_queue(const struct knowledge *k)
{
    return queue_name(k->any(3) == 0);
}

size_t draft_value(struct draft *d, const struct knowledge *k)
{
    char *text = d->texts[d->slots];
    int n = snprintf(text, DRAFT_VALUE, "%d.%lu.%zu.", k->agent, k->number,
                     d->slots);
    size_t more = k->any(k->any(30) == 0 ? DRAFT_VALUE - 64
                         : k->any(2)     ? 40
                                         : 350);

    memset(text + n, 'x', more);
    d->values[d->slots] = bytes_of(text, (size_t)n + more);
    return d->slots++;
}

void draft_id(struct draft *d, const struct knowledge *k)
{
    if (k->any(8))
        return;
    snprintf(d->id, sizeof d->id, "id-%lu", k->any(40));
    msg_set_text(&d->m, FIELD_ID, d->id);
}

bool draft_lease(struct draft *d, const struct knowledge *k)
{
    struct held h;

    if (!k->lease_count)
        return false;
    h = k->leases[k->any(k->lease_count)];
    if (k->any(20) == 0)
        h.token = k->any(h.token + 1);
    msg_set_u(&d->m, FIELD_TASK, h.task);
    msg_set_u(&d->m, FIELD_TOKEN, h.token);
    return true;
}

void draft_writes(struct draft *d, const struct knowledge *k)
{
    uint64_t n = 1 + k->any(2);
    const char *first = NULL;
    struct msg w;

    for (uint64_t i = 0; i < n; i++) {
        const char *key = any_key(k);

        if (first && !strcmp(first, key) && k->any(10)) {
            n = i; /* twice in one is refused: seldom */
            break;
        }
        first = key;
        msg_init(&w, MSG_WRITE);
        msg_set_text(&w, FIELD_KEY, key);
        if (k->any(5))
            msg_set_u(&w, FIELD_SLOT,
                      i && d->slots && !k->any(6) ? d->slots - 1
                                                  : draft_value(d, k));
        msg_encode(&w, &d->lists[1]);
    }
    msg_set_list(&d->m, FIELD_WRITES, n, buf_bytes(&d->lists[1]));
}

uint64_t any_revision(const struct knowledge *k, const char *key)
{
    struct m_key *known =
        model_key((struct model *)(uintptr_t)k->m, bytes_text(key));

    return k->any(6) ? key_revision(known) : k->any(k->m->size + 3);
}

void draft_compares(struct draft *d, const struct knowledge *k)
{
    uint64_t n = k->any(3);
    struct msg c;

    for (uint64_t i = 0; i < n; i++) {
        const char *key = any_key(k);

        msg_init(&c, MSG_COMPARE);
        if (k->any(4)) {
            msg_set_u(&c, FIELD_REVISION, any_revision(k, key));
            msg_set_text(&c, FIELD_KEY, key);
        } else {
            msg_set_u(&c, FIELD_REVISION, k->m->size - k->any(8));
            msg_set_text(&c, FIELD_PREFIX, k->any(2) ? "a/" : "d/");
        }
        msg_encode(&c, &d->lists[0]);
    }
    if (n)
        msg_set_list(&d->m, FIELD_COMPARES, n, buf_bytes(&d->lists[0]));
}

/* --- Expecting ----------------------------------------------------------- */

struct m_task *seen_held(struct model *m, const struct seen *s)
{
    struct m_task *t = model_task(m, msg_u(s->op, FIELD_TASK));

    return t && task_is_held(t) && t->holder == s->agent &&
                   t->token == msg_u(s->op, FIELD_TOKEN)
               ? t
               : NULL;
}

int seen_values(struct model *m, const struct seen *s)
{
    for (size_t i = 0; i < msg_slots(s->op); i++)
        if (msg_slot_bytes(s->op, i) > m->limits.value_bytes)
            return CHOIR_OVER_LIMIT;
    return 0;
}

int seen_writes(struct model *m, const struct seen *s)
{
    struct list writes = msg_list(s->op, FIELD_WRITES);
    struct bytes keys[DRAFT_VALUES];
    struct msg w;

    for (size_t n = 0; list_next(&writes, &w); n++) {
        keys[n] = msg_b(&w, FIELD_KEY);
        for (size_t i = 0; i < n; i++)
            if (bytes_equal(keys[i], keys[n]))
                return CHOIR_INVALID;
        if (!model_may(m, s->agent, RIGHT_WRITE))
            return CHOIR_DENIED;
    }
    return 0;
}

/* What it says of a conflict is what there is. */
int seen_conflict(struct model *m, const struct seen *s, struct bytes name,
                  uint64_t revision)
{
    if (s->e->outcome == CHOIR_CONFLICT &&
        (msg_u(s->effect, FIELD_REVISION) != revision ||
         !bytes_equal(msg_b(s->effect, FIELD_KEY), name)))
        model_says(m, "the conflict tells revision %lu, it is at %lu",
                   msg_u(s->effect, FIELD_REVISION), revision);
    return CHOIR_CONFLICT;
}

static int one_compare(struct model *m, const struct seen *s,
                       const struct msg *c)
{
    struct bytes name =
        msg_b(c, msg_has(c, FIELD_PREFIX) ? FIELD_PREFIX : FIELD_KEY);
    uint64_t named = msg_u(c, FIELD_REVISION), newest = 0;

    if (!model_may(m, s->agent, RIGHT_READ))
        return CHOIR_DENIED;
    if (msg_has(c, FIELD_KEY)) {
        newest = key_revision(model_key(m, name));
        return newest == named ? 0 : seen_conflict(m, s, name, newest);
    }
    for (size_t i = 0; i < m->key_count; i++) {
        const struct m_key *k = &m->keys[i];

        if (k->count && bytes_start_with(bytes_text(k->name), name) &&
            k->versions[k->count - 1].revision > newest)
            newest = k->versions[k->count - 1].revision;
    }
    return newest <= named ? 0 : seen_conflict(m, s, name, newest);
}

int seen_compares(struct model *m, const struct seen *s)
{
    struct list compares = msg_list(s->op, FIELD_COMPARES);
    struct msg c;
    int r = 0;

    if (msg_has(s->op, FIELD_IF_REVISION)) {
        struct bytes key = msg_b(s->op, FIELD_KEY);
        uint64_t now = key_revision(model_key(m, key));

        return now == msg_u(s->op, FIELD_IF_REVISION)
                   ? 0
                   : seen_conflict(m, s, key, now);
    }
    while (!r && list_next(&compares, &c))
        r = one_compare(m, s, &c);
    return r;
}

/* --- Happening ----------------------------------------------------------- */

void key_write(struct m_key *k, struct m_version v)
{
    if (k->count == k->cap) {
        k->cap = k->cap ? 2 * k->cap : 64;
        k->versions = realloc(k->versions, k->cap * sizeof *k->versions);
        if (!k->versions)
            abort();
    }
    k->versions[k->count++] = v;
}

static void write_one(struct model *m, const struct seen *s, struct bytes key,
                      bool put, uint64_t slot)
{
    struct m_key *k = model_key(m, key);

    if (!put && !key_revision(k))
        return; /* deleting what is absent changes nothing */
    key_write(k, (struct m_version){
                     .revision = s->index,
                     .value = put ? seen_slot(s, slot) : 0,
                     .slot = slot,
                     .due = put && msg_has(s->op, FIELD_TTL_MS)
                                ? s->time + msg_u(s->op, FIELD_TTL_MS) * 1000
                                : 0,
                     .token = msg_u(s->op, FIELD_TOKEN),
                     .deleted = !put,
                 });
}

void write_all(struct model *m, const struct seen *s)
{
    struct list writes = msg_list(s->op, FIELD_WRITES);
    struct msg w;

    if (msg_has(s->op, FIELD_KEY)) {
        write_one(m, s, msg_b(s->op, FIELD_KEY), s->op->verb == MSG_PUT, 0);
        return;
    }
    while (list_next(&writes, &w))
        write_one(m, s, msg_b(&w, FIELD_KEY), msg_has(&w, FIELD_SLOT),
                  msg_u(&w, FIELD_SLOT));
}
