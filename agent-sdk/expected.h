/* Whose answer the hub has to be told of. A broker answers records in the order
 * in which they came, so of handles that wait for nothing else the one that has
 * waited longest is answered first. It alone has its descriptor tell of that; when
 * it has, the others are looked at, one after the other, until one is not answered
 * yet: it is told from then on. To be told costs ten calls of the kernel an answer,
 * which are libzmq's; to look and find one costs none (ADR 22).
 *
 * Where answers come in another order, as from two brokers, all are looked at when
 * the time is up: whoever is not answered then is told, and nobody waits for him.
 *
 * One thread at a time. */
#ifndef CHOIR_SDK_EXPECTED_H
#define CHOIR_SDK_EXPECTED_H

#include <stdbool.h>
#include <stdint.h>

/* Of one handle: its caller's memory, zero at first. */
struct expectation {
    struct expectation *prev, *next;
    bool is_queued; /* behind the first */
    bool was_first; /* until it became due */
};

struct expected {
    struct expectation *first;  /* is told */
    struct expectation *others; /* are not: longest waiting first */
    bool is_moving;   /* something was expected since the time was up */
    int64_t since_ms; /* the others wait to be looked at */
};

/* How long to wait until expected_late, in a process of so many handles; -1:
 * nobody waits for that. */
int expected_sleep_ms(const struct expected *x, unsigned handles);
/* Is the time up, whatever kept whoever waits from sleeping? */
bool expected_is_late(const struct expected *x, int64_t now_ms);

/* It is to have a turn: told of something, or for another reason. */
void expected_due(struct expected *x, struct expectation *e);
/* Nobody is told any more, and so this one has to be looked at; NULL: none. It is
 * not queued any more. */
struct expectation *expected_next(struct expected *x, int64_t now_ms);
/* The time is up: the same, until there is none. */
struct expectation *expected_late(struct expected *x, int64_t now_ms);

enum expects {
    EXPECTS_OTHERWISE, /* nothing, or what may come at any time */
    EXPECTS_ANSWER,
};
/* It had a turn. has_heard: something came in it. may_rest: whoever sleeps does
 * not sleep for longer than expected_sleep_ms. True: it need not be told; else its
 * descriptor has to tell of what comes. */
bool expected_after(struct expected *x, struct expectation *e,
                    enum expects expects, bool has_heard, bool may_rest,
                    int64_t now_ms);
/* It is gone. */
void expected_forget(struct expected *x, struct expectation *e);

#endif
