/* Messages: said by one request each, heard by a standing one. */
#include <errno.h>

#include "calls.h"
#include "error.h"
#include "proto/refusal.h"

static const char topic_mark[] = "topic:";

static bool is_id(const char *to)
{
    return strlen(to) == 64 && strspn(to, "0123456789abcdef") == 64;
}

/* Where a message goes: "agent" or "topic", as a field and its text. owner: of
 * the text, if an agent's id had to be asked for. */
struct receiver {
    const char *field, *text;
    struct choir_event *owner;
};

static int agent_find(struct choir *c, const char *name, struct receiver *to)
{
    struct choir_request *r = choir_request_new(c, "agent_list");
    const struct choir_event *item;
    int code;

    if (r)
        choir_request_text(r, "name", name);
    code = call_reply(c, &r, &to->owner);
    if (code)
        return code;
    item = choir_event_item(to->owner, "items", 0);
    to->text = item ? choir_event_text(item, "agent") : NULL;
    if (to->text)
        return 0;
    choir_event_free(&to->owner);
    return error_set(CHOIR_NOT_FOUND, 0, "agent=%s", name);
}

static int receiver_find(struct choir *c, const char *name, struct receiver *to)
{
    size_t n = sizeof topic_mark - 1;
    bool is_topic = strncmp(name, topic_mark, n) == 0;

    *to = (struct receiver){.field = is_topic ? "topic" : "agent",
                            .text = is_topic ? name + n : name};
    return is_topic || is_id(name) ? 0 : agent_find(c, name, to);
}

static int message_send(struct choir *c, const struct receiver *to,
                        const void *body, size_t bytes, unsigned kind,
                        uint64_t reply_to, uint64_t *revision)
{
    struct choir_request *r = choir_request_new(c, "send");

    if (r) {
        choir_request_text(r, to->field, to->text);
        choir_request_slot(r, body, bytes, NULL);
        if (kind)
            choir_request_uint(r, "kind", kind);
        if (reply_to)
            choir_request_uint(r, "reply_to", reply_to);
    }
    return call_revision(c, &r, revision);
}

int choir_message(struct choir *c, const char *to, const void *body,
                  size_t bytes, enum choir_message_kind kind,
                  uint64_t *revision)
{
    struct receiver receiver;
    int code = handle_check(c);

    if (!code)
        code = receiver_find(c, to, &receiver);
    if (code)
        return code;
    code = message_send(c, &receiver, body, bytes, kind, 0, revision);
    choir_event_free(&receiver.owner);
    return code;
}

int choir_reply(struct choir *c, const struct choir_event *message,
                const void *body, size_t bytes, enum choir_message_kind kind,
                uint64_t *revision)
{
    struct receiver to = {.field = "agent",
                          .text = choir_event_text(message, "agent")};
    int code = handle_check(c);

    if (code)
        return code;
    if (message->kind != MSG_MESSAGE)
        return error_set(CHOIR_INVALID, 0, "this is no message");
    return message_send(c, &to, body, bytes, kind,
                        choir_event_uint(message, "revision"), revision);
}

int choir_complete_message(struct choir *c, struct choir_request *r,
                           const char *to, const void *body, size_t bytes)
{
    struct receiver receiver;
    unsigned slot;
    int code = r ? handle_check(c) : error_set(-ENOMEM, 0, NULL);

    if (!code)
        code = receiver_find(c, to, &receiver);
    if (code)
        return code;
    code = choir_request_slot(r, body, bytes, &slot);
    if (!code)
        code = choir_request_begin(r, "sends");
    if (!code) {
        choir_request_text(r, receiver.field, receiver.text);
        choir_request_uint(r, "slot", slot);
        code = choir_request_end(r);
    }
    choir_event_free(&receiver.owner);
    return code;
}

/* --- Reading -------------------------------------------------------------- */

int choir_inbox(struct choir *c, const char *topic, uint64_t *inbox)
{
    int code = handle_check(c);
    struct choir_request *r = code ? NULL : choir_request_new(c, "inbox");

    if (r && topic)
        choir_request_text(r, "topic", topic);
    return call_begin(c, &r, inbox);
}

int choir_inbox_next(struct choir *c, uint64_t inbox, int timeout_ms,
                     struct choir_event **message)
{
    int64_t deadline = deadline_after(timeout_ms);
    struct choir_event *e;

    *message = NULL;
    for (;;) {
        int64_t left = deadline - sdk_clock_ms();
        int code = choir_wait(c, inbox,
                              deadline < 0 ? -1
                              : left > 0   ? (int)left
                                           : 0,
                              &e);

        if (code)
            return code;
        if (e->kind == MSG_MESSAGE) {
            *message = e;
            return 0;
        }
        code = e->code ? event_error(e) : 0;
        choir_event_free(&e);
        if (code)
            return code;
    }
}

int choir_ack(struct choir *c, const struct choir_event *message)
{
    const char *topic = choir_event_text(message, "topic");
    struct choir_request *r;
    int code = handle_check(c);

    if (code)
        return code;
    if (message->kind != MSG_MESSAGE)
        return error_set(CHOIR_INVALID, 0, "this is no message");
    r = choir_request_new(c, "mark");
    if (r) {
        choir_request_uint(r, "revision",
                           choir_event_uint(message, "revision"));
        if (topic)
            choir_request_text(r, "topic", topic);
        else
            choir_request_uint(r, "kind", 1);
    }
    return call_revision(c, &r, NULL);
}
