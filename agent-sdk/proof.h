/* What the broker proves, checked as a stranger would. Beside the handle and not
 * with it: the ledger's entries and the handle's are two things of one name. */
#ifndef CHOIR_SDK_PROOF_H
#define CHOIR_SDK_PROOF_H

#include "choir.h"
#include "identity.h"

/* The answer to `prove` as a receipt, appended to text. 0; CHOIR_BROKEN,
 * -ENOMEM, with the error line set. */
int proof_receipt(const struct choir_event *e, uint64_t revision,
                  const struct pinned *broker, struct buf *text);

/* A head that came from elsewhere. 0; CHOIR_MALFORMED, CHOIR_BAD_SIGNATURE,
 * CHOIR_WRONG_LEDGER, with the error line set. */
int proof_head(const char *text, const struct pinned *broker,
               struct checkpoint *head);
/* Does the answer to `consistency` show that the ledger of that head goes on
 * as ours? The note in it is of `now`. 0; CHOIR_BROKEN without an error line. */
int proof_growth(const struct choir_event *e, const struct checkpoint *head,
                 const struct pinned *broker, struct checkpoint *now);
/* Evidence from two notes, if they are one; else NULL. Owned. */
char *proof_fork(const char *note, const char *other,
                 const struct pinned *broker);

#endif
