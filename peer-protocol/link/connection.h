/**
 * DOC: one TLS connection to another node
 *
 *    CONNECTING --TCP--> HANDSHAKE --TLS--> CONFIRMING --the other agrees--> UP --> DRAINING
 *        |                   |                  |                            |         |
 *        +-------------------+------------------+-------------- ENDED <------+---------+
 *
 * With TLS 1.3 the client is done before the server has looked at its certificate.  CONFIRMING is
 * the wait for the server's word: its session ticket, or anything it says.  A server that sends no
 * ticket is taken to agree after CONNECTION_CONFIRM_MS.
 *
 * A connection that lost against another one to the same node is DRAINING: nothing new is sent,
 * what still comes in is taken.  An ended one stays until its owner frees it, never inside an event
 * of its own: libevent and OpenSSL still hold it there.
 *
 * Source: RFC 6940 sections 6.6.2 and 6.6.5.
 */
#ifndef PEER_PROTOCOL_LINK_CONNECTION_H
#define PEER_PROTOCOL_LINK_CONNECTION_H

#include <openssl/ssl.h>

#include "base/id.h"
#include "base/list.h"
#include "peer-protocol/identity/identity.h"
#include "peer-protocol/link/acks.h"
#include "peer-protocol/link/link.h"
#include "peer-protocol/link/path.h"
#include "peer-protocol/link/socket_address.h"
#include "peer-protocol/message/frame.h"

#define CONNECTION_CONNECT_MS   2000
#define CONNECTION_AGAIN_MS     400 /* nothing has come back: another one may be opened */
#define CONNECTION_CONFIRM_MS   250
#define CONNECTION_DRAIN_MS     1000
#define CONNECTION_REASON_BYTES 192

struct bufferevent;
struct connection;
struct event;

enum connection_state {
    CONNECTION_CONNECTING,
    CONNECTION_HANDSHAKE,
    CONNECTION_CONFIRMING,
    CONNECTION_UP,
    CONNECTION_DRAINING,
    CONNECTION_ENDED
};

/** What all connections of an owner share.  on_message alone may run code of strangers to this
 * folder; the others may be called from inside any connection_ function. */
struct connection_env {
    struct event_base *base;
    struct identity *identity;
    const struct links_conf *conf;
    struct writer scratch; /* for a frame on its way out */
    struct writer inbox;   /* the message being delivered */
    void *ctx;
    /** on_secured - the other side is known: decide by connection_admit, _drain or _end. */
    void (*on_secured)(void *ctx, struct connection *c);
    void (*on_message)(void *ctx, struct connection *c, struct slice message);
    void (*on_suspect)(void *ctx, struct connection *c);
    /** on_ended - once, c->reason says why; was it up until now? */
    void (*on_ended)(void *ctx, struct connection *c, enum connection_state was);
};

/** What is still to be told of a connection; links.c. */
struct connection_notice {
    struct list_node queue;
    struct connection *of;
};

struct connection {
    struct list_node all; /* in its owner's list */
    struct connection_env *env;
    enum connection_state state;
    bool is_ours;     /* opened by this node */
    bool is_accepted; /* the TLS server has agreed */
    bool is_writing;  /* OpenSSL may read while it writes: hold that back */
    bool is_suspect;
    bool is_suspect_told;
    bool is_answered;                        /* links_connect() has had its on_up */
    bool is_up_told;                         /* its end is to be told as on_down */
    bool is_broken;                          /* neither end has closed it */
    char address[SOCKET_ADDRESS_TEXT_BYTES]; /* as it was asked for; "" if accepted */
    char remote[SOCKET_ADDRESS_TEXT_BYTES];
    in_port_t opener_port; /* the same at both ends */
    bool has_expected;
    struct id expected;
    struct id node; /* from CONFIRMING on, and what its certificate says besides */
    char user[USER_NAME_BYTES];
    uint8_t key_hash[IDENTITY_KEY_BYTES];
    uint64_t begun_us; /* CONNECTING: that; then since when there is a TCP connection */
    uint64_t up_us;
    int fd;                 /* CONNECTING; afterwards it is the bufferevent's, -1 here */
    struct event *writable; /* CONNECTING */
    struct bufferevent *bev;
    struct event *timer; /* the deadline of the state */
    uint64_t timer_us;
    struct acks acks;
    struct path path;
    uint64_t heard_us; /* the last frame from the other end */
    struct frame_received received;
    uint64_t sent_messages, received_messages, sent_bytes, received_bytes;
    char reason[CONNECTION_REASON_BYTES];
    struct connection_notice up, suspect, rival, end;
};

/** connection_now_us - the monotonic clock. */
uint64_t connection_now_us(void);

/** connection_new - neither connected nor accepted; NULL without memory. */
struct connection *connection_new(struct connection_env *env);
void connection_free(struct connection *c); /* accepts NULL */

/** connection_open - connect; @from is bound if it is of the same family.  A failure ends it. */
void connection_open(struct connection *c, const struct socket_address *from,
                     const struct socket_address *to);

/** connection_take - serve an accepted socket, taken. */
void connection_take(struct connection *c, int fd, const struct socket_address *far);

/** connection_admit - from CONFIRMING or HANDSHAKE to UP. */
void connection_admit(struct connection *c);
void connection_drain(struct connection *c);

/** connection_end - close at once; the first reason is kept.  Does nothing if it has ended. */
void connection_end(struct connection *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

/** connection_send - see links_send. */
NODISCARD enum status connection_send(struct connection *c, struct slice message);

/** connection_queued - bytes not yet given to the kernel. */
size_t connection_queued(const struct connection *c);

/** connection_on_ticket - the new-session callback for the SSL_CTX. */
int connection_on_ticket(SSL *ssl, SSL_SESSION *session);

#endif
