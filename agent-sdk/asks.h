/* The unrecorded half of a session: questions, standing requests, heartbeats.
 * Nothing here changes the ledger, so what is not answered is simply asked
 * again under a new number. Engine only. */
#ifndef CHOIR_SDK_ASKS_H
#define CHOIR_SDK_ASKS_H

#include "standing.h"

struct asks;

/* NULL: no memory. */
struct asks *asks_new(void);
void asks_destroy(struct asks **a);

/* Queue a question or begin a standing request. Takes op. */
void asks_add(struct asks *a, struct wire *w, struct op *op);
/* The caller wants no more of it. */
void asks_cancel(struct asks *a, struct wire *w, uint64_t id);
/* The caller has room: watch and tap: it took `more` events (0 of a watch: it
 * took none, but wants a caught_up now and whenever the broker says how far it
 * has come); work: as choir_credit. */
void asks_credit(struct asks *a, uint64_t id, int64_t more);
/* A session is usable, after a welcome or newly opened: ask everything that
 * has no answer, and open what stands, again. */
void asks_again(struct asks *a, struct wire *w);
/* REPLY, TURNED_AWAY of kind ASK, and items of standing requests. 0, the
 * code that ends the handle (error line set), or CHOIR_SESSION_ENDED: tell the
 * records. */
int asks_item(struct asks *a, struct wire *w, const struct msg *item);
/* Send what is due: heartbeats, and what is queued. session: 0: none now.
 * answered: of the records. 0 or -ENOMEM. */
int asks_pump(struct asks *a, struct wire *w, uint64_t session,
              uint64_t answered);
/* Is an answer due, or what stands? */
bool asks_owed(const struct asks *a);
/* When asks_pump has something to do though nothing arrives; -1: never. */
int64_t asks_deadline_ms(const struct asks *a, const struct wire *w);
/* Everything ends with this code. */
void asks_fail(struct asks *a, struct wire *w, int code, const char *line);

#endif
