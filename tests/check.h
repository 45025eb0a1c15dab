/* A thin layer over cmocka, so that a test file is nothing but tests:
 *
 *     #include "tests/check.h"
 *     #include "proto/pack.h"
 *
 *     TEST(pack_refuses_truncated_map) { CHECK_EQ(pack_map(...), CHOIR_BAD); }
 *
 *     CHECK_MAIN
 *
 * Each TEST registers itself and they run in the order of the file; an
 * argument to the program is a pattern: only the tests it matches run. A failed
 * CHECK leaves the test at once. cmocka's own assert_*, skip() and *state are
 * there as well. */
#ifndef CHOIR_TESTS_CHECK_H
#define CHOIR_TESTS_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define CHECK_TESTS_MAX 512

static struct CMUnitTest check_tests[CHECK_TESTS_MAX];
static size_t check_count;

__attribute__((unused)) static void check_add(const char *name,
                                              CMUnitTestFunction run)
{
    if (check_count == CHECK_TESTS_MAX)
        abort();
    check_tests[check_count++] =
        (struct CMUnitTest){.name = name, .test_func = run};
}

#define TEST(name_)                                                  \
    static void name_(void **state);                                 \
    __attribute__((constructor)) static void check_add_##name_(void) \
    {                                                                \
        check_add(#name_, name_);                                    \
    }                                                                \
    static void name_(__attribute__((unused)) void **state)

#define CHECK_MAIN                                                         \
    int main(int argc, char **argv)                                        \
    {                                                                      \
        if (argc > 1)                                                      \
            cmocka_set_test_filter(argv[1]);                               \
        return _cmocka_run_group_tests(__FILE__, check_tests, check_count, \
                                       NULL, NULL) != 0;                   \
    }

#define CHECK(claim) assert_true(claim)
#define CHECK_NOT(claim) assert_false(claim)
#define CHECK_EQ(got, wanted) assert_int_equal(got, wanted)
#define CHECK_NE(got, other) assert_int_not_equal(got, other)
#define CHECK_OK(call) assert_int_equal(call, 0)
#define CHECK_REFUSED(call, code) assert_int_equal(call, code)
#define CHECK_STR(got, wanted) assert_string_equal(got, wanted)
#define CHECK_MEM(got, wanted, size) assert_memory_equal(got, wanted, size)
#define CHECK_NULL(pointer) assert_null(pointer)

#endif
