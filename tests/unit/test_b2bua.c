#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

/* One call of alice (behind us) to bob (of another island), put together by hand: no message is
 * sent. */
static struct sip s;
static struct b2bua *b;
static struct b2bua_call call;
static struct moment now = {1000, 1000};

static const struct call_conf conf = {.search_ms = 1, .hop_ms = 1, .answer_ms = 1};
static const struct call_out silent;

static msg_t *
message(const char *text)
{
    msg_t *msg = msg_make(sip_default_mclass(), 0, text, (ssize_t)strlen(text));

    ck_assert_ptr_nonnull(msg);
    ck_assert_ptr_nonnull(sip_object(msg)->sip_call_id);
    return msg;
}

/** What goes on the wire; the caller frees it. */
static char *
text_of(msg_t *msg)
{
    size_t len = 0;
    char *text, *copy;

    ck_assert_ptr_nonnull(msg);
    ck_assert_int_eq(sip_complete_message(msg), 0);
    ck_assert_int_eq(msg_serialize(msg, (msg_pub_t *)sip_object(msg)), 0);
    text = msg_as_string(msg_home(msg), msg, NULL, 0, &len);
    copy = strndup(text, len);
    msg_destroy(msg);
    return copy;
}

static void
expect_line(const char *text, const char *line)
{
    char with_end[512];

    snprintf(with_end, sizeof(with_end), "%s\r\n", line);
    ck_assert_msg(strstr(text, with_end), "\"%s\" is missing in\n%s", line, text);
}

static void
expect_none(const char *text, const char *part)
{
    ck_assert_msg(!strstr(text, part), "\"%s\" is in\n%s", part, text);
}

static void
set_agent(enum sip_side side, const char *uri)
{
    struct sip_agent *agent = &s.agent[side];

    agent->sip = &s;
    agent->side = side;
    snprintf(agent->host, sizeof(agent->host), "127.1.0.1");
    snprintf(agent->uri, sizeof(agent->uri), "%s", uri);
    agent->nta = nta_agent_create(s.root, (url_string_t *)-1, NULL, agent, NTATAG_UA(0), TAG_END());
    ck_assert_ptr_nonnull(agent->nta);
}

static void
setup(void)
{
    memset(&s, 0, sizeof(s));
    memset(&call, 0, sizeof(call));
    su_init();
    s.root = su_root_create(NULL);
    s.conf.limits.calls = 10;
    snprintf(s.conf.overlay, sizeof(s.conf.overlay), "pastry");
    set_agent(SIP_PHONES, "sip:127.1.0.1:5060;transport=udp");
    set_agent(SIP_PEERS, "sip:127.1.0.1:5062;transport=tls");
    set_agent(SIP_GATEWAYS, "sip:127.1.0.1:5061;transport=tls");
    s.own[0] = (struct sip_address){"udp", "127.1.0.1", "5060", SIP_PHONES};
    s.own_count = 1;
    ck_assert_int_eq(b2bua_new(&s, &b), ST_OK);
    s.b2bua = b;
    snprintf(b->port[SIP_PHONES], sizeof(b->port[0]), "5060");
    snprintf(b->port[SIP_GATEWAYS], sizeof(b->port[0]), "5061");
    call.b2bua = b;
    call.core = call_new(CALL_SESSION, &conf, &silent, &call, now);
    call.from_uri = strdup("sip:alice@site.pastry");
    call.to_uri = strdup("sip:bob@can");
    call.caller_call_id = strdup("alices-call");
    call.caller_tag = strdup("alice");
    call.caller = (struct b2bua_peer){.side = SIP_PHONES, .target = strdup("sip:alice@127.9.9.9")};
    snprintf(call.token, sizeof(call.token), "token");
    snprintf(call.answer_tag, sizeof(call.answer_tag), "answer");
    snprintf(call.our_tag, sizeof(call.our_tag), "ours");
    snprintf(call.callee_call_id, sizeof(call.callee_call_id), "our-call");
    call.callee_key = (struct b2bua_key){&call, CALL_CALLEE, CALL_NO_DIALOG};
    ck_assert_int_eq(map_put(b->tags, slice_text("ours"), &call.callee_key, NULL), ST_OK);
    call.cseq[CALL_CALLEE] = call.initial_cseq = 71;
    ck_assert_ptr_nonnull(b2bua_invite_new(&call, CALL_INITIAL, CALL_CALLER));
    call.invite[CALL_INITIAL]->in_cseq = 1;
    call.invite[CALL_INITIAL]->out_cseq = 71;
}

static void
teardown(void)
{
    for (uint8_t i = 0; i < call.dialog_count; i++)
        b2bua_dialog_drop(&call, i);
    free(call.dialog);
    b2bua_invite_drop(&call, CALL_INITIAL);
    b2bua_peer_done(&call.caller);
    call_free(call.core);
    free(call.from_uri);
    free(call.to_uri);
    free(call.caller_call_id);
    free(call.caller_tag);
    free(call.first_tag);
    call.first_tag = NULL;
    b2bua_free(b);
    for (unsigned side = 0; side < SIP_SIDES; side++)
        nta_agent_destroy(s.agent[side].nta);
    su_root_destroy(s.root);
    su_deinit();
}

/** Bob has answered, from behind his gateway. */
static uint8_t
answered(void)
{
    uint8_t dialog = b2bua_dialog_of(&call, "bob", false);

    ck_assert_uint_ne(dialog, CALL_NO_DIALOG);
    call.dialog[dialog]->peer.side = SIP_GATEWAYS;
    call.dialog[dialog]->peer.target = strdup("sip:far@127.2.0.1:5061;transport=tls");
    return dialog;
}

/* Whoever takes the call over has the names of the answer, and of the first dialog. */
START_TEST(a_dialog_that_comes_back_has_its_tag)
{
    char tag[2][B2BUA_TAG_CHARS + 1];

    ck_assert_uint_eq(b2bua_dialog_of(&call, "first", false), 0);
    ck_assert_uint_eq(b2bua_dialog_of(&call, "second", false), 1);
    for (uint8_t i = 0; i < 2; i++) {
        snprintf(tag[i], sizeof(tag[i]), "%s", call.dialog[i]->our_tag);
        b2bua_dialog_drop(&call, i);
    }
    ck_assert_uint_eq(b2bua_dialog_of(&call, "second", false), 0);
    ck_assert_str_eq(call.dialog[0]->our_tag, tag[1]);
    ck_assert_uint_eq(b2bua_dialog_of(&call, "first", false), 1);
    ck_assert_str_eq(call.dialog[1]->our_tag, tag[0]);
    ck_assert_str_eq(tag[0], call.answer_tag);
}
END_TEST

START_TEST(each_far_tag_is_a_dialog)
{
    char tag[8];

    for (unsigned i = 0; i < B2BUA_EARLY_MAX; i++) {
        snprintf(tag, sizeof(tag), "t%u", i);
        ck_assert_uint_eq(b2bua_dialog_of(&call, tag, false), i);
        ck_assert_uint_eq(b2bua_dialog_of(&call, tag, false), i);
    }
    ck_assert_uint_eq(b2bua_dialog_of(&call, "one too many", false), CALL_NO_DIALOG);
    ck_assert_uint_eq(b2bua_dialog_of(&call, NULL, true), B2BUA_EARLY_MAX); /* a 2xx never is */
    ck_assert_uint_eq(b2bua_dialog_of(&call, "", true), B2BUA_EARLY_MAX);
    ck_assert_str_eq(call.dialog[0]->our_tag, "answer"); /* the refusal's and the first dialog's */
    ck_assert_str_ne(call.dialog[1]->our_tag, "answer");
    ck_assert_ptr_eq(b2bua_find(b, call.dialog[1]->our_tag), &call.dialog[1]->key);
    b2bua_dialog_drop(&call, 0);
    ck_assert_ptr_null(b2bua_find(b, "answer"));
    ck_assert_uint_eq(b2bua_dialog_of(&call, "again", false), 0);
}
END_TEST

START_TEST(route_set_of_a_response)
{
    struct b2bua_peer p = {.side = SIP_PEERS};
    struct sip_target target;
    msg_t *msg = message("SIP/2.0 200 OK\r\n"
                         "Via: SIP/2.0/TLS 127.1.0.1:5062;branch=z9hG4bK1\r\n"
                         "Record-Route: <sip:last@127.1.0.3:5062;transport=tls;lr>\r\n"
                         "Record-Route: <sip:first@127.1.0.2:5062;transport=tls;lr>\r\n"
                         "Record-Route: <sip:127.1.0.1:5060;lr>\r\n"
                         "From: <sip:alice@pastry>;tag=a\r\nTo: <sip:bob@can>;tag=b\r\n"
                         "Call-ID: x\r\nCSeq: 1 INVITE\r\n"
                         "Contact: <sip:bob@127.9.9.8>\r\nContent-Length: 0\r\n\r\n");

    b2bua_peer_from_response(&s, &p, sip_object(msg), true);
    ck_assert_str_eq(p.target, "sip:bob@127.9.9.8");
    ck_assert_str_eq(p.route, "<sip:first@127.1.0.2:5062;transport=tls;lr>,"
                              "<sip:last@127.1.0.3:5062;transport=tls;lr>");
    b2bua_peer_target(b, &p, &target);
    ck_assert_str_eq(target.next_hop, "sip:127.1.0.2:5062;transport=tls");
    b2bua_peer_done(&p);
    msg_destroy(msg);
}
END_TEST

START_TEST(a_phone_with_a_name_is_reached_where_it_was)
{
    struct b2bua_peer p = {.side = SIP_PHONES,
                           .target = strdup("sip:bob@phone.invalid"),
                           .known = strdup("sip:bob@127.9.9.8:5070")};
    struct sip_target target;

    b2bua_peer_target(b, &p, &target);
    ck_assert_str_eq(target.next_hop, "sip:bob@127.9.9.8:5070");
    b2bua_peer_done(&p);
}
END_TEST

#define FROM_ALICE(request, more)                                                                  \
    request " SIP/2.0\r\n"                                                                         \
            "Via: SIP/2.0/UDP 127.9.9.9:5060;branch=z9hG4bKalice\r\n"                              \
            "Route: <sip:127.1.0.1;lr>\r\n"                                                        \
            "Record-Route: <sip:flow@127.1.0.2:5062;lr>\r\n"                                       \
            "Max-Forwards: 70\r\n"                                                                 \
            "From: \"Alice\" <sip:alice@site.pastry>;tag=alice\r\n"                                \
            "Call-ID: alices-call\r\n"                                                             \
            "Contact: <sip:alice@127.9.9.9:5060>\r\n"                                              \
            "X-Unknown: keep me\r\n" more

START_TEST(the_initial_request_hides_the_caller)
{
    struct b2bua_initial initial = {0};
    struct sip_target target = {.agent = &s.agent[SIP_GATEWAYS],
                                .next_hop = "sip:127.2.0.1:5061;transport=tls"};
    char *text;

    initial.request = message(FROM_ALICE("INVITE sip:bob@can", "To: <sip:bob@can>\r\n"
                                                               "CSeq: 71 INVITE\r\n"
                                                               "Overlay-ID: <sip:overlay@lie>\r\n"
                                                               "Content-Type: text/x\r\n"
                                                               "Content-Length: 5\r\n\r\nbody\n"));
    call.initial = &initial;
    text = text_of(b2bua_initial_request(&call, &target));
    expect_line(text, "INVITE sip:bob@can SIP/2.0");
    expect_line(text, "From: \"Alice\" <sip:alice@site.pastry>;tag=ours");
    expect_line(text, "To: <sip:bob@can>");
    expect_line(text, "Call-ID: our-call");
    expect_line(text, "CSeq: 71 INVITE");
    expect_line(text, "Max-Forwards: 69");
    expect_line(text, "Contact: <sip:tokena@127.1.0.1:5061;transport=tls>");
    expect_line(text, "Overlay-ID: <sip:overlay@pastry>");
    expect_line(text, "Node-ID: <sip:alice@site.pastry>");
    expect_line(text, "X-Unknown: keep me");
    ck_assert_ptr_nonnull(strstr(text, "\r\n\r\nbody\n"));
    expect_none(text, "127.9.9.9");
    expect_none(text, "Route:");
    expect_none(text, "Via:");
    expect_none(text, "overlay@lie");
    free(text);
    call.initial = NULL;
    msg_destroy(initial.request);
}
END_TEST

START_TEST(a_request_in_the_dialog_takes_the_other_legs_names)
{
    uint8_t dialog = answered();
    msg_t *in =
        message(FROM_ALICE("PRACK sip:tokenb@127.1.0.1:5060", "To: <sip:bob@can>;tag=answer\r\n"
                                                              "CSeq: 2 PRACK\r\n"
                                                              "RAck: 4711 1 INVITE\r\n"
                                                              "Content-Length: 0\r\n\r\n"));
    char *text = text_of(b2bua_dialog_request(&call, CALL_CALLEE, dialog, in, 72));

    expect_line(text, "PRACK sip:far@127.2.0.1:5061;transport=tls SIP/2.0");
    expect_line(text, "From: \"Alice\" <sip:alice@site.pastry>;tag=ours");
    expect_line(text, "To: <sip:bob@can>;tag=bob");
    expect_line(text, "Call-ID: our-call");
    expect_line(text, "CSeq: 72 PRACK");
    expect_line(text, "RAck: 4711 71 INVITE");
    expect_none(text, "127.9.9.9");
    free(text);
    msg_destroy(in);
    ck_assert_ptr_null(b2bua_dialog_request(&call, CALL_CALLEE, CALL_NO_DIALOG, NULL, 1));
}
END_TEST

START_TEST(a_bye_of_our_own)
{
    uint8_t dialog = answered();
    char *text;

    text = text_of(b2bua_own_request(&call, CALL_CALLER, dialog, sip_method_bye, 1));
    expect_line(text, "BYE sip:alice@127.9.9.9 SIP/2.0");
    expect_line(text, "From: <sip:bob@can>;tag=answer");
    expect_line(text, "To: <sip:alice@site.pastry>;tag=alice");
    expect_line(text, "Call-ID: alices-call");
    expect_line(text, "CSeq: 1 BYE");
    free(text);
    text = text_of(b2bua_own_request(&call, CALL_CALLEE, dialog, sip_method_ack, 71));
    expect_line(text, "ACK sip:far@127.2.0.1:5061;transport=tls SIP/2.0");
    expect_line(text, "From: <sip:alice@site.pastry>;tag=ours");
    expect_line(text, "To: <sip:bob@can>;tag=bob");
    free(text);
}
END_TEST

/** A REFER of alice to somebody else, about this call: he who gets the INVITE is bob. */
START_TEST(replaces_names_the_dialog_as_the_other_end_knows_it)
{
    msg_t *msg;
    char *text;

    answered();
    msg =
        message(FROM_ALICE("REFER sip:x@127.1.0.1",
                           "To: <sip:carol@can>;tag=c\r\nCSeq: 3 REFER\r\n"
                           "Refer-To: <sip:bob@can?Subject=x&Replaces=alices-call%3Bto-tag%3Danswer"
                           "%3Bfrom-tag%3Dalice&Priority=urgent>\r\n"
                           "Content-Length: 0\r\n\r\n"));
    b2bua_map_replaces(b, msg, sip_object(msg));
    text = text_of(msg);
    expect_line(text, "Refer-To: <sip:bob@can?Subject=x&Replaces=our-call%3Bto-tag%3Dbob"
                      "%3Bfrom-tag%3Dours&Priority=urgent>");
    free(text);
    msg = message(FROM_ALICE("INVITE sip:x@127.1.0.1",
                             "To: <sip:bob@can>\r\nCSeq: 3 INVITE\r\n"
                             "Replaces: our-call;to-tag=ours;from-tag=bob\r\n"
                             "Content-Length: 0\r\n\r\n"));
    b2bua_map_replaces(b, msg, sip_object(msg));
    text = text_of(msg);
    expect_line(text, "Replaces: alices-call;to-tag=alice;from-tag=answer");
    free(text);
    msg =
        message(FROM_ALICE("INVITE sip:x@127.1.0.1", "To: <sip:bob@can>\r\nCSeq: 3 INVITE\r\n"
                                                     "Replaces: other;to-tag=ours;from-tag=bob\r\n"
                                                     "Content-Length: 0\r\n\r\n"));
    b2bua_map_replaces(b, msg, sip_object(msg));
    text = text_of(msg);
    expect_line(text, "Replaces: other;to-tag=ours;from-tag=bob");
    free(text);
}
END_TEST

START_TEST(only_addresses_are_sent_to)
{
    ck_assert(sip_is_address("sip:bob@127.0.0.1:5060;transport=tcp"));
    ck_assert(sip_is_address("sip:[::1]:5060"));
    ck_assert(!sip_is_address("sip:bob@can"));
    ck_assert(!sip_is_address("tel:+1"));
    ck_assert(!sip_is_address(""));
}
END_TEST

struct names {
    char token[B2BUA_TOKEN_CHARS + 1];
    char call_id[B2BUA_TOKEN_CHARS + 1];
    char tag[B2BUA_TAG_CHARS + 1];
};

/** Of a call that comes with this INVITE. */
static struct names
names_of(uint32_t cseq, const char *uri)
{
    struct b2bua_call c = {
        .b2bua = b, .caller_call_id = call.caller_call_id, .caller_tag = call.caller_tag};
    struct names n;
    char text[512];
    msg_t *msg;

    snprintf(text, sizeof(text),
             "INVITE %s SIP/2.0\r\nVia: SIP/2.0/TLS 127.1.0.2;branch=z9hG4bK%u\r\n"
             "From: <sip:alice@site.pastry>;tag=alice\r\nTo: <sip:bob@can>\r\n"
             "Call-ID: alices-call\r\nCSeq: %u INVITE\r\nContent-Length: 0\r\n\r\n",
             uri, (unsigned)sip_random(), (unsigned)cseq);
    msg = message(text);
    b2bua_name_call(&c, sip_object(msg));
    msg_destroy(msg);
    memcpy(n.token, c.token, sizeof(n.token));
    memcpy(n.call_id, c.callee_call_id, sizeof(n.call_id));
    memcpy(n.tag, c.our_tag, sizeof(n.tag));
    ck_assert_uint_eq(strlen(n.token), B2BUA_TOKEN_CHARS);
    ck_assert_uint_eq(strlen(n.call_id), B2BUA_TOKEN_CHARS);
    return n;
}

static bool
is_same(const struct names *a, const struct names *o)
{
    return strcmp(a->token, o->token) == 0 && strcmp(a->call_id, o->call_id) == 0 &&
           strcmp(a->tag, o->tag) == 0;
}

START_TEST(the_same_key_makes_the_same_names)
{
    static const uint8_t key[NAMING_KEY_BYTES] = {1, 2, 3}, other_key[NAMING_KEY_BYTES] = {1, 2, 4};
    struct names by_chance = names_of(1, "sip:bob@can"), one, other;

    b2bua_naming_set(&s, key);
    one = names_of(1, "sip:bob@can");
    ck_assert(!is_same(&one, &by_chance));
    b2bua_naming_chance(&b->naming); /* another gateway, which hears the key */
    b2bua_naming_set(&s, key);
    other = names_of(1, "sip:bob@can");
    ck_assert(is_same(&one, &other));
    b2bua_naming_set(&s, other_key);
    other = names_of(1, "sip:bob@can");
    ck_assert_str_ne(one.token, other.token);
    ck_assert_str_ne(one.call_id, other.call_id);
    ck_assert_str_ne(one.tag, other.tag);
}
END_TEST

START_TEST(a_request_tried_again_has_another_token)
{
    struct names one = names_of(1, "sip:bob@can"), again = names_of(2, "sip:bob@can"),
                 forked = names_of(1, "sip:carol@can");

    ck_assert_str_eq(one.call_id, again.call_id);
    ck_assert_str_eq(one.tag, again.tag);
    ck_assert_str_ne(one.token, again.token);
    ck_assert_str_eq(one.call_id, forked.call_id);
    ck_assert_str_ne(one.token, forked.token);
}
END_TEST

START_TEST(names_that_are_taken_are_replaced_by_chance)
{
    struct names one = names_of(1, "sip:bob@can"), second, third;

    ck_assert_int_eq(map_put(b->tags, slice_text(one.tag), &call.callee_key, NULL), ST_OK);
    second = names_of(1, "sip:bob@can");
    third = names_of(1, "sip:bob@can");
    map_remove(b->tags, slice_text(one.tag));
    ck_assert_str_ne(one.tag, second.tag);
    ck_assert_str_ne(one.call_id, second.call_id);
    ck_assert_str_ne(one.token, second.token);
    ck_assert(!is_same(&second, &third));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("b2bua");
    TCase *tc = tcase_create("messages");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_same_key_makes_the_same_names);
    tcase_add_test(tc, a_request_tried_again_has_another_token);
    tcase_add_test(tc, names_that_are_taken_are_replaced_by_chance);
    tcase_add_test(tc, each_far_tag_is_a_dialog);
    tcase_add_test(tc, a_dialog_that_comes_back_has_its_tag);
    tcase_add_test(tc, route_set_of_a_response);
    tcase_add_test(tc, a_phone_with_a_name_is_reached_where_it_was);
    tcase_add_test(tc, the_initial_request_hides_the_caller);
    tcase_add_test(tc, a_request_in_the_dialog_takes_the_other_legs_names);
    tcase_add_test(tc, a_bye_of_our_own);
    tcase_add_test(tc, replaces_names_the_dialog_as_the_other_end_knows_it);
    tcase_add_test(tc, only_addresses_are_sent_to);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
