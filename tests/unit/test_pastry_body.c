#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "local-overlays/pastry/body.h"

#define BYTES 16384

static const struct id whose = {{0x80}};

static struct id
id_of(uint8_t first, uint8_t second)
{
    return (struct id){{first, second, 1}};
}

/** Node-IDs by their first byte, second byte 0. */
static void
write_nodes(struct writer *w, const char *firsts)
{
    size_t mark = writer_open(w, 2);

    for (; *firsts; firsts++) {
        struct id node = id_of((uint8_t)*firsts, 0);
        writer_id(w, &node);
    }
    writer_close(w, mark, 2);
}

static enum status
read_leaves(const char *smaller, const char *larger)
{
    struct pastry_leaves leaves;
    struct writer w;
    struct why why;
    enum status st;

    writer_init(&w, BYTES);
    write_nodes(&w, smaller);
    write_nodes(&w, larger);
    st = pastry_leave_read(writer_slice(&w), &whose, &leaves, &why);
    writer_done(&w);
    return st;
}

START_TEST(leaf_sets_that_may_be_true)
{
    ck_assert_int_eq(read_leaves("", ""), ST_OK);
    ck_assert_int_eq(read_leaves("\x10", "\x10"), ST_OK);
    ck_assert_int_eq(read_leaves("\x70\x60\x90", "\x90\x60\x70"), ST_OK);
    ck_assert_int_eq(
        read_leaves("\x78\x77\x76\x75\x74\x73\x72\x71", "\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f"), ST_OK);
    /* 10 members in all: the sides overlap */
    ck_assert_int_eq(
        read_leaves("\x70\x60\x50\x40\x30\xc0\xb0\xa0", "\x90\xa0\xb0\xc0\x30\x40\x50\x60"), ST_OK);
}
END_TEST

START_TEST(leaf_sets_that_cannot_be_true)
{
    ck_assert_int_eq(read_leaves("\x70", ""), ST_FORBIDDEN);
    ck_assert_int_eq(read_leaves("\x70", "\x90"), ST_FORBIDDEN);
    ck_assert_int_eq(read_leaves("\x70\x60", "\x70\x60"), ST_FORBIDDEN);
    ck_assert_int_eq(read_leaves("\x60\x70\x90", "\x90\x70\x60"), ST_FORBIDDEN);
    ck_assert_int_eq(read_leaves("\x70\x70", "\x70\x70"), ST_FORBIDDEN);
    /* the wrong way round */
    ck_assert_int_eq(
        read_leaves("\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f", "\x78\x77\x76\x75\x74\x73\x72\x71"),
        ST_FORBIDDEN);
    ck_assert_int_eq(
        read_leaves("\x78\x77\x76\x75\x74\x73\x72\x71\x70", "\x88\x89\x8a\x8b\x8c\x8d\x8e\x8f\x90"),
        ST_MALFORMED);
}
END_TEST

START_TEST(a_leaf_set_that_names_its_owner)
{
    struct pastry_leaves leaves;
    struct writer w;
    struct why why;

    writer_init(&w, BYTES);
    for (unsigned i = 0; i < 2; i++) {
        writer_u16(&w, ID_BYTES);
        writer_id(&w, &whose);
    }
    ck_assert_int_eq(pastry_leave_read(writer_slice(&w), &whose, &leaves, &why), ST_FORBIDDEN);
    writer_done(&w);
}
END_TEST

static enum status
read_state(const struct id *row, size_t count)
{
    struct pastry_update u = {.type = PASTRY_STATE, .rows = slice_of(row, count * ID_BYTES)};
    struct pastry_update back = {0};
    struct writer w;
    struct why why;
    enum status st;

    writer_init(&w, BYTES);
    pastry_update_write(&w, &u);
    st = pastry_update_read(writer_slice(&w), &whose, &back, &why);
    if (st == ST_OK)
        ck_assert(back.type == PASTRY_STATE && slice_equal(back.rows, u.rows));
    writer_done(&w);
    return st;
}

START_TEST(rows_are_in_order)
{
    /* row 0: columns 1, 9; row 1: columns 3, 7 */
    struct id good[4] = {id_of(0x10, 0), id_of(0x90, 0), id_of(0x83, 0), id_of(0x87, 0)};
    struct id swapped[2] = {id_of(0x90, 0), id_of(0x10, 0)};
    struct id rows_swapped[2] = {id_of(0x83, 0), id_of(0x10, 0)};
    struct id twice[2] = {id_of(0x10, 0), id_of(0x1f, 0)};

    ck_assert_int_eq(read_state(NULL, 0), ST_OK);
    ck_assert_int_eq(read_state(good, 4), ST_OK);
    ck_assert_int_eq(read_state(swapped, 2), ST_FORBIDDEN);
    ck_assert_int_eq(read_state(rows_swapped, 2), ST_FORBIDDEN);
    ck_assert_int_eq(read_state(twice, 2), ST_FORBIDDEN);
    ck_assert_int_eq(read_state(&whose, 1), ST_FORBIDDEN);
}
END_TEST

START_TEST(nobodies_are_refused)
{
    struct id zero = {{0}};
    struct id wildcard;

    memset(&wildcard, 0xff, sizeof(wildcard));
    ck_assert_int_eq(read_state(&zero, 1), ST_MALFORMED);
    ck_assert_int_eq(read_state(&wildcard, 1), ST_MALFORMED);
}
END_TEST

static enum status
read_answer(const struct pastry_query_ans *a, struct pastry_query_ans *ret)
{
    struct writer w;
    struct why why;
    enum status st;

    writer_init(&w, BYTES);
    pastry_query_ans_write(&w, a);
    st = pastry_query_ans_read(writer_slice(&w), &whose, ret, &why);
    writer_done(&w);
    return st;
}

START_TEST(answers_are_consistent)
{
    struct id near[3] = {id_of(0x20, 0), id_of(0x10, 0), id_of(0x20, 0)};
    struct pastry_query_ans a = {.next = id_of(0x10, 0), .verdict = PASTRY_GO_ON};
    struct pastry_query_ans back;

    ck_assert_int_eq(read_answer(&a, &back), ST_OK);
    ck_assert(id_equal(&back.next, &a.next) && back.verdict == PASTRY_GO_ON);
    a.verdict = PASTRY_RESERVED;
    ck_assert_int_eq(read_answer(&a, &back), ST_FORBIDDEN);
    a.next = whose;
    ck_assert_int_eq(read_answer(&a, &back), ST_OK);
    a.verdict = PASTRY_GO_ON;
    ck_assert_int_eq(read_answer(&a, &back), ST_FORBIDDEN);
    a.verdict = 0;
    ck_assert_int_eq(read_answer(&a, &back), ST_MALFORMED);
    a.verdict = PASTRY_BUSY;
    a.near = slice_of(near, 2 * ID_BYTES);
    ck_assert_int_eq(read_answer(&a, &back), ST_OK);
    a.near = slice_of(near, 3 * ID_BYTES);
    ck_assert_int_eq(read_answer(&a, &back), ST_FORBIDDEN);
    a.near = slice_of(&whose, ID_BYTES);
    ck_assert_int_eq(read_answer(&a, &back), ST_FORBIDDEN);
}
END_TEST

START_TEST(small_bodies)
{
    static const uint8_t query[] = {7, 2, 30}, beyond[] = {0, 2, 31}, odd[] = {8, 0, 0};
    static const uint8_t join[] = {2}, no_role[] = {3};
    enum pastry_join_role role;
    struct pastry_query q;
    struct why why;

    ck_assert_int_eq(pastry_query_read(slice_of(query, 3), &q, &why), ST_OK);
    ck_assert(q.wants == PASTRY_WANT_ALL && q.first_row == 2 && q.row_count == 30);
    ck_assert_int_eq(pastry_query_read(slice_of(beyond, 3), &q, &why), ST_MALFORMED);
    ck_assert_int_eq(pastry_query_read(slice_of(odd, 3), &q, &why), ST_MALFORMED);
    ck_assert_int_eq(pastry_query_read(slice_of(query, 2), &q, &why), ST_MALFORMED);
    ck_assert_int_eq(pastry_join_read(slice_of(join, 1), &role, &why), ST_OK);
    ck_assert_int_eq(role, PASTRY_HAND_OVER);
    ck_assert_int_eq(pastry_join_read(slice_of(no_role, 1), &role, &why), ST_MALFORMED);
    ck_assert_int_eq(pastry_join_read(slice_of(join, 0), &role, &why), ST_MALFORMED);
}
END_TEST

static void
mutate(uint8_t *bytes, size_t len, unsigned round, void (*check)(struct slice in))
{
    uint64_t seed = round;

    for (unsigned i = 0; i < 3; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (round % 4)
            bytes[(seed >> 33) % len] ^= (uint8_t)(1u << ((seed >> 60) & 7));
    }
    check(slice_of(bytes, round % 4 ? len : (seed >> 33) % (len + 1)));
}

/* What is accepted is written again byte for byte. */
static void
check_update(struct slice in)
{
    struct pastry_update u;
    struct writer w;
    struct why why;

    writer_init(&w, BYTES);
    if (pastry_update_read(in, &whose, &u, &why) == ST_OK) {
        pastry_update_write(&w, &u);
        ck_assert(slice_equal(writer_slice(&w), in));
    }
    writer_done(&w);
}

static void
check_answer(struct slice in)
{
    struct pastry_query_ans a;
    struct writer w;
    struct why why;

    writer_init(&w, BYTES);
    if (pastry_query_ans_read(in, &whose, &a, &why) == ST_OK) {
        pastry_query_ans_write(&w, &a);
        ck_assert(slice_equal(writer_slice(&w), in));
    }
    writer_done(&w);
}

START_TEST(mutations_do_no_harm)
{
    struct writer update, answer;
    uint8_t bytes[512];

    writer_init(&update, BYTES);
    writer_init(&answer, BYTES);
    writer_u8(&update, PASTRY_STATE);
    writer_id(&answer, &whose);
    writer_u8(&answer, PASTRY_MINE);
    for (unsigned i = 0; i < 2; i++) {
        struct writer *w = i ? &answer : &update;
        write_nodes(w, "\x70\x60\x90");
        write_nodes(w, "\x90\x60\x70");
        write_nodes(w, "\x10\x20\x30\x83\x85");
    }
    write_nodes(&answer, "\x20\x10");
    for (unsigned round = 0; round < 20000; round++) {
        struct writer *w = round % 2 ? &answer : &update;
        ck_assert_uint_le(w->len, sizeof(bytes));
        memcpy(bytes, w->data, w->len);
        mutate(bytes, w->len, round / 2, round % 2 ? check_answer : check_update);
    }
    writer_done(&update);
    writer_done(&answer);
}
END_TEST

static Suite *
body_suite(void)
{
    Suite *s = suite_create("pastry-body");
    TCase *bodies = tcase_create("bodies");

    tcase_add_test(bodies, leaf_sets_that_may_be_true);
    tcase_add_test(bodies, leaf_sets_that_cannot_be_true);
    tcase_add_test(bodies, a_leaf_set_that_names_its_owner);
    tcase_add_test(bodies, rows_are_in_order);
    tcase_add_test(bodies, nobodies_are_refused);
    tcase_add_test(bodies, answers_are_consistent);
    tcase_add_test(bodies, small_bodies);
    tcase_add_test(bodies, mutations_do_no_harm);
    suite_add_tcase(s, bodies);
    return s;
}

int
main(void)
{
    SRunner *runner = srunner_create(body_suite());
    int failed;

    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
