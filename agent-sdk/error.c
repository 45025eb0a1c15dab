/* What the last failed call of this thread has to say. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "choir.h"
#include "proto/schema.h"

/* choir.h came first, so these names are its own: a row of the table that is
 * missing there or has another number does not compile. */
#include "proto/refusal.h"
#define X(name, number, class, sentence) \
    _Static_assert(CHOIR_##name == (number), "choir.h: CHOIR_" #name);
CHOIR_REFUSALS(X)
#undef X
#define X(name, number, text, final) \
    _Static_assert(CHOIR_TASK_##name == (number), "choir.h: CHOIR_TASK_" #name);
TASK_STATES(X)
#undef X
#define X(name, bit, text) \
    _Static_assert(CHOIR_RIGHT_##name == (bit), "choir.h: CHOIR_RIGHT_" #name);
RIGHTS(X)
#undef X

#define SAME(ours, wire) _Static_assert((int)(ours) == (int)(wire), "choir.h")
SAME(CHOIR_REFRESH, HEED_REFRESH);
SAME(CHOIR_IGNORE, HEED_IGNORE);
SAME(CHOIR_ABANDON, HEED_ABANDON);
SAME(CHOIR_STALE_REJECT, STALE_REJECT);
SAME(CHOIR_STALE_FLAG, STALE_FLAG);
SAME(CHOIR_STALE_REQUEUE, STALE_REQUEUE);
#undef SAME

static __thread struct error last;

int error_set(int code, uint64_t revision, const char *format, ...)
{
    int n = snprintf(last.text, sizeof last.text, "%s", choir_code_name(code));
    va_list args;

    last.code = code;
    last.revision = revision;
    if (format && format[0]) {
        n += snprintf(last.text + n, sizeof last.text - (size_t)n, " ");
        va_start(args, format);
        vsnprintf(last.text + n, sizeof last.text - (size_t)n, format, args);
        va_end(args);
    } else {
        snprintf(last.text + n, sizeof last.text - (size_t)n, ": %s",
                 choir_code_sentence(code));
    }
    return code;
}

int error_line(int code, uint64_t revision, const char *line)
{
    last.code = code;
    last.revision = revision;
    snprintf(last.text, sizeof last.text, "%s", line);
    return code;
}

void error_keep(struct error *to)
{
    to->code = last.code;
    to->revision = last.revision;
    memcpy(to->text, last.text, strlen(last.text) + 1);
}

void error_restore(const struct error *from)
{
    last.code = from->code;
    last.revision = from->revision;
    memcpy(last.text, from->text, strlen(from->text) + 1);
}

const char *choir_error_text(void)
{
    return last.text;
}

int choir_error_code(void)
{
    return last.code;
}

uint64_t choir_error_revision(void)
{
    return last.revision;
}

const char *choir_code_name(int code)
{
    if (code < 0) {
        const char *name = strerrorname_np(-code);

        return name ? name : "UNKNOWN";
    }
    return refusal_name(code);
}

const char *choir_code_sentence(int code)
{
    const char *text = code < 0 ? strerrordesc_np(-code) : NULL;

    return text ? text : refusal_sentence(code);
}

const char *choir_state_name(unsigned state)
{
    return task_state_name(state);
}

bool choir_state_final(unsigned state)
{
    return task_state_final(state);
}

const char *choir_version(void)
{
    return CHOIR_RELEASE;
}
