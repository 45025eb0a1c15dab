/* Who may say what: every rule is kept by one ledger, and broken by another. */
#include "tests/check.h"

#include "proto/authors.h"
#include "proto/refusal.h"
#include "tests/support/folio.h"
#include "tests/support/wire.h"

static struct folio f;
static struct person ada, bob;
static struct authors *authors;
static const char *why;

/* 0 genesis, 1 admit ada, 2 her session, 3 bob enrols, 4 his session. */
static void begin(void)
{
    folio_begin(&f);
    ada = folio_person(1);
    bob = folio_person(2);
    folio_admit(&f, &ada);
    folio_session(&f, &ada);
    folio_enrol(&f, &bob);
    folio_session(&f, &bob);
}

static void end(void)
{
    authors_destroy(&authors);
    folio_free(&f);
}

static int entry_tell(uint64_t index)
{
    const struct folio_entry *e = &f.entries[index];
    struct author_bundle b = {.hash = bundle_hash(buf_bytes(&e->header)),
                              .first = index - e->position};
    struct msg header, op;
    unsigned field;
    int r = 0;

    CHECK_OK(
        part_decode(MSG_BUNDLE_HEADER, buf_bytes(&e->header), &header, &field));
    CHECK_OK(msg_decode(buf_bytes(&e->head), CLASS_BROKER | CLASS_OPERATION,
                        &op, &field));
    b.ledger = msg_hash(&header, FIELD_LEDGER);
    b.agent = msg_hash(&header, FIELD_AGENT);
    b.session = msg_u(&header, FIELD_SESSION);
    b.kind = msg_u(&header, FIELD_KIND);
    b.format = msg_u(&header, FIELD_FORMAT);
    b.public_key = msg_b(&header, FIELD_PUBLIC_KEY);
    r = authors_bundle(authors, &b, &why);
    if (!r)
        r = authors_may_say(authors, op.verb, &why);
    return r || e->outcome ? r : authors_learn(authors, index, &op, &why);
}

/* The index of the first entry that is refused, or how many there are. */
static uint64_t tell(bool all)
{
    uint64_t i = 0;

    authors_destroy(&authors);
    authors = authors_new(all);
    CHECK(authors != NULL);
    CHECK_OK(authors_genesis(authors, buf_bytes(&f.entries[0].head), &why));
    while (i < f.count && !entry_tell(i))
        i++;
    return i;
}

static void passes(void)
{
    if (tell(true) != f.count)
        fail_msg("%s", why);
}

/* The last entry is the one that is wrong, and then it is gone. */
static void last_fails(const char *sentence)
{
    CHECK_EQ(tell(true), f.count - 1);
    CHECK_STR(why, sentence);
}

static void last_fails_unless_partial(const char *sentence)
{
    last_fails(sentence);
    CHECK_EQ(tell(false), f.count);
}

TEST(authors_learn_agents_and_sessions)
{
    begin();
    folio_put(&f, &ada, "k", "hers");
    folio_put(&f, &bob, "k", "his");
    passes();
    CHECK_EQ(authors_agents(authors), 2);
    CHECK_EQ(authors_sessions(authors), 2);
    CHECK_MEM(authors_key(authors), bob.key.public_key, KEY_PUBLIC_BYTES);
    CHECK_NOT(authors_by_broker(authors));
    CHECK(hash_equal(authors_ledger(authors), &f.ledger));
    CHECK_MEM(authors_broker_key(authors), f.broker.key.public_key,
              KEY_PUBLIC_BYTES);
    CHECK_EQ(authors_chain(authors)->next_seq, 1);
    end();
}

TEST(genesis_is_the_first_entry_and_no_other)
{
    struct folio_op op = {0};

    begin();
    folio_put(&f, &ada, "k", "v");
    passes();
    CHECK_REFUSED(authors_genesis(authors, buf_bytes(&f.entries[5].head), &why),
                  CHOIR_BROKEN);
    CHECK_STR(why, "the first entry is not a genesis");
    buf_put(&op.head, f.entries[0].head.p, f.entries[0].head.n);
    folio_add(&f, &f.broker, &op, 1);
    last_fails("a second genesis");
    end();
}

TEST(bundle_is_meant_for_this_record)
{
    struct hash other = wire_hash(4);

    begin();
    f.meant_for = &other;
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle is meant for another ledger");
    end();
    begin();
    f.kind = BUNDLE_ASK;
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle of a kind or format that is not recorded");
    end();
}

TEST(agent_is_the_hash_of_its_first_key_and_enrolled_once)
{
    struct person eve = folio_person(3);
    struct key_pair hers = eve.key;

    begin();
    folio_enrol(&f, &ada);
    last_fails("an agent is enrolled twice");
    end();
    begin();
    folio_admit(&f, &bob);
    last_fails("an agent is enrolled twice");
    end();
    begin();
    eve.id = wire_hash(1);
    folio_admit(&f, &eve);
    last_fails("an agent's id is not the hash of its key");
    end();
    begin();
    eve = folio_person(3);
    f.named_key = hers.public_key;
    eve.key = wire_key(4);
    folio_enrol(&f, &eve);
    last_fails("an agent enrols with another key than it signs with");
    end();
}

TEST(session_is_opened_with_a_key_of_ones_own)
{
    struct person eve = folio_person(3);

    begin();
    folio_session(&f, &eve);
    last_fails("a session is opened by one who cannot open one");
    end();
    begin();
    eve.id = ada.id;
    folio_session(&f, &eve);
    last_fails("a bundle names a key that is not its author's");
    end();
    begin();
    f.names_no_key = true;
    folio_session(&f, &ada);
    last_fails("a bundle outside a session names no key");
    end();
    begin();
    f.outcome = CHOIR_DENIED; /* one who is not enrolled may ask */
    eve = folio_person(3);
    folio_session(&f, &eve);
    passes();
    end();
}

TEST(bundle_in_a_session_is_by_who_opened_it)
{
    begin();
    ada.session = 77;
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle in a session that was never opened");
    end();
    begin();
    ada.session = bob.session;
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle in another agent's session");
    end();
    begin();
    f.named_key = ada.key.public_key;
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle in a session names a key");
    end();
    begin();
    f.broker.session = ada.session;
    folio_put(&f, &f.broker, "k", "v");
    last_fails("the broker has no sessions");
    end();
}

static void claim_said_by(struct person *p)
{
    struct msg m;

    msg_init(&m, MSG_CLAIM);
    msg_set_u(&m, FIELD_TASK, 1);
    msg_set_hash(&m, FIELD_AGENT, &ada.id);
    msg_set_u(&m, FIELD_SESSION, 2);
    msg_set_u(&m, FIELD_ATTEMPT, 1);
    msg_set_u(&m, FIELD_LEASE_MS, 1);
    folio_say(&f, p, &m);
}

TEST(everyone_says_what_is_theirs_to_say)
{
    static const char sentence[] =
        "an operation that its author may not say there";
    struct msg m;

    begin();
    claim_said_by(&f.broker);
    passes();
    claim_said_by(&ada);
    last_fails(sentence);
    end();
    begin();
    msg_init(&m, MSG_COMPACT);
    msg_set_u(&m, FIELD_REVISION, 1);
    folio_say(&f, &f.broker, &m);
    passes();
    folio_put(&f, &f.broker, "k", "v");
    last_fails(sentence);
    end();
    begin();
    ada.session = 0;
    folio_put(&f, &ada, "k", "v");
    last_fails(sentence);
    end();
}

static void session_said(enum message verb, struct person *by, uint64_t session)
{
    struct msg m;

    msg_init(&m, verb);
    if (verb == MSG_SESSION_END)
        msg_set_u(&m, FIELD_SESSION, session);
    folio_say(&f, by, &m);
}

TEST(session_that_has_ended_says_nothing)
{
    static const char sentence[] = "a bundle in a session that has ended";

    begin();
    session_said(MSG_SESSION_CLOSE, &ada, 0);
    folio_put(&f, &bob, "k", "v");
    passes();
    folio_put(&f, &ada, "k", "v");
    last_fails(sentence);
    end();
    begin();
    session_said(MSG_SESSION_END, &f.broker, ada.session);
    folio_put(&f, &ada, "k", "v");
    last_fails(sentence);
    end();
    begin();
    session_said(MSG_SESSION_END, &f.broker, 99);
    last_fails_unless_partial("a session ends that was never opened");
    end();
}

/* Of a bundle that the broker had of bob's and does not take. */
static void equivocation_said(const struct key_pair *key)
{
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct bytes header = buf_bytes(&f.entries[4].header);
    struct msg m;

    key_sign(key, KEY_FOR_BUNDLE, &f.ledger, header, signature);
    msg_init(&m, MSG_EQUIVOCATE);
    msg_set_u(&m, FIELD_SESSION, bob.session);
    msg_set_b(&m, FIELD_HEADER, header);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
    folio_say(&f, &f.broker, &m);
}

TEST(equivocation_is_proven_and_ends_the_session)
{
    begin();
    equivocation_said(&bob.key);
    passes();
    folio_put(&f, &bob, "k", "v");
    last_fails("a bundle in a session that has ended");
    end();
    begin();
    equivocation_said(&ada.key);
    last_fails("the proof of an equivocation is not signed by whom it blames");
    end();
}

TEST(agent_that_was_revoked_says_nothing)
{
    struct person eve = folio_person(3);

    begin();
    folio_revoke(&f, &bob, &ada, NULL);
    passes();
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle in a session that has ended");
    end();
    begin();
    folio_revoke(&f, &bob, &ada, NULL);
    folio_session(&f, &ada);
    last_fails("a bundle by an agent that was revoked");
    end();
    begin();
    folio_revoke(&f, &bob, &eve, NULL);
    last_fails_unless_partial("an agent is revoked that was never enrolled");
    end();
}

TEST(key_that_was_revoked_says_nothing)
{
    struct key_pair other = wire_key(9);

    begin();
    folio_rotate(&f, &ada, 11, 2, NULL); /* a second one */
    folio_put(&f, &ada, "k", "v");
    folio_revoke(&f, &ada, &ada, ada.key.public_key);
    passes();
    CHECK_REFUSED(authors_key_fits(authors, &ada.id, ada.key.public_key, &why),
                  CHOIR_BROKEN);
    folio_put(&f, &ada, "k", "v");
    last_fails("a bundle in a session that has ended");
    end();
    begin();
    folio_revoke(&f, &bob, &ada, ada.key.public_key);
    folio_revoke(&f, &bob, &ada, ada.key.public_key);
    last_fails("a key is revoked that is not valid");
    CHECK_EQ(tell(false), f.count - 1);
    end();
    begin();
    folio_revoke(&f, &ada, &ada, other.public_key);
    last_fails_unless_partial("a key is revoked that is not valid");
    end();
}

/* The broker goes on with the bundle that ends its own key. */
TEST(rest_of_the_bundle_that_ends_its_key_counts)
{
    struct folio_op ops[2] = {0};
    struct msg m;

    begin();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &ada.id);
    msg_encode(&m, &ops[0].head);
    wire_put(&ops[1].head, &ops[1].payload, "k", bytes_text("v"), 1);
    folio_add(&f, &ada, ops, 2);
    passes();
    end();
}

TEST(rotation_ends_the_old_key_unless_it_adds_one)
{
    begin();
    folio_rotate(&f, &ada, 11, 2, NULL);
    folio_put(&f, &ada, "k", "v");
    passes();
    CHECK_OK(authors_key_fits(authors, &ada.id, ada.key.public_key, &why));
    folio_rotate(&f, &ada, 12, 1, NULL);
    passes();
    CHECK_REFUSED(authors_key_fits(authors, &ada.id, ada.key.public_key, &why),
                  CHOIR_BROKEN);
    CHECK_STR(why, "the key has ended");
    CHECK_REFUSED(authors_key_fits(authors, &ada.id, bob.key.public_key, &why),
                  CHOIR_BROKEN);
    CHECK_STR(why, "the key is not shown to be that agent's");
    ada.key = wire_key(12);
    CHECK_OK(authors_key_fits(authors, &ada.id, ada.key.public_key, &why));
    folio_session(&f, &ada);
    folio_put(&f, &ada, "k", "v");
    passes();
    end();
}

TEST(new_key_is_new_and_says_so_itself)
{
    struct msg m;

    begin();
    folio_rotate(&f, &ada, 1, 2, NULL);
    last_fails("a key is taken twice, or without its own word");
    end();
    begin();
    msg_init(&m, MSG_ROTATE);
    msg_set_b(&m, FIELD_PUBLIC_KEY, bytes_of(bob.key.public_key, 32));
    folio_say(&f, &ada, &m);
    last_fails("a key is taken twice, or without its own word");
    end();
    begin();
    msg_set_b(&m, FIELD_CURVE_KEY, bytes_of(bob.key.public_key, 32));
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(f.entries[0].signature, 64));
    folio_say(&f, &ada, &m);
    last_fails("a new key has not signed whose it is");
    end();
}

TEST(recovery_takes_the_recovery_key_and_ends_the_others)
{
    struct key_pair recovery = wire_key(77), other = wire_key(78);

    begin();
    folio_rotate(&f, &ada, 11, 2, recovery.public_key);
    folio_recover(&f, &ada, 12, &recovery);
    passes();
    CHECK_REFUSED(authors_key_fits(authors, &ada.id, ada.key.public_key, &why),
                  CHOIR_BROKEN);
    ada.key = wire_key(11);
    folio_session(&f, &ada);
    last_fails("a bundle names a key that is not its author's");
    end();
    begin();
    folio_rotate(&f, &ada, 11, 2, recovery.public_key);
    folio_recover(&f, &ada, 12, &other);
    last_fails("a bundle names a key that is not its author's");
    end();
    begin();
    folio_recover(&f, &ada, 12, &ada.key);
    last_fails("an agent is recovered without its recovery key");
    end();
}

/* What may not be said there is not learned there either. */
TEST(nothing_is_learned_outside_of_sessions_but_joining)
{
    struct msg m;

    begin();
    CHECK_EQ(tell(true), f.count);
    CHECK_EQ(entry_tell(4), 0); /* session 0 is at hand */
    msg_init(&m, MSG_ROTATE);
    CHECK_REFUSED(authors_learn(authors, 9, &m, &why), CHOIR_BROKEN);
    CHECK_STR(why, "a key is rotated outside a session");
    msg_init(&m, MSG_SESSION_CLOSE);
    CHECK_REFUSED(authors_learn(authors, 9, &m, &why), CHOIR_BROKEN);
    CHECK_STR(why, "a session ends that was never opened");
    end();
}

CHECK_MAIN
