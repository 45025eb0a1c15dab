/* Identities and invitations as text that people paste. */
#include "tests/check.h"

#include "proto/armour.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

static void invitation(struct msg *m)
{
    static struct hash a, b;

    a = wire_hash(1), b = wire_hash(2);
    msg_init(m, MSG_INVITATION);
    msg_set_hash(m, FIELD_CURVE_KEY, &a);
    msg_set_hash(m, FIELD_SECRET, &b);
    msg_set_hash(m, FIELD_LEDGER, &a);
    msg_set_text(m, FIELD_URL, "tcp://127.0.0.1:7777");
    msg_set_hash(m, FIELD_BROKER_KEY, &a);
    msg_set_hash(m, FIELD_BROKER_CURVE, &b);
}

static int reads(const char *before, const char *after, enum message part)
{
    struct buf text = {0}, bytes = {0};
    struct msg m, got;
    int r;

    invitation(&m);
    buf_put(&text, before, strlen(before));
    CHECK_OK(armour_put(&text, &m));
    buf_put(&text, after, strlen(after));
    r = armour_get(buf_bytes(&text), part, &bytes, &got);
    if (!r)
        CHECK(bytes_equal(msg_b(&got, FIELD_URL),
                          bytes_text("tcp://127.0.0.1:7777")));
    buf_free(&text);
    buf_free(&bytes);
    return r;
}

TEST(armour_is_found_between_blanks_and_comments)
{
    CHECK_OK(reads("", "", MSG_INVITATION));
    CHECK_OK(reads("", "\n", MSG_INVITATION));
    CHECK_OK(reads("# for ada\n\n   ", "  \r\n", MSG_INVITATION));
    CHECK_OK(reads("", "\nwhatever follows", MSG_INVITATION));
}

TEST(armour_of_another_kind_or_behind_other_text_is_refused)
{
    CHECK_REFUSED(reads("", "", MSG_IDENTITY), CHOIR_MALFORMED);
    CHECK_REFUSED(reads("hello\n", "", MSG_INVITATION), CHOIR_MALFORMED);
    CHECK_REFUSED(reads("", "x!", MSG_INVITATION), CHOIR_MALFORMED);
    CHECK_REFUSED(reads("", "AAAA", MSG_INVITATION), CHOIR_MALFORMED);
}

TEST(armour_rejects_truncation_at_every_length)
{
    struct buf text = {0};
    struct msg m, got;

    invitation(&m);
    CHECK_OK(armour_put(&text, &m));
    for (size_t n = 0; n < text.n; n++) {
        struct buf bytes = {0};

        CHECK_REFUSED(
            armour_get(bytes_of(text.p, n), MSG_INVITATION, &bytes, &got),
            CHOIR_MALFORMED);
        buf_free(&bytes);
    }
    buf_free(&text);
}

CHECK_MAIN
