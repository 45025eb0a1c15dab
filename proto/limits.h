/* Every bound that the wire or the record itself sets, in one table.
 *
 * These are part of the format: a reader may rely on them for ever. What an
 * operator may tune (values per second, tasks per queue, ...) is
 * configuration and stands in broker/base/config.h.
 * X(NAME, value, unit, what it bounds) */
#ifndef CHOIR_PROTO_LIMITS_H
#define CHOIR_PROTO_LIMITS_H

#define CHOIR_LIMITS(X)                                                     \
    X(UINT_MAX_WIRE, ((1ULL << 53) - 1), "", "largest integer on the wire") \
    X(HEAD_BYTES, 16384, "bytes", "head of one operation")                  \
    X(HEADER_BYTES, 4096, "bytes", "header of a bundle or an answer")       \
    X(KEY_BYTES, 512, "bytes", "context key or prefix")                     \
    X(NAME_BYTES, 64, "bytes", "space, queue, agent name, operation id")    \
    X(TEXT_BYTES, 1024, "bytes", "reason, media type or note")              \
    X(LABELS, 16, "pairs", "labels or trace entries of one bundle")         \
    X(LABEL_BYTES, 128, "bytes", "name or value of one label")              \
    X(BUNDLE_OPS, 1024, "operations", "operations of one bundle")           \
    X(BUNDLE_BYTES, 16777216, "bytes", "one bundle, payloads included")     \
    X(SLOTS, 64, "slots", "payload slots of one operation")                 \
    X(LIST_ITEMS, 4096, "items", "elements of one list on the wire")        \
    X(DEPTH, 16, "levels", "nesting of a message")                          \
    X(TXN_COMPARES, 64, "compares", "compares of one transaction")          \
    X(TXN_WRITES, 64, "writes", "writes of one transaction")                \
    X(SENDS, 64, "messages", "messages of one completion")                  \
    X(GRANTS, 64, "grants", "grants of one invitation")                     \
    X(NEEDS, 64, "tasks", "tasks that one task needs")                      \
    X(CAPABILITIES, 16, "names", "capabilities of a task or a worker")      \
    X(TTL_MS, 315360000000, "ms", "longest life of a key, ten years")       \
    X(PRIORITY_MAX, 9, "", "highest priority of a task")                    \
    X(SESSION_WINDOW, 1024, "bundles", "unanswered bundles of one session") \
    X(ANSWER_BYTES, 33554432, "bytes", "one message to one agent")          \
    X(ANSWERS_PER_CYCLE, 65536, "messages", "messages under one signature")

enum {
#define X(name, value, unit, what) LIMIT_##name = (long long)(value),
    CHOIR_LIMITS(X)
#undef X
};

#endif
