#include "tests/support/curve_raw.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static int send_all(int fd, const void *p, size_t n)
{
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return -1;
        p = (const uint8_t *)p + sent;
        n -= (size_t)sent;
    }
    return 0;
}

static int take_all(int fd, void *p, size_t n)
{
    return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n ? 0 : -1;
}

static void put_be64(uint8_t *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static void nonce_short(uint8_t out[24], const char *prefix, uint8_t *at,
                        uint64_t n)
{
    memcpy(out, prefix, 16);
    put_be64(out + 16, n);
    put_be64(at, n);
}

static int command(int fd, const uint8_t *body, size_t n)
{
    uint8_t head[9] = {0x04, (uint8_t)n};

    if (n > 255) {
        head[0] = 0x06;
        put_be64(head + 1, n);
    }
    return send_all(fd, head, n > 255 ? 9 : 2) || send_all(fd, body, n) ? -1
                                                                        : 0;
}

static int greet(int fd)
{
    uint8_t ours[64] = {0xff}, theirs[64];

    ours[9] = 0x7f;
    ours[10] = 3;
    memcpy(ours + 12, "CURVE", 5);
    return send_all(fd, ours, 64) || take_all(fd, theirs, 64) ? -1 : 0;
}

static int say_hello(struct curve_raw *c, const uint8_t *server,
                     const uint8_t *pub, const uint8_t *secret)
{
    uint8_t body[200] = "\x05HELLO\x01", nonce[24], zeros[64] = {0};

    memcpy(body + 80, pub, 32);
    nonce_short(nonce, "CurveZMQHELLO---", body + 112, ++c->nonce);
    if (crypto_box_easy(body + 120, zeros, 64, nonce, server, secret))
        return -1;
    return command(c->fd, body, sizeof body);
}

/* Their short-term key and the cookie. */
static int hear_welcome(struct curve_raw *c, const uint8_t *server,
                        const uint8_t *secret, uint8_t plain[128])
{
    uint8_t frame[2 + 168], nonce[24] = "WELCOME-";

    if (take_all(c->fd, frame, sizeof frame))
        return -1;
    memcpy(nonce + 8, frame + 2 + 8, 16);
    return crypto_box_open_easy(plain, frame + 2 + 24, 144, nonce, server,
                                secret);
}

static int initiate(struct curve_raw *c, const struct curve_pair *own,
                    const uint8_t *server, const uint8_t *pub,
                    const uint8_t *secret, const uint8_t welcome[128])
{
    static const uint8_t meta[] = "\x0bSocket-Type\0\0\0\x06"
                                  "DEALER";
    enum { META = sizeof meta - 1, PLAIN = 128 + META };
    uint8_t plain[PLAIN], vouch[64], nonce[24] = "VOUCH---";
    uint8_t body[113 + 16 + PLAIN] = "\x08INITIATE";

    memcpy(plain, own->public_key, 32);
    randombytes_buf(nonce + 8, 16);
    memcpy(plain + 32, nonce + 8, 16);
    memcpy(vouch, pub, 32);
    memcpy(vouch + 32, server, 32);
    if (crypto_box_easy(plain + 48, vouch, 64, nonce, welcome, own->secret_key))
        return -1;
    memcpy(plain + 128, meta, META);
    memcpy(body + 9, welcome + 32, 96);
    nonce_short(nonce, "CurveZMQINITIATE", body + 105, ++c->nonce);
    if (crypto_box_easy(body + 113, plain, PLAIN, nonce, welcome, secret))
        return -1;
    return command(c->fd, body, sizeof body);
}

int curve_raw_open(struct curve_raw *c, int fd, const struct curve_pair *own,
                   const uint8_t server[32])
{
    uint8_t pub[32], secret[32], welcome[128], ready[2], rest[255];

    *c = (struct curve_raw){.fd = fd};
    crypto_box_keypair(pub, secret);
    if (greet(fd) || say_hello(c, server, pub, secret) ||
        hear_welcome(c, server, secret, welcome) ||
        initiate(c, own, server, pub, secret, welcome) ||
        crypto_box_beforenm(c->shared, welcome, secret))
        return -1;
    return take_all(fd, ready, 2) || ready[0] != 0x04 ||
                   take_all(fd, rest, ready[1])
               ? -1
               : 0;
}

enum { FLAG_MORE = 1, FLAG_COMMAND = 2, FRAME_MAX = 16 << 20 };

static int send_flagged(struct curve_raw *c, const void *part, size_t n,
                        uint8_t flags)
{
    size_t body = 16 + 16 + 1 + n;
    uint8_t *frame = malloc(9 + body), *plain = malloc(1 + n), nonce[24];
    int r;

    frame[0] = 0x02;
    put_be64(frame + 1, body);
    memcpy(frame + 9, "\x07MESSAGE", 8);
    plain[0] = flags;
    memcpy(plain + 1, part, n);
    nonce_short(nonce, "CurveZMQMESSAGEC", frame + 17, ++c->nonce);
    r = crypto_box_easy_afternm(frame + 25, plain, 1 + n, nonce, c->shared);
    if (!r)
        r = send_all(c->fd, frame, 9 + body);
    free(frame);
    free(plain);
    return r ? -1 : 0;
}

int curve_raw_send(struct curve_raw *c, const void *part, size_t n, int more)
{
    return send_flagged(c, part, n, more ? FLAG_MORE : 0);
}

/* Length and body of one ZMTP frame. */
static int take_frame(int fd, uint8_t **body, size_t *n)
{
    uint8_t head[9];
    uint64_t len = 0;

    if (take_all(fd, head, 2))
        return -1;
    if (head[0] & 0x02) {
        if (take_all(fd, head + 2, 7))
            return -1;
        for (int i = 1; i < 9; i++)
            len = len << 8 | head[i];
    } else {
        len = head[1];
    }
    if (len < 33 || len > FRAME_MAX)
        return -1;
    *n = (size_t)len;
    *body = malloc(*n);
    return take_all(fd, *body, *n);
}

/* "\4PING", two bytes of time, a context that comes back. */
static int pong(struct curve_raw *c, const uint8_t *ping, size_t n)
{
    uint8_t body[64] = "\x04PONG";

    if (n < 7 || n - 7 > sizeof body - 5 || memcmp(ping, "\x04PING", 5) != 0)
        return 0;
    memcpy(body + 5, ping + 7, n - 7);
    return send_flagged(c, body, n - 2, FLAG_COMMAND);
}

int curve_raw_take(struct curve_raw *c, struct buf *out)
{
    uint8_t nonce[24] = "CurveZMQMESSAGES", *body = NULL, *plain;
    size_t n;
    int r = take_frame(c->fd, &body, &n);

    buf_clear(out);
    plain = r ? NULL : buf_grow(out, n - 32);
    if (plain) {
        memcpy(nonce + 16, body + 8, 8);
        r = crypto_box_open_easy_afternm(plain, body + 16, n - 16, nonce,
                                         c->shared);
    }
    free(body);
    if (r || !plain)
        return -1;
    if (!(plain[0] & FLAG_COMMAND)) {
        memmove(plain, plain + 1, --out->n);
        return 1;
    }
    return pong(c, plain + 1, out->n - 1) ? -1 : 0;
}
