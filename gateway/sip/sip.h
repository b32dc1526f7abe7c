/**
 * DOC: the SIP side of a node, in its own thread on sofia's su_root
 *
 * One NTA agent for each set of credentials: phones (udp, tcp; no certificate), peers of the
 * overlay (TLS, local credentials), other overlays' gateways (TLS, global credentials).  On every
 * node it is registrar and transaction-stateful proxy for the local overlay; on the active gateway
 * the B2BUA between overlays too.  It keeps no overlay state but a cache; it asks over the bridge.
 *
 * Source: RFC 3261; docs/protocol.md for what is ours.
 */
#ifndef GATEWAY_SIP_SIP_H
#define GATEWAY_SIP_SIP_H

#include "gateway/bridge/bridge.h"

#define SIP_LISTEN_MAX 8

struct sip_limits {
    uint32_t connections;             /* phones' connections */
    uint32_t peer_connections;        /* of peers of this overlay, to peer-listen */
    uint32_t gateway_connections;     /* of other overlays' gateways, to gateway-listen */
    uint32_t connections_per_source;  /* of one address, on each side */
    uint32_t connection_idle_s;       /* a phone's that nobody needs; 0: for ever */
    uint32_t first_byte_ms;           /* an idle new connection is closed after this */
    uint32_t requests_per_source_s;   /* more is answered 503 with Retry-After */
    uint32_t pending_per_destination; /* INVITEs under way to one contact */
    uint32_t unacknowledged;          /* 200s that wait for their ACK */
    uint32_t calls;                   /* B2BUA calls at once */
    uint32_t registrations;           /* AORs served by this node */
};

struct ssl_ctx_st; /* SSL_CTX */

/** Who judges the certificates of nodes and gateways; called in the SIP thread alone. */
struct sip_tls {
    void *ctx;
    /** judge - by the global identity, or the local one.  NULL: by the chain alone. */
    bool (*judge)(void *ctx, bool is_global, struct ssl_ctx_st *tls);
    /** reread - the lists of revoked certificates were read again by the daemon: so do you. */
    void (*reread)(void *ctx);
};

/** What outlives this run; used by the SIP thread alone, and by sip_start().  Without @put nothing
 *  does. */
#define SIP_KEY_BYTES 32
struct sip_kept {
    void *ctx;
    const uint8_t *key; /* SIP_KEY_BYTES, secret, of which those of tokens are made; or NULL */
    /** each - what was kept of earlier runs, once. */
    void (*each)(void *ctx, void (*visit)(void *to, const char *aor, struct slice value), void *to);
    /** put - what there is of an AOR from now on; without @value, nothing. */
    void (*put)(void *ctx, const char *aor, struct slice value, uint64_t expires_at_wall_ms);
};

struct sip_conf {
    struct sip_tls tls;
    struct sip_kept kept;
    char node_name[NODE_NAME_BYTES];
    char address[NODE_ADDRESS_BYTES]; /* node.address */
    struct id node;
    char overlay[OVERLAY_NAME_BYTES];           /* local overlay's name */
    char listen[SIP_LISTEN_MAX][SIP_URI_BYTES]; /* "udp:127.1.0.1:5060", "tcp:..." */
    size_t listen_count;
    char peer_listen[SIP_URI_BYTES];    /* "tls:127.1.0.1:5062" */
    char gateway_listen[SIP_URI_BYTES]; /* "tls:127.1.0.1:5061"; "" without a global overlay */
    char local_credentials[256];        /* folder with agent.pem and cafile.pem */
    char global_credentials[256];       /* "" without a global overlay */
    uint32_t min_expires_s, default_expires_s, max_expires_s; /* 60, 3600, 7200 */
    uint32_t peer_retry_ms;     /* 250: no answer of the gateway, ask again */
    uint32_t branch_timeout_ms; /* 2000: a branch to a serving peer that cannot be reached */
    uint32_t fence_gap_ms;      /* 200: a gateway without a turn for so long asks whether it is one;
                                   0: never */
    uint32_t ring_timeout_s;    /* 185: timer C towards a phone; 181 to 3600 */
    struct sip_limits limits;
};
void sip_conf_defaults(struct sip_conf *conf);

struct sip;

/**
 * sip_start - open the ports and start the thread
 * Returns: ST_OK; ST_IO with port or file and cause; ST_NOMEM.
 */
NODISCARD enum status sip_start(const struct sip_conf *conf, const struct bridge_upward *upward,
                                struct sip **ret_sip, struct why *why);

/** sip_post - give the SIP thread a message; from any thread; takes the message. */
void sip_post(struct sip *s, struct bridge_message *m);

/**
 * sip_stop - close down and join the thread. Accepts NULL.
 * @is_at_once: or wait, SIP_LINGER_MS at most, until whatever was asked has its answer and no call
 *              is being set up
 */
void sip_stop(struct sip *s, bool is_at_once);
#define SIP_LINGER_MS 1000

#endif
