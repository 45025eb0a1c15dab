/* Opening, joining and closing a handle. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <utlist.h>

#include "enrol.h"
#include "error.h"
#include "handle.h"
#include "keys.h"
#include "process.h"
#include "proto/pack.h"
#include "proto/refusal.h"
#include "tasks.h"

enum {
    TIMEOUT_MS = 10000,
    IN_FLIGHT_BYTES = 64 << 20,
    CLOSE_MS = 1000, /* for what is not answered yet */
};

/* A caller compiled against another version passes a struct of another
 * length: what it does not know has its default. */
static int options_get(const struct choir_options *given,
                       struct choir_options *o)
{
    *o = (struct choir_options)CHOIR_OPTIONS_INIT;
    if (!given)
        return 0;
    if (given->struct_bytes < sizeof given->struct_bytes ||
        given->struct_bytes > 4096)
        return error_set(CHOIR_INVALID, 0,
                         "field=struct_bytes size=%zu: begin with "
                         "CHOIR_OPTIONS_INIT",
                         given->struct_bytes);
    memcpy(o, given,
           given->struct_bytes < sizeof *o ? given->struct_bytes : sizeof *o);
    return 0;
}

static int timeout_of(const struct choir_options *o)
{
    return o->timeout_ms ? o->timeout_ms : TIMEOUT_MS;
}

/* --- Labels --------------------------------------------------------------- */

/* All labels of a header, encoded; the rest of it needs less than 512. */
enum { LABELS_BYTES = LIMIT_HEADER_BYTES - 512 };

struct label {
    struct bytes name, text;
};

static int label_order(const void *a, const void *b)
{
    const struct label *x = a, *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = n ? memcmp(x->name.p, y->name.p, n) : 0;

    return order ? order : (x->name.n > y->name.n) - (x->name.n < y->name.n);
}

static int label_split(const char *given, struct label *l)
{
    const char *equals = strchr(given, '=');

    if (!equals || equals == given || !bytes_utf8(bytes_text(given)))
        return error_set(CHOIR_INVALID, 0,
                         "field=labels value=%s: a label is name=text", given);
    l->name = bytes_of(given, (size_t)(equals - given));
    l->text = bytes_text(equals + 1);
    if (l->name.n > LIMIT_LABEL_BYTES || l->text.n > LIMIT_LABEL_BYTES)
        return error_set(CHOIR_OVER_LIMIT, 0, "field=labels size=%zu limit=%d",
                         l->name.n > l->text.n ? l->name.n : l->text.n,
                         (int)LIMIT_LABEL_BYTES);
    return 0;
}

/* Encoded once, ascending by name as the wire wants them. */
static int labels_put(const char *const *given, struct choir *c)
{
    struct label labels[LIMIT_LABELS];
    unsigned n = 0;

    for (; given && given[n]; n++) {
        if (n == LIMIT_LABELS)
            return error_set(CHOIR_OVER_LIMIT, 0, "field=labels limit=%d",
                             (int)LIMIT_LABELS);
        if (label_split(given[n], &labels[n]))
            return choir_error_code();
    }
    qsort(labels, n, sizeof labels[0], label_order);
    for (unsigned i = 0; i < n; i++) {
        if (i && label_order(&labels[i - 1], &labels[i]) == 0)
            return error_set(
                CHOIR_INVALID, 0, "field=labels value=%.*s: is there twice",
                (int)labels[i].name.n, (const char *)labels[i].name.p);
        pack_text(&c->labels, labels[i].name);
        pack_text(&c->labels, labels[i].text);
    }
    if (c->labels.n > LABELS_BYTES)
        return error_set(CHOIR_OVER_LIMIT, 0,
                         "field=labels size=%zu limit=%d: all of them together",
                         c->labels.n, (int)LABELS_BYTES);
    c->label_count = n;
    return c->labels.failed ? error_set(-ENOMEM, 0, NULL) : 0;
}

/* Whoever was given none has those of CHOIR_LABELS, with commas between. */
static int labels_take(const char *const *given, struct choir *c)
{
    const char *list[LIMIT_LABELS + 2] = {NULL};
    const char *variable = getenv("CHOIR_LABELS");
    char *copy, *rest, *one;
    size_t n = 0;
    int r;

    if (given || !variable || !variable[0])
        return labels_put(given, c);
    copy = rest = strdup(variable);
    if (!copy)
        return error_set(-ENOMEM, 0, NULL);
    while (n <= LIMIT_LABELS && (one = strsep(&rest, ",")))
        list[n++] = one;
    r = labels_put(list, c);
    free(copy);
    return r;
}

/* --- The handle ----------------------------------------------------------- */

static void lists_free(struct choir *c)
{
    struct entry *e, *after;
    struct op *op, *next;
    struct choir_event *event, *later;
    struct worker *worker, *other;

    DL_FOREACH_SAFE (c->workers, worker, other)
        free(worker);
    HASH_ITER (hh, c->entries, e, after) {
        DL_FOREACH_SAFE (e->events, event, later)
            choir_event_free(&event);
        HASH_DEL(c->entries, e);
        free(e);
    }
    DL_FOREACH_SAFE (c->late, event, later)
        choir_event_free(&event);
    LL_FOREACH_SAFE (c->entries_spare, e, after)
        free(e);
    LL_FOREACH_SAFE (c->ops_spare, op, next)
        op_free(op);
}

static void handle_free(struct choir *c)
{
    if (!c)
        return;
    lists_free(c);
    intake_close(&c->intake);
    if (c->ready_fd >= 0)
        close(c->ready_fd);
    leases_destroy(&c->leases);
    reads_destroy(&c->reads);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->work_lock);
    pthread_mutex_destroy(&c->turn);
    buf_free(&c->labels);
    capabilities_free(c);
    free(c->ended_line);
    identity_wipe(&c->id);
    buf_free(&c->first_proof);
    free(c);
}

static struct choir *handle_new(void)
{
    static uint64_t handles;
    struct choir *c = calloc(1, sizeof *c);
    pthread_condattr_t attributes;

    if (!c)
        return NULL;
    c->process = process_mark();
    c->trouble = CHOIR_UNREACHABLE;
    c->bundle_bytes_max = LIMIT_BUNDLE_BYTES;
    pthread_mutex_init(&c->lock, NULL);
    pthread_mutex_init(&c->work_lock, NULL);
    pthread_mutex_init(&c->turn, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    c->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    c->leases = leases_new();
    c->reads = reads_new();
    c->serial = __atomic_add_fetch(&handles, 1, __ATOMIC_RELAXED);
    if (intake_open(&c->intake) || c->ready_fd < 0 || !c->leases || !c->reads) {
        handle_free(c);
        return NULL;
    }
    return c;
}

static void handle_fill(struct choir *c, const struct found *f,
                        const struct choir_options *o)
{
    c->id = f->identity;
    memcpy(c->name, f->name, sizeof c->name);
    memcpy(c->space, f->space, sizeof c->space);
    memcpy(c->path, f->path, sizeof c->path);
    hash_hex(&c->id.agent, c->agent_hex);
    hash_hex(&c->id.broker.ledger, c->ledger_hex);
    c->flags = o->flags;
    c->timeout_ms = timeout_of(o);
    c->in_flight_max =
        o->in_flight_bytes ? o->in_flight_bytes : IN_FLIGHT_BYTES;
    seen_load(&c->first_seen, &c->first_proof, c->path, &c->id.broker.ledger);
    c->seen = c->first_seen;
}

static bool passes(int trouble)
{
    return !trouble || trouble == CHOIR_UNREACHABLE || trouble == CHOIR_BUSY;
}

static int not_opened(const struct choir *c)
{
    if (c->trouble && c->trouble != CHOIR_UNREACHABLE)
        return error_set(c->trouble, 0, "what=session url=%s: %s",
                         c->id.broker.url, refusal_sentence(c->trouble));
    return error_set(CHOIR_UNREACHABLE, 0,
                     "url=%s timeout_ms=%d: no broker answers there; is "
                     "choird running? See: choir doctor",
                     c->id.broker.url, c->timeout_ms);
}

static int opened_wait(struct choir *c)
{
    int64_t deadline = deadline_after(c->timeout_ms);
    int r = 0;

    pthread_mutex_lock(&c->lock);
    c->waiting++;
    while (!r && !c->is_connected) {
        struct timespec until = {deadline / 1000, deadline % 1000 * 1000000};

        if (c->ended)
            r = error_line(c->ended, 0, c->ended_line ? c->ended_line : "");
        else if (!passes(c->trouble))
            r = not_opened(c);
        else if (deadline < 0)
            pthread_cond_wait(&c->changed, &c->lock);
        else if (pthread_cond_timedwait(&c->changed, &c->lock, &until) ==
                 ETIMEDOUT)
            r = not_opened(c);
    }
    c->waiting--;
    pthread_mutex_unlock(&c->lock);
    return r;
}

static int open_found(const struct choir_options *o, struct found *f,
                      struct choir **out)
{
    struct choir *c = handle_new();
    int r;

    if (!c)
        return error_set(-ENOMEM, 0, NULL);
    handle_fill(c, f, o);
    r = labels_take(o->labels, c);
    if (!r)
        r = engine_start(c);
    if (r) {
        handle_free(c);
        return r;
    }
    if (!(o->flags & CHOIR_OPEN_NOWAIT))
        r = opened_wait(c);
    if (r) {
        engine_stop(c);
        handle_free(c);
        return r;
    }
    *out = c;
    return 0;
}

/* A rotation that was cut off: if the old key is not known any more, the new
 * one is. */
static int open_next(const struct choir_options *o, struct found *f,
                     struct choir **out)
{
    char next[PATH_BYTES];
    struct error first;
    int r;

    error_keep(&first);
    if (keys_next_path(next, f->path) || identity_load(&f->identity, next)) {
        error_restore(&first);
        return CHOIR_UNKNOWN_AGENT;
    }
    r = open_found(o, f, out);
    if (!r && rename(next, f->path)) {
        r = error_set(-errno, 0, "path=%s: the new key is in %s", f->path,
                      next);
        choir_close(out);
    }
    return r;
}

static int no_silent_enrolment(const struct found *f)
{
    return error_set(CHOIR_NO_IDENTITY, 0,
                     "name=%s url=%s: no identity yet, and enrolling was not "
                     "wanted",
                     f->name, f->url);
}

int choir_open(const struct choir_options *options, struct choir **c)
{
    struct choir_options o;
    struct found f;
    int r;

    *c = NULL;
    if (crypto_start())
        return error_set(-EIO, 0, "what=libsodium: does not start");
    if (options_get(options, &o))
        return CHOIR_INVALID;
    r = find_broker(&o, &f);
    if (!r && !f.has_identity)
        r = o.flags & CHOIR_OPEN_KNOWN
                ? no_silent_enrolment(&f)
                : enrol_agent(&f, &f.local, timeout_of(&o));
    if (!r)
        r = open_found(&o, &f, c);
    if (r == CHOIR_UNKNOWN_AGENT)
        r = open_next(&o, &f, c);
    found_free(&f);
    return r;
}

/* Tasks that came but were never fetched go back at once. */
static void give_back(struct choir *c)
{
    struct choir_event *event;

    for (struct entry *e = c->entries; e; e = e->hh.next)
        DL_FOREACH (e->events, event)
            handle_give_back(c, event);
    DL_FOREACH (c->late, event)
        handle_give_back(c, event);
    intake_wake(&c->intake);
}

void choir_close(struct choir **self_p)
{
    struct choir *c = self_p ? *self_p : NULL;

    if (!c)
        return;
    *self_p = NULL;
    if (c->process != process_mark())
        return; /* its thread is not here, its locks may be held */
    pthread_mutex_lock(&c->lock);
    give_back(c);
    pthread_mutex_unlock(&c->lock);
    if (choir_connected(c))
        (void)!choir_flush(c, CLOSE_MS);
    engine_stop(c);
    handle_free(c);
}

int choir_join(const char *invitation, const struct choir_options *options,
               char **path)
{
    struct invitation i;
    struct choir_options o;
    struct found f;
    int r;

    if (path)
        *path = NULL;
    if (crypto_start())
        return error_set(-EIO, 0, "what=libsodium: does not start");
    if (options_get(options, &o))
        return CHOIR_INVALID;
    r = invitation_parse(&i, invitation);
    if (r)
        return r;
    /* not finding an identity is what joining is for */
    r = find_broker(&o, &f);
    if (r == 0 || r == CHOIR_NO_IDENTITY)
        r = enrol_agent(&f, &i, timeout_of(&o));
    if (!r && path && !(*path = strdup(f.path)))
        r = error_set(-ENOMEM, 0, NULL);
    found_free(&f);
    secret_wipe(&i, sizeof i);
    return r;
}

int choir_discover(const struct choir_options *options, char **text)
{
    struct choir_options o;
    struct found f;
    int r;

    *text = NULL;
    if (crypto_start())
        return error_set(-EIO, 0, "what=libsodium: does not start");
    if (options_get(options, &o))
        return CHOIR_INVALID;
    r = find_broker(&o, &f);
    buf_put(&f.steps, "", 1);
    if (f.steps.failed)
        r = error_set(-ENOMEM, 0, NULL);
    else
        *text = strdup((const char *)f.steps.p);
    found_free(&f);
    return r;
}

void choir_free(void *p)
{
    free(p);
}

int choir_recover(const char *recovery, const char *invitation,
                  const struct choir_options *options, char **path)
{
    struct identity away;
    struct invitation i;
    struct choir_options o;
    struct found f;
    int r;

    if (path)
        *path = NULL;
    if (crypto_start())
        return error_set(-EIO, 0, "what=libsodium: does not start");
    if (options_get(options, &o))
        return CHOIR_INVALID;
    r = identity_load(&away, recovery);
    if (r == -ENOENT)
        error_set(r, 0, "path=%s", recovery);
    if (!r)
        r = invitation_parse(&i, invitation);
    if (r)
        return r;
    if (!o.name)
        o.name = away.name;
    r = find_broker(&o, &f);
    if (r == 0 || r == CHOIR_NO_IDENTITY)
        r = enrol_again(&f, &away, &i, timeout_of(&o));
    if (!r && path && !(*path = strdup(f.path)))
        r = error_set(-ENOMEM, 0, NULL);
    found_free(&f);
    identity_wipe(&away);
    secret_wipe(&i, sizeof i);
    return r;
}
