/* What why and impact have in common: a graph of entries, asked for page by
 * page, and told as text, JSON or for Graphviz. */
#ifndef CHOIR_TOOLS_STORY_H
#define CHOIR_TOOLS_STORY_H

#include "client.h"

extern const struct cli_option story_options[];
#define STORY_OPTIONS                                            \
    {"limit", "N", "tell at most N entries (default: 1000)"},    \
        {"depth", "N", "go at most N steps"},                    \
    {                                                            \
        "dot", NULL, "for Graphviz: choir ... --dot | dot -Tsvg" \
    }

/* KEY, KEY@N or N, as fields of the request. */
void story_about(const char *arg, json_t *request);
/* Ask, go on while there is more, and print. request: taken. Returns an exit
 * code. */
int story_run(struct cli *cli, struct client *c, json_t *request);

/* The agent's name, what it reported of itself, and doubt about it. */
void story_author_print(struct client *c, const json_t *item);

/* An entry as a node of a graph, nREVISION; a text within the quotes of one. */
void story_node_dot(struct client *c, const json_t *node);
void story_dot_text(const char *text);

#endif
