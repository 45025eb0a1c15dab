/* Where broker and identity are found, and how an identity comes to be. */
#include "agent-sdk/find.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-sdk/identity.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/home.h"
#include "tests/support/standin.h"

static struct choir_options options;
static char dir[HOME_BYTES];

static void begin(void)
{
    home_make(dir);
    options = (struct choir_options)CHOIR_OPTIONS_INIT;
    options.data_dir = dir;
    options.name = "ada";
    options.timeout_ms = 5000;
}

static void end(void)
{
    home_remove(dir);
}

static char *file_text(const char *path)
{
    static char text[4096];
    FILE *f = fopen(path, "r");
    size_t n;

    CHECK(f != NULL);
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    return text;
}

static char *invitation(void)
{
    char path[300];

    snprintf(path, sizeof path, "%s/local.invite", dir);
    return file_text(path);
}

/* Joins, and returns where the identity is. */
static void join(char path[300])
{
    char *at;

    if (choir_join(invitation(), &options, &at))
        fail_msg("%s", choir_error_text());
    snprintf(path, 300, "%s", at);
    choir_free(at);
}

static void expect_steps(int code, const char *line)
{
    char *text;

    CHECK_REFUSED(choir_discover(&options, &text), code);
    if (!strstr(text, line))
        fail_msg("no \"%s\" in:\n%s", line, text);
    choir_free(text);
}

TEST(without_a_broker_the_steps_say_what_was_looked_for)
{
    begin();
    expect_steps(CHOIR_NO_IDENTITY, "step=name value=ada from=option");
    expect_steps(CHOIR_NO_IDENTITY, "step=space value=main from=default");
    expect_steps(CHOIR_NO_IDENTITY, "local.invite from=data note=there is no");
    CHECK(strstr(choir_error_text(), "choir join"));
    end();
}

TEST(who_has_an_identity_under_another_name_is_told_it)
{
    char path[300];
    FILE *f;

    begin();
    expect_steps(CHOIR_NO_IDENTITY, "step=name value=ada");
    CHECK_NULL(strstr(choir_error_text(), "CHOIR_AS"));
    CHECK_OK(mkdir(getenv("CHOIR_CONFIG"), 0700));
    snprintf(path, sizeof path, "%s/bob@0123456789abcdef.identity",
             getenv("CHOIR_CONFIG"));
    f = fopen(path, "w");
    CHECK(f && fclose(f) == 0);
    expect_steps(CHOIR_NO_IDENTITY, "step=name value=ada");
    CHECK(strstr(choir_error_text(), "be bob"));
    unlink(path);
    end();
}

TEST(the_environment_is_asked_where_the_options_say_nothing)
{
    begin();
    options.name = NULL;
    setenv("CHOIR_AS", "eve", 1);
    setenv("CHOIR_SPACE", "team", 1);
    setenv("CHOIR_URL", "tcp://there:1", 1);
    expect_steps(CHOIR_NO_IDENTITY, "step=name value=eve from=CHOIR_AS");
    expect_steps(CHOIR_NO_IDENTITY, "step=space value=team from=CHOIR_SPACE");
    expect_steps(CHOIR_NO_IDENTITY,
                 "step=url value=tcp://there:1 from=CHOIR_URL");
    options.name = "ada";
    expect_steps(CHOIR_NO_IDENTITY, "step=name value=ada from=option");
    unsetenv("CHOIR_AS");
    unsetenv("CHOIR_SPACE");
    unsetenv("CHOIR_URL");
    end();
}

TEST(a_local_broker_invites_its_own_user)
{
    struct standin *broker;
    char path[300];

    begin();
    broker = standin_start(dir);
    expect_steps(0, "note=invites us");
    expect_steps(0, "note=enrols at first use");
    options.url = "tcp://elsewhere:1";
    expect_steps(CHOIR_NO_IDENTITY, "note=is for another broker");
    options.url = NULL;
    join(path);
    expect_steps(0, "note=is there");
    standin_stop(&broker);
    end();
}

TEST(an_identity_of_the_local_broker_is_found_after_its_port_changed)
{
    struct standin *broker;
    struct identity id;
    struct choir *c;
    char path[300];

    begin();
    broker = standin_start(dir);
    join(path);
    CHECK_OK(identity_load(&id, path));
    strcpy(id.broker.url, "tcp://127.0.0.1:1");
    CHECK_OK(identity_save(&id, path));
    expect_steps(0, "note=is there");
    CHECK_OK(choir_open(&options, &c));
    choir_close(&c);
    identity_wipe(&id);
    standin_stop(&broker);
    end();
}

TEST(an_identity_joined_before_is_found_without_a_local_invitation)
{
    struct standin *broker;
    char path[300], invite[300];

    begin();
    broker = standin_start(dir);
    join(path);
    snprintf(invite, sizeof invite, "%s/local.invite", dir);
    CHECK_OK(unlink(invite));
    expect_steps(0, path);
    options.name = "eve";
    expect_steps(CHOIR_NO_IDENTITY, "step=identity");
    standin_stop(&broker);
    end();
}

TEST(a_name_known_to_two_brokers_needs_a_url)
{
    char path[300], invite[300], other[256];
    struct standin *one, *two;

    begin();
    one = standin_start(dir);
    join(path);
    snprintf(invite, sizeof invite, "%s/local.invite", dir);
    CHECK_OK(unlink(invite));
    snprintf(other, sizeof other, "%.200s/other", dir);
    CHECK_OK(mkdir(other, 0700));
    two = standin_start(other);
    snprintf(invite, sizeof invite, "%s/local.invite", other);
    CHECK_OK(choir_join(file_text(invite), &options, NULL));
    expect_steps(CHOIR_NO_IDENTITY, "several brokers");
    standin_stop(&one);
    standin_stop(&two);
    end();
}

TEST(a_secret_others_may_read_is_refused)
{
    struct standin *broker;
    struct choir *c;
    char path[300];

    begin();
    broker = standin_start(dir);
    join(path);
    CHECK_OK(chmod(path, 0644));
    CHECK_REFUSED(choir_open(&options, &c), -EACCES);
    CHECK(strstr(choir_error_text(), "mode=0644 limit=0600"));
    CHECK(strstr(choir_error_text(), "chmod 600"));
    CHECK_OK(chmod(path, 0600));
    CHECK_OK(choir_open(&options, &c));
    choir_close(&c);
    standin_stop(&broker);
    end();
}

TEST(an_identity_file_that_is_none_is_refused)
{
    char path[300];
    struct choir *c;
    FILE *f;

    begin();
    snprintf(path, sizeof path, "%s/file", dir);
    options.identity_path = path;
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_NO_IDENTITY);
    f = fopen(path, "w");
    fputs("choir-identity-1:AAAA\n", f);
    fclose(f);
    CHECK_OK(chmod(path, 0600));
    CHECK_REFUSED(choir_open(&options, &c), CHOIR_MALFORMED);
    end();
}

TEST(an_identity_file_says_who_and_where)
{
    struct standin *broker;
    struct choir *c;
    char path[300];

    begin();
    broker = standin_start(dir);
    join(path);
    options = (struct choir_options)CHOIR_OPTIONS_INIT;
    options.identity_path = path;
    CHECK_OK(choir_open(&options, &c));
    CHECK_STR(choir_name(c), "ada");
    CHECK_STR(choir_identity_path(c), path);
    choir_close(&c);
    standin_stop(&broker);
    end();
}

TEST(joining_twice_keeps_the_identity)
{
    struct standin *broker;
    char path[300], again[300], before[4096];

    begin();
    broker = standin_start(dir);
    join(path);
    snprintf(before, sizeof before, "%s", file_text(path));
    join(again);
    CHECK_STR(again, path);
    CHECK_STR(file_text(path), before);
    CHECK_EQ(standin_counts(broker).enrolments, 1);
    standin_stop(&broker);
    end();
}

TEST(an_enrolment_cut_short_is_finished_with_the_same_keys)
{
    struct standin *broker;
    char path[300], begun[320], before[4096];

    begin();
    broker = standin_start(dir);
    join(path);
    snprintf(before, sizeof before, "%s", file_text(path));
    snprintf(begun, sizeof begun, "%s.begun", path);
    CHECK_OK(rename(path, begun)); /* as if we had died before the rename */
    join(path);
    CHECK_STR(file_text(path), before);
    CHECK_EQ(standin_counts(broker).enrolments, 1);
    CHECK_NE(access(begun, F_OK), 0);
    standin_stop(&broker);
    end();
}

/* It lets in whom it has in memory. Whether that is kept, only its word says. */
TEST(an_enrolment_is_not_believed_before_the_broker_has_spoken)
{
    struct standin *broker;
    char path[300], begun[320];

    begin();
    broker = standin_start(dir);
    join(path);
    snprintf(begun, sizeof begun, "%s.begun", path);
    CHECK_OK(rename(path, begun));
    standin_mute(broker, true);
    options.timeout_ms = 300;
    CHECK_REFUSED(choir_join(invitation(), &options, NULL), CHOIR_UNREACHABLE);
    CHECK_OK(access(begun, F_OK));
    standin_stop(&broker);
    end();
}

TEST(an_invitation_must_be_whole_and_alive)
{
    struct standin *broker;
    char *text, *path;

    begin();
    broker = standin_start(dir);
    CHECK_REFUSED(choir_join("hello", &options, NULL), CHOIR_MALFORMED);
    text = strstr(invitation(), "choir-invite-1:");
    text[strlen(text) / 2] = 0;
    CHECK_REFUSED(choir_join(text, &options, NULL), CHOIR_MALFORMED);
    standin_refuse_keys(broker, true);
    CHECK_REFUSED(choir_join(invitation(), &options, &path), CHOIR_EXPIRED);
    CHECK_NULL(path);
    CHECK(strstr(choir_error_text(), "choir invite"));
    standin_stop(&broker);
    options.timeout_ms = 100;
    CHECK_REFUSED(choir_join(invitation(), &options, NULL), CHOIR_UNREACHABLE);
    end();
}

TEST(joining_is_not_fooled_by_another_broker)
{
    struct standin *broker;
    char first[4096];

    begin();
    broker = standin_start(dir);
    snprintf(first, sizeof first, "%s", invitation());
    standin_stop(&broker);
    broker = standin_start(dir);
    CHECK_REFUSED(choir_join(first, &options, NULL), CHOIR_WRONG_BROKER);
    standin_stop(&broker);
    end();
}

static void nonsense_write(const char *file)
{
    FILE *f = fopen(file, "w");

    fputs("choir-seen-1 nonsense", f);
    fclose(f);
}

TEST(what_was_seen_is_kept_only_if_it_is_newer)
{
    struct checkpoint old = {.epoch = 1, .size = 10}, seen;
    struct checkpoint new = {.epoch = 1, .size = 20};
    struct hash ledger = {{7}}, other = {{8}};
    char path[300], file[320];

    begin();
    snprintf(path, sizeof path, "%s/id", dir);
    seen_load(&seen, NULL, path, &ledger);
    CHECK_EQ(seen.size, 0);
    seen_save(&new, bytes_text("proof"), path, &ledger, false);
    seen_save(&old, bytes_text("proof"), path, &ledger, false);
    seen_load(&seen, NULL, path, &ledger);
    CHECK_EQ(seen.size, 20);
    seen_load(&seen, NULL, path, &other);
    CHECK_EQ(seen.size, 0);
    seen_save(&old, bytes_text("proof"), path, &ledger, true);
    seen_load(&seen, NULL, path, &ledger);
    CHECK_EQ(seen.size, 10);
    snprintf(file, sizeof file, "%s.seen", path);
    nonsense_write(file);
    seen_load(&seen, NULL, path, &ledger);
    CHECK_EQ(seen.size, 20); /* the one before it */
    snprintf(file, sizeof file, "%s.seen.other", path);
    nonsense_write(file);
    seen_load(&seen, NULL, path, &ledger);
    CHECK_EQ(seen.size, 0);
    end();
}

CHECK_MAIN
