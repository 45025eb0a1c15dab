/* Do frames and answers change places one by one, and on which core does the
 * other side run? What one of two does after the other is not faster on two
 * cores, and waking the other core takes 20 to 40 us each time.
 *
 * Asked of the kernel, which notes for each connection where it was handed the
 * last bytes: over the loopback device, by the thread that has sent them.
 * One thread at a time. */
#ifndef CHOIR_SDK_CONNECTION_EXCHANGE_H
#define CHOIR_SDK_CONNECTION_EXCHANGE_H

struct exchange {
    int fd;         /* libzmq's; -1: not connected, or not to this host */
    unsigned sent;  /* frames since the last answer */
    unsigned alone; /* answers in a row to one frame each, from that core */
    int core;
};

/* A new connection; fd: -1: none. Of the fd nothing is required. */
void exchange_begin(struct exchange *x, int fd);
void exchange_sent(struct exchange *x);
void exchange_heard(struct exchange *x);
/* Likewise, but among others' answers: nobody will ask where it came from, so
 * neither is the kernel. */
void exchange_among(struct exchange *x);
/* Where the other side runs, if one frame waits for its answer; or -1. */
int exchange_core(const struct exchange *x);

#endif
