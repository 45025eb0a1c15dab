/* broker/state/policy: against a plain list that cannot be wrong. */
#include "broker/state/policy.h"

#include <errno.h>

#include "broker/state/item.h"
#include "proto/key.h"
#include "proto/refusal.h"
#include "tests/check.h"
#include "tests/support/records.h"

static struct digest digest;

static struct policies *fresh(void)
{
    struct policies *p;

    CHECK_OK(crypto_start());
    digest = (struct digest){0};
    p = policies_new(&digest);
    assert_non_null(p);
    return p;
}

static void set(struct policies *p, const char *prefix, enum merge_rule rule)
{
    CHECK_OK(policy_set(p, text("s"), text(prefix), rule));
}

TEST(longest_prefix_decides)
{
    struct policies *p = fresh();

    CHECK_EQ(policy_of(p, text("s"), text("plan/a")), RULE_NONE);
    set(p, "", RULE_CAS);
    set(p, "plan/", RULE_MERGE);
    set(p, "plan/log", RULE_APPEND);
    set(p, "plan/log/raw", RULE_LWW);
    CHECK_EQ(policy_of(p, text("s"), text("x")), RULE_CAS);
    CHECK_EQ(policy_of(p, text("s"), text("plan")), RULE_CAS);
    CHECK_EQ(policy_of(p, text("s"), text("plan/")), RULE_MERGE);
    CHECK_EQ(policy_of(p, text("s"), text("plan/lo")), RULE_MERGE);
    CHECK_EQ(policy_of(p, text("s"), text("plan/log")), RULE_APPEND);
    CHECK_EQ(policy_of(p, text("s"), text("plan/log/ra")), RULE_APPEND);
    CHECK_EQ(policy_of(p, text("s"), text("plan/log/raw/7")), RULE_LWW);
    CHECK_EQ(policy_of(p, text("other"), text("plan/log")), RULE_NONE);
    policies_destroy(&p);
}

TEST(none_takes_a_policy_away_and_leaves_the_digest_as_it_was)
{
    struct policies *p = fresh();
    struct hash before = digest_value(&digest);

    set(p, "a", RULE_SET);
    CHECK_NOT(digest_is(&digest, &before));
    set(p, "a", RULE_COUNTER);
    CHECK_EQ(policy_at(p, text("s"), text("a")), RULE_COUNTER);
    CHECK_EQ(policies_count(p, text("s")), 1);
    set(p, "a", RULE_NONE);
    set(p, "b", RULE_NONE);
    CHECK_EQ(policy_of(p, text("s"), text("a")), RULE_NONE);
    CHECK_NOT(policies_any(p));
    CHECK(digest_is(&digest, &before));
    policies_destroy(&p);
}

TEST(unknown_rules_and_long_names_are_refused)
{
    struct policies *p = fresh();
    char long_name[LIMIT_KEY_BYTES + 2];

    memset(long_name, 'x', sizeof long_name);
    long_name[LIMIT_KEY_BYTES + 1] = 0;
    CHECK_EQ(policy_set(p, text("s"), text("a"), RULE_END), -EINVAL);
    CHECK_EQ(policy_set(p, text("s"), text(long_name), RULE_CAS), -EINVAL);
    CHECK_EQ(policy_set(p, text(""), text("a"), RULE_CAS), -EINVAL);
    policies_destroy(&p);
}

enum { NAMES = 60 };

TEST(policies_agree_with_a_plain_list)
{
    enum merge_rule list[NAMES] = {0};
    char names[NAMES][12];
    struct policies *p = fresh();

    roll_start(3);
    for (int i = 0; i < NAMES; i++) { /* "", a, ab, aba, ... */
        for (int k = 0; k < i / 6; k++)
            names[i][k] = (char)('a' + (i + k) % 2);
        names[i][i / 6] = 0;
    }
    for (int round = 0; round < 3000; round++) {
        size_t at = roll(NAMES);
        enum merge_rule rule = (enum merge_rule)roll(RULE_END), want = 0;
        const char *key = names[roll(NAMES)];
        size_t best = 0;

        set(p, names[at], rule);
        for (size_t i = 0; i < NAMES; i++) {
            if (strcmp(names[i], names[at]) == 0)
                list[i] = rule;
        }
        for (size_t i = 0; i < NAMES; i++) {
            size_t n = strlen(names[i]);

            if (list[i] && strncmp(key, names[i], n) == 0 && n >= best) {
                best = n;
                want = list[i];
            }
        }
        CHECK_EQ(policy_of(p, text("s"), text(key)), want);
    }
    policies_destroy(&p);
}

TEST(policies_return_after_save_and_load)
{
    struct policies *p = fresh(), *again;
    struct records saved = {0};
    struct bytes prefix = {0};
    enum merge_rule rule;
    struct hash want;

    set(p, "b", RULE_SET);
    set(p, "", RULE_CAS);
    CHECK_OK(policy_set(p, text("t"), text("b/c"), RULE_MERGE));
    want = digest_value(&digest);
    CHECK_OK(policies_save(p, records_put, &saved));
    CHECK_EQ(saved.count, 3);
    again = fresh();
    for (size_t i = 0; i < saved.count; i++)
        CHECK_OK(policies_load(again, buf_bytes(&saved.v[i])));
    CHECK(digest_is(&digest, &want));
    CHECK(policies_next(again, text("s"), prefix, &prefix, &rule));
    CHECK_EQ(prefix.n, 0);
    CHECK_EQ(rule, RULE_CAS);
    CHECK(policies_next(again, text("s"), prefix, &prefix, &rule));
    CHECK(bytes_equal(prefix, text("b")));
    CHECK_NOT(policies_next(again, text("s"), prefix, &prefix, &rule));
    CHECK_REFUSED(policies_load(again, buf_bytes(&saved.v[0])),
                  CHOIR_MALFORMED); /* twice */
    saved.v[1].p[1] = RULE_END;
    policies_destroy(&again);
    again = fresh();
    CHECK_REFUSED(policies_load(again, buf_bytes(&saved.v[1])),
                  CHOIR_MALFORMED);
    records_free(&saved);
    policies_destroy(&p);
    policies_destroy(&again);
}

CHECK_MAIN
