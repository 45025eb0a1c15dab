#include "tests/check.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/file.h"
#include "broker/ledger/snapshot.h"
#include "proto/armour.h"
#include "proto/refusal.h"
#include "tests/support/scribe.h"
#include "tools/verify.h"

static char dir[200];
static struct env *env;
static struct scribe s;
static struct ledger *l;
static struct verify_report report;

static uint64_t segment_bytes = 2048, room = 4096;

static void reopen(void)
{
    struct ledger_options o = {.dir = dir,
                               .env = env,
                               .segment_bytes = segment_bytes,
                               .reserve_bytes = 256};
    struct ledger_head head;

    ledger_close(&l);
    if (ledger_open(&l, &o, &head))
        fail_msg("%s", head.trouble);
}

static void begin(void)
{
    const char *tmp = getenv("TMPDIR");
    struct ledger_options o = {.dir = dir};

    snprintf(dir, sizeof dir, "%s/verify-XXXXXX", tmp ? tmp : "/tmp");
    CHECK(mkdtemp(dir));
    o.env = env = env_sim_new(1);
    scribe_init(&s);
    scribe_genesis(&s);
    CHECK_OK(ledger_create(&o, &s.ledger, &s.g));
    reopen();
}

static void write_group(void)
{
    CHECK_OK(ledger_room(l, room));
    CHECK_OK(ledger_append(l, &s.g));
    CHECK_OK(ledger_sync(l));
}

static void puts_group(uint32_t n)
{
    scribe_group(&s, n, 20);
    write_group();
}

static void seal(void)
{
    CHECK_OK(ledger_seal(l));
    ledger_close(&l);
}

static void end(void)
{
    char command[300];

    ledger_close(&l);
    scribe_free(&s);
    env_destroy(&env);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    CHECK_OK(system(command));
}

static void passes(const uint8_t *key)
{
    int r = verify_ledger(dir, key, &report);

    if (r)
        fail_msg("%d %s: %s", r, report.in, report.why);
}

static void fails(const char *why)
{
    int r = verify_ledger(dir, NULL, &report);

    if (r != CHOIR_BROKEN || !strstr(report.why, why))
        fail_msg("%d %s: %s, and not: %s", r, report.in, report.why, why);
}

static char printed[4096];

static void print(int result)
{
    FILE *out = fmemopen(printed, sizeof printed, "w");

    verify_print(&report, result, out);
    fclose(out);
}

TEST(verify_says_what_it_checked)
{
    struct hash root;

    begin();
    for (int i = 0; i < 5; i++)
        puts_group(3);
    scribe_begin(&s);
    scribe_checkpoint(&s);
    scribe_puts(&s, 2, 100);
    scribe_checkpoint(&s);
    write_group();
    passes(NULL);
    CHECK_NOT(report.sealed);
    seal();
    passes(NULL);
    root = frontier_root(&s.tree);
    CHECK(report.sealed);
    CHECK_EQ(report.counts.entries, s.tree.size);
    CHECK_EQ(report.counts.groups, 7);
    CHECK_EQ(report.counts.bundles, 3 + 5 + 3);
    CHECK_EQ(report.counts.payloads, 5 * 3 + 2);
    CHECK_EQ(report.counts.checkpoints, 2);
    CHECK_EQ(report.counts.agents, 1);
    CHECK_EQ(report.counts.sessions, 1);
    CHECK(report.counts.segments > 1);
    CHECK_MEM(report.root.b, root.b, HASH_BYTES);
    print(0);
    CHECK(strstr(printed, "signed by unknown key"));
    CHECK(strstr(printed, "11 bundles: signature"));
    end();
}

TEST(verify_pins_the_broker_key)
{
    begin();
    seal();
    passes(s.broker.public_key);
    print(0);
    CHECK(strstr(printed, "signed by the pinned key"));
    CHECK_EQ(verify_ledger(dir, s.agent.public_key, &report), CHOIR_BROKEN);
    CHECK(strstr(report.why, "not the one that was pinned"));
    print(CHOIR_BROKEN);
    CHECK(strstr(printed, "BROKEN: segment-0000000001, byte 144, entry 0"));
    end();
}

TEST(verify_reads_a_key_from_hex_file_and_armour)
{
    char text[HASH_HEX], path[300];
    struct hash h = {{1, 2, 3}}, key = {{0}};
    struct buf out = {0};
    struct msg m;

    begin();
    hash_hex(&h, text);
    CHECK_OK(verify_key_read(text, key.b));
    CHECK(hash_equal(&key, &h));
    snprintf(path, sizeof path, "%s/key", dir);
    CHECK_OK(file_write_atomic(path, text, strlen(text), 0600));
    CHECK_OK(verify_key_read(path, key.b));
    msg_init(&m, MSG_INVITATION);
    for (unsigned f = 1; f < FIELD_END; f++)
        if (f == FIELD_CURVE_KEY || f == FIELD_SECRET || f == FIELD_LEDGER ||
            f == FIELD_BROKER_KEY || f == FIELD_BROKER_CURVE)
            msg_set_hash(&m, f, &h);
    msg_set_text(&m, FIELD_URL, "tcp://localhost:1");
    CHECK_OK(armour_put(&out, &m));
    CHECK_OK(file_write_atomic(path, out.p, out.n, 0600));
    key = (struct hash){{0}};
    CHECK_OK(verify_key_read(path, key.b));
    CHECK(hash_equal(&key, &h));
    CHECK_OK(file_write_atomic(path, "nothing", 7, 0600));
    CHECK_EQ(verify_key_read(path, key.b), -EINVAL);
    CHECK_EQ(verify_key_read("/no/such/file", key.b), -ENOENT);
    buf_free(&out);
    end();
}

/* All hashes, sums and chains are made to fit; the signature alone is not the
 * agent's. */
TEST(verify_catches_a_forged_signature_whose_hashes_are_valid)
{
    uint64_t at;

    begin();
    for (int i = 0; i < 10; i++)
        puts_group(2);
    at = s.tree.size;
    s.forge = true;
    puts_group(2);
    for (int i = 0; i < 3; i++)
        puts_group(2);
    seal();
    reopen(); /* the daemon reads no signatures when it starts */
    fails("forged");
    CHECK_EQ(report.at.index, at);
    CHECK(report.at.segment > 1);
    end();
}

TEST(verify_refuses_every_flipped_byte_of_a_sealed_ledger)
{
    struct pool *alone = pool_new(0); /* threads for a page cost more than it */
    struct dirent *e;
    DIR *d;
    int files = 0;

    /* nor shall each buffer be a page fault for each of its pages */
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
    begin();
    CHECK(alone);
    room = 1024; /* what one of them needs; more would be zeros to flip */
    for (int i = 0; i < 3; i++)
        puts_group(1);
    room = 4096;
    seal();
    passes(NULL);
    d = opendir(dir);
    while ((e = readdir(d))) {
        char path[500];
        struct stat st;
        int fd;

        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        CHECK_OK(stat(path, &st));
        if (!S_ISREG(st.st_mode) || strcmp(e->d_name, "LOCK") == 0)
            continue;
        files++;
        fd = open(path, O_RDWR);
        for (off_t at = 0; at < st.st_size; at++) {
            uint8_t byte, flipped;

            CHECK_OK(file_pread_all(fd, &byte, 1, at));
            flipped = byte ^ (uint8_t)(1 << at % 8);
            CHECK_OK(file_pwrite_all(fd, &flipped, 1, at));
            if (verify_ledger_with(alone, dir, NULL, &report) != CHOIR_BROKEN)
                fail_msg("byte %d of %s passes", (int)at, e->d_name);
            if (!report.why[0] || (strcmp(report.in, e->d_name) != 0 &&
                                   strcmp(report.in, "seal") != 0))
                fail_msg("byte %d of %s is laid to %s", (int)at, e->d_name,
                         report.in);
            CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
        }
        close(fd);
    }
    closedir(d);
    pool_destroy(&alone);
    CHECK(files >= 3);
    passes(NULL);
    end();
}

TEST(verify_names_the_entry_of_a_flipped_payload_byte)
{
    char path[300], *bytes;
    size_t n;

    begin();
    puts_group(4);
    seal();
    snprintf(path, sizeof path, "%s/segment-0000000002", dir);
    if (access(path, F_OK))
        snprintf(path, sizeof path, "%s/segment-0000000001", dir);
    CHECK_OK(file_read_whole(path, 1 << 20, &bytes, &n));
    while (n && bytes[n - 1] == 0) /* behind the last payload */
        n--;
    bytes[n - 1] ^= 1;
    {
        int fd = open(path, O_RDWR);

        CHECK_OK(file_pwrite_all(fd, bytes, n, 0));
        close(fd);
    }
    fails("payload");
    CHECK_EQ(report.at.index, s.tree.size - 1);
    free(bytes);
    end();
}

TEST(verify_leaves_a_torn_tail_to_the_broker)
{
    char path[300];
    struct stat st;
    int fd;

    begin();
    scribe_group(&s, 1, 5);
    ledger_close(&l);
    snprintf(path, sizeof path, "%s/segment-0000000001", dir);
    fd = open(path, O_RDWR | O_APPEND);
    CHECK_OK(file_write_all(fd, "CHGRgarbage", 11));
    close(fd);
    passes(NULL);
    CHECK_EQ(report.tail_bytes, 11);
    CHECK_EQ(report.counts.entries, 3);
    CHECK_OK(stat(path, &st)); /* and it is still there */
    print(0);
    CHECK(strstr(printed, "never known durable"));
    end();
}

TEST(verify_refuses_damage_below_synced)
{
    char path[300];
    int fd;

    begin();
    puts_group(1);
    puts_group(1);
    ledger_close(&l);
    snprintf(path, sizeof path, "%s/segment-0000000001", dir);
    fd = open(path, O_RDWR);
    CHECK_OK(file_pwrite_all(fd, "xxxx", 4, 400));
    close(fd);
    fails("hashes");
    CHECK_EQ(report.at.index, 0);
    end();
}

/* One rule each: the bytes are in order, what they say is not. */
static void breaks(const char *why)
{
    write_group();
    seal();
    fails(why);
    end();
}

TEST(verify_refuses_a_gap_in_a_session)
{
    begin();
    s.next_seq += 1;
    scribe_group(&s, 1, 5);
    breaks("number 2 where 1 is due");
}

TEST(verify_refuses_a_broken_session_chain)
{
    begin();
    s.prev.b[0] ^= 1;
    scribe_group(&s, 1, 5);
    breaks("does not follow its author's");
}

TEST(verify_refuses_an_unknown_session)
{
    begin();
    s.session++;
    scribe_group(&s, 1, 5);
    breaks("never opened");
}

TEST(verify_refuses_another_agents_session)
{
    begin();
    s.agent_id.b[0] ^= 1;
    scribe_group(&s, 1, 5);
    breaks("another agent's session");
}

TEST(verify_refuses_a_bundle_for_another_ledger)
{
    begin();
    s.ledger.b[0] ^= 1;
    scribe_group(&s, 1, 5);
    breaks("another ledger");
}

/* The first entry of the group at hand, which is one bundle: its length, its
 * outcome and its effect's length, its head. */
static uint8_t *first_entry(void)
{
    return s.g.heads.p + 4 + get_u32(s.g.heads.p) + KEY_SIGNATURE_BYTES;
}

static void puts_to_spoil(void)
{
    begin();
    scribe_group(&s, 100, 5);
}

/* Checksums and chains are made to fit what was spoilt. */
TEST(verify_refuses_a_payload_of_another_hash)
{
    puts_to_spoil();
    s.g.payload.p[s.g.payload.n - 1] ^= 1;
    breaks("a payload does not fit its hash");
    CHECK_EQ(report.at.index, s.tree.size - 1);
}

TEST(verify_refuses_operations_that_were_not_signed)
{
    uint8_t *space;

    puts_to_spoil();
    space = memmem(first_entry(), 100, "main", 4);
    CHECK(space);
    *space = 'l';
    breaks("not those it was signed over");
}

TEST(verify_refuses_an_outcome_that_is_none)
{
    puts_to_spoil();
    first_entry()[7] = 250;
    breaks("an outcome that is none");
}

TEST(verify_refuses_an_operation_without_a_row)
{
    puts_to_spoil();
    CHECK_EQ(first_entry()[10], MSG_PUT);
    first_entry()[10] = 0x7e;
    breaks("an operation that cannot be read");
}

TEST(verify_refuses_a_group_that_holds_less_than_it_says)
{
    puts_to_spoil();
    s.g.payload.n--;
    breaks("does not hold what it says");
}

static void ended(enum message verb)
{
    struct msg m;

    begin();
    msg_init(&m, verb);
    msg_set_u(&m, FIELD_SESSION, s.session);
    scribe_begin(&s);
    scribe_broker(&s, &m);
    scribe_puts(&s, 1, 5);
}

TEST(verify_refuses_a_bundle_after_its_session)
{
    ended(MSG_SESSION_END);
    breaks("has ended");
}

TEST(verify_refuses_an_agents_operation_by_the_broker)
{
    struct msg m;

    begin();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &s.agent_id);
    scribe_begin(&s);
    scribe_broker(&s, &m);
    breaks("may not say");
}

TEST(verify_refuses_a_checkpoint_of_another_tree)
{
    begin();
    scribe_begin(&s);
    s.tree.edge[0].b[0] ^= 1;
    scribe_checkpoint(&s);
    breaks("another tree");
}

TEST(verify_refuses_a_checkpoint_with_another_note)
{
    struct key_pair broker;

    begin();
    broker = s.broker;
    scribe_begin(&s);
    s.broker.public_key[0] ^= 1; /* so the note's key id is another */
    scribe_checkpoint(&s);
    s.broker = broker;
    breaks("note is not signed");
}

TEST(verify_refuses_an_agent_whose_id_is_not_its_keys_hash)
{
    struct hash zero = {{0}};
    struct msg m;

    begin();
    msg_init(&m, MSG_ADMIT);
    msg_set_hash(&m, FIELD_AGENT, &zero);
    msg_set_text(&m, FIELD_NAME, "eve");
    msg_set_hash(&m, FIELD_PUBLIC_KEY, &zero);
    msg_set_hash(&m, FIELD_CURVE_KEY, &zero);
    msg_set_list(&m, FIELD_GRANTS, 0, (struct bytes){0});
    scribe_begin(&s);
    scribe_broker(&s, &m);
    breaks("not the hash of its key");
}

/* --- Many runs, any number of threads ------------------------------------ */

static struct verify_report with[4];

/* The same report whoever works, and this one. */
static void same_with_any_threads(int wanted)
{
    static const unsigned helpers[4] = {0, 1, 3, 16};

    for (size_t i = 0; i < 4; i++) {
        struct pool *pool = pool_new(helpers[i]);

        CHECK(pool);
        memset(&with[i], 0, sizeof with[i]);
        CHECK_EQ(verify_ledger_with(pool, dir, NULL, &with[i]), wanted);
        pool_destroy(&pool);
        CHECK_STR(with[i].in, with[0].in);
        CHECK_STR(with[i].why, with[0].why);
        CHECK_MEM(&with[i].at, &with[0].at, sizeof with[i].at);
        CHECK_MEM(&with[i].counts, &with[0].counts, sizeof with[i].counts);
        CHECK_MEM(with[i].root.b, with[0].root.b, HASH_BYTES);
    }
    report = with[0];
}

/* Some megabytes: groups of all sizes, one longer than any run, several
 * segments. */
static void begin_long(void)
{
    segment_bytes = 1 << 20;
    begin();
    for (uint32_t i = 0; i < 60; i++) {
        scribe_begin(&s);
        scribe_puts(&s, 1 + i * 7 % 100, 10 + i * 331 % 3000);
        scribe_puts(&s, 1, i == 30 ? 700000 : 1);
        if (i % 9 == 0)
            scribe_checkpoint(&s);
        CHECK_OK(ledger_room(l, s.g.heads.n + s.g.payload.n + 4096));
        CHECK_OK(ledger_append(l, &s.g));
        CHECK_OK(ledger_sync(l));
    }
}

static void end_long(void)
{
    segment_bytes = 2048;
    end();
}

TEST(verify_says_the_same_with_any_number_of_threads)
{
    struct hash root;

    begin_long();
    same_with_any_threads(0); /* not sealed: zeros behind the end */
    CHECK_EQ(report.counts.entries, s.tree.size);
    seal();
    same_with_any_threads(0);
    root = frontier_root(&s.tree);
    CHECK_MEM(report.root.b, root.b, HASH_BYTES);
    CHECK_EQ(report.counts.groups, 61);
    CHECK(report.counts.segments > 3);
    end_long();
}

TEST(verify_names_the_same_first_failure_with_any_number_of_threads)
{
    uint64_t at, entries = 0;

    begin_long();
    at = s.tree.size;
    s.forge = true; /* whoever reads ahead has met the later faults by then */
    puts_group(3);
    s.next_seq++;
    puts_group(2);
    s.tree.edge[0].b[0] ^= 1;
    scribe_begin(&s);
    scribe_checkpoint(&s);
    write_group();
    seal();
    same_with_any_threads(CHOIR_BROKEN);
    CHECK(strstr(report.why, "forged"));
    CHECK_EQ(report.at.index, at);
    entries = report.counts.entries;
    CHECK(entries >= at);
    end_long();
}

static void flip(uint64_t number, off_t at)
{
    char path[300];
    uint8_t byte;
    int fd;

    snprintf(path, sizeof path, "%s/segment-%010d", dir, (int)number);
    fd = open(path, O_RDWR);
    CHECK_OK(file_pread_all(fd, &byte, 1, at));
    byte ^= 1;
    CHECK_OK(file_pwrite_all(fd, &byte, 1, at));
    close(fd);
}

TEST(verify_names_the_same_flipped_byte_with_any_number_of_threads)
{
    char path[300];
    struct stat st;

    begin_long();
    seal();
    snprintf(path, sizeof path, "%s/segment-0000000002", dir);
    CHECK_OK(stat(path, &st));
    CHECK(st.st_size > 500000);
    for (off_t at = 150; at < st.st_size; at += 99991) {
        flip(2, at);
        same_with_any_threads(CHOIR_BROKEN);
        CHECK_STR(report.in, "segment-0000000002");
        flip(2, at);
    }
    same_with_any_threads(0);
    end_long();
}

/* --- state.snapshot ------------------------------------------------------ */

static void save(const struct snapshot_facts *facts)
{
    struct snapshot_writer *w;

    CHECK_OK(snapshot_begin(&w, dir, facts));
    for (int i = 0; i < 100; i++)
        CHECK_OK(snapshot_put(w, bytes_text("some record")));
    CHECK_OK(snapshot_commit(&w));
}

static struct snapshot_facts facts_of(void)
{
    return (struct snapshot_facts){.ledger = s.ledger,
                                   .epoch = s.epoch,
                                   .size = s.tree.size,
                                   .time = s.time,
                                   .group = ledger_group(l),
                                   .tree = s.tree};
}

TEST(verify_checks_the_state_checkpoint)
{
    struct snapshot_facts facts;
    char path[300], *bytes;
    size_t n;

    begin();
    puts_group(1);
    facts = facts_of();
    save(&facts);
    puts_group(1);
    seal();
    passes(NULL);
    CHECK(report.snapshot);
    CHECK_EQ(report.snapshot_size, facts.size);
    snprintf(path, sizeof path, "%s/state.snapshot", dir);
    CHECK_OK(file_read_whole(path, 1 << 20, &bytes, &n));
    for (size_t at = 0; at < n; at += 13) {
        bytes[at] ^= 4;
        CHECK_OK(file_write_atomic(path, bytes, n, 0600));
        fails("");
        CHECK_STR(report.in, "state.snapshot");
        bytes[at] ^= 4;
    }
    free(bytes);
    facts.group.b[0] ^= 1;
    save(&facts);
    fails("another record");
    facts.group.b[0] ^= 1;
    facts.ledger.b[0] ^= 1;
    save(&facts);
    fails("another ledger");
    end();
}

TEST(verify_sees_that_the_record_has_lost_entries)
{
    struct snapshot_facts facts;

    begin();
    facts = facts_of();
    for (int i = 0; i < 4; i++)
        frontier_add(&facts.tree, facts.group);
    facts.size = facts.tree.size;
    save(&facts);
    seal();
    fails("has lost some");
    end();
}

TEST(verify_needs_a_ledger)
{
    begin();
    CHECK_EQ(verify_ledger("/no/such/dir", NULL, &report), -ENOENT);
    ledger_close(&l);
    {
        char command[300];

        snprintf(command, sizeof command, "rm '%s'/segment*", dir);
        CHECK_OK(system(command));
    }
    CHECK_EQ(verify_ledger(dir, NULL, &report), -ENOENT);
    CHECK(strstr(report.why, "no ledger"));
    end();
}

CHECK_MAIN
