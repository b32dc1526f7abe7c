#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim_internal.h"

#define RETRANSMIT_US  200000u
#define SUSPECT_MIN_US 100000u
#define GIVE_UP_US     3000000u

static struct sim_link *
link_of(struct sim *s, unsigned a, unsigned b)
{
    unsigned pair[2] = {a < b ? a : b, a < b ? b : a};
    struct slice key = slice_of(pair, sizeof(pair));
    struct sim_link *l = map_get(s->links, key);

    if (l)
        return l;
    l = calloc(1, sizeof(*l));
    assert(l && map_put(s->links, key, l, NULL) == ST_OK);
    l->node[0] = pair[0];
    l->node[1] = pair[1];
    l->latency_us = sim_latency_us(s, pair[0], pair[1]);
    for (unsigned side = 0; side < 2; side++) {
        struct sim_node *n = s->node[pair[side]];
        if (n->link_count == n->link_cap) {
            n->link_cap = n->link_cap ? 2 * n->link_cap : 16;
            n->link = realloc(n->link, n->link_cap * sizeof(n->link[0]));
            assert(n->link);
        }
        n->link[n->link_count++] = l;
    }
    return l;
}

static unsigned
side_of(const struct sim_link *l, unsigned node)
{
    return l->node[1] == node;
}

static struct sim_frame *
frame_new(struct sim_link *l, unsigned side, struct slice message)
{
    struct sim_frame *f = malloc(sizeof(*f) + message.len);

    assert(f);
    f->link = l;
    f->generation = l->generation;
    f->side = side;
    f->len = message.len;
    if (message.len)
        memcpy(f->data, message.data, message.len);
    return f;
}

static void
put(struct sim *s, uint64_t delay_us, enum sim_event kind, struct sim_link *l, unsigned side)
{
    events_put(&s->events, s->events.now_us + delay_us, kind, l->node[side],
               frame_new(l, side, slice_of(NULL, 0)));
}

static uint64_t
patience_us(const struct sim_link *l)
{
    uint64_t rtts = 8 * l->latency_us;

    return rtts > SUSPECT_MIN_US ? rtts : SUSPECT_MIN_US;
}

static bool
is_reachable(const struct sim *s, const struct sim_link *l, unsigned side)
{
    const struct sim_node *there = s->node[l->node[!side]];

    return there->peer && there->group == s->node[l->node[side]]->group;
}

/* ---- what a peer asks ----------------------------------------------------------------------- */

/* Nobody acknowledges what this side sends. */
static void
doubt(struct sim *s, struct sim_link *l, unsigned side)
{
    if (l->is_doubted[side])
        return;
    l->is_doubted[side] = true;
    put(s, patience_us(l), SIM_SUSPECT, l, side);
    put(s, 3 * patience_us(l), SIM_DOWN, l, side);
}

bool
sim_link_send(void *ctx, const struct id *to, struct slice message)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    int other = sim_find(s, to);
    struct sim_link *l = other < 0 ? NULL : link_of(s, n->index, (unsigned)other);
    unsigned side = l ? side_of(l, n->index) : 0;
    uint64_t due_us;

    if (!l || !l->is_up[side])
        return false;
    s->counters.messages++;
    s->counters.bytes += message.len;
    if (!is_reachable(s, l, side) || l->is_doubted[side]) {
        sim_watch_lost(s, message);
        doubt(s, l, side);
        return true;
    }
    due_us = s->events.now_us + l->latency_us;
    if (s->conf.loss_permille && chance_below(&s->seed, 1000) < s->conf.loss_permille) {
        due_us += RETRANSMIT_US;
        if (patience_us(l) < RETRANSMIT_US + 2 * l->latency_us) {
            put(s, patience_us(l), SIM_SUSPECT, l, side);
            put(s, RETRANSMIT_US + 2 * l->latency_us, SIM_WELL, l, side);
        }
    }
    if (due_us < l->last_us[side])
        due_us = l->last_us[side];
    l->last_us[side] = due_us;
    events_put(&s->events, due_us, SIM_FRAME, l->node[!side], frame_new(l, side, message));
    return true;
}

static int
index_of_address(const struct sim *s, const char *address)
{
    unsigned a, b, c;
    unsigned index;

    if (sscanf(address, "10.%u.%u.%u:6084", &a, &b, &c) != 3)
        return -1;
    index = a << 16 | b << 8 | c;
    return index < s->count ? (int)index : -1;
}

void
sim_link_connect(void *ctx, const char *address, const struct id *expected)
{
    struct sim_node *n = ctx;
    struct sim *s = n->sim;
    int other = index_of_address(s, address);
    struct sim_link *l;
    unsigned side;
    bool is_refused;

    (void)expected; /* addresses and Node-IDs belong together here */
    assert(other != (int)n->index);
    if (other < 0) {
        char *nobody = strdup(address);
        assert(nobody);
        events_put(&s->events, s->events.now_us + GIVE_UP_US, SIM_NOBODY, n->index, nobody);
        return;
    }
    l = link_of(s, n->index, (unsigned)other);
    side = side_of(l, n->index);
    if (l->is_opening[side])
        return;
    l->is_opening[side] = true;
    is_refused =
        s->node[other]->group == n->group && !s->node[other]->peer && !s->node[other]->is_silent;
    if (is_reachable(s, l, side))
        put(s, 6 * l->latency_us, SIM_CONNECTED, l, side); /* TCP, then TLS */
    else
        put(s, is_refused ? 2 * l->latency_us : GIVE_UP_US, SIM_CONNECT_FAILED, l, side);
}

void
sim_link_disconnect(void *ctx, const struct id *node)
{
    struct sim_node *n = ctx;
    int other = sim_find(n->sim, node);
    struct sim_link *l = other < 0 ? NULL : link_of(n->sim, n->index, (unsigned)other);
    unsigned side = l ? side_of(l, n->index) : 0;
    uint64_t due_us;

    if (!l || !l->is_up[side])
        return;
    l->is_up[side] = false;
    if (!l->is_up[!side] || !is_reachable(n->sim, l, side))
        return;
    /* What was sent before still arrives. */
    due_us = n->sim->events.now_us + l->latency_us;
    if (due_us < l->last_us[side])
        due_us = l->last_us[side];
    put(n->sim, due_us - n->sim->events.now_us, SIM_DOWN, l, !side);
}

void
sim_link_crash(struct sim_node *n)
{
    for (size_t i = 0; i < n->link_count; i++) {
        struct sim_link *l = n->link[i];
        unsigned side = side_of(l, n->index);

        l->is_opening[side] = false;
        if (!l->is_up[side])
            continue;
        l->is_up[side] = false;
        if (l->is_up[!side] && !n->is_silent && n->sim->node[l->node[!side]]->group == n->group)
            put(n->sim, l->latency_us, SIM_DOWN, l, !side);
    }
}

void
sim_link_sleep(struct sim_node *n, uint64_t duration_us)
{
    for (size_t i = 0; i < n->link_count; i++) {
        struct sim_link *l = n->link[i];
        unsigned side = side_of(l, n->index);
        uint64_t most_us = patience_us(l);

        if (!l->is_up[0] || !l->is_up[1] || !is_reachable(n->sim, l, !side) ||
            duration_us <= most_us)
            continue;
        put(n->sim, most_us, SIM_SUSPECT, l, !side);
        if (duration_us <= 3 * most_us) {
            put(n->sim, duration_us + l->latency_us, SIM_WELL, l, !side);
            continue;
        }
        put(n->sim, 3 * most_us, SIM_DOWN, l, !side);
        put(n->sim, 3 * most_us + l->latency_us, SIM_DOWN, l, side);
    }
}

/* ---- what happens --------------------------------------------------------------------------- */

static void
come_up(struct sim *s, struct sim_link *l, unsigned opener)
{
    struct sim_node *a = s->node[l->node[opener]];
    struct sim_node *b = s->node[l->node[!opener]];

    l->is_opening[opener] = false;
    if (!a->peer)
        return;
    if (!is_reachable(s, l, opener)) {
        peer_on_connect_failed(a->peer, sim_now(s), b->address, &b->id, "reset");
        sim_arm(a);
        return;
    }
    if (!l->is_up[0] || !l->is_up[1]) {
        for (unsigned side = 0; side < 2; side++) {
            struct sim_node *n = s->node[l->node[side]];
            if (l->is_up[side]) {
                /* It has not heard yet that the old link is gone. */
                l->is_up[side] = false;
                peer_on_link_down(n->peer, sim_now(s), &s->node[l->node[!side]]->id, false,
                                  "replaced");
                sim_arm(n);
            }
        }
        l->generation++;
        l->is_up[0] = l->is_up[1] = true;
        l->is_doubted[0] = l->is_doubted[1] = false;
        l->is_suspect[0] = l->is_suspect[1] = false;
        l->last_us[0] = l->last_us[1] = 0;
        s->counters.links++;
    }
    peer_on_link_up(b->peer, sim_now(s), &a->id, "");
    sim_arm(b);
    if (!l->is_up[opener])
        return; /* b wanted none, and a hears of it */
    peer_on_link_up(a->peer, sim_now(s), &b->id, b->address);
    sim_arm(a);
}

static void
go_down(struct sim *s, struct sim_link *l, unsigned side)
{
    struct sim_node *n = s->node[l->node[side]];

    if (!l->is_up[side])
        return;
    l->is_up[side] = false;
    if (!n->peer)
        return;
    peer_on_link_down(n->peer, sim_now(s), &s->node[l->node[!side]]->id, !l->is_suspect[side],
                      "reset");
    sim_arm(n);
}

static void
set_suspect(struct sim *s, struct sim_link *l, unsigned side, bool is_suspect)
{
    struct sim_node *n = s->node[l->node[side]];

    if (!l->is_up[side] || !n->peer || l->is_suspect[side] == is_suspect)
        return;
    l->is_suspect[side] = is_suspect;
    peer_on_link_suspect(n->peer, sim_now(s), &s->node[l->node[!side]]->id, is_suspect);
    sim_arm(n);
}

static void
arrive(struct sim *s, const struct sim_frame *f)
{
    struct sim_link *l = f->link;
    struct sim_node *n = s->node[l->node[!f->side]];
    struct slice message = slice_of(f->data, f->len);

    if (n->peer && !l->is_up[!f->side] && l->is_up[f->side])
        put(s, l->latency_us, SIM_DOWN, l, f->side); /* it knows of no such connection: a reset */
    if (!n->peer || !l->is_up[!f->side])
        return;
    sim_trace_bytes(s, f->data, f->len);
    sim_watch_frame(s, l->node[f->side], message);
    peer_on_message(n->peer, sim_now(s), &s->node[l->node[f->side]]->id, message);
    sim_arm(n);
}

void
sim_nobody_event(struct sim *s, const struct event *e)
{
    struct sim_node *n = s->node[e->node];

    if (n->peer) {
        peer_on_connect_failed(n->peer, sim_now(s), e->what, NULL, "no answer");
        sim_arm(n);
    }
    free(e->what);
}

void
sim_link_event(struct sim *s, const struct event *e)
{
    struct sim_frame *f = e->what;
    struct sim_link *l = f->link;
    struct sim_node *other = s->node[l->node[!f->side]];

    if (e->kind == SIM_CONNECTED && sim_is_asleep(s, other->index)) {
        events_put(&s->events, other->wakes_us, e->kind, e->node, f);
        return;
    }
    if (e->kind == SIM_CONNECTED) {
        come_up(s, l, f->side);
    } else if (e->kind == SIM_CONNECT_FAILED) {
        struct sim_node *n = s->node[e->node];
        l->is_opening[f->side] = false;
        if (n->peer) {
            peer_on_connect_failed(n->peer, sim_now(s), other->address, &other->id, "refused");
            sim_arm(n);
        }
    } else if (f->generation != l->generation) {
        ; /* of a link that is no more */
    } else if (e->kind == SIM_FRAME) {
        arrive(s, f);
    } else if (e->kind == SIM_DOWN) {
        go_down(s, l, f->side);
    } else {
        set_suspect(s, l, f->side, e->kind == SIM_SUSPECT);
    }
    free(f);
}
