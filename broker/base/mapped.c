/* The handler jumps out of the copy that ran into the hole. Which one that is,
 * each thread knows of itself. */
#include "mapped.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <ucontext.h>

struct copying {
    const struct mapped *from;
    sigjmp_buf out;
};

static _Thread_local struct copying *volatile copying;

static void on_bus_error(int number, siginfo_t *info, void *context)
{
    struct copying *c = copying;
    const uint8_t *at = info->si_addr;

    if (c && at >= c->from->p && at < c->from->p + c->from->n) {
        /* as it was: nobody returns from here, who would restore it */
        pthread_sigmask(SIG_SETMASK, &((ucontext_t *)context)->uc_sigmask,
                        NULL);
        siglongjmp(c->out, 1);
    }
    signal(number, SIG_DFL); /* whatever it was comes again, and kills */
}

static void handler_set(void)
{
    struct sigaction action = {
        .sa_sigaction = on_bus_error,
        .sa_flags = SA_SIGINFO,
    };

    sigaction(SIGBUS, &action, NULL);
}

int mapped_open(struct mapped *m, int fd, size_t at_least)
{
    struct stat st;
    size_t n;
    void *p;

    mapped_close(m);
    if (fstat(fd, &st))
        return -errno;
    n = (size_t)st.st_size > at_least ? (size_t)st.st_size : at_least;
    if (!n)
        return -ENODATA;
    handler_set(); /* again and again, should anybody else have set one */
    p = mmap(NULL, n, PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    madvise(p, n, MADV_RANDOM);
    *m = (struct mapped){p, n};
    return 0;
}

void mapped_close(struct mapped *m)
{
    if (m->n)
        munmap((void *)(uintptr_t)m->p, m->n);
    *m = (struct mapped){0};
}

int mapped_copy(const struct mapped *m, void *to, size_t n, uint64_t at)
{
    struct copying c;

    if (at > m->n || n > m->n - at)
        return -ENODATA;
    c.from = m;
    if (sigsetjmp(c.out, 0)) {
        copying = NULL;
        return -EIO;
    }
    copying = &c;
    atomic_signal_fence(memory_order_seq_cst); /* not a byte before that */
    memcpy(to, m->p + at, n);
    atomic_signal_fence(memory_order_seq_cst);
    copying = NULL;
    return 0;
}
