#include <event2/buffer.h>

#include <stdio.h>

#include "base/text.h"
#include "gateway/control/control_internal.h"

#define PAGE_TEXT_BYTES 512

static const char page_head[] =
    "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
    "<meta http-equiv=\"refresh\" content=\"5\">"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>Ringway</title><style>"
    "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:56em;padding:0 1em}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.2em .8em .2em 0;"
    "border-bottom:1px solid #ccc}td.n,th.n{text-align:right}h2{margin-top:1.6em}"
    "code{font-size:90%}</style></head><body>\n";

/* Text of others into the page. */
static void
add_escaped(struct evbuffer *out, const char *of_others)
{
    char shown[PAGE_TEXT_BYTES];

    snprintf(shown, sizeof(shown), "%s", of_others);
    text_make_printable(shown);
    for (const char *text = shown; *text; text++) {
        if (*text == '<')
            evbuffer_add_printf(out, "&lt;");
        else if (*text == '&')
            evbuffer_add_printf(out, "&amp;");
        else if (*text == '"')
            evbuffer_add_printf(out, "&quot;");
        else if (*text == '>')
            evbuffer_add_printf(out, "&gt;");
        else if (*text == '\'')
            evbuffer_add_printf(out, "&#39;");
        else
            evbuffer_add(out, text, 1);
    }
}

static void
add_cell(struct evbuffer *out, const char *text)
{
    evbuffer_add_printf(out, "<td>");
    add_escaped(out, text);
    evbuffer_add_printf(out, "</td>");
}

static void
add_overlay(const struct control *c, struct evbuffer *out, enum node_overlay which)
{
    const struct peer *p = node_peer(c->source.node, which);

    if (!p)
        return;
    evbuffer_add_printf(out, "<tr>");
    add_cell(out, peer_conf_of(p)->overlay);
    add_cell(out, peer_conf_of(p)->topology->name);
    add_cell(out, peer_state_name(peer_state(p)));
    evbuffer_add_printf(out, "<td class=\"n\">%zu</td><td class=\"n\">%zu</td></tr>\n",
                        peer_neighbour_count(p), peer_record_count(p));
}

static void
add_gateways(const struct control *c, struct evbuffer *out)
{
    size_t count = 0;
    const struct election_gateway *gateway =
        election_gateways(node_election(c->source.node), &count);
    char since[REPORT_TIME_BYTES];

    evbuffer_add_printf(out, "<h2>Active gateways</h2><table><tr><th>name</th><th>address</th>"
                             "<th class=\"n\">score</th><th>since</th></tr>\n");
    for (size_t i = 0; i < count; i++) {
        evbuffer_add_printf(out, "<tr>");
        add_cell(out, gateway[i].ref.name);
        add_cell(out, gateway[i].ref.address);
        evbuffer_add_printf(out, "<td class=\"n\">%u</td>", (unsigned)score_bare(gateway[i].score));
        add_cell(out, report_time(gateway[i].since_wall_ms, since));
        evbuffer_add_printf(out, "</tr>\n");
    }
    evbuffer_add_printf(out, "</table>%s\n", count == 0 ? "<p>None is known.</p>" : "");
}

void
page_write(const struct control *c, struct evbuffer *out)
{
    const struct election *e = node_election(c->source.node);
    char id[ID_TEXT_BYTES];

    evbuffer_add(out, page_head, sizeof(page_head) - 1);
    evbuffer_add_printf(out, "<h1>");
    add_escaped(out, c->source.name);
    evbuffer_add_printf(out, "</h1><p>");
    add_escaped(out, c->source.address);
    evbuffer_add_printf(out,
                        ", Node-ID <code>%s</code>, Ringway %s, up %llu s</p>\n"
                        "<p>Role <b>%s</b>, term %u, score %u of 1000; %u registrations, "
                        "%u calls.</p>\n",
                        id_text(&c->source.id, id), c->source.version,
                        (unsigned long long)report_uptime_s(c),
                        election_role_name(election_role(e)), election_term(e),
                        (unsigned)election_score(e), c->registrations, c->calls);
    evbuffer_add_printf(out, "<h2>Overlays</h2><table><tr><th>overlay</th><th>algorithm</th>"
                             "<th>state</th><th class=\"n\">neighbours</th>"
                             "<th class=\"n\">records</th></tr>\n");
    for (enum node_overlay which = NODE_LOCAL; which < NODE_OVERLAYS; which++)
        add_overlay(c, out, which);
    evbuffer_add_printf(out, "</table>\n");
    add_gateways(c, out);
    evbuffer_add_printf(out, "<p><a href=\"/metrics\">metrics</a> "
                             "<a href=\"/v1/status\">status</a> "
                             "<a href=\"/v1/election\">election</a></p></body></html>\n");
}

void
page_bootstrap(const struct control *c, struct evbuffer *out)
{
    const struct peer *p = node_peer(c->source.node, NODE_LOCAL);
    struct node_ref ref[RING_NEIGHBOURS_MAX];
    size_t count = peer_neighbours(p, ref, RING_NEIGHBOURS_MAX);

    if (peer_is_member(p))
        evbuffer_add_printf(out, "%s\n", peer_conf_of(p)->self.address);
    for (size_t i = 0; i < count; i++)
        evbuffer_add_printf(out, "%s\n", ref[i].address);
}
