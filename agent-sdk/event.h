/* What the caller gets. An event owns its bytes; fields are decoded when they
 * are asked for. One thread at a time. */
#ifndef CHOIR_SDK_EVENT_H
#define CHOIR_SDK_EVENT_H

#include "choir.h"
#include "proto/schema.h"

struct choir_event {
    struct choir_event *prev, *next;         /* of its request */
    struct choir_event *all_prev, *all_next; /* of the handle's queue */
    bool queued;                             /* is it in the latter? */
    struct entry *entry; /* its request's, which waits for it; or NULL */
    uint64_t request;
    enum message kind; /* MSG_DONE, MSG_REPLY, MSG_CHANGE, ... */
    enum message verb; /* of the request */
    int code;
    bool last;
    uint64_t revision, seq;
    struct buf raw;     /* owned: the item as it came; empty if made here */
    struct buf subject; /* owned: head of a refused operation */
    bool is_read;       /* m is what raw says */
    struct msg *m;      /* owned, but for a part's; NULL until it is read */
    char *line;         /* owned: the explanation */
    struct event_text *texts;
    struct event_child *children;
};

/* What becomes of a request, to be told later. NULL: no memory. */
struct choir_event *event_blank(void);
void event_set(struct choir_event *e, uint64_t request, enum message verb,
               enum message kind, int code);
/* Both. */
struct choir_event *event_new(uint64_t request, enum message verb,
                              enum message kind, int code);
/* Keep a copy of the item it came as, or of its bytes. 0 or -ENOMEM. */
int event_keep(struct choir_event *e, const struct msg *item);
int event_keep_bytes(struct choir_event *e, struct bytes item);
/* Its fields, decoded once. NULL: no memory. Borrowed from the event. */
const struct msg *event_message(const struct choir_event *e);
/* Say why, for codes the library itself gives. */
void event_line(struct choir_event *e, const char *line);

#endif
