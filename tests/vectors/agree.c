/* Two readers of one format must agree, on anything: the good vectors bent in
 * many ways, always the same ones, are judged by the C code and by the second
 * reader (tests/reader/judge.mjs). AGREE=N: so many bent copies of each.
 * test-timeout: 120 */
#include "tests/check.h"

#include <jansson.h>

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/support/vectors.h"

static uint64_t seed = 1;

/* xorshift: the same everywhere. */
static uint32_t any(uint32_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32) % below;
}

/* Bytes with a meaning of their own in msgpack. */
static uint8_t telling(void)
{
    static const uint8_t heads[] = {
        0x00, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x91, 0xa0, 0xa1, 0xbf, 0xc0, 0xc1,
        0xc2, 0xc4, 0xc5, 0xc6, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xd0, 0xd3,
        0xd4, 0xd9, 0xda, 0xdb, 0xdc, 0xdd, 0xde, 0xdf, 0xe0, 0xff};

    return heads[any(sizeof heads)];
}

/* One to three small changes. */
static void bend(struct buf *b)
{
    for (uint32_t n = 1 + any(3); n && b->n; n--) {
        size_t at = any((uint32_t)b->n);

        switch (any(6)) {
        case 0: b->p[at] ^= (uint8_t)(1u << any(8)); break;
        case 1: b->p[at] = telling(); break;
        case 2: b->p[at] = (uint8_t)(b->p[at] + (any(2) ? 1 : -1)); break;
        case 3: b->n = at; break;
        case 4: /* one byte more */
            buf_put(b, "", 1);
            memmove(b->p + at + 1, b->p + at, b->n - at - 1);
            b->p[at] = telling();
            break;
        default: /* one byte less */
            memmove(b->p + at, b->p + at + 1, b->n - at - 1);
            b->n--;
        }
    }
}

/* --- The C code's verdict ------------------------------------------------ */

static void say(char out[512], int r, unsigned field)
{
    if (r == CHOIR_UNSUPPORTED && field)
        snprintf(out, 512, "UNSUPPORTED %u", field);
    else
        snprintf(out, 512, "%s", refusal_name(r));
}

static void judge_bundle(struct bytes in, char out[512])
{
    struct bundle b = {0};
    int r = bundle_open(&b, in);
    size_t n;

    /* the header's unknown field is not handed out, so it is asked again */
    if (r == CHOIR_UNSUPPORTED) {
        struct msg m;
        unsigned field;

        part_decode(MSG_BUNDLE_HEADER, b.header, &m, &field);
        say(out, r, field);
        return;
    }
    if (!r)
        r = bundle_check(&b, CLASS_OPERATION);
    say(out, r, 0);
    n = strlen(out);
    for (uint32_t i = 0; !r && i < b.count; i++)
        n += (size_t)snprintf(out + n, 512 - n, " %s:%u",
                              refusal_name(b.ops[i].refusal), b.ops[i].field);
    bundle_free(&b);
}

static void judge_answer(struct bytes in, char out[512])
{
    struct answer a;
    struct msg m;
    unsigned field = 0;
    int r = answer_open(&a, in);

    if (r == CHOIR_UNSUPPORTED) {
        part_decode(MSG_ANSWER_HEADER, a.header, &m, &field);
        say(out, r, field);
        return;
    }
    while (!r)
        r = answer_next(&a, &m);
    say(out, r == CHOIR_NOT_FOUND ? 0 : r, 0);
}

static unsigned class_of(const char *name)
{
    return strcmp(name, "operation") == 0 ? CLASS_OPERATION
           : strcmp(name, "broker") == 0  ? CLASS_BROKER
           : strcmp(name, "ask") == 0     ? CLASS_ASK
                                          : CLASS_ITEM;
}

static void judge(const char *kind, struct bytes in, char out[512])
{
    unsigned field = 0;
    struct msg m;
    int r;

    if (strcmp(kind, "bundle") == 0) {
        judge_bundle(in, out);
        return;
    }
    if (strcmp(kind, "answer") == 0) {
        judge_answer(in, out);
        return;
    }
    if (strcmp(kind, "item") == 0)
        r = pack_valid(in) ? 0 : CHOIR_MALFORMED;
    else if (strncmp(kind, "msg-", 4) == 0)
        r = msg_decode(in, class_of(kind + 4), &m, &field);
    else
        r = part_decode((enum message)message_verb(bytes_text(kind)), in, &m,
                        &field);
    say(out, r, field);
}

/* --- Both ---------------------------------------------------------------- */

struct page {
    FILE *cases;
    struct buf verdicts; /* lines */
    size_t count;
};

static void put_case(struct page *p, const char *kind, struct bytes in)
{
    char verdict[512];

    fprintf(p->cases, "%s ", kind);
    for (size_t i = 0; i < in.n; i++)
        fprintf(p->cases, "%02x", in.p[i]);
    fputc('\n', p->cases);
    judge(kind, in, verdict);
    buf_put(&p->verdicts, verdict, strlen(verdict));
    buf_put(&p->verdicts, "\n", 1);
    p->count++;
}

static void put_bent(struct page *p, const char *kind, const char *hex,
                     int copies)
{
    struct buf good = wire_hex(hex), bent = {0};

    for (int i = 0; i < copies; i++) {
        buf_clear(&bent);
        buf_put(&bent, good.p, good.n);
        bend(&bent);
        put_case(p, kind, buf_bytes(&bent));
    }
    buf_free(&good);
    buf_free(&bent);
}

static void put_subject(struct page *p, const char *subject, int copies)
{
    json_t *file = vectors_make(subject), *c;
    size_t i;

    json_array_foreach(json_object_get(file, "good"), i, c)
    {
        const char *class = json_string_value(json_object_get(c, "class"));
        const char *hex = json_string_value(json_object_get(c, "bytes"));
        char kind[48];

        if (!hex)
            hex = json_string_value(json_object_get(c, "frame"));
        if (strcmp(subject, "items") == 0)
            strcpy(kind, "item");
        else if (strcmp(subject, "bundles") == 0)
            strcpy(kind, "bundle");
        else if (strcmp(subject, "answers") == 0)
            strcpy(kind, "answer");
        else if (strcmp(class, "part") == 0)
            snprintf(kind, sizeof kind, "%s",
                     json_string_value(json_object_get(c, "message")));
        else
            snprintf(kind, sizeof kind, "msg-%s", class);
        put_bent(p, kind, hex, copies);
    }
    json_decref(file);
}

/* The first case that was judged otherwise, with both verdicts. */
static void compare(const struct page *p, const char *path)
{
    char line[600], command[400];
    struct cursor c = cursor_of(buf_bytes(&p->verdicts));
    FILE *theirs;

    snprintf(command, sizeof command, "node tests/reader/judge.mjs '%s'", path);
    theirs = popen(command, "r");
    for (size_t i = 0; i < p->count; i++) {
        const uint8_t *end = memchr(c.p, '\n', cursor_left(&c));
        struct bytes ours = cursor_take(&c, (size_t)(end - c.p) + 1);

        if (!fgets(line, sizeof line, theirs))
            fail_msg("the second reader stopped at case %zu", i);
        if (!bytes_equal(bytes_text(line), ours))
            fail_msg("line %zu of %s: we say %.*s it says %s", i + 1, path,
                     (int)ours.n, (const char *)ours.p, line);
    }
    CHECK_OK(pclose(theirs));
}

static void agree(const char *subject, int copies)
{
    const char *dir = getenv("CHOIR_TMP"), *many = getenv("AGREE");
    struct page p = {0};
    char path[300];

    snprintf(path, sizeof path, "%s/%s.cases", dir ? dir : "/tmp", subject);
    p.cases = fopen(path, "w");
    CHECK(p.cases != NULL);
    put_subject(&p, subject, many ? atoi(many) : copies);
    CHECK_OK(fclose(p.cases));
    compare(&p, path);
    remove(path);
    buf_free(&p.verdicts);
}

TEST(readers_agree_on_bent_items)
{
    agree("items", 300);
}

TEST(readers_agree_on_bent_messages)
{
    agree("messages", 150);
}

TEST(readers_agree_on_bent_bundles)
{
    agree("bundles", 300);
}

TEST(readers_agree_on_bent_answers)
{
    agree("answers", 300);
}

CHECK_MAIN
