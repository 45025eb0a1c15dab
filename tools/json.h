/* Messages as JSON and back, with the names of proto/schema.h. The command
 * line, `choir pipe` and the socket of `choir work` all speak through here.
 *
 * Bytes have no place in JSON, so a field of bytes F takes one of three
 * forms, the same in both directions:
 *     "F": "text"          when the bytes are UTF-8 without NUL
 *     "F_json": any        when their media type is JSON_TYPE (msgpack)
 *     "F_base64": "..."    otherwise
 * Numbers that have names in proto/ (outcome, state, rights, operation, stale)
 * are written as names and read either way.
 *
 * Threads: any, on objects of their own. */
#ifndef CHOIR_TOOLS_JSON_H
#define CHOIR_TOOLS_JSON_H

#include <jansson.h>

#include "agent-sdk/choir.h"
#include "proto/bytes.h"

/* The media type of values that are msgpack. */
#define JSON_TYPE "application/msgpack"

enum { WHY_BYTES = 512 };

/* Add the bytes of field `name` to object o. type: their media type or NULL.
 * No memory: the member is missing. */
void bytes_to_json(json_t *o, const char *name, struct bytes b,
                   const char *type);
/* The bytes that object o gives for field `name`, appended to out.
 * Returns 1: it does, and *is_msgpack tells of which form; 0: it does not;
 * CHOIR_INVALID: it does wrongly, see why. -ENOMEM. */
int bytes_from_json(const json_t *o, const char *name, struct buf *out,
                    bool *is_msgpack, char why[WHY_BYTES]);

/* msgpack, if JSON can say exactly the same: maps with text keys, no binary,
 * no extension, nested up to LIMIT_DEPTH. NULL otherwise. Owned. */
json_t *msgpack_to_json(struct bytes b);
/* 0; CHOIR_INVALID (nested too deep); -ENOMEM. */
int msgpack_from_json(const json_t *value, struct buf *out);

/* All fields of an event. An answer ("done", "reply") has an "outcome" and, if
 * that is not "OK", an "explain"; any other has its name as "event". Owned;
 * NULL: no memory. */
json_t *event_to_json(const struct choir_event *e);

/* The request that object o describes: "op" is the verb, "id" is the
 * speaker's own and passed over, "operation_id" is the field "id", and the
 * first payload slot is "value" in one of its forms; so is that of each
 * element of "writes".
 * r: owned. 0; CHOIR_UNSUPPORTED, CHOIR_INVALID, CHOIR_OVER_LIMIT; -ENOMEM:
 * see why, a line that begins with the code's name. */
int request_from_json(struct choir *c, const json_t *o,
                      struct choir_request **r, char why[WHY_BYTES]);

/* What is chosen by "stale" ("reject", ...) and by "kind" of a heed
 * ("refresh", ...), from 1; NULL: no such choice. Static. */
const char *choice_name(unsigned field, unsigned number);
/* A code by its name ("CONFLICT"); -1 for none. */
int code_of_name(const char *name);
/* A slot of an operation that is one msgpack value by itself, as append's: text
 * is a value too, and no "type" goes with it. */
bool is_msgpack_alone(const char *verb);
/* Rights by their names with commas ("read,write", "none", "all"); -1: one of
 * them has no such name. */
int rights_of_names(const char *names);

/* One line of JSON and a newline, written at once. */
void json_line(FILE *out, const json_t *o);

#endif
