/* A request that finds no room in the handle waits in its lane, and the lane
 * is not read meanwhile: whoever speaks too fast is slowed by its own pipe. */
#include "relay_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <utlist.h>

#include "json.h"
#include "proto/limits.h"

enum {
    LINE_MAX_BYTES = LIMIT_BUNDLE_BYTES / 2 * 3, /* base64 and some more */
    FULL_BYTES = 4 << 20,
    LOST_BYTES = 64 << 20, /* a lane under a lease that does not listen */
    WRITE_BYTES = 4096,    /* a pipe that polls writable takes PIPE_BUF */
};

struct relay *relay_new(struct choir *c)
{
    struct relay *r = calloc(1, sizeof *r);

    if (r)
        r->choir = c;
    return r;
}

/* --- Saying ---------------------------------------------------------------- */

static int line_put(const char *p, size_t n, void *data)
{
    buf_put(data, p, n);
    return 0;
}

void lane_say(struct lane *l, json_t *o, json_t *id)
{
    if (id)
        json_object_set(o, "id", id);
    if (!l->is_gone) {
        json_dump_callback(o, line_put, &l->said, JSON_COMPACT);
        buf_put(&l->said, "\n", 1);
        if (l->said.failed)
            l->is_gone = true;
    }
    json_decref(o);
}

void lane_refuse(struct lane *l, json_t *id, int code, const char *line)
{
    lane_say(l,
             json_pack("{s:s, s:s}", "outcome", choir_code_name(code),
                       "explain", line),
             id);
}

static void lane_done(struct lane *l, json_t *id)
{
    lane_say(l, json_pack("{s:s}", "outcome", "OK"), id);
}

static void lane_flush(struct lane *l)
{
    while (!l->is_gone && l->said_at < l->said.n) {
        struct pollfd p = {.fd = l->out, .events = POLLOUT};
        size_t n = l->said.n - l->said_at;
        ssize_t written;

        if (poll(&p, 1, 0) <= 0)
            return;
        written = write(l->out, l->said.p + l->said_at,
                        n < WRITE_BYTES ? n : WRITE_BYTES);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (written <= 0)
            l->is_gone = true;
        else
            l->said_at += (size_t)written;
    }
    buf_clear(&l->said);
    l->said_at = 0;
}

/* --- Tasks in hand --------------------------------------------------------- */

static void held_add(struct lane *l, const struct choir_event *e)
{
    struct held *h = calloc(1, sizeof *h);

    if (!h)
        return;
    h->task = choir_event_uint(e, "task");
    h->token = choir_event_uint(e, "token");
    h->request = choir_event_request(e);
    LL_PREPEND(l->held, h);
}

/* It is over: room for another one. */
static void held_drop(struct lane *l, uint64_t token)
{
    struct held *h;

    LL_SEARCH_SCALAR(l->held, h, token, token);
    if (!h)
        return;
    choir_credit(l->relay->choir, h->request, 1);
    LL_DELETE(l->held, h);
    free(h);
}

/* In a lane under that lease the owner of the task is to know. */
static void lease_over(struct lane *l, uint64_t token)
{
    struct ended *ended = l->token == token ? calloc(1, sizeof *ended) : NULL;

    held_drop(l, token);
    if (!ended)
        return;
    ended->token = token;
    LL_PREPEND(l->relay->ended, ended);
}

static void held_give_back(struct lane *l)
{
    while (l->held) {
        struct held *h = l->held;
        struct choir_request *r = choir_request_new(l->relay->choir, "nak");
        uint64_t request;

        if (r) {
            choir_request_uint(r, "task", h->task);
            choir_request_uint(r, "token", h->token);
            choir_request_text(r, "reason", "the worker's pipe ended");
            if (choir_send(l->relay->choir, &r, 0, &request))
                choir_request_free(&r);
        }
        LL_DELETE(l->held, h);
        free(h);
    }
}

/* --- Routes ---------------------------------------------------------------- */

static void route_free(struct route *route)
{
    if (!route->stands)
        route->lane->open--;
    json_decref(route->id);
    free(route);
}

static struct route *route_new(struct lane *l, const json_t *o,
                               const char *verb)
{
    static const char *const standing[] = {"watch", "tap", "work", "inbox"};
    struct route *route = calloc(1, sizeof *route);

    if (!route)
        return NULL;
    route->lane = l;
    route->id = json_incref(json_object_get(o, "id"));
    for (size_t i = 0; i < 4; i++)
        if (strcmp(verb, standing[i]) == 0)
            route->stands = true;
    route->token = lease_ended_by(l, o, verb);
    if (!route->stands)
        l->open++;
    return route;
}

static void request_send(struct lane *l)
{
    struct relay *r = l->relay;
    struct route *route = l->stuck_route;
    int code = choir_send(r->choir, &l->stuck, 0, &route->request);

    if (code == CHOIR_BUSY)
        return;
    l->stuck_route = NULL;
    if (!code) {
        HASH_ADD(hh, r->routes, request, sizeof route->request, route);
        return;
    }
    lane_refuse(l, route->id, code, choir_error_text());
    choir_request_free(&l->stuck);
    route_free(route);
}

/* --- Understanding --------------------------------------------------------- */

/* The standing request that the speaker calls by its "id". */
static struct route *route_called(struct lane *l, const json_t *id)
{
    struct route *route, *next;

    HASH_ITER (hh, l->relay->routes, route, next)
        if (route->lane == l && route->id && id && json_equal(route->id, id))
            return route;
    return NULL;
}

/* "unwatch" and "credit" are about a request of this lane, not for the
 * broker. */
static bool about_route(struct lane *l, const json_t *o, const char *verb)
{
    bool ends = strcmp(verb, "unwatch") == 0;
    json_t *id = json_object_get(o, "id");
    struct route *route;
    int code = 0;

    if (!ends && strcmp(verb, "credit") != 0)
        return false;
    route = route_called(l, json_object_get(o, "watch"));
    if (!route) {
        lane_refuse(l, id, CHOIR_NOT_FOUND,
                    "NOT_FOUND field=watch: it takes the \"id\" of a request "
                    "that still stands");
        return true;
    }
    code = ends
               ? choir_cancel(l->relay->choir, route->request)
               : choir_credit(l->relay->choir, route->request,
                              json_integer_value(json_object_get(o, "credit")));
    if (code) {
        lane_refuse(l, id, code, choir_error_text());
        return true;
    }
    if (ends) {
        HASH_DEL(l->relay->routes, route);
        route_free(route);
    }
    lane_done(l, id);
    return true;
}

static void object_take(struct lane *l, json_t *o)
{
    const char *verb = json_string_value(json_object_get(o, "op"));
    char why[WHY_BYTES];
    int code;

    if (!verb)
        verb = "";
    if (about_route(l, o, verb) || about_moved(l, o, verb) ||
        !lease_fill(l, o, verb))
        return;
    code = request_from_json(l->relay->choir, o, &l->stuck, why);
    if (!code) {
        l->stuck_route = route_new(l, o, verb);
        if (!l->stuck_route) {
            choir_request_free(&l->stuck);
            code = -ENOMEM;
            strcpy(why, "ENOMEM");
        }
    }
    if (code)
        lane_refuse(l, json_object_get(o, "id"), code, why);
    else
        request_send(l);
}

static void line_take(struct lane *l, const char *p, size_t n)
{
    json_error_t where;
    char why[WHY_BYTES];
    json_t *o;

    while (n && memchr(" \t\r\n", p[n - 1], 4))
        n--;
    if (n == 0)
        return;
    o = json_loadb(p, n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &where);
    if (json_is_object(o)) {
        object_take(l, o);
    } else {
        snprintf(why, sizeof why,
                 "MALFORMED column=%d: a request is one JSON object on one "
                 "line%s%s",
                 o ? 1 : where.column, o ? "" : ": ", o ? "" : where.text);
        lane_refuse(l, NULL, CHOIR_MALFORMED, why);
    }
    json_decref(o);
}

/* A whole line's bytes, its newline included; 0: there is none. */
static size_t line_ready(const struct lane *l)
{
    const uint8_t *end =
        l->heard.n ? memchr(l->heard.p, '\n', l->heard.n) : NULL;

    if (end)
        return (size_t)(end - l->heard.p) + 1;
    return l->at_end ? l->heard.n : 0; /* the last one may lack it */
}

static void line_too_long(struct lane *l)
{
    char why[WHY_BYTES];

    snprintf(why, sizeof why, "TOO_LARGE limit=%d: a line is longer than that",
             LINE_MAX_BYTES);
    lane_refuse(l, NULL, CHOIR_TOO_LARGE, why);
    l->skips = true;
    buf_clear(&l->heard);
}

static void lane_understand(struct lane *l)
{
    size_t n;

    if (l->stuck)
        request_send(l);
    while (!l->stuck && !l->is_gone && (n = line_ready(l)) > 0) {
        if (!l->skips)
            line_take(l, (const char *)l->heard.p, n);
        l->skips = false;
        memmove(l->heard.p, l->heard.p + n, l->heard.n - n);
        l->heard.n -= n;
    }
    if (l->skips)
        buf_clear(&l->heard);
    else if (l->heard.n > LINE_MAX_BYTES && !line_ready(l))
        line_too_long(l);
}

static void lane_read(struct lane *l)
{
    enum { PIECE = 65536 };
    uint8_t *p = buf_grow(&l->heard, PIECE);
    ssize_t n = p ? read(l->in, p, PIECE) : -1;

    if (!p) {
        l->is_gone = true;
        return;
    }
    l->heard.n -= (size_t)(PIECE - (n > 0 ? n : 0));
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        l->at_end = true;
}

/* --- Lanes ----------------------------------------------------------------- */

struct lane *lane_open(struct relay *r, int in, int out, uint64_t task,
                       uint64_t token)
{
    struct lane *l = r->count < RELAY_LANES_MAX ? calloc(1, sizeof *l) : NULL;

    if (!l)
        return NULL;
    l->relay = r;
    l->in = in;
    l->out = out;
    l->task = task;
    l->token = token;
    DL_APPEND(r->lanes, l);
    r->count++;
    return l;
}

static void routes_close(struct lane *l)
{
    struct relay *r = l->relay;
    struct route *route, *next;

    HASH_ITER (hh, r->routes, route, next) {
        if (route->lane != l)
            continue;
        if (route->stands)
            choir_cancel(r->choir, route->request);
        HASH_DEL(r->routes, route);
        route_free(route);
    }
}

void lane_close(struct lane **self_p)
{
    struct lane *l = self_p ? *self_p : NULL;

    if (!l)
        return;
    lane_flush(l);
    routes_close(l);
    held_give_back(l);
    waits_free(l);
    if (l->stuck_route)
        route_free(l->stuck_route);
    choir_request_free(&l->stuck);
    if (l->in > STDERR_FILENO)
        close(l->in);
    if (l->out > STDERR_FILENO && l->out != l->in)
        close(l->out);
    buf_free(&l->heard);
    buf_free(&l->said);
    DL_DELETE(l->relay->lanes, l);
    l->relay->count--;
    free(l);
    *self_p = NULL;
}

bool lane_at_end(const struct lane *l)
{
    return l->at_end && !l->heard.n && !l->stuck;
}

bool lane_ended(const struct lane *l)
{
    return l->is_gone || (l->at_end && !l->heard.n && !l->stuck && !l->open &&
                          l->said_at == l->said.n);
}

void relay_close_lease(struct relay *r, uint64_t token)
{
    struct lane *l, *next;

    DL_FOREACH_SAFE (r->lanes, l, next) {
        if (l->token == token)
            lane_close(&l);
    }
}

void relay_destroy(struct relay **self_p)
{
    struct relay *r = self_p ? *self_p : NULL;
    struct lane *l, *next;
    uint64_t token;

    if (!r)
        return;
    DL_FOREACH_SAFE (r->lanes, l, next) {
        lane_close(&l);
    }
    while (relay_lease_over(r, &token))
        ;
    free(r);
    *self_p = NULL;
}

/* --- Polling --------------------------------------------------------------- */

static size_t waiting_bytes(const struct lane *l)
{
    return l->said.n - l->said_at;
}

static bool reads_on(const struct lane *l)
{
    return !l->at_end && !l->is_gone && !l->stuck &&
           waiting_bytes(l) < FULL_BYTES;
}

size_t relay_poll(struct relay *r, struct pollfd *fds)
{
    struct lane *l;
    size_t n = 0;

    DL_FOREACH (r->lanes, l) {
        fds[n++] =
            (struct pollfd){.fd = reads_on(l) ? l->in : -1, .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = waiting_bytes(l) ? l->out : -1,
                                   .events = POLLOUT};
    }
    return n;
}

void relay_after(struct relay *r, const struct pollfd *fds, size_t n)
{
    struct lane *l, *next;
    size_t i = 0;

    DL_FOREACH_SAFE (r->lanes, l, next) {
        if (i + 2 > n)
            break;
        if (fds[i].fd >= 0 && fds[i].revents)
            lane_read(l);
        i += 2;
        lane_understand(l);
        lane_flush(l);
        if (l->token && lane_ended(l))
            lane_close(&l);
    }
}

bool relay_full(const struct relay *r)
{
    const struct lane *l;

    DL_FOREACH (r->lanes, l) {
        if (!l->token && !l->is_gone && waiting_bytes(l) > FULL_BYTES)
            return true;
    }
    return false;
}

/* Under a lease nobody may hold up the worker: who does not listen is cut. */
static void lane_tell(struct route *route, const struct choir_event *e)
{
    struct lane *l = route->lane;
    json_t *o = event_to_json(e);

    if (!o) {
        l->is_gone = true;
        return;
    }
    if (route->stands && choir_event_last(e))
        json_object_set_new(o, "last", json_true());
    lane_say(l, o, route->id);
    if (l->token && waiting_bytes(l) > LOST_BYTES)
        l->is_gone = true;
}

bool relay_event(struct relay *r, struct choir_event **e)
{
    uint64_t request = choir_event_request(*e);
    const char *name = choir_event_name(*e);
    struct route *route;
    struct lane *l;

    HASH_FIND(hh, r->routes, &request, sizeof request, route);
    if (!route)
        return false;
    l = route->lane;
    lane_tell(route, *e);
    if (strcmp(name, "task") == 0)
        held_add(l, *e);
    else if (strcmp(name, "lease_lost") == 0)
        held_drop(l, choir_event_uint(*e, "token"));
    else if (strcmp(name, "moved") == 0)
        relay_moved(r, choir_event_uint(*e, "token"));
    else if (route->token && outcome_ends(*e))
        lease_over(l, route->token);
    if (choir_event_last(*e)) {
        HASH_DEL(r->routes, route);
        route_free(route);
    }
    lane_flush(l);
    choir_event_free(e);
    return true;
}
