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

#endif
