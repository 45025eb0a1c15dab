/* A thread that does nothing but sync: one file at a time, on request. Private
 * to broker/ledger/.
 * Threads: every call comes from the ledger thread. */
#ifndef CHOIR_BROKER_LEDGER_BESIDE_H
#define CHOIR_BROKER_LEDGER_BESIDE_H

#include <stdbool.h>

struct beside;

/* 0; negative errno. */
int beside_open(struct beside **out);
/* Waits for what is under way. Accepts NULL. */
void beside_close(struct beside **self_p);
/* Readable from when a sync has ended until beside_end is told so. */
int beside_fd(const struct beside *b);
/* Sync that file; it stays open until beside_end. None may be under way. */
void beside_begin(struct beside *b, int fd);
/* 0: it has ended well; -EAGAIN: it has not ended (never, with wait); another
 * negative errno: what fdatasync said. */
int beside_end(struct beside *b, bool wait);

#endif
