/* The daemon's log: one line of key=value (logfmt) per event, on one write(2).
 *
 *   log_info("session_open", "agent=%s session=%" PRIu64, name, id);
 *   -> time=2025-01-02T03:04:05.678Z level=info event=session_open agent=ada…
 *
 * Values given by %s are escaped by the logger itself, always: a peer's bytes
 * cannot end a line, forge a key or reach a terminal as control bytes. Keys
 * and the event are literals of the source. Secrets never go in.
 *
 * Conversions: %s %.*s %d %i %u %x %c %% with the lengths hh h l ll z j, so all
 * of <inttypes.h>; no widths, no floats. The compiler checks them as printf's.
 *
 * Under journald (JOURNAL_STREAM names the descriptor) a line starts with its
 * priority, <3> to <7>, and has no time.
 *
 * Threads: any. Lines do not mix. log_open() and log_set_level() are for the
 * main thread. */
#ifndef CHOIR_BROKER_BASE_LOG_H
#define CHOIR_BROKER_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A longer line is cut, and ends in truncated=1. */
#define LOG_LINE_BYTES 2048
/* Room of one %s value, escapes and NUL included; a longer one ends in "...". */
#define LOG_VALUE_BYTES 512

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

/* Lines up to and including level go to fd (borrowed for good). Before the
 * first call: info, on standard error, with times. */
void log_open(enum log_level level, int fd);

void log_set_level(enum log_level level);
bool log_shows(enum log_level level);

/* "error", "warn", "info", "debug". parse: 0 or -EINVAL. */
const char *log_level_name(enum log_level level);
int log_level_parse(const char *name, enum log_level *level)
    __attribute__((warn_unused_result));

/* How the logger writes a value, for messages that go elsewhere: as it is when
 * it is plain printable ASCII without space, quote, '=' and backslash; else in
 * double quotes with \n \r \t \" \\ and \xHH.
 * out: room bytes, at least 16, always ended by NUL; what does not fit ends in
 * "...". Returns out. */
char *log_quote(char *out, size_t room, const void *bytes, size_t len);

/* event and format are string literals; the format may be left out. errno is
 * kept. A line that cannot be written is lost: the log never stops work. */
#define log_error(...) LOG_AT_(LOG_LEVEL_ERROR, NULL, __VA_ARGS__)
#define log_warn(...) LOG_AT_(LOG_LEVEL_WARN, NULL, __VA_ARGS__)
#define log_info(...) LOG_AT_(LOG_LEVEL_INFO, NULL, __VA_ARGS__)
#define log_debug(...) LOG_AT_(LOG_LEVEL_DEBUG, NULL, __VA_ARGS__)

/* For what a peer can cause as often as it likes: from one place in the source
 * a burst of LOG_BURST lines, then one a second; the next line that passes
 * says suppressed=N. */
#define LOG_BURST 10
#define log_warn_limited(...)                               \
    do {                                                    \
        static struct log_limit limit_here_;                \
        LOG_AT_(LOG_LEVEL_WARN, &limit_here_, __VA_ARGS__); \
    } while (0)

/* The limiter itself: zeroed to start; spent and suppressed are its own. */
struct log_limit {
    uint64_t refilled_us;
    uint32_t spent;
    uint32_t suppressed;
};

/* May one more line pass at now_us (any clock that does not go back)? If so,
 * *suppressed is how many did not since the last that did. Not locked. */
bool log_limit_passes(struct log_limit *limit, uint64_t now_us,
                      uint32_t *suppressed);

#define LOG_AT_(level, limit, event, ...) \
    log_write_(level, limit, event " " __VA_ARGS__)

void log_write_(enum log_level level, struct log_limit *limit,
                const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
