/* Step by step, and every step leaves a line that a person can read. */
#include "find.h"

#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "error.h"
#include "proto/refusal.h"

__attribute__((format(printf, 5, 6))) static void step(struct found *f,
                                                       const char *what,
                                                       const char *value,
                                                       const char *from,
                                                       const char *note, ...)
{
    char text[2 * PATH_BYTES], more[256];
    va_list args;

    va_start(args, note);
    vsnprintf(more, sizeof more, note, args);
    va_end(args);
    snprintf(text, sizeof text, "step=%s value=%s from=%s%s%s\n", what,
             value[0] ? value : "-", from, more[0] ? " note=" : "", more);
    buf_put(&f->steps, text, strlen(text));
}

/* The first of: option, environment, fallback. */
static int choose(struct found *f, const char *what, const char *option,
                  const char *variable, const char *fallback, const char *from,
                  char *out, size_t size)
{
    const char *env = getenv(variable);
    const char *value = option ? option : env && env[0] != 0 ? env : fallback;

    if (option)
        from = "option";
    else if (value == env)
        from = variable;
    if (strlen(value) >= size)
        return error_set(CHOIR_INVALID, 0, "field=%s size=%zu limit=%zu", what,
                         strlen(value), size - 1);
    memcpy(out, value, strlen(value) + 1);
    step(f, what, out, from, "%s", "");
    return 0;
}

/* A name becomes part of a file's name. */
static int name_check(const char *name)
{
    if (name[0] && name[0] != '.' && !strchr(name, '/') &&
        bytes_utf8(bytes_text(name)))
        return 0;
    return error_set(CHOIR_INVALID, 0,
                     "field=name value=%s: a name must not be empty, begin "
                     "with a dot or hold a slash",
                     name);
}

static int join_path(char out[PATH_BYTES], const char *a, const char *b)
{
    if (snprintf(out, PATH_BYTES, "%s/%s", a, b) < PATH_BYTES)
        return 0;
    return error_set(-ENAMETOOLONG, 0, "path=%s", b);
}

/* Under $xdg if it is set, else under $HOME/home. */
static int home_path(char out[PATH_BYTES], const char *xdg, const char *home)
{
    const char *base = getenv(xdg);
    char under[PATH_BYTES];

    if (base && base[0])
        return join_path(out, base, "choir");
    base = getenv("HOME");
    if (join_path(under, base ? base : "", home))
        return -ENAMETOOLONG;
    return join_path(out, under, "choir");
}

static int places(const struct choir_options *o, struct found *f)
{
    char data[PATH_BYTES], fallback[PATH_BYTES];
    int r = 0;

    if (geteuid() == 0)
        strcpy(fallback, "/var/lib/choir");
    else
        r = home_path(fallback, "XDG_DATA_HOME", ".local/share");
    if (!r)
        r = choose(f, "data", o->data_dir, "CHOIR_DATA", fallback, "default",
                   data, sizeof data);
    if (!r)
        r = join_path(f->invite, data, "local.invite");
    if (!r)
        r = home_path(fallback, "XDG_CONFIG_HOME", ".config");
    if (!r)
        r = choose(f, "store", NULL, "CHOIR_CONFIG", fallback, "default",
                   f->store, sizeof f->store);
    return r;
}

/* A local broker left an invitation for its own user. */
static int local_look(struct found *f)
{
    int r = invitation_load(&f->local, f->invite);

    if (r) {
        step(f, "local", f->invite, "data", "%s",
             r == -ENOENT ? "there is none" : choir_code_name(r));
        return 0;
    }
    if (!f->url[0]) {
        snprintf(f->url, sizeof f->url, "%s", f->local.broker.url);
        step(f, "url", f->url, "local", "a broker of this user");
    }
    f->is_local = strcmp(f->url, f->local.broker.url) == 0;
    step(f, "local", f->invite, "data", "%s",
         f->is_local ? "invites us" : "is for another broker");
    return 0;
}

int find_path(struct found *f, const struct hash *ledger)
{
    char hex[HASH_HEX], file[NAME_BYTES + 32];

    hash_hex(ledger, hex);
    snprintf(file, sizeof file, "%s@%.16s.identity", f->name, hex);
    return join_path(f->path, f->store, file);
}

/* Load path; it counts if it is for the url that was asked for. The local
 * broker's is found by its ledger, and the broker may have moved to another
 * port since. */
static int try_identity(struct found *f, const char *path, bool *fits)
{
    struct identity id;
    int r = identity_load(&id, path);

    *fits =
        !r && (f->is_local || !f->url[0] || strcmp(id.broker.url, f->url) == 0);
    if (*fits) {
        f->identity = id;
        if (path != f->path)
            snprintf(f->path, sizeof f->path, "%s", path);
        f->has_identity = true;
    }
    identity_wipe(&id);
    return r == -ENOENT ? 0 : r;
}

/* Bytes of the name in a file's name like NAME@LEDGER.identity; or 0. */
static size_t name_in(const char *file)
{
    static const char end[] = ".identity";
    size_t after = 1 + 16 + sizeof end - 1, length = strlen(file);
    size_t n = length > after ? length - after : 0;

    return n && file[n] == '@' &&
                   strcmp(file + length - (sizeof end - 1), end) == 0
               ? n
               : 0;
}

static bool names_us(const struct found *f, const char *file)
{
    size_t n = name_in(file);

    return n && n == strlen(f->name) && memcmp(file, f->name, n) == 0;
}

/* Among the stored ones: the one that fits, if it is the only one. */
static int store_look(struct found *f)
{
    DIR *dir = opendir(f->store);
    struct dirent *d;
    unsigned fitting = 0;
    int r = 0;

    while (dir && !r && (d = readdir(dir))) {
        char path[PATH_BYTES];
        bool fits;

        if (!names_us(f, d->d_name))
            continue;
        r = join_path(path, f->store, d->d_name);
        if (!r)
            r = try_identity(f, path, &fits);
        fitting += !r && fits;
    }
    if (dir)
        closedir(dir);
    if (!r && fitting > 1)
        r = error_set(CHOIR_NO_IDENTITY, 0,
                      "name=%s brokers=%u: this name is known to several "
                      "brokers; say which with --url or CHOIR_URL",
                      f->name, fitting);
    return r;
}

/* Who else has joined a broker from here: the first of them. */
static bool another(const struct found *f, char name[NAME_BYTES])
{
    DIR *dir = opendir(f->store);
    struct dirent *d;
    size_t n = 0;

    while (dir && !n && (d = readdir(dir))) {
        n = name_in(d->d_name);
        if (n >= NAME_BYTES)
            n = 0;
        if (n) {
            memcpy(name, d->d_name, n);
            name[n] = 0;
        }
    }
    if (dir)
        closedir(dir);
    return n > 0;
}

static int nobody(const struct found *f)
{
    char name[NAME_BYTES], hint[NAME_BYTES + 64] = "";

    if (another(f, name))
        snprintf(hint, sizeof hint,
                 "; or be %s, who has joined one: --as or CHOIR_AS", name);
    return error_set(CHOIR_NO_IDENTITY, 0,
                     "name=%s url=%s store=%s: no identity for this broker; "
                     "run: choir join STRING (from `choir invite` there)%s",
                     f->name, f->url[0] ? f->url : "-", f->store, hint);
}

static int identity_look(struct found *f)
{
    bool fits;
    int r = 0;

    if (f->is_local) {
        r = find_path(f, &f->local.broker.ledger);
        if (!r)
            r = try_identity(f, f->path, &fits);
        if (!r && f->has_identity && fits)
            memcpy(f->identity.broker.url, f->url, sizeof f->url);
    } else {
        r = store_look(f);
    }
    step(f, "identity", f->path, "store", "%s",
         r                 ? choir_error_text()
         : f->has_identity ? "is there"
         : f->is_local     ? "enrols at first use"
                           : "there is none");
    if (r || f->has_identity || f->is_local)
        return r;
    return nobody(f);
}

/* --identity FILE says everything; a url only where the broker is now. */
static int named_look(struct found *f)
{
    int r = identity_load(&f->identity, f->path);

    if (r == -ENOENT)
        r = error_set(CHOIR_NO_IDENTITY, 0, "path=%s: there is no such file",
                      f->path);
    step(f, "identity", f->path, "option", "%s",
         r ? choir_error_text() : "is there");
    if (r)
        return r;
    f->has_identity = true;
    memcpy(f->name, f->identity.name, sizeof f->name);
    if (f->url[0])
        memcpy(f->identity.broker.url, f->url, sizeof f->url);
    else
        memcpy(f->url, f->identity.broker.url, sizeof f->url);
    if (!f->url[0])
        return error_set(CHOIR_INVALID, 0,
                         "path=%s: this identity does not say where its "
                         "broker is; name it with --url",
                         f->path);
    return 0;
}

int find_broker(const struct choir_options *o, struct found *f)
{
    int r;

    memset(f, 0, sizeof *f);
    r = choose(f, "name", o->name, "CHOIR_AS", program_invocation_short_name,
               "program", f->name, sizeof f->name);
    if (!r)
        r = name_check(f->name);
    if (!r)
        r = choose(f, "space", o->space, "CHOIR_SPACE", "main", "default",
                   f->space, sizeof f->space);
    if (!r)
        r = choose(f, "url", o->url, "CHOIR_URL", "", "nobody", f->url,
                   sizeof f->url);
    if (!r)
        r = places(o, f);
    if (!r)
        r = choose(f, "identity", o->identity_path, "CHOIR_IDENTITY", "",
                   "nobody", f->path, sizeof f->path);
    if (r)
        return r;
    if (f->path[0])
        return named_look(f);
    r = local_look(f);
    if (!r)
        r = identity_look(f);
    if (!r && f->has_identity && !f->url[0])
        memcpy(f->url, f->identity.broker.url, sizeof f->url);
    return r;
}

void found_free(struct found *f)
{
    buf_free(&f->steps);
    secret_wipe(f, sizeof *f);
}
