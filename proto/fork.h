/* Evidence that a broker showed two ledgers: two tree heads of one ledger, one
 * epoch and one size with two roots, each under the broker's signature. One
 * line a head, behind the word `choir-fork-1`:
 *
 *   answer <base64 of an answer's header ‖ signature>
 *   note <base64 of a signed note>
 */
#ifndef CHOIR_PROTO_FORK_H
#define CHOIR_PROTO_FORK_H

#include "answer.h"
#include "note.h"

/* A head is an answer's header with its signature behind it, or a note: the
 * bytes tell which. Append the evidence. 0 or -ENOMEM. */
int fork_put(struct buf *out, struct bytes head, struct bytes other);

/* Does it look like one? */
bool fork_is(struct bytes text);
/* Is it evidence, under that key? 0: two ledgers were signed, and *what says
 * which (may be NULL); CHOIR_MALFORMED; CHOIR_BAD_SIGNATURE; CHOIR_INVALID: the
 * two heads are not of one ledger, epoch and size, or they agree; -ENOMEM. */
struct fork_facts {
    struct hash ledger, roots[2];
    uint64_t epoch, size;
};
int fork_check(struct bytes text, const uint8_t broker_key[KEY_PUBLIC_BYTES],
               struct fork_facts *what);

#endif
