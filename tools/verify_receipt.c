/* A receipt, offline: from its author's signature to the broker's. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "proto/evidence.h"
#include "proto/refusal.h"
#include "verify.h"

static const char lead[] = "c2sp.org/tlog-proof@";

bool verify_is_receipt(const char *path)
{
    char first[sizeof lead - 1];
    FILE *f = fopen(path, "re");
    bool is = f && fread(first, 1, sizeof first, f) == sizeof first &&
              memcmp(first, lead, sizeof first) == 0;

    if (f)
        fclose(f);
    return is;
}

static const char *verb_of(const struct entry *e)
{
    struct msg head;
    unsigned field;

    if (msg_decode(e->head, CLASS_OPERATION | CLASS_BROKER, &head, &field))
        return "unknown";
    return message_row(head.verb)->name;
}

static void receipt_json(const struct evidence *v, const struct note *note)
{
    struct hash id = msg_hash(&v->e.bundle, FIELD_AGENT);
    char ledger[HASH_HEX], root[HASH_HEX], agent[HASH_HEX];
    json_t *o;

    hash_hex(&note->ledger, ledger);
    hash_hex(&note->root, root);
    hash_hex(&id, agent);
    o = json_pack("{s:b, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:I, s:s}", "ok", 1,
                  "ledger", ledger, "epoch", (json_int_t)note->epoch, "size",
                  (json_int_t)note->size, "root", root, "agent", agent, "verb",
                  verb_of(&v->e), "revision", (json_int_t)v->e.index, "time",
                  (json_int_t)v->e.time, "outcome", refusal_name(v->e.outcome));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(o);
}

static void receipt_show(const struct evidence *v, const struct note *note)
{
    struct hash id = msg_hash(&v->e.bundle, FIELD_AGENT);
    char agent[HASH_HEX], ledger[HASH_HEX], when[32];

    hash_hex(&id, agent);
    hash_hex(&note->ledger, ledger);
    cli_time_text(v->e.time, when);
    printf("proven: entry %" PRIu64 " of ledger %s\n", v->e.index, ledger);
    printf("  %s, outcome %s, at %s\n", verb_of(&v->e),
           refusal_name(v->e.outcome), when);
    printf("  said by agent %s\n", agent);
    printf("  in the tree of %" PRIu64 " entries that the broker signed\n",
           note->size);
}

int verify_receipt(const char *path, const uint8_t *key, bool json)
{
    struct evidence evidence;
    struct receipt receipt;
    struct note note;
    struct buf text = {0};
    const char *why = "it does not follow the specification";
    int r = cli_read_file(path, &text);

    if (r) {
        fprintf(stderr, "choir: %s: %s\n", path, strerror(-r));
        return EXIT_REFUSED;
    }
    r = receipt_get(&receipt, buf_bytes(&text));
    if (!r)
        r = receipt_check(&receipt, key, NULL, &evidence, &note, &why);
    if (r)
        fprintf(stderr, "choir: BROKEN %s: %s\n", path,
                r < 0 ? strerror(-r) : why);
    else if (json)
        receipt_json(&evidence, &note);
    else
        receipt_show(&evidence, &note);
    receipt_free(&receipt);
    buf_free(&text);
    return r ? EXIT_PROOF : EXIT_DONE;
}
