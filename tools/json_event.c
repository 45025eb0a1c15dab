/* Events as JSON, field by field as the library tells them: a new field needs
 * nothing here. */
#include "json.h"

#include "proto/schema.h"

static json_t *rights_to_json(uint64_t rights)
{
    json_t *out = json_array();

#define X(upper, bit, text) \
    if (rights & bit)       \
        json_array_append_new(out, json_string(text));
    RIGHTS(X)
#undef X
    return out;
}

/* In versions and changes of a key the kind says what happened. */
static bool tells_versions(const struct choir_event *top)
{
    const char *name = choir_event_name(top), *verb = choir_event_verb(top);

    return strcmp(name, "change") == 0 || strcmp(name, "moved") == 0 ||
           strcmp(name, "task") == 0 || strcmp(verb, "complete") == 0 ||
           (strcmp(name, "reply") == 0 &&
            (strcmp(verb, "log") == 0 || strcmp(verb, "since") == 0 ||
             strcmp(verb, "diff") == 0));
}

static json_t *state_to_json(const struct choir_event *top, uint64_t state)
{
    if (strcmp(choir_event_verb(top), "agent_list") == 0)
        return json_string(state == PRESENCE_HERE ? "here" : "away");
    return json_string(choir_state_name((unsigned)state));
}

static bool tells_links(const struct choir_event *top)
{
    const char *verb = choir_event_verb(top);

    return strcmp(verb, "why") == 0 || strcmp(verb, "impact") == 0;
}

static json_t *link_to_json(uint64_t kind)
{
    switch (kind) {
#define X(upper, number, text) \
    case number: return json_string(text);
        LINK_KINDS(X)
#undef X
    default: return json_integer((json_int_t)kind);
    }
}

static json_t *part_to_json(uint64_t kind)
{
    switch (kind) {
#define X(upper, number, text) \
    case number: return json_string(text);
        BLAME_KINDS(X)
#undef X
    default: return json_integer((json_int_t)kind);
    }
}

static json_t *kind_to_json(uint64_t kind)
{
    switch (kind) {
#define X(upper, number, text) \
    case number: return json_string(text);
        SEND_KINDS(X)
#undef X
    default: return json_integer((json_int_t)kind);
    }
}

static json_t *number_to_json(const struct choir_event *top,
                              const struct choir_field *f)
{
    const struct message_row *row;

    switch (field_number(bytes_text(f->name))) {
    case FIELD_OUTCOME: return json_string(choir_code_name((int)f->number));
    case FIELD_STATE: return state_to_json(top, f->number);
    case FIELD_RIGHTS: return rights_to_json(f->number);
    case FIELD_RULE: return json_string(merge_rule_name((unsigned)f->number));
    case FIELD_OPERATION:
        row = message_row((unsigned)f->number);
        return row ? json_string(row->name)
                   : json_integer((json_int_t)f->number);
    case FIELD_STALE:
        if (choice_name(FIELD_STALE, (unsigned)f->number))
            return json_string(choice_name(FIELD_STALE, (unsigned)f->number));
        break;
    case FIELD_KIND:
        if (tells_versions(top))
            return json_string(f->number ? "delete" : "put");
        if (tells_links(top))
            return link_to_json(f->number);
        if (strcmp(choir_event_verb(top), "blame") == 0)
            return part_to_json(f->number);
        if (strcmp(choir_event_name(top), "message") == 0)
            return kind_to_json(f->number);
        break;
    default: break;
    }
    return json_integer((json_int_t)f->number);
}

static json_t *fields_to_json(const struct choir_event *top,
                              const struct choir_event *e, json_t *out);

static json_t *list_to_json(const struct choir_event *top,
                            const struct choir_event *e, const char *name)
{
    json_t *out = json_array();

    for (size_t i = 0; i < choir_event_count(e, name); i++)
        json_array_append_new(
            out,
            fields_to_json(top, choir_event_item(e, name, i), json_object()));
    return out;
}

static json_t *labels_to_json(const struct choir_event *e, const char *field)
{
    json_t *out = json_object();
    const char *name, *text;

    for (size_t i = 0; choir_event_label(e, field, i, &name, &text); i++)
        json_object_set_new(out, name, json_string(text));
    return out;
}

static void field_to_json(const struct choir_event *top,
                          const struct choir_event *e,
                          const struct choir_field *f, json_t *out)
{
    const char *type = choir_event_text(e, "type");
    json_t *v = NULL;

    switch (f->kind) {
    case CHOIR_KIND_UINT: v = number_to_json(top, f); break;
    case CHOIR_KIND_TEXT: v = json_stringn(f->text, f->bytes); break;
    case CHOIR_KIND_HASH: v = json_string(f->text); break;
    case CHOIR_KIND_LIST: v = list_to_json(top, e, f->name); break;
    case CHOIR_KIND_LABELS: v = labels_to_json(e, f->name); break;
    case CHOIR_KIND_PART:
        v = fields_to_json(top, choir_event_item(e, f->name, 0), json_object());
        if (strcmp(f->name, "head") == 0)
            json_object_set_new(
                v, "op",
                json_string(choir_event_name(choir_event_item(e, "head", 0))));
        break;
    case CHOIR_KIND_BYTES:
        if (!f->bytes && strcmp(f->name, "effect") == 0)
            return; /* always a message, never a text */
        bytes_to_json(out, f->name, bytes_of(f->data, f->bytes),
                      strcmp(f->name, "value") == 0 ? type : NULL);
        return;
    }
    json_object_set_new(out, f->name, v);
}

static json_t *fields_to_json(const struct choir_event *top,
                              const struct choir_event *e, json_t *out)
{
    struct choir_field f;

    for (size_t i = 0; choir_event_field(e, i, &f); i++)
        field_to_json(top, e, &f, out);
    return out;
}

json_t *event_to_json(const struct choir_event *e)
{
    const char *name = choir_event_name(e);
    bool is_answer = strcmp(name, "done") == 0 || strcmp(name, "reply") == 0;
    json_t *out = json_object();

    if (is_answer)
        json_object_set_new(out, "outcome",
                            json_string(choir_code_name(choir_event_code(e))));
    else
        json_object_set_new(out, "event", json_string(name));
    fields_to_json(e, e, out);
    if (is_answer) /* a failure of ours is no field of the message */
        json_object_set_new(out, "outcome",
                            json_string(choir_code_name(choir_event_code(e))));
    if (choir_event_code(e))
        json_object_set_new(out, "explain",
                            json_string(choir_event_explain(e)));
    /* The connection's own bookkeeping means nothing to the speaker. */
    json_object_del(out, "seq");
    json_object_del(out, "ask");
    json_object_del(out, "watch");
    return out;
}
