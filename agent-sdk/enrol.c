/* The new keys are stored before the broker hears of them: a crash in between
 * must not leave a name taken by keys that nobody has. */
#include "enrol.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "connection.h"
#include "error.h"
#include "handle.h"
#include "hello.h"
#include "proto/bundle.h"
#include "proto/refusal.h"

enum { BREAKS_MAX = 3, RETRY_MS = 50 };

/* One short conversation. */
struct talk {
    const struct pinned *broker;
    struct connection *connection;
    struct verifier verifier;
    int64_t deadline;
};

static int talk_begin(struct talk *t, const struct pinned *broker,
                      const struct curve_pair *curve, const struct hash *agent,
                      int64_t deadline)
{
    struct connection_keys keys = {.curve = *curve};
    int r;

    *t = (struct talk){.broker = broker, .deadline = deadline};
    memcpy(keys.broker_curve, broker->broker_curve, KEY_CURVE_BYTES);
    t->verifier.ledger = broker->ledger;
    t->verifier.agent = *agent;
    memcpy(t->verifier.broker_key, broker->broker_key, KEY_PUBLIC_BYTES);
    r = connection_new(&t->connection, broker->url, &keys);
    secret_wipe(&keys, sizeof keys);
    return r ? connection_error(r) : 0;
}

static void talk_end(struct talk *t)
{
    connection_destroy(&t->connection, 0);
    verifier_free(&t->verifier);
}

static int left_ms(const struct talk *t)
{
    int64_t left = t->deadline < 0 ? 1000 : t->deadline - sdk_clock_ms();

    return left < 0 ? 0 : left > 1000 ? 1000 : (int)left;
}

static int unreachable(const struct talk *t)
{
    return error_set(CHOIR_UNREACHABLE, 0,
                     "url=%s: no broker answers there; is choird running?",
                     t->broker->url);
}

/* Until the connection is up. CHOIR_UNKNOWN_AGENT: our key is not admitted. */
static int talk_connect(struct talk *t)
{
    for (;;) {
        switch (connection_state(t->connection)) {
        case CONNECTION_UP: return 0;
        case CONNECTION_REFUSED: return CHOIR_UNKNOWN_AGENT;
        case CONNECTION_CLOSED:
            if (connection_breaks(t->connection) >= BREAKS_MAX)
                return error_set(CHOIR_WRONG_BROKER, 0,
                                 "url=%s: who answers there does not hold the "
                                 "broker's key",
                                 t->broker->url);
            if (connection_begin(t->connection) == -EINVAL)
                return error_set(CHOIR_INVALID, 0, "url=%s: not an endpoint",
                                 t->broker->url);
            break;
        case CONNECTION_WAITING: break;
        }
        if (t->deadline >= 0 && sdk_clock_ms() >= t->deadline)
            return unreachable(t);
        connection_poll(t->connection,
                        left_ms(t) < RETRY_MS ? left_ms(t) : RETRY_MS);
    }
}

/* The next item of one of two verbs; others are passed over. Borrowed until
 * the next call. */
static int talk_hear(struct talk *t, enum message verb, enum message or,
                     struct msg *item)
{
    for (;;) {
        struct bytes frame;
        struct answer a;
        int r = connection_receive(t->connection, &frame);

        if (r == -EAGAIN) {
            if (connection_state(t->connection) != CONNECTION_UP ||
                (t->deadline >= 0 && sdk_clock_ms() >= t->deadline))
                return unreachable(t);
            connection_poll(t->connection, left_ms(t));
            continue;
        }
        r = r ? error_set(CHOIR_BROKEN, 0, "what=frame: several parts")
              : verifier_open(&t->verifier, frame, &a);
        while (!r) {
            r = answer_next(&a, item);
            if (!r && (item->verb == verb || item->verb == or))
                return 0;
            r = r == CHOIR_UNSUPPORTED ? 0 : r;
        }
        if (r != CHOIR_NOT_FOUND)
            return r == CHOIR_MALFORMED
                       ? error_set(CHOIR_BROKEN, 0, "what=item")
                       : r;
    }
}

static int talk_hello(struct talk *t)
{
    struct buf frame = {0};
    struct msg item;
    int r;

    hello_put(&frame);
    r = connection_send(t->connection, buf_bytes(&frame));
    buf_free(&frame);
    return r ? unreachable(t) : talk_hear(t, MSG_WELCOME, MSG_WELCOME, &item);
}

/* recovery: NULL: a new agent enrols; else an old one takes itself back. */
static void introduction(const struct identity *id,
                         const struct key_pair *recovery, struct buf *head)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct msg m;

    msg_init(&m, recovery ? MSG_RECOVER : MSG_ENROL);
    identity_claim(id, &m, signature);
    if (!recovery) {
        m.has &= ~FIELD_BIT(SIGNATURE); /* the bundle's is its word */
        msg_set_text(&m, FIELD_NAME, id->name);
    }
    msg_encode(&m, head);
}

static int enrol_send(struct talk *t, const struct identity *id,
                      const struct key_pair *recovery)
{
    const struct key_pair *key = recovery ? recovery : &id->key;
    const struct checkpoint *seen = &t->verifier.seen;
    struct bundle_facts facts = {.kind = BUNDLE_RECORD,
                                 .ledger = id->broker.ledger,
                                 .agent = id->agent,
                                 .epoch = seen->epoch,
                                 .seen = seen->size ? seen->size - 1 : 0,
                                 .public_key = key->public_key};
    struct bundle_writer w = {0};
    struct buf head = {0}, frame = {0};
    struct hash hash;
    int r;

    introduction(id, recovery, &head);
    bundle_begin(&w);
    r = bundle_add(&w, buf_bytes(&head), (struct bytes){0});
    if (!r)
        r = bundle_finish(&w, &facts, key, &frame, &hash);
    if (!r && connection_send(t->connection, buf_bytes(&frame)))
        r = unreachable(t);
    bundle_writer_free(&w);
    buf_free(&head);
    buf_free(&frame);
    return r;
}

static int enrol_outcome(struct talk *t, const struct identity *id)
{
    struct msg item;
    int r = talk_hear(t, MSG_DONE, MSG_TURNED_AWAY, &item), code;

    if (r)
        return r;
    code = (int)msg_u(&item, FIELD_OUTCOME);
    if (code == CHOIR_NAME_TAKEN)
        return error_set(code, 0,
                         "name=%s: another agent has that name here; choose "
                         "one with --as or CHOIR_AS",
                         id->name);
    return code ? error_set(code, 0, "name=%s: %s", id->name,
                            refusal_sentence(code))
                : 0;
}

/* Does the broker know these keys already? It lets them in before they are in
 * its record, but says nothing before what it knows is there. */
static int is_known(const struct identity *id, int64_t deadline)
{
    struct talk t;
    int r = talk_begin(&t, &id->broker, &id->curve, &id->agent, deadline);

    if (!r)
        r = talk_connect(&t);
    if (!r)
        r = talk_hello(&t);
    talk_end(&t);
    return r;
}

static int introduce(const struct identity *id, const struct key_pair *recovery,
                     const struct invitation *i, int64_t deadline)
{
    struct talk t;
    int r = talk_begin(&t, &i->broker, &i->curve, &id->agent, deadline);

    if (!r)
        r = talk_connect(&t);
    if (r == CHOIR_UNKNOWN_AGENT)
        r = error_set(CHOIR_EXPIRED, 0,
                      "url=%s: the broker does not admit this invitation any "
                      "more; ask for a new one: choir invite",
                      i->broker.url);
    if (!r)
        r = talk_hello(&t);
    if (!r)
        r = enrol_send(&t, id, recovery);
    if (!r)
        r = enrol_outcome(&t, id);
    talk_end(&t);
    return r;
}

/* A broker that dies in between may have enrolled us or not: look first. */
static int become_known(const struct identity *id,
                        const struct key_pair *recovery,
                        const struct invitation *i, bool begun,
                        int64_t deadline)
{
    int r = begun ? is_known(id, deadline) : CHOIR_UNKNOWN_AGENT;

    for (;;) {
        struct timespec nap = {0, RETRY_MS * 1000000};

        if (r == CHOIR_UNKNOWN_AGENT)
            r = introduce(id, recovery, i, deadline);
        if ((r != CHOIR_UNREACHABLE && r != CHOIR_BUSY) ||
            (deadline >= 0 && sdk_clock_ms() >= deadline))
            return r;
        nanosleep(&nap, NULL);
        r = is_known(id, deadline);
    }
}

/* --- Files ---------------------------------------------------------------- */

static int store_make(const char *path)
{
    char part[PATH_BYTES];

    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return error_set(-errno, 0, "path=%s: cannot be made", part);
        *slash = '/';
    }
    if (mkdir(part, 0700) && errno != EEXIST)
        return error_set(-errno, 0, "path=%s: cannot be made", part);
    return 0;
}

/* Held until closed. Whoever holds it may have unlinked it, hence the second
 * look. Returns the descriptor or -errno. */
static int lock_take(const char *path, int64_t deadline)
{
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat ours, there;

        if (fd < 0)
            return error_set(-errno, 0, "path=%s", path);
        while (flock(fd, LOCK_EX | LOCK_NB)) {
            struct timespec nap = {0, 5000000};

            if (deadline >= 0 && sdk_clock_ms() >= deadline) {
                close(fd);
                return error_set(-ETIMEDOUT, 0,
                                 "path=%s: another process is enrolling "
                                 "under this name",
                                 path);
            }
            nanosleep(&nap, NULL);
        }
        if (fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
            ours.st_ino == there.st_ino)
            return fd;
        close(fd);
    }
}

static int beside(char out[PATH_BYTES], const char *path, const char *end)
{
    return snprintf(out, PATH_BYTES, "%s%s", path, end) < PATH_BYTES
               ? 0
               : error_set(-ENAMETOOLONG, 0, "path=%s", path);
}

/* With the lock held, and no identity there. */
static int enrol_new(struct found *f, const struct invitation *i,
                     int64_t deadline)
{
    char begun[PATH_BYTES];
    bool had_begun;
    int r = beside(begun, f->path, ".begun");

    if (r)
        return r;
    r = identity_load(&f->identity, begun);
    had_begun = r == 0;
    if (r == -ENOENT) {
        identity_new(&f->identity, f->name, &i->broker);
        r = identity_save(&f->identity, begun);
    }
    if (!r)
        r = become_known(&f->identity, NULL, i, had_begun, deadline);
    if (r) {
        /* a definite no: nothing worth keeping was begun */
        if (r == CHOIR_NAME_TAKEN || r == CHOIR_EXPIRED)
            unlink(begun);
        return r;
    }
    r = identity_save(&f->identity, f->path);
    if (!r)
        unlink(begun);
    return r;
}

int enrol_agent(struct found *f, const struct invitation *i, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    char lock[PATH_BYTES];
    int r = find_path(f, &i->broker.ledger), fd;

    if (!r)
        r = store_make(f->store);
    if (!r)
        r = beside(lock, f->path, ".lock");
    if (r)
        return r;
    fd = lock_take(lock, deadline);
    if (fd < 0)
        return fd;
    r = identity_load(&f->identity, f->path);
    if (r == -ENOENT)
        r = enrol_new(f, i, deadline);
    f->has_identity = r == 0;
    unlink(lock);
    close(fd);
    return r;
}

/* As enrol_new, but what stands there already is replaced. */
static int recover_new(struct found *f, const struct identity *away,
                       const struct invitation *i, int64_t deadline)
{
    char begun[PATH_BYTES];
    bool had_begun;
    int r = beside(begun, f->path, ".begun");

    if (r)
        return r;
    r = identity_load(&f->identity, begun);
    had_begun = r == 0 && hash_equal(&f->identity.agent, &away->agent);
    if (r == 0 && !had_begun)
        r = error_set(CHOIR_INVALID, 0,
                      "path=%s: enrolling another agent was begun there",
                      begun);
    if (r == -ENOENT) {
        identity_next(&f->identity, away);
        f->identity.broker = i->broker;
        r = identity_save(&f->identity, begun);
    }
    if (!r)
        r = become_known(&f->identity, &away->key, i, had_begun, deadline);
    if (!r)
        r = identity_save(&f->identity, f->path);
    if (!r || r == CHOIR_DENIED || r == CHOIR_EXPIRED)
        unlink(begun);
    return r;
}

int enrol_again(struct found *f, const struct identity *away,
                const struct invitation *i, int timeout_ms)
{
    int64_t deadline = deadline_after(timeout_ms);
    char lock[PATH_BYTES];
    int r = find_path(f, &i->broker.ledger), fd;

    if (!r)
        r = store_make(f->store);
    if (!r)
        r = beside(lock, f->path, ".lock");
    if (r)
        return r;
    fd = lock_take(lock, deadline);
    if (fd < 0)
        return fd;
    r = recover_new(f, away, i, deadline);
    f->has_identity = r == 0;
    unlink(lock);
    close(fd);
    return r;
}
