/* A broker with one mistake in it, so that the tests that look for mistakes
 * are themselves proven. Functions of the broker are wrapped when a program is
 * linked (ld --wrap, see the Makefile); its sources know nothing of it.
 *
 * build/mutant/choird makes the mistake that CHOIR_MUTANT names. */
#ifndef CHOIR_TESTS_MUTANTS_BROKER_H
#define CHOIR_TESTS_MUTANTS_BROKER_H

#include <stdbool.h>

/* X(NAME, "name") */
#define MUTANTS(X)                                              \
    X(STALE_WRITE, "accepts_a_stale_write")                     \
    X(FALSE_REFUSAL, "refuses_a_good_write")                    \
    X(ZOMBIE, "lets_the_last_holder_go_on")                     \
    X(EARLY_EXPIRY, "ends_leases_early")                        \
    X(EARLY_ANSWER, "answers_before_it_is_durable")             \
    X(LOST_CHANGE, "forgets_to_tell_a_watch")                   \
    X(OTHER_VALUE, "reads_what_nobody_wrote")                   \
    X(LOST_WRITE, "does_not_do_what_it_accepts")                \
    X(NO_REPEATS, "takes_a_repetition_for_a_lie")               \
    X(NO_IDS, "forgets_operation_ids")                          \
    X(NO_GRANTS, "lets_everybody_do_everything")                \
    X(NOT_FINAL, "cancels_what_has_ended")                      \
    X(STALE_DONE, "accepts_what_was_made_from_old_reads")       \
    X(UNTOLD_MOVE, "forgets_to_tell_a_holder_what_moved")       \
    X(UNSEEN_READ, "forgets_what_was_read")                     \
    X(HALF_SNAPSHOT, "leaves_sessions_out_of_snapshots")        \
    X(FORGOTTEN_LINE, "answers_from_what_is_compacted")         \
    X(TOO_MUCH_GONE, "gives_back_what_must_stay")               \
    X(STILL_SHOWN, "shows_what_was_erased")                     \
    X(EARLY_LAPSE, "ends_keys_early")                           \
    X(NO_LAPSE, "never_ends_keys")                              \
    X(ENDED_KEY, "listens_to_a_key_that_has_ended")             \
    X(UNTOLD_MAIL, "forgets_to_tell_a_reader")                  \
    X(UNREAD_MAIL, "keeps_what_was_acknowledged")               \
    X(MARK_BACK, "takes_marks_back")                            \
    X(UNTOLD_END, "forgets_to_tell_who_waits")                  \
    X(LOST_PARTIAL, "leaves_out_a_partial_result")              \
    X(OTHER_ANSWER, "takes_an_answer_to_another_question")      \
    X(UNTOLD_INPUT, "keeps_an_answer_from_the_holder")          \
    X(NO_NEEDS, "forgets_what_a_task_needs")                    \
    X(NO_DEADLINE, "never_gives_up")                            \
    X(ANY_WORKER, "gives_work_to_who_cannot_do_it")             \
    X(NO_CONSEQUENCE, "lets_a_task_wait_for_what_has_failed")   \
    X(NO_STOP, "goes_on_with_a_stopped_queue")                  \
    X(NO_DRAIN, "takes_tasks_into_a_draining_queue")            \
    X(OLD_KEYS, "recovers_and_leaves_the_old_keys")             \
    X(NO_DOUBT, "forgets_that_a_key_is_in_doubt")               \
    X(NO_THEIRS, "merges_and_leaves_out_what_was_there")        \
    X(NO_POLICY, "forgets_policies")                            \
    X(HALF_ERASED, "leaves_what_an_erased_agent_said_of_tasks") \
    X(FORGED, "believes_a_false_signature")                     \
    X(UNPROVEN, "keeps_what_was_not_proven_before_a_crash")

enum mutant {
    MUTANT_NONE,
#define X(name, text) MUTANT_##name,
    MUTANTS(X)
#undef X
        MUTANT_END
};

/* The mistake of this process; at first what CHOIR_MUTANT says. */
extern enum mutant mutant;

/* Is it this one, and time for it? */
bool makes(enum mutant m);

static inline const char *mutant_name(enum mutant m)
{
    static const char *const names[] = {"none",
#define X(name, text) text,
                                        MUTANTS(X)
#undef X
    };

    return names[m];
}

#endif
