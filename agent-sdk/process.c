/* The kernel empties one page in the child of every fork, also of one that
 * does not go through the C library. What is not there is made anew. */
#include "process.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/key.h"

enum { SALTS = 256 };

/* All zeros is the beginning of each: of a mutex, too. */
struct own {
    _Atomic(uint64_t) mark;
    struct process_shared shared;
};

static struct own *page; /* emptied by the kernel, */
static struct own own;   /* or if it has no such pages, by fork_child */

static void fork_child(void)
{
    own.shared = (struct process_shared){.lock = PTHREAD_MUTEX_INITIALIZER};
}

static void page_make(void)
{
    size_t bytes = (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p != MAP_FAILED && madvise(p, bytes, MADV_WIPEONFORK) == 0) {
        page = p;
        return;
    }
    if (p != MAP_FAILED)
        munmap(p, bytes);
    pthread_atfork(NULL, NULL, fork_child);
}

static void page_open(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, page_make);
}

uint64_t process_mark(void)
{
    uint64_t mark, found = 0;

    page_open();
    if (!page)
        return (uint64_t)getpid();
    mark = atomic_load_explicit(&page->mark, memory_order_relaxed);
    if (mark)
        return mark;
    random_bytes(&mark, sizeof mark);
    mark |= 1;
    return atomic_compare_exchange_strong(&page->mark, &found, mark) ? mark
                                                                     : found;
}

struct process_shared *process_shared(void)
{
    page_open();
    return page ? &page->shared : &own.shared;
}

void salt_next(uint8_t salt[SLOT_SALT_BYTES])
{
    static __thread struct {
        uint64_t mark; /* of the process that drew them */
        unsigned left;
        uint8_t salts[SALTS][SLOT_SALT_BYTES];
    } store;
    uint64_t mark = process_mark();

    if (store.left == 0 || store.mark != mark) {
        random_stretch(store.salts, sizeof store.salts);
        store.left = SALTS;
        store.mark = mark;
    }
    store.left--;
    memcpy(salt, store.salts[store.left], SLOT_SALT_BYTES);
    memset(store.salts[store.left], 0, SLOT_SALT_BYTES);
}
