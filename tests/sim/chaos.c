#include "tests/sim/chaos.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/election_world_internal.h"

enum {
    PHASES = 3,
    PAUSE_MS = 3000,
    LEAVE_MS = 2500,
    LOOK_MS = 100,
    NEVER_MS = 1 << 30,
    LEARN_MS = 5000, /* what is lost on a path has to be seen */
    BEAR_MS = 60000
};

struct chaos {
    struct world w;
    bool is_leaving;    /* somebody */
    uint64_t served_ms; /* when there was a gateway last, or nobody who could be */
    struct chaos_verdict *verdict;
    unsigned changes[WORLD_NODES];
};

static unsigned
draw(struct chaos *c, unsigned below)
{
    return (unsigned)(world_draw(&c->w) % below);
}

static bool
chance(struct chaos *c, unsigned of)
{
    return draw(c, of) == 0;
}

static void
narrate(struct chaos *c, const char *what, char name)
{
    world_trace(&c->w, "[%6llu] %s%s%c\n", (unsigned long long)c->w.now_ms, what, name ? " " : "",
                name ? name : ' ');
    c->verdict->misfortunes++;
}

/* ---- who is there ------------------------------------------------------------------------------
 */

static struct world_node *
any_node(struct chaos *c)
{
    return &c->w.node[draw(c, (unsigned)c->w.count)];
}

/* The one that matters most, every other time. */
static struct world_node *
victim(struct chaos *c)
{
    if (chance(c, 2))
        for (int i = 0; i < c->w.count; i++) {
            struct world_node *n = &c->w.node[i];
            if (n->is_up && !n->is_asleep && election_role(n->election) == ELECTION_ACTIVE)
                return n;
        }
    return any_node(c);
}

static bool
is_able(const struct world_node *n)
{
    return n->is_up && !n->has_left && n->conf.is_candidate &&
           (n->conf.is_pinned || election_score(n->election) >= n->conf.threshold);
}

static int
able_count(const struct chaos *c)
{
    int count = 0;

    for (int i = 0; i < c->w.count; i++)
        count += is_able(&c->w.node[i]);
    return count;
}

/* ---- misfortunes -------------------------------------------------------------------------------
 */

static void
start(struct chaos *c, struct world_node *n)
{
    narrate(c, "starts", n->name);
    n->wall_jump_ms += chance(c, 4) ? 7000 : 0;
    world_start(&c->w, n->name);
}

static void
crash(struct chaos *c)
{
    struct world_node *n = victim(c);

    if (!n->is_up)
        start(c, n);
    else if (chance(c, 2))
        world_kill(&c->w, n->name);
    else
        world_cut_power(&c->w, n->name);
}

static void
leave(struct chaos *c)
{
    struct world_node *n = victim(c);

    if (!n->is_up || n->is_asleep || n->has_left)
        return;
    narrate(c, "leaves:", n->name);
    c->is_leaving = true;
    world_leave(&c->w, n->name);
}

/* Who has left ends. */
static void
see_off(struct chaos *c)
{
    for (int i = 0; i < c->w.count; i++)
        if (c->w.node[i].is_up && c->w.node[i].has_left)
            world_kill(&c->w, c->w.node[i].name);
}

static void
wake(struct chaos *c, struct world_node *n)
{
    narrate(c, "resumes", n->name);
    world_wake(&c->w, n->name);
}

static void
pause_or_resume(struct chaos *c)
{
    struct world_node *n = victim(c);

    if (!n->is_up)
        return;
    if (n->is_asleep) {
        wake(c, n);
        return;
    }
    narrate(c, "stops", n->name);
    world_sleep(&c->w, n->name);
}

static void
one_way(struct chaos *c)
{
    struct world_node *from = victim(c), *to = any_node(c);

    if (from == to)
        return;
    if (chance(c, 2)) {
        struct world_node *swapped = from;
        from = to;
        to = swapped;
    }
    bool *is_deaf = &from->is_deaf_to_me[to->name - 'a'];
    *is_deaf = !*is_deaf;
    narrate(c, *is_deaf ? "is not heard any more by" : "is heard again by", to->name);
    world_trace(&c->w, "         that was %c\n", from->name);
}

static void
partition(struct chaos *c)
{
    char names[WORLD_NODES + 1] = "";
    size_t count = 0;

    if (c->w.is_cut) {
        world_heal(&c->w);
        return;
    }
    for (int i = 0; i < c->w.count; i++)
        if (chance(c, 2))
            names[count++] = c->w.node[i].name;
    if (chance(c, 3)) {
        count = 1;
        names[0] = victim(c)->name;
    }
    names[count] = '\0';
    c->w.is_cut_silent = chance(c, 2);
    c->w.ringless_side = (int)draw(c, 3) - 1;
    c->verdict->misfortunes++;
    world_partition(&c->w, names);
}

static void
jump(struct chaos *c)
{
    struct world_node *n = victim(c);

    narrate(c, "wall clock jumps on", n->name);
    n->wall_jump_ms += (int64_t)draw(c, 200000000) - 100000000;
}

static void
slow(struct chaos *c)
{
    struct world_node *n = victim(c);

    n->latency_ms = chance(c, 2) ? draw(c, 60) : 0;
    n->late_ms = chance(c, 2) ? draw(c, 180) : 0;
    narrate(c, n->latency_ms || n->late_ms ? "is slow:" : "is slow no more:", n->name);
}

static void
lossy(struct chaos *c)
{
    c->w.loss_thousandths = c->w.loss_thousandths ? 0 : draw(c, 250);
    narrate(c, c->w.loss_thousandths ? "messages get lost" : "messages arrive again", 0);
}

static void
reset(struct chaos *c)
{
    struct world_node *n = victim(c);

    narrate(c, "links break with", n->name);
    world_reset_links(&c->w, n->name);
}

static void
rescore(struct chaos *c)
{
    struct world_node *n = any_node(c);

    if (!n->is_up || n->is_asleep || n->name < 'c')
        return;
    narrate(c, "another score for", n->name);
    world_set_score(&c->w, n->name, (uint16_t)(100 + draw(c, 850)));
}

static void
hand_over(struct chaos *c)
{
    struct world_node *n = victim(c);

    if (!n->is_up || n->is_asleep)
        return;
    if (world_handover(&c->w, n->name, NULL) == ST_OK)
        narrate(c, "is told to hand over:", n->name);
}

static void
ring(struct chaos *c)
{
    c->w.is_ring_down = !c->w.is_ring_down;
    narrate(c, c->w.is_ring_down ? "the ring cannot be asked" : "the ring answers again", 0);
}

/* Of one node: it alone hears nothing of the ring, or hears of it again. */
static void
ring_cut(struct chaos *c)
{
    struct world_node *n = victim(c);

    n->ring_silent_ms = n->ring_silent_ms ? 0 : c->w.now_ms;
    narrate(c, n->ring_silent_ms ? "is cut from the ring:" : "hears the ring again:", n->name);
}

/* A node starts that reaches nobody of its overlay, but the ring, until all is mended. */
static void
dead_bootstrap(struct chaos *c)
{
    char name[2] = {any_node(c)->name, '\0'};

    if (c->w.is_cut)
        return;
    if (c->w.node[name[0] - 'a'].is_up)
        world_cut_power(&c->w, name[0]);
    c->w.is_cut_silent = true;
    c->w.ringless_side = -1;
    world_partition(&c->w, name);
    memset(c->w.record[1], 0, sizeof(c->w.record[1])); /* nobody tells it */
    narrate(c, "reaches nobody of its overlay:", name[0]);
    start(c, &c->w.node[name[0] - 'a']);
}

static void
restart_all(struct chaos *c)
{
    narrate(c, "all fall, and start again", 0);
    for (int i = 0; i < c->w.count; i++)
        if (c->w.node[i].is_up)
            world_cut_power(&c->w, c->w.node[i].name);
    for (int i = 0; i < c->w.count; i++) {
        world_run_until(&c->w, c->w.now_ms + (chance(c, 2) ? 0 : draw(c, 400)));
        world_start(&c->w, c->w.node[i].name);
    }
}

static void
misfortune(struct chaos *c)
{
    static void (*const kind[])(struct chaos * c) = {crash,
                                                     crash,
                                                     crash,
                                                     pause_or_resume,
                                                     pause_or_resume,
                                                     one_way,
                                                     partition,
                                                     partition,
                                                     jump,
                                                     slow,
                                                     lossy,
                                                     reset,
                                                     rescore,
                                                     hand_over,
                                                     ring,
                                                     leave,
                                                     /* not in plain runs: */ ring_cut,
                                                     dead_bootstrap};
    unsigned kinds = sizeof(kind) / sizeof(kind[0]) - (c->w.is_ring_live ? 0 : 2);

    if (chance(c, 40))
        restart_all(c);
    else
        kind[draw(c, kinds)](c);
}

/* ---- afterwards --------------------------------------------------------------------------------
 */

static void
mend(struct chaos *c)
{
    struct world *w = &c->w;

    if (c->is_leaving)
        world_run_until(w, w->now_ms + LEAVE_MS);
    c->is_leaving = false;
    see_off(c);
    w->loss_thousandths = 0;
    w->is_ring_down = false;
    if (w->is_cut)
        world_heal(w);
    for (int i = 0; i < w->count; i++) {
        struct world_node *n = &w->node[i];
        n->latency_ms = n->late_ms = 0;
        n->ring_silent_ms = 0;
        memset(n->is_deaf_to_me, 0, sizeof(n->is_deaf_to_me));
        if (n->is_up && n->is_asleep)
            wake(c, n);
    }
    for (int i = 0; i < w->count; i++)
        if (!w->node[i].is_up && !chance(c, 4))
            start(c, &w->node[i]);
    if (able_count(c) == 0 && !w->node[0].is_up)
        start(c, &w->node[0]);
    world_trace(w, "[%6llu] all is well again\n", (unsigned long long)w->now_ms);
    w->heal_ms = WORLD_HEAL_MS;
    w->many_since_ms[0] = w->now_ms;
}

static bool
is_same_set(const struct world_node *a, const struct world_node *b)
{
    size_t a_count, b_count;
    const struct election_gateway *x = election_gateways(a->election, &a_count);
    const struct election_gateway *y = election_gateways(b->election, &b_count);

    /* To an ordinary peer only the addresses matter. */
    if (a_count != b_count || (election_role(b->election) != ELECTION_OBSERVER &&
                               election_term(a->election) != election_term(b->election)))
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!id_equal(&x[i].ref.node, &y[i].ref.node) || x[i].score != y[i].score)
            return false;
    return true;
}

/* "term 7: a 450, c 300" */
static const char *
set_text(const struct world_node *n, char out[64])
{
    size_t count, used;
    const struct election_gateway *g = election_gateways(n->election, &count);

    used = (size_t)snprintf(out, 64, "term %u:", election_term(n->election));
    for (size_t i = 0; i < count && used < 64; i++)
        used += (size_t)snprintf(out + used, 64 - used, " %c %u", g[i].ref.node.bytes[0],
                                 score_bare(g[i].score));
    return out;
}

/* All of @least role or above have the view of the gateways, which is true. */
static void
expect_agreement(struct chaos *c, enum election_role least)
{
    struct world *w = &c->w;
    const struct world_node *first = NULL;

    for (int i = 0; i < w->count && !first; i++)
        if (w->node[i].is_up && election_role(w->node[i].election) == ELECTION_ACTIVE)
            first = &w->node[i];
    for (int i = 0; first && i < w->count; i++) {
        const struct world_node *n = &w->node[i];
        if (!n->is_up || n->has_left || election_role(n->election) < least)
            continue;
        if (!is_same_set(first, n)) {
            char one[64], other[64];
            world_break(w, "%c knows %s, %c knows %s", first->name, set_text(first, one), n->name,
                        set_text(n, other));
        }
        if (election_is_gateway(first->election, &n->conf.self.node) !=
            (election_role(n->election) == ELECTION_ACTIVE))
            world_break(w, "%c is %s, %c thinks otherwise", n->name,
                        election_role_name(election_role(n->election)), first->name);
    }
}

static void
expect_actives(struct chaos *c)
{
    int wanted = able_count(c);
    int most = (int)c->w.node[0].conf.gateways;

    if (wanted > most)
        wanted = most;
    if (world_actives(&c->w, -1) < wanted)
        world_break(&c->w, "%d active, %d wanted", world_actives(&c->w, -1), wanted);
}

static void
note_changes(struct chaos *c)
{
    for (int i = 0; i < c->w.count; i++)
        c->changes[i] = c->w.node[i].changes;
}

static void
expect_no_change(struct chaos *c)
{
    for (int i = 0; i < c->w.count; i++)
        if (c->changes[i] != c->w.node[i].changes)
            world_break(&c->w, "%c changed though all was well", c->w.node[i].name);
}

/* All the way, no gateway for too long is found within LOOK_MS. */
static void
run_for(struct chaos *c, uint64_t from_ms, uint64_t until_ms)
{
    struct world *w = &c->w;

    while (!w->broken[0] && w->now_ms < from_ms + until_ms) {
        uint64_t next_ms = w->now_ms + LOOK_MS;
        world_run_until(w, next_ms < from_ms + until_ms ? next_ms : from_ms + until_ms);
        if (world_actives(w, -1) > 0 || able_count(c) == 0)
            c->served_ms = w->now_ms;
        if (w->now_ms > c->served_ms + CHAOS_VACANT_MS)
            world_break(w, "no gateway for %d ms", CHAOS_VACANT_MS);
    }
}

static void
judge(struct chaos *c)
{
    uint64_t whole_ms = c->w.now_ms;
    uint64_t quiet_ms = c->w.node[0].conf.preempt ? CHAOS_ALL_MS - 10000 : CHAOS_SETTLED_MS;

    c->served_ms = whole_ms;
    run_for(c, whole_ms, CHAOS_SETTLED_MS);
    if (!c->w.node[0].conf.preempt) {
        expect_actives(c);
        expect_agreement(c, ELECTION_CANDIDATE);
    }
    run_for(c, whole_ms, quiet_ms);
    note_changes(c);
    run_for(c, whole_ms, CHAOS_ALL_MS);
    expect_no_change(c);
    expect_actives(c);
    expect_agreement(c, ELECTION_OBSERVER);
}

/* ---- what a living gateway bears ---------------------------------------------------------------
 */

static unsigned
all_verdicts(const struct chaos *c)
{
    unsigned verdicts = 0;

    for (int i = 0; i < c->w.count; i++)
        verdicts += c->w.node[i].verdicts;
    return verdicts;
}

/* It stands still for less than its HELLOs allow. */
static void
starve(struct chaos *c)
{
    struct world_node *n = victim(c);
    unsigned most_ms = n->conf.hello_ms * n->conf.hello_misses / 2;

    if (!n->is_up)
        return;
    narrate(c, "stands still:", n->name);
    world_sleep(&c->w, n->name);
    world_run_until(&c->w, c->w.now_ms + draw(c, most_ms));
    world_wake(&c->w, n->name);
}

static void
bear(struct chaos *c)
{
    struct world *w = &c->w;

    w->is_traffic_heard = true;
    w->segment_loss_thousandths = chance(c, 4) ? 0 : 20 + draw(c, 81);
    narrate(c, w->segment_loss_thousandths ? "segments get lost" : "no segments get lost", 0);
    world_run_until(w, w->now_ms + LEARN_MS);
    unsigned before = all_verdicts(c);
    uint64_t until_ms = w->now_ms + BEAR_MS;
    while (!w->broken[0] && w->now_ms < until_ms) {
        if (chance(c, 2))
            starve(c);
        world_run_until(w, w->now_ms + draw(c, PAUSE_MS));
    }
    bool is_second_path = able_count(c) >= (int)w->node[0].conf.gateways + 2; /* another to ask */
    if (is_second_path && all_verdicts(c) > before + CHAOS_FALSE_MAX * w->node[0].conf.gateways)
        world_break(w, "%u taken for dead that lived", all_verdicts(c) - before);
    w->segment_loss_thousandths = 0;
}

/* ---- a run -------------------------------------------------------------------------------------
 */

static void
draw_node(struct chaos *c, struct world_node *n)
{
    bool is_reserve = n->name > 'b'; /* the first two can always be gateway */

    n->conf.is_pinned = chance(c, 8);
    n->conf.is_candidate = !is_reserve || !chance(c, 8);
    if (!chance(c, 3))
        n->load.calls = draw(c, 3);
}

static void
draw_world(struct chaos *c, uint64_t seed)
{
    static const uint32_t pace[] = {50, 100, 100, 100, 200};
    uint16_t score[WORLD_NODES];
    struct chaos_verdict *v = c->verdict;
    uint64_t mixed = seed * 0x9e3779b97f4a7c15ULL + 1;
    struct world *w = &c->w;

    c->w.seed = mixed;
    int count = 3 + (int)draw(c, 8);
    for (int i = 0; i < count; i++)
        score[i] = (uint16_t)((i < 2 ? 250 : 100) + draw(c, 700));
    world_init(w, score, count, NULL);
    w->seed = mixed ^ 0x5bd1e995;
    w->is_lenient = true;
    w->heal_ms = NEVER_MS;
    w->latency_ms = draw(c, 6);
    w->jitter_ms = draw(c, 4);
    w->overlay_late_ms = chance(c, 3) ? 0 : 1 + draw(c, 1500);
    uint32_t gateways = 1 + draw(c, 2), hello_ms = pace[draw(c, 5)], misses = 2 + draw(c, 3);
    bool preempt = chance(c, 3);
    for (int i = 0; i < count; i++) {
        struct election_conf *conf = &w->node[i].conf;
        conf->gateways = gateways;
        conf->hello_ms = hello_ms;
        conf->hello_misses = misses;
        conf->preempt = preempt;
        conf->hold_ms = 1000;
        draw_node(c, &w->node[i]);
    }
    snprintf(v->drawn, sizeof(v->drawn),
             "%d nodes, %u gateway%s, HELLO every %u ms, %u misses, preempt %s, latency %u+%u ms",
             count, gateways, gateways > 1 ? "s" : "", hello_ms, misses, preempt ? "on" : "off",
             w->latency_ms, w->jitter_ms);
}

static void
run_phase(struct chaos *c)
{
    unsigned count = 1 + draw(c, 7);

    c->w.heal_ms = NEVER_MS;
    for (unsigned i = 0; i < count && !c->w.broken[0]; i++) {
        misfortune(c);
        see_off(c);
        world_run_until(&c->w, c->w.now_ms + (chance(c, 3) ? draw(c, 150) : draw(c, PAUSE_MS)));
    }
    mend(c);
    judge(c);
}

static void
digest(struct chaos *c)
{
    uint64_t *d = &c->verdict->digest;

    for (const char *at = c->w.trace; *at; at++)
        *d = (*d ^ (uint8_t)*at) * 0x100000001b3ULL;
}

void
chaos_run(const struct chaos_conf *conf, struct chaos_verdict *ret)
{
    struct chaos *c = calloc(1, sizeof(*c));

    if (!c)
        abort();
    *ret = (struct chaos_verdict){.digest = 0xcbf29ce484222325ULL};
    c->verdict = ret;
    draw_world(c, conf->seed);
    c->w.is_loud = conf->is_loud;
    c->w.is_ring_asked = c->w.is_ring_live = !conf->is_plain;
    for (int i = 0; i < c->w.count; i++)
        c->w.node[i].conf.expects_others = !conf->is_plain;
    if (chance(c, 2))
        world_start_all(&c->w);
    else
        restart_all(c);
    mend(c);
    judge(c);
    for (int phase = 0; phase < PHASES && !c->w.broken[0]; phase++) {
        digest(c);
        c->w.trace[0] = '\0';
        run_phase(c);
    }
    digest(c);
    c->w.trace[0] = '\0';
    if (!c->w.broken[0])
        bear(c);
    digest(c);
    ret->is_broken = c->w.broken[0] != '\0';
    snprintf(ret->what, sizeof(ret->what), "%s", c->w.broken);
    ret->now_ms = c->w.now_ms;
    for (int i = 0; i < c->w.count; i++)
        ret->claims += c->w.node[i].claims;
    if (ret->is_broken)
        ret->story = strdup(c->w.trace);
    world_done(&c->w);
    free(c);
}
