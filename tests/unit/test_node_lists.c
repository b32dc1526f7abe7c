/* A list that the asker has is left out, and what is read is the same. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/node/node_lists.h"

enum { SEED = 7 };

static struct node_lists lists;
static const struct id gateway = {{1}};

static struct hello_ans
answer(uint8_t candidates, uint16_t score)
{
    struct hello_ans a = {.term = 3, .is_active = 1, .score = 500, .active = gateway};

    a.candidate_count = candidates;
    for (uint8_t i = 0; i < candidates; i++) {
        a.candidate[i].ref.node.bytes[0] = (uint8_t)(i + 10);
        a.candidate[i].score = score;
    }
    a.ring_count = 1;
    a.ring[0].node.bytes[0] = 99;
    return a;
}

/** One HELLO and its answer, over the wire. */
static struct hello_ans
exchange(struct hello_ans ans, bool *ret_has_list)
{
    struct hello_ans again;
    struct writer w;

    node_lists_number(SEED, node_lists_held(&lists, &gateway), &ans);
    writer_init(&w, 10000);
    hello_ans_write(&w, &ans);
    ck_assert_int_eq(hello_ans_read(writer_slice(&w), &again), ST_OK);
    writer_done(&w);
    *ret_has_list = again.has_list;
    ck_assert_int_eq(node_lists_complete(&lists, &gateway, &again), ST_OK);
    return again;
}

static void
setup(void)
{
    memset(&lists, 0, sizeof(lists));
}

START_TEST(test_the_same_list_comes_once)
{
    struct hello_ans again;
    bool has_list;

    exchange(answer(3, 700), &has_list);
    ck_assert(has_list);
    again = exchange(answer(3, 700), &has_list);
    ck_assert(!has_list);
    ck_assert_uint_eq(again.candidate_count, 3);
    ck_assert_uint_eq(again.candidate[2].ref.node.bytes[0], 12);
    ck_assert_uint_eq(again.candidate[2].score, 700);
    ck_assert_uint_eq(again.ring_count, 1);
    ck_assert_uint_eq(again.ring[0].node.bytes[0], 99);
    ck_assert_uint_eq(again.term, 3);
}
END_TEST

START_TEST(test_any_change_makes_another_list)
{
    struct hello_ans changed = answer(3, 700);
    bool has_list;

    exchange(answer(3, 700), &has_list);
    ck_assert_uint_eq(exchange(answer(2, 700), &has_list).candidate_count, 2);
    ck_assert(has_list);
    ck_assert_uint_eq(exchange(answer(2, 720), &has_list).candidate[1].score, 720);
    ck_assert(has_list);
    exchange(changed, &has_list);
    changed.ring[0].node.bytes[0] = 98;
    ck_assert_uint_eq(exchange(changed, &has_list).ring[0].node.bytes[0], 98);
    ck_assert(has_list);
}
END_TEST

START_TEST(test_the_key_comes_with_the_list)
{
    struct hello_ans keyed = answer(3, 700);
    struct hello_ans again;
    bool has_list;

    keyed.has_key = 1;
    keyed.key[31] = 5;
    ck_assert(!exchange(answer(3, 700), &has_list).has_key);
    again = exchange(keyed, &has_list); /* the same list, for one who is a candidate now */
    ck_assert(has_list);
    ck_assert(again.has_key);
    again = exchange(keyed, &has_list);
    ck_assert(!has_list);
    ck_assert(again.has_key);
    ck_assert_mem_eq(again.key, keyed.key, NAMING_KEY_BYTES);
    keyed.key[31] = 6;
    ck_assert_uint_eq(exchange(keyed, &has_list).key[31], 6);
    ck_assert(has_list);
}
END_TEST

START_TEST(test_each_gateway_has_its_own)
{
    struct id other = {{2}};
    struct hello_ans ans = answer(1, 10);
    bool has_list;

    exchange(answer(3, 700), &has_list);
    ck_assert_uint_eq(node_lists_held(&lists, &other), 0);
    ck_assert_int_eq(node_lists_complete(&lists, &other, &ans), ST_NOT_FOUND);
    node_lists_number(SEED, 0, &ans);
    ck_assert_int_eq(node_lists_complete(&lists, &other, &ans), ST_OK);
    ck_assert_uint_eq(node_lists_held(&lists, &other), ans.list);
    ck_assert_uint_eq(exchange(answer(3, 700), &has_list).candidate_count, 3);
    ck_assert(!has_list);
}
END_TEST

START_TEST(test_many_gateways_do_not_fill_the_memory)
{
    struct hello_ans ans = answer(1, 10);
    struct id other = {{0}};

    node_lists_number(SEED, 0, &ans);
    for (uint8_t i = 1; i <= 3 * ELECTION_GATEWAYS_MAX; i++) {
        other.bytes[0] = i;
        ck_assert_int_eq(node_lists_complete(&lists, &other, &ans), ST_OK);
        ck_assert_uint_eq(node_lists_held(&lists, &other), ans.list);
    }
    ck_assert_uint_eq(lists.count, ELECTION_GATEWAYS_MAX);
}
END_TEST

int
main(void)
{
    Suite *s = suite_create("node_lists");
    TCase *tc = tcase_create("lists");
    SRunner *sr;
    int failed;

    tcase_add_checked_fixture(tc, setup, NULL);
    tcase_add_test(tc, test_the_same_list_comes_once);
    tcase_add_test(tc, test_any_change_makes_another_list);
    tcase_add_test(tc, test_the_key_comes_with_the_list);
    tcase_add_test(tc, test_each_gateway_has_its_own);
    tcase_add_test(tc, test_many_gateways_do_not_fill_the_memory);
    suite_add_tcase(s, tc);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
