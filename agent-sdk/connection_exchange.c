#include "connection_exchange.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

enum { ALONE_ANSWERS = 4 };

/* Both ends have one address. */
static bool is_local(int fd)
{
    struct sockaddr_storage mine, its;
    socklen_t n = sizeof mine, m = sizeof its;
    const void *a = &mine, *b = &its;

    if (getsockname(fd, (struct sockaddr *)&mine, &n) ||
        getpeername(fd, (struct sockaddr *)&its, &m) || n != m ||
        mine.ss_family != its.ss_family)
        return false;
    if (mine.ss_family == AF_INET)
        return ((const struct sockaddr_in *)a)->sin_addr.s_addr ==
               ((const struct sockaddr_in *)b)->sin_addr.s_addr;
    return mine.ss_family == AF_INET6 &&
           memcmp(&((const struct sockaddr_in6 *)a)->sin6_addr,
                  &((const struct sockaddr_in6 *)b)->sin6_addr,
                  sizeof(struct in6_addr)) == 0;
}

void exchange_begin(struct exchange *x, int fd)
{
    *x = (struct exchange){.fd = fd >= 0 && is_local(fd) ? fd : -1, .core = -1};
}

void exchange_sent(struct exchange *x)
{
    if (++x->sent > 1)
        x->alone = 0;
}

void exchange_heard(struct exchange *x)
{
    int core = -1;
    socklen_t n = sizeof core;

    if (x->fd < 0 || x->sent != 1) {
        x->sent = 0;
        return;
    }
    x->sent = 0;
    if (getsockopt(x->fd, SOL_SOCKET, SO_INCOMING_CPU, &core, &n) ||
        core != x->core)
        x->alone = 0;
    else if (x->alone < ALONE_ANSWERS)
        x->alone++;
    x->core = core;
}

void exchange_among(struct exchange *x)
{
    x->sent = x->alone = 0;
}

int exchange_core(const struct exchange *x)
{
    return x->sent == 1 && x->alone == ALONE_ANSWERS ? x->core : -1;
}
