/* Agents at work against a real choird until they have said enough, with or
 * without misfortune, and what they saw: for the history checker. */
#ifndef CHOIR_TESTS_SUPPORT_CAMPAIGN_H
#define CHOIR_TESTS_SUPPORT_CAMPAIGN_H

#include "tests/support/crash_client.h"
#include "tests/support/daemon.h"
#include "tests/support/history.h"

enum { CAMPAIGN_AGENTS_MAX = 24 };

struct campaign {
    const char *name;    /* of its directory */
    const char *program; /* of the broker, as in struct daemon; NULL: choird */
    const enum client_role *roles;
    unsigned agents;
    unsigned lease_ms;
    uint64_t operations; /* in all, then it ends */
    unsigned seed;       /* of every choice */
    bool kills;          /* agents and broker die and come back */
    unsigned rest_ms;    /* between two misfortunes, at most */

    /* Filled by campaign_run. */
    struct daemon d;
    struct client_task tasks[CAMPAIGN_AGENTS_MAX + 1];
    char logs[CAMPAIGN_AGENTS_MAX + 1][DAEMON_PATH + 16];
    pid_t pids[CAMPAIGN_AGENTS_MAX + 1];
    uint64_t *counts; /* shared with the agents */
    unsigned broker_kills, broker_pauses, agent_kills, agent_pauses;
};

/* True: everybody ended well. */
bool campaign_run(struct campaign *c);
uint64_t campaign_operations(const struct campaign *c);
/* All that was seen, and the record. */
void campaign_read(const struct campaign *c, struct history *h);

#endif
