/* The table of refusals keeps its own rules. */
#include "tests/check.h"

#include <ctype.h>

#include "proto/refusal.h"

static const int codes[] = {
#define X(name, number, class, sentence) number,
    CHOIR_REFUSALS(X)
#undef X
};

TEST(refusals_have_a_name_a_sentence_and_a_class)
{
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK(strcmp(refusal_name(codes[i]), "UNKNOWN") != 0);
        CHECK(isupper((unsigned char)refusal_name(codes[i])[0]));
        CHECK(strlen(refusal_sentence(codes[i])) > 0);
        CHECK(refusal_class(codes[i]) != REFUSAL_NONE);
    }
    CHECK_STR(refusal_name(CHOIR_CONFLICT), "CONFLICT");
}

TEST(refusals_of_a_class_stand_together)
{
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        enum refusal_class c = refusal_class(codes[i]);

        CHECK_EQ(c == REFUSAL_OUTCOME, codes[i] < 64);
        CHECK_EQ(c == REFUSAL_TURNAWAY, codes[i] >= 64 && codes[i] < 96);
        CHECK_EQ(c == REFUSAL_READ, codes[i] >= 96 && codes[i] < 128);
        CHECK_EQ(c == REFUSAL_LOCAL, codes[i] >= 128);
        CHECK(codes[i] < 256); /* an outcome is one byte in the record */
    }
}

TEST(refusal_without_a_row_is_said_to_be_unknown)
{
    CHECK_STR(refusal_name(255), "UNKNOWN");
    CHECK_STR(refusal_name(-1), "UNKNOWN");
    CHECK_STR(refusal_sentence(255), "an unknown code");
    CHECK_EQ(refusal_class(63), REFUSAL_NONE);
}

CHECK_MAIN
