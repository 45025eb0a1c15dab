/* Names and sentences of the refusals, from the one table. */
#include "refusal.h"

const char *refusal_name(int code)
{
    switch (code) {
#define X(name, number, class, sentence) \
    case number: return #name;
        CHOIR_REFUSALS(X)
#undef X
    default: return "UNKNOWN";
    }
}

const char *refusal_sentence(int code)
{
    switch (code) {
#define X(name, number, class, sentence) \
    case number: return sentence;
        CHOIR_REFUSALS(X)
#undef X
    default: return "an unknown code";
    }
}

enum refusal_class refusal_class(int code)
{
    switch (code) {
#define X(name, number, class, sentence) \
    case number: return REFUSAL_##class;
        CHOIR_REFUSALS(X)
#undef X
    default: return REFUSAL_NONE;
    }
}
