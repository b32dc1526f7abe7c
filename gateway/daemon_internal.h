/**
 * DOC: what the files of the daemon share
 *
 * daemon.c starts, stops and drives; daemon_bridge.c answers the SIP thread; daemon_control.c
 * serves the control socket and reloads; daemon_names.c keeps names of other overlays inside ours;
 * daemon_certificates.c looks after the node's certificates.
 */
#ifndef GATEWAY_DAEMON_INTERNAL_H
#define GATEWAY_DAEMON_INTERNAL_H

#include <event2/event.h>

#include "gateway/bridge/queue.h"
#include "gateway/control/control.h"
#include "gateway/daemon.h"
#include "gateway/history/history.h"
#include "gateway/history/registrations.h"
#include "gateway/measure.h"
#include "gateway/settings.h"

/** One overlay's links; the ctx of their handler. */
struct daemon_side {
    struct daemon *daemon;
    enum node_overlay which;
};

struct daemon {
    struct config config;
    struct node_conf *node_conf;
    struct identity *identity[NODE_OVERLAYS];
    struct identity *sip_identity[NODE_OVERLAYS]; /* the SIP thread's */
    struct links *links[NODE_OVERLAYS];
    struct daemon_side side[NODE_OVERLAYS];
    struct node *node;
    struct sip *sip;
    struct bridge_queue *queue;
    struct control *control;
    uint64_t confirm_token; /* of the SIP side's last question */
    struct {
        uint64_t token; /* of the SIP side's last question; 0: none waits */
        uint64_t until_ms;
        struct event *timer;
    } locate;
    struct {
        enum election_certificate state;
        uint64_t warn_ms; /* not before */
    } certificate[NODE_OVERLAYS];
    enum election_certificate certificate_worst; /* as the node was told */
    struct measure *measure;
    struct history *history;
    struct registrations *registrations;
    uint64_t
        young_until_ms; /* the overlay may not have all its bindings again; 0: not joined yet */
    unsigned seconds;   /* since the start, for what is done once a minute */
    struct event_base *base;
    struct event *timer; /* the node's next deadline */
    struct event *second;
    struct event *stop_timer;
    struct event *sigterm;
    struct event *sigint;
    struct event *sighup;
    struct event *bridge;
    struct {
        uint32_t calls;
        uint32_t registrations;
        uint32_t requests;
    } load;               /* as the SIP thread said last */
    bool are_names_dirty; /* the file of foreign names is older than the table */
    bool is_in;           /* a member of the local overlay */
    bool is_ready;
    bool is_leaving;
    bool has_left;
    bool is_flushing;
};

/** daemon_now - both clocks, now. */
struct moment daemon_now(void);

/** daemon_settle - arm the timer for the node's next deadline; after everything that touched it. */
void daemon_settle(struct daemon *d);

/** daemon_leave - begin the graceful leave; a second call does nothing. */
void daemon_leave(struct daemon *d);

/** daemon_on_bridge - the queue's eventfd is readable (libevent callback). */
void daemon_on_bridge(evutil_socket_t fd, short what, void *ctx);

/** daemon_on_locate - the SIP side still waits for another gateway: read again, or say that there
 * is none (libevent callback). */
void daemon_on_locate(evutil_socket_t fd, short what, void *ctx);

/** daemon_on_gateways - the active set changed: tell the SIP thread. */
void daemon_on_gateways(void *ctx, const struct election_gateway *gateway, size_t count);

/** daemon_on_trouble - what keeps calls in the overlay changed: tell the SIP thread. */
void daemon_on_trouble(void *ctx, enum election_trouble trouble);

/** daemon_on_lost - a member of the local overlay went: tell the SIP thread. */
void daemon_on_lost(void *ctx, const struct id *node);

/** daemon_on_adopt, daemon_on_released, daemon_on_copied - calls became ours, or another's, or are
 * held by the first standby: tell the SIP thread. */
void daemon_on_adopt(void *ctx, const struct id *owner, bool is_moved,
                     const struct replica_call *call, size_t count);
void daemon_on_released(void *ctx, const struct replica_call *call, size_t count);
void daemon_on_copied(void *ctx, const struct replica_call *call, size_t count);

/** daemon_on_names - names of other overlays inside ours are known or forgotten: keep them, and
 * tell the SIP thread. */
void daemon_on_names(void *ctx, bool is_set);
/** daemon_names_start - those of earlier runs; daemon_names_tell - to a SIP thread that has just
 * started; daemon_names_keep - on disk, if that is due. */
void daemon_names_start(struct daemon *d);
void daemon_names_tell(struct daemon *d);
void daemon_names_keep(struct daemon *d, bool is_now);
/** daemon_on_judge - the SIP thread asks whose a domain is. */
void daemon_on_judge(struct daemon *d, const struct bridge_message *m);

/** daemon_certificates_start - tell the control socket when the certificates end;
 * daemon_certificates_look - once a second: say so before one does, and when. */
void daemon_certificates_start(struct daemon *d);
void daemon_certificates_look(struct daemon *d);
/** daemon_certificates_renew - read them again; ST_CONFIG with the cause: those that cannot be
 * taken stay as they were. */
enum status daemon_certificates_renew(struct daemon *d, struct why *why);
/** daemon_store_again - the SIP thread is to store its registrations once more. */
void daemon_store_again(struct daemon *d);

/** daemon_open_control - the control socket and, where configured, HTTP. */
NODISCARD enum status daemon_open_control(struct daemon *d, struct why *why);

/**
 * daemon_reload - read the configuration again; all of it or none
 * Returns: ST_OK; ST_CONFIG with the first mistake, the old configuration stays in force.
 */
enum status daemon_reload(struct daemon *d, struct why *why);

#endif
