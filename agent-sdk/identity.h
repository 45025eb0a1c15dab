/* Identity and invitation files, and the last checkpoint an identity has
 * seen, which lies beside it as FILE.seen (and what it was before as
 * FILE.seen.other). Any thread. */
#ifndef CHOIR_SDK_IDENTITY_H
#define CHOIR_SDK_IDENTITY_H

#include "proto/key.h"
#include "proto/limits.h"
#include "verify.h"

enum { URL_BYTES = 257, NAME_BYTES = LIMIT_NAME_BYTES + 1, PATH_BYTES = 4096 };

/* The broker as it was pinned. */
struct pinned {
    char url[URL_BYTES];
    struct hash ledger;
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    uint8_t broker_curve[KEY_CURVE_BYTES];
};

/* Holds secrets: identity_wipe when done. */
struct identity {
    char name[NAME_BYTES];
    struct key_pair key;
    struct hash agent;
    struct curve_pair curve;
    struct pinned broker;
};

struct invitation {
    struct curve_pair curve; /* admitted for joining and nothing else */
    struct pinned broker;
};

/* Text of an invitation. 0, or CHOIR_MALFORMED with the error line set. */
int invitation_parse(struct invitation *i, const char *text);
/* 0; -ENOENT; -EACCES; CHOIR_MALFORMED. No error line for -ENOENT. */
int invitation_load(struct invitation *i, const char *path);

/* New keys for name with that broker: a new agent. */
void identity_new(struct identity *id, const char *name,
                  const struct pinned *broker);
/* New keys for the same agent. */
void identity_next(struct identity *id, const struct identity *before);
/* The new public key, its CURVE key, and its own word for whose it is, into a
 * `rotate` or `recover`. signature: borrowed by m. */
void identity_claim(const struct identity *id, struct msg *m,
                    uint8_t signature[KEY_SIGNATURE_BYTES]);
/* 0; -ENOENT (no error line); -EACCES, also when others than the owner may
 * read it; CHOIR_MALFORMED. */
int identity_load(struct identity *id, const char *path);
/* Durable before it returns: temporary file, sync, rename. 0 or -errno. */
int identity_save(const struct identity *id, const char *path);
void identity_wipe(struct identity *id);

/* What was seen of this ledger; zeros if nothing. proof: if not NULL, what it
 * was saved with is appended. */
void seen_load(struct checkpoint *seen, struct buf *proof,
               const char *identity_path, const struct hash *ledger);
/* Unless something newer stands there already; force: even then. proof: the
 * signed answer header that states it. Failure only weakens a later check, so
 * it is silent. */
void seen_save(const struct checkpoint *seen, struct bytes proof,
               const char *identity_path, const struct hash *ledger,
               bool force);
/* Keep evidence against the broker beside the identity. path: where it is, ""
 * where it could not be written. */
void evidence_save(const char *identity_path, struct bytes text,
                   char path[PATH_BYTES]);

#endif
