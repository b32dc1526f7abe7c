#include "tests/unit/control_played.h"

#include <arpa/inet.h>
#include <check.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct played played;

/* ---- the node that is played ----------------------------------------------------------------- */

static struct topology_ops topology = {.name = "chord"};

struct peer *
node_peer(struct node *n, enum node_overlay which)
{
    (void)n;
    if (which == NODE_GLOBAL && !played.has_global)
        return NULL;
    return (struct peer *)(which == NODE_LOCAL ? (void *)&played.local_conf
                                               : (void *)&played.global_conf);
}

struct election *
node_election(struct node *n)
{
    (void)n;
    return (struct election *)(void *)&played.gateway;
}

struct ring_health
node_ring_health(const struct node *n, struct moment now)
{
    (void)n;
    (void)now;
    return (struct ring_health){.members = 2, .silent_ms = 40};
}

bool
node_is_published(const struct node *n)
{
    (void)n;
    return true;
}

bool
node_replica_report(const struct node *n, struct moment now, struct replica_report *ret)
{
    (void)n;
    (void)now;
    if (!played.has_global)
        return false;
    *ret = (struct replica_report){
        .calls = 12,
        .copies = 3,
        .copy_bytes = 4500,
        .adopted = 7,
        .released = 5,
        .heir_count = 2,
        .heir = {{.pending = 1, .last_ms = 20, .round_ms = 2},
                 {.node = {{9}}, .is_moving = true, .pending = 2, .last_ms = UINT32_MAX}}};
    return true;
}

void
node_lookup(struct node *n, struct moment now, const char *aor, const struct peer_fetched *done)
{
    (void)n;
    (void)now;
    snprintf(played.asked_name, sizeof(played.asked_name), "%s", aor);
    played.lookup_done = *done;
}

void
node_resolve(struct node *n, struct moment now, const char *domain, bool is_past_cache,
             bool wants_hops, const struct directory_resolved *done)
{
    (void)n;
    (void)now;
    played.is_past_cache = is_past_cache;
    played.wants_hops = wants_hops;
    snprintf(played.asked_name, sizeof(played.asked_name), "%s", domain);
    played.resolve_done = *done;
}

void
peer_trace(struct peer *p, struct moment now, const char *name, const struct peer_traced *done)
{
    (void)p;
    (void)now;
    (void)name;
    played.trace_done = *done;
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
    return (const void *)p == (const void *)&played.local_conf;
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

size_t
peer_record_bytes(const struct peer *p)
{
    return 1000 * peer_record_count(p);
}

uint64_t
peer_values_refused(const struct peer *p, enum peer_refusal reason)
{
    (void)p;
    return 10 + reason;
}

const struct peer_counters *
peer_counters_of(const struct peer *p)
{
    (void)p;
    return &played.counters;
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

const char *
election_trouble_name(enum election_trouble trouble)
{
    return trouble == ELECTION_NOBODY ? "nobody" : "stranger";
}

enum election_trouble
election_trouble(const struct election *e, const char **ret_text)
{
    (void)e;
    *ret_text = "";
    return ELECTION_FINE;
}

struct nested *
node_nested(struct node *n)
{
    (void)n;
    return NULL;
}

const struct nested_name *
nested_names(const struct nested *n, size_t *ret_count)
{
    static const struct nested_name name[] = {{"bupt.pastry", 1, false}, {"lab.pastry", 0, true}};

    (void)n;
    *ret_count = 2;
    return name;
}

const struct election_gateway *
election_gateways(const struct election *e, size_t *ret_count)
{
    (void)e;
    *ret_count = played.gateway_count;
    return &played.gateway;
}

void
election_health(const struct election *e, struct moment now, size_t at, struct election_health *ret)
{
    (void)e;
    (void)now;
    ck_assert_uint_eq(at, 0);
    *ret = (struct election_health){.state = "suspect",
                                    .interval_ms = 100,
                                    .rtt_ms = 4,
                                    .missed = 2,
                                    .last_ms = ELECTION_UNKNOWN_MS};
}

uint32_t
election_late_ms(const struct election *e)
{
    (void)e;
    return 6;
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
        .at_wall_ms = 1000000000123,
        .term = 7,
        .to = ELECTION_ACTIVE,
        .reason = "first claim",
        .steps = {.gateway = "gw9", .silent_ms = 276, .ring_ms = ELECTION_UNKNOWN_MS}};
    return 1;
}

enum status
election_handover(struct election *e, struct moment now, const char *node, struct why *why)
{
    (void)e;
    (void)now;
    played.handover_to = node ? "named" : "first";
    if (node)
        ck_assert_str_eq(node, "gw3");
    return played.handover_status == ST_OK
               ? ST_OK
               : why_set(why, played.handover_status, "not the gateway");
}

enum status
election_reset_term(struct election *e, struct moment now, struct why *why)
{
    (void)e;
    (void)now;
    return why_set(why, ST_STATE, "not the gateway");
}

/* ---- the daemon that is played --------------------------------------------------------------- */

static char folder[] = "/tmp/test_control.XXXXXX";

static struct moment
on_now(void *ctx)
{
    (void)ctx;
    return played.now_is;
}

static void
on_touched(void *ctx)
{
    (void)ctx;
    played.touched_count++;
}

static bool
on_query(void *ctx, enum bridge_query what, uint64_t token)
{
    (void)ctx;
    played.query_what = what;
    played.query_token = token;
    return played.can_query;
}

static enum status
on_leave(void *ctx, struct why *told)
{
    (void)ctx;
    (void)told;
    played.leave_count++;
    return ST_OK;
}

static enum status
on_reload(void *ctx, struct why *told)
{
    (void)ctx;
    return why_set(told, ST_CONFIG, "ringway.conf:3: sip.listen: found nothing");
}

void
played_setup(void)
{
    signal(SIGPIPE, SIG_IGN);
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(played.socket_path, sizeof(played.socket_path), "%s/s", folder);
    played.base = event_base_new();
    ck_assert_ptr_nonnull(played.base);
    snprintf(played.local_conf.overlay, sizeof(played.local_conf.overlay), "pastry");
    snprintf(played.global_conf.overlay, sizeof(played.global_conf.overlay), "p2psip.global");
    snprintf(played.local_conf.self.address, sizeof(played.local_conf.self.address),
             "127.1.0.1:6084");
    played.local_conf.topology = played.global_conf.topology = &topology;
    snprintf(played.gateway.ref.name, sizeof(played.gateway.ref.name), "gw<1>");
    snprintf(played.gateway.sip_uri, sizeof(played.gateway.sip_uri),
             "sip:127.1.0.9:5062;transport=tls");
    played.gateway.since_wall_ms = 1000000000000;
    played.gateway.score = 700;
    played.gateway_count = 1;
    played.has_global = true;
    played.can_query = true;
    played.now_is = (struct moment){.mono_ms = 65000, .wall_ms = 1000000000000};
    control_conf_defaults(&played.conf);
    played.conf.socket = played.socket_path;
    played.source = (struct control_source){.name = "gw1.bupt",
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

void
played_teardown(void)
{
    control_free(played.control);
    event_base_free(played.base);
    unlink(played.socket_path);
    ck_assert_int_eq(rmdir(folder), 0);
}

void
played_open(void)
{
    ck_assert_msg(control_new(played.base, &played.conf, &played.source, &played.control,
                              &played.why) == ST_OK,
                  "%s", played.why.text);
}

/* ---- a client in a thread of its own --------------------------------------------------------- */

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
        q->st = client_ask(played.socket_path, q->method, q->path, q->body, &q->answer, &told);
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
void
turn(void)
{
    const struct timeval soon = {.tv_usec = 2000};

    event_base_once(played.base, -1, EV_TIMEOUT, on_turn, NULL, &soon);
    event_base_loop(played.base, EVLOOP_ONCE);
}

void
question_begin(struct question *q)
{
    atomic_init(&q->is_done, false);
    ck_assert_int_eq(pthread_create(&q->thread, NULL, ask_thread, q), 0);
}

void
question_end(struct question *q)
{
    while (!atomic_load(&q->is_done))
        turn();
    pthread_join(q->thread, NULL);
}

/* Ask over the socket; the answer has to come with this code.  The body is the caller's. */
json_t *
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

void
expect_refusal(const char *method, const char *path, json_t *body, int code, const char *error)
{
    json_t *answer = expect_answer(method, path, body, code);

    ck_assert_str_eq(json_string_value(json_object_get(answer, "error")), error);
    ck_assert(json_is_integer(json_object_get(answer, "code")));
    json_decref(answer);
}

/* Send this to the HTTP port; @reply holds what came back. */
void
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

const char *
text_at(const json_t *object, const char *first, const char *second)
{
    return json_string_value(json_object_get(json_object_get(object, first), second));
}

long long
number_at(const json_t *object, const char *first, const char *second)
{
    const json_t *value = json_object_get(json_object_get(object, first), second);

    ck_assert_msg(json_is_integer(value), "%s.%s is no number", first, second);
    return json_integer_value(value);
}
