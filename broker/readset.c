/* A node is a key or a prefix that somebody read; it knows the rows of all sets
 * that did. A set finds its own row by the node. */
#include "readset.h"

#include <errno.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

#include "filter.h"
#include "proto/refusal.h"

enum {
    NAME_BYTES = 2 + LIMIT_NAME_BYTES + LIMIT_KEY_BYTES,
    WORDS = LIMIT_KEY_BYTES / 64 + 1,
};

struct node {
    struct row *rows; /* of all sets */
    size_t space_bytes, bytes;
    uint64_t hash; /* for the filter */
    UT_hash_handle hh;
    char name[]; /* 'k' or 'p', space, NUL, key or prefix */
};

struct row {
    struct node *node;
    struct readset *set;
    uint64_t revision, at, seen;
    uint64_t chain; /* of a listing that goes on: its first page's cut */
    struct row *prev, *next; /* of the node */
    UT_hash_handle hh;       /* of the set, by node */
};

struct move {
    uint64_t prev_revision, revision;
    struct hash agent;
    bool deleted;
    size_t space_bytes, bytes;
    UT_hash_handle hh;
    char name[]; /* as of a node */
};

struct readset {
    uint64_t token;
    uint32_t agent;
    void *owner;
    uint64_t newest; /* that moved and is not answered */
    uint64_t beyond; /* moves that were not kept one by one */
    struct row *rows;
    struct move *moves;
};

struct readsets {
    readset_may may;
    void *arg;
    struct node *nodes;
    uint64_t bytes;
    uint64_t *agents; /* bytes of each, by number */
    size_t agents_cap;
    struct filter keys, prefixes;
    size_t lengths[LIMIT_KEY_BYTES + 1]; /* prefix nodes of each */
    uint64_t used[WORDS];                /* lengths that have any */
};

/* --- Names ---------------------------------------------------------------- */

static size_t name_put(char out[NAME_BYTES], bool is_prefix, struct bytes space,
                       struct bytes name)
{
    if (space.n > LIMIT_NAME_BYTES || name.n > LIMIT_KEY_BYTES)
        return 0;
    out[0] = is_prefix ? 'p' : 'k';
    if (space.n)
        memcpy(out + 1, space.p, space.n);
    out[1 + space.n] = 0;
    if (name.n)
        memcpy(out + 2 + space.n, name.p, name.n);
    return 2 + space.n + name.n;
}

static struct bytes name_space(const char *name, size_t space_bytes)
{
    return bytes_of(name + 1, space_bytes);
}

static struct bytes name_text(const char *name, size_t space_bytes, size_t n)
{
    return bytes_of(name + 2 + space_bytes, n - 2 - space_bytes);
}

static struct bytes node_text(const struct node *node)
{
    return name_text(node->name, node->space_bytes, node->bytes);
}

static bool node_is_prefix(const struct node *node)
{
    return node->name[0] == 'p';
}

/* --- Nodes ---------------------------------------------------------------- */

static struct node *node_named(const struct readsets *all, const char *name,
                               size_t n)
{
    struct node *node;

    HASH_FIND(hh, all->nodes, name, n, node);
    return node;
}

static uint64_t space_hash(struct bytes space)
{
    static const uint8_t end;

    return text_hash(text_hash(0, space.p, space.n), &end, 1);
}

static struct filter *filter_of(struct readsets *all, const struct node *node)
{
    return node_is_prefix(node) ? &all->prefixes : &all->keys;
}

static void filter_grow(struct readsets *all, struct filter *f)
{
    const struct node *node;

    filter_reset(f, 2 * f->things);
    for (node = all->nodes; node; node = node->hh.next) {
        if (filter_of(all, node) == f)
            filter_add(f, node->hash);
    }
}

static void node_count(struct readsets *all, const struct node *node, bool more)
{
    struct filter *f = filter_of(all, node);
    size_t n = node_text(node).n;
    uint64_t bit = (uint64_t)1 << n % 64;

    if (more)
        filter_add(f, node->hash);
    else
        filter_remove(f, node->hash);
    if (filter_is_full(f))
        filter_grow(all, f);
    if (!node_is_prefix(node))
        return;
    all->lengths[n] += more ? 1 : (size_t)-1;
    if (all->lengths[n])
        all->used[n / 64] |= bit;
    else
        all->used[n / 64] &= ~bit;
}

static struct node *node_of(struct readsets *all, const char *name, size_t n,
                            size_t space_bytes)
{
    struct node *node = node_named(all, name, n);

    if (node)
        return node;
    node = calloc(1, sizeof *node + n);
    if (!node)
        return NULL;
    memcpy(node->name, name, n);
    node->bytes = n;
    node->space_bytes = space_bytes;
    node->hash = text_hash_stir(
        text_hash(space_hash(name_space(node->name, space_bytes)),
                  node_text(node).p, node_text(node).n));
    HASH_ADD_KEYPTR(hh, all->nodes, node->name, n, node);
    node_count(all, node, true);
    return node;
}

static void node_leave(struct readsets *all, struct node *node)
{
    if (node->rows)
        return;
    node_count(all, node, false);
    HASH_DEL(all->nodes, node);
    free(node);
}

/* The next length from n on that prefixes in use have; beyond all: none. */
static size_t length_next(const struct readsets *all, size_t n)
{
    size_t word = n / 64;
    uint64_t bits = all->used[word] & UINT64_MAX << n % 64;

    while (!bits && ++word < WORDS)
        bits = all->used[word];
    return bits ? word * 64 + (size_t)__builtin_ctzll(bits) : SIZE_MAX;
}

/* The prefix in use, from that length on, under which the key lies. */
static struct node *prefix_next(const struct readsets *all, char *name,
                                size_t space_bytes, size_t key_bytes,
                                size_t *length)
{
    struct node *node = NULL;

    while (!node && *length <= key_bytes) {
        *length = length_next(all, *length);
        if (*length <= key_bytes)
            node = node_named(all, name, 2 + space_bytes + *length);
        *length += *length <= key_bytes;
    }
    return node;
}

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

static void charge(struct readsets *all, struct readset *set, size_t bytes)
{
    all->agents[set->agent] += bytes;
    all->bytes += bytes;
}

static void row_free(struct readsets *all, struct row *row)
{
    struct node *node = row->node;

    charge(all, row->set, (size_t)0 - row_cost(node));
    HASH_DEL(row->set->rows, row);
    DL_DELETE(node->rows, row);
    free(row);
    node_leave(all, node);
}

static struct row *row_find(const struct readsets *all,
                            const struct readset *set, const char *name,
                            size_t n)
{
    const struct node *node = node_named(all, name, n);

    return node ? row_at(set, node) : NULL;
}

/* Found or made, and then it has no revision yet. 0; OVER_LIMIT; -ENOMEM. */
static int row_of(struct readsets *all, struct readset *set,
                  const struct reading *reading, uint64_t bytes_max,
                  struct row **out)
{
    char name[NAME_BYTES];
    size_t n =
        name_put(name, reading->is_prefix, reading->space, reading->name);
    struct node *node;
    struct row *row;

    *out = n ? row_find(all, set, name, n) : NULL;
    if (*out)
        return 0;
    if (!n || readset_rows(set) >= READSET_ROWS_MAX ||
        all->agents[set->agent] + sizeof *row + sizeof *node + n > bytes_max)
        return CHOIR_OVER_LIMIT;
    node = node_of(all, name, n, reading->space.n);
    row = node ? calloc(1, sizeof *row) : NULL;
    if (!row) {
        if (node)
            node_leave(all, node);
        return -ENOMEM;
    }
    row->node = node;
    row->set = set;
    HASH_ADD(hh, set->rows, node, sizeof row->node, row);
    DL_APPEND(node->rows, row);
    charge(all, set, row_cost(node));
    *out = row;
    return 0;
}

/* --- Moves ---------------------------------------------------------------- */

static struct move *move_find(const struct readset *set, struct bytes space,
                              struct bytes key)
{
    char name[NAME_BYTES];
    size_t n = name_put(name, false, space, key);
    struct move *move;

    HASH_FIND(hh, set->moves, name, n, move);
    return move;
}

static void move_free(struct readsets *all, struct readset *set,
                      struct move *move)
{
    charge(all, set, (size_t)0 - sizeof *move - move->bytes);
    HASH_DEL(set->moves, move);
    free(move);
}

/* What is left to be told. */
static void newest_again(struct readset *set)
{
    const struct move *move;
    uint64_t newest = 0;

    if (set->beyond)
        return; /* what they were is not known */
    for (move = set->moves; move; move = move->hh.next)
        newest = move->revision > newest ? move->revision : newest;
    set->newest = newest;
}

static int move_new(struct readsets *all, struct readset *set,
                    const struct version_made *v, struct move **out)
{
    char name[NAME_BYTES];
    size_t n = name_put(name, false, v->space, v->key);
    struct move *move = calloc(1, sizeof *move + n);

    if (!move)
        return -ENOMEM;
    memcpy(move->name, name, n);
    move->bytes = n;
    move->space_bytes = v->space.n;
    HASH_ADD_KEYPTR(hh, set->moves, move->name, n, move);
    charge(all, set, sizeof *move + n);
    *out = move;
    return 0;
}

/* was: the version that had been read. Coalesced per key. */
static int move_note(struct readsets *all, struct readset *set,
                     const struct version_made *v, uint64_t was)
{
    struct move *move;
    int r = 0;

    if (all->may && !all->may(all->arg, set->agent, v->space, v->key))
        return 0;
    move = move_find(set, v->space, v->key);
    if (v->revision > set->newest)
        set->newest = v->revision;
    if (!move && HASH_COUNT(set->moves) >= READSET_MOVES_MAX) {
        set->beyond++;
        return 0;
    }
    if (!move) {
        r = move_new(all, set, v, &move);
        if (r)
            return r;
        move->prev_revision = was;
    }
    if (v->revision < move->revision)
        return 0;
    move->revision = v->revision;
    move->agent = v->agent;
    move->deleted = v->deleted;
    return 0;
}

/* The key was looked at again, or all keys under the prefix were. */
static void moves_settle(struct readsets *all, struct readset *set,
                         const struct reading *r)
{
    struct move *move, *next;

    HASH_ITER (hh, set->moves, move, next) {
        struct bytes key =
            name_text(move->name, move->space_bytes, move->bytes);
        bool same = r->is_prefix ? bytes_start_with(key, r->name)
                                 : bytes_equal(key, r->name);

        if (!same || move->revision > r->at ||
            !bytes_equal(name_space(move->name, move->space_bytes), r->space))
            continue;
        if (r->is_prefix && row_find(all, set, move->name, move->bytes))
            continue; /* it was read by itself, and not again */
        move_free(all, set, move);
    }
    newest_again(set);
}

/* --- Noting --------------------------------------------------------------- */

int readset_note(struct readsets *all, struct readset *set,
                 const struct reading *reading, uint64_t bytes_max)
{
    struct row *row;
    int r = row_of(all, set, reading, bytes_max, &row);

    if (r || reading->at < row->at)
        return r;
    row->revision = reading->revision;
    row->at = reading->at;
    row->seen = reading->seen;
    if (set->newest)
        moves_settle(all, set, reading);
    return 0;
}

int readset_note_page(struct readsets *all, struct readset *set,
                      const struct reading *reading, bool first, bool last,
                      uint64_t bytes_max)
{
    struct reading whole = *reading;
    struct row *row;
    int r = row_of(all, set, reading, bytes_max, &row);

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

static bool may_have_prefix(const struct readsets *all, uint64_t hash,
                            struct bytes key, uint64_t *whole)
{
    size_t at = 0, length = length_next(all, 0);
    bool yes = false;

    for (; length <= key.n && !yes; length = length_next(all, length + 1)) {
        hash = text_hash(hash, key.p + at, length - at);
        at = length;
        yes = filter_may_have(&all->prefixes, text_hash_stir(hash));
    }
    *whole = text_hash(hash, key.p + at, key.n - at);
    return yes;
}

/* Filters first: most writes concern nobody, and of ten look-ups in a table of
 * all that was read each would have to wait for memory. */
bool readsets_concern(const struct readsets *all, struct bytes space,
                      struct bytes key)
{
    char name[NAME_BYTES];
    size_t n, length = 0;
    uint64_t whole;
    bool prefix;

    if (!all->nodes || key.n > LIMIT_KEY_BYTES)
        return false;
    prefix = may_have_prefix(all, space_hash(space), key, &whole);
    if (!prefix && !filter_may_have(&all->keys, text_hash_stir(whole)))
        return false;
    n = name_put(name, false, space, key);
    if (n && node_named(all, name, n))
        return true;
    name[0] = 'p';
    return prefix && prefix_next(all, name, space.n, key.n, &length) != NULL;
}

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
    return move_note(all, set, v, row->revision);
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
        return move_note(all, set, v, v->prev);
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
    size_t n = name_put(name, false, v->space, v->key), length = 0;
    const struct node *key = n ? node_named(all, name, n) : NULL, *node;
    int r = key ? node_made(all, key, key, v, hit, arg) : 0;

    if (!n)
        return 0;
    name[0] = 'p';
    while (!r && (node = prefix_next(all, name, v->space.n, v->key.n, &length)))
        r = node_made(all, node, key, v, hit, arg);
    return r;
}

int readset_made(struct readsets *all, struct readset *set,
                 const struct version_made *v)
{
    char name[NAME_BYTES];
    size_t n = name_put(name, false, v->space, v->key), length = 0;
    struct row *row = n ? row_find(all, set, name, n) : NULL;
    const struct node *node;

    if (row)
        return key_row_made(all, row, v);
    name[0] = 'p';
    while (n &&
           (node = prefix_next(all, name, v->space.n, v->key.n, &length))) {
        row = row_at(set, node);
        if (row)
            return prefix_row_made(all, row, v);
    }
    return 0;
}

/* --- Telling and answering ------------------------------------------------ */

uint64_t readset_pending(const struct readset *set, uint64_t *count)
{
    *count = HASH_COUNT(set->moves) + set->beyond;
    return set->newest;
}

bool readset_move_next(const struct readset *set, const void **at,
                       struct readset_move *out)
{
    const struct move *last = *at, *move = last ? last->hh.next : set->moves;

    *at = move;
    if (!move)
        return false;
    *out = (struct readset_move){
        .space = name_space(move->name, move->space_bytes),
        .key = name_text(move->name, move->space_bytes, move->bytes),
        .prev = move->prev_revision,
        .revision = move->revision,
        .agent = move->agent,
        .deleted = move->deleted,
    };
    return true;
}

/* What moved counts as read where it is now. */
static int move_ignore(struct readsets *all, struct readset *set,
                       const struct move *move)
{
    struct reading now = {
        .space = name_space(move->name, move->space_bytes),
        .name = name_text(move->name, move->space_bytes, move->bytes),
        .revision = move->deleted ? 0 : move->revision,
        .at = move->revision,
    };
    struct row *row;
    int r = row_of(all, set, &now, UINT64_MAX, &row);

    if (r < 0 || r == CHOIR_OVER_LIMIT)
        return r < 0 ? r : 0;
    row->revision = now.revision;
    row->at = now.at;
    return 0;
}

/* Those that were not kept one by one: whoever ignores them ignores them in
 * every row. */
static void beyond_heed(struct readset *set, uint64_t revision, bool ignore)
{
    struct row *row;

    if (set->newest > revision)
        return;
    for (row = set->rows; ignore && set->beyond && row; row = row->hh.next)
        row->seen = revision;
    set->beyond = 0;
}

int readset_heed(struct readsets *all, struct readset *set, uint64_t revision,
                 bool ignore)
{
    struct move *move, *next;
    int r = 0;

    HASH_ITER (hh, set->moves, move, next) {
        if (move->revision > revision)
            continue;
        if (ignore && !r)
            r = move_ignore(all, set, move);
        move_free(all, set, move);
    }
    beyond_heed(set, revision, ignore);
    newest_again(set);
    return r;
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
    charge(all, set, sizeof *set);
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
        move_free(all, set, move);
    HASH_ITER (hh, set->rows, row, next)
        row_free(all, row);
    charge(all, set, (size_t)0 - sizeof *set);
    free(set);
    *set_p = NULL;
}

size_t readset_rows(const struct readset *set)
{
    return HASH_COUNT(set->rows);
}
