/* choird: options, signals, and the one loop. */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/notify.h"
#include "edge.h"
#include "local.h"
#include "proto/refusal.h"
#include "verify.h"

enum {
    EXIT_USAGE = 2,
    DRAIN_US = 1000000, /* for what has arrived already */
    LINGER_MS = 2000,   /* for answers under way; in all under 5 s */
    DRAIN_STEP_MS = 50,
};

static const char usage[] =
    "usage: choird [-c FILE] [--data DIR] [--listen ENDPOINT]...\n"
    "              [--check-config] [--verify] [--version] [--help]\n"
    "\n"
    "  -c, --config FILE    options from FILE; SIGHUP reads it again\n"
    "      --data DIR       the record and the keys (default: CHOIR_DATA,\n"
    "                       /var/lib/choir for root, ~/.local/share/choir)\n"
    "      --listen ENDPOINT  e.g. tcp://127.0.0.1:7117, or tcp://127.0.0.1:*\n"
    "                       for any free port; may be given several times\n"
    "      --check-config   print what the options come to, or what is wrong\n"
    "      --verify         decide the whole record again, reading only\n"
    "      --version        print the version\n"
    "      --help           this\n"
    "\n"
    "SIGTERM and SIGINT drain and stop; the second one stops at once.\n"
    "Exit codes: 0 done, 1 failure, 2 wrong usage or configuration.\n";

struct command_line {
    const char *config, *data;
    const char *listen[CONFIG_LISTEN_MAX];
    size_t listen_count;
    bool check, verify;
};

struct daemon {
    struct command_line line;
    struct config *config;
    struct env *env;
    struct core *core;
    struct edge *edge;
    int signals;
    unsigned stops; /* how often it was told to stop */
};

/* --- Options ------------------------------------------------------------- */

/* -1: go on; else the exit code. */
static int line_parse(struct command_line *line, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'},
        {"data", required_argument, NULL, 'd'},
        {"listen", required_argument, NULL, 'l'},
        {"check-config", no_argument, NULL, 'k'},
        {"verify", no_argument, NULL, 'v'},
        {"version", no_argument, NULL, 'V'},
        {"help", no_argument, NULL, 'h'},
        {0},
    };
    int o;

    while ((o = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        switch (o) {
        case 'c': line->config = optarg; break;
        case 'd': line->data = optarg; break;
        case 'k': line->check = true; break;
        case 'v': line->verify = true; break;
        case 'V': puts("choird " CHOIR_RELEASE); return 0;
        case 'h': fputs(usage, stdout); return 0;
        case 'l':
            if (line->listen_count == CONFIG_LISTEN_MAX) {
                fprintf(stderr, "choird: more than %d endpoints\n",
                        CONFIG_LISTEN_MAX);
                return EXIT_USAGE;
            }
            line->listen[line->listen_count++] = optarg;
            break;
        default: fputs("Try choird --help\n", stderr); return EXIT_USAGE;
        }
    }
    if (optind == argc)
        return -1;
    fprintf(stderr, "choird: unexpected argument: %s\nTry choird --help\n",
            argv[optind]);
    return EXIT_USAGE;
}

static void config_complain(void *arg, const char *message)
{
    (void)arg;
    log_error("config", "error=%s", message);
}

/* The one rule by which every part of Choir finds the data directory. */
static int data_default(char *out, size_t room)
{
    const char *choir = getenv("CHOIR_DATA"), *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    int n;

    if (choir && *choir)
        n = snprintf(out, room, "%s", choir);
    else if (geteuid() == 0)
        n = snprintf(out, room, "/var/lib/choir");
    else if (xdg && *xdg)
        n = snprintf(out, room, "%s/choir", xdg);
    else
        n = snprintf(out, room, "%s/.local/share/choir", home ? home : "");
    return n < 0 || (size_t)n >= room ? -ENAMETOOLONG : 0;
}

static int line_apply(const struct command_line *line, struct config *config)
{
    char dir[4096];
    int r = 0;

    if (line->data)
        r = config_set(config, "data", line->data, false, "--data",
                       config_complain, NULL);
    for (size_t i = 0; !r && i < line->listen_count; i++)
        r = config_set(config, "listen", line->listen[i], i > 0, "--listen",
                       config_complain, NULL);
    if (!r && !config->data[0]) {
        r = data_default(dir, sizeof dir);
        if (!r)
            r = config_set(config, "data", dir, false, "default",
                           config_complain, NULL);
    }
    return r ? r : config_check(config, "options", config_complain, NULL);
}

static int config_make(const struct command_line *line, struct config **out)
{
    int r = 0;

    *out = NULL;
    if (line->config)
        r = config_load(line->config, out, config_complain, NULL);
    else
        *out = config_default();
    if (r && r != -EINVAL)
        log_error("config", "file=%s error=%s", line->config, strerror(-r));
    if (!r)
        r = *out ? line_apply(line, *out) : -ENOMEM;
    if (r)
        config_destroy(out);
    return r;
}

/* --- Signals ------------------------------------------------------------- */

static void config_named(void *arg, const char *message)
{
    (void)arg;
    log_warn("reload", "kept=%s", message);
}

/* All of the new configuration or nothing of it. The struct keeps its place:
 * the whole broker looks at it. */
static int reload(struct daemon *d)
{
    struct config *wanted, swap;
    int r;

    notify_reloading();
    if (config_make(&d->line, &wanted)) {
        log_warn("reload", "result=%s", "the old configuration stays");
        notify_manager("READY=1");
        return 0;
    }
    if (config_needs_restart(d->config, wanted, config_named, NULL)) {
        log_warn("reload", "result=%s",
                 "the old configuration stays: what differs takes a restart");
        config_destroy(&wanted);
        notify_manager("READY=1");
        return 0;
    }
    swap = *d->config;
    *d->config = *wanted;
    *wanted = swap;
    config_destroy(&wanted);
    log_set_level((enum log_level)d->config->log_level);
    core_begin(d->core);
    r = core_rules(d->core, d->config);
    if (r == CHOIR_READ_ONLY)
        log_warn("reload", "result=%s",
                 "done, but the limits on operations stay until there is room "
                 "to record them");
    else
        log_info("reload", "result=%s", "done");
    if (r >= 0)
        r = core_commit(d->core);
    notify_manager("READY=1");
    return r;
}

static int signals_open(struct daemon *d)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL)) /* and in all threads to come */
        return -errno;
    d->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return d->signals < 0 ? -errno : 0;
}

static int signals_take(struct daemon *d)
{
    struct signalfd_siginfo info;
    int r = 0;

    while (!r && read(d->signals, &info, sizeof info) == sizeof info) {
        switch (info.ssi_signo) {
        case SIGHUP: r = reload(d); break;
        case SIGTERM:
        case SIGINT:
            d->stops++;
            log_info("stop_asked", "signal=%u", info.ssi_signo);
            break;
        default: break; /* SIGCHLD: the turn that it caused was enough */
        }
    }
    return r;
}

/* --- Running ------------------------------------------------------------- */

static int turn(struct daemon *d, int most_ms)
{
    bool signalled;
    int r = edge_turn(d->edge, most_ms, &signalled);

    memory_fetch();
    return r || !signalled ? r : signals_take(d);
}

/* What had arrived is still answered, if only by BUSY. */
static int drain(struct daemon *d)
{
    uint64_t until = env_steady_us(d->env) + DRAIN_US;
    bool busy = true;
    int r = 0;

    notify_manager("STOPPING=1");
    edge_drain(d->edge);
    while (!r && busy && d->stops < 2 && env_steady_us(d->env) < until) {
        r = turn(d, DRAIN_STEP_MS);
        busy = edge_was_busy(d->edge);
    }
    return r;
}

static int run(struct daemon *d)
{
    int r = 0;

    while (!r && !d->stops)
        r = turn(d, -1);
    if (!r)
        r = drain(d);
    if (r)
        log_error("failed", "error=%s", strerror(-r));
    return r;
}

static int start(struct daemon *d)
{
    char trouble[512];
    struct core_options core = {.config = d->config, .env = d->env};
    struct edge_options edge;
    int r = core_open(&d->core, &core, trouble);

    if (!r) {
        edge = (struct edge_options){d->core, d->env, d->config, d->signals};
        r = edge_open(&d->edge, &edge, trouble);
    }
    if (!r && edge_url_count(d->edge))
        r = local_files_write(d->core, d->config->data, edge_url(d->edge, 0),
                              trouble);
    if (r)
        log_error("start_failed", "error=%s", trouble);
    return r;
}

static int stop(struct daemon *d, int r)
{
    edge_close(&d->edge, r || d->stops > 1 ? 0 : LINGER_MS);
    if (!r && d->core) {
        r = core_close_clean(d->core);
        if (r)
            log_error("stop_failed", "error=%s", strerror(-r));
    }
    core_destroy(&d->core);
    return r;
}

static int serve(struct daemon *d)
{
    int r = signals_open(d);

    if (!r)
        r = start(d);
    if (r) {
        edge_close(&d->edge, 0);
        core_destroy(&d->core);
        return r;
    }
    log_info("ready", "data=%s entries=%llu", d->config->data,
             (unsigned long long)core_size(d->core));
    notify_manager("READY=1");
    r = stop(d, run(d));
    if (!r)
        log_info("stopped");
    return r;
}

static int verify(struct daemon *d)
{
    struct verify_result v = {0};
    int r = verify_record(d->config->data, d->env, &v);

    if (r) {
        fprintf(stderr, "choird: %s\n", v.trouble);
        return r;
    }
    printf("ok entries=%llu decided=%llu checkpoints=%llu merged=%llu\n",
           (unsigned long long)v.entries, (unsigned long long)v.decided,
           (unsigned long long)v.checkpoints, (unsigned long long)v.merged);
    if (v.cut)
        printf("entry %llu was not proven before the last stop, and is not "
               "authentic: the next start cuts it\n",
               (unsigned long long)v.cut);
    return 0;
}

int main(int argc, char **argv)
{
    struct daemon d = {.signals = -1};
    int r = line_parse(&d.line, argc, argv);

    if (r >= 0)
        return r;
    umask(077);
    memory_tune();
    if (config_make(&d.line, &d.config))
        return EXIT_USAGE;
    if (d.line.check) {
        config_print(d.config, stdout);
        config_destroy(&d.config);
        return 0;
    }
    log_open((enum log_level)d.config->log_level, STDERR_FILENO);
    d.env = env_real_new();
    r = d.env ? crypto_start() : -ENOMEM;
    if (!r)
        r = d.line.verify ? verify(&d) : serve(&d);
    if (d.signals >= 0)
        close(d.signals);
    env_destroy(&d.env);
    config_destroy(&d.config);
    return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
