#include "gateway/sip/header_policy.h"

#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_extra.h>

#include "base/aor.h"

#define PHONES   (1u << SIP_PHONES)
#define PEERS    (1u << SIP_PEERS)
#define GATEWAYS (1u << SIP_GATEWAYS)

struct header_rule {
    const char *name;
    unsigned from; /* sides whose word is taken */
    unsigned to;   /* sides it is passed on to */
    bool is_identity;
};

static const struct header_rule rules[] = {
    {HEADER_OVERLAY_ID, GATEWAYS, 0, false},
    {HEADER_NODE_ID, GATEWAYS, 0, false},
    {HEADER_GATEWAY_TERM, GATEWAYS, 0, false},
    {HEADER_ACTIVE_GATEWAY, PEERS, 0, false},
    {HEADER_PHONE_VIA, PEERS, 0, false},
    {HEADER_ASSERTED_IDENTITY, PEERS | GATEWAYS, PHONES | PEERS | GATEWAYS, true},
    {"Remote-Party-ID", PEERS | GATEWAYS, PHONES | PEERS | GATEWAYS, true},
    {"P-Preferred-Identity", 0, 0, true},
};

static const struct header_rule *
rule_of(const char *name)
{
    for (size_t i = 0; name && i < sizeof(rules) / sizeof(rules[0]); i++)
        if (strcasecmp(rules[i].name, name) == 0)
            return &rules[i];
    return NULL;
}

const char *
header_find(const sip_t *sip, const char *name)
{
    for (const sip_unknown_t *u = sip->sip_unknown; u; u = u->un_next)
        if (u->un_name && strcasecmp(u->un_name, name) == 0)
            return u->un_value;
    return NULL;
}

/* The URIs of a list of name-addr and addr-spec; NULL for what is none. */
static const sip_contact_t *
identities_of(msg_t *msg, const char *value)
{
    return value ? sip_contact_make(msg_home(msg), value) : NULL;
}

/* May the sender name all these users?  An active gateway of ours has asked this before of the
 * gateway it had them from; a far gateway whose name is a part of ours may not name ours. */
static bool
may_name(const struct sip *s, msg_t *msg, const char *value, const struct sip_sender *sender)
{
    const sip_contact_t *m = identities_of(msg, value);

    if (sender->side == SIP_PEERS && sender->is_active_gateway)
        return true;
    for (const sip_contact_t *at = m; at; at = at->m_next) {
        const url_t *url = at->m_url;
        bool is_sip = url->url_type == url_sip || url->url_type == url_sips;
        bool is_ours = is_sip && sip_domain_is_local(s, url->url_host);

        if (!is_sip || (sender->side == SIP_PEERS) != is_ours || aor_has_control(url->url_user) ||
            !sip_domain_is_of(sender->side == SIP_PEERS ? s->conf.overlay : sender->overlay,
                              url->url_host))
            return false;
    }
    return m != NULL;
}

void
headers_accept(const struct sip *s, msg_t *msg, sip_t *sip, const struct sip_sender *sender)
{
    sip_unknown_t *next;

    for (sip_unknown_t *u = sip->sip_unknown; u; u = next) {
        const struct header_rule *rule = rule_of(u->un_name);

        next = u->un_next;
        if (rule && (!(rule->from & 1u << sender->side) ||
                     (rule->is_identity && !may_name(s, msg, u->un_value, sender))))
            msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)u);
    }
}

void
headers_accept_response(struct sip_agent *agent, msg_t *msg)
{
    sip_t *sip = msg ? sip_object(msg) : NULL;
    struct sip_sender sender;
    bool is_of_table = false;

    for (const sip_unknown_t *u = sip ? sip->sip_unknown : NULL; u; u = u->un_next)
        is_of_table = is_of_table || rule_of(u->un_name);
    if (!is_of_table)
        return; /* a certificate need not be read for it */
    if (sip_sender_of(agent, msg, &sender))
        sender = (struct sip_sender){.side = SIP_PHONES};
    headers_accept(agent->sip, msg, sip, &sender);
}

static bool
is_private(const sip_t *sip)
{
    const sip_privacy_t *privacy = sip->sip_privacy;

    if (header_is_anonymous(sip))
        return true;
    for (size_t i = 0; privacy && privacy->priv_values && privacy->priv_values[i]; i++)
        if (strcasecmp(privacy->priv_values[i], "id") == 0) /* RFC 3325 section 9.3 */
            return true;
    return false;
}

void
headers_release(msg_t *msg, sip_t *sip, enum sip_side side)
{
    sip_unknown_t *next;

    for (sip_unknown_t *u = sip->sip_unknown; u; u = next) {
        const struct header_rule *rule = rule_of(u->un_name);

        next = u->un_next;
        if (rule && (!(rule->to & 1u << side) ||
                     (rule->is_identity && side == SIP_PHONES && is_private(sip))))
            msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)u);
    }
}

bool
header_is_anonymous(const sip_t *sip)
{
    const char *host = sip->sip_from->a_url->url_host;
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    return len == strlen("anonymous.invalid") && strncasecmp(host, "anonymous.invalid", len) == 0;
}

enum status
header_asserted_aor(const sip_t *sip, char ret_aor[AOR_BYTES])
{
    const char *value = header_find(sip, HEADER_ASSERTED_IDENTITY);
    su_home_t home[1] = {SU_HOME_INIT(home)};
    const sip_contact_t *m = value ? sip_contact_make(home, value) : NULL;
    enum status st = m ? sip_aor_of(m->m_url, ret_aor) : ST_NOT_FOUND;

    su_home_deinit(home);
    return st;
}

enum status
header_assert(msg_t *msg, sip_t *sip, const char *aor)
{
    char uri[AOR_URI_BYTES(AOR_BYTES)];
    enum status st = aor_to_uri(aor, uri, sizeof(uri));

    if (st)
        return st;
    if (sip_add_make(msg, sip, sip_unknown_class,
                     su_sprintf(msg_home(msg), HEADER_ASSERTED_IDENTITY ": <%s>", uri)) < 0 ||
        (!sip->sip_privacy && sip_add_make(msg, sip, sip_privacy_class, "id") < 0))
        return ST_NOMEM;
    return ST_OK;
}

static bool
is_challenge(const sip_t *sip)
{
    int status = sip && sip->sip_status ? sip->sip_status->st_status : 0;

    return status == 401 || status == 407;
}

void
header_add_challenges(msg_t *to, const sip_t *from)
{
    sip_t *sip = to ? sip_object(to) : NULL;
    const msg_auth_t *list[2] = {NULL, NULL};

    if (!is_challenge(sip) || !is_challenge(from) || sip == from)
        return;
    list[0] = from->sip_www_authenticate;
    list[1] = from->sip_proxy_authenticate;
    for (size_t i = 0; i < 2; i++)
        for (const msg_auth_t *at = list[i]; at; at = at->au_next) {
            sip_header_t *copy =
                (sip_header_t *)msg_header_dup_one(msg_home(to), (const msg_header_t *)at);

            if (!copy || sip_header_insert(to, sip, copy) < 0)
                return; /* no memory: the caller answers the challenges that are there */
        }
}
