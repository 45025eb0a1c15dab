/* choir backup: the broker copies its record while it runs. choir restore:
 * offline, a verified copy into an empty place, which then goes on in a new
 * epoch, so that nobody mistakes it for the ledger it was copied from. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "json.h"
#include "proto/armour.h"
#include "verify.h"

enum { PATH_BYTES = 4096 };

static int path_join(char out[PATH_BYTES], const char *a, const char *b)
{
    return snprintf(out, PATH_BYTES, "%s/%s", a, b) < PATH_BYTES
               ? 0
               : -ENAMETOOLONG;
}

static int failed_at(int r, const char *what, const char *path)
{
    char line[PATH_BYTES + 256];

    snprintf(line, sizeof line, "%s path=%s: %s: %s", choir_code_name(r), path,
             what, strerror(-r));
    return cli_failed(r, line);
}

/* --- Copying --------------------------------------------------------------- */

static int bytes_copy(int from, int to)
{
    char piece[1 << 16];
    ssize_t n;

    while ((n = read(from, piece, sizeof piece)) > 0)
        for (ssize_t at = 0, w; at < n; at += w) {
            w = write(to, piece + at, (size_t)(n - at));
            if (w < 0)
                return -errno;
        }
    return n < 0 ? -errno : fsync(to) ? -errno : 0;
}

static int file_copy(const char *from_dir, const char *to_dir, const char *name)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    int in = -1, out = -1, r = path_join(from, from_dir, name);

    if (!r)
        r = path_join(to, to_dir, name);
    if (!r) {
        in = open(from, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        out = in < 0 ? -1
                     : open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        r = in < 0 || out < 0 ? -errno : bytes_copy(in, out);
    }
    if (in >= 0)
        close(in);
    if (out >= 0 && close(out) && !r)
        r = -errno;
    return r;
}

static int dir_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;

    if (fd < 0 || fsync(fd))
        r = -errno;
    if (fd >= 0)
        close(fd);
    return r;
}

/* --- backup ---------------------------------------------------------------- */

static const char *const identities[] = {"broker.identity", "admin.identity"};

/* A record without its broker's key can be read but not continued. The broker
 * leaves its secrets where they are; here we are whoever may read them. */
static int identities_add(const char *dir)
{
    char data[PATH_BYTES];
    int r = 0;

    data_dir(data);
    for (size_t i = 0; i < 2 && !r; i++)
        r = file_copy(data, dir, identities[i]);
    if (r)
        fprintf(stderr,
                "not in the backup: %s/broker.identity (%s). Keep a copy of "
                "it safe: without it the backup can be read and verified, "
                "but not continued\n",
                data, strerror(-r));
    else
        fputs("the backup holds the broker's secret keys; guard it\n", stderr);
    return r;
}

static int backup_run(struct cli *cli)
{
    char dir[PATH_BYTES], here[PATH_BYTES];
    json_t *answer = NULL;
    struct client *c;
    int r = 0;

    if (cli->args[0][0] == '/')
        snprintf(dir, sizeof dir, "%s", cli->args[0]);
    else if (!getcwd(here, sizeof here) || path_join(dir, here, cli->args[0]))
        cli_wrong(cli, "DIR: %s", strerror(ENAMETOOLONG));
    r = client_open(cli, &c);
    if (r)
        return r;
    r = client_ask(c, json_pack("{s:s, s:s}", "op", "backup", "text", dir),
                   &answer);
    if (!r) {
        identities_add(dir);
        if (cli->json)
            json_line(stdout, answer);
        else
            printf("%s\n", dir);
    }
    json_decref(answer);
    client_close(&c);
    return r;
}

/* --- restore --------------------------------------------------------------- */

static bool is_record(const char *name)
{
    return strncmp(name, "segment-", 8) == 0 || strcmp(name, "seal") == 0 ||
           strcmp(name, identities[0]) == 0 || strcmp(name, identities[1]) == 0;
}

/* Somebody lives there: say who. */
static int live_check(const char *dir)
{
    char path[PATH_BYTES], line[PATH_BYTES + 128], pid[32] = "";
    int fd, r = path_join(path, dir, "LOCK");

    fd = r ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (flock(fd, LOCK_SH | LOCK_NB) == 0 ||
        read(fd, pid, sizeof pid - 1) < 0) {
        close(fd);
        return 0;
    }
    close(fd);
    pid[strcspn(pid, "\n")] = '\0';
    snprintf(line, sizeof line,
             "EBUSY data=%s pid=%s: a broker is running on it; stop it first",
             dir, pid);
    return cli_failed(-EBUSY, line);
}

static int empty_check(const char *dir)
{
    char line[PATH_BYTES + 128];
    DIR *d = opendir(dir);
    struct dirent *entry;
    bool empty = true;

    if (!d)
        return errno == ENOENT ? 0 : failed_at(-errno, "cannot be read", dir);
    while ((entry = readdir(d)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            empty = false;
    closedir(d);
    if (empty)
        return 0;
    snprintf(line, sizeof line,
             "ENOTEMPTY data=%s: it is not empty; restore somewhere else, or "
             "move it away",
             dir);
    return cli_failed(-ENOTEMPTY, line);
}

static int there_check(const char *backup)
{
    struct stat at;

    return stat(backup, &at) ? failed_at(-errno, "no backup is there", backup)
                             : 0;
}

/* The broker's key out of its identity; that file must be there. */
static int key_read(const char *backup, uint8_t key[KEY_PUBLIC_BYTES])
{
    struct buf text = {0}, raw = {0};
    char path[PATH_BYTES];
    struct msg m;
    int r = path_join(path, backup, identities[0]);

    if (!r)
        r = cli_read_file(path, &text);
    if (!r)
        r = armour_get(buf_bytes(&text), MSG_IDENTITY, &raw, &m);
    if (!r)
        memcpy(key, msg_b(&m, FIELD_BROKER_KEY).p, KEY_PUBLIC_BYTES);
    secret_wipe(text.p, text.n);
    secret_wipe(raw.p, raw.n);
    buf_free(&text);
    buf_free(&raw);
    if (r == -ENOENT)
        return cli_failed(r, "ENOENT file=broker.identity: the backup lacks "
                             "the broker's key; put your copy of it there");
    return r ? cli_failed(CHOIR_MALFORMED,
                          "MALFORMED file=broker.identity: not an identity")
             : 0;
}

static int record_verify(const char *backup, struct verify_report *report)
{
    uint8_t key[KEY_PUBLIC_BYTES];
    int r = there_check(backup);

    if (!r)
        r = key_read(backup, key);
    if (r)
        return r;
    r = verify_ledger(backup, key, report);
    if (!r)
        return 0;
    verify_print(report, r, stderr);
    return r > 0 ? EXIT_PROOF : EXIT_REFUSED;
}

/* Written first: a copy that is cut short must never start as if it were the
 * ledger itself. */
static int mark_write(const char *dir, const struct verify_report *report)
{
    char path[PATH_BYTES], text[256], root[HASH_HEX];
    int n, fd, r = path_join(path, dir, "restored");

    hash_hex(&report->root, root);
    n = snprintf(text, sizeof text, "entries %llu\nroot %s\nepoch %llu\n",
                 (unsigned long long)report->counts.entries, root,
                 (unsigned long long)report->epoch);
    fd = r ? -1 : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return r ? r : -errno;
    if (write(fd, text, (size_t)n) != n || fsync(fd))
        r = errno ? -errno : -EIO;
    close(fd);
    return r;
}

static int record_copy(const char *from, const char *to)
{
    DIR *d = opendir(from);
    struct dirent *entry;
    int r = d ? 0 : -errno;

    while (!r && (entry = readdir(d)))
        if (is_record(entry->d_name))
            r = file_copy(from, to, entry->d_name);
    if (d)
        closedir(d);
    return r ? r : dir_sync(to);
}

/* Beside the target first, so that it is there whole or not at all. */
static int record_place(const char *backup, const char *data,
                        const struct verify_report *report)
{
    char beside[PATH_BYTES], above[PATH_BYTES];
    int r;

    if (snprintf(beside, sizeof beside, "%s.restoring", data) >=
        (int)sizeof beside)
        return failed_at(-ENAMETOOLONG, "cannot be made", data);
    if (mkdir(beside, 0700))
        return failed_at(-errno, "cannot be made", beside);
    r = mark_write(beside, report);
    if (!r)
        r = record_copy(backup, beside);
    if (!r && rename(beside, data))
        r = -errno;
    if (r)
        return failed_at(r, "cannot be filled", beside);
    snprintf(above, sizeof above, "%s", data);
    r = dir_sync(dirname(above));
    return r ? failed_at(r, "cannot be synced", data) : 0;
}

static int restore_run(struct cli *cli)
{
    const char *backup = cli->args[0];
    struct verify_report report;
    char data[PATH_BYTES];
    int r = crypto_start();

    if (cli_option(cli, "data"))
        snprintf(data, sizeof data, "%s", cli_option(cli, "data"));
    else
        data_dir(data);
    while (strlen(data) > 1 && data[strlen(data) - 1] == '/')
        data[strlen(data) - 1] = '\0';
    if (!r)
        r = live_check(data);
    if (!r)
        r = empty_check(data);
    if (!r)
        r = record_verify(backup, &report);
    if (!r)
        r = record_place(backup, data, &report);
    if (r)
        return r;
    printf("%s\n", data);
    fprintf(stderr,
            "restored and verified: %llu entries. At its next start the "
            "broker begins epoch %llu from there. Agents that have seen more "
            "than that say LEDGER_BEHIND and wait for the operator's word\n",
            (unsigned long long)report.counts.entries,
            (unsigned long long)report.epoch + 1);
    return EXIT_DONE;
}

const struct command command_backup = {
    .name = "backup",
    .usage = "DIR",
    .what = "copy the record while the broker runs",
    .more =
        "DIR is on the broker's host, new or empty. The broker copies what\n"
        "is durable, reads the copy back and checks it. Its identity is\n"
        "added where this command may read it.\n"
        "Speaks as the broker's admin where its identity may be read.",
    .least = 1,
    .most = 1,
    .admin = true,
    .run = backup_run,
};

static const struct cli_option restore_options[] = {
    {"data", "DIR", "the data directory to make; else CHOIR_DATA"},
    {NULL, NULL, NULL},
};
const struct command command_restore = {
    .name = "restore",
    .usage = "BACKUP",
    .what = "make a data directory from a backup; offline",
    .more = "Verifies the backup first; refuses a directory that is in use or\n"
            "not empty. The broker continues it in a new epoch, which agents\n"
            "that have seen more do not accept by themselves.",
    .options = restore_options,
    .least = 1,
    .most = 1,
    .run = restore_run,
};
