/* Print what changes: `watcher [PREFIX [FROM [COUNT]]]`. It may be stopped and
 * started again with the revision it saw last plus one: nothing is missed. */
#include <choir.h>

#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void change_print(const struct choir_event *e)
{
    for (size_t i = 0; i < choir_event_count(e, "items"); i++) {
        const struct choir_event *item = choir_event_item(e, "items", i);
        size_t bytes;
        const char *value = choir_event_value(item, &bytes);

        printf("%" PRIu64 " %s ", choir_event_uint(e, "revision"),
               choir_event_text(item, "key"));
        if (value)
            printf("= %.*s\n", (int)bytes, value);
        else
            printf("is gone\n");
    }
    fflush(stdout);
}

/* Everything that has arrived. Counts changes; 0, or why it is over. */
static int events_take(struct choir *c, long *changes)
{
    struct choir_event *e;
    int r;

    while ((r = choir_next(c, 0, &e)) == 0) {
        if (strcmp(choir_event_name(e), "change") == 0) {
            change_print(e);
            ++*changes;
        } else if (choir_event_last(e)) {
            fprintf(stderr, "%s\n", choir_event_explain(e));
            r = choir_event_code(e);
        }
        choir_event_free(&e);
        if (r)
            return r;
    }
    return r == CHOIR_TIMEOUT || r == CHOIR_UNREACHABLE ? 0 : r;
}

int main(int argc, char **argv)
{
    const char *prefix = argc > 1 ? argv[1] : "";
    uint64_t from = argc > 2 ? strtoull(argv[2], NULL, 10) : 0, watch;
    long count = argc > 3 ? atol(argv[3]) : -1, changes = 0;
    struct choir *c;
    int r = choir_open(NULL, &c);

    if (!r)
        r = choir_watch(c, prefix, from, &watch);
    while (!r && (count < 0 || changes < count)) {
        /* one descriptor: it fits into any event loop */
        struct pollfd p = {.fd = choir_fd(c), .events = POLLIN};

        poll(&p, 1, -1);
        r = events_take(c, &changes);
    }
    if (r)
        fprintf(stderr, "%s\n", choir_error_text());
    choir_close(&c);
    return r ? 1 : 0;
}
