/* Sets are small: they are sorted by insertion and compared name by name. */
#include "task_capability.h"

#include "proto/refusal.h"

/* The first name of a packed set, which is left with the others. */
static struct bytes name_take(struct bytes *packed)
{
    const uint8_t *end = packed->n ? memchr(packed->p, 0, packed->n) : NULL;
    struct bytes name = {packed->p, end ? (size_t)(end - packed->p) : 0};

    packed->n -= end ? name.n + 1 : packed->n;
    packed->p = end ? end + 1 : packed->p;
    return name;
}

static int name_compare(struct bytes a, struct bytes b)
{
    int r = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);

    return r ? r : (a.n > b.n) - (a.n < b.n);
}

/* 0, or CHOIR_INVALID when it is there already. */
static int name_insert(struct bytes *names, size_t n, struct bytes name)
{
    size_t at = n;

    for (; at && name_compare(names[at - 1], name) >= 0; at--) {
        if (name_compare(names[at - 1], name) == 0)
            return CHOIR_INVALID;
        names[at] = names[at - 1];
    }
    names[at] = name;
    return 0;
}

int capabilities_read(const struct msg *m, struct capabilities *out)
{
    struct bytes names[LIMIT_CAPABILITIES];
    struct list at = msg_list(m, FIELD_CAPABILITIES);
    struct msg item;
    size_t n = 0;

    out->n = 0;
    if (at.left > LIMIT_CAPABILITIES)
        return CHOIR_OVER_LIMIT;
    while (list_next(&at, &item)) {
        struct bytes name = msg_b(&item, FIELD_NAME);

        if (item.has != FIELD_BIT(NAME) || name.n == 0 ||
            name_insert(names, n, name))
            return CHOIR_INVALID;
        n++;
    }
    for (size_t i = 0; i < n; i++) {
        memcpy(out->packed + out->n, names[i].p, names[i].n);
        out->n += names[i].n;
        out->packed[out->n++] = 0;
    }
    return 0;
}

bool capabilities_cover(struct bytes have, struct bytes want)
{
    while (want.n) {
        struct bytes name = name_take(&want);
        int r = -1;

        while (have.n && (r = name_compare(name_take(&have), name)) < 0)
            ;
        if (r != 0)
            return false;
    }
    return true;
}

bool capabilities_sound(struct bytes packed)
{
    struct bytes last = {0};

    for (size_t n = 0; packed.n; n++) {
        struct bytes name = name_take(&packed);

        if (n == LIMIT_CAPABILITIES || name.n == 0 ||
            name.n > LIMIT_NAME_BYTES || !bytes_utf8(name) ||
            (n && name_compare(last, name) >= 0))
            return false;
        last = name;
    }
    return true;
}
