/* One way for a command to speak with the broker, whichever way it leads: a
 * handle of our own, or, inside a command that `choir work` runs, the worker's
 * socket (CHOIR_SOCKET), under the lease of its task.
 *
 * Requests and events are JSON objects as in docs/pipe.md. Functions that can
 * fail return an exit code and have said why on stderr. One thread. */
#ifndef CHOIR_TOOLS_CLIENT_H
#define CHOIR_TOOLS_CLIENT_H

#include "cli.h"

struct client;

/* The handle the options ask for, and nothing else; also for commands that
 * need more than JSON. Ctrl-C interrupts it. c: owned. */
int handle_open(struct cli *cli, struct choir **c);
/* What choir_open is given. Borrowed from cli and from static storage. */
void handle_options(struct cli *cli, struct choir_options *o);
/* Where the local broker keeps its data: CHOIR_DATA, or the default. */
void data_dir(char out[4096]);

/* The worker's socket, connected; fd -1: we are not inside a command of
 * `choir work`, or the options name a broker or identity of their own. */
int socket_take(struct cli *cli, int *fd);
/* Nothing more will be said; answers still come. */
void socket_ended(int fd);

int client_open(struct cli *cli, struct client **c);
void client_close(struct client **self_p);
/* The handle; NULL over a socket, which admin commands never take. */
struct choir *client_handle(struct client *c);

/* Say `request` and wait for the outcome. request: taken.
 * answer: owned, NULL if the broker said nothing; may itself be NULL. With
 * --json a refusal is printed on stdout too. */
int client_ask(struct client *c, json_t *request, json_t **answer);
/* The same, without a word on failure: the code; line: if not NULL, owned,
 * what there is to say. */
int client_try(struct client *c, json_t *request, json_t **answer, char **line);
/* What client_ask says of it then. line: taken. The exit code. */
int client_failed(struct client *c, int code, const json_t *heard, char *line);

/* Begin a standing request (watch, await): its events come one by one.
 * request: taken. */
int client_begin(struct client *c, json_t *request);
/* The next event of what was begun. event: owned; NULL with EXIT_DONE when
 * the last one was taken. timeout_ms: -1 for ever. */
int client_next(struct client *c, int timeout_ms, json_t **event);

/* What the broker tells of an agent ("name", "public_key", ...); no more than
 * a "name" if nothing. Borrowed until the next call. agent: 64 hex digits. */
const json_t *client_agent(struct client *c, const char *agent);
/* The agent's name, or the beginning of its id while it has none. Borrowed
 * until the next call. agent: 64 hex digits; NULL: "-". */
const char *client_agent_name(struct client *c, const char *agent);

/* The id, as JSON, of an agent by its name or its id. id: owned. */
int client_agent_find(struct client *c, const char *agent, json_t **id);
/* --capability of the options as "capabilities" of a request. */
void capabilities_add(const struct cli *cli, json_t *request);

/* n bytes of decimal digits and nothing else, that fit the wire. */
bool text_number(const char *text, size_t n, uint64_t *out);
/* "KEY" or "KEY@N" as "key" and "revision" of a request. */
void key_at_add(const char *arg, json_t *request);

/* Members with a default: 0 and "". */
uint64_t member_uint(const json_t *o, const char *name);
const char *member_text(const json_t *o, const char *name);
/* "value" of an answer in whatever form, as bytes. */
void member_value(const json_t *o, struct buf *out);

#endif
