/* A bundle's way into the ledger: who, proven how, in which order, is there
 * room; then each operation is decided and the state moves on. What is turned
 * away leaves no trace in state or group. */
#include <errno.h>
#include <stdlib.h>

#include "core_private.h"
#include "proto/refusal.h"

enum {
    OP_OVERHEAD = 96,
    /* Outcomes read back from the record in one cycle: a header of 300 bytes
     * can ask for a thousand of them. */
    TOLD_AGAIN_MAX = 4096,
    /* Merged in one cycle before whoever may merge more has to come again. */
    MERGED_MAX = 64 << 20,
};

uint64_t core_frame_bytes(const struct bundle *b)
{
    return b->header.n + KEY_SIGNATURE_BYTES + b->rest.n +
           (uint64_t)b->count * OP_OVERHEAD;
}

static int turn(struct core *c, struct accepted *out, int code)
{
    out->turnaway = code;
    c->counters.turned_away++;
    return 0;
}

static int turn_limit(struct core *c, struct accepted *out, int code,
                      const char *field, uint64_t limit, uint64_t size)
{
    out->field = field;
    out->limit = limit;
    out->size = size;
    return turn(c, out, code);
}

static int end_session(struct core *c, uint64_t session, const char *reason)
{
    struct msg m;
    uint64_t index;
    int r;

    msg_init(&m, MSG_SESSION_END);
    msg_set_text(&m, FIELD_REASON, reason);
    msg_set_u(&m, FIELD_SESSION, session);
    r = core_say(c, &m, &index);
    return r < 0 ? r : 0;
}

/* --- Who ----------------------------------------------------------------- */

/* May that key speak for its agent in session 0? For one who is not enrolled it
 * must be the key that the id is made of. */
static bool key_is_of(const struct agent *a, const struct bundle *b)
{
    struct hash id;
    int slot;

    if (!a) {
        id = agent_id(b->public_key);
        return hash_equal(&id, &b->agent);
    }
    slot = agent_key_slot(a, b->public_key);
    if (slot >= 0)
        return agent_key_valid(a, (unsigned)slot);
    return !a->revoked && a->recovery &&
           memcmp(a->recovery, b->public_key, KEY_PUBLIC_BYTES) == 0;
}

int core_signer(const struct core *c, const struct bundle *b,
                const struct sender *sender, struct session **session,
                const uint8_t **key)
{
    const struct agent *a;

    *session = NULL;
    if (!hash_equal(&b->ledger, &c->state->ledger))
        return CHOIR_WRONG_LEDGER;
    if (b->session == 0) {
        a = agent_by_id(c->state->agents, &b->agent);
        if ((sender->agent && (!a || a->number != sender->agent)) ||
            !key_is_of(a, b))
            return CHOIR_UNKNOWN_AGENT;
        *key = b->public_key;
        return 0;
    }
    *session = session_by_id(c->state->sessions, b->session);
    if (!*session)
        return CHOIR_SESSION_ENDED;
    a = agent_by_number(c->state->agents, (*session)->agent);
    *key = a ? agent_key_valid(a, (*session)->key) : NULL;
    return !*key || a->number != sender->agent || !hash_equal(&a->id, &b->agent)
               ? CHOIR_UNKNOWN_AGENT
               : 0;
}

/* --- Proof --------------------------------------------------------------- */

/* The limit it exceeds, or NULL. */
static const char *too_large(const struct core *c, const struct bundle *b,
                             uint64_t *limit, uint64_t *size)
{
    *limit = c->config->bundle_bytes_max;
    *size = b->rest.n;
    if (core_frame_bytes(b) > *limit + (uint64_t)b->count * OP_OVERHEAD)
        return "bundle_bytes_max";
    *limit = c->config->bundle_ops_max;
    *size = b->count;
    return b->count > *limit ? "bundle_ops_max" : NULL;
}

bool core_prepare(const struct core *c, const struct bundle *b,
                  const struct sender *sender, struct proof *proof)
{
    struct session *session;
    const uint8_t *key;
    uint64_t limit, size;

    proof->is_made = proof->may_follow = false;
    if (too_large(c, b, &limit, &size) ||
        core_signer(c, b, sender, &session, &key))
        return false;
    memcpy(proof->key, key, KEY_PUBLIC_BYTES);
    return true;
}

void proof_make(struct proof *proof, struct bundle *b, unsigned classes)
{
    proof->signature = bundle_verify(b, proof->key);
    if (!proof->signature)
        proof->contents = bundle_check(b, classes);
    proof->is_made = true;
}

/* Signature and contents, from the proof that was made ahead if the key is
 * still the same. 0, with the contents' code, or CHOIR_BAD_SIGNATURE. */
static int prove(struct core *c, struct bundle *b, const uint8_t *key,
                 const struct proof *made, unsigned classes, int *contents)
{
    struct proof proof;

    if (!made || !made->is_made ||
        memcmp(made->key, key, KEY_PUBLIC_BYTES) != 0) {
        memcpy(proof.key, key, KEY_PUBLIC_BYTES);
        proof_make(&proof, b, classes);
        made = &proof;
    }
    if (made->signature) {
        c->counters.bad_signatures++;
        return CHOIR_BAD_SIGNATURE;
    }
    *contents = made->contents;
    return 0;
}

/* --- Order --------------------------------------------------------------- */

static int equivocated(struct core *c, const struct bundle *b,
                       struct accepted *out)
{
    struct msg m;
    uint64_t index;
    int r;

    msg_init(&m, MSG_EQUIVOCATE);
    msg_set_u(&m, FIELD_SESSION, b->session);
    msg_set_b(&m, FIELD_HEADER, b->header);
    msg_set_b(&m, FIELD_SIGNATURE, bytes_of(b->signature, KEY_SIGNATURE_BYTES));
    r = core_say(c, &m, &index);
    out->ends_session = true;
    return r < 0 ? r : turn(c, out, CHOIR_EQUIVOCATION);
}

/* The original outcomes again, from the record. One that is still on its way
 * there is answered with its own cycle. */
static int tell_again(struct core *c, const struct bundle *b, core_told told,
                      void *arg, struct accepted *out)
{
    c->counters.duplicates++;
    out->duplicate = true;
    for (uint32_t i = 0; i < b->count; i++) {
        const struct entry *e;
        int r;

        if (out->index + i >= ledger_size(c->ledger))
            return 0;
        r = ledger_entry(c->ledger, out->index + i, &e);
        if (r)
            return r < 0 ? r : -EUCLEAN;
        told(arg, b, i, e->outcome, e->index, e->effect);
    }
    return 0;
}

/* Numbers below the next one: the same bytes again, or others. */
static int repeated(struct core *c, const struct bundle *b,
                    const struct session *s, core_told told, void *arg,
                    struct accepted *out)
{
    const struct session_bundle *was = session_find(s, b->first_seq);

    if (!was && b->first_seq <= s->answered)
        return turn(c, out, CHOIR_ANSWERED);
    if (!was || !hash_equal(&was->hash, &b->hash))
        return equivocated(c, b, out);
    c->told_again += b->count;
    if (c->told_again > TOLD_AGAIN_MAX)
        return turn_limit(c, out, CHOIR_BUSY, "told_again", TOLD_AGAIN_MAX,
                          c->told_again);
    out->index = was->index;
    return tell_again(c, b, told, arg, out);
}

/* --- Room ---------------------------------------------------------------- */

static int allowance_reserve(struct core *c, uint32_t agent)
{
    struct allowance *p;

    if (agent < c->allowance_count)
        return 0;
    p = realloc(c->allowances, (agent + 64) * sizeof *p);
    if (!p)
        return -ENOMEM;
    for (size_t i = c->allowance_count; i < agent + 64; i++)
        p[i] = (struct allowance){0};
    c->allowances = p;
    c->allowance_count = agent + 64;
    return 0;
}

/* May this agent let the ledger grow by so much now? A second's worth may be
 * saved up, and whoever is not in debt may always write one bundle. */
static int allowed(struct core *c, uint32_t agent, uint64_t bytes)
{
    double rate = (double)c->config->agent_bytes_per_s;
    uint64_t now = env_steady_us(c->env);
    struct allowance *a;

    if (rate <= 0)
        return 0;
    if (allowance_reserve(c, agent))
        return -ENOMEM;
    a = &c->allowances[agent];
    a->bytes = a->at ? a->bytes + rate * (double)(now - a->at) / 1e6 : rate;
    if (a->bytes > rate)
        a->bytes = rate;
    a->at = now;
    if (a->bytes <= 0)
        return CHOIR_RATE;
    a->bytes -= (double)bytes;
    return 0;
}

static int room_for(struct core *c, const struct bundle *b, uint32_t agent,
                    struct accepted *out)
{
    uint64_t bytes = core_frame_bytes(b) + core_merge_room(c, b);
    int r;

    if (bytes > core_frame_bytes(b) && c->merged > MERGED_MAX)
        return turn_limit(c, out, CHOIR_BUSY, "merged_bytes", MERGED_MAX,
                          c->merged);
    r = ledger_room(c->ledger, core_group_bytes(c, bytes));

    if (r < 0)
        return r;
    if (r)
        return turn(c, out, CHOIR_READ_ONLY);
    bytes = core_frame_bytes(b);
    r = allowed(c, agent, bytes);
    if (r < 0)
        return r;
    return r ? turn_limit(c, out, CHOIR_RATE, "agent_bytes_per_s",
                          c->config->agent_bytes_per_s, bytes)
             : 0;
}

/* --- Applying ------------------------------------------------------------ */

/* [enrol], [session_open] or [enrol, session_open], for this connection, or
 * [recover]. A
 * recorded bundle that broke the rules of session 0 would be damage to every
 * reader of the record. */
static int joins(const struct bundle *b, const struct sender *sender)
{
    static const struct hash none;
    struct hash challenge;
    unsigned field;
    struct msg m;

    if (b->first_seq != 0 || !hash_equal(&b->prev_hash, &none) || b->count > 2)
        return CHOIR_MALFORMED;
    for (uint32_t i = 0; i < b->count; i++) {
        if (b->ops[i].refusal ||
            msg_decode(b->ops[i].head, CLASS_OPERATION, &m, &field))
            return CHOIR_MALFORMED;
        if (m.verb == MSG_ENROL && i == 0)
            continue;
        if (m.verb == MSG_RECOVER && b->count == 1)
            continue;
        if (m.verb != MSG_SESSION_OPEN || i != b->count - 1)
            return CHOIR_MALFORMED;
        challenge = msg_hash(&m, FIELD_CHALLENGE);
        if (!sender->challenge || !hash_equal(&challenge, sender->challenge))
            return CHOIR_BAD_CHALLENGE;
    }
    return 0;
}

/* Unanswered bundles are kept until they are answered whole. */
bool core_window_full(const struct session *s, const struct bundle *b)
{
    return s->window_count >= LIMIT_SESSION_WINDOW &&
           b->answered < s->window->first_seq + s->window->count - 1;
}

/* Everything about a session's bundle but its contents. *done: it goes no
 * further; out says why. */
static int in_order(struct core *c, const struct bundle *b,
                    const struct session *s, struct accepted *out, bool *done)
{
    *done = true;
    if (b->first_seq > s->next_seq)
        return turn(c, out, CHOIR_SEQ_GAP);
    if (!hash_equal(&b->prev_hash, &s->prev_hash) ||
        b->answered >= s->next_seq) {
        out->ends_session = true;
        turn(c, out, CHOIR_MALFORMED);
        return end_session(c, s->id, "malformed: prev_hash or answered");
    }
    if (core_window_full(s, b))
        return turn_limit(c, out, CHOIR_BUSY, "session_window",
                          LIMIT_SESSION_WINDOW, s->window_count);
    *done = false;
    return 0;
}

int core_accept(struct core *c, struct bundle *b, const struct sender *sender,
                core_told told, void *arg, struct accepted *out)
{
    struct session *session;
    const uint8_t *key;
    const char *field;
    uint64_t limit, size;
    bool done, ahead = sender->proof && sender->proof->may_follow;
    int r, contents = 0;

    *out = (struct accepted){0};
    field = too_large(c, b, &limit, &size);
    if (field)
        return turn_limit(c, out, CHOIR_TOO_LARGE, field, limit, size);
    r = core_signer(c, b, sender, &session, &key);
    if (r)
        return turn(c, out, r);
    r = ahead ? 0 : prove(c, b, key, sender->proof, CLASS_OPERATION, &contents);
    if (r)
        return turn(c, out, r);
    if (b->epoch != c->state->epoch)
        return turn(c, out, CHOIR_EPOCH_CHANGED);
    if (b->has_seen_root && !core_has_grown_from(c, b->seen + 1, &b->seen_root))
        return turn(c, out, CHOIR_WRONG_LEDGER);
    if (session && b->first_seq < session->next_seq)
        return repeated(c, b, session, told, arg, out);
    if (session) {
        r = in_order(c, b, session, out, &done);
        if (r || done)
            return r;
    }
    r = contents;
    if (r < 0)
        return r;
    if (!r && !session)
        r = joins(b, sender);
    if (r) {
        turn(c, out, r);
        out->ends_session = session != NULL;
        return session ? end_session(c, session->id, "malformed") : 0;
    }
    r = room_for(c, b, sender->agent, out);
    if (r)
        return r;
    out->is_ahead = ahead;
    if (out->turnaway && ahead)
        c->counters.turned_away--; /* it is taken again */
    if (out->turnaway)
        return 0;
    return ahead ? core_send_ahead(c, b, sender, out)
                 : core_apply(c, b, sender, told, arg, out);
}

/* --- Asks ---------------------------------------------------------------- */

static int ask_is_new(struct core *c, const struct session *s,
                      const struct bundle *b)
{
    uint64_t *mark;

    if (s->slot >= c->ask_slots) {
        size_t n = s->slot + 64;
        uint64_t *p = realloc(c->asks, 2 * n * sizeof *p);

        if (!p)
            return -ENOMEM;
        memset(p + 2 * c->ask_slots, 0, 2 * (n - c->ask_slots) * sizeof *p);
        c->asks = p;
        c->ask_slots = n;
    }
    mark = c->asks + 2 * s->slot;
    if (mark[0] != s->id) {
        mark[0] = s->id;
        mark[1] = 0;
    }
    if (b->first_seq <= mark[1])
        return CHOIR_ANSWERED;
    mark[1] = b->first_seq + b->count - 1;
    return 0;
}

int core_check_ask(struct core *c, struct bundle *b,
                   const struct sender *sender, struct session **session)
{
    const uint8_t *key;
    int r, contents;

    if (b->session == 0)
        return CHOIR_MALFORMED;
    r = core_signer(c, b, sender, session, &key);
    if (!r)
        r = prove(c, b, key, sender->proof, CLASS_ASK, &contents);
    if (r)
        return r;
    if (b->epoch != c->state->epoch)
        return CHOIR_EPOCH_CHANGED;
    return contents ? contents : ask_is_new(c, *session, b);
}
