#include <stdlib.h>

#include "broker/ledger/links_run.h"
#include "tests/check.h"

enum { N = 5000 };

static struct link links[N], wanted[N];

/* With from as it comes, no two are alike. */
static void sorts(size_t n)
{
    memcpy(wanted, links, n * sizeof *links);
    qsort(wanted, n, sizeof *wanted, link_compare);
    links_sort(links, n);
    for (size_t i = 0; i < n; i++) {
        CHECK_EQ(links[i].to, wanted[i].to);
        CHECK_EQ(links[i].from, wanted[i].from);
        CHECK_EQ(links[i].value, wanted[i].value);
        CHECK_EQ(links[i].kind, wanted[i].kind);
    }
}

TEST(links_of_kinds_that_are_in_order_are_merged)
{
    for (size_t n = 0; n < N; n = 3 * n + 1) {
        for (size_t i = 0; i < n; i++)
            links[i] = (struct link){.to = i / 3 + i % 3 * 100,
                                     .from = i,
                                     .value = i,
                                     .kind = (unsigned)(i % 3) * 50};
        sorts(n);
    }
}

TEST(links_in_any_order_are_sorted)
{
    for (size_t n = 0; n < N; n = 2 * n + 1) {
        for (size_t i = 0; i < n; i++)
            links[i] = (struct link){.to = i * 7919 % 1009,
                                     .from = i,
                                     .value = i,
                                     .kind = (unsigned)(i * 31 % 103)};
        sorts(n);
    }
}

CHECK_MAIN
