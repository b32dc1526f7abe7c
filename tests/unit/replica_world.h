/**
 * DOC: a few replicas on a network in memory, with a clock of their own
 *
 * Each node has a replica and a SIP side that is a list of calls.  Requests and answers take
 * world.delay_ms to twice that, and are lost with world.loss (thousandths).  What a node is told of
 * the active set the test says.  A call that the world knows to be over and that comes back to a
 * SIP side is dropped there, as the phones' answers to its refresh would make it.
 */
#ifndef TESTS_UNIT_REPLICA_WORLD_H
#define TESTS_UNIT_REPLICA_WORLD_H

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/replica/internal.h"
#include "gateway/replica/replica.h"
#include "tests/sim/events.h"

#define WORLD_NODES 5
#define WORLD_CALLS 12000
#define WORLD_WIRE  70000

enum world_event { WORLD_REQUEST, WORLD_ANSWER, WORLD_SILENCE, WORLD_OVER };

struct world_letter {
    unsigned from, to;
    unsigned life; /* of the node that asked: an answer to the one before it is nobody's */
    uint32_t token;
    enum status st;
    struct writer body;
};

struct world_node {
    struct replica *replica; /* NULL: dead */
    struct id id;
    unsigned life;
    bool has[WORLD_CALLS];         /* its SIP side */
    uint32_t version[WORLD_CALLS]; /* of the record its SIP side has */
    unsigned adopts, releases;     /* calls */
    unsigned copied;               /* calls that were awaited, and are held */
    unsigned moved;                /* adopted from an owner that gave them away */
    unsigned refreshed;            /* adopted while the SIP side had it */
    unsigned requests, max_batch;  /* that it sent */
    uint64_t entries;
    bool has_left;
};

struct world {
    struct events events;
    uint64_t seed;
    uint64_t delay_ms;
    unsigned loss;
    struct world_node node[WORLD_NODES];
    bool is_over[WORLD_CALLS];
    bool is_awaited; /* what is put from now on */
    size_t record_bytes;
    unsigned large_each; /* each call whose number it divides has a record in parts; 0: none */
    struct replica_conf conf;
    bool (*tap)(unsigned from, unsigned to, const struct dialogs_req *req);
};

static struct world world;

static inline struct moment
world_now(void)
{
    return (struct moment){.mono_ms = world.events.now_us / 1000,
                           .wall_ms = 1700000000000ull + world.events.now_us / 1000};
}

static inline struct slice
world_token(unsigned call, char out[16])
{
    snprintf(out, 16, "call-%u", call);
    return slice_text(out);
}

static inline unsigned
world_call(struct slice token)
{
    char text[16] = "";

    ck_assert_int_eq(slice_to_text(token, text, sizeof(text)), ST_OK);
    ck_assert_int_eq(strncmp(text, "call-", 5), 0);
    return (unsigned)strtoul(text + 5, NULL, 10);
}

static inline struct world_letter *
world_letter(unsigned from, unsigned to, uint32_t token)
{
    struct world_letter *l = calloc(1, sizeof(*l));

    ck_assert_ptr_nonnull(l);
    l->from = from;
    l->to = to;
    l->token = token;
    writer_init(&l->body, WORLD_WIRE);
    return l;
}

static inline void
world_letter_free(struct world_letter *l)
{
    writer_done(&l->body);
    free(l);
}

static inline void
world_post(enum world_event kind, struct world_letter *l)
{
    uint64_t ms = world.delay_ms + chance_next(&world.seed) % (world.delay_ms + 1);

    if (chance_next(&world.seed) % 1000 < world.loss)
        world_letter_free(l);
    else
        events_put(&world.events, world.events.now_us + ms * 1000, kind, l->to, l);
}

static inline size_t
world_bytes(unsigned call)
{
    bool is_large = world.large_each > 0 && call % world.large_each == 0;

    return is_large ? DIALOGS_RECORD_MAX + 1 + call * 977 % (DIALOGS_WHOLE_MAX - DIALOGS_RECORD_MAX)
                    : world.record_bytes;
}

/* ---- what a replica asks for ---- */

static inline void
world_send(void *ctx, const struct id *heir, uint32_t token, const struct dialogs_req *req,
           uint32_t deadline_ms)
{
    struct world_node *n = ctx;
    unsigned from = (unsigned)(n - world.node), to = heir->bytes[0] - 1u;
    struct world_letter *silence = world_letter(from, from, token);

    ck_assert(to < WORLD_NODES && to != from && token != 0);
    n->requests++;
    n->entries += req->count;
    if (req->count > n->max_batch)
        n->max_batch = req->count;
    silence->life = n->life;
    events_put(&world.events, world.events.now_us + deadline_ms * 1000ull, WORLD_SILENCE, from,
               silence);
    if (world.tap && !world.tap(from, to, req))
        return;
    struct world_letter *l = world_letter(from, to, token);
    l->life = n->life;
    dialogs_req_write(&l->body, req);
    ck_assert_int_eq(l->body.failed, ST_OK);
    ck_assert_uint_le(l->body.len, 60000);
    world_post(WORLD_REQUEST, l);
}

static inline void
world_adopt(void *ctx, const struct id *owner, bool is_moved, const struct replica_call *call,
            size_t count)
{
    struct world_node *n = ctx;

    n->moved += is_moved ? (unsigned)count : 0;

    ck_assert(!id_is_zero(owner) && count > 0);
    for (size_t i = 0; i < count; i++) {
        unsigned c = world_call(call[i].token);
        n->adopts++;
        n->refreshed += n->has[c];
        n->has[c] = true;
        ck_assert_uint_ge(call[i].record.len, 4);
        memcpy(&n->version[c], call[i].record.data, 4);
        ck_assert_uint_eq(call[i].record.len, world_bytes(c));
        ck_assert_mem_eq(call[i].record.data, call[i].record.data + world_bytes(c) - 4, 4);
        if (world.is_over[c]) {
            struct world_letter *l = world_letter(0, (unsigned)(n - world.node), c);
            l->life = n->life;
            events_put(&world.events, world.events.now_us + 50000, WORLD_OVER, l->to, l);
        }
    }
}

static inline void
world_released(void *ctx, const struct replica_call *call, size_t count)
{
    struct world_node *n = ctx;

    for (size_t i = 0; i < count; i++) {
        unsigned c = world_call(call[i].token);
        ck_assert_uint_eq(call[i].record.len, 0);
        n->releases++;
        n->has[c] = false;
    }
}

static inline void
world_copied(void *ctx, const struct replica_call *call, size_t count)
{
    struct world_node *n = ctx;

    for (size_t i = 0; i < count; i++)
        ck_assert(n->has[world_call(call[i].token)]);
    n->copied += (unsigned)count;
}

static inline void
world_left(void *ctx)
{
    struct world_node *n = ctx;

    ck_assert(!n->has_left);
    n->has_left = true;
}

static inline uint64_t
world_random(void *ctx)
{
    (void)ctx;
    return chance_next(&world.seed);
}

static inline void
world_log(void *ctx, enum log_level level, const char *text)
{
    const struct world_node *n = ctx;

    if (getenv("REPLICA_TALK"))
        fprintf(stderr, "%7llu %u %s %s\n", (unsigned long long)world_now().mono_ms,
                (unsigned)(n - world.node), log_level_name(level), text);
}

/* ---- nodes ---- */

static inline void
world_start(unsigned i)
{
    struct world_node *n = &world.node[i];
    const struct replica_env env = {.ctx = n,
                                    .send = world_send,
                                    .adopt = world_adopt,
                                    .released = world_released,
                                    .copied = world_copied,
                                    .left = world_left,
                                    .random = world_random,
                                    .log = {world_log, n}};
    struct replica_conf conf = world.conf;

    n->id = (struct id){{(uint8_t)(i + 1)}};
    conf.self = n->id;
    memset(n->has, 0, sizeof(n->has));
    n->life++;
    n->has_left = false;
    ck_assert_ptr_null(n->replica);
    ck_assert_int_eq(replica_new(&conf, &env, world_now(), &n->replica), ST_OK);
}

static inline void
world_kill(unsigned i)
{
    struct world_node *n = &world.node[i];

    replica_free(n->replica);
    n->replica = NULL;
    n->life++;
    memset(n->has, 0, sizeof(n->has));
}

/** world_tell - node @i hears of the active set, "ab" for nodes 0 and 1. */
static inline void
world_tell(unsigned i, const char *active)
{
    struct id id[WORLD_NODES];
    size_t count = strlen(active);

    for (size_t k = 0; k < count; k++)
        id[k] = (struct id){{(uint8_t)(active[k] - 'a' + 1)}};
    if (world.node[i].replica)
        replica_on_gateways(world.node[i].replica, world_now(), id, count);
}

static inline void
world_tell_all(const char *active)
{
    for (unsigned i = 0; i < WORLD_NODES; i++)
        world_tell(i, active);
}

static inline void
world_candidates(unsigned i, const char *names)
{
    struct id id[WORLD_NODES];
    size_t count = strlen(names);

    for (size_t k = 0; k < count; k++)
        id[k] = (struct id){{(uint8_t)(names[k] - 'a' + 1)}};
    replica_on_candidates(world.node[i].replica, world_now(), id, count);
}

/** world_put - node @i's SIP side has this call, in this version. */
static inline void
world_put(unsigned i, unsigned call, uint32_t version)
{
    char text[16];
    static uint8_t record[DIALOGS_WHOLE_MAX];
    size_t bytes = world_bytes(call);
    struct replica_call c = {.token = world_token(call, text),
                             .record = slice_of(record, bytes),
                             .is_awaited = world.is_awaited};

    memset(record, 0, bytes);
    memcpy(record, &version, 4);
    memcpy(record + bytes - 4, &version, 4);
    world.node[i].has[call] = true;
    world.node[i].version[call] = version;
    replica_on_calls(world.node[i].replica, world_now(), &c, 1);
}

static inline void
world_drop(unsigned i, unsigned call)
{
    char text[16];
    struct replica_call c = {.token = world_token(call, text)};

    world.node[i].has[call] = false;
    world.is_over[call] = true;
    replica_on_calls(world.node[i].replica, world_now(), &c, 1);
}

/* ---- time ---- */

static inline void
world_deliver_request(struct world_letter *l)
{
    struct world_node *n = &world.node[l->to];
    struct world_letter *back;
    struct dialogs_req req;
    struct dialogs_ans ans;

    if (!n->replica)
        return;
    ck_assert_int_eq(dialogs_req_read(writer_slice(&l->body), &req), ST_OK);
    back = world_letter(l->to, l->from, l->token);
    back->life = l->life;
    back->st = replica_on_request(n->replica, world_now(), &world.node[l->from].id, &req, &ans);
    if (back->st == ST_OK)
        dialogs_ans_write(&back->body, &ans);
    world_post(WORLD_ANSWER, back);
}

static inline void
world_deliver(const struct event *e)
{
    struct world_node *n = &world.node[e->node];
    struct world_letter *l = e->what;
    struct dialogs_ans ans;
    bool is_alive = n->replica && n->life == l->life;

    if (e->kind == WORLD_REQUEST) {
        world_deliver_request(l);
    } else if (e->kind == WORLD_ANSWER && is_alive) {
        if (l->st == ST_OK)
            ck_assert_int_eq(dialogs_ans_read(writer_slice(&l->body), &ans), ST_OK);
        replica_on_answer(n->replica, world_now(), l->token, l->st, l->st == ST_OK ? &ans : NULL);
    } else if (e->kind == WORLD_SILENCE && is_alive) {
        replica_on_answer(n->replica, world_now(), l->token, ST_TIMEOUT, NULL);
    } else if (e->kind == WORLD_OVER && is_alive && n->has[l->token]) {
        world_drop(e->node, l->token);
    }
    world_letter_free(l);
}

static inline uint64_t
world_next_us(uint64_t end_us)
{
    for (unsigned i = 0; i < WORLD_NODES; i++)
        if (world.node[i].replica) {
            uint64_t at_ms = replica_deadline_ms(world.node[i].replica);
            if (at_ms < end_us / 1000)
                end_us = at_ms * 1000;
        }
    return end_us > world.events.now_us ? end_us : world.events.now_us;
}

static inline void
world_run_ms(uint64_t ms)
{
    uint64_t end_us = world.events.now_us + ms * 1000;
    unsigned steps_at_once = 0;
    struct event e;

    while (world.events.now_us < end_us) {
        uint64_t before_us = world.events.now_us, next_us = world_next_us(end_us);
        if (events_take(&world.events, next_us, &e)) {
            world_deliver(&e);
        } else {
            for (unsigned i = 0; i < WORLD_NODES; i++)
                if (world.node[i].replica &&
                    replica_deadline_ms(world.node[i].replica) <= world_now().mono_ms)
                    replica_tick(world.node[i].replica, world_now());
        }
        steps_at_once = world.events.now_us == before_us ? steps_at_once + 1 : 0;
        ck_assert_msg(steps_at_once < 20000, "a replica is due for ever");
    }
}

/* ---- what is looked at ---- */

static inline bool
world_owns(unsigned i, unsigned call)
{
    char text[16];
    const struct kept *c =
        world.node[i].replica ? own_find(world.node[i].replica, world_token(call, text)) : NULL;

    return c && c->state == KEPT_LIVE;
}

static inline bool
world_copies(unsigned i, unsigned call)
{
    const struct replica *r = world.node[i].replica;
    char text[16];

    for (size_t k = 0; r && k < r->owner_count; k++)
        if (copy_find(r->owner[k], world_token(call, text)))
            return true;
    return false;
}

static inline struct replica_report
world_report(unsigned i)
{
    struct replica_report report;

    replica_report(world.node[i].replica, world_now(), &report);
    return report;
}

static inline unsigned
world_owners(unsigned call)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WORLD_NODES; i++) {
        ck_assert_msg(world_owns(i, call) == (world.node[i].replica && world.node[i].has[call]),
                      "node %u and its SIP side disagree on call %u", i, call);
        count += world_owns(i, call);
    }
    return count;
}

static inline void
world_setup(void)
{
    memset(&world, 0, sizeof(world));
    world.seed = 1;
    world.delay_ms = 2;
    world.record_bytes = 100;
    world.events.now_us = 1000000;
    replica_conf_defaults(&world.conf);
}

static inline void
world_teardown(void)
{
    for (unsigned i = 0; i < WORLD_NODES; i++)
        replica_free(world.node[i].replica);
    for (size_t i = 0; i < world.events.count; i++)
        world_letter_free(world.events.heap[i].what);
    events_done(&world.events);
    memset(&world, 0, sizeof(world));
}

#endif
