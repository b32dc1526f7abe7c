/* The control socket over real sockets; the node behind it is played by this file, which stands in
 * for gateway/node, the peers and the election when the program is linked. */
#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "gateway/cli/client.h"
#include "gateway/control/control.h"

#define HTTP_IP   "127.88.0.1"
#define HTTP_PORT 18084
#define HTTP      "127.88.0.1:18084"

/* ---- the node that is played ------------------------------------------------------------------
 */

static struct peer_conf local_conf, global_conf;
static struct topology_ops topology = {.name = "chord"};
static struct peer_counters counters;
static struct election_gateway gateway;
static size_t gateway_count;
static bool has_global;
static const char *handover_to;
static enum status handover_status;

/* What the control socket asked of the node and waits for. */
static struct peer_fetched lookup_done;
static struct peer_traced trace_done;
static struct directory_resolved resolve_done;
static char asked_name[AOR_BYTES];

struct peer *
node_peer(struct node *n, enum node_overlay which)
{
    (void)n;
    if (which == NODE_GLOBAL && !has_global)
        return NULL;
    return (struct peer *)(which == NODE_LOCAL ? (void *)&local_conf : (void *)&global_conf);
}

struct election *
node_election(struct node *n)
{
    (void)n;
    return (struct election *)(void *)&gateway;
}

void
node_lookup(struct node *n, struct moment now, const char *aor, const struct peer_fetched *done)
{
    (void)n;
    (void)now;
    snprintf(asked_name, sizeof(asked_name), "%s", aor);
    lookup_done = *done;
}

void
node_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
             bool wants_hops, const struct directory_resolved *done)
{
    (void)n;
    (void)now;
    ck_assert(!is_past_cache);
    ck_assert(wants_hops);
    snprintf(asked_name, sizeof(asked_name), "%s", domain);
    resolve_done = *done;
}

void
peer_trace(struct peer *p, struct moment now, const char *name, const struct peer_traced *done)
{
    (void)p;
    (void)now;
    (void)name;
    trace_done = *done;
}

const struct peer_conf *
peer_conf_of(const struct peer *p)
{
    return (const struct peer_conf *)(const void *)p;
}

const char *
peer_state_name(enum peer_state state)
{
    return state == PEER_JOINED ? "joined" : "down";
}

enum peer_state
peer_state(const struct peer *p)
{
    (void)p;
    return PEER_JOINED;
}

bool
peer_is_member(const struct peer *p)
{
    return (const void *)p == (const void *)&local_conf;
}

size_t
peer_neighbour_count(const struct peer *p)
{
    (void)p;
    return 1;
}

size_t
peer_record_count(const struct peer *p)
{
    (void)p;
    return 1;
}

const struct peer_counters *
peer_counters_of(const struct peer *p)
{
    (void)p;
    return &counters;
}

void
peer_dump(const struct peer *p, void (*visit)(void *ctx, const struct topology_dump *line),
          void *ctx)
{
    const struct topology_dump line = {.table = "successor", .index = 2, .note = "n"};

    (void)p;
    visit(ctx, &line);
}

size_t
peer_neighbours(const struct peer *p, struct node_ref *ret_ref, size_t cap)
{
    (void)p;
    ck_assert_uint_ge(cap, 1);
    *ret_ref = (struct node_ref){.name = "gw2\xff", .address = "127.1.0.2:6084"};
    return 1;
}

void
peer_records(const struct peer *p, void (*visit)(void *ctx, const struct peer_record_line *line),
             void *ctx)
{
    const struct peer_record_line line = {.kind = KIND_BINDING,
                                          .key = slice_of("0123456789abcdef", 16),
                                          .exists = true,
                                          .expires_at_wall_ms = 1000000060000,
                                          .value_bytes = 77};

    (void)p;
    visit(ctx, &line);
}

enum election_role
election_role(const struct election *e)
{
    (void)e;
    return ELECTION_CANDIDATE;
}

const char *
election_role_name(enum election_role role)
{
    return role == ELECTION_CANDIDATE ? "candidate"
           : role == ELECTION_ACTIVE  ? "active"
                                      : "observer";
}

uint32_t
election_term(const struct election *e)
{
    (void)e;
    return 7;
}

uint16_t
election_score(const struct election *e)
{
    (void)e;
    return 512;
}

const struct election_gateway *
election_gateways(const struct election *e, size_t *ret_count)
{
    (void)e;
    *ret_count = gateway_count;
    return &gateway;
}

size_t
election_candidates(const struct election *e, struct moment now, struct election_candidate *ret,
                    size_t cap)
{
    (void)e;
    (void)now;
    ck_assert_uint_ge(cap, 2);
    ret[0] = (struct election_candidate){.rank = 1, .score = 600, .rtt_ms = 3, .last_ms = 40};
    snprintf(ret[0].ref.name, sizeof(ret[0].ref.name), "gw3");
    ret[1] = (struct election_candidate){
        .rank = 2, .rtt_ms = ELECTION_UNKNOWN_MS, .last_ms = ELECTION_UNKNOWN_MS};
    return 2;
}

size_t
election_history(const struct election *e, struct election_transition *ret, size_t cap)
{
    (void)e;
    ck_assert_uint_ge(cap, 1);
    *ret = (struct election_transition){
        .at_wall_ms = 1000000000123, .term = 7, .to = ELECTION_ACTIVE, .reason = "first claim"};
    return 1;
}

enum status
election_handover(struct election *e, struct moment now, const char *node, struct why *why)
{
    (void)e;
    (void)now;
    handover_to = node ? "named" : "first";
    if (node)
        ck_assert_str_eq(node, "gw3");
    return handover_status == ST_OK ? ST_OK : why_set(why, handover_status, "not the gateway");
}

/* ---- the daemon that is played ----------------------------------------------------------------
 */

static struct event_base *base;
static struct control *control;
static struct control_conf conf;
static struct control_source source;
static char socket_path[100];
static char folder[] = "/tmp/test_control.XXXXXX";
static struct moment now_is;
static uint64_t query_token;
static enum bridge_query query_what;
static bool can_query;
static unsigned touched_count, leave_count;
static struct why why;

static struct moment
on_now(void *ctx)
{
    (void)ctx;
    return now_is;
}

static void
on_touched(void *ctx)
{
    (void)ctx;
    touched_count++;
}

static bool
on_query(void *ctx, enum bridge_query what, uint64_t token)
{
    (void)ctx;
    query_what = what;
    query_token = token;
    return can_query;
}

static enum status
on_leave(void *ctx, struct why *told)
{
    (void)ctx;
    (void)told;
    leave_count++;
    return ST_OK;
}

static enum status
on_reload(void *ctx, struct why *told)
{
    (void)ctx;
    return why_set(told, ST_CONFIG, "ringway.conf:3: sip.listen: found nothing");
}

static void
setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(socket_path, sizeof(socket_path), "%s/s", folder);
    base = event_base_new();
    ck_assert_ptr_nonnull(base);
    snprintf(local_conf.overlay, sizeof(local_conf.overlay), "pastry");
    snprintf(global_conf.overlay, sizeof(global_conf.overlay), "p2psip.global");
    snprintf(local_conf.self.address, sizeof(local_conf.self.address), "127.1.0.1:6084");
    local_conf.topology = global_conf.topology = &topology;
    snprintf(gateway.ref.name, sizeof(gateway.ref.name), "gw<1>");
    snprintf(gateway.sip_uri, sizeof(gateway.sip_uri), "sip:127.1.0.9:5062;transport=tls");
    gateway.since_wall_ms = 1000000000000;
    gateway.score = 700;
    gateway_count = 1;
    has_global = true;
    can_query = true;
    now_is = (struct moment){.mono_ms = 65000, .wall_ms = 1000000000000};
    control_conf_defaults(&conf);
    conf.socket = socket_path;
    source = (struct control_source){.name = "gw1.bupt",
                                     .address = "127.1.0.1",
                                     .version = "9.9",
                                     .has_global = true,
                                     .started = {.mono_ms = 5000},
                                     .now = on_now,
                                     .touched = on_touched,
                                     .query = on_query,
                                     .leave = on_leave,
                                     .reload = on_reload};
}

static void
teardown(void)
{
    control_free(control);
    event_base_free(base);
    unlink(socket_path);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void
open_control(void)
{
    ck_assert_msg(control_new(base, &conf, &source, &control, &why) == ST_OK, "%s", why.text);
}

/* ---- a client in a thread of its own ----------------------------------------------------------
 */

struct question {
    const char *method;
    const char *path;
    json_t *body;
    const char *raw; /* to HTTP instead */
    char reply[65536];
    struct client_answer answer;
    enum status st;
    atomic_bool is_done;
    pthread_t thread;
};

static void
ask_raw(struct question *q)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(HTTP_PORT)};
    const struct timeval limit = {.tv_sec = 5};
    size_t used = 0;
    ssize_t n;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, HTTP_IP, &to.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 &&
        send(fd, q->raw, strlen(q->raw), MSG_NOSIGNAL) > 0)
        while (used < sizeof(q->reply) - 1 &&
               (n = recv(fd, q->reply + used, sizeof(q->reply) - 1 - used, 0)) > 0)
            used += (size_t)n;
    close(fd);
}

static void *
ask_thread(void *ctx)
{
    struct question *q = ctx;
    struct why told;

    if (q->raw)
        ask_raw(q);
    else
        q->st = client_ask(socket_path, q->method, q->path, q->body, &q->answer, &told);
    atomic_store(&q->is_done, true);
    return NULL;
}

static void
on_turn(int fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx;
}

/* One turn of the loop, a few milliseconds at most. */
static void
turn(void)
{
    const struct timeval soon = {.tv_usec = 2000};

    event_base_once(base, -1, EV_TIMEOUT, on_turn, NULL, &soon);
    event_base_loop(base, EVLOOP_ONCE);
}

static void
question_begin(struct question *q)
{
    atomic_init(&q->is_done, false);
    ck_assert_int_eq(pthread_create(&q->thread, NULL, ask_thread, q), 0);
}

static void
question_end(struct question *q)
{
    while (!atomic_load(&q->is_done))
        turn();
    pthread_join(q->thread, NULL);
}

/* Ask over the socket; the answer has to come with this code.  The body is the caller's. */
static json_t *
expect_answer(const char *method, const char *path, json_t *body, int code)
{
    struct question *q = calloc(1, sizeof(*q));
    json_t *answer;

    ck_assert_ptr_nonnull(q);
    q->method = method;
    q->path = path;
    q->body = body;
    question_begin(q);
    question_end(q);
    ck_assert_msg(q->st == ST_OK, "%s %s: %s", method, path, status_text(q->st));
    ck_assert_int_eq(q->answer.code, code);
    answer = q->answer.body;
    json_decref(body);
    free(q);
    return answer;
}

static void
expect_refusal(const char *method, const char *path, json_t *body, int code, const char *error)
{
    json_t *answer = expect_answer(method, path, body, code);

    ck_assert_str_eq(json_string_value(json_object_get(answer, "error")), error);
    ck_assert(json_is_integer(json_object_get(answer, "code")));
    json_decref(answer);
}

/* Send this to the HTTP port; @reply holds what came back. */
static void
ask_http(const char *raw, char *reply, size_t reply_bytes)
{
    struct question *q = calloc(1, sizeof(*q));

    ck_assert_ptr_nonnull(q);
    q->raw = raw;
    question_begin(q);
    question_end(q);
    snprintf(reply, reply_bytes, "%s", q->reply);
    free(q);
}

static const char *
text_at(const json_t *object, const char *first, const char *second)
{
    return json_string_value(json_object_get(json_object_get(object, first), second));
}

static long long
number_at(const json_t *object, const char *first, const char *second)
{
    const json_t *value = json_object_get(json_object_get(object, first), second);

    ck_assert_msg(json_is_integer(value), "%s.%s is no number", first, second);
    return json_integer_value(value);
}

/* ---- tests ------------------------------------------------------------------------------------
 */

START_TEST(status_has_the_promised_fields)
{
    open_control();
    control_set_load(control, 4, 12);
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
    json_decref(s);

    has_global = false;
    s = expect_answer("GET", "/v1/status", NULL, 200);
    ck_assert(json_is_null(json_object_get(s, "global")));
    json_decref(s);
}
END_TEST

START_TEST(election_has_the_promised_fields)
{
    open_control();
    json_t *e = expect_answer("GET", "/v1/election", NULL, 200);
    ck_assert_str_eq(json_string_value(json_object_get(e, "overlay")), "pastry");
    ck_assert_int_eq(json_integer_value(json_object_get(e, "term")), 7);
    ck_assert_str_eq(text_at(e, "active", "name"), "gw<1>");
    ck_assert_str_eq(text_at(e, "active", "since"), "2001-09-09T01:46:40.000Z");
    ck_assert_int_eq(number_at(e, "active", "score"), 700);
    ck_assert_uint_eq(json_array_size(json_object_get(e, "gateways")), 1);
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

    gateway_count = 0;
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
    json_decref(e);
}
END_TEST

START_TEST(overlays_show_neighbours_tables_and_records)
{
    open_control();
    json_t *o = expect_answer("GET", "/v1/overlay/local", NULL, 200);
    json_t *neighbour = json_array_get(json_object_get(o, "neighbour_nodes"), 0);
    json_t *held = json_array_get(json_object_get(o, "held"), 0);
    json_t *line = json_array_get(json_object_get(o, "table"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(neighbour, "address")), "127.1.0.2:6084");
    ck_assert_str_eq(json_string_value(json_object_get(neighbour, "name")), "?"); /* no UTF-8 */
    ck_assert_str_eq(json_string_value(json_object_get(line, "table")), "successor");
    ck_assert_int_eq(json_integer_value(json_object_get(held, "expires_s")), 60);
    ck_assert_int_eq(json_integer_value(json_object_get(held, "bytes")), 77);
    ck_assert_str_eq(json_string_value(json_object_get(held, "key")),
                     "30313233343536373839616263646566");
    json_decref(o);

    has_global = false;
    expect_refusal("GET", "/v1/overlay/global", NULL, 404, "this node has no global overlay");
}
END_TEST

/* The SIP thread answers @q's query with this report. */
static void
report_to(struct question *q, struct bridge_message *m)
{
    uint64_t before = query_token;

    ck_assert_ptr_nonnull(m);
    question_begin(q);
    while (query_token == before)
        turn();
    m->token = query_token;
    m->query = query_what;
    m->token += 100; /* nobody waits for that one */
    control_on_report(control, m);
    m->token -= 100;
    control_on_report(control, m);
    bridge_free(m);
    question_end(q);
    ck_assert_int_eq(q->st, ST_OK);
    ck_assert_int_eq(q->answer.code, 200);
}

START_TEST(registrations_and_calls_come_from_the_sip_thread)
{
    struct question *q = calloc(2, sizeof(*q));
    struct bridge_message *m = bridge_new(BRIDGE_REPORT, 0, 1, sizeof(struct bridge_registration));

    open_control();
    q[0].method = q[1].method = "GET";
    q[0].path = "/v1/registrations";
    q[1].path = "/v1/calls";
    snprintf(m->registration[0].aor, AOR_BYTES, "alice@site.pastry");
    m->registration[0].expires_s = 3600;
    report_to(&q[0], m);
    ck_assert_int_eq(query_what, BRIDGE_QUERY_REGISTRATIONS);
    json_t *line = json_array_get(q[0].answer.body, 0);
    ck_assert_str_eq(json_string_value(json_object_get(line, "aor")), "alice@site.pastry");
    ck_assert_int_eq(json_integer_value(json_object_get(line, "expires_s")), 3600);

    m = bridge_new(BRIDGE_REPORT, 0, 1, sizeof(struct bridge_call));
    snprintf(m->call[0].state, sizeof(m->call[0].state), "confirmed");
    report_to(&q[1], m);
    ck_assert_int_eq(query_what, BRIDGE_QUERY_CALLS);
    line = json_array_get(q[1].answer.body, 0);
    ck_assert_str_eq(json_string_value(json_object_get(line, "state")), "confirmed");
    json_decref(q[0].answer.body);
    json_decref(q[1].answer.body);
    free(q);
}
END_TEST

START_TEST(what_is_not_answered_is_refused)
{
    conf.answer_ms = 50;
    conf.max_waiting = 1;
    open_control();
    expect_refusal("GET", "/v1/calls", NULL, 504, "no answer in time");
    can_query = false;
    expect_refusal("GET", "/v1/calls", NULL, 409, "the SIP side does not run");
    control_on_report(NULL, NULL);
    control_set_load(NULL, 1, 1);

    struct question *q = calloc(1, sizeof(*q));
    conf.answer_ms = 5000;
    control_free(control);
    open_control();
    can_query = true;
    q->method = "GET";
    q->path = "/v1/calls";
    query_token = 0;
    question_begin(q);
    while (query_token == 0)
        turn();
    expect_refusal("GET", "/v1/registrations", NULL, 503, "too many requests wait for an answer");
    /* The daemon ends: what waits is let go, whether its answer still gets out or not. */
    control_free(control);
    control = NULL;
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
    asked_name[0] = '\0';
    memset(&trace_done, 0, sizeof(trace_done));
    question_begin(q);
    while (asked_name[0] == '\0')
        turn();
}

START_TEST(a_local_uri_resolves_to_contacts_and_hops)
{
    struct question *q = calloc(1, sizeof(*q));
    struct binding_record *binding = calloc(1, sizeof(*binding));
    struct peer_hop hop = {.rtt_us = 1500};
    struct peer_datum datum = {.exists = true};
    struct writer w;

    open_control();
    snprintf(binding->aor, sizeof(binding->aor), "Al ice@site.pastry");
    binding->contact_count = 2;
    snprintf(binding->contact[0].uri, SIP_URI_BYTES, "sip:alice@10.0.0.1");
    binding->contact[0].expires_at_wall_ms = now_is.wall_ms + 60000;
    snprintf(binding->contact[1].uri, SIP_URI_BYTES, "sip:old@10.0.0.1");
    binding->contact[1].expires_at_wall_ms = now_is.wall_ms - 1;
    snprintf(binding->path, sizeof(binding->path), "sip:127.1.0.1:5062;transport=tls");
    writer_init(&w, 65536);
    binding_record_write(&w, binding);
    ck_assert_int_eq(w.failed, ST_OK);
    datum.value = writer_slice(&w);

    resolve_begins(q, "/v1/resolve?uri=sip%3AAl%2569ce%40Site.PASTRY%3A5060");
    ck_assert_str_eq(asked_name, "Alice@site.pastry");
    ck_assert_uint_ge(touched_count, 1);
    now_is.mono_ms += 12;
    trace_done.done(trace_done.ctx, now_is, ST_OK, &hop, 1);
    lookup_done.done(lookup_done.ctx, now_is, ST_OK, &datum, 1);
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
    free(binding);
    free(q);
}
END_TEST

START_TEST(a_foreign_uri_resolves_to_gateways)
{
    struct question *q = calloc(1, sizeof(*q));
    struct directory_answer *answer = calloc(1, sizeof(*answer));

    open_control();
    resolve_begins(q, "/v1/resolve?uri=sip:bob@voip.example.edu");
    ck_assert_str_eq(asked_name, "voip.example.edu");
    snprintf(answer->overlay, sizeof(answer->overlay), "example.edu");
    answer->gateway_count = answer->hop_count = 1;
    snprintf(answer->gateway[0].uri, SIP_URI_BYTES, "sip:127.2.0.1:5061;transport=tls;term=3");
    resolve_done.done(resolve_done.ctx, now_is, ST_OK, answer);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 200);
    ck_assert_str_eq(json_string_value(json_object_get(q->answer.body, "overlay")), "example.edu");
    ck_assert_uint_eq(json_array_size(json_object_get(q->answer.body, "contacts")), 1);
    ck_assert_uint_eq(json_array_size(json_object_get(q->answer.body, "hops")), 1);
    json_decref(q->answer.body);

    resolve_begins(q, "/v1/resolve?uri=sip:bob@nowhere");
    resolve_done.done(resolve_done.ctx, now_is, ST_NOT_FOUND, NULL);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 404);
    json_decref(q->answer.body);

    /* a.pastry may be an overlay of its own: it is asked for where our own has no such user */
    resolve_begins(q, "/v1/resolve?uri=sip:bob@a.pastry");
    asked_name[0] = '\0';
    lookup_done.done(lookup_done.ctx, now_is, ST_OK, NULL, 0);
    ck_assert_str_eq(asked_name, "a.pastry");
    trace_done.done(trace_done.ctx, now_is, ST_TIMEOUT, NULL, 0);
    resolve_done.done(resolve_done.ctx, now_is, ST_UNREACHABLE, NULL);
    question_end(q);
    ck_assert_int_eq(q->answer.code, 503);
    json_decref(q->answer.body);
    free(answer);
    free(q);
}
END_TEST

START_TEST(a_late_answer_of_the_node_finds_nobody_and_harms_nobody)
{
    struct question *q = calloc(1, sizeof(*q));

    conf.answer_ms = 30;
    open_control();
    resolve_begins(q, "/v1/resolve?uri=sip:bob@pastry");
    question_end(q);
    ck_assert_int_eq(q->answer.code, 504);
    json_decref(q->answer.body);
    lookup_done.done(lookup_done.ctx, now_is, ST_OK, NULL, 0);
    control_free(control);
    control = NULL;
    trace_done.done(trace_done.ctx, now_is, ST_STATE, NULL, 0);
    free(q);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
    char big[20000];

    memset(big, 'a', sizeof(big));
    big[sizeof(big) - 1] = '\0';
    open_control();
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
    ck_assert_ptr_null(handover_to);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(changes_reach_the_daemon_and_refusals_come_back)
{
    open_control();
    json_decref(expect_answer("POST", "/v1/election/handover", NULL, 200));
    ck_assert_str_eq(handover_to, "first");
    json_decref(
        expect_answer("POST", "/v1/election/handover", json_pack("{s:s}", "node", "gw3"), 200));
    ck_assert_str_eq(handover_to, "named");
    handover_status = ST_STATE;
    expect_refusal("POST", "/v1/election/handover", NULL, 409, "not the gateway");
    expect_refusal("POST", "/v1/reload", NULL, 409, "ringway.conf:3: sip.listen: found nothing");
    expect_refusal("POST", "/v1/drain", NULL, 501, "not supported");
    json_decref(expect_answer("POST", "/v1/leave", NULL, 200));
    ck_assert_uint_eq(leave_count, 1);
    json_t *s = expect_answer("GET", "/v1/status", NULL, 200);
    ck_assert(json_is_true(json_object_get(s, "leaving")));
    json_decref(s);
}
END_TEST

#define GET_HTTP(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

START_TEST(http_shows_and_changes_nothing)
{
    static char reply[65536];

    conf.http = HTTP;
    counters.sent[3] = 42;
    open_control();
    ask_http(GET_HTTP("/v1/status"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 200"));
    ck_assert_ptr_nonnull(strstr(reply, "\"gw1.bupt\""));
    ask_http("POST /v1/leave HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
             "Content-Length: 0\r\n\r\n",
             reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 403"));
    ck_assert_uint_eq(leave_count, 0);

    ask_http(GET_HTTP("/metrics"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "text/plain; version=0.0.4"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_uptime_seconds 60\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_election_role{role=\"candidate\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(reply, "\nringway_overlay_joined{overlay=\"pastry\"} 1\n"));
    ck_assert_ptr_nonnull(
        strstr(reply, "\nringway_messages_sent_total{overlay=\"pastry\",code=\"3\"} 42\n"));
    ask_http(GET_HTTP("/"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "text/html"));
    ck_assert_ptr_nonnull(strstr(reply, "gw&lt;1>")); /* others' names are escaped */
    ask_http(GET_HTTP("/bootstrap"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "127.1.0.1:6084\n127.1.0.2:6084\n"));
    ask_http("\x16\x03\x01 garbage\r\n\r\n", reply, sizeof(reply));
    ck_assert_ptr_null(strstr(reply, " 200 "));
    ask_http(GET_HTTP("/v1/status"), reply, sizeof(reply));
    ck_assert_ptr_nonnull(strstr(reply, "HTTP/1.1 200"));
}
END_TEST

START_TEST(the_socket_is_private_and_a_stale_one_is_replaced)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct control *second = NULL;
    struct stat made;
    int left = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    ck_assert_int_eq(bind(left, (struct sockaddr *)&address, sizeof(address)), 0);
    close(left); /* as after a crash: a path that nobody answers on */
    open_control();
    ck_assert_int_eq(stat(socket_path, &made), 0);
    ck_assert_uint_eq(made.st_mode & 0777, 0660);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));

    ck_assert_int_eq(control_new(base, &conf, &source, &second, &why), ST_IO);
    ck_assert_ptr_nonnull(strstr(why.text, "another daemon answers on it"));
    ck_assert_ptr_null(second);
    ck_assert_int_eq(stat(socket_path, &made), 0);
    control_free(control);
    control = NULL;
    ck_assert_int_ne(stat(socket_path, &made), 0);

    FILE *file = fopen(socket_path, "w");
    ck_assert_ptr_nonnull(file);
    fclose(file);
    ck_assert_int_eq(control_new(base, &conf, &source, &second, &why), ST_IO);
    ck_assert_ptr_nonnull(strstr(why.text, "a file that is no socket"));
    ck_assert_int_eq(stat(socket_path, &made), 0);
    conf.socket = "/nonexistent/folder/socket";
    ck_assert_int_eq(control_new(base, &conf, &source, &second, &why), ST_IO);
}
END_TEST

static int
connect_idle(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", socket_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    for (int i = 0; i < 5; i++)
        turn();
    return fd;
}

START_TEST(connections_are_bounded)
{
    struct question *q = calloc(1, sizeof(*q));
    int idle[3];

    conf.max_connections = 3;
    open_control();
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
    const char *request = "GET /v1/calls HTTP/1.1\r\nHost: x\r\n\r\n";
    struct bridge_message *m = bridge_new(BRIDGE_REPORT, 0, 0, 0);
    int fd;

    open_control();
    query_token = 0;
    fd = connect_idle();
    ck_assert_int_eq(send(fd, request, strlen(request), 0), (ssize_t)strlen(request));
    while (query_token == 0)
        turn();
    close(fd);
    for (int i = 0; i < 5; i++)
        turn();
    m->token = query_token;
    m->query = BRIDGE_QUERY_CALLS;
    control_on_report(control, m);
    bridge_free(m);
    json_decref(expect_answer("GET", "/v1/status", NULL, 200));
}
END_TEST

START_TEST(without_a_daemon_the_client_says_so)
{
    struct client_answer answer;
    char escaped[16];

    ck_assert_int_eq(client_ask(socket_path, "GET", "/v1/status", NULL, &answer, &why),
                     ST_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(why.text, "no daemon answers on"));
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

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 30);
    tcase_add_test(tc, status_has_the_promised_fields);
    tcase_add_test(tc, election_has_the_promised_fields);
    tcase_add_test(tc, overlays_show_neighbours_tables_and_records);
    tcase_add_test(tc, registrations_and_calls_come_from_the_sip_thread);
    tcase_add_test(tc, what_is_not_answered_is_refused);
    tcase_add_test(tc, a_local_uri_resolves_to_contacts_and_hops);
    tcase_add_test(tc, a_foreign_uri_resolves_to_gateways);
    tcase_add_test(tc, a_late_answer_of_the_node_finds_nobody_and_harms_nobody);
    tcase_add_test(tc, bad_requests_are_refused);
    tcase_add_test(tc, changes_reach_the_daemon_and_refusals_come_back);
    tcase_add_test(tc, http_shows_and_changes_nothing);
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
