/* The one table of Choir: every field, every message, every operation.
 *
 * A message is a msgpack map from field numbers, ascending, to values. What a
 * field may hold is said once, in FIELDS; which fields a message needs and
 * may have, once, in MESSAGES. The decoder, the encoder, the documentation,
 * the command line, `choir pipe` and the tap all read these rows, so adding
 * an operation starts here.
 *
 * A field that a message does not know is refused, never skipped: to skip an
 * unknown condition would be to do the write without it. */
#ifndef CHOIR_PROTO_SCHEMA_H
#define CHOIR_PROTO_SCHEMA_H

#include "hash.h"
#include "limits.h"

/* UINT: 0..max. TEXT: UTF-8 without NUL, up to max bytes. BYTES: up to max
 * bytes. HASH: 32 bytes. SIGNATURE: 64. SLOTS: 36 bytes a slot. LIST: an array
 * of messages of the part named. LABELS: a map of text to text.
 * X(number, NAME, "name", KIND, max or part, what it is) */
#define FIELDS(X)                                                              \
    X(1, VERB, "verb", UINT, 255, "which message this is")                     \
    X(2, SPACE, "space", TEXT, LIMIT_NAME_BYTES, "space")                      \
    X(3, KEY, "key", TEXT, LIMIT_KEY_BYTES, "context key")                     \
    X(4, SLOTS, "slots", SLOTS, LIMIT_SLOTS, "length and hash of each slot")   \
    X(5, TYPE, "type", TEXT, LIMIT_LABEL_BYTES, "media type")                  \
    X(6, IF_REVISION, "if_revision", UINT, LIMIT_UINT_MAX_WIRE,                \
      "only if the key is there; 0: only if absent")                           \
    X(7, ID, "id", TEXT, LIMIT_NAME_BYTES, "operation id, unique per agent")   \
    X(8, TASK, "task", UINT, LIMIT_UINT_MAX_WIRE, "task")                      \
    X(9, TOKEN, "token", UINT, LIMIT_UINT_MAX_WIRE, "fencing token")           \
    X(10, COMPARES, "compares", LIST, MSG_COMPARE, "what must hold")           \
    X(11, WRITES, "writes", LIST, MSG_WRITE, "what is then written")           \
    X(12, QUEUE, "queue", TEXT, LIMIT_NAME_BYTES, "queue")                     \
    X(13, PRIORITY, "priority", UINT, LIMIT_PRIORITY_MAX, "9 is served first") \
    X(14, MAX_ATTEMPTS, "max_attempts", UINT, 1000, "then the task is dead")   \
    X(15, LEASE_MS, "lease_ms", UINT, LIMIT_UINT_MAX_WIRE, "length of lease")  \
    X(16, BACKOFF_MS, "backoff_ms", UINT, LIMIT_UINT_MAX_WIRE,                 \
      "wait before the second attempt; doubles after each")                    \
    X(17, REASON, "reason", TEXT, LIMIT_TEXT_BYTES, "why")                     \
    X(18, AGENT, "agent", HASH, 0, "agent id")                                 \
    X(19, NAME, "name", TEXT, LIMIT_NAME_BYTES, "name")                        \
    X(20, PUBLIC_KEY, "public_key", HASH, 0, "Ed25519 public key")             \
    X(21, CURVE_KEY, "curve_key", HASH, 0, "CURVE public key")                 \
    X(22, GRANTS, "grants", LIST, MSG_GRANT_ROW, "grants")                     \
    X(23, RIGHTS, "rights", UINT, 127, "sum of right bits; 0 takes away")      \
    X(24, PREFIX, "prefix", TEXT, LIMIT_KEY_BYTES, "key prefix")               \
    X(25, USES, "uses", UINT, LIMIT_UINT_MAX_WIRE, "times it may be used")     \
    X(26, EXPIRES, "expires", UINT, LIMIT_UINT_MAX_WIRE, "time, us")           \
    X(27, CHALLENGE, "challenge", HASH, 0, "the broker's challenge")           \
    X(28, REVISION, "revision", UINT, LIMIT_UINT_MAX_WIRE, "index of entry")   \
    X(29, PREV, "prev", UINT, LIMIT_UINT_MAX_WIRE, "the key's last revision")  \
    X(30, OUTCOME, "outcome", UINT, 255, "refusal code; 0 is done")            \
    X(31, TIME, "time", UINT, LIMIT_UINT_MAX_WIRE, "microseconds since 1970")  \
    X(32, SESSION, "session", UINT, LIMIT_UINT_MAX_WIRE, "session id")         \
    X(33, SEQ, "seq", UINT, LIMIT_UINT_MAX_WIRE, "number in its session")      \
    X(34, SIZE, "size", UINT, LIMIT_UINT_MAX_WIRE, "entries or bytes")         \
    X(35, ROOT, "root", HASH, 0, "root of a Merkle tree")                      \
    X(36, DIGEST, "digest", HASH, 0, "digest")                                 \
    X(37, EPOCH, "epoch", UINT, LIMIT_UINT_MAX_WIRE, "life of the ledger")     \
    X(38, FORMAT, "format", UINT, 65535, "version of the format")              \
    X(39, LEDGER, "ledger", HASH, 0, "ledger id")                              \
    X(40, FIRST_SEQ, "first_seq", UINT, LIMIT_UINT_MAX_WIRE,                   \
      "number of the first operation")                                         \
    X(41, PREV_HASH, "prev_hash", HASH, 0, "hash of the previous bundle")      \
    X(42, ANSWERED, "answered", UINT, LIMIT_UINT_MAX_WIRE,                     \
      "highest number whose answer, and all before it, has arrived")           \
    X(43, SEEN, "seen", UINT, LIMIT_UINT_MAX_WIRE, "revision seen")            \
    X(44, LABELS, "labels", LABELS, LIMIT_LABELS, "reported by the agent")     \
    X(45, TRACE, "trace", LABELS, LIMIT_LABELS, "trace context")               \
    X(46, COUNT, "count", UINT, LIMIT_UINT_MAX_WIRE, "how many")               \
    X(47, ASK, "ask", UINT, LIMIT_UINT_MAX_WIRE, "number of an ask")           \
    X(48, CREDIT, "credit", UINT, LIMIT_UINT_MAX_WIRE, "how many more")        \
    X(49, WATCH, "watch", UINT, LIMIT_UINT_MAX_WIRE, "the asker's number")     \
    X(50, VALUE, "value", BYTES, LIMIT_BUNDLE_BYTES, "payload")                \
    X(51, STATE, "state", UINT, 255, "state of a task")                        \
    X(52, ATTEMPT, "attempt", UINT, 1000000, "attempt, from 1")                \
    X(53, LIMIT, "limit", UINT, LIMIT_UINT_MAX_WIRE, "the limit")              \
    X(54, AFTER, "after", TEXT, LIMIT_KEY_BYTES, "continue after this one")    \
    X(55, ITEMS, "items", LIST, MSG_ITEM, "elements")                          \
    X(56, HEADER, "header", BYTES, LIMIT_HEADER_BYTES, "a bundle's header")    \
    X(57, SIGNATURE, "signature", SIGNATURE, 0, "Ed25519 signature")           \
    X(58, PATH, "path", BYTES, 32 * 32, "Merkle path, 32 bytes each")          \
    X(59, POSITION, "position", UINT, LIMIT_UINT_MAX_WIRE, "place in tree")    \
    X(60, HEAD, "head", BYTES, LIMIT_HEAD_BYTES, "an operation's head")        \
    X(61, EFFECT, "effect", BYTES, LIMIT_HEAD_BYTES, "what the broker added")  \
    X(62, FIELD, "field", TEXT, LIMIT_NAME_BYTES, "name of field or limit")    \
    X(63, TEXT, "text", TEXT, 4096, "text for a person")                       \
    X(64, PROGRESS, "progress", BYTES, LIMIT_BUNDLE_BYTES, "last progress")    \
    X(65, SLOT, "slot", UINT, 2 * LIMIT_SLOTS - 1,                             \
      "number of a slot; from 64 on: of the effect's")                         \
    X(66, KIND, "kind", UINT, 255, "which kind, see the message")              \
    X(67, ANSWERS, "answers", HASH, 0, "root of a cycle's answers")            \
    X(68, SECRET, "secret", BYTES, 64, "a secret key")                         \
    X(69, URL, "url", TEXT, 256, "ZeroMQ endpoint")                            \
    X(70, PAYLOAD, "payload", BYTES, LIMIT_BUNDLE_BYTES,                       \
      "an operation's payload section, salts included")                        \
    X(71, BROKER_KEY, "broker_key", HASH, 0, "the broker's Ed25519 key")       \
    X(72, BROKER_CURVE, "broker_curve", HASH, 0, "the broker's CURVE key")     \
    X(73, CREATED, "created", UINT, LIMIT_UINT_MAX_WIRE, "first revision")     \
    X(74, NOT_BEFORE, "not_before", UINT, LIMIT_UINT_MAX_WIRE, "time, us")     \
    X(75, HOLDER, "holder", HASH, 0, "agent that holds the lease")             \
    X(76, OPERATION, "operation", UINT, 255, "verb of an operation")           \
    X(77, STALE, "stale", UINT, 255, "what to do when a read set is stale")    \
    X(78, READS, "reads", UINT, LIMIT_SLOTS - 1, "slot of the read set")       \
    X(79, NEEDS, "needs", LIST, MSG_ITEM, "tasks that must be completed")      \
    X(80, CAPABILITIES, "capabilities", LIST, MSG_ITEM, "what it takes")       \
    X(81, DEADLINE, "deadline", UINT, LIMIT_UINT_MAX_WIRE, "time, us")         \
    X(82, PARENT, "parent", UINT, LIMIT_UINT_MAX_WIRE, "task it is part of")   \
    X(83, TTL_MS, "ttl_ms", UINT, LIMIT_UINT_MAX_WIRE, "then it is over")      \
    X(84, TOPIC, "topic", TEXT, LIMIT_NAME_BYTES, "topic")                     \
    X(85, REPLY_TO, "reply_to", UINT, LIMIT_UINT_MAX_WIRE,                     \
      "message that this one answers")                                         \
    X(86, RULE, "rule", UINT, 255, "how writes are merged")                    \
    X(87, BASE, "base", UINT, LIMIT_UINT_MAX_WIRE,                             \
      "revision it was made from")                                             \
    X(88, LAG_MS, "lag_ms", UINT, LIMIT_UINT_MAX_WIRE,                         \
      "how long it is behind")                                                 \
    X(89, INPUT, "input", BYTES, LIMIT_BUNDLE_BYTES, "what was given last")    \
    X(90, SENDS, "sends", LIST, MSG_SEND_ROW, "messages sent along")           \
    X(91, RECOVERY_KEY, "recovery_key", HASH, 0,                               \
      "Ed25519 key that is kept away, for the day when the others are lost")   \
    X(92, MARKS, "marks", BYTES, 2 * LIMIT_SLOTS,                              \
      "why payloads are missing, a byte a slot")                               \
    X(93, DERIVED, "derived", UINT, 1, "0: not what was made from it")         \
    X(94, SEEN_ROOT, "seen_root", HASH, 0, "root of the tree up to `seen`")

enum field {
#define X(number, name, text, kind, max, what) FIELD_##name = (number),
    FIELDS(X)
#undef X
        FIELD_END = 95
};

typedef unsigned __int128 field_mask;
#define FIELD_BIT(name) ((field_mask)1 << FIELD_##name)

/* Bits of FIELD_RIGHTS. X(NAME, bit, "name") */
#define RIGHTS(X)          \
    X(READ, 1, "read")     \
    X(WRITE, 2, "write")   \
    X(SUBMIT, 4, "submit") \
    X(WORK, 8, "work")     \
    X(SEND, 16, "send")    \
    X(TAP, 32, "tap")      \
    X(ADMIN, 64, "admin")

enum right {
#define X(name, bit, text) RIGHT_##name = (bit),
    RIGHTS(X)
#undef X
};

/* States of a task. X(NAME, number, "name", final) */
#define TASK_STATES(X)                        \
    X(QUEUED, 1, "queued", 0)                 \
    X(WORKING, 2, "working", 0)               \
    X(INPUT_REQUIRED, 3, "input_required", 0) \
    X(COMPLETED, 4, "completed", 1)           \
    X(FAILED, 5, "failed", 1)                 \
    X(CANCELLED, 6, "cancelled", 1)           \
    X(DEAD, 7, "dead", 1)

enum task_state {
#define X(name, number, text, final) TASK_##name = (number),
    TASK_STATES(X)
#undef X
};

/* States of an agent and of a session, as agent_list tells them: heard of within
 * presence_ms, or not. X(NAME, number, "name") */
#define PRESENCES(X)   \
    X(HERE, 1, "here") \
    X(AWAY, 2, "away")

enum presence_state {
#define X(name, number, text) PRESENCE_##name = (number),
    PRESENCES(X)
#undef X
};

/* How a prefix's writes are merged. X(NAME, number, "name") */
#define MERGE_RULES(X)       \
    X(NONE, 0, "none")       \
    X(CAS, 1, "cas")         \
    X(MERGE, 2, "merge")     \
    X(APPEND, 3, "append")   \
    X(SET, 4, "set")         \
    X(COUNTER, 5, "counter") \
    X(LWW, 6, "lww")

enum merge_rule {
#define X(name, number, text) RULE_##name = (number),
    MERGE_RULES(X)
#undef X
        RULE_END = 7
};

/* What becomes of a completion whose read set is no longer what it was
 * (FIELD_STALE), and how a holder answers MOVED (FIELD_KIND of a heed). */
enum stale_policy { STALE_REJECT = 1, STALE_FLAG = 2, STALE_REQUEUE = 3 };
enum heed_kind { HEED_REFRESH = 1, HEED_IGNORE = 2, HEED_ABANDON = 3 };

/* What the credit of a work is, in its FIELD_KIND. */
enum work_kind { WORK_ALL = 0, WORK_MORE = 1 };

/* FIELD_KIND of a rotate: does the new key take the place of the one that signed
 * it (also when it is absent), or stand beside it? */
enum rotate_kind { ROTATE_REPLACE = 1, ROTATE_ADD = 2 };

/* What an erasure is of, in FIELD_KIND of an erase, and what a slice of one is,
 * in that of an erased. */
enum erase_kind {
    ERASE_VALUES = 0, /* the versions it names */
    ERASE_HISTORY = 1,
    ERASE_AGENT = 2,
    ERASE_ENTRY = 3,
};
enum { ERASED_MORE = 0, ERASED_ALL = 1 };

/* What a message is, in FIELD_KIND of a send. X(NAME, number, "name") */
#define SEND_KINDS(X)        \
    X(MESSAGE, 0, "message") \
    X(REQUEST, 1, "request") \
    X(PARTIAL, 2, "partial") \
    X(FINAL, 3, "final")

enum send_kind {
#define X(name, number, text) SEND_##name = (number),
    SEND_KINDS(X)
#undef X
};

/* How one entry rests on another, in FIELD_KIND of what `why` and `impact`
 * answer; 0 is an entry itself. X(NAME, number, "name") */
#define LINK_KINDS(X)      \
    X(ENTRY, 0, "entry")   \
    X(READ, 1, "read")     \
    X(LISTED, 2, "listed") \
    X(BASE, 3, "base")     \
    X(LEASE, 4, "lease")   \
    X(CLAIM, 5, "claim")   \
    X(NEED, 6, "need")     \
    X(PARENT, 7, "parent") \
    X(REPLY, 8, "reply")   \
    X(AGAIN, 9, "again")   \
    X(INPUT, 10, "input")

enum link_kind {
#define X(name, number, text) LINK_##name = (number),
    LINK_KINDS(X)
#undef X
};

/* What `blame` answers, in FIELD_KIND of an item. X(NAME, number, "name") */
#define BLAME_KINDS(X)   \
    X(ENTRY, 0, "entry") \
    X(PLACE, 1, "place") \
    X(SHARE, 2, "share")

enum blame_kind {
#define X(name, number, text) BLAME_##name = (number),
    BLAME_KINDS(X)
#undef X
};

/* Who may say a message, and where it stands.
 * OPERATION: in a bundle of kind RECORD, from an agent. BROKER: likewise, from
 * the broker alone. ASK: in a bundle of kind ASK; never recorded. ITEM: in an
 * answer. PART: inside another message or on its own, has no verb. */
enum message_class {
    CLASS_OPERATION = 1,
    CLASS_BROKER = 2,
    CLASS_ASK = 4,
    CLASS_ITEM = 8,
    CLASS_PART = 16,
};

#define B(name) FIELD_BIT(name)
/* X(NAME, verb, "name", CLASS, fields needed, fields allowed besides) */
#define MESSAGES(X)                                                            \
    X(SESSION_OPEN, 1, "session_open", OPERATION, B(CHALLENGE), 0)             \
    X(SESSION_CLOSE, 2, "session_close", OPERATION, 0, 0)                      \
    X(ENROL, 3, "enrol", OPERATION, B(NAME) | B(PUBLIC_KEY) | B(CURVE_KEY), 0) \
    X(INVITE, 4, "invite", OPERATION, B(CURVE_KEY) | B(GRANTS),                \
      B(USES) | B(EXPIRES))                                                    \
    X(GRANT, 5, "grant", OPERATION, B(AGENT) | B(GRANTS), 0)                   \
    X(REVOKE, 6, "revoke", OPERATION, B(AGENT), B(REASON) | B(PUBLIC_KEY))     \
    X(PUT, 7, "put", OPERATION, B(SPACE) | B(KEY) | B(SLOTS),                  \
      B(IF_REVISION) | B(TYPE) | B(ID) | B(TASK) | B(TOKEN) | B(TTL_MS))       \
    X(DELETE, 8, "delete", OPERATION, B(SPACE) | B(KEY),                       \
      B(IF_REVISION) | B(ID) | B(TASK) | B(TOKEN))                             \
    X(TXN, 9, "txn", OPERATION, B(SPACE) | B(WRITES),                          \
      B(COMPARES) | B(SLOTS) | B(ID) | B(TASK) | B(TOKEN))                     \
    X(SUBMIT, 10, "submit", OPERATION, B(SPACE) | B(QUEUE) | B(SLOTS),         \
      B(TYPE) | B(PRIORITY) | B(MAX_ATTEMPTS) | B(LEASE_MS) | B(BACKOFF_MS) |  \
          B(ID) | B(NEEDS) | B(CAPABILITIES) | B(NOT_BEFORE) | B(DEADLINE) |   \
          B(PARENT) | B(TOKEN) | B(STALE))                                     \
    X(PROGRESS, 11, "progress", OPERATION, B(TASK) | B(TOKEN) | B(SLOTS),      \
      B(TYPE) | B(ID))                                                         \
    X(COMPLETE, 12, "complete", OPERATION, B(TASK) | B(TOKEN) | B(SLOTS),      \
      B(TYPE) | B(COMPARES) | B(WRITES) | B(SENDS) | B(ID) | B(READS))         \
    X(FAIL, 13, "fail", OPERATION, B(TASK) | B(TOKEN) | B(REASON), B(ID))      \
    X(NAK, 14, "nak", OPERATION, B(TASK) | B(TOKEN),                           \
      B(REASON) | B(BACKOFF_MS) | B(ID) | B(REVISION))                         \
    X(CANCEL, 15, "cancel", OPERATION, B(TASK), B(REASON) | B(ID))             \
    X(REQUEUE, 16, "requeue", OPERATION, B(TASK), B(ID))                       \
    X(POLICY, 17, "policy", OPERATION, B(SPACE) | B(PREFIX) | B(RULE), 0)      \
    X(APPEND, 18, "append", OPERATION, B(SPACE) | B(KEY) | B(SLOTS),           \
      B(ID) | B(TASK) | B(TOKEN))                                              \
    X(INCR, 19, "incr", OPERATION, B(SPACE) | B(KEY) | B(SLOTS),               \
      B(ID) | B(TASK) | B(TOKEN))                                              \
    X(HEED, 20, "heed", OPERATION, B(TASK) | B(TOKEN) | B(KIND),               \
      B(REVISION) | B(REASON) | B(ID))                                         \
    X(PARTIAL, 21, "partial", OPERATION, B(TASK) | B(TOKEN) | B(SLOTS),        \
      B(TYPE) | B(ID))                                                         \
    X(ASK_INPUT, 22, "ask_input", OPERATION, B(TASK) | B(TOKEN) | B(SLOTS),    \
      B(TYPE) | B(ID))                                                         \
    X(INPUT, 23, "input", OPERATION, B(TASK) | B(SLOTS),                       \
      B(TYPE) | B(REVISION) | B(ID))                                           \
    X(QUEUE_SET, 24, "queue_set", OPERATION, B(SPACE) | B(QUEUE),              \
      B(KIND) | B(LIMIT))                                                      \
    X(SEND, 25, "send", OPERATION, B(SPACE) | B(SLOTS),                        \
      B(AGENT) | B(TOPIC) | B(TYPE) | B(KIND) | B(REPLY_TO) | B(ID) |          \
          B(TASK) | B(TOKEN))                                                  \
    X(MARK, 26, "mark", OPERATION, B(SPACE) | B(REVISION),                     \
      B(NAME) | B(TOPIC) | B(KIND))                                            \
    X(COMPACT, 27, "compact", OPERATION, B(REVISION), B(SPACE) | B(REASON))    \
    X(ERASE, 28, "erase", OPERATION, B(SPACE),                                 \
      B(KEY) | B(REVISION) | B(ITEMS) | B(KIND) | B(AGENT) | B(DERIVED) |      \
          B(REASON) | B(ID))                                                   \
    X(ROTATE, 29, "rotate", OPERATION, 0,                                      \
      B(PUBLIC_KEY) | B(CURVE_KEY) | B(SIGNATURE) | B(RECOVERY_KEY) | B(KIND)) \
    X(SUSPECT, 30, "suspect", OPERATION, B(AGENT) | B(REVISION),               \
      B(PUBLIC_KEY) | B(REASON))                                               \
    X(RECOVER, 31, "recover", OPERATION,                                       \
      B(PUBLIC_KEY) | B(CURVE_KEY) | B(SIGNATURE), B(RECOVERY_KEY))            \
    X(GENESIS, 32, "genesis", BROKER,                                          \
      B(CHALLENGE) | B(PUBLIC_KEY) | B(CURVE_KEY) | B(FORMAT), 0)              \
    X(ADMIT, 33, "admit", BROKER,                                              \
      B(AGENT) | B(NAME) | B(PUBLIC_KEY) | B(CURVE_KEY) | B(GRANTS), 0)        \
    X(CLAIM, 34, "claim", BROKER,                                              \
      B(TASK) | B(AGENT) | B(SESSION) | B(ATTEMPT) | B(LEASE_MS), B(REVISION)) \
    X(EXPIRE, 35, "expire", BROKER, B(TASK) | B(TOKEN), B(REASON))             \
    X(SESSION_END, 36, "session_end", BROKER, B(SESSION), B(REASON))           \
    X(CHECKPOINT, 37, "checkpoint", BROKER,                                    \
      B(SIZE) | B(ROOT) | B(DIGEST) | B(TEXT), 0)                              \
    X(NEW_EPOCH, 38, "new_epoch", BROKER, B(EPOCH) | B(SIZE) | B(ROOT),        \
      B(REASON))                                                               \
    X(CUT, 39, "cut", BROKER, B(REVISION) | B(SIZE), B(REASON))                \
    X(RULES, 40, "rules", BROKER, B(ITEMS), 0)                                 \
    X(FORGET, 41, "forget", BROKER, B(REVISION) | B(KIND), 0)                  \
    X(EQUIVOCATE, 42, "equivocate", BROKER,                                    \
      B(SESSION) | B(HEADER) | B(SIGNATURE), 0)                                \
    X(TAPPED, 43, "tapped", BROKER, B(AGENT) | B(SESSION) | B(REVISION), 0)    \
    X(GIVE_UP, 44, "give_up", BROKER, B(TASK) | B(KIND), B(REASON))            \
    X(LAPSE, 45, "lapse", BROKER, B(SPACE) | B(KEY) | B(REVISION), 0)          \
    X(ERASED, 46, "erased", BROKER, B(REVISION) | B(ITEMS), B(PREV) | B(KIND)) \
    X(GET, 65, "get", ASK, B(SPACE) | B(KEY),                                  \
      B(REVISION) | B(TASK) | B(TOKEN))                                        \
    X(LIST, 66, "list", ASK, B(SPACE) | B(PREFIX),                             \
      B(AFTER) | B(COUNT) | B(REVISION) | B(TASK) | B(TOKEN))                  \
    X(LOG, 67, "log", ASK, B(SPACE) | B(KEY),                                  \
      B(REVISION) | B(COUNT) | B(TASK) | B(TOKEN))                             \
    X(WATCH, 68, "watch", ASK,                                                 \
      B(WATCH) | B(SPACE) | B(PREFIX) | B(REVISION) | B(CREDIT), B(KIND))      \
    X(CREDIT, 69, "credit", ASK, B(WATCH) | B(CREDIT), 0)                      \
    X(UNWATCH, 70, "unwatch", ASK, B(WATCH), 0)                                \
    X(WORK, 71, "work", ASK, B(SPACE) | B(QUEUE) | B(CREDIT),                  \
      B(ITEMS) | B(CAPABILITIES) | B(KIND))                                    \
    X(HEARTBEAT, 72, "heartbeat", ASK, B(ITEMS), 0)                            \
    X(TASK_GET, 73, "task_get", ASK, B(TASK), 0)                               \
    X(TASK_LIST, 74, "task_list", ASK, B(SPACE),                               \
      B(QUEUE) | B(STATE) | B(TASK) | B(COUNT))                                \
    X(AWAIT, 75, "await", ASK, B(TASK), B(COUNT))                              \
    X(STATUS, 76, "status", ASK, 0, 0)                                         \
    X(AGENT_LIST, 77, "agent_list", ASK, 0,                                    \
      B(NAME) | B(AGENT) | B(AFTER) | B(COUNT) | B(KIND))                      \
    X(TAP, 78, "tap", ASK, B(WATCH) | B(REVISION) | B(CREDIT), B(KIND))        \
    X(PING, 79, "ping", ASK, 0, 0)                                             \
    X(BACKUP, 80, "backup", ASK, B(TEXT), 0)                                   \
    X(SINCE, 81, "since", ASK, B(SPACE) | B(PREFIX) | B(REVISION),             \
      B(AFTER) | B(COUNT))                                                     \
    X(DIFF, 82, "diff", ASK, B(SPACE) | B(PREFIX) | B(BASE) | B(REVISION),     \
      B(AFTER) | B(COUNT))                                                     \
    X(READS, 83, "reads", ASK, B(TASK) | B(TOKEN) | B(COMPARES), 0)            \
    X(INBOX, 84, "inbox", ASK, B(WATCH) | B(SPACE) | B(CREDIT),                \
      B(TOPIC) | B(REVISION))                                                  \
    X(POLICY_LIST, 85, "policy_list", ASK, B(SPACE) | B(PREFIX), 0)            \
    X(PROVE, 88, "prove", ASK, B(REVISION), B(SIZE))                           \
    X(BLAME, 89, "blame", ASK, B(SPACE) | B(KEY),                              \
      B(REVISION) | B(PREV) | B(AFTER) | B(COUNT))                             \
    X(WHY, 90, "why", ASK, 0,                                                  \
      B(SPACE) | B(KEY) | B(REVISION) | B(PREV) | B(COUNT) | B(LIMIT))         \
    X(IMPACT, 91, "impact", ASK, 0,                                            \
      B(SPACE) | B(KEY) | B(REVISION) | B(AGENT) | B(PREV) | B(COUNT) |        \
          B(LIMIT))                                                            \
    X(ENTRIES, 92, "entries", ASK, 0,                                          \
      B(SIZE) | B(PREV) | B(VALUE) | B(REVISION) | B(COUNT) | B(KIND))         \
    X(SELECT, 93, "select", ASK, B(KIND),                                      \
      B(REVISION) | B(SIZE) | B(SPACE) | B(KEY) | B(TASK) | B(AGENT) |         \
          B(COUNT))                                                            \
    X(KEYS, 97, "keys", ASK, B(AGENT), 0)                                      \
    X(ERASURE, 98, "erasure", ASK, B(REVISION), B(PREV))                       \
    X(CONSISTENCY, 95, "consistency", ASK, B(PREV), B(SIZE))                   \
    X(MARK_LIST, 96, "mark_list", ASK, B(SPACE),                               \
      B(NAME) | B(TOPIC) | B(AFTER) | B(KIND) | B(COUNT))                      \
    X(DIGEST, 86, "digest", ASK,                                               \
      B(SPACE) | B(PREFIX) | B(REVISION) | B(DIGEST), B(AFTER) | B(KEY))       \
    X(QUEUE_LIST, 87, "queue_list", ASK, B(SPACE), B(AFTER) | B(COUNT))        \
    X(DONE, 128, "done", ITEM, B(SEQ) | B(OUTCOME) | B(REVISION), B(EFFECT))   \
    X(DONE_ALL, 129, "done_all", ITEM, B(FIRST_SEQ) | B(COUNT) | B(REVISION),  \
      0)                                                                       \
    X(TURNED_AWAY, 130, "turned_away", ITEM,                                   \
      B(SESSION) | B(FIRST_SEQ) | B(OUTCOME),                                  \
      B(KIND) | B(FIELD) | B(SIZE) | B(LIMIT) | B(EPOCH) | B(TEXT))            \
    X(REPLY, 131, "reply", ITEM, B(ASK) | B(OUTCOME),                          \
      B(REVISION) | B(ITEMS) | B(VALUE) | B(TYPE) | B(AGENT) | B(TIME) |       \
          B(PREV) | B(TASK) | B(SEEN) | B(AFTER) | B(COUNT) | B(TEXT) |        \
          B(FIELD) | B(LIMIT) | B(SIZE) | B(KEY) | B(LABELS) | B(CREATED) |    \
          B(ROOT) | B(PATH))                                                   \
    X(WELCOME, 132, "welcome", ITEM, B(CHALLENGE) | B(FORMAT), B(ITEMS))       \
    X(CHANGE, 133, "change", ITEM,                                             \
      B(WATCH) | B(REVISION) | B(TIME) | B(AGENT) | B(ITEMS), B(TASK))         \
    X(CAUGHT_UP, 134, "caught_up", ITEM, B(WATCH) | B(REVISION), 0)            \
    X(TASK, 135, "task", ITEM,                                                 \
      B(TASK) | B(TOKEN) | B(ATTEMPT) | B(SPACE) | B(QUEUE) | B(LEASE_MS) |    \
          B(AGENT) | B(REVISION),                                              \
      B(VALUE) | B(TYPE) | B(PROGRESS) | B(INPUT) | B(ITEMS) | B(COUNT) |      \
          B(OUTCOME))                                                          \
    X(TASK_STATE, 136, "task_state", ITEM,                                     \
      B(TASK) | B(STATE) | B(REVISION) | B(ATTEMPT),                           \
      B(VALUE) | B(TYPE) | B(REASON) | B(AGENT) | B(PROGRESS) | B(STALE) |     \
          B(COUNT) | B(OUTCOME))                                               \
    X(LEASE_LOST, 137, "lease_lost", ITEM, B(TASK) | B(TOKEN), B(REASON))      \
    X(ENTRY, 138, "entry", ITEM,                                               \
      B(WATCH) | B(REVISION) | B(TIME) | B(OUTCOME) | B(HEADER) |              \
          B(SIGNATURE) | B(POSITION) | B(PATH) | B(HEAD) | B(EFFECT),          \
      B(PAYLOAD) | B(MARKS))                                                   \
    X(NOTICE, 139, "notice", ITEM, B(WATCH) | B(TIME) | B(TEXT),               \
      B(AGENT) | B(COUNT) | B(OUTCOME))                                        \
    X(WATCH_OVER, 140, "watch_over", ITEM, B(WATCH) | B(OUTCOME), B(REVISION)) \
    X(SESSION_OVER, 141, "session_over", ITEM, B(SESSION), B(REASON))          \
    X(MOVED, 142, "moved", ITEM, B(TASK) | B(TOKEN) | B(REVISION) | B(ITEMS),  \
      B(COUNT))                                                                \
    X(MESSAGE, 143, "message", ITEM,                                           \
      B(WATCH) | B(REVISION) | B(TIME) | B(AGENT) | B(KIND),                   \
      B(VALUE) | B(TYPE) | B(REPLY_TO) | B(TOPIC) | B(TASK) | B(PREV) |        \
          B(OUTCOME))                                                          \
    X(PARTIAL_TOLD, 144, "partial_told", ITEM,                                 \
      B(TASK) | B(TOKEN) | B(COUNT) | B(REVISION),                             \
      B(VALUE) | B(TYPE) | B(OUTCOME))                                         \
    X(INPUT_TOLD, 145, "input_told", ITEM, B(TASK) | B(TOKEN) | B(REVISION),   \
      B(VALUE) | B(TYPE) | B(AGENT) | B(OUTCOME))                              \
    X(HELLO, 200, "hello", PART, B(FORMAT), 0)                                 \
    X(BUNDLE_HEADER, 201, "bundle_header", PART,                               \
      B(AGENT) | B(TIME) | B(SESSION) | B(ROOT) | B(EPOCH) | B(FORMAT) |       \
          B(LEDGER) | B(FIRST_SEQ) | B(PREV_HASH) | B(ANSWERED) | B(SEEN) |    \
          B(COUNT) | B(KIND),                                                  \
      B(PUBLIC_KEY) | B(LABELS) | B(TRACE) | B(SEEN_ROOT))                     \
    X(ANSWER_HEADER, 202, "answer_header", PART,                               \
      B(TIME) | B(SIZE) | B(ROOT) | B(EPOCH) | B(FORMAT) | B(LEDGER) |         \
          B(COUNT) | B(ANSWERS),                                               \
      0)                                                                       \
    X(COMPARE, 203, "compare", PART, B(REVISION),                              \
      B(KEY) | B(PREFIX) | B(SPACE) | B(SEEN))                                 \
    X(WRITE, 204, "write", PART, B(KEY), B(TYPE) | B(SLOT) | B(BASE))          \
    X(GRANT_ROW, 205, "grant_row", PART, B(SPACE) | B(RIGHTS),                 \
      B(PREFIX) | B(QUEUE))                                                    \
    X(ITEM, 206, "item", PART, 0,                                              \
      B(SPACE) | B(KEY) | B(TYPE) | B(TASK) | B(TOKEN) | B(QUEUE) |            \
          B(PRIORITY) | B(MAX_ATTEMPTS) | B(LEASE_MS) | B(BACKOFF_MS) |        \
          B(REASON) | B(AGENT) | B(NAME) | B(PUBLIC_KEY) | B(PREFIX) |         \
          B(RIGHTS) | B(REVISION) | B(PREV) | B(OUTCOME) | B(TIME) |           \
          B(SESSION) | B(SEQ) | B(SIZE) | B(LABELS) | B(COUNT) | B(VALUE) |    \
          B(STATE) | B(ATTEMPT) | B(LIMIT) | B(FIELD) | B(TEXT) |              \
          B(PROGRESS) | B(SLOT) | B(KIND) | B(CREATED) | B(NOT_BEFORE) |       \
          B(HOLDER) | B(OPERATION) | B(SEEN) | B(DIGEST) | B(LAG_MS) |         \
          B(DEADLINE) | B(PARENT) | B(RULE) | B(BASE) | B(STALE))              \
    X(EFFECT, 207, "effect", PART, 0,                                          \
      B(KEY) | B(TASK) | B(TOKEN) | B(REASON) | B(AGENT) | B(GRANTS) |         \
          B(REVISION) | B(PREV) | B(OUTCOME) | B(SIZE) | B(STATE) |            \
          B(ATTEMPT) | B(LIMIT) | B(ITEMS) | B(FIELD) | B(NOT_BEFORE) |        \
          B(MAX_ATTEMPTS) | B(LEASE_MS) | B(BACKOFF_MS) | B(EXPIRES) |         \
          B(SLOTS) | B(COUNT) | B(RULE) | B(BASE) | B(STALE) | B(COMPARES) |   \
          B(KIND))                                                             \
    X(IDENTITY, 208, "identity", PART,                                         \
      B(NAME) | B(SECRET) | B(CURVE_KEY) | B(LEDGER) | B(BROKER_KEY) |         \
          B(BROKER_CURVE),                                                     \
      B(URL) | B(VALUE) | B(AGENT))                                            \
    X(INVITATION, 209, "invitation", PART,                                     \
      B(CURVE_KEY) | B(SECRET) | B(LEDGER) | B(URL) | B(BROKER_KEY) |          \
          B(BROKER_CURVE),                                                     \
      0)                                                                       \
    X(READ_SET, 211, "read_set", PART, B(COMPARES), 0)                         \
    X(SEND_ROW, 210, "send_row", PART, B(SLOT),                                \
      B(AGENT) | B(TOPIC) | B(TYPE) | B(KIND) | B(REPLY_TO))                   \
    X(EVIDENCE, 212, "evidence", PART,                                         \
      B(REVISION) | B(TIME) | B(OUTCOME) | B(HEADER) | B(SIGNATURE) |          \
          B(POSITION) | B(PATH) | B(HEAD) | B(EFFECT),                         \
      B(PAYLOAD) | B(PUBLIC_KEY) | B(MARKS))                                   \
    X(EXPORT_HEAD, 213, "export_head", PART,                                   \
      B(FORMAT) | B(LEDGER) | B(AGENT) | B(PUBLIC_KEY) | B(TIME) | B(TEXT) |   \
          B(KIND),                                                             \
      B(SPACE) | B(KEY) | B(TASK) | B(REVISION) | B(SIZE) | B(HOLDER))         \
    X(EXPORT_END, 214, "export_end", PART,                                     \
      B(SIZE) | B(COUNT) | B(DIGEST) | B(SIGNATURE), 0)

enum message {
#define X(name, verb, text, class, need, may) MSG_##name = (verb),
    MESSAGES(X)
#undef X
};

/* Kinds of bundle. */
enum { BUNDLE_RECORD = 1, BUNDLE_ASK = 2 };

enum { SLOT_ROW_BYTES = 36, SLOT_SALT_BYTES = 16 };

/* Where a value stands in an entry: its slots are numbered from 0, those of
 * its effect from here. */
enum { SLOT_EFFECT = LIMIT_SLOTS };

/* One field's value. UINT: u. TEXT, BYTES, HASH, SIGNATURE, SLOTS: bytes.
 * LIST, LABELS: u elements or pairs, whose encoding is bytes. */
struct value {
    uint64_t u;
    struct bytes bytes;
};

/* A decoded or a to-be-encoded message. All bytes are borrowed. */
struct msg {
    enum message verb;
    field_mask has;
    struct value v[FIELD_END];
};

/* --- Reading ------------------------------------------------------------- */

/* One message with a verb, of one of the classes (an or of message_class),
 * and nothing behind it. 0; CHOIR_MALFORMED; CHOIR_UNSUPPORTED for a verb or
 * field without a row, and then *field is its number (1: the verb itself). */
int msg_decode(struct bytes b, unsigned classes, struct msg *m,
               unsigned *field);
/* One message of a part that is known from where it stands. */
int part_decode(enum message part, struct bytes b, struct msg *m,
                unsigned *field);

static inline bool msg_has(const struct msg *m, enum field f)
{
    return m->has >> f & 1;
}
/* The value, or 0 / no bytes where the message does not have it. */
static inline uint64_t msg_u(const struct msg *m, enum field f)
{
    return msg_has(m, f) ? m->v[f].u : 0;
}
static inline struct bytes msg_b(const struct msg *m, enum field f)
{
    return msg_has(m, f) ? m->v[f].bytes : (struct bytes){0};
}
/* The hash, or all zeros. */
struct hash msg_hash(const struct msg *m, enum field f);

/* Walk a LIST: start with `*at = msg_list(m, f)`, then call until false. The
 * elements were checked when the message was decoded. */
struct list {
    struct cursor c;
    uint64_t left;
    enum message part;
};
struct list msg_list(const struct msg *m, enum field f);
bool list_next(struct list *at, struct msg *element);
/* Walk LABELS likewise. */
bool labels_next(struct list *at, struct bytes *name, struct bytes *text);

/* Slots of a head: how many, and each one's length. */
size_t msg_slots(const struct msg *m);
uint32_t msg_slot_bytes(const struct msg *m, size_t i);

/* --- Writing ------------------------------------------------------------- */

static inline void msg_init(struct msg *m, enum message verb)
{
    m->verb = verb;
    m->has = 0;
}
static inline void msg_set_u(struct msg *m, enum field f, uint64_t u)
{
    m->has |= (field_mask)1 << f;
    m->v[f].u = u;
}
static inline void msg_set_b(struct msg *m, enum field f, struct bytes b)
{
    m->has |= (field_mask)1 << f;
    m->v[f].bytes = b;
}
static inline void msg_set_text(struct msg *m, enum field f, const char *s)
{
    msg_set_b(m, f, bytes_text(s));
}
static inline void msg_set_hash(struct msg *m, enum field f,
                                const struct hash *h)
{
    msg_set_b(m, f, hash_bytes(h));
}
/* elements: their encodings one after the other; labels: text, text, ... */
static inline void msg_set_list(struct msg *m, enum field f, uint64_t n,
                                struct bytes elements)
{
    m->has |= (field_mask)1 << f;
    m->v[f] = (struct value){n, elements};
}

/* Append the encoding. The verb goes first unless the message is a part.
 * Does not check: what leaves us is checked by the tests and by the reader.
 * Returns where in out the rows of its slots begin; 0: it has none. */
size_t msg_encode(const struct msg *m, struct buf *out);
/* Append a slot's row: length and H("slot/1", salt || payload). */
void slot_row(struct buf *rows, const uint8_t salt[SLOT_SALT_BYTES],
              struct bytes payload);

/* --- The rows themselves, for tools and documentation -------------------- */

enum field_kind {
    KIND_UINT,
    KIND_TEXT,
    KIND_BYTES,
    KIND_HASH,
    KIND_SIGNATURE,
    KIND_SLOTS,
    KIND_LIST,
    KIND_LABELS,
};

struct field_row {
    const char *name;
    enum field_kind kind;
    uint64_t max; /* of a LIST: its part */
    const char *what;
};
struct message_row {
    const char *name;
    unsigned class;
    field_mask need, may;
};

/* NULL for a number without a row. Static. */
const struct field_row *field_row(unsigned number);
const struct message_row *message_row(unsigned verb);
/* 0 for a name without a row. */
unsigned field_number(struct bytes name);
unsigned message_verb(struct bytes name);

const char *right_name(unsigned bit);
const char *task_state_name(unsigned state);
/* "unknown"; RULE_END for a name without a row. */
const char *merge_rule_name(unsigned rule);
unsigned merge_rule_number(struct bytes name);
bool task_state_final(unsigned state);

#undef B
#endif
