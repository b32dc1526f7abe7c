#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/papers.h"

#define FAILURE_PEERS   1000u
#define FAILURE_LOOKUPS 1000u
#define REPAIR_PEERS    5000u
#define AT_ONCE         200u
#define QUIET_MS        30000u
#define TABLE3_MS       60000u
#define CHURN_MS        60000u
#define RECORDS         200u

static const char *
label(const struct setting *s)
{
    static char text[80];

    snprintf(text, sizeof(text), "%s%s%s", s->topology->name, s->parameters[0] ? " " : "",
             s->parameters);
    return text;
}

static bool
is_plugin(const struct setting *s, const char *name)
{
    return strcmp(s->topology->name, name) == 0;
}

static void
print_title(const struct setting *s, const char *what)
{
    printf("%s: %s (seed %llu, %s latencies)\n", label(s), what, (unsigned long long)s->seed,
           sim_latency_name(s->latency));
}

static double
share(unsigned part, unsigned of)
{
    return of ? (double)part / of : 0;
}

/* ---- the papers' figures -------------------------------------------------------------------- */

static double
dimensions(const struct setting *s)
{
    const char *digits = strpbrk(s->parameters, "0123456789");

    return digits ? strtod(digits, NULL) : 4;
}

/* Chord section V-B: half of log2 N.  Pastry section 2.1: log16 N.  CAN section 2: (d/4) N^(1/d).
 */
static double
model_hops(const struct setting *s, double n)
{
    if (is_plugin(s, "pastry"))
        return log2(n) / 4;
    if (is_plugin(s, "can"))
        return dimensions(s) / 4 * pow(n, 1 / dimensions(s));
    return 0.5 * log2(n);
}

struct reading {
    double n, hops;
};

/* What a paper's simulation found, read off its figure, drawn through between; NAN elsewhere. */
static double
figure_hops(const struct setting *s, double n)
{
    static const struct reading pastry[] = {/* figures 4 and 5 */
                                            {1000, 2.5},
                                            {5000, 2.95},
                                            {10000, 3.25},
                                            {100000, 3.98}};
    static const struct reading can2[] = {{1024, 12.2}, {4096, 25.8}, {16384, 50.5}}; /* figure 4 */
    static const struct reading can3[] = {{1024, 6.1}, {4096, 9.9}, {16384, 15.0}};
    const struct reading *at = is_plugin(s, "pastry") ? pastry : dimensions(s) < 3 ? can2 : can3;
    unsigned count = is_plugin(s, "pastry") ? 4 : 3;

    if (is_plugin(s, "chord") || (is_plugin(s, "can") && dimensions(s) > 3))
        return NAN;
    for (unsigned i = 0; i + 1 < count; i++)
        if (n >= at[i].n && n <= at[i + 1].n)
            return at[i].hops +
                   (at[i + 1].hops - at[i].hops) * log(n / at[i].n) / log(at[i + 1].n / at[i].n);
    return NAN;
}

/* ---- hops against N ------------------------------------------------------------------------- */

static void
print_distribution(const struct tables *t, const struct path *p)
{
    static const double pastry[] = {0, .0006, .0156, .1643, .6449, .1745};

    printf("  distribution at N = %u:", t->peers);
    for (unsigned i = 0; i < PAPERS_HOPS_MAX; i++)
        if (p->share[i] > 0)
            printf(" %u: %.4f", i, p->share[i]);
    printf("\n");
    if (is_plugin(&t->setting, "pastry")) {
        printf("  paper (figure 5, N = 100000):");
        for (unsigned i = 1; i < sizeof(pastry) / sizeof(pastry[0]); i++)
            printf(" %u: %.4f", i, pastry[i]);
        printf("\n");
    }
}

static void
write_size(FILE *json, const struct setting *set, const struct path *p, const struct cost *c)
{
    double figure = figure_hops(set, set->peers);

    fprintf(json,
            "{\"table\": \"hops\", \"plugin\": \"%s\", \"peers\": %u, \"seed\": %llu, "
            "\"latency\": \"%s\", \"lookups\": %u, \"right\": %u, \"mean_hops\": %.4f, "
            "\"mean_ms\": %.1f, \"model_hops\": %.4f, ",
            label(set), set->peers, (unsigned long long)set->seed, sim_latency_name(set->latency),
            p->lookups, p->right, p->mean_hops, p->mean_ms, model_hops(set, set->peers));
    if (!isnan(figure))
        fprintf(json, "\"figure_hops\": %.4f, ", figure);
    fprintf(json,
            "\"join_messages\": %.1f, \"join_bytes\": %.0f, \"maintenance_bytes_peer_s\": %.1f, "
            "\"memory_peer_bytes\": %.0f, \"cpu_us_message\": %.2f}\n",
            c->join_messages, c->join_bytes, c->bytes_peer_second, c->memory_peer_bytes,
            p->cpu_us_hop);
}

static void
print_size(const struct tables *t, const struct setting *set, struct path *p)
{
    struct cost c;
    struct sim *s = papers_begin(set, &c);

    papers_look_up(s, set->lookups, AT_ONCE, p);
    papers_quiet(s, QUIET_MS, &c);
    printf("  %6u %7.3f %7.3f %7.3f %6.0f %9.4f %9.0f %9.0f %9.0f %9.0f %8.1f\n", set->peers,
           model_hops(set, set->peers), figure_hops(set, set->peers), p->mean_hops, p->mean_ms,
           share(p->right, p->lookups), c.join_messages, c.join_bytes, c.bytes_peer_second,
           c.memory_peer_bytes / 1024, p->cpu_us_hop);
    fflush(stdout);
    if (t->json)
        write_size(t->json, set, p, &c);
    sim_free(s);
}

void
papers_hops(const struct tables *t)
{
    struct setting set = t->setting;
    struct path p = {0};
    unsigned n = t->least;

    print_title(&set, "hops against N");
    printf("  %u lookups each; model and figure are the paper's\n", set.lookups);
    printf("  %6s %7s %7s %7s %6s %9s %9s %9s %9s %9s %8s\n", "N", "model", "figure", "ours", "ms",
           "right", "msgs/join", "B/join", "B/peer/s", "KiB/peer", "us/msg");
    for (;;) {
        set.peers = n;
        print_size(t, &set, &p);
        if (n >= t->peers)
            break;
        n = n * 2 > t->peers ? t->peers : n * 2;
    }
    print_distribution(t, &p);
}

/* ---- many failures at one instant ----------------------------------------------------------- */

void
papers_failures(const struct tables *t)
{
    static const double hops[] = {3.84, 4.03, 4.22, 4.44, 4.69, 5.09};
    static const double timeouts[] = {0, 0.60, 1.17, 2.02, 3.23, 5.10};
    struct setting set = t->setting;

    set.peers = t->peers < FAILURE_PEERS ? t->peers : FAILURE_PEERS;
    print_title(&set, "a part of the peers switched off at one instant (Chord's Table II)");
    printf("  %u peers, %u lookups at that instant, as many 2 s and 30 s later\n", set.peers,
           FAILURE_LOOKUPS);
    printf("  %6s %11s %9s %9s %11s %9s %9s %9s\n", "failed", "Chord hops", "hops", "Chord t/o",
           "timeouts", "right", "in 2 s", "in 30 s");
    for (unsigned i = 0; i < sizeof(hops) / sizeof(hops[0]); i++) {
        struct path once, soon, later;
        struct cost c;
        struct sim *s = papers_begin(&set, &c);

        papers_crash(s, 10 * i);
        papers_look_up(s, FAILURE_LOOKUPS, FAILURE_LOOKUPS, &once);
        sim_run_ms(s, 2000);
        papers_look_up(s, FAILURE_LOOKUPS, AT_ONCE, &soon);
        sim_run_ms(s, QUIET_MS);
        papers_look_up(s, FAILURE_LOOKUPS, AT_ONCE, &later);
        printf("  %5u%% %11.2f %9.2f %9.2f %11.2f %9.4f %9.4f %9.4f\n", 10 * i, hops[i],
               once.mean_hops, timeouts[i], once.mean_timeouts, share(once.right, once.lookups),
               share(soon.right, soon.lookups), share(later.right, later.lookups));
        fflush(stdout);
        if (t->json)
            fprintf(t->json,
                    "{\"table\": \"failures\", \"plugin\": \"%s\", \"peers\": %u, "
                    "\"failed_percent\": %u, \"mean_hops\": %.4f, \"timeouts\": %.4f, "
                    "\"right_at_once\": %.4f, \"right_2_s\": %.4f, \"right_30_s\": %.4f}\n",
                    label(&set), set.peers, 10 * i, once.mean_hops, once.mean_timeouts,
                    share(once.right, once.lookups), share(soon.right, soon.lookups),
                    share(later.right, later.lookups));
        sim_free(s);
    }
}

/* What came in beyond quiet times, a failed node, by kind of message; each hop counts. */
static void
print_spent(const struct sim_counters *quiet, const struct sim_counters *spent, unsigned failed)
{
    printf("  messages a failed node:");
    for (unsigned code = 1; code < 0x30; code++) {
        double count = ((double)spent->by_code[code] - 0.9 * (double)quiet->by_code[code]) / failed;
        if (count >= 1)
            printf(" %s %.0f,", message_code_name((uint16_t)code), count);
    }
    printf(" each hop counted\n");
}

static struct sim_counters
difference(const struct sim_counters *now, const struct sim_counters *before)
{
    struct sim_counters d = {.messages = now->messages - before->messages};

    for (unsigned code = 0; code < 0x30; code++)
        d.by_code[code] = now->by_code[code] - before->by_code[code];
    return d;
}

/* Messages beyond those of quiet times; one RPC of the paper is a request and its answer. */
void
papers_repair(const struct tables *t)
{
    struct setting set = t->setting;
    struct path before, unrepaired, repaired;
    struct sim_counters begin, quiet, spent;
    unsigned failed;
    struct cost c;
    struct sim *s;

    set.peers = t->peers < REPAIR_PEERS ? t->peers : REPAIR_PEERS;
    failed = set.peers / 10;
    s = papers_begin(&set, &c);
    papers_look_up(s, FAILURE_LOOKUPS, FAILURE_LOOKUPS, &before);
    begin = *sim_counters_of(s);
    sim_run_ms(s, 2 * QUIET_MS);
    quiet = difference(sim_counters_of(s), &begin);
    papers_crash(s, 10);
    papers_look_up(s, FAILURE_LOOKUPS, FAILURE_LOOKUPS, &unrepaired);
    begin = *sim_counters_of(s);
    sim_run_ms(s, 2 * QUIET_MS);
    spent = difference(sim_counters_of(s), &begin);
    papers_look_up(s, FAILURE_LOOKUPS, FAILURE_LOOKUPS, &repaired);
    print_title(&set, "a tenth of the peers switched off at one instant (Pastry's figure 10)");
    printf("  %6s %17s %17s %17s %14s\n", "N", "hops before", "unrepaired", "repaired",
           "RPCs a failed");
    printf("  %6u %17.3f %9.3f (%.3f) %9.3f (%.3f) %14.1f\n", set.peers, before.mean_hops,
           unrepaired.mean_hops, unrepaired.mean_hops / before.mean_hops, repaired.mean_hops,
           repaired.mean_hops / before.mean_hops,
           ((double)spent.messages - 0.9 * (double)quiet.messages) / 2 / failed);
    printf("  %6s %17.3f %9.3f (%.3f) %9.3f (%.3f) %14.1f\n", "paper", 2.73, 2.96, 1.084, 2.74,
           1.004, 57.0);
    print_spent(&quiet, &spent, failed);
    printf("  right: %.4f before, %.4f at once, %.4f a minute later\n",
           share(before.right, before.lookups), share(unrepaired.right, unrepaired.lookups),
           share(repaired.right, repaired.lookups));
    fflush(stdout);
    sim_free(s);
}

/* ---- under way ------------------------------------------------------------------------------ */

void
papers_table3(const struct tables *t)
{
    static const double path[] = {3.90, 3.83, 3.84, 3.81, 3.83, 3.91, 3.94, 4.06};
    static const double timeouts[] = {.05, .11, .16, .23, .30, .34, .42, .46};
    static const unsigned failed[] = {0, 0, 2, 5, 6, 8, 16, 15};
    struct setting set = t->setting;

    set.peers = t->peers < FAILURE_PEERS ? t->peers : FAILURE_PEERS;
    set.update_ms = 30000;
    print_title(&set, "joins and leaves at R a second (Chord's Table III)");
    printf("  %u peers, stabilisation every 30 s, %u s each\n", set.peers, TABLE3_MS / 1000);
    printf("  %5s %11s %7s %11s %9s %17s %12s\n", "R", "Chord hops", "hops", "Chord t/o",
           "timeouts", "Chord failed/10^4", "failed/10^4");
    for (unsigned i = 0; i < sizeof(path) / sizeof(path[0]); i++) {
        struct churned c;
        struct cost cost;
        struct sim *s = papers_begin(&set, &cost);

        papers_churn(s, 0.05 * (i + 1), false, TABLE3_MS, 0, &c);
        printf("  %5.2f %11.2f %7.2f %11.2f %9.2f %17u %12.1f\n", 0.05 * (i + 1), path[i],
               c.mean_hops, timeouts[i], c.mean_timeouts, failed[i],
               1e4 * share(c.lookups - c.first, c.lookups));
        fflush(stdout);
        sim_free(s);
    }
}

void
papers_replaced(const struct tables *t)
{
    struct setting set = t->setting;
    double per_s = t->percent / 100.0 * t->peers * 1000 / CHURN_MS;
    char title[64];
    struct cost cost;
    struct churned c;
    struct sim *s;

    set.peers = t->peers;
    s = papers_begin(&set, &cost);
    papers_churn(s, per_s, true, CHURN_MS, RECORDS, &c);
    snprintf(title, sizeof(title), "%u %% of the peers replaced while the run lasts", t->percent);
    print_title(&set, title);
    printf("  %u peers (%u joined), in %u s %u joins, %u leaves, %u crashes\n", set.peers,
           cost.joined, CHURN_MS / 1000, c.joins, c.leaves, c.crashes);
    printf("  %u lookups: %.4f right at first try, %.4f after one retry, %.2f hops; %u of %u "
           "records lost; %.0f MiB resident\n",
           c.lookups, share(c.first, c.lookups), share(c.retried, c.lookups), c.mean_hops, c.lost,
           c.records, c.resident_mib);
    if (c.first < c.lookups)
        printf(
            "  of %u not right at first: %u while several members called the ID theirs, %u while "
            "nobody did\n",
            c.lookups - c.first, c.disputed, c.orphaned);
    fflush(stdout);
    if (t->json)
        fprintf(t->json,
                "{\"table\": \"churn\", \"plugin\": \"%s\", \"peers\": %u, \"joins\": %u, "
                "\"leaves\": %u, \"crashes\": %u, \"lookups\": %u, \"first\": %u, "
                "\"retried\": %u, \"records\": %u, \"lost\": %u, \"resident_mib\": %.0f}\n",
                label(&set), set.peers, c.joins, c.leaves, c.crashes, c.lookups, c.first, c.retried,
                c.records, c.lost, c.resident_mib);
    sim_free(s);
}
