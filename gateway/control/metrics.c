#include <event2/buffer.h>

#include "base/text.h"
#include "gateway/control/control_internal.h"

/* Text format 0.0.4: every metric has its HELP and TYPE once, then its lines. */

static void
head(struct evbuffer *out, const char *name, const char *type, const char *help)
{
    evbuffer_add_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void
gauge(struct evbuffer *out, const char *name, const char *help, double value)
{
    head(out, name, "gauge", help);
    evbuffer_add_printf(out, "%s %.17g\n", name, value);
}

#define LABEL_BYTES (2 * OVERLAY_NAME_BYTES)

/* Names in labels are checked by the configuration; the format does not depend on that. */
static const char *
label(const char *text, char out[LABEL_BYTES])
{
    text_label(text, out, LABEL_BYTES);
    return out;
}

/** One number for each overlay this node is in. */
static void
of_overlays(const struct control *c, struct evbuffer *out, const char *name, const char *type,
            const char *help, uint64_t (*value)(const struct peer *p))
{
    head(out, name, type, help);
    for (enum node_overlay which = NODE_LOCAL; which < NODE_OVERLAYS; which++) {
        const struct peer *p = node_peer(c->source.node, which);
        char text[LABEL_BYTES];

        if (p)
            evbuffer_add_printf(out, "%s{overlay=\"%s\"} %llu\n", name,
                                label(peer_conf_of(p)->overlay, text),
                                (unsigned long long)value(p));
    }
}

static uint64_t
is_joined(const struct peer *p)
{
    return peer_state(p) == PEER_JOINED || peer_state(p) == PEER_ALONE;
}

static uint64_t
neighbours(const struct peer *p)
{
    return peer_neighbour_count(p);
}

static uint64_t
records(const struct peer *p)
{
    return peer_record_count(p);
}

static uint64_t
forwarded(const struct peer *p)
{
    return peer_counters_of(p)->forwarded;
}

static uint64_t
refused(const struct peer *p)
{
    return peer_counters_of(p)->refused;
}

static uint64_t
record_bytes(const struct peer *p)
{
    return peer_record_bytes(p);
}

static uint64_t
retransmitted(const struct peer *p)
{
    return peer_counters_of(p)->retransmitted;
}

static uint64_t
timeouts(const struct peer *p)
{
    return peer_counters_of(p)->timeouts;
}

static const uint64_t *
sent(const struct peer_counters *n)
{
    return n->sent;
}

static const uint64_t *
received(const struct peer_counters *n)
{
    return n->received;
}

static const uint64_t *
to_link(const struct peer_counters *n)
{
    return n->to_link;
}

static const uint64_t *
from_link(const struct peer_counters *n)
{
    return n->from_link;
}

/* Messages by RELOAD message code; code 0 stands for errors. */
static void
messages(const struct control *c, struct evbuffer *out, const char *name, const char *help,
         const uint64_t *(*of)(const struct peer_counters *n))
{
    head(out, name, "counter", help);
    for (enum node_overlay which = NODE_LOCAL; which < NODE_OVERLAYS; which++) {
        const struct peer *p = node_peer(c->source.node, which);
        const struct peer_counters *n = p ? peer_counters_of(p) : NULL;
        const uint64_t *by_code = n ? of(n) : NULL;
        char text[LABEL_BYTES];

        for (size_t code = 0; n && code < sizeof(n->sent) / sizeof(n->sent[0]); code++)
            if (by_code[code] > 0)
                evbuffer_add_printf(out, "%s{overlay=\"%s\",code=\"%zu\"} %llu\n", name,
                                    label(peer_conf_of(p)->overlay, text), code,
                                    (unsigned long long)by_code[code]);
    }
}

static void
election(const struct control *c, struct evbuffer *out)
{
    const struct election *e = node_election(c->source.node);
    struct ring_health h;
    const char *text;
    size_t count = 0;

    head(out, "ringway_election_role", "gauge", "1 for the role this node has.");
    for (enum election_role r = ELECTION_OBSERVER; r <= ELECTION_ACTIVE; r++)
        evbuffer_add_printf(out, "ringway_election_role{role=\"%s\"} %d\n", election_role_name(r),
                            election_role(e) == r);
    gauge(out, "ringway_election_term", "Term of the active gateways.", election_term(e));
    gauge(out, "ringway_election_score", "This node's score, 0 to 1000.", election_score(e));
    head(out, "ringway_election_trouble", "gauge", "1 for what keeps calls in the overlay.");
    for (enum election_trouble t = ELECTION_FINE + 1; t <= ELECTION_UNCERTIFIED; t++)
        evbuffer_add_printf(out, "ringway_election_trouble{kind=\"%s\"} %d\n",
                            election_trouble_name(t), election_trouble(e, &text) == t);
    h = node_ring_health(c->source.node, c->source.now(c->source.ctx));
    gauge(out, "ringway_ring_members", "Ring members of other overlays that answer.", h.members);
    if (h.silent_ms != RING_SILENT_EVER)
        gauge(out, "ringway_ring_silent_seconds", "Since one of them answered.",
              h.silent_ms / 1000.0);
    nested_names(node_nested(c->source.node), &count);
    gauge(out, "ringway_names_foreign", "Names of other overlays inside this one's.",
          (double)count);
    election_gateways(e, &count);
    gauge(out, "ringway_election_gateways", "Active gateways, as this node knows them.",
          (double)count);
}

static void
certificates(const struct control *c, struct evbuffer *out)
{
    uint64_t now_ms = c->source.now(c->source.ctx).wall_ms;
    char text[LABEL_BYTES];

    head(out, "ringway_certificate_seconds", "gauge",
         "Until this node's certificate ends; negative: it has.");
    for (int which = 0; which < NODE_OVERLAYS; which++) {
        const struct peer *p = node_peer(c->source.node, (enum node_overlay)which);
        if (p && c->certificate_until_ms[which] > 0)
            evbuffer_add_printf(out, "ringway_certificate_seconds{overlay=\"%s\"} %lld\n",
                                label(peer_conf_of(p)->overlay, text),
                                ((long long)c->certificate_until_ms[which] - (long long)now_ms) /
                                    1000);
    }
}

static void
counter(struct evbuffer *out, const char *name, const char *help, uint64_t value)
{
    head(out, name, "counter", help);
    evbuffer_add_printf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* Nothing on a node that can be no gateway. */
static void
replicas(const struct control *c, struct evbuffer *out)
{
    struct replica_report r;
    size_t pending = 0;

    if (!node_replica_report(c->source.node, c->source.now(c->source.ctx), &r))
        return;
    for (size_t i = 0; i < r.heir_count; i++)
        pending += r.heir[i].pending;
    gauge(out, "ringway_replica_calls", "Calls of this gateway that have, or get, copies.",
          (double)r.calls);
    gauge(out, "ringway_replica_not_replicated",
          "Calls of this gateway that are too large to be copied.",
          (double)c->counters.not_replicated);
    gauge(out, "ringway_replica_copies", "Calls of other gateways held here.", (double)r.copies);
    gauge(out, "ringway_replica_pending", "Changes of calls that stand-bys do not hold yet.",
          (double)pending);
    counter(out, "ringway_replica_adopted_total", "Calls taken over from other gateways.",
            r.adopted);
    counter(out, "ringway_replica_released_total", "Calls given to other gateways.", r.released);
}

static void
values_refused(const struct control *c, struct evbuffer *out)
{
    static const char *const reasons[PEER_REFUSALS] = {
        [PEER_REFUSED_SHARE] = "share",       [PEER_REFUSED_SIZE] = "size",
        [PEER_REFUSED_PLACE] = "place",       [PEER_REFUSED_TIME] = "time",
        [PEER_REFUSED_STRANGERS] = "replica", [PEER_REFUSED_LIFETIME] = "lifetime"};

    head(out, "ringway_values_refused_total", "counter",
         "Values not stored here, or for a shorter time than asked (lifetime), by reason.");
    for (enum node_overlay which = NODE_LOCAL; which < NODE_OVERLAYS; which++) {
        const struct peer *p = node_peer(c->source.node, which);

        for (enum peer_refusal r = 0; p && r < PEER_REFUSALS; r++)
            evbuffer_add_printf(out,
                                "ringway_values_refused_total{overlay=\"%s\",reason=\"%s\"} %llu\n",
                                peer_conf_of(p)->overlay, reasons[r],
                                (unsigned long long)peer_values_refused(p, r));
    }
}

/* What others made to the SIP ports. */
static void
connections(const struct control *c, struct evbuffer *out)
{
    static const char *const side[BRIDGE_SIDES] = {"phones", "peers", "gateways"};

    head(out, "ringway_sip_connections", "gauge", "SIP connections others made, by side.");
    for (size_t i = 0; i < BRIDGE_SIDES; i++)
        evbuffer_add_printf(out, "ringway_sip_connections{side=\"%s\"} %llu\n", side[i],
                            (unsigned long long)c->counters.connections[i]);
    head(out, "ringway_sip_connections_refused_total", "counter",
         "SIP connections closed as there were too many, by side.");
    for (size_t i = 0; i < BRIDGE_SIDES; i++)
        evbuffer_add_printf(out, "ringway_sip_connections_refused_total{side=\"%s\"} %llu\n",
                            side[i], (unsigned long long)c->counters.connections_refused[i]);
}

void
metrics_write(const struct control *c, struct evbuffer *out)
{
    char text[LABEL_BYTES];

    head(out, "ringway_info", "gauge", "Name and version of this node.");
    evbuffer_add_printf(out, "ringway_info{node=\"%s\",version=\"%s\"} 1\n",
                        label(c->source.name, text), c->source.version);
    gauge(out, "ringway_uptime_seconds", "Time since the daemon started.",
          (double)report_uptime_s(c));
    gauge(out, "ringway_calls", "Calls up on this node.", c->calls);
    gauge(out, "ringway_registrations", "Addresses of record this node serves.", c->registrations);
    gauge(out, "ringway_sip_finished", "Finished SIP transactions that are remembered.",
          (double)c->counters.finished);
    gauge(out, "ringway_sip_unacknowledged", "Final responses to INVITEs without an ACK so far.",
          (double)c->counters.unacknowledged);
    counter(out, "ringway_sip_responses_lost_total", "SIP responses that could not be sent.",
            c->counters.responses_lost);
    counter(out, "ringway_sip_unanswerable_total",
            "SIP requests discarded, as no response could reach their sender.",
            c->counters.unanswerable);
    counter(out, "ringway_sip_phones_cancelled_total",
            "INVITEs cancelled at a phone that rang, in place of its serving peer, which was lost.",
            c->counters.phones_cancelled);
    counter(out, "ringway_sip_phones_left_ringing_total",
            "INVITEs that no CANCEL could end when the serving peer of the phone was lost.",
            c->counters.phones_left_ringing);
    connections(c, out);
    certificates(c, out);
    election(c, out);
    replicas(c, out);
    of_overlays(c, out, "ringway_overlay_joined", "gauge", "1 while joined or alone.", is_joined);
    of_overlays(c, out, "ringway_overlay_neighbours", "gauge", "Nodes in the routing tables.",
                neighbours);
    of_overlays(c, out, "ringway_overlay_records", "gauge", "Values held, replicas included.",
                records);
    of_overlays(c, out, "ringway_overlay_record_bytes", "gauge",
                "Bytes of the values held, with signatures and certificates.", record_bytes);
    values_refused(c, out);
    messages(c, out, "ringway_messages_sent_total", "RELOAD messages sent, by message code.", sent);
    messages(c, out, "ringway_messages_received_total",
             "RELOAD messages that ended here, by message code.", received);
    messages(c, out, "ringway_link_messages_sent_total",
             "RELOAD messages given to links, those passed on included, by message code.", to_link);
    messages(c, out, "ringway_link_messages_received_total",
             "RELOAD messages that came from links, by message code.", from_link);
    of_overlays(c, out, "ringway_messages_forwarded_total", "counter", "RELOAD messages passed on.",
                forwarded);
    of_overlays(c, out, "ringway_messages_refused_total", "counter",
                "RELOAD messages dropped as malformed, foreign or badly signed.", refused);
    of_overlays(c, out, "ringway_messages_retransmitted_total", "counter", "Requests sent again.",
                retransmitted);
    of_overlays(c, out, "ringway_request_timeouts_total", "counter",
                "Requests that had no answer in time.", timeouts);
}
