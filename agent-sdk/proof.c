/* What leaves the broker as a proof is proven here before anyone sees it. */
#include "proof.h"

#include <errno.h>

#include "error.h"
#include "proto/evidence.h"
#include "proto/fork.h"
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

int proof_head(const char *text, const struct pinned *broker,
               struct checkpoint *head)
{
    struct note note;
    int r = note_get(&note, bytes_text(text), broker->broker_key);

    if (!r && !hash_equal(&note.ledger, &broker->ledger))
        r = CHOIR_WRONG_LEDGER;
    if (r)
        return error_set(r, 0, "what=head: %s", refusal_sentence(r));
    *head = (struct checkpoint){note.epoch, note.size, note.root};
    return 0;
}

int proof_growth(const struct choir_event *e, const struct checkpoint *head,
                 const struct pinned *broker, struct checkpoint *now)
{
    struct bytes path;
    struct note note;

    path.p = choir_event_bytes(e, "path", &path.n);
    if (note_get(&note, bytes_text(choir_event_text(e, "text") ?: ""),
                 broker->broker_key) ||
        !hash_equal(&note.ledger, &broker->ledger) ||
        path.n % HASH_BYTES != 0 ||
        merkle_consistent(head->size, &head->root, note.size, &note.root,
                          path.p, path.n / HASH_BYTES))
        return CHOIR_BROKEN;
    *now = (struct checkpoint){note.epoch, note.size, note.root};
    return 0;
}

char *proof_fork(const char *note, const char *other,
                 const struct pinned *broker)
{
    struct buf text = {0};
    int r = fork_put(&text, bytes_text(note), bytes_text(other));

    if (!r)
        r = fork_check(buf_bytes(&text), broker->broker_key, NULL);
    buf_put(&text, "", 1);
    if (!r && !text.failed)
        return (char *)text.p;
    buf_free(&text);
    return NULL;
}
