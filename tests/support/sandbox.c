#include "sandbox.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define RESOURCES(X)                                                         \
    X(ioprio_set) X(mbind) X(migrate_pages) X(move_pages)                    \
    X(sched_setaffinity) X(sched_setattr) X(sched_setparam)                  \
    X(sched_setscheduler) X(set_mempolicy) X(setpriority) X(setrlimit)

static const struct {
    const char *name;
    unsigned number;
} resources[] = {
#define X(name) {#name, SYS_##name},
    RESOURCES(X)
#undef X
};

enum { CALLS = sizeof resources / sizeof resources[0] };

/* The last line of a call's counts, but here each is named once. */
bool unit_allows(const char *unit, const char *call)
{
    static const char key[] = "SystemCallFilter=";
    char line[1024];
    FILE *f = fopen(unit, "r");
    bool found = false;

    if (!f) {
        perror(unit);
        abort();
    }
    while (!found && fgets(line, sizeof line, f)) {
        char *word;

        if (strncmp(line, key, sizeof key - 1) != 0 ||
            line[sizeof key - 1] == '~')
            continue;
        word = strtok(line + sizeof key - 1, " \n");
        for (; word && !found; word = strtok(NULL, " \n"))
            found = strcmp(word, call) == 0;
    }
    fclose(f);
    return found;
}

void sandbox_enter(const char *unit, const char *call)
{
    struct sock_filter code[2 * CALLS + 2];
    struct sock_fprog program = {.filter = code};
    unsigned short n = 0;

    code[n++] = (struct sock_filter)BPF_STMT(
        BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < CALLS; i++) {
        const char *name = resources[i].name;

        if ((unit && unit_allows(unit, name)) ||
            (call && strcmp(call, name) == 0))
            continue;
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                 resources[i].number, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(
            BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program.len = n;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        perror("a seccomp filter");
        abort();
    }
}
