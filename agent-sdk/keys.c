/* New keys for an old agent. A new key is on disk before the broker hears of
 * it, and takes the old one's place there only when the broker has agreed: a
 * crash at any point leaves a key that works. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "enrol.h"
#include "error.h"
#include "handle.h"
#include "keys.h"
#include "proto/refusal.h"

enum { REPLACE = 1, ADD = 2 };

int keys_next_path(char out[PATH_BYTES], const char *path)
{
    return snprintf(out, PATH_BYTES, "%s.next", path) < PATH_BYTES
               ? 0
               : error_set(-ENAMETOOLONG, 0, "path=%s", path);
}

static void key_set(struct choir_request *r, const struct identity *id)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct msg m;

    msg_init(&m, MSG_ROTATE);
    identity_claim(id, &m, signature);
    choir_request_bytes(r, "public_key", id->key.public_key, KEY_PUBLIC_BYTES);
    choir_request_bytes(r, "curve_key", id->curve.public_key, KEY_CURVE_BYTES);
    choir_request_bytes(r, "signature", signature, sizeof signature);
}

/* Nothing may be under way: what the session still has to ask, growth above
 * all, could not be answered any more once its key has ended. */
static int settle(struct choir *c)
{
    struct choir_request *r = choir_request_new(c, "ping");

    return r ? choir_call(c, &r, c->timeout_ms, NULL) : choir_error_code();
}

static int rotate(struct choir *c, const struct identity *id, unsigned kind)
{
    int code = settle(c);
    struct choir_request *r = code ? NULL : choir_request_new(c, "rotate");

    if (!r)
        return choir_error_code();
    key_set(r, id);
    choir_request_uint(r, "kind", kind);
    return choir_call(c, &r, c->timeout_ms, NULL);
}

int choir_key_rotate(struct choir *c)
{
    char next[PATH_BYTES];
    struct identity id;
    int code = handle_check(c);

    if (!code)
        code = keys_next_path(next, c->path);
    if (code)
        return code;
    identity_next(&id, &c->id);
    code = identity_save(&id, next);
    if (!code)
        code = rotate(c, &id, REPLACE);
    if (!code && rename(next, c->path))
        code = error_set(-errno, 0, "path=%s: the new key is in %s", c->path,
                         next);
    identity_wipe(&id);
    return code;
}

int choir_key_add(struct choir *c, const char *path)
{
    struct identity id;
    int code = handle_check(c);

    if (code)
        return code;
    if (access(path, F_OK) == 0)
        return error_set(-EEXIST, 0, "path=%s", path);
    identity_next(&id, &c->id);
    code = identity_save(&id, path);
    if (!code) {
        code = rotate(c, &id, ADD);
        if (code > 0 && code < CHOIR_TIMEOUT)
            unlink(path);
    }
    identity_wipe(&id);
    return code;
}

int choir_key_recovery(struct choir *c, const char *path)
{
    struct choir_request *r;
    struct identity id;
    int code = handle_check(c);

    if (code)
        return code;
    if (access(path, F_OK) == 0)
        return error_set(-EEXIST, 0, "path=%s", path);
    identity_next(&id, &c->id);
    code = identity_save(&id, path);
    r = code ? NULL : choir_request_new(c, "rotate");
    if (!code && !r)
        code = choir_error_code();
    if (!code) {
        choir_request_bytes(r, "recovery_key", id.key.public_key,
                            KEY_PUBLIC_BYTES);
        code = choir_call(c, &r, c->timeout_ms, NULL);
        if (code > 0 && code < CHOIR_TIMEOUT)
            unlink(path);
    }
    identity_wipe(&id);
    return code;
}
