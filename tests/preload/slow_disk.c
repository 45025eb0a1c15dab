/* Preloaded into choird: a disk whose syncs take until as much has been written
 * as may wait for one (UNSYNCED_MAX of broker/cycle.c), and a moment longer; or
 * a second. */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { UNSYNCED_MAX = 32 << 20, LOOKS = 200, MOMENT_NS = 5000000 };

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

int fdatasync(int fd)
{
    const struct timespec moment = {.tv_nsec = MOMENT_NS};
    size_t covered = atomic_load(&written);
    int r;

    for (unsigned i = 0;
         i < LOOKS &&
         atomic_load(&written) - atomic_load(&synced) < UNSYNCED_MAX;
         i++)
        nanosleep(&moment, NULL);
    nanosleep(&moment, NULL);
    r = real_fdatasync(fd);
    atomic_store(&synced, covered);
    return r;
}
