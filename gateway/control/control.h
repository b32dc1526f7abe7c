/**
 * DOC: the control socket, the metrics and the status page
 *
 * HTTP/1.1 with JSON under /v1/ on a Unix socket (mode 0660), and the same read-only on a TCP
 * address.  It sits in the overlay thread and looks at the node through its accessors; what only
 * the SIP thread knows it asks for by source.query, and the answer comes through
 * control_on_report().
 *
 *     GET  /v1/status  /v1/election  /v1/election/history  /v1/overlay/local  /v1/overlay/global
 *          /v1/resolve?uri=URI[&cache=no][&hops=no]  /v1/registrations  /v1/calls
 *     POST /v1/election/handover {"node": NAME or hex, or nothing}  /v1/election/reset-term
 *          /v1/drain  /v1/leave  /v1/reload
 *     GET  /metrics (Prometheus text)  / (status page)  /bootstrap (addresses, one a line)
 *
 * A refusal is {"error": SENTENCE, "code": NUMBER} with a 4xx or 5xx status; the numbers are those
 * of base/status.h.  Connections, request sizes, waiting requests and times are bounded.
 *
 * Source: docs/operations.md for the fields.
 * Left out on purpose: authentication; the socket's mode is the right to change, and TCP changes
 * nothing.
 */
#ifndef GATEWAY_CONTROL_CONTROL_H
#define GATEWAY_CONTROL_CONTROL_H

#include "gateway/bridge/bridge.h"
#include "gateway/node/node.h"

struct control;
struct event_base;

struct control_conf {
    const char *socket;       /* path of the Unix socket; a stale one is replaced */
    const char *http;         /* "IP:PORT"; "" for none */
    uint32_t max_connections; /* of each of the two; 32 */
    uint32_t max_waiting;     /* requests that wait for an answer; 64 */
    uint32_t answer_ms;       /* after so long without one: 504; 5000 */
};
void control_conf_defaults(struct control_conf *conf);

/** What the daemon tells and does.  Texts and the node are borrowed for the control's life. */
struct control_source {
    void *ctx;
    struct node *node;
    const char *name;    /* node "NAME" */
    const char *address; /* node.address */
    const char *version;
    struct id id;    /* Node-ID */
    bool has_global; /* a global-overlay section is there */
    struct moment started;
    /** now - both clocks. */
    struct moment (*now)(void *ctx);
    /** touched - the node was asked something: its deadline may have moved. */
    void (*touched)(void *ctx);
    /** query - ask the SIP thread; the answer comes back with @token by control_on_report().
     *  Returns false if it cannot be asked. */
    bool (*query)(void *ctx, enum bridge_query what, uint64_t token);
    /** history - up to @cap of the last transitions, oldest first; NULL: of this run alone. */
    size_t (*history)(void *ctx, struct election_transition *ret, size_t cap);
    /** drain - take no new calls and registrations, hand the gateway over; NULL: not supported. */
    enum status (*drain)(void *ctx, struct why *why);
    /** leave - begin the graceful leave; the daemon ends after it. */
    enum status (*leave)(void *ctx, struct why *why);
    /** reload - read the configuration again; ST_CONFIG with the first mistake. */
    enum status (*reload)(void *ctx, struct why *why);
};

/**
 * control_new - open the socket and, where configured, the TCP port
 * @conf, @source: copied
 * Returns: ST_OK; ST_IO with the path or address and the cause, also where another daemon answers
 * on the socket; ST_NOMEM.
 */
NODISCARD enum status control_new(struct event_base *base, const struct control_conf *conf,
                                  const struct control_source *source, struct control **ret_control,
                                  struct why *why);

/** control_free - answer what waits with 503, close, remove the socket.  Before the node is freed.
 *  Accepts NULL. */
void control_free(struct control *c);

/** control_on_report - the SIP thread's answer to a query; borrowed for the call.  Accepts a NULL
 *  control and tokens that nobody waits for. */
void control_on_report(struct control *c, const struct bridge_message *report);

/** control_set_certificate - when this node's certificate in an overlay ends. */
void control_set_certificate(struct control *c, enum node_overlay which, uint64_t until_wall_ms);

/** control_set_load - calls and registrations, as last told.  Accepts NULL. */
void control_set_load(struct control *c, uint32_t calls, uint32_t registrations);

/** control_set_counters - what the SIP side has counted, as last told.  Accepts NULL. */
void control_set_counters(struct control *c, const struct bridge_counters *counters);

#endif
