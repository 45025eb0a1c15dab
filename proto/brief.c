/* Only fields that are there are touched: a whole message is 2 KiB. */
#include "brief.h"

/* The lowest field of a mask that has one. */
static unsigned lowest(field_mask has)
{
    uint64_t low = (uint64_t)has;

    return low ? (unsigned)__builtin_ctzll(low)
               : 64 + (unsigned)__builtin_ctzll((uint64_t)(has >> 64));
}

void brief_keep(struct brief *b, const struct msg *m)
{
    field_mask left = m->has;

    b->verb = m->verb;
    for (b->count = 0; left; left &= left - 1) {
        unsigned f = lowest(left);

        if (b->count == BRIEF_FIELDS) {
            b->count++;
            return;
        }
        b->field[b->count] = (uint8_t)f;
        b->v[b->count++] = m->v[f];
    }
}

bool brief_read(const struct brief *b, struct msg *m)
{
    if (b->count > BRIEF_FIELDS)
        return false;
    m->verb = b->verb;
    m->has = 0;
    for (unsigned i = 0; i < b->count; i++) {
        m->v[b->field[i]] = b->v[i];
        m->has |= (field_mask)1 << b->field[i];
    }
    return true;
}
