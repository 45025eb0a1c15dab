/* An ordered map from (page, slot) to a bit for each entry of the page. Most
 * entries have one slot, so a page is rarely there more than once. */
#include "erasure.h"

#include <errno.h>
#include <stdlib.h>

#include "item.h"
#include "proto/limits.h"
#include "proto/refusal.h"
#include "proto/schema.h"

enum {
    PAGE_ENTRIES = 256,
    PAGE_BYTES = PAGE_ENTRIES / 8,
    PLACE_BYTES = 12, /* page and slot */
};

struct page {
    uint8_t bits[PAGE_BYTES];
    struct index_key place;
};

struct erasure {
    struct digest *digest; /* borrowed */
    struct index *pages;
    uint64_t count;
};

/* Highest byte first, so that memcmp orders them. */
static void place_put(uint8_t place[PLACE_BYTES], uint64_t page, size_t slot)
{
    uint64_t first = htobe64(page);
    uint32_t second = htobe32((uint32_t)slot);

    memcpy(place, &first, sizeof first);
    memcpy(place + sizeof first, &second, sizeof second);
}

static uint64_t place_page(const uint8_t place[PLACE_BYTES])
{
    uint64_t page;

    memcpy(&page, place, sizeof page);
    return be64toh(page);
}

static size_t place_slot(const uint8_t place[PLACE_BYTES])
{
    uint32_t slot;

    memcpy(&slot, place + sizeof(uint64_t), sizeof slot);
    return be32toh(slot);
}

/* Those of the effect come behind the operation's own. */
static bool slot_possible(size_t slot)
{
    return slot < SLOT_EFFECT + LIMIT_SLOTS;
}

static void page_item(struct item *it, const struct page *p)
{
    item_begin(it, ITEM_ERASURE);
    item_put(it, bytes_of(p->place.bytes, PLACE_BYTES));
    item_put(it, bytes_of(p->bits, PAGE_BYTES));
}

static uint64_t bits_count(const uint8_t bits[PAGE_BYTES])
{
    uint64_t n = 0;

    for (size_t i = 0; i < PAGE_BYTES; i++)
        n += (uint64_t)__builtin_popcount(bits[i]);
    return n;
}

struct erasure *erasure_new(struct digest *digest)
{
    struct erasure *e = calloc(1, sizeof *e);

    if (!e)
        return NULL;
    e->digest = digest;
    e->pages = index_new();
    if (!e->pages)
        erasure_destroy(&e);
    return e;
}

void erasure_destroy(struct erasure **self_p)
{
    struct erasure *e = *self_p;
    struct index_cursor at;
    struct index_key *k;

    if (!e)
        return;
    if (e->pages) {
        index_seek(e->pages, &at, NULL, 0);
        while ((k = index_next(&at)))
            free(index_item(k, struct page, place));
    }
    index_destroy(&e->pages);
    free(e);
    *self_p = NULL;
}

static struct page *page_find(const struct erasure *e,
                              const uint8_t place[PLACE_BYTES])
{
    return index_item(index_find(e->pages, place, PLACE_BYTES), struct page,
                      place);
}

bool erasure_has(const struct erasure *e, uint64_t index, size_t slot)
{
    uint8_t place[PLACE_BYTES];
    const struct page *p;
    unsigned i = index % PAGE_ENTRIES;

    if (e->count == 0)
        return false;
    place_put(place, index / PAGE_ENTRIES, slot);
    p = page_find(e, place);
    return p && p->bits[i / 8] >> i % 8 & 1;
}

uint64_t erasure_count(const struct erasure *e)
{
    return e->count;
}

/* Of a page whose first entry has that number. */
static uint64_t bits_between(const uint8_t bits[PAGE_BYTES], uint64_t page,
                             uint64_t first, uint64_t end)
{
    uint64_t n = 0;

    for (uint64_t i = 0; i < PAGE_ENTRIES; i++)
        n += page + i >= first && page + i < end && bits[i / 8] >> i % 8 & 1;
    return n;
}

uint64_t erasure_between(const struct erasure *e, uint64_t first, uint64_t end)
{
    uint8_t from[PLACE_BYTES];
    struct index_cursor at;
    struct index_key *k;
    uint64_t n = 0;

    place_put(from, first / PAGE_ENTRIES, 0);
    index_seek(e->pages, &at, from, sizeof from);
    while ((k = index_next(&at))) {
        const struct page *p = index_item(k, struct page, place);
        uint64_t page = place_page(k->bytes) * PAGE_ENTRIES;

        if (page >= end)
            break;
        n += page >= first && end - page >= PAGE_ENTRIES
                 ? bits_count(p->bits)
                 : bits_between(p->bits, page, first, end);
    }
    return n;
}

/* --- Changing ------------------------------------------------------------- */

static int page_make(struct erasure *e, const uint8_t place[PLACE_BYTES],
                     struct page **out)
{
    struct page *p = calloc(1, sizeof *p + PLACE_BYTES);
    int r;

    if (!p)
        return -ENOMEM;
    p->place.len = PLACE_BYTES;
    memcpy(p->place.bytes, place, PLACE_BYTES);
    r = index_insert(e->pages, &p->place);
    if (r)
        free(p);
    else
        *out = p;
    return r;
}

static void page_enter(struct erasure *e, const struct page *p)
{
    struct item it;

    page_item(&it, p);
    item_add(e->digest, &it);
    e->count += bits_count(p->bits);
}

static void page_leave(struct erasure *e, const struct page *p)
{
    struct item it;

    page_item(&it, p);
    item_sub(e->digest, &it);
    e->count -= bits_count(p->bits);
}

int erasure_add(struct erasure *e, uint64_t index, size_t slot)
{
    uint8_t place[PLACE_BYTES];
    unsigned i = index % PAGE_ENTRIES;
    struct page *p;
    int r = 0;

    if (!slot_possible(slot))
        return -EINVAL;
    if (erasure_has(e, index, slot))
        return 0;
    place_put(place, index / PAGE_ENTRIES, slot);
    p = page_find(e, place);
    if (p)
        page_leave(e, p);
    else
        r = page_make(e, place, &p);
    if (r)
        return r;
    p->bits[i / 8] |= (uint8_t)(1u << i % 8);
    page_enter(e, p);
    return 0;
}

/* --- Records -------------------------------------------------------------- */

int erasure_save(const struct erasure *e, erasure_sink put, void *to)
{
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(e->pages, &at, NULL, 0);
    while (!r && (k = index_next(&at))) {
        struct item it;

        page_item(&it, index_item(k, struct page, place));
        r = put(to, item_record(&it));
    }
    return r;
}

int erasure_load(struct erasure *e, struct bytes record)
{
    struct cursor at = cursor_of(record);
    uint8_t kind = cursor_u8(&at);
    struct bytes place = cursor_take(&at, PLACE_BYTES);
    struct bytes bits = cursor_take(&at, PAGE_BYTES);
    struct page *p;
    int r;

    if (kind != ITEM_ERASURE || !load_ended(&at) || !bits_count(bits.p) ||
        place_page(place.p) > UINT64_MAX / PAGE_ENTRIES ||
        !slot_possible(place_slot(place.p)) || page_find(e, place.p))
        return CHOIR_MALFORMED;
    r = page_make(e, place.p, &p);
    if (r)
        return r;
    memcpy(p->bits, bits.p, PAGE_BYTES);
    page_enter(e, p);
    return 0;
}
