/* The shared state in Choir. What the agent writes and the end of its task are
 * one transaction, and it holds only if what it was made from still stands. */
#include "agent.h"

#include <choir.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct choir *choir;
static struct choir_event *task;
static uint64_t revisions[TERMS_MAX];

static _Noreturn void refused(const char *what)
{
    give_up(what, choir_error_text());
}

static int choir_take(char *doc, size_t bytes)
{
    const void *payload;
    size_t length;
    int rc = choir_work(choir, "index", -1, &task);

    if (rc)
        refused("waiting for a task");
    payload = choir_event_value(task, &length);
    if (length >= bytes)
        give_up("taking a task", "its document has too long a name");
    memcpy(doc, payload, length);
    doc[length] = 0;
    return 1;
}

static void read_one(const char *key, char **value, uint64_t *revision)
{
    struct choir_event *e = NULL;
    const void *p;
    size_t bytes;
    int rc = choir_get(choir, key, 0, &e);

    *value = NULL;
    *revision = 0;
    if (rc && rc != CHOIR_NOT_FOUND)
        refused("reading");
    if (rc == 0) {
        p = choir_event_value(e, &bytes);
        *value = strndup(p, bytes);
        *revision = choir_event_uint(e, "revision");
    }
    choir_event_free(&e);
}

static void choir_read(const struct found *f, char *values[TERMS_MAX])
{
    for (size_t i = 0; i < f->count; i++)
        read_one(f->terms[i].key, &values[i], &revisions[i]);
}

static int choir_finish(const struct found *f, char *values[TERMS_MAX])
{
    struct choir_request *r = choir_complete_new(choir, task, "", 0);
    char doc[4096] = "";
    const void *payload;
    size_t length;
    int rc;

    if (!r)
        refused("completing");
    for (size_t i = 0; i < f->count; i++) {
        choir_txn_compare(r, f->terms[i].key, revisions[i]);
        choir_txn_put(r, f->terms[i].key, values[i], strlen(values[i]));
    }
    rc = choir_commit(choir, &r, NULL);
    if (rc == CHOIR_CONFLICT)
        return 0;
    if (rc && rc != CHOIR_FENCED)
        refused("completing");
    payload = choir_event_value(task, &length);
    snprintf(doc, sizeof doc, "%.*s", (int)length, (const char *)payload);
    say(rc ? "FENCED" : "did", doc);
    choir_event_free(&task);
    return 1;
}

struct store choir_store(void)
{
    if (choir_open(NULL, &choir))
        refused("opening");
    return (struct store){choir_take, choir_read, choir_finish};
}
