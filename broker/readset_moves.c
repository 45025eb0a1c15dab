/* What moved under a set: kept per key, told, and answered. */
#include <errno.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "readset_private.h"

/* --- Moves ---------------------------------------------------------------- */

static struct move *move_find(const struct readset *set, struct bytes space,
                              struct bytes key)
{
    char name[NAME_BYTES];
    size_t n = readset_name_put(name, false, space, key);
    struct move *move;

    HASH_FIND(hh, set->moves, name, n, move);
    return move;
}

void readset_move_free(struct readsets *all, struct readset *set,
                       struct move *move)
{
    readset_charge(all, set, (size_t)0 - sizeof *move - move->bytes);
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
    size_t n = readset_name_put(name, false, v->space, v->key);
    struct move *move = calloc(1, sizeof *move + n);

    if (!move)
        return -ENOMEM;
    memcpy(move->name, name, n);
    move->bytes = n;
    move->space_bytes = v->space.n;
    HASH_ADD_KEYPTR(hh, set->moves, move->name, n, move);
    readset_charge(all, set, sizeof *move + n);
    *out = move;
    return 0;
}

/* was: the version that had been read. Coalesced per key. */
int readset_move_note(struct readsets *all, struct readset *set,
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
void readset_moves_settle(struct readsets *all, struct readset *set,
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
        if (r->is_prefix && readset_row_find(all, set, move->name, move->bytes))
            continue; /* it was read by itself, and not again */
        readset_move_free(all, set, move);
    }
    newest_again(set);
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
    int r = readset_row_of(all, set, &now, UINT64_MAX, &row);

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
        readset_move_free(all, set, move);
    }
    beyond_heed(set, revision, ignore);
    newest_again(set);
    return r;
}
