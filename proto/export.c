/* Writing an export: every record goes to the sink and into the digest. */
#include "export.h"

#include <errno.h>

static int put(struct export_writer *w, struct bytes bytes)
{
    hash_run_add(&w->digest, bytes);
    w->bytes += bytes.n;
    return bytes.n ? w->sink(w->context, bytes) : 0;
}

static int put_record(struct export_writer *w, enum export_record kind,
                      struct bytes body)
{
    uint8_t lead[8];
    int r;

    if (body.n > EXPORT_RECORD_BYTES_MAX)
        return -EMSGSIZE;
    put_u32(lead, kind);
    put_u32(lead + 4, (uint32_t)body.n);
    r = put(w, bytes_of(lead, sizeof lead));
    if (!r)
        r = put(w, body);
    w->records++;
    return r;
}

static int put_part(struct export_writer *w, enum export_record kind,
                    const struct msg *m)
{
    buf_clear(&w->scratch);
    msg_encode(m, &w->scratch);
    return w->scratch.failed ? -ENOMEM
                             : put_record(w, kind, buf_bytes(&w->scratch));
}

static void selection_set(struct msg *m, const struct export_selection *s)
{
    msg_set_u(m, FIELD_KIND, s->kind);
    if (s->kind == EXPORT_OF_KEY || s->kind == EXPORT_OF_SPACE)
        msg_set_b(m, FIELD_SPACE, s->space);
    if (s->kind == EXPORT_OF_KEY)
        msg_set_b(m, FIELD_KEY, s->key);
    if (s->kind == EXPORT_OF_TASK)
        msg_set_u(m, FIELD_TASK, s->task);
    if (s->kind == EXPORT_OF_AGENT)
        msg_set_hash(m, FIELD_HOLDER, &s->agent);
    if (s->kind == EXPORT_OF_RANGE) {
        msg_set_u(m, FIELD_REVISION, s->from);
        msg_set_u(m, FIELD_SIZE, s->to);
    }
}

int export_begin(struct export_writer *w, const struct export_facts *facts,
                 export_sink sink, void *context)
{
    struct msg m;
    int r;

    memset(w, 0, sizeof *w);
    w->sink = sink;
    w->context = context;
    w->ledger = facts->ledger;
    hash_run_begin(&w->digest, HASH_EXPORT);
    msg_init(&m, MSG_EXPORT_HEAD);
    msg_set_u(&m, FIELD_FORMAT, EXPORT_FORMAT);
    msg_set_hash(&m, FIELD_LEDGER, &facts->ledger);
    msg_set_hash(&m, FIELD_AGENT, &facts->agent);
    msg_set_b(&m, FIELD_PUBLIC_KEY,
              bytes_of(facts->public_key, KEY_PUBLIC_BYTES));
    msg_set_u(&m, FIELD_TIME, facts->time);
    msg_set_b(&m, FIELD_TEXT, facts->note);
    selection_set(&m, &facts->selection);
    r = put(w, bytes_text("CHE1"));
    return r ? r : put_part(w, EXPORT_HEAD, &m);
}

int export_gap(struct export_writer *w, struct bytes hashes)
{
    return put_record(w, EXPORT_GAP, hashes);
}

int export_entry(struct export_writer *w, enum export_record kind,
                 struct bytes evidence)
{
    return put_record(w, kind, evidence);
}

int export_end(struct export_writer *w, const struct key_pair *key)
{
    struct hash digest = hash_run_now(&w->digest);
    uint8_t signature[KEY_SIGNATURE_BYTES];
    struct msg m;

    key_sign(key, KEY_FOR_EXPORT, &w->ledger, hash_bytes(&digest), signature);
    msg_init(&m, MSG_EXPORT_END);
    msg_set_u(&m, FIELD_SIZE, w->bytes);
    msg_set_u(&m, FIELD_COUNT, w->records);
    msg_set_hash(&m, FIELD_DIGEST, &digest);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(signature, sizeof signature));
    return put_part(w, EXPORT_END, &m);
}

void export_writer_free(struct export_writer *w)
{
    buf_free(&w->scratch);
}
