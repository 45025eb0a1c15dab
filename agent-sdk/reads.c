/* Recording. What is sent and how sets are kept small is elsewhere:
 * reads_told.c, reads_widen.c. */
#include "reads.h"

#include <stdlib.h>
#include <utlist.h>

#include "reads_private.h"

struct reads *reads_new(void)
{
    struct reads *r = calloc(1, sizeof *r);

    if (r)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

static void set_free(struct reads *r, struct read_set *set)
{
    struct row *row, *next;

    HASH_ITER (hh, set->rows, row, next)
        row_remove(r, set, row);
    HASH_DEL(r->sets, set);
    free(set);
}

void reads_destroy(struct reads **self_p)
{
    struct reads *r = *self_p;
    struct read_set *set, *next;

    if (!r)
        return;
    HASH_ITER (hh, r->sets, set, next)
        set_free(r, set);
    pthread_mutex_destroy(&r->lock);
    free(r);
    *self_p = NULL;
}

struct read_set *reads_find(struct reads *r, uint64_t token)
{
    struct read_set *set;

    HASH_FIND(hh, r->sets, &token, sizeof token, set);
    return set;
}

void reads_begin(struct reads *r, uint64_t task, uint64_t token,
                 struct bytes space)
{
    struct read_set *set = calloc(1, sizeof *set);

    if (!set || space.n >= sizeof set->space) {
        free(set);
        return;
    }
    set->task = task;
    set->token = token;
    memcpy(set->space, space.p, space.n);
    pthread_mutex_lock(&r->lock);
    if (reads_find(r, token))
        free(set);
    else
        HASH_ADD(hh, r->sets, token, sizeof set->token, set);
    pthread_mutex_unlock(&r->lock);
}

void reads_end(struct reads *r, uint64_t token)
{
    struct read_set *set;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set)
        set_free(r, set);
    pthread_mutex_unlock(&r->lock);
}

uint64_t reads_task(struct reads *r, uint64_t token)
{
    const struct read_set *set;
    uint64_t task;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    task = set ? set->task : 0;
    pthread_mutex_unlock(&r->lock);
    return task;
}

/* --- Rows ----------------------------------------------------------------- */

static size_t name_put(char out[NAME_MAX_BYTES], bool is_prefix,
                       struct bytes space, struct bytes text)
{
    if (space.n > LIMIT_NAME_BYTES || text.n > LIMIT_KEY_BYTES)
        return 0;
    out[0] = is_prefix ? 'p' : 'k';
    if (space.n)
        memcpy(out + 1, space.p, space.n);
    out[1 + space.n] = '\0';
    if (text.n)
        memcpy(out + space.n + 2, text.p, text.n);
    return space.n + 2 + text.n;
}

static struct row *row_named(struct read_set *set, const char *name, size_t n)
{
    struct row *row;

    HASH_FIND(hh, set->rows, name, n, row);
    return row;
}

struct row *row_find(struct read_set *set, bool is_prefix, struct bytes space,
                     struct bytes text)
{
    char name[NAME_MAX_BYTES];
    size_t n = name_put(name, is_prefix, space, text);

    return n ? row_named(set, name, n) : NULL;
}

struct row *row_get(struct read_set *set, bool is_prefix, struct bytes space,
                    struct bytes text)
{
    char name[NAME_MAX_BYTES];
    size_t n = name_put(name, is_prefix, space, text);
    struct row *row = n ? row_named(set, name, n) : NULL;

    if (row || !n)
        return row;
    row = calloc(1, sizeof *row + n);
    if (!row) {
        set->is_lost = true;
        return NULL;
    }
    memcpy(row->name, name, n);
    row->is_prefix = is_prefix;
    row->space_bytes = space.n;
    row->name_bytes = n;
    HASH_ADD_KEYPTR(hh, set->rows, row->name, n, row);
    if (is_prefix)
        DL_APPEND(set->prefixes, row);
    set->bytes += n;
    return row;
}

void row_unseen(struct reads *r, struct read_set *set, struct row *row,
                bool unseen)
{
    size_t one = unseen ? 1 : (size_t)-1;

    if (row->is_unseen == unseen)
        return;
    row->is_unseen = unseen;
    set->unseen += one;
    __atomic_add_fetch(&r->unseen, one, __ATOMIC_RELAXED);
}

void row_remove(struct reads *r, struct read_set *set, struct row *row)
{
    row_unseen(r, set, row, false);
    HASH_DEL(set->rows, row);
    if (row->is_prefix)
        DL_DELETE(set->prefixes, row);
    set->bytes -= row->name_bytes;
    free(row->after);
    free(row);
}

bool row_is_ours(const struct row *row)
{
    return row->own > row->at &&
           (row->moved <= row->at || row->moved > row->own);
}

uint64_t row_revision(const struct row *row)
{
    if (!row_is_ours(row))
        return row->revision;
    return row->own_gone ? 0 : row->own;
}

uint64_t cover_of(const struct read_set *set, struct bytes space,
                  struct bytes key)
{
    const struct row *row;
    uint64_t least = UINT64_MAX;

    DL_FOREACH (set->prefixes, row)
        if (row->revision < least && bytes_equal(row_space(row), space) &&
            bytes_start_with(key, row_text(row)))
            least = row->revision;
    return least == UINT64_MAX ? 0 : least;
}

static struct bytes space_of(const struct read_set *set, struct bytes space)
{
    return space.n ? space : bytes_text(set->space);
}

static void keep_small(struct reads *r, struct read_set *set)
{
    if (HASH_COUNT(set->rows) > ROWS_MAX || set->bytes > ROWS_BYTES_MAX)
        reads_widen(r, set, ROWS_MAX / 2, ROWS_BYTES_MAX / 2);
}

/* The one to be told to the broker is the first of all. */
static bool unseen_note(struct reads *r, struct read_set *set, struct row *row,
                        bool unseen)
{
    bool before = reads_unseen(r);

    if (unseen)
        row_unseen(r, set, row, true);
    return !before && reads_unseen(r);
}

/* --- Keys ----------------------------------------------------------------- */

/* Widened rows say it already: nothing there is newer than their cut. */
static bool is_covered(const struct read_set *set, const struct look *k)
{
    return set->is_wide && k->revision <= cover_of(set, k->space, k->name);
}

static bool key_read(struct reads *r, struct read_set *set,
                     const struct look *k, bool unseen)
{
    struct row *row = row_find(set, false, k->space, k->name);
    bool is_new = !row, news;

    if (!row && is_covered(set, k))
        return false;
    if (!row)
        row = row_get(set, false, k->space, k->name);
    if (!row || (!is_new && !row->is_unread && k->at < row->at))
        return false;
    unseen = unseen && (is_new || row->revision != k->revision);
    row->revision = k->revision;
    row->at = k->at;
    row->is_unread = false;
    news = unseen_note(r, set, row, unseen);
    keep_small(r, set);
    return news;
}

bool reads_key(struct reads *r, uint64_t token, const struct look *k,
               bool unseen)
{
    struct look full = *k;
    struct read_set *set;
    bool news = false;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set) {
        full.space = space_of(set, k->space);
        news = key_read(r, set, &full, unseen);
    }
    pthread_mutex_unlock(&r->lock);
    return news;
}

/* A key nobody read, under a listing that was made before: so that the write
 * does not make the listing stale. */
static struct row *row_unread(struct read_set *set, struct bytes space,
                              struct bytes key)
{
    uint64_t cut = cover_of(set, space, key);
    struct row *row = cut ? row_get(set, false, space, key) : NULL;

    if (row) {
        row->is_unread = true;
        row->revision = row->at = cut;
    }
    return row;
}

void reads_wrote(struct reads *r, uint64_t token, const struct look *k)
{
    struct read_set *set;
    struct row *row = NULL;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set) {
        struct bytes space = space_of(set, k->space);

        row = row_find(set, false, space, k->name);
        if (!row)
            row = row_unread(set, space, k->name);
    }
    if (row && k->at > row->own) {
        row->own = k->at;
        row->own_gone = k->revision == 0;
    }
    if (row)
        keep_small(r, set);
    pthread_mutex_unlock(&r->lock);
}

/* --- Listings ------------------------------------------------------------- */

/* What was only noted because of an earlier look at the prefix. */
static void unread_forget(struct reads *r, struct read_set *set,
                          const struct row *prefix)
{
    struct row *row, *next;

    HASH_ITER (hh, set->rows, row, next) {
        if (row->is_unread && row->own <= prefix->revision &&
            row->moved <= prefix->revision &&
            bytes_equal(row_space(row), row_space(prefix)) &&
            bytes_start_with(row_text(row), row_text(prefix)))
            row_remove(r, set, row);
    }
}

static void prefix_seen(struct reads *r, struct read_set *set, struct row *row,
                        uint64_t cut)
{
    if (cut < row->revision)
        return;
    row->revision = row->at = cut;
    unread_forget(r, set, row);
}

static void chain_set(struct row *row, struct bytes after, uint64_t cut)
{
    free(row->after);
    row->after = after.n ? strndup((const char *)after.p, after.n) : NULL;
    row->chain = cut;
}

static bool goes_on(const struct row *row, struct bytes asked_after)
{
    return row->after && bytes_equal(bytes_text(row->after), asked_after);
}

/* Pages may rest on different revisions: what holds is the earliest, and only
 * once the last page was seen. Until then an earlier look stays, too. */
static void page_note(struct reads *r, struct read_set *set, struct row *row,
                      uint64_t cut, struct bytes asked_after,
                      struct bytes told_after)
{
    bool is_first = !asked_after.n;
    bool follows = !is_first && goes_on(row, asked_after);
    uint64_t least = follows && row->chain < cut ? row->chain : cut;

    if (!row->revision || (!is_first && cut < row->revision))
        row->revision = row->at = cut;
    if (is_first || follows) {
        chain_set(row, told_after, least);
        if (!told_after.n)
            prefix_seen(r, set, row, least);
    }
}

bool reads_page(struct reads *r, uint64_t token, const struct look *prefix,
                struct bytes asked_after, struct bytes told_after, bool unseen)
{
    struct read_set *set;
    struct row *row = NULL;
    bool news = false;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set)
        row = row_get(set, true, space_of(set, prefix->space), prefix->name);
    if (row) {
        uint64_t before = row->revision;

        page_note(r, set, row, prefix->at, asked_after, told_after);
        news = unseen_note(r, set, row, unseen && row->revision != before);
        keep_small(r, set);
    }
    pthread_mutex_unlock(&r->lock);
    return news;
}

/* --- What moved ----------------------------------------------------------- */

/* What nobody read and no listing covers was widened away. */
static void move_note(struct read_set *set, const struct msg *item)
{
    struct bytes space = space_of(set, msg_b(item, FIELD_SPACE));
    struct bytes key = msg_b(item, FIELD_KEY);
    uint64_t revision = msg_u(item, FIELD_REVISION);
    struct row *row = row_find(set, false, space, key);

    if (!row)
        row = row_unread(set, space, key);
    if (!row || revision <= row->moved)
        return;
    row->moved = revision;
    row->moved_gone = msg_u(item, FIELD_KIND) == 1;
    row->writer = msg_hash(item, FIELD_AGENT);
}

bool reads_moved(struct reads *r, uint64_t token, uint64_t revision,
                 struct list items)
{
    struct read_set *set;
    struct msg item;
    bool news;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    while (set && list_next(&items, &item))
        if (msg_has(&item, FIELD_KEY))
            move_note(set, &item);
    news = set && revision > set->told;
    if (news)
        set->told = revision;
    if (set)
        keep_small(r, set);
    pthread_mutex_unlock(&r->lock);
    return news;
}

uint64_t reads_told(struct reads *r, uint64_t token)
{
    const struct read_set *set;
    uint64_t told;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    told = set ? set->told : 0;
    pthread_mutex_unlock(&r->lock);
    return told;
}

void reads_stale_set(struct reads *r, uint64_t token, uint64_t entry)
{
    struct read_set *set;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set)
        set->stale = entry;
    pthread_mutex_unlock(&r->lock);
}

uint64_t reads_stale(struct reads *r, uint64_t token)
{
    const struct read_set *set;
    uint64_t entry;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    entry = set ? set->stale : 0;
    pthread_mutex_unlock(&r->lock);
    return entry;
}

/* It counts as read where it is now: what we write next is not blind. */
static void row_ignore(struct row *row, uint64_t revision)
{
    if (row->moved <= row->at || row->moved > revision)
        return;
    if (row->moved_gone)
        row->revision = 0;
    else
        row->seen = revision;
    row->at = row->moved;
    row->is_unread = false;
}

void reads_heeded(struct reads *r, uint64_t token, bool ignored,
                  uint64_t revision)
{
    struct read_set *set;
    struct row *row, *next;

    pthread_mutex_lock(&r->lock);
    set = reads_find(r, token);
    if (set && revision > set->answered)
        set->answered = revision;
    if (set && ignored)
        HASH_ITER (hh, set->rows, row, next)
            row_ignore(row, revision);
    pthread_mutex_unlock(&r->lock);
}
