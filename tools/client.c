/* Both ways end in the same JSON, so that no command knows which it took. */
#include "client.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "json.h"
#include "proto/armour.h"

struct client {
    struct cli *cli;
    struct choir *choir; /* or NULL: over the socket */
    FILE *socket, *say;  /* the same socket, to read and to write */
    uint64_t standing;   /* request that was begun; 0: none, or it ended */
    json_int_t asked;    /* over the socket: our last "id" */
    json_t *waiting;     /* over the socket: lines for another id */
    json_t *agents;      /* by id, as agent_list tells them */
};

/* --- Finding and opening --------------------------------------------------- */

void data_dir(char out[4096])
{
    const char *set = getenv("CHOIR_DATA"), *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");

    if (set && set[0])
        snprintf(out, 4096, "%s", set);
    else if (geteuid() == 0)
        snprintf(out, 4096, "/var/lib/choir");
    else if (xdg && xdg[0])
        snprintf(out, 4096, "%s/choir", xdg);
    else
        snprintf(out, 4096, "%s/.local/share/choir", home ? home : "");
}

/* Administration speaks as the broker's own admin where its file may be read;
 * everything else never does. */
static const char *admin_identity(void)
{
    static char path[4096 + 16];
    char data[4096];

    data_dir(data);
    snprintf(path, sizeof path, "%s/admin.identity", data);
    return access(path, R_OK) == 0 ? path : NULL;
}

/* That file does not say where the broker is; its invitation does. */
static const char *local_url(void)
{
    static char url[LIMIT_TEXT_BYTES];
    struct buf text = {0}, raw = {0};
    char path[4096 + 16], data[4096];
    struct msg m;

    data_dir(data);
    snprintf(path, sizeof path, "%s/local.invite", data);
    if (cli_read_file(path, &text) ||
        armour_get(buf_bytes(&text), MSG_INVITATION, &raw, &m))
        url[0] = '\0';
    else
        snprintf(url, sizeof url, "%.*s", (int)msg_b(&m, FIELD_URL).n,
                 (const char *)msg_b(&m, FIELD_URL).p);
    secret_wipe(raw.p, raw.n);
    secret_wipe(text.p, text.n);
    buf_free(&raw);
    buf_free(&text);
    return url[0] ? url : NULL;
}

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value && value[0];
}

void handle_options(struct cli *cli, struct choir_options *o)
{

    *o = (struct choir_options)CHOIR_OPTIONS_INIT;
    o->url = cli->url;
    o->space = cli->space;
    o->name = cli->name;
    o->identity_path = cli->identity;
    o->timeout_ms = cli->timeout_ms;
    o->flags = cli->accepts_epoch ? CHOIR_ACCEPT_EPOCH : 0;
    if (!cli->command->admin || cli->identity || cli->name ||
        is_set("CHOIR_IDENTITY"))
        return;
    o->identity_path = admin_identity();
    if (o->identity_path && !cli->url && !is_set("CHOIR_URL"))
        o->url = local_url();
}

static struct choir *interruptible;

static void on_interrupt(int number)
{
    static volatile sig_atomic_t before;

    (void)number;
    if (before || !interruptible)
        _exit(EXIT_INTERRUPTED);
    before = 1;
    choir_interrupt(interruptible);
}

int handle_open(struct cli *cli, struct choir **c)
{
    struct choir_options o;
    struct sigaction action = {.sa_handler = on_interrupt};
    int r;

    sigaction(SIGINT, &action, NULL);
    handle_options(cli, &o);
    r = choir_open(&o, c);
    if (r)
        return cli_failed(r, NULL);
    interruptible = *c;
    return 0;
}

/* Who names a broker or an identity wants that one, socket or not. */
static const char *socket_path(const struct cli *cli)
{
    const char *path = getenv("CHOIR_SOCKET");

    if (!path || !path[0] || cli->url || cli->name || cli->identity ||
        cli->command->admin || cli->command->direct)
        return NULL;
    return path;
}

static int socket_connect(const char *path, int *fd)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char line[512];
    int r = -ENAMETOOLONG;

    *fd = -1;
    if (strlen(path) < sizeof to.sun_path) {
        strcpy(to.sun_path, path);
        *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r = *fd < 0 || connect(*fd, (struct sockaddr *)&to, sizeof to) ? -errno
                                                                       : 0;
    }
    if (!r)
        return 0;
    if (*fd >= 0)
        close(*fd);
    snprintf(line, sizeof line,
             "UNREACHABLE socket=%s: the worker that runs this command is "
             "gone: %s",
             path, strerror(-r));
    return cli_failed(CHOIR_UNREACHABLE, line);
}

int socket_take(struct cli *cli, int *fd)
{
    const char *path = socket_path(cli);

    *fd = -1;
    return path ? socket_connect(path, fd) : 0;
}

void socket_ended(int fd)
{
    shutdown(fd, SHUT_WR);
}

static int socket_open(struct client *c, const char *path)
{
    int fd, r = socket_connect(path, &fd);

    if (r)
        return r;
    signal(SIGPIPE, SIG_IGN); /* the lease may be lost at any time */
    c->socket = fdopen(fd, "r");
    c->say = fdopen(dup(fd), "w");
    return c->socket && c->say ? 0 : cli_failed(-EMFILE, "EMFILE");
}

int client_open(struct cli *cli, struct client **out)
{
    const char *path = socket_path(cli);
    struct client *c = calloc(1, sizeof *c);
    int r;

    *out = NULL;
    if (!c)
        return cli_failed(-ENOMEM, "ENOMEM");
    c->cli = cli;
    r = path ? socket_open(c, path) : handle_open(cli, &c->choir);
    if (r)
        client_close(&c);
    *out = c;
    return r;
}

void client_close(struct client **self_p)
{
    struct client *c = self_p ? *self_p : NULL;

    if (!c)
        return;
    interruptible = NULL;
    choir_close(&c->choir);
    if (c->socket)
        fclose(c->socket);
    if (c->say)
        fclose(c->say);
    json_decref(c->waiting);
    json_decref(c->agents);
    free(c);
    *self_p = NULL;
}

struct choir *client_handle(struct client *c)
{
    return c->choir;
}

/* --- Members --------------------------------------------------------------- */

uint64_t member_uint(const json_t *o, const char *name)
{
    json_int_t n = json_integer_value(json_object_get(o, name));

    return n > 0 ? (uint64_t)n : 0;
}

const char *member_text(const json_t *o, const char *name)
{
    const char *s = json_string_value(json_object_get(o, name));

    return s ? s : "";
}

void member_value(const json_t *o, struct buf *out)
{
    char why[WHY_BYTES];
    bool is_msgpack;

    bytes_from_json(o, "value", out, &is_msgpack, why);
}

bool text_number(const char *text, size_t n, uint64_t *out)
{
    return n > 0 && bytes_decimal(bytes_of(text, n), out) == 0;
}

void key_at_add(const char *arg, json_t *request)
{
    const char *at = strrchr(arg, '@');
    size_t key = strlen(arg);
    uint64_t revision;

    if (at && at > arg && text_number(at + 1, strlen(at + 1), &revision)) {
        key = (size_t)(at - arg);
        json_object_set_new(request, "revision",
                            json_integer((json_int_t)revision));
    }
    json_object_set_new(request, "key", json_stringn(arg, key));
}

void capabilities_add(const struct cli *cli, json_t *request)
{
    char name[LIMIT_NAME_BYTES + 1];
    json_t *list = json_array();
    size_t at = 0;

    while (cli_option_piece(cli, "capability", &at, name, sizeof name))
        json_array_append_new(list, json_pack("{s:s}", "name", name));
    if (json_array_size(list))
        json_object_set(request, "capabilities", list);
    json_decref(list);
}

/* --- Over the socket ------------------------------------------------------- */

static int socket_gone(char **line)
{
    if (line)
        *line = strdup("UNREACHABLE: the worker that runs this command is "
                       "gone, and with it the lease");
    return CHOIR_UNREACHABLE;
}

static int socket_say(struct client *c, json_t *request, char **line)
{
    json_object_set_new(request, "id", json_integer(++c->asked));
    json_line(c->say, request);
    return ferror(c->say) ? socket_gone(line) : 0;
}

/* The next line for that id, kept or read. NULL: the worker is gone. */
static json_t *socket_hear(struct client *c, json_int_t id)
{
    json_t *o = NULL;
    size_t i;

    json_array_foreach(c->waiting, i, o)
    {
        if (json_integer_value(json_object_get(o, "id")) != id)
            continue;
        json_incref(o);
        json_array_remove(c->waiting, i);
        return o;
    }
    while ((o = json_loadf(c->socket, JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL,
                           NULL))) {
        if (json_integer_value(json_object_get(o, "id")) == id)
            return o;
        if (!c->waiting)
            c->waiting = json_array();
        json_array_append_new(c->waiting, o);
    }
    return NULL;
}

static int socket_try(struct client *c, json_t *request, json_t **answer,
                      char **line)
{
    int r = socket_say(c, request, line);

    if (r)
        return r;
    *answer = socket_hear(c, c->asked);
    if (!*answer)
        return socket_gone(line);
    r = code_of_name(member_text(*answer, "outcome"));
    if (r && line)
        *line = strdup(member_text(*answer, "explain"));
    return r;
}

/* --- Over a handle --------------------------------------------------------- */

static int handle_try(struct client *c, const json_t *request, json_t **answer,
                      char **line)
{
    struct choir_request *r;
    struct choir_event *e = NULL;
    char why[WHY_BYTES];
    int code = request_from_json(c->choir, request, &r, why);

    if (code) {
        if (line)
            *line = strdup(why);
        return code;
    }
    code = choir_call(c->choir, &r,
                      c->cli->timeout_ms ? c->cli->timeout_ms : 10000, &e);
    if (e)
        *answer = event_to_json(e);
    if (code && line)
        *line = strdup(choir_error_text());
    choir_event_free(&e);
    return code;
}

/* --- Both ------------------------------------------------------------------ */

/* --space holds for this request wherever it goes. */
static void space_add(const struct client *c, json_t *request)
{
    const char *space = c->cli->space;
    const char *verb = member_text(request, "op");
    static const char *const spaced[] = {
        "put",    "get",         "delete", "list", "log",   "txn",   "submit",
        "watch",  "task_list",   "since",  "diff", "send",  "inbox", "mark",
        "policy", "policy_list", "append", "incr", "blame", "why",   "impact"};

    if (!space)
        space = getenv("CHOIR_SPACE");
    if (!c->socket || !space || !space[0] || json_object_get(request, "space"))
        return;
    for (size_t i = 0; i < sizeof spaced / sizeof *spaced; i++)
        if (strcmp(verb, spaced[i]) == 0)
            json_object_set_new(request, "space", json_string(space));
}

int client_try(struct client *c, json_t *request, json_t **answer, char **line)
{
    json_t *heard = NULL;
    int r;

    if (line)
        *line = NULL;
    space_add(c, request);
    r = c->choir ? handle_try(c, request, &heard, line)
                 : socket_try(c, request, &heard, line);
    json_decref(request);
    if (answer)
        *answer = heard;
    else
        json_decref(heard);
    return r;
}

/* The library knows the writer by its id; people know it by its name. */
static char *writer_named(struct client *c, const json_t *answer, char *line)
{
    const char *agent = member_text(json_object_get(answer, "effect"), "agent");
    char *at = strstr(line, "writer="), *out = NULL;
    size_t hex;

    if (!agent[0] || !at)
        return line;
    at += strlen("writer=");
    hex = strspn(at, "0123456789abcdef");
    if (asprintf(&out, "%.*s%s%s", (int)(at - line), line,
                 client_agent_name(c, agent), at + hex) < 0)
        return line;
    free(line);
    return out;
}

int client_failed(struct client *c, int code, const json_t *heard, char *line)
{
    int r;

    if (line)
        line = writer_named(c, heard, line);
    if (heard && c->cli->json)
        json_line(stdout, heard);
    r = cli_failed(code, line);
    free(line);
    return r;
}

int client_ask(struct client *c, json_t *request, json_t **answer)
{
    json_t *heard = NULL;
    char *line = NULL;
    int r = client_try(c, request, &heard, &line);

    if (r)
        r = client_failed(c, r, heard, line);
    else
        free(line);
    if (answer)
        *answer = heard;
    else
        json_decref(heard);
    return r;
}

static int handle_begin(struct client *c, const json_t *request)
{
    struct choir_request *r;
    char why[WHY_BYTES];
    int code = request_from_json(c->choir, request, &r, why);

    if (code)
        return cli_failed(code, why);
    code = choir_send(c->choir, &r, -1, &c->standing);
    choir_request_free(&r);
    return code ? cli_failed(code, NULL) : 0;
}

int client_begin(struct client *c, json_t *request)
{
    char *line = NULL;
    int r;

    space_add(c, request);
    if (c->choir) {
        r = handle_begin(c, request);
    } else {
        r = socket_say(c, request, &line);
        c->standing = (uint64_t)c->asked;
        if (r)
            r = cli_failed(r, line);
        free(line);
    }
    json_decref(request);
    return r;
}

static int handle_next(struct client *c, int timeout_ms, json_t **event)
{
    struct choir_event *e;
    int r = choir_wait(c->choir, c->standing, timeout_ms, &e);

    if (r)
        return cli_failed(r, NULL);
    r = choir_event_code(e);
    *event = event_to_json(e);
    if (choir_event_last(e))
        c->standing = 0;
    if (r)
        r = cli_failed(r, choir_event_explain(e));
    choir_event_free(&e);
    return r;
}

static int socket_next(struct client *c, json_t **event)
{
    char *line = NULL;
    int r;

    *event = socket_hear(c, (json_int_t)c->standing);
    if (!*event) {
        r = cli_failed(socket_gone(&line), line);
        free(line);
        return r;
    }
    if (json_is_true(json_object_get(*event, "last")))
        c->standing = 0;
    r = json_object_get(*event, "outcome")
            ? code_of_name(member_text(*event, "outcome"))
            : 0;
    return r ? cli_failed(r, member_text(*event, "explain")) : 0;
}

int client_next(struct client *c, int timeout_ms, json_t **event)
{
    *event = NULL;
    if (!c->standing)
        return EXIT_DONE;
    return c->choir ? handle_next(c, timeout_ms, event) : socket_next(c, event);
}

/* --- Agents ---------------------------------------------------------------- */

/* All of them, page by page; what may not be listed stays unknown. */
static void agents_load(struct client *c)
{
    char after[LIMIT_NAME_BYTES + 1] = "";
    json_t *page, *item;
    size_t i;

    if (!c->agents)
        c->agents = json_object();
    do {
        json_t *request = json_pack("{s:s}", "op", "agent_list");

        if (after[0])
            json_object_set_new(request, "after", json_string(after));
        if (client_try(c, request, &page, NULL)) {
            json_decref(page);
            return;
        }
        json_array_foreach(json_object_get(page, "items"), i, item)
            json_object_set(c->agents, member_text(item, "agent"), item);
        snprintf(after, sizeof after, "%s", member_text(page, "after"));
        json_decref(page);
    } while (after[0]);
}

const json_t *client_agent(struct client *c, const char *agent)
{
    json_t *found = json_object_get(c->agents, agent);

    if (found)
        return found;
    agents_load(c);
    found = json_object_get(c->agents, agent);
    if (found)
        return found;
    /* Remembered, so that one that may not be listed is asked for once. */
    found = json_pack("{s:s#}", "name", agent,
                      strlen(agent) < 16 ? (int)strlen(agent) : 16);
    json_object_set_new(c->agents, agent, found);
    return found;
}

const char *client_agent_name(struct client *c, const char *agent)
{
    if (!agent || !agent[0])
        return "-";
    return member_text(client_agent(c, agent), "name");
}

static bool is_id(const char *s)
{
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* A name, or an id as it is. 0 and *id owned, or an exit code. */
int client_agent_find(struct client *c, const char *agent, json_t **id)
{
    json_t *answer;
    char line[256];
    int r;

    if (is_id(agent)) {
        *id = json_string(agent);
        return 0;
    }
    r = client_try(c,
                   json_pack("{s:s, s:s}", "op", "agent_list", "name", agent),
                   &answer, NULL);
    *id = json_incref(json_object_get(
        json_array_get(json_object_get(answer, "items"), 0), "agent"));
    json_decref(answer);
    if (*id)
        return 0;
    snprintf(line, sizeof line, "%s agent=%s: no agent has that name",
             choir_code_name(r ? r : CHOIR_NOT_FOUND), agent);
    return cli_failed(r ? r : CHOIR_NOT_FOUND, line);
}
