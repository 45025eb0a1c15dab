/* Do the tasks of a queue: `worker QUEUE [COUNT]`. The answer to each is its
 * payload in capitals, written to the context in the same transaction. While
 * we think, the library keeps the lease. */
#include <choir.h>

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int task_do(struct choir *c, const struct choir_event *task)
{
    struct choir_request *done;
    size_t bytes;
    const char *payload = choir_event_value(task, &bytes);
    char *answer = malloc(bytes + 1), key[64];
    int r;

    if (!answer)
        return choir_nak(c, task, "out of memory");
    for (size_t i = 0; i < bytes; i++)
        answer[i] = (char)toupper((unsigned char)payload[i]);
    snprintf(key, sizeof key, "answers/%" PRIu64,
             choir_event_uint(task, "task"));
    done = choir_complete_new(c, task, answer, bytes);
    choir_txn_put(done, key, answer, bytes);
    r = choir_commit(c, &done, NULL);
    free(answer);
    return r;
}

int main(int argc, char **argv)
{
    const char *queue = argc > 1 ? argv[1] : "jobs";
    long left = argc > 2 ? atol(argv[2]) : -1;
    struct choir_event *task;
    struct choir *c;
    int r = choir_open(NULL, &c);

    while (!r && left-- != 0) {
        r = choir_work(c, queue, -1, &task);
        if (r)
            break;
        printf("task=%" PRIu64 " attempt=%" PRIu64 "\n",
               choir_event_uint(task, "task"),
               choir_event_uint(task, "attempt"));
        r = task_do(c, task);
        if (r == CHOIR_FENCED)
            r = 0; /* we were too slow: another attempt has it */
        choir_event_free(&task);
    }
    if (r)
        fprintf(stderr, "%s\n", choir_error_text());
    choir_close(&c);
    return r ? 1 : 0;
}
