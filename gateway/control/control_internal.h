/**
 * DOC: what the files of the control socket share
 *
 * control.c opens, bounds and closes; routes.c knows the paths; waiting.c holds requests whose
 * answer comes later; resolve.c is one of those; report.c looks at the node and makes JSON;
 * metrics.c and page.c write the other two formats.
 */
#ifndef GATEWAY_CONTROL_CONTROL_INTERNAL_H
#define GATEWAY_CONTROL_CONTROL_INTERNAL_H

#include <jansson.h>
#include <sys/types.h>

#include "gateway/control/control.h"

struct bufferevent;
struct evbuffer;
struct event;
struct evconnlistener;
struct evhttp;
struct evhttp_request;

#define DOOR_CONNECTIONS_MAX 256

/** A connection; see control.c. */
struct held {
    struct bufferevent *b; /* a reference */
    uint64_t since_ms; /* from when on a request is waited for: it was made, or had its answer */
    bool is_served;    /* a request is here whole and has no answer yet */
};

/** One of the two places where requests come in. */
struct door {
    struct control *control;
    bool is_read_only;
    bool is_full; /* its listener rests until a connection ends */
    struct evhttp *http;
    struct evconnlistener *listener; /* owned by @http */
    size_t count;
    struct held held[DOOR_CONNECTIONS_MAX];
};

struct control {
    struct event_base *base;
    struct control_conf conf;
    struct control_source source;
    char socket[108];
    dev_t socket_device;
    ino_t socket_inode;
    struct door unix_door;
    struct door tcp_door;
    struct event *sweep;
    uint32_t calls;
    uint32_t registrations;
    struct bridge_counters counters;              /* of the SIP side */
    uint64_t certificate_until_ms[NODE_OVERLAYS]; /* wall; 0: there is none */
    bool is_draining;
    bool is_leaving;
    uint64_t next_token;
    size_t waiting_count;
    struct list_node waiting; /* struct waiting */
};

/** door_on_request - a request is here whole: its connection has kept its deadline. */
void door_on_request(struct door *d, struct evhttp_request *request);

/* ---- answers ----------------------------------------------------------------------------------
 */

/** answer_json - send @body (taken); without memory for it the answer is a bare 500. */
void answer_json(struct evhttp_request *request, int code, json_t *body);
/** answer_status - a refusal: {"error", "code"}, with the HTTP status that fits. */
void answer_status(struct evhttp_request *request, enum status st, const char *text);
/** answer_text - send @body (borrowed) as @type. */
void answer_text(struct evhttp_request *request, const char *type, struct evbuffer *body);

/* ---- requests that wait -----------------------------------------------------------------------
 */

/**
 * A request whose answer comes later.  It ends with waiting_answer() or waiting_refuse(), or by
 * itself after conf.answer_ms; its memory stays until every completion that was promised to it
 * (owed) has come, even after the control socket is gone.
 */
struct waiting {
    struct list_node link;
    struct control *control; /* NULL once answered */
    struct evhttp_request *request;
    struct event *timer;
    uint64_t token;
    unsigned owed;
    struct moment begun;
    void *memory; /* freed with it */
};

/** waiting_new - hold a request; NULL (and answered with 503) if too many wait. */
struct waiting *waiting_new(struct control *c, struct evhttp_request *request);
struct waiting *waiting_find(struct control *c, uint64_t token);
/** waiting_answer - answer (taken) and let go; does nothing but free @body if that was done. */
void waiting_answer(struct waiting *w, json_t *body);
void waiting_refuse(struct waiting *w, enum status st, const char *text);
/** waiting_owe - one more completion will come; waiting_paid - it came; may free @w. */
void waiting_owe(struct waiting *w);
void waiting_paid(struct waiting *w);

/* ---- routes -----------------------------------------------------------------------------------
 */

/** routes_on_request - every request comes here (evhttp's general callback); @ctx is the door. */
void routes_on_request(struct evhttp_request *request, void *ctx);

/**
 * resolve_begin - GET /v1/resolve?uri=URI[&cache=no][&hops=no]
 * @is_past_cache: read a foreign domain's gateways from the ring now
 * @wants_hops:    trace the way too
 */
void resolve_begin(struct control *c, struct evhttp_request *request, const char *uri,
                   bool is_past_cache, bool wants_hops);

/* ---- what is shown ----------------------------------------------------------------------------
 */

#define REPORT_TIME_BYTES    32
#define REPORT_RECORDS_MAX   1000 /* lines of /v1/overlay/...; "records" says how many there are */
#define REPORT_NEIGHBOUR_MAX 256

/** text_json - text of others as JSON, which is UTF-8: what is none becomes "?". */
json_t *text_json(const char *text);

/** report_time - UTC, "2026-01-31T12:00:00.123Z". Returns @out. */
char *report_time(uint64_t wall_ms, char out[REPORT_TIME_BYTES]);
uint64_t report_uptime_s(const struct control *c);

/** All return a new object, NULL without memory. */
json_t *report_status(const struct control *c);
json_t *report_election(const struct control *c);
json_t *report_history(const struct control *c);
json_t *report_overlay(const struct control *c, enum node_overlay which);
json_t *report_registrations(const struct bridge_message *m);
json_t *report_calls(const struct bridge_message *m);

/** metrics_write - Prometheus text format 0.0.4. */
void metrics_write(const struct control *c, struct evbuffer *out);
/** page_write - the status page, HTML. */
void page_write(const struct control *c, struct evbuffer *out);
/** page_bootstrap - live addresses of the local overlay, one a line. */
void page_bootstrap(const struct control *c, struct evbuffer *out);

#endif
