/*
 * The papers' tables beside ours: `main_papers --plugin chord --peers 2000 --json FILE`.
 *
 * --only chooses one table: hops, failures, repair, table3 or churn.  Without it all are printed
 * that the plug-in's paper has, and churn.  The JSON file has one object a line, and is added to.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/papers.h"

#define N_MIN 64u

struct table {
    const char *name;
    const char *paper; /* the plug-in's it is from; NULL: all have it */
    void (*print)(const struct tables *t);
};

static const struct table tables[] = {
    {"hops", NULL, papers_hops},         {"failures", NULL, papers_failures},
    {"repair", "pastry", papers_repair}, {"table3", "chord", papers_table3},
    {"churn", NULL, papers_replaced},
};

#define TABLES (sizeof(tables) / sizeof(tables[0]))

static bool
read_latency(const char *name, enum sim_latency *ret)
{
    for (unsigned i = 0; i < SIM_LATENCY_MODELS; i++)
        if (strcmp(name, sim_latency_name(i)) == 0) {
            *ret = i;
            return true;
        }
    return false;
}

static bool
read_only(const char *name, const char **ret)
{
    *ret = NULL;
    for (unsigned i = 0; i < TABLES; i++)
        if (strcmp(name, tables[i].name) == 0)
            *ret = tables[i].name;
    return *ret != NULL;
}

static unsigned
number(const char *text)
{
    return (unsigned)strtoul(text, NULL, 10);
}

static bool
read_option(struct tables *t, const char **only, const char *name, const char *value)
{
    if (strcmp(name, "--plugin") == 0)
        return (t->setting.topology = topology_find(value)) != NULL;
    if (strcmp(name, "--only") == 0)
        return read_only(value, only);
    if (strcmp(name, "--latency") == 0)
        return read_latency(value, &t->setting.latency);
    if (strcmp(name, "--json") == 0)
        return (t->json = fopen(value, "a")) != NULL;
    if (strcmp(name, "--parameters") == 0)
        t->setting.parameters = value;
    else if (strcmp(name, "--peers") == 0)
        t->peers = number(value);
    else if (strcmp(name, "--least") == 0)
        t->least = number(value);
    else if (strcmp(name, "--seed") == 0)
        t->setting.seed = strtoull(value, NULL, 10);
    else if (strcmp(name, "--lookups") == 0)
        t->setting.lookups = number(value);
    else if (strcmp(name, "--replaced") == 0)
        t->percent = number(value);
    else
        return false;
    return true;
}

int
main(int argc, char **argv)
{
    struct tables t = {.setting = {.topology = topology_find("chord"),
                                   .parameters = "",
                                   .seed = 1,
                                   .lookups = 5000},
                       .least = N_MIN,
                       .peers = 1024,
                       .percent = 10};
    const char *only = NULL;
    bool is_understood = argc % 2 == 1;

    for (int i = 1; i + 1 < argc && is_understood; i += 2)
        is_understood = read_option(&t, &only, argv[i], argv[i + 1]);
    if (!is_understood || t.least < N_MIN || t.peers < t.least || t.setting.lookups == 0 ||
        t.percent > 100) {
        fprintf(stderr, "usage: main_papers [--plugin NAME] [--parameters TEXT] [--peers N] "
                        "[--least N, 64 or more] [--seed N] [--lookups N] [--latency MODEL] "
                        "[--replaced PERCENT] [--json FILE] "
                        "[--only hops|failures|repair|table3|churn]\n");
        return 2;
    }
    for (unsigned i = 0; i < TABLES; i++) {
        const char *paper = tables[i].paper;

        if (only ? strcmp(only, tables[i].name) == 0
                 : !paper || strcmp(paper, t.setting.topology->name) == 0)
            tables[i].print(&t);
    }
    if (t.json)
        fclose(t.json);
    return 0;
}
