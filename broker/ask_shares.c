/* blame of a counter: each version added something, so each author did. Shares
 * add up to the value, over all answers. */
#include <errno.h>

#include "ask_blame.h"
#include "proto/pack.h"
#include "proto/refusal.h"

struct share {
    struct hash agent;
    int64_t sum;
    uint64_t count, revision; /* versions, the newest of them */
};

static struct share *share_at(const struct blame *b, size_t i)
{
    return (struct share *)(void *)b->shares.p + i;
}

static size_t share_count(const struct blame *b)
{
    return b->shares.n / sizeof(struct share);
}

static bool fits(int64_t sum, __int128 more)
{
    return sum + more >= INT64_MIN && sum + more <= INT64_MAX;
}

/* A sum that leaves 64 bits goes on in another share. */
static void share_add(struct blame *b, __int128 more)
{
    __int128 part = more > INT64_MAX   ? INT64_MAX
                    : more < INT64_MIN ? INT64_MIN
                                       : more;
    struct share fresh = {b->author, (int64_t)part, 1, b->at};

    for (size_t i = 0; i < share_count(b); i++) {
        struct share *s = share_at(b, i);

        if (hash_equal(&s->agent, &b->author) && fits(s->sum, part)) {
            s->sum += (int64_t)part;
            s->count++;
            part = more - part;
            if (part)
                share_add(b, part);
            return;
        }
    }
    buf_put(&b->shares, &fresh, sizeof fresh);
    if (more - part)
        share_add(b, more - part);
}

/* Back to where it was absent or no number. *left: what is not shared out. */
static int shares_walk(struct blame *b, int64_t *left)
{
    int r = 0;

    for (;;) {
        struct bytes value;
        int64_t before = 0;
        bool counts;

        if (share_count(b) >= ask_page(b->q))
            return CHOIR_OVER_LIMIT;
        r = blame_back(b, &value);
        if (r)
            return r;
        counts = value.p && merge_number(value, &before);
        share_add(b, (__int128)*left - (counts ? before : 0));
        *left = counts ? before : 0;
        if (!counts)
            return 0;
        blame_went(b);
    }
}

static void share_tell(struct blame *b, const struct share *s,
                       const char *reason)
{
    struct buf number = {0};
    struct msg m;

    pack_int(&number, s->sum);
    msg_init(&m, MSG_ITEM);
    msg_set_u(&m, FIELD_KIND, BLAME_SHARE);
    msg_set_u(&m, FIELD_REVISION, s->revision);
    msg_set_b(&m, FIELD_VALUE, buf_bytes(&number));
    msg_set_text(&m, FIELD_TYPE, MERGE_TYPE);
    if (reason) {
        msg_set_text(&m, FIELD_REASON, reason);
    } else {
        msg_set_hash(&m, FIELD_AGENT, &s->agent);
        msg_set_u(&m, FIELD_COUNT, s->count);
        blame_name(b, s->revision);
    }
    msg_encode(&m, &b->told);
    b->told.failed |= number.failed;
    b->count++;
    buf_free(&number);
}

static bool number_from(struct blame *b, const struct version *from,
                        int64_t *number)
{
    struct bytes value = buf_bytes(&b->value);

    if (from &&
        (from->change.deleted || change_value(from->e, &from->change, &value)))
        return false;
    return merge_number(value, number);
}

int blame_shares(struct blame *b, const struct version *from)
{
    int64_t left;
    int r = 0;

    if (!number_from(b, from, &left))
        return 0;
    r = shares_walk(b, &left);
    if (r < 0)
        return r;
    blame_ended(b, r);
    for (size_t i = 0; i < share_count(b); i++)
        share_tell(b, share_at(b, i), NULL);
    if (b->reason)
        share_tell(b, &(struct share){.sum = left, .revision = b->at},
                   b->reason);
    return b->shares.failed ? -ENOMEM : 0;
}
