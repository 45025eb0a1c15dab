/* The library against a broker that can be told to misbehave. */
#include "agent-sdk/choir.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/limits.h"
#include "tests/check.h"
#include "tests/support/scene.h"

static uint64_t put_or_fail(struct choir *c, const char *key, const char *value)
{
    uint64_t revision = 0;

    if (choir_put(c, key, value, strlen(value), &revision))
        fail_msg("%s", choir_error_text());
    return revision;
}

static uint64_t send_put(struct choir *c, const char *key, const char *id)
{
    struct choir_request *r = choir_request_new(c, "put");
    uint64_t request;

    choir_request_text(r, "key", key);
    choir_request_slot(r, "v", 1, NULL);
    if (id)
        choir_request_text(r, "id", id);
    CHECK_OK(choir_send(c, &r, 1000, &request));
    CHECK_NULL(r);
    return request;
}

static int code_of(struct choir *c, uint64_t request)
{
    struct choir_event *e;
    int code;

    if (choir_wait(c, request, 5000, &e))
        fail_msg("%s", choir_error_text());
    code = choir_event_code(e);
    CHECK(choir_event_last(e));
    choir_event_free(&e);
    return code;
}

/* --- Ordinary days -------------------------------------------------------- */

TEST(first_use_enrols_silently_and_the_second_finds_the_identity)
{
    struct choir *c;
    char first[65];
    struct stat st;

    begin();
    c = open_or_fail();
    strcpy(first, choir_agent_id(c));
    CHECK_OK(stat(choir_identity_path(c), &st));
    CHECK_EQ(st.st_mode & 0777, 0600);
    CHECK_STR(choir_name(c), "ada");
    CHECK_STR(choir_space(c), "main");
    CHECK(choir_connected(c));
    CHECK_EQ(choir_limit(c, "value_bytes_max"), 4096);
    choir_close(&c);
    CHECK_NULL(c);
    c = open_or_fail();
    CHECK_STR(choir_agent_id(c), first);
    choir_close(&c);
    CHECK_EQ(standin_counts(broker).enrolments, 1);
    CHECK_EQ(standin_counts(broker).bad, 0);
    end();
}

TEST(a_value_comes_back_as_it_was_put)
{
    struct choir_event *e;
    struct choir *c;
    size_t n;

    begin();
    c = open_or_fail();
    uint64_t revision = put_or_fail(c, "plan", "draft");
    CHECK_OK(choir_get(c, "plan", 0, &e));
    CHECK_EQ(choir_event_uint(e, "revision"), revision);
    CHECK_MEM(choir_event_value(e, &n), "draft", 5);
    CHECK_EQ(n, 5);
    CHECK_STR(choir_event_name(e), "reply");
    CHECK_STR(choir_event_verb(e), "get");
    choir_event_free(&e);
    CHECK_OK(choir_put(c, "plan", "", 0, NULL));
    CHECK_OK(choir_get(c, "plan", 0, &e));
    CHECK(choir_event_value(e, &n) != NULL);
    CHECK_EQ(n, 0);
    choir_event_free(&e);
    choir_close(&c);
    end();
}

TEST(a_refusal_says_what_was_refused_and_where_the_key_is)
{
    struct choir *c;
    struct choir_event *e;
    uint64_t revision;

    begin();
    c = open_or_fail();
    revision = put_or_fail(c, "plan", "a");
    CHECK_REFUSED(choir_put_if(c, "plan", "b", 1, 7, NULL), CHOIR_CONFLICT);
    CHECK_EQ(choir_error_code(), CHOIR_CONFLICT);
    CHECK_EQ(choir_error_revision(), revision);
    CHECK(strstr(choir_error_text(), "CONFLICT key=plan base=7 current="));
    CHECK_OK(choir_put_if(c, "plan", "b", 1, revision, NULL));
    CHECK_REFUSED(choir_get(c, "nothing", 0, &e), CHOIR_NOT_FOUND);
    CHECK_NULL(e);
    CHECK(strstr(choir_error_text(), "NOT_FOUND key=nothing"));
    choir_close(&c);
    end();
}

TEST(requests_under_way_share_bundles_and_each_has_its_own_outcome)
{
    uint64_t requests[500];
    struct choir *c;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 500; i++)
        requests[i] = send_put(c, "k", NULL);
    for (int i = 0; i < 500; i++)
        CHECK_OK(code_of(c, requests[i]));
    CHECK_EQ(standin_counts(broker).operations, 500);
    CHECK(standin_counts(broker).bundles < 250);
    choir_close(&c);
    end();
}

/* However they are held back, gathered and parted on their way. */
TEST(requests_are_recorded_in_the_order_in_which_they_were_sent)
{
    enum { REQUESTS = 500 };
    uint64_t requests[REQUESTS], last = 0;
    struct choir_event *e;
    struct choir *c;

    begin();
    c = open_or_fail();
    for (int i = 0; i < REQUESTS; i++)
        requests[i] = send_put(c, "k", NULL);
    for (int i = 0; i < REQUESTS; i++) {
        CHECK_OK(choir_wait(c, requests[i], 5000, &e));
        CHECK(choir_event_uint(e, "revision") > last);
        last = choir_event_uint(e, "revision");
        choir_event_free(&e);
    }
    choir_close(&c);
    end();
}

TEST(the_descriptor_is_readable_while_an_event_waits)
{
    struct choir_event *e;
    struct choir *c;
    struct pollfd p;

    begin();
    c = open_or_fail();
    p = (struct pollfd){.fd = choir_fd(c), .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 0), 0);
    uint64_t request = send_put(c, "k", NULL);
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_OK(choir_next(c, 0, &e));
    CHECK_EQ(choir_event_request(e), request);
    choir_event_free(&e);
    CHECK_EQ(poll(&p, 1, 0), 0);
    CHECK_REFUSED(choir_next(c, 0, &e), CHOIR_TIMEOUT);
    CHECK_REFUSED(choir_wait(c, request, 0, &e), CHOIR_NOT_FOUND);
    choir_close(&c);
    end();
}

TEST(an_event_can_be_printed_without_knowing_it)
{
    struct choir_field f;
    struct choir_event *e;
    struct choir *c;
    char seen[256] = "";
    uint64_t watch;

    begin();
    c = open_or_fail();
    CHECK_OK(choir_watch(c, "", 0, &watch));
    put_or_fail(c, "plan", "x");
    do {
        CHECK_OK(choir_wait(c, watch, 5000, &e));
        if (strcmp(choir_event_name(e), "change") != 0)
            choir_event_free(&e);
    } while (!e);
    for (size_t i = 0; choir_event_field(e, i, &f); i++) {
        strcat(seen, f.name);
        strcat(seen, f.kind == CHOIR_KIND_LIST   ? ":list "
                     : f.kind == CHOIR_KIND_HASH ? ":hash "
                                                 : " ");
    }
    CHECK_STR(seen, "agent:hash revision time watch items:list ");
    CHECK_EQ(choir_event_count(e, "items"), 1);
    CHECK_STR(choir_event_text(choir_event_item(e, "items", 0), "key"), "plan");
    CHECK_NULL(choir_event_item(e, "items", 1));
    CHECK_NULL(choir_event_text(e, "nonsense"));
    choir_event_free(&e);
    choir_close(&c);
    end();
}

/* --- Wrong use ------------------------------------------------------------ */

TEST(a_request_is_checked_field_by_field_before_it_is_sent)
{
    char large[600];
    struct choir_request *r;
    struct choir *c;
    uint64_t id;

    begin();
    c = open_or_fail();
    memset(large, 'k', sizeof large - 1);
    large[sizeof large - 1] = 0;
    CHECK_NULL(choir_request_new(c, "frobnicate"));
    CHECK_EQ(choir_error_code(), CHOIR_UNSUPPORTED);
    CHECK_NULL(choir_request_new(c, "session_open"));
    CHECK_NULL(choir_request_new(c, "genesis"));
    r = choir_request_new(c, "put");
    CHECK_REFUSED(choir_request_text(r, "key", large), CHOIR_OVER_LIMIT);
    CHECK(strstr(choir_error_text(), "field=key size=599 limit=512"));
    choir_request_free(&r);
    r = choir_request_new(c, "put");
    CHECK_REFUSED(choir_request_text(r, "queue", "q"), CHOIR_UNSUPPORTED);
    choir_request_free(&r);
    r = choir_request_new(c, "put");
    CHECK_REFUSED(choir_request_uint(r, "key", 1), CHOIR_INVALID);
    choir_request_free(&r);
    r = choir_request_new(c, "put");
    CHECK_REFUSED(choir_request_text(r, "key", "\xff"), CHOIR_INVALID);
    CHECK_REFUSED(choir_send(c, &r, 0, &id), CHOIR_INVALID);
    choir_request_free(&r);
    r = choir_request_new(c, "put");
    choir_request_slot(r, "", 0, NULL);
    CHECK_REFUSED(choir_send(c, &r, 0, &id), CHOIR_INVALID);
    CHECK(strstr(choir_error_text(), "field=key"));
    choir_request_free(&r);
    r = choir_request_new(c, "get");
    CHECK_REFUSED(choir_request_slot(r, "x", 1, NULL), CHOIR_UNSUPPORTED);
    choir_request_free(&r);
    r = choir_request_new(c, "txn");
    CHECK_OK(choir_request_begin(r, "writes"));
    CHECK_REFUSED(choir_request_end(r), CHOIR_INVALID);
    choir_request_free(&r);
    choir_close(&c);
    end();
}

TEST(an_operation_that_fits_no_bundle_is_refused_here)
{
    static char value[17 << 20];
    struct choir *c;

    begin();
    c = open_or_fail();
    CHECK_REFUSED(choir_put(c, "k", value, sizeof value, NULL),
                  CHOIR_OVER_LIMIT);
    choir_close(&c);
    end();
}

TEST(bytes_in_flight_are_bounded)
{
    struct choir_request *r;
    struct choir *c;
    uint64_t id;
    int sent = 0, code = 0;

    begin();
    options.in_flight_bytes = 4096;
    c = open_or_fail();
    standin_mute(broker, true);
    while (!code && sent < 100) {
        r = choir_request_new(c, "put");
        choir_request_text(r, "key", "k");
        choir_request_slot(r, "0123456789", 10, NULL);
        code = choir_send(c, &r, 0, &id);
        sent += !code;
        CHECK(code ? r != NULL : r == NULL);
    }
    CHECK_EQ(code, CHOIR_BUSY);
    CHECK(strstr(choir_error_text(), "limit=4096"));
    CHECK(sent > 4 && sent < 20);
    choir_request_free(&r);
    standin_mute(broker, false);
    choir_close(&c);
    end();
}

TEST(a_forked_child_is_refused_and_its_parent_goes_on)
{
    struct choir *c;
    int status;
    pid_t child;

    begin();
    c = open_or_fail();
    child = fork();
    if (child == 0) {
        struct choir_event *e;
        int ok = choir_put(c, "k", "v", 1, NULL) == CHOIR_CLOSED &&
                 strstr(choir_error_text(), "fork") &&
                 choir_next(c, 0, &e) == CHOIR_CLOSED && choir_fd(c) == -1 &&
                 !choir_connected(c);

        choir_close(&c);
        _exit(ok && !c ? 0 : 1);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    put_or_fail(c, "k", "v");
    choir_close(&c);
    end();
}

TEST(options_that_do_not_fit_are_refused)
{
    const char *const labels[] = {"model", NULL};
    const char *long_labels[LIMIT_LABELS + 1] = {NULL};
    char text[LIMIT_LABELS][2 * LIMIT_LABEL_BYTES + 2];
    struct choir *c;

    for (unsigned i = 0; i < LIMIT_LABELS; i++) { /* each fits, all do not */
        memset(text[i], 'a' + (int)i, sizeof text[i]);
        text[i][LIMIT_LABEL_BYTES] = '=';
        text[i][2 * LIMIT_LABEL_BYTES + 1] = 0;
        long_labels[i] = text[i];
    }
    begin();
    options.labels = labels;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_INVALID);
    options.labels = long_labels;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_OVER_LIMIT);
    options.labels = NULL;
    setenv("CHOIR_LABELS", "model=x,role", 1);
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_INVALID);
    setenv("CHOIR_LABELS",
           "a=,b=,c=,d=,e=,f=,g=,h=,i=,j=,k=,l=,m=,n=,o=,p=,q=", 1);
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_OVER_LIMIT);
    unsetenv("CHOIR_LABELS");
    options.name = "a/b";
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_INVALID);
    options.name = "ada";
    options.struct_bytes = 1;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_INVALID);
    end();
}

/* --- Trouble on the way --------------------------------------------------- */

TEST(a_lost_answer_is_fetched_by_the_same_bytes)
{
    struct standin_counts n;
    struct choir *c;
    uint64_t request;

    begin();
    c = open_or_fail();
    standin_swallow(broker, 1);
    request = send_put(c, "k", NULL);
    while (standin_counts(broker).operations < 1)
        usleep(1000);
    standin_restart(broker, 30);
    CHECK_OK(code_of(c, request));
    n = standin_counts(broker);
    CHECK_EQ(n.operations, 1);
    CHECK_EQ(n.duplicates, 1);
    CHECK_EQ(n.sessions, 1);
    put_or_fail(c, "k", "next");
    choir_close(&c);
    end();
}

TEST(many_restarts_lose_nothing_and_double_nothing)
{
    uint64_t requests[300];
    struct standin_counts n;
    struct choir *c;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 300; i++) {
        requests[i] = send_put(c, "k", NULL);
        if (i % 50 == 49) {
            standin_swallow(broker, i % 100 == 49);
            standin_restart(broker, 1);
        }
    }
    for (int i = 0; i < 300; i++)
        CHECK_OK(code_of(c, requests[i]));
    n = standin_counts(broker);
    CHECK_EQ(n.operations, 300);
    CHECK_EQ(n.equivocations, 0);
    CHECK_EQ(n.bad, 0);
    choir_close(&c);
    end();
}

TEST(an_answer_told_twice_is_one_event)
{
    struct choir_event *e;
    struct choir *c;

    begin();
    c = open_or_fail();
    standin_repeat(broker, true);
    send_put(c, "k", NULL);
    CHECK_OK(choir_next(c, 5000, &e));
    choir_event_free(&e);
    put_or_fail(c, "k", "v");
    CHECK_REFUSED(choir_next(c, 0, &e), CHOIR_TIMEOUT);
    choir_close(&c);
    end();
}

TEST(a_full_disk_is_told_at_once_and_later_writes_go_on)
{
    struct standin_counts n;
    struct choir *c;
    struct choir_event *e;

    begin();
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    standin_turn_away(broker, CHOIR_READ_ONLY, -1);
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), CHOIR_READ_ONLY);
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), CHOIR_READ_ONLY);
    CHECK_OK(choir_get(c, "k", 0, &e));
    choir_event_free(&e);
    standin_turn_away(broker, 0, 0);
    put_or_fail(c, "k", "w");
    n = standin_counts(broker);
    CHECK_EQ(n.operations, 2);
    CHECK_EQ(n.equivocations, 0);
    CHECK_EQ(n.sessions, 1);
    choir_close(&c);
    end();
}

TEST(opening_on_a_full_disk_says_so)
{
    struct choir *c;

    begin();
    c = open_or_fail();
    choir_close(&c);
    standin_turn_away(broker, CHOIR_READ_ONLY, -1);
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_READ_ONLY);
    end();
}

TEST(what_stood_behind_a_refused_bundle_is_signed_anew)
{
    uint64_t requests[200];
    struct standin_counts n;
    struct choir *c;
    unsigned refused = 0;

    begin();
    c = open_or_fail();
    standin_turn_away(broker, CHOIR_RATE, 1);
    for (int i = 0; i < 200; i++)
        requests[i] = send_put(c, "k", NULL);
    for (int i = 0; i < 200; i++) {
        int code = code_of(c, requests[i]);

        CHECK(code == 0 || code == CHOIR_RATE);
        refused += code == CHOIR_RATE;
    }
    n = standin_counts(broker);
    CHECK(refused > 0);
    CHECK_EQ(n.operations, 200 - refused);
    CHECK_EQ(n.equivocations, 0);
    CHECK_EQ(n.bad, 0);
    choir_close(&c);
    end();
}

TEST(a_busy_broker_is_asked_again)
{
    struct standin_counts n;
    struct choir *c;

    begin();
    c = open_or_fail();
    standin_turn_away(broker, CHOIR_BUSY, 3);
    put_or_fail(c, "k", "v");
    n = standin_counts(broker);
    CHECK_EQ(n.operations, 1);
    CHECK_EQ(n.equivocations, 0);
    choir_close(&c);
    end();
}

TEST(a_busy_broker_is_questioned_again)
{
    struct choir_event *e;
    struct choir *c;

    begin();
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    standin_turn_asks_away(broker, CHOIR_BUSY, 2);
    CHECK_OK(choir_get(c, "k", 0, &e));
    choir_event_free(&e);
    choir_close(&c);
    end();
}

static void one_trouble(int kind)
{
    switch (kind) {
    case 0: standin_turn_away(broker, CHOIR_RATE, 1); return;
    case 1: standin_turn_away(broker, CHOIR_READ_ONLY, 3); return;
    case 2: standin_turn_away(broker, CHOIR_BUSY, 2); return;
    case 3: standin_swallow(broker, 1); return;
    case 4: standin_restart(broker, 1); return;
    case 5: standin_repeat(broker, true); return;
    default: standin_repeat(broker, false); return;
    }
}

/* Whatever comes in whatever order: an operation that is called done was done
 * once, and one that is called refused was not. */
TEST(troubles_that_overlap_double_nothing_and_invent_nothing)
{
    enum { N = 3000 };
    static uint64_t requests[N];
    unsigned seed = (unsigned)time(NULL), done = 0;
    struct standin_counts n;
    struct choir *c;

    begin();
    print_message("seed %u\n", seed);
    options.timeout_ms = 20000;
    c = open_or_fail();
    for (int i = 0; i < N; i++) {
        requests[i] = send_put(c, "k", NULL);
        if (rand_r(&seed) % 40 == 0)
            one_trouble(rand_r(&seed) % 7);
    }
    standin_turn_away(broker, 0, 0);
    standin_swallow(broker, 0);
    standin_restart(broker, 1); /* fetches what was swallowed last */
    for (int i = 0; i < N; i++) {
        int code = code_of(c, requests[i]);

        CHECK(code == 0 || code == CHOIR_RATE || code == CHOIR_READ_ONLY);
        done += code == 0;
    }
    n = standin_counts(broker);
    CHECK_EQ(n.operations, done);
    CHECK_EQ(n.equivocations, 0);
    CHECK_EQ(n.bad, 0);
    choir_close(&c);
    end();
}

TEST(a_session_that_ended_is_followed_by_another)
{
    struct choir *c;

    begin();
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    standin_end_sessions(broker);
    put_or_fail(c, "k", "w");
    CHECK_EQ(standin_counts(broker).sessions, 2);
    standin_end_sessions(broker);
    struct choir_event *e;
    CHECK_OK(choir_get(c, "k", 0, &e));
    choir_event_free(&e);
    CHECK_EQ(standin_counts(broker).sessions, 3);
    choir_close(&c);
    end();
}

/* The answer was lost, and then the session: nobody can know. */
static void lose_answer_and_session(void)
{
    standin_restart(broker, 10);
    standin_end_sessions(broker);
}

TEST(an_outcome_lost_with_its_session_is_called_unknown)
{
    struct choir *c;
    uint64_t request;

    begin();
    c = open_or_fail();
    standin_swallow(broker, 1);
    request = send_put(c, "k", NULL);
    while (standin_counts(broker).operations < 1)
        usleep(1000);
    lose_answer_and_session();
    /* ended before or after the resend: both are possible fates */
    int code = code_of(c, request);
    CHECK(code == CHOIR_OUTCOME_UNKNOWN || code == 0);
    CHECK_EQ(standin_counts(broker).operations, 1);
    choir_close(&c);
    end();
}

TEST(an_operation_with_an_id_is_said_again_in_the_next_session)
{
    struct choir *c;
    uint64_t request;

    begin();
    c = open_or_fail();
    standin_mute(broker, true);
    request = send_put(c, "k", "once");
    usleep(20000);
    standin_end_sessions(broker);
    standin_mute(broker, false);
    standin_restart(broker, 1);
    CHECK_OK(code_of(c, request));
    CHECK_EQ(standin_counts(broker).sessions, 2);
    choir_close(&c);
    end();
}

TEST(nobody_there_is_unreachable)
{
    struct choir_event *e;
    struct choir *c;

    begin();
    options.url = "ipc:///nonexistent/socket";
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_NO_IDENTITY);
    options.url = NULL;
    c = open_or_fail();
    choir_close(&c);
    standin_stop(&broker);
    options.timeout_ms = 100;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_UNREACHABLE);
    CHECK(strstr(choir_error_text(), "timeout_ms=100"));
    options.flags = CHOIR_OPEN_NOWAIT;
    CHECK_OK(choir_open(&options, &c));
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), CHOIR_UNREACHABLE);
    CHECK_REFUSED(choir_get(c, "k", 0, &e), CHOIR_UNREACHABLE);
    choir_close(&c);
    broker = standin_start(dir);
    end();
}

TEST(a_silent_broker_is_a_timeout)
{
    struct choir *c;

    begin();
    options.timeout_ms = 1000;
    c = open_or_fail();
    standin_mute(broker, true);
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), CHOIR_TIMEOUT);
    CHECK(strstr(choir_error_text(), "may still happen"));
    CHECK_REFUSED(choir_flush(c, 10), CHOIR_TIMEOUT);
    standin_mute(broker, false);
    standin_restart(broker, 1);
    CHECK_OK(choir_flush(c, 5000));
    CHECK_EQ(standin_counts(broker).operations, 1);
    choir_close(&c);
    end();
}

static void *interrupt_soon(void *c)
{
    usleep(20000);
    choir_interrupt(c);
    return NULL;
}

TEST(a_wait_can_be_interrupted)
{
    struct choir_event *e;
    struct choir *c;
    pthread_t t;

    begin();
    c = open_or_fail();
    pthread_create(&t, NULL, interrupt_soon, c);
    CHECK_REFUSED(choir_next(c, -1, &e), CHOIR_INTERRUPTED);
    pthread_join(t, NULL);
    choir_interrupt(c);
    CHECK_REFUSED(choir_next(c, 5000, &e), CHOIR_INTERRUPTED);
    put_or_fail(c, "k", "v");
    choir_close(&c);
    end();
}

/* --- A broker that lies --------------------------------------------------- */

static void lie(enum standin_trick trick, int code, const char *what)
{
    struct choir_event *e;
    struct choir *c;
    uint64_t request;

    begin();
    c = open_or_fail();
    request = send_put(c, "before", NULL);
    CHECK_OK(code_of(c, request));
    standin_trick(broker, trick);
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), code);
    CHECK(strstr(choir_error_text(), what));
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), code);
    CHECK_REFUSED(choir_next(c, 1000, &e), code);
    CHECK_REFUSED(choir_get(c, "k", 0, &e), code);
    CHECK_NOT(choir_connected(c));
    choir_close(&c);
    end();
}

TEST(an_answer_with_a_foreign_signature_ends_the_handle)
{
    lie(TRICK_BAD_SIGNATURE, CHOIR_BROKEN, "what=signature");
}

TEST(an_answer_from_another_ledger_ends_the_handle)
{
    lie(TRICK_OTHER_LEDGER, CHOIR_WRONG_LEDGER, "ledger=");
}

TEST(an_answer_for_somebody_else_ends_the_handle)
{
    lie(TRICK_OTHER_RECIPIENT, CHOIR_BROKEN, "what=recipient");
}

TEST(garbage_ends_the_handle)
{
    lie(TRICK_GARBAGE, CHOIR_BROKEN, "what=frame");
}

TEST(a_message_of_two_parts_ends_the_handle)
{
    lie(TRICK_TWO_PARTS, CHOIR_BROKEN, "several parts");
}

TEST(a_ledger_that_shrinks_ends_the_handle)
{
    lie(TRICK_SHRUNK, CHOIR_LEDGER_BEHIND, "seen_size=");
}

TEST(a_second_ledger_of_the_same_size_ends_the_handle)
{
    struct choir_event *e;
    struct choir *c;

    begin();
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    standin_trick(broker, TRICK_FORKED);
    CHECK_REFUSED(choir_get(c, "k", 0, &e), CHOIR_BROKEN);
    CHECK(strstr(choir_error_text(), "what=fork"));
    choir_close(&c);
    end();
}

TEST(a_restored_ledger_needs_the_operators_word_even_after_a_restart)
{
    struct choir *c;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 10; i++)
        put_or_fail(c, "k", "v");
    choir_close(&c);
    standin_restore(broker, 103);
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_LEDGER_BEHIND);
    CHECK(strstr(choir_error_text(), "lost entries 10"));
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_LEDGER_BEHIND);
    options.flags = CHOIR_ACCEPT_EPOCH;
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    choir_close(&c);
    options.flags = 0;
    c = open_or_fail();
    choir_close(&c);
    end();
}

TEST(a_restore_that_kept_what_we_saw_needs_no_word)
{
    struct choir *c;
    uint64_t epoch, size;
    unsigned hellos;

    begin();
    c = open_or_fail();
    put_or_fail(c, "k", "v");
    hellos = standin_counts(broker).hellos; /* enrolling said one as well */
    standin_restore(broker, 500);
    standin_restart(broker, 1);
    while (standin_counts(broker).hellos == hellos || !choir_connected(c))
        usleep(1000);
    put_or_fail(c, "k", "w");
    choir_checkpoint(c, &epoch, &size, NULL);
    CHECK_EQ(epoch, 2);
    CHECK(size > 500);
    choir_close(&c);
    end();
}

TEST(a_revoked_key_is_an_unknown_agent)
{
    struct choir *c;

    begin();
    c = open_or_fail();
    standin_refuse_keys(broker, true);
    standin_restart(broker, 1);
    CHECK_REFUSED(choir_put(c, "k", "v", 1, NULL), CHOIR_UNKNOWN_AGENT);
    choir_close(&c);
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_UNKNOWN_AGENT);
    end();
}

TEST(another_broker_at_the_same_place_is_noticed)
{
    struct choir *c;
    char copy[300];

    begin();
    c = open_or_fail();
    snprintf(copy, sizeof copy, "%s", choir_identity_path(c));
    choir_close(&c);
    standin_stop(&broker);
    broker = standin_start(dir); /* new keys, new ledger, same address */
    options.identity_path = copy;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_WRONG_BROKER);
    end();
}

/* --- Standing requests ---------------------------------------------------- */

TEST(a_watch_delivers_each_change_once_across_restarts)
{
    struct choir_event *e;
    struct choir *c;
    uint64_t watch, last = 0;
    unsigned changes = 0, caught_up = 0;

    begin();
    c = open_or_fail();
    CHECK_OK(choir_watch(c, "", 0, &watch));
    for (int i = 0; i < 300; i++) {
        put_or_fail(c, "k", "v");
        if (i == 100 || i == 200)
            standin_restart(broker, 1);
        while (choir_wait(c, watch, i == 299 ? 300 : 0, &e) == 0) {
            if (strcmp(choir_event_name(e), "change") == 0) {
                CHECK(choir_event_uint(e, "revision") > last);
                last = choir_event_uint(e, "revision");
                changes++;
            }
            caught_up += strcmp(choir_event_name(e), "caught_up") == 0;
            choir_event_free(&e);
        }
    }
    CHECK_EQ(caught_up, 1);
    /* the stand-in keeps no history, so what a reconnect missed is missed;
     * without a restart there would be 300 */
    CHECK(changes > 250 && changes <= 300);
    CHECK_OK(choir_cancel(c, watch));
    CHECK_REFUSED(choir_wait(c, watch, 0, &e), CHOIR_NOT_FOUND);
    choir_close(&c);
    end();
}

TEST(a_lease_is_kept_alive_while_the_caller_does_something_else)
{
    struct choir_event *task;
    struct choir *c;
    uint64_t id;
    size_t n;

    begin();
    c = open_or_fail();
    id = standin_task(broker, "q");
    CHECK_OK(choir_work(c, "q", 5000, &task));
    CHECK_EQ(choir_event_uint(task, "task"), id);
    CHECK_MEM(choir_event_value(task, &n), "payload", 7);
    while (standin_counts(broker).heartbeats < 3)
        usleep(5000);
    CHECK(choir_task_held(c, task));
    CHECK_OK(choir_complete(c, task, "r", 1));
    CHECK_NOT(choir_task_held(c, task));
    CHECK_EQ(standin_counts(broker).completes, 1);
    choir_event_free(&task);
    choir_close(&c);
    end();
}

TEST(a_lost_lease_is_noticed_by_the_heartbeat)
{
    struct choir_event *task;
    struct choir *c;

    begin();
    c = open_or_fail();
    standin_task(broker, "q");
    CHECK_OK(choir_work(c, "q", 5000, &task));
    standin_lose_lease(broker, choir_event_uint(task, "task"));
    for (int i = 0; i < 1000 && choir_task_held(c, task); i++)
        usleep(2000);
    CHECK_NOT(choir_task_held(c, task));
    choir_event_free(&task);
    choir_close(&c);
    end();
}

TEST(a_task_nobody_fetched_goes_back_when_the_handle_closes)
{
    struct choir_request *r;
    struct choir_event *e;
    struct choir *c;
    uint64_t id;

    begin();
    c = open_or_fail();
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    CHECK_OK(choir_send(c, &r, 1000, &id));
    CHECK_OK(choir_wait(c, id, 5000, &e));
    choir_event_free(&e);
    standin_task(broker, "q");
    struct pollfd p = {.fd = choir_fd(c), .events = POLLIN};
    CHECK_EQ(poll(&p, 1, 5000), 1);
    choir_close(&c);
    for (int i = 0; i < 1000 && standin_counts(broker).naks < 1; i++)
        usleep(1000);
    CHECK_EQ(standin_counts(broker).naks, 1);
    end();
}

TEST(a_task_nobody_fetched_goes_back_when_its_request_is_cancelled)
{
    struct choir_request *r;
    struct choir_event *e;
    struct choir *c;
    struct pollfd p;
    uint64_t id;

    begin();
    c = open_or_fail();
    p = (struct pollfd){.fd = choir_fd(c), .events = POLLIN};
    r = choir_request_new(c, "work");
    choir_request_text(r, "queue", "q");
    CHECK_OK(choir_send(c, &r, 1000, &id));
    CHECK_OK(choir_wait(c, id, 5000, &e));
    choir_event_free(&e);
    standin_task(broker, "q");
    CHECK_EQ(poll(&p, 1, 5000), 1);
    CHECK_OK(choir_cancel(c, id));
    for (int i = 0; i < 2000 && standin_counts(broker).naks < 1; i++)
        usleep(1000);
    CHECK_EQ(standin_counts(broker).naks, 1);
    CHECK_EQ(poll(&p, 1, 0), 0);
    choir_close(&c);
    CHECK_EQ(standin_counts(broker).naks, 1);
    end();
}

TEST(waiting_for_work_in_vain_is_a_timeout)
{
    struct choir_event *task;
    struct choir *c;

    begin();
    c = open_or_fail();
    CHECK_REFUSED(choir_work(c, "q", 30, &task), CHOIR_TIMEOUT);
    standin_task(broker, "q");
    CHECK_OK(choir_work(c, "q", 5000, &task));
    CHECK_OK(choir_nak(c, task, NULL));
    choir_event_free(&task);
    choir_close(&c);
    end();
}

/* --- Threads -------------------------------------------------------------- */

static void *put_many(void *c)
{
    for (int i = 0; i < 100; i++)
        if (choir_put(c, "k", "v", 1, NULL))
            return c;
    return NULL;
}

TEST(threads_share_a_handle)
{
    pthread_t t[4];
    struct choir *c;
    void *failed;

    begin();
    c = open_or_fail();
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, put_many, c);
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], &failed);
        CHECK_NULL(failed);
    }
    CHECK_EQ(standin_counts(broker).operations, 400);
    choir_close(&c);
    end();
}

static void *open_close(void *unused)
{
    struct choir *c;

    (void)unused;
    if (choir_open(&options, &c))
        return strdup(choir_error_text());
    choir_close(&c);
    return NULL;
}

TEST(many_who_enrol_at_once_end_up_with_one_identity)
{
    pthread_t t[6];

    begin();
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, open_close, NULL);
    for (int i = 0; i < 6; i++) {
        void *failed;

        pthread_join(t[i], &failed);
        if (failed)
            fail_msg("%s", (char *)failed);
    }
    CHECK_EQ(standin_counts(broker).enrolments, 1);
    CHECK_EQ(standin_counts(broker).sessions, 6);
    end();
}

CHECK_MAIN
