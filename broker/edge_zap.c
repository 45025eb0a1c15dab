/* ZeroMQ's authentication protocol (rfc.zeromq.org/spec/27), answered in the
 * thread that owns the state: what is granted is true now. A key is let in if
 * an agent that is not revoked has it, or an invitation that is still good.
 * The answer names the key as user id, and libzmq puts it on every message. */
#include <errno.h>
#include <zmq.h>

#include "base/log.h"
#include "edge_private.h"
#include "proto/refusal.h"

enum { ZAP_FRAMES = 7, ZAP_FRAME_MAX = 256, BROKER = 1 };

struct zap_request {
    size_t n;
    struct {
        uint8_t p[ZAP_FRAME_MAX];
        size_t n;
    } frame[ZAP_FRAMES];
};

enum {
    REQUEST_ID = 1,
    DOMAIN = 2,
    ADDRESS = 3,
    MECHANISM = 5,
    CREDENTIALS = 6
};

int zap_open(struct edge *e)
{
    e->zap = zmq_socket(e->context, ZMQ_REP);
    return e->zap && zmq_bind(e->zap, "inproc://zeromq.zap.01") == 0 ? 0
                                                                     : -errno;
}

static bool zap_receive(struct edge *e, struct zap_request *q)
{
    int more = 1;

    q->n = 0;
    while (more) {
        zmq_msg_t m;

        zmq_msg_init(&m);
        if (zmq_msg_recv(&m, e->zap, ZMQ_DONTWAIT) < 0) {
            if (errno == EAGAIN)
                unread_clear(e, UNREAD_ZAP);
            zmq_msg_close(&m);
            return false;
        }
        more = zmq_msg_more(&m);
        if (q->n < ZAP_FRAMES) {
            size_t n = zmq_msg_size(&m);

            q->frame[q->n].n = n < ZAP_FRAME_MAX ? n : 0;
            memcpy(q->frame[q->n].p, zmq_msg_data(&m), q->frame[q->n].n);
            q->n++;
        }
        zmq_msg_close(&m);
    }
    return true;
}

static bool admitted(struct edge *e, const uint8_t *key)
{
    const struct agents *agents = core_state(e->core)->agents;
    const struct agent *a = agent_by_curve(agents, key);
    const struct invite *i = invite_by_curve(agents, key);

    if (a)
        return !a->revoked && a->number != BROKER;
    return i && i->uses_left && i->expires > env_wall_us(e->env);
}

static void zap_answer(struct edge *e, const struct zap_request *q, bool yes,
                       const char *user)
{
    void *s = e->zap;

    zmq_send(s, "1.0", 3, ZMQ_SNDMORE);
    zmq_send(s, q->frame[REQUEST_ID].p, q->frame[REQUEST_ID].n, ZMQ_SNDMORE);
    zmq_send(s, yes ? "200" : "400", 3, ZMQ_SNDMORE);
    zmq_send(s, yes ? "OK" : "unknown key", yes ? 2 : 11, ZMQ_SNDMORE);
    zmq_send(s, user, strlen(user), ZMQ_SNDMORE);
    zmq_send(s, "", 0, 0);
}

static void key_hex(const uint8_t *key, char out[KEY_HEX])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < KEY_CURVE_BYTES; i++) {
        out[2 * i] = digits[key[i] >> 4];
        out[2 * i + 1] = digits[key[i] & 15];
    }
    out[KEY_HEX - 1] = 0;
}

bool curve_key_parse(uint8_t key[KEY_CURVE_BYTES], const char *hex)
{
    struct hash h;

    if (!hex || hash_parse_hex(&h, bytes_text(hex)))
        return false;
    memcpy(key, h.b, KEY_CURVE_BYTES);
    return true;
}

static void stranger(struct edge *e, const struct zap_request *q)
{
    e->counters.refused++;
    log_warn_limited("refused", "address=%.*s reason=%s",
                     (int)q->frame[ADDRESS].n,
                     (const char *)q->frame[ADDRESS].p,
                     "its key is not enrolled, revoked, or a used invitation");
    cycle_notice(e->cycle, "a stranger was refused", NULL, e->counters.refused,
                 CHOIR_UNKNOWN_AGENT);
}

void zap_serve(struct edge *e)
{
    struct zap_request q;
    char user[KEY_HEX] = "";

    while (zap_receive(e, &q)) {
        bool good = q.n == ZAP_FRAMES && q.frame[MECHANISM].n == 5 &&
                    memcmp(q.frame[MECHANISM].p, "CURVE", 5) == 0 &&
                    q.frame[CREDENTIALS].n == KEY_CURVE_BYTES &&
                    admitted(e, q.frame[CREDENTIALS].p);

        if (good)
            key_hex(q.frame[CREDENTIALS].p, user);
        else
            stranger(e, &q);
        zap_answer(e, &q, good, good ? user : "");
    }
}
