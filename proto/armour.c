/* One line, one message. */
#include "armour.h"

#include <errno.h>

#include "refusal.h"

enum { MESSAGE_MAX = 2048 }; /* of both parts, all fields at their limit */

static const char *word_of(unsigned part)
{
    return part == MSG_IDENTITY ? "choir-identity-1:" : "choir-invite-1:";
}

int armour_put(struct buf *out, const struct msg *m)
{
    struct buf raw = {0};
    struct bytes word = bytes_text(word_of(m->verb));
    int r;

    /* at once, so that no copy of a secret is left behind by growing */
    if (buf_grow(&raw, MESSAGE_MAX))
        buf_clear(&raw);
    msg_encode(m, &raw);
    buf_put(out, word.p, word.n);
    r = raw.failed ? -ENOMEM : base64_put(out, buf_bytes(&raw), true);
    if (raw.p)
        secret_wipe(raw.p, raw.n);
    buf_free(&raw);
    return r;
}

static struct bytes line_of(struct cursor *c)
{
    const uint8_t *end = memchr(c->p, '\n', cursor_left(c));
    size_t n = end ? (size_t)(end - c->p) : cursor_left(c);
    struct bytes line = cursor_take(c, n);

    if (end)
        cursor_take(c, 1);
    while (line.n && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\r'))
        line.n--;
    while (line.n && line.p[0] == ' ')
        line.p++, line.n--;
    return line;
}

int armour_get(struct bytes text, enum message part, struct buf *bytes,
               struct msg *m)
{
    struct cursor c = cursor_of(text);
    struct bytes word = bytes_text(word_of(part));
    unsigned field;
    int r;

    while (cursor_left(&c)) {
        struct bytes line = line_of(&c);

        if (line.n == 0 || line.p[0] == '#')
            continue;
        if (!bytes_start_with(line, word))
            return CHOIR_MALFORMED;
        r = base64_get(bytes, bytes_of(line.p + word.n, line.n - word.n), true);
        if (r)
            return r == -ENOMEM ? r : CHOIR_MALFORMED;
        return part_decode(part, buf_bytes(bytes), m, &field);
    }
    return CHOIR_MALFORMED;
}
