/**
 * DOC: the inside of the SIP thread
 *
 *    NTA agents (phones | peers | gateways)
 *          |  every message comes first to dispatch.c, before NTA keeps any state for it
 *          v
 *    who sent it (struct sip_sender), limits, stateless checks
 *          |
 *          +-- REGISTER .................... registrar.c -> location.c -> BRIDGE_BIND
 *          +-- to this server .............. local.c (OPTIONS)
 *          +-- for the B2BUA ............... b2bua.h
 *          +-- other requests, responses ... proxy.c
 *
 * All of it runs in one thread and shares one struct sip.  NTA agents run with NTATAG_UA(0): NTA
 * keeps client and server transactions, retransmits requests and failure responses and answers
 * CANCEL with 200, but treats a 2xx to an INVITE as a proxy does: each copy of it is handed up,
 * nobody repeats it, and its ACK arrives as a request of its own.
 *
 * Left out on purpose: legs and dialogs of NTA, its NUA, its Call-IDs, tags and branches (they are
 * predictable); DNS (records carry addresses).
 */
#ifndef GATEWAY_SIP_SERVICE_H
#define GATEWAY_SIP_SERVICE_H

#include <stdatomic.h>

#include <pthread.h>

#ifndef NTA_AGENT_MAGIC_T
#define NTA_AGENT_MAGIC_T struct sip_agent
#endif
#ifndef SU_ROOT_MAGIC_T
#define SU_ROOT_MAGIC_T struct sip
#endif
#include <sofia-sip/nta.h>
#include <sofia-sip/nta_stateless.h>
#include <sofia-sip/nta_tport.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_status.h>
#include <sofia-sip/su_wait.h>
#include <sofia-sip/tport.h>

#include "base/log.h"
#include "base/map.h"
#include "base/moment.h"
#include "gateway/sip/sip.h"
#include "peer-protocol/message/binding.h"

struct ask_table;
struct b2bua;
struct fence;
struct client;
struct finished;
struct strangers;
struct flow_table;
struct limits;
struct connections;
struct domains;
struct location;
struct noted;
struct phone_cancels;
struct proxy;

/** Whose messages an agent carries: one for each set of credentials. */
enum sip_side { SIP_PHONES, SIP_PEERS, SIP_GATEWAYS, SIP_SIDES };

struct sip_agent {
    struct sip *sip;
    enum sip_side side;
    nta_agent_t *nta;        /* NULL where nothing listens (no global overlay) */
    char uri[SIP_URI_BYTES]; /* "sip:127.1.0.1:5062;transport=tls": how others reach it */
    char host[64];           /* "127.1.0.1", the host part of what we put into Contact and Route */
};

/** One of our listening addresses. */
struct sip_address {
    char protocol[8]; /* "udp", "tcp", "tls" */
    char host[64];    /* IPv6 in brackets */
    char port[8];
    enum sip_side side;
};

#define SIP_FORMER_MAX    8
#define SIP_FORMER_AGE_MS 3600000 /* for so long a former gateway may end the calls it has */
#define SIP_BELIEVED_MS   10000   /* and for so long it may bring new ones: two are for a moment */

struct sip {
    struct sip_conf conf;
    struct sip_address own[SIP_LISTEN_MAX + 2];
    size_t own_count;
    struct bridge_upward upward;
    su_root_t *root;
    su_home_t home[1];
    struct sip_agent agent[SIP_SIDES];
    uint64_t seed; /* for maps keyed by what strangers send */
    /* our own gateways, the best first; kept by BRIDGE_GATEWAY */
    struct bridge_gateway gateway[BRIDGE_GATEWAYS_MAX];
    struct bridge_gateway former[SIP_FORMER_MAX]; /* they may still hold calls */
    uint64_t former_ms[SIP_FORMER_MAX];           /* since when; 0: no entry */
    unsigned former_next;
    size_t gateway_count;
    uint64_t gateway_since_ms[BRIDGE_GATEWAYS_MAX]; /* each is in the set */
    uint64_t gateways_ms;                           /* when they were told of last */
    bool is_hopeless; /* there is no gateway, and no node can be one */
    bool is_gateway;  /* this node is in the active set */
    bool is_stopping; /* BRIDGE_STOP came: new calls are refused with 503 */
    struct ask_table *asks;
    struct flow_table *flows;
    struct limits *limits;
    struct connections *connections;
    struct location *location;
    struct list_node registrations; /* under way: registration.h */
    size_t registration_count;      /* of them */
    struct noted *noted;
    struct proxy *proxy;
    struct b2bua *b2bua;
    struct fence *fence;
    struct finished *finished;
    struct client *client;
    struct strangers *strangers;
    struct domains *domains;
    struct paths *paths;
    struct phone_cancels *phone_cancels;
    su_timer_t *second;  /* once a second: expiry, limits, BRIDGE_LOAD */
    su_timer_t *linger;  /* quitting, and not quiet yet */
    uint64_t quit_by_ms; /* 0: not quitting */
    /* thread and mailbox: the only part another thread touches */
    pthread_t thread;
    bool has_thread;
    int mail_fd;   /* eventfd: something is in the mailbox */
    int mail_wait; /* its registration at the root */
    pthread_mutex_t mail_lock;
    struct list_node mail;
    bool is_mail_told;
    atomic_bool is_quitting;
    atomic_bool is_quitting_at_once;
};

/** Who sent a message: decided by the port it came to and by the TLS certificate, never by a
 * header. */
struct sip_sender {
    enum sip_side side;
    nta_agent_t *nta;
    tport_t *tport;   /* the connection (or UDP socket) it came on; borrowed */
    char address[64]; /* "127.1.0.9:5060", for the log and the limits */
    struct id node;   /* PEERS, GATEWAYS: Node-ID of the certificate */
    char
        overlay[OVERLAY_NAME_BYTES]; /* PEERS: ours; GATEWAYS: NAME of the certificate's sip:NAME */
    bool is_active_gateway;          /* PEERS: the node is in the active set of our overlay */
};

/**
 * sip_sender_of - who sent the message that is being delivered
 *
 * Valid only inside the callback that NTA made for @msg, for requests and for responses
 * (nta_outgoing_getresponse()).  Before acting on a far gateway's response the B2BUA compares
 * overlay and Node-ID with those it resolved. Returns: ST_OK; ST_FORBIDDEN where a certificate is
 * demanded and there is none that fits.
 */
NODISCARD enum status sip_sender_of(struct sip_agent *agent, const msg_t *msg,
                                    struct sip_sender *ret);

/** sip_moment - monotonic milliseconds, and wall time, read once in a turn of the loop. */
struct moment sip_moment(const struct sip *s);

/** sip_agents_open - open the ports; sip_agents_close - close them and forget all transactions. */
NODISCARD enum status sip_agents_open(struct sip *s, struct why *why);
void sip_agents_close(struct sip *s);

/** sip_is_own_url - is host and port of a URI one of our listening addresses? */
bool sip_is_own_url(const struct sip *s, const url_t *url);
bool sip_is_own_address(const struct sip *s, const char *host, const char *port);

/** sip_agent_for - the agent that reaches a URI: peers and gateways by TLS, all else as a phone. */
struct sip_agent *sip_agent_for(struct sip *s, const char *uri);

/** sip_domain_is_local - is a host the overlay's name, or inside it and no other overlay's
 * (domain.h)? */
bool sip_domain_is_local(const struct sip *s, const char *host);

/** sip_domain_is_of - is a host an overlay's name, or inside it by whole labels? */
bool sip_domain_is_of(const char *overlay, const char *host);

/** sip_is_reserved - is it overlay@NAME, in whatever spelling?  That is nobody's (design, names).
 */
bool sip_is_reserved(const struct sip *s, const url_t *url);

/**
 * sip_aor_of - "user@host" of a sip: or sips: URI as bindings are keyed: user unescaped and with
 * its case, host in lower case, no port or parameters (base/aor.h) Returns: ST_OK; ST_RANGE
 * without user or for another scheme; ST_TOO_LARGE; ST_MALFORMED for control characters.
 */
NODISCARD enum status sip_aor_of(const url_t *url, char ret_aor[AOR_BYTES]);

/** sip_has_control - is a control character in a URI, unescaped? What the others of the overlay
 * read from records has none. */
bool sip_has_control(const url_t *url);

/** sip_text - for log lines: "-" in place of NULL. */
static inline const char *
sip_text(const char *text)
{
    return text ? text : "-";
}

/** sip_random_text - @len characters of [a-z0-9] from the CSPRNG and a zero: tags, Call-IDs,
 * tokens. 5 bits a character. */
void sip_random_text(char *out, size_t len);
uint64_t sip_random(void);

#define SIP_BRANCH_BYTES 32
/** sip_branch - a new "z9hG4bK..." from the CSPRNG. */
void sip_branch(char out[SIP_BRANCH_BYTES]);

/** Whose answer an INVITE waits for, from the phone outwards. */
enum sip_ring { SIP_RING_PHONE, SIP_RING_PEER, SIP_RING_FAR, SIP_RING_GATEWAY };
#define SIP_RING_STEP_MS 2000

/** sip_ring_ms - timer C (RFC 3261 section 16.6 item 11): the further from the phone the later, so
 *  that whoever is next to it says how the ringing ends, and nobody gives up before. */
static inline uint32_t
sip_ring_ms(const struct sip_conf *conf, enum sip_ring who)
{
    return conf->ring_timeout_s * 1000 + (uint32_t)who * SIP_RING_STEP_MS;
}

/** Where a request goes, in terms NTA takes.  The Request-URI is as long as a phone likes; what it
 * takes to get there is short. */
struct sip_target {
    struct sip_agent *agent;
    tport_t *tport;               /* this very connection, or NULL; borrowed */
    char next_hop[SIP_URI_BYTES]; /* by sip_next_hop(), for NTA; "" when tport is set */
    char route[SIP_URI_BYTES];    /* to be put as Route: "<sip:...;lr>", or "" */
    const char *path;             /* the same, of a phone behind edge proxies; borrowed; or NULL */
    const char *request_uri;      /* borrowed; NULL leaves the Request-URI as it is */
};

/**
 * sip_next_hop - where a request for a URI goes: "sip:127.1.0.9:5060;transport=tcp"
 *
 * Scheme, host (or maddr), port and transport: what else the URI says is for who gets the request.
 * False, and "", unless the host is an address: names are not looked up.
 */
bool sip_next_hop(const char *uri, char ret_hop[SIP_URI_BYTES]);

/** sip_hop_address - "127.1.0.9:5060" of a next hop, for counting; "" if it has no room. */
#define SIP_HOP_ADDRESS_BYTES 96
void sip_hop_address(const char *hop, char ret_address[SIP_HOP_ADDRESS_BYTES]);

/**
 * sip_target_of_contact - how to reach one contact of a binding
 *
 * A contact of this node is reached directly, on the connection it registered on where it has to
 * be; one of another node over peer-listen, with the binding's Path as Route.  Which one it is, its
 * token says.  @ret keeps texts of @binding.  Returns: ST_OK; ST_UNREACHABLE when the contact or
 * its connection is gone; ST_MALFORMED for a Path that is none.
 */
NODISCARD enum status sip_target_of_contact(struct sip *s, const struct binding_record *binding,
                                            size_t contact, struct sip_target *ret);

/** sip_target_of_remote - the same over peer-listen in any case, this node's own too */
NODISCARD enum status sip_target_of_remote(struct sip *s, const struct binding_record *binding,
                                           const struct binding_contact *contact,
                                           struct sip_target *ret);

/** sip_is_address - is the host of @uri an address rather than a name? */
bool sip_is_address(const char *uri);

/** sip_send - hand a request to NTA: a client transaction with a new branch of ours
 *  @msg: with Request-URI, Via-less top (NTA adds ours), Route as wanted; taken, even on failure
 *  Returns: the transaction, NULL on failure, as where a name would have to be looked up. */
nta_outgoing_t *sip_send(struct sip *s, const struct sip_target *target, msg_t *msg,
                         nta_response_f *on_response, nta_outgoing_magic_t *magic);

/** sip_send_end - a transaction of sip_send() or sip_send_branch() is done with, answered or not;
 *  each of them that was given an @on_response has to be ended. */
void sip_send_end(nta_outgoing_t *orq);

/** sip_send_stateless - the same for an ACK to a 2xx. @msg is taken. */
void sip_send_stateless(struct sip *s, const struct sip_target *target, msg_t *msg);

/** sip_reply - a final or provisional answer, if none is final yet; @retry_after_s 0 for none.
 *  Never sends a provisional answer after a final one (NTA would read freed memory). */
void sip_reply(nta_incoming_t *irq, int status, const char *phrase, unsigned retry_after_s);

/**
 * sip_keeps_sips - may a request go this way?
 * @asked: its Request-URI as it came
 *
 * What is sips, as it came or as it goes on, goes over TLS alone, and is not made sip (RFC 5630
 * section 5.3).  What may not is not sent, whoever asks for it.
 */
bool sip_keeps_sips(const struct sip_target *target, const url_t *asked);

/** sip_is_sips - is it a sips URI? */
bool sip_is_sips(const char *uri);

/** sip_reply_sips - the response to what may not be sent: 480 with the Warning that says why. */
void sip_reply_sips(struct sip *s, nta_incoming_t *irq);

#define SIP_RETRY_AFTER_S 5

/** sip_gateway_of - a gateway of the active set by its Node-ID; NULL if it is none. */
const struct bridge_gateway *sip_gateway_of(const struct sip *s, const struct id *node);

/** sip_is_gateway - is it in the active set, or was it less than SIP_BELIEVED_MS ago?  It may not
 *  have heard of the one in its place, nor others of both. */
bool sip_is_gateway(const struct sip *s, const struct id *node);

/** sip_former_gateway - a gateway that stepped down less than SIP_FORMER_AGE_MS ago, by its
 * Node-ID, or (@node NULL) by a piece of its URI; NULL if there is none. */
const struct bridge_gateway *sip_former_gateway(const struct sip *s, const struct id *node,
                                                const char *in_uri);

#endif
