/* What why and impact know while they go from entry to entry. */
#ifndef CHOIR_BROKER_ASK_TRACE_H
#define CHOIR_BROKER_ASK_TRACE_H

#include "ask_node.h"

enum {
    NODES_MAX = PAGE_MAX,
    LINKS_MAX = 3000,  /* told; with the nodes they fit into one list */
    FOUND_MAX = 4096,  /* gathered of one entry */
    SEEN_SLOTS = 4096, /* a power of two, above 2 * NODES_MAX */
    STEPS_MAX = 8192,  /* look-ups of one answer: some ten milliseconds */
    STEP_LOADED = 512, /* bytes of groups that are read first, likewise */
};

struct candidate {
    uint64_t index;
    unsigned kind;
};

struct spot {
    uint64_t index, depth;
};

struct trace {
    struct ask *q;
    const struct linking *links;
    bool forward;
    uint64_t nodes_max, depth_max, prev;
    uint64_t seen[SEEN_SLOTS]; /* index + 1; 0: free */
    struct spot spots[NODES_MAX];
    size_t spot_count, spot_next;
    struct candidate found[FOUND_MAX]; /* of the node at hand */
    size_t found_count;
    uint64_t bound; /* of those, up to here all were found */
    bool is_cut;    /* more there than was looked for, wherever it is */
    struct node node, other;
    uint64_t completion; /* of the lease that the node was said under */
    struct buf links_told;
    uint64_t link_count, node_count, steps;
    uint64_t loaded; /* of the ledger, before */
};

/* What the node at hand rests on, or what rests on it, into `found`. after:
 * forward, only what came behind that entry. 0 or negative errno. */
int trace_gather_back(struct trace *t);
int trace_gather_forward(struct trace *t, uint64_t after);

#endif
