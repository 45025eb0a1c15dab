/* Whoever can read the data directory could read everything anyway, so an
 * invitation that lies in it gives nothing away. It gives no administration. */
#include "local.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "proto/armour.h"
#include "proto/refusal.h"

enum {
    PATH_BYTES = 4096,
    FILE_MAX = 16384,
    RIGHTS = RIGHT_READ | RIGHT_WRITE | RIGHT_SUBMIT | RIGHT_WORK | RIGHT_SEND |
             RIGHT_TAP,
};

static const char invite_comment[] =
    "# Lets agents of whoever can read this file join. Written by choird.\n";
static const char admin_comment[] =
    "# Secret. Whoever has this line can speak as admin.\n";

/* The message in dir/name. raw holds what m borrows. */
static int part_read(const char *dir, const char *name, enum message part,
                     struct buf *raw, struct msg *m)
{
    char path[PATH_BYTES], *text;
    size_t n;
    int r;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    r = file_read_whole(path, FILE_MAX, &text, &n);
    if (r)
        return r;
    r = armour_get(bytes_of(text, n), part, raw, m);
    secret_wipe(text, n);
    free(text);
    return r;
}

static int part_write(const char *dir, const char *name, const char *comment,
                      const struct msg *m)
{
    char path[PATH_BYTES];
    struct buf text = {0};
    int r;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    buf_put(&text, comment, strlen(comment));
    r = armour_put(&text, m);
    buf_put(&text, "\n", 1);
    if (!r)
        r = text.failed ? -ENOMEM
                        : file_write_atomic(path, text.p, text.n, 0600);
    secret_wipe(text.p, text.n);
    buf_free(&text);
    return r;
}

static void raw_free(struct buf *raw)
{
    secret_wipe(raw->p, raw->n);
    buf_free(raw);
}

static bool still_good(struct core *core, const struct msg *m)
{
    const struct state *s = core_state(core);
    struct hash ledger = msg_hash(m, FIELD_LEDGER);
    const struct invite *i =
        invite_by_curve(s->agents, msg_b(m, FIELD_CURVE_KEY).p);

    return hash_equal(&ledger, &s->ledger) && i && i->uses_left > 0;
}

/* The entry that makes the key an invitation, durable when it returns. */
static int invite_say(struct core *core, const struct curve_pair *curve)
{
    struct buf grants = {0};
    struct msg m, g;
    uint64_t index;
    int r;

    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, RIGHTS);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_INVITE);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve->public_key, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    msg_set_u(&m, FIELD_USES, LIMIT_UINT_MAX_WIRE);
    msg_set_u(&m, FIELD_EXPIRES, LIMIT_UINT_MAX_WIRE);
    core_begin(core);
    r = core_say(core, &m, &index);
    if (!r)
        r = core_commit(core);
    buf_free(&grants);
    return r;
}

static int invite_write(struct core *core, const char *dir, const char *url,
                        const uint8_t *public_key, const uint8_t *secret_key)
{
    struct msg m;

    msg_init(&m, MSG_INVITATION);
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(public_key, KEY_CURVE_BYTES));
    msg_set_b(&m, FIELD_SECRET, bytes_of(secret_key, KEY_CURVE_BYTES));
    msg_set_hash(&m, FIELD_LEDGER, &core_state(core)->ledger);
    msg_set_text(&m, FIELD_URL, url);
    msg_set_b(&m, FIELD_BROKER_KEY, bytes_of(core_key(core)->public_key, 32));
    msg_set_b(&m, FIELD_BROKER_CURVE,
              bytes_of(core_curve(core)->public_key, 32));
    return part_write(dir, "local.invite", invite_comment, &m);
}

static int invite_refresh(struct core *core, const char *dir, const char *url)
{
    struct curve_pair curve;
    struct buf raw = {0};
    struct msg m;
    int r = part_read(dir, "local.invite", MSG_INVITATION, &raw, &m);

    if (!r && msg_b(&m, FIELD_SECRET).n == KEY_CURVE_BYTES &&
        still_good(core, &m)) {
        r = 0;
        if (!bytes_equal(msg_b(&m, FIELD_URL), bytes_text(url)))
            r = invite_write(core, dir, url, msg_b(&m, FIELD_CURVE_KEY).p,
                             msg_b(&m, FIELD_SECRET).p);
        raw_free(&raw);
        return r;
    }
    raw_free(&raw);
    curve_pair_new(&curve);
    r = invite_say(core, &curve);
    if (!r)
        r = invite_write(core, dir, url, curve.public_key, curve.secret_key);
    secret_wipe(&curve, sizeof curve);
    return r;
}

/* It may have been moved to a safer place; then there is nothing to do. */
static int admin_refresh(const char *dir, const char *url)
{
    struct buf raw = {0};
    struct msg m;
    int r = part_read(dir, "admin.identity", MSG_IDENTITY, &raw, &m);

    if (!r && !bytes_equal(msg_b(&m, FIELD_URL), bytes_text(url))) {
        msg_set_text(&m, FIELD_URL, url);
        r = part_write(dir, "admin.identity", admin_comment, &m);
    }
    raw_free(&raw);
    return r == -ENOENT ? 0 : r;
}

int local_files_write(struct core *core, const char *dir, const char *url,
                      char trouble[LOCAL_TROUBLE_BYTES])
{
    const char *name = "local.invite";
    int r = invite_refresh(core, dir, url);

    if (r == CHOIR_READ_ONLY) /* nobody can join until there is room */
        r = 0;
    if (!r) {
        name = "admin.identity";
        r = admin_refresh(dir, url);
    }
    if (r)
        snprintf(trouble, LOCAL_TROUBLE_BYTES, "cannot write %.400s/%s: %s",
                 dir, name, r < 0 ? strerror(-r) : refusal_sentence(r));
    return r > 0 ? -EUCLEAN : r;
}
