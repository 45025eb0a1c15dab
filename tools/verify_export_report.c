/* What an export shows, for a person and for a program. */
#include <inttypes.h>

#include "cli.h"
#include "json.h"
#include "verify.h"

static void text_print(FILE *out, const char *lead, struct bytes text)
{
    char copy[LIMIT_KEY_BYTES + 1];

    snprintf(copy, sizeof copy, "%.*s", (int)text.n, (const char *)text.p);
    fputs(lead, out);
    cli_print_text(out, copy);
}

static void selection_print(const struct export_selection *s, FILE *out)
{
    char agent[HASH_HEX];

    hash_hex(&s->agent, agent);
    fputs("export    of ", out);
    switch (s->kind) {
    case EXPORT_OF_KEY:
        text_print(out, "key ", s->key);
        text_print(out, " in space ", s->space);
        break;
    case EXPORT_OF_TASK: fprintf(out, "task %" PRIu64, s->task); break;
    case EXPORT_OF_RANGE:
        fprintf(out, "entries %" PRIu64 " to %" PRIu64 ", every one", s->from,
                s->to - 1);
        break;
    case EXPORT_OF_SPACE: text_print(out, "space ", s->space); break;
    case EXPORT_OF_AGENT: fprintf(out, "agent %s", agent); break;
    case EXPORT_OF_NAMED: fputs("entries that were named", out); break;
    }
    fputs(s->kind == EXPORT_OF_RANGE ? "\n"
                                     : "; that there are no more of them is "
                                       "the exporter's word\n",
          out);
}

static void counts_print(const struct export_report *r, FILE *out)
{
    char first[32], last[32];

    cli_time_text(r->first_time, first);
    cli_time_text(r->last_time, last);
    fprintf(out, "checked   %" PRIu64 " entries of it", r->entries);
    if (r->entries)
        fprintf(out, ", from %s to %s", first, last);
    fprintf(out,
            "\n          %" PRIu64 " entries that say whose a key is: "
            "%" PRIu64 " agents, %" PRIu64 " sessions\n"
            "          %" PRIu64 " bundles: signature, author, place\n"
            "          %" PRIu64 " payloads of %" PRIu64 " bytes: hash\n",
            r->identities, r->agents, r->sessions, r->bundles, r->payloads,
            r->payload_bytes);
    if (r->erased || r->compacted || r->left_out)
        fprintf(out,
                "not there %" PRIu64 " payloads: %" PRIu64 " erased, %" PRIu64
                " compacted, %" PRIu64 " left out, as the exporter says\n",
                r->erased + r->compacted + r->left_out, r->erased, r->compacted,
                r->left_out);
}

static void passed_print(const struct export_report *r, const char *agents,
                         FILE *out)
{
    char ledger[HASH_HEX], root[HASH_HEX], key[HASH_HEX], by[HASH_HEX];
    char when[32];

    hash_hex(&r->facts.ledger, ledger);
    hash_hex(&r->note.root, root);
    hash_hex(&r->facts.agent, by);
    verify_key_hex(r->broker_key, key);
    cli_time_text(r->facts.time, when);
    fprintf(out, "ledger    %s, epoch %" PRIu64 "\n", ledger, r->note.epoch);
    selection_print(&r->facts.selection, out);
    fprintf(out, "          by agent %s, at %s\n", by, when);
    counts_print(r, out);
    if (agents) {
        fputs("trusted   its exporter and all authors: they are in ", out);
        cli_print_text(out, agents);
        fputc('\n', out);
    }
    fprintf(out, "tree      %s at %" PRIu64 ", signed by the broker\n", root,
            r->note.size);
    if (r->pinned)
        fprintf(out, "OK: proven, signed by the pinned key %s\n", key);
    else
        fprintf(out,
                "OK: consistent, signed by unknown key %s (pin it with "
                "--key)\n",
                key);
}

static void broken_print(const struct export_report *r, FILE *out)
{
    struct export_place at = r->at;

    fprintf(out, "BROKEN: record %" PRIu64 ", byte %" PRIu64, at.record,
            at.offset);
    if (at.has_index)
        fprintf(out, ", entry %" PRIu64, at.index);
    fprintf(out, ": %s\n", r->why);
}

/* --- JSON ---------------------------------------------------------------- */

static const char *kind_name(enum export_kind kind)
{
    static const char *const names[] = {
        [EXPORT_OF_KEY] = "key",     [EXPORT_OF_TASK] = "task",
        [EXPORT_OF_RANGE] = "range", [EXPORT_OF_SPACE] = "space",
        [EXPORT_OF_AGENT] = "agent", [EXPORT_OF_NAMED] = "entries",
    };

    return names[kind];
}

static json_t *text_json(struct bytes b)
{
    return json_stringn((const char *)b.p, b.n);
}

static json_t *selection_json(const struct export_selection *s)
{
    json_t *o = json_pack("{s:s}", "kind", kind_name(s->kind));
    char agent[HASH_HEX];

    hash_hex(&s->agent, agent);
    if (s->kind == EXPORT_OF_KEY || s->kind == EXPORT_OF_SPACE)
        json_object_set_new(o, "space", text_json(s->space));
    if (s->kind == EXPORT_OF_KEY)
        json_object_set_new(o, "key", text_json(s->key));
    if (s->kind == EXPORT_OF_TASK)
        json_object_set_new(o, "task", json_integer((json_int_t)s->task));
    if (s->kind == EXPORT_OF_RANGE) {
        json_object_set_new(o, "revision", json_integer((json_int_t)s->from));
        json_object_set_new(o, "size", json_integer((json_int_t)s->to));
    }
    if (s->kind == EXPORT_OF_AGENT)
        json_object_set_new(o, "holder", json_string(agent));
    return o;
}

static json_t *counts_json(const struct export_report *r)
{
    return json_pack(
        "{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "records",
        (json_int_t)r->records, "bytes", (json_int_t)r->bytes, "entries",
        (json_int_t)r->entries, "identities", (json_int_t)r->identities,
        "bundles", (json_int_t)r->bundles, "agents", (json_int_t)r->agents,
        "sessions", (json_int_t)r->sessions, "payloads",
        (json_int_t)r->payloads, "erased", (json_int_t)r->erased, "compacted",
        (json_int_t)r->compacted, "left_out", (json_int_t)r->left_out);
}

static json_t *passed_json(const struct export_report *r, bool trusted)
{
    char ledger[HASH_HEX], root[HASH_HEX], key[HASH_HEX], by[HASH_HEX];

    hash_hex(&r->facts.ledger, ledger);
    hash_hex(&r->note.root, root);
    hash_hex(&r->facts.agent, by);
    verify_key_hex(r->broker_key, key);
    return json_pack(
        "{s:b, s:b, s:b, s:b, s:s, s:s, s:I, s:I, s:s, s:s, s:I, s:o, s:o}",
        "ok", 1, "export", 1, "pinned", r->pinned, "trusted", trusted, "ledger",
        ledger, "root", root, "size", (json_int_t)r->note.size, "epoch",
        (json_int_t)r->note.epoch, "broker_key", key, "agent", by, "time",
        (json_int_t)r->facts.time, "selection",
        selection_json(&r->facts.selection), "counts", counts_json(r));
}

static json_t *broken_json(const struct export_report *r)
{
    struct export_place at = r->at;
    json_t *o = json_pack("{s:b, s:b, s:I, s:I, s:s}", "ok", 0, "export", 1,
                          "record", (json_int_t)at.record, "offset",
                          (json_int_t)at.offset, "why", r->why);

    if (at.has_index)
        json_object_set_new(o, "entry", json_integer((json_int_t)at.index));
    return o;
}

void verify_export_tell(const struct export_report *report, bool broken,
                        const char *agents, bool json)
{
    if (json) {
        json_t *o =
            broken ? broken_json(report) : passed_json(report, agents != NULL);

        json_line(stdout, o);
        json_decref(o);
    }
    if (broken)
        broken_print(report, stderr);
    else if (!json)
        passed_print(report, agents, stdout);
}
