/* A record without clients: the daemon's own code makes the ledger, admits an
 * agent and opens its session; then this writes what that agent would have
 * sent, with real hashes and signatures, many bundles in a group, as fast as
 * one core can sign. choird replays it as it replays any other. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/ledger/ledger.h"
#include "proto/merkle.h"
#include "tests/bench/choir/member.h"
#include "tests/bench/choir/works.h"
#include "tests/support/rig.h"

enum { GROUP_ENTRIES = 1024, SYNC_GROUPS = 64, BUNDLE_MAX = 1024 };
enum { ADMIT_AT_ONCE = 256 };

struct record {
    struct record_plan plan;
    const char *dir; /* the ledger's */
    struct actor agent;
    struct meeting meeting;
    struct ledger *ledger;
    struct group group;
    uint64_t epoch, time, done, end, seed;
    char *value;
    struct buf heads[BUNDLE_MAX], payloads[BUNDLE_MAX], rows, header;
};

static void record_must(struct record *r, int result)
{
    if (result)
        load_die("the record: %s", ledger_trouble(r->ledger));
}

/* By the broker's word, as if each had been invited. */
static void admit(struct rig *rig, unsigned i)
{
    struct buf grants = {0};
    struct curve_pair curve;
    struct key_pair key;
    struct hash id;
    struct msg m, g;
    uint64_t index;
    char name[32];

    member_keys(i, &key, &curve);
    member_name(i, name);
    id = agent_id(key.public_key);
    msg_init(&g, MSG_GRANT_ROW);
    msg_set_text(&g, FIELD_SPACE, "bench");
    msg_set_u(&g, FIELD_RIGHTS, CHOIR_RIGHT_READ | CHOIR_RIGHT_WORK);
    msg_encode(&g, &grants);
    msg_init(&m, MSG_ADMIT);
    msg_set_hash(&m, FIELD_AGENT, &id);
    msg_set_text(&m, FIELD_NAME, name);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(key.public_key, 32));
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(curve.public_key, 32));
    msg_set_list(&m, FIELD_GRANTS, 1, buf_bytes(&grants));
    if (core_say(rig->core, &m, &index))
        load_die("agent %u cannot be admitted", i);
    buf_free(&grants);
}

static void admit_members(struct rig *rig, unsigned n)
{
    for (unsigned i = 0; i < n;) {
        core_begin(rig->core);
        for (unsigned end = i + ADMIT_AT_ONCE; i < n && i < end; i++)
            admit(rig, i);
        if (core_commit(rig->core))
            load_die("the record of the agents");
    }
}

/* Genesis, the agents and a session, in a directory that is then r->dir. */
static void record_begin(struct record *r, const char *dir)
{
    struct rig rig;

    setenv("TMPDIR", dir, 1);
    rig_open(&rig);
    actor_join(&rig, &r->agent, "bench-record", "bench",
               CHOIR_RIGHT_READ | CHOIR_RIGHT_WRITE);
    admit_members(&rig, r->plan.members);
    r->meeting.ledger = rig_state(&rig)->ledger;
    memcpy(r->meeting.curve, core_curve(rig.core)->public_key, KEY_CURVE_BYTES);
    core_destroy(&rig.core);
    if (rename(rig.dir, r->dir))
        load_die("%s: %s", r->dir, strerror(errno));
    config_destroy(&rig.config);
    env_destroy(&rig.env);
}

const struct meeting *record_meeting(const struct record *r)
{
    return &r->meeting;
}

static uint64_t key_next(struct record *r)
{
    return r->done < r->plan.keys ? r->done
                                  : load_random(&r->seed) % r->plan.keys;
}

static void put_make(struct record *r, struct buf *head, struct buf *payload)
{
    static const uint8_t salt[SLOT_SALT_BYTES] = {1};
    uint64_t number = key_next(r);
    char key[KEY_BYTES];
    struct msg op;

    key_text(key, number);
    memcpy(r->value, &r->done, sizeof r->done);
    buf_clear(payload);
    buf_put(payload, salt, sizeof salt);
    buf_put(payload, r->value, r->plan.value);
    buf_clear(&r->rows);
    slot_row(&r->rows, salt, bytes_of(r->value, r->plan.value));
    msg_init(&op, MSG_PUT);
    msg_set_text(&op, FIELD_SPACE, "bench");
    msg_set_text(&op, FIELD_KEY, key);
    msg_set_b(&op, FIELD_SLOTS, buf_bytes(&r->rows));
    buf_clear(head);
    msg_encode(&op, head);
    r->done++;
}

static struct hash root_of(const struct record *r, uint32_t n)
{
    struct hash leaves[BUNDLE_MAX], root;
    struct merkle tree = {0};

    for (uint32_t i = 0; i < n; i++)
        leaves[i] = op_hash(buf_bytes(&r->heads[i]));
    if (merkle_build(&tree, leaves, n))
        load_die("no memory");
    root = merkle_root(&tree);
    merkle_free(&tree);
    return root;
}

static void bundle_write(struct record *r, uint32_t n)
{
    struct actor *a = &r->agent;
    struct bundle_facts facts = {
        .kind = BUNDLE_RECORD,
        .ledger = r->meeting.ledger,
        .agent = a->id,
        .prev_hash = a->prev_hash,
        .session = a->session,
        .first_seq = a->next_seq,
        .answered = a->next_seq - 1,
        .epoch = r->epoch,
        .time = r->time,
    };
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct bytes none = {0}, header;
    struct hash root;

    for (uint32_t i = 0; i < n; i++)
        put_make(r, &r->heads[i], &r->payloads[i]);
    root = root_of(r, n);
    buf_clear(&r->header);
    bundle_header_put(&r->header, &facts, &root, n);
    header = buf_bytes(&r->header);
    key_sign(&a->key, KEY_FOR_BUNDLE, &r->meeting.ledger, header, signature);
    a->prev_hash = bundle_hash(header);
    a->next_seq += n;
    group_add_bundle(&r->group, header, signature);
    for (uint32_t i = 0; i < n; i++)
        group_add(&r->group, buf_bytes(&r->heads[i]),
                  buf_bytes(&r->payloads[i]), CHOIR_OK, none, none);
}

static void group_write(struct record *r)
{
    group_begin(&r->group, r->epoch, ledger_size(r->ledger), ++r->time);
    for (uint32_t n = 0; n < GROUP_ENTRIES && r->done < r->end;) {
        uint64_t left = r->end - r->done;
        uint32_t bundle =
            left < r->plan.bundle ? (uint32_t)left : r->plan.bundle;

        bundle_write(r, bundle);
        n += bundle;
    }
    record_must(r, ledger_room(r->ledger, group_bytes(&r->group.h)));
    record_must(r, ledger_append(r->ledger, &r->group));
}

struct record *record_new(const struct broker *b,
                          const struct record_plan *plan)
{
    struct record *r = calloc(1, sizeof *r);

    if (!r || !plan->bundle || plan->bundle > BUNDLE_MAX || plan->value < 8)
        load_die("a bundle holds 1 to %d puts of 8 bytes or more", BUNDLE_MAX);
    r->plan = *plan;
    r->dir = b->data;
    r->value = calloc(1, plan->value);
    record_begin(r, b->dir);
    return r;
}

void record_extend(struct record *r, uint64_t entries)
{
    struct env *env = env_real_new();
    struct ledger_options o = {.dir = r->dir, .env = env};
    struct ledger_head head;

    if (ledger_open(&r->ledger, &o, &head))
        load_die("the record: %s", head.trouble);
    r->epoch = head.epoch;
    r->time = env_wall_us(env) > head.time ? env_wall_us(env) : head.time;
    r->end = r->done + entries;
    for (unsigned n = 1; r->done < r->end; n++) {
        group_write(r);
        if (n % SYNC_GROUPS == 0)
            record_must(r, ledger_sync(r->ledger));
    }
    record_must(r, ledger_sync(r->ledger));
    ledger_close(&r->ledger);
    env_destroy(&env);
}

void record_free(struct record **self_p)
{
    struct record *r = *self_p;

    if (!r)
        return;
    for (size_t i = 0; i < BUNDLE_MAX; i++) {
        buf_free(&r->heads[i]);
        buf_free(&r->payloads[i]);
    }
    buf_free(&r->rows);
    buf_free(&r->header);
    group_free(&r->group);
    actor_free(&r->agent);
    free(r->value);
    free(r);
    *self_p = NULL;
}
