/*
 * Names of overlays under random misfortune: `main_names --seeds 10000 [--first N] [--broken
 * young|alone]`.  A run that breaks a promise is told with its seed, what it drew and its
 * story;
 * `--first SEED --seeds 1 --loud` replays it exactly.  Exits 1 if there was one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/chaos_names.h"

static int
use(void)
{
    fputs("usage: main_names [--first N] [--seeds N] [--broken young|alone] [--loud]\n", stderr);
    return 2;
}

static enum chaos_names_broken
broken_of(const char *text)
{
    return strcmp(text, "young") == 0 ? CHAOS_NAMES_NEVER_YOUNG : CHAOS_NAMES_ALONE_KNOWS;
}

int
main(int argc, char **argv)
{
    uint64_t first = 1, count = 200, asked = 0, found = 0, absent = 0, excused = 0, unknown = 0;
    struct chaos_names_conf conf = {0};
    unsigned failures = 0, misfortunes = 0;
    double hours = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--loud") == 0)
            conf.is_loud = true;
        else if (i + 1 < argc && strcmp(argv[i], "--first") == 0)
            first = strtoull(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            count = strtoull(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--broken") == 0)
            conf.broken = broken_of(argv[++i]);
        else
            return use();
    }
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct chaos_names_verdict v;

        conf.seed = seed;
        chaos_names_run(&conf, &v);
        asked += v.asked;
        found += v.found;
        absent += v.absent;
        excused += v.excused;
        unknown += v.unknown;
        misfortunes += v.misfortunes;
        hours += (double)v.now_ms / 3.6e6;
        if (!v.is_broken)
            continue;
        failures++;
        printf("FAIL seed %llu (%s): %s\n", (unsigned long long)seed, v.drawn, v.what);
        if (!conf.is_loud && failures <= 3)
            fputs(v.story, stdout);
        fflush(stdout);
        free(v.story);
    }
    printf(
        "names: %llu seeds from %llu, %u broken; %u misfortunes, %llu questions: %llu found, %llu "
        "absent (%llu while cut off), %llu not to be known; %.1f hours of their time\n",
        (unsigned long long)count, (unsigned long long)first, failures, misfortunes,
        (unsigned long long)asked, (unsigned long long)found, (unsigned long long)absent,
        (unsigned long long)excused, (unsigned long long)unknown, hours);
    return failures ? 1 : 0;
}
