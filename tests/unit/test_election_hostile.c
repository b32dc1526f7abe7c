#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "election/election.h"

/* One election against a world that answers at random and out of order: its own invariants, which
 * it asserts at the end of each step, are the oracle. */

enum { STEPS = 30000, NODES = 6, TOKENS = 64 };

static uint64_t seed;
static uint32_t token[TOKENS];
static unsigned token_next;
static unsigned sent;
static uint32_t roles_seen;

static uint64_t
draw(uint64_t below)
{
    seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (seed >> 33) % below;
}

static struct id
any_node(void)
{
    return (struct id){{0, (uint8_t)(1 + draw(NODES))}};
}

static uint32_t
any_term(void)
{
    return draw(50) == 0 ? UINT32_MAX - (uint32_t)draw(3) : (uint32_t)draw(8);
}

static struct node_ref
any_ref(void)
{
    struct node_ref ref = {.node = any_node()};

    ref.name[0] = draw(2) ? 'n' : '\0';
    return ref;
}

static void
note(uint32_t t)
{
    token[token_next++ % TOKENS] = t;
    sent++;
}

static void
on_send_hello(void *ctx, const struct id *to, uint32_t t, const struct hello_req *req,
              uint32_t deadline_ms)
{
    (void)ctx;
    (void)to;
    (void)req;
    ck_assert_uint_gt(deadline_ms, 0);
    note(t);
}

static void
on_send_claim(void *ctx, const struct id *to, uint32_t t, const struct claim_req *req)
{
    (void)ctx;
    ck_assert_uint_ne(to->bytes[1], 1); /* never to itself */
    ck_assert_uint_gt(req->score, 0);
    note(t);
}

static void
on_send_probe(void *ctx, const struct id *to, uint32_t t, const struct probe_gateway_req *req,
              uint32_t deadline_ms)
{
    (void)ctx;
    (void)req;
    ck_assert_uint_ne(to->bytes[1], 1);
    ck_assert_uint_gt(deadline_ms, 0);
    note(t);
}

static void
on_send_handover(void *ctx, const struct id *to, uint32_t t, const struct handover_req *req)
{
    (void)ctx;
    (void)req;
    ck_assert_uint_ne(to->bytes[1], 1);
    note(t);
}

static void
on_answer_hello(void *ctx, uint64_t handle, const struct hello_ans *ans)
{
    (void)ctx;
    (void)handle;
    ck_assert_uint_le(ans->candidate_count, HELLO_CANDIDATES_MAX);
}

static void
on_answer_probe(void *ctx, uint64_t handle, const struct probe_gateway_ans *ans)
{
    (void)ctx;
    (void)handle;
    ck_assert_uint_le(ans->is_alive, 1);
}

static void
on_answer_handover(void *ctx, uint64_t handle, enum status st)
{
    (void)ctx;
    (void)handle;
    (void)st;
}

static void
on_publish_candidate(void *ctx, const struct candidate_record *rec, uint32_t lifetime_s)
{
    (void)ctx;
    (void)lifetime_s;
    ck_assert_uint_eq(rec->ref.node.bytes[1], 1);
}

static void
on_publish_gateway(void *ctx, const struct gateway_record *rec, uint32_t lifetime_s)
{
    (void)ctx;
    (void)lifetime_s;
    ck_assert_uint_gt(rec->term, 0);
}

static void
on_withdraw(void *ctx, enum election_record which)
{
    (void)ctx;
    (void)which;
}

static void
on_nothing(void *ctx)
{
    (void)ctx;
}

static void
on_aim_ring(void *ctx, enum peer_aim aim)
{
    (void)ctx;
    (void)aim;
}

static void
on_publish_ring(void *ctx, uint32_t term, uint16_t priority, uint16_t weight)
{
    (void)ctx;
    (void)priority;
    (void)weight;
    ck_assert_uint_gt(term, 0);
}

static void
on_unwatch(void *ctx, const struct id *node)
{
    (void)ctx;
    ck_assert_uint_ne(node->bytes[1], 1);
}

static void
on_watch(void *ctx, const struct id *node, const char *address)
{
    (void)address;
    on_unwatch(ctx, node);
}

static void
on_gateways_changed(void *ctx, const struct election_gateway *gateway, size_t count)
{
    (void)ctx;
    for (size_t i = 1; i < count; i++)
        ck_assert(!id_equal(&gateway[i].ref.node, &gateway[i - 1].ref.node));
}

static void
on_role_changed(void *ctx, enum election_role was, enum election_role is, uint32_t term,
                const char *reason)
{
    (void)ctx;
    (void)was;
    (void)term;
    ck_assert_uint_gt(strlen(reason), 0);
    roles_seen |= 1U << is;
}

static uint64_t
on_random(void *ctx)
{
    (void)ctx;
    return draw(UINT32_MAX);
}

/* ---- what comes in -----------------------------------------------------------------------------
 */

static struct hello_ans
any_hello_ans(void)
{
    struct hello_ans ans = {
        .term = any_term(), .is_active = (uint8_t)draw(2), .score = (uint16_t)draw(1001)};

    if (draw(3))
        ans.active = any_node();
    ans.candidate_count = (uint8_t)draw(HELLO_CANDIDATES_MAX + 1);
    for (unsigned i = 0; i < ans.candidate_count; i++)
        ans.candidate[i] =
            (struct hello_candidate){.ref = any_ref(), .score = (uint16_t)draw(1001)};
    return ans;
}

static void
step_request(struct election *e, struct moment now, enum election_event_type type)
{
    struct election_event ev = {.type = type};
    struct hello_req hello = {any_term(),
                              (uint16_t)draw(1001),
                              (uint8_t)draw(2),
                              draw(3),
                              {(uint8_t)draw(4), (uint32_t)draw(2000)}};
    struct claim_req claim = {.term = any_term(),
                              .score = (uint16_t)draw(1010),
                              .ref = any_ref(),
                              .replaces = any_node()};
    struct probe_gateway_req probe = {any_node(), any_term(),
                                      (uint32_t)draw(3) * (uint32_t)draw(500)};
    struct handover_req handover = {draw(2) ? election_term(e) : any_term(), (uint8_t)draw(2)};

    ev.request.from = any_node();
    switch (type) {
    case ELECTION_HELLO:
        ev.request.hello = &hello;
        break;
    case ELECTION_CLAIM:
        ev.request.claim = &claim;
        if (draw(4))
            ev.request.from = claim.ref.node;
        break;
    case ELECTION_PROBE:
        ev.request.probe = &probe;
        break;
    default:
        ev.request.handover = &handover;
        break;
    }
    election_step(e, now, &ev);
}

static void
step_answer(struct election *e, struct moment now, enum election_event_type type)
{
    struct election_event ev = {.type = type};
    struct hello_ans hello = any_hello_ans();
    struct probe_gateway_ans probe = {(uint8_t)draw(2), (uint32_t)draw(1000), any_term()};

    ev.answer.token = draw(8) ? token[draw(TOKENS)] : (uint32_t)draw(UINT32_MAX);
    ev.answer.st = draw(3) ? ST_OK : ST_TIMEOUT;
    ev.answer.from = any_node();
    if (type == ELECTION_PROBE_ANSWER)
        ev.answer.probe = &probe;
    else
        ev.answer.hello = &hello;
    election_step(e, now, &ev);
}

static void
step_records(struct election *e, struct moment now, enum election_event_type type)
{
    struct election_event ev = {.type = type};
    struct candidate_record candidate[NODES];
    struct gateway_record gateway[NODES];
    size_t count = draw(NODES + 1);

    memset(candidate, 0, sizeof(candidate));
    memset(gateway, 0, sizeof(gateway));
    for (size_t i = 0; i < count; i++) {
        candidate[i].ref = gateway[i].ref = any_ref();
        candidate[i].score = gateway[i].score = (uint16_t)draw(1001);
        gateway[i].term = any_term();
        gateway[i].priority = (uint16_t)draw(3);
    }
    if (type == ELECTION_CANDIDATES) {
        ev.candidates.st = draw(4) ? ST_OK : ST_TIMEOUT;
        ev.candidates.record = candidate;
        ev.candidates.count = count;
    } else {
        ev.gateways.st = draw(4) ? ST_OK : ST_TIMEOUT;
        ev.gateways.record = gateway;
        ev.gateways.count = count;
    }
    election_step(e, now, &ev);
}

static void
step_local(struct election *e, struct moment now, enum election_event_type type)
{
    struct election_event ev = {.type = type};
    struct election_load load = {
        .cpu_count = (uint32_t)draw(8), .online_s = draw(9000), .calls = (uint32_t)draw(2)};

    switch (type) {
    case ELECTION_OVERLAY:
        ev.overlay.state = draw(3) ? PEER_JOINED : (enum peer_state)draw(5);
        break;
    case ELECTION_RING:
        ev.ring.st = draw(2) ? ST_OK : ST_STATE;
        ev.ring.term = any_term();
        break;
    case ELECTION_STORED:
        ev.stored.which = (enum election_record)draw(2);
        ev.stored.st = draw(2) ? ST_OK : ST_TIMEOUT;
        break;
    case ELECTION_LINK:
        ev.link.node = any_node();
        ev.link.is_up = draw(2);
        break;
    default:
        ev.load = &load;
        break;
    }
    election_step(e, now, &ev);
}

static void
step_any(struct election *e, struct moment now)
{
    static const enum election_event_type local[] = {ELECTION_OVERLAY, ELECTION_RING,
                                                     ELECTION_STORED, ELECTION_LINK, ELECTION_LOAD};
    const struct election_event tick = {.type = draw(9) ? ELECTION_TICK : ELECTION_LOCATE};

    switch (draw(6)) {
    case 0:
        step_request(e, now, ELECTION_HELLO + (enum election_event_type)draw(4));
        break;
    case 1:
        step_answer(e, now, ELECTION_HELLO_ANSWER + (enum election_event_type)draw(4));
        break;
    case 2:
        step_records(e, now, draw(2) ? ELECTION_CANDIDATES : ELECTION_GATEWAYS);
        break;
    case 3:
        step_local(e, now, local[draw(sizeof(local) / sizeof(local[0]))]);
        break;
    case 4:
        if (draw(20) == 0 && election_handover(e, now, draw(2) ? "n" : NULL, NULL) == ST_OK)
            break;
        election_step(e, now, &tick);
        break;
    default:
        election_step(e, now, &tick);
        break;
    }
}

static struct election *
start(uint32_t gateways, struct moment now)
{
    static const struct election_env env = {
        .send_hello = on_send_hello,
        .send_claim = on_send_claim,
        .send_probe = on_send_probe,
        .send_handover = on_send_handover,
        .answer_hello = on_answer_hello,
        .answer_probe = on_answer_probe,
        .answer_handover = on_answer_handover,
        .publish_candidate = on_publish_candidate,
        .publish_gateway = on_publish_gateway,
        .withdraw = on_withdraw,
        .fetch_candidates = on_nothing,
        .fetch_gateways = on_nothing,
        .fetch_ring = on_nothing,
        .aim_ring = on_aim_ring,
        .publish_ring = on_publish_ring,
        .withdraw_ring = on_nothing,
        .watch = on_watch,
        .unwatch = on_unwatch,
        .gateways_changed = on_gateways_changed,
        .role_changed = on_role_changed,
        .left = on_nothing,
        .random = on_random,
    };
    struct election_conf conf;
    struct election *e = NULL;

    election_conf_defaults(&conf);
    conf.overlay[0] = 'o';
    conf.self.node = (struct id){{0, 1}};
    conf.global_address[0] = 'x';
    conf.gateways = gateways;
    conf.preempt = true;
    conf.hold_ms = 500;
    ck_assert_int_eq(election_new(&conf, &env, now, &e, NULL), ST_OK);
    return e;
}

START_TEST(whatever_comes_its_invariants_hold)
{
    struct moment now = {1, 1700000000000ULL};

    for (uint32_t run = 0; run < 6; run++) {
        struct election *e = start(1 + run % 3, now);
        uint32_t term = 0;

        seed = 7 + run;
        for (int i = 0; i < STEPS; i++) {
            uint64_t pause_ms = draw(20) ? draw(30) : draw(3000);
            now.mono_ms += pause_ms;
            now.wall_ms += pause_ms;
            step_any(e, now);
            if (election_role(e) == ELECTION_ACTIVE)
                ck_assert_uint_ge(election_term(e) + ELECTION_TERM_STEP, term);
            ck_assert_uint_le(election_term(e), ELECTION_TERM_MAX);
            ck_assert_uint_gt(election_deadline_ms(e), now.mono_ms);
            term = election_term(e);
        }
        election_step(e, now, &(struct election_event){.type = ELECTION_LEAVE});
        now.mono_ms += 2001;
        election_step(e, now, &(struct election_event){.type = ELECTION_TICK});
        ck_assert_int_eq(election_role(e), ELECTION_OBSERVER);
        election_free(e);
    }
    ck_assert_uint_eq(roles_seen, 7);
    ck_assert_uint_gt(sent, 1000);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("election, hostile");
    TCase *tc = tcase_create("hostile");

    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, whatever_comes_its_invariants_hold);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
