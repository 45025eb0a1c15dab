/* Preloaded into choird: a disk that does what is small at once, but syncs of
 * more take until as much has been written as may wait for one (UNSYNCED_MAX of
 * broker/cycle.c), and a moment longer; or a second. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    SMALL = 1 << 20,
    UNSYNCED_MAX = 32 << 20,
    LOOKS = 200,
    MOMENT_NS = 5000000,
};

static _Atomic size_t written, synced;
static ssize_t (*real_pwritev)(int, const struct iovec *, int, off_t);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void)
{
    void *write = dlsym(RTLD_NEXT, "pwritev");
    void *sync = dlsym(RTLD_NEXT, "fdatasync");

    if (!write || !sync)
        abort();
    real_pwritev = (ssize_t(*)(int, const struct iovec *, int, off_t))write;
    real_fdatasync = (int (*)(int))sync;
}

ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at)
{
    ssize_t done = real_pwritev(fd, parts, n, at);

    if (done > 0)
        atomic_fetch_add(&written, (size_t)done);
    return done;
}

static size_t unsynced(void)
{
    return atomic_load(&written) - atomic_load(&synced);
}

int fdatasync(int fd)
{
    const struct timespec moment = {.tv_nsec = MOMENT_NS};
    size_t covered = atomic_load(&written);
    bool is_slow = unsynced() >= SMALL;
    int r;

    for (unsigned i = 0; is_slow && i < LOOKS; i++) {
        bool last = unsynced() >= UNSYNCED_MAX;

        nanosleep(&moment, NULL);
        if (last)
            break;
    }
    r = real_fdatasync(fd);
    atomic_store(&synced, covered);
    return r;
}
