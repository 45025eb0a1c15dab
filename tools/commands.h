/* The commands there are. A new one: its file, a line here. */
#ifndef CHOIR_TOOLS_COMMANDS_H
#define CHOIR_TOOLS_COMMANDS_H

#include "cli.h"

/* X(name of the table row, in the order of the help) */
#define COMMANDS(X) \
    X(status)       \
    X(agents)       \
    X(top)          \
    X(doctor)       \
    X(put)          \
    X(get)          \
    X(rm)           \
    X(txn)          \
    X(append)       \
    X(incr)         \
    X(policy)       \
    X(merge)        \
    X(ls)           \
    X(log)          \
    X(since)        \
    X(diff)         \
    X(blame)        \
    X(why)          \
    X(impact)       \
    X(resume)       \
    X(watch)        \
    X(submit)       \
    X(work)         \
    X(task)         \
    X(send)         \
    X(inbox)        \
    X(queue)        \
    X(tap)          \
    X(pipe)         \
    X(receipt)      \
    X(export)       \
    X(head)         \
    X(witness)      \
    X(verify)       \
    X(invite)       \
    X(join)         \
    X(grant)        \
    X(revoke)       \
    X(compact)      \
    X(erase)        \
    X(suspect)      \
    X(key)          \
    X(backup)       \
    X(restore)

#define X(name) extern const struct command command_##name;
COMMANDS(X)
#undef X

#endif
