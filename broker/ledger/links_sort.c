/* Links of one kind mostly come in order: claims of one task after the other,
 * completions of one lease after the other. So they are parted by kind, and
 * merged; only a kind that is out of order is sorted. */
#include <stdlib.h>

#include "broker/ledger/links_run.h"

enum { PARTS = 16 };

struct part {
    struct link *at, *end;
};

static unsigned part_of(const struct link *link)
{
    return link->kind % PARTS;
}

static void part_sort(const struct part *p)
{
    for (const struct link *link = p->at; link + 1 < p->end; link++) {
        if (link_compare(link, link + 1) <= 0)
            continue;
        qsort(p->at, (size_t)(p->end - p->at), sizeof *p->at, link_compare);
        return;
    }
}

/* Returns how many have something; they are the first then. */
static unsigned parts_make(struct part parts[PARTS], const struct link *links,
                           size_t n, struct link *room)
{
    size_t counts[PARTS] = {0};
    unsigned used = 0;

    for (size_t i = 0; i < n; i++)
        counts[part_of(&links[i])]++;
    for (unsigned k = 0; k < PARTS; room += counts[k++])
        parts[k].at = parts[k].end = room;
    for (size_t i = 0; i < n; i++)
        *parts[part_of(&links[i])].end++ = links[i];
    for (unsigned k = 0; k < PARTS; k++) {
        part_sort(&parts[k]);
        if (counts[k])
            parts[used++] = parts[k];
    }
    return used;
}

void links_sort(struct link *links, size_t n)
{
    struct link *room = n > 1 ? malloc(n * sizeof *room) : NULL;
    struct part parts[PARTS];
    unsigned used;

    if (!room) {
        qsort(links, n, sizeof *links, link_compare);
        return;
    }
    used = parts_make(parts, links, n, room);
    while (used) {
        unsigned least = 0;

        for (unsigned k = 1; k < used; k++) {
            if (link_compare(parts[k].at, parts[least].at) < 0)
                least = k;
        }
        *links++ = *parts[least].at++;
        if (parts[least].at == parts[least].end) {
            memmove(&parts[least], &parts[least + 1],
                    (used - least - 1) * sizeof *parts);
            used--;
        }
    }
    free(room);
}
