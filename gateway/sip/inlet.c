#include "gateway/sip/inlet.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/msg_addr.h>
#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_util.h>
#include <sofia-sip/tport.h>

#include "base/log.h"
#include "gateway/sip/client.h"
#include "gateway/sip/finished.h"
#include "gateway/sip/first_line.h"
#include "gateway/sip/size.h"

#define BRANCH_CHARS_MIN  7
#define SINGLE_FIELDS_MAX 64 /* more than the library knows */

struct tport_compressor;
typedef void deliver_function(tport_t *, msg_t *, msg_t *, struct tport_compressor *, su_time_t);

static _Thread_local struct {
    bool is_open;
    const sip_via_t *via;     /* of the request in hand, if something in it was replaced */
    const char *was_protocol; /* what it said */
    const char *was_branch;
    bool is_framed; /* the message in hand ended where it said */
    bool is_mute;   /* it has no way back, and its sender hears by the end of his connection */
    void (*on_broken)(void *ctx, const su_sockaddr_t *from);
    void *ctx;
} inlet;

static atomic_uint_least64_t discarded;

void
inlet_open(void)
{
    inlet.is_open = true;
}

void
inlet_close(void)
{
    inlet.is_open = false;
}

void
inlet_watch(void (*on_broken)(void *ctx, const su_sockaddr_t *from), void *ctx)
{
    inlet.on_broken = on_broken;
    inlet.ctx = ctx;
}

uint64_t
inlet_discarded(void)
{
    return discarded;
}

/* ---- can it be answered? ---- */

static bool
is_port(const char *text)
{
    char *end = NULL;
    unsigned long port;

    if (!text || !text[0])
        return true; /* the default one */
    port = strtoul(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && port > 0 && port <= 65535;
}

static bool
is_unicast4(const char *text)
{
    struct in_addr address;
    uint32_t first;

    if (inet_pton(AF_INET, text, &address) != 1)
        return false;
    first = ntohl(address.s_addr) >> 24;
    return first > 0 && first < 224; /* neither this network, multicast, reserved nor broadcast */
}

static bool
is_unicast6(const char *text)
{
    char plain[INET6_ADDRSTRLEN];
    struct in6_addr address;
    size_t len = strlen(text);

    if (len < 2 || text[0] != '[' || text[len - 1] != ']' || len - 2 >= sizeof(plain))
        return false;
    memcpy(plain, text + 1, len - 2);
    plain[len - 2] = '\0';
    if (inet_pton(AF_INET6, plain, &address) != 1)
        return false;
    return !IN6_IS_ADDR_UNSPECIFIED(&address) && !IN6_IS_ADDR_MULTICAST(&address) &&
           !IN6_IS_ADDR_V4MAPPED(&address);
}

static bool
is_sendable(const char *host, int family)
{
    return family == AF_INET6 ? is_unicast6(host) : is_unicast4(host);
}

bool
inlet_is_answerable(const sip_via_t *via, int family)
{
    if (via->v_rport)
        return true;
    return is_port(via->v_port) && (!via->v_maddr || is_sendable(via->v_maddr, family));
}

/* ---- the message ---- */

/* A maddr that leads nowhere would be the response's destination. */
static void
drop_maddr(sip_via_t *via, int family)
{
    if (via->v_maddr && !is_sendable(via->v_maddr, family))
        msg_header_remove_param(via->v_common, "maddr");
}

static const char *
protocol_of(const tport_t *transport)
{
    const char *name = tport_name(transport)->tpn_proto;

    if (strcasecmp(name, "tls") == 0)
        return sip_transport_tls;
    return strcasecmp(name, "tcp") == 0 ? sip_transport_tcp : sip_transport_udp;
}

/* The library compares what follows the first seven characters of a branch without looking whether
 * there are seven. */
static bool
is_comparable(const char *branch)
{
    return !branch || strlen(branch) >= BRANCH_CHARS_MIN;
}

static void
take_at_its_place(const tport_t *transport, sip_via_t *via)
{
    const char *protocol = protocol_of(transport);

    if (is_comparable(via->v_branch) && via->v_protocol &&
        strcasecmp(via->v_protocol, protocol) == 0)
        return;
    inlet.via = via;
    inlet.was_protocol = via->v_protocol;
    inlet.was_branch = via->v_branch;
    via->v_protocol = protocol;
    if (!is_comparable(via->v_branch))
        via->v_branch = NULL;
}

void
inlet_restore(sip_t *sip)
{
    if (inlet.via && sip->sip_via == inlet.via) {
        sip->sip_via->v_protocol = inlet.was_protocol;
        sip->sip_via->v_branch = inlet.was_branch;
    }
    inlet.via = NULL;
}

/* ---- header fields that stand once (RFC 3261 section 7.3.1) ---- */

/* The library keeps a second one, and asserts that there is none when it writes the message. */
static bool
has_repeated(msg_t *msg)
{
    msg_hclass_t *seen[SINGLE_FIELDS_MAX];
    size_t count = 0;

    for (const msg_header_t *h = *msg_chain_head(msg); h; h = h->sh_succ) {
        if (h->sh_class->hc_kind != msg_kind_single)
            continue;
        for (size_t i = 0; i < count; i++)
            if (seen[i] == h->sh_class)
                return true;
        if (count < SINGLE_FIELDS_MAX)
            seen[count++] = h->sh_class;
    }
    return false;
}

/* ---- lines that could not be read ---- */

/* What could not be read stands in the list as an error or as a field of its own class. */
static bool
has_bad(const sip_t *sip, msg_hclass_t *class, const char *short_name)
{
    for (const sip_error_t *e = sip->sip_error; e; e = e->er_next) {
        const sip_header_t *bad = (const sip_header_t *)e;
        const char *name = bad->sh_class == sip_error_class ? e->er_name : NULL;

        if (bad->sh_class == class)
            return true;
        if (name && (strcasecmp(name, class->hc_name) == 0 || strcasecmp(name, short_name) == 0))
            return true;
    }
    return false;
}

/* On a connection the next element would take the length at its word, or not at all. */
static bool
has_bad_length(const sip_t *sip)
{
    return has_bad(sip, sip_content_length_class, "l");
}

/* Without it the phone would be called elsewhere than it asks for (RFC 3327 section 5.3). */
static bool
has_bad_path(const sip_t *sip)
{
    return sip->sip_request->rq_method == sip_method_register &&
           has_bad(sip, sip_path_class, "Path");
}

void
inlet_drop_unreadable(msg_t *msg, sip_t *sip)
{
    while (sip->sip_error) {
        sip_error_t *bad = sip->sip_error;

        sip->sip_error = bad->er_next; /* it may be of a class of its own: a second To, say */
        bad->er_next = NULL;
        msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)bad);
    }
}

/* ---- on connections ---- */

static const char *
bad_field(const sip_t *sip)
{
    const sip_header_t *bad = (const sip_header_t *)sip->sip_error;

    if (!bad)
        return "what it lacks";
    if (bad->sh_class == sip_error_class)
        return bad->sh_error->er_name ? bad->sh_error->er_name : "a line";
    return bad->sh_class->hc_name ? bad->sh_class->hc_name : "a line";
}

static bool
is_bad(const sip_t *sip)
{
    return sip->sip_error || (sip->sip_flags & MSG_FLG_ERROR) || sip_sanity_check(sip) < 0;
}

/* A connection may carry the calls of many: the library would end it for one bad message.  What can
 * be answered is, and the connection stays (lost.h); an ACK is discarded.  So is what cannot be
 * answered, between nodes; a phone hears by the end of its connection.  True: discarded. */
static bool
is_bad_on_connection(const tport_t *transport, const sip_t *sip)
{
    bool is_node = strcasecmp(tport_name(transport)->tpn_proto, "tls") == 0;

    if (!is_bad(sip))
        return false;
    if (is_node)
        log_write(LOG_LEVEL_REMOTE, "sip", "%s from node %s malformed: %s",
                  sip->sip_request->rq_method_name, tport_name(transport)->tpn_host,
                  bad_field(sip));
    inlet.is_mute = !sip->sip_via && !is_node;
    if (!sip->sip_via)
        return true;
    return sip->sip_request->rq_method == sip_method_ack;
}

bool
inlet_keeps_connection(void)
{
    return inlet.is_framed;
}

/* The library reads no further, and would leave the connection open. */
static bool
is_no_sip(const tport_t *transport, msg_t *msg)
{
    return tport_is_stream(transport) && tport_is_secondary(transport) && msg_has_error(msg) &&
           !*msg_chain_head(msg);
}

/* False: it is not to be delivered. */
static bool
look_at(tport_t *transport, msg_t *msg)
{
    sip_t *sip = sip_object(msg);
    sip_via_t *via;
    const su_sockaddr_t *from = msg_addr(msg);

    if (!sip || (!sip->sip_request && !sip->sip_status))
        return true;
    inlet.is_framed =
        (sip->sip_flags & (MSG_FLG_ERROR | MSG_FLG_TOOLARGE)) == 0 && !has_bad_length(sip);
    if (!inlet.is_framed || first_line_is_unreadable(sip))
        sip->sip_flags |= MSG_FLG_ERROR; /* the library then answers 400 */
    if (!sip->sip_request) {
        inlet_drop_unreadable(msg, sip);
        if (strcasecmp(tport_name(transport)->tpn_proto, "tls") != 0 && size_is_response_huge(msg))
            return false;
        return (sip->sip_flags & MSG_FLG_ERROR) == 0 && !has_repeated(msg) &&
               !client_on_response(sip);
    }
    if (has_repeated(msg) || has_bad_path(sip))
        sip->sip_flags |= MSG_FLG_ERROR;
    via = sip->sip_via;
    if (tport_is_stream(transport) && inlet.is_framed && is_bad_on_connection(transport, sip))
        return false;
    if (!via || !sip->sip_cseq || !sip->sip_call_id)
        return true;
    if (!tport_is_stream(transport) && !inlet_is_answerable(via, from->su_family)) {
        discarded++;
        return false;
    }
    if ((sip->sip_flags & MSG_FLG_ERROR) == 0 && finished_on_request(sip, transport))
        return false;
    drop_maddr(via, from->su_family);
    take_at_its_place(transport, via);
    return true;
}

/* The library has lost its place in what this connection carries (tport.c, tport_parse()). */
static bool
is_broken(const tport_t *transport, msg_t *msg)
{
    return inlet.on_broken && tport_is_stream(transport) &&
           (sip_object(msg)->sip_flags & (MSG_FLG_TOOLARGE | MSG_FLG_ERROR));
}

void tport_deliver(tport_t *self, msg_t *msg, msg_t *next, struct tport_compressor *compressor,
                   su_time_t now);

void
tport_deliver(tport_t *self, msg_t *msg, msg_t *next, struct tport_compressor *compressor,
              su_time_t now)
{
    static _Atomic(void *) found;
    deliver_function *library;
    void *at = found;
    bool is_over = inlet.is_open && is_no_sip(self, msg);
    bool ends = is_broken(self, msg);
    su_sockaddr_t from = *msg_addr(msg);

    if (!at) {
        at = dlsym(RTLD_NEXT, "tport_deliver");
        found = at;
    }
    *(void **)&library = at; /* POSIX's way from an object pointer to a function */
    inlet.via = NULL;
    inlet.is_framed = false;
    if (inlet.is_open && !look_at(self, msg))
        msg_destroy(msg);
    else
        library(self, msg, next, compressor, now);
    inlet.via = NULL;
    inlet.is_framed = false;
    if (is_over || inlet.is_mute)
        tport_shutdown(self, 2);
    inlet.is_mute = false;
    if (ends)
        inlet.on_broken(inlet.ctx, &from);
}
