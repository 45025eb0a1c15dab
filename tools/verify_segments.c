/* Segments, group by group: the pool reads and hashes runs of them while the
 * ones before are judged in order. What does not look as it should is gone
 * through again slowly (verify_rest.c), and that says what is wrong with it:
 * the straight way only has to see that something is. */
#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "proto/refusal.h"
#include "tools/verify_check.h"

int check_follows(struct check *c, const struct group_header *g)
{
    if (g->first != c->size)
        return check_broken(c, "a group has another index than the one that is "
                               "due");
    if (!hash_equal(&g->prev, &c->group))
        return check_broken(c, "a group does not follow from the one before");
    if (g->epoch < c->epoch)
        return check_broken(c, "the epoch goes back");
    if (g->time < c->time)
        return check_broken(c, "time goes back");
    if (g->count == 0 || g->bundles == 0 || g->synced > g->first)
        return check_broken(c, "a group's counts do not make sense");
    return 0;
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

int check_group(struct check *c, const struct reading *x,
                const struct read_group *g)
{
    struct verify_place at = {c->header.number, g->offset, c->size};
    int r = rules_group(c->rules, x, g, &at);

    if (!r && !g->whole) {
        at.index = c->size;
        r = check_broken(c, "a group does not hold what it says");
    }
    if (r) { /* maybe that of an earlier one, whose signature is forged */
        check_segment(c, at.segment, at.offset);
        c->report->at = at;
        return r;
    }
    group_passed(c, &g->header);
    return 0;
}

/* *doubt: a group of it is not as it should be. */
static int run_judge(struct check *c, const struct reading *x, bool *doubt)
{
    int r = 0;

    for (size_t i = 0; !r && i < x->group_count; i++) {
        const struct read_group *g = &x->groups[i];

        *doubt = !g->fits || check_follows(c, &g->header);
        if (*doubt)
            return 0;
        r = check_group(c, x, g);
    }
    return r;
}

/* As far as everything is as it should be. */
static int groups_check(struct check *c, int fd, uint64_t bytes)
{
    const struct reading *x;
    bool doubt = false;
    int r;

    runs_begin(c->runs, fd, bytes, c->header.nonce, c->offset, c->size);
    do {
        r = runs_next(c->runs, &x);
        if (!r && x)
            r = run_judge(c, x, &doubt);
    } while (!r && x && !doubt);
    runs_end(c->runs);
    return r;
}

/* --- Segments ------------------------------------------------------------ */

static int header_check(struct check *c, uint64_t number)
{
    struct hash ledger = c->report->ledger;

    if (c->header.number != number)
        return check_broken(c, "it has another number");
    if (c->header.first != c->size)
        return check_broken(c, "it starts at another entry than is due");
    if (!hash_equal(&c->header.prev_group, &c->group))
        return check_broken(c, "it follows another group");
    if (c->header.epoch < c->epoch)
        return check_broken(c, "the epoch goes back");
    if (number > 1 && !hash_equal(&c->header.ledger, &ledger))
        return check_broken(c, "it is of another ledger");
    c->report->ledger = c->header.ledger;
    c->epoch = c->header.epoch;
    c->synced = c->size; /* its being there proves what lies before */
    return 0;
}

/* The header in a segment's file: 0, what segment_header_get says, or negative
 * errno. */
static int header_read(int fd, uint64_t bytes, struct segment_header *header,
                       uint32_t *format)
{
    uint8_t in[SEGMENT_HEADER_BYTES];
    int r;

    if (bytes < sizeof in)
        return CHOIR_MALFORMED;
    r = verify_file_get(fd, in, sizeof in, 0);
    return r ? r : segment_header_get(header, in, format);
}

static int segment_check(struct check *c, uint64_t number, int fd,
                         uint64_t bytes)
{
    uint32_t format;
    bool spare = false;
    int r = header_read(fd, bytes, &c->header, &format), code = 0;

    check_segment(c, number, 0);
    if (r < 0)
        return r;
    if (r == CHOIR_UNSUPPORTED)
        return check_broken(c, "it has format %u; this reads format %u",
                            (unsigned)format, (unsigned)RECORD_FORMAT);
    if (r && number == c->files && number > 1)
        /* none was begun in it; unsealed, a torn header is none */
        code = rest_is_zero(fd, c->seal.there ? 0 : SEGMENT_HEADER_BYTES, bytes,
                            &spare);
    if (code)
        return code;
    if (spare) {
        c->spare_bytes = bytes;
        return 0;
    }
    if (r)
        return check_broken(c,
                            "the segment's header does not fit its checksum");
    if (header_check(c, number))
        return CHOIR_BROKEN;
    c->offset = SEGMENT_HEADER_BYTES;
    c->last_bytes = bytes;
    c->report->counts.segments++;
    c->report->counts.bytes += bytes;
    r = groups_check(c, fd, bytes);
    if (!r)
        check_segment(c, number, c->offset);
    return r || c->offset == bytes ? r : rest_check(c, fd, bytes);
}

static int segment_open(struct check *c, uint64_t number, int *fd,
                        uint64_t *bytes)
{
    char name[32];

    snprintf(name, sizeof name, "segment-%010" PRIu64, number);
    check_name(c, name);
    return verify_file_open(c->dir, name, fd, bytes);
}

/* Has the last file a header? The one before it is then not the last. */
static int begun(struct check *c, uint64_t number, bool *yes)
{
    struct segment_header h;
    uint32_t format;
    uint64_t bytes;
    int fd, r = segment_open(c, number, &fd, &bytes);

    if (r)
        return r;
    r = header_read(fd, bytes, &h, &format);
    *yes = r != CHOIR_MALFORMED;
    close(fd);
    return r < 0 ? r : 0;
}

int segments_check(struct check *c)
{
    bool yes = true;
    int r = c->files > 1 ? begun(c, c->files, &yes) : 0;

    c->segments = yes ? c->files : c->files - 1;
    for (uint64_t k = 1; !r && k <= c->files; k++) {
        uint64_t bytes;
        int fd;

        r = segment_open(c, k, &fd, &bytes);
        if (r)
            break;
        r = segment_check(c, k, fd, bytes);
        close(fd);
    }
    if (r < 0)
        snprintf(c->report->why, VERIFY_WHY, "%s", strerror(-r));
    return r;
}
