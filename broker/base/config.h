/* choird's options: one table, from which the struct, the parser, the checks,
 * --check-config and choird.conf come.
 *
 * The file is libconfuse's: `name = value` a line, `#` comments, quotes around
 * what is not a plain word, `listen = {"a", "b"}` or several `listen += "c"`.
 * Byte sizes may end in KiB, MiB or GiB. ${NAME} is the environment's. Endpoints
 * need quotes. The first value of a list replaces its default. Unknown, repeated and out-of-range
 * options are refused, each with its line.
 *
 * Threads: config_load() one at a time; a loaded config may be read by all. */
#ifndef CHOIR_BROKER_BASE_CONFIG_H
#define CHOIR_BROKER_BASE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONFIG_KIB UINT64_C(1024)
#define CONFIG_MIB (UINT64_C(1024) * 1024)
#define CONFIG_GIB (UINT64_C(1024) * 1024 * 1024)

#define CONFIG_LISTEN_MAX 16
#define CONFIG_FILE_BYTES_MAX CONFIG_MIB

/* What a changed option takes: RELOAD (SIGHUP is enough) or RESTART.
 *
 * TEXT(name, default, change, doc)   a string
 * LIST(name, default, change, doc)   strings, CONFIG_LISTEN_MAX at most
 * LEVEL(name, default, change, doc)  error, warn, info or debug
 * BOOL(name, default, change, doc)   true or false
 * NUMBER(name, unit, default, min, max, change, doc) */
/* clang-format off */
#define CONFIG_OPTIONS(TEXT, LIST, LEVEL, BOOL, NUMBER)                        \
    TEXT(data, "", RESTART,                                                    \
        "Directory of the record and the keys; empty: the user's default.")    \
    TEXT(run_dir, "", RESTART,                                                 \
        "Directory of the local socket files; empty: the user's default.")     \
    LIST(listen, "tcp://127.0.0.1:7117", RESTART,                              \
        "ZeroMQ endpoints to listen on.")                                      \
    LEVEL(log_level, LOG_LEVEL_INFO, RELOAD,                                   \
        "The least that is logged: error, warn, info or debug.")               \
    NUMBER(segment_bytes, "bytes", 32 * CONFIG_MIB,                            \
        64 * CONFIG_KIB, 4 * CONFIG_GIB, RESTART,                              \
        "Size of one file of the record; at least twice bundle_bytes_max.")    \
    BOOL(preallocate, true, RESTART,                                           \
        "Allocate each segment whole, so that a full disk is known early.")    \
    NUMBER(checkpoint_entries, "entries", 100000, 100, 1000000000, RELOAD,     \
        "A checkpoint of the state is written each time so many were added.")  \
    NUMBER(value_bytes_max, "bytes", 1 * CONFIG_MIB, 256, 8 * CONFIG_MIB,      \
        RELOAD, "Longest value, payload or message.")                          \
    NUMBER(bundle_bytes_max, "bytes", 4 * CONFIG_MIB,                          \
        4 * CONFIG_KIB, 16 * CONFIG_MIB, RESTART,                              \
        "Longest signed bundle with its payloads; it must hold a value.")      \
    NUMBER(bundle_ops_max, "operations", 1024, 1, 1024, RELOAD,                \
        "Most operations in one bundle.")                                      \
    NUMBER(connections_max, "connections", 10000, 1, 1000000, RESTART,         \
        "Most connections at a time; each takes one file descriptor.")         \
    NUMBER(peer_bytes_in_flight_max, "bytes", 64 * CONFIG_MIB,                 \
        64 * CONFIG_KIB, 4 * CONFIG_GIB, RELOAD,                               \
        "Bytes a connection may have sent that are not yet a whole message.")  \
    NUMBER(sessions_per_agent_max, "sessions", 256, 1, 65536, RELOAD,          \
        "Most open sessions of one agent.")                                    \
    NUMBER(session_idle_s, "seconds", 600, 10, 2592000, RELOAD,                \
        "A session unused for so long is ended.")                              \
    NUMBER(presence_ms, "ms", 60000, 1000, 86400000, RELOAD,                   \
        "An agent not heard of for so long is shown as away.")                 \
    NUMBER(watches_per_agent_max, "watches", 1024, 1, 1000000, RELOAD,         \
        "Most open watches of one agent.")                                     \
    NUMBER(awaits_per_agent_max, "tasks", 100000, 1, 100000000, RELOAD,        \
        "Most open tasks, over all its sessions, that one agent awaits.")      \
    NUMBER(queue_tasks_max, "tasks", 100000, 1, 100000000, RELOAD,             \
        "Most open tasks in one queue.")                                       \
    NUMBER(tasks_per_agent_max, "tasks", 100000, 1, 100000000, RELOAD,         \
        "Most open tasks submitted by one agent.")                             \
    NUMBER(queue_capability_sets_max, "sets", 64, 1, 1024, RELOAD,             \
        "Most different sets of capabilities that tasks of one queue take.")   \
    NUMBER(partials_per_task_max, "partials", 1000, 0, 100000, RELOAD,         \
        "Most partial results of one task.")                                   \
    NUMBER(leases_per_agent_max, "leases", 1024, 1, 1000000, RELOAD,           \
        "Most tasks one agent may hold at a time.")                            \
    NUMBER(marks_per_agent_max, "marks", 10000, 1, 100000000, RELOAD,          \
        "Most marks (where it was last, what it has read) of one agent.")      \
    NUMBER(reads_bytes_per_agent_max, "bytes", 16 * CONFIG_MIB,                \
        64 * CONFIG_KIB, 4 * CONFIG_GIB, RELOAD,                               \
        "Memory for what one agent read under its leases.")                    \
    NUMBER(messages_per_agent_max, "messages", 100000, 1, 100000000, RELOAD,   \
        "Most messages of one sender that are kept, in mailboxes and topics.") \
    NUMBER(mailbox_messages_max, "messages", 10000, 1, 100000000, RELOAD,      \
        "Most unacknowledged messages of one sender in one mailbox.")          \
    NUMBER(mailbox_bytes_max, "bytes", 64 * CONFIG_MIB, 1, 1024 * CONFIG_GIB,  \
        RELOAD, "Most bytes of them.")                                         \
    NUMBER(topic_messages_max, "messages", 10000, 1, 100000000, RELOAD,        \
        "Messages kept in one topic; then the oldest leave it.")               \
    NUMBER(topic_entries_kept, "entries", 10000000, 1000, 1000000000,\
        RELOAD, "Messages of topics are kept while not more have followed.")   \
    NUMBER(lease_ms_default, "ms", 30000, 100, 86400000, RELOAD,               \
        "Lease of a task that names none; at most lease_ms_max.")              \
    NUMBER(lease_ms_max, "ms", 86400000, 100, 604800000, RELOAD,               \
        "Longest lease a task may ask for.")                                   \
    NUMBER(max_attempts_default, "attempts", 5, 1, 1000, RELOAD,               \
        "Attempts before a task that names no number is dead.")                \
    NUMBER(backoff_ms_default, "ms", 1000, 0, 3600000, RELOAD,                  \
        "Wait before the second attempt of a task that names none.")           \
    NUMBER(policies_per_space_max, "prefixes", 256, 1, 4096, RELOAD,           \
        "Most prefixes of one space that have a merge policy.")                \
    NUMBER(terminal_tasks_kept, "tasks", 100000, 0, 100000000, RELOAD,         \
        "Ended tasks kept in memory for show and list; the record keeps all.") \
    NUMBER(operation_ids_kept, "entries", 1000000, 1000, 1000000000, RELOAD,   \
        "An operation id is known for at least so many entries after it.")     \
    NUMBER(compact_age_s, "seconds", 0, 0, 3153600000, RELOAD,                 \
        "Past versions are compacted when they are so old; 0: never.")         \
    NUMBER(compact_entries, "entries", 0, 0, 1000000000000, RELOAD,            \
        "Past versions are compacted after so many entries; 0: never.")        \
    NUMBER(compact_bytes, "bytes", 0, 0, 1048576 * CONFIG_GIB, RELOAD,         \
        "Past versions are compacted after so much record; 0: never.")         \
    NUMBER(agent_bytes_per_s, "bytes/s", 0, 0, 4 * CONFIG_GIB, RELOAD,         \
        "Growth of the record one agent may cause; 0: no limit.")
/* clang-format on */

struct config_list {
    size_t n;
    char *items[CONFIG_LISTEN_MAX]; /* owned */
};

#define CONFIG_FIELD_TEXT(name, ...) char *name; /* owned, never NULL */
#define CONFIG_FIELD_LIST(name, ...) struct config_list name;
#define CONFIG_FIELD_LEVEL(name, ...) uint64_t name; /* enum log_level */
#define CONFIG_FIELD_BOOL(name, ...) bool name;
#define CONFIG_FIELD_NUMBER(name, ...) uint64_t name;

struct config {
    CONFIG_OPTIONS(CONFIG_FIELD_TEXT, CONFIG_FIELD_LIST, CONFIG_FIELD_LEVEL,
                   CONFIG_FIELD_BOOL, CONFIG_FIELD_NUMBER)
};

/* Gets one finished sentence without a newline, borrowed for the call. */
typedef void config_error_fn(void *arg, const char *message);

/* The defaults. Owned by the caller; NULL when out of memory. */
struct config *config_default(void);

void config_destroy(struct config **self_p);

/* The defaults, changed by a file. Every error is reported, with file and
 * line, key, value and limit.
 * out: owned by the caller, set only on success.
 * Returns 0; -EINVAL (something in it is refused); or why it cannot be read. */
int config_load(const char *path, struct config **out, config_error_fn *error,
                void *arg) __attribute__((warn_unused_result));

/* Set one option from elsewhere; origin names the place in errors ("--data").
 * The first value for a list replaces what was there unless `add`. Follow the
 * last one by config_check().
 * Returns 0, -ENOMEM or -EINVAL. */
int config_set(struct config *config, const char *name, const char *value,
               bool add, const char *origin, config_error_fn *error, void *arg)
    __attribute__((warn_unused_result));

/* What options demand of each other. 0 or -EINVAL. */
int config_check(const struct config *config, const char *origin,
                 config_error_fn *error, void *arg)
    __attribute__((warn_unused_result));

/* How many options differ that only a restart can change; each is named to
 * `named` (may be NULL). config_load() of SIGHUP: if 0, take the new one. */
size_t config_needs_restart(const struct config *now,
                            const struct config *wanted, config_error_fn *named,
                            void *arg);

/* All options as they are, in the file's own form: what is printed is accepted
 * again. */
void config_print(const struct config *config, FILE *out);

/* The commented example, all defaults: broker/choird.conf. */
void config_print_example(FILE *out);

#endif
