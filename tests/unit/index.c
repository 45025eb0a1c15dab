/* broker/state/index: against a sorted array that cannot be wrong. */
#include "tests/check.h"

#include "broker/state/index.h"

#include <errno.h>

#define MODEL_MAX 20000

struct item {
    uint64_t number;
    struct index_key key;
};

static struct item *model[MODEL_MAX];
static size_t model_n;
static uint64_t dice;
static bool stamped; /* each item's number is its key's stamp */

static uint64_t roll(uint64_t sides)
{
    dice ^= dice << 13;
    dice ^= dice >> 7;
    dice ^= dice << 17;
    return dice % sides;
}

static struct item *item_new(const void *bytes, size_t len)
{
    struct item *item = malloc(sizeof(*item) + len);

    assert_non_null(item);
    item->number = roll(1000);
    item->key.len = (uint32_t)len;
    if (len)
        memcpy(item->key.bytes, bytes, len);
    return item;
}

static struct index *index_of(const char *const *keys, size_t n)
{
    struct index *index = index_new();

    for (size_t i = 0; i < n; i++)
        CHECK_OK(index_insert(index, &item_new(keys[i], strlen(keys[i]))->key));
    return index;
}

static void index_empty(struct index **index)
{
    struct index_cursor cursor;
    struct index_key *key;

    for (;;) {
        index_seek(*index, &cursor, "", 0);
        key = index_next(&cursor);
        if (!key)
            break;
        assert_ptr_equal(index_remove(*index, key->bytes, key->len), key);
        free(index_item(key, struct item, key));
    }
    index_destroy(index);
}

/* The place of the first model key that is not below. */
static size_t model_place(const void *bytes, size_t len)
{
    size_t low = 0, high = model_n;

    while (low < high) {
        size_t middle = (low + high) / 2;
        struct index_key *key = &model[middle]->key;

        if (index_compare(key->bytes, key->len, bytes, len) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int model_has(size_t at, const void *bytes, size_t len)
{
    return at < model_n &&
           !index_compare(model[at]->key.bytes, model[at]->key.len, bytes, len);
}

/* Few letters and shared beginnings, with zero bytes and 0xff among them:
 * where skipping and hints could go wrong. */
static size_t key_roll(unsigned char *bytes)
{
    static const unsigned char letters[] = {0, 0, 1, 'a', 'b', 0xff};
    size_t shared = roll(4) * roll(12);
    size_t len = shared + roll(12);

    if (roll(400) == 0)
        len = 1024;
    for (size_t i = 0; i < len; i++)
        bytes[i] = i < shared ? 'p' : letters[roll(sizeof(letters))];
    return len;
}

/* As evolve does: looked for before, once or twice, or another one. */
static void step_look(struct index *index, const void *bytes, size_t len)
{
    size_t at = model_place(bytes, len);

    for (uint64_t n = roll(3); n; n--)
        assert_ptr_equal(index_find(index, bytes, len),
                         model_has(at, bytes, len) ? &model[at]->key : NULL);
    if (roll(8) == 0)
        CHECK_NULL(index_find(index, "never there", 11));
}

static void step_insert(struct index *index, const void *bytes, size_t len)
{
    struct item *item = item_new(bytes, len);
    size_t at = model_place(bytes, len);

    if (model_has(at, bytes, len)) {
        CHECK_EQ(index_insert(index, &item->key), -EEXIST);
        free(item);
        return;
    }
    CHECK_OK(index_insert(index, &item->key));
    if (stamped)
        index_stamp(index, &item->key, item->number);
    memmove(model + at + 1, model + at, (model_n - at) * sizeof(*model));
    model[at] = item;
    model_n++;
}

static void step_remove(struct index *index, const void *bytes, size_t len)
{
    size_t at = model_place(bytes, len);
    struct index_key *key = index_remove(index, bytes, len);

    if (!model_has(at, bytes, len)) {
        CHECK_NULL(key);
        return;
    }
    assert_ptr_equal(key, &model[at]->key);
    free(model[at]);
    model_n--;
    memmove(model + at, model + at + 1, (model_n - at) * sizeof(*model));
}

static void step_stamp(struct index *index)
{
    struct item *item = model_n ? model[roll(model_n)] : NULL;
    uint64_t stamp = roll(2000);

    if (!item)
        return;
    index_stamp(index, &item->key, stamp);
    if (stamp > item->number)
        item->number = stamp;
}

static void newest_check(const struct index *index, const void *prefix,
                         size_t len)
{
    uint64_t newest = 0;

    for (size_t i = model_place(prefix, len);
         i < model_n && index_key_begins(&model[i]->key, prefix, len); i++)
        newest = model[i]->number > newest ? model[i]->number : newest;
    CHECK_EQ(index_newest(index, prefix, len), newest);
}

static void newer_check(const struct index *index, const void *bytes,
                        size_t len, bool above, uint64_t stamp)
{
    size_t i = model_place(bytes, len);

    if (above && model_has(i, bytes, len))
        i++;
    while (i < model_n && model[i]->number <= stamp)
        i++;
    assert_ptr_equal(index_next_newer(index, bytes, len, above, stamp),
                     i < model_n ? &model[i]->key : NULL);
}

/* It changes nothing; the sanitizers see what it reads. */
static void step_fetch(const struct index *index)
{
    struct index_text texts[INDEX_FETCH_MAX];
    unsigned char bytes[INDEX_FETCH_MAX][1024];
    size_t n = roll(INDEX_FETCH_MAX + 1);

    for (size_t i = 0; i < n; i++)
        texts[i] = (struct index_text){bytes[i], key_roll(bytes[i])};
    index_fetch(index, texts, n);
}

static void step_range(struct index *index, const void *bytes, size_t len)
{
    size_t at = model_place(bytes, len);
    struct index_cursor cursor;

    assert_ptr_equal(index_find(index, bytes, len),
                     model_has(at, bytes, len) ? &model[at]->key : NULL);
    index_seek(index, &cursor, bytes, len);
    for (size_t i = at; i < at + 80 && i < model_n; i++)
        assert_ptr_equal(index_next(&cursor), &model[i]->key);
    if (at + 80 >= model_n) {
        CHECK_NULL(index_next(&cursor));
        CHECK_NULL(index_next(&cursor));
    }
}

static void round_run(struct index *index, size_t steps, uint64_t removes_of_10)
{
    unsigned char bytes[1024];

    for (size_t i = 0; i < steps; i++) {
        size_t len = key_roll(bytes);

        /* A random key is seldom there: half of the removals aim. */
        if (roll(10) >= removes_of_10 && model_n < MODEL_MAX) {
            step_look(index, bytes, len);
            step_insert(index, bytes, len);
        } else if (model_n && roll(2)) {
            struct index_key *key = &model[roll(model_n)]->key;

            len = key->len;
            memcpy(bytes, key->bytes, len);
            step_remove(index, bytes, len);
        } else {
            step_remove(index, bytes, len);
        }
        if (stamped)
            step_stamp(index);
        if (stamped && i % 16 == 0)
            newest_check(index, bytes, roll(len + 1));
        if (stamped && i % 8 == 0)
            newer_check(index, bytes, len, i % 16 == 0, roll(2100));
        if (i % 16 == 0)
            step_range(index, bytes, len);
        if (i % 64 == 0)
            step_fetch(index);
        if (i % 512 == 0)
            CHECK_OK(index_check(index));
        CHECK_EQ(index_count(index), model_n);
    }
    CHECK_OK(index_check(index));
}

static void model_run(uint64_t seed)
{
    struct index *index = stamped ? index_new_stamped() : index_new();

    dice = seed;
    model_n = 0;
    round_run(index, 12000, 2); /* grow */
    round_run(index, 6000, 6);  /* churn */
    round_run(index, 12000, 9); /* shrink */
    round_run(index, 4000, 3);
    index_empty(&index);
}

TEST(index_knows_the_newest_of_any_prefix_under_random_work)
{
    stamped = true;
    for (uint64_t seed = 1; seed <= 4; seed++)
        model_run(seed * 0x9e3779b97f4a7c15);
    stamped = false;
}

/* Where a key would be is remembered; what comes or goes between moves it. */
TEST(index_inserts_what_was_not_found_where_it_belongs_by_then)
{
    struct index *index = index_new();

    model_n = 0;
    step_insert(index, "b", 1);
    step_insert(index, "d", 1);
    CHECK_NULL(index_find(index, "c", 1));
    step_insert(index, "a", 1);
    step_insert(index, "c", 1);
    CHECK_OK(index_check(index));
    CHECK_NULL(index_find(index, "cc", 2));
    step_remove(index, "a", 1);
    step_remove(index, "b", 1);
    step_insert(index, "cc", 2);
    CHECK_OK(index_check(index));
    step_remove(index, "cc", 2);
    CHECK_NULL(index_find(index, "cc", 2));
    step_range(index, "", 0);
    index_empty(&index);
}

TEST(index_stamp_is_never_lowered)
{
    static const char *const keys[] = {"a", "b"};
    struct index *index = index_new_stamped();

    for (size_t i = 0; i < 2; i++)
        CHECK_OK(index_insert(index, &item_new(keys[i], 1)->key));
    CHECK_EQ(index_newest(index, NULL, 0), 0);
    index_stamp(index, index_find(index, "a", 1), 7);
    index_stamp(index, index_find(index, "a", 1), 3);
    CHECK_EQ(index_newest(index, "a", 1), 7);
    CHECK_EQ(index_newest(index, "b", 1), 0);
    CHECK_EQ(index_newest(index, NULL, 0), 7);
    index_empty(&index);
}

TEST(index_agrees_with_a_sorted_array_under_random_work)
{
    for (uint64_t seed = 1; seed <= 4; seed++)
        model_run(seed * UINT64_C(0x9e3779b97f4a7c15));
}

TEST(index_stays_sound_when_emptied_from_either_end)
{
    char text[16];
    struct index_cursor cursor;

    dice = 7;
    for (int backwards = 0; backwards < 2; backwards++) {
        struct index *index = index_new();

        for (int i = 0; i < 9000; i++) {
            sprintf(text, "k%06d", i);
            CHECK_OK(index_insert(index, &item_new(text, 7)->key));
        }
        CHECK_OK(index_check(index));
        for (int i = 0; i < 9000; i++) {
            sprintf(text, "k%06d", backwards ? 8999 - i : i);
            free(index_item(index_remove(index, text, 7), struct item, key));
            if (i % 100 == 0)
                CHECK_OK(index_check(index));
        }
        CHECK_EQ(index_count(index), 0);
        index_seek(index, &cursor, "", 0);
        CHECK_NULL(index_next(&cursor));
        index_empty(&index);
    }
}

/* Where two leaves level, their separator may become shorter than what the
 * separators of an unfenced node had in common. Here: 00ed becomes 01. */
TEST(index_stays_sound_when_a_separator_becomes_shorter)
{
    struct index *index = index_new();

    for (unsigned i = 181; i <= 291; i++) {
        uint8_t key[2] = {(uint8_t)(i >> 8), (uint8_t)i};

        CHECK_OK(index_insert(index, &item_new(key, 2)->key));
    }
    for (unsigned i = 181; i <= 291; i++) {
        uint8_t key[2] = {(uint8_t)(i >> 8), (uint8_t)i};
        struct index_key *gone = index_remove(index, key, 2);

        assert_non_null(gone);
        free(index_item(gone, struct item, key));
        CHECK_OK(index_check(index));
    }
    index_empty(&index);
}

TEST(index_gives_back_all_memory_when_emptied)
{
    struct index *index = index_new();
    char text[16];
    size_t one_leaf;

    dice = 7;
    for (int i = 0; i < 9000; i++) {
        sprintf(text, "%08x", (unsigned)i * 2654435761u);
        CHECK_OK(index_insert(index, &item_new(text, 8)->key));
        if (i == 0)
            one_leaf = index_bytes(index);
    }
    for (int i = 0; i < 9000; i++) {
        sprintf(text, "%08x", (unsigned)i * 2654435761u);
        free(index_item(index_remove(index, text, 8), struct item, key));
    }
    CHECK_EQ(index_bytes(index), one_leaf);
    index_destroy(&index);
    CHECK_NULL(index);
}

TEST(index_finds_nothing_when_empty)
{
    struct index *index = index_new();
    struct index_cursor cursor;

    CHECK_NULL(index_find(index, "a", 1));
    CHECK_NULL(index_remove(index, "a", 1));
    index_seek(index, &cursor, "", 0);
    CHECK_NULL(index_next(&cursor));
    CHECK_OK(index_check(index));
    index_destroy(&index);
    index_destroy(&index);
    index_destroy(NULL);
}

TEST(index_keeps_the_empty_key_first)
{
    static const char *const keys[] = {"b", "", "a", "ab"};
    struct index *index = index_of(keys, 4);
    struct index_cursor cursor;

    CHECK_EQ(index_find(index, "", 0)->len, 0);
    index_seek(index, &cursor, NULL, 0);
    CHECK_EQ(index_next(&cursor)->len, 0);
    CHECK_MEM(index_next(&cursor)->bytes, "a", 1);
    CHECK_MEM(index_next(&cursor)->bytes, "ab", 2);
    CHECK_MEM(index_next(&cursor)->bytes, "b", 1);
    CHECK_NULL(index_next(&cursor));
    index_empty(&index);
}

TEST(index_tells_a_key_from_the_same_with_zero_bytes_behind)
{
    struct index *index = index_new();
    static const char zeros[6] = "a\0\0\0\0";

    for (size_t len = 6; len >= 1; len--)
        CHECK_OK(index_insert(index, &item_new(zeros, len)->key));
    for (size_t len = 1; len <= 6; len++)
        CHECK_EQ(index_find(index, zeros, len)->len, len);
    index_empty(&index);
}

TEST(index_refuses_a_key_twice_and_keeps_the_first)
{
    static const char *const keys[] = {"plan"};
    struct index *index = index_of(keys, 1);
    struct index_key *first = index_find(index, "plan", 4);
    struct item *again = item_new("plan", 4);

    CHECK_EQ(index_insert(index, &again->key), -EEXIST);
    assert_ptr_equal(index_find(index, "plan", 4), first);
    CHECK_EQ(index_count(index), 1);
    free(again);
    index_empty(&index);
}

TEST(index_cursor_stays_valid_across_reads)
{
    static const char *const keys[] = {"a", "b", "c"};
    struct index *index = index_of(keys, 3);
    struct index_cursor cursor;

    index_seek(index, &cursor, "aa", 2);
    CHECK_MEM(index_next(&cursor)->bytes, "b", 1);
    assert_non_null(index_find(index, "a", 1));
    CHECK_MEM(index_next(&cursor)->bytes, "c", 1);
    index_empty(&index);
}

TEST(index_key_begins_with_itself_and_its_prefixes_only)
{
    struct item *item = item_new("a/b", 3);

    CHECK(index_key_begins(&item->key, "", 0));
    CHECK(index_key_begins(&item->key, "a/", 2));
    CHECK(index_key_begins(&item->key, "a/b", 3));
    CHECK_NOT(index_key_begins(&item->key, "a/bc", 4));
    CHECK_NOT(index_key_begins(&item->key, "b", 1));
    free(item);
}

static void costs_less_than(struct index *index, size_t bytes_a_key)
{
    unsigned char bytes[16];
    size_t n = 50000;

    dice = 11;
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < sizeof(bytes); j++)
            bytes[j] = (unsigned char)roll(256);
        CHECK_OK(index_insert(index, &item_new(bytes, sizeof(bytes))->key));
    }
    CHECK(index_bytes(index) < bytes_a_key * n);
    index_empty(&index);
}

TEST(index_costs_less_than_24_bytes_a_key)
{
    costs_less_than(index_new(), 24);
}

TEST(index_costs_less_than_36_bytes_a_key_with_stamps)
{
    costs_less_than(index_new_stamped(), 36);
}

CHECK_MAIN
