#include "memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef M_TRIM_THRESHOLD

static bool environment_says(const char *name)
{
    const char *tunables = getenv("GLIBC_TUNABLES");

    return getenv(name) || (tunables && strstr(tunables, "glibc.malloc."));
}

void memory_tune(void)
{
    static const struct {
        int what, value;
        const char *name;
    } options[] = {
        {M_TRIM_THRESHOLD, MEMORY_KEPT_BYTES, "MALLOC_TRIM_THRESHOLD_"},
        {M_TOP_PAD, MEMORY_STEP_BYTES, "MALLOC_TOP_PAD_"},
        {M_MMAP_THRESHOLD, MEMORY_MAPPED_BYTES, "MALLOC_MMAP_THRESHOLD_"},
    };

    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        if (!environment_says(options[i].name))
            mallopt(options[i].what, options[i].value);
    }
}

#else

void memory_tune(void)
{
}

#endif

#ifdef MADV_POPULATE_WRITE

/* The main thread's arena is what lies below the break, and its end is what is
 * free and was not used yet, but for what this turn has taken of it. */
void memory_fetch(void)
{
    static char *fetched; /* up to here */
    char *end = sbrk(0), *from = fetched;

    if (!from || from > end) /* the first call, or it was given back */
        from = end;
    if (end - from > MEMORY_AHEAD_BYTES) /* used already, what lies before */
        from = end - MEMORY_AHEAD_BYTES;
    fetched = end - from > MEMORY_FETCH_BYTES ? from + MEMORY_FETCH_BYTES : end;
    if (fetched > from)
        madvise(from, (size_t)(fetched - from), MADV_POPULATE_WRITE);
}

#else

void memory_fetch(void)
{
}

#endif
