/* broker/base/config: what a file may say, and what it is told. */
#include "tests/check.h"

#include "broker/base/config.h"
#include "broker/base/log.h"

#include <errno.h>
#include <unistd.h>

static char heard[16][512];
static size_t heard_n;

static void hear(void *arg, const char *message)
{
    CHECK_STR(arg, "arg");
    if (heard_n < 16)
        snprintf(heard[heard_n++], sizeof(*heard), "%s", message);
}

static int load_bytes(const char *text, size_t len, struct config **config)
{
    FILE *file = fopen("unit.conf", "w");

    fwrite(text, 1, len, file);
    fclose(file);
    heard_n = 0;
    *config = NULL;
    return config_load("unit.conf", config, hear, "arg");
}

static int load(const char *text, struct config **config)
{
    return load_bytes(text, strlen(text), config);
}

static void check_refused(const char *text, const char *message)
{
    struct config *config;

    CHECK_EQ(load(text, &config), -EINVAL);
    CHECK_NULL(config);
    CHECK_EQ(heard_n, 1);
    CHECK_STR(heard[0], message);
}

static void enter_tmp(void)
{
    const char *tmp = getenv("TMPDIR");

    CHECK_OK(chdir(tmp ? tmp : "/tmp"));
}

static char *print(const struct config *config)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    config_print(config, out);
    fclose(out);
    return text;
}

static char *example(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    config_print_example(out);
    fclose(out);
    return text;
}

/* First: it reads the checkout's own file, before enter_tmp(). With
 * CHOIR_WRITE_EXAMPLE set it writes it instead. */
TEST(config_example_of_the_checkout_is_that_of_the_table)
{
    char *wanted = example();
    char shipped[16384] = {0};
    FILE *file;

    if (getenv("CHOIR_WRITE_EXAMPLE")) {
        file = fopen("broker/choird.conf", "w");
        fputs(wanted, file);
        fclose(file);
    }
    file = fopen("broker/choird.conf", "r");
    assert_non_null(file);
    CHECK(fread(shipped, 1, sizeof(shipped) - 1, file) > 0);
    fclose(file);
    CHECK_STR(shipped, wanted);
    free(wanted);
    enter_tmp();
}

TEST(config_example_uncommented_is_the_defaults)
{
    struct config *defaults = config_default();
    struct config *config;
    char *wanted = print(defaults);
    char *text = example();
    char *got;

    for (char *at = text; (at = strstr(at, "\n#")); at++)
        if (at[2] != ' ')
            at[1] = ' ';
    CHECK_OK(load(text, &config));
    got = print(config);
    CHECK_STR(got, wanted);
    free(got);
    free(text);
    free(wanted);
    config_destroy(&config);
    config_destroy(&defaults);
}

TEST(config_of_an_empty_file_is_the_defaults)
{
    struct config *config;

    CHECK_OK(load("", &config));
    CHECK_STR(config->data, "");
    CHECK_EQ(config->listen.n, 1);
    CHECK_STR(config->listen.items[0], "tcp://127.0.0.1:7117");
    CHECK_EQ(config->log_level, LOG_LEVEL_INFO);
    CHECK_EQ(config->segment_bytes, 32 << 20);
    CHECK_EQ(config->value_bytes_max, 1 << 20);
    CHECK_EQ(config->bundle_bytes_max, 4 << 20);
    CHECK_EQ(config->lease_ms_default, 30000);
    CHECK_EQ(config->agent_bytes_per_s, 0);
    CHECK(config->preallocate);
    config_destroy(&config);
}

TEST(config_reads_each_kind_of_value)
{
    struct config *config;

    CHECK_OK(load("data = \"/srv/a \\\"b\\\"\" # where\n"
                  "listen = {\"tcp://*:1\", \"tcp://127.0.0.1:3\"}\n"
                  "listen += \"tcp://[::1]:2\"\n"
                  "log_level = debug\npreallocate = false\n"
                  "value_bytes_max = 2MiB // more\nsession_idle_s=60\n",
                  &config));
    CHECK_STR(config->data, "/srv/a \"b\"");
    CHECK_EQ(config->listen.n, 3);
    CHECK_STR(config->listen.items[0], "tcp://*:1");
    CHECK_STR(config->listen.items[1], "tcp://127.0.0.1:3");
    CHECK_STR(config->listen.items[2], "tcp://[::1]:2");
    CHECK_EQ(config->log_level, LOG_LEVEL_DEBUG);
    CHECK_NOT(config->preallocate);
    CHECK_EQ(config->value_bytes_max, 2 << 20);
    CHECK_EQ(config->session_idle_s, 60);
    config_destroy(&config);
}

TEST(config_keeps_a_comment_mark_inside_quotes)
{
    struct config *config;

    CHECK_OK(load("data = \"/a#b\"\nrun_dir = '//c/*d'\n", &config));
    CHECK_STR(config->data, "/a#b");
    CHECK_STR(config->run_dir, "//c/*d");
    config_destroy(&config);
}

TEST(config_printed_is_accepted_again)
{
    struct config *config;
    struct config *again;
    char *text;
    char *text_again;

    CHECK_OK(load("data = '/a ${HOME} \"b\" \\\\ c'\nlisten = \"tcp://*:9\"\n"
                  "value_bytes_max = 65537\npreallocate = false\n",
                  &config));
    CHECK_STR(config->data, "/a ${HOME} \"b\" \\ c");
    text = print(config);
    CHECK_OK(load(text, &again));
    text_again = print(again);
    CHECK_STR(text_again, text);
    CHECK_STR(again->data, config->data);
    free(text);
    free(text_again);
    config_destroy(&config);
    config_destroy(&again);
}

TEST(config_names_the_line_of_an_unknown_key)
{
    check_refused("# one\n/* two\n three */\n\n// five\ndata = a # six\n"
                  "colour = blue\n",
                  "unit.conf:7: unknown option colour");
}

TEST(config_names_key_value_and_limit_above_it)
{
    check_refused("\nvalue_bytes_max = 9MiB\n",
                  "unit.conf:2: value_bytes_max = 9MiB: above the limit of "
                  "8388608 bytes");
}

TEST(config_names_key_value_and_limit_below_it)
{
    check_refused("session_idle_s = 0",
                  "unit.conf:1: session_idle_s = 0: below the limit of "
                  "10 seconds");
}

TEST(config_refuses_what_is_no_number)
{
    check_refused("lease_ms_max = 5s",
                  "unit.conf:1: lease_ms_max = 5s: must be a whole number of "
                  "ms without a suffix");
    check_refused("segment_bytes = -1",
                  "unit.conf:1: segment_bytes = -1: must be a whole number of "
                  "bytes, as it is or with KiB, MiB, GiB");
    check_refused("segment_bytes = 99999999999999999999999",
                  "unit.conf:1: segment_bytes = 99999999999999999999999: must "
                  "be a whole number of bytes, as it is or with KiB, MiB, GiB");
    check_refused("segment_bytes = 18014398509481984GiB",
                  "unit.conf:1: segment_bytes = 18014398509481984GiB: must be "
                  "a whole number of bytes, as it is or with KiB, MiB, GiB");
    check_refused("session_idle_s = ''",
                  "unit.conf:1: session_idle_s = \"\": must be a whole number "
                  "of seconds without a suffix");
}

TEST(config_refuses_other_words_for_true_and_levels)
{
    check_refused("preallocate = yes",
                  "unit.conf:1: preallocate = yes: must be true or false");
    check_refused("log_level = loud",
                  "unit.conf:1: log_level = loud: must be error, warn, info "
                  "or debug");
}

TEST(config_refuses_an_endpoint_of_another_kind)
{
    check_refused("listen = { \"tcp://*:1\",\n \"udp://*:7\" }",
                  "unit.conf:2: listen = udp://*:7: must be "
                  "tcp://ADDRESS:PORT, in quotes");
    check_refused("listen = \"ipc:///run/c\"",
                  "unit.conf:1: listen = ipc:///run/c: must be "
                  "tcp://ADDRESS:PORT, in quotes");
    check_refused("listen = \"tcp://nowhere\"",
                  "unit.conf:1: listen = tcp://nowhere: must be "
                  "tcp://ADDRESS:PORT, in quotes");
    check_refused("listen = \"tcp://*:99999\"",
                  "unit.conf:1: listen = tcp://*:99999: must be "
                  "tcp://ADDRESS:PORT, in quotes");
}

TEST(config_refuses_an_empty_list_of_endpoints)
{
    check_refused("listen = {}",
                  "unit.conf: listen = {}: at least one endpoint is needed");
}

TEST(config_refuses_too_many_endpoints)
{
    char text[1024] = "";

    for (int i = 0; i < 17; i++)
        strcat(text, "listen += \"tcp://*:1\"\n");
    check_refused(text, "unit.conf:17: listen = tcp://*:1: more than 16 "
                        "endpoints");
}

TEST(config_refuses_a_key_twice)
{
    check_refused("session_idle_s = 60\nsession_idle_s = 60\n",
                  "unit.conf:2: session_idle_s = 60: the option was set "
                  "before in this file");
}

TEST(config_refuses_options_that_do_not_fit_each_other)
{
    check_refused("lease_ms_default = 5000\nlease_ms_max = 4000\n",
                  "unit.conf: lease_ms_default = 5000: above lease_ms_max, "
                  "which is 4000 ms");
    check_refused("value_bytes_max = 4MiB\n",
                  "unit.conf: bundle_bytes_max = 4194304: must hold a value "
                  "and 4 KiB beside it; value_bytes_max is 4194304 bytes");
    check_refused("segment_bytes = 4MiB\n",
                  "unit.conf: segment_bytes = 4194304: must be twice "
                  "bundle_bytes_max, which is 4194304 bytes");
    check_refused("peer_bytes_in_flight_max = 1MiB\n",
                  "unit.conf: peer_bytes_in_flight_max = 1048576: must hold a "
                  "bundle; bundle_bytes_max is 4194304 bytes");
}

TEST(config_reports_every_error_and_not_only_the_first)
{
    struct config *config;

    CHECK_EQ(load("preallocate = 1\nfoo = {a, b}\nlog_level = x\nbar = 2\n"
                  "foo = 3\nsession_idle_s = 1\n",
                  &config),
             -EINVAL);
    CHECK_EQ(heard_n, 5);
    CHECK_STR(heard[0], "unit.conf:2: unknown option foo");
    CHECK_STR(heard[1], "unit.conf:4: unknown option bar");
    assert_non_null(strstr(heard[2], "unit.conf:1: preallocate = 1: "));
    assert_non_null(strstr(heard[3], "unit.conf:3: log_level = x: "));
    assert_non_null(strstr(heard[4], "unit.conf:6: session_idle_s = 1: "));
}

TEST(config_refuses_broken_syntax_and_reads_the_next_file)
{
    static const char *const broken[] = {
        "data",        "data =",          "data = = 1",  "data = {",
        "data = \"/a", "data = '/a",      "= 3",         "foo { x = 1 }",
        "}",           "data = a\n/* b",  "listen = {",  "listen = tcp://*:7",
        "\xff\x01",    "data = \"\x01\"", "data = \"\n", "data += 3 4",
    };
    struct config *config;

    for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++) {
        CHECK_EQ(load(broken[i], &config), -EINVAL);
        CHECK(heard_n > 0);
        CHECK_NULL(config);
        CHECK_OK(load("session_idle_s = 60\n", &config));
        config_destroy(&config);
    }
}

TEST(config_stops_at_many_unknown_keys)
{
    struct config *config;
    char text[4096];
    size_t len = 0;

    for (int i = 0; i < 200; i++)
        len += (size_t)sprintf(text + len, "x%d = 1\n", i);
    CHECK_EQ(load(text, &config), -EINVAL);
}

TEST(config_refuses_a_binary_file)
{
    struct config *config;

    CHECK_EQ(load_bytes("\n\0\n", 3, &config), -EINVAL);
    CHECK_STR(heard[0], "unit.conf:2: a NUL byte: this is not a text file");
}

TEST(config_says_that_a_file_is_missing)
{
    struct config *config = NULL;

    heard_n = 0;
    CHECK_EQ(config_load("no.conf", &config, hear, "arg"), -ENOENT);
    CHECK_STR(heard[0], "no.conf: cannot be read: No such file or directory");
}

TEST(config_escapes_a_hostile_value_in_its_error)
{
    struct config *config;

    CHECK_EQ(load("log_level = \"\x1b[2J\nx\"", &config), -EINVAL);
    assert_non_null(strstr(heard[0], "log_level = \"\\x1b[2J\\nx\": must be"));
}

TEST(config_sets_an_option_from_the_command_line)
{
    struct config *config = config_default();

    CHECK_OK(config_set(config, "data", "/d", false, "--data", hear, "arg"));
    CHECK_OK(config_set(config, "listen", "tcp://*:1", false, "--listen", hear,
                        "arg"));
    CHECK_OK(config_set(config, "listen", "tcp://*:2", true, "--listen", hear,
                        "arg"));
    CHECK_STR(config->data, "/d");
    CHECK_EQ(config->listen.n, 2);
    CHECK_STR(config->listen.items[0], "tcp://*:1");
    heard_n = 0;
    CHECK_EQ(config_set(config, "listen", "x", true, "--listen", hear, "arg"),
             -EINVAL);
    CHECK_EQ(config_set(config, "foo", "x", true, "--foo", hear, "arg"),
             -EINVAL);
    CHECK_STR(heard[0],
              "--listen: listen = x: must be tcp://ADDRESS:PORT, in quotes");
    CHECK_STR(heard[1], "--foo: unknown option");
    config_destroy(&config);
}

TEST(config_names_what_needs_a_restart)
{
    struct config *now = config_default();
    struct config *wanted;

    CHECK_OK(load("session_idle_s = 60\nlog_level = warn\n", &wanted));
    CHECK_EQ(config_needs_restart(now, wanted, NULL, NULL), 0);
    config_destroy(&wanted);
    CHECK_OK(load("data = /x\nlisten = 'tcp://*:7118'\npreallocate = false\n",
                  &wanted));
    heard_n = 0;
    CHECK_EQ(config_needs_restart(now, wanted, hear, "arg"), 3);
    CHECK_STR(heard[0], "data");
    CHECK_STR(heard[1], "listen");
    CHECK_STR(heard[2], "preallocate");
    config_destroy(&wanted);
    config_destroy(&now);
    config_destroy(&now);
    config_destroy(NULL);
}

CHECK_MAIN
