/* Looking at the broker itself: counters, and a backup of the record
 * while it runs. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask_private.h"
#include "base/log.h"
#include "base/thread.h"
#include "proto/refusal.h"

int ask_ping(struct ask *q)
{
    (void)q;
    return 0;
}

/* --- Status -------------------------------------------------------------- */

static void status_of_state(const struct asks *a, struct status_list *s)
{
    const struct state *state = a->state;
    char hex[HASH_HEX];

    status_text(s, "release", CHOIR_RELEASE);
    hash_hex(&state->ledger, hex);
    status_text(s, "ledger", hex);
    status_number(s, "epoch", state->epoch);
    status_number(s, "time", core_time(a->with.core));
    status_number(s, "size", state->size);
    status_number(s, "durable", core_durable(a->with.core));
    status_number(s, "checkpoint", state->checkpoint);
    status_number(s, "behind", core_behind(a->with.core));
    status_number(s, "ledger_bytes", ledger_bytes(a->ledger));
    status_number(s, "ledger_segments", ledger_segments(a->ledger));
    status_number(s, "reclaimed_bytes", core_reclaimed(a->with.core));
    status_number(s, "compacted",
                  compaction_line(state->compaction, (struct bytes){0}));
    status_number(s, "read_only", ledger_room(a->ledger, 0) == CHOIR_READ_ONLY);
    status_number(s, "agents", agents_count(state->agents));
    status_number(s, "sessions", sessions_count(state->sessions));
    status_number(s, "messages", mail_count(state->mail));
    status_number(s, "marks", marks_count(state->marks));
    status_number(s, "keys", context_count(state->context));
    status_number(s, "tasks", tasks_count(state->tasks));
    status_number(s, "tasks_final", tasks_final_count(state->tasks));
}

static void status_of_core(const struct asks *a, struct status_list *s)
{
    const struct core_counters *c = core_counters(a->with.core);

    status_number(s, "entries", c->entries);
    status_number(s, "groups", c->groups);
    status_number(s, "syncs", c->syncs);
    status_number(s, "bundles", c->bundles);
    status_number(s, "duplicates", c->duplicates);
    status_number(s, "turned_away", c->turned_away);
    status_number(s, "bad_signatures", c->bad_signatures);
    status_number(s, "snapshots", c->snapshots);
    for (unsigned i = 0; i < 64; i++) {
        char name[LIMIT_NAME_BYTES] = "outcome_";

        if (!c->outcomes[i])
            continue;
        strncat(name, refusal_name((int)i), sizeof name - 16);
        status_number(s, name, c->outcomes[i]);
    }
}

static void status_of_edge(const struct asks *a, struct status_list *s)
{
    const struct cursor_counters *w = cursor_counters(a->with.cursors);
    const struct lease_counters *l = lease_counters(a->with.leases);

    status_number(s, "connections", connections_count(a->with.router));
    status_number(s, "connections_cut", router_cut_count(a->with.router));
    status_number(s, "watches", w->watches);
    status_number(s, "watches_level", w->live);
    status_number(s, "taps", w->taps);
    status_number(s, "inboxes", inboxes_count(a->with.inboxes));
    status_number(s, "changes_sent", w->changes);
    status_number(s, "entries_reread", w->entries_read);
    status_number(s, "leases", l->live);
    status_number(s, "offers", l->offers);
    status_number(s, "claims", l->claims);
    status_number(s, "leases_expired", l->expired);
    status_number(s, "tasks_delivered", l->delivered);
}

int ask_status(struct ask *q)
{
    struct asks *a = q->a;
    struct status_list s = {.items = a->items};

    status_of_state(a, &s);
    status_of_core(a, &s);
    status_of_edge(a, &s);
    if (a->with.more)
        a->with.more(a->with.more_arg, &s);
    a->items = s.items;
    msg_set_list(q->reply, FIELD_ITEMS, s.count, buf_bytes(&a->items));
    return 0;
}

/* --- Backup -------------------------------------------------------------- */

static void backup_child(struct asks *a, int to, const char *dir)
{
    const char *trouble;
    int r;

    thread_forked();
    ledger_child(a->ledger);
    r = ledger_backup(a->ledger, dir);
    trouble = r ? ledger_trouble(a->ledger) : "";
    if (r && !trouble[0])
        trouble = strerror(-r);
    if (write(to, trouble, strlen(trouble)) < 0)
        _exit(1);
    _exit(r ? 1 : 0);
}

static bool is_administrator(const struct agent *a)
{
    return agent_may(a, RIGHT_ADMIN, bytes_text("*"), (struct bytes){0},
                     (struct bytes){0});
}

int ask_backup(struct ask *q)
{
    struct asks *a = q->a;
    struct bytes text = msg_b(q->op, FIELD_TEXT);
    char dir[4097] = {0};
    int fds[2];
    pid_t pid;

    if (!is_administrator(q->agent))
        return CHOIR_DENIED;
    if (!text.n || text.n >= sizeof dir || text.p[0] != '/') {
        msg_set_text(q->reply, FIELD_TEXT,
                     "an absolute path on the broker's host is needed");
        return CHOIR_INVALID;
    }
    if (a->backup.pid)
        return ask_over(q, "backups", 1, 1);
    memcpy(dir, text.p, text.n);
    if (pipe2(fds, O_CLOEXEC)) {
        msg_set_text(q->reply, FIELD_TEXT, "no file descriptor to spare");
        return CHOIR_BUSY;
    }
    pid = fork();
    if (pid == 0)
        backup_child(a, fds[1], dir);
    close(fds[1]);
    if (pid < 0) {
        close(fds[0]);
        msg_set_text(q->reply, FIELD_TEXT, "cannot fork");
        return CHOIR_INVALID;
    }
    log_info("backup", "to=%s agent=%s", dir, q->agent->name);
    core_hold(a->with.core, true);
    a->backup = (struct backup){pid, fds[0], q->p->session, q->number};
    return ASK_LATER;
}

static void backup_answer(struct asks *a, bool done, const char *trouble)
{
    struct presence *p = presence_find(a->with.router, a->backup.session);
    struct msg m;

    if (done)
        log_info("backup_done");
    else
        log_error("backup_failed", "reason=%s", trouble);
    if (!p)
        return;
    msg_init(&m, MSG_REPLY);
    msg_set_u(&m, FIELD_ASK, a->backup.ask);
    msg_set_u(&m, FIELD_OUTCOME, done ? CHOIR_OK : CHOIR_INVALID);
    msg_set_u(&m, FIELD_SEEN, core_size(a->with.core) - 1);
    if (!done)
        msg_set_text(&m, FIELD_TEXT, trouble);
    presence_say(a->with.router, p, &m);
}

void asks_tend(struct asks *a)
{
    char trouble[LEDGER_TROUBLE_BYTES] = {0};
    int status;

    if (!a->backup.pid || waitpid(a->backup.pid, &status, WNOHANG) <= 0)
        return;
    if (read(a->backup.pipe, trouble, sizeof trouble - 1) <= 0 && status != 0)
        strcpy(trouble, "the copying process died");
    close(a->backup.pipe);
    core_hold(a->with.core, false);
    backup_answer(a, WIFEXITED(status) && WEXITSTATUS(status) == 0, trouble);
    a->backup = (struct backup){0};
}

void asks_destroy(struct asks **self_p)
{
    struct asks *a = *self_p;

    if (!a)
        return;
    if (a->backup.pid) {
        kill(a->backup.pid, SIGKILL);
        waitpid(a->backup.pid, NULL, 0);
        close(a->backup.pipe);
    }
    buf_free(&a->items);
    buf_free(&a->text);
    ledger_reader_close(&a->proof_reader);
    ledger_reader_close(&a->select_reader);
    buf_free(&a->part);
    tap_destroy(&a->tap);
    free(a);
    *self_p = NULL;
}
