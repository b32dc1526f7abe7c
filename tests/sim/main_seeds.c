/*
 * Many short runs, each with its verdict: `main_seeds --plugin chord --seeds 1000`.  A broken
 * invariant is named with the seed that shows it and what that seed drew; `--seed N --seeds 1
 * --loud` replays it exactly.  Exits 1 if there was one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/scenario.h"

struct options {
    struct scenario scenario;
    uint64_t first;
    uint64_t count;
};

static bool
read_broken(const char *name, enum broken *ret)
{
    for (unsigned i = 0; i < BROKEN_KINDS; i++)
        if (strcmp(name, broken_name(i)) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool
read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--loud") == 0) {
            o->scenario.is_loud = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--plugin") == 0)
            o->scenario.topology = topology_find(value);
        else if (strcmp(argv[i], "--seed") == 0)
            o->first = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--seeds") == 0)
            o->count = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--broken") != 0 || !read_broken(value, &o->scenario.broken))
            return false;
        i++;
    }
    return o->scenario.topology != NULL;
}

int
main(int argc, char **argv)
{
    struct options o = {.scenario = {.topology = topology_find("chord")}, .first = 1, .count = 100};
    unsigned failures = 0;
    unsigned excused = 0;
    uint64_t steps = 0;

    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: main_seeds [--plugin NAME] [--seed N] [--seeds N] [--broken FAULT] "
                        "[--loud]\n");
        return 2;
    }
    for (uint64_t i = 0; i < o.count; i++) {
        struct verdict v;

        o.scenario.seed = o.first + i;
        scenario_run(&o.scenario, &v);
        steps += v.steps;
        excused += v.excused;
        if (v.is_broken) {
            failures++;
            printf("FAIL seed %llu, %s (%s): %s: %s; trace %016llx\n",
                   (unsigned long long)o.scenario.seed, o.scenario.topology->name, v.drawn,
                   v.invariant, v.detail, (unsigned long long)v.trace);
            fflush(stdout);
        }
    }
    printf("%s: %llu seeds from %llu, %u broken, %.1f million calls checked, %u records whose "
           "holders all crashed at once\n",
           o.scenario.topology->name, (unsigned long long)o.count, (unsigned long long)o.first,
           failures, (double)steps / 1e6, excused);
    return failures ? 1 : 0;
}
