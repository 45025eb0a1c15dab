/* One logfmt line per event; see log.h.
 *
 * The format is walked here and not by vsnprintf, because only so can every
 * %s be escaped without the callers' help. */
#include "broker/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TRUNCATED " truncated=1\n"
/* Kept free at the end of each line for suppressed=N and TRUNCATED. */
#define TAIL_BYTES 48

struct line {
    char bytes[LOG_LINE_BYTES];
    size_t used;
    size_t room;
    bool cut;
};

static atomic_int log_level = LOG_LEVEL_INFO;
static int log_fd = STDERR_FILENO;
static bool log_to_journal;
static pthread_mutex_t limits_lock = PTHREAD_MUTEX_INITIALIZER;

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static const char level_priority[] = {'3', '4', '6', '7'};

/* A part that does not fit is left out whole, and everything after it: half
 * an escape or half a number would lie. */
static void line_add(struct line *line, const char *bytes, size_t len)
{
    if (line->cut || len > line->room - line->used) {
        line->cut = true;
        return;
    }
    memcpy(line->bytes + line->used, bytes, len);
    line->used += len;
}

static void line_add_text(struct line *line, const char *text)
{
    line_add(line, text, strlen(text));
}

static void line_add_number(struct line *line, uint64_t number, int base)
{
    char text[24];
    int n = snprintf(text, sizeof(text), base == 16 ? "%" PRIx64 : "%" PRIu64,
                     number);

    line_add(line, text, (size_t)n);
}

static bool is_plain(unsigned char c)
{
    return c > ' ' && c < 0x7f && c != '"' && c != '=' && c != '\\';
}

/* One byte as it stands between quotes; returns how many bytes it took. Bytes
 * beyond ASCII are escaped too: among them are C1 controls and the marks that
 * turn the direction of text. */
static size_t escape_byte(char out[4], unsigned char c)
{
    static const char hex[] = "0123456789abcdef";

    out[0] = '\\';
    switch (c) {
    case '\n': out[1] = 'n'; return 2;
    case '\r': out[1] = 'r'; return 2;
    case '\t': out[1] = 't'; return 2;
    case '"':
    case '\\': out[1] = (char)c; return 2;
    default: break;
    }
    if (c >= ' ' && c < 0x7f) {
        out[0] = (char)c;
        return 1;
    }
    out[1] = 'x';
    out[2] = hex[c >> 4];
    out[3] = hex[c & 15];
    return 4;
}

char *log_quote(char *out, size_t room, const void *bytes, size_t len)
{
    static const char cut[] = "...\"";
    const unsigned char *in = bytes;
    bool plain = len > 0 && len < room;
    size_t used = 0;
    size_t done = 0;

    for (size_t i = 0; i < len && plain; i++)
        plain = is_plain(in[i]);
    if (plain) {
        memcpy(out, bytes, len);
        out[len] = '\0';
        return out;
    }
    out[used++] = '"';
    for (; done < len; done++) {
        char piece[4];
        size_t n = escape_byte(piece, in[done]);

        if (used + n + sizeof(cut) > room)
            break;
        memcpy(out + used, piece, n);
        used += n;
    }
    strcpy(out + used, done < len ? cut : "\"");
    return out;
}

static void line_add_value(struct line *line, const char *bytes, size_t len)
{
    char quoted[LOG_VALUE_BYTES];

    line_add_text(line, log_quote(quoted, sizeof(quoted), bytes, len));
}

/* The argument of an integer conversion, widened. Promotions: hh and h arrive
 * as int, and are narrowed again as printf does. */
static int64_t signed_arg(va_list *args, const char *length)
{
    if (!strcmp(length, "ll") || !strcmp(length, "j"))
        return va_arg(*args, long long);
    if (!strcmp(length, "l"))
        return va_arg(*args, long);
    if (!strcmp(length, "z"))
        return va_arg(*args, ssize_t);
    if (!strcmp(length, "hh"))
        return (signed char)va_arg(*args, int);
    if (!strcmp(length, "h"))
        return (short)va_arg(*args, int);
    return va_arg(*args, int);
}

static uint64_t unsigned_arg(va_list *args, const char *length)
{
    if (!strcmp(length, "ll") || !strcmp(length, "j"))
        return va_arg(*args, unsigned long long);
    if (!strcmp(length, "l"))
        return va_arg(*args, unsigned long);
    if (!strcmp(length, "z"))
        return va_arg(*args, size_t);
    if (!strcmp(length, "hh"))
        return (unsigned char)va_arg(*args, unsigned int);
    if (!strcmp(length, "h"))
        return (unsigned short)va_arg(*args, unsigned int);
    return va_arg(*args, unsigned int);
}

static void line_add_string_arg(struct line *line, va_list *args, bool sized)
{
    int len = sized ? va_arg(*args, int) : -1;
    const char *text = va_arg(*args, const char *);

    if (!text)
        line_add_text(line, "-");
    else if (len < 0)
        line_add_value(line, text, strlen(text));
    else
        line_add_value(line, text, strnlen(text, (size_t)len));
}

static void line_add_signed(struct line *line, int64_t number)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%" PRId64, number);

    line_add(line, text, (size_t)n);
}

/* One conversion, from behind its '%'. Returns what follows it, or NULL for
 * one that is not ours: then the arguments can no longer be told apart. */
static const char *line_add_arg(struct line *line, const char *at,
                                va_list *args)
{
    bool sized = !strncmp(at, ".*", 2);
    char length[3] = "";
    char byte;

    at += sized ? 2 : 0;
    for (size_t i = 0; i < 2 && *at && strchr("hlzj", *at); i++)
        length[i] = *at++;
    switch (*at) {
    case 's': line_add_string_arg(line, args, sized); break;
    case 'd':
    case 'i': line_add_signed(line, signed_arg(args, length)); break;
    case 'u': line_add_number(line, unsigned_arg(args, length), 10); break;
    case 'x': line_add_number(line, unsigned_arg(args, length), 16); break;
    case 'c':
        byte = (char)va_arg(*args, int);
        line_add_value(line, &byte, 1);
        break;
    case '%': line_add_text(line, "%"); break;
    default: line_add_text(line, "%?"); return NULL;
    }
    return at + 1;
}

static void line_add_format(struct line *line, const char *format,
                            va_list *args)
{
    while (format && *format) {
        size_t literal = strcspn(format, "%");

        line_add(line, format, literal);
        format += literal;
        if (*format)
            format = line_add_arg(line, format + 1, args);
    }
    /* LOG_AT_ leaves a space behind an event without a format. */
    if (line->used && line->bytes[line->used - 1] == ' ')
        line->used--;
}

static void line_add_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    char text[64];
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    n = strftime(text, sizeof(text), "time=%FT%T", &utc);
    snprintf(text + n, sizeof(text) - n, ".%03ldZ ", now.tv_nsec / 1000000);
    line_add_text(line, text);
}

static void line_start(struct line *line, enum log_level level)
{
    if (log_to_journal) {
        line_add(line, "<", 1);
        line_add(line, &level_priority[level], 1);
        line_add(line, ">", 1);
    } else {
        line_add_time(line);
    }
    line_add_text(line, "level=");
    line_add_text(line, level_names[level]);
    line_add_text(line, " event=");
}

static void line_end(struct line *line, uint32_t suppressed)
{
    bool cut = line->cut;

    line->cut = false;
    line->room = sizeof(line->bytes);
    if (suppressed) {
        line_add_text(line, " suppressed=");
        line_add_number(line, suppressed, 10);
    }
    line_add_text(line, cut ? TRUNCATED : "\n");
}

static bool limit_passes(struct log_limit *limit, uint32_t *suppressed)
{
    struct timespec now;
    bool passes;

    clock_gettime(CLOCK_MONOTONIC, &now);
    pthread_mutex_lock(&limits_lock);
    passes = log_limit_passes(
        limit, (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u,
        suppressed);
    pthread_mutex_unlock(&limits_lock);
    return passes;
}

/* journald says which descriptor it reads as "device:inode", so that a stderr
 * redirected later is not mistaken for it (systemd.exec(5)). */
static bool fd_is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat st;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           !fstat(fd, &st) && st.st_dev == device && st.st_ino == inode;
}

void log_open(enum log_level level, int fd)
{
    log_fd = fd;
    log_to_journal = fd_is_journal(fd);
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    atomic_store(&log_level, (int)level);
}

bool log_shows(enum log_level level)
{
    return (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

int log_level_parse(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(level_names) / sizeof(*level_names); i++) {
        if (strcmp(name, level_names[i]))
            continue;
        *level = (enum log_level)i;
        return 0;
    }
    return -EINVAL;
}

bool log_limit_passes(struct log_limit *limit, uint64_t now_us,
                      uint32_t *suppressed)
{
    uint64_t earned = (now_us - limit->refilled_us) / 1000000u;

    *suppressed = 0;
    if (earned) {
        limit->spent -= earned < limit->spent ? (uint32_t)earned : limit->spent;
        limit->refilled_us = now_us;
    }
    if (limit->spent >= LOG_BURST) {
        limit->suppressed++;
        return false;
    }
    limit->spent++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}

void log_write_(enum log_level level, struct log_limit *limit,
                const char *format, ...)
{
    struct line line = {.used = 0, .room = LOG_LINE_BYTES - TAIL_BYTES};
    uint32_t suppressed = 0;
    int saved_errno = errno;
    va_list args;

    if (!log_shows(level) || (limit && !limit_passes(limit, &suppressed)))
        return;
    line_start(&line, level);
    va_start(args, format);
    line_add_format(&line, format, &args);
    va_end(args);
    line_end(&line, suppressed);
    if (write(log_fd, line.bytes, line.used) < 0)
        errno = 0; /* nowhere to say it */
    errno = saved_errno;
}
