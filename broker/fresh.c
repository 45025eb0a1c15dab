/* Two rings: of bytes, and of rows that say where in it. Places are counted on
 * and on, so what has been written over is known by its distance. */
#include "fresh.h"

#include <stdlib.h>

struct row {
    uint64_t entry, at;
    uint32_t value_bytes, type_bytes; /* the type behind the value */
};

struct fresh {
    uint8_t *bytes;    /* owned; NULL: nothing was put yet */
    struct row *rows;  /* likewise */
    uint64_t at;       /* where the next bytes go */
    uint64_t old, end; /* rows that are there, by number */
};

struct fresh *fresh_new(void)
{
    return calloc(1, sizeof(struct fresh));
}

void fresh_destroy(struct fresh **self_p)
{
    struct fresh *f = *self_p;

    if (!f)
        return;
    free(f->bytes);
    free(f->rows);
    free(f);
    *self_p = NULL;
}

static struct row *row_at(const struct fresh *f, uint64_t number)
{
    return &f->rows[number % FRESH_ROWS];
}

static bool opened(struct fresh *f)
{
    if (!f->bytes)
        f->bytes = malloc(FRESH_BYTES);
    if (!f->rows)
        f->rows = malloc(FRESH_ROWS * sizeof *f->rows);
    return f->bytes && f->rows;
}

/* In one piece; rows that lose their bytes, or their place, go. */
static uint64_t room_make(struct fresh *f, size_t n)
{
    uint64_t left = FRESH_BYTES - f->at % FRESH_BYTES, at;

    at = f->at + (n > left ? left : 0);
    f->at = at + n;
    while (f->old < f->end && (row_at(f, f->old)->at + FRESH_BYTES < f->at ||
                               f->end - f->old == FRESH_ROWS))
        f->old++;
    return at;
}

bool fresh_wants(const struct fresh *f, uint64_t entry)
{
    return f->old == f->end || row_at(f, f->end - 1)->entry < entry;
}

void fresh_put(struct fresh *f, uint64_t entry, struct bytes value,
               struct bytes type)
{
    uint64_t at;
    uint8_t *to;

    if (value.n > FRESH_VALUE_MAX || type.n > FRESH_VALUE_MAX ||
        !fresh_wants(f, entry) || !opened(f))
        return;
    at = room_make(f, value.n + type.n);
    to = f->bytes + at % FRESH_BYTES;
    if (value.n)
        memcpy(to, value.p, value.n);
    if (type.n)
        memcpy(to + value.n, type.p, type.n);
    *row_at(f, f->end++) =
        (struct row){entry, at, (uint32_t)value.n, (uint32_t)type.n};
}

bool fresh_get(const struct fresh *f, uint64_t entry, struct bytes *value,
               struct bytes *type)
{
    uint64_t low = f->old, high = f->end;
    const struct row *row;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (row_at(f, middle)->entry < entry)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == f->end || row_at(f, low)->entry != entry)
        return false;
    row = row_at(f, low);
    *value = bytes_of(f->bytes + row->at % FRESH_BYTES, row->value_bytes);
    *type = bytes_of(value->p + row->value_bytes, row->type_bytes);
    return true;
}
