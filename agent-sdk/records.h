/* The recorded half of a session: operations go out in signed bundles, are
 * kept byte for byte until each has its outcome, and are sent again as often
 * as it takes. Engine only.
 *
 * Numbers of a session may be given to other bytes only when no copy of the
 * old ones can still be accepted. So every copy sent is counted, and every
 * turn-away accounts for one; a bundle that ever went over an earlier
 * connection is never signed anew in the same session. */
#ifndef CHOIR_SDK_RECORDS_H
#define CHOIR_SDK_RECORDS_H

#include "wire.h"

struct records;

/* NULL: no memory. */
struct records *records_new(void);
void records_destroy(struct records **r);

/* Queue an operation. Takes op. */
void records_add(struct records *r, struct op *op);
/* There is a connection and a challenge: go on with the session, or open one.
 */
void records_welcome(struct records *r, struct wire *w);
/* The connection is gone. */
void records_lost(struct records *r);
/* DONE, DONE_ALL, TURNED_AWAY of kind RECORD, SESSION_OVER. 0, or the code
 * that ends the handle, with the error line set. */
int records_item(struct records *r, struct wire *w, const struct msg *item);
/* An ask was told that the session is over. */
void records_session_over(struct records *r, struct wire *w);
/* Send what is due. 0 or -ENOMEM. */
int records_pump(struct records *r, struct wire *w);
/* It kept back operations that it might have sent: so many others were just
 * answered, whose callers may well say more. The next records_pump sends them.
 */
bool records_keep(const struct records *r);
/* Is an answer due? And is what it answers on its way, not held back for a while?
 */
bool records_owed(const struct records *r);
bool records_asked(const struct records *r);
/* When records_pump has something to do though nothing arrives; -1: never. */
int64_t records_deadline_ms(const struct records *r);
/* Everything that is not answered ends with this code. */
void records_fail(struct records *r, struct wire *w, int code,
                  const char *line);
/* Session id, or 0 while there is none that may be used. */
uint64_t records_session(const struct records *r);
/* Why no session can be opened at present (CHOIR_READ_ONLY, ...), or 0. */
int records_trouble(const struct records *r);
/* The number that answers for everything up to it. */
uint64_t records_answered(const struct records *r);
/* Send all there is, as far as there is a session: nobody will put in more. 0
 * or -ENOMEM. */
int records_rest(struct records *r, struct wire *w);
/* Say goodbye, if there is a session; not kept, not answered. */
void records_close(struct records *r, struct wire *w);

#endif
