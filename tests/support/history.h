/* What clients saw, what the record holds, and whether the two agree.
 *
 * Every operation tells its revision, so no search is needed: the check is
 * exact. It is fed lines of words, whose values are unique texts:
 *
 *   of a client
 *     A agent                                  who it is, in hex
 *     B n verb start task token LIST LIST value   an operation begins;
 *         the lists: compares `key revision`, writes `key value`
 *     E n end code revision                    ... and has its outcome; the
 *         revision may be 0 where it is not told
 *     G start end key revision seen value      a read that found something
 *     T task token attempt payload             a task was delivered
 *     W watch from prefix                      a watch begins ("*": all keys)
 *     C watch revision LIST                    one change of it: `key value`
 *     D watch                                  all of it has been received
 *   of the record
 *     R index agent session seq verb outcome task token attempt told LIST LIST
 *         value             told: the effect's revision; value: the operation's
 *                           own slot or reason; of a claim its holder
 *
 * LIST is a count and as many pairs. "-" stands for no value. Times are
 * microseconds of one clock for all. A B without its E is an operation of
 * which nobody knows whether it happened. */
#ifndef CHOIR_TESTS_SUPPORT_HISTORY_H
#define CHOIR_TESTS_SUPPORT_HISTORY_H

#include <stdint.h>
#include <stdio.h>

/* X(NAME, what it means) */
#define HISTORY_FINDINGS(X)                                        \
    X(LOST, "acknowledged, but not in the record")                 \
    X(TWICE, "in the record more than once")                       \
    X(ALTERED, "in the record with other content or outcome")      \
    X(MISPLACED, "in the record at another revision than told")    \
    X(FROM_NOWHERE, "in the record, but nobody said it")           \
    X(BROKEN_OFF, "the record has a gap")                          \
    X(STALE_WRITE, "accepted although its condition did not hold") \
    X(FALSE_REFUSAL, "refused although its condition held")        \
    X(TWO_HOLDERS, "a lease given while another one lived")        \
    X(DONE_TWICE, "a second end of one task")                      \
    X(FALSE_LEASE, "a task came that the record gave nobody")      \
    X(BACKWARDS, "later than an outcome it comes before")          \
    X(WRONG_READ, "a read gave what was not there")                \
    X(WATCH_GAP, "a watch left out a change")                      \
    X(WATCH_WRONG, "a watch told twice, late, or what never was")

enum finding {
#define X(name, text) FOUND_##name,
    HISTORY_FINDINGS(X)
#undef X
        FINDINGS
};

struct history;

/* Aborts when out of memory, as everything here does. */
struct history *history_new(void);
void history_free(struct history **h);

/* Lines that are not of the form above are counted as unreadable. */
void history_line(struct history *h, unsigned client, const char *line);
/* All lines of a file; a last one without a newline was torn by a kill and is
 * left out. */
void history_read_lines(struct history *h, unsigned client, FILE *f);
/* The same. 0 or negative errno. */
int history_read(struct history *h, unsigned client, const char *path);
/* Every entry of the record in a directory that no daemon has open.
 * 0 or what ledger_open says. */
int history_read_record(struct history *h, const char *dir);
/* The same as lines. */
int history_write_record(const char *dir, FILE *to);

/* Compare. found: how many of each kind; the first few are printed to out.
 * Returns their sum, and unreadable lines with it. */
unsigned history_check(struct history *h, unsigned found[FINDINGS], FILE *out);
/* One line for a person: how much was compared. */
void history_summary(const struct history *h, FILE *out);

#endif
