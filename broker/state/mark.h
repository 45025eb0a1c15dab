/* Marks: how far an agent has come with something, as a revision under a name
 * of its own in a space. Where it was last in the context, or up to where it
 * has read a topic; what a name means is the agent's business.
 *
 * A mark only moves on, so that of two processes of one agent the slower takes
 * nothing back.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_MARK_H
#define CHOIR_BROKER_STATE_MARK_H

#include "digest.h"
#include "index.h"

/* Names of topics do not meet those that an agent chose. */
enum mark_kind { MARK_NAME = 0, MARK_TOPIC = 1 };

struct mark_id {
    uint32_t agent; /* number */
    enum mark_kind kind;
    struct bytes space, name;
};

struct mark {
    uint64_t revision;    /* above 0 */
    struct index_key key; /* see mark_name */
};

static inline struct bytes mark_name(const struct mark *m)
{
    size_t at = 6 + (size_t)m->key.bytes[5];

    return bytes_of(m->key.bytes + at, m->key.len - at);
}

static inline enum mark_kind mark_kind(const struct mark *m)
{
    return (enum mark_kind)m->key.bytes[4];
}

struct marks;

struct marks *marks_new(struct digest *digest);
void marks_destroy(struct marks **self_p);

/* The revision, or 0. */
uint64_t mark_find(const struct marks *m, const struct mark_id *id);
/* In order: kinds, then names, of that agent in that space. The first one
 * after id, whose name may be empty; NULL: no more. Borrowed until a change. */
const struct mark *marks_next(const struct marks *m, const struct mark_id *id);
size_t marks_count(const struct marks *m);

/* --- Changes; by evolve alone -------------------------------------------- */

/* revision 0 removes it, a lower one changes nothing. *made: 1 more of the
 * agent's, -1: one less, or 0. 0; -ENOMEM; -EINVAL for names beyond
 * proto/limits.h. */
int mark_set(struct marks *m, const struct mark_id *id, uint64_t revision,
             int *made);

/* One record each, in order of agents, kinds, spaces and names; and back, where
 * *agent is whose it is: 0, -ENOMEM, or CHOIR_MALFORMED for one that save
 * cannot have written or that was there before. put returns 0 or a negative
 * errno, which save passes on. */
typedef int (*mark_sink)(void *to, struct bytes record);
int marks_save(const struct marks *m, mark_sink put, void *to);
int marks_load(struct marks *m, struct bytes record, uint32_t *agent);

#endif
