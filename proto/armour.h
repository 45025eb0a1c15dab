/* Identities and invitations as one line of text that can be mailed or
 * pasted: a word, a colon, and the base64 of a message of proto/schema.h. */
#ifndef CHOIR_PROTO_ARMOUR_H
#define CHOIR_PROTO_ARMOUR_H

#include "key.h"
#include "schema.h"

/* Append "choir-identity-1:..." or "choir-invite-1:...", by the message's
 * part (MSG_IDENTITY, MSG_INVITATION). 0 or -ENOMEM. */
int armour_put(struct buf *out, const struct msg *m);

/* Find the line of that part in text (lines with # before it are comments),
 * decode it. `bytes` holds what m borrows; the caller frees it, and wipes it
 * first if the part holds a secret. 0; CHOIR_MALFORMED; CHOIR_UNSUPPORTED;
 * -ENOMEM. */
int armour_get(struct bytes text, enum message part, struct buf *bytes,
               struct msg *m);

#endif
