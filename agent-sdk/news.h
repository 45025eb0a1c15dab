/* What changed while an agent was away: gathered (resume.c), then made into a
 * text of limited length (news_text.c). One thread at a time. */
#ifndef CHOIR_SDK_NEWS_H
#define CHOIR_SDK_NEWS_H

#include "handle.h"

enum {
    NEWS_CHANGES_MAX = 10000, /* keys that are gathered */
    NEWS_BUDGET = 8000,
    NEWS_BUDGET_MIN = 512,
};

struct news_item {
    struct choir_change change; /* pointers into what follows */
    char *key;                  /* owned */
    uint8_t agent[HASH_BYTES];
    struct buf line;    /* that says what happened */
    struct buf excerpt; /* of what was written */
    uint64_t left_out;  /* lines of it */
    bool is_shown;
};

struct news_author {
    uint8_t agent[HASH_BYTES];
    char name[NAME_BYTES];
};

struct choir_news {
    struct choir *c;
    char *prefix; /* owned */
    char mark[NAME_BYTES];
    uint64_t since, revision;
    bool is_cut; /* there are more than NEWS_CHANGES_MAX */
    struct news_item *items;
    size_t count, cap;
    struct news_author *authors;
    size_t author_count;
    size_t budget;
    struct buf text;
};

/* Fill in text. 0 or an error, set. */
int news_write(struct choir_news *n);

#endif
