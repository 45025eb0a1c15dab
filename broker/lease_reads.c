/* What was read under leases: noting it, finding whom a change concerns, and
 * telling holders what moved until they answer. */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "changes.h"
#include "lease_private.h"
#include "proto/refusal.h"
#include "readable.h"

enum { REBUILD_STEPS_MAX = 16384 }; /* keys looked at for one ask `reads` */

/* --- Noting --------------------------------------------------------------- */

int lease_of_ask(struct leases *l, const struct presence *p,
                 const struct msg *ask, struct lease **out)
{
    bool task = msg_has(ask, FIELD_TASK);
    struct lease *lease;

    *out = NULL;
    if (task != msg_has(ask, FIELD_TOKEN))
        return CHOIR_INVALID;
    if (!task)
        return 0;
    lease = lease_find(l, msg_u(ask, FIELD_TASK));
    if (!lease || lease->token != msg_u(ask, FIELD_TOKEN) ||
        lease->agent != p->agent)
        return CHOIR_FENCED;
    *out = lease;
    return 0;
}

static int set_of(struct leases *l, struct lease *lease)
{
    if (!lease->reads)
        lease->reads = readset_new(l->reads, lease->token, lease->agent, lease);
    return lease->reads ? 0 : -ENOMEM;
}

int lease_read(struct leases *l, struct lease *lease,
               const struct reading *reading, const struct read_page *page)
{
    uint64_t most = l->config->reads_bytes_per_agent_max;
    int r = set_of(l, lease);

    if (r)
        return r;
    r = page ? readset_note_page(l->reads, lease->reads, reading, page->first,
                                 page->last, most)
             : readset_note(l->reads, lease->reads, reading, most);
    if (r == CHOIR_OVER_LIMIT)
        l->counters.unnoted++;
    return r;
}

bool lease_reads_full(const struct lease *lease)
{
    return lease->reads && readset_rows(lease->reads) >= READSET_ROWS_MAX;
}

void lease_reads_free(struct leases *l, struct lease *lease)
{
    if (lease->moved)
        DL_DELETE2(l->moved, lease, m_prev, m_next);
    lease->moved = false;
    readset_free(l->reads, &lease->reads);
}

uint64_t leases_observed(void *leases, uint64_t task, uint64_t token,
                         struct buf *rows)
{
    const struct lease *lease = lease_find(leases, task);
    const void *at = NULL;
    struct reading r;
    struct msg m;
    uint64_t n = 0;

    if (!lease || lease->token != token || !lease->reads)
        return 0;
    while (readset_next(lease->reads, &at, &r)) {
        msg_init(&m, MSG_COMPARE);
        msg_set_b(&m, FIELD_SPACE, r.space);
        msg_set_b(&m, r.is_prefix ? FIELD_PREFIX : FIELD_KEY, r.name);
        msg_set_u(&m, FIELD_REVISION, r.revision);
        if (r.seen)
            msg_set_u(&m, FIELD_SEEN, r.seen);
        msg_encode(&m, rows);
        n++;
    }
    return n;
}

/* --- What moves ----------------------------------------------------------- */

void lease_moved_due(struct leases *l, struct lease *lease)
{
    uint64_t count;

    if (lease->moved || !lease->reads || !readset_pending(lease->reads, &count))
        return;
    lease->moved = true;
    DL_APPEND2(l->moved, lease, m_prev, m_next);
}

static void on_hit(void *arg, void *owner)
{
    lease_moved_due(arg, owner);
}

bool leases_concerned(const struct leases *l, const struct bundle_op *op)
{
    return readsets_any(l->reads) &&
           (!op->key.n || readsets_concern(l->reads, op->space, op->key));
}

int leases_changed(struct leases *l, const struct entry *e,
                   const struct hash *agent)
{
    struct version_made v = {.revision = e->index, .agent = *agent};
    struct changes walk;
    struct change change;
    struct place place;
    int r = changes_begin(&walk, e);

    if (r)
        return r == CHOIR_NOT_FOUND ? 0 : r;
    v.token = msg_u(&walk.head, FIELD_TOKEN);
    v.space = msg_b(&walk.head, FIELD_SPACE);
    if (!msg_has(&walk.head, FIELD_SPACE)) {
        r = task_place(leases_state(l), core_ledger(l->core),
                       msg_u(&walk.head, FIELD_TASK), &place);
        v.space = bytes_text(place.space);
    }
    while (!r && changes_next(&walk, &change)) {
        v.key = change.key;
        v.prev = change.prev;
        v.deleted = change.deleted;
        r = readsets_made(l->reads, &v, on_hit, l);
    }
    return r > 0 ? -EUCLEAN : r;
}

/* --- A set that is told --------------------------------------------------- */

static void version_of(const struct leases *l, const struct key *k,
                       struct bytes space, struct version_made *v)
{
    const struct agent *writer =
        agent_by_number(leases_state(l)->agents, k->agent);

    *v = (struct version_made){
        .space = space,
        .key = key_name(k),
        .revision = k->revision,
        .prev = k->revision,
        .deleted = k->deleted,
    };
    if (writer)
        v->agent = writer->id;
}

bool lease_may_read(void *leases, uint32_t agent, struct bytes space,
                    struct bytes key)
{
    const struct agents *agents = leases_state(leases)->agents;

    return agent_may(agent_by_number(agents, agent), RIGHT_READ, space, key,
                     (struct bytes){0});
}

static const struct key *key_seen(struct leases *l, const struct lease *lease,
                                  const struct reading *row)
{
    return lease_may_read(l, lease->agent, row->space, row->name)
               ? context_find(leases_state(l)->context, row->space, row->name)
               : NULL;
}

/* Where it still is as it was read, it is so as of now. */
static int told_key(struct leases *l, struct lease *lease, struct reading *row)
{
    const struct key *k = key_seen(l, lease, row);
    uint64_t now = k && !k->deleted ? k->revision : 0;
    struct version_made v;
    int r;

    row->at = now == row->revision ? core_size(l->core) - 1 : row->revision;
    r = lease_read(l, lease, row, NULL);
    if (r || !k || now == row->revision)
        return r;
    version_of(l, k, row->space, &v);
    return readset_made(l->reads, lease->reads, &v);
}

static const struct key *next_moved(const struct leases *l,
                                    const struct lease *lease,
                                    const struct reading *row,
                                    struct bytes from, bool exclusive)
{
    const struct state *s = leases_state(l);

    return readable_next(s, agent_by_number(s->agents, lease->agent),
                         row->space, row->name, from, exclusive, row->revision);
}

static int told_prefix(struct leases *l, struct lease *lease,
                       struct reading *row, unsigned *steps)
{
    struct version_made v;
    const struct key *k;
    int r;

    row->at = row->revision;
    r = lease_read(l, lease, row, NULL);
    k = r ? NULL : next_moved(l, lease, row, row->name, false);
    while (!r && k && *steps) {
        --*steps;
        version_of(l, k, row->space, &v);
        r = readset_made(l->reads, lease->reads, &v);
        k = next_moved(l, lease, row, key_name(k), true);
    }
    return r;
}

static int told_row(struct leases *l, struct lease *lease, const struct msg *m,
                    bool prefixes, unsigned *steps)
{
    bool is_prefix = msg_has(m, FIELD_PREFIX);
    struct bytes space = bytes_text(lease->queue->space);
    struct reading row = {
        .space = msg_has(m, FIELD_SPACE) ? msg_b(m, FIELD_SPACE) : space,
        .name = msg_b(m, is_prefix ? FIELD_PREFIX : FIELD_KEY),
        .is_prefix = is_prefix,
        .revision = msg_u(m, FIELD_REVISION),
        .seen = msg_u(m, FIELD_SEEN),
    };

    if (is_prefix == msg_has(m, FIELD_KEY))
        return CHOIR_INVALID;
    if (is_prefix != prefixes)
        return 0;
    return is_prefix ? told_prefix(l, lease, &row, steps)
                     : told_key(l, lease, &row);
}

/* Keys first: what we wrote under a listing has moved nothing. */
int lease_reads_told(struct leases *l, struct lease *lease,
                     const struct msg *reads)
{
    unsigned steps = REBUILD_STEPS_MAX;
    int r = set_of(l, lease);

    for (int pass = 0; !r && pass < 2; pass++) {
        struct list rows = msg_list(reads, FIELD_COMPARES);
        struct msg m;

        while (!r && list_next(&rows, &m))
            r = told_row(l, lease, &m, pass == 1, &steps);
    }
    lease_moved_due(l, lease);
    return r;
}

/* --- Telling and answering ------------------------------------------------ */

static void move_put(const struct lease *lease, const struct readset_move *move,
                     struct buf *out)
{
    struct msg m;

    msg_init(&m, MSG_ITEM);
    if (!bytes_equal(move->space, bytes_text(lease->queue->space)))
        msg_set_b(&m, FIELD_SPACE, move->space);
    msg_set_b(&m, FIELD_KEY, move->key);
    msg_set_u(&m, FIELD_PREV, move->prev);
    msg_set_u(&m, FIELD_REVISION, move->revision);
    msg_set_hash(&m, FIELD_AGENT, &move->agent);
    if (move->deleted)
        msg_set_u(&m, FIELD_KIND, 1);
    msg_encode(&m, out);
}

/* What the holder may not read any more did not move for him. */
static int say_moved(struct leases *l, struct lease *lease)
{
    struct readset_move move;
    const void *at = NULL;
    uint64_t n = 0, count, newest = readset_pending(lease->reads, &count);
    struct msg m;

    buf_clear(&l->moves);
    while (readset_move_next(lease->reads, &at, &move)) {
        if (!lease_may_read(l, lease->agent, move.space, move.key))
            continue;
        move_put(lease, &move, &l->moves);
        n++;
    }
    if (!newest || !n)
        return 0;
    msg_init(&m, MSG_MOVED);
    msg_set_u(&m, FIELD_TASK, lease->task);
    msg_set_u(&m, FIELD_TOKEN, lease->token);
    msg_set_u(&m, FIELD_REVISION, newest);
    msg_set_list(&m, FIELD_ITEMS, n, buf_bytes(&l->moves));
    if (count > n)
        msg_set_u(&m, FIELD_COUNT, count);
    if (l->moves.failed)
        return -ENOMEM;
    presence_say(l->router, lease->p, &m);
    l->counters.moved++;
    return 0;
}

/* Whoever cannot be told now is told with its next heartbeat. */
int leases_tell_moved(struct leases *l)
{
    struct lease *lease;
    int r = 0;

    while (!r && (lease = l->moved) != NULL) {
        DL_DELETE2(l->moved, lease, m_prev, m_next);
        lease->moved = false;
        if (lease->p && lease->p->connection &&
            connection_has_room(l->router, lease->p->connection))
            r = say_moved(l, lease);
    }
    return r;
}

int lease_heeded(struct leases *l, struct lease *lease, const struct msg *heed)
{
    uint64_t upto = msg_has(heed, FIELD_REVISION) ? msg_u(heed, FIELD_REVISION)
                                                  : UINT64_MAX;

    return lease->reads ? readset_heed(l->reads, lease->reads, upto,
                                       msg_u(heed, FIELD_KIND) == HEED_IGNORE)
                        : 0;
}
