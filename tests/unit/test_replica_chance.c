/*
 * Replicas under chance: calls come, change and end; gateways die, start again, hand over and are
 * outranked; messages are lost.  One gateway is active at a time, and nodes hear of it one after
 * the other.  When all has settled, each call that some living node knew of has exactly one owner.
 */
#include "tests/unit/replica_world.h"

#define SEEDS      40
#define TURNS      120
#define STEP_MS    5
#define CALLS_MOST 400
#define TELLS_MOST 64
#define NOBODY     WORLD_NODES

/** What node @to is going to hear. */
struct tell {
    uint64_t at_ms;
    unsigned to;
    unsigned active;
    unsigned life;
};

static struct {
    unsigned active; /* as all will know at last */
    unsigned calls;
    uint32_t version;
    struct tell tell[TELLS_MOST];
    size_t tell_count;
    uint64_t elect_ms; /* the active one is dead: when the next claims */
    unsigned dead;     /* it is not elected again at once, unless it is alone */
    unsigned lost;     /* calls that died with all who knew of them */
} play;

static uint64_t
below(uint64_t limit)
{
    return chance_below(&world.seed, limit);
}

static bool
is_alive(unsigned i)
{
    return i < WORLD_NODES && world.node[i].replica;
}

static unsigned
alive(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < WORLD_NODES; i++)
        count += is_alive(i);
    return count;
}

/* Any living node but @but. */
static unsigned
some_node(unsigned but)
{
    unsigned first = (unsigned)below(WORLD_NODES);

    for (unsigned k = 0; k < WORLD_NODES; k++) {
        unsigned i = (first + k) % WORLD_NODES;
        if (i != but && is_alive(i))
            return i;
    }
    return NOBODY;
}

/* ---- what nodes are told ---- */

static void
hear(unsigned i, unsigned active)
{
    char name[2] = {(char)('a' + active), '\0'};

    world_tell(i, name);
}

static void
tell_later(unsigned to, unsigned active, uint64_t ms)
{
    if (play.tell_count < TELLS_MOST && is_alive(to))
        play.tell[play.tell_count++] =
            (struct tell){world_now().mono_ms + ms, to, active, world.node[to].life};
}

/* A node's view never goes back: what it was to hear before is forgotten. */
static void
tell_all(unsigned active, uint64_t first_ms)
{
    play.active = active;
    play.tell_count = 0;
    for (unsigned i = 0; i < WORLD_NODES; i++)
        tell_later(i, active, i == active ? 0 : first_ms + below(60));
}

static void
tell_candidates(void)
{
    char names[WORLD_NODES + 1] = "";
    size_t count = 0;

    if (!is_alive(play.active))
        return;
    for (unsigned i = 0; i < WORLD_NODES; i++)
        if (i != play.active && is_alive(i))
            names[count++] = (char)('a' + i);
    if (count > 1 && below(4) == 0) { /* ranks change */
        char first = names[0];
        names[0] = names[count - 1];
        names[count - 1] = first;
    }
    world_candidates(play.active, names);
}

static void
pass(uint64_t ms)
{
    for (uint64_t end = world_now().mono_ms + ms; world_now().mono_ms < end;) {
        world_run_ms(STEP_MS);
        for (size_t i = 0; i < play.tell_count;) {
            struct tell t = play.tell[i];
            if (t.at_ms > world_now().mono_ms) {
                i++;
                continue;
            }
            play.tell[i] = play.tell[--play.tell_count];
            if (is_alive(t.to) && world.node[t.to].life == t.life)
                hear(t.to, t.active);
        }
        if (play.elect_ms <= world_now().mono_ms) {
            unsigned next = some_node(play.dead);
            if (next == NOBODY)
                next = some_node(NOBODY);
            if (next != NOBODY)
                tell_all(next, 1);
            play.elect_ms = MOMENT_NEVER;
        }
        if (world_now().mono_ms % 50 < STEP_MS)
            tell_candidates();
    }
}

/* ---- what happens ---- */

static bool
is_fresh_copy(unsigned i, unsigned call)
{
    const struct replica *r = world.node[i].replica;
    char text[16];

    for (size_t k = 0; k < r->owner_count; k++) {
        const struct owner *o = r->owner[k];
        if (world_now().mono_ms < o->heard_ms + 20000 && copy_find(o, world_token(call, text)))
            return true;
    }
    return false;
}

/* Calls that nobody alive knows of are over. */
static void
bury_the_lost(void)
{
    for (unsigned c = 0; c < play.calls; c++) {
        bool is_known = world.is_over[c];
        for (unsigned i = 0; i < WORLD_NODES && !is_known; i++)
            is_known = is_alive(i) && (world_owns(i, c) || is_fresh_copy(i, c));
        play.lost += !is_known;
        world.is_over[c] = !is_known || world.is_over[c];
    }
}

static void
crash(unsigned i)
{
    if (alive() < 2 || !is_alive(i))
        return;
    world_kill(i);
    bury_the_lost();
    if (i != play.active)
        return;
    play.dead = i;
    play.elect_ms = world_now().mono_ms + 200 + below(300);
}

static void
start(void)
{
    for (unsigned i = 0; i < WORLD_NODES; i++)
        if (!is_alive(i)) {
            world_start(i);
            tell_later(i, play.active, 100 + below(200));
            return;
        }
}

static void
hand_over(void)
{
    unsigned from = play.active, to = some_node(from);

    if (to == NOBODY || !is_alive(from))
        return;
    replica_hands_over(world.node[from].replica, world_now());
    pass(STEP_MS);
    replica_on_handover(world.node[to].replica, world_now(), &world.node[from].id);
    tell_all(to, 1);
}

static void
outrank(void)
{
    unsigned by = some_node(play.active);

    if (by != NOBODY && is_alive(play.active))
        tell_all(by, 1 + below(200));
}

static void
change_some_calls(void)
{
    for (uint64_t n = 1 + below(8); n > 0; n--) {
        unsigned c = (unsigned)below(play.calls + 1);
        unsigned i = 0;

        if (c == play.calls) {
            if (play.calls < CALLS_MOST && is_alive(play.active) &&
                world.node[play.active].replica->mode == REPLICA_ACTIVE)
                world_put(play.active, play.calls++, ++play.version);
            continue;
        }
        while (i < WORLD_NODES && !world_owns(i, c))
            i++;
        if (i == WORLD_NODES || world.is_over[c])
            continue;
        if (below(4) == 0)
            world_drop(i, c);
        else
            world_put(i, c, ++play.version);
    }
}

static void
take_turn(void)
{
    uint64_t what = below(100);

    if (what < 5)
        crash(play.active);
    else if (what < 9)
        crash(some_node(play.active));
    else if (what < 18)
        start();
    else if (what < 22)
        hand_over();
    else if (what < 25)
        outrank();
    else if (what < 28)
        world.loss = (unsigned)below(200);
    else
        change_some_calls();
    pass(below(400));
}

START_TEST(each_call_has_one_owner_at_last)
{
    world.seed = (uint64_t)_i + 1;
    world.large_each = _i % 2 ? 7 : 0; /* records in parts, among the others */
    memset(&play, 0, sizeof(play));
    for (unsigned i = 0; i < WORLD_NODES; i++)
        world_start(i);
    play.elect_ms = MOMENT_NEVER;
    tell_all(0, 1);
    pass(100);
    for (unsigned turn = 0; turn < TURNS; turn++)
        take_turn();
    world.loss = 0;
    pass(30000);
    for (unsigned c = 0; c < play.calls; c++)
        ck_assert_msg(world_owners(c) == !world.is_over[c],
                      "seed %d: call %u, which is %s, has %u owners", _i + 1, c,
                      world.is_over[c] ? "over" : "up", world_owners(c));
    if (getenv("REPLICA_TALK"))
        fprintf(stderr, "seed %d: %u calls, %u lost\n", _i + 1, play.calls, play.lost);
    for (unsigned i = 0; i < WORLD_NODES; i++)
        if (is_alive(i))
            ck_assert_uint_eq(world_report(i).calls, i == play.active ? world_report(i).calls : 0);
}
END_TEST

int
main(void)
{
    Suite *suite = suite_create("replica, by chance");
    TCase *tc = tcase_create("seeds");

    tcase_add_checked_fixture(tc, world_setup, world_teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, each_call_has_one_owner_at_last, 0, SEEDS);
    suite_add_tcase(suite, tc);

    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
