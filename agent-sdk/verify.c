/* The checks, in the order in which a wrong broker would fail them. */
#include "verify.h"

#include <errno.h>

#include "error.h"
#include "proto/refusal.h"
#include "trusted.h"

/* All answers of one cycle share a header: it is verified once, whichever
 * handle of the process hears it first. */
static int signature_check(struct verifier *v, const struct answer *a)
{
    const uint8_t *p = v->trusted.p;
    size_t n = a->header.n;

    if (v->trusted.n == n + KEY_SIGNATURE_BYTES &&
        memcmp(p, a->header.p, n) == 0 &&
        memcmp(p + n, a->signature, KEY_SIGNATURE_BYTES) == 0)
        return 0;
    if (!trusted_has(v->broker_key, a->header, a->signature) &&
        answer_verify(a, v->broker_key))
        return error_set(CHOIR_BROKEN, 0,
                         "what=signature: an answer is not signed with the "
                         "pinned broker key; nothing more is accepted");
    trusted_add(v->broker_key, a->header, a->signature);
    buf_clear(&v->trusted);
    buf_put(&v->trusted, a->header.p, n);
    buf_put(&v->trusted, a->signature, KEY_SIGNATURE_BYTES);
    return 0;
}

/* Nobody in particular is addressed before the broker knows who we are. */
static int recipient_check(const struct verifier *v, const struct answer *a)
{
    struct hash nobody = {{0}};

    if (hash_equal(&a->agent, &v->agent) ||
        (a->session == 0 && hash_equal(&a->agent, &nobody)))
        return 0;
    return error_set(CHOIR_BROKEN, 0,
                     "what=recipient: an answer for another agent came to "
                     "us; nothing more is accepted");
}

/* Where the present epoch began, if this answer says so. */
static bool epoch_began(const struct answer *a, uint64_t *size)
{
    struct answer walk = *a;
    struct msg item, e;
    int r;

    while ((r = answer_next(&walk, &item)) == 0 || r == CHOIR_UNSUPPORTED) {
        struct list at;

        if (r || item.verb != MSG_WELCOME)
            continue;
        at = msg_list(&item, FIELD_ITEMS);
        while (list_next(&at, &e)) {
            if (!bytes_equal(msg_b(&e, FIELD_NAME), bytes_text("epoch_began")))
                continue;
            *size = msg_u(&e, FIELD_LIMIT);
            return true;
        }
    }
    return false;
}

static int behind(const struct checkpoint *seen, const struct answer *a,
                  uint64_t kept)
{
    return error_set(
        CHOIR_LEDGER_BEHIND, kept,
        "epoch=%llu size=%llu seen_epoch=%llu seen_size=%llu: the broker has "
        "lost entries %llu to %llu that we have seen; if that was meant, "
        "accept the ledger as it is",
        (unsigned long long)a->epoch, (unsigned long long)a->size,
        (unsigned long long)seen->epoch, (unsigned long long)seen->size,
        (unsigned long long)kept,
        (unsigned long long)(seen->size ? seen->size - 1 : 0));
}

/* Within an epoch entries are only added. A new epoch begins with a restore,
 * which keeps what was below its beginning. */
static int order_check(struct verifier *v, const struct answer *a)
{
    const struct checkpoint *seen = &v->seen;
    uint64_t kept = a->size, began;

    if (a->epoch > seen->epoch && epoch_began(a, &began) && began < kept)
        kept = began;
    if ((a->epoch < seen->epoch || kept < seen->size) && !v->accept_epoch)
        return behind(seen, a, kept);
    if (a->epoch == seen->epoch && a->size == seen->size &&
        !hash_equal(&a->root, &seen->root) && !v->accept_epoch)
        return error_set(CHOIR_BROKEN, 0,
                         "what=fork size=%llu: the broker shows two ledgers "
                         "of one size; nothing more is accepted",
                         (unsigned long long)a->size);
    v->seen = (struct checkpoint){a->epoch, a->size, a->root};
    v->accept_epoch = false;
    return 0;
}

int verifier_open(struct verifier *v, struct bytes frame, struct answer *a)
{
    int r = answer_open(a, frame);

    if (r)
        return error_set(CHOIR_BROKEN, 0,
                         "what=frame bytes=%zu: an answer does not follow "
                         "the specification (%s)",
                         frame.n, refusal_name(r));
    if (!hash_equal(&a->ledger, &v->ledger)) {
        char got[HASH_HEX], wanted[HASH_HEX];

        hash_hex(&a->ledger, got);
        hash_hex(&v->ledger, wanted);
        return error_set(CHOIR_WRONG_LEDGER, 0,
                         "ledger=%.16s wanted=%.16s: this identity is for "
                         "another ledger; join this one first",
                         got, wanted);
    }
    r = signature_check(v, a);
    if (!r)
        r = recipient_check(v, a);
    if (!r)
        r = order_check(v, a);
    return r ? r : v->trusted.failed ? -ENOMEM : 0;
}

void verifier_free(struct verifier *v)
{
    buf_free(&v->trusted);
}
