/* libzmq (4.3.4) ends the process where it cannot go on. What a sandbox may
 * refuse is tried before it is. */
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>

#include "edge_private.h"
#include "proto/threads.h"

static int refused(char trouble[EDGE_TROUBLE_BYTES], int r, const char *what,
                   const char *by)
{
    snprintf(trouble, EDGE_TROUBLE_BYTES,
             "the sandbox of this process refuses %s, which ZeroMQ needs; "
             "choird.service allows it by %s",
             what, by);
    return r;
}

/* As it does for each address it is to listen at. */
static int interfaces_permitted(void)
{
    struct ifaddrs *list;
    int r = getifaddrs(&list) ? -errno : 0;

    if (r == 0)
        freeifaddrs(list);
    return r == -EAFNOSUPPORT || r == -EPERM || r == -EACCES ? r : 0;
}

int edge_permitted(char trouble[EDGE_TROUBLE_BYTES])
{
    int r = threads_permitted();

    if (r)
        return refused(trouble, r, "sched_setscheduler", "SystemCallFilter=");
    r = interfaces_permitted();
    return r ? refused(trouble, r, "AF_NETLINK", "RestrictAddressFamilies=")
             : 0;
}
