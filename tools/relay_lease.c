/* Lanes and leases: who speaks under one, what moved under it, how it ends. */
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "json.h"
#include "proto/schema.h"
#include "relay_private.h"

/* --- Speaking under a lease ------------------------------------------------ */

static bool takes_lease(const char *verb)
{
    const struct message_row *row = message_row(message_verb(bytes_text(verb)));
    field_mask both = FIELD_BIT(TASK) | FIELD_BIT(TOKEN);

    return row && ((row->need | row->may) & both) == both;
}

bool lease_fill(struct lane *l, json_t *o, const char *verb)
{
    static const char *const never[] = {"work", "complete", "fail", "nak"};

    if (!l->token)
        return true;
    for (size_t i = 0; i < 4; i++) {
        if (strcmp(verb, never[i]) != 0)
            continue;
        lane_refuse(l, json_object_get(o, "id"), CHOIR_INVALID,
                    "INVALID: inside choir work --exec the command's exit "
                    "status ends the task, and it takes no other");
        return false;
    }
    if (takes_lease(verb) && !json_object_get(o, "task")) {
        json_object_set_new(o, "task", json_integer((json_int_t)l->task));
        json_object_set_new(o, "token", json_integer((json_int_t)l->token));
    }
    /* Its children are submitted under its lease, too. */
    if (strcmp(verb, "submit") == 0 && !json_object_get(o, "token") &&
        (uint64_t)json_integer_value(json_object_get(o, "parent")) == l->task)
        json_object_set_new(o, "token", json_integer((json_int_t)l->token));
    return true;
}

/* --- Ending it ------------------------------------------------------------- */

static bool abandons(const json_t *o)
{
    const json_t *kind = json_object_get(o, "kind");
    const char *name = json_string_value(kind);

    return name ? strcmp(name, "abandon") == 0
                : json_integer_value(kind) == CHOIR_ABANDON;
}

uint64_t lease_ended_by(const struct lane *l, const json_t *o, const char *verb)
{
    static const char *const ending[] = {"complete", "fail", "nak"};
    bool ends = strcmp(verb, "heed") == 0 && abandons(o);
    const json_t *token = json_object_get(o, "token");

    for (size_t i = 0; i < 3; i++)
        ends |= strcmp(verb, ending[i]) == 0;
    if (!ends)
        return 0;
    return token ? (uint64_t)json_integer_value(token) : l->token;
}

/* A stale completion leaves the task, unless it says what became of it. */
bool outcome_ends(const struct choir_event *e)
{
    const struct choir_event *effect = choir_event_item(e, "effect", 0);

    switch (choir_event_code(e)) {
    case CHOIR_OK:
    case CHOIR_FENCED: return true;
    case CHOIR_STALE: return effect && choir_event_has(effect, "state");
    default: return false;
    }
}

bool relay_lease_over(struct relay *r, uint64_t *token)
{
    struct ended *ended = r->ended;

    if (!ended)
        return false;
    *token = ended->token;
    LL_DELETE(r->ended, ended);
    free(ended);
    return true;
}

/* --- What moved ------------------------------------------------------------ */

static void moved_say(struct lane *l, const struct choir_event *e, json_t *id)
{
    json_t *o = e ? event_to_json(e) : json_pack("{s:[]}", "items");

    json_object_del(o, "event");
    json_object_set_new(o, "outcome", json_string("OK"));
    lane_say(l, o, id);
}

/* False: nothing to say yet. */
static bool moved_tell(struct lane *l, uint64_t token, json_t *id)
{
    struct choir_event *e;
    int code = choir_moved(l->relay->choir, token, 0, &e);

    if (code == CHOIR_TIMEOUT || code == CHOIR_UNREACHABLE)
        return false;
    if (code)
        lane_refuse(l, id, code, choir_error_text());
    else
        moved_say(l, e, id);
    choir_event_free(&e);
    return true;
}

static void wait_free(struct lane *l, struct moved_wait *wait)
{
    LL_DELETE(l->waits, wait);
    l->open--;
    json_decref(wait->id);
    free(wait);
}

static void wait_add(struct lane *l, uint64_t token, json_t *id)
{
    struct moved_wait *wait = calloc(1, sizeof *wait);

    if (!wait)
        return;
    wait->token = token;
    wait->id = json_incref(id);
    LL_PREPEND(l->waits, wait);
    l->open++;
}

bool about_moved(struct lane *l, json_t *o, const char *verb)
{
    json_t *id = json_object_get(o, "id");
    const json_t *named = json_object_get(o, "token");
    uint64_t token = named ? (uint64_t)json_integer_value(named) : l->token;

    if (strcmp(verb, "moved") != 0)
        return false;
    if (moved_tell(l, token, id))
        return true;
    if (json_is_true(json_object_get(o, "wait")))
        wait_add(l, token, id);
    else
        moved_say(l, NULL, id);
    return true;
}

void relay_moved(struct relay *r, uint64_t token)
{
    struct moved_wait *wait, *next;
    struct lane *l;

    DL_FOREACH (r->lanes, l) {
        LL_FOREACH_SAFE (l->waits, wait, next) {
            if (wait->token == token && moved_tell(l, token, wait->id))
                wait_free(l, wait);
        }
    }
}

void waits_free(struct lane *l)
{
    while (l->waits)
        wait_free(l, l->waits);
}
