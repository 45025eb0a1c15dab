/* Tagged hashes; known values stand in proto/vectors. */
#include "tests/check.h"

#include <errno.h>

#include "tests/support/wire.h"

TEST(hash_of_one_purpose_never_stands_for_another)
{
    struct bytes data = bytes_text("the same bytes");

    for (int a = 0; a < HASH_TAG_COUNT; a++) {
        for (int b = 0; b < a; b++) {
            struct hash x = hash_of((enum hash_tag)a, data);
            struct hash y = hash_of((enum hash_tag)b, data);

            CHECK_NOT(hash_equal(&x, &y));
        }
    }
}

TEST(hash_of_parts_is_the_hash_of_them_joined)
{
    struct hash x =
        hash_parts(HASH_OP, bytes_text("ab"), bytes_text(""), bytes_text("c"));
    struct hash y = hash_of(HASH_OP, bytes_text("abc"));

    CHECK(hash_equal(&x, &y));
}

TEST(hash_run_is_the_hash_of_its_pieces_joined)
{
    static uint8_t data[1000];
    struct hash_run run;
    struct hash now, wanted;

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    hash_run_begin(&run, HASH_EXPORT);
    for (size_t at = 0, n = 0; at + n <= sizeof data; at += n++) {
        hash_run_add(&run, bytes_of(data + at, n));
        now = hash_run_now(&run);
        wanted = hash_of(HASH_EXPORT, bytes_of(data, at + n));
        CHECK(hash_equal(&now, &wanted));
    }
}

/* Every length up to a few blocks beside every other, so that lanes are filled,
 * left over and of different numbers of blocks. */
TEST(hash_of_many_is_that_of_each)
{
    enum { MANY = 40 };
    static uint8_t data[MANY][600];
    struct hash_job jobs[MANY];
    struct hash got[MANY];
    uint32_t dice = 1;

    for (int round = 0; round < 600; round++) {
        size_t n = round % MANY + 1;

        for (size_t i = 0; i < n; i++) {
            size_t a = round < 400 ? (size_t)round : dice >> 16 & 255, b;

            dice = dice * 1103515245 + 12345;
            memset(data[i], (int)(dice >> 20), sizeof data[i]);
            b = round % 3 ? dice >> 24 & 63 : 0;
            jobs[i] = (struct hash_job){bytes_of(data[i], a),
                                        bytes_of(data[i] + a, b)};
        }
        hash_many(HASH_SLOT, jobs, n, got);
        for (size_t i = 0; i < n; i++) {
            struct hash one =
                hash_parts(HASH_SLOT, jobs[i].a, jobs[i].b, (struct bytes){0});

            CHECK(hash_equal(&one, &got[i]));
        }
    }
}

/* Some much longer than others, more than are looked at together; what comes out
 * may lie where an earlier one was. */
TEST(hash_of_many_of_any_length_is_that_of_each)
{
    enum { MANY = 150, LONG = 20000 };
    static uint8_t data[MANY][LONG];
    struct hash_job jobs[MANY];
    struct hash one[MANY];
    uint32_t dice = 1;

    for (uint32_t round = 0; round < 60; round++) {
        size_t n = 1 + round * 5 % MANY, longest = round % 4 ? 700 : LONG;

        for (size_t i = 0; i < n; i++) {
            dice = dice * 1103515245 + 12345;
            memset(data[i], (int)(dice >> 20), LONG);
            jobs[i].a = bytes_of(data[i], (dice >> 8) % longest);
            jobs[i].b = bytes_of(data[i], (dice >> 16) % longest % 300);
            one[i] =
                hash_parts(HASH_SLOT, jobs[i].a, jobs[i].b, (struct bytes){0});
        }
        hash_many(HASH_SLOT, jobs, n, (struct hash *)(void *)data[0]);
        CHECK_MEM(data[0], one, n * sizeof *one);
    }
}

TEST(hash_of_a_leaf_is_never_that_of_a_node)
{
    struct hash l = wire_hash(1), r = wire_hash(2), node, leaf;
    struct buf both = {0};

    buf_put(&both, l.b, 32);
    buf_put(&both, r.b, 32);
    node = tree_node(&l, &r);
    leaf = tree_leaf(buf_bytes(&both));
    CHECK_NOT(hash_equal(&node, &leaf));
    buf_free(&both);
}

TEST(hash_of_many_leaves_and_nodes_is_that_of_each)
{
    enum { MANY = 9, LONGEST = 300 };
    static uint8_t data[MANY * LONGEST];
    struct hash got[2 * MANY], pairs[2 * MANY];

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i / 7);
    for (size_t bytes = 0; bytes <= LONGEST; bytes++) {
        size_t n = bytes % (MANY + 1);

        tree_leaves(data, bytes, n, got);
        for (size_t i = 0; i < n; i++) {
            struct hash one = tree_leaf(bytes_of(data + i * bytes, bytes));

            CHECK(hash_equal(&one, &got[i]));
        }
    }
    for (size_t n = 0; n <= MANY; n++) {
        memcpy(pairs, data + n, sizeof pairs);
        memcpy(got, pairs, sizeof pairs);
        tree_nodes(got, n, got); /* where they are */
        for (size_t i = 0; i < n; i++) {
            struct hash one = tree_node(&pairs[2 * i], &pairs[2 * i + 1]);

            CHECK(hash_equal(&one, &got[i]));
        }
    }
}

/* FIPS 180-4 and NIST's examples: one block, two, and one split over both. */
TEST(hash_sha256_gives_the_published_values)
{
    static const struct {
        const char *text, *hex;
    } known[] = {
        {"",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct hash h = sha256_of(bytes_text(known[i].text));
        char hex[HASH_HEX];

        hash_hex(&h, hex);
        CHECK_STR(hex, known[i].hex);
    }
}

TEST(hash_is_read_from_exactly_64_hex_digits)
{
    struct hash h = wire_hash(0xa7), got;
    char hex[HASH_HEX];

    hash_hex(&h, hex);
    CHECK_EQ(strlen(hex), 64);
    CHECK_OK(hash_parse_hex(&got, bytes_text(hex)));
    CHECK(hash_equal(&h, &got));
    CHECK_EQ(hash_parse_hex(&got, bytes_of(hex, 63)), -EINVAL);
    CHECK_EQ(hash_parse_hex(&got, bytes_of(hex, 65)), -EINVAL);
    hex[10] = 'g';
    CHECK_EQ(hash_parse_hex(&got, bytes_text(hex)), -EINVAL);
    CHECK_EQ(hash_parse_hex(&got, bytes_text("")), -EINVAL);
}

CHECK_MAIN
