/* Receipts: the broker's proof that an entry is in its ledger, as a text to be
 * kept, shown, and checked by others. */
#include <errno.h>

#include "error.h"
#include "handle.h"
#include "proof.h"

int choir_receipt(struct choir *c, uint64_t revision, char **text)
{
    struct choir_request *r;
    struct choir_event *e = NULL;
    struct buf out = {0};
    int code = handle_check(c);

    *text = NULL;
    if (code)
        return code;
    r = choir_request_new(c, "prove");
    if (!r)
        return choir_error_code();
    choir_request_uint(r, "revision", revision);
    code = choir_call(c, &r, c->timeout_ms, &e);
    if (!code)
        code = proof_receipt(e, revision, &c->id.broker, &out);
    choir_event_free(&e);
    if (!code) {
        buf_put(&out, "", 1);
        code = out.failed ? error_set(-ENOMEM, 0, NULL) : 0;
    }
    if (code)
        buf_free(&out);
    else
        *text = (char *)out.p;
    return code;
}
