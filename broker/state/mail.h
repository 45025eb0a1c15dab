/* Messages that somebody has still to read: in the mailbox of an agent until
 * it acknowledges them, in a topic until newer ones take their place. Only
 * where each stands in the record is here; what it says is in the record.
 * Thread: state thread only. */
#ifndef CHOIR_BROKER_STATE_MAIL_H
#define CHOIR_BROKER_STATE_MAIL_H

#include "digest.h"
#include "index.h"

/* A mailbox: agent is its owner's number, topic is empty. A topic: agent is
 * 0. */
struct box_id {
    uint32_t agent;
    struct bytes space, topic;
};

struct mail_message {
    uint64_t revision;                  /* entry that sent it */
    uint32_t sender;                    /* number */
    uint32_t bytes;                     /* of its body */
    struct mail_message *older, *newer; /* of all topics; by revision */
    struct index_key key;               /* the module's own */
};

/* What a box, or one sender in it, has. */
struct mail_load {
    uint64_t messages, bytes;
    uint64_t newest; /* of a topic; 0: none */
};

struct mail;

struct mail *mail_new(struct digest *digest);
void mail_destroy(struct mail **self_p);

/* The box's first message of revision `from` or later, or NULL. Borrowed until
 * a change. */
const struct mail_message *mail_next(const struct mail *m,
                                     const struct box_id *box, uint64_t from);
struct mail_load mail_load(const struct mail *m, const struct box_id *box);
/* In a mailbox, what one sender has there. */
struct mail_load mail_share(const struct mail *m, const struct box_id *box,
                            uint32_t sender);
size_t mail_count(const struct mail *m);
/* Revision of the oldest message of any topic; 0: there is none. */
uint64_t mail_oldest_topical(const struct mail *m);

/* Where a box is kept, as a key for whoever waits at it. */
enum { BOX_KEY_MAX = 4 + 2 * (1 + 64) };
struct box_key {
    size_t n;
    uint8_t b[BOX_KEY_MAX];
};
void box_key(const struct box_id *box, struct box_key *key);

/* --- Changes; by evolve alone -------------------------------------------- */

/* 0; -ENOMEM; -EEXIST: the box has one of that revision; -EINVAL for names
 * beyond proto/limits.h, or a revision below the topic's newest. */
int mail_add(struct mail *m, const struct box_id *box, uint64_t revision,
             uint32_t sender, uint32_t bytes);
/* Takes out the box's first message from `from` up to `upto`. Its sender's
 * number, or 0: there is none. */
uint32_t mail_take(struct mail *m, const struct box_id *box, uint64_t from,
                   uint64_t upto);
/* The same with the first one of all mailboxes of an agent ... */
uint32_t mail_take_owned(struct mail *m, uint32_t agent);
/* ... and with the oldest one of all topics, up to that revision. */
uint32_t mail_take_topical(struct mail *m, uint64_t upto);

/* One record each, box by box; and back, where *sender and *owner (0: a topic)
 * are whose it is: 0, -ENOMEM, or CHOIR_MALFORMED for one that save cannot have
 * written or that was there before. put returns 0 or a negative errno, which
 * save passes on. */
typedef int (*mail_sink)(void *to, struct bytes record);
int mail_save(const struct mail *m, mail_sink put, void *to);
int mail_read(struct mail *m, struct bytes record, uint32_t *sender,
              uint32_t *owner);

#endif
