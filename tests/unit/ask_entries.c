/* What an export is made from: entries and gaps lead to the signed tree head,
 * nothing is shown to whoever may not see it, and what belongs together is
 * found. */
#include <sched.h>

#include "proto/evidence.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/hall.h"

static struct hall hall;
static struct guest ada, bob, cid;

static void begin(void)
{
    hall_open(&hall);
    guest_join(&hall, &ada, "ada", 127);
    guest_join(&hall, &bob, "bob", RIGHT_WRITE);
    guest_join(&hall, &cid, "cid", RIGHT_TAP);
}

static uint64_t size(void)
{
    return rig_state(&hall.rig)->size;
}

static uint64_t head(void)
{
    return size() - 1;
}

static uint64_t said(struct guest *g, struct msg *m, const char *value)
{
    CHECK_OK(guest_do(g, m, value));
    hall_settle(&hall);
    return head();
}

static struct msg on(enum message verb, const char *space, const char *key)
{
    struct msg m;

    msg_init(&m, verb);
    msg_set_text(&m, FIELD_SPACE, space);
    if (key)
        msg_set_text(&m, FIELD_KEY, key);
    return m;
}

static uint64_t put(struct guest *g, const char *key, const char *value)
{
    struct msg m = on(MSG_PUT, "main", key);

    return said(g, &m, value);
}

/* --- entries -------------------------------------------------------------- */

/* The tree that a reader builds from what it is told. */
struct rebuilt {
    struct frontier tree;
    struct hash root; /* that the broker signed */
    uint64_t size;
    unsigned entries, gaps;
};

static void told_begin(struct rebuilt *t, struct guest *g)
{
    const uint8_t *key = core_key(hall.rig.core)->public_key;
    const struct msg *r;
    struct note note;
    struct msg m;

    memset(t, 0, sizeof *t);
    msg_init(&m, MSG_ENTRIES);
    r = guest_reply(g, &m);
    CHECK_EQ(msg_u(r, FIELD_OUTCOME), 0);
    CHECK_OK(note_get(&note, msg_b(r, FIELD_TEXT), key));
    CHECK_EQ(note.size, msg_u(r, FIELD_SIZE));
    t->root = note.root;
    t->size = note.size;
    frontier_init(&t->tree);
}

static void gap_hear(struct rebuilt *t, struct bytes hashes, uint64_t to)
{
    struct subtree tiles[MERKLE_GAP_MAX];
    size_t n = merkle_gap(t->tree.size, to, tiles);

    CHECK_EQ(hashes.n, n * HASH_BYTES);
    for (size_t i = 0; i < n; i++) {
        struct hash h;

        memcpy(h.b, hashes.p + i * HASH_BYTES, HASH_BYTES);
        CHECK_OK(frontier_add_node(&t->tree, tiles[i].level, h));
    }
    t->gaps++;
}

static void entry_hear(struct rebuilt *t, struct bytes part, uint64_t revision)
{
    struct evidence evidence;
    const char *why;

    CHECK_OK(evidence_get(&evidence, part));
    CHECK_EQ(evidence.e.index, revision);
    CHECK_NULL(evidence.public_key);
    CHECK_OK(entry_check_place(&evidence.e, evidence.path, &why));
    CHECK_EQ(t->tree.size, revision);
    frontier_add(&t->tree, entry_leaf(&evidence.e));
    t->entries++;
}

/* Everything in the reply; to: where its last gap would end. */
static void hear(struct rebuilt *t, const struct msg *reply)
{
    struct list items = msg_list(reply, FIELD_ITEMS);
    struct msg item, next;
    bool has = list_next(&items, &item);

    CHECK_EQ(msg_u(reply, FIELD_OUTCOME), 0);
    while (has) {
        bool more = list_next(&items, &next);

        if (msg_u(&item, FIELD_KIND) == 2)
            gap_hear(t, msg_b(&item, FIELD_VALUE),
                     more ? msg_u(&next, FIELD_REVISION) : t->size);
        else
            entry_hear(t, msg_b(&item, FIELD_VALUE),
                       msg_u(&item, FIELD_REVISION));
        item = next;
        has = more;
    }
}

static struct msg entries(uint64_t of, uint64_t prev)
{
    struct msg m;

    msg_init(&m, MSG_ENTRIES);
    msg_set_u(&m, FIELD_SIZE, of);
    msg_set_u(&m, FIELD_PREV, prev);
    return m;
}

static const struct msg *named(struct guest *g, uint64_t of, uint64_t prev,
                               const uint64_t *indices, size_t n, uint64_t kind)
{
    uint8_t value[8 * 300];
    struct msg m = entries(of, prev);

    for (size_t i = 0; i < n; i++)
        put_u64(value + 8 * i, indices[i]);
    msg_set_b(&m, FIELD_VALUE, bytes_of(value, 8 * n));
    if (kind)
        msg_set_u(&m, FIELD_KIND, kind);
    guest_forget(g);
    return guest_reply(g, &m);
}

/* These of `t->size`, in as many asks as it takes, and the last gap. */
static void read_all(struct rebuilt *t, struct guest *g,
                     const uint64_t *indices, size_t n)
{
    uint64_t prev = 0;
    struct msg last;

    for (size_t at = 0; at < n;) {
        size_t some = n - at < 256 ? n - at : 256;
        const struct msg *r = named(g, t->size, prev, indices + at, some, 0);

        hear(t, r);
        CHECK(msg_u(r, FIELD_COUNT) > 0);
        at += msg_u(r, FIELD_COUNT);
        prev = indices[at - 1] + 1;
    }
    last = entries(t->size, prev);
    guest_forget(g);
    hear(t, guest_reply(g, &last));
}

static void check_root(const struct rebuilt *t)
{
    struct hash root = frontier_root(&t->tree);

    CHECK_EQ(t->tree.size, t->size);
    CHECK(hash_equal(&root, &t->root));
}

TEST(entries_and_gaps_lead_to_the_tree_head_whatever_is_chosen)
{
    uint64_t indices[80], x = 88172645463325252u;

    begin();
    while (size() < 64)
        put(&ada, "k", "v");
    for (unsigned round = 0; round < 200; round++) {
        struct rebuilt t;
        size_t n = 0;

        if (round % 6 == 0 && size() < 80)
            put(&ada, "k", "v");
        told_begin(&t, &ada);
        for (uint64_t i = 0; i < t.size; i++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            if (x % 64 < round % 64)
                indices[n++] = i;
        }
        read_all(&t, &ada, indices, n);
        CHECK_EQ(t.entries, n);
        check_root(&t);
    }
    hall_close(&hall);
}

TEST(gaps_are_told_across_the_levels_of_the_trees_files)
{
    uint64_t indices[8];
    struct rebuilt t;

    begin();
    while (size() < 700) {
        for (int i = 0; i < 100; i++)
            CHECK_OK(guest_put(&ada, "k", "v"));
        hall_settle(&hall);
    }
    told_begin(&t, &ada);
    indices[0] = 0;
    indices[1] = 255;
    indices[2] = 256;
    indices[3] = 300;
    indices[4] = 511;
    indices[5] = t.size - 2;
    read_all(&t, &ada, indices, 6);
    check_root(&t);
    told_begin(&t, &ada);
    read_all(&t, &ada, indices, 1);
    CHECK_EQ(t.gaps, 1);
    check_root(&t);
    hall_close(&hall);
}

/* What is asked for once says the same however the record goes on. */
TEST(entries_are_of_the_size_that_is_named)
{
    struct rebuilt t;
    struct msg m;
    uint64_t first;

    begin();
    first = put(&ada, "k", "v");
    for (int i = 0; i < 20; i++)
        put(&ada, "k", "v");
    told_begin(&t, &ada);
    put(&ada, "k", "later");
    m = entries(t.size, 0);
    msg_set_u(&m, FIELD_REVISION, first);
    msg_set_u(&m, FIELD_COUNT, 10);
    hear(&t, guest_reply(&ada, &m));
    CHECK_EQ(t.entries, 10);
    put(&ada, "k", "later");
    m = entries(t.size, first + 10);
    guest_forget(&ada);
    hear(&t, guest_reply(&ada, &m));
    check_root(&t);
    hall_close(&hall);
}

TEST(an_answer_is_bounded_and_says_how_many_it_holds)
{
    static char value[200001];
    struct rebuilt t;
    uint64_t indices[20], first = 0;

    begin();
    memset(value, 'v', sizeof value - 1);
    for (int i = 0; i < 20; i++)
        indices[i] = put(&ada, "k", value);
    first = indices[0];
    told_begin(&t, &ada);
    CHECK_EQ(msg_u(named(&ada, t.size, first, indices, 20, 0), FIELD_COUNT), 6);
    CHECK_EQ(msg_u(named(&ada, t.size, first, indices, 20, 1), FIELD_COUNT),
             20);
    read_all(&t, &ada, indices, 20);
    CHECK_EQ(t.entries, 20);
    check_root(&t);
    hall_close(&hall);
}

static int outcome(const struct msg *reply)
{
    return (int)msg_u(reply, FIELD_OUTCOME);
}

TEST(entries_that_do_not_fit_together_are_refused)
{
    uint64_t some[257], now;
    struct msg m;

    begin();
    for (int i = 0; i < 300; i++)
        CHECK_OK(guest_put(&ada, "k", "v"));
    hall_settle(&hall);
    now = size();
    for (unsigned i = 0; i < 257; i++)
        some[i] = i;
    CHECK_EQ(outcome(named(&ada, now, 0, some, 256, 0)), 0);
    CHECK_EQ(outcome(named(&ada, now, 0, some, 257, 0)), CHOIR_INVALID);
    CHECK_EQ(outcome(named(&ada, now, 6, some + 5, 2, 0)), CHOIR_INVALID);
    some[3] = 2;
    CHECK_EQ(outcome(named(&ada, now, 0, some, 5, 0)), CHOIR_INVALID);
    some[3] = now;
    CHECK_EQ(outcome(named(&ada, now, 0, some, 4, 0)), CHOIR_FUTURE);
    CHECK_EQ(outcome(named(&ada, now + 1, 0, some, 1, 0)), CHOIR_FUTURE);
    CHECK_EQ(outcome(named(&ada, 0, 0, some, 1, 0)), CHOIR_FUTURE);
    m = entries(now, now + 1);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    m = entries(now, 0);
    msg_set_b(&m, FIELD_VALUE, bytes_text("seven b"));
    guest_forget(&ada);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    msg_set_b(&m, FIELD_VALUE, bytes_of("\0\0\0\0\0\0\0", 8));
    msg_set_u(&m, FIELD_REVISION, 3);
    guest_forget(&ada);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    m = entries(now, 0);
    msg_set_u(&m, FIELD_REVISION, 3);
    msg_set_u(&m, FIELD_COUNT, 257);
    guest_forget(&ada);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    hall_close(&hall);
}

/* --- Who may see it ------------------------------------------------------- */

/* The evidence of the one entry in the reply, from which it borrows. */
static void part_of(const struct msg *reply, struct msg *part)
{
    struct list items = msg_list(reply, FIELD_ITEMS);
    struct msg item;
    unsigned field;

    CHECK_EQ(outcome(reply), 0);
    CHECK(list_next(&items, &item));
    CHECK_OK(
        part_decode(MSG_EVIDENCE, msg_b(&item, FIELD_VALUE), part, &field));
}

/* As it is told to that guest, until the next is. */
static void shown(struct guest *g, uint64_t index, struct msg *part)
{
    part_of(named(g, size(), index, &index, 1, 0), part);
}

static void check_marks(struct guest *g, uint64_t index, const char *marks,
                        size_t n)
{
    struct msg part;

    shown(g, index, &part);
    CHECK_EQ(msg_b(&part, FIELD_MARKS).n, n);
    if (n)
        CHECK_MEM(msg_b(&part, FIELD_MARKS).p, marks, n);
    CHECK_EQ(msg_has(&part, FIELD_PAYLOAD), n == 0);
}

TEST(entries_are_shown_to_their_author_and_to_who_may_tap_or_read)
{
    uint64_t hers, his, two[2];
    const struct msg *r;
    struct msg part;

    begin();
    hers = put(&ada, "k", "hers");
    his = put(&bob, "l", "his");
    check_marks(&ada, hers, "", 0);
    check_marks(&ada, his, "", 0);
    check_marks(&cid, hers, "\x03", 1); /* may tap, not read */
    check_marks(&bob, his, "\x03", 1);  /* not even what he said himself */
    r = named(&bob, size(), hers, &hers, 1, 0);
    CHECK_EQ(outcome(r), CHOIR_NOT_FOUND);
    CHECK_EQ(msg_u(r, FIELD_REVISION), hers);
    two[0] = 0;
    two[1] = hers; /* the first of them is told */
    r = named(&bob, size(), 0, two, 2, 0);
    CHECK_EQ(outcome(r), 0);
    CHECK_EQ(msg_u(r, FIELD_COUNT), 1);
    r = named(&ada, size(), hers, &hers, 1, 1); /* as she asks */
    part_of(r, &part);
    CHECK(bytes_equal(msg_b(&part, FIELD_MARKS), bytes_text("\x03")));
    hall_close(&hall);
}

TEST(whose_a_key_is_is_shown_to_everybody)
{
    struct msg m;
    uint64_t suspect, refused, revoke;

    begin();
    shown(&bob, 0, &m);
    shown(&bob,
          agent_by_id(rig_state(&hall.rig)->agents, &ada.actor.id)->enrolled,
          &m);
    shown(&bob, ada.actor.session, &m);
    msg_init(&m, MSG_SUSPECT);
    msg_set_hash(&m, FIELD_AGENT, &cid.actor.id);
    msg_set_u(&m, FIELD_REVISION, 1);
    suspect = said(&ada, &m, NULL);
    shown(&bob, suspect, &m);
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    refused = said(&cid, &m, NULL);
    CHECK_EQ(outcome(named(&bob, size(), refused, &refused, 1, 0)),
             CHOIR_NOT_FOUND);
    msg_set_hash(&m, FIELD_AGENT, &cid.actor.id);
    revoke = said(&ada, &m, NULL);
    shown(&bob, revoke, &m);
    hall_close(&hall);
}

TEST(what_is_erased_or_compacted_is_marked_so)
{
    struct msg m = on(MSG_ERASE, "main", "k");
    uint64_t first, second, third;

    begin();
    first = put(&ada, "k", "one");
    second = put(&ada, "k", "two");
    third = put(&ada, "k", "three");
    msg_set_u(&m, FIELD_REVISION, second);
    said(&ada, &m, NULL);
    check_marks(&ada, first, "", 0);
    check_marks(&ada, second, "\x01", 1);
    check_marks(&cid, second, "\x01", 1); /* not left out: it is gone */
    check_marks(&ada, third, "", 0);
    hall_close(&hall);
}

TEST(entries_are_told_alike_after_their_segment_was_written_again)
{
    struct msg m = on(MSG_ERASE, "main", "k");
    uint64_t first, second;
    static char value[4001];
    struct rebuilt t;

    begin();
    memset(value, 'v', sizeof value - 1);
    first = put(&ada, "k", value);
    second = put(&ada, "k", "two"); /* moves when that one goes */
    check_marks(&ada, first, "", 0);
    check_marks(&ada, second, "", 0);
    msg_set_u(&m, FIELD_REVISION, first);
    said(&ada, &m, NULL);
    hall_pass(&hall, 1000);
    do {
        hall_turn(&hall);
        sched_yield();
    } while (core_reclaims(hall.rig.core));
    check_marks(&ada, second, "", 0);
    check_marks(&ada, first, "\x01", 1);
    told_begin(&t, &ada);
    read_all(&t, &ada, &second, 1);
    check_root(&t);
    hall_close(&hall);
}

TEST(wrong_files_of_the_tree_give_no_gap_and_are_made_anew)
{
    struct rebuilt t;
    uint64_t at;

    begin();
    while (size() < 50)
        put(&ada, "k", "v");
    told_begin(&t, &ada);
    at = 40;
    hall_damage_leaf(&hall, 5);
    CHECK_EQ(outcome(named(&ada, t.size, 0, &at, 1, 0)), CHOIR_BUSY);
    hall_settle(&hall);
    read_all(&t, &ada, &at, 1);
    check_root(&t);
    hall_close(&hall);
}

/* --- select --------------------------------------------------------------- */

struct found {
    uint64_t at[600];
    size_t n, items;
};

static void found_add(struct found *f, const struct msg *reply)
{
    struct list items = msg_list(reply, FIELD_ITEMS);
    struct msg item;

    CHECK_EQ(outcome(reply), 0);
    for (; list_next(&items, &item); f->items++) {
        const struct entry *e;
        struct hash by = msg_hash(&item, FIELD_AGENT), said_by;

        for (uint64_t i = 0; i < msg_u(&item, FIELD_COUNT); i++) {
            uint64_t at = msg_u(&item, FIELD_REVISION) + i;

            CHECK_OK(ledger_entry(core_ledger(hall.rig.core), at, &e));
            said_by = msg_hash(&e->bundle, FIELD_AGENT);
            CHECK(hash_equal(&by, &said_by));
            CHECK_EQ(msg_u(&item, FIELD_SESSION), e->session);
            CHECK(f->n < 600);
            f->at[f->n++] = at;
        }
    }
}

static struct found selected(struct guest *g, struct msg m)
{
    struct found f = {.n = 0};
    const struct msg *r;
    bool more;

    do {
        guest_forget(g);
        r = guest_reply(g, &m);
        found_add(&f, r);
        more = msg_has(r, FIELD_REVISION) || msg_has(r, FIELD_SIZE);
        if (msg_has(r, FIELD_REVISION))
            msg_set_u(&m, FIELD_REVISION, msg_u(r, FIELD_REVISION));
        if (msg_has(r, FIELD_SIZE))
            msg_set_u(&m, FIELD_SIZE, msg_u(r, FIELD_SIZE));
    } while (more);
    return f;
}

static void check_found(struct guest *g, struct msg m, const uint64_t *at,
                        size_t n)
{
    struct found f = selected(g, m);

    CHECK_EQ(f.n, n);
    for (size_t i = 0; i < n; i++)
        CHECK_EQ(f.at[i], at[i]);
}

static struct msg select_by(unsigned kind)
{
    struct msg m;

    msg_init(&m, MSG_SELECT);
    msg_set_u(&m, FIELD_KIND, kind);
    return m;
}

TEST(a_keys_versions_are_found_newest_first_however_they_were_made)
{
    struct msg m, one, write;
    struct buf writes = {0};
    uint64_t at[40];
    size_t n = 40;

    begin();
    for (unsigned i = 0; i < 36; i++) {
        at[--n] = put(i % 2 ? &ada : &bob, "k", "v");
        put(&ada, "other", "v");
    }
    m = on(MSG_DELETE, "main", "k");
    at[--n] = said(&ada, &m, NULL);
    m = on(MSG_INCR, "main", "k");
    at[--n] = said(&ada, &m, "\x01");
    m = on(MSG_PUT, "elsewhere", "k");
    said(&ada, &m, "v");
    msg_init(&write, MSG_WRITE);
    msg_set_text(&write, FIELD_KEY, "k");
    msg_encode(&write, &writes);
    m = on(MSG_TXN, "main", NULL);
    msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    at[--n] = said(&ada, &m, NULL);
    at[--n] = put(&ada, "k", "last");
    CHECK_EQ(n, 0);
    one = select_by(1);
    msg_set_text(&one, FIELD_SPACE, "main");
    msg_set_text(&one, FIELD_KEY, "k");
    check_found(&ada, one, at, 40);
    check_found(&cid, one, at, 40);
    msg_set_u(&one, FIELD_COUNT, 7);
    check_found(&ada, one, at, 40);
    msg_set_u(&one, FIELD_SIZE, at[3]); /* below that one */
    msg_set_u(&one, FIELD_REVISION, at[10]);
    check_found(&ada, one, at + 4, 7);
    one = select_by(1);
    msg_set_text(&one, FIELD_SPACE, "main");
    msg_set_text(&one, FIELD_KEY, "no such");
    check_found(&ada, one, NULL, 0);
    msg_set_text(&one, FIELD_KEY, "other"); /* to bob it is not there either */
    check_found(&bob, one, NULL, 0);
    msg_set_text(&one, FIELD_KEY, "k");
    CHECK_EQ(selected(&bob, one).n, 18); /* but his own */
    buf_free(&writes);
    hall_close(&hall);
}

/* However many versions are not told: one turn looks at so many. */
TEST(a_keys_versions_that_may_not_be_seen_are_passed_over_a_page_a_turn)
{
    enum { VERSIONS = 2500 };
    const struct msg *r;
    struct msg one;

    begin();
    one = on(MSG_PUT, "main", "k");
    CHECK_OK(guest_do_times(&ada, &one, "v", VERSIONS));
    one = select_by(1);
    msg_set_text(&one, FIELD_SPACE, "main");
    msg_set_text(&one, FIELD_KEY, "k");
    r = guest_reply(&bob, &one);
    CHECK_EQ(msg_u(r, FIELD_OUTCOME), CHOIR_OK);
    CHECK(msg_has(r, FIELD_SIZE)); /* goes on there */
    hall_close(&hall);
}

static uint64_t submit(const char *space)
{
    struct msg m = on(MSG_SUBMIT, space, NULL);

    msg_set_text(&m, FIELD_QUEUE, "q");
    return said(&ada, &m, "do it");
}

/* A write under a lease, then its completion, which writes as well. */
static void work(uint64_t task, uint64_t at[4])
{
    struct bytes done = bytes_text("done");
    struct buf writes = {0};
    struct msg m, write;
    uint64_t token;

    CHECK_OK(rig_claim(&hall.rig, &ada.actor, task, &token));
    at[0] = task;
    at[1] = token;
    put(&ada, "between", "v");
    m = on(MSG_PUT, "main", "k");
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    at[2] = said(&ada, &m, "v");
    msg_init(&write, MSG_WRITE);
    msg_set_text(&write, FIELD_KEY, "k");
    msg_set_u(&write, FIELD_SLOT, 0);
    msg_encode(&write, &writes);
    msg_init(&m, MSG_COMPLETE);
    msg_set_u(&m, FIELD_TASK, task);
    msg_set_u(&m, FIELD_TOKEN, token);
    msg_set_list(&m, FIELD_WRITES, 1, buf_bytes(&writes));
    CHECK_OK(guest_do_n(&ada, &m, &done, 1));
    hall_settle(&hall);
    at[3] = head();
    CHECK(task_by_id(rig_state(&hall.rig)->tasks, task)->state ==
          TASK_COMPLETED);
    buf_free(&writes);
}

TEST(a_task_is_found_with_all_that_names_it)
{
    struct msg m = select_by(2);
    uint64_t at[4], versions[2];

    begin();
    put(&ada, "before", "v");
    work(submit("main"), at);
    put(&ada, "after", "v");
    submit("main");
    msg_set_u(&m, FIELD_TASK, at[0]);
    check_found(&ada, m, at, 4);
    check_found(&cid, m, at, 4);
    check_found(&bob, m, NULL, 0);
    versions[0] = at[3]; /* a page that begins with a completion */
    versions[1] = at[2];
    m = select_by(1);
    msg_set_text(&m, FIELD_SPACE, "main");
    msg_set_text(&m, FIELD_KEY, "k");
    put(&ada, "k", "v");
    msg_set_u(&m, FIELD_SIZE, at[3] + 1);
    check_found(&ada, m, versions, 2);
    hall_close(&hall);
}

TEST(a_space_is_found_with_its_tasks)
{
    struct msg m;
    uint64_t at[3];

    begin();
    put(&ada, "k", "v");
    m = on(MSG_PUT, "red", "k");
    at[0] = said(&ada, &m, "v");
    at[1] = submit("red");
    submit("main");
    msg_init(&m, MSG_CANCEL);
    msg_set_u(&m, FIELD_TASK, at[1]);
    at[2] = said(&ada, &m, NULL);
    m = select_by(4);
    msg_set_text(&m, FIELD_SPACE, "red");
    check_found(&ada, m, at, 3);
    msg_set_text(&m, FIELD_SPACE, "blue");
    check_found(&ada, m, NULL, 0);
    hall_close(&hall);
}

TEST(an_agents_entries_are_found_as_runs)
{
    struct msg m = select_by(5);
    struct found f;

    begin();
    for (int i = 0; i < 300; i++)
        CHECK_OK(guest_put(&bob, "k", "v"));
    hall_settle(&hall);
    put(&ada, "k", "v");
    put(&bob, "k", "v");
    msg_set_hash(&m, FIELD_AGENT, &bob.actor.id);
    f = selected(&ada, m);
    CHECK_EQ(f.n, 303); /* enrol, session_open */
    CHECK(f.items <= 5);
    CHECK_EQ(selected(&bob, m).n, 303);
    msg_set_hash(&m, FIELD_AGENT, &ada.actor.id);
    CHECK(selected(&ada, m).n > selected(&bob, m).n);
    hall_close(&hall);
}

TEST(of_a_stretch_all_is_found_or_what_may_not_be_seen_is_said)
{
    struct msg m = select_by(3);
    const struct msg *r;
    uint64_t hers;

    begin();
    hers = put(&ada, "k", "v");
    put(&bob, "k", "v");
    msg_set_u(&m, FIELD_REVISION, 3);
    CHECK_EQ(selected(&ada, m).n, size() - 3);
    msg_set_u(&m, FIELD_REVISION, hers);
    r = guest_reply(&bob, &m);
    CHECK_EQ(outcome(r), CHOIR_NOT_FOUND);
    CHECK_EQ(msg_u(r, FIELD_REVISION), hers);
    msg_set_u(&m, FIELD_REVISION, bob.actor.session);
    guest_forget(&bob); /* what comes before it is told first */
    r = guest_reply(&bob, &m);
    CHECK_EQ(outcome(r), 0);
    CHECK(msg_u(r, FIELD_REVISION) > bob.actor.session);
    hall_close(&hall);
}

TEST(a_selection_looks_at_a_bounded_number_of_entries_and_goes_on)
{
    struct msg m = select_by(4);
    const struct msg *r;

    begin();
    while (size() < 2000) {
        for (int i = 0; i < 100; i++)
            CHECK_OK(guest_put(&ada, "k", "v"));
        hall_settle(&hall);
        guest_forget(&ada);
        ada.actor.answered = ada.actor.next_seq - 1;
    }
    msg_set_text(&m, FIELD_SPACE, "main");
    r = guest_reply(&ada, &m);
    CHECK(msg_u(r, FIELD_REVISION) > 1800);
    CHECK(msg_u(r, FIELD_REVISION) < 1900);
    m = select_by(3); /* as many as fit, and then again */
    msg_set_u(&m, FIELD_REVISION, size() - 500);
    CHECK_EQ(selected(&ada, m).n, 500);
    hall_close(&hall);
}

TEST(what_says_whose_a_key_is_is_found_with_whose)
{
    struct msg m = select_by(6), item;
    const struct msg *r;
    struct list items;
    unsigned enrolled = 0, revoked = 0, opened = 0;

    begin();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &cid.actor.id);
    said(&ada, &m, NULL);
    m = select_by(6);
    guest_forget(&bob);
    r = guest_reply(&bob, &m);
    CHECK_EQ(outcome(r), 0);
    items = msg_list(r, FIELD_ITEMS);
    while (list_next(&items, &item)) {
        struct hash whose = msg_hash(&item, FIELD_HOLDER);

        CHECK_EQ(msg_u(&item, FIELD_COUNT), 1);
        enrolled += msg_u(&item, FIELD_OPERATION) == MSG_ENROL;
        opened += msg_u(&item, FIELD_OPERATION) == MSG_SESSION_OPEN;
        if (msg_u(&item, FIELD_OPERATION) != MSG_REVOKE)
            continue;
        revoked++;
        CHECK(hash_equal(&whose, &cid.actor.id));
        CHECK(
            bytes_equal(msg_b(&item, FIELD_AGENT), hash_bytes(&ada.actor.id)));
    }
    CHECK_EQ(enrolled, 3);
    CHECK_EQ(revoked, 1);
    CHECK_EQ(opened, 0);
    hall_close(&hall);
}

TEST(selections_that_do_not_fit_together_are_refused)
{
    struct msg m;

    begin();
    for (unsigned kind = 0; kind < 9; kind++) {
        m = select_by(kind);
        guest_forget(&ada);
        CHECK_EQ(outcome(guest_reply(&ada, &m)),
                 kind == 3 || kind == 6 ? 0 : CHOIR_INVALID);
    }
    m = select_by(1);
    msg_set_text(&m, FIELD_SPACE, "main"); /* and no key */
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    m = select_by(3);
    msg_set_u(&m, FIELD_REVISION, 3);
    msg_set_u(&m, FIELD_SIZE, 2);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_INVALID);
    msg_set_u(&m, FIELD_SIZE, size() + 1);
    CHECK_EQ(outcome(guest_reply(&ada, &m)), CHOIR_FUTURE);
    hall_close(&hall);
}

CHECK_MAIN
