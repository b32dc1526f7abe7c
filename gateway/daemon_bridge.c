/* The overlay thread's end of the bridge: questions of the SIP thread, and their answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/daemon_internal.h"
#include "gateway/heap.h"

enum { BINDINGS_LIFETIME_MS = 2000, TURN_MESSAGES_MAX = 256 };
enum { LOCATE_LEAST_MS = 500, LOCATE_MOST_MS = 4500 };

/** A question of the SIP thread while the node works on it. */
struct question {
    struct daemon *daemon;
    enum bridge_type type;
    uint64_t token;
    char name[AOR_BYTES];
};

static void
answer(struct question *q, struct bridge_message *m, enum status st)
{
    if (m) {
        m->status = st;
        snprintf(m->name, sizeof(m->name), "%s", q->name);
        if (q->daemon->sip)
            sip_post(q->daemon->sip, m);
        else
            bridge_free(m); /* the SIP thread has gone */
    }
    free(q);
}

static struct question *
question_of(struct daemon *d, const struct bridge_message *m)
{
    struct question *q = calloc(1, sizeof(*q));

    if (!q)
        return NULL;
    q->daemon = d;
    q->type = m->type;
    q->token = m->token;
    snprintf(q->name, sizeof(q->name), "%s", m->name);
    return q;
}

/* A binding as the overlay has it, or NULL if it is none that the SIP thread could use: the key,
 * the record and the AOR must agree. */
static struct binding_record *
read_binding(const struct question *q, const struct peer_datum *datum)
{
    const struct binding_record gone = {.aor = q->name, .path = ""};
    struct binding_record *b = NULL;

    if (!datum->exists)
        return binding_record_copy(&gone);
    if (datum->value.len == 0 || binding_record_read(datum->value, &b) != ST_OK) {
        log_write(LOG_LEVEL_REMOTE, "location", "%s: %s stored a binding that cannot be read",
                  q->name, datum->signer.user);
        return NULL;
    }
    if (strcmp(b->aor, q->name) != 0) {
        log_write(LOG_LEVEL_REMOTE, "location", "%s: %s stored the binding of %s there", q->name,
                  datum->signer.user, b->aor);
        binding_record_free(b);
        return NULL;
    }
    binding_record_fetched(b, datum->storage_time_ms, datum->lifetime_s, daemon_now().wall_ms);
    return b;
}

/* Removed bindings are handed on without contacts: "gone" is 480 where "never there" is 404. */
static void
on_bindings(void *ctx, struct moment now, enum status st, const struct peer_datum *datum,
            size_t count)
{
    struct question *q = ctx;
    size_t most = count < BRIDGE_BINDINGS_MAX ? count : BRIDGE_BINDINGS_MAX;
    struct bridge_message *m = bridge_new(BRIDGE_BINDINGS, q->token, st == ST_OK ? most : 0,
                                          sizeof(struct binding_record *));
    size_t kept = 0;
    bool is_live = false;

    (void)now;
    for (size_t i = 0; m && st == ST_OK && i < count && kept < most; i++) {
        m->binding[kept] = read_binding(q, &datum[i]);
        if (!m->binding[kept])
            continue;
        is_live = is_live || m->binding[kept]->contact_count > 0;
        kept++;
    }
    if (m) {
        m->count = kept;
        m->is_young = daemon_now().mono_ms < q->daemon->young_until_ms;
        m->lifetime_ms =
            is_live ? BINDINGS_LIFETIME_MS : 0; /* nobody is told "gone" from a cache */
    }
    answer(q, m, st);
}

static void
on_bound(void *ctx, struct moment now, enum status st, const struct signer *from, struct slice body)
{
    struct question *q = ctx;
    struct bridge_message *m = bridge_new(BRIDGE_BOUND, q->token, 0, 0);

    (void)now;
    (void)body;
    if (m && st == ST_OK && from)
        m->node = from->node;
    answer(q, m, st);
}

static void
put_route(struct bridge_gateway *to, const struct directory_gateway *from)
{
    *to = (struct bridge_gateway){
        .node = from->node, .term = from->term, .priority = from->priority, .weight = from->weight};
    snprintf(to->uri, SIP_URI_BYTES, "%s", from->uri);
}

static void
on_routes(void *ctx, struct moment now, enum status st, const struct directory_answer *found)
{
    struct question *q = ctx;
    size_t count = st == ST_OK ? found->gateway_count : 0;
    size_t most = count < BRIDGE_GATEWAYS_MAX ? count : BRIDGE_GATEWAYS_MAX;
    size_t others = st == ST_OK && most > 0 ? found->other_count : 0;
    struct bridge_message *m =
        bridge_new(BRIDGE_ROUTES, q->token, most + others, sizeof(struct bridge_gateway));

    (void)now;
    for (size_t i = 0; m && i < most; i++)
        put_route(&m->gateway[i], &found->gateway[i]);
    for (size_t i = 0; m && i < others; i++)
        put_route(&m->gateway[most + i], &found->other[i]);
    if (m)
        m->other_count = others;
    if (m && found) {
        snprintf(m->overlay, sizeof(m->overlay), "%s", found->overlay);
        m->lifetime_ms = found->lifetime_ms;
    }
    answer(q, m, st);
}

static void
on_question(struct daemon *d, struct bridge_message *m)
{
    struct question *q = question_of(d, m);
    struct moment now = daemon_now();

    if (!q)
        return; /* no memory for a question: the SIP side has its own deadline */
    switch (m->type) {
    case BRIDGE_LOOKUP:
        node_lookup(d->node, now, m->name, &(struct peer_fetched){on_bindings, q});
        break;
    case BRIDGE_BIND:
        snprintf(q->name, sizeof(q->name), "%s", m->binding[0]->aor);
        node_bind(d->node, now, m->binding[0], &(struct peer_reply){on_bound, q});
        break;
    default:
        node_resolve(d->node, now, m->name, m->is_past_cache, false,
                     &(struct directory_resolved){on_routes, q});
        break;
    }
}

static void
on_confirmed(void *ctx)
{
    struct daemon *d = ctx;
    struct bridge_message *m = bridge_new(BRIDGE_CONFIRMED, d->confirm_token, 0, 0);

    if (m && d->sip)
        sip_post(d->sip, m);
    else
        bridge_free(m);
}

/* ---- who is our gateway now? ------------------------------------------------------------------
 */

/* Long enough for a failover with some delay; less than the SIP side waits. */
static uint32_t
locate_patience_ms(const struct daemon *d)
{
    const struct election_conf *conf = &d->node_conf->election;
    uint64_t failover_ms = (uint64_t)conf->hello_ms * conf->hello_misses;
    uint64_t patience_ms = LOCATE_LEAST_MS + 3 * failover_ms;

    return patience_ms < LOCATE_MOST_MS ? (uint32_t)patience_ms : LOCATE_MOST_MS;
}

static void
look_again(struct daemon *d)
{
    const uint32_t every_ms = d->node_conf->election.hello_ms; /* it reads no more often */
    const struct timeval t = {every_ms / 1000, (every_ms % 1000) * 1000};

    node_locate(d->node, daemon_now());
    event_add(d->locate.timer, &t);
}

static void
on_locate(struct daemon *d, uint64_t token)
{
    d->locate.token = token;
    d->locate.until_ms = daemon_now().mono_ms + locate_patience_ms(d);
    look_again(d);
}

void
daemon_on_locate(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;
    struct bridge_message *m;

    (void)fd;
    (void)what;
    if (daemon_now().mono_ms < d->locate.until_ms) {
        look_again(d);
    } else {
        m = bridge_new(BRIDGE_GATEWAY, d->locate.token, 0, 0);
        d->locate.token = 0;
        if (m && d->sip) {
            m->status = ST_TIMEOUT;
            sip_post(d->sip, m);
        } else {
            bridge_free(m);
        }
    }
    daemon_settle(d);
}

/* ---- calls on their way between gateways ---- */

static void
on_calls(struct daemon *d, const struct bridge_message *m)
{
    struct replica_call *call = calloc(m->count > 0 ? m->count : 1, sizeof(*call));
    size_t count = 0;

    for (size_t i = 0; call && i < m->count; i++) {
        const struct bridge_record *r = &m->record[i];
        struct slice token = slice_of(r->token, strnlen(r->token, sizeof(r->token)));
        struct slice record = bridge_record_bytes(m, i);
        if (record.len == r->record_len) /* else its bytes are not there: that is not "over" */
            call[count++] = (struct replica_call){token, record, r->is_awaited};
    }
    if (call)
        node_on_calls(d->node, daemon_now(), call, count);
    else
        log_write(LOG_LEVEL_WARN, "daemon", "no memory: the copies of %zu calls are out of date",
                  m->count);
    free(call);
}

/* The records go behind one another in one piece. */
static struct bridge_message *
message_of(enum bridge_type type, const struct replica_call *call, size_t count)
{
    struct bridge_message *m = bridge_new(type, 0, count, sizeof(struct bridge_record));
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++)
        bytes += call[i].record.len;
    if (m && bytes > 0)
        m->bytes = malloc(bytes);
    if (!m || (bytes > 0 && !m->bytes)) {
        bridge_free(m);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        struct bridge_record *r = &m->record[i];
        if (slice_to_text(call[i].token, r->token, sizeof(r->token)) != ST_OK)
            r->token[0] = '\0'; /* no call of ours has such a token */
        r->record_at = m->bytes_len;
        r->record_len = call[i].record.len;
        if (r->record_len > 0)
            memcpy(m->bytes + m->bytes_len, call[i].record.data, r->record_len);
        m->bytes_len += r->record_len;
    }
    return m;
}

static void
post_calls(struct daemon *d, struct bridge_message *m, size_t count)
{
    if (m && d->sip) {
        sip_post(d->sip, m);
        return;
    }
    bridge_free(m);
    if (d->sip)
        log_write(LOG_LEVEL_ERROR, "daemon", "no memory to tell the SIP side of %zu calls", count);
}

void
daemon_on_adopt(void *ctx, const struct id *owner, bool is_moved, const struct replica_call *call,
                size_t count)
{
    struct bridge_message *m = message_of(BRIDGE_ADOPT, call, count);

    if (m) {
        m->node = *owner;
        m->is_moved = is_moved;
    }
    post_calls(ctx, m, count);
}

void
daemon_on_released(void *ctx, const struct replica_call *call, size_t count)
{
    post_calls(ctx, message_of(BRIDGE_RELEASE, call, count), count);
}

void
daemon_on_copied(void *ctx, const struct replica_call *call, size_t count)
{
    post_calls(ctx, message_of(BRIDGE_COPIED, call, count), count);
}

static void
on_bridge_message(struct daemon *d, struct bridge_message *m)
{
    switch (m->type) {
    case BRIDGE_LOOKUP:
    case BRIDGE_RESOLVE:
        on_question(d, m);
        break;
    case BRIDGE_BIND:
        if (m->count == 1)
            on_question(d, m);
        break;
    case BRIDGE_JUDGE:
        daemon_on_judge(d, m);
        break;
    case BRIDGE_FORGET:
        node_forget(d->node, daemon_now(), m->name, &m->node);
        break;
    case BRIDGE_LOCATE:
        on_locate(d, m->token);
        break;
    case BRIDGE_OVERDUE:
        node_doubt(d->node, daemon_now(), &m->node, m->waiting_ms);
        break;
    case BRIDGE_CONFIRM:
        d->confirm_token = m->token;
        node_confirm(d->node, daemon_now(), &(struct node_confirmed){on_confirmed, d});
        break;
    case BRIDGE_CALLS:
        on_calls(d, m);
        break;
    case BRIDGE_LOAD:
        d->load.calls = m->calls;
        d->load.requests += m->requests;
        d->load.registrations = m->registrations;
        control_set_load(d->control, m->calls, m->registrations);
        control_set_counters(d->control, &m->counters);
        heap_on_load(daemon_now().mono_ms, m->counters.finished);
        break;
    case BRIDGE_REPORT:
        control_on_report(d->control, m);
        break;
    default:
        break; /* the rest goes the other way */
    }
}

void
daemon_on_bridge(evutil_socket_t fd, short what, void *ctx)
{
    struct daemon *d = ctx;

    (void)fd;
    (void)what;
    for (int i = 0; i < TURN_MESSAGES_MAX; i++) { /* links and timers must have their turn too */
        struct bridge_message *m = bridge_queue_take(d->queue);
        if (!m)
            break;
        on_bridge_message(d, m);
        bridge_free(m);
    }
    daemon_settle(d);
}

void
daemon_on_lost(void *ctx, const struct id *node)
{
    struct daemon *d = ctx;
    struct bridge_message *m = d->sip ? bridge_new(BRIDGE_LOST, 0, 0, 0) : NULL;

    if (!m)
        return; /* what is stored from time to time is stored all the same */
    m->node = *node;
    sip_post(d->sip, m);
}

/* Who waits for a gateway that cannot be is told so at once. */
void
daemon_on_trouble(void *ctx, enum election_trouble trouble)
{
    struct daemon *d = ctx;
    struct bridge_message *m = bridge_new(BRIDGE_NOBODY, trouble == ELECTION_NOBODY, 0, 0);

    if (m && d->sip)
        sip_post(d->sip, m);
    else
        bridge_free(m);
}

void
daemon_on_gateways(void *ctx, const struct election_gateway *gateway, size_t count)
{
    struct daemon *d = ctx;
    size_t most = count < BRIDGE_GATEWAYS_MAX ? count : BRIDGE_GATEWAYS_MAX;
    struct bridge_message *m = bridge_new(BRIDGE_GATEWAY, 0, most, sizeof(struct bridge_gateway));

    if (!m || !d->sip) {
        bridge_free(m);
        return;
    }
    if (count > 0) { /* this is what was waited for */
        d->locate.token = 0;
        event_del(d->locate.timer);
    }
    for (size_t i = 0; i < most; i++) {
        m->gateway[i].node = gateway[i].ref.node;
        m->gateway[i].term = gateway[i].term;
        m->gateway[i].priority = gateway[i].priority;
        m->gateway[i].weight = gateway[i].weight;
        m->gateway[i].is_self = gateway[i].is_self;
        m->has_naming_key = m->has_naming_key || gateway[i].is_self;
        snprintf(m->gateway[i].uri, SIP_URI_BYTES, "%s", gateway[i].sip_uri);
    }
    if (m->has_naming_key)
        memcpy(m->naming_key, node_naming_key(d->node), sizeof(m->naming_key));
    sip_post(d->sip, m);
}
