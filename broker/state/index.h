/* An ordered map from byte strings to the caller's items: find, insert,
 * remove, and walk in order.
 *
 * An item carries its key in place, as its last member, and the index holds a
 * pointer to that:
 *
 *   struct thing { uint64_t revision; struct index_key key; };
 *   thing = index_item(index_find(index, bytes, len), struct thing, key);
 *
 * Order is that of memcmp, a prefix before what it begins. A B+tree of 64 keys
 * a node; each node keeps beside every pointer the four bytes that follow what
 * all its keys share, so a look-up touches few items. It costs about 20 bytes
 * a key beyond the item, malloc included, at random keys (16 at rising ones).
 *
 * Bytes that are looked for may be NULL where len is 0.
 * Ownership: items belong to the caller, are borrowed until removed, and their
 * keys must not change while they are in.
 * Errors: 0 or a negative errno. After -ENOMEM the index is as before.
 * Threads: one. */
#ifndef CHOIR_BROKER_STATE_INDEX_H
#define CHOIR_BROKER_STATE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct index;

struct index_key {
    uint32_t len;
    unsigned char bytes[];
};

/* The item around a key, NULL for NULL. */
#define index_item(key_ptr, type, member) \
    ((type *)index_item_at((key_ptr), offsetof(type, member)))

static inline void *index_item_at(const struct index_key *key, size_t offset)
{
    return key ? (char *)(uintptr_t)key - offset : NULL;
}

/* Empty. Owned by the caller; NULL when out of memory. */
struct index *index_new(void);

/* The same with a stamp for each key, 0 at first, and with the newest of all
 * that begin alike known at once. About 12 bytes a key more. */
struct index *index_new_stamped(void);

/* Frees the index and no item: walk it first. Accepts NULL. */
void index_destroy(struct index **self_p);

size_t index_count(const struct index *index);

/* Heap bytes of the index itself, items not included. */
size_t index_bytes(const struct index *index);

/* The item's key, or NULL. The last one found or inserted is remembered, so
 * that asking again costs one comparison. */
struct index_key *index_find(struct index *index, const void *bytes,
                             size_t len);

/* Returns 0, -EEXIST (nothing changed) or -ENOMEM.
 * key: borrowed until removed. */
int index_insert(struct index *index, struct index_key *key)
    __attribute__((warn_unused_result));

/* Returns the key that was removed, now the caller's alone, or NULL if there
 * was none. Needs no memory. */
struct index_key *index_remove(struct index *index, const void *bytes,
                               size_t len);

/* A place in the order. Reads leave it valid; any insert or remove ends it:
 * then seek again from the last key seen. Needs no clean-up. */
struct index_cursor {
    const void *node;
    uint32_t at;
};

/* Stand before the first key that is not below these bytes (len 0: before the
 * first of all). */
void index_seek(const struct index *index, struct index_cursor *cursor,
                const void *bytes, size_t len);

/* The next key in order, or NULL at the end (again and again). */
struct index_key *index_next(struct index_cursor *cursor);

/* Raise the stamp of a key that is in; a lower one changes nothing. Cheap for
 * the key that was found or inserted last. */
void index_stamp(struct index *index, struct index_key *key, uint64_t stamp);

/* The highest stamp of the keys that begin so, 0 if there is none. O(log n).
 * len: up to INDEX_PREFIX_MAX, or 0 is given. */
enum { INDEX_PREFIX_MAX = 1024 };
uint64_t index_newest(const struct index *index, const void *prefix,
                      size_t len);

/* The first key that is not below these bytes (above them, if `above`) and
 * whose stamp is higher than this one; NULL: there is none. O(log n), however
 * many older ones lie between. */
struct index_key *index_next_newer(const struct index *index, const void *bytes,
                                   size_t len, bool above, uint64_t stamp);

/* Several keys will soon be looked for: have the memory that it takes come
 * closer, for all of them at once instead of one after the other. Changes
 * nothing, and does nothing for more than INDEX_FETCH_MAX. */
enum { INDEX_FETCH_MAX = 64 };
struct index_text {
    const void *bytes;
    size_t len;
};
void index_fetch(const struct index *index, const struct index_text *texts,
                 size_t n);

/* As memcmp: below, equal, above zero. */
int index_compare(const void *a, size_t a_len, const void *b, size_t b_len);

bool index_key_begins(const struct index_key *key, const void *prefix,
                      size_t len);

/* For tests: walk everything. 0, or -EIO when an invariant is broken. */
int index_check(const struct index *index);

#endif
