/* Sessions by id. The digest has one item for a session and one for each
 * bundle of its window, so that a change costs the same however long that is.
 */
#include "session.h"

#include <errno.h>
#include <stdlib.h>

#include "handle.h"
#include "item.h"
#include "proto/refusal.h"

/* window points `gone` bundles into its memory: what was answered is dropped
 * by moving on, and room is made all at once. */
struct place {
    struct session session;
    uint32_t gone;
    struct index_key id; /* a number_key */
};

struct sessions {
    struct digest *digest; /* borrowed */
    struct index *by_id;
    uint32_t *free_slots; /* as many as there can be, so that ending a */
    uint32_t free_count;  /* session needs no memory */
    uint32_t slots;       /* ever given out at once */
    uint32_t slots_cap;
};

static void session_item(struct item *it, const struct session *s)
{
    item_begin(it, ITEM_SESSION);
    item_u64(it, s->id);
    item_u32(it, s->agent);
    item_u64(it, s->next_seq);
    item_u64(it, s->answered);
    item_hash(it, &s->prev_hash);
    if (s->key) /* of the few that have several */
        item_u8(it, s->key);
}

static void bundle_item(struct item *it, uint64_t session,
                        const struct session_bundle *b)
{
    item_begin(it, ITEM_BUNDLE);
    item_u64(it, session);
    item_u64(it, b->first_seq);
    item_u64(it, b->index);
    item_u32(it, b->count);
    item_hash(it, &b->hash);
}

static struct place *place_of(struct session *s)
{
    return (struct place *)(void *)s; /* its first member */
}

static int slot_take(struct sessions *s, uint32_t *slot)
{
    uint32_t cap = s->slots_cap ? s->slots_cap * 2 : 16, *more;

    if (s->free_count) {
        *slot = s->free_slots[--s->free_count];
        return 0;
    }
    if (s->slots == s->slots_cap) {
        more = reallocarray(s->free_slots, cap, sizeof(*more));
        if (!more)
            return -ENOMEM;
        s->free_slots = more;
        s->slots_cap = cap;
    }
    *slot = s->slots++;
    return 0;
}

static void slot_give(struct sessions *s, uint32_t slot)
{
    s->free_slots[s->free_count++] = slot;
}

static void place_free(struct place *p)
{
    if (p->session.window)
        free(p->session.window - p->gone);
    free(p);
}

/* In the table and in the digest. */
static int session_enter(struct sessions *s, const struct session *as,
                         struct session **out)
{
    struct number_key id = number_key(as->id);
    struct place *p = calloc(1, sizeof(*p) + sizeof(id));
    struct item it;
    int r;

    if (!p)
        return -ENOMEM;
    p->session = *as;
    p->id.len = sizeof(id);
    memcpy(p->id.bytes, &id, sizeof(id));
    r = slot_take(s, &p->session.slot);
    if (!r) {
        r = index_insert(s->by_id, &p->id);
        if (r)
            slot_give(s, p->session.slot);
    }
    if (r) {
        free(p);
        return r;
    }
    session_item(&it, &p->session);
    item_enter(s->digest, &it, &p->session.item);
    *out = &p->session;
    return 0;
}

/* Room for one more bundle at the end of the window. */
static int window_room(struct session *s)
{
    struct place *p = place_of(s);
    struct session_bundle *base = s->window ? s->window - p->gone : NULL;
    uint32_t cap = s->window_cap ? s->window_cap * 2 : 1;

    if (p->gone + s->window_count < s->window_cap)
        return 0;
    /* Moving costs no more than what was dropped since it last was. */
    if (p->gone == 0 || p->gone < s->window_count) {
        base = reallocarray(base, cap, sizeof(*base));
        if (!base)
            return -ENOMEM;
        s->window = base + p->gone;
        s->window_cap = cap;
    }
    memmove(base, s->window, s->window_count * sizeof(*base));
    s->window = base;
    p->gone = 0;
    return 0;
}

static void window_add(struct sessions *s, struct session *session,
                       const struct session_bundle *b)
{
    struct session_bundle *last = &session->window[session->window_count++];
    struct item it;

    *last = *b;
    bundle_item(&it, session->id, b);
    item_enter(s->digest, &it, &last->item);
}

/* Forget what ends at or below `answered`. */
static void window_drop(struct sessions *s, struct session *session,
                        uint64_t answered)
{
    while (session->window_count &&
           session->window->first_seq + session->window->count - 1 <=
               answered) {
        digest_sub(s->digest, &session->window->item);
        session->window++;
        session->window_count--;
        place_of(session)->gone++;
    }
}

struct sessions *sessions_new(struct digest *digest)
{
    struct sessions *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->digest = digest;
    s->by_id = index_new();
    if (!s->by_id)
        sessions_destroy(&s);
    return s;
}

void sessions_destroy(struct sessions **self_p)
{
    struct index_cursor at;
    struct index_key *k;

    if (!self_p || !*self_p)
        return;
    if ((*self_p)->by_id) {
        index_seek((*self_p)->by_id, &at, NULL, 0);
        while ((k = index_next(&at)))
            place_free(index_item(k, struct place, id));
    }
    index_destroy(&(*self_p)->by_id);
    free((*self_p)->free_slots);
    free(*self_p);
    *self_p = NULL;
}

size_t sessions_count(const struct sessions *s)
{
    return index_count(s->by_id);
}

struct session *session_by_id(const struct sessions *s, uint64_t id)
{
    struct number_key key = number_key(id);
    struct index_key *k = index_find(s->by_id, &key, sizeof(key));

    return k ? &index_item(k, struct place, id)->session : NULL;
}

const struct session_bundle *session_find(const struct session *s,
                                          uint64_t first_seq)
{
    uint32_t low = 0, high = s->window_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (s->window[middle].first_seq < first_seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->window_count && s->window[low].first_seq == first_seq
               ? &s->window[low]
               : NULL;
}

int session_start(struct sessions *s, uint64_t id, uint32_t agent, uint8_t key,
                  const struct hash *bundle)
{
    struct session as = {.id = id,
                         .agent = agent,
                         .key = key,
                         .next_seq = 1,
                         .prev_hash = *bundle};
    struct session *made;

    return session_enter(s, &as, &made);
}

int session_accept(struct sessions *s, struct session *session,
                   uint64_t first_seq, uint32_t count, uint64_t answered,
                   const struct hash *bundle, uint64_t index)
{
    struct session_bundle b = {.first_seq = first_seq,
                               .index = index,
                               .count = count,
                               .hash = *bundle};
    struct item it;
    int r;

    r = window_room(session);
    if (r)
        return r;
    digest_sub(s->digest, &session->item);
    if (answered > session->answered)
        session->answered = answered;
    window_drop(s, session, session->answered);
    window_add(s, session, &b);
    session->next_seq = first_seq + count;
    session->prev_hash = *bundle;
    session_item(&it, session);
    item_enter(s->digest, &it, &session->item);
    return 0;
}

void session_end(struct sessions *s, struct session *session)
{
    struct number_key id = number_key(session->id);

    window_drop(s, session, UINT64_MAX);
    digest_sub(s->digest, &session->item);
    index_remove(s->by_id, &id, sizeof(id));
    slot_give(s, session->slot);
    place_free(place_of(session));
}

static int session_save(const struct session *s, session_sink put, void *to)
{
    struct item it;
    int r = 0;

    for (uint32_t i = 0; !r && i < s->window_count; i++) {
        bundle_item(&it, s->id, &s->window[i]);
        r = put(to, item_record(&it));
    }
    return r;
}

int sessions_save(const struct sessions *s, session_sink put, void *to)
{
    const struct session *at;
    struct item it;
    int r = 0;

    for (at = sessions_next(s, NULL); !r && at; at = sessions_next(s, at)) {
        session_item(&it, at);
        r = put(to, item_record(&it));
    }
    for (at = sessions_next(s, NULL); !r && at; at = sessions_next(s, at))
        r = session_save(at, put, to);
    return r;
}

static int session_load(struct sessions *s, struct cursor *at)
{
    struct session said = {0}, *made;
    int r;

    said.id = cursor_u64(at);
    said.agent = cursor_u32(at);
    said.next_seq = cursor_u64(at);
    said.answered = cursor_u64(at);
    load_hash(at, &said.prev_hash);
    if (cursor_left(at)) {
        said.key = cursor_u8(at);
        if (said.key == 0)
            return CHOIR_MALFORMED;
    }
    if (!load_ended(at) || said.agent == 0 || said.next_seq == 0 ||
        said.next_seq > LIMIT_UINT_MAX_WIRE + 1ULL ||
        said.answered >= said.next_seq)
        return CHOIR_MALFORMED;
    r = session_enter(s, &said, &made);
    return r == -EEXIST ? CHOIR_MALFORMED : r;
}

/* A bundle stands between the one before it and the session's next number. */
static bool bundle_fits(const struct session *s, const struct session_bundle *b)
{
    uint64_t from = s->answered;

    if (s->window_count) {
        const struct session_bundle *last = &s->window[s->window_count - 1];

        from = last->first_seq + last->count - 1;
        if (b->first_seq != from + 1)
            return false;
    }
    return b->count >= 1 && b->count <= LIMIT_BUNDLE_OPS && b->first_seq >= 1 &&
           b->first_seq < s->next_seq &&
           b->first_seq + b->count <= s->next_seq &&
           b->first_seq + b->count - 1 > from;
}

static int bundle_load(struct sessions *s, struct cursor *at)
{
    struct session *session = session_by_id(s, cursor_u64(at));
    struct session_bundle b = {0};
    int r;

    b.first_seq = cursor_u64(at);
    b.index = cursor_u64(at);
    b.count = cursor_u32(at);
    load_hash(at, &b.hash);
    if (!load_ended(at) || !session || !bundle_fits(session, &b) ||
        session->window_count >= LIMIT_SESSION_WINDOW)
        return CHOIR_MALFORMED;
    r = window_room(session);
    if (!r)
        window_add(s, session, &b);
    return r;
}

int sessions_load(struct sessions *s, struct bytes record)
{
    struct cursor at = cursor_of(record);

    switch (cursor_u8(&at)) {
    case ITEM_SESSION: return session_load(s, &at);
    case ITEM_BUNDLE: return bundle_load(s, &at);
    default: return CHOIR_MALFORMED;
    }
}

struct session *sessions_next(const struct sessions *s,
                              const struct session *after)
{
    struct number_key id = number_key(after ? after->id + 1 : 0);
    struct index_cursor at;
    struct index_key *k;

    if (after && after->id == UINT64_MAX)
        return NULL;
    index_seek(s->by_id, &at, &id, sizeof(id));
    k = index_next(&at);
    return k ? &index_item(k, struct place, id)->session : NULL;
}
