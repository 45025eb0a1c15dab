/* Rows move up and down by halves; what moves is told where it is. */
#include "heap.h"

#include <errno.h>
#include <stdlib.h>

static void heap_set(struct heap *h, uint32_t at, struct heap_row row)
{
    h->rows[at] = row;
    *row.at = at;
}

static void heap_up(struct heap *h, uint32_t at, struct heap_row row)
{
    while (at && row.key < h->rows[(at - 1) / 2].key) {
        heap_set(h, at, h->rows[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_set(h, at, row);
}

static void heap_down(struct heap *h, uint32_t at, struct heap_row row)
{
    for (;;) {
        uint32_t child = 2 * at + 1;

        if (child + 1 < h->count && h->rows[child + 1].key < h->rows[child].key)
            child++;
        if (child >= h->count || row.key <= h->rows[child].key)
            break;
        heap_set(h, at, h->rows[child]);
        at = child;
    }
    heap_set(h, at, row);
}

int heap_room(struct heap *h, uint32_t count)
{
    uint32_t cap = h->cap ? h->cap * 2 : 4;
    struct heap_row *rows;

    if (count <= h->cap)
        return 0;
    rows = reallocarray(h->rows, cap, sizeof(*rows));
    if (!rows)
        return -ENOMEM;
    h->rows = rows;
    h->cap = cap;
    return 0;
}

void heap_push(struct heap *h, uint64_t key, uint32_t *at)
{
    heap_up(h, h->count++, (struct heap_row){key, at});
}

void heap_remove(struct heap *h, uint32_t at)
{
    struct heap_row last = h->rows[--h->count];

    if (at == h->count)
        return;
    if (at && last.key < h->rows[(at - 1) / 2].key)
        heap_up(h, at, last);
    else
        heap_down(h, at, last);
}
