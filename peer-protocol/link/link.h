/**
 * DOC: TLS-TCP-FH-NO-ICE links on libevent and OpenSSL
 *
 *            links_connect / accept              both certificates good
 *    (none) -------------------------> HANDSHAKE ------------------------> UP --late--> SUSPECT
 *       ^                                  |                               |  <--ack--     |
 *       +----------------------------------+---- reset, closed, 3 late acks +--------------+
 *
 * Mutual authentication with certificates of the overlay's authority; a link's name is the Node-ID
 * in the certificate.  The side that opened the TCP connection is the TLS client.
 *
 * One link a pair of nodes: of two connections that cross, the one opened by the node with the
 * higher Node-ID stays (both by the same: the one from the lower port); one that is opened later
 * than 500 ms after the old one came up replaces it (the other side restarted).  What loses still
 * delivers what is on its way, for a second. A connection whose certificate has another key than
 * the link's takes no part in that: while the link is up it is refused, and the handler is asked to
 * send something over the link, which ends it if nobody is there.  The node stays up meanwhile:
 * on_up is called again, unless the old link was suspect, then on_down comes first.
 *
 * Every data frame is acknowledged.  A period is max(suspect_min_ms, 4 RTT): one without any
 * acknowledgement while a frame waits for it makes the link SUSPECT, the next acknowledgement
 * clears it, three such periods in a row close it; on a path that loses packets (path.h) not before
 * a frame has waited for 2 s.  What is queued is bounded: a link whose queue is full is closed.
 *
 * Sockets are bound to the address we listen on.  SIGPIPE is ignored from links_new() on, if nobody
 * handles it.
 *
 * Source: RFC 6940 sections 6.6.2 and 6.6.5 (TLS/TCP with FH, No-ICE).
 * Left out on purpose: DTLS, ICE.
 */
#ifndef PEER_PROTOCOL_LINK_LINK_H
#define PEER_PROTOCOL_LINK_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"

struct event_base;
struct identity; /* peer-protocol/identity/identity.h */
struct links;

struct links_conf {
    const char *overlay;      /* for log lines */
    const char *listen;       /* "IP:PORT" */
    uint32_t max_links;       /* default 512 */
    uint32_t handshake_ms;    /* a half-open link ends after this; default 5000 */
    uint32_t suspect_min_ms;  /* default 100 */
    size_t max_queue_bytes;   /* per link; default 4 MiB */
    size_t max_message_bytes; /* default 65000 */
};

/**
 * Called from the event loop, never from inside a links_ function; may call links_* except
 * links_free. Every on_up that was not followed by another on_up of that node is followed by one
 * on_down.
 */
struct links_handler {
    void *ctx;
    void (*on_up)(void *ctx, const struct id *node,
                  const char *address); /* address: "" if accepted */
    void (*on_suspect)(void *ctx, const struct id *node, bool is_suspect);
    /** on_down - @is_broken: reset, or at its end without a word, so that nobody may be there any
     *  more; false: this end or the other has closed it */
    void (*on_down)(void *ctx, const struct id *node, bool is_broken, const char *reason);
    void (*on_connect_failed)(void *ctx, const char *address, const struct id *expected,
                              const char *reason);
    void (*on_message)(void *ctx, const struct id *from, struct slice message);
    /** on_rival - somebody with another key came for this node, which has a link: he was refused.
     *  Is that link alive?  Whatever is sent over it will show.  May be NULL. */
    void (*on_rival)(void *ctx, const struct id *node);
};

void links_conf_defaults(struct links_conf *conf);

/**
 * links_new - listen, ready to connect
 * @identity: borrowed until links_free
 * Returns: ST_OK; ST_IO with address and cause when the port cannot be opened; ST_NOMEM; ST_RANGE.
 */
NODISCARD enum status links_new(struct event_base *base, const struct links_conf *conf,
                                struct identity *identity, const struct links_handler *handler,
                                struct links **ret_links, struct why *why);

/** links_free - close all at once, without calling the handler.  Wait for links_is_flushed first to
 * let queued frames go out. */
void links_free(struct links *l);

/** links_admit - are connections of others taken?  They are from links_new() on; one that is not is
 * closed at once, before it costs a handshake.  Those that are there stay. */
void links_admit(struct links *l, bool is_open);

/** links_connect - open a link; a second call for an address under way does nothing, unless nothing
 *  has come back from there for some time: then a second connection is opened.  Each ends in
 *  on_up or on_connect_failed, also where there is a link with that node already: then on_up comes
 *  again.  @expected (may be NULL) is held against the certificate. */
void links_connect(struct links *l, const char *address, const struct id *expected);

/** links_send - queue one message; ST_UNREACHABLE without a link that is up, ST_LIMIT queue full.
 */
NODISCARD enum status links_send(struct links *l, const struct id *to, struct slice message);
void links_close(struct links *l, const struct id *node);
/** links_user - the user name in the certificate of a link; "" without one. */
const char *links_user(const struct links *l, const struct id *node);

/** links_is_flushed - has everything queued been given to the kernel? */
bool links_is_flushed(const struct links *l);

/** What a link tells of the node at its other end. */
struct link_signs {
    uint32_t heard_ms; /* since the last frame came, acknowledgements included */
    bool is_lossy;     /* packets get lost, and come through in the end (path.h) */
    uint32_t rto_ms;   /* after so long TCP sends again for the first time; 0: not known */
};
/** links_signs - false without a link that is up. */
bool links_signs(const struct links *l, const struct id *node, struct link_signs *ret);
size_t links_count(const struct links *l);

struct link_line {
    struct id node;
    char address[64]; /* remote "IP:PORT" */
    bool is_suspect;
    uint32_t rtt_us;
    uint64_t sent_messages, received_messages, sent_bytes, received_bytes;
};
void links_each(const struct links *l, void (*visit)(void *ctx, const struct link_line *line),
                void *ctx);

#endif
