/* What all makers of vectors share. */
#include "vectors.h"

#include <stdlib.h>

static const struct {
    const char *subject;
    json_t *(*make)(void);
} makers[] = {
    {"items", vectors_items},     {"messages", vectors_messages},
    {"keys", vectors_keys},       {"hashes", vectors_hashes},
    {"trees", vectors_trees},     {"bundles", vectors_bundles},
    {"answers", vectors_answers}, {"notes", vectors_notes},
    {"armour", vectors_armour},   {"record", vectors_record},
    {"exports", vectors_exports},
};
enum { MAKERS = sizeof makers / sizeof *makers };

const char *const vectors_subjects[MAKERS + 1] = {
    "items",   "messages", "keys",   "hashes", "trees",   "bundles",
    "answers", "notes",    "armour", "record", "exports",
};

json_t *vectors_make(const char *subject)
{
    for (size_t i = 0; i < MAKERS; i++) {
        if (strcmp(makers[i].subject, subject) == 0)
            return makers[i].make();
    }
    abort();
}

char *vectors_text(const json_t *file)
{
    char *text = json_dumps(file, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    size_t n = text ? strlen(text) : 0;
    char *longer = text ? realloc(text, n + 2) : NULL;

    if (!longer)
        abort();
    memcpy(longer + n, "\n", 2);
    return longer;
}

json_t *vector_file(const char *about)
{
    return json_pack("{s:s, s:[], s:[]}", "about", about, "good", "bad");
}

json_t *vector_case(json_t *file, const char *list, const char *name)
{
    json_t *c = json_pack("{s:s}", "name", name);

    json_array_append_new(json_object_get(file, list), c);
    return c;
}

void vector_text(json_t *c, const char *key, const char *text)
{
    json_object_set_new(c, key, json_string(text));
}

void vector_int(json_t *c, const char *key, uint64_t v)
{
    json_object_set_new(c, key, json_integer((json_int_t)v));
}

json_t *vector_hex_of(struct bytes b)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * b.n + 1);
    json_t *out;

    if (!text)
        abort();
    for (size_t i = 0; i < b.n; i++) {
        text[2 * i] = digits[b.p[i] >> 4];
        text[2 * i + 1] = digits[b.p[i] & 15];
    }
    text[2 * b.n] = 0;
    out = json_string(text);
    free(text);
    return out;
}

void vector_hex(json_t *c, const char *key, struct bytes b)
{
    json_object_set_new(c, key, vector_hex_of(b));
}

void vector_hash(json_t *c, const char *key, const struct hash *h)
{
    vector_hex(c, key, hash_bytes(h));
}
