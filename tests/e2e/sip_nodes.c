/*
 * SIP nodes without an overlay: one process, a few struct sip, and a table in place of the
 * overlays.
 *
 *   sip_nodes FOLDER OVERLAY@IP[=gateway] ...
 *
 * makes authorities and credentials in FOLDER, opens each node's ports (5060 phones, 5061 gateways,
 * 5062 peers) and runs until standard input ends.  "ready" on standard output says that they are
 * open. Lines on standard input: "gateway IP" makes that node its overlay's gateway, "quietly IP"
 * too, but the others hear of it when they ask; "drop IP" stops a node; "deaf IP" lets it
 * hear of no gateway until "hears IP"; "calls" is answered with
 * how many calls each node has, in their order, as of the last second.
 */
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gateway/sip/clock.h"
#include "gateway/sip/sip.h"
#include "peer-protocol/identity/authority.h"
#include "peer-protocol/identity/identity.h"

#define NODES_MAX    8
#define BINDINGS_MAX 200000
#define CACHE_MS     2000
#define LOCATE_MS    1000 /* a node that asks for its gateway waits so long for another one */

struct node {
    struct sip *sip;
    struct sip_conf conf;
    char ip[40];
    bool is_gateway;
    bool is_down;
    bool is_deaf;
    const struct node *told; /* the gateway it knows */
    uint64_t locate_token;   /* 0: it does not ask */
    uint64_t locate_until_ms;
    uint32_t calls;
};

struct stored {
    struct binding_record *record;
    struct node *node;
};

static struct node nodes[NODES_MAX];
static size_t node_count;
static struct stored stored[BINDINGS_MAX]; /* open addressing by AOR and node */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void
fail(const char *what, const struct why *why)
{
    fprintf(stderr, "sip_nodes: %s: %s\n", what, why ? why->text : "");
    exit(1);
}

/* ---- the table
 * ------------------------------------------------------------------------------------- */

static size_t
slot_of(const char *aor)
{
    uint64_t h = 1469598103934665603u;

    while (*aor)
        h = (h ^ (uint8_t)*aor++) * 1099511628211u;
    return (size_t)(h % BINDINGS_MAX);
}

static void
bind_aor(struct node *n, const struct binding_record *b)
{
    size_t i = slot_of(b->aor);

    for (;; i = (i + 1) % BINDINGS_MAX) {
        if (!stored[i].record) {
            stored[i].node = n;
            break;
        }
        if (stored[i].node == n && strcmp(stored[i].record->aor, b->aor) == 0)
            break;
    }
    binding_record_free(stored[i].record);
    stored[i].record = binding_record_copy(b);
    if (!stored[i].record)
        abort();
}

static size_t
find_aor(const struct node *n, const char *aor, const struct binding_record **found)
{
    size_t count = 0;

    for (size_t i = slot_of(aor); stored[i].record; i = (i + 1) % BINDINGS_MAX)
        if (strcmp(stored[i].record->aor, aor) == 0 &&
            strcmp(stored[i].node->conf.overlay, n->conf.overlay) == 0 &&
            count < BRIDGE_BINDINGS_MAX)
            found[count++] = stored[i].record;
    return count;
}

static struct bridge_message *
lookup(const struct node *n, const struct bridge_message *m)
{
    const struct binding_record *found[BRIDGE_BINDINGS_MAX];
    size_t count = find_aor(n, m->name, found);
    struct bridge_message *a =
        bridge_new(BRIDGE_BINDINGS, m->token, count, sizeof(struct binding_record *));

    for (size_t i = 0; i < count; i++)
        a->binding[i] = binding_record_copy(found[i]);
    a->status = count ? ST_OK : ST_NOT_FOUND;
    a->lifetime_ms = count ? CACHE_MS : 0;
    memcpy(a->name, m->name, sizeof(a->name));
    return a;
}

/* ---- gateways
 * -------------------------------------------------------------------------------------- */

static bool
is_inside(const char *domain, const char *overlay)
{
    size_t len = strlen(domain);
    size_t own = strlen(overlay);

    return len >= own && strcasecmp(domain + len - own, overlay) == 0 &&
           (len == own || domain[len - own - 1] == '.');
}

static struct bridge_message *
gateways(const struct node *n, const char *domain, enum bridge_type type, uint64_t token)
{
    struct bridge_message *a = bridge_new(type, token, NODES_MAX, sizeof(struct bridge_gateway));

    a->count = 0;
    for (size_t i = 0; i < node_count; i++) {
        struct bridge_gateway *g = &a->gateway[a->count];

        if (!nodes[i].is_gateway || nodes[i].is_down || !is_inside(domain, nodes[i].conf.overlay))
            continue;
        a->count++;
        g->node = nodes[i].conf.node;
        snprintf(g->uri, sizeof(g->uri), "sip:%s:%d;transport=tls", nodes[i].ip,
                 type == BRIDGE_GATEWAY ? 5062 : 5061);
        g->is_self = n == &nodes[i];
        memcpy(a->overlay, nodes[i].conf.overlay, sizeof(a->overlay));
    }
    a->status = a->count || type == BRIDGE_GATEWAY ? ST_OK : ST_NOT_FOUND;
    a->lifetime_ms = a->count ? CACHE_MS : 0;
    return a;
}

static struct node *
gateway_of(const char *overlay)
{
    for (size_t i = 0; i < node_count; i++)
        if (nodes[i].is_gateway && !nodes[i].is_down && strcmp(nodes[i].conf.overlay, overlay) == 0)
            return &nodes[i];
    return NULL;
}

/* What is news to the node; NULL if nothing is.  Called with the lock held. */
static struct bridge_message *
news_for(struct node *n)
{
    const struct node *gateway = gateway_of(n->conf.overlay);

    if (n->told == gateway || n->is_down || n->is_deaf)
        return NULL;
    n->told = gateway;
    if (gateway)
        n->locate_token = 0;
    return gateways(n, n->conf.overlay, BRIDGE_GATEWAY, 0);
}

static uint64_t
clock_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Who asks hears when there is news, or that there is none when its time is over. */
static void
end_locates(void)
{
    for (size_t i = 0; i < node_count; i++) {
        struct node *n = &nodes[i];
        struct bridge_message *m = NULL;

        pthread_mutex_lock(&lock);
        if (!n->is_down && n->locate_token && clock_ms() >= n->locate_until_ms) {
            m = bridge_new(BRIDGE_GATEWAY, n->locate_token, 0, 0);
            m->status = ST_TIMEOUT;
            n->locate_token = 0;
        }
        pthread_mutex_unlock(&lock);
        if (m)
            sip_post(n->sip, m);
    }
}

static void
upward_post(void *ctx, struct bridge_message *m)
{
    struct node *n = ctx;
    struct bridge_message *a = NULL;

    pthread_mutex_lock(&lock);
    switch (m->type) {
    case BRIDGE_LOOKUP:
        a = lookup(n, m);
        break;
    case BRIDGE_BIND:
        bind_aor(n, m->binding[0]);
        a = bridge_new(BRIDGE_BOUND, m->token, 0, 0);
        break;
    case BRIDGE_RESOLVE:
        a = gateways(n, m->name, BRIDGE_ROUTES, m->token);
        memcpy(a->name, m->name, sizeof(a->name));
        break;
    case BRIDGE_JUDGE: /* all names are this overlay's */
        a = bridge_new(BRIDGE_JUDGED, m->token, 0, 0);
        memcpy(a->name, m->name, sizeof(a->name));
        break;
    case BRIDGE_CONFIRM: /* a jump of the clock looks like a stop */
        a = bridge_new(BRIDGE_CONFIRMED, m->token, 0, 0);
        break;
    case BRIDGE_LOCATE:
        n->locate_token = m->token;
        n->locate_until_ms = clock_ms() + LOCATE_MS;
        a = news_for(n);
        break;
    case BRIDGE_LOAD:
        n->calls = m->calls;
        break;
    default:
        break;
    }
    pthread_mutex_unlock(&lock);
    bridge_free(m);
    if (a)
        sip_post(n->sip, a);
}

static void
tell(struct node *n)
{
    struct bridge_message *m;

    pthread_mutex_lock(&lock);
    m = news_for(n);
    pthread_mutex_unlock(&lock);
    if (m)
        sip_post(n->sip, m);
}

static void
tell_gateways(void)
{
    for (size_t i = 0; i < node_count; i++)
        tell(&nodes[i]);
}

/* ---- nodes
 * ----------------------------------------------------------------------------------------- */

static void
issue(const char *folder, const char *overlay, const char *address, const char *user,
      const char *out)
{
    struct authority_request request = {.address = address, .user = user};
    struct why why = {""};
    enum status st;

    mkdir(folder, 0700);
    st = authority_init(folder, overlay, 0, &why);
    if (st && st != ST_EXISTS)
        fail(folder, &why);
    mkdir(out, 0700);
    if (authority_issue(folder, &request, out, &why))
        fail(out, &why);
}

static void
configure(struct sip_conf *conf, const char *ip, const char *folder, const char *overlay)
{
    char path[300];
    char user[160];

    sip_conf_defaults(conf);
    snprintf(conf->overlay, sizeof(conf->overlay), "%s", overlay);
    snprintf(conf->address, sizeof(conf->address), "%s", ip);
    identity_node_of_address(ip, &conf->node);
    conf->listen_count = 2;
    snprintf(conf->listen[0], SIP_URI_BYTES, "udp:%s:5060", ip);
    snprintf(conf->listen[1], SIP_URI_BYTES, "tcp:%s:5060", ip);
    snprintf(conf->peer_listen, SIP_URI_BYTES, "tls:%s:5062", ip);
    snprintf(conf->gateway_listen, SIP_URI_BYTES, "tls:%s:5061", ip);
    snprintf(conf->local_credentials, sizeof(conf->local_credentials), "%s/%s-local", folder, ip);
    snprintf(conf->global_credentials, sizeof(conf->global_credentials), "%s/%s-global", folder,
             ip);
    snprintf(path, sizeof(path), "%s/ca-%s", folder, overlay);
    snprintf(user, sizeof(user), "n%zu@%s", node_count, overlay);
    issue(path, overlay, ip, user, conf->local_credentials);
    snprintf(path, sizeof(path), "%s/ca-global", folder);
    snprintf(user, sizeof(user), "overlay@%s", overlay);
    issue(path, "p2psip.global", ip, user, conf->global_credentials);
}

static void
add_node(const char *folder, const char *text)
{
    struct node *n = &nodes[node_count];
    struct bridge_upward upward = {n, upward_post};
    char overlay[OVERLAY_NAME_BYTES];
    static struct sip_conf conf;
    struct why why = {""};
    const char *at = strchr(text, '@');

    if (node_count == NODES_MAX || !at || (size_t)(at - text) >= sizeof(overlay))
        fail(text, NULL);
    snprintf(overlay, sizeof(overlay), "%.*s", (int)(at - text), text);
    snprintf(n->ip, sizeof(n->ip), "%.*s", (int)strcspn(at + 1, "="), at + 1);
    n->is_gateway = strstr(at, "=gateway") != NULL;
    configure(&conf, n->ip, folder, overlay);
    n->conf = conf;
    if (sip_start(&n->conf, &upward, &n->sip, &why))
        fail(text, &why);
    node_count++;
}

static struct node *
node_of(const char *ip)
{
    for (size_t i = 0; i < node_count; i++)
        if (strcmp(nodes[i].ip, ip) == 0)
            return &nodes[i];
    return NULL;
}

static void
print_calls(void)
{
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < node_count; i++)
        printf("%u%s", nodes[i].calls, i + 1 < node_count ? " " : "\n");
    pthread_mutex_unlock(&lock);
    fflush(stdout);
}

static void
obey(char *line)
{
    char what[16] = "";
    char ip[40] = "";
    struct node *n;

    if (sscanf(line, "%15s %39s", what, ip) < 1)
        return;
    if (strcmp(what, "advance") == 0) {
        sip_clock_advance(strtoull(ip, NULL, 10));
        return;
    }
    if (strcmp(what, "calls") == 0) {
        print_calls();
        return;
    }
    n = node_of(ip);
    if (!n)
        return;
    if (strcmp(what, "drop") == 0 && !n->is_down) {
        n->is_down = true;
        sip_stop(n->sip, true);
    }
    if (strcmp(what, "deaf") == 0 || strcmp(what, "hears") == 0)
        n->is_deaf = strcmp(what, "deaf") == 0;
    for (size_t i = 0; i < node_count; i++)
        if (strstr("gateway quietly", what) && strcmp(nodes[i].conf.overlay, n->conf.overlay) == 0)
            nodes[i].is_gateway = &nodes[i] == n;
    if (strcmp(what, "quietly") == 0)
        tell(n);
    else if (strcmp(what, "gateway") == 0)
        tell_gateways();
    printf("%s", line);
    fflush(stdout);
}

int
main(int argc, char **argv)
{
    char line[128];

    if (argc < 3)
        fail("usage: sip_nodes FOLDER OVERLAY@IP[=gateway] ...", NULL);
    log_open(&(struct log_sink){0}, getenv("SIP_DEBUG") ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
    for (int i = 2; i < argc; i++)
        add_node(argv[1], argv[i]);
    tell_gateways();
    printf("ready\n");
    fflush(stdout);
    setvbuf(stdin, NULL, _IONBF, 0); /* what is read ahead would not wake poll() */
    for (;;) {
        struct pollfd in = {.fd = 0, .events = POLLIN};

        end_locates();
        if (poll(&in, 1, 20) == 0)
            continue;
        if (!fgets(line, sizeof(line), stdin))
            break;
        obey(line);
    }
    for (size_t i = 0; i < node_count; i++)
        if (!nodes[i].is_down)
            sip_stop(nodes[i].sip, true);
    for (size_t i = 0; i < BINDINGS_MAX; i++)
        free(stored[i].record);
    return 0;
}
