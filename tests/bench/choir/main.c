/* Choir as a contender in its own benchmarks:
 *
 *   choir WORK [name=value ...]      choir version
 *
 * Starts a choird of its own, does the work, prints one line of JSON. */
#include <string.h>

#include "tests/bench/choir/works.h"

static const struct {
    const char *name;
    void (*run)(void);
} works[] = {
    {"put", work_put},         {"get", work_get},
    {"task", work_task},       {"watch", work_watch},
    {"fanout", work_fanout},   {"restart", work_restart},
    {"memory", work_memory},   {"disk", work_disk},
    {"crypto", work_crypto},   {"grow", work_grow},
    {"point", work_point},     {"version", work_version},
    {"replica", work_replica},
};

int main(int argc, char **argv)
{
    load_arguments(argc, argv);
    for (size_t i = 0; i < sizeof works / sizeof *works; i++) {
        if (strcmp(load_work(), works[i].name))
            continue;
        works[i].run();
        return 0;
    }
    load_die("choir cannot %s", load_work());
}
