/* The tables and the example of proto/README.md are what the code says, each
 * between `<!-- NAME: made by make vectors -->` and `<!-- end -->`. `--write`
 * (make vectors) puts them there. */
#include "tests/check.h"

#include "proto/pack.h"
#include "proto/refusal.h"
#include "tests/support/vectors.h"

#define README "proto/README.md"

static void say(struct buf *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(struct buf *out, const char *format, ...)
{
    char line[4096];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    buf_put(out, line, strlen(line));
}

/* --- Tables -------------------------------------------------------------- */

static const char *const kinds[] = {
    [KIND_UINT] = "integer",  [KIND_TEXT] = "text",
    [KIND_BYTES] = "bytes",   [KIND_HASH] = "hash",
    [KIND_SLOTS] = "slots",   [KIND_SIGNATURE] = "signature",
    [KIND_LABELS] = "labels", [KIND_LIST] = "list",
};

static void field_bound(struct buf *out, const struct field_row *row)
{
    switch (row->kind) {
    case KIND_UINT:
        if (row->max == LIMIT_UINT_MAX_WIRE)
            say(out, "2^53−1");
        else
            say(out, "%llu", (unsigned long long)row->max);
        return;
    case KIND_LIST:
        say(out, "of `%s`", message_row((unsigned)row->max)->name);
        return;
    case KIND_TEXT:
    case KIND_BYTES:
        say(out, "%llu bytes", (unsigned long long)row->max);
        return;
    case KIND_SLOTS:
        say(out, "%llu slots", (unsigned long long)row->max);
        return;
    case KIND_LABELS:
        say(out, "%llu pairs", (unsigned long long)row->max);
        return;
    default: return;
    }
}

static void make_fields(struct buf *out)
{
    say(out, "| number | name | kind | at most | what it is |\n"
             "|---|---|---|---|---|\n");
    for (unsigned f = 0; f < FIELD_END; f++) {
        const struct field_row *row = field_row(f);

        if (!row)
            continue;
        say(out, "| %u | `%s` | %s | ", f, row->name, kinds[row->kind]);
        field_bound(out, row);
        say(out, " | %s |\n", row->what);
    }
}

static void field_names(struct buf *out, field_mask mask)
{
    const char *gap = "";

    for (unsigned f = 0; f < FIELD_END; f++) {
        if (!(mask >> f & 1))
            continue;
        say(out, "%s%s", gap, field_row(f)->name);
        gap = ", ";
    }
}

static void messages_of(struct buf *out, unsigned class)
{
    say(out, class == CLASS_PART
                 ? "| name | needs | may have |\n|---|---|---|\n"
                 : "| verb | name | needs | may have |\n"
                   "|---|---|---|---|\n");
    for (unsigned verb = 0; verb < 256; verb++) {
        const struct message_row *row = message_row(verb);

        if (!row || row->class != class)
            continue;
        if (class != CLASS_PART)
            say(out, "| %u ", verb);
        say(out, "| `%s` | ", row->name);
        field_names(out, row->need);
        say(out, " | ");
        field_names(out, row->may);
        say(out, " |\n");
    }
}

static void make_operations(struct buf *out)
{
    messages_of(out, CLASS_OPERATION);
}

static void make_broker(struct buf *out)
{
    messages_of(out, CLASS_BROKER);
}

static void make_asks(struct buf *out)
{
    messages_of(out, CLASS_ASK);
}

static void make_items(struct buf *out)
{
    messages_of(out, CLASS_ITEM);
}

static void make_parts(struct buf *out)
{
    messages_of(out, CLASS_PART);
}

static void make_tags(struct buf *out)
{
    static const char *const tags[] = {
#define X(name, text) text,
        HASH_TAGS(X)
#undef X
    };

    for (unsigned i = 0; i < sizeof tags / sizeof *tags; i++)
        say(out, "%s`%s`", i ? " " : "", tags[i]);
    say(out, "\n");
}

static void make_limits(struct buf *out)
{
    say(out, "| limit | value | unit | bounds |\n|---|---|---|---|\n");
#define X(name, value, unit, what)                                         \
    say(out, "| %s | %lld | %s | %s |\n", #name, (long long)(value), unit, \
        what);
    CHOIR_LIMITS(X)
#undef X
}

static void make_refusals(struct buf *out)
{
    say(out, "| code | name | class | |\n|---|---|---|---|\n");
#define X(name, number, class, sentence) \
    say(out, "| %d | %s | %s | %s |\n", number, #name, #class, sentence);
    CHOIR_REFUSALS(X)
#undef X
}

static void make_rights(struct buf *out)
{
    say(out, "| bit | right |\n|---|---|\n");
#define X(name, bit, text) say(out, "| %d | %s |\n", bit, text);
    RIGHTS(X)
#undef X
}

static void make_states(struct buf *out)
{
    say(out, "| number | state | final |\n|---|---|---|\n");
#define X(name, number, text, final) \
    say(out, "| %d | %s | %s |\n", number, text, final ? "yes" : "");
    TASK_STATES(X)
#undef X
}

/* --- The example --------------------------------------------------------- */

static void bytes_line(struct buf *out, struct bytes b, const char *what)
{
    char hex[40] = "";
    size_t at = 0;

    for (size_t i = 0; i < b.n && i < 16; i++)
        at += (size_t)snprintf(hex + at, sizeof hex - at, "%02x", b.p[i]);
    if (b.n > 14)
        strcpy(hex + 26, "\u2026");
    say(out, "%-28s%s %s\n", hex, b.n > 14 ? "  " : "", what);
}

/* A map as it stands: its head, then one line a field. */
static void map_lines(struct buf *out, struct bytes map)
{
    struct cursor c = cursor_of(map);
    struct pack_item item;
    const uint8_t *start = c.p;
    uint64_t n;
    char what[128];

    if (pack_next(&c, &item))
        abort();
    n = item.u;
    snprintf(what, sizeof what, "  map of %u fields", (unsigned)n);
    bytes_line(out, bytes_of(start, (size_t)(c.p - start)), what);
    while (n--) {
        const uint8_t *at = c.p;
        unsigned f;

        if (pack_next(&c, &item))
            abort();
        f = (unsigned)item.u;
        start = c.p;
        if (pack_next(&c, &item))
            abort();
        snprintf(what, sizeof what, "  %u %s", f, field_row(f)->name);
        if (item.kind == PACK_UINT && f == FIELD_VERB)
            snprintf(what, sizeof what, "  1 verb = %s",
                     message_row((unsigned)item.u)->name);
        else if (item.kind == PACK_UINT)
            snprintf(what, sizeof what, "  %u %s = %llu", f, field_row(f)->name,
                     (unsigned long long)item.u);
        else if (item.kind == PACK_TEXT)
            snprintf(what, sizeof what, "  %u %s = \"%.*s\"", f,
                     field_row(f)->name, (int)item.bytes.n,
                     (const char *)item.bytes.p);
        bytes_line(out, bytes_of(at, (size_t)(c.p - at)), what);
    }
}

static void make_example(struct buf *out)
{
    json_t *file = vectors_make("bundles");
    struct buf frame = wire_hex(json_string_value(json_object_get(
        json_array_get(json_object_get(file, "good"), 0), "frame")));
    struct cursor c = cursor_of(buf_bytes(&frame));
    struct bundle b = {0};
    struct bytes salt, value;
    char what[96];

    if (bundle_open(&b, buf_bytes(&frame)) ||
        bundle_check(&b, CLASS_OPERATION) ||
        slot_at(b.ops[0].rows, b.ops[0].payload, 0, &salt, &value))
        abort();
    say(out, "```\n");
    bytes_line(out, cursor_take(&c, 4), "magic \"CHB1\"");
    snprintf(what, sizeof what, "header: %zu bytes", b.header.n);
    bytes_line(out, cursor_take(&c, 4), what);
    map_lines(out, cursor_take(&c, b.header.n));
    bytes_line(out, cursor_take(&c, 64),
               "signature, 64 bytes (over what \"Signatures\" says)");
    snprintf(what, sizeof what, "head of operation 0: %zu bytes",
             b.ops[0].head.n);
    bytes_line(out, cursor_take(&c, 4), what);
    map_lines(out, cursor_take(&c, b.ops[0].head.n));
    bytes_line(out, cursor_take(&c, salt.n), "salt of slot 0, 16 bytes");
    snprintf(what, sizeof what, "its payload: \"%.*s\"", (int)value.n,
             (const char *)value.p);
    bytes_line(out, cursor_take(&c, value.n), what);
    say(out, "```\n");
    bundle_free(&b);
    buf_free(&frame);
    json_decref(file);
}

/* --- Where they stand ---------------------------------------------------- */

static const struct {
    const char *name;
    void (*make)(struct buf *);
} sections[] = {
    {"example", make_example},
    {"tags", make_tags},
    {"limits", make_limits},
    {"fields", make_fields},
    {"operations", make_operations},
    {"broker", make_broker},
    {"asks", make_asks},
    {"items", make_items},
    {"parts", make_parts},
    {"rights", make_rights},
    {"states", make_states},
    {"refusals", make_refusals},
};

static char *readme_text(void)
{
    struct buf b = {0};
    FILE *f = fopen(README, "r");
    char part[4096];
    size_t n;

    if (!f)
        fail_msg("%s is not there", README);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        buf_put(&b, part, n);
    fclose(f);
    buf_put(&b, "", 1);
    return (char *)b.p;
}

/* From behind the opening marker to the closing one. */
static struct bytes section_of(const char *text, const char *name)
{
    char open[96];
    const char *start, *end;

    snprintf(open, sizeof open, "<!-- %s: made by make vectors -->\n", name);
    start = strstr(text, open);
    end = start ? strstr(start, "<!-- end -->") : NULL;
    if (!end)
        fail_msg("%s has no section %s", README, name);
    start += strlen(open);
    return bytes_of(start, (size_t)(end - start));
}

TEST(readme_tables_are_what_the_table_says)
{
    char *text = readme_text();

    for (unsigned i = 0; i < sizeof sections / sizeof *sections; i++) {
        struct buf made = {0};

        sections[i].make(&made);
        if (!bytes_equal(section_of(text, sections[i].name), buf_bytes(&made)))
            fail_msg("%s: %s is not what the code says: make vectors", README,
                     sections[i].name);
        buf_free(&made);
    }
    free(text);
}

static int write_all(void)
{
    char *text = readme_text();
    FILE *f;

    for (unsigned i = 0; i < sizeof sections / sizeof *sections; i++) {
        struct bytes old = section_of(text, sections[i].name);
        struct buf b = {0};
        char *rest = (char *)old.p + old.n;

        buf_put(&b, text, (size_t)((char *)old.p - text));
        sections[i].make(&b);
        buf_put(&b, rest, strlen(rest) + 1);
        free(text);
        text = (char *)b.p;
    }
    f = fopen(README, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        perror(README);
        return 1;
    }
    free(text);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_all();
    return _cmocka_run_group_tests(__FILE__, check_tests, check_count, NULL,
                                   NULL) != 0;
}
