#include "memory.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

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
