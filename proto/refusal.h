/* What the broker answers, one row each.
 *
 * An OUTCOME is recorded: the operation has an index and has used up its
 * sequence number. A TURNAWAY concerns a whole bundle, is not recorded and
 * uses up nothing. A READ code answers something that is never recorded. A
 * LOCAL code never travels: it is what the SDK itself has to say.
 *
 * Functions return 0, a negative errno (our own failure) or one of these
 * positive codes (the peer's).
 * X(NAME, number, class, sentence) */
#ifndef CHOIR_PROTO_REFUSAL_H
#define CHOIR_PROTO_REFUSAL_H

#define CHOIR_REFUSALS(X)                                                      \
    X(OK, 0, OUTCOME, "done")                                                  \
    X(CONFLICT, 1, OUTCOME, "the key is not at the revision you named")        \
    X(STALE, 2, OUTCOME, "what the task was made from has changed since")      \
    X(FENCED, 3, OUTCOME, "the lease is no longer yours")                      \
    X(DENIED, 4, OUTCOME, "not granted")                                       \
    X(NOT_FOUND, 5, OUTCOME, "there is no such thing, or you may not see it")  \
    X(OVER_LIMIT, 6, OUTCOME, "a limit is reached")                            \
    X(UNSUPPORTED, 7, OUTCOME, "this broker does not know that field or verb") \
    X(INVALID, 8, OUTCOME, "the arguments do not fit together")                \
    X(TERMINAL, 9, OUTCOME, "the task is already final")                       \
    X(EXPIRED, 10, OUTCOME, "the invitation is used up or too old")            \
    X(NAME_TAKEN, 11, OUTCOME, "another agent has that name")                  \
    X(REPEATED, 12, OUTCOME, "this operation id was used before")              \
    X(DRAINING, 13, OUTCOME, "the queue takes no more tasks")                  \
    X(READ_ONLY, 64, TURNAWAY, "the broker is short of disk space")            \
    X(BUSY, 65, TURNAWAY, "the broker is draining or has too much in hand")    \
    X(RATE, 66, TURNAWAY, "you write faster than you may")                     \
    X(MALFORMED, 67, TURNAWAY, "the bytes do not follow the specification")    \
    X(SEQ_GAP, 68, TURNAWAY, "an earlier bundle of this session is missing")   \
    X(SESSION_ENDED, 69, TURNAWAY, "the session has ended; open another")      \
    X(ANSWERED, 70, TURNAWAY, "you said you had the answer to this one")       \
    X(EPOCH_CHANGED, 71, TURNAWAY, "the ledger was restored; see its epoch")   \
    X(BAD_CHALLENGE, 72, TURNAWAY, "not the challenge of this connection")     \
    X(TOO_LARGE, 73, TURNAWAY, "larger than this broker accepts")              \
    X(EQUIVOCATION, 74, TURNAWAY, "two different bundles under one number")    \
    X(UNKNOWN_AGENT, 75, TURNAWAY, "no such agent, or its key is revoked")     \
    X(BAD_SIGNATURE, 76, TURNAWAY, "the signature does not fit the bytes")     \
    X(WRONG_LEDGER, 77, TURNAWAY, "meant for another ledger")                  \
    X(COMPACTED, 96, READ, "that revision is no longer kept")                  \
    X(FUTURE, 97, READ, "that revision does not exist yet")                    \
    X(DIVERGED, 98, READ, "a replica holds other keys than it should")         \
    X(ERASED, 99, READ, "that value was erased")                               \
    X(TIMEOUT, 128, LOCAL, "no answer in time")                                \
    X(UNREACHABLE, 129, LOCAL, "the broker cannot be reached")                 \
    X(WRONG_BROKER, 130, LOCAL, "not the broker that was pinned")              \
    X(LEDGER_BEHIND, 131, LOCAL, "the broker has lost what we have seen")      \
    X(NO_IDENTITY, 132, LOCAL, "no identity for this broker")                  \
    X(BROKEN, 133, LOCAL, "a proof or a check failed")                         \
    X(INTERRUPTED, 134, LOCAL, "interrupted")                                  \
    X(CLOSED, 135, LOCAL, "the handle is closed")                              \
    X(OUTCOME_UNKNOWN, 136, LOCAL, "it may have happened, or not")

/* choir.h states the same numbers; agent-sdk/error.c holds them in step. */
#ifndef CHOIR_H
enum refusal {
#define X(name, number, class, sentence) CHOIR_##name = (number),
    CHOIR_REFUSALS(X)
#undef X
};
#endif

enum refusal_class {
    REFUSAL_OUTCOME,
    REFUSAL_TURNAWAY,
    REFUSAL_READ,
    REFUSAL_LOCAL,
    REFUSAL_NONE,
};

/* "CONFLICT"; "UNKNOWN" for a number without a row. Static. */
const char *refusal_name(int code);

/* One sentence for a person. Static. */
const char *refusal_sentence(int code);

enum refusal_class refusal_class(int code);

#endif
