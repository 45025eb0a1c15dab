/* Offline proof that a ledger's files are what a broker wrote: every byte,
 * signature, tree and chain of docs/ledger-format.md. Uses proto/ alone,
 * nothing of the broker, and writes nothing. */
#ifndef CHOIR_TOOLS_VERIFY_H
#define CHOIR_TOOLS_VERIFY_H

#include <stdio.h>

#include "proto/export.h"
#include "tools/verify_pool.h"
#include "tools/verify_read.h"

enum { VERIFY_WHY = 400 };

struct verify_place {
    uint64_t segment, offset, index;
};

struct verify_counts {
    uint64_t segments, bytes, groups, entries, bundles;
    uint64_t payloads, payload_bytes;
    uint64_t agents, sessions, checkpoints;
};

struct verify_report {
    struct verify_counts counts;
    struct hash ledger, root; /* of the tree over all entries */
    uint8_t broker_key[KEY_PUBLIC_BYTES];
    bool pinned; /* and it is the one that was given */
    uint64_t epoch, first_time, last_time;
    bool sealed;
    uint64_t tail_bytes; /* behind the end, never known durable */
    bool snapshot;
    uint64_t snapshot_size;
    /* When it failed. in: "segment-0000000001", "seal", ... */
    char in[32], why[VERIFY_WHY];
    struct verify_place at;
};

/* dir: a data directory or a copy of one. key: the broker's, 32 bytes, or
 * NULL. 0; CHOIR_BROKEN, and the report says where and why; negative errno
 * (cannot be read; why says what). */
int verify_ledger(const char *dir, const uint8_t *key,
                  struct verify_report *report);
/* The same by as many threads as the pool has; what is reported does not
 * depend on how many. pool: borrowed. */
int verify_ledger_with(struct pool *pool, const char *dir, const uint8_t *key,
                       struct verify_report *report);

/* What was checked, or what is wrong, for a person. */
void verify_print(const struct verify_report *report, int result, FILE *out);

/* --- verify_paper.c ------------------------------------------------------ */

/* Is the file a receipt, or evidence of a fork? */
bool verify_is_paper(const char *path);
/* Its first byte tells it from an export, and stays to be read. */
bool verify_stdin_is_paper(void);
/* Check it and print what it proves, or what is wrong. key: the broker's. The
 * exit code. */
int verify_paper(const char *path, const uint8_t *key, bool json);

/* --- verify_export.c, verify_export_report.c ------------------------------ */

bool verify_is_export(const char *path);
/* A key, as 64 hex digits. */
void verify_key_hex(const uint8_t key[KEY_PUBLIC_BYTES], char out[HASH_HEX]);

struct verify_wish {
    const uint8_t *key;        /* the broker's, or NULL */
    const char *agents;        /* the file that names whom one trusts, */
    const struct buf *trusted; /* and what it says; or NULL */
    bool json, show;           /* show: its entries, too */
};
/* Check it and print what it shows, or what is wrong. path: "-" is standard
 * input. The exit code. */
int verify_export(const char *path, const struct verify_wish *wish);
/* Ids of agents, 64 hex digits a line, HASH_BYTES each appended to ids. 0;
 * -EINVAL: *line is none; -ENOMEM, -errno. */
int verify_agents_read(const char *path, struct buf *ids, unsigned *line);
/* JSON on stdout, words on stdout, or on stderr if it is broken. */
void verify_export_tell(const struct export_report *report, bool broken,
                        const char *agents, bool json);

/* --- verify_show.c ------------------------------------------------------- */

struct showing;

/* NULL: no memory, or no temporary file. */
struct showing *showing_new(bool json);
void showing_destroy(struct showing **self_p);
/* For export_options' entry. context: the showing. */
int showing_take(void *context, enum export_record kind, const struct entry *e);
/* What was taken. 0 or -EIO. */
int showing_show(struct showing *s, FILE *out);

/* 64 hex digits, or a file that holds them or an identity's or invitation's
 * armour. 0 or -EINVAL, -errno. */
int verify_key_read(const char *text, uint8_t key[KEY_PUBLIC_BYTES]);

/* --- verify_rules.c: who may say what ------------------------------------ */

struct rules;

/* key: as above. pool, counts, why: borrowed; the latter filled in. */
struct rules *rules_new(struct pool *pool, const uint8_t *key,
                        struct verify_counts *counts, char why[VERIFY_WHY]);
void rules_destroy(struct rules **self_p);
/* The next group of the ledger, which has been read. Signatures are checked by
 * the pool, later: *at may be an earlier entry's when it fails. 0; CHOIR_BROKEN
 * with why and *at; -ENOMEM. */
int rules_group(struct rules *r, const struct reading *x,
                const struct read_group *g, struct verify_place *at);
/* What is still under way. The same. */
int rules_settle(struct rules *r, struct verify_place *at);
/* After the last entry: is nothing missing but what may be? 0; CHOIR_BROKEN. */
int rules_end(struct rules *r, struct verify_place *at);
/* Zeros before the first entry. */
struct hash rules_ledger(const struct rules *r);
const uint8_t *rules_broker_key(const struct rules *r);
struct hash rules_root(const struct rules *r);

/* --- verify_signatures.c ------------------------------------------------- */

struct signatures;

/* pool: borrowed. NULL when out of memory. */
struct signatures *signatures_new(struct pool *pool);
void signatures_destroy(struct signatures **self_p);
/* Copies all. 0; CHOIR_BROKEN (*at: of the first that is wrong, and then
 * nothing is under way any more); -ENOMEM. */
int signatures_add(struct signatures *s, const uint8_t *key,
                   const struct hash *ledger, struct bytes header,
                   const uint8_t *signature, struct verify_place *at);
int signatures_settle(struct signatures *s, struct verify_place *at);

/* --- verify_snapshot.c --------------------------------------------------- */

struct snapshot_claim {
    bool there;
    uint64_t size;
    struct hash ledger, group, root;
};

/* Container and facts. 0 (also when there is none); CHOIR_BROKEN with why;
 * negative errno with why. */
int verify_snapshot(const char *dir, struct snapshot_claim *claim,
                    char why[VERIFY_WHY]);
/* A file, to be read from any place. fd: the caller's. Negative errno. */
int verify_file_open(const char *dir, const char *name, int *fd, uint64_t *n);
/* Exactly n bytes from there on. Negative errno. */
int verify_file_get(int fd, uint8_t *to, size_t n, uint64_t offset);
/* A whole file; its bytes are the caller's (free). Negative errno. */
int verify_file_read(const char *dir, const char *name, uint8_t **bytes,
                     size_t *n);

#endif
