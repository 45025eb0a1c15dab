/* A binary heap of things due, by a number alone, so that a comparison reads
 * none of them: the least on top; finding it costs nothing, a change O(log n).
 * Each thing knows its row, by which it is taken out. */
#ifndef CHOIR_BROKER_STATE_HEAP_H
#define CHOIR_BROKER_STATE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_row {
    uint64_t key;
    uint32_t *at; /* in the thing itself: the number of this row */
};

/* Zero-initialised: empty. */
struct heap {
    struct heap_row *rows; /* owned */
    uint32_t count, cap;
};

/* Room for so many in all: pushing up to there cannot fail. 0 or -ENOMEM. */
int heap_room(struct heap *h, uint32_t count);
void heap_push(struct heap *h, uint64_t key, uint32_t *at);
void heap_remove(struct heap *h, uint32_t at);

/* The struct of that type whose member `name` is the row's number. */
#define HEAP_OWNER(row, type, name) \
    ((type *)(void *)((char *)((row).at) - offsetof(type, name)))

#endif
