#include "proto/brief.h"
#include "tests/check.h"

static void same(const struct msg *a, const struct msg *b)
{
    CHECK_EQ(a->verb, b->verb);
    CHECK(a->has == b->has);
    for (unsigned f = 0; f < FIELD_END; f++) {
        if (!msg_has(a, (enum field)f))
            continue;
        CHECK_EQ(a->v[f].u, b->v[f].u);
        CHECK(a->v[f].bytes.p == b->v[f].bytes.p);
        CHECK_EQ(a->v[f].bytes.n, b->v[f].bytes.n);
    }
}

/* The first n fields of all, beginning with that one. */
static void fill(struct msg *m, unsigned from, unsigned n)
{
    msg_init(m, MSG_PUT);
    for (unsigned f = from; n; f += 7, n--) {
        m->v[f] = (struct value){.u = f, .bytes = bytes_text("some bytes")};
        m->has |= (field_mask)1 << f;
    }
}

TEST(brief_gives_back_what_it_was_made_of)
{
    struct msg m, again;
    struct brief b;

    for (unsigned n = 0; n <= BRIEF_FIELDS; n++) {
        for (unsigned from = 0; from + 7 * BRIEF_FIELDS < FIELD_END; from++) {
            fill(&m, from, n);
            memset(&again, 0xa5, sizeof again);
            brief_keep(&b, &m);
            CHECK(brief_read(&b, &again));
            same(&m, &again);
        }
    }
}

TEST(brief_of_too_many_fields_says_so)
{
    struct msg m, again;
    struct brief b;

    fill(&m, 1, BRIEF_FIELDS + 1);
    brief_keep(&b, &m);
    CHECK_NOT(brief_read(&b, &again));
}

CHECK_MAIN
