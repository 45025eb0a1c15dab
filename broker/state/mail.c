/* Three ordered indexes: messages by (box, revision), boxes, and what each
 * sender has in each mailbox. The last two only count, and follow from the
 * first. The messages of all topics are in one list besides, oldest first. */
#include "mail.h"

#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "handle.h"
#include "item.h"
#include "proto/limits.h"
#include "proto/refusal.h"

struct count {
    struct mail_load load;
    struct index_key key;
};

struct mail {
    struct digest *digest; /* borrowed */
    struct index *messages, *boxes, *shares;
    struct mail_message *topical; /* oldest first */
};

struct key {
    size_t n;
    uint8_t b[BOX_KEY_MAX + 8];
};

struct mail *mail_new(struct digest *digest)
{
    struct mail *m = calloc(1, sizeof *m);

    if (!m)
        return NULL;
    m->digest = digest;
    m->messages = index_new();
    m->boxes = index_new();
    m->shares = index_new();
    if (!m->messages || !m->boxes || !m->shares)
        mail_destroy(&m);
    return m;
}

static void index_free(struct index **index_p, size_t offset)
{
    struct index_cursor at;
    struct index_key *k;

    if (!*index_p)
        return;
    index_seek(*index_p, &at, NULL, 0);
    while ((k = index_next(&at)))
        free(index_item_at(k, offset));
    index_destroy(index_p);
}

void mail_destroy(struct mail **self_p)
{
    struct mail *m = self_p ? *self_p : NULL;

    if (!m)
        return;
    index_free(&m->messages, offsetof(struct mail_message, key));
    index_free(&m->boxes, offsetof(struct count, key));
    index_free(&m->shares, offsetof(struct count, key));
    free(m);
    *self_p = NULL;
}

/* --- Keys ---------------------------------------------------------------- */

void box_key(const struct box_id *box, struct box_key *k)
{
    uint8_t *p = k->b;

    for (int shift = 24; shift >= 0; shift -= 8)
        *p++ = (uint8_t)(box->agent >> shift);
    *p++ = (uint8_t)box->space.n;
    if (box->space.n)
        p = mempcpy(p, box->space.p, box->space.n);
    *p++ = (uint8_t)box->topic.n;
    if (box->topic.n)
        p = mempcpy(p, box->topic.p, box->topic.n);
    k->n = (size_t)(p - k->b);
}

/* The box and a number, big-endian, so that the order is that of numbers. */
static struct key key_of(const struct box_key *box, uint64_t number)
{
    struct number_key be = number_key(number);
    struct key k = {.n = box->n + sizeof be};

    memcpy(k.b, box->b, box->n);
    memcpy(k.b + box->n, &be, sizeof be);
    return k;
}

static bool box_fits(const struct box_id *box)
{
    return box->space.n >= 1 && box->space.n <= LIMIT_NAME_BYTES &&
           box->topic.n <= LIMIT_NAME_BYTES &&
           (box->agent == 0) == (box->topic.n > 0);
}

/* The key without the number at its end. */
static struct bytes message_box(const struct mail_message *x)
{
    return bytes_of(x->key.bytes, x->key.len - 8);
}

static bool is_topical(const struct mail_message *x)
{
    static const uint8_t none[4];

    return memcmp(x->key.bytes, none, sizeof none) == 0;
}

/* --- Counting ------------------------------------------------------------ */

static struct count *count_find(struct index *in, const void *key, size_t n)
{
    return index_item(index_find(in, key, n), struct count, key);
}

static struct count *count_make(struct index *in, const void *key, size_t n)
{
    struct count *c = count_find(in, key, n);

    if (c)
        return c;
    c = calloc(1, sizeof *c + n);
    if (!c)
        return NULL;
    c->key.len = (uint32_t)n;
    memcpy(c->key.bytes, key, n);
    if (index_insert(in, &c->key)) {
        free(c);
        return NULL;
    }
    return c;
}

static void count_tidy(struct index *in, struct count *c)
{
    if (c->load.messages)
        return;
    index_remove(in, c->key.bytes, c->key.len);
    free(c);
}

static void count_add(struct count *c, const struct mail_message *x)
{
    c->load.messages++;
    c->load.bytes += x->bytes;
    c->load.newest = x->revision;
}

static void count_sub(struct index *in, const void *key, size_t n,
                      const struct mail_message *x)
{
    struct count *c = count_find(in, key, n);

    c->load.messages--;
    c->load.bytes -= x->bytes;
    count_tidy(in, c);
}

/* The counts of its box and, in a mailbox, of its sender there; made before
 * the message is, so that running out of memory changes nothing. */
static int counts_make(struct mail *m, const struct box_key *box,
                       uint32_t sender, bool topical, struct count **of_box,
                       struct count **of_sender)
{
    struct key share = key_of(box, sender);

    *of_sender = NULL;
    *of_box = count_make(m->boxes, box->b, box->n);
    if (!*of_box)
        return -ENOMEM;
    if (topical)
        return 0;
    *of_sender = count_make(m->shares, share.b, share.n);
    if (*of_sender)
        return 0;
    count_tidy(m->boxes, *of_box);
    return -ENOMEM;
}

/* --- Looking ------------------------------------------------------------- */

const struct mail_message *mail_next(const struct mail *m,
                                     const struct box_id *box, uint64_t from)
{
    struct index_cursor at;
    struct index_key *found;
    struct box_key b;
    struct key k;

    if (!box_fits(box))
        return NULL;
    box_key(box, &b);
    k = key_of(&b, from);
    index_seek(m->messages, &at, k.b, k.n);
    found = index_next(&at);
    if (!found || !index_key_begins(found, b.b, b.n))
        return NULL;
    return index_item(found, struct mail_message, key);
}

struct mail_load mail_load(const struct mail *m, const struct box_id *box)
{
    const struct count *c;
    struct box_key b;

    if (!box_fits(box))
        return (struct mail_load){0};
    box_key(box, &b);
    c = count_find(m->boxes, b.b, b.n);
    return c ? c->load : (struct mail_load){0};
}

struct mail_load mail_share(const struct mail *m, const struct box_id *box,
                            uint32_t sender)
{
    const struct count *c;
    struct box_key b;
    struct key k;

    if (!box_fits(box))
        return (struct mail_load){0};
    box_key(box, &b);
    k = key_of(&b, sender);
    c = count_find(m->shares, k.b, k.n);
    return c ? c->load : (struct mail_load){0};
}

size_t mail_count(const struct mail *m)
{
    return index_count(m->messages);
}

uint64_t mail_oldest_topical(const struct mail *m)
{
    return m->topical ? m->topical->revision : 0;
}

/* --- Changes ------------------------------------------------------------- */

static void message_item(struct item *it, const struct mail_message *x)
{
    item_begin(it, ITEM_MESSAGE);
    item_u64(it, x->revision);
    item_u32(it, x->sender);
    item_u32(it, x->bytes);
    item_put(it, message_box(x));
}

/* In the index alone. */
static int message_make(struct mail *m, const struct box_key *box,
                        const struct mail_message *as,
                        struct mail_message **out)
{
    struct key k = key_of(box, as->revision);
    struct mail_message *x = malloc(sizeof *x + k.n);
    int r;

    if (!x)
        return -ENOMEM;
    *x = *as;
    x->key.len = (uint32_t)k.n;
    memcpy(x->key.bytes, k.b, k.n);
    r = index_insert(m->messages, &x->key);
    if (r) {
        free(x);
        return r;
    }
    *out = x;
    return 0;
}

int mail_add(struct mail *m, const struct box_id *box, uint64_t revision,
             uint32_t sender, uint32_t bytes)
{
    const struct mail_message as = {
        .revision = revision, .sender = sender, .bytes = bytes};
    struct count *of_box, *of_sender;
    struct mail_message *x;
    struct box_key b;
    struct item it;
    int r;

    if (!box_fits(box) || !revision || !sender ||
        (!box->agent && m->topical && revision < m->topical->older->revision))
        return -EINVAL;
    box_key(box, &b);
    r = counts_make(m, &b, sender, !box->agent, &of_box, &of_sender);
    if (r)
        return r;
    r = message_make(m, &b, &as, &x);
    if (r) {
        count_tidy(m->boxes, of_box);
        if (of_sender)
            count_tidy(m->shares, of_sender);
        return r;
    }
    count_add(of_box, x);
    if (of_sender)
        count_add(of_sender, x);
    else
        DL_APPEND2(m->topical, x, older, newer);
    message_item(&it, x);
    item_add(m->digest, &it);
    return 0;
}

/* Returns its sender. */
static uint32_t message_remove(struct mail *m, struct mail_message *x)
{
    struct bytes box = message_box(x);
    uint32_t sender = x->sender;
    struct box_key b = {.n = box.n};
    struct item it;
    struct key k;

    message_item(&it, x);
    item_sub(m->digest, &it);
    memcpy(b.b, box.p, box.n);
    count_sub(m->boxes, b.b, b.n, x);
    if (is_topical(x)) {
        DL_DELETE2(m->topical, x, older, newer);
    } else {
        k = key_of(&b, sender);
        count_sub(m->shares, k.b, k.n, x);
    }
    index_remove(m->messages, x->key.bytes, x->key.len);
    free(x);
    return sender;
}

static struct mail_message *first_from(struct mail *m, const void *key,
                                       size_t n)
{
    struct index_cursor at;

    index_seek(m->messages, &at, key, n);
    return index_item(index_next(&at), struct mail_message, key);
}

uint32_t mail_take(struct mail *m, const struct box_id *box, uint64_t from,
                   uint64_t upto)
{
    struct mail_message *x;
    struct box_key b;
    struct key k;

    if (!box_fits(box))
        return 0;
    box_key(box, &b);
    k = key_of(&b, from);
    x = first_from(m, k.b, k.n);
    if (!x || !index_key_begins(&x->key, b.b, b.n) || x->revision > upto)
        return 0;
    return message_remove(m, x);
}

uint32_t mail_take_owned(struct mail *m, uint32_t agent)
{
    struct box_key b;
    struct mail_message *x;

    box_key(&(struct box_id){.agent = agent}, &b);
    x = first_from(m, b.b, 4);
    if (!x || !agent || !index_key_begins(&x->key, b.b, 4))
        return 0;
    return message_remove(m, x);
}

uint32_t mail_take_topical(struct mail *m, uint64_t upto)
{
    return m->topical && m->topical->revision <= upto
               ? message_remove(m, m->topical)
               : 0;
}

/* --- Snapshot ------------------------------------------------------------ */

static int message_save(const struct mail_message *x, mail_sink put, void *to)
{
    struct item it;

    message_item(&it, x);
    return put(to, item_record(&it));
}

/* Topics by age, because that is how their list is made again. */
int mail_save(const struct mail *m, mail_sink put, void *to)
{
    static const uint8_t first_agent[] = {0, 0, 0, 1};
    const struct mail_message *x;
    struct index_cursor at;
    struct index_key *k;
    int r = 0;

    index_seek(m->messages, &at, first_agent, sizeof first_agent);
    while (!r && (k = index_next(&at)))
        r = message_save(index_item(k, struct mail_message, key), put, to);
    for (x = m->topical; !r && x; x = x->newer)
        r = message_save(x, put, to);
    return r;
}

int mail_read(struct mail *m, struct bytes record, uint32_t *sender,
              uint32_t *owner)
{
    struct cursor at = cursor_of(record);
    struct box_id box = {0};
    uint64_t revision;
    uint32_t bytes;
    int r;

    if (cursor_u8(&at) != ITEM_MESSAGE)
        return CHOIR_MALFORMED;
    revision = cursor_u64(&at);
    *sender = cursor_u32(&at);
    bytes = cursor_u32(&at);
    for (int i = 0; i < 4; i++)
        box.agent = box.agent << 8 | cursor_u8(&at);
    box.space = load_name(&at, LIMIT_NAME_BYTES);
    if (!box.agent)
        box.topic = load_name(&at, LIMIT_NAME_BYTES);
    else if (cursor_u8(&at))
        return CHOIR_MALFORMED; /* a mailbox has no topic */
    *owner = box.agent;
    if (!load_ended(&at))
        return CHOIR_MALFORMED;
    r = mail_add(m, &box, revision, *sender, bytes);
    return r == -EEXIST || r == -EINVAL ? CHOIR_MALFORMED : r;
}
