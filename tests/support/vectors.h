/* The test vectors of proto/vectors: one JSON file a subject, made by
 * vectors_make() from nothing but constants, so that they are always the same.
 * Every file: { about, good: [...], bad: [...] }; proto/vectors/README.md says
 * what the cases hold. */
#ifndef CHOIR_TESTS_VECTORS_H
#define CHOIR_TESTS_VECTORS_H

#include <jansson.h>

#include "tests/support/wire.h"

#define VECTORS_DIR "proto/vectors"

/* Subjects, in reading order, ended by NULL: "items", "keys", ... */
extern const char *const vectors_subjects[];

/* A new reference; aborts if the subject has no maker. */
json_t *vectors_make(const char *subject);

/* As it stands in the file, with a line feed at the end. Owned by the caller.
 */
char *vectors_text(const json_t *file);

/* One maker a subject. */
json_t *vectors_items(void);
json_t *vectors_messages(void);
json_t *vectors_keys(void);
json_t *vectors_hashes(void);
json_t *vectors_trees(void);
json_t *vectors_bundles(void);
json_t *vectors_answers(void);
json_t *vectors_notes(void);
json_t *vectors_armour(void);
json_t *vectors_record(void);
json_t *vectors_exports(void);

/* --- For the makers ------------------------------------------------------ */

json_t *vector_file(const char *about);
/* A case of that file, named; list: "good" or "bad". Borrowed. */
json_t *vector_case(json_t *file, const char *list, const char *name);
void vector_text(json_t *c, const char *key, const char *text);
void vector_int(json_t *c, const char *key, uint64_t v);
void vector_hex(json_t *c, const char *key, struct bytes b);
void vector_hash(json_t *c, const char *key, const struct hash *h);
json_t *vector_hex_of(struct bytes b);

#endif
