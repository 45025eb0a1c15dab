/* choir pipe: a connection for whatever can read and write lines. Inside a
 * command of `choir work` the lines go to the worker's socket as they are. */
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "relay.h"

/* Fetch events as long as they are taken. 0, or what ended the handle; that
 * the broker is away just now does not. */
static int events_pass(struct choir *c, struct relay *r)
{
    struct choir_event *e;
    int code = 0;

    while (!relay_full(r) && !(code = choir_next(c, 0, &e))) {
        relay_event(r, &e);
        choir_event_free(&e);
    }
    return code == CHOIR_TIMEOUT || code == CHOIR_UNREACHABLE ? 0 : code;
}

enum { LOOK_MS = 200, TIMEOUT_MS = 10000 };

/* Has whoever reads what we write ended? */
static bool reader_gone(void)
{
    struct pollfd out = {.fd = STDOUT_FILENO};

    return poll(&out, 1, 0) > 0 && out.revents & POLLERR;
}

/* At the end of its input a pipe waits for the answers still due, but no
 * longer than left_ms when the broker is away, and not at all for a reader
 * that has ended. */
static int pipe_loop(struct choir *c, struct relay *r, struct lane *l,
                     int left_ms)
{
    struct pollfd fds[3];
    int code = 0;

    while (!code && !lane_ended(l)) {
        size_t n = relay_poll(r, fds + 1);

        fds[0] = (struct pollfd){.fd = relay_full(r) ? -1 : choir_fd(c),
                                 .events = POLLIN};
        if (poll(fds, 1 + (nfds_t)n, lane_at_end(l) ? LOOK_MS : -1) == 0) {
            left_ms -= choir_connected(c) ? 0 : LOOK_MS;
            if (reader_gone())
                break;
            if (left_ms < 0)
                return CHOIR_UNREACHABLE;
        }
        code = events_pass(c, r);
        relay_after(r, fds + 1, n);
    }
    return code;
}

static int pipe_run(struct cli *cli)
{
    struct choir *c;
    struct relay *r;
    struct lane *l;
    int code = handle_open(cli, &c);

    if (code)
        return code;
    signal(SIGPIPE, SIG_IGN);
    r = relay_new(c);
    l = r ? lane_open(r, STDIN_FILENO, STDOUT_FILENO, 0, 0) : NULL;
    code = cli->timeout_ms ? cli->timeout_ms : TIMEOUT_MS;
    code = l ? pipe_loop(c, r, l, code) : CHOIR_BUSY;
    if (code)
        code = cli_failed(code, !l ? "ENOMEM"
                                : code == CHOIR_UNREACHABLE
                                    ? "UNREACHABLE: the broker is away, and "
                                      "answers are still due"
                                    : NULL);
    lane_close(&l);
    relay_destroy(&r);
    choir_close(&c);
    return code;
}

/* --- Inside a command of `choir work` -------------------------------------- */

static bool pass_on(int from, int to)
{
    char piece[65536];
    ssize_t n = read(from, piece, sizeof piece);

    for (ssize_t at = 0, w; at < n; at += w) {
        w = write(to, piece + at, (size_t)(n - at));
        if (w <= 0)
            return false;
    }
    return n > 0;
}

static int socket_run(int fd)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = fd, .events = POLLIN}};

    for (;;) {
        poll(fds, 2, -1);
        if (fds[0].revents && !pass_on(STDIN_FILENO, fd)) {
            socket_ended(fd);
            fds[0].fd = -1;
        }
        if (fds[1].revents && !pass_on(fd, STDOUT_FILENO))
            return EXIT_DONE;
    }
}

static int run(struct cli *cli)
{
    int fd;
    int r = socket_take(cli, &fd);

    if (r)
        return r;
    return fd < 0 ? pipe_run(cli) : socket_run(fd);
}

const struct command command_pipe = {
    .name = "pipe",
    .usage = "",
    .what = "requests and events as lines of JSON, for any language",
    .more =
        "Reads one JSON request a line and writes one JSON answer or event a\n"
        "line, over one connection and identity; see choir-pipe(1).\n\n"
        "  {\"id\": 1, \"op\": \"put\", \"key\": \"a\", \"value\": \"x\"}\n"
        "  {\"outcome\":\"OK\",\"revision\":17,\"id\":1}\n\n"
        "At the end of its input it waits for the answers still due and gives\n"
        "back tasks that were not ended.",
    .run = run,
};
