/* The keys of a replica, without a broker. */
#include "agent-sdk/replica_map.h"

#include "tests/check.h"

static struct version *version(const char *key, const char *value,
                               uint64_t revision)
{
    struct version_parts parts = {.key = bytes_text(key),
                                  .value = bytes_text(value),
                                  .revision = revision};

    return version_new(&parts);
}

static void put(struct replica_map *map, const char *key, uint64_t revision)
{
    CHECK_OK(replica_map_reserve(map, 1));
    CHECK_OK(replica_map_put(map, version(key, key, revision)));
}

static void check_cut(const struct replica_map *map, const char *prefix,
                      const char *const keys[], size_t wanted)
{
    struct version **v;
    size_t n;

    CHECK_OK(replica_map_cut(map, bytes_text(prefix), &v, &n));
    CHECK_EQ(n, wanted);
    for (size_t i = 0; i < n; i++) {
        CHECK_STR(v[i]->text, keys[i]);
        version_release(v[i]);
    }
    free(v);
}

TEST(a_cut_is_in_the_order_of_bytes_and_holds_the_prefix_alone)
{
    const char *const all[] = {"a",   "a/", "a/1",     "a/10",
                               "a/2", "b",  "\xc3\xa9"};
    const char *const slash[] = {"a/", "a/1", "a/10", "a/2"};
    struct replica_map *map = replica_map_new();

    put(map, "\xc3\xa9", 1);
    put(map, "a/2", 2);
    put(map, "a", 3);
    put(map, "b", 4);
    put(map, "a/10", 5);
    put(map, "a/1", 6);
    put(map, "a/", 7);
    check_cut(map, "", all, 7);
    check_cut(map, "a/", slash, 4);
    check_cut(map, "c", NULL, 0);
    replica_map_destroy(&map);
    CHECK_NULL(map);
}

TEST(a_map_holds_the_version_that_was_put_last)
{
    struct replica_map *map = replica_map_new();

    put(map, "k", 1);
    put(map, "k", 2);
    CHECK_EQ(replica_map_keys(map), 1);
    CHECK_EQ(replica_map_find(map, bytes_text("k"))->revision, 2);
    CHECK_NULL(replica_map_find(map, bytes_text("kk")));
    replica_map_remove(map, bytes_text("k"));
    replica_map_remove(map, bytes_text("k"));
    CHECK_NULL(replica_map_find(map, bytes_text("k")));
    CHECK_EQ(replica_map_bytes(map), 0);
    replica_map_destroy(&map);
}

TEST(a_version_that_is_held_outlives_the_map)
{
    struct replica_map *map = replica_map_new();
    struct version *v;

    put(map, "k", 1);
    v = replica_map_find(map, bytes_text("k"));
    version_hold(v);
    put(map, "k", 2);
    CHECK_EQ(v->revision, 1);
    replica_map_destroy(&map);
    CHECK_STR(version_value(v), "k");
    version_release(v);
}

enum { MANY = 5000 };

/* Against what it should be, over growth and gaps. */
TEST(a_map_holds_what_was_put_and_not_removed_whatever_came_between)
{
    struct replica_map *map = replica_map_new();
    static uint64_t is[MANY];
    size_t keys = 0, bytes;
    char key[16];

    srand(7);
    bytes = replica_map_bytes(map);
    for (uint64_t i = 1; i <= 20 * MANY; i++) {
        int k = rand() % (int)(i < 10 * MANY ? MANY : MANY / 10);

        snprintf(key, sizeof key, "k%d", k);
        CHECK_EQ(replica_map_revision(map, bytes_text(key)), is[k]);
        keys -= is[k] != 0;
        is[k] = rand() % 3 ? i : 0;
        keys += is[k] != 0;
        if (is[k])
            put(map, key, i);
        else
            replica_map_remove(map, bytes_text(key));
        CHECK_EQ(replica_map_keys(map), keys);
    }
    for (int k = 0; k < MANY; k++) {
        snprintf(key, sizeof key, "k%d", k);
        CHECK_EQ(replica_map_revision(map, bytes_text(key)), is[k]);
        replica_map_remove(map, bytes_text(key));
    }
    CHECK_EQ(replica_map_keys(map), 0);
    CHECK_EQ(replica_map_bytes(map), bytes);
    check_cut(map, "", NULL, 0);
    replica_map_destroy(&map);
}

TEST(a_map_that_was_given_room_but_not_used_it_frees_all)
{
    struct replica_map *map = replica_map_new();

    CHECK_OK(replica_map_reserve(map, 1000));
    CHECK_OK(replica_map_reserve(map, 10));
    CHECK_NULL(replica_map_find(map, bytes_text("k")));
    replica_map_destroy(&map);
}

TEST(what_is_gone_is_known_until_it_is_forgotten)
{
    struct replica_map *map = replica_map_new();

    put(map, "there", 5);
    CHECK_OK(replica_map_gone(map, bytes_text("gone"), 7));
    CHECK_OK(replica_map_gone(map, bytes_text("there"), 8));
    put(map, "stays", 9);
    CHECK_EQ(replica_map_revision(map, bytes_text("gone")), 7);
    CHECK_EQ(replica_map_revision(map, bytes_text("there")), 8);
    CHECK_NULL(replica_map_find(map, bytes_text("there")));
    CHECK_EQ(replica_map_keys(map), 1);
    check_cut(map, "", (const char *const[]){"stays"}, 1);
    replica_map_forget_gone(map);
    CHECK_EQ(replica_map_revision(map, bytes_text("gone")), 0);
    CHECK_EQ(replica_map_keys(map), 1);
    replica_map_destroy(&map);
}

TEST(a_version_keeps_value_type_and_writer_apart)
{
    struct version_parts parts = {.key = bytes_text("k"),
                                  .value = bytes_of("a\0b", 3),
                                  .type = bytes_text("text/plain"),
                                  .agent = {{1, 2, 3}}};
    struct version *v = version_new(&parts);

    CHECK_EQ(v->value_bytes, 3);
    CHECK_MEM(version_value(v), "a\0b\0", 4);
    CHECK_STR(version_type(v), "text/plain");
    CHECK_EQ(version_agent(v)[2], 3);
    version_release(v);
    version_release(NULL);
}

CHECK_MAIN
