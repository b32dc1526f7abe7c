#include "gateway/cli/show.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gateway/cli/table.h"

#define HISTORY_END  5  /* lines under a watched election */
#define LATE_TOLD_MS 20 /* a machine that is so late is worth a word */

/* ---- fields -----------------------------------------------------------------------------------
 */

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static long long
number_of(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static const char *
plural(long long count)
{
    return count == 1 ? "" : "s";
}

/* "3 d 4 h", "12 min 5 s": two units are enough. */
static const char *
duration(long long seconds, char *out, size_t out_bytes)
{
    if (seconds >= 86400)
        snprintf(out, out_bytes, "%lld d %lld h", seconds / 86400, seconds % 86400 / 3600);
    else if (seconds >= 3600)
        snprintf(out, out_bytes, "%lld h %lld min", seconds / 3600, seconds % 3600 / 60);
    else if (seconds >= 60)
        snprintf(out, out_bytes, "%lld min %lld s", seconds / 60, seconds % 60);
    else
        snprintf(out, out_bytes, "%lld s", seconds);
    return out;
}

/* A millisecond figure that may be unknown. */
static void
milliseconds_cell(struct table *t, const json_t *value)
{
    if (json_is_number(value))
        table_cell(t, COLOUR_NONE, json_is_integer(value) ? "%.0f ms" : "%.2f ms",
                   json_number_value(value));
    else
        table_cell(t, COLOUR_DIM, "-");
}

static enum colour
state_colour(const char *state)
{
    if (strcmp(state, "joined") == 0 || strcmp(state, "active") == 0 ||
        strcmp(state, "confirmed") == 0)
        return COLOUR_GOOD;
    if (strcmp(state, "down") == 0)
        return COLOUR_BAD;
    if (strcmp(state, "joining") == 0 || strcmp(state, "leaving") == 0 ||
        strcmp(state, "alone") == 0)
        return COLOUR_WARN;
    return COLOUR_NONE;
}

/* ---- status -----------------------------------------------------------------------------------
 */

static void
show_summary(const char *label, const json_t *overlay)
{
    const char *state = text_of(overlay, "state");
    long long neighbours = number_of(overlay, "neighbours");
    long long records = number_of(overlay, "records");

    if (!json_is_object(overlay)) {
        printf("%-9s none\n", label);
        return;
    }
    printf("%-9s %s (%s): %s%s%s, %lld neighbour%s, %lld record%s%s\n", label,
           text_of(overlay, "overlay"), text_of(overlay, "algorithm"),
           colour_on(state_colour(state)), state, colour_off(), neighbours, plural(neighbours),
           records, plural(records),
           json_is_false(json_object_get(overlay, "is_member")) ? ", as a client" : "");
}

/* On a node that can be no gateway there is nothing to say. */
static void
show_replicas(const json_t *replicas)
{
    const json_t *heirs = json_object_get(replicas, "heirs");
    long long calls = number_of(replicas, "calls"), copies = number_of(replicas, "copies");
    long long heir_count = (long long)json_array_size(heirs), pending = 0;
    bool is_moving = false;
    const json_t *heir;
    size_t i;

    if (!json_is_object(replicas))
        return;
    json_array_foreach(heirs, i, heir)
    {
        pending += number_of(heir, "pending");
        is_moving = is_moving || json_is_true(json_object_get(heir, "moving"));
    }
    printf("%-9s %lld call%s %s %lld heir%s, %s%lld pending%s; %lld cop%s held\n", "replicas",
           calls, plural(calls), is_moving ? "on the way to" : "at", heir_count, plural(heir_count),
           pending > 0 ? colour_on(COLOUR_WARN) : "", pending, pending > 0 ? colour_off() : "",
           copies, copies == 1 ? "y" : "ies");
}

static void
show_foreign(const json_t *foreign)
{
    const json_t *at;
    size_t i;

    json_array_foreach(foreign, i, at)
    {
        const json_t *seen = json_object_get(at, "seen_s");
        char ago[32];

        printf("%-9s %s is another overlay: %s%s%s\n", i == 0 ? "names" : "", text_of(at, "name"),
               json_is_integer(seen) ? "last seen " : "never seen",
               json_is_integer(seen) ? duration(number_of(at, "seen_s"), ago, sizeof(ago)) : "",
               json_is_integer(seen) ? " ago" : "");
    }
}

/* Those that end within two weeks, or have. */
static void
show_certificates(const json_t *certificates)
{
    enum { SHOWN_S = 14 * 86400 };
    const json_t *at;
    size_t i;

    json_array_foreach(certificates, i, at)
    {
        long long left_s = number_of(at, "left_s");
        char left[32];

        if (left_s > SHOWN_S)
            continue;
        printf("%-9s %sof %s %s%s%s\n", "certificate",
               colour_on(left_s > 0 ? COLOUR_WARN : COLOUR_BAD), text_of(at, "overlay"),
               left_s > 0 ? "ends in " : "has ended",
               left_s > 0 ? duration(left_s, left, sizeof(left)) : "", colour_off());
    }
}

void
show_status(const json_t *body)
{
    const json_t *node = json_object_get(body, "node");
    const json_t *election = json_object_get(body, "election");
    const json_t *sip = json_object_get(body, "sip");
    const json_t *ring = json_object_get(body, "ring");
    const char *role = text_of(election, "role");
    long long registrations = number_of(sip, "registrations"), calls = number_of(sip, "calls");
    char up[32];

    printf("%-9s %s%s%s at %s, Node-ID %s\n", "node", colour_on(COLOUR_BOLD), text_of(node, "name"),
           colour_off(), text_of(node, "address"), text_of(node, "node_id"));
    printf("%-9s Ringway %s, up %s%s%s\n", "daemon", text_of(node, "version"),
           duration(number_of(node, "uptime_s"), up, sizeof(up)),
           json_is_true(json_object_get(body, "draining")) ? ", draining" : "",
           json_is_true(json_object_get(body, "leaving")) ? ", leaving" : "");
    show_summary("local", json_object_get(body, "local"));
    show_summary("global", json_object_get(body, "global"));
    if (json_is_object(ring))
        printf("%-9s %lld member%s of other overlays, the last %lld ms ago; our entry is %s\n",
               "ring", number_of(ring, "members"), plural(number_of(ring, "members")),
               number_of(ring, "silent_ms"),
               json_is_true(json_object_get(ring, "published")) ? "there" : "not there");
    printf("%-9s %s%s%s, term %lld, score %lld of 1000\n", "election",
           colour_on(state_colour(role)), role, colour_off(), number_of(election, "term"),
           number_of(election, "score"));
    if (json_is_string(json_object_get(election, "trouble")))
        printf("%-9s %s%s%s\n", "trouble", colour_on(COLOUR_BAD), text_of(election, "trouble"),
               colour_off());
    show_foreign(json_object_get(body, "foreign"));
    show_certificates(json_object_get(body, "certificates"));
    printf("%-9s %lld registration%s, %lld call%s\n", "sip", registrations, plural(registrations),
           calls, plural(calls));
    show_replicas(json_object_get(body, "replicas"));
}

/* ---- election ---------------------------------------------------------------------------------
 */

static const char *const part_name[] = {"online", "bandwidth", "cpu",
                                        "calls",  "memory",    "preference"};
#define PART_COUNT (sizeof(part_name) / sizeof(part_name[0]))

static const char *
pin_of(const json_t *node)
{
    return json_is_true(json_object_get(node, "is_pinned")) ? " pinned" : "";
}

static enum colour
health_colour(const char *state)
{
    if (strcmp(state, "trusted") == 0)
        return COLOUR_GOOD;
    if (strcmp(state, "suspect") == 0)
        return COLOUR_WARN;
    return strcmp(state, "dead") == 0 ? COLOUR_BAD : COLOUR_DIM;
}

/* This node's HELLOs to a gateway. */
static void
show_health(struct table *t, const json_t *hello)
{
    const char *state = text_of(hello, "state");
    long long missed = number_of(hello, "missed");

    table_cell(t, health_colour(state), "%s", state[0] ? state : "-");
    milliseconds_cell(t, number_of(hello, "interval_ms") > 0 ? json_object_get(hello, "interval_ms")
                                                             : NULL);
    milliseconds_cell(t, json_object_get(hello, "rtt_ms"));
    table_cell(t, missed > 0 ? COLOUR_WARN : COLOUR_NONE, "%lld", missed);
    milliseconds_cell(t, json_object_get(hello, "last_ms"));
}

static void
show_gateways(const json_t *gateways)
{
    struct table *t =
        table_new("GATEWAY|ADDRESS|>SCORE|>TERM|SINCE|HELLO|>EVERY|>RTT|>MISSED|>LAST|"
                  "NODE-ID");
    const json_t *g;
    size_t i;

    json_array_foreach(gateways, i, g)
    {
        table_cell(t, COLOUR_GOOD, "%s%s", text_of(g, "name"),
                   json_is_true(json_object_get(g, "is_self")) ? " *" : "");
        table_cell(t, COLOUR_NONE, "%s", text_of(g, "address"));
        table_cell(t, COLOUR_NONE, "%lld%s", number_of(g, "score"), pin_of(g));
        table_cell(t, COLOUR_NONE, "%lld", number_of(g, "term"));
        table_cell(t, COLOUR_NONE, "%s", text_of(g, "since"));
        show_health(t, json_object_get(g, "hello"));
        table_cell(t, COLOUR_DIM, "%s", text_of(g, "node_id"));
    }
    if (json_array_size(gateways) == 0)
        printf("%sno active gateway is known%s\n", colour_on(COLOUR_BAD), colour_off());
    table_print(t);
    table_free(t);
}

static void
show_candidates(const json_t *candidates)
{
    struct table *t = table_new(">RANK|CANDIDATE|ADDRESS|>SCORE|>ONLINE|>BANDWIDTH|>CPU|>CALLS|"
                                ">MEMORY|>PREFERENCE|>HELLO RTT|>MISSED|>LAST");
    const json_t *c;
    size_t i;

    json_array_foreach(candidates, i, c)
    {
        const json_t *parts = json_object_get(c, "parts");
        const json_t *hello = json_object_get(c, "hello");
        long long missed = number_of(hello, "missed");

        table_cell(t, COLOUR_NONE, "%lld", number_of(c, "rank"));
        table_cell(t, COLOUR_NONE, "%s%s", text_of(c, "name"),
                   json_is_true(json_object_get(c, "is_self")) ? " *" : "");
        table_cell(t, COLOUR_NONE, "%s", text_of(c, "address"));
        table_cell(t, COLOUR_BOLD, "%lld%s", number_of(c, "score"), pin_of(c));
        for (size_t part = 0; part < PART_COUNT; part++)
            table_cell(t, COLOUR_NONE, "%lld", number_of(parts, part_name[part]));
        milliseconds_cell(t, json_object_get(hello, "rtt_ms"));
        table_cell(t, missed > 0 ? COLOUR_WARN : COLOUR_NONE, "%lld", missed);
        milliseconds_cell(t, json_object_get(hello, "last_ms"));
    }
    if (json_array_size(candidates) > 0)
        putchar('\n');
    table_print(t);
    table_free(t);
}

void
show_election(const json_t *body)
{
    const char *role = text_of(body, "role");

    long long late_ms = number_of(body, "late_ms");

    printf("Overlay %s, term %lld; this node (*) is %s%s%s, score %lld of 1000",
           text_of(body, "overlay"), number_of(body, "term"), colour_on(state_colour(role)), role,
           colour_off(), number_of(body, "score"));
    if (late_ms >= LATE_TOLD_MS)
        printf(", %sits timers come %lld ms late%s", colour_on(COLOUR_WARN), late_ms, colour_off());
    puts("\n");
    show_gateways(json_object_get(body, "gateways"));
    show_candidates(json_object_get(body, "candidates"));
}

/* Of steps that were not taken nothing is shown. */
static void
step_cell(struct table *t, const json_t *steps, const char *name)
{
    const json_t *value = json_object_get(steps, name);

    if (json_is_integer(value))
        table_cell(t, COLOUR_NONE, "%lld ms", (long long)json_integer_value(value));
    else
        table_cell(t, COLOUR_NONE, "%s", "");
}

static void
show_steps(struct table *t, const json_t *steps)
{
    bool is_reset = json_is_true(json_object_get(steps, "is_reset"));

    step_cell(t, steps, "silent_ms");
    if (number_of(steps, "probes_asked") > 0)
        table_cell(t, COLOUR_NONE, "%lld/%lld%s", number_of(steps, "probes_answered"),
                   number_of(steps, "probes_asked"), is_reset ? " reset" : "");
    else
        table_cell(t, COLOUR_NONE, "%s", is_reset ? "reset" : "");
    step_cell(t, steps, "probe_ms");
    step_cell(t, steps, "turn_ms");
    step_cell(t, steps, "answered_ms");
    step_cell(t, steps, "stored_ms");
    step_cell(t, steps, "ring_ms");
}

static void
show_lines(const json_t *body, size_t most)
{
    struct table *t =
        table_new("AT|>TERM|FROM|TO|>SILENT|PROBES|>VERDICT|>TURN|>HEARD|>STORED|>RING|"
                  "REASON");
    size_t count = json_array_size(body);

    for (size_t i = count > most ? count - most : 0; i < count; i++) {
        const json_t *line = json_array_get(body, i);

        table_cell(t, COLOUR_NONE, "%s", text_of(line, "at"));
        table_cell(t, COLOUR_NONE, "%lld", number_of(line, "term"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "from"));
        table_cell(t, state_colour(text_of(line, "to")), "%s", text_of(line, "to"));
        show_steps(t, json_object_get(line, "steps"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "reason"));
    }
    if (count == 0)
        puts("no transition yet");
    table_print(t);
    table_free(t);
}

void
show_history(const json_t *body)
{
    show_lines(body, json_array_size(body));
}

void
show_history_end(const json_t *body)
{
    putchar('\n');
    show_lines(body, HISTORY_END);
}

/* ---- overlay ----------------------------------------------------------------------------------
 */

static void
show_routes(const json_t *body)
{
    struct table *t = table_new("TABLE|>INDEX|NODE-ID|NOTE");
    const json_t *line;
    size_t i;

    json_array_foreach(json_object_get(body, "table"), i, line)
    {
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "table"));
        table_cell(t, COLOUR_NONE, "%lld", number_of(line, "index"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "node_id"));
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "note"));
    }
    if (i > 0)
        putchar('\n');
    table_print(t);
    table_free(t);
}

static void
show_neighbours(const json_t *body)
{
    struct table *t = table_new("NEIGHBOUR|ADDRESS|NODE-ID");
    const json_t *line;
    size_t i;

    json_array_foreach(json_object_get(body, "neighbour_nodes"), i, line)
    {
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "name"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "address"));
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "node_id"));
    }
    if (i > 0)
        putchar('\n');
    table_print(t);
    table_free(t);
}

static void
show_records(const json_t *body)
{
    struct table *t = table_new("RESOURCE|KIND|COPY|>EXPIRES|>BYTES|KEY");
    const json_t *held = json_object_get(body, "held");
    const json_t *line;
    char left[32];
    size_t i;

    json_array_foreach(held, i, line)
    {
        const char *copy = json_is_true(json_object_get(line, "is_replica")) ? "replica" : "own";

        if (json_is_false(json_object_get(line, "exists")))
            copy = "removed";
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "resource"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "kind"));
        table_cell(t, COLOUR_NONE, "%s", copy);
        table_cell(t, COLOUR_NONE, "%s",
                   duration(number_of(line, "expires_s"), left, sizeof(left)));
        table_cell(t, COLOUR_NONE, "%lld", number_of(line, "bytes"));
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "key"));
    }
    if (i > 0)
        putchar('\n');
    table_print(t);
    if ((long long)i < number_of(body, "records"))
        printf("and %lld more\n", number_of(body, "records") - (long long)i);
    table_free(t);
}

void
show_overlay(const json_t *body)
{
    const json_t *messages = json_object_get(body, "messages");

    show_summary("overlay", body);
    printf("%-9s %s, Node-ID %s\n", "node", text_of(body, "address"), text_of(body, "node_id"));
    printf("%-9s %lld passed on, %lld sent again, %lld without answer, %lld refused\n", "messages",
           number_of(messages, "forwarded"), number_of(messages, "retransmitted"),
           number_of(messages, "timeouts"), number_of(messages, "refused"));
    show_neighbours(body);
    show_routes(body);
    show_records(body);
}

/* ---- resolve, registrations, calls ------------------------------------------------------------
 */

void
show_resolve(const json_t *body)
{
    struct table *t = table_new(">HOP|NAME|ADDRESS|>RTT|NODE-ID");
    const json_t *line;
    size_t i;

    printf("%s is in overlay %s, found in %lld ms\n", text_of(body, "uri"),
           text_of(body, "overlay"), number_of(body, "elapsed_ms"));
    json_array_foreach(json_object_get(body, "contacts"), i, line)
    {
        printf("  %s%s%s\n", colour_on(COLOUR_BOLD), json_string_value(line), colour_off());
    }
    json_array_foreach(json_object_get(body, "hops"), i, line)
    {
        table_cell(t, COLOUR_NONE, "%zu", i + 1);
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "name"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "address"));
        milliseconds_cell(t, json_object_get(line, "rtt_ms"));
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "node_id"));
    }
    if (i > 0)
        putchar('\n');
    table_print(t);
    table_free(t);
}

void
show_registrations(const json_t *body)
{
    struct table *t = table_new("AOR|CONTACT|>EXPIRES|PATH");
    const json_t *line;
    char left[32];
    size_t i;

    json_array_foreach(body, i, line)
    {
        table_cell(t, COLOUR_BOLD, "%s", text_of(line, "aor"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "contact"));
        table_cell(t, COLOUR_NONE, "%s",
                   duration(number_of(line, "expires_s"), left, sizeof(left)));
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "path"));
    }
    if (json_array_size(body) == 0)
        puts("no registration");
    table_print(t);
    table_free(t);
}

static bool
is_true(const json_t *object, const char *key)
{
    return json_is_true(json_object_get(object, key));
}

void
show_calls(const json_t *body)
{
    struct table *t = table_new("CALL|FROM|TO|STATE|SINCE|SET UP BY");
    const json_t *line;
    size_t i;

    json_array_foreach(body, i, line)
    {
        table_cell(t, COLOUR_DIM, "%s", text_of(line, "id"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "from"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "to"));
        table_cell(t, state_colour(text_of(line, "state")), "%s", text_of(line, "state"));
        table_cell(t, COLOUR_NONE, "%s", text_of(line, "since"));
        table_cell(t, COLOUR_NONE, "%s%s%s",
                   is_true(line, "is_adopted") ? "another gateway" : "this node",
                   json_is_false(json_object_get(line, "is_replicated")) ? ", not replicated" : "",
                   is_true(line, "is_told") ? "" : ", its ends are being told");
    }
    if (json_array_size(body) == 0)
        puts("no call");
    table_print(t);
    table_free(t);
}
