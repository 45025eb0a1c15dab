/* The same agent as agent.py, in C: takes a document, finds its terms, puts
 * them into the shared index.
 *
 *     demo-agent choir     shares through libchoir
 *     demo-agent DIR       shares two plain JSON files in DIR, as people do */
#include "agent.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void say(const char *what, const char *doc)
{
    printf("%s index %s\n", what, doc);
    fflush(stdout);
}

void give_up(const char *what, const char *why)
{
    fprintf(stderr, "demo-agent: %s: %s\n", what, why);
    exit(1);
}

/* Stands for the model, which takes longer. */
static void think(void)
{
    const char *ms = getenv("DEMO_THINK_MS");

    usleep((useconds_t)(ms ? atoi(ms) : 80) * 1000);
}

static void merge_all(const struct found *found, const char *doc,
                      char *values[TERMS_MAX])
{
    for (size_t i = 0; i < found->count; i++) {
        char *merged = entries_merge(values[i], doc, found->terms[i].lines);
        if (!merged)
            give_up(doc, "no memory");
        free(values[i]);
        values[i] = merged;
    }
}

static void forget_all(const struct found *found, char *values[TERMS_MAX])
{
    for (size_t i = 0; i < found->count; i++)
        free(values[i]);
}

static void work_on(const struct store *store, const char *doc)
{
    char *values[TERMS_MAX];
    struct found found;
    int done, rc = terms_find(doc, &found);

    if (rc)
        give_up(doc, strerror(-rc));
    store->read(&found, values);
    think();
    for (;;) {
        merge_all(&found, doc, values);
        done = store->finish(&found, values);
        forget_all(&found, values);
        if (done)
            return;
        say("again", doc);
        store->read(&found, values);
    }
}

int main(int argc, char **argv)
{
    struct store store;
    char doc[4096];

    if (argc != 2) {
        fprintf(stderr, "usage: demo-agent choir|DIR\n");
        return 2;
    }
    store =
        strcmp(argv[1], "choir") == 0 ? choir_store() : files_store(argv[1]);
    while (store.take(doc, sizeof doc)) {
        say("took", doc);
        work_on(&store, doc);
    }
    return 0;
}
