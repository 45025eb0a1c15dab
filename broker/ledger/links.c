/* Runs by age, and behind them what is in memory: links on their way into a
 * run, and the tail. A run takes in the ones before it that are not much larger
 * than itself, so their number is the logarithm of the links'. */
#include "broker/ledger/links.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/thread.h"
#include "broker/ledger/links_run.h"

enum {
    TAIL_USUAL = 8192,
    TAIL_ROOM = 16, /* tails that may gather while a run is written */
    RUNS_MAX = 64,
    NONE = -1,
};

/* Writes one run. The runs it takes in are the last ones, and stay until the
 * new one is there. */
struct job {
    bool runs; /* it has been begun, and not been collected */
    bool threaded;
    pthread_t thread;
    atomic_bool is_done;
    const char *dir;
    struct hash ledger;
    const struct run *merged;
    size_t merged_count;
    struct link *links; /* owned; sorted */
    size_t count;
    struct run out;
    int result;
};

struct links {
    struct links_options o;
    char *dir; /* owned; o.dir is it */
    size_t tail_links;
    bool beside;
    struct run runs[RUNS_MAX];
    size_t run_count;
    uint64_t size, written; /* entries: in all, in runs */
    struct link *tail;      /* owned */
    size_t count, cap;
    bool is_sorted, failed;
    long author; /* of the tail: the last author's link, or NONE */
    uint64_t author_next;
    struct job job;
};

/* --- Opening ---------------------------------------------------------------- */

static bool is_run_name(const char *name)
{
    return strncmp(name, "links-", 6) == 0;
}

static int file_remove(const struct links *l, const char *name)
{
    char path[4096];

    snprintf(path, sizeof path, "%s/%s", l->o.dir, name);
    return unlink(path) && errno != ENOENT ? -errno : 0;
}

/* The longest one that begins where the others end. */
static int name_next(const struct links *l, DIR *d, uint64_t first,
                     char best[RUN_NAME_BYTES], uint64_t *end)
{
    const struct dirent *e;

    rewinddir(d);
    *end = first;
    while ((e = readdir(d)) != NULL) {
        struct run run;
        unsigned long long a, b;
        char name[RUN_NAME_BYTES];

        if (sscanf(e->d_name, "links-%llu-%llu", &a, &b) != 2 || a != first)
            continue;
        run = (struct run){.first = a, .end = b};
        run_name(&run, name);
        if (strcmp(name, e->d_name) != 0 || b <= *end || b > l->o.size)
            continue;
        memcpy(best, name, sizeof name);
        *end = b;
    }
    return *end > first ? 0 : -ENOENT;
}

/* Is it about the record that we have? */
static int run_check(const struct links *l, const struct run *run,
                     uint64_t first, uint64_t end)
{
    struct hash leaf;

    if (run->first != first || run->end != end)
        return -EUCLEAN;
    return l->o.leaf(l->o.arg, end - 1, &leaf) || !hash_equal(&leaf, &run->leaf)
               ? -EUCLEAN
               : 0;
}

static int runs_open(struct links *l, DIR *d)
{
    char name[RUN_NAME_BYTES];
    uint64_t end;

    while (l->run_count < RUNS_MAX - 1 &&
           name_next(l, d, l->written, name, &end) == 0) {
        struct run *run = &l->runs[l->run_count];
        int r = run_open(run, l->o.dir, name, &l->o.ledger);

        if (!r) {
            r = run_check(l, run, l->written, end);
            if (r)
                run_close(run);
        }
        if (r == -EUCLEAN)
            return 0; /* it goes, and all behind it */
        if (r)
            return r;
        l->run_count++;
        l->written = end;
    }
    return 0;
}

/* What is left of merging, and of runs that were no good. */
static int others_remove(const struct links *l, DIR *d)
{
    const struct dirent *e;
    int r = 0;

    rewinddir(d);
    while (!r && (e = readdir(d)) != NULL) {
        bool known = !is_run_name(e->d_name);

        for (size_t i = 0; !known && i < l->run_count; i++) {
            char name[RUN_NAME_BYTES];

            run_name(&l->runs[i], name);
            known = strcmp(name, e->d_name) == 0;
        }
        if (!known)
            r = file_remove(l, e->d_name);
    }
    return r;
}

int links_open(struct links **out, const struct links_options *o)
{
    struct links *l = calloc(1, sizeof *l);
    DIR *d;
    int r;

    if (!l)
        return -ENOMEM;
    l->o = *o;
    l->o.dir = l->dir = strdup(o->dir);
    l->tail_links = o->tail ? o->tail : TAIL_USUAL;
    l->author = NONE;
    d = l->dir ? opendir(l->dir) : NULL;
    r = d ? runs_open(l, d) : l->dir ? -errno : -ENOMEM;
    if (!r)
        r = others_remove(l, d);
    if (d)
        closedir(d);
    l->size = l->written;
    if (r)
        links_close(&l);
    *out = l;
    return r;
}

static void job_end(struct links *l)
{
    if (l->job.runs && l->job.threaded)
        pthread_join(l->job.thread, NULL);
    free(l->job.links);
    l->job = (struct job){0};
}

static void runs_close(struct links *l)
{
    for (size_t i = 0; i < l->run_count; i++)
        run_close(&l->runs[i]);
    l->run_count = 0;
}

void links_close(struct links **self_p)
{
    struct links *l = *self_p;

    if (!l)
        return;
    if (l->job.runs && l->job.threaded) {
        pthread_join(l->job.thread, NULL);
        l->job.threaded = false;
        if (!l->job.result)
            run_close(&l->job.out);
    }
    job_end(l);
    runs_close(l);
    free(l->tail);
    free(l->dir);
    free(l);
    *self_p = NULL;
}

void links_beside(struct links *l)
{
    l->beside = true;
}

uint64_t links_size(const struct links *l)
{
    return l->size;
}

size_t links_runs(const struct links *l)
{
    return l->run_count;
}

/* --- The tail --------------------------------------------------------------- */

/* All that no run has is lost, and read back later. */
static void fall_back(struct links *l)
{
    l->size = l->written;
    l->count = 0;
    l->author = NONE;
    l->failed = false;
}

bool links_full(const struct links *l)
{
    return l->count >= TAIL_ROOM * l->tail_links;
}

bool links_entry(struct links *l, uint64_t index)
{
    if (!l || index != l->size || l->failed || links_full(l))
        return false;
    l->size++;
    return true;
}

static struct link *tail_grow(struct links *l)
{
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 256;
        struct link *tail = realloc(l->tail, cap * sizeof *tail);

        if (!tail) {
            l->failed = true; /* seen when it is tended */
            return NULL;
        }
        l->tail = tail;
        l->cap = cap;
    }
    l->is_sorted = false;
    return &l->tail[l->count++];
}

void links_add(struct links *l, uint64_t to, unsigned kind, uint64_t value)
{
    struct link *link = tail_grow(l);

    if (!link)
        return;
    *link = (struct link){to, l->size - 1, value, kind};
}

void links_author(struct links *l, uint32_t agent, unsigned kind)
{
    uint64_t index = l->size - 1, to = links_agent(agent);
    struct link *last = l->author == NONE ? NULL : &l->tail[l->author];

    if (last && last->to == to && l->author_next == index &&
        last->value < LINKS_ROW_MAX) {
        last->value++;
    } else {
        l->author = (long)l->count;
        links_add(l, to, kind, 1);
        if (l->failed)
            l->author = NONE;
    }
    l->author_next = index + 1;
}

static void tail_sort(struct links *l)
{
    if (!l->is_sorted && l->count)
        links_sort(l->tail, l->count);
    l->is_sorted = true;
    l->author = NONE; /* it is elsewhere now */
}

/* --- Into runs -------------------------------------------------------------- */

static void *job_run(void *arg)
{
    struct job *j = arg;

    j->result = run_merge(&j->out, j->dir, &j->ledger, j->merged,
                          j->merged_count, j->links, j->count);
    atomic_store(&j->is_done, true);
    return NULL;
}

/* A row of entries that goes on beyond `end` is two. */
static bool is_cut(const struct link *link, uint64_t end)
{
    return link->to >> 62 == 1 && link->from + link->value > end;
}

/* Links of entries below `end` into the job, the others stay. */
static int tail_split(struct links *l, uint64_t end)
{
    struct job *j = &l->job;
    size_t kept = 0;

    j->links = malloc((l->count + 1) * sizeof *j->links);
    if (!j->links)
        return -ENOMEM;
    tail_sort(l);
    for (size_t i = 0; i < l->count; i++) {
        struct link link = l->tail[i];

        if (link.from < end) {
            struct link *to = &j->links[j->count++];

            *to = link;
            if (!is_cut(&link, end))
                continue;
            to->value = end - link.from;
            link.value -= to->value;
            link.from = end;
        }
        l->tail[kept++] = link;
    }
    l->count = kept;
    l->is_sorted = kept < 2;
    return 0;
}

/* How many of the last runs the new one takes in. */
static size_t runs_taken(const struct links *l)
{
    uint64_t sum = l->job.count + 1;
    size_t n = 0;

    while (n < l->run_count && l->runs[l->run_count - 1 - n].count <= 2 * sum)
        sum += l->runs[l->run_count - 1 - n++].count;
    if (n == 0 && l->run_count == RUNS_MAX - 1)
        n = 1;
    return n;
}

static int job_begin(struct links *l, uint64_t end)
{
    struct job *j = &l->job;
    int r = l->o.leaf(l->o.arg, end - 1, &j->out.leaf);

    if (!r)
        r = tail_split(l, end);
    if (r)
        return r;
    j->dir = l->o.dir;
    j->ledger = l->o.ledger;
    j->merged_count = runs_taken(l);
    j->merged = l->runs + l->run_count - j->merged_count;
    j->out.first = j->merged_count ? j->merged[0].first : l->written;
    j->out.end = end;
    j->out.fd = -1;
    j->runs = true;
    if (l->beside) {
        r = thread_start(&j->thread, job_run, j);
        j->threaded = !r;
    } else {
        job_run(j);
    }
    if (r)
        j->runs = false;
    return r;
}

/* The new run takes the place of those it took in. */
static int job_collect(struct links *l)
{
    struct job *j = &l->job;
    struct run out;
    int r;

    if (j->threaded)
        pthread_join(j->thread, NULL);
    j->threaded = false;
    r = j->result;
    out = j->out;
    if (!r) {
        l->run_count -= j->merged_count;
        for (size_t i = 0; i < j->merged_count; i++) {
            struct run *old = &l->runs[l->run_count + i];
            int removed = run_remove(old, l->o.dir);

            run_close(old);
            r = r ? r : removed;
        }
        l->runs[l->run_count++] = out;
        l->written = out.end;
    }
    job_end(l);
    return r;
}

int links_tend(struct links *l, uint64_t durable, bool all)
{
    uint64_t end = durable < l->size ? durable : l->size;
    int r = 0;

    if (l->job.runs && (all || atomic_load(&l->job.is_done)))
        r = job_collect(l);
    if (!r && l->failed)
        r = -ENOMEM;
    if (!r && !l->job.runs && end > l->written &&
        (all ? l->count > 0 : l->count >= l->tail_links))
        r = job_begin(l, end);
    if (!r && l->job.runs && (all || !l->beside))
        r = job_collect(l);
    if (r && !l->job.runs) {
        job_end(l);
        fall_back(l);
    }
    return r;
}

int links_reset(struct links *l)
{
    int r = 0;

    if (l->job.runs)
        r = job_collect(l);
    for (size_t i = 0; i < l->run_count; i++) {
        int removed = run_remove(&l->runs[i], l->o.dir);

        r = removed ? removed : r == -EUCLEAN ? 0 : r;
    }
    runs_close(l);
    l->written = 0;
    fall_back(l);
    return r;
}

/* --- Looking ---------------------------------------------------------------- */

/* In what is sorted and in memory. */
static int find_in(const struct link *links, size_t count, uint64_t to,
                   uint64_t after, struct link *out, int max)
{
    size_t low = 0, high = count;
    int n = 0;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct link *at = &links[middle];

        if (at->to < to || (at->to == to && at->from <= after))
            low = middle + 1;
        else
            high = middle;
    }
    while (n < max && low < count && links[low].to == to)
        out[n++] = links[low++];
    return n;
}

/* Nothing rests on what comes after it. */
static bool is_older(const struct run *run, uint64_t to, uint64_t after)
{
    return run->end <= after || (to >> 62 == 0 && run->end <= to);
}

static int find(struct links *l, uint64_t to, uint64_t after, struct link *out,
                int max)
{
    int n = 0;

    for (size_t i = 0; i < l->run_count && n < max; i++) {
        int r = is_older(&l->runs[i], to, after)
                    ? 0
                    : run_find(&l->runs[i], to, after, out + n, max - n);

        if (r < 0)
            return r;
        n += r;
    }
    tail_sort(l);
    if (l->job.runs)
        n += find_in(l->job.links, l->job.count, to, after, out + n, max - n);
    return n + find_in(l->tail, l->count, to, after, out + n, max - n);
}

int links_find(struct links *l, uint64_t to, uint64_t after, struct link *out,
               int max, bool *more)
{
    int n = find(l, to, after, out, max), whole = n;

    *more = n == max;
    if (!*more)
        return n;
    while (whole > 0 && out[whole - 1].from == out[n - 1].from)
        whole--;
    return whole ? whole : n;
}
