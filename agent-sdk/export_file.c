/* What is written goes through a reader first: an export that is whole is one
 * that others accept. */
#include "export_file.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "error.h"
#include "proto/export.h"
#include "proto/refusal.h"

enum { OUT_BYTES = 1 << 16 };

struct export_file {
    const struct identity *id;
    int fd;
    struct buf out; /* owned: not written yet */
    bool is_begun;
    struct export_writer writer;
    struct export_reader *reader; /* owned */
};

static int flush(struct export_file *f)
{
    size_t at = 0;

    while (at < f->out.n) {
        ssize_t n = write(f->fd, f->out.p + at, f->out.n - at);

        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t)n : 0;
    }
    buf_clear(&f->out);
    return 0;
}

static int sink(void *context, struct bytes bytes)
{
    struct export_file *f = context;
    int r = export_read(f->reader, bytes);

    if (r)
        return r > 0 ? -EBADMSG : r; /* a sink has errnos alone */
    buf_put(&f->out, bytes.p, bytes.n);
    if (f->out.failed)
        return -ENOMEM;
    return f->out.n >= OUT_BYTES ? flush(f) : 0;
}

/* What the reader says, or what went wrong here. */
static int outcome(const struct export_file *f, int r)
{
    const struct export_report *report = export_report(f->reader);

    if (r == 0)
        return 0;
    if (r == -EBADMSG || r > 0)
        return error_set(CHOIR_BROKEN, report->at.index,
                         "what=export record=%llu entry=%llu: %s",
                         (unsigned long long)report->at.record,
                         (unsigned long long)report->at.index, report->why);
    return error_set(r, 0, "what=export: %s", strerror(-r));
}

static struct export_selection selection_of(const struct export_about *about)
{
    return (struct export_selection){
        .kind = (enum export_kind)about->kind,
        .space = about->space,
        .key = about->key,
        .task = about->task,
        .from = about->from,
        .to = about->to,
        .agent = about->agent,
    };
}

static int begin(struct export_file *f, const struct export_about *about,
                 struct bytes note)
{
    struct export_facts facts = {
        .ledger = f->id->broker.ledger,
        .agent = f->id->agent,
        .note = note,
        .selection = selection_of(about),
    };
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    facts.time = (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
    memcpy(facts.public_key, f->id->key.public_key, KEY_PUBLIC_BYTES);
    f->is_begun = true;
    return outcome(f, export_begin(&f->writer, &facts, sink, f));
}

int export_file_begin(struct export_file **out, const struct identity *id,
                      const struct export_about *about, struct bytes note,
                      int fd)
{
    const struct export_options check = {.broker_key = id->broker.broker_key};
    struct export_file *f = *out = calloc(1, sizeof *f);

    if (f)
        f->reader = export_reader_new(&check);
    if (!f || !f->reader)
        return error_set(-ENOMEM, 0, NULL);
    f->id = id;
    f->fd = fd;
    return begin(f, about, note);
}

int export_file_gap(struct export_file *f, struct bytes hashes)
{
    return outcome(f, export_gap(&f->writer, hashes));
}

int export_file_entry(struct export_file *f, bool selected,
                      struct bytes evidence)
{
    return outcome(f, export_entry(&f->writer,
                                   selected ? EXPORT_ENTRY : EXPORT_IDENTITY,
                                   evidence));
}

static void facts_tell(const struct export_file *f,
                       struct choir_export_facts *facts)
{
    const struct export_report *report = export_report(f->reader);

    facts->bytes = report->bytes;
    facts->entries = report->entries;
    facts->identities = report->identities;
    facts->payloads = report->payloads;
    facts->erased = report->erased;
    facts->compacted = report->compacted;
    facts->left_out = report->left_out;
}

int export_file_end(struct export_file *f, struct choir_export_facts *facts)
{
    int r = export_end(&f->writer, &f->id->key);

    if (!r)
        r = export_read_end(f->reader);
    if (!r)
        r = flush(f);
    if (!r && facts)
        facts_tell(f, facts);
    return outcome(f, r);
}

void export_file_destroy(struct export_file **self_p)
{
    struct export_file *f = *self_p;

    if (!f)
        return;
    if (f->is_begun)
        export_writer_free(&f->writer);
    export_reader_destroy(&f->reader);
    buf_free(&f->out);
    free(f);
    *self_p = NULL;
}
