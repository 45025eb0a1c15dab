/* Telling the service manager how it stands: sd_notify(3)'s protocol, one
 * datagram to the socket that NOTIFY_SOCKET names.
 * Threads: any. */
#ifndef CHOIR_BROKER_BASE_NOTIFY_H
#define CHOIR_BROKER_BASE_NOTIFY_H

/* state: lines such as "READY=1". Nothing happens when no manager asked, and
 * it never blocks. */
void notify_manager(const char *state);
/* RELOADING=1 with the time it demands (Type=notify-reload). */
void notify_reloading(void);

#endif
