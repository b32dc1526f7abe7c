#include "tests/sim/mesh.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/events.h"

#define NODES_MAX  1024
#define WALK_MAX   100
#define TIMEOUT_US 1500000u
#define SUSPECT_US 100000u
#define LOST_US    300000u
#define REJOIN_US  500000u

enum { LINK_UP = 1, LINK_NEEDED = 2, LINK_SUSPECT = 4 };
enum { EVENT_TICK, EVENT_PACKET, EVENT_SUSPECT, EVENT_LOST, EVENT_IDLE, EVENT_REJOIN };
enum packet_kind { PACKET_ATTACH, PACKET_REQUEST, PACKET_ATTACHED, PACKET_ANSWER, PACKET_OFFERED };

struct packet {
    enum packet_kind kind;
    unsigned origin;
    unsigned other; /* whom the news is about, or from */
    uint32_t token;
    struct topology_target to;
    size_t passed; /* entries of to that were reached */
    unsigned hops;
    uint64_t travelled_us;
    bool send_update;
    uint16_t code;
    enum status st;
    struct slice body;
};

struct node {
    struct mesh *mesh;
    unsigned index;
    struct id id;
    void *state;
    bool is_up;
    bool is_joined;
    bool is_asked; /* to join, and has not been told to leave */
    unsigned informant;
    unsigned changes;
    uint64_t tick_us; /* when the earliest tick is queued */
};

struct mesh {
    const struct topology_ops *ops;
    struct events events;
    uint64_t seed;
    unsigned count;
    struct node node[NODES_MAX];
    uint8_t link[NODES_MAX][NODES_MAX]; /* as seen by the first */
    uint64_t sent[0x30];
};

/* ---- time ----------------------------------------------------------------------------------- */

static struct moment
now_of(const struct mesh *m)
{
    return (struct moment){.mono_ms = m->events.now_us / 1000, .wall_ms = m->events.now_us / 1000};
}

static uint64_t
latency_us(const struct mesh *m, unsigned a, unsigned b)
{
    uint64_t pair = a < b ? (uint64_t)a * NODES_MAX + b : (uint64_t)b * NODES_MAX + a;

    (void)m;
    return 5000 + chance_next(&pair) % 45000;
}

static void
arm(struct node *n)
{
    uint64_t due_ms = n->mesh->ops->deadline_ms(n->state);
    uint64_t due_us;

    if (due_ms == MOMENT_NEVER)
        return;
    due_us = due_ms * 1000;
    if (due_us < n->mesh->events.now_us)
        due_us = n->mesh->events.now_us;
    if (n->tick_us > n->mesh->events.now_us && n->tick_us <= due_us)
        return;
    n->tick_us = due_us;
    events_put(&n->mesh->events, due_us, EVENT_TICK, n->index, NULL);
}

static int
find(const struct mesh *m, const struct id *id)
{
    for (unsigned i = m->count; i-- > 0;)
        if (id_equal(&m->node[i].id, id))
            return (int)i;
    return -1;
}

/* ---- packets -------------------------------------------------------------------------------- */

static struct packet *
packet_new(enum packet_kind kind, unsigned origin, uint32_t token)
{
    struct packet *p = calloc(1, sizeof(*p));

    assert(p);
    p->kind = kind;
    p->origin = origin;
    p->other = origin;
    p->token = token;
    return p;
}

static void
packet_free(struct packet *p)
{
    slice_free(&p->body);
    free(p);
}

static void
deliver(struct mesh *m, struct packet *p, unsigned to, uint64_t delay_us)
{
    events_put(&m->events, m->events.now_us + delay_us, EVENT_PACKET, to, p);
}

/* The host's own deadline: the requester hears of the failure later. */
static void
fail(struct mesh *m, struct packet *p)
{
    p->st = ST_TIMEOUT;
    p->kind = p->kind == PACKET_ATTACH ? PACKET_ATTACHED : PACKET_ANSWER;
    p->other = p->origin;
    deliver(m, p, p->origin, TIMEOUT_US);
}

static bool
is_usable(const struct mesh *m, unsigned at, unsigned other)
{
    return (m->link[at][other] & (LINK_UP | LINK_SUSPECT)) == LINK_UP;
}

static void
arrive(struct mesh *m, struct packet *p, unsigned at)
{
    struct node *n = &m->node[at];
    struct topology_request req = {.from = m->node[p->origin].id,
                                   .code = p->code,
                                   .body = p->body,
                                   .is_for_resource =
                                       p->to.to[p->to.count - 1].type == DESTINATION_RESOURCE};
    struct writer answer;
    struct why why;

    p->other = at;
    if (p->kind == PACKET_ATTACH) {
        p->st = at == p->origin ? ST_EXISTS : ST_OK;
        p->kind = PACKET_ATTACHED;
        if (p->st == ST_OK) {
            m->link[at][p->origin] |= LINK_UP;
            m->ops->on_linked(n->state, now_of(m), &req.from, p->send_update);
            m->link[p->origin][at] |= LINK_UP;
        }
    } else {
        writer_init(&answer, MESSAGE_MAX_BYTES);
        p->st = m->ops->on_request(n->state, now_of(m), &req, &answer, &why);
        slice_free(&p->body);
        if (p->st == ST_OK)
            assert(slice_copy(writer_slice(&answer), &p->body) == ST_OK);
        writer_done(&answer);
        p->kind = PACKET_ANSWER;
    }
    m->sent[p->code + 1] += p->hops;
    deliver(m, p, p->origin, p->travelled_us);
    arm(n);
}

static void
forward(struct mesh *m, struct packet *p, unsigned at)
{
    struct id next_id;
    const struct destination *to;
    enum status st = ST_OK;
    int next;

    while (p->passed < p->to.count && p->to.to[p->passed].type == DESTINATION_NODE &&
           id_equal(&p->to.to[p->passed].id, &m->node[at].id))
        p->passed++;
    if (p->passed == p->to.count) {
        arrive(m, p, at);
        return;
    }
    to = &p->to.to[p->passed];
    next = to->type == DESTINATION_NODE ? find(m, &to->id) : -1;
    if (next < 0 || !is_usable(m, at, (unsigned)next)) {
        st = m->ops->next_hop(m->node[at].state, &to->id, to->type == DESTINATION_NODE, &next_id);
        next = st == ST_OK ? find(m, &next_id) : -1;
    }
    if (st == ST_EXISTS) {
        arrive(m, p, at);
        return;
    }
    if (st != ST_OK || next < 0 || ++p->hops > WALK_MAX) {
        fail(m, p);
        return;
    }
    assert(is_usable(m, at, (unsigned)next));
    m->sent[p->code]++;
    p->travelled_us += latency_us(m, at, (unsigned)next);
    deliver(m, p, (unsigned)next, latency_us(m, at, (unsigned)next));
}

static void
finish(struct mesh *m, struct packet *p, struct node *n)
{
    const struct id *other = p->other == p->origin ? NULL : &m->node[p->other].id;

    if (p->kind == PACKET_ATTACHED && p->st == ST_OK && !(m->link[p->origin][p->other] & LINK_UP))
        p->st = ST_UNREACHABLE;
    if (p->kind == PACKET_ATTACHED)
        m->ops->on_attach(n->state, now_of(m), p->token, p->st, p->st == ST_OK ? other : NULL);
    else if (p->kind == PACKET_ANSWER)
        m->ops->on_answer(n->state, now_of(m), p->token, p->st, other, p->body);
    else
        m->ops->on_offered(n->state, now_of(m), p->token, p->st);
    packet_free(p);
    arm(n);
}

/* ---- what a plug-in asks -------------------------------------------------------------------- */

static void
env_attach(void *ctx, uint32_t token, const struct topology_target *to, bool send_update)
{
    struct node *n = ctx;
    struct packet *p = packet_new(PACKET_ATTACH, n->index, token);
    int last = find(n->mesh, &to->to[to->count - 1].id);

    p->to = *to;
    p->send_update = send_update;
    p->code = MESSAGE_ATTACH_REQ;
    if (last >= 0)
        n->mesh->link[n->index][last] |= LINK_NEEDED;
    deliver(n->mesh, p, n->index, 0);
}

static void
env_request(void *ctx, uint32_t token, const struct topology_target *to, uint16_t code,
            struct slice body)
{
    struct node *n = ctx;
    struct packet *p = packet_new(PACKET_REQUEST, n->index, token);

    p->to = *to;
    p->code = code;
    assert(slice_copy(body, &p->body) == ST_OK);
    deliver(n->mesh, p, n->index, 0);
}

static void
env_detach(void *ctx, const struct id *node)
{
    struct node *n = ctx;
    struct mesh *m = n->mesh;
    int other = find(m, node);

    if (other < 0)
        return;
    m->link[n->index][other] &= (uint8_t)~LINK_NEEDED;
    if (!(m->link[n->index][other] & LINK_UP) || m->link[other][n->index] & LINK_NEEDED)
        return;
    /* Messages under way still arrive: the end of the link is news for later. */
    events_put(&m->events, m->events.now_us + LOST_US, EVENT_IDLE, n->index, &m->node[other]);
}

static bool
env_is_usable(void *ctx, const struct id *node)
{
    struct node *n = ctx;
    int other = find(n->mesh, node);

    return other >= 0 && is_usable(n->mesh, n->index, (unsigned)other);
}

static void
env_offer(void *ctx, uint32_t token, const struct id *node)
{
    struct node *n = ctx;

    (void)node;
    deliver(n->mesh, packet_new(PACKET_OFFERED, n->index, token), n->index, 20000);
}

static void
env_joined(void *ctx)
{
    ((struct node *)ctx)->is_joined = true;
}

static void
env_join_failed(void *ctx, enum status st, const char *reason)
{
    struct node *n = ctx;

    (void)st;
    (void)reason;
    events_put(&n->mesh->events, n->mesh->events.now_us + REJOIN_US, EVENT_REJOIN, n->index, NULL);
}

static void
env_changed(void *ctx, unsigned changes)
{
    ((struct node *)ctx)->changes += (changes & TOPOLOGY_RESPONSIBILITY) != 0;
}

static uint64_t
env_random(void *ctx)
{
    return chance_next(&((struct node *)ctx)->mesh->seed);
}

/* ---- life ----------------------------------------------------------------------------------- */

struct mesh *
mesh_new(const struct topology_ops *ops, uint64_t seed)
{
    struct mesh *m = calloc(1, sizeof(*m));

    assert(m);
    m->ops = ops;
    m->seed = seed;
    return m;
}

void
mesh_free(struct mesh *m)
{
    struct event e;

    if (!m)
        return;
    while (events_take(&m->events, UINT64_MAX, &e))
        if (e.kind == EVENT_PACKET)
            packet_free(e.what);
    events_done(&m->events);
    for (unsigned i = 0; i < m->count; i++) {
        m->ops->destroy(m->node[i].state);
        free(m->node[i].state);
    }
    free(m);
}

unsigned
mesh_add(struct mesh *m, const struct id *node)
{
    struct node *n = &m->node[m->count];
    struct topology_conf conf = {.self = *node, .replica_count = 2};
    struct topology_env env = {.ctx = n,
                               .attach = env_attach,
                               .detach = env_detach,
                               .request = env_request,
                               .is_usable = env_is_usable,
                               .offer = env_offer,
                               .joined = env_joined,
                               .join_failed = env_join_failed,
                               .changed = env_changed,
                               .random = env_random};
    struct why why;

    assert(m->count < NODES_MAX);
    *n = (struct node){.mesh = m, .index = m->count, .id = *node, .is_up = true};
    n->state = calloc(1, m->ops->state_bytes);
    assert(n->state);
    assert(m->ops->create(n->state, &conf, &env, &why) == ST_OK);
    return m->count++;
}

unsigned
mesh_add_random(struct mesh *m)
{
    uint64_t bits[2] = {chance_next(&m->seed), chance_next(&m->seed)};
    struct id id;

    memcpy(id.bytes, bits, sizeof(id.bytes));
    return mesh_add(m, &id);
}

void
mesh_form(struct mesh *m, unsigned node)
{
    m->node[node].is_asked = true;
    m->ops->form(m->node[node].state, now_of(m));
    arm(&m->node[node]);
}

static void
join_now(struct mesh *m, struct node *n)
{
    unsigned informant = n->informant;

    for (unsigned i = 0; !mesh_is_member(m, informant) && i < m->count; i++)
        informant = i; /* as other bootstrap entries would be tried */
    m->link[n->index][informant] |= LINK_UP | LINK_NEEDED;
    m->link[informant][n->index] |= LINK_UP;
    m->ops->join(n->state, now_of(m), &m->node[informant].id);
    arm(n);
}

void
mesh_join(struct mesh *m, unsigned node, unsigned informant)
{
    m->node[node].is_asked = true;
    m->node[node].informant = informant;
    events_put(&m->events, m->events.now_us, EVENT_REJOIN, node, NULL);
}

static void
cut(struct mesh *m, unsigned a, unsigned b, uint64_t suspect_us, uint64_t lost_us)
{
    if (!(m->link[b][a] & LINK_UP))
        return;
    if (suspect_us < lost_us)
        events_put(&m->events, m->events.now_us + suspect_us, EVENT_SUSPECT, b, &m->node[a]);
    events_put(&m->events, m->events.now_us + lost_us, EVENT_LOST, b, &m->node[a]);
}

void
mesh_leave(struct mesh *m, unsigned node)
{
    struct node *n = &m->node[node];

    m->ops->leave(n->state, now_of(m));
    n->is_joined = n->is_asked = false;
    for (unsigned i = 0; i < m->count; i++) {
        m->link[node][i] &= (uint8_t)~LINK_NEEDED;
        cut(m, node, i, LOST_US, LOST_US);
        cut(m, i, node, LOST_US, LOST_US);
    }
}

void
mesh_crash(struct mesh *m, unsigned node)
{
    struct node *n = &m->node[node];

    n->is_up = n->is_joined = n->is_asked = false;
    for (unsigned i = 0; i < m->count; i++)
        cut(m, node, i, SUSPECT_US, LOST_US);
}

void
mesh_break(struct mesh *m, unsigned a, unsigned b)
{
    cut(m, a, b, 0, 0);
    cut(m, b, a, 0, 0);
}

void
mesh_suspect(struct mesh *m, unsigned at, unsigned other, bool is_suspect)
{
    struct node *n = &m->node[at];

    m->link[at][other] &= (uint8_t)~LINK_SUSPECT;
    if (is_suspect)
        m->link[at][other] |= LINK_SUSPECT;
    m->ops->on_suspect(n->state, now_of(m), &m->node[other].id, is_suspect);
    arm(n);
}

/* ---- running -------------------------------------------------------------------------------- */

static void
on_packet(struct mesh *m, struct packet *p, unsigned at)
{
    struct node *n = &m->node[at];

    if (!n->is_up && at != p->origin)
        fail(m, p);
    else if (!n->is_up)
        packet_free(p);
    else if (p->kind == PACKET_ATTACH || p->kind == PACKET_REQUEST)
        forward(m, p, at);
    else
        finish(m, p, n);
}

static void
on_lost(struct mesh *m, struct node *n, const struct node *other)
{
    if (!(m->link[n->index][other->index] & LINK_UP))
        return;
    m->link[n->index][other->index] = 0;
    m->ops->neighbour_lost(n->state, now_of(m), &other->id);
    arm(n);
}

static void
on_idle(struct mesh *m, struct node *n, struct node *other)
{
    if ((m->link[n->index][other->index] | m->link[other->index][n->index]) & LINK_NEEDED)
        return;
    on_lost(m, n, other);
    if (other->is_up)
        on_lost(m, other, n);
}

static void
step(struct mesh *m, const struct event *e)
{
    struct node *n = &m->node[e->node];

    if (e->kind == EVENT_PACKET) {
        on_packet(m, e->what, e->node);
        return;
    }
    if (!n->is_up)
        return;
    if (e->kind == EVENT_TICK) {
        m->ops->tick(n->state, now_of(m));
        n->tick_us = 0;
        arm(n);
    } else if (e->kind == EVENT_SUSPECT) {
        mesh_suspect(m, e->node, ((struct node *)e->what)->index, true);
    } else if (e->kind == EVENT_LOST) {
        on_lost(m, n, e->what);
    } else if (e->kind == EVENT_IDLE) {
        on_idle(m, n, e->what);
    } else if (n->is_asked && !n->is_joined) {
        join_now(m, n);
    }
}

void
mesh_run_ms(struct mesh *m, uint64_t duration_ms)
{
    uint64_t until_us = m->events.now_us + duration_ms * 1000;
    struct event e;

    while (events_take(&m->events, until_us, &e))
        step(m, &e);
}

bool
mesh_run_until_in(struct mesh *m, uint64_t limit_ms)
{
    uint64_t until_us = m->events.now_us + limit_ms * 1000;

    while (m->events.now_us < until_us) {
        bool is_done = true;

        mesh_run_ms(m, 50);
        for (unsigned i = 0; is_done && i < m->count; i++)
            is_done = !m->node[i].is_asked || m->node[i].is_joined;
        if (is_done)
            return true;
    }
    return false;
}

/* ---- looking -------------------------------------------------------------------------------- */

unsigned
mesh_count(const struct mesh *m)
{
    return m->count;
}

bool
mesh_is_member(const struct mesh *m, unsigned node)
{
    return m->node[node].is_up && m->node[node].is_joined;
}

const struct id *
mesh_id(const struct mesh *m, unsigned node)
{
    return &m->node[node].id;
}

const void *
mesh_state(const struct mesh *m, unsigned node)
{
    return m->node[node].state;
}

bool
mesh_is_linked(const struct mesh *m, unsigned a, unsigned b)
{
    return is_usable(m, a, b) && m->node[b].is_up;
}

uint64_t
mesh_random(struct mesh *m)
{
    return chance_next(&m->seed);
}

uint64_t
mesh_now_ms(const struct mesh *m)
{
    return m->events.now_us / 1000;
}

uint64_t
mesh_messages(const struct mesh *m)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(m->sent) / sizeof(m->sent[0]); i++)
        sum += m->sent[i];
    return sum;
}

uint64_t
mesh_messages_of(const struct mesh *m, uint16_t code)
{
    return m->sent[code];
}

unsigned
mesh_changes(const struct mesh *m, unsigned node)
{
    return m->node[node].changes;
}

int
mesh_walk(const struct mesh *m, unsigned from, const struct id *id, bool is_node,
          unsigned *ret_hops)
{
    unsigned at = from;

    for (unsigned hops = 0; hops < WALK_MAX; hops++) {
        struct id next;
        enum status st = m->ops->next_hop(m->node[at].state, id, is_node, &next);
        int found;

        if (st == ST_EXISTS) {
            if (ret_hops)
                *ret_hops = hops;
            return (int)at;
        }
        found = st == ST_OK ? find(m, &next) : -1;
        if (found < 0 || (unsigned)found == at || !mesh_is_linked(m, at, (unsigned)found))
            return -1;
        at = (unsigned)found;
    }
    return -1;
}

uint64_t
mesh_latency_us(const struct mesh *m, unsigned a, unsigned b)
{
    return latency_us(m, a, b);
}

int
mesh_owner(const struct mesh *m, const struct id *id)
{
    int owner = -1;

    for (unsigned i = 0; i < m->count; i++) {
        if (!mesh_is_member(m, i) || !m->ops->is_responsible(m->node[i].state, id))
            continue;
        if (owner >= 0)
            return -2;
        owner = (int)i;
    }
    return owner;
}
