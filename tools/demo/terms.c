/* What the agent finds in a document: its most frequent terms and the lines
 * they stand on. words.py says the rules and why. */
#include "agent.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

struct word {
    char text[WORD_BYTES + 1];
    unsigned count, lines[LINES_MAX], line_count;
    UT_hash_handle hh;
};

static struct word *stop_words;

static bool is_word_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
           (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

/* Bytes of a dash, quote or space beyond ASCII that starts at p, or 0. */
static size_t gap_bytes(const unsigned char *p, size_t left)
{
    if (left >= 2 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0xbf)
        return 2;
    if (left < 3 || p[2] < 0x80 || p[2] > 0xbf)
        return 0;
    if (p[0] == 0xe2 && (p[1] == 0x80 || p[1] == 0x81))
        return 3;
    return p[0] == 0xe3 && p[1] == 0x80 ? 3 : 0;
}

static void count_word(struct word **words, const char *text, unsigned line)
{
    struct word *w;

    HASH_FIND_STR(*words, text, w);
    if (!w) {
        w = calloc(1, sizeof *w);
        if (!w)
            give_up("counting words", strerror(ENOMEM));
        strcpy(w->text, text);
        HASH_ADD_STR(*words, text, w);
    }
    w->count++;
    if (w->line_count < LINES_MAX &&
        (!w->line_count || w->lines[w->line_count - 1] != line))
        w->lines[w->line_count++] = line;
}

static void end_word(struct word **words, const char *text, size_t bytes,
                     unsigned line)
{
    char lower[WORD_BYTES + 1];
    struct word *stop = NULL;

    if (bytes < 4 || bytes > WORD_BYTES || text[0] == '_' ||
        (text[0] >= '0' && text[0] <= '9'))
        return;
    for (size_t i = 0; i < bytes; i++)
        lower[i] =
            text[i] >= 'A' && text[i] <= 'Z' ? (char)(text[i] | 0x20) : text[i];
    lower[bytes] = 0;
    HASH_FIND_STR(stop_words, lower, stop);
    if (!stop)
        count_word(words, lower, line);
}

static void count_words(const char *text, size_t bytes, struct word **words)
{
    unsigned line = 1;
    size_t start = 0, i = 0;

    while (i < bytes) {
        size_t gap = gap_bytes((const unsigned char *)text + i, bytes - i);
        if (!gap && is_word_byte((unsigned char)text[i])) {
            i++;
            continue;
        }
        end_word(words, text + start, i - start, line);
        line += text[i] == '\n';
        i += gap ? gap : 1;
        start = i;
    }
    end_word(words, text + start, i - start, line);
}

static char *read_file(const char *path, size_t *bytes)
{
    FILE *in = fopen(path, "rb"), *out;
    char chunk[65536], *text = NULL;
    size_t n;

    if (!in)
        return NULL;
    out = open_memstream(&text, bytes);
    while (out && (n = fread(chunk, 1, sizeof chunk, in)) > 0)
        fwrite(chunk, 1, n, out);
    fclose(in);
    if (!out || fclose(out)) {
        free(text);
        return NULL;
    }
    return text;
}

static void read_stop_words(void)
{
    const char *path = getenv("DEMO_STOPWORDS");
    size_t bytes;
    char *text = read_file(path ? path : "stopwords", &bytes), *rest = text;

    if (!text)
        give_up("reading DEMO_STOPWORDS", strerror(errno));
    for (char *w; (w = strtok_r(rest, " \n", &rest));)
        if (strlen(w) <= WORD_BYTES)
            count_word(&stop_words, w, 1);
    free(text);
}

static int by_count(struct word *a, struct word *b)
{
    if (a->count != b->count)
        return a->count > b->count ? -1 : 1;
    return strcmp(a->text, b->text);
}

static void keep_term(struct found *found, const struct word *w)
{
    struct term *t = &found->terms[found->count++];
    char *at = t->lines;

    snprintf(t->key, sizeof t->key, "index/%s", w->text);
    for (unsigned i = 0; i < w->line_count; i++)
        at += sprintf(at, i ? ",%u" : "%u", w->lines[i]);
}

int terms_find(const char *path, struct found *found)
{
    struct word *words = NULL, *w, *next;
    size_t bytes;
    char *text;

    if (!stop_words)
        read_stop_words();
    text = read_file(path, &bytes);
    if (!text)
        return -errno;
    count_words(text, bytes, &words);
    free(text);
    HASH_SORT(words, by_count);
    found->count = 0;
    HASH_ITER (hh, words, w, next) {
        if (found->count < TERMS_MAX)
            keep_term(found, w);
        HASH_DEL(words, w);
        free(w);
    }
    return 0;
}

char *entries_merge(const char *value, const char *doc, const char *lines)
{
    size_t bytes, line_bytes;
    char *merged = NULL;
    bool in = false;
    FILE *out = open_memstream(&merged, &bytes);

    if (!out)
        return NULL;
    for (const char *p = value ? value : ""; *p; p += line_bytes) {
        line_bytes = strcspn(p, "\n");
        const char *colon = memrchr(p, ':', line_bytes);
        size_t name = colon ? (size_t)(colon - p) : line_bytes;
        int order = strncmp(p, doc, name);
        if (order == 0 && doc[name])
            order = -1;
        line_bytes += p[line_bytes] == '\n';
        if (order >= 0 && !in) {
            fprintf(out, "%s:%s\n", doc, lines);
            in = true;
        }
        if (order != 0)
            fwrite(p, 1, line_bytes, out);
    }
    if (!in)
        fprintf(out, "%s:%s\n", doc, lines);
    return fclose(out) ? NULL : merged;
}
