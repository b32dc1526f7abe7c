#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/control_played.h"

/* ---- tests ------------------------------------------------------------------------------------
 */

START_TEST(status_has_the_promised_fields)
{
    played_open();
    control_set_load(played.control, 4, 12);
    json_t *s = expect_answer("GET", "/v1/status", NULL, 200);
    ck_assert_str_eq(text_at(s, "node", "name"), "gw1.bupt");
    ck_assert_str_eq(text_at(s, "node", "address"), "127.1.0.1");
    ck_assert_uint_eq(strlen(text_at(s, "node", "node_id")), 32);
    ck_assert_str_eq(text_at(s, "node", "version"), "9.9");
    ck_assert_int_eq(number_at(s, "node", "uptime_s"), 60);
    ck_assert_str_eq(text_at(s, "local", "overlay"), "pastry");
    ck_assert_str_eq(text_at(s, "local", "algorithm"), "chord");
    ck_assert_str_eq(text_at(s, "local", "state"), "joined");
    ck_assert_int_eq(number_at(s, "local", "neighbours"), 1);
    ck_assert_int_eq(number_at(s, "local", "records"), 1);
    ck_assert_str_eq(text_at(s, "election", "role"), "candidate");
    ck_assert_int_eq(number_at(s, "election", "term"), 7);
    ck_assert_str_eq(text_at(s, "global", "overlay"), "p2psip.global");
    ck_assert_int_eq(number_at(s, "global", "neighbours"), 1);
    ck_assert_int_eq(number_at(s, "sip", "registrations"), 12);
    ck_assert_int_eq(number_at(s, "sip", "calls"), 4);
    ck_assert_int_eq(number_at(s, "replicas", "calls"), 12);
    ck_assert_int_eq(number_at(s, "replicas", "copies"), 3);
    ck_assert_int_eq(number_at(s, "replicas", "copy_bytes"), 4500);
    ck_assert_int_eq(number_at(s, "replicas", "adopted"), 7);
    ck_assert_int_eq(number_at(s, "replicas", "released"), 5);
    json_t *foreign = json_object_get(s, "foreign");
    ck_assert_uint_eq(json_array_size(foreign), 2);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(foreign, 0), "name")),
                     "bupt.pastry");
    ck_assert(json_is_null(json_object_get(json_array_get(foreign, 1), "seen_s")));
    json_t *heirs = json_object_get(json_object_get(s, "replicas"), "heirs");
    ck_assert_uint_eq(json_array_size(heirs), 2);
    json_t *heir = json_array_get(heirs, 0);
    ck_assert_str_eq(json_string_value(json_object_get(heir, "name")), "gw3");
    ck_assert_int_eq(json_integer_value(json_object_get(heir, "pending")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(heir, "last_ms")), 20);
    ck_assert_int_eq(json_integer_value(json_object_get(heir, "round_ms")), 2);
    ck_assert(json_is_false(json_object_get(heir, "moving")));
    heir = json_array_get(heirs, 1);
    ck_assert(json_is_null(json_object_get(heir, "last_ms")));
    ck_assert(json_is_true(json_object_get(heir, "moving")));
    json_decref(s);

    played.has_global = false;
    s = expect_answer("GET", "/v1/status", NULL, 200);
    ck_assert(json_is_null(json_object_get(s, "global")));
    ck_assert(json_is_null(json_object_get(s, "replicas")));
    json_decref(s);
}
END_TEST

START_TEST(election_has_the_promised_fields)
{
    played_open();
    json_t *e = expect_answer("GET", "/v1/election", NULL, 200);
    ck_assert_str_eq(json_string_value(json_object_get(e, "overlay")), "pastry");
    ck_assert_int_eq(json_integer_value(json_object_get(e, "term")), 7);
    ck_assert_str_eq(text_at(e, "active", "name"), "gw<1>");
    ck_assert_str_eq(text_at(e, "active", "since"), "2001-09-09T01:46:40.000Z");
    ck_assert_int_eq(number_at(e, "active", "score"), 700);
    ck_assert_uint_eq(json_array_size(json_object_get(e, "gateways")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(e, "late_ms")), 6);
    ck_assert_int_eq(number_at(e, "replicas", "calls"), 12);
    json_t *gateway = json_array_get(json_object_get(e, "gateways"), 0);
    ck_assert_str_eq(text_at(gateway, "hello", "state"), "suspect");
    ck_assert_int_eq(number_at(gateway, "hello", "interval_ms"), 100);
    ck_assert_int_eq(number_at(gateway, "hello", "missed"), 2);
    ck_assert(json_is_null(json_object_get(json_object_get(gateway, "hello"), "last_ms")));
    json_t *first = json_array_get(json_object_get(e, "candidates"), 0);
    json_t *second = json_array_get(json_object_get(e, "candidates"), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(first, "rank")), 1);
    ck_assert_str_eq(json_string_value(json_object_get(first, "name")), "gw3");
    ck_assert_int_eq(number_at(first, "parts", "online"), 0);
    ck_assert_int_eq(number_at(first, "parts", "preference"), 0);
    ck_assert_int_eq(number_at(first, "hello", "rtt_ms"), 3);
    ck_assert_int_eq(number_at(first, "hello", "last_ms"), 40);
    ck_assert_int_eq(number_at(first, "hello", "missed"), 0);
    ck_assert(json_is_null(json_object_get(json_object_get(second, "hello"), "rtt_ms")));
    json_decref(e);

    played.gateway_count = 0;
    e = expect_answer("GET", "/v1/election", NULL, 200);
    ck_assert(json_is_null(json_object_get(e, "active")));
    ck_assert_uint_eq(json_array_size(json_object_get(e, "gateways")), 0);
    json_decref(e);

    e = expect_answer("GET", "/v1/election/history", NULL, 200);
    first = json_array_get(e, 0);
    ck_assert_str_eq(json_string_value(json_object_get(first, "at")), "2001-09-09T01:46:40.123Z");
    ck_assert_str_eq(json_string_value(json_object_get(first, "from")), "observer");
    ck_assert_str_eq(json_string_value(json_object_get(first, "to")), "active");
    ck_assert_str_eq(json_string_value(json_object_get(first, "reason")), "first claim");
    ck_assert_str_eq(text_at(first, "steps", "gateway"), "gw9");
    ck_assert_int_eq(number_at(first, "steps", "silent_ms"), 276);
    ck_assert(json_is_null(json_object_get(json_object_get(first, "steps"), "ring_ms")));
    json_decref(e);
}
END_TEST

START_TEST(overlays_show_neighbours_tables_and_records)
{
    played_open();
    json_t *o = expect_answer("GET", "/v1/overlay/local", NULL, 200);
    json_t *neighbour = json_array_get(json_object_get(o, "neighbour_nodes"), 0);
    json_t *held = json_array_get(json_object_get(o, "held"), 0);
    json_t *line = json_array_get(json_object_get(o, "table"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(neighbour, "address")), "127.1.0.2:6084");
    ck_assert_str_eq(json_string_value(json_object_get(neighbour, "name")), "gw2?"); /* no UTF-8 */
    ck_assert_str_eq(json_string_value(json_object_get(line, "table")), "successor");
    ck_assert_int_eq(json_integer_value(json_object_get(held, "expires_s")), 60);
    ck_assert_int_eq(json_integer_value(json_object_get(held, "bytes")), 77);
    ck_assert_str_eq(json_string_value(json_object_get(held, "key")),
                     "30313233343536373839616263646566");
    json_decref(o);

    played.has_global = false;
    expect_refusal("GET", "/v1/overlay/global", NULL, 404, "this node has no global overlay");
}
END_TEST

/* The SIP thread answers @q's query with this report. */
static void
report_to(struct question *q, struct bridge_message *m)
{
    uint64_t before = played.query_token;

    ck_assert_ptr_nonnull(m);
    question_begin(q);
    while (played.query_token == before)
        turn();
    m->token = played.query_token;
    m->query = played.query_what;
    m->token += 100; /* nobody waits for that one */
    control_on_report(played.control, m);
    m->token -= 100;
    control_on_report(played.control, m);
    bridge_free(m);
    question_end(q);
    ck_assert_int_eq(q->st, ST_OK);
    ck_assert_int_eq(q->answer.code, 200);
}

START_TEST(registrations_and_calls_come_from_the_sip_thread)
{
    struct question *q = calloc(2, sizeof(*q));
    struct bridge_message *m = bridge_new(BRIDGE_REPORT, 0, 1, sizeof(struct bridge_registration));

    played_open();
    q[0].method = q[1].method = "GET";
    q[0].path = "/v1/registrations";
    q[1].path = "/v1/calls";
    m->registration[0] = (struct bridge_registration){
        .aor = "alice@site.pastry", .contact = "", .path = "", .expires_s = 3600};
    report_to(&q[0], m);
    ck_assert_int_eq(played.query_what, BRIDGE_QUERY_REGISTRATIONS);
    json_t *line = json_array_get(q[0].answer.body, 0);
    ck_assert_str_eq(json_string_value(json_object_get(line, "aor")), "alice@site.pastry");
    ck_assert_int_eq(json_integer_value(json_object_get(line, "expires_s")), 3600);

    m = bridge_new(BRIDGE_REPORT, 0, 1, sizeof(struct bridge_call));
    snprintf(m->call[0].state, sizeof(m->call[0].state), "confirmed");
    report_to(&q[1], m);
    ck_assert_int_eq(played.query_what, BRIDGE_QUERY_CALLS);
    line = json_array_get(q[1].answer.body, 0);
    ck_assert_str_eq(json_string_value(json_object_get(line, "state")), "confirmed");
    json_decref(q[0].answer.body);
    json_decref(q[1].answer.body);
    free(q);
}
END_TEST

START_TEST(what_is_not_answered_is_refused)
{
    played.conf.answer_ms = 50;
    played.conf.max_waiting = 1;
    played_open();
    expect_refusal("GET", "/v1/calls", NULL, 504, "no answer in time");
    played.can_query = false;
    expect_refusal("GET", "/v1/calls", NULL, 409, "the SIP side does not run");
    control_on_report(NULL, NULL);
    control_set_load(NULL, 1, 1);

    struct question *q = calloc(1, sizeof(*q));
    played.conf.answer_ms = 5000;
    control_free(played.control);
    played_open();
    played.can_query = true;
    q->method = "GET";
    q->path = "/v1/calls";
    played.query_token = 0;
    question_begin(q);
    while (played.query_token == 0)
        turn();
    expect_refusal("GET", "/v1/registrations", NULL, 503, "too many requests wait for an answer");
    /* The daemon ends: what waits is let go, whether its answer still gets out or not. */
    control_free(played.control);
    played.control = NULL;
    question_end(q);
    ck_assert(q->st != ST_OK || q->answer.code == 409);
    if (q->st == ST_OK)
        json_decref(q->answer.body);
    free(q);
}
END_TEST

/* Begin a resolve and wait until the node was asked. */
static void
resolve_begins(struct question *q, const char *path)
{
    q->method = "GET";
    q->path = path;
    played.asked_name[0] = '\0';
    memset(&played.trace_done, 0, sizeof(played.trace_done));
    question_begin(q);
    while (played.asked_name[0] == '\0')
        turn();
}

START_TEST(a_local_uri_resolves_to_contacts_and_hops)
{
    struct question *q = calloc(1, sizeof(*q));
    struct binding_contact contact[] = {
        {.uri = "sip:alice@10.0.0.1", .call_id = "", .instance = "", .token = "t1"},
        {.uri = "sip:old@10.0.0.1", .call_id = "", .instance = "", .token = "t2"}};
    const struct binding_record binding = {.aor = "Al ice@site.pastry",
                                           .path = "sip:127.1.0.1:5062;transport=tls",
                                           .contact_count = 2,
                                           .contact = contact};
    struct peer_hop hop = {.rtt_us = 1500};
    struct peer_datum datum = {.exists = true};
    struct writer w;

    played_open();
    contact[0].expires_at_wall_ms = played.now_is.wall_ms + 60000;
    contact[1].expires_at_wall_ms = played.now_is.wall_ms - 1;
    writer_init(&w, 65536);
    binding_record_write(&w, &binding);
    ck_assert_int_eq(w.failed, ST_OK);
    datum.value = writer_slice(&w);

    resolve_begins(q, "/v1/resolve?uri=sip%3AAl%2569ce%40Site.PASTRY%3A5060");
    ck_assert_str_eq(played.asked_name, "Alice@site.pastry");
    ck_assert_uint_ge(played.touched_count, 1);
    played.now_is.mono_ms += 12;
    played.trace_done.done(played.trace_done.ctx, played.now_is, ST_OK, &hop, 1);
    played.lookup_done.done(played.lookup_done.ctx, played.now_is, ST_OK, &datum, 1);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 200);
    json_t *body = q->answer.body;
    ck_assert_str_eq(json_string_value(json_object_get(body, "overlay")), "pastry");
    ck_assert_int_eq(json_integer_value(json_object_get(body, "elapsed_ms")), 12);
    ck_assert_uint_eq(json_array_size(json_object_get(body, "contacts")), 1);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(body, "contacts"), 0)),
                     "sip:alice@10.0.0.1");
    json_t *first = json_array_get(json_object_get(body, "hops"), 0);
    ck_assert_double_eq(json_real_value(json_object_get(first, "rtt_ms")), 1.5);
    json_decref(body);
    writer_done(&w);
    free(q);
}
END_TEST

START_TEST(a_foreign_uri_resolves_to_gateways)
{
    struct question *q = calloc(1, sizeof(*q));
    struct directory_answer *answer = calloc(1, sizeof(*answer));

    played_open();
    resolve_begins(q, "/v1/resolve?uri=sip:bob@voip.example.edu");
    ck_assert_str_eq(played.asked_name, "voip.example.edu");
    ck_assert(!played.is_past_cache && played.wants_hops);
    snprintf(answer->overlay, sizeof(answer->overlay), "example.edu");
    answer->gateway_count = answer->hop_count = 1;
    snprintf(answer->gateway[0].uri, SIP_URI_BYTES, "sip:127.2.0.1:5061;transport=tls;term=3");
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_OK, answer);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 200);
    ck_assert_str_eq(json_string_value(json_object_get(q->answer.body, "overlay")), "example.edu");
    ck_assert_uint_eq(json_array_size(json_object_get(q->answer.body, "contacts")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(q->answer.body, "hops")), 1);
    json_decref(q->answer.body);

    resolve_begins(q, "/v1/resolve?uri=sip:bob@nowhere");
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_NOT_FOUND, NULL);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 404);
    json_decref(q->answer.body);

    /* a.pastry may be an overlay of its own: it is asked for where our own has no such user */
    resolve_begins(q, "/v1/resolve?uri=sip:bob@a.pastry");
    played.asked_name[0] = '\0';
    played.lookup_done.done(played.lookup_done.ctx, played.now_is, ST_OK, NULL, 0);
    ck_assert_str_eq(played.asked_name, "a.pastry");
    played.trace_done.done(played.trace_done.ctx, played.now_is, ST_TIMEOUT, NULL, 0);
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_UNREACHABLE, NULL);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 503);
    json_decref(q->answer.body);

    /* and where a.pastry turns out to be ours, there is no such user */
    resolve_begins(q, "/v1/resolve?uri=sip:bob@a.pastry");
    played.lookup_done.done(played.lookup_done.ctx, played.now_is, ST_OK, NULL, 0);
    played.trace_done.done(played.trace_done.ctx, played.now_is, ST_OK, NULL, 0);
    answer->is_local = true;
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_OK, answer);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 404);
    json_decref(q->answer.body);
    free(answer);
    free(q);
}
END_TEST

START_TEST(a_resolve_may_pass_the_cache_and_leave_the_hops)
{
    struct question *q = calloc(1, sizeof(*q));
    struct directory_answer *answer = calloc(1, sizeof(*answer));

    played_open();
    resolve_begins(q, "/v1/resolve?uri=sip:bob@voip.example.edu&cache=no&hops=no");
    ck_assert(played.is_past_cache && !played.wants_hops);
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_OK, answer);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 200);
    json_decref(q->answer.body);

    resolve_begins(q, "/v1/resolve?uri=sip:bob@site.pastry&hops=no");
    ck_assert_ptr_null(played.trace_done.done); /* no way is asked for */
    played.lookup_done.done(played.lookup_done.ctx, played.now_is, ST_NOT_FOUND, NULL, 0);
    played.resolve_done.done(played.resolve_done.ctx, played.now_is, ST_NOT_FOUND, NULL);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 404);
    json_decref(q->answer.body);
    free(answer);
    free(q);
}
END_TEST

START_TEST(a_late_answer_of_the_node_finds_nobody_and_harms_nobody)
{
    struct question *q = calloc(1, sizeof(*q));

    played.conf.answer_ms = 30;
    played_open();
    resolve_begins(q, "/v1/resolve?uri=sip:bob@pastry");
    question_end(q);
    ck_assert_int_eq(q->answer.code, 504);
    json_decref(q->answer.body);
    played.lookup_done.done(played.lookup_done.ctx, played.now_is, ST_OK, NULL, 0);
    control_free(played.control);
    played.control = NULL;
    played.trace_done.done(played.trace_done.ctx, played.now_is, ST_STATE, NULL, 0);
    free(q);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    char big[20000];

    memset(big, 'a', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    played_open();
    expect_refusal("GET", "/v1/nothing", NULL, 404, "no such path");
    expect_refusal("POST", "/v1/status", NULL, 405, "this is a GET");
    expect_refusal("GET", "/v1/leave", NULL, 405, "this is a POST");
    expect_refusal("GET", "/v1/resolve", NULL, 400, "uri=URI is missing");
    const char *bad[] = {"/v1/resolve?uri=sip:",        "/v1/resolve?uri=sip:@x",
                         "/v1/resolve?uri=sip:a%20b@x", "/v1/resolve?uri=sip:a@b%00c%ff",
                         "/v1/resolve?uri=a@%22",       "/v1/resolve?uri=%ff@x"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (i != 3)
            expect_refusal("GET", bad[i], NULL, 400, "uri: found no SIP URI");
    expect_refusal("POST", "/v1/election/handover", json_array(), 400,
                   "the body is no JSON object");
    expect_refusal("POST", "/v1/election/handover", json_pack("{s:i}", "node", 5), 400,
                   "node: found no string");
    struct question *q = calloc(1, sizeof(*q));
    q->method = "POST";
    q->path = "/v1/election/handover";
    q->body = json_pack("{s:s}", "node", big);
    question_begin(q);
    question_end(q); /* the daemon may close before all was sent */
    ck_assert(q->st != ST_OK || q->answer.code == 413);
    if (q->st == ST_OK)
        json_decref(q->answer.body);
    json_decref(q->body);
    free(q);
    ck_assert_ptr_null(played.handover_to);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(changes_reach_the_daemon_and_refusals_come_back)
{
    played_open();
    json_decref(expect_answer("POST", "/v1/election/handover", NULL, 200));
    ck_assert_str_eq(played.handover_to, "first");
    json_decref(
        expect_answer("POST", "/v1/election/handover", json_pack("{s:s}", "node", "gw3"), 200));
    ck_assert_str_eq(played.handover_to, "named");
    played.handover_status = ST_STATE;
    expect_refusal("POST", "/v1/election/handover", NULL, 409, "not the gateway");
    expect_refusal("POST", "/v1/reload", NULL, 409, "ringway.conf:3: sip.listen: found nothing");
    expect_refusal("POST", "/v1/drain", NULL, 501, "not supported");
    json_decref(expect_answer("POST", "/v1/leave", NULL, 200));
    ck_assert_uint_eq(played.leave_count, 1);
    json_t *s = expect_answer("GET", "/v1/status", NULL, 200);
    ck_assert(json_is_true(json_object_get(s, "leaving")));
    json_decref(s);
}
END_TEST

#define GET_HTTP(path) "GET " path " HTTP/1.1\r\nHost: " HTTP "\r\nConnection: close\r\n\r\n"

START_TEST(http_shows_and_changes_nothing)
{
    static char reply[65536];

    played.conf.http = HTTP;
    played.counters.sent[3] = 42;
    played_open();
    ask_http(GET_HTTP("/v1/status"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(reply, "\"gw1.bupt\""));
    ask_http("POST /v1/leave HTTP/1.1\r\nHost: " HTTP "\r\nConnection: close\r\n"
             "Content-Length: 0\r\n\r\n",
             reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 403"));
    ck_assert_uint_eq(played.leave_count, 0);

    ask_http(GET_HTTP("/metrics"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "text/plain; version=0.0.4"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_uptime_seconds 60\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_election_role{role=\"candidate\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_overlay_joined{overlay=\"pastry\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_calls 12\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_not_replicated 0\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_copies 3\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_pending 3\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_adopted_total 7\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_replica_released_total 5\n"));
    ck_assert_ptr_nonnull(
        strstr(reply, "\nringway_messages_sent_total{overlay=\"pastry\",code=\"3\"} 42\n"));
    ask_http(GET_HTTP("/"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "text/html"));
    ck_assert_ptr_nonnull(strstr(reply, "gw&lt;1&gt;")); /* others' names are escaped */
    ask_http(GET_HTTP("/bootstrap"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "127.1.0.1:6084\n127.1.0.2:6084\n"));
    ask_http("\x16\x03\x01 garbage\r\n\r\n", reply, sizeof(reply));
    ck_assert_ptr_null(strstr(reply, " 200 "));
    ask_http(GET_HTTP("/v1/status"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 200"));
}
END_TEST

START_TEST(http_is_asked_by_a_name_of_its_own)
{
    static char reply[65536];
    char raw[300];
    const struct {
        const char *target, *fields, *expected;
    } it[] = {
        {"/v1/status", "Host: " HTTP "\r\n", "HTTP/1.1 200"},
        {"/v1/status", "Host: " HTTP_IP "\r\n", "HTTP/1.1 200"},
        {"/v1/status", "Host: LocalHost:18084\r\n", "HTTP/1.1 200"},
        {"/v1/status", "Host: gw1.bupt\r\n", "HTTP/1.1 200"},
        {"/v1/status", "Host: evil.example:18084\r\n", "HTTP/1.1 421"},
        {"/metrics", "Host: 127.88.0.2:18084\r\n", "HTTP/1.1 421"},
        {"/", "Host: " HTTP_IP ".evil.example\r\n", "HTTP/1.1 421"},
        {"/", "Host: localhost:80@evil.example\r\n", "HTTP/1.1 421"},
        {"/", "Host: [::1\r\n", "HTTP/1.1 421"},
        {"http://evil.example/", "Host: " HTTP "\r\n", "HTTP/1.1 421"},
        {"/", "", "HTTP/1.1 400"},
        {"/", "Host: localhost\r\nHost: evil.example\r\n", "HTTP/1.1 400"},
    };

    played.conf.http = HTTP;
    played_open();
    for (size_t i = 0; i < sizeof(it) / sizeof(it[0]); i++) {
        snprintf(raw, sizeof(raw), "GET %s HTTP/1.1\r\n%sConnection: close\r\n\r\n", it[i].target,
                 it[i].fields);
        ask_http(raw, reply, sizeof(reply));
        ck_assert_msg(strncmp(reply, it[i].expected, 12) == 0, "%s: %.40s", raw, reply);
    }
}
END_TEST

START_TEST(head_has_no_body)
{
    static char reply[65536];
    const char *path[] = {"/", "/metrics", "/v1/status", "/nothing"};
    char raw[200];

    played.conf.http = HTTP;
    played_open();
    for (size_t i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
        snprintf(raw, sizeof(raw),
                 "HEAD %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path[i]);
        ask_http(raw, reply, sizeof(reply));
        const char *end = strstr(reply, "\r\n\r\n");
        const char *length = strstr(reply, "Content-Length: ");
        ck_assert_msg(end && end[4] == '\0', "%s: %s", path[i], reply);
        ck_assert(length && length[16] >= '1' && length[16] <= '9'); /* that of the GET */
    }
}
END_TEST

/* Turns until the far end has closed; false if it does not within a second or so. */
static bool
is_closed(int fd)
{
    char byte;

    for (unsigned i = 0; i < 150; i++) {
        turn();
        if (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0)
            return true;
    }
    return false;
}

START_TEST(a_slow_head_has_a_deadline)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    static const char head[] = "GET /v1/status HTTP/1.1\r\nX-Slow: ";
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    played_open();
    snprintf(to.sun_path, sizeof(to.sun_path), "%s", played.socket_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    ck_assert_int_eq(send(fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert(!is_closed(fd)); /* the first time: accepted, since now */
        played.now_is.mono_ms += 5000;
        ck_assert_int_eq(send(fd, "x", 1, MSG_NOSIGNAL), 1);
    }
    played.now_is.mono_ms += 5001;
    ck_assert(is_closed(fd));
    close(fd);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(the_socket_is_private_and_a_stale_one_is_replaced)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct control *second = NULL;
    struct stat made;
    int left = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", played.socket_path);
    ck_assert_int_eq(bind(left, (struct sockaddr *)&address, sizeof(address)), 0);
    close(left); /* as after a crash: a path that nobody answers on */
    played_open();
    ck_assert_int_eq(stat(played.socket_path, &made), 0);
    ck_assert_uint_eq(made.st_mode & 0777, 0660);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));

    ck_assert_int_eq(control_new(played.base, &played.conf, &played.source, &second, &played.why),
                     ST_IO);
    ck_assert_ptr_nonnull(strstr(played.why.text, "another daemon answers on it"));
    ck_assert_ptr_null(second);
    ck_assert_int_eq(stat(played.socket_path, &made), 0);
    control_free(played.control);
    played.control = NULL;
    ck_assert_int_ne(stat(played.socket_path, &made), 0);

    FILE *file = fopen(played.socket_path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_int_eq(control_new(played.base, &played.conf, &played.source, &second, &played.why),
                     ST_IO);
    ck_assert_ptr_nonnull(strstr(played.why.text, "a file that is no socket"));
    ck_assert_int_eq(stat(played.socket_path, &made), 0);
    played.conf.socket = "/nonexistent/folder/socket";
    ck_assert_int_eq(control_new(played.base, &played.conf, &played.source, &second, &played.why),
                     ST_IO);
}
END_TEST

static int
connect_idle(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", played.socket_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (int i = 0; i < 5; i++)
        turn();
    return fd;
}

START_TEST(connections_are_bounded)
{
    struct question *q = calloc(1, sizeof(*q));
    int idle[3];

    played.conf.max_connections = 3;
    played_open();
    for (int i = 0; i < 3; i++)
        idle[i] = connect_idle();
    q->method = "GET";
    q->path = "/v1/status";
    question_begin(q);
    for (int i = 0; i < 100; i++) /* 200 ms: time enough to answer, had it been accepted */
        turn();
    ck_assert(!atomic_load(&q->is_done));
    close(idle[1]);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 200);
    json_decref(q->answer.body);
    close(idle[0]);
    close(idle[2]);
    free(q);
    for (int i = 0; i < 20; i++)
        json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(a_client_that_goes_away_is_forgotten)
{
    const char *request = "GET /v1/calls HTTP/1.1\r\nHost: " HTTP "\r\n\r\n";
    struct bridge_message *m = bridge_new(BRIDGE_REPORT, 0, 0, 0);
    int fd;

    played_open();
    played.query_token = 0;
    fd = connect_idle();
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while (played.query_token == 0)
        turn();
    close(fd);
    for (int i = 0; i < 5; i++)
        turn();
    m->token = played.query_token;
    m->query = BRIDGE_QUERY_CALLS;
    control_on_report(played.control, m);
    bridge_free(m);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(without_a_daemon_the_client_says_so)
{
    struct client_answer answer;
    char escaped[16];

    ck_assert_int_eq(
        client_ask(played.socket_path, "GET", "/v1/status", NULL, &answer, &played.why),
        ST_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(played.why.text, "no daemon answers on"));
    ck_assert(client_escape("a b@c", escaped, sizeof(escaped)));
    ck_assert_str_eq(escaped, "a%20b%40c");
    ck_assert(!client_escape("0123456789abcdef", escaped, sizeof(escaped)));
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("control");
    TCase *tc = tcase_create("control");

    tcase_add_checked_fixture(tc, played_setup, played_teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, status_has_the_promised_fields);
    tcase_add_test(tc, election_has_the_promised_fields);
    tcase_add_test(tc, overlays_show_neighbours_tables_and_records);
    tcase_add_test(tc, registrations_and_calls_come_from_the_sip_thread);
    tcase_add_test(tc, what_is_not_answered_is_refused);
    tcase_add_test(tc, a_local_uri_resolves_to_contacts_and_hops);
    tcase_add_test(tc, a_foreign_uri_resolves_to_gateways);
    tcase_add_test(tc, a_resolve_may_pass_the_cache_and_leave_the_hops);
    tcase_add_test(tc, a_late_answer_of_the_node_finds_nobody_and_harms_nobody);
    tcase_add_test(tc, bad_requests_are_refused);
    tcase_add_test(tc, changes_reach_the_daemon_and_refusals_come_back);
    tcase_add_test(tc, http_shows_and_changes_nothing);
    tcase_add_test(tc, http_is_asked_by_a_name_of_its_own);
    tcase_add_test(tc, head_has_no_body);
    tcase_add_test(tc, a_slow_head_has_a_deadline);
    tcase_add_test(tc, the_socket_is_private_and_a_stale_one_is_replaced);
    tcase_add_test(tc, connections_are_bounded);
    tcase_add_test(tc, a_client_that_goes_away_is_forgotten);
    tcase_add_test(tc, without_a_daemon_the_client_says_so);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
