/* The cross checks of value.h: what no single value shows. */
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#include "config/value.h"

struct check {
    const struct config *conf;
    const struct lines *lines;
    struct mistakes *mistakes;
};

/* The line of an option, or of its section where a default stands in for it. */
static int
line_of(const struct check *c, enum section section, const char *name)
{
    const struct option *o = name[0] ? schema_option(section, name) : NULL;

    if (o && c->lines->option[o - schema] > 0)
        return c->lines->option[o - schema];
    return c->lines->section[section] > 0 ? c->lines->section[section] : 1;
}

static bool
is_given(const struct check *c, enum section section)
{
    return section == SECTION_TOP || c->lines->section[section] > 0;
}

static void
check_missing(const struct check *c)
{
    for (enum section s = SECTION_NODE; s < SECTIONS; s++)
        if (section_rule[s].is_required && !is_given(c, s))
            mistake_add(c->mistakes, 1, s, "", "found no such section, it is required");
    for (size_t i = 0; i < schema_count; i++)
        if (schema[i].is_required && is_given(c, schema[i].section) && c->lines->option[i] == 0)
            mistake_add(c->mistakes, line_of(c, schema[i].section, ""), schema[i].section,
                        schema[i].name, "found no value, one is required");
}

/* A name of labels as DNS has them, so that it can be the host part of a URI. */
static bool
is_domain(const char *name)
{
    size_t label = 0;

    if (strlen(name) >= sizeof(((struct config *)0)->local.name))
        return false;
    for (; *name; name++) {
        if (*name == '.' && (label == 0 || name[-1] == '-'))
            return false;
        if (*name == '-' && label == 0)
            return false;
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-.", *name))
            return false;
        label = *name == '.' ? 0 : label + 1;
        if (label > 63)
            return false;
    }
    return label > 0 && name[-1] != '-';
}

/* Names of other overlays are worth listing only where a suffix test would take them for ours. */
static void
check_foreign(const struct check *c)
{
    const char *own = c->conf->local.name;
    size_t own_len = strlen(own);

    for (size_t i = 0; i < c->conf->local.foreign.count; i++) {
        const char *name = c->conf->local.foreign.item[i];
        size_t len = strlen(name);
        bool is_inside = len > own_len + 1 && strcmp(name + len - own_len, own) == 0 &&
                         name[len - own_len - 1] == '.';

        if (!is_domain(name) || !is_inside)
            mistake_add(c->mistakes, line_of(c, SECTION_LOCAL, "foreign"), SECTION_LOCAL, "foreign",
                        "found \"%s\", allowed is a domain name in lower case that ends in \".%s\"",
                        name, own);
    }
}

static void
check_names(const struct check *c)
{
    const struct config *conf = c->conf;
    const char *node_letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    if (is_given(c, SECTION_NODE) && conf->node.name[strspn(conf->node.name, node_letters)] != '\0')
        mistake_add(c->mistakes, line_of(c, SECTION_NODE, ""), SECTION_NODE, "",
                    "found the name \"%s\", allowed are letters, digits and - _ .",
                    conf->node.name);
    if (conf->local.name[0] && !is_domain(conf->local.name))
        mistake_add(c->mistakes, line_of(c, SECTION_LOCAL, ""), SECTION_LOCAL, "",
                    "found the name \"%s\", allowed is a domain name in lower case",
                    conf->local.name);
    if (conf->global.name[0] && !is_domain(conf->global.name))
        mistake_add(c->mistakes, line_of(c, SECTION_GLOBAL, ""), SECTION_GLOBAL, "",
                    "found the name \"%s\", allowed is a domain name in lower case",
                    conf->global.name);
    if (conf->global.name[0] && strcmp(conf->local.name, conf->global.name) == 0)
        mistake_add(c->mistakes, line_of(c, SECTION_GLOBAL, ""), SECTION_GLOBAL, "",
                    "found the name of the local overlay, allowed is another");
}

/* ---- where the node listens -------------------------------------------------------------------
 */

#define LISTEN_MAX (CONFIG_LIST_MAX + 8)

struct listening {
    enum section section;
    const char *option;
    const char *text;
    struct endpoint endpoint;
    bool is_node_address; /* has to be on node.address */
};

struct listenings {
    size_t count;
    struct listening at[LISTEN_MAX];
};

static void
add_listening(struct listenings *all, enum section section, const char *option, const char *text)
{
    struct listening *l = &all->at[all->count];
    bool is_sip = section == SECTION_SIP;

    if (text[0] == '\0' || all->count == LISTEN_MAX)
        return;
    *l = (struct listening){.section = section, .option = option, .text = text};
    l->is_node_address = section != SECTION_CONTROL;
    if (endpoint_parse(text, is_sip, &l->endpoint) == ST_OK)
        all->count++;
}

static bool
is_same_port(const struct endpoint *a, const struct endpoint *b)
{
    bool is_udp = strcmp(a->transport, "udp") == 0;

    return is_udp == (strcmp(b->transport, "udp") == 0) && a->port == b->port &&
           strcmp(a->ip, b->ip) == 0;
}

static void
check_listenings(const struct check *c, const struct listenings *all)
{
    struct endpoint node;
    bool has_node = endpoint_parse(c->conf->node.address, false, &node) == ST_OK;

    for (size_t i = 0; i < all->count; i++) {
        const struct listening *l = &all->at[i];
        int line = line_of(c, l->section, l->option);

        if (l->is_node_address && has_node && strcmp(l->endpoint.ip, node.ip) != 0)
            mistake_add(c->mistakes, line, l->section, l->option,
                        "found \"%s\", allowed is an address that belongs to node.address, %s",
                        l->text, node.ip);
        for (size_t j = 0; j < i; j++) {
            char other[128];

            if (!is_same_port(&l->endpoint, &all->at[j].endpoint))
                continue;
            schema_label(all->at[j].section, all->at[j].option, other, sizeof(other));
            mistake_add(c->mistakes, line, l->section, l->option,
                        "found \"%s\", it is used by %s in line %d already", l->text, other,
                        line_of(c, all->at[j].section, all->at[j].option));
            break;
        }
    }
}

static void
check_ports(const struct check *c)
{
    struct listenings all = {.count = 0};

    add_listening(&all, SECTION_LOCAL, "listen", c->conf->local.listen);
    add_listening(&all, SECTION_GLOBAL, "listen", c->conf->global.listen);
    for (size_t i = 0; i < c->conf->sip.listen.count; i++)
        add_listening(&all, SECTION_SIP, "listen", c->conf->sip.listen.item[i]);
    add_listening(&all, SECTION_SIP, "gateway-listen", c->conf->sip.gateway_listen);
    add_listening(&all, SECTION_SIP, "peer-listen", c->conf->sip.peer_listen);
    add_listening(&all, SECTION_CONTROL, "http", c->conf->control.http);
    check_listenings(c, &all);
}

static void
check_limits(const struct check *c)
{
    const struct config *conf = c->conf;
    const struct config_election *e = &conf->election;
    size_t room = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

    if (conf->sip.min_expires_s > conf->sip.default_expires_s)
        mistake_add(c->mistakes, line_of(c, SECTION_SIP, "min-expires"), SECTION_SIP, "min-expires",
                    "found %u s, allowed is up to default-expires, %u s", conf->sip.min_expires_s,
                    conf->sip.default_expires_s);
    if (conf->sip.default_expires_s > conf->sip.max_expires_s)
        mistake_add(c->mistakes, line_of(c, SECTION_SIP, "max-expires"), SECTION_SIP, "max-expires",
                    "found %u s, allowed is default-expires, %u s, or more",
                    conf->sip.max_expires_s, conf->sip.default_expires_s);
    if (strlen(conf->control.socket) > room)
        mistake_add(c->mistakes, line_of(c, SECTION_CONTROL, "socket"), SECTION_CONTROL, "socket",
                    "found a path of %zu bytes, allowed are %zu", strlen(conf->control.socket),
                    room);
    if (e->hello_interval_max_ms > 0 && e->hello_interval_max_ms < e->hello_interval_ms)
        mistake_add(c->mistakes, line_of(c, SECTION_ELECTION, "hello-interval-max"),
                    SECTION_ELECTION, "hello-interval-max",
                    "found %u ms, allowed is hello-interval, %u ms, or more; 0 is ten times that",
                    e->hello_interval_max_ms, e->hello_interval_ms);
    if (!e->candidate && strcmp(e->role, "pinned") == 0)
        mistake_add(c->mistakes, line_of(c, SECTION_ELECTION, "role"), SECTION_ELECTION, "role",
                    "found \"pinned\" with candidate = false, allowed is one of them");
    if (e->weight_online + e->weight_bandwidth + e->weight_cpu + e->weight_calls +
            e->weight_memory + e->weight_preference ==
        0)
        mistake_add(c->mistakes, line_of(c, SECTION_ELECTION, ""), SECTION_ELECTION, "",
                    "found only weights of 0, allowed is at least one above");
}

void
value_check_all(const struct config *conf, const struct lines *lines, struct mistakes *mistakes)
{
    const struct check check = {.conf = conf, .lines = lines, .mistakes = mistakes};

    check_missing(&check);
    check_names(&check);
    check_foreign(&check);
    check_ports(&check);
    check_limits(&check);
}
