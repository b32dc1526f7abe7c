#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/control/control_internal.h"
#include "gateway/control/host.h"

/* ---- answers ----------------------------------------------------------------------------------
 */

static void
answer(struct evhttp_request *request, int code, const char *type, struct evbuffer *body)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    evhttp_add_header(headers, "Content-Type", type);
    evhttp_add_header(headers, "Cache-Control", "no-store");
    evhttp_add_header(headers, "X-Content-Type-Options", "nosniff");
    if (evhttp_request_get_command(request) == EVHTTP_REQ_HEAD) {
        /* RFC 9110 section 9.3.2: as GET, without the content, which the library would send */
        char bytes[24];

        snprintf(bytes, sizeof(bytes), "%zu", evbuffer_get_length(body));
        evhttp_add_header(headers, "Content-Length", bytes);
        body = NULL;
    }
    evhttp_send_reply(request, code, NULL, body);
}

void
answer_text(struct evhttp_request *request, const char *type, struct evbuffer *body)
{
    answer(request, 200, type, body);
}

void
answer_json(struct evhttp_request *request, int code, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    struct evbuffer *out = text ? evbuffer_new() : NULL;

    if (out && evbuffer_add(out, text, strlen(text)) == 0 && evbuffer_add(out, "\n", 1) == 0)
        answer(request, code, "application/json", out);
    else
        evhttp_send_reply(request, HTTP_INTERNAL, NULL, NULL);
    if (out)
        evbuffer_free(out);
    free(text);
    json_decref(body);
}

static int
http_code(enum status st)
{
    switch (st) {
    case ST_NOT_FOUND:
        return 404;
    case ST_MALFORMED:
    case ST_RANGE:
    case ST_TOO_LARGE:
        return 400;
    case ST_FORBIDDEN:
        return 403;
    case ST_STATE:
    case ST_EXISTS:
    case ST_IN_PROGRESS:
    case ST_CONFIG:
        return 409;
    case ST_UNSUPPORTED:
        return 501;
    case ST_TIMEOUT:
        return 504;
    case ST_LIMIT:
    case ST_UNREACHABLE:
        return 503;
    default:
        return 500;
    }
}

void
answer_status(struct evhttp_request *request, enum status st, const char *text)
{
    answer_json(request, http_code(st),
                json_pack("{s:s, s:i}", "error", text[0] ? text : status_text(st), "code",
                          status_number(st)));
}

/* ---- what is only looked at -------------------------------------------------------------------
 */

static void
get_status(struct control *c, struct evhttp_request *request)
{
    answer_json(request, 200, report_status(c));
}

static void
get_election(struct control *c, struct evhttp_request *request)
{
    answer_json(request, 200, report_election(c));
}

static void
get_history(struct control *c, struct evhttp_request *request)
{
    answer_json(request, 200, report_history(c));
}

static void
get_local(struct control *c, struct evhttp_request *request)
{
    answer_json(request, 200, report_overlay(c, NODE_LOCAL));
}

static void
get_global(struct control *c, struct evhttp_request *request)
{
    if (!node_peer(c->source.node, NODE_GLOBAL))
        answer_status(request, ST_NOT_FOUND, "this node has no global overlay");
    else
        answer_json(request, 200, report_overlay(c, NODE_GLOBAL));
}

static void
answer_page(struct control *c, struct evhttp_request *request, const char *type,
            void (*write)(const struct control *c, struct evbuffer *out))
{
    struct evbuffer *out = evbuffer_new();

    if (!out) {
        answer_status(request, ST_NOMEM, "");
        return;
    }
    write(c, out);
    answer_text(request, type, out);
    evbuffer_free(out);
}

static void
get_metrics(struct control *c, struct evhttp_request *request)
{
    answer_page(c, request, "text/plain; version=0.0.4; charset=utf-8", metrics_write);
}

static void
get_page(struct control *c, struct evhttp_request *request)
{
    answer_page(c, request, "text/html; charset=utf-8", page_write);
}

static void
get_bootstrap(struct control *c, struct evhttp_request *request)
{
    answer_page(c, request, "text/plain; charset=utf-8", page_bootstrap);
}

/* ---- what others have to answer ---------------------------------------------------------------
 */

static void
ask_sip(struct control *c, struct evhttp_request *request, enum bridge_query what)
{
    struct waiting *w = waiting_new(c, request);

    if (w && !c->source.query(c->source.ctx, what, w->token))
        waiting_refuse(w, ST_STATE, "the SIP side does not run");
}

static void
get_registrations(struct control *c, struct evhttp_request *request)
{
    ask_sip(c, request, BRIDGE_QUERY_REGISTRATIONS);
}

static void
get_calls(struct control *c, struct evhttp_request *request)
{
    ask_sip(c, request, BRIDGE_QUERY_CALLS);
}

static bool
is_no(const struct evkeyvalq *parameters, const char *name)
{
    const char *value = evhttp_find_header(parameters, name);

    return value && strcmp(value, "no") == 0;
}

static void
get_resolve(struct control *c, struct evhttp_request *request)
{
    const char *query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request));
    struct evkeyvalq parameters;
    const char *uri;

    if (evhttp_parse_query_str(query ? query : "", &parameters) != 0) {
        answer_status(request, ST_MALFORMED, "the query cannot be read");
        return;
    }
    uri = evhttp_find_header(&parameters, "uri");
    if (uri)
        resolve_begin(c, request, uri, is_no(&parameters, "cache"), !is_no(&parameters, "hops"));
    else
        answer_status(request, ST_MALFORMED, "uri=URI is missing");
    evhttp_clear_headers(&parameters);
}

/* ---- what changes something -------------------------------------------------------------------
 */

/* The request's body as an object; an empty body is an empty object; NULL (answered) otherwise. */
static json_t *
body_object(struct evhttp_request *request)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(request);
    size_t len = evbuffer_get_length(in);
    json_t *body = NULL;

    if (len == 0)
        body = json_object();
    else
        body = json_loadb((const char *)evbuffer_pullup(in, -1), len, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(body)) {
        json_decref(body);
        answer_status(request, ST_MALFORMED, "the body is no JSON object");
        return NULL;
    }
    return body;
}

static void
answer_done(struct evhttp_request *request, enum status st, const struct why *why)
{
    if (st == ST_OK)
        answer_json(request, 200, json_pack("{s:s}", "result", "ok"));
    else
        answer_status(request, st, why->text);
}

static void
post_handover(struct control *c, struct evhttp_request *request)
{
    json_t *body = body_object(request);
    json_t *node = body ? json_object_get(body, "node") : NULL;
    struct why why = {""};
    enum status st;

    if (!body)
        return;
    if (node && !json_is_string(node)) {
        answer_status(request, ST_MALFORMED, "node: found no string");
    } else {
        st = election_handover(node_election(c->source.node), c->source.now(c->source.ctx),
                               json_string_value(node), &why);
        c->source.touched(c->source.ctx);
        answer_done(request, st, &why);
    }
    json_decref(body);
}

static void
post_reset_term(struct control *c, struct evhttp_request *request)
{
    struct why why = {""};
    enum status st =
        election_reset_term(node_election(c->source.node), c->source.now(c->source.ctx), &why);

    c->source.touched(c->source.ctx);
    answer_done(request, st, &why);
}

static void
do_request(struct control *c, struct evhttp_request *request,
           enum status (*act)(void *ctx, struct why *why), bool *is_done)
{
    struct why why = {""};
    enum status st = ST_UNSUPPORTED;

    if (act)
        st = act(c->source.ctx, &why);
    if (st == ST_OK && is_done)
        *is_done = true;
    answer_done(request, st, &why);
}

static void
post_drain(struct control *c, struct evhttp_request *request)
{
    do_request(c, request, c->source.drain, &c->is_draining);
}

static void
post_leave(struct control *c, struct evhttp_request *request)
{
    do_request(c, request, c->source.leave, &c->is_leaving);
}

static void
post_reload(struct control *c, struct evhttp_request *request)
{
    do_request(c, request, c->source.reload, NULL);
}

/* ---- paths ------------------------------------------------------------------------------------
 */

static const struct route {
    const char *path;
    bool is_change;
    void (*serve)(struct control *c, struct evhttp_request *request);
} route[] = {
    {"/v1/status", false, get_status},
    {"/v1/election", false, get_election},
    {"/v1/election/history", false, get_history},
    {"/v1/election/handover", true, post_handover},
    {"/v1/election/reset-term", true, post_reset_term},
    {"/v1/overlay/local", false, get_local},
    {"/v1/overlay/global", false, get_global},
    {"/v1/resolve", false, get_resolve},
    {"/v1/registrations", false, get_registrations},
    {"/v1/calls", false, get_calls},
    {"/v1/drain", true, post_drain},
    {"/v1/leave", true, post_leave},
    {"/v1/reload", true, post_reload},
    {"/metrics", false, get_metrics},
    {"/bootstrap", false, get_bootstrap},
    {"/", false, get_page},
};

void
routes_on_request(struct evhttp_request *request, void *ctx)
{
    struct door *d = ctx;
    bool is_post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri ? evhttp_uri_get_path(uri) : NULL;
    const struct route *found = NULL;
    int refused = d->is_read_only ? host_check(request, d->control->source.name) : 0;

    door_on_request(d, request);
    if (refused) {
        answer_json(request, refused,
                    json_pack("{s:s, s:i}", "error",
                              refused == 421 ? "Host: neither this address, localhost nor the node"
                                             : "Host: missing, or several",
                              "code", status_number(ST_MALFORMED)));
        return;
    }
    for (size_t i = 0; path && i < sizeof(route) / sizeof(route[0]); i++)
        if (strcmp(path, route[i].path) == 0)
            found = &route[i];
    if (!path)
        answer_status(request, ST_MALFORMED, "the request has no path");
    else if (!found)
        answer_status(request, ST_NOT_FOUND, "no such path");
    else if (found->is_change && d->is_read_only)
        answer_status(request, ST_FORBIDDEN, "changes go through the control socket");
    else if (found->is_change != is_post)
        answer_json(request, 405,
                    json_pack("{s:s, s:i}", "error",
                              found->is_change ? "this is a POST" : "this is a GET", "code",
                              status_number(ST_MALFORMED)));
    else
        found->serve(d->control, request);
}
