/* An export, offline and in one pass. What must hold is proto/export.h's; here
 * are the file, the agents one trusts and the cores. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"
#include "proto/export.h"
#include "proto/refusal.h"
#include "verify.h"

enum { PIECE_BYTES = 1 << 20 };

struct checking {
    struct export_options options;
    struct export_reader *reader;  /* owned */
    struct pool *pool;             /* owned */
    struct signatures *signatures; /* owned */
    struct showing *showing;       /* owned; NULL: entries are not shown */
    bool forged;                   /* a signature is, and at says where */
    struct verify_place at;        /* segment: the record */
};

bool verify_is_export(const char *path)
{
    char first[4];
    FILE *f = fopen(path, "re");
    bool is = f && fread(first, 1, sizeof first, f) == sizeof first &&
              memcmp(first, "CHE1", sizeof first) == 0;

    if (f)
        fclose(f);
    return is;
}

/* --- Agents one trusts --------------------------------------------------- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct bytes trimmed(struct bytes line)
{
    while (line.n && is_blank(line.p[0])) {
        line.p++;
        line.n--;
    }
    while (line.n && is_blank(line.p[line.n - 1]))
        line.n--;
    return line;
}

/* An id, and behind a blank whatever one likes, a name for example. */
static int agent_of_line(struct bytes line, struct buf *agents)
{
    struct bytes id;
    struct hash h;

    line = trimmed(line);
    id = (struct bytes){line.p, line.n < HASH_HEX - 1 ? line.n : HASH_HEX - 1};
    if (line.n == 0 || line.p[0] == '#')
        return 0;
    if (hash_parse_hex(&h, id) || (line.n > id.n && !is_blank(line.p[id.n])))
        return -EINVAL;
    buf_put(agents, h.b, HASH_BYTES);
    return agents->failed ? -ENOMEM : 0;
}

int verify_agents_read(const char *path, struct buf *agents, unsigned *line)
{
    struct buf text = {0};
    struct bytes left;
    int r = cli_read_file(path, &text);

    *line = 0;
    for (left = buf_bytes(&text); !r && left.n;) {
        const uint8_t *end = memchr(left.p, '\n', left.n);
        size_t n = end ? (size_t)(end - left.p) : left.n;

        ++*line;
        r = agent_of_line(bytes_of(left.p, n), agents);
        n += end != NULL;
        left = bytes_of(left.p + n, left.n - n);
    }
    buf_free(&text);
    return r;
}

/* --- Checking ------------------------------------------------------------ */

static int signature_add(void *context, const uint8_t *key,
                         const struct hash *ledger, struct bytes header,
                         const uint8_t *signature,
                         const struct export_place *at)
{
    struct checking *c = context;
    struct verify_place place = {
        .segment = at->record, .offset = at->offset, .index = at->index};
    int r =
        signatures_add(c->signatures, key, ledger, header, signature, &place);

    c->forged = r == CHOIR_BROKEN;
    c->at = place;
    return r;
}

static int pieces_read(struct checking *c, FILE *in)
{
    uint8_t *piece = malloc(PIECE_BYTES);
    size_t n;
    int r = piece ? 0 : -ENOMEM;

    while (!r && (n = fread(piece, 1, PIECE_BYTES, in)) > 0)
        r = export_read(c->reader, bytes_of(piece, n));
    if (!r && ferror(in))
        r = errno ? -errno : -EIO;
    free(piece);
    return r ? r : export_read_end(c->reader);
}

static int file_check(struct checking *c, FILE *in)
{
    struct verify_place at;
    int r = pieces_read(c, in), settled;

    if (c->forged)
        return r;
    settled = signatures_settle(c->signatures, &at);
    if (settled == CHOIR_BROKEN) {
        c->forged = true;
        c->at = at;
    }
    return settled ? settled : r;
}

static int checking_begin(struct checking *c, const struct verify_wish *wish)
{
    *c = (struct checking){.options = {.broker_key = wish->key,
                                       .signature = signature_add,
                                       .context = c}};
    if (wish->trusted) {
        c->options.trusted = (const struct hash *)wish->trusted->p;
        c->options.trusted_count = wish->trusted->n / HASH_BYTES;
    }
    if (wish->show) {
        c->showing = showing_new(wish->json);
        c->options.entry = showing_take;
        c->options.entry_context = c->showing;
        if (!c->showing)
            return errno ? -errno : -ENOMEM;
    }
    c->pool = pool_for_all_cores();
    c->signatures = c->pool ? signatures_new(c->pool) : NULL;
    c->reader = export_reader_new(&c->options);
    return c->signatures && c->reader ? 0 : -ENOMEM;
}

static void checking_end(struct checking *c)
{
    signatures_destroy(&c->signatures);
    pool_destroy(&c->pool);
    export_reader_destroy(&c->reader);
    showing_destroy(&c->showing);
}

/* --- All of it ----------------------------------------------------------- */

/* Where it failed first: a signature that was being checked meanwhile stands
 * before what was found then. */
static struct export_report result_of(const struct checking *c)
{
    struct export_report r = *export_report(c->reader);

    if (!c->forged)
        return r;
    r.why = "a signature is forged";
    r.at = (struct export_place){.record = c->at.segment,
                                 .offset = c->at.offset,
                                 .index = c->at.index,
                                 .has_index = true};
    return r;
}

static int file_verify(struct checking *c, FILE *in,
                       const struct verify_wish *wish)
{
    int r = file_check(c, in);
    struct export_report report = result_of(c);

    if (!r && c->showing)
        r = showing_show(c->showing, stdout);
    if (r >= 0)
        verify_export_tell(&report, r != 0, wish->agents, wish->json);
    return r;
}

int verify_export(const char *path, const struct verify_wish *wish)
{
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct checking c = {0};
    int r = in ? checking_begin(&c, wish) : -errno;

    if (!r)
        r = file_verify(&c, in, wish);
    if (r < 0)
        fprintf(stderr, "choir: %s: %s\n", path, strerror(-r));
    checking_end(&c);
    if (in && in != stdin)
        fclose(in);
    return r < 0 ? EXIT_REFUSED : r ? EXIT_PROOF : EXIT_DONE;
}
