/* Segments, seal and state checkpoint, byte by byte. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "tools/verify.h"

struct seal {
    bool there;
    struct hash ledger, group;
    uint64_t size, epoch, time, segments, end, last_bytes, spare_bytes;
};

struct check {
    const char *dir;
    struct verify_report *report;
    struct rules *rules; /* owned */
    struct seal seal;
    struct snapshot_claim claim;
    char claim_why[VERIFY_WHY];
    int claim_result;
    bool claim_met;           /* a group ends there and is the one it names */
    uint64_t files, segments; /* numbers there are; those with a header */
    struct segment_header header;
    uint64_t last_bytes, spare_bytes;
    /* behind the last good group */
    uint64_t offset, size, epoch, time;
    struct hash group;
    uint64_t synced; /* highest mark so far */
};

static int broken(struct check *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int broken(struct check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->report->why, VERIFY_WHY, format, args);
    va_end(args);
    return CHOIR_BROKEN;
}

static void name_set(struct check *c, const char *name)
{
    snprintf(c->report->in, sizeof c->report->in, "%s", name);
}

static void segment_set(struct check *c, uint64_t number, uint64_t offset)
{
    snprintf(c->report->in, sizeof c->report->in, "segment-%010" PRIu64,
             number);
    c->report->at = (struct verify_place){number, offset, c->size};
}

static size_t zeros_end(const uint8_t *p, size_t from, size_t to)
{
    while (to > from && p[to - 1] == 0)
        to--;
    return to;
}

/* --- Groups -------------------------------------------------------------- */

/* Which entry is it that does not fit? The heads do, so the slots say. */
static void entry_find(struct check *c, const struct group_header *g,
                       struct bytes body)
{
    struct group_walk walk;
    const struct entry *e;

    group_walk_begin(&walk, g, body);
    while (group_walk_next(&walk, &e) == 0) {
        if (entry_slots_check(e)) {
            c->report->at.index = e->index;
            broken(c, "the payload of entry %" PRIu64 " does not fit its hash",
                   e->index);
            return;
        }
    }
}

static int body_check(struct check *c, const struct group_header *g,
                      const uint8_t *p, struct bytes body)
{
    struct bytes heads = bytes_of(body.p, (size_t)g->heads_bytes);

    if (group_check(g, p, body) == 0)
        return 0;
    broken(c,
           "the group of entries %" PRIu64 " to %" PRIu64
           " does not fit its checksum",
           g->first, g->first + g->count - 1);
    if (group_check_heads(g, p, heads) == 0)
        entry_find(c, g, body);
    return CHOIR_BROKEN;
}

static int group_follows(struct check *c, const struct group_header *g)
{
    if (g->first != c->size)
        return broken(c, "a group has another index than the one that is due");
    if (!hash_equal(&g->prev, &c->group))
        return broken(c, "a group does not follow from the one before");
    if (g->epoch < c->epoch)
        return broken(c, "the epoch goes back");
    if (g->time < c->time)
        return broken(c, "time goes back");
    if (g->count == 0 || g->bundles == 0 || g->synced > g->first)
        return broken(c, "a group's counts do not make sense");
    return 0;
}

/* *reached: whether the fault lies in what entries say, not in the bytes. */
static int entries_check(struct check *c, const struct group_header *g,
                         struct bytes body)
{
    struct verify_place at = c->report->at;
    struct group_walk walk;
    const struct entry *e;
    uint64_t n = 0;
    int r;

    group_walk_begin(&walk, g, body);
    while ((r = group_walk_next(&walk, &e)) == 0) {
        at.index = e->index;
        n++;
        r = rules_entry(c->rules, e, &at);
        if (r) {
            c->report->at = at;
            return r;
        }
    }
    if (r != CHOIR_NOT_FOUND || n != g->count)
        return broken(c, "a group does not hold what it says");
    return 0;
}

/* In itself, as bytes. Nothing has been believed yet. */
static int group_read(struct check *c, const uint8_t *p, size_t n,
                      struct group_header *g, struct bytes *body)
{
    size_t left = n - (size_t)c->offset, end;

    p += c->offset;
    segment_set(c, c->header.number, c->offset);
    if (left < GROUP_HEADER_BYTES ||
        group_header_get(g, p, c->header.nonce, c->offset))
        return broken(c, "there is no group where entry %" PRIu64 " must start",
                      c->size);
    if (group_bytes(g) > left)
        return broken(c, "the file ends in the middle of a group");
    *body = bytes_of(p + GROUP_HEADER_BYTES,
                     (size_t)(g->heads_bytes + group_stored(g)));
    if (body_check(c, g, p, *body))
        return CHOIR_BROKEN;
    end = (size_t)group_bytes(g);
    if (zeros_end(p, GROUP_HEADER_BYTES + body->n, end) !=
        GROUP_HEADER_BYTES + body->n)
        return broken(c, "padding is not zero");
    return group_follows(c, g);
}

static void group_passed(struct check *c, const struct group_header *g)
{
    struct hash root;

    c->offset += group_bytes(g);
    c->size = g->first + g->count;
    c->epoch = g->epoch;
    c->time = g->time;
    c->group = g->hash;
    if (g->synced > c->synced)
        c->synced = g->synced;
    c->report->counts.groups++;
    if (g->first == 0)
        c->report->first_time = g->time;
    if (c->claim.there && c->claim.size == c->size) {
        root = rules_root(c->rules);
        c->claim_met = hash_equal(&c->claim.group, &c->group) &&
                       hash_equal(&c->claim.root, &root);
    }
}

/* --- Segments ------------------------------------------------------------ */

/* Is what starts here known to have been durable? Then it is damage. */
static bool known_durable(struct check *c, const uint8_t *p, size_t n)
{
    struct group_header g;
    uint64_t synced = c->synced;

    for (size_t at = (size_t)c->offset; n - at >= GROUP_HEADER_BYTES;
         at += GROUP_ALIGN)
        if (!group_header_get(&g, p + at, c->header.nonce, at) &&
            g.synced > synced)
            synced = g.synced;
    return synced > c->size;
}

static int groups_check(struct check *c, const uint8_t *p, size_t n)
{
    bool last = c->header.number == c->segments;
    struct group_header g;
    struct bytes body;
    size_t end;
    int r;

    while (c->offset < n) {
        r = group_read(c, p, n, &g, &body);
        if (r && last && zeros_end(p, (size_t)c->offset, n) == c->offset)
            return 0;
        if (r && last && !c->seal.there && !known_durable(c, p, n)) {
            end = zeros_end(p, (size_t)c->offset, n);
            c->report->tail_bytes = end - c->offset;
            return 0;
        }
        if (!r)
            r = entries_check(c, &g, body);
        if (r)
            return r;
        group_passed(c, &g);
    }
    return 0;
}

static int header_check(struct check *c, uint64_t number)
{
    struct hash ledger = c->report->ledger;

    if (c->header.number != number)
        return broken(c, "it has another number");
    if (c->header.first != c->size)
        return broken(c, "it starts at another entry than is due");
    if (!hash_equal(&c->header.prev_group, &c->group))
        return broken(c, "it follows another group");
    if (c->header.epoch < c->epoch)
        return broken(c, "the epoch goes back");
    if (number > 1 && !hash_equal(&c->header.ledger, &ledger))
        return broken(c, "it is of another ledger");
    c->report->ledger = c->header.ledger;
    c->epoch = c->header.epoch;
    c->synced = c->size; /* its being there proves what lies before */
    return 0;
}

/* A file no segment was begun in: zeros; unsealed, a torn header is one. */
static bool blank(const struct check *c, const uint8_t *p, size_t n)
{
    size_t from = c->seal.there ? 0 : SEGMENT_HEADER_BYTES;

    return from >= n || zeros_end(p, from, n) == from;
}

static int segment_read(struct check *c, uint64_t number, const uint8_t *p,
                        size_t n)
{
    uint32_t format;
    int r = CHOIR_MALFORMED;

    segment_set(c, number, 0);
    if (n >= SEGMENT_HEADER_BYTES)
        r = segment_header_get(&c->header, p, &format);
    if (r == CHOIR_UNSUPPORTED)
        return broken(c, "it has format %u; this reads format %u",
                      (unsigned)format, (unsigned)RECORD_FORMAT);
    if (r && number == c->files && number > 1 && blank(c, p, n)) {
        c->spare_bytes = n;
        return 0;
    }
    if (r)
        return broken(c, "the segment's header does not fit its checksum");
    if (header_check(c, number))
        return CHOIR_BROKEN;
    c->offset = SEGMENT_HEADER_BYTES;
    c->last_bytes = n;
    c->report->counts.segments++;
    c->report->counts.bytes += n;
    return groups_check(c, p, n);
}

/* Has the last file a header? The one before it is then not the last. */
static int begun(struct check *c, uint64_t number, bool *yes)
{
    struct segment_header h;
    char name[32];
    uint8_t *p;
    uint32_t format;
    size_t n;
    int r;

    snprintf(name, sizeof name, "segment-%010" PRIu64, number);
    r = verify_file_read(c->dir, name, &p, &n);
    if (r)
        return r;
    *yes = n >= SEGMENT_HEADER_BYTES &&
           segment_header_get(&h, p, &format) != CHOIR_MALFORMED;
    free(p);
    return 0;
}

static int segments_check(struct check *c)
{
    bool yes = true;
    int r = c->files > 1 ? begun(c, c->files, &yes) : 0;

    c->segments = yes ? c->files : c->files - 1;
    for (uint64_t k = 1; !r && k <= c->files; k++) {
        char name[32];
        uint8_t *p;
        size_t n;

        snprintf(name, sizeof name, "segment-%010" PRIu64, k);
        name_set(c, name);
        r = verify_file_read(c->dir, name, &p, &n);
        if (r)
            break;
        r = segment_read(c, k, p, n);
        free(p);
    }
    if (r < 0)
        snprintf(c->report->why, VERIFY_WHY, "%s", strerror(-r));
    return r;
}

static int files_count(struct check *c)
{
    DIR *dir = opendir(c->dir);
    struct dirent *e;
    uint64_t n = 0, highest = 0;

    name_set(c, "the directory");
    if (!dir) {
        snprintf(c->report->why, VERIFY_WHY, "%s", strerror(errno));
        return -errno;
    }
    while ((e = readdir(dir))) {
        unsigned long k;
        char again[32];

        if (strncmp(e->d_name, "segment-", 8) != 0)
            continue;
        k = strtoul(e->d_name + 8, NULL, 10);
        snprintf(again, sizeof again, "segment-%010lu", k);
        if (k == 0 || strcmp(again, e->d_name) != 0)
            continue;
        n++;
        highest = k > highest ? k : highest;
    }
    closedir(dir);
    c->files = n;
    if (n == 0) {
        snprintf(c->report->why, VERIFY_WHY, "there is no ledger in it");
        return -ENOENT;
    }
    return n == highest
               ? 0
               : broken(c,
                        "of %" PRIu64 " segments, only %" PRIu64 " are there",
                        highest, n);
}

/* --- Seal and snapshot --------------------------------------------------- */

static int seal_read(struct check *c)
{
    struct seal *s = &c->seal;
    struct hash sum;
    uint8_t *p;
    size_t n;
    int r = verify_file_read(c->dir, "seal", &p, &n);

    if (r == -ENOENT)
        return 0;
    name_set(c, "seal");
    if (r) {
        snprintf(c->report->why, VERIFY_WHY, "%s", strerror(-r));
        return r;
    }
    s->there = true;
    if (n == 152)
        sum = hash_of(HASH_SUM, bytes_of(p, 136));
    if (n != 152 || memcmp(p, "CHOIRSEA", 8) != 0 ||
        memcmp(sum.b, p + 136, 16) != 0)
        r = broken(c, "it does not fit its checksum");
    else if (get_u32(p + 8) != 1)
        r = broken(c, "it has a format newer than 1");
    else {
        memcpy(s->ledger.b, p + 16, HASH_BYTES);
        s->size = get_u64(p + 48);
        s->epoch = get_u64(p + 56);
        s->time = get_u64(p + 64);
        s->segments = get_u64(p + 72);
        s->end = get_u64(p + 80);
        s->last_bytes = get_u64(p + 88);
        s->spare_bytes = get_u64(p + 96);
        memcpy(s->group.b, p + 104, HASH_BYTES);
    }
    free(p);
    return r;
}

static int seal_check(struct check *c)
{
    const struct seal *s = &c->seal;
    struct hash ledger = c->report->ledger;

    if (!s->there)
        return 0;
    name_set(c, "seal");
    if (s->size != c->size)
        return broken(
            c, "the record has %" PRIu64 " entries, its seal says %" PRIu64,
            c->size, s->size);
    if (!hash_equal(&s->ledger, &ledger) || !hash_equal(&s->group, &c->group) ||
        s->epoch != c->epoch || s->time != c->time ||
        s->segments != c->segments || s->end != c->offset)
        return broken(c, "the record ends otherwise than its seal says");
    if (s->last_bytes != c->last_bytes || s->spare_bytes != c->spare_bytes)
        return broken(c, "a segment has another length than the seal says");
    return 0;
}

static int claim_check(struct check *c)
{
    struct hash ledger = c->report->ledger;

    if (!c->claim.there)
        return 0;
    name_set(c, "state.snapshot");
    if (c->claim_result) {
        snprintf(c->report->why, VERIFY_WHY, "%s", c->claim_why);
        return c->claim_result;
    }
    if (!hash_equal(&c->claim.ledger, &ledger))
        return broken(c, "it is of another ledger");
    if (c->claim.size > c->size)
        return broken(c,
                      "it rests on %" PRIu64 " entries, the record has only "
                      "%" PRIu64 ": the record has lost some",
                      c->claim.size, c->size);
    if (!c->claim_met)
        return broken(c, "it rests on another record than this");
    return 0;
}

/* --- All of it ----------------------------------------------------------- */

static int check_all(struct check *c)
{
    struct verify_report *report = c->report;
    struct hash ledger;
    int r = seal_read(c);

    /* before the record, which may still grow */
    c->claim_result = verify_snapshot(c->dir, &c->claim, c->claim_why);
    if (!r)
        r = files_count(c);
    if (!r)
        r = segments_check(c);
    if (r)
        return r;
    ledger = rules_ledger(c->rules);
    if (c->size == 0)
        return broken(c, "there is no first entry");
    if (!hash_equal(&ledger, &report->ledger))
        return broken(c, "the genesis is of another ledger than the segments");
    r = seal_check(c);
    return r ? r : claim_check(c);
}

static int verify_once(const char *dir, const uint8_t *key,
                       struct verify_report *report)
{
    struct check c = {.dir = dir, .report = report};
    struct verify_place at;
    char why[VERIFY_WHY];
    int r, settled;

    *report = (struct verify_report){0};
    c.rules = rules_new(key, &report->counts, report->why);
    if (!c.rules)
        return -ENOMEM;
    r = check_all(&c);
    memcpy(why, report->why, sizeof why);
    settled = rules_settle(c.rules, &at);
    if (!r && !settled) {
        r = rules_end(c.rules, &report->at);
        memcpy(why, report->why, sizeof why);
    }
    if (settled) { /* an earlier entry than what was found meanwhile */
        r = settled;
        segment_set(&c, at.segment, at.offset);
        report->at = at;
    } else {
        memcpy(report->why, why, sizeof why);
    }
    memcpy(report->broker_key, rules_broker_key(c.rules), KEY_PUBLIC_BYTES);
    report->root = rules_root(c.rules);
    report->pinned = key != NULL;
    report->epoch = c.epoch;
    report->last_time = c.time;
    report->sealed = c.seal.there;
    report->snapshot = c.claim.there;
    report->snapshot_size = c.claim.size;
    rules_destroy(&c.rules);
    return r;
}

/* A broker may have written while its files were read: what looked torn then
 * is whole the next time, what is damaged is not. */
int verify_ledger(const char *dir, const uint8_t *key,
                  struct verify_report *report)
{
    int r = verify_once(dir, key, report);

    return r == CHOIR_BROKEN && !report->sealed ? verify_once(dir, key, report)
                                                : r;
}
