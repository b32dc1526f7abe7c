/*
 * The papers' tables beside ours: `main_papers --plugin chord --peers 2000 --json FILE`.
 *
 * Sections: hops against N, the distribution at the largest N, many failures at one instant, joins
 * and leaves under way (Chord's Table III), a tenth of the peers replaced while the run lasts.
 * --churn does the last one alone.  The JSON file has one object a line, and is added to.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/papers.h"

#define FAILURE_PEERS 1000u
#define QUIET_MS      30000u
#define TABLE3_MS     60000u
#define CHURN_MS      60000u
#define RECORDS       200u
#define N_MIN         64u

struct options {
    struct setting setting;
    unsigned peers;
    bool is_churn_only;
    FILE *json;
};

static const char *
label(const struct setting *s)
{
    static char text[80];

    snprintf(text, sizeof(text), "%s%s%s", s->topology->name, s->parameters[0] ? " " : "",
             s->parameters);
    return text;
}

/* ---- the papers' figures -------------------------------------------------------------------- */

static double
dimensions(const struct setting *s)
{
    const char *digits = strpbrk(s->parameters, "0123456789");

    return digits ? strtod(digits, NULL) : 2;
}

/* Chord section V-B: half of log2 N. Pastry figure 4, read off at 1,000, 5,000 and 10,000 and drawn
 * through in log N. CAN section 2: (d/4) N^(1/d). */
static double
paper_hops(const struct setting *s, double n)
{
    if (strcmp(s->topology->name, "pastry") == 0)
        return 2.5 + 0.75 * log10(n / 1000);
    if (strcmp(s->topology->name, "can") == 0)
        return dimensions(s) / 4 * pow(n, 1 / dimensions(s));
    return 0.5 * log2(n);
}

/* ---- hops against N ------------------------------------------------------------------------- */

static void
print_distribution(const struct options *o, const struct path *p)
{
    static const double pastry[] = {0, .0006, .0156, .1643, .6449, .1745};
    bool is_pastry = strcmp(o->setting.topology->name, "pastry") == 0;

    printf("  distribution at N = %u:", o->setting.peers);
    for (unsigned i = 0; i < PAPERS_HOPS_MAX; i++)
        if (p->share[i] > 0)
            printf(" %u: %.4f", i, p->share[i]);
    printf("\n");
    if (is_pastry) {
        printf("  paper (figure 5, N = 100000):");
        for (unsigned i = 1; i < sizeof(pastry) / sizeof(pastry[0]); i++)
            printf(" %u: %.4f", i, pastry[i]);
        printf("\n");
    }
}

static void
print_size(struct options *o, struct path *p)
{
    struct setting *set = &o->setting;
    struct cost c;
    struct sim *s = papers_begin(set, &c);

    papers_look_up(s, set->lookups, p);
    papers_quiet(s, QUIET_MS, &c);
    printf("  %6u %7.3f %7.3f %9.4f %9.0f %9.0f %9.0f %9.0f %8.1f\n", set->peers,
           paper_hops(set, set->peers), p->mean_hops, (double)p->right / p->lookups,
           c.join_messages, c.join_bytes, c.bytes_peer_second, c.memory_peer_bytes / 1024,
           p->cpu_us_hop);
    fflush(stdout);
    if (o->json)
        fprintf(o->json,
                "{\"table\": \"hops\", \"plugin\": \"%s\", \"peers\": %u, \"seed\": %llu, "
                "\"latency\": \"%s\", \"lookups\": %u, \"right\": %u, \"mean_hops\": %.4f, "
                "\"paper_hops\": %.4f, \"join_messages\": %.1f, \"join_bytes\": %.0f, "
                "\"maintenance_bytes_peer_s\": %.1f, \"memory_peer_bytes\": %.0f, "
                "\"cpu_us_message\": %.2f}\n",
                label(set), set->peers, (unsigned long long)set->seed,
                sim_latency_name(set->latency), p->lookups, p->right, p->mean_hops,
                paper_hops(set, set->peers), c.join_messages, c.join_bytes, c.bytes_peer_second,
                c.memory_peer_bytes, p->cpu_us_hop);
    sim_free(s);
}

static void
print_hops(struct options *o)
{
    struct path p = {0};

    printf("%s: hops against N (seed %llu, %s latencies, %u lookups each)\n", label(&o->setting),
           (unsigned long long)o->setting.seed, sim_latency_name(o->setting.latency),
           o->setting.lookups);
    printf("  %6s %7s %7s %9s %9s %9s %9s %9s %8s\n", "N", "paper", "ours", "right", "msgs/join",
           "B/join", "B/peer/s", "KiB/peer", "us/msg");
    for (unsigned n = N_MIN; n <= o->peers;
         n = n * 2 > o->peers && n < o->peers ? o->peers : 2 * n) {
        o->setting.peers = n;
        print_size(o, &p);
    }
    print_distribution(o, &p);
}

/* ---- many failures at one instant ----------------------------------------------------------- */

static void
print_failures(struct options *o)
{
    static const double chord[] = {3.84, 4.03, 4.22, 4.44, 4.69, 5.09};
    bool is_chord = strcmp(o->setting.topology->name, "chord") == 0;

    o->setting.peers = o->peers < FAILURE_PEERS ? o->peers : FAILURE_PEERS;
    printf("%s: a part of %u peers switched off at one instant (Chord's Table II; seed %llu)\n",
           label(&o->setting), o->setting.peers, (unsigned long long)o->setting.seed);
    printf("  %6s %11s %9s %9s %9s %9s\n", "failed", "paper hops", "hops", "at once", "after 2 s",
           "after 30 s");
    for (unsigned i = 0; i < sizeof(chord) / sizeof(chord[0]); i++) {
        struct path once, soon, later;
        struct cost c;
        struct sim *s = papers_begin(&o->setting, &c);

        papers_crash(s, 10 * i);
        papers_look_up(s, 200, &once);
        sim_run_ms(s, 2000);
        papers_look_up(s, 1000, &soon);
        sim_run_ms(s, QUIET_MS);
        papers_look_up(s, 1000, &later);
        printf("  %5u%% %11.2f %9.2f %9.3f %9.3f %9.3f\n", 10 * i, is_chord ? chord[i] : NAN,
               soon.mean_hops, (double)once.right / once.lookups, (double)soon.right / soon.lookups,
               (double)later.right / later.lookups);
        fflush(stdout);
        if (o->json)
            fprintf(o->json,
                    "{\"table\": \"failures\", \"plugin\": \"%s\", \"peers\": %u, "
                    "\"failed_percent\": %u, \"mean_hops\": %.4f, \"right_at_once\": %.4f, "
                    "\"right_2_s\": %.4f, \"right_30_s\": %.4f}\n",
                    label(&o->setting), o->setting.peers, 10 * i, soon.mean_hops,
                    (double)once.right / once.lookups, (double)soon.right / soon.lookups,
                    (double)later.right / later.lookups);
        sim_free(s);
    }
}

/* ---- under way ------------------------------------------------------------------------------ */

static void
print_table3(struct options *o)
{
    static const double path[] = {3.90, 3.83, 3.84, 3.81, 3.83, 3.91, 3.94, 4.06};
    static const unsigned failed[] = {0, 0, 2, 5, 6, 8, 16, 15};

    o->setting.peers = o->peers < FAILURE_PEERS ? o->peers : FAILURE_PEERS;
    o->setting.update_ms = 30000;
    printf("%s: joins and leaves at R a second, %u peers, stabilisation 30 s (Table III; seed "
           "%llu)\n",
           label(&o->setting), o->setting.peers, (unsigned long long)o->setting.seed);
    printf("  %5s %11s %7s %17s %17s\n", "R", "paper hops", "hops", "paper failed/10^4",
           "failed/10^4");
    for (unsigned i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
        struct churned c;
        struct cost cost;
        struct sim *s = papers_begin(&o->setting, &cost);

        papers_churn(s, 0.05 * (i + 1), false, TABLE3_MS, 0, &c);
        printf("  %5.2f %11.2f %7.2f %17u %17.1f\n", 0.05 * (i + 1), path[i], c.mean_hops,
               failed[i], 1e4 * (c.lookups - c.first) / c.lookups);
        fflush(stdout);
        sim_free(s);
    }
    o->setting.update_ms = 0;
}

static void
print_churn(struct options *o)
{
    struct cost cost;
    struct churned c;
    struct sim *s;

    o->setting.peers = o->peers;
    s = papers_begin(&o->setting, &cost);
    papers_churn(s, 0.1 * o->peers * 1000 / CHURN_MS, true, CHURN_MS, RECORDS, &c);
    printf("%s: %u peers (%u joined), a tenth replaced in %u s: %u joins, %u leaves, %u crashes "
           "(seed %llu)\n",
           label(&o->setting), o->peers, cost.joined, CHURN_MS / 1000, c.joins, c.leaves, c.crashes,
           (unsigned long long)o->setting.seed);
    printf("  %u lookups: %.4f right at first try, %.4f after one retry, %.2f hops; %u of %u "
           "records lost; %.0f MiB resident\n",
           c.lookups, (double)c.first / c.lookups, (double)c.retried / c.lookups, c.mean_hops,
           c.lost, c.records, c.resident_mib);
    fflush(stdout);
    if (o->json)
        fprintf(o->json,
                "{\"table\": \"churn\", \"plugin\": \"%s\", \"peers\": %u, \"joins\": %u, "
                "\"leaves\": %u, \"crashes\": %u, \"lookups\": %u, \"first\": %u, "
                "\"retried\": %u, \"records\": %u, \"lost\": %u, \"resident_mib\": %.0f}\n",
                label(&o->setting), o->peers, c.joins, c.leaves, c.crashes, c.lookups, c.first,
                c.retried, c.records, c.lost, c.resident_mib);
    sim_free(s);
}

static bool
read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;

        if (strcmp(argv[i], "--churn") == 0) {
            o->is_churn_only = true;
            continue;
        }
        if (!value)
            return false;
        if (strcmp(argv[i], "--plugin") == 0)
            o->setting.topology = topology_find(value);
        else if (strcmp(argv[i], "--parameters") == 0)
            o->setting.parameters = value;
        else if (strcmp(argv[i], "--peers") == 0)
            o->peers = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            o->setting.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--lookups") == 0)
            o->setting.lookups = (unsigned)strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "--json") != 0 || !(o->json = fopen(value, "a")))
            return false;
        i++;
    }
    return o->setting.topology && o->peers >= N_MIN && o->setting.lookups > 0;
}

int
main(int argc, char **argv)
{
    struct options o = {.setting = {.topology = topology_find("chord"),
                                    .parameters = "",
                                    .seed = 1,
                                    .lookups = 5000},
                        .peers = 1024};

    if (!read_options(argc, argv, &o)) {
        fprintf(stderr, "usage: main_papers [--plugin NAME] [--parameters TEXT] [--peers N, 64 or "
                        "more] [--seed N] [--lookups N] [--json FILE] [--churn]\n");
        return 2;
    }
    if (!o.is_churn_only) {
        print_hops(&o);
        print_failures(&o);
        if (strcmp(o.setting.topology->name, "chord") == 0)
            print_table3(&o);
    }
    print_churn(&o);
    if (o.json)
        fclose(o.json);
    return 0;
}
