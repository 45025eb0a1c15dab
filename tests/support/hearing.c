#include "hearing.h"

#include "proto/refusal.h"
#include "tests/check.h"

const struct export_selection named = {.kind = EXPORT_OF_NAMED};

void hearing_begin(struct hearing *h)
{
    struct folio *f = &h->f;

    memset(h, 0, sizeof *h);
    folio_begin(f);
    h->ada = folio_person(1);
    h->bob = folio_person(2);
    h->eve = folio_person(3);
    folio_admit(f, &h->ada);
    folio_session(f, &h->ada);
    folio_puts(f, &h->ada, 4);
    folio_enrol(f, &h->bob);
    folio_session(f, &h->bob);
    folio_put(f, &h->bob, "k", "bob's");
    folio_put(f, &h->ada, "k", "ada's");
    h->options.broker_key = f->broker.key.public_key;
}

void hearing_end(struct hearing *h)
{
    export_reader_destroy(&h->reader);
    folio_export_free(&h->x);
    folio_free(&h->f);
}

void hearing_export_of(struct hearing *h, const struct person *exporter,
                       const struct export_selection *what, const char *kinds)
{
    folio_export_free(&h->x);
    folio_export(&h->x, &h->f, exporter, what, kinds);
}

void hearing_export(struct hearing *h, const char *kinds)
{
    hearing_export_of(h, &h->ada, &named, kinds);
}

void hearing_entry(struct hearing *h, enum export_record kind, uint64_t index)
{
    struct buf part = {0};

    folio_evidence(&h->f, index, NULL, &part);
    CHECK_OK(export_entry(&h->x.w, kind, buf_bytes(&part)));
    buf_free(&part);
}

int hearing_judge(struct hearing *h, struct bytes file, size_t piece)
{
    int r = 0;

    export_reader_destroy(&h->reader);
    h->reader = export_reader_new(&h->options);
    CHECK(h->reader != NULL);
    for (size_t at = 0, n; at < file.n && !r; at += n) {
        n = file.n - at < piece ? file.n - at : piece;
        r = export_read(h->reader, bytes_of(file.p + at, n));
    }
    return export_read_end(h->reader);
}

const struct export_report *hearing_report(const struct hearing *h)
{
    return export_report(h->reader);
}

static int judge_all(struct hearing *h)
{
    return hearing_judge(h, buf_bytes(&h->x.file), SIZE_MAX);
}

void hearing_passes(struct hearing *h)
{
    int r = judge_all(h);
    const struct export_report *report = hearing_report(h);

    if (r)
        fail_msg("%d: %s, record %d, entry %d", r, report->why,
                 (int)report->at.record, (int)report->at.index);
}

void hearing_fails(struct hearing *h, const char *why)
{
    int r = judge_all(h);
    const struct export_report *report = hearing_report(h);

    if (r != CHOIR_BROKEN || strcmp(report->why, why) != 0)
        fail_msg("%d: %s, and not: %s", r, report->why, why);
}

void hearing_fails_at(struct hearing *h, uint64_t index, const char *why)
{
    hearing_fails(h, why);
    CHECK(hearing_report(h)->at.has_index);
    CHECK_EQ(hearing_report(h)->at.index, index);
}
