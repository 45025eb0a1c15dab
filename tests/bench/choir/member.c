#include "tests/bench/choir/member.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

#include "proto/answer.h"
#include "tests/bench/choir/works.h"

enum { WAIT_MS = 60000, SILENT_S = 5, GONE_MS = 15000 };

void member_keys(unsigned i, struct key_pair *key, struct curve_pair *curve)
{
    static struct curve_pair *all;
    static unsigned count;
    uint8_t seed[32] = {0};

    memcpy(seed, &i, sizeof i);
    key_pair_from_seed(key, seed);
    for (; count <= i; count++) {
        if (count % 1024 == 0)
            all = realloc(all, (count + 1024) * sizeof *all);
        if (!all)
            load_die("no memory");
        curve_pair_new(&all[count]);
    }
    *curve = all[i];
}

void member_name(unsigned i, char name[32])
{
    snprintf(name, 32, "crowd-%u", i);
}

/* --- Frames --------------------------------------------------------------- */

static uint64_t wall_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void send_frame(struct member *m, struct bytes frame)
{
    if (zmq_send(m->socket, frame.p, frame.n, 0) < 0)
        load_die("an agent of the crowd: send: %s", zmq_strerror(errno));
}

static void add(struct member *m, const struct msg *op)
{
    struct buf head = {0};

    msg_encode(op, &head);
    if (bundle_add(&m->writer, buf_bytes(&head), (struct bytes){0}))
        load_die("no memory");
    buf_free(&head);
}

static void sign_and_send(struct member *m, unsigned kind, uint64_t first)
{
    struct bundle_facts facts = {
        .kind = kind,
        .ledger = m->meeting->ledger,
        .agent = agent_id(m->key.public_key),
        .session = m->session,
        .first_seq = first,
        .epoch = m->epoch,
        .time = wall_us(),
        .public_key = m->session ? NULL : m->key.public_key,
    };
    struct buf frame = {0};
    struct hash hash;

    if (bundle_finish(&m->writer, &facts, &m->key, &frame, &hash))
        load_die("no memory");
    send_frame(m, buf_bytes(&frame));
    buf_free(&frame);
}

static void ask(struct member *m)
{
    uint64_t first = m->asks + 1;

    m->asks += m->writer.count;
    sign_and_send(m, BUNDLE_ASK, first);
}

/* --- Answers -------------------------------------------------------------- */

static void refused(const struct msg *item)
{
    load_die("an agent of the crowd was refused: code %llu",
             (unsigned long long)msg_u(item, FIELD_OUTCOME));
}

static unsigned item_take(struct member *m, const struct msg *item)
{
    switch (item->verb) {
    case MSG_WELCOME: m->challenge = msg_hash(item, FIELD_CHALLENGE); return 1;
    case MSG_DONE:
    case MSG_DONE_ALL: m->session = msg_u(item, FIELD_REVISION); return 1;
    case MSG_REPLY:
        if (msg_u(item, FIELD_OUTCOME))
            refused(item);
        return 1;
    case MSG_TASK: m->tasks++; return 0;
    case MSG_TURNED_AWAY: refused(item); return 0;
    default: return 0;
    }
}

/* Replies, welcomes and outcomes in the next frame; -1: none has come. */
static int hear(struct member *m, int flags)
{
    struct answer a;
    struct msg item;
    zmq_msg_t frame;
    unsigned n = 0;

    zmq_msg_init(&frame);
    if (zmq_msg_recv(&frame, m->socket, flags) < 0)
        return -1;
    if (answer_open(&a, bytes_of(zmq_msg_data(&frame), zmq_msg_size(&frame))))
        load_die("an agent of the crowd heard no answer");
    m->epoch = a.epoch;
    m->size = a.size;
    while (answer_next(&a, &item) == 0)
        n += item_take(m, &item);
    zmq_msg_close(&frame);
    return (int)n;
}

static void hear_some(struct member *m, unsigned answers)
{
    while (answers > 0) {
        int n = hear(m, 0);

        if (n < 0)
            load_die("an agent of the crowd waits in vain");
        answers -= (unsigned)n < answers ? (unsigned)n : answers;
    }
}

/* --- An agent ------------------------------------------------------------- */

static void set(void *socket, int option, int value)
{
    zmq_setsockopt(socket, option, &value, sizeof value);
}

static void connect_to(struct member *m, void *context, const char *url,
                       const struct curve_pair *curve)
{
    m->socket = zmq_socket(context, ZMQ_DEALER);
    if (!m->socket)
        load_die("socket: %s", zmq_strerror(errno));
    set(m->socket, ZMQ_LINGER, 0);
    set(m->socket, ZMQ_RCVTIMEO, WAIT_MS);
    set(m->socket, ZMQ_TCP_KEEPALIVE, 1); /* all as the SDK has it */
    set(m->socket, ZMQ_TCP_KEEPALIVE_IDLE, SILENT_S);
    set(m->socket, ZMQ_TCP_KEEPALIVE_INTVL, SILENT_S);
    set(m->socket, ZMQ_TCP_KEEPALIVE_CNT, GONE_MS / 1000 / SILENT_S - 1);
    set(m->socket, ZMQ_TCP_MAXRT, GONE_MS);
    if (zmq_setsockopt(m->socket, ZMQ_CURVE_SERVERKEY, m->meeting->curve,
                       KEY_CURVE_BYTES) ||
        zmq_setsockopt(m->socket, ZMQ_CURVE_PUBLICKEY, curve->public_key,
                       KEY_CURVE_BYTES) ||
        zmq_setsockopt(m->socket, ZMQ_CURVE_SECRETKEY, curve->secret_key,
                       KEY_CURVE_BYTES) ||
        zmq_connect(m->socket, url))
        load_die("connect: %s", zmq_strerror(errno));
}

static void say_hello(struct member *m)
{
    struct buf hello = {0};
    struct msg op;

    buf_put(&hello, "CHH1", 4);
    msg_init(&op, MSG_HELLO);
    msg_set_u(&op, FIELD_FORMAT, 1);
    msg_encode(&op, &hello);
    send_frame(m, buf_bytes(&hello));
    buf_free(&hello);
    hear_some(m, 1);
}

void member_open(struct member *m, void *context, const char *url,
                 const struct meeting *meeting, unsigned i)
{
    struct curve_pair curve;
    struct msg op;

    m->meeting = meeting;
    member_keys(i, &m->key, &curve);
    connect_to(m, context, url, &curve);
    say_hello(m);
    bundle_begin(&m->writer);
    msg_init(&op, MSG_SESSION_OPEN);
    msg_set_hash(&op, FIELD_CHALLENGE, &m->challenge);
    add(m, &op);
    sign_and_send(m, BUNDLE_RECORD, 0);
    hear_some(m, 1);
    if (!m->session)
        load_die("agent %u of the crowd has no session", i);
}

void member_watch(struct member *m, unsigned i, unsigned n)
{
    char prefix[48];

    if (!n)
        return;
    bundle_begin(&m->writer);
    for (unsigned k = 0; k < n; k++) {
        struct msg op;

        snprintf(prefix, sizeof prefix, "idle/%u/%u/", i, k);
        msg_init(&op, MSG_WATCH);
        msg_set_u(&op, FIELD_WATCH, k + 1);
        msg_set_text(&op, FIELD_SPACE, "bench");
        msg_set_text(&op, FIELD_PREFIX, prefix);
        msg_set_u(&op, FIELD_REVISION, m->size);
        msg_set_u(&op, FIELD_CREDIT, 16);
        add(m, &op);
    }
    ask(m);
    hear_some(m, n);
}

void member_work(struct member *m, const char *queue, unsigned n)
{
    struct msg op;

    if (!n)
        return;
    bundle_begin(&m->writer);
    msg_init(&op, MSG_WORK);
    msg_set_text(&op, FIELD_SPACE, "bench");
    msg_set_text(&op, FIELD_QUEUE, queue);
    msg_set_u(&op, FIELD_CREDIT, n);
    add(m, &op);
    ask(m);
    while (m->tasks < n)
        if (hear(m, 0) < 0)
            load_die("a task does not come");
}

void member_ping(struct member *m)
{
    struct msg op;

    bundle_begin(&m->writer);
    msg_init(&op, MSG_PING);
    add(m, &op);
    ask(m);
    while (hear(m, ZMQ_DONTWAIT) >= 0)
        ;
}
