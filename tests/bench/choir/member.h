/* An agent that is connected and does next to nothing, without a thread and a
 * context of its own as a handle of the SDK has: ten thousand of those are more
 * than a small machine gives. It signs as the SDK does; it does not verify, as
 * what arrives is not what is measured. */
#ifndef CHOIR_TESTS_BENCH_CHOIR_MEMBER_H
#define CHOIR_TESTS_BENCH_CHOIR_MEMBER_H

#include "proto/bundle.h"

/* What the record knows of the broker that members connect to. */
struct meeting {
    struct hash ledger;
    uint8_t curve[KEY_CURVE_BYTES]; /* the broker's */
};

/* Keys of agent i; the same in each run of one program. */
void member_keys(unsigned i, struct key_pair *key, struct curve_pair *curve);
void member_name(unsigned i, char name[32]);

struct member {
    struct key_pair key;
    const struct meeting *meeting; /* borrowed for its life */
    void *socket;
    struct bundle_writer writer;
    struct hash challenge;
    uint64_t session, epoch, size, asks;
    unsigned tasks; /* that have come */
};

/* Connect in this zmq context and open a session. Waits for each answer, and
 * dies with a message if there is none. m: zero-initialised. */
void member_open(struct member *m, void *context, const char *url,
                 const struct meeting *meeting, unsigned i);
/* n watches of prefixes that nobody writes to. */
void member_watch(struct member *m, unsigned i, unsigned n);
/* Takes n tasks from that queue into its hands. */
void member_work(struct member *m, const char *queue, unsigned n);
/* What the SDK says every 20 s; answers that have come are dropped. */
void member_ping(struct member *m);

#endif
