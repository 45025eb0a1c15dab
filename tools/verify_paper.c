/* What the broker has given away, offline: a receipt, from its author's
 * signature to the broker's, or evidence that it showed two ledgers. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli.h"
#include "json.h"
#include "proto/evidence.h"
#include "proto/fork.h"
#include "proto/refusal.h"
#include "verify.h"

enum { PAPER_BYTES_MAX = 64 << 20 };

bool verify_is_paper(const char *path)
{
    static const char lead[] = "c2sp.org/tlog-proof@";
    char first[32];
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(first, 1, sizeof first, f) : 0;
    struct bytes text = bytes_of(first, n);

    if (f)
        fclose(f);
    return fork_is(text) || bytes_start_with(text, bytes_text(lead));
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
    json_line(stdout, o);
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

static int receipt_verify(struct bytes text, const uint8_t *key, bool json,
                          const char **why)
{
    struct evidence evidence;
    struct receipt receipt;
    struct note note;
    int r = receipt_get(&receipt, text);

    if (!r)
        r = receipt_check(&receipt, key, NULL, &evidence, &note, why);
    if (!r && json)
        receipt_json(&evidence, &note);
    else if (!r)
        receipt_show(&evidence, &note);
    receipt_free(&receipt);
    return r;
}

static int fork_verify(struct bytes text, const uint8_t *key, bool json,
                       const char **why)
{
    char ledger[HASH_HEX], root[HASH_HEX], other[HASH_HEX];
    struct fork_facts what;
    int r = fork_check(text, key, &what);

    if (r) {
        *why = r == CHOIR_BAD_SIGNATURE ? "not signed by that broker"
               : r == CHOIR_INVALID     ? "its two heads may both be true"
                                    : "it does not follow the specification";
        return r;
    }
    hash_hex(&what.ledger, ledger);
    hash_hex(&what.roots[0], root);
    hash_hex(&what.roots[1], other);
    if (json)
        printf("{\"ok\":true,\"fork\":true,\"ledger\":\"%s\",\"epoch\":%" PRIu64
               ",\"size\":%" PRIu64 ",\"roots\":[\"%s\",\"%s\"]}\n",
               ledger, what.epoch, what.size, root, other);
    else
        printf("proven: the broker of ledger %s signed two of them\n"
               "  of %" PRIu64 " entries, in epoch %" PRIu64 ":\n"
               "  %s\n  %s\n",
               ledger, what.size, what.epoch, root, other);
    return 0;
}

bool verify_stdin_is_paper(void)
{
    int first = getc(stdin);

    return first != EOF && ungetc(first, stdin) == 'c';
}

/* By the stream, which may hold what has been looked at. */
static int paper_read(const char *path, struct buf *text)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    char piece[4096];
    size_t n;
    int r;

    if (!in)
        return -errno;
    while (!text->failed && text->n <= PAPER_BYTES_MAX &&
           (n = fread(piece, 1, sizeof piece, in)) > 0)
        buf_put(text, piece, n);
    r = ferror(in)                  ? -EIO
        : text->failed              ? -ENOMEM
        : text->n > PAPER_BYTES_MAX ? -EFBIG
                                    : 0;
    if (in != stdin)
        fclose(in);
    return r;
}

int verify_paper(const char *path, const uint8_t *key, bool json)
{
    const char *why = "it does not follow the specification";
    struct buf text = {0};
    int r = paper_read(path, &text);

    if (r) {
        fprintf(stderr, "choir: %s: %s\n", path, strerror(-r));
        return EXIT_REFUSED;
    }
    r = fork_is(buf_bytes(&text))
            ? fork_verify(buf_bytes(&text), key, json, &why)
            : receipt_verify(buf_bytes(&text), key, json, &why);
    if (r)
        fprintf(stderr, "choir: BROKEN %s: %s\n", path,
                r < 0 ? strerror(-r) : why);
    buf_free(&text);
    return r ? EXIT_PROOF : EXIT_DONE;
}
