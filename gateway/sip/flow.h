/**
 * DOC: flows: how a phone behind a connection or a NAT is reached
 *
 * A flow is a connection somebody made to us, or the address a UDP phone behind a NAT sends from.
 * It lives as long as the connection, a UDP one as long as it is used.  Record-Route carries it as
 * a token in the user part: number and flags, signed with a key that is kept over restarts, so that
 * nobody sends through us by a token of his own making.
 *
 *   body of the token (token.h) = flow number (8 bytes), flags (1)
 *
 * Source: RFC 5626 section 5.2, design (Routes).
 */
#ifndef GATEWAY_SIP_FLOW_H
#define GATEWAY_SIP_FLOW_H

#include "gateway/sip/service.h"
#include "gateway/sip/token.h"

#define FLOW_TOKEN_BYTES TOKEN_TEXT_BYTES
#define FLOWS_MAX        65536
#define FLOW_IDLE_MS                                                                               \
    3900000 /* a UDP flow unused this long is forgotten: over max-expires' half                    \
             */

#define FLOW_DEAD_MS                                                                               \
    120000 /* a phone that lost its connection has so long to register by another */

enum flow_flag {
    FLOW_TO_GATEWAY = 1, /* on this side of us is a gateway */
    FLOW_OR_CONTACT = 2  /* when it is gone the phone may be where its Contact says */
};

struct flow_table *flow_table_new(struct sip *s);
void flow_table_free(struct flow_table *t);

/** flow_leads_nowhere - can nothing be sent to it?  A port that is none, a transport that is
 * neither UDP nor TCP, a multicast maddr. */
bool flow_leads_nowhere(const url_t *contact);

/**
 * flow_needed - must this caller be reached by a flow rather than by its Contact?
 * @contact: its Contact's URI; NULL counts as unreachable
 *
 * When its Contact is not at the host it sends from, whatever its Via says; over a connection also
 * when it is the connection's own address, or TLS (phones hold no certificate); and when it leads
 * nowhere.  A Contact that a proxy in front passes on is believed, unless the proxy's Via was
 * changed by a NAT.
 */
bool flow_needed(const struct sip_sender *sender, const sip_via_t *via, const url_t *contact);

/**
 * flow_binds - is a phone that registers reached by the flow it does that on?
 *
 * Over TLS, on a connection whose address is its Contact, and behind a NAT: where the host of its
 * Via or of its Contact is not the one it sends from.  Another port is no sign of one: a phone may
 * register from one port and listen on another.  Nor is a loopback address, where the sender has
 * one too, or an address of this node: within one machine a program may register for another.
 * Nobody else can have calls sent to somebody else's address.
 */
bool flow_binds(const struct sip_sender *sender, const sip_via_t *via, const url_t *contact);

/** flow_of - the flow the message came on, made if need be; 0 when the table is full. */
uint64_t flow_of(struct sip *s, const struct sip_sender *sender);

/** flow_of_connection - the flow that a phone's connection is. */
uint64_t flow_of_connection(struct sip *s, tport_t *connection);

/** flow_of_hop - the flow to a phone by UDP, "sip:192.0.2.1:5060;transport=udp"; 0 for others. */
uint64_t flow_of_hop(struct sip *s, const char *hop);

/**
 * flow_bind - a phone registers by a flow: what was to go by an earlier flow of it goes by this one
 * from now on (UDP), or once its connection is gone
 * @device: its instance, or its Contact, with its reg-id: it is the same flow of the same phone. So
 * is who comes from the same address for the same user, where the connection is gone already.
 */
void flow_bind(struct sip *s, uint64_t flow, const char *aor, const char *device);

/** flow_later - the connection of this thread's service that came after one that is gone; or NULL
 */
tport_t *flow_later(const tp_name_t *name);

/** flow_target - how to send on a flow. Returns: ST_OK with tport or next_hop and agent set;
 *  ST_UNREACHABLE when it is gone. */
NODISCARD enum status flow_target(struct sip *s, uint64_t flow, struct sip_target *ret);

bool flow_is_alive(struct sip *s, uint64_t flow);

/** flow_on - the flow of the connection from this address ("127.1.0.9:40000"); 0: it has none */
uint64_t flow_on(const struct sip *s, const char *address);

/** flow_on_dialog - who sent this over a connection has a dialog on it. */
void flow_on_dialog(struct sip *s, const struct sip_sender *sender);

/** flow_dialog_ms - when the flow last served a dialog: a request went to the phone, or
 *  flow_on_dialog(); 0: never */
uint64_t flow_dialog_ms(const struct sip *s, uint64_t flow);

void flow_token(struct sip *s, uint64_t flow, unsigned flags, char out[FLOW_TOKEN_BYTES]);

/** flow_read - false unless the token is one of ours. */
bool flow_read(struct sip *s, const char *token, uint64_t *ret_flow, unsigned *ret_flags);

/** flow_tick - once a second: forget connections that are gone and UDP flows out of use. */
void flow_tick(struct sip *s);

#endif
