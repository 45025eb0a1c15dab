/* Secrets are read only from files nobody else may read, and written so that
 * a crash leaves the old file or the new one. */
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "error.h"
#include "proto/armour.h"
#include "proto/refusal.h"

enum { FILE_BYTES_MAX = 8192, READ_TRIES = 100, READ_US = 100 };

static int read_all(int fd, struct buf *text)
{
    for (;;) {
        uint8_t part[2048];
        ssize_t n = read(fd, part, sizeof part);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            return text->failed ? -ENOMEM : 0;
        buf_put(text, part, (size_t)n);
        secret_wipe(part, sizeof part);
        if (text->n > FILE_BYTES_MAX)
            return -EFBIG;
    }
}

static void secret_free(struct buf *b)
{
    secret_wipe(b->p, b->n);
    buf_free(b);
}

static int secret_file_check(int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st))
        return error_set(-errno, 0, "path=%s", path);
    if (!S_ISREG(st.st_mode))
        return error_set(-EINVAL, 0, "path=%s: not a regular file", path);
    if (st.st_mode & 077)
        return error_set(-EACCES, 0,
                         "path=%s mode=%04o limit=0600: others may read this "
                         "secret; run: chmod 600 %s",
                         path, (unsigned)st.st_mode & 07777, path);
    return 0;
}

/* text: owned by the caller, secret_free it. */
static int secret_read(const char *path, struct buf *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0)
        return error_set(-errno, 0, "path=%s: cannot be read", path);
    r = secret_file_check(fd, path);
    if (!r) {
        r = read_all(fd, text);
        if (r)
            error_set(r, 0, "path=%s", path);
    }
    close(fd);
    return r;
}

static void text_get(char *out, size_t size, struct bytes b)
{
    size_t n = b.n < size ? b.n : size - 1;

    memcpy(out, b.p ? (const char *)b.p : "", n);
    out[n] = '\0';
}

static void pinned_get(struct pinned *p, const struct msg *m)
{
    text_get(p->url, sizeof p->url, msg_b(m, FIELD_URL));
    p->ledger = msg_hash(m, FIELD_LEDGER);
    memcpy(p->broker_key, msg_b(m, FIELD_BROKER_KEY).p, KEY_PUBLIC_BYTES);
    memcpy(p->broker_curve, msg_b(m, FIELD_BROKER_CURVE).p, KEY_CURVE_BYTES);
}

static int invitation_get(struct invitation *i, struct bytes text)
{
    struct buf raw = {0};
    struct msg m;
    int r = armour_get(text, MSG_INVITATION, &raw, &m);

    if (!r && msg_b(&m, FIELD_SECRET).n != KEY_CURVE_BYTES)
        r = CHOIR_MALFORMED;
    if (!r) {
        pinned_get(&i->broker, &m);
        memcpy(i->curve.public_key, msg_b(&m, FIELD_CURVE_KEY).p,
               KEY_CURVE_BYTES);
        memcpy(i->curve.secret_key, msg_b(&m, FIELD_SECRET).p, KEY_CURVE_BYTES);
    }
    secret_free(&raw);
    return r;
}

int invitation_parse(struct invitation *i, const char *text)
{
    int r = invitation_get(i, bytes_text(text));

    if (r)
        error_set(r, 0,
                  "what=invitation: that is not a whole choir-invite-1:... "
                  "line; copy it again");
    return r;
}

int invitation_load(struct invitation *i, const char *path)
{
    struct buf text = {0};
    int r = secret_read(path, &text);

    if (!r) {
        r = invitation_get(i, buf_bytes(&text));
        if (r)
            error_set(r, 0, "path=%s: not an invitation", path);
    }
    secret_free(&text);
    return r;
}

void identity_new(struct identity *id, const char *name,
                  const struct pinned *broker)
{
    snprintf(id->name, sizeof id->name, "%s", name);
    key_pair_new(&id->key);
    id->agent = agent_id(id->key.public_key);
    curve_pair_new(&id->curve);
    id->broker = *broker;
}

void identity_next(struct identity *id, const struct identity *before)
{
    identity_new(id, before->name, &before->broker);
    id->agent = before->agent;
}

void identity_claim(const struct identity *id, struct msg *m,
                    uint8_t signature[KEY_SIGNATURE_BYTES])
{
    uint8_t claim[KEY_CLAIM_BYTES];

    key_claim(claim, &id->agent, id->key.public_key, id->curve.public_key);
    key_sign(&id->key, KEY_FOR_KEY, &id->broker.ledger,
             bytes_of(claim, sizeof claim), signature);
    msg_set_b(m, FIELD_PUBLIC_KEY,
              bytes_of(id->key.public_key, KEY_PUBLIC_BYTES));
    msg_set_b(m, FIELD_CURVE_KEY,
              bytes_of(id->curve.public_key, KEY_CURVE_BYTES));
    msg_set_b(m, FIELD_SIGNATURE, bytes_of(signature, KEY_SIGNATURE_BYTES));
}

static int identity_get(struct identity *id, struct bytes text)
{
    struct buf raw = {0};
    struct msg m;
    int r = armour_get(text, MSG_IDENTITY, &raw, &m);

    if (!r && (msg_b(&m, FIELD_SECRET).n != KEY_SECRET_BYTES ||
               msg_b(&m, FIELD_VALUE).n != KEY_CURVE_BYTES))
        r = CHOIR_MALFORMED;
    if (!r) {
        const uint8_t *secret = msg_b(&m, FIELD_SECRET).p;

        text_get(id->name, sizeof id->name, msg_b(&m, FIELD_NAME));
        memcpy(id->key.secret_key, secret, KEY_SECRET_BYTES);
        memcpy(id->key.public_key, secret + 32, KEY_PUBLIC_BYTES);
        id->agent = msg_has(&m, FIELD_AGENT) ? msg_hash(&m, FIELD_AGENT)
                                             : agent_id(id->key.public_key);
        memcpy(id->curve.public_key, msg_b(&m, FIELD_CURVE_KEY).p,
               KEY_CURVE_BYTES);
        memcpy(id->curve.secret_key, msg_b(&m, FIELD_VALUE).p, KEY_CURVE_BYTES);
        pinned_get(&id->broker, &m);
    }
    secret_free(&raw);
    return r;
}

int identity_load(struct identity *id, const char *path)
{
    struct buf text = {0};
    int r = secret_read(path, &text);

    if (!r) {
        r = identity_get(id, buf_bytes(&text));
        if (r)
            error_set(r, 0, "path=%s: not an identity", path);
    }
    secret_free(&text);
    return r;
}

static int identity_put(const struct identity *id, struct buf *out)
{
    struct hash first = agent_id(id->key.public_key);
    struct msg m;

    msg_init(&m, MSG_IDENTITY);
    msg_set_text(&m, FIELD_NAME, id->name);
    msg_set_b(&m, FIELD_SECRET, bytes_of(id->key.secret_key, KEY_SECRET_BYTES));
    msg_set_b(&m, FIELD_CURVE_KEY,
              bytes_of(id->curve.public_key, KEY_CURVE_BYTES));
    msg_set_b(&m, FIELD_VALUE, bytes_of(id->curve.secret_key, KEY_CURVE_BYTES));
    msg_set_hash(&m, FIELD_LEDGER, &id->broker.ledger);
    msg_set_b(&m, FIELD_BROKER_KEY,
              bytes_of(id->broker.broker_key, KEY_PUBLIC_BYTES));
    msg_set_b(&m, FIELD_BROKER_CURVE,
              bytes_of(id->broker.broker_curve, KEY_CURVE_BYTES));
    msg_set_text(&m, FIELD_URL, id->broker.url);
    if (!hash_equal(&first, &id->agent)) /* a later key */
        msg_set_hash(&m, FIELD_AGENT, &id->agent);
    return armour_put(out, &m);
}

static int write_all(int fd, struct bytes b)
{
    while (b.n) {
        ssize_t n = write(fd, b.p, b.n);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        b.p += n;
        b.n -= (size_t)n;
    }
    return 0;
}

static int directory_sync(const char *path)
{
    char parent[PATH_BYTES];
    char *slash;
    int fd, r = 0;

    snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = '\0';
    fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fsync(fd))
        r = -errno;
    close(fd);
    return r;
}

/* Replace path with text, readable by the owner only. */
static int file_replace(const char *path, struct bytes text, bool durable)
{
    char temporary[PATH_BYTES];
    int fd, r;

    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >=
        (int)sizeof temporary)
        return -ENAMETOOLONG;
    fd = mkostemp(temporary, O_CLOEXEC); /* 0600 */
    if (fd < 0)
        return -errno;
    r = write_all(fd, text);
    if (!r && durable && fsync(fd))
        r = -errno;
    if (close(fd) && !r)
        r = -errno;
    if (!r && rename(temporary, path))
        r = -errno;
    if (r)
        unlink(temporary);
    return r || !durable ? r : directory_sync(path);
}

int identity_save(const struct identity *id, const char *path)
{
    struct buf text = {0};
    int r = identity_put(id, &text);

    buf_put(&text, "\n", 1);
    if (!r)
        r = text.failed ? -ENOMEM : file_replace(path, buf_bytes(&text), true);
    secret_free(&text);
    if (r)
        error_set(r, 0, "path=%s: the identity cannot be stored", path);
    return r;
}

void identity_wipe(struct identity *id)
{
    secret_wipe(id, sizeof *id);
}

static int beside_path(char out[PATH_BYTES], const char *identity_path,
                       const char *ending)
{
    return snprintf(out, PATH_BYTES, "%s%s", identity_path, ending) < PATH_BYTES
               ? 0
               : -ENAMETOOLONG;
}

/* --- What was seen --------------------------------------------------------- */

/* Is what fd was opened by still its name? */
static bool is_named(int fd, const char *path)
{
    struct stat mine, named;

    return !fstat(fd, &mine) && !stat(path, &named) &&
           mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

static int other_open(const char *other)
{
    return open(other, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
}

/* The first time there is only one: then there will be two. */
static int change_places(const char *other, const char *path)
{
    int fd;

    if (!renameat2(AT_FDCWD, other, AT_FDCWD, path, RENAME_EXCHANGE))
        return 0;
    if (rename(other, path))
        return -1;
    fd = other_open(other);
    if (fd >= 0)
        close(fd);
    return 0;
}

/* Write over a second file, which lies there for it, and have the two change
 * places: that makes and takes away no inode. (To find a free one, ext4 looks
 * through all that were freed in the last seconds: a millisecond, with a
 * thousand handles that store something every five seconds.) Whoever writes or
 * reads one of the two has a lock on it. */
static int file_turn_over(const char *path, struct bytes text)
{
    char other[PATH_BYTES];
    int fd, r = 0;

    if (snprintf(other, sizeof other, "%s.other", path) >= (int)sizeof other)
        return -ENAMETOOLONG;
    fd = other_open(other);
    if (fd < 0)
        return -errno;
    if (flock(fd, LOCK_EX | LOCK_NB) || !is_named(fd, other))
        r = -EBUSY;
    if (!r)
        r = write_all(fd, text);
    if (!r && (ftruncate(fd, (off_t)text.n) || change_places(other, path)))
        r = -errno;
    close(fd);
    return r;
}

/* Nobody writes it as long as it is open. NULL: there is none, or whoever wrote
 * it does not let it go. */
static FILE *file_read(const char *path)
{
    for (int tries = 0; tries < READ_TRIES; tries++) {
        FILE *f = fopen(path, "re");

        if (!f || !flock(fileno(f), LOCK_SH | LOCK_NB) || errno != EWOULDBLOCK)
            return f;
        fclose(f); /* just written, or to be, if it changed places since */
        usleep(READ_US);
    }
    return NULL;
}

/* False: it is there and cannot be understood. */
static bool seen_read(struct checkpoint *seen, struct buf *proof,
                      const char *path, const struct hash *ledger)
{
    char id[HASH_HEX], root[HASH_HEX], signed_text[1025] = "";
    struct checkpoint got;
    FILE *f = file_read(path);
    struct hash of;
    int n;

    if (!f)
        return true;
    n = fscanf(f, "choir-seen-1 %64s %" SCNu64 " %" SCNu64 " %64s %1024s", id,
               &got.epoch, &got.size, root, signed_text);
    fclose(f);
    if (n < 4 || hash_parse_hex(&of, bytes_text(id)) ||
        hash_parse_hex(&got.root, bytes_text(root)))
        return false;
    if (!hash_equal(&of, ledger))
        return true;
    *seen = got;
    if (proof && n == 5)
        (void)base64_get(proof, bytes_text(signed_text), false);
    return true;
}

/* Nothing is synced: what a power failure made of the one may be no text, and
 * then the one before it says at least that much. */
void seen_load(struct checkpoint *seen, struct buf *proof,
               const char *identity_path, const struct hash *ledger)
{
    char path[PATH_BYTES];

    *seen = (struct checkpoint){0};
    if (!beside_path(path, identity_path, ".seen") &&
        !seen_read(seen, proof, path, ledger) &&
        !beside_path(path, identity_path, ".seen.other"))
        (void)seen_read(seen, proof, path, ledger);
}

void seen_save(const struct checkpoint *seen, struct bytes proof,
               const char *identity_path, const struct hash *ledger, bool force)
{
    char path[PATH_BYTES], id[HASH_HEX], root[HASH_HEX], line[256];
    struct checkpoint there;
    struct buf text = {0};

    seen_load(&there, NULL, identity_path, ledger);
    if (!force && (there.epoch > seen->epoch ||
                   (there.epoch == seen->epoch && there.size >= seen->size)))
        return;
    hash_hex(ledger, id);
    hash_hex(&seen->root, root);
    snprintf(line, sizeof line, "choir-seen-1 %s %" PRIu64 " %" PRIu64 " %s ",
             id, seen->epoch, seen->size, root);
    buf_put(&text, line, strlen(line));
    if (!base64_put(&text, proof, false) &&
        !beside_path(path, identity_path, ".seen")) {
        buf_put(&text, "\n", 1);
        if (file_turn_over(path, buf_bytes(&text)))
            file_replace(path, buf_bytes(&text), false);
    }
    buf_free(&text);
}

void evidence_save(const char *identity_path, struct bytes text,
                   char path[PATH_BYTES])
{
    if (beside_path(path, identity_path, ".fork") ||
        file_replace(path, text, true))
        path[0] = '\0';
}
