#include "gateway/settings.h"

#include <stdio.h>
#include <string.h>

#include "gateway/plugin.h"

/* Both are char arrays; the destination is never smaller than what config/ lets through, and a
 * longer text would have been refused there. */
static void
copy(char *out, size_t out_bytes, const char *text)
{
    snprintf(out, out_bytes, "%s", text);
}

/* The text behind "tls:" in "tls:127.1.0.1:5062". */
static const char *
without_scheme(const char *listen)
{
    const char *colon = strchr(listen, ':');

    return colon ? colon + 1 : listen;
}

/* Credentials are part of the configuration: whatever is wrong with them is told as a mistake in
 * it.
 */
static enum status
load_identity(const struct config *c, const struct config_overlay *o, const char *user,
              struct identity **ret_identity, struct why *why)
{
    char is[ID_TEXT_BYTES], wanted[ID_TEXT_BYTES];
    struct why cause = {""};
    struct id expected;
    enum status st = identity_load(o->credentials, o->name, ret_identity, &cause);

    if (st != ST_OK)
        return why_set(why, st == ST_NOMEM ? st : ST_CONFIG, "%s:%d: credentials: %s", c->file,
                       o->line, cause.text[0] ? cause.text : status_text(st));
    identity_node_of_address(c->node.address, &expected);
    if (!id_equal(&expected, identity_node(*ret_identity)))
        return why_set(why, ST_CONFIG,
                       "%s:%d: credentials: found Node-ID %s in %s/cert.pem, allowed is %s, that "
                       "of node.address \"%s\"",
                       c->file, o->line, id_text(identity_node(*ret_identity), is), o->credentials,
                       id_text(&expected, wanted), c->node.address);
    if (strcmp(user, identity_user(*ret_identity)) != 0)
        return why_set(why, ST_CONFIG,
                       "%s:%d: credentials: found user name \"%s\" in %s/cert.pem, allowed is "
                       "\"%s\"",
                       c->file, o->line, identity_user(*ret_identity), o->credentials, user);
    return ST_OK;
}

enum status
settings_identities(const struct config *c, struct identity *ret_identity[NODE_OVERLAYS],
                    struct why *why)
{
    char user[USER_NAME_BYTES];
    enum status st;

    snprintf(user, sizeof(user), "%s@%s", c->node.name, c->local.name);
    st = load_identity(c, &c->local, user, &ret_identity[NODE_LOCAL], why);
    if (st != ST_OK || !c->global.is_set)
        return st;
    snprintf(user, sizeof(user), "overlay@%s", c->local.name);
    return load_identity(c, &c->global, user, &ret_identity[NODE_GLOBAL], why);
}

static void
settings_peer(const struct config *c, const struct config_overlay *o,
              const struct identity *identity, struct peer_conf *ret)
{
    peer_conf_defaults(ret);
    copy(ret->overlay, sizeof(ret->overlay), o->name);
    ret->self.node = *identity_node(identity);
    copy(ret->address, sizeof(ret->address), c->node.address);
    copy(ret->self.name, sizeof(ret->self.name), c->node.name);
    copy(ret->self.address, sizeof(ret->self.address), o->listen);
    copy(ret->parameters, sizeof(ret->parameters), o->parameters);
    for (size_t i = 0; i < o->bootstrap.count && i < PEER_BOOTSTRAP_MAX; i++)
        copy(ret->bootstrap[ret->bootstrap_count++], NODE_ADDRESS_BYTES, o->bootstrap.item[i]);
    if (o->bootstrap_wait_ms > 0)
        ret->bootstrap_wait_ms = o->bootstrap_wait_ms;
    if (o->reliability_ms > 0)
        ret->reliability_ms = o->reliability_ms;
    ret->update_ms = o->update_ms;
    if (o->max_records > 0)
        ret->max_records = o->max_records;
}

static void
sip_uri(char out[SIP_URI_BYTES], const char *listen)
{
    snprintf(out, SIP_URI_BYTES, "sip:%s;transport=tls", without_scheme(listen));
}

enum status
settings_topology(const struct config *c, const struct topology_ops **ret_ops, struct why *why)
{
    struct topology_conf conf = {0};
    struct peer_conf peer;
    struct why cause = {""};
    enum status st = plugin_find(c->local.plugin_dir, c->local.algorithm, ret_ops, &cause);

    if (st != ST_OK)
        return why_set(why, ST_CONFIG, "%s:%d: local-overlay.algorithm: %s", c->file, c->local.line,
                       cause.text);
    peer_conf_defaults(&peer);
    conf.update_ms = c->local.update_ms;
    conf.replica_count = peer.replica_count;
    identity_node_of_address(c->node.address, &conf.self);
    copy(conf.parameters, sizeof(conf.parameters), c->local.parameters);
    st = plugin_try(*ret_ops, &conf, &cause);
    if (st != ST_OK)
        return why_set(why, ST_CONFIG, "%s:%d: local-overlay.parameters: %s", c->file,
                       c->local.line, cause.text);
    return ST_OK;
}

enum status
settings_node(const struct config *c, struct identity *const identity[NODE_OVERLAYS],
              struct node_conf *ret, struct why *why)
{
    enum status st;

    *ret = (struct node_conf){.has_global = c->global.is_set};
    settings_peer(c, &c->local, identity[NODE_LOCAL], &ret->local);
    st = settings_topology(c, &ret->local.topology, why);
    if (st != ST_OK)
        return st;
    ret->local.topology_version = plugin_version(ret->local.topology);
    sip_uri(ret->peer_sip_uri, c->sip.peer_listen);
    settings_election(c, &ret->election);
    ret->foreign = c->local.foreign.item;
    ret->foreign_count = c->local.foreign.count;
    if (!c->global.is_set)
        return ST_OK;
    settings_peer(c, &c->global, identity[NODE_GLOBAL], &ret->global);
    ret->global.topology = topology_find("chord");
    sip_uri(ret->gateway_sip_uri, c->sip.gateway_listen);
    replica_conf_defaults(&ret->replica);
    ret->replica.calls_max = c->sip.max_calls;
    ret->certificate = identity_certificate(identity[NODE_GLOBAL]);
    return ST_OK;
}

void
settings_links(const struct config *c, enum node_overlay which, struct links_conf *ret)
{
    const struct config_overlay *o = which == NODE_LOCAL ? &c->local : &c->global;

    links_conf_defaults(ret);
    ret->overlay = o->name;
    ret->listen = o->listen;
    if (o->max_links > 0)
        ret->max_links = o->max_links;
}

void
settings_sip(const struct config *c, struct identity *const identity[NODE_OVERLAYS],
             struct sip_conf *ret)
{
    sip_conf_defaults(ret);
    copy(ret->node_name, sizeof(ret->node_name), c->node.name);
    copy(ret->address, sizeof(ret->address), c->node.address);
    ret->node = *identity_node(identity[NODE_LOCAL]);
    copy(ret->overlay, sizeof(ret->overlay), c->local.name);
    for (size_t i = 0; i < c->sip.listen.count && i < SIP_LISTEN_MAX; i++)
        copy(ret->listen[ret->listen_count++], SIP_URI_BYTES, c->sip.listen.item[i]);
    copy(ret->peer_listen, sizeof(ret->peer_listen), c->sip.peer_listen);
    copy(ret->local_credentials, sizeof(ret->local_credentials), c->local.credentials);
    if (c->global.is_set) {
        copy(ret->gateway_listen, sizeof(ret->gateway_listen), c->sip.gateway_listen);
        copy(ret->global_credentials, sizeof(ret->global_credentials), c->global.credentials);
    }
    ret->min_expires_s = c->sip.min_expires_s;
    ret->default_expires_s = c->sip.default_expires_s;
    ret->max_expires_s = c->sip.max_expires_s;
    ret->ring_timeout_s = c->sip.ring_timeout_s;
    ret->limits.connections = c->sip.max_connections;
    ret->limits.peer_connections = c->sip.max_peer_connections;
    ret->limits.gateway_connections = c->sip.max_gateway_connections;
    ret->limits.connections_per_source = c->sip.max_connections_per_source;
    ret->limits.connection_idle_s = c->sip.connection_idle_s;
    ret->limits.requests_per_source_s = c->sip.max_requests_per_source;
    ret->limits.pending_per_destination = c->sip.max_pending_per_destination;
    ret->limits.unacknowledged = c->sip.max_unacknowledged;
    ret->limits.calls = c->sip.max_calls;
    ret->limits.registrations = c->sip.max_registrations;
}

void
settings_election(const struct config *c, struct election_conf *ret)
{
    const struct config_election *e = &c->election;

    election_conf_defaults(ret);
    copy(ret->overlay, sizeof(ret->overlay), c->local.name);
    identity_node_of_address(c->node.address, &ret->self.node);
    copy(ret->self.name, sizeof(ret->self.name), c->node.name);
    copy(ret->self.address, sizeof(ret->self.address), c->local.listen);
    sip_uri(ret->sip_uri, c->sip.peer_listen);
    if (c->global.is_set)
        copy(ret->global_address, sizeof(ret->global_address), c->global.listen);
    ret->is_candidate = e->candidate && strcmp(e->role, "barred") != 0;
    ret->is_pinned = strcmp(e->role, "pinned") == 0;
    ret->hello_ms = e->hello_interval_ms;
    ret->hello_max_ms = e->hello_interval_max_ms;
    ret->hello_misses = e->hello_misses;
    ret->threshold = e->threshold;
    ret->gateways = e->gateways;
    ret->preempt = e->preempt;
    ret->margin = e->margin;
    ret->hold_ms = e->hold_s * 1000;
    ret->score.weight[SCORE_ONLINE] = e->weight_online;
    ret->score.weight[SCORE_BANDWIDTH] = e->weight_bandwidth;
    ret->score.weight[SCORE_CPU] = e->weight_cpu;
    ret->score.weight[SCORE_CALLS] = e->weight_calls;
    ret->score.weight[SCORE_MEMORY] = e->weight_memory;
    ret->score.weight[SCORE_PREFERENCE] = e->weight_preference;
    ret->score.half[SCORE_ONLINE] = e->half_online_s;
    ret->score.half[SCORE_BANDWIDTH] = e->half_bandwidth_mbit;
    ret->score.half[SCORE_CPU] = e->half_cores;
    ret->score.half[SCORE_CALLS] = e->half_calls;
    ret->score.half[SCORE_MEMORY] = e->half_memory_mib;
    ret->score.bandwidth_mbit = e->bandwidth_mbit;
    ret->score.preference = e->preference;
}
