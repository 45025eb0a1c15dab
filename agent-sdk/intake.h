/* What callers put in for the engine, until it takes it.
 *
 * One signature pays for a whole bundle, so it is worth knowing that more is
 * about to come; but nothing waits for a bundle to fill. The sign is this: who
 * was told n events usually answers with n requests. Until as many have been
 * put in, or the caller has nothing left to take and sleeps, or for hold_us
 * since he took the first of them, the engine is not woken. Anything else is
 * handed over at once, a lone request above all.
 *
 * Everything with the handle's lock held, unless it says otherwise. */
#ifndef CHOIR_SDK_INTAKE_H
#define CHOIR_SDK_INTAKE_H

#include "hold.h"
#include "hub.h"
#include "request.h"

/* What callers want of the engine besides sending. */
struct control {
    struct control *prev, *next;
    uint64_t id;
    bool is_cancel;
    int64_t more;
};

struct intake {
    struct seat *seat; /* the hub's: whom to wake. NULL: by wake_fd */
    int wake_fd; /* readable: look now. choir_interrupt writes to it, too */
    struct hold hold; /* its fd readable: look now, even at what is held */
    struct op *ops;
    unsigned op_count;
    struct control *controls;
    bool is_handed;    /* the engine may take all of it */
    unsigned held;     /* put in since, while it may not */
    unsigned expected; /* events told that no request has followed */
    bool is_taken;     /* one of them at least was taken */
    bool is_kept;      /* the engine has more to send with the answers */
    int64_t since_us;  /* when they were told, or the first was taken */
    int64_t hold_us;   /* how long they are waited for; less than HOLD_US: so
                          long */
    bool is_awake;     /* the engine will look here again */
};

/* 0 or -errno. intake_close: any state after intake_open; frees what is in. */
int intake_open(struct intake *in);
void intake_close(struct intake *in);

/* Takes op. waits: its caller will call intake_drawn at once, or intake_hand
 * and be the engine himself: nobody is woken for it. True: call intake_wake, or
 * be the engine at once. */
bool intake_op(struct intake *in, struct op *op, bool waits);
void intake_cancel(struct intake *in, uint64_t id);
/* More room for the events of request id, as in asks_credit. */
enum credit {
    CREDIT_NOW,     /* have the engine look now */
    CREDIT_ANSWERS, /* the caller said so, perhaps in answer to an event */
    CREDIT_WAITS,   /* the caller waits, as in intake_op */
};
void intake_credit(struct intake *in, uint64_t id, int64_t more,
                   enum credit why);
/* Have the engine look now. */
void intake_wake(struct intake *in);
/* The same, for one who is the engine himself at once. */
void intake_look(struct intake *in);

/* So many events were put where callers take them. */
void intake_told(struct intake *in, unsigned events);
/* One of them was taken. */
void intake_taken(struct intake *in);
/* Engine: it keeps something back that is to go along with what callers say
 * to what they were told. False: they were told nothing, it need not wait. */
bool intake_keep(struct intake *in);
/* A caller finds nothing to take: no more answers are coming. */
void intake_drawn(struct intake *in);

/* A caller finds nothing to take, and is about to look as the engine. */
void intake_hand(struct intake *in);

/* Engine: empty those descriptors that are readable (bit 0: wake_fd, bit 1:
 * hold.fd). True: the hold's time is over. */
bool intake_drain(struct intake *in, unsigned readable);
/* Engine: is there something that it may take now? */
bool intake_ready(const struct intake *in);
/* Engine: take all that was handed over; now: and what was not. */
void intake_take(struct intake *in, bool now, struct op **ops,
                 struct control **controls);

#endif
