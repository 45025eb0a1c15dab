/* What is taken and given back all the time costs page faults once, and what is
 * kept of it has a bound. */
#include "broker/base/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/check.h"
#include "tests/support/faults.h"

enum { PAGE = 4096, BURST_BYTES = 2 * MEMORY_KEPT_BYTES };

static long resident_bytes(void)
{
    long size, resident = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    CHECK(f && fscanf(f, "%ld %ld", &size, &resident) == 2);
    fclose(f);
    return resident * sysconf(_SC_PAGESIZE);
}

/* Blocks of frames' size, all of them at once; what stays of it. */
static long burst(void)
{
    long before = resident_bytes();
    size_t n = BURST_BYTES / FAULTS_FRAME_BYTES;
    char **all = malloc(n * sizeof *all);

    CHECK(all);
    for (size_t i = 0; i < n; i++) {
        all[i] = malloc(FAULTS_FRAME_BYTES);
        CHECK(all[i]);
        memset(all[i], 1, FAULTS_FRAME_BYTES);
    }
    CHECK(resident_bytes() - before > BURST_BYTES / 2);
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
    return resident_bytes() - before;
}

/* The last frame is one that glibc as it comes would map each time. */
static long large_frames(void)
{
    const size_t bytes = 1 << 20;
    struct rusage before, after;

    for (int i = 0; i < 2 * FAULTS_ROUNDS; i++) {
        char *large = malloc(bytes);

        CHECK(large);
        memset(large, 1, bytes);
        free(large);
        if (i == FAULTS_ROUNDS)
            getrusage(RUSAGE_SELF, &before);
    }
    getrusage(RUSAGE_SELF, &after);
    return after.ru_minflt - before.ru_minflt;
}

static bool tuned_is_steady(void)
{
    memory_tune();
    return faults_of_load(FAULTS_FRAMES) < FAULTS_ROUNDS &&
           faults_of_load_in_thread(FAULTS_FRAMES) < FAULTS_ROUNDS &&
           large_frames() < FAULTS_ROUNDS;
}

TEST(memory_that_is_taken_again_and_again_faults_once)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(tuned_is_steady));
}

static bool tuned_is_bounded(void)
{
    memory_tune();
    return burst() < MEMORY_KEPT_BYTES + 2 * MEMORY_STEP_BYTES;
}

TEST(memory_keeps_no_more_than_it_says)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(tuned_is_bounded));
}

/* Each round faults all of its frames in again. */
static bool load_is_as_it_comes(void)
{
    memory_tune();
    return faults_of_load(FAULTS_FRAMES) > FAULTS_ROUNDS * FAULTS_FRAMES;
}

static bool environment_is_heeded(void)
{
    setenv("MALLOC_TRIM_THRESHOLD_", "131072", 1);
    setenv("MALLOC_TOP_PAD_", "131072", 1);
    setenv("MALLOC_MMAP_THRESHOLD_", "131072", 1);
    return load_is_as_it_comes();
}

static bool tunables_are_heeded(void)
{
    setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", 1);
    return load_is_as_it_comes();
}

TEST(memory_leaves_what_the_environment_says)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(environment_is_heeded) && apart(tunables_are_heeded));
}

/* How many pages of the heap's last step are there. To fetch a page counts as a
 * page fault in the kernel's books, so those would not tell. */
static size_t heap_end_resident(void)
{
    unsigned char there[MEMORY_STEP_BYTES / PAGE];
    char *end = sbrk(0);
    size_t n = 0;

    CHECK_OK(mincore(end - MEMORY_STEP_BYTES, MEMORY_STEP_BYTES, there));
    for (size_t i = 0; i < sizeof there; i++)
        n += there[i] & 1;
    return n;
}

/* The heap grows once, by blocks that stay, as keys do. */
static void grow(void)
{
    char *end = sbrk(0);

    while (sbrk(0) == end)
        CHECK(malloc(128));
}

static bool growth_is_fetched(void)
{
    const size_t all = MEMORY_STEP_BYTES / PAGE,
                 at_once = MEMORY_FETCH_BYTES / PAGE;
    size_t plain, fetched;

    memory_tune();
    memory_fetch();
    grow();
    plain = heap_end_resident();
    memory_fetch();
    fetched = heap_end_resident();
    for (size_t i = 0; i < all; i += at_once)
        memory_fetch();
    return plain < 8 && fetched > plain && fetched <= plain + at_once &&
           heap_end_resident() == all;
}

static bool kernel_can_fetch(void)
{
    void *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int r;

    CHECK(page != MAP_FAILED);
    r = madvise(page, PAGE, MADV_POPULATE_WRITE);
    munmap(page, PAGE);
    return r == 0;
}

TEST(memory_that_the_heap_grows_by_is_fetched_without_faults)
{
    if (MALLOC_IS_GLIBC && kernel_can_fetch())
        CHECK(apart(growth_is_fetched));
}

/* Taken, but not written to. */
static bool fetching_is_bounded(void)
{
    void *volatile large; /* or they are not taken at all */
    long before;

    memory_tune();
    memory_fetch();
    before = resident_bytes();
    for (int i = 0; i < 4; i++) {
        large = malloc(MEMORY_MAPPED_BYTES - PAGE);
        if (!large)
            return false;
    }
    for (int i = 0; i < 16; i++)
        memory_fetch();
    return resident_bytes() - before < 3 * MEMORY_STEP_BYTES;
}

TEST(memory_fetches_no_more_than_is_soon_used)
{
    if (MALLOC_IS_GLIBC)
        CHECK(apart(fetching_is_bounded));
}

CHECK_MAIN
