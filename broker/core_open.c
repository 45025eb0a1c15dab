/* Opening: the record first, then what can be derived from it; at last what
 * the opening itself has to say. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/failpoint.h"
#include "base/file.h"
#include "base/log.h"
#include "core_private.h"
#include "proto/armour.h"
#include "proto/refusal.h"
#include "replay.h"

enum { PATH_BYTES = 4096, IDENTITY_BYTES_MAX = 8192 };
enum { SNAPSHOT_KEYS = 1024 }; /* a third of a millisecond */

static const char comment[] =
    "# Secret. Whoever has this line can speak as %s.\n";

static int trouble_set(char trouble[512], int r, const char *what,
                       const char *path)
{
    snprintf(trouble, 512, "%s %.400s: %s", what, path, strerror(-r));
    return r;
}

static void path_in(const struct core *c, const char *name,
                    char out[PATH_BYTES])
{
    snprintf(out, PATH_BYTES, "%s/%s", c->config->data, name);
}

/* --- Identity files ------------------------------------------------------ */

static int identity_write(const struct core *c, const char *file,
                          const char *name, const struct key_pair *key,
                          const struct curve_pair *curve,
                          const struct hash *ledger)
{
    char path[PATH_BYTES];
    struct buf text = {0};
    struct msg m;
    int r;

    msg_init(&m, MSG_IDENTITY);
    msg_set_text(&m, FIELD_NAME, name);
    msg_set_b(&m, FIELD_SECRET, bytes_of(key->secret_key, KEY_SECRET_BYTES));
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve->public_key, 32));
    msg_set_b(&m, FIELD_VALUE, bytes_of(curve->secret_key, 32));
    msg_set_hash(&m, FIELD_LEDGER, ledger);
    msg_set_b(&m, FIELD_BROKER_KEY, bytes_of(c->key.public_key, 32));
    msg_set_b(&m, FIELD_BROKER_CURVE, bytes_of(c->curve.public_key, 32));
    buf_grow(&text, sizeof comment + 80);
    if (text.failed)
        return -ENOMEM;
    text.n = (size_t)snprintf((char *)text.p, text.n, comment, name);
    r = armour_put(&text, &m);
    buf_put(&text, "\n", 1);
    path_in(c, file, path);
    if (!r)
        r = file_write_atomic(path, text.p, text.n, 0600);
    secret_wipe(text.p, text.n);
    buf_free(&text);
    return r;
}

static int identity_read(struct core *c, const char *file, struct hash *ledger)
{
    char path[PATH_BYTES], *text;
    struct buf raw = {0};
    struct msg m;
    size_t n;
    int r;

    path_in(c, file, path);
    r = file_read_whole(path, IDENTITY_BYTES_MAX, &text, &n);
    if (r)
        return r;
    r = armour_get(bytes_of(text, n), MSG_IDENTITY, &raw, &m);
    if (r > 0 || (!r && (msg_b(&m, FIELD_SECRET).n != KEY_SECRET_BYTES ||
                         msg_b(&m, FIELD_VALUE).n != KEY_CURVE_BYTES)))
        r = -EUCLEAN;
    if (!r) {
        memcpy(c->key.secret_key, msg_b(&m, FIELD_SECRET).p, KEY_SECRET_BYTES);
        memcpy(c->key.public_key, msg_b(&m, FIELD_BROKER_KEY).p, 32);
        memcpy(c->curve.secret_key, msg_b(&m, FIELD_VALUE).p, KEY_CURVE_BYTES);
        memcpy(c->curve.public_key, msg_b(&m, FIELD_CURVE_KEY).p, 32);
        *ledger = msg_hash(&m, FIELD_LEDGER);
        c->broker = agent_id(c->key.public_key);
    }
    secret_wipe(raw.p, raw.n);
    secret_wipe(text, n);
    buf_free(&raw);
    free(text);
    return r;
}

/* --- Genesis ------------------------------------------------------------- */

static void genesis_head(const struct core *c, struct buf *head)
{
    struct hash nonce;
    struct msg m;

    random_bytes(nonce.b, sizeof nonce.b);
    msg_init(&m, MSG_GENESIS);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(c->key.public_key, 32));
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(c->curve.public_key, 32));
    msg_set_hash(&m, FIELD_CHALLENGE, &nonce);
    msg_set_u(&m, FIELD_FORMAT, RECORD_FORMAT);
    msg_encode(&m, head);
}

/* The administrator of everything, by the broker's own word. */
static void admit_head(const struct key_pair *key,
                       const struct curve_pair *curve, struct buf *head)
{
    struct hash id = agent_id(key->public_key);
    struct buf grants = {0};
    struct msg m, g;

    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "*");
    msg_set_u(&g, FIELD_RIGHTS, 127);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_ADMIT);
    msg_set_hash(&m, FIELD_AGENT, &id);
    msg_set_text(&m, FIELD_NAME, "admin");
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(key->public_key, 32));
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve->public_key, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    msg_encode(&m, head);
    buf_free(&grants);
}

/* One bundle of the broker's with both, as the first group. */
static int genesis_group(struct core *c, const struct bytes head[2],
                         const struct hash *ledger, uint64_t now)
{
    struct hash leaves[2] = {op_hash(head[0]), op_hash(head[1])}, root;
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = *ledger,
        .agent = c->broker,
        .epoch = 1,
        .time = now,
        .public_key = c->key.public_key,
    };
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct bytes none = {0};

    root = merkle_blake(&leaves[0], &leaves[1]);
    buf_clear(&c->header);
    bundle_header_put(&c->header, &facts, &root, 2);
    key_sign(&c->key, KEY_FOR_BUNDLE, ledger, buf_bytes(&c->header), signature);
    group_begin(&c->group, 1, 0, now);
    group_add_bundle(&c->group, buf_bytes(&c->header), signature);
    group_add(&c->group, head[0], none, CHOIR_OK, none, none);
    group_add(&c->group, head[1], none, CHOIR_OK, none, none);
    return c->group.heads.failed ? -ENOMEM : 0;
}

/* Keys to files first, under a name that does not count yet; then the record,
 * all or nothing; then the name. A crash in between starts over. */
static int create(struct core *c, const struct ledger_options *o)
{
    struct key_pair admin;
    struct curve_pair admin_curve;
    struct buf genesis = {0}, admit = {0};
    struct bytes heads[2];
    struct hash ledger;
    char from[PATH_BYTES], to[PATH_BYTES];
    int r;

    key_pair_new(&c->key);
    curve_pair_new(&c->curve);
    key_pair_new(&admin);
    curve_pair_new(&admin_curve);
    c->broker = agent_id(c->key.public_key);
    genesis_head(c, &genesis);
    admit_head(&admin, &admin_curve, &admit);
    heads[0] = buf_bytes(&genesis);
    heads[1] = buf_bytes(&admit);
    ledger = hash_of(HASH_LEDGER, heads[0]);
    r = genesis_group(c, heads, &ledger, env_wall_us(c->env));
    if (!r)
        r = identity_write(c, "admin.identity", "admin", &admin, &admin_curve,
                           &ledger);
    if (!r)
        r = identity_write(c, "broker.identity.new", "the broker", &c->key,
                           &c->curve, &ledger);
    FAILPOINT("core.genesis.keys");
    if (!r)
        r = ledger_create(o, &ledger, &c->group);
    FAILPOINT("core.genesis.record");
    path_in(c, "broker.identity.new", from);
    path_in(c, "broker.identity", to);
    if (!r && rename(from, to))
        r = -errno;
    if (!r)
        r = dir_sync(c->config->data);
    secret_wipe(&admin, sizeof admin);
    secret_wipe(&admin_curve, sizeof admin_curve);
    buf_free(&genesis);
    buf_free(&admit);
    return r;
}

static bool exists(const struct core *c, const char *name)
{
    char path[PATH_BYTES];

    path_in(c, name, path);
    return access(path, F_OK) == 0;
}

/* --- Projection ---------------------------------------------------------- */

static int snapshot_take(struct core *c, struct snapshot_reader *r,
                         const struct snapshot_facts *facts, char trouble[512])
{
    struct bytes record;
    struct hash digest;
    int got;

    while ((got = snapshot_next(r, &record)) == 0) {
        got = state_load(c->state, record);
        if (got)
            break;
    }
    if (got == CHOIR_NOT_FOUND) {
        c->state->tree = facts->tree;
        digest = state_digest(c->state);
        got =
            c->state->size == facts->size && hash_equal(&digest, &facts->digest)
                ? 0
                : CHOIR_MALFORMED;
    }
    if (got > 0)
        snprintf(trouble, 512,
                 "state.snapshot does not give the state it was taken from; "
                 "delete it and start again: it is rebuilt from the record");
    return got > 0 ? -EUCLEAN : got;
}

/* A snapshot of another history of the same ledger does not count. */
static bool same_history(struct core *c, const struct snapshot_facts *facts)
{
    struct hash group;

    return ledger_group_before(c->ledger, facts->size, &group) == 0 &&
           hash_equal(&group, &facts->group);
}

static int snapshot_load(struct core *c, const struct ledger_head *head,
                         char trouble[512])
{
    struct snapshot_reader *reader;
    struct snapshot_facts facts;
    int r = snapshot_open(&reader, c->config->data, &facts, trouble);

    if (r == CHOIR_NOT_FOUND)
        return 0;
    if (r)
        return r < 0 ? r : -ENOTSUP;
    if (!hash_equal(&facts.ledger, &head->ledger)) {
        snprintf(trouble, 512, "state.snapshot belongs to another ledger");
        r = -EUCLEAN;
    } else if (facts.size > head->size) {
        snprintf(trouble, 512,
                 "state.snapshot rests on %llu entries, the record has only "
                 "%llu: the record has lost acknowledged entries",
                 (unsigned long long)facts.size,
                 (unsigned long long)head->size);
        r = -EUCLEAN;
    } else if (!same_history(c, &facts)) {
        snprintf(trouble, 512,
                 "state.snapshot was taken from another history of this "
                 "ledger; if the record is right, delete the snapshot");
        r = -EUCLEAN;
    } else {
        r = snapshot_take(c, reader, &facts, trouble);
        c->snapshot_size = facts.size;
    }
    snapshot_close(&reader);
    return r;
}

/* --- What the opening has to say ----------------------------------------- */

static int say_cut(struct core *c, const struct ledger_head *head)
{
    struct msg m;
    uint64_t index;

    msg_init(&m, MSG_CUT);
    msg_set_u(&m, FIELD_REVISION, head->cut_at);
    msg_set_u(&m, FIELD_SIZE, head->cut_bytes);
    msg_set_text(&m, FIELD_REASON,
                 "torn or not proven at the last stop, never acknowledged");
    log_warn("ledger_cut", "at=%llu bytes=%llu",
             (unsigned long long)head->cut_at,
             (unsigned long long)head->cut_bytes);
    return core_say(c, &m, &index);
}

/* A restored copy goes on in a new epoch that names the head it continues. */
static int say_epoch(struct core *c)
{
    struct hash root;
    char path[PATH_BYTES];
    struct msg m;
    uint64_t index;
    int r = core_flush(c); /* so that the tree has what was said before */

    if (!r)
        r = core_grow(c);
    if (r)
        return r;
    root = frontier_root(&c->state->tree);
    msg_init(&m, MSG_NEW_EPOCH);
    msg_set_text(&m, FIELD_REASON, "restored from a backup");
    msg_set_u(&m, FIELD_SIZE, c->state->size);
    msg_set_hash(&m, FIELD_ROOT, &root);
    msg_set_u(&m, FIELD_EPOCH, c->state->epoch + 1);
    r = core_say(c, &m, &index);
    if (!r)
        r = core_commit(c);
    path_in(c, "restored", path);
    if (!r && unlink(path))
        r = -errno;
    if (!r)
        log_warn("new_epoch", "epoch=%llu size=%llu",
                 (unsigned long long)c->state->epoch,
                 (unsigned long long)c->state->size);
    return r;
}

static int say_what_happened(struct core *c, const struct ledger_head *head)
{
    int r = 0;

    core_begin(c);
    if (head->cut)
        r = say_cut(c, head);
    if (!r && exists(c, "restored"))
        r = say_epoch(c);
    if (!r)
        r = core_rules(c, c->config);
    return r ? r : core_commit(c);
}

/* --- Opening ------------------------------------------------------------- */

static int record_open(struct core *c, uint64_t reserve_bytes,
                       struct ledger_head *head, char trouble[512])
{
    struct ledger_options o = {
        .dir = c->config->data,
        .env = c->env,
        .segment_bytes = c->config->segment_bytes,
        .reserve_bytes = reserve_bytes,
        .preallocate = c->config->preallocate,
    };
    int r = dir_make(c->config->data, 0700);

    if (r)
        return trouble_set(trouble, r, "create", c->config->data);
    r = ledger_open(&c->ledger, &o, head);
    if (r == CHOIR_NOT_FOUND) {
        if (exists(c, "broker.identity") || exists(c, SNAPSHOT_NAME)) {
            snprintf(
                trouble, 512,
                "%.300s has keys or a snapshot but no record: the record is "
                "gone. Restore a backup, or use an empty directory",
                c->config->data);
            return -EUCLEAN;
        }
        r = create(c, &o);
        if (r)
            return trouble_set(trouble, r, "create a ledger in",
                               c->config->data);
        r = ledger_open(&c->ledger, &o, head);
    }
    if (r)
        snprintf(trouble, 512, "%s", head->trouble);
    else
        ledger_hide(c->ledger, &c->state->hider);
    return r > 0 ? -ENOTSUP : r;
}

/* A first start that died between record and name left the key beside it. */
static int keys_open(struct core *c, const struct ledger_head *head,
                     char trouble[512])
{
    const char *name = exists(c, "broker.identity") ? "broker.identity"
                                                    : "broker.identity.new";
    struct hash ledger;
    char from[PATH_BYTES], to[PATH_BYTES];
    int r = identity_read(c, name, &ledger);

    if (r == -EUCLEAN || (!r && !hash_equal(&ledger, &head->ledger))) {
        snprintf(trouble, 512,
                 "%.300s/%s is damaged or belongs to another ledger",
                 c->config->data, name);
        return -EUCLEAN;
    }
    if (r)
        return trouble_set(trouble, r, "read", name);
    path_in(c, name, from);
    path_in(c, "broker.identity", to);
    if (strcmp(from, to) != 0 &&
        (rename(from, to) || dir_sync(c->config->data)))
        return trouble_set(trouble, -errno, "rename", from);
    return 0;
}

static int open_all(struct core *c, uint64_t reserve_bytes, char trouble[512])
{
    struct ledger_head head = {0};
    int r = record_open(c, reserve_bytes, &head, trouble);

    if (!r)
        r = keys_open(c, &head, trouble);
    if (!r)
        r = snapshot_load(c, &head, trouble);
    if (!r)
        r = replay_record(c->state, c->ledger, trouble);
    if (r == CHOIR_BAD_SIGNATURE)
        r = ledger_cut_unproven(c->ledger, &head);
    if (r)
        return r;
    if (c->state->size != head.size) {
        snprintf(trouble, 512, "replay ends at %llu of %llu entries",
                 (unsigned long long)c->state->size,
                 (unsigned long long)head.size);
        return -EUCLEAN;
    }
    c->durable_size = ledger_durable(c->ledger);
    c->durable_root = frontier_root(&c->state->tree);
    core_tree_follow(c);
    core_links_follow(c);
    r = say_what_happened(c, &head);
    if (r > 0) /* too full even for that: it is said at the next start */
        r = 0;
    return r ? trouble_set(trouble, r, "write", c->config->data) : 0;
}

int core_open(struct core **out, const struct core_options *o,
              char trouble[512])
{
    struct core *c = calloc(1, sizeof *c);
    int r;

    trouble[0] = '\0';
    *out = NULL;
    if (!c)
        return -ENOMEM;
    c->config = o->config;
    c->env = o->env;
    c->snapshot_keys = o->snapshot_keys ? o->snapshot_keys : SNAPSHOT_KEYS;
    core_values_open(c);
    c->state = state_new();
    r = c->state ? open_all(c, o->reserve_bytes, trouble) : -ENOMEM;
    if (r) {
        if (!trouble[0])
            snprintf(trouble, 512, "%s", strerror(-r));
        core_destroy(&c);
        return r;
    }
    *out = c;
    return 0;
}
