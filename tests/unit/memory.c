/* What is taken and given back all the time costs page faults once, and what is
 * kept of it has a bound. Each test is a process of its own: a malloc cannot be
 * tuned back. */
#include "broker/base/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/check.h"

enum { FRAMES = 64, ROUNDS = 20, FRAME_BYTES = 22000, LARGE_BYTES = 1 << 20 };
enum { PAGE = 4096, BURST_BYTES = 2 * MEMORY_KEPT_BYTES };

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { IS_OURS = false }; /* the sanitizer's malloc */
#else
enum { IS_OURS = true };
#endif

static long faults(void)
{
    struct rusage r;

    CHECK_OK(getrusage(RUSAGE_THREAD, &r));
    return r.ru_minflt;
}

/* As when frames of all clients arrive and leave. */
static void round_of_frames(void)
{
    char *frames[FRAMES], *large = malloc(LARGE_BYTES);

    CHECK(large);
    for (size_t i = 0; i < LARGE_BYTES; i += PAGE)
        ((volatile char *)large)[i] = 1;
    for (size_t i = 0; i < FRAMES; i++) {
        frames[i] = malloc(FRAME_BYTES);
        CHECK(frames[i]);
        memset(frames[i], (int)i, FRAME_BYTES);
    }
    for (size_t i = FRAMES; i-- > 0;)
        free(frames[i]);
    free(large);
}

/* arg: long *, page faults of the later rounds. */
static void *steady_load(void *arg)
{
    long before;

    for (int i = 0; i < ROUNDS; i++)
        round_of_frames();
    before = faults();
    for (int i = 0; i < ROUNDS; i++)
        round_of_frames();
    *(long *)arg = faults() - before;
    return NULL;
}

static long steady_load_of_thread(void)
{
    pthread_t thread;
    long n = -1;

    CHECK_OK(pthread_create(&thread, NULL, steady_load, &n));
    CHECK_OK(pthread_join(thread, NULL));
    return n;
}

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
    size_t n = BURST_BYTES / FRAME_BYTES;
    char **all = malloc(n * sizeof *all);

    CHECK(all);
    for (size_t i = 0; i < n; i++) {
        all[i] = malloc(FRAME_BYTES);
        CHECK(all[i]);
        memset(all[i], 1, FRAME_BYTES);
    }
    CHECK(resident_bytes() - before > BURST_BYTES / 2);
    for (size_t i = 0; i < n; i++)
        free(all[i]);
    free(all);
    return resident_bytes() - before;
}

/* In a child: true if it said so. */
static bool apart(bool (*claim)(void))
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (!pid)
        _exit(claim() ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return status == 0;
}

static bool tuned_is_steady(void)
{
    long n;

    memory_tune();
    steady_load(&n);
    return n < ROUNDS && steady_load_of_thread() < ROUNDS;
}

TEST(memory_that_is_taken_again_and_again_faults_once)
{
    if (IS_OURS)
        CHECK(apart(tuned_is_steady));
}

static bool tuned_is_bounded(void)
{
    memory_tune();
    return burst() < MEMORY_KEPT_BYTES + 2 * MEMORY_STEP_BYTES;
}

TEST(memory_keeps_no_more_than_it_says)
{
    if (IS_OURS)
        CHECK(apart(tuned_is_bounded));
}

static bool environment_is_heeded(void)
{
    long n;

    setenv("MALLOC_TRIM_THRESHOLD_", "131072", 1);
    setenv("MALLOC_TOP_PAD_", "131072", 1);
    setenv("MALLOC_MMAP_THRESHOLD_", "131072", 1);
    memory_tune();
    steady_load(&n);
    return n > ROUNDS * FRAMES;
}

static bool tunables_are_heeded(void)
{
    long n;

    setenv("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", 1);
    memory_tune();
    steady_load(&n);
    return n > ROUNDS * FRAMES;
}

TEST(memory_leaves_what_the_environment_says)
{
    if (IS_OURS)
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
    if (IS_OURS && kernel_can_fetch())
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
    if (IS_OURS)
        CHECK(apart(fetching_is_bounded));
}

CHECK_MAIN
