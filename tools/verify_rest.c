/* What is left of a segment from where it does not go on as it should, gone
 * through slowly and with all of it in memory: where does it end, what was
 * never known durable, and what exactly is wrong? */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "proto/refusal.h"
#include "tools/verify_check.h"

enum { CHUNK = 256 * 1024 };

/* A file's bytes from `from` to `end`, in memory. */
struct rest {
    uint8_t *p; /* owned; NULL: there are zeros only */
    uint64_t from, end;
};

/* Zeros are not copied: a segment's file is made as long as it may become. */
static int rest_chunk(struct rest *rest, const uint8_t *p, size_t n,
                      uint64_t at)
{
    if (bytes_zero(bytes_of(p, n)))
        return 0;
    if (!rest->p)
        rest->p = calloc(1, (size_t)(rest->end - rest->from));
    if (!rest->p)
        return -ENOMEM;
    memcpy(rest->p + (at - rest->from), p, n);
    return 0;
}

static int rest_read(int fd, struct rest *rest)
{
    uint8_t *chunk = malloc(CHUNK);
    int r = chunk ? 0 : -ENOMEM;
    size_t n;

    for (uint64_t at = rest->from; !r && at < rest->end; at += n) {
        n = rest->end - at < CHUNK ? (size_t)(rest->end - at) : CHUNK;
        r = verify_file_get(fd, chunk, n, at);
        if (!r)
            r = rest_chunk(rest, chunk, n, at);
    }
    free(chunk);
    return r;
}

int rest_is_zero(int fd, uint64_t from, uint64_t end, bool *yes)
{
    struct rest rest = {.from = from, .end = end};
    int r = from < end ? rest_read(fd, &rest) : 0;

    *yes = !rest.p;
    free(rest.p);
    return r;
}

static const uint8_t *rest_at(const struct rest *rest, uint64_t offset)
{
    return rest->p + (offset - rest->from);
}

/* Where the zeros at its end begin. */
static uint64_t zeros_begin(const struct rest *rest, uint64_t from)
{
    uint64_t end = rest->end;

    while (end > from && *rest_at(rest, end - 1) == 0)
        end--;
    return end;
}

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
            check_broken(
                c, "the payload of entry %" PRIu64 " does not fit its hash",
                e->index);
            return;
        }
    }
}

static int body_check(struct check *c, const struct group_header *g,
                      const uint8_t *p, struct bytes body)
{
    struct bytes heads = bytes_of(body.p, (size_t)g->heads_bytes);

    int r = group_check(g, p, body);

    if (!r)
        return 0;
    check_broken(c,
                 "the group of entries %" PRIu64 " to %" PRIu64
                 " does not fit its hashes",
                 g->first, g->first + g->count - 1);
    if (group_check_heads(g, p, heads) == 0)
        entry_find(c, g, body);
    return r == CHOIR_UNSUPPORTED ? r : CHOIR_BROKEN;
}

/* In itself, as bytes. Nothing has been believed yet. */
static int group_read(struct check *c, const struct rest *rest,
                      struct group_header *g)
{
    const uint8_t *p = rest_at(rest, c->offset);
    uint64_t left = rest->end - c->offset;
    struct bytes body;
    int r;

    check_segment(c, c->header.number, c->offset);
    if (left < GROUP_HEADER_BYTES ||
        group_header_get(g, p, c->header.nonce, c->offset))
        return check_broken(
            c, "there is no group where entry %" PRIu64 " must start", c->size);
    if (group_bytes(g) > left)
        return check_broken(c, "the file ends in the middle of a group");
    body = bytes_of(p + GROUP_HEADER_BYTES,
                    (size_t)(g->heads_bytes + group_stored(g)));
    r = body_check(c, g, p, body);
    if (r)
        return r;
    if (!bytes_zero(bytes_of(body.p + body.n,
                             (size_t)(p + group_bytes(g) - body.p) - body.n)))
        return check_broken(c, "padding is not zero");
    return check_follows(c, g);
}

/* Is what starts here known to have been durable? Then it is damage. */
static bool known_durable(struct check *c, const struct rest *rest)
{
    struct group_header g;
    uint64_t synced = c->synced;

    for (uint64_t at = c->offset; rest->end - at >= GROUP_HEADER_BYTES;
         at += GROUP_ALIGN)
        if (!group_header_get(&g, rest_at(rest, at), c->header.nonce, at) &&
            g.synced > synced)
            synced = g.synced;
    return synced > c->size;
}

/* It does not go on here. Is that an end? */
static bool may_end(struct check *c, const struct rest *rest)
{
    uint64_t end = zeros_begin(rest, c->offset);

    if (c->header.number != c->segments)
        return false;
    if (end == c->offset)
        return true;
    if (c->seal.there || known_durable(c, rest))
        return false;
    c->report->tail_bytes = end - c->offset;
    return true;
}

static int group_check_alone(struct check *c, const struct rest *rest,
                             const struct group_header *g)
{
    struct reading x = {0};
    int r = reading_add(&x, g, rest_at(rest, c->offset), c->offset);

    if (!r)
        r = reading_run(&x);
    if (!r)
        r = check_group(c, &x, &x.groups[0]);
    reading_free(&x);
    return r;
}

static int groups_check_alone(struct check *c, const struct rest *rest)
{
    struct group_header g;
    int r = 0;

    while (!r && c->offset < rest->end) {
        r = group_read(c, rest, &g);
        if (r && r != CHOIR_UNSUPPORTED && may_end(c, rest))
            return 0;
        if (!r)
            r = group_check_alone(c, rest, &g);
    }
    return r;
}

int rest_check(struct check *c, int fd, uint64_t bytes)
{
    struct rest rest = {.from = c->offset, .end = bytes};
    int r = rest_read(fd, &rest);

    if (!r && !rest.p && c->header.number == c->segments)
        return 0;
    if (!r && !rest.p) /* then one that says so */
        rest.p = calloc(1, (size_t)(rest.end - rest.from));
    if (!r)
        r = rest.p ? groups_check_alone(c, &rest) : -ENOMEM;
    free(rest.p);
    return r;
}
