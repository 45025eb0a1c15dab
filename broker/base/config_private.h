/* What the files of config share: the table of options, and errors with their
 * place. */
#ifndef CHOIR_BROKER_BASE_CONFIG_PRIVATE_H
#define CHOIR_BROKER_BASE_CONFIG_PRIVATE_H

#include "broker/base/config.h"

enum change { RELOAD, RESTART };

enum kind { TEXT, LIST, LEVEL, BOOL, NUMBER };

struct option {
    const char *name;
    enum kind kind;
    enum change change;
    size_t offset;
    const char *unit;
    const char *text; /* the default of TEXT and LIST */
    uint64_t number;  /* the default of the others */
    uint64_t min;
    uint64_t max;
    const char *doc;
};

#define CONFIG_ONE(...) +1
enum {
    OPTIONS_N = 0 CONFIG_OPTIONS(CONFIG_ONE, CONFIG_ONE, CONFIG_ONE, CONFIG_ONE,
                                 CONFIG_ONE)
};

extern const struct option config_options[OPTIONS_N];

struct reporter {
    config_error_fn *error;
    void *arg;
    const char *origin; /* file, or option of the command line */
    int line;           /* 0: none */
    bool quiet;         /* count, say nothing */
    size_t errors;
};

/* Counts an error, and says it with its place unless quiet. */
void config_report(struct reporter *reporter, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Says what is wrong with a value, its key and itself always named. -EINVAL. */
int option_refuse(struct reporter *reporter, const struct option *option,
                  const char *value, const char *why);

/* NULL: there is none of that name. */
const struct option *option_find(const char *name);
/* Checked and set; a list's first value replaces what was there unless `add`.
 * 0, -EINVAL (reported) or -ENOMEM. */
int option_apply(struct config *config, const struct option *option,
                 const char *value, bool add, struct reporter *reporter);
void config_list_clear(struct config_list *list);

static inline char **text_of(const struct config *config,
                             const struct option *option)
{
    return (char **)((uintptr_t)config + option->offset);
}

static inline struct config_list *list_of(const struct config *config,
                                          const struct option *option)
{
    return (struct config_list *)((uintptr_t)config + option->offset);
}

static inline bool *bool_of(const struct config *config,
                            const struct option *option)
{
    return (bool *)((uintptr_t)config + option->offset);
}

/* LEVEL and NUMBER. */
static inline uint64_t *number_of(const struct config *config,
                                  const struct option *option)
{
    return (uint64_t *)((uintptr_t)config + option->offset);
}

#endif
