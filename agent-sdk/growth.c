/* The evidence of a fork is two tree heads of one size with two roots, both
 * signed by the broker: the one we kept, in an answer's header, and a note of
 * the ledger that is shown to us now. proto/fork.h has its form. */
#include "growth.h"

#include <errno.h>
#include <stdio.h>

#include "error.h"
#include "identity.h"
#include "proto/fork.h"
#include "proto/refusal.h"

enum { BUSY_AGAIN_MS = 1000 };

void growth_begin(struct growth *g, const struct verifier *v)
{
    g->is_asked = g->is_waiting = g->wants_other = false;
    g->again_ms = 0;
    if (v->accept_epoch || v->seen.size == 0) {
        g->before = (struct checkpoint){0};
        return;
    }
    if (g->before.size && g->before.epoch == v->seen.epoch &&
        g->before.size == v->seen.size)
        return; /* not shown yet, and its proof is here */
    g->before = v->seen;
    buf_clear(&g->before_proof);
    buf_put(&g->before_proof, v->trusted.p, v->trusted.n);
}

void growth_free(struct growth *g)
{
    buf_free(&g->before_proof);
}

static struct op *ask(uint64_t old, uint64_t size)
{
    struct msg m;

    msg_init(&m, MSG_CONSISTENCY);
    msg_set_u(&m, FIELD_PREV, old);
    msg_set_u(&m, FIELD_SIZE, size);
    return op_new(0, &m);
}

struct op *growth_ask(struct growth *g, const struct verifier *v,
                      int64_t now_ms)
{
    if (g->wants_other)
        return ask(1, g->before.size);
    if (g->before.size == 0 || (g->again_ms && now_ms < g->again_ms))
        return NULL;
    g->now = v->seen;
    g->again_ms = 0;
    if (g->now.size <= g->before.size) {
        g->before.size = 0; /* the verifier has compared the two */
        g->is_waiting = false;
        return NULL;
    }
    g->is_asked = g->is_waiting = true;
    return ask(g->before.size, g->now.size);
}

/* Both heads to a file beside the identity. */
static int forked(struct growth *g, const struct verifier *v, struct bytes note)
{
    char path[PATH_BYTES] = "";
    struct buf text = {0};

    if (note.n && g->before_proof.n &&
        !fork_put(&text, buf_bytes(&g->before_proof), note) &&
        !fork_check(buf_bytes(&text), v->broker_key, NULL))
        evidence_save(g->path, buf_bytes(&text), path);
    buf_free(&text);
    return error_set(CHOIR_BROKEN, 0,
                     "what=fork size=%llu%s%s: the broker's ledger does not "
                     "begin with what it has shown us before; nothing more is "
                     "accepted",
                     (unsigned long long)g->before.size,
                     path[0] ? " evidence=" : "", path);
}

static bool shown(const struct growth *g, const struct msg *item)
{
    struct hash root = msg_hash(item, FIELD_ROOT);
    struct bytes path = msg_b(item, FIELD_PATH);

    return msg_u(item, FIELD_SIZE) == g->now.size &&
           hash_equal(&root, &g->now.root) && path.n % HASH_BYTES == 0 &&
           !merkle_consistent(g->before.size, &g->before.root, g->now.size,
                              &g->now.root, path.p, path.n / HASH_BYTES);
}

int growth_reply(struct growth *g, const struct verifier *v, int code,
                 const struct msg *item, int64_t now_ms)
{
    if (g->wants_other)
        return forked(g, v, code ? (struct bytes){0} : msg_b(item, FIELD_TEXT));
    if (!g->is_asked)
        return 0; /* of an earlier connection */
    g->is_asked = false;
    if (code == CHOIR_BUSY) { /* its proofs are being made anew */
        g->is_waiting = false;
        g->again_ms = now_ms + BUSY_AGAIN_MS;
        return 0;
    }
    if (!code && shown(g, item)) {
        g->is_waiting = false;
        g->before.size = 0;
        return 0;
    }
    g->wants_other = true;
    return 0;
}
