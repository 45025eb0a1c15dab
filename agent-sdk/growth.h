/* Has the ledger only grown since we last looked? After every reconnect the
 * broker must show that the tree it signs now begins with the one it signed
 * before; nothing it says is believed until it has. Engine only. */
#ifndef CHOIR_SDK_GROWTH_H
#define CHOIR_SDK_GROWTH_H

#include "request.h"
#include "verify.h"

struct growth {
    struct checkpoint before; /* size 0: nothing to be shown */
    struct buf before_proof;  /* the answer header that states it and its
                                 signature; empty: not kept */
    struct checkpoint now;    /* what was asked about */
    const char *path;         /* of the identity file; borrowed */
    bool is_asked, is_waiting;
    bool wants_other; /* it has failed: the other head of that size is asked */
    int64_t again_ms; /* the broker was busy: when to ask again; 0: not */
};

/* A connection ended, or none was there: what was seen until then is to be
 * shown. */
void growth_begin(struct growth *g, const struct verifier *v);
void growth_free(struct growth *g);

/* What is to be asked in a session that has just become usable, or because
 * again_ms has come; NULL: nothing. */
struct op *growth_ask(struct growth *g, const struct verifier *v,
                      int64_t now_ms);
/* Its reply. 0; CHOIR_BROKEN, with the error line set: the handle ends. After
 * a failure one more question may be due at once (growth_ask): the evidence. */
int growth_reply(struct growth *g, const struct verifier *v, int code,
                 const struct msg *item, int64_t now_ms);
/* Are answers to be held back? */
static inline bool growth_holds(const struct growth *g)
{
    return g->is_waiting;
}

#endif
