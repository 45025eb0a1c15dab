/* An export from a file. Told in one piece or byte by byte, with the signatures
 * of bundles checked or not: the reader must say the same of its form. Since no
 * fuzzer finds a signature or a root, those of bundles are believed. */
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "proto/export.h"
#include "proto/refusal.h"
#include "tests/support/wire.h"

static void must(bool claim)
{
    if (!claim)
        abort();
}

static int believe(void *context, const uint8_t *key, const struct hash *ledger,
                   struct bytes header, const uint8_t *signature,
                   const struct export_place *at)
{
    const struct bytes *file = context;

    (void)key, (void)ledger, (void)signature;
    must(header.n > 0 && at->offset < file->n && at->has_index);
    return 0;
}

static int judge(struct bytes file, size_t piece, struct export_report *out)
{
    struct export_options options = {.signature = believe, .context = &file};
    struct export_reader *r = export_reader_new(&options);
    int code = 0;

    must(r != NULL);
    for (size_t at = 0, n; at < file.n && !code; at += n) {
        n = file.n - at < piece ? file.n - at : piece;
        code = export_read(r, bytes_of(file.p + at, n));
    }
    code = export_read_end(r);
    *out = *export_report(r);
    must(code == 0 || (code == CHOIR_BROKEN && out->why));
    must(out->bytes <= file.n && out->at.offset <= file.n);
    export_reader_destroy(&r);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct export_report whole, pieces;
    struct bytes file = bytes_of(bytes, size);
    int r = judge(file, SIZE_MAX, &whole);

    must(judge(file, 1 + size % 7, &pieces) == r);
    must(whole.records == pieces.records && whole.bytes == pieces.bytes);
    must(r == 0 || (strcmp(whole.why, pieces.why) == 0 &&
                    whole.at.record == pieces.at.record &&
                    whole.at.offset == pieces.at.offset));
    return 0;
}
