/* Those who read a replica. A read takes one shared lock and counts one holder
 * of one version: nothing is copied, allocated or asked. */
#include "replica.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <utlist.h>

#include "error.h"
#include "proto/refusal.h"
#include "using.h"

enum {
    BYTES_DEFAULT = 256 << 20,
    MARK_DEFAULT_MS = 1000,
    CHECK_DEFAULT_MS = 10000,
};

struct choir_cut {
    uint64_t revision;
    size_t count;
    struct version **versions; /* each held */
};

/* getpid is a system call, and would be most of what a read costs. */
static unsigned forks;

static void fork_count(void)
{
    forks++;
}

static void fork_watch(void)
{
    pthread_atfork(NULL, NULL, fork_count);
}

static int check(const struct choir_replica *r)
{
    if (r && r->forks == forks)
        return 0;
    return error_set(CHOIR_CLOSED, 0,
                     r ? "what=fork: this replica belongs to the process that "
                         "opened it; open another one after fork"
                       : "what=replica: there is none");
}

/* --- Opening -------------------------------------------------------------- */

static int options_get(const struct choir_replica_options *given,
                       struct choir_replica_options *o)
{
    size_t size = given ? given->struct_bytes : 0;

    *o = (struct choir_replica_options)CHOIR_REPLICA_INIT;
    if (!given)
        return 0;
    if (size < sizeof size || size > 4096)
        return error_set(CHOIR_INVALID, 0,
                         "field=struct_bytes size=%zu: begin with "
                         "CHOIR_REPLICA_INIT",
                         size);
    memcpy(o, given, size < sizeof *o ? size : sizeof *o);
    if (o->mark_ms >= -1 && o->check_ms >= -1)
        return 0;
    return error_set(CHOIR_INVALID, 0,
                     "field=%s value=%d: milliseconds, 0 for the default, -1 "
                     "for never",
                     o->mark_ms < -1 ? "mark_ms" : "check_ms",
                     o->mark_ms < -1 ? o->mark_ms : o->check_ms);
}

static void locks_init(struct choir_replica *r)
{
    pthread_rwlockattr_t attributes;

    /* readers come without a pause; the writer must not starve */
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&r->reading, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    pthread_mutex_init(&r->writing, NULL);
}

static void replica_free(struct choir_replica *r)
{
    pthread_rwlock_destroy(&r->reading);
    pthread_mutex_destroy(&r->writing);
    replica_map_destroy(&r->map);
    free(r->prefix);
    free(r->space);
    free(r->line);
    free(r);
}

static struct choir_replica *replica_new(struct choir *c, const char *prefix,
                                         const struct choir_replica_options *o)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct choir_replica *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    pthread_once(&once, fork_watch);
    locks_init(r);
    r->c = c;
    r->forks = forks;
    r->prefix = strdup(prefix);
    r->space = strdup(o->space ? o->space : c->space);
    r->bytes_max = o->bytes_max ? o->bytes_max : BYTES_DEFAULT;
    r->mark_ms = o->mark_ms ? o->mark_ms : MARK_DEFAULT_MS;
    r->check_ms = o->check_ms ? o->check_ms : CHECK_DEFAULT_MS;
    if (r->prefix && r->space)
        return r;
    replica_free(r);
    return NULL;
}

static int watch_agreed(struct choir_replica *r)
{
    struct choir_event *e = NULL;
    int code = replica_watch(r, r->c->timeout_ms, &r->watch);

    if (code)
        return code;
    code = choir_wait(r->c, r->watch, r->c->timeout_ms, &e);
    if (!code && e->code)
        code = error_line(e->code, 0, choir_event_explain(e));
    choir_event_free(&e);
    if (code)
        handle_forget(r->c, r->watch);
    return code;
}

static int thread_start(struct choir_replica *r)
{
    sigset_t all, before;
    int code;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    code = pthread_create(&r->thread, NULL, replica_feed, r);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!code)
        return 0;
    handle_forget(r->c, r->watch);
    return error_set(-code, 0, "what=thread: none can be started");
}

int choir_replica_open(struct choir *c, const char *prefix,
                       const struct choir_replica_options *options,
                       struct choir_replica **out)
{
    struct choir_replica_options o;
    struct choir_replica *r;
    int code = handle_check(c);

    *out = NULL;
    if (!code)
        code = options_get(options, &o);
    if (code)
        return code;
    r = replica_new(c, prefix, &o);
    if (!r)
        return error_set(-ENOMEM, 0, NULL);
    code = watch_agreed(r);
    if (!code)
        code = thread_start(r);
    if (code) {
        replica_free(r);
        return code;
    }
    pthread_mutex_lock(&c->lock);
    DL_APPEND(c->replicas, r);
    pthread_mutex_unlock(&c->lock);
    *out = r;
    return 0;
}

void choir_replica_close(struct choir_replica **self_p)
{
    struct choir_replica *r = self_p ? *self_p : NULL;

    if (!r)
        return;
    *self_p = NULL;
    if (r->forks != forks)
        return; /* its thread is not here, its locks may be held */
    pthread_mutex_lock(&r->c->lock);
    r->stop = true;
    DL_DELETE(r->c->replicas, r); /* its thread, ending, looks who waits */
    handle_changed(r->c);
    pthread_mutex_unlock(&r->c->lock);
    pthread_join(r->thread, NULL);
    replica_free(r);
}

/* --- Reading -------------------------------------------------------------- */

static int not_loaded(const struct choir_replica *r)
{
    return error_set(-EAGAIN, 0,
                     "prefix=%s: not loaded yet; choir_replica_wait waits "
                     "until it is",
                     r->prefix);
}

/* With the handle's lock held. */
static int why_ended(const struct choir_replica *r)
{
    return error_line(r->ended, 0, r->line ? r->line : "");
}

/* Why there are no contents. */
static int unreadable(struct choir_replica *r)
{
    int code;

    pthread_mutex_lock(&r->c->lock);
    code = r->ended ? why_ended(r) : not_loaded(r);
    pthread_mutex_unlock(&r->c->lock);
    return code;
}

static void view_set(struct choir_view *view, struct version *v, bool held)
{
    view->key = v->text;
    view->value = version_value(v);
    view->bytes = v->value_bytes;
    view->revision = v->revision;
    view->time = v->time;
    view->type = version_type(v);
    view->agent = version_agent(v);
    view->held = held ? v : NULL;
}

/* The broker did not see it asked, and is told. */
static void tell_broker(struct choir_replica *r)
{
    pthread_mutex_lock(&r->c->lock);
    intake_wake(&r->c->intake);
    pthread_mutex_unlock(&r->c->lock);
}

/* A version that is there was the newest when it was written, and so far as is
 * known still is. What is not there was looked for as of now. */
static void key_joins(struct choir_replica *r, const char *key,
                      const struct version *v)
{
    struct look k = {.space = bytes_text(r->space),
                     .name = bytes_text(key),
                     .revision = v ? v->revision : 0};

    pthread_mutex_lock(&r->c->lock);
    k.at = v && v->revision > r->complete ? v->revision : r->complete;
    pthread_mutex_unlock(&r->c->lock);
    if (bytes_start_with(k.name, bytes_text(r->prefix)) &&
        reads_key(r->c->reads, using_token(r->c), &k, true))
        tell_broker(r);
}

static void cut_joins(struct choir_replica *r, const char *prefix, uint64_t at)
{
    struct bytes asked = bytes_text(prefix), ours = bytes_text(r->prefix);
    struct look p = {
        .space = bytes_text(r->space),
        .name = asked.n > ours.n ? asked : ours, /* what it can have held */
        .at = at};

    if (bytes_start_with(p.name, asked) && bytes_start_with(p.name, ours) &&
        reads_page(r->c->reads, using_token(r->c), &p, (struct bytes){0},
                   (struct bytes){0}, true))
        tell_broker(r);
}

int choir_replica_get(struct choir_replica *r, const char *key,
                      struct choir_view *view)
{
    struct version *v = NULL;
    bool is_readable;
    int code = check(r);

    if (code)
        return code;
    pthread_rwlock_rdlock(&r->reading);
    is_readable = r->map != NULL;
    if (is_readable)
        v = replica_map_find(r->map, bytes_text(key));
    if (v)
        version_hold(v);
    pthread_rwlock_unlock(&r->reading);
    if (is_readable && using_token(r->c))
        key_joins(r, key, v);
    if (v && v->is_erased) {
        version_release(v);
        return error_line(CHOIR_ERASED, 0, "ERASED: the value of that key was");
    }
    if (v) {
        view_set(view, v, true);
        return 0;
    }
    return is_readable ? error_line(CHOIR_NOT_FOUND, 0,
                                    "NOT_FOUND: the replica holds no such key")
                       : unreadable(r);
}

void choir_view_release(struct choir_view *view)
{
    version_release(view->held);
    *view = (struct choir_view){0};
}

int choir_replica_cut(struct choir_replica *r, const char *prefix,
                      struct choir_cut **out)
{
    struct choir_cut *cut;
    int code = check(r);

    *out = NULL;
    if (code)
        return code;
    cut = calloc(1, sizeof *cut);
    if (!cut)
        return error_set(-ENOMEM, 0, NULL);
    pthread_mutex_lock(&r->writing);
    if (!r->map) {
        code = unreadable(r);
    } else {
        pthread_mutex_lock(&r->c->lock);
        cut->revision = r->complete;
        pthread_mutex_unlock(&r->c->lock);
        code = replica_map_cut(r->map, bytes_text(prefix), &cut->versions,
                               &cut->count);
        if (code)
            error_set(code, 0, NULL);
    }
    pthread_mutex_unlock(&r->writing);
    if (code) {
        free(cut);
        return code;
    }
    if (using_token(r->c))
        cut_joins(r, prefix, cut->revision);
    *out = cut;
    return 0;
}

uint64_t choir_cut_revision(const struct choir_cut *cut)
{
    return cut->revision;
}

size_t choir_cut_count(const struct choir_cut *cut)
{
    return cut->count;
}

bool choir_cut_item(const struct choir_cut *cut, size_t i,
                    struct choir_view *view)
{
    if (i >= cut->count)
        return false;
    view_set(view, cut->versions[i], false);
    return true;
}

void choir_cut_free(struct choir_cut **self_p)
{
    struct choir_cut *cut = self_p ? *self_p : NULL;

    if (!cut)
        return;
    *self_p = NULL;
    for (size_t i = 0; i < cut->count; i++)
        version_release(cut->versions[i]);
    free(cut->versions);
    free(cut);
}

/* --- How fresh ------------------------------------------------------------ */

static int not_so_far(const struct choir_replica *r, uint64_t revision, int why)
{
    if (why != CHOIR_TIMEOUT)
        return why;
    if (!r->is_loaded)
        return error_set(CHOIR_TIMEOUT, 0,
                         "prefix=%s: it is still being loaded", r->prefix);
    return error_set(CHOIR_TIMEOUT, r->complete,
                     "prefix=%s revision=%llu complete=%llu: it has not come "
                     "so far in time",
                     r->prefix, (unsigned long long)revision,
                     (unsigned long long)r->complete);
}

static bool is_complete(const struct choir_replica *r, uint64_t revision)
{
    return r->is_loaded && r->complete >= revision;
}

bool replicas_complete(struct choir *c, uint64_t revision)
{
    struct choir_replica *r;
    bool all = true;

    DL_FOREACH (c->replicas, r) {
        if (r->ended || is_complete(r, revision))
            continue;
        all = false;
        if (revision <= r->wanted)
            continue;
        r->wanted = revision;
        if (r->is_loaded)
            replica_ask_mark(r);
    }
    return all;
}

int choir_replica_wait(struct choir_replica *r, uint64_t revision,
                       int timeout_ms)
{
    struct sleep s;
    int code = check(r);

    if (code)
        return code;
    pthread_mutex_lock(&r->c->lock);
    s = handle_sleep_begin(r->c, timeout_ms);
    if (revision > r->wanted)
        r->wanted = revision;
    if (!r->ended && r->is_loaded && r->complete < revision)
        replica_ask_mark(r);
    r->waiting++;
    while (!code && !r->ended && !is_complete(r, revision))
        code = handle_sleep(r->c, &s);
    r->waiting--;
    if (r->ended)
        code = why_ended(r);
    else if (code)
        code = not_so_far(r, revision, code);
    pthread_mutex_unlock(&r->c->lock);
    return code;
}

static void facts_locked(struct choir_replica *r, struct choir_replica_facts *f)
{
    f->code = r->ended ? why_ended(r) : r->is_loaded ? 0 : not_loaded(r);
    f->revision = r->complete;
    f->heard_ms = r->heard_ms ? sdk_clock_ms() - r->heard_ms : -1;
    f->loads = r->loads;
}

int choir_replica_facts(struct choir_replica *r,
                        struct choir_replica_facts *out)
{
    struct choir_replica_facts f = {.struct_bytes = out->struct_bytes};
    int code = check(r);

    if (code)
        return code;
    pthread_mutex_lock(&r->writing);
    f.keys = r->map ? replica_map_keys(r->map) : 0;
    f.bytes = r->map ? replica_map_bytes(r->map) : 0;
    pthread_mutex_lock(&r->c->lock);
    facts_locked(r, &f);
    pthread_mutex_unlock(&r->c->lock);
    pthread_mutex_unlock(&r->writing);
    memcpy(out, &f, f.struct_bytes < sizeof f ? f.struct_bytes : sizeof f);
    return 0;
}
