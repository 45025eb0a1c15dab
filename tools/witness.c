/* choir witness: the ledger only grows, says someone who is not its broker. */
#include "witness.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"

enum { NOTE_BYTES_MAX = 1024 };

struct witness {
    struct choir *choir;
    char *dir, *last; /* last: the newest head in the store, or NULL */
    FILE *heads;
    uint64_t size;
    bool accepts_epoch;
};

/* --- The store ------------------------------------------------------------- */

/* The newest whole head of the file, and where it ends: with a line that begins
 * with a dash, as no other in it does. */
static char *last_head(FILE *f, off_t *end)
{
    char note[NOTE_BYTES_MAX], *line = NULL, *last = NULL;
    size_t cap = 0, n = 0;
    ssize_t got;

    *end = 0;
    while ((got = getline(&line, &cap, f)) > 0) {
        if (n + (size_t)got >= sizeof note || line[got - 1] != '\n')
            break;
        memcpy(note + n, line, (size_t)got + 1);
        n += (size_t)got;
        if (strncmp(line, "\u2014 ", 4) != 0)
            continue;
        free(last);
        last = strdup(note);
        *end = ftello(f);
        n = 0;
    }
    free(line);
    return last;
}

static uint64_t size_of(const char *note)
{
    const char *line = strchr(note, '\n');

    return line ? strtoull(line + 1, NULL, 10) : 0;
}

static int trouble(const char *what, const char *path)
{
    fprintf(stderr, "choir: %s %s: %s\n", what, path, strerror(errno));
    return EXIT_REFUSED;
}

/* A last head that a crash tore is cut off. */
static int store_open(struct witness *w)
{
    char path[4096];
    off_t end;

    if (mkdir(w->dir, 0700) && errno != EEXIST)
        return trouble("make", w->dir);
    snprintf(path, sizeof path, "%s/heads", w->dir);
    w->heads = fopen(path, "a+e");
    if (!w->heads)
        return trouble("open", path);
    rewind(w->heads);
    w->last = last_head(w->heads, &end);
    w->size = w->last ? size_of(w->last) : 0;
    return ftruncate(fileno(w->heads), end) ? trouble("cut", path) : 0;
}

static int store_add(struct witness *w, char *note)
{
    fputs(note, w->heads);
    if (fflush(w->heads) || fdatasync(fileno(w->heads)))
        return trouble("write", w->dir);
    free(w->last);
    w->last = strdup(note);
    w->size = size_of(note);
    return w->last ? 0 : trouble("keep", w->dir);
}

/* --- Looking --------------------------------------------------------------- */

static int alarm_raise(struct witness *w, int code, const char *evidence)
{
    char path[4096];
    FILE *f;

    if (evidence) {
        snprintf(path, sizeof path, "%s/fork-%" PRIu64, w->dir, w->size);
        f = fopen(path, "we");
        if (!f || fputs(evidence, f) < 0 || fflush(f) || fsync(fileno(f)))
            trouble("write", path);
        else
            fprintf(stderr, "choir: evidence: %s\n", path);
        if (f)
            fclose(f);
    }
    cli_failed(code, NULL);
    return EXIT_PROOF;
}

int witness_look(struct witness *w, uint64_t *size)
{
    char *note = NULL, *evidence = NULL;
    int r = 0, code = 0;

    if (w->last)
        code = choir_head_check(w->choir, w->last, &evidence);
    if (code == CHOIR_EPOCH_CHANGED && w->accepts_epoch)
        code = 0; /* the operator's word: this is where it goes on */
    if (!code)
        code = choir_head(w->choir, &note);
    if (code && code != CHOIR_BUSY)
        r = alarm_raise(w, code, evidence);
    else if (!code && (size_of(note) != w->size || w->accepts_epoch))
        r = store_add(w, note);
    w->accepts_epoch = false;
    *size = w->size;
    choir_free(note);
    choir_free(evidence);
    return r;
}

int witness_open(struct witness **out, const char *dir, struct choir *c,
                 bool accepts_epoch)
{
    struct witness *w = calloc(1, sizeof *w);
    int r;

    *out = w;
    if (!w || !(w->dir = strdup(dir)))
        return cli_failed(-ENOMEM, "ENOMEM");
    w->choir = c;
    w->accepts_epoch = accepts_epoch;
    r = store_open(w);
    if (r)
        witness_close(out);
    return r;
}

void witness_close(struct witness **self_p)
{
    struct witness *w = *self_p;

    if (!w)
        return;
    if (w->heads)
        fclose(w->heads);
    free(w->dir);
    free(w->last);
    free(w);
    *self_p = NULL;
}

/* --- The command ----------------------------------------------------------- */

static int wait_until(struct choir *c, uint64_t ms)
{
    struct choir_event *e;
    int r = choir_next(c, ms > 3600000 ? 3600000 : (int)ms, &e);

    choir_event_free(&e);
    return r == CHOIR_TIMEOUT || r == CHOIR_UNREACHABLE ? 0 : r;
}

static int witness_run(struct cli *cli)
{
    uint64_t every = cli_duration_ms(cli, "every", 1000), size, told = 0;
    uint64_t left = cli_number(cli, "count", UINT64_MAX);
    struct witness *w;
    struct choir *c;
    int r = handle_open(cli, &c);

    if (r)
        return r;
    r = witness_open(&w, cli->args[0], c, cli->accepts_epoch);
    while (!r && left) {
        r = witness_look(w, &size);
        if (!r && size > told) {
            printf("%" PRIu64 "\n", size);
            fflush(stdout);
            told = size;
        }
        if (!r && --left) {
            r = wait_until(c, every);
            r = r ? cli_failed(r, NULL) : 0;
        }
    }
    witness_close(&w);
    choir_close(&c);
    return r;
}

static const struct cli_option options[] = {
    {"every", "TIME", "how often to look; default 1s"},
    {"count", "N", "end after N looks"},
    {NULL, NULL, NULL},
};
const struct command command_witness = {
    .name = "witness",
    .usage = "DIR",
    .what = "keep the tree heads, and raise an alarm if two do not agree",
    .more =
        "Every head must begin with the one before, in this run and in all\n"
        "earlier ones with that DIR. Prints the size that was seen to grow.\n"
        "A broker that shows another ledger ends it with 4, and DIR/fork-N\n"
        "then holds two heads signed by the broker that cannot both be true;\n"
        "`choir verify DIR/fork-N --key K` convinces anyone. Needs no rights.",
    .options = options,
    .least = 1,
    .most = 1,
    .direct = true,
    .run = witness_run,
};
