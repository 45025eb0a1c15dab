/* The file of an export: written, and read at once as its readers will. Beside
 * the handle and not with it: the ledger's entries and the handle's are two
 * things of one name. One thread. */
#ifndef CHOIR_SDK_EXPORT_FILE_H
#define CHOIR_SDK_EXPORT_FILE_H

#include "choir.h"
#include "identity.h"

struct export_file;

/* What was asked for: the fields of its kind. */
struct export_about {
    enum choir_export_kind kind;
    struct bytes space, key;
    uint64_t task, from, to;
    struct hash agent;
};

/* All of these: 0; CHOIR_BROKEN, for what a reader would refuse; a negative
 * errno; with the error line set. */

/* id, note: borrowed until destroyed. *out: owned; set in any case, may be
 * NULL. */
int export_file_begin(struct export_file **out, const struct identity *id,
                      const struct export_about *about, struct bytes note,
                      int fd);
int export_file_gap(struct export_file *f, struct bytes hashes);
/* evidence: the part, encoded. selected: it is of the selection, else it says
 * whose a key is. */
int export_file_entry(struct export_file *f, bool selected,
                      struct bytes evidence);
/* facts: its size is the caller's to fill in; or NULL. */
int export_file_end(struct export_file *f, struct choir_export_facts *facts);
/* Accepts NULL. */
void export_file_destroy(struct export_file **self_p);

#endif
