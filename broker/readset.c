/* Read sets: their rows, and what a new version means for them. */
#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "readset_private.h"

/* --- Rows ----------------------------------------------------------------- */

static struct row *row_at(const struct readset *set, const struct node *node)
{
    struct row *row;

    HASH_FIND(hh, set->rows, &node, sizeof(node), row);
    return row;
}

static size_t row_cost(const struct node *node)
{
    return sizeof(struct row) + sizeof *node + node->bytes;
}

void readset_charge(struct readsets *all, struct readset *set, size_t bytes)
{
    all->agents[set->agent] += bytes;
    all->bytes += bytes;
}

static void row_free(struct readsets *all, struct row *row)
{
    struct node *node = row->node;

    readset_charge(all, row->set, (size_t)0 - row_cost(node));
    HASH_DEL(row->set->rows, row);
    DL_DELETE(node->rows, row);
    free(row);
    readset_node_leave(all, node);
}

struct row *readset_row_find(const struct readsets *all,
                             const struct readset *set, const char *name,
                             size_t n)
{
    const struct node *node = readset_node_named(all, name, n);

    return node ? row_at(set, node) : NULL;
}

/* Found or made, and then it has no revision yet. 0; OVER_LIMIT; -ENOMEM. */
int readset_row_of(struct readsets *all, struct readset *set,
                   const struct reading *reading, uint64_t bytes_max,
                   struct row **out)
{
    char name[NAME_BYTES];
    size_t n = readset_name_put(name, reading->is_prefix, reading->space,
                                reading->name);
    struct node *node;
    struct row *row;

    *out = n ? readset_row_find(all, set, name, n) : NULL;
    if (*out)
        return 0;
    if (!n || readset_rows(set) >= READSET_ROWS_MAX ||
        all->agents[set->agent] + sizeof *row + sizeof *node + n > bytes_max)
        return CHOIR_OVER_LIMIT;
    node = readset_node_of(all, name, n, reading->space.n);
    row = node ? calloc(1, sizeof *row) : NULL;
    if (!row) {
        if (node)
            readset_node_leave(all, node);
        return -ENOMEM;
    }
    row->node = node;
    row->set = set;
    HASH_ADD(hh, set->rows, node, sizeof row->node, row);
    DL_APPEND(node->rows, row);
    readset_charge(all, set, row_cost(node));
    *out = row;
    return 0;
}

/* --- Noting --------------------------------------------------------------- */

int readset_note(struct readsets *all, struct readset *set,
                 const struct reading *reading, uint64_t bytes_max)
{
    struct row *row;
    int r = readset_row_of(all, set, reading, bytes_max, &row);

    if (r || reading->at < row->at)
        return r;
    row->revision = reading->revision;
    row->at = reading->at;
    row->seen = reading->seen;
    if (set->newest)
        readset_moves_settle(all, set, reading);
    return 0;
}

int readset_note_page(struct readsets *all, struct readset *set,
                      const struct reading *reading, bool first, bool last,
                      uint64_t bytes_max)
{
    struct reading whole = *reading;
    struct row *row;
    int r = readset_row_of(all, set, reading, bytes_max, &row);

    if (r)
        return r;
    if (row->at == 0) /* until more is known, the first look counts */
        row->revision = row->at = reading->revision;
    if (first)
        row->chain = reading->revision;
    if (!last || row->chain == 0)
        return 0;
    whole.revision = whole.at = row->chain;
    return readset_note(all, set, &whole, bytes_max);
}

/* --- Versions ------------------------------------------------------------- */

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Our own write goes on from what we read, unless somebody else's came between:
 * then what was read stays stale. */
static void own_write(struct row *row, const struct version_made *v)
{
    if (v->prev > later(row->at, row->seen))
        return;
    row->revision = v->deleted ? 0 : v->revision;
    row->at = v->revision;
}

static int key_row_made(struct readsets *all, struct row *row,
                        const struct version_made *v)
{
    struct readset *set = row->set;

    if (v->revision <= later(row->at, row->seen))
        return 0;
    if (v->token == set->token) {
        own_write(row, v);
        return 0;
    }
    return readset_move_note(all, set, v, row->revision);
}

/* A key under a listing that nobody read by itself. What we write there becomes
 * a row of its own, unless somebody else was there first. */
static int prefix_row_made(struct readsets *all, struct row *row,
                           const struct version_made *v)
{
    struct readset *set = row->set;
    struct reading own = {.space = v->space,
                          .name = v->key,
                          .revision = v->deleted ? 0 : v->revision,
                          .at = v->revision};
    int r;

    if (v->revision <= later(row->revision, row->seen))
        return 0;
    if (v->token != set->token)
        return readset_move_note(all, set, v, v->prev);
    if (v->prev > later(row->revision, row->seen))
        return 0;
    r = readset_note(all, set, &own, UINT64_MAX);
    return r < 0 ? r : 0;
}

static int node_made(struct readsets *all, const struct node *node,
                     const struct node *key, const struct version_made *v,
                     readset_hit hit, void *arg)
{
    struct row *row, *next;
    int r = 0;

    DL_FOREACH_SAFE (node->rows, row, next) {
        uint64_t newest = row->set->newest;

        if (node != key && key && row_at(row->set, key))
            continue; /* its own row has said it */
        r = node == key ? key_row_made(all, row, v)
                        : prefix_row_made(all, row, v);
        if (r)
            return r;
        if (row->set->newest != newest)
            hit(arg, row->set->owner);
    }
    return 0;
}

int readsets_made(struct readsets *all, const struct version_made *v,
                  readset_hit hit, void *arg)
{
    char name[NAME_BYTES];
    size_t n = readset_name_put(name, false, v->space, v->key), length = 0;
    const struct node *key = n ? readset_node_named(all, name, n) : NULL, *node;
    int r = key ? node_made(all, key, key, v, hit, arg) : 0;

    if (!n)
        return 0;
    name[0] = 'p';
    while (!r && (node = readset_prefix_next(all, name, v->space.n, v->key.n,
                                             &length)))
        r = node_made(all, node, key, v, hit, arg);
    return r;
}

int readset_made(struct readsets *all, struct readset *set,
                 const struct version_made *v)
{
    char name[NAME_BYTES];
    size_t n = readset_name_put(name, false, v->space, v->key), length = 0;
    struct row *row = n ? readset_row_find(all, set, name, n) : NULL;
    const struct node *node;

    if (row)
        return key_row_made(all, row, v);
    name[0] = 'p';
    while (n && (node = readset_prefix_next(all, name, v->space.n, v->key.n,
                                            &length))) {
        row = row_at(set, node);
        if (row)
            return prefix_row_made(all, row, v);
    }
    return 0;
}

bool readset_next(const struct readset *set, const void **at,
                  struct reading *out)
{
    const struct row *last = *at, *row = last ? last->hh.next : set->rows;

    *at = row;
    if (!row)
        return false;
    *out = (struct reading){
        .space = name_space(row->node->name, row->node->space_bytes),
        .name = node_text(row->node),
        .is_prefix = node_is_prefix(row->node),
        .revision = row->revision,
        .at = row->at,
        .seen = row->seen,
    };
    return true;
}

/* --- Beginning and end ---------------------------------------------------- */

struct readsets *readsets_new(readset_may may, void *arg)
{
    struct readsets *all = calloc(1, sizeof *all);

    if (!all)
        return NULL;
    all->may = may;
    all->arg = arg;
    return all;
}

void readsets_destroy(struct readsets **self_p)
{
    struct readsets *all = *self_p;

    if (!all)
        return;
    filter_free(&all->keys);
    filter_free(&all->prefixes);
    free(all->agents);
    free(all);
    *self_p = NULL;
}

uint64_t readsets_bytes(const struct readsets *all)
{
    return all->bytes;
}

uint64_t readsets_agent_bytes(const struct readsets *all, uint32_t agent)
{
    return agent < all->agents_cap ? all->agents[agent] : 0;
}

bool readsets_any(const struct readsets *all)
{
    return all->nodes != NULL;
}

static int agent_room(struct readsets *all, uint32_t agent)
{
    size_t n = (size_t)agent + 64;
    uint64_t *agents;

    if (agent < all->agents_cap)
        return 0;
    agents = reallocarray(all->agents, n, sizeof *agents);
    if (!agents)
        return -ENOMEM;
    memset(agents + all->agents_cap, 0, (n - all->agents_cap) * sizeof *agents);
    all->agents = agents;
    all->agents_cap = n;
    return 0;
}

struct readset *readset_new(struct readsets *all, uint64_t token,
                            uint32_t agent, void *owner)
{
    struct readset *set =
        agent_room(all, agent) ? NULL : calloc(1, sizeof *set);

    if (!set)
        return NULL;
    set->token = token;
    set->agent = agent;
    set->owner = owner;
    readset_charge(all, set, sizeof *set);
    return set;
}

void readset_free(struct readsets *all, struct readset **set_p)
{
    struct readset *set = *set_p;
    struct move *move, *next_move;
    struct row *row, *next;

    if (!set)
        return;
    HASH_ITER (hh, set->moves, move, next_move)
        readset_move_free(all, set, move);
    HASH_ITER (hh, set->rows, row, next)
        row_free(all, row);
    readset_charge(all, set, (size_t)0 - sizeof *set);
    free(set);
    *set_p = NULL;
}

size_t readset_rows(const struct readset *set)
{
    return HASH_COUNT(set->rows);
}
