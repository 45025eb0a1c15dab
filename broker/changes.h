/* What an entry changed in the context: which keys, from which version on,
 * and where the new values are. One walk for all that writes keys,
 * used by watches and by every look into the past.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_CHANGES_H
#define CHOIR_BROKER_CHANGES_H

#include "ledger/ledger.h"
#include "state/state.h"

struct change {
    struct bytes key, type; /* borrowed from the entry */
    bool deleted;
    size_t slot;   /* of the entry, from SLOT_EFFECT on of its effect; unless
                      deleted */
    uint64_t prev; /* revision of the key's version before, or 0 */
    bool merged;
    size_t operand; /* slot that was merged into it; if merged */
    uint64_t base;  /* what it was made from besides prev; 0: nothing */
};

/* The walk, and the entry's head and effect as it goes by. */
struct changes {
    struct msg head, effect; /* borrow from the entry */
    struct list writes, prevs;
    unsigned left;
};

/* The verb of an operation's head, without decoding it; 0: none. */
unsigned head_verb(struct bytes head);

/* 0; CHOIR_NOT_FOUND when the entry changes no key (its outcome is not OK, its
 * verb is another); -EUCLEAN when it cannot be read. Uses head, effect and
 * outcome of the entry alone. */
int changes_begin(struct changes *c, const struct entry *e);
bool changes_next(struct changes *c, struct change *out);
/* The one about that key: 0 or CHOIR_NOT_FOUND or -EUCLEAN. */
int changes_find(const struct entry *e, struct bytes key, struct change *out,
                 struct changes *walk);

/* The value; borrowed from the entry. 0; CHOIR_ERASED or CHOIR_COMPACTED when
 * it is no longer there; CHOIR_NOT_FOUND. */
int change_value(const struct entry *e, const struct change *change,
                 struct bytes *value);
/* The value of a slot for whoever asks, or `outcome` ERASED. Borrowed likewise. */
void slot_tell(const struct entry *e, size_t slot, struct msg *m);
/* Its length, whether it is there or erased; 0 of a deletion. */
uint32_t change_bytes(const struct entry *e, const struct change *change);

/* Where a task belongs. */
struct place {
    char space[LIMIT_NAME_BYTES + 1];
    char queue[LIMIT_NAME_BYTES + 1];
};

/* From the state, or from the record when the task has left memory. Uses
 * ledger_entry. 0; CHOIR_NOT_FOUND; -EUCLEAN and other errnos. */
int task_place(const struct state *s, struct ledger *l, uint64_t task,
               struct place *out);

#endif
