/* Exports: one file that shows some entries of a ledger and all that it takes
 * to check them. docs/export-format.md is the specification.
 *
 * Neither side keeps what has passed: the writer hands every record on at once,
 * the reader holds one record, and of all others the agents, keys and sessions
 * that it learned from them. */
#ifndef CHOIR_PROTO_EXPORT_H
#define CHOIR_PROTO_EXPORT_H

#include "evidence.h"

enum { EXPORT_FORMAT = 1, EXPORT_RECORD_BYTES_MAX = 64 << 20 };

/* Kinds of record. */
enum export_record {
    EXPORT_HEAD = 1,
    EXPORT_GAP = 2,
    EXPORT_ENTRY = 3,    /* of the selection */
    EXPORT_IDENTITY = 4, /* says whose a key is */
    EXPORT_END = 5,
};

/* What was asked for: `kind` of the head. */
enum export_kind {
    EXPORT_OF_KEY = 1, /* space, key */
    EXPORT_OF_TASK = 2,
    EXPORT_OF_RANGE = 3, /* from..to-1 */
    EXPORT_OF_SPACE = 4,
    EXPORT_OF_AGENT = 5,
    EXPORT_OF_NAMED = 6, /* entries, one by one */
};

struct export_selection {
    enum export_kind kind;
    struct bytes space, key;
    uint64_t task, from, to;
    struct hash agent;
};

/* What the head states. note: a signed tree head of the broker; it is the
 * size that the last gap, or the last entry, reaches. */
struct export_facts {
    struct hash ledger, agent;
    uint8_t public_key[KEY_PUBLIC_BYTES]; /* of the agent, who exports */
    uint64_t time;
    struct bytes note;
    struct export_selection selection;
};

/* --- Writing ------------------------------------------------------------- */

/* Takes the file's next bytes, borrowed for the call. 0 or a negative errno,
 * which then comes back from the call that wrote them. */
typedef int (*export_sink)(void *context, struct bytes bytes);

struct export_writer {
    export_sink sink;
    void *context;
    struct hash ledger;
    struct hash_run digest;
    uint64_t bytes, records; /* so far */
    struct buf scratch;      /* owned */
};

/* Each writes one record; the order is the caller's: gaps and entries as
 * docs/export-format.md has it. 0; what the sink says; -ENOMEM; -EMSGSIZE for
 * a record that would be too long, of which then nothing is written. */
int export_begin(struct export_writer *w, const struct export_facts *facts,
                 export_sink sink, void *context);
/* hashes: of the subtrees that merkle_gap() lists, 32 bytes each. */
int export_gap(struct export_writer *w, struct bytes hashes);
/* kind: EXPORT_ENTRY or EXPORT_IDENTITY. evidence: the part, encoded, without
 * public_key. */
int export_entry(struct export_writer *w, enum export_record kind,
                 struct bytes evidence);
/* The last record, signed by the key that the head names. */
int export_end(struct export_writer *w, const struct key_pair *key);
/* After export_begin, in any case. */
void export_writer_free(struct export_writer *w);

/* Does it say whose a key is? Nothing else may pass for an identity: whoever
 * reads the selection alone, and whoever trusts its authors alone, would not see
 * it. verb: of its head. */
bool export_identifies(const struct entry *e, unsigned verb);

/* --- Reading ------------------------------------------------------------- */

/* Where something is wrong. Records are counted from 0, the head. */
struct export_place {
    uint64_t record, offset, index;
    bool has_index; /* it is an entry */
};

struct export_options {
    const uint8_t *broker_key;  /* 32 bytes: pinned; or NULL */
    const struct hash *trusted; /* agents, in any order; or NULL: all are */
    size_t trusted_count;
    /* Checks the signature of a bundle, now or later (then the caller asks for
     * what it has found before it believes what the reader says); NULL: the
     * reader does it at once. 0; CHOIR_BROKEN; -ENOMEM. Everything is borrowed
     * for the call. */
    int (*signature)(void *context, const uint8_t *key,
                     const struct hash *ledger, struct bytes header,
                     const uint8_t *signature, const struct export_place *at);
    /* Each entry that has passed, in order, borrowed for the call; or NULL. Not
     * proven before export_read_end. 0 or negative errno. */
    int (*entry)(void *context, enum export_record kind, const struct entry *e);
    void *context, *entry_context;
};

struct export_report {
    /* Stated by the head, borrowed from the reader; proven by the end. */
    struct export_facts facts;
    struct note note; /* the tree head */
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    bool pinned; /* and it is the one that was given */
    uint64_t bytes, records, entries, identities, bundles, agents, sessions;
    uint64_t payloads, payload_bytes;
    uint64_t erased, compacted, left_out; /* payloads that are not there */
    uint64_t first_time, last_time;       /* of `entries` */
    /* When it failed. */
    const char *why; /* static */
    struct export_place at;
};

struct export_reader;

/* Everything in options is borrowed until the reader is destroyed. NULL when
 * out of memory. */
struct export_reader *export_reader_new(const struct export_options *options);
void export_reader_destroy(struct export_reader **self_p);
/* The file's next bytes, any number of them. What has passed is proven only
 * after export_read_end. 0; CHOIR_BROKEN, and the report says where and why;
 * -ENOMEM. After a failure, the same again. */
int export_read(struct export_reader *r, struct bytes piece);
/* There are no more. The same. */
int export_read_end(struct export_reader *r);
/* So far. Borrowed. */
const struct export_report *export_report(const struct export_reader *r);

#endif
