#include <check.h>
#include <string.h>

#include "gateway/call/record.h"

static struct writer w;

static void
setup(void)
{
    writer_init(&w, CALL_RECORD_BYTES_MAX);
}

static void
teardown(void)
{
    writer_done(&w);
}

/** A call of alice, behind us, to bob of another island; every field differs from zero. */
static struct call_record
sample(void)
{
    return (struct call_record){
        .is_inward = true,
        .refresher = CALL_CALLEE,
        .session_s = 1800,
        .lifetime_s = 1832,
        .since_wall_ms = 1700000000123,
        .token = slice_text("token"),
        .from_uri = slice_text("sip:alice@pastry"),
        .to_uri = slice_text("sip:bob@can"),
        .far_overlay = slice_text("can"),
        .invites = 2,
        .invite = {{.in_cseq = 5, .out_cseq = 8},
                   {.awaits_ack = true, .from = CALL_CALLEE, .in_cseq = 1, .out_cseq = 9}},
        .leg = {{.side = CALL_SIDE_PEERS,
                 .is_stream = true,
                 .cseq = 3,
                 .peer_cseq = 4,
                 .call_id = slice_text("call-a"),
                 .local_tag = slice_text("our-a"),
                 .remote_tag = slice_text("alice"),
                 .target = slice_text("sip:alice@127.0.0.9"),
                 .route = slice_text("<sip:127.0.0.2:5062;lr>"),
                 .sdp = slice_text("v=0\r\n")},
                {.side = CALL_SIDE_GATEWAYS,
                 .knows_update = true,
                 .cseq = 6,
                 .peer_cseq = 7,
                 .call_id = slice_text("call-b"),
                 .local_tag = slice_text("our-b"),
                 .remote_tag = slice_text("bob"),
                 .target = slice_text("sip:t@127.0.0.3:5061"),
                 .next_hop = slice_text("sip:127.0.0.3:5061;transport=tls"),
                 .known = slice_text("sip:127.0.0.4")}}};
}

static void
expect_same_leg(const struct call_record_leg *a, const struct call_record_leg *b)
{
    ck_assert_uint_eq(a->side, b->side);
    ck_assert_int_eq(a->is_stream, b->is_stream);
    ck_assert_int_eq(a->knows_update, b->knows_update);
    ck_assert_uint_eq(a->cseq, b->cseq);
    ck_assert_uint_eq(a->peer_cseq, b->peer_cseq);
    ck_assert(slice_equal(a->call_id, b->call_id));
    ck_assert(slice_equal(a->local_tag, b->local_tag));
    ck_assert(slice_equal(a->remote_tag, b->remote_tag));
    ck_assert(slice_equal(a->target, b->target));
    ck_assert(slice_equal(a->route, b->route));
    ck_assert(slice_equal(a->next_hop, b->next_hop));
    ck_assert(slice_equal(a->known, b->known));
    ck_assert(slice_equal(a->sdp, b->sdp));
}

START_TEST(a_record_comes_back_as_it_was)
{
    struct call_record in = sample(), out;

    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_OK);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    ck_assert(out.is_inward);
    ck_assert_uint_eq(out.invites, 2);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_int_eq(out.invite[i].awaits_ack, in.invite[i].awaits_ack);
        ck_assert_uint_eq(out.invite[i].from, in.invite[i].from);
        ck_assert_uint_eq(out.invite[i].in_cseq, in.invite[i].in_cseq);
        ck_assert_uint_eq(out.invite[i].out_cseq, in.invite[i].out_cseq);
    }
    ck_assert_uint_eq(out.refresher, CALL_CALLEE);
    ck_assert_uint_eq(out.session_s, 1800);
    ck_assert_uint_eq(out.lifetime_s, 1832);
    ck_assert_uint_eq(out.since_wall_ms, 1700000000123);
    ck_assert(slice_equal(out.token, in.token));
    ck_assert(slice_equal(out.from_uri, in.from_uri));
    ck_assert(slice_equal(out.to_uri, in.to_uri));
    ck_assert(slice_equal(out.far_overlay, in.far_overlay));
    expect_same_leg(&out.leg[0], &in.leg[0]);
    expect_same_leg(&out.leg[1], &in.leg[1]);
}
END_TEST

START_TEST(a_record_cut_short_or_too_long_is_refused)
{
    struct call_record in = sample(), out;

    call_record_write(&w, &in);
    for (size_t len = 0; len < w.len; len++)
        ck_assert_int_eq(call_record_read(slice_of(w.data, len), &out), ST_MALFORMED);
    writer_u8(&w, 0);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
}
END_TEST

START_TEST(another_version_and_unknown_flags_are_refused)
{
    struct call_record in = sample(), out;

    call_record_write(&w, &in);
    w.data[0] = CALL_RECORD_VERSION + 1;
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_UNSUPPORTED);
    w.data[0] = CALL_RECORD_VERSION;
    w.data[1] |= 0x80;
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
}
END_TEST

/* What goes into a header field must not end one: neither written nor read. */
START_TEST(control_characters_and_missing_names_are_refused)
{
    struct call_record in = sample(), out;

    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_OK);
    for (size_t at = 0; at + in.to_uri.len <= w.len; at++)
        if (memcmp(w.data + at, in.to_uri.data, in.to_uri.len) == 0)
            w.data[at + 3] = '\n';
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
    in.leg[0].target = slice_text("sip:a@b\r\nEvil: yes");
    writer_reset(&w);
    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_RANGE);
    for (int missing = 0; missing < 4; missing++) {
        in = sample();
        *(missing == 0   ? &in.leg[1].local_tag
          : missing == 1 ? &in.leg[0].call_id
          : missing == 2 ? &in.leg[1].target
                         : &in.token) = slice_text("");
        writer_reset(&w);
        call_record_write(&w, &in);
        ck_assert_int_eq(w.failed, ST_RANGE);
        ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
    }
}
END_TEST

START_TEST(a_text_that_is_too_long_is_not_written)
{
    static char text[CALL_TEXT_BYTES_MAX + 1];
    struct call_record in = sample(), out;

    memset(text, 'a', sizeof(text));
    in.leg[0].target = slice_of(text, CALL_TEXT_BYTES_MAX);
    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_OK);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    in.leg[0].target = slice_of(text, sizeof(text));
    writer_reset(&w);
    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_RANGE);
}
END_TEST

static struct slice
filled(char *text, size_t bytes, char with)
{
    memset(text, with, bytes);
    return slice_of(text, bytes);
}

/* URIs of 2 kB, route sets of 8 kB, Call-IDs and tags as long as they may be, and two SDPs. */
START_TEST(a_call_at_the_limits_fits)
{
    static char uri[2][4][2048], route[2][8192], sdp[2][40000];
    struct call_record in = sample(), out;

    for (unsigned i = 0; i < 2; i++) {
        struct call_record_leg *leg = &in.leg[i];

        leg->target = filled(uri[i][0], 2048, (char)('a' + i));
        leg->call_id = filled(uri[i][1], 2048, (char)('c' + i));
        leg->remote_tag = filled(uri[i][2], 2048, (char)('e' + i));
        leg->known = filled(uri[i][3], 2048, (char)('g' + i));
        leg->route = filled(route[i], sizeof(route[i]), (char)('i' + i));
        leg->sdp = filled(sdp[i], sizeof(sdp[i]), '\n');
    }
    in.from_uri = in.leg[0].target;
    in.to_uri = in.leg[1].known;
    call_record_write(&w, &in);
    ck_assert_int_eq(w.failed, ST_OK);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    expect_same_leg(&out.leg[0], &in.leg[0]);
    expect_same_leg(&out.leg[1], &in.leg[1]);
    ck_assert(slice_equal(out.from_uri, in.from_uri) && slice_equal(out.to_uri, in.to_uri));
    in.leg[0].sdp = in.leg[1].sdp = slice_of(sdp, sizeof(sdp));
    writer_reset(&w);
    call_record_write(&w, &in);
    ck_assert_int_ne(w.failed, ST_OK); /* too large all the same */
}
END_TEST

/* What is the same in several places is there once. */
START_TEST(a_text_stands_in_a_record_once)
{
    static char uri[2000], route[8000];
    struct call_record in = sample(), out;

    in.from_uri = in.to_uri = in.leg[0].target = in.leg[0].known = in.leg[1].target =
        filled(uri, sizeof(uri), 'u');
    in.leg[0].route = in.leg[1].route = filled(route, sizeof(route), 'r');
    call_record_write(&w, &in);
    ck_assert_uint_lt(w.len, sizeof(uri) + sizeof(route) + 300);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    expect_same_leg(&out.leg[0], &in.leg[0]);
    expect_same_leg(&out.leg[1], &in.leg[1]);
}
END_TEST

/* Any bytes are refused, or are a record that can be written again. */
START_TEST(bytes_by_chance)
{
    struct call_record in = sample(), out, again;
    uint8_t bytes[1024];
    unsigned seed = 1, taken = 0;
    struct writer second;
    size_t len;

    call_record_write(&w, &in);
    len = w.len;
    ck_assert_uint_le(len, sizeof(bytes));
    writer_init(&second, CALL_RECORD_BYTES_MAX);
    for (unsigned turn = 0; turn < 20000; turn++) {
        memcpy(bytes, w.data, len);
        for (unsigned n = 0; n <= turn % 3; n++) {
            seed = seed * 1664525 + 1013904223;
            bytes[(seed >> 8) % len] = (uint8_t)(seed >> 24);
        }
        if (call_record_read(slice_of(bytes, len), &out) != ST_OK)
            continue;
        taken++;
        writer_reset(&second);
        call_record_write(&second, &out);
        ck_assert_int_eq(call_record_read(writer_slice(&second), &again), ST_OK);
        expect_same_leg(&out.leg[0], &again.leg[0]);
        expect_same_leg(&out.leg[1], &again.leg[1]);
    }
    ck_assert_uint_gt(taken, 1000);
    writer_done(&second);
}
END_TEST

/* A call that rings has one INVITE, and its callee no tag yet. */
START_TEST(a_call_that_rings_comes_back_as_it_was)
{
    struct call_record in = sample(), out;

    in.is_early = true;
    in.invites = 1;
    in.leg[CALL_CALLEE].remote_tag = slice_text("");
    call_record_write(&w, &in);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    ck_assert(out.is_early);
    ck_assert_uint_eq(out.invites, 1);
    ck_assert_uint_eq(out.invite[0].in_cseq, 5);
    expect_same_leg(&in.leg[0], &out.leg[0]);
    expect_same_leg(&in.leg[1], &out.leg[1]);
    for (unsigned invites = 0; invites < 3; invites += 2) {
        in.invites = invites;
        writer_reset(&w);
        call_record_write(&w, &in);
        ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
    }
}
END_TEST

/* A subscription has no INVITE. */
START_TEST(a_subscription_comes_back_as_it_was)
{
    struct call_record in = sample(), out;

    in.is_subscription = true;
    call_record_write(&w, &in);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_MALFORMED);
    in.invites = 0;
    writer_reset(&w);
    call_record_write(&w, &in);
    ck_assert_int_eq(call_record_read(writer_slice(&w), &out), ST_OK);
    ck_assert(out.is_subscription);
    expect_same_leg(&in.leg[0], &out.leg[0]);
    expect_same_leg(&in.leg[1], &out.leg[1]);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("call_record");
    TCase *tc = tcase_create("record");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_record_comes_back_as_it_was);
    tcase_add_test(tc, a_record_cut_short_or_too_long_is_refused);
    tcase_add_test(tc, another_version_and_unknown_flags_are_refused);
    tcase_add_test(tc, control_characters_and_missing_names_are_refused);
    tcase_add_test(tc, a_text_that_is_too_long_is_not_written);
    tcase_add_test(tc, a_call_at_the_limits_fits);
    tcase_add_test(tc, a_text_stands_in_a_record_once);
    tcase_add_test(tc, a_call_that_rings_comes_back_as_it_was);
    tcase_add_test(tc, a_subscription_comes_back_as_it_was);
    tcase_add_test(tc, bytes_by_chance);
    suite_add_tcase(suite, tc);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
