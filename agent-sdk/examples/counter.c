/* Add one to a number that other agents change too: `counter [KEY [TIMES]]`.
 * Nobody's step is lost, because a write names the revision it rests on. */
#include <choir.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number, and the revision to write it back at; 0 and 0 if absent. */
static int number_read(struct choir *c, const char *key, long *number,
                       uint64_t *revision)
{
    struct choir_event *e;
    char text[32] = "";
    size_t bytes;
    const void *value;
    int r = choir_get(c, key, 0, &e);

    *number = 0;
    *revision = 0;
    if (r == CHOIR_NOT_FOUND)
        return 0;
    if (r)
        return r;
    value = choir_event_value(e, &bytes);
    memcpy(text, value, bytes < sizeof text ? bytes : sizeof text - 1);
    *number = strtol(text, NULL, 10);
    *revision = choir_event_uint(e, "revision");
    choir_event_free(&e);
    return 0;
}

static int add_one(struct choir *c, const char *key)
{
    uint64_t revision;
    char text[32];
    long number;
    int r, n;

    do {
        r = number_read(c, key, &number, &revision);
        if (r)
            return r;
        n = snprintf(text, sizeof text, "%ld", number + 1);
        r = choir_put_if(c, key, text, (size_t)n, revision, &revision);
    } while (r == CHOIR_CONFLICT); /* somebody was faster: read again */
    if (!r)
        printf("%s revision=%" PRIu64 "\n", text, revision);
    return r;
}

int main(int argc, char **argv)
{
    const char *key = argc > 1 ? argv[1] : "counter";
    int times = argc > 2 ? atoi(argv[2]) : 1;
    struct choir *c;
    int r = choir_open(NULL, &c);

    while (!r && times-- > 0)
        r = add_one(c, key);
    if (r)
        fprintf(stderr, "%s\n", choir_error_text());
    choir_close(&c);
    return r ? 1 : 0;
}
