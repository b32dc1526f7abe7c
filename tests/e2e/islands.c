/**
 * Islands of SIP nodes without overlays: sip_start() for each node, and a table in memory in place
 * of what the overlays would hold.  For tests of the SIP side alone.
 *
 *     islands FOLDER pastry=127.31.1.1,127.31.1.2 can=127.31.2.1
 *
 * The first node of an island is its gateway.  Ports: 5060 udp and tcp, 5061 gateway-listen, 5062
 * peer-listen.  Lines on stdin: "calls" and "registrations" are answered, the end of it stops all.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "gateway/sip/sip.h"
#include "peer-protocol/identity/authority.h"
#include "peer-protocol/identity/identity.h"

#define ISLANDS_MAX  4
#define NODES_MAX    8
#define BINDINGS_MAX 4096

struct island;

struct test_node {
    struct island *island;
    struct sip_conf conf;
    struct sip *sip;
    struct bridge_upward upward;
};

struct island {
    char name[OVERLAY_NAME_BYTES];
    size_t count;
    struct test_node node[NODES_MAX];
};

static struct island islands[ISLANDS_MAX];
static size_t island_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct binding_record *table[BINDINGS_MAX];
static size_t table_count;
static uint64_t lookups, resolves;

static void
fatal(const char *what, const char *why)
{
    fprintf(stderr, "islands: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static struct bridge_message *
answer_to(const struct bridge_message *m, enum bridge_type type, size_t count, size_t bytes)
{
    struct bridge_message *a = bridge_new(type, m->token, count, bytes);

    if (!a)
        fatal("bridge", "out of memory");
    memcpy(a->name, m->name, sizeof(a->name));
    return a;
}

static struct bridge_message *
bind_aor(const struct bridge_message *m)
{
    const struct binding_record *record = &m->binding[0];
    size_t i = 0;

    while (i < table_count &&
           (strcmp(table[i]->aor, record->aor) != 0 || strcmp(table[i]->path, record->path) != 0))
        i++;
    if (i == table_count && table_count < BINDINGS_MAX)
        table[table_count++] = calloc(1, sizeof(*record));
    if (i < table_count)
        *table[i] = *record;
    return answer_to(m, BRIDGE_BOUND, 0, 0);
}

static struct bridge_message *
look_up(const struct bridge_message *m)
{
    size_t count = 0;
    struct bridge_message *a;

    lookups++;
    for (size_t i = 0; i < table_count; i++)
        count += strcmp(table[i]->aor, m->name) == 0 ? 1 : 0;
    a = answer_to(m, BRIDGE_BINDINGS, count, sizeof(struct binding_record));
    a->status = count ? ST_OK : ST_NOT_FOUND;
    a->lifetime_ms = count ? 1000 : 100;
    for (size_t i = 0, k = 0; i < table_count; i++)
        if (strcmp(table[i]->aor, m->name) == 0)
            a->binding[k++] = *table[i];
    return a;
}

/** The island whose name is the longest suffix of a domain, by whole labels. */
static struct island *
island_of(const char *domain)
{
    for (const char *at = domain; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL)
        for (size_t i = 0; i < island_count; i++)
            if (strcasecmp(islands[i].name, at) == 0)
                return &islands[i];
    return NULL;
}

static struct bridge_message *
resolve(const struct bridge_message *m)
{
    struct island *island = island_of(m->name);
    struct bridge_message *a =
        answer_to(m, BRIDGE_ROUTES, island ? 1 : 0, sizeof(struct bridge_gateway));

    resolves++;
    a->status = island ? ST_OK : ST_NOT_FOUND;
    a->lifetime_ms = 5000;
    if (!island)
        return a;
    memcpy(a->overlay, island->name, sizeof(a->overlay));
    a->gateway[0].node = island->node[0].conf.node;
    snprintf(a->gateway[0].uri, sizeof(a->gateway[0].uri),
             "sip:%s:5061;transport=tls;term=1;priority=0;weight=0", island->node[0].conf.address);
    return a;
}

static struct bridge_message *
gateways(const struct test_node *n, uint64_t token)
{
    struct bridge_message *a = bridge_new(BRIDGE_GATEWAY, token, 1, sizeof(struct bridge_gateway));
    const struct sip_conf *gateway = &n->island->node[0].conf;

    if (!a)
        fatal("bridge", "out of memory");
    a->gateway[0].node = gateway->node;
    a->gateway[0].is_self = n == &n->island->node[0];
    a->gateway[0].term = 1;
    snprintf(a->gateway[0].uri, sizeof(a->gateway[0].uri), "sip:%s:5062;transport=tls",
             gateway->address);
    return a;
}

static void
report(const struct bridge_message *m)
{
    for (size_t i = 0; i < m->count; i++) {
        if (m->query == BRIDGE_QUERY_CALLS)
            printf("%s %s %s %s\n", m->call[i].id, m->call[i].from, m->call[i].to,
                   m->call[i].state);
        else
            printf("%s %s %s %u\n", m->registration[i].aor, m->registration[i].contact,
                   m->registration[i].path, m->registration[i].expires_s);
    }
    printf("%zu in all, %lu look-ups, %lu resolves\n", m->count, lookups, resolves);
    fflush(stdout);
}

static void
on_post(void *ctx, struct bridge_message *m)
{
    struct test_node *n = ctx;
    struct bridge_message *a = NULL;

    pthread_mutex_lock(&lock);
    if (m->type == BRIDGE_BIND)
        a = bind_aor(m);
    else if (m->type == BRIDGE_LOOKUP)
        a = look_up(m);
    else if (m->type == BRIDGE_RESOLVE)
        a = resolve(m);
    else if (m->type == BRIDGE_LOCATE)
        a = gateways(n, m->token);
    else if (m->type == BRIDGE_REPORT)
        report(m);
    pthread_mutex_unlock(&lock);
    bridge_free(m);
    if (a)
        sip_post(n->sip, a);
}

/* ---- certificates ---- */

static void
make_authority(const char *folder, const char *overlay)
{
    struct why why = {""};
    enum status st = authority_init(folder, overlay, 30, &why);

    if (st && st != ST_EXISTS)
        fatal(folder, why.text);
}

static void
make_certificate(const char *authority, const char *address, const char *user, const char *out)
{
    struct authority_request request = {.address = address, .user = user, .key = KEY_ECDSA_P256};
    struct why why = {""};
    char file[512];

    snprintf(file, sizeof(file), "%s/cert.pem", out);
    if (access(file, F_OK) == 0)
        return;
    if (authority_issue(authority, &request, out, &why))
        fatal(out, why.text);
}

static void
make_credentials(const char *folder, struct test_node *n)
{
    struct sip_conf *c = &n->conf;
    char authority[300], user[NODE_NAME_BYTES + OVERLAY_NAME_BYTES];

    snprintf(authority, sizeof(authority), "%s/ca-%s", folder, n->island->name);
    make_authority(authority, n->island->name);
    snprintf(user, sizeof(user), "%s@%s", c->node_name, n->island->name);
    snprintf(c->local_credentials, sizeof(c->local_credentials), "%.128s/%.63s-local", folder,
             c->address);
    make_certificate(authority, c->address, user, c->local_credentials);
    snprintf(authority, sizeof(authority), "%s/ca-global", folder);
    make_authority(authority, "p2psip.global");
    snprintf(user, sizeof(user), "overlay@%s", n->island->name);
    snprintf(c->global_credentials, sizeof(c->global_credentials), "%.128s/%.63s-global", folder,
             c->address);
    make_certificate(authority, c->address, user, c->global_credentials);
}

/* ---- nodes ---- */

static void
add_node(const char *folder, struct island *island, const char *address)
{
    struct test_node *n = &island->node[island->count];
    struct sip_conf *c = &n->conf;

    if (island->count == NODES_MAX)
        fatal(island->name, "too many nodes");
    n->island = island;
    sip_conf_defaults(c);
    snprintf(c->node_name, sizeof(c->node_name), "n%zu", ++island->count);
    snprintf(c->address, sizeof(c->address), "%s", address);
    memcpy(c->overlay, island->name, sizeof(c->overlay));
    identity_node_of_address(c->address, &c->node);
    snprintf(c->listen[0], SIP_URI_BYTES, "udp:%s:5060", address);
    snprintf(c->listen[1], SIP_URI_BYTES, "tcp:%s:5060", address);
    c->listen_count = 2;
    snprintf(c->peer_listen, SIP_URI_BYTES, "tls:%s:5062", address);
    snprintf(c->gateway_listen, SIP_URI_BYTES, "tls:%s:5061", address);
    if (getenv("ISLANDS_INVITE_TIMEOUT_S"))
        c->invite_timeout_s = (uint32_t)strtoul(getenv("ISLANDS_INVITE_TIMEOUT_S"), NULL, 10);
    make_credentials(folder, n);
}

static void
add_island(const char *folder, char *argument)
{
    struct island *island = &islands[island_count];
    char *addresses = strchr(argument, '=');
    char *save = NULL;

    if (!addresses || island_count == ISLANDS_MAX)
        fatal(argument, "want NAME=ADDRESS,ADDRESS");
    *addresses++ = '\0';
    island_count++;
    snprintf(island->name, sizeof(island->name), "%s", argument);
    for (char *a = strtok_r(addresses, ",", &save); a; a = strtok_r(NULL, ",", &save))
        add_node(folder, island, a);
}

static void
start(struct test_node *n)
{
    struct why why = {""};

    n->upward = (struct bridge_upward){.ctx = n, .post = on_post};
    if (sip_start(&n->conf, &n->upward, &n->sip, &why))
        fatal(n->conf.address, why.text);
    sip_post(n->sip, gateways(n, 0));
}

static void
each_node(void (*visit)(struct test_node *n))
{
    for (size_t i = 0; i < island_count; i++)
        for (size_t k = 0; k < islands[i].count; k++)
            visit(&islands[i].node[k]);
}

static void
ask_calls(struct test_node *n)
{
    struct bridge_message *m = bridge_new(BRIDGE_QUERY, 1, 0, 0);

    m->query = BRIDGE_QUERY_CALLS;
    sip_post(n->sip, m);
}

static void
ask_registrations(struct test_node *n)
{
    struct bridge_message *m = bridge_new(BRIDGE_QUERY, 1, 0, 0);

    m->query = BRIDGE_QUERY_REGISTRATIONS;
    sip_post(n->sip, m);
}

static void
stop(struct test_node *n)
{
    sip_stop(n->sip);
}

int
main(int argc, char **argv)
{
    char line[64];

    if (argc < 3)
        fatal("usage", "islands FOLDER NAME=ADDRESS[,ADDRESS...]...");
    mkdir(argv[1], 0700);
    log_open(&(struct log_sink){0}, getenv("ISLANDS_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    for (int i = 2; i < argc; i++)
        add_island(argv[1], argv[i]);
    each_node(start);
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin))
        each_node(strncmp(line, "calls", 5) == 0 ? ask_calls : ask_registrations);
    each_node(stop);
    for (size_t i = 0; i < table_count; i++)
        free(table[i]);
    return EXIT_SUCCESS;
}
