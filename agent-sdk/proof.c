/* What leaves the broker as a proof is proven here before anyone sees it. */
#include "proof.h"

#include <errno.h>

#include "error.h"
#include "proto/evidence.h"
#include "proto/refusal.h"

/* What we hand out we have checked as its reader will. */
int proof_receipt(const struct choir_event *e, uint64_t revision,
                  const struct pinned *broker, struct buf *text)
{
    struct bytes path, evidence, note;
    struct receipt receipt;
    struct evidence shown;
    struct note head;
    const char *why = "it does not follow the specification";
    int r;

    path.p = choir_event_bytes(e, "path", &path.n);
    evidence.p = choir_event_bytes(e, "value", &evidence.n);
    note = bytes_text(choir_event_text(e, "text") ?: "");
    if (receipt_put(text, revision, path, evidence, note))
        return error_set(-ENOMEM, 0, NULL);
    r = receipt_get(&receipt, buf_bytes(text));
    if (!r)
        r = receipt_check(&receipt, broker->broker_key, &broker->ledger, &shown,
                          &head, &why);
    if (!r && receipt.index != revision) {
        why = "it is of another entry";
        r = CHOIR_BROKEN;
    }
    receipt_free(&receipt);
    if (r == 0 || r == CHOIR_UNKNOWN_AGENT) /* a later key: an export's work */
        return 0;
    return error_set(r < 0 ? r : CHOIR_BROKEN, 0,
                     "revision=%llu what=receipt: %s",
                     (unsigned long long)revision, why);
}
