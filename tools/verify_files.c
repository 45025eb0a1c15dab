/* The directory: which segments there are, seal and state checkpoint. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "tools/verify_check.h"

int check_broken(struct check *c, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(c->report->why, VERIFY_WHY, format, args);
    va_end(args);
    return CHOIR_BROKEN;
}

void check_name(struct check *c, const char *name)
{
    snprintf(c->report->in, sizeof c->report->in, "%s", name);
}

void check_segment(struct check *c, uint64_t number, uint64_t offset)
{
    snprintf(c->report->in, sizeof c->report->in, "segment-%010" PRIu64,
             number);
    c->report->at = (struct verify_place){number, offset, c->size};
}

static int files_count(struct check *c)
{
    DIR *dir = opendir(c->dir);
    struct dirent *e;
    uint64_t n = 0, highest = 0;

    check_name(c, "the directory");
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
    return n == highest ? 0
                        : check_broken(c,
                                       "of %" PRIu64 " segments, only %" PRIu64
                                       " are there",
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
    check_name(c, "seal");
    if (r) {
        snprintf(c->report->why, VERIFY_WHY, "%s", strerror(-r));
        return r;
    }
    s->there = true;
    if (n == 152)
        sum = hash_of(HASH_SUM, bytes_of(p, 136));
    if (n != 152 || memcmp(p, "CHOIRSEA", 8) != 0 ||
        memcmp(sum.b, p + 136, 16) != 0)
        r = check_broken(c, "it does not fit its checksum");
    else if (get_u32(p + 8) != 1)
        r = check_broken(c, "it has a format newer than 1");
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
    check_name(c, "seal");
    if (s->size != c->size)
        return check_broken(
            c, "the record has %" PRIu64 " entries, its seal says %" PRIu64,
            c->size, s->size);
    if (!hash_equal(&s->ledger, &ledger) || !hash_equal(&s->group, &c->group) ||
        s->epoch != c->epoch || s->time != c->time ||
        s->segments != c->segments || s->end != c->offset)
        return check_broken(c, "the record ends otherwise than its seal says");
    if (s->last_bytes != c->last_bytes || s->spare_bytes != c->spare_bytes)
        return check_broken(c,
                            "a segment has another length than the seal says");
    return 0;
}

static int claim_check(struct check *c)
{
    struct hash ledger = c->report->ledger;

    if (!c->claim.there)
        return 0;
    check_name(c, "state.snapshot");
    if (c->claim_result) {
        snprintf(c->report->why, VERIFY_WHY, "%s", c->claim_why);
        return c->claim_result;
    }
    if (!hash_equal(&c->claim.ledger, &ledger))
        return check_broken(c, "it is of another ledger");
    if (c->claim.size > c->size)
        return check_broken(c,
                            "it rests on %" PRIu64
                            " entries, the record has only "
                            "%" PRIu64 ": the record has lost some",
                            c->claim.size, c->size);
    if (!c->claim_met)
        return check_broken(c, "it rests on another record than this");
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
        return check_broken(c, "there is no first entry");
    if (!hash_equal(&ledger, &report->ledger))
        return check_broken(
            c, "the genesis is of another ledger than the segments");
    r = seal_check(c);
    return r ? r : claim_check(c);
}

static int verify_once(const char *dir, const uint8_t *key, struct pool *pool,
                       struct verify_report *report)
{
    struct check c = {.dir = dir, .report = report};
    struct verify_place at;
    char why[VERIFY_WHY];
    int r, settled;

    *report = (struct verify_report){0};
    c.runs = runs_new(pool);
    c.rules =
        c.runs ? rules_new(pool, key, &report->counts, report->why) : NULL;
    if (!c.rules) {
        runs_destroy(&c.runs);
        return -ENOMEM;
    }
    r = check_all(&c);
    memcpy(why, report->why, sizeof why);
    settled = rules_settle(c.rules, &at);
    if (!r && !settled) {
        r = rules_end(c.rules, &report->at);
        memcpy(why, report->why, sizeof why);
    }
    if (settled) { /* an earlier entry than what was found meanwhile */
        r = settled;
        check_segment(&c, at.segment, at.offset);
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
    runs_destroy(&c.runs);
    return r;
}

/* A broker may have written while its files were read: what looked torn then
 * is whole the next time, what is damaged is not. */
int verify_ledger_with(struct pool *pool, const char *dir, const uint8_t *key,
                       struct verify_report *report)
{
    int r = verify_once(dir, key, pool, report);

    return r == CHOIR_BROKEN && !report->sealed
               ? verify_once(dir, key, pool, report)
               : r;
}

int verify_ledger(const char *dir, const uint8_t *key,
                  struct verify_report *report)
{
    struct pool *pool = pool_for_all_cores();
    int r;

    *report = (struct verify_report){0};
    if (!pool)
        return -ENOMEM;
    r = verify_ledger_with(pool, dir, key, report);
    pool_destroy(&pool);
    return r;
}
