/* What verify found, for a person; and how a key is named to it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "proto/armour.h"
#include "proto/refusal.h"
#include "tools/verify.h"

static void hex(const uint8_t bytes[32], char out[HASH_HEX])
{
    struct hash h;

    memcpy(h.b, bytes, HASH_BYTES);
    hash_hex(&h, out);
}

static void print_broken(const struct verify_report *r, FILE *out)
{
    fprintf(out, "BROKEN: %s", r->in);
    if (r->at.segment)
        fprintf(out, ", byte %" PRIu64 ", entry %" PRIu64, r->at.offset,
                r->at.index);
    fprintf(out, ": %s\n", r->why);
    if (r->counts.entries)
        fprintf(out, "Before it: %" PRIu64 " entries in %" PRIu64 " groups.\n",
                r->counts.entries, r->counts.groups);
}

static void print_checked(const struct verify_counts *n, FILE *out)
{
    fprintf(out,
            "checked   %" PRIu64 " segments, %" PRIu64 " bytes: headers, "
            "padding, the zeros behind the end\n"
            "          %" PRIu64 " groups: hash, chain, time, "
            "epoch\n"
            "          %" PRIu64 " bundles: signature, tree, numbering and "
            "chain of %" PRIu64 " sessions\n"
            "          by %" PRIu64 " agents and the broker\n",
            n->segments, n->bytes, n->groups, n->bundles, n->sessions,
            n->agents);
    fprintf(out,
            "          %" PRIu64 " entries: author, form, leaf; %" PRIu64
            " payloads of %" PRIu64 " bytes: hash\n"
            "          %" PRIu64 " checkpoints: tree head and signed note\n",
            n->entries, n->payloads, n->payload_bytes, n->checkpoints);
}

static void print_passed(const struct verify_report *r, FILE *out)
{
    char ledger[HASH_HEX], root[HASH_HEX], key[HASH_HEX];

    hash_hex(&r->ledger, ledger);
    hash_hex(&r->root, root);
    hex(r->broker_key, key);
    fprintf(out, "ledger    %s, epoch %" PRIu64 "\n", ledger, r->epoch);
    print_checked(&r->counts, out);
    if (r->sealed)
        fprintf(out, "          the seal of a clean stop: every byte is "
                     "accounted for\n");
    else
        fprintf(out, "not sealed: the broker runs, or was not stopped "
                     "cleanly\n");
    if (r->tail_bytes)
        fprintf(out,
                "          %" PRIu64 " bytes behind the end were never known "
                "durable; the broker cuts them\n",
                r->tail_bytes);
    if (r->snapshot)
        fprintf(out,
                "          state.snapshot: whole, and of this record's first "
                "%" PRIu64 " entries\n",
                r->snapshot_size);
    fprintf(out, "          not the state's digests: choird --verify replays "
                 "them\n");
    fprintf(out, "tree      %s at %" PRIu64 "\n", root, r->counts.entries);
    if (r->pinned)
        fprintf(out, "OK: consistent, signed by the pinned key %s\n", key);
    else
        fprintf(out,
                "OK: consistent, signed by unknown key %s (pin it with "
                "--key)\n",
                key);
}

void verify_print(const struct verify_report *r, int result, FILE *out)
{
    if (result == 0)
        print_passed(r, out);
    else if (result == CHOIR_BROKEN)
        print_broken(r, out);
    else
        fprintf(out, "cannot be read: %s: %s\n", r->in,
                r->why[0] ? r->why : strerror(-result));
}

static int key_of_hex(struct bytes text, uint8_t key[KEY_PUBLIC_BYTES])
{
    struct hash h;

    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == ' '))
        text.n--;
    if (hash_parse_hex(&h, text))
        return -EINVAL;
    memcpy(key, h.b, KEY_PUBLIC_BYTES);
    return 0;
}

static int key_of_armour(struct bytes text, enum message part,
                         uint8_t key[KEY_PUBLIC_BYTES])
{
    struct buf bytes = {0};
    struct msg m;
    int r = armour_get(text, part, &bytes, &m) ? -EINVAL : 0;

    if (!r)
        memcpy(key, msg_b(&m, FIELD_BROKER_KEY).p, KEY_PUBLIC_BYTES);
    if (bytes.n)
        secret_wipe(bytes.p, bytes.n);
    buf_free(&bytes);
    return r;
}

int verify_key_read(const char *text, uint8_t key[KEY_PUBLIC_BYTES])
{
    uint8_t *file;
    struct bytes b;
    size_t n;
    int r;

    if (key_of_hex(bytes_text(text), key) == 0)
        return 0;
    r = verify_file_read(text[0] == '/' ? "" : ".", text, &file, &n);
    if (r)
        return r;
    b = bytes_of(file, n);
    r = key_of_hex(b, key);
    if (r)
        r = key_of_armour(b, MSG_IDENTITY, key);
    if (r)
        r = key_of_armour(b, MSG_INVITATION, key);
    secret_wipe(file, n);
    free(file);
    return r;
}
