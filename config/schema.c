#include "config/schema.h"

#include <stdio.h>
#include <string.h>

const struct section_rule section_rule[SECTIONS] = {
    [SECTION_TOP] = {"", NULL, false},
    [SECTION_NODE] = {"node", "NODE", true},
    [SECTION_LOCAL] = {"local-overlay", "OVERLAY", true},
    [SECTION_GLOBAL] = {"global-overlay", "OVERLAY", false},
    [SECTION_ELECTION] = {"election", NULL, false},
    [SECTION_SIP] = {"sip", NULL, false},
    [SECTION_CONTROL] = {"control", NULL, false},
};

#define AT(member)      .offset = offsetof(struct config, member)
#define TEXT_AT(member) AT(member), .bytes = sizeof(((struct config *)0)->member)
#define NUMBER(where, option, member, low, high, what, value)                                      \
    {                                                                                              \
        .section = where, .name = option, .type = OPTION_NUMBER, AT(member), .min = low,           \
        .max = high, .unit = what, .initial = value                                                \
    }
#define BOOL(where, option, member, value)                                                         \
    {                                                                                              \
        .section = where, .name = option, .type = OPTION_BOOL, AT(member), .initial = value        \
    }
/* Known from the design's example, and not built yet: to be told so is better than "unknown". */
#define LATER(where, option)                                                                       \
    {                                                                                              \
        .section = where, .name = option, .type = OPTION_TEXT, .is_list = true, .refused = "*"     \
    }
/* What both kinds of overlay have. */
#define OVERLAY(where, overlay)                                                                    \
    {.section = where,                                                                             \
     .name = "listen",                                                                             \
     .type = OPTION_ENDPOINT,                                                                      \
     .is_required = true,                                                                          \
     TEXT_AT(overlay.listen)},                                                                     \
        {.section = where,                                                                         \
         .name = "bootstrap",                                                                      \
         .type = OPTION_ENDPOINT,                                                                  \
         .is_list = true,                                                                          \
         AT(overlay.bootstrap)},                                                                   \
        LATER(where, "bootstrap-url"), LATER(where, "bootstrap-broadcast"),                        \
        NUMBER(where, "bootstrap-wait", overlay.bootstrap_wait_ms, 100, 60000, "ms", "2000"),      \
        NUMBER(where, "reliability-timer", overlay.reliability_ms, 50, 60000, "ms", "500"),        \
        NUMBER(where, "update-interval", overlay.update_ms, 0, 3600000, "ms", "0"),                \
        NUMBER(where, "max-links", overlay.max_links, 8, 65536, "", "512"),                        \
        NUMBER(where, "max-records", overlay.max_records, 100, 10000000, "", "200000"),            \
        {.section = where,                                                                         \
         .name = "credentials",                                                                    \
         .type = OPTION_PATH,                                                                      \
         .is_required = true,                                                                      \
         TEXT_AT(overlay.credentials)},                                                            \
    {                                                                                              \
        .section = where, .name = "security", .type = OPTION_CHOICE, TEXT_AT(overlay.security),    \
        .allowed = "tls", .initial = "tls", .refused = "none"                                      \
    }

const struct option schema[] = {
    {.section = SECTION_TOP,
     .name = "log-level",
     .type = OPTION_CHOICE,
     TEXT_AT(log_level),
     .allowed = "error|warn|remote|info|debug",
     .initial = "info"},

    {.section = SECTION_NODE,
     .name = "address",
     .type = OPTION_ADDRESS,
     .is_required = true,
     TEXT_AT(node.address)},
    {.section = SECTION_NODE,
     .name = "state-dir",
     .type = OPTION_PATH,
     TEXT_AT(node.state_dir),
     .initial = "/var/lib/ringway"},

    {.section = SECTION_LOCAL,
     .name = "algorithm",
     .type = OPTION_PLUGIN,
     TEXT_AT(local.algorithm),
     .initial = "chord"},
    {.section = SECTION_LOCAL,
     .name = "plugin-dir",
     .type = OPTION_PATH,
     TEXT_AT(local.plugin_dir),
     .initial = "/usr/lib/ringway/plugins"},
    {.section = SECTION_LOCAL,
     .name = "parameters",
     .type = OPTION_TEXT,
     TEXT_AT(local.parameters)},
    {.section = SECTION_LOCAL,
     .name = "foreign",
     .type = OPTION_TEXT,
     .is_list = true,
     AT(local.foreign)},
    OVERLAY(SECTION_LOCAL, local),
    OVERLAY(SECTION_GLOBAL, global),

    BOOL(SECTION_ELECTION, "candidate", election.candidate, "true"),
    {.section = SECTION_ELECTION,
     .name = "role",
     .type = OPTION_CHOICE,
     TEXT_AT(election.role),
     .allowed = "auto|pinned|barred",
     .initial = "auto"},
    NUMBER(SECTION_ELECTION, "hello-interval", election.hello_interval_ms, 10, 60000, "ms", "100"),
    NUMBER(SECTION_ELECTION, "hello-interval-max", election.hello_interval_max_ms, 0, 600000, "ms",
           "0"),
    NUMBER(SECTION_ELECTION, "hello-misses", election.hello_misses, 1, 20, "", "3"),
    NUMBER(SECTION_ELECTION, "threshold", election.threshold, 0, 1000, "", "200"),
    NUMBER(SECTION_ELECTION, "gateways", election.gateways, 1, 8, "", "1"),
    BOOL(SECTION_ELECTION, "preempt", election.preempt, "false"),
    NUMBER(SECTION_ELECTION, "margin", election.margin, 0, 1000, "", "100"),
    NUMBER(SECTION_ELECTION, "hold-time", election.hold_s, 1, 86400, "s", "60"),
    NUMBER(SECTION_ELECTION, "bandwidth", election.bandwidth_mbit, 0, 1000000, "Mbit/s", "0"),
    NUMBER(SECTION_ELECTION, "weight-online", election.weight_online, 0, 100, "", "25"),
    NUMBER(SECTION_ELECTION, "weight-bandwidth", election.weight_bandwidth, 0, 100, "", "25"),
    NUMBER(SECTION_ELECTION, "weight-cpu", election.weight_cpu, 0, 100, "", "25"),
    NUMBER(SECTION_ELECTION, "weight-calls", election.weight_calls, 0, 100, "", "10"),
    NUMBER(SECTION_ELECTION, "weight-memory", election.weight_memory, 0, 100, "", "10"),
    NUMBER(SECTION_ELECTION, "weight-preference", election.weight_preference, 0, 100, "", "5"),
    NUMBER(SECTION_ELECTION, "preference", election.preference, 0, 1000, "", "500"),
    NUMBER(SECTION_ELECTION, "half-online", election.half_online_s, 1, 31536000, "s", "3600"),
    NUMBER(SECTION_ELECTION, "half-bandwidth", election.half_bandwidth_mbit, 1, 1000000, "Mbit/s",
           "100"),
    NUMBER(SECTION_ELECTION, "half-cores", election.half_cores, 1, 1024, "", "1"),
    NUMBER(SECTION_ELECTION, "half-calls", election.half_calls, 1, 1000000, "", "100"),
    NUMBER(SECTION_ELECTION, "half-memory", election.half_memory_mib, 1, 1048576, "MiB", "512"),

    {.section = SECTION_SIP,
     .name = "listen",
     .type = OPTION_SIP,
     .is_list = true,
     AT(sip.listen),
     .allowed = "udp|tcp"},
    {.section = SECTION_SIP,
     .name = "gateway-listen",
     .type = OPTION_SIP,
     TEXT_AT(sip.gateway_listen),
     .allowed = "tls"},
    {.section = SECTION_SIP,
     .name = "peer-listen",
     .type = OPTION_SIP,
     TEXT_AT(sip.peer_listen),
     .allowed = "tls"},
    {.section = SECTION_SIP,
     .name = "authentication",
     .type = OPTION_CHOICE,
     TEXT_AT(sip.authentication),
     .allowed = "none",
     .initial = "none",
     .refused = "digest"},
    NUMBER(SECTION_SIP, "min-expires", sip.min_expires_s, 1, 3600, "s", "60"),
    NUMBER(SECTION_SIP, "default-expires", sip.default_expires_s, 1, 604800, "s", "3600"),
    NUMBER(SECTION_SIP, "max-expires", sip.max_expires_s, 1, 604800, "s", "7200"),
    NUMBER(SECTION_SIP, "ring-timeout", sip.ring_timeout_s, 181, 3600, "s", "185"),
    NUMBER(SECTION_SIP, "max-connections", sip.max_connections, 1, 1000000, "", "1024"),
    NUMBER(SECTION_SIP, "max-peer-connections", sip.max_peer_connections, 1, 1000000, "", "1024"),
    NUMBER(SECTION_SIP, "max-gateway-connections", sip.max_gateway_connections, 1, 1000000, "",
           "1024"),
    NUMBER(SECTION_SIP, "max-connections-per-source", sip.max_connections_per_source, 1, 1000000,
           "", "256"),
    NUMBER(SECTION_SIP, "connection-idle", sip.connection_idle_s, 32, 86400, "s", "600"),
    NUMBER(SECTION_SIP, "max-requests-per-source", sip.max_requests_per_source, 1, 1000000, "/s",
           "200"),
    NUMBER(SECTION_SIP, "max-pending-per-destination", sip.max_pending_per_destination, 1, 100000,
           "", "100"),
    NUMBER(SECTION_SIP, "max-unacknowledged", sip.max_unacknowledged, 1, 1000000, "", "1000"),
    NUMBER(SECTION_SIP, "max-calls", sip.max_calls, 1, 1000000, "", "10000"),
    NUMBER(SECTION_SIP, "max-registrations", sip.max_registrations, 1, 10000000, "", "100000"),

    {.section = SECTION_CONTROL,
     .name = "socket",
     .type = OPTION_PATH,
     TEXT_AT(control.socket),
     .initial = "/run/ringway/control.sock"},
    {.section = SECTION_CONTROL, .name = "http", .type = OPTION_ENDPOINT, TEXT_AT(control.http)},
};
const size_t schema_count = sizeof(schema) / sizeof(schema[0]);
_Static_assert(sizeof(schema) / sizeof(schema[0]) <= OPTION_MAX, "OPTION_MAX is too small");

enum section
schema_section(const char *name)
{
    for (enum section s = SECTION_NODE; s < SECTIONS; s++)
        if (strcmp(section_rule[s].name, name) == 0)
            return s;
    return SECTIONS;
}

const struct option *
schema_option(enum section section, const char *name)
{
    for (size_t i = 0; i < schema_count; i++)
        if (schema[i].section == section && strcmp(schema[i].name, name) == 0)
            return &schema[i];
    return NULL;
}

static void
add_name(char *out, size_t out_bytes, const char *name)
{
    size_t used = strlen(out);

    snprintf(out + used, out_bytes - used, "%s%s", used > 0 ? ", " : "", name);
}

void
schema_names(enum section section, char *out, size_t out_bytes)
{
    out[0] = '\0';
    for (size_t i = 0; i < schema_count; i++)
        if (schema[i].section == section && !(schema[i].refused && schema[i].refused[0] == '*'))
            add_name(out, out_bytes, schema[i].name);
    for (enum section s = SECTION_NODE; section == SECTION_TOP && s < SECTIONS; s++)
        add_name(out, out_bytes, section_rule[s].name);
}

void
schema_label(enum section section, const char *option, char *out, size_t out_bytes)
{
    const char *in = section_rule[section].name;

    snprintf(out, out_bytes, "%s%s%s", in, in[0] && option[0] ? "." : "", option);
}
