/* Exports whose authors and exporters are, or are not, who they should be. */
#include "tests/check.h"

#include "proto/refusal.h"
#include "tests/support/hearing.h"
#include "tests/support/wire.h"

static struct hearing h;

static void begin(void)
{
    hearing_begin(&h);
}

static void end(void)
{
    hearing_end(&h);
}

TEST(reader_refuses_an_exporter_whose_key_is_not_shown)
{
    static const char why[] = "its exporter's key is not shown to be valid";
    struct person not_ada;

    begin();
    hearing_export_of(&h, &h.bob, &named, "444-3");
    hearing_fails(&h, why);
    folio_export_free(&h.x);
    not_ada = h.ada;
    not_ada.key = h.eve.key;
    hearing_export_of(&h, &not_ada, &named, "444-3");
    hearing_fails(&h, why);
    hearing_export_of(&h, &h.f.broker, &named, "444-3");
    hearing_fails(&h, why);
    folio_export_free(&h.x);
    folio_revoke(&h.f, &h.bob, &h.ada, NULL);
    hearing_export_of(&h, &h.ada, &named, "444-3--44--4");
    hearing_fails(&h, why);
    hearing_export_of(&h, &h.bob, &named, "444-3--44--4");
    hearing_passes(&h);
    end();
}

TEST(reader_trusts_only_whom_it_is_told_to)
{
    struct hash both[2];

    begin();
    both[0] = h.bob.id;
    both[1] = h.ada.id;
    hearing_export(&h, "444-3--4433");
    h.options.trusted = both;
    h.options.trusted_count = 2;
    hearing_passes(&h);
    h.options.trusted = &both[1];
    h.options.trusted_count = 1;
    hearing_fails_at(&h, 9, "its author is not an agent you trust");
    hearing_export(&h, "444-3--44-3"); /* his session does no harm */
    hearing_passes(&h);
    h.options.trusted = &both[0];
    hearing_export(&h, "344");
    hearing_fails(&h, "its exporter is not an agent you trust");
    h.options.trusted_count = 0;
    hearing_fails(&h, "its exporter is not an agent you trust");
    end();
}

/* --- Keys ---------------------------------------------------------------- */

TEST(reader_follows_keys_as_they_change)
{
    struct key_pair recovery = wire_key(77);

    begin();
    folio_rotate(&h.f, &h.ada, 11, 1, recovery.public_key); /* 11 */
    h.ada.key = wire_key(11);
    folio_session(&h.f, &h.ada);                /* 12 */
    folio_put(&h.f, &h.ada, "k", "new key");    /* 13 */
    folio_recover(&h.f, &h.ada, 12, &recovery); /* 14 */
    h.ada.key = wire_key(12);
    folio_session(&h.f, &h.ada);                /* 15 */
    folio_put(&h.f, &h.ada, "k", "newest key"); /* 16 */
    hearing_export(&h, "4443-------4434-3");
    hearing_fails_at(&h, 16, "a bundle in a session that was never opened");
    hearing_export(&h, "4443-------443443");
    hearing_passes(&h);
    hearing_export(&h, "4443--------43443");
    hearing_fails_at(&h, 12, "a bundle names a key that is not its author's");
    hearing_export(&h, "4443----------4");
    hearing_fails_at(&h, 14, "a bundle names a key that is not its author's");
    end();
}

TEST(reader_refuses_what_an_ended_key_says)
{
    begin();
    folio_rotate(&h.f, &h.ada, 11, 1, NULL); /* 11 */
    folio_put(&h.f, &h.ada, "k", "old key"); /* 12 */
    hearing_export(&h, "444--------4");
    hearing_fails(&h, "its exporter's key is not shown to be valid");
    hearing_export(&h, "444--------43");
    hearing_fails_at(&h, 12, "a bundle in a session that has ended");
    end();
}

/* The broker goes on with a bundle that ends its own key. */
TEST(reader_accepts_the_rest_of_a_bundle_that_ends_its_key)
{
    struct folio_op ops[3] = {0};
    struct msg m;

    begin();
    msg_init(&m, MSG_REVOKE);
    msg_set_hash(&m, FIELD_AGENT, &h.ada.id);
    wire_put(&ops[0].head, &ops[0].payload, "k", bytes_text("1"), 1);
    msg_encode(&m, &ops[1].head);
    wire_put(&ops[2].head, &ops[2].payload, "k", bytes_text("2"), 1);
    folio_add(&h.f, &h.ada, ops, 3); /* 11 to 13 */
    folio_put(&h.f, &h.ada, "k", "too late");
    hearing_export_of(&h, &h.bob, &named, "444----44--343");
    hearing_passes(&h);
    hearing_export_of(&h, &h.bob, &named, "444----44--3433");
    hearing_fails_at(&h, 14, "a bundle in a session that has ended");
    end();
}

CHECK_MAIN
