/*
 * A whole overlay on a virtual clock: peers join one by one and all at one instant, every lookup is
 * held against the true owner, a fifth of the peers is switched off at once and the lookups are
 * done again.  Exits 1 and names the seed when a lookup ends anywhere else.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

#define AT_ONCE      200
#define JOIN_MS      120000u
#define SETTLE_MS    60000u
#define LOOKUPS      10000u
#define CRASH_PART   5u
#define MESSAGES_MAX 20
#define PIONEERS     100u  /* of a large overlay: they join first, and are the bootstrap entries */
#define IN_TURN_MAX  1000u /* beyond, one by one takes longer than it is worth */

struct options {
    const struct topology_ops *topology;
    unsigned seeds;
    uint64_t seed;
    unsigned peers;
    unsigned lookups;
    unsigned loss_permille;
    bool is_loud;
};

static unsigned failures;

static void
complain(const struct options *o, const char *phase, const char *what)
{
    if (failures++ < MESSAGES_MAX)
        printf("FAIL seed %llu, %s, %u peers, %s: %s\n", (unsigned long long)o->seed,
               o->topology->name, o->peers, phase, what);
}

static void
look_up(struct sim *s, const struct options *o, const char *phase)
{
    struct sim_lookup *lookup = calloc(o->lookups, sizeof(*lookup));
    double size = sim_member_count(s);
    unsigned worst = 0;
    unsigned wrong = 0;
    double hops = 0;

    if (!lookup)
        abort();
    sim_lookups(s, lookup, o->lookups, AT_ONCE);
    for (unsigned i = 0; i < o->lookups; i++) {
        bool is_right =
            lookup[i].st == ST_OK && lookup[i].ended == sim_owner(s, &lookup[i].resource);
        wrong += !is_right;
        hops += lookup[i].hops;
        worst = lookup[i].hops > worst ? lookup[i].hops : worst;
    }
    printf("  %-18s %6u lookups %6u wrong  %5.2f hops (0.5 log2 N = %.2f, most %u)\n", phase,
           o->lookups, wrong, hops / o->lookups, 0.5 * log2(size), worst);
    if (wrong)
        complain(o, phase, "lookups did not end at the owner");
    free(lookup);
}

static struct sim *
begin(const struct options *o)
{
    struct sim_conf conf = {.topology = o->topology,
                            .seed = o->seed,
                            .loss_permille = o->loss_permille,
                            .bootstrap_spread = o->peers > IN_TURN_MAX ? PIONEERS : 0,
                            .is_loud = o->is_loud};
    struct sim *s = sim_new(&conf);

    for (unsigned i = 0; i < o->peers; i++)
        sim_add(s);
    return s;
}

static void
report_join(const struct sim *s, const struct options *o, const char *phase, uint64_t begin_ms)
{
    const struct sim_counters *c = sim_counters_of(s);

    printf("  %-18s %6u joined in %.1f s, %.0f messages and %.0f bytes a join\n", phase,
           sim_member_count(s), (double)(sim_now(s).mono_ms - begin_ms) / 1000,
           (double)c->messages / o->peers, (double)c->bytes / o->peers);
}

static void
one_by_one(const struct options *o)
{
    struct sim *s = begin(o);
    uint64_t begin_ms = sim_now(s).mono_ms;

    for (unsigned i = 0; i < o->peers; i++) {
        sim_start(s, i);
        if (!sim_run_until(s, sim_are_all_joined, JOIN_MS)) {
            complain(o, "one by one", "a peer has not joined");
            break;
        }
    }
    report_join(s, o, "one by one", begin_ms);
    sim_run_ms(s, SETTLE_MS);
    look_up(s, o, "settled");
    sim_free(s);
}

static void
crash(struct sim *s, const struct options *o)
{
    for (unsigned i = 0; i < o->peers / CRASH_PART; i++)
        sim_crash(s, sim_random_member(s), SIM_CRASH_SILENT);
    sim_run_ms(s, SETTLE_MS);
}

static void
at_one_instant(const struct options *o)
{
    struct sim *s = begin(o);
    uint64_t begin_ms = sim_now(s).mono_ms;
    unsigned first = 0;

    if (o->peers > IN_TURN_MAX) {
        for (; first < PIONEERS; first++)
            sim_start(s, first);
        if (!sim_run_until(s, sim_are_all_joined, JOIN_MS))
            complain(o, "the first hundred", "a peer has not joined");
    }
    for (unsigned i = first; i < o->peers; i++)
        sim_start(s, i);
    if (!sim_run_until(s, sim_are_all_joined, JOIN_MS))
        complain(o, "at one instant", "a peer has not joined");
    report_join(s, o, "at one instant", begin_ms);
    sim_run_ms(s, SETTLE_MS);
    look_up(s, o, "settled");
    if (o->peers > CRASH_PART) {
        crash(s, o);
        look_up(s, o, "a fifth crashed");
    }
    sim_free(s);
}

static bool
number(const char *text, unsigned *ret)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text == '\0' || *end != '\0' || value > 1000000)
        return false;
    *ret = (unsigned)value;
    return true;
}

static bool
read_option(struct options *o, const char *name, const char *value)
{
    unsigned seed;

    if (strcmp(name, "--plugin") == 0)
        return (o->topology = topology_find(value)) != NULL;
    if (strcmp(name, "--seeds") == 0)
        return number(value, &o->seeds);
    if (strcmp(name, "--peers") == 0)
        return number(value, &o->peers) && o->peers > 0;
    if (strcmp(name, "--lookups") == 0)
        return number(value, &o->lookups) && o->lookups > 0;
    if (strcmp(name, "--loss") == 0)
        return number(value, &o->loss_permille) && o->loss_permille < 1000;
    if (strcmp(name, "--seed") == 0 && number(value, &seed)) {
        o->seed = seed;
        return true;
    }
    return false;
}

int
main(int argc, char **argv)
{
    struct options o = {.topology = topology_find("chord"),
                        .seeds = 1,
                        .seed = 1,
                        .peers = 500,
                        .lookups = LOOKUPS};

    setvbuf(stdout, NULL, _IOLBF, 0);
    o.is_loud = getenv("SIM_LOUD") != NULL;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 < argc && read_option(&o, argv[i], argv[i + 1]))
            continue;
        fprintf(stderr,
                "usage: %s [--plugin NAME] [--peers N] [--seed FIRST] [--seeds N] [--lookups N] "
                "[--loss PERMILLE]\n",
                argv[0]);
        return 2;
    }
    for (unsigned i = 0; i < o.seeds; i++, o.seed++) {
        printf("%s, %u peers, seed %llu\n", o.topology->name, o.peers, (unsigned long long)o.seed);
        at_one_instant(&o);
        if (o.peers <= IN_TURN_MAX)
            one_by_one(&o);
    }
    return failures ? EXIT_FAILURE : EXIT_SUCCESS;
}
