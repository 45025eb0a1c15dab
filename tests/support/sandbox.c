#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

struct named {
    const char *name;
    unsigned number;
};

#define CALL(name)        \
    {                     \
#name, SYS_##name \
    }
static const struct named calls[] = {
    CALL(ioprio_set),     CALL(mbind),         CALL(migrate_pages),
    CALL(move_pages),     CALL(sched_setattr), CALL(sched_setaffinity),
    CALL(sched_setparam), CALL(set_mempolicy), CALL(sched_setscheduler),
    CALL(setpriority),    CALL(setrlimit),
};
#undef CALL

#define FAMILY(name) \
    {                \
#name, name  \
    }
static const struct named families[] = {
    FAMILY(AF_UNIX),
    FAMILY(AF_INET),
    FAMILY(AF_INET6),
    FAMILY(AF_NETLINK),
};
#undef FAMILY

#define COUNT(list) (sizeof(list) / sizeof *(list))

enum { CODE_MAX = 64 };

struct code {
    struct sock_filter at[CODE_MAX];
    unsigned short n;
};

/* Does a line of that key name it? */
static bool is_named(const char *unit, const char *key, const char *name)
{
    char line[1024];
    size_t skip = strlen(key);
    FILE *f = fopen(unit, "r");
    bool found = false;

    if (!f) {
        perror(unit);
        abort();
    }
    while (!found && fgets(line, sizeof line, f)) {
        char *word;

        if (strncmp(line, key, skip) != 0 || line[skip] == '~')
            continue;
        word = strtok(line + skip, " \n");
        for (; word && !found; word = strtok(NULL, " \n"))
            found = strcmp(word, name) == 0;
    }
    fclose(f);
    return found;
}

static void add(struct code *c, struct sock_filter one)
{
    if (c->n == CODE_MAX)
        abort();
    c->at[c->n++] = one;
}

static void load(struct code *c, size_t at)
{
    add(c,
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (unsigned)at));
}

/* If what was loaded is that number, this is what comes of it. */
static void answer(struct code *c, unsigned number, unsigned verdict)
{
    add(c,
        (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1));
    add(c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, verdict));
}

static bool is_allowed(const char *unit, const char *key, const char *names,
                       const char *name)
{
    return unit ? is_named(unit, key, name) : strstr(names, name) != NULL;
}

void sandbox_enter(const char *unit, const char *names)
{
    struct code c = {.n = 0};
    struct sock_fprog program = {.filter = c.at};

    load(&c, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < COUNT(calls); i++)
        if (!is_allowed(unit, "SystemCallFilter=", names, calls[i].name))
            answer(&c, calls[i].number, SECCOMP_RET_ERRNO | EPERM);
    add(&c, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket,
                                         1, 0));
    add(&c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    load(&c, offsetof(struct seccomp_data, args[0]));
    for (size_t i = 0; i < COUNT(families); i++)
        if (is_allowed(unit, "RestrictAddressFamilies=", names,
                       families[i].name))
            answer(&c, families[i].number, SECCOMP_RET_ALLOW);
    add(&c, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                         SECCOMP_RET_ERRNO | EAFNOSUPPORT));
    program.len = c.n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("a seccomp filter");
        abort();
    }
}
