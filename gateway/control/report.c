#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "gateway/control/control_internal.h"

#define HISTORY_MAX   1000
#define CANDIDATE_MAX ELECTION_CANDIDATES_MAX

char *
report_time(uint64_t wall_ms, char out[REPORT_TIME_BYTES])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    size_t used = 0;

    if (gmtime_r(&seconds, &utc))
        used = strftime(out, REPORT_TIME_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(out + used, REPORT_TIME_BYTES - used, ".%03uZ", (unsigned)(wall_ms % 1000));
    return out;
}

static json_t *
time_json(uint64_t wall_ms)
{
    char text[REPORT_TIME_BYTES];

    return json_string(report_time(wall_ms, text));
}

static json_t *
id_json(const struct id *id)
{
    char text[ID_TEXT_BYTES];

    return json_string(id_text(id, text));
}

json_t *
text_json(const char *text)
{
    json_t *json = json_string(text);
    char *shown = json ? NULL : strdup(text);

    if (shown) {
        text_make_printable(shown);
        json = json_string(shown);
        free(shown);
    }
    return json ? json : json_string("?");
}

static json_t *
milliseconds_json(uint32_t ms)
{
    return ms == ELECTION_UNKNOWN_MS ? json_null() : json_integer(ms);
}

uint64_t
report_uptime_s(const struct control *c)
{
    return (c->source.now(c->source.ctx).mono_ms - c->source.started.mono_ms) / 1000;
}

/* ---- nodes
 * ---------------------------------------------------------------------------------------
 */

/* What is not known of a node otherwise is known of it as a candidate, or as a gateway. */
static void
name_node(struct node_ref *ref, const struct node_ref *known)
{
    if (!id_equal(&ref->node, &known->node))
        return;
    if (!ref->name[0])
        memcpy(ref->name, known->name, sizeof(ref->name));
    if (!ref->address[0])
        memcpy(ref->address, known->address, sizeof(ref->address));
}

static void
name_nodes(const struct control *c, struct node_ref *ref, size_t count)
{
    static struct election_candidate candidate[CANDIDATE_MAX]; /* the overlay thread's alone */
    const struct election *e = node_election(c->source.node);
    size_t known = election_candidates(e, c->source.now(c->source.ctx), candidate, CANDIDATE_MAX);
    size_t active = 0;
    const struct election_gateway *gateway = election_gateways(e, &active);

    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < known; j++)
            name_node(&ref[i], &candidate[j].ref);
        for (size_t j = 0; j < active; j++)
            name_node(&ref[i], &gateway[j].ref);
    }
}

/* ---- copies of calls --------------------------------------------------------------------------
 */

static json_t *
heir_json(const struct control *c, const struct replica_heir *h)
{
    struct node_ref ref = {.node = h->node};

    name_nodes(c, &ref, 1);
    return json_pack("{s:o, s:o, s:o, s:b, s:I, s:o, s:I}", "node_id", id_json(&ref.node), "name",
                     text_json(ref.name), "address", text_json(ref.address), "moving", h->is_moving,
                     "pending", (json_int_t)h->pending, "last_ms", milliseconds_json(h->last_ms),
                     "round_ms", (json_int_t)h->round_ms);
}

/* null on a node that can be no gateway. */
static json_t *
replicas_json(const struct control *c)
{
    struct replica_report report;
    json_t *heirs;

    if (!node_replica_report(c->source.node, c->source.now(c->source.ctx), &report))
        return json_null();
    heirs = json_array();
    for (size_t i = 0; heirs && i < report.heir_count; i++)
        json_array_append_new(heirs, heir_json(c, &report.heir[i]));
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "calls", (json_int_t)report.calls,
                     "not_replicated", (json_int_t)c->counters.not_replicated, "copies",
                     (json_int_t)report.copies, "copy_bytes", (json_int_t)report.copy_bytes,
                     "adopted", (json_int_t)report.adopted, "released", (json_int_t)report.released,
                     "heirs", heirs);
}

/* ---- status -----------------------------------------------------------------------------------
 */

static json_t *
overlay_summary(struct control *c, enum node_overlay which)
{
    const struct peer *p = node_peer(c->source.node, which);

    if (!p)
        return json_null();
    return json_pack("{s:s, s:s, s:s, s:b, s:I, s:I}", "overlay", peer_conf_of(p)->overlay,
                     "algorithm", peer_conf_of(p)->topology->name, "state",
                     peer_state_name(peer_state(p)), "is_member", peer_is_member(p), "neighbours",
                     (json_int_t)peer_neighbour_count(p), "records",
                     (json_int_t)peer_record_count(p));
}

/* null where all is well. */
static json_t *
trouble_json(const struct election *e)
{
    const char *text;

    return election_trouble(e, &text) == ELECTION_FINE ? json_null() : text_json(text);
}

/* Is there a gateway for calls that leave the overlay? */
static bool
is_served(const struct election *e)
{
    size_t count = 0;
    const char *text;

    election_gateways(e, &count);
    return count > 0 && election_trouble(e, &text) == ELECTION_FINE;
}

/* Of the ring: null on a node that has asked none of its members. */
static json_t *
ring_json(const struct control *c)
{
    struct ring_health h = node_ring_health(c->source.node, c->source.now(c->source.ctx));

    if (h.silent_ms == RING_SILENT_EVER)
        return json_null();
    return json_pack("{s:i, s:I, s:b}", "members", (int)h.members, "silent_ms",
                     (json_int_t)h.silent_ms, "published", node_is_published(c->source.node));
}

/* Names of other overlays inside ours; seen_s: since its last entry, null where it is configured
 * and was never seen. */
static json_t *
foreign_json(const struct control *c)
{
    uint64_t now_ms = c->source.now(c->source.ctx).wall_ms;
    json_t *all = json_array();
    size_t count;
    const struct nested_name *name = nested_names(node_nested(c->source.node), &count);

    for (size_t i = 0; i < count; i++) {
        uint64_t seen_ms = name[i].seen_wall_ms;
        json_t *seen =
            seen_ms ? json_integer(now_ms > seen_ms ? (now_ms - seen_ms) / 1000 : 0) : json_null();
        json_array_append_new(all, json_pack("{s:o, s:o, s:b}", "name", text_json(name[i].name),
                                             "seen_s", seen, "configured", name[i].is_configured));
    }
    return all;
}

static json_t *
certificates_json(const struct control *c)
{
    uint64_t now_ms = c->source.now(c->source.ctx).wall_ms;
    json_t *all = json_array();

    for (int which = 0; which < NODE_OVERLAYS; which++) {
        uint64_t until_ms = c->certificate_until_ms[which];
        if (until_ms == 0)
            continue;
        json_array_append_new(
            all,
            json_pack(
                "{s:o, s:o, s:I}", "overlay",
                text_json(
                    peer_conf_of(node_peer(c->source.node, (enum node_overlay)which))->overlay),
                "ends", time_json(until_ms), "left_s",
                ((json_int_t)until_ms - (json_int_t)now_ms) / 1000));
    }
    return all;
}

json_t *
report_status(const struct control *c)
{
    const struct control_source *s = &c->source;
    const struct election *e = node_election(s->node);

    return json_pack("{s:{s:s, s:s, s:o, s:s, s:I}, s:o, s:{s:s, s:I, s:i, s:b, s:o}, s:o, s:o, "
                     "s:{s:I, s:I}, s:o, s:o, s:o, s:b, s:b}",
                     "node", "name", s->name, "address", s->address, "node_id", id_json(&s->id),
                     "version", s->version, "uptime_s", (json_int_t)report_uptime_s(c), "local",
                     overlay_summary((struct control *)c, NODE_LOCAL), "election", "role",
                     election_role_name(election_role(e)), "term", (json_int_t)election_term(e),
                     "score", (int)election_score(e), "served", is_served(e), "trouble",
                     trouble_json(e), "global", overlay_summary((struct control *)c, NODE_GLOBAL),
                     "ring", ring_json(c), "sip", "registrations", (json_int_t)c->registrations,
                     "calls", (json_int_t)c->calls, "foreign", foreign_json(c), "certificates",
                     certificates_json(c), "replicas", replicas_json(c), "draining", c->is_draining,
                     "leaving", c->is_leaving);
}

/* ---- election ---------------------------------------------------------------------------------
 */

static json_t *
gateway_json(const struct election_gateway *g)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:o, s:I, s:i, s:i, s:o, s:b, s:b}", "node_id",
                     id_json(&g->ref.node), "name", text_json(g->ref.name), "address",
                     text_json(g->ref.address), "score", (int)score_bare(g->score), "since",
                     time_json(g->since_wall_ms), "term", (json_int_t)g->term, "priority",
                     (int)g->priority, "weight", (int)g->weight, "sip_uri", text_json(g->sip_uri),
                     "is_self", g->is_self, "is_pinned", (g->score & SCORE_PINNED) != 0);
}

/* What this node's own HELLOs tell of a gateway. */
static json_t *
health_json(const struct election *e, struct moment now, size_t at)
{
    struct election_health h;

    election_health(e, now, at, &h);
    return json_pack("{s:s, s:I, s:o, s:I, s:o}", "state", h.state, "interval_ms",
                     (json_int_t)h.interval_ms, "rtt_ms", milliseconds_json(h.rtt_ms), "missed",
                     (json_int_t)h.missed, "last_ms", milliseconds_json(h.last_ms));
}

static json_t *
gateways_json(const struct control *c, const struct election_gateway *gateway, size_t count)
{
    struct moment now = c->source.now(c->source.ctx);
    json_t *all = json_array();

    for (size_t i = 0; all && i < count; i++) {
        json_t *one = gateway_json(&gateway[i]);
        json_object_set_new(one, "hello", health_json(node_election(c->source.node), now, i));
        json_array_append_new(all, one);
    }
    return all;
}

static json_t *
parts_json(const uint16_t part[SCORE_PARTS])
{
    json_t *parts = json_object();

    for (int i = 0; parts && i < SCORE_PARTS; i++)
        json_object_set_new(parts, score_part_name((enum score_part)i), json_integer(part[i]));
    return parts;
}

static json_t *
candidate_json(const struct election_candidate *c)
{
    return json_pack("{s:I, s:o, s:o, s:o, s:o, s:i, s:o, s:{s:o, s:I, s:o}, s:b, s:b}", "rank",
                     (json_int_t)c->rank, "node_id", id_json(&c->ref.node), "name",
                     text_json(c->ref.name), "address", text_json(c->ref.address), "global_address",
                     text_json(c->global_address), "score", (int)c->score, "parts",
                     parts_json(c->part), "hello", "rtt_ms", milliseconds_json(c->rtt_ms), "missed",
                     (json_int_t)c->missed, "last_ms", milliseconds_json(c->last_ms), "is_self",
                     c->is_self, "is_pinned", c->is_pinned);
}

static json_t *
candidates_json(const struct control *c)
{
    static struct election_candidate candidate[CANDIDATE_MAX]; /* the overlay thread's alone */
    size_t count = election_candidates(node_election(c->source.node), c->source.now(c->source.ctx),
                                       candidate, CANDIDATE_MAX);
    json_t *all = json_array();

    for (size_t i = 0; all && i < count; i++)
        json_array_append_new(all, candidate_json(&candidate[i]));
    return all;
}

json_t *
report_election(const struct control *c)
{
    const struct election *e = node_election(c->source.node);
    const struct peer *local = node_peer(c->source.node, NODE_LOCAL);
    size_t count = 0;
    const struct election_gateway *gateway = election_gateways(e, &count);

    return json_pack("{s:s, s:I, s:s, s:i, s:I, s:o, s:o, s:o, s:o}", "overlay",
                     peer_conf_of(local)->overlay, "term", (json_int_t)election_term(e), "role",
                     election_role_name(election_role(e)), "score", (int)election_score(e),
                     "late_ms", (json_int_t)election_late_ms(e), "active",
                     count > 0 ? gateway_json(&gateway[0]) : json_null(), "gateways",
                     gateways_json(c, gateway, count), "candidates", candidates_json(c), "replicas",
                     replicas_json(c));
}

static json_t *
steps_json(const struct election_steps *s)
{
    return json_pack("{s:o, s:b, s:o, s:i, s:i, s:o, s:o, s:o, s:o, s:o}", "gateway",
                     s->gateway[0] ? text_json(s->gateway) : json_null(), "is_reset", s->is_reset,
                     "silent_ms", milliseconds_json(s->silent_ms), "probes_asked",
                     (int)s->probes_asked, "probes_answered", (int)s->probes_answered, "probe_ms",
                     milliseconds_json(s->probe_ms), "turn_ms", milliseconds_json(s->turn_ms),
                     "answered_ms", milliseconds_json(s->answered_ms), "stored_ms",
                     milliseconds_json(s->stored_ms), "ring_ms", milliseconds_json(s->ring_ms));
}

json_t *
report_history(const struct control *c)
{
    struct election_transition *line = calloc(HISTORY_MAX, sizeof(*line));
    size_t count = 0;
    json_t *all = json_array();

    if (line && c->source.history)
        count = c->source.history(c->source.ctx, line, HISTORY_MAX);
    else if (line)
        count = election_history(node_election(c->source.node), line, HISTORY_MAX);
    for (size_t i = 0; all && i < count; i++)
        json_array_append_new(
            all,
            json_pack("{s:o, s:I, s:s, s:s, s:o, s:o}", "at", time_json(line[i].at_wall_ms), "term",
                      (json_int_t)line[i].term, "from", election_role_name(line[i].from), "to",
                      election_role_name(line[i].to), "reason", text_json(line[i].reason), "steps",
                      steps_json(&line[i].steps)));
    free(line);
    return all;
}

/* ---- an overlay -------------------------------------------------------------------------------
 */

static void
add_table_line(void *ctx, const struct topology_dump *line)
{
    json_array_append_new(ctx, json_pack("{s:s, s:I, s:o, s:o}", "table", line->table, "index",
                                         (json_int_t)line->index, "node_id", id_json(&line->node),
                                         "note", text_json(line->note)));
}

static json_t *
key_json(struct slice key)
{
    char hex[2 * ID_BYTES + 1] = "";
    size_t len = key.len < ID_BYTES ? key.len : ID_BYTES;

    for (size_t i = 0; i < len; i++)
        snprintf(hex + 2 * i, 3, "%02x", key.data[i]);
    return json_string(hex);
}

struct records {
    json_t *lines;
    uint64_t now_wall_ms;
};

static void
add_record(void *ctx, const struct peer_record_line *line)
{
    struct records *r = ctx;
    const struct kind *kind = kind_find(line->kind);
    uint64_t left_ms = 0;

    if (json_array_size(r->lines) >= REPORT_RECORDS_MAX)
        return;
    if (line->expires_at_wall_ms > r->now_wall_ms)
        left_ms = line->expires_at_wall_ms - r->now_wall_ms;
    json_array_append_new(
        r->lines, json_pack("{s:o, s:s, s:I, s:o, s:b, s:b, s:I, s:I}", "resource",
                            id_json(&line->resource), "kind", kind ? kind->name : "?", "kind_id",
                            (json_int_t)line->kind, "key", key_json(line->key), "exists",
                            line->exists, "is_replica", line->is_replica, "expires_s",
                            (json_int_t)(left_ms / 1000), "bytes", (json_int_t)line->value_bytes));
}

static json_t *
neighbours_json(const struct control *c, const struct peer *p)
{
    static struct node_ref ref[REPORT_NEIGHBOUR_MAX]; /* the overlay thread's alone */
    size_t count = peer_neighbours(p, ref, REPORT_NEIGHBOUR_MAX);
    json_t *all = json_array();

    name_nodes(c, ref, count);
    for (size_t i = 0; all && i < count; i++)
        json_array_append_new(all, json_pack("{s:o, s:o, s:o}", "node_id", id_json(&ref[i].node),
                                             "name", text_json(ref[i].name), "address",
                                             text_json(ref[i].address)));
    return all;
}

static json_t *
counters_json(const struct peer *p)
{
    const struct peer_counters *n = peer_counters_of(p);

    return json_pack("{s:I, s:I, s:I, s:I}", "forwarded", (json_int_t)n->forwarded, "refused",
                     (json_int_t)n->refused, "retransmitted", (json_int_t)n->retransmitted,
                     "timeouts", (json_int_t)n->timeouts);
}

json_t *
report_overlay(const struct control *c, enum node_overlay which)
{
    const struct peer *p = node_peer(c->source.node, which);
    struct records records = {json_array(), c->source.now(c->source.ctx).wall_ms};
    json_t *table = json_array();
    json_t *all = overlay_summary((struct control *)c, which);

    if (!all || !table || !records.lines) {
        json_decref(all);
        json_decref(table);
        json_decref(records.lines);
        return NULL;
    }
    peer_dump(p, add_table_line, table);
    peer_records(p, add_record, &records);
    json_object_set_new(all, "node_id", id_json(&peer_conf_of(p)->self.node));
    json_object_set_new(all, "address", text_json(peer_conf_of(p)->self.address));
    json_object_set_new(all, "neighbour_nodes", neighbours_json(c, p));
    json_object_set_new(all, "table", table);
    json_object_set_new(all, "held", records.lines);
    json_object_set_new(all, "messages", counters_json(p));
    return all;
}

/* ---- what the SIP thread told -----------------------------------------------------------------
 */

json_t *
report_registrations(const struct bridge_message *m)
{
    json_t *all = json_array();

    for (size_t i = 0; all && i < m->count; i++)
        json_array_append_new(all, json_pack("{s:o, s:o, s:I, s:o}", "aor",
                                             text_json(m->registration[i].aor), "contact",
                                             text_json(m->registration[i].contact), "expires_s",
                                             (json_int_t)m->registration[i].expires_s, "path",
                                             text_json(m->registration[i].path)));
    return all;
}

json_t *
report_calls(const struct bridge_message *m)
{
    json_t *all = json_array();

    for (size_t i = 0; all && i < m->count; i++)
        json_array_append_new(
            all,
            json_pack("{s:o, s:o, s:o, s:o, s:o, s:b, s:b, s:b}", "id", text_json(m->call[i].id),
                      "from", text_json(m->call[i].from), "to", text_json(m->call[i].to), "state",
                      text_json(m->call[i].state), "since", time_json(m->call[i].since_wall_ms),
                      "is_adopted", m->call[i].is_adopted, "is_told", m->call[i].is_told,
                      "is_replicated", m->call[i].is_replicated));
    return all;
}
