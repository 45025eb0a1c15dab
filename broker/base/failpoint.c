/* Places where a test may kill the process; see failpoint.h. */
#include "broker/base/failpoint.h"

#ifdef CHOIR_FAILPOINTS

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16

struct point {
    char *name;
    atomic_ulong passes_left; /* 0: never fires (again) */
};

static struct point points[POINTS_MAX];
static size_t points_n;
static pthread_once_t points_once = PTHREAD_ONCE_INIT;

static void point_add(char *spec)
{
    char *colon = strchr(spec, ':');
    unsigned long passes = 1;

    if (colon) {
        *colon = '\0';
        passes = strtoul(colon + 1, NULL, 10);
    }
    points[points_n].name = spec;
    atomic_init(&points[points_n].passes_left, passes);
    points_n++;
}

static void points_read(void)
{
    /* A copy that is kept for the life of the process: the names point into
     * it. Read once, so a test sets the variable before exec. */
    static char specs[1024];
    const char *from_env = getenv("CHOIR_FAILPOINT");
    char *rest = NULL;

    if (!from_env)
        return;
    /* A misspelt failpoint would make a crash test pass for nothing. */
    if (strlen(from_env) >= sizeof(specs))
        abort();
    strcpy(specs, from_env);
    for (char *spec = strtok_r(specs, ",", &rest); spec;
         spec = strtok_r(NULL, ",", &rest)) {
        if (points_n == POINTS_MAX)
            abort();
        point_add(spec);
    }
}

static bool point_passes(struct point *point)
{
    unsigned long left = atomic_load(&point->passes_left);

    while (left &&
           !atomic_compare_exchange_weak(&point->passes_left, &left, left - 1))
        ;
    return left == 1;
}

bool failpoint_hit(const char *name)
{
    pthread_once(&points_once, points_read);
    for (size_t i = 0; i < points_n; i++)
        if (!strcmp(points[i].name, name))
            return point_passes(&points[i]);
    return false;
}

void failpoint_die(void)
{
    _exit(137);
}

#else

typedef int failpoint_is_compiled_out;

#endif
