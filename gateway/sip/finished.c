#include "gateway/sip/finished.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include <sofia-sip/msg_addr.h>

#include "gateway/sip/client.h"
#include "gateway/sip/datagram.h"

#define T1_MS     500
#define STEPS     4 /* T1, 2*T1, 4*T1, then T2 = 8*T1 for good */
#define TICK_MS   100
#define KEY_BYTES 1024

#define PARTS_MAX 64 /* pieces of a message as it is sent */

enum state { PENDING, FINISHED, CONFIRMED, ACCEPTED };

struct entry {
    struct list_node age;   /* not PENDING: in the order in which they go */
    struct list_node again; /* waits for its ACK and is retransmitted; or in no list */
    uint64_t key;
    uint64_t end_ms;
    uint64_t due_ms;
    enum state state;
    uint8_t step;
    bool is_invite;
    bool is_datagram;
    bool is_of_node;       /* by a connection between nodes */
    bool is_stateless;     /* an INVITE's final that the library has forgotten */
    bool is_counted;       /* as unacknowledged */
    struct datagram final; /* without bytes: nothing to be sent again; between nodes bytes alone */
    tport_t *transport;    /* a connection that the library does not know of, kept; or NULL */
};

struct finished {
    struct sip *sip;
    struct map *entries;      /* struct entry by key */
    struct map *destinations; /* a count in place of a pointer, by address */
    struct list_node age;
    struct list_node confirmed;
    struct list_node again[STEPS];
    su_timer_t *timer;
    bool is_armed;
    size_t unacknowledged;
    size_t bytes;
    size_t moved; /* entries with a transport */
};

static _Thread_local struct finished *ours; /* of this thread's service */
static _Thread_local struct entry *taking;  /* the datagram that is sent next is this one's */
static _Thread_local bool is_as_reliable;   /* a transaction is being made */

struct finished *
finished_new(struct sip *s)
{
    struct finished *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->sip = s;
    list_init(&f->age);
    list_init(&f->confirmed);
    for (unsigned i = 0; i < STEPS; i++)
        list_init(&f->again[i]);
    f->entries = map_new(s->seed, FINISHED_COUNT_MAX);
    f->destinations = map_new(s->seed, FINISHED_COUNT_MAX);
    f->timer = su_timer_create(su_root_task(s->root), TICK_MS);
    if (f->entries && f->destinations && f->timer) {
        ours = f;
        return f;
    }
    finished_free(f);
    return NULL;
}

static void
entry_free(struct entry *e)
{
    if (e->transport)
        tport_unref(e->transport);
    list_remove(&e->age);
    list_remove(&e->again);
    datagram_drop(&e->final);
    free(e);
}

void
finished_free(struct finished *f)
{
    struct map_cursor c = {0};

    if (!f)
        return;
    if (ours == f)
        ours = NULL;
    while (f->entries && map_next(f->entries, &c))
        entry_free(c.value);
    map_free(f->entries);
    map_free(f->destinations);
    su_timer_destroy(f->timer);
    free(f);
}

/* ---- which transaction (RFC 3261 section 17.2.3) ---- */

static bool
has_cookie(const sip_via_t *via)
{
    return via && via->v_branch && strncasecmp(via->v_branch, "z9hG4bK", 7) == 0;
}

static size_t
put_text(char text[KEY_BYTES], size_t used, const char *part)
{
    size_t len = part ? strlen(part) : 0;

    if (len > KEY_BYTES - 1 - used)
        len = KEY_BYTES - 1 - used;
    if (len > 0)
        memcpy(text + used, part, len);
    used += len;
    text[used] = '\0'; /* what divides the parts: none of them has it */
    return used < KEY_BYTES - 1 ? used + 1 : used;
}

static uint64_t
key_of(const struct finished *f, const sip_t *sip)
{
    const sip_via_t *via = sip->sip_via;
    bool is_ack = sip->sip_cseq->cs_method == sip_method_ack;
    char text[KEY_BYTES];
    size_t used = sizeof(sip->sip_cseq->cs_seq);

    memcpy(text, &sip->sip_cseq->cs_seq, used);
    used = put_text(text, used, via->v_branch);
    used = put_text(text, used, via->v_host);
    used = put_text(text, used, via->v_port);
    used = put_text(text, used, is_ack ? "INVITE" : sip->sip_cseq->cs_method_name);
    used = put_text(text, used, sip->sip_call_id->i_id);
    return map_hash(f->sip->seed, slice_of(text, used));
}

static struct slice
key_slice(const uint64_t *key)
{
    return slice_of(key, sizeof(*key));
}

static struct entry *
find(const struct finished *f, const sip_t *sip)
{
    uint64_t key;

    if (!has_cookie(sip->sip_via) || !sip->sip_cseq || !sip->sip_call_id)
        return NULL;
    key = key_of(f, sip);
    return map_get(f->entries, key_slice(&key));
}

static void
forget(struct finished *f, struct entry *e)
{
    map_remove(f->entries, key_slice(&e->key));
    f->bytes -= e->final.len;
    f->moved -= e->transport != NULL;
    entry_free(e);
}

/* ---- who waits for an ACK ---- */

static struct slice
address_of(const struct entry *e)
{
    return slice_of(SU_ADDR(&e->final.to), e->final.to.su_family == AF_INET6 ? 16 : 4);
}

static void
count_off(struct finished *f, struct entry *e)
{
    uintptr_t count;

    if (!e->is_counted)
        return;
    e->is_counted = false;
    f->unacknowledged--;
    if (!e->is_datagram)
        return;
    count = (uintptr_t)map_get(f->destinations, address_of(e));
    if (count <= 1 || map_put(f->destinations, address_of(e), (void *)(count - 1), NULL))
        map_remove(f->destinations, address_of(e));
}

/* True: it is one of those that are retransmitted. */
static bool
count_on(struct finished *f, struct entry *e)
{
    uint32_t most = f->sip->conf.limits.unacknowledged;
    uintptr_t count = 0;

    if (most > 0 && f->unacknowledged >= most)
        return false;
    if (e->is_datagram)
        count = (uintptr_t)map_get(f->destinations, address_of(e));
    if (count >= FINISHED_PER_DESTINATION)
        return false;
    if (e->is_datagram && map_put(f->destinations, address_of(e), (void *)(count + 1), NULL))
        return false;
    e->is_counted = true;
    f->unacknowledged++;
    return true;
}

static void on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void
schedule(struct finished *f, struct entry *e, uint64_t now_ms)
{
    e->due_ms = now_ms + ((uint64_t)T1_MS << e->step);
    list_remove(&e->again);
    list_append(&f->again[e->step], &e->again);
    if (f->is_armed)
        return;
    f->is_armed = true;
    su_timer_set(f->timer, on_timer, (su_timer_arg_t *)f);
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct finished *f = (struct finished *)(void *)arg;
    uint64_t now_ms = sip_moment(f->sip).mono_ms;
    bool is_any = false;

    (void)magic;
    (void)timer;
    f->is_armed = false;
    for (unsigned i = STEPS; i-- > 0;) {
        while (!list_is_empty(&f->again[i])) {
            struct entry *e = list_entry(f->again[i].next, struct entry, again);

            if (e->due_ms > now_ms)
                break;
            datagram_send(&e->final);
            if (e->step < STEPS - 1)
                e->step++;
            schedule(f, e, now_ms);
        }
        is_any = is_any || !list_is_empty(&f->again[i]);
    }
    if (is_any && !f->is_armed) {
        f->is_armed = true;
        su_timer_set(f->timer, on_timer, (su_timer_arg_t *)f);
    }
}

/* ---- requests ---- */

/* The library asks this once for each transaction that it makes. */
int
tport_is_reliable(const tport_t *transport)
{
    return is_as_reliable || client_is_kept(transport) || tport_is_stream(transport);
}

static struct entry *
begin(struct finished *f, const sip_t *sip, bool is_datagram)
{
    uint64_t key;
    struct entry *e;

    if (!has_cookie(sip->sip_via))
        return NULL;
    key = key_of(f, sip);
    if (map_get(f->entries, key_slice(&key)))
        return NULL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    list_init(&e->age);
    list_init(&e->again);
    e->key = key;
    e->is_datagram = is_datagram;
    e->is_invite = sip->sip_request->rq_method == sip_method_invite;
    if (map_put(f->entries, key_slice(&key), e, NULL) == ST_OK)
        return e;
    free(e);
    return NULL;
}

nta_incoming_t *
finished_create(struct sip_agent *agent, msg_t *msg, sip_t *sip, tport_t *transport)
{
    struct finished *f = agent->sip->finished;
    bool is_datagram = !tport_is_stream(transport);
    bool is_invite = sip->sip_request->rq_method == sip_method_invite;
    bool is_of_node = agent->side != SIP_PHONES;
    struct entry *e =
        f && (is_datagram || is_invite || is_of_node) ? begin(f, sip, is_datagram) : NULL;
    nta_incoming_t *irq;

    if (e)
        e->is_of_node = is_of_node;
    is_as_reliable = e != NULL && is_datagram;
    irq = nta_incoming_create(agent->nta, NULL, msg, sip, NTATAG_TPORT(transport), TAG_END());
    is_as_reliable = false;
    if (!irq && e)
        forget(f, e);
    return irq;
}

static void
confirm(struct finished *f, struct entry *e)
{
    count_off(f, e);
    list_remove(&e->again);
    list_remove(&e->age);
    f->bytes -= e->final.len;
    datagram_drop(&e->final);
    e->state = CONFIRMED;
    e->end_ms = sip_moment(f->sip).mono_ms + FINISHED_CONFIRMED_MS;
    list_append(&f->confirmed, &e->age);
}

/* It came again, by another connection perhaps: that one lives. */
static void
move(struct finished *f, struct entry *e, tport_t *transport)
{
    if (!e->is_of_node || e->transport == transport)
        return;
    if (e->transport)
        tport_unref(e->transport);
    else
        f->moved++;
    e->transport = tport_ref(transport);
}

tport_t *
finished_transport(const sip_t *response)
{
    const struct entry *e = ours && ours->moved > 0 ? find(ours, response) : NULL;

    return e ? e->transport : NULL;
}

static void
send_again(const struct entry *e)
{
    msg_t *msg = e->is_of_node && e->transport && e->final.bytes
                     ? msg_make(sip_default_mclass(), 0, e->final.bytes, (ssize_t)e->final.len)
                     : NULL;

    if (msg)
        (void)tport_tsend(e->transport, msg, tport_name(e->transport), TAG_END());
    msg_destroy(msg);
    if (e->is_datagram)
        datagram_send(&e->final);
}

bool
finished_on_request(const sip_t *sip, tport_t *transport)
{
    struct finished *f = ours;
    struct entry *e = f && sip->sip_request ? find(f, sip) : NULL;

    if (!e)
        return false;
    if (sip->sip_request->rq_method != sip_method_ack)
        move(f, e, transport);
    if (e->state == PENDING)
        return false;
    if (e->state == ACCEPTED) /* RFC 6026 section 7.1: the 2xx is repeated by whoever sent it */
        return sip->sip_request->rq_method != sip_method_ack;
    if (sip->sip_request->rq_method == sip_method_ack) {
        bool is_stateless = e->is_stateless || e->state == CONFIRMED;

        if (e->state == FINISHED)
            confirm(f, e);
        return is_stateless; /* else the library waits for it, too */
    }
    if (e->is_invite && e->state == FINISHED && !e->is_stateless)
        return false; /* the library still has it */
    send_again(e);
    return true;
}

/* ---- responses ---- */

static bool
is_final(const sip_t *response, const struct entry *e)
{
    int status = response->sip_status->st_status;

    return e->is_invite ? status >= 300 : status >= 200;
}

enum finished_send
finished_before(const sip_t *response)
{
    struct finished *f = ours;
    struct entry *e = f && response->sip_status->st_status >= 200 ? find(f, response) : NULL;

    taking = NULL;
    if (!e)
        return FINISHED_PASS;
    if (e->state != PENDING)
        return e->is_stateless ? FINISHED_SUPPRESS : FINISHED_PASS;
    if (!is_final(response, e)) { /* a 2xx to an INVITE */
        e->state = ACCEPTED;
        e->end_ms = sip_moment(f->sip).mono_ms + FINISHED_MS;
        list_append(&f->age, &e->age);
        return FINISHED_PASS;
    }
    if (e->is_datagram)
        taking = e;
    return FINISHED_TAKE;
}

void
finished_on_datagram(int fd, const struct msghdr *datagram)
{
    struct entry *e = taking;

    if (!e || !datagram->msg_name)
        return;
    taking = NULL;
    if (datagram_keep(&e->final, fd, datagram))
        ours->bytes += e->final.len;
}

static void
make_room(struct finished *f)
{
    while (f->bytes > FINISHED_BYTES_MAX && !list_is_empty(&f->age)) {
        struct entry *oldest = list_entry(f->age.next, struct entry, age);

        count_off(f, oldest);
        forget(f, oldest);
    }
}

/* Between nodes: what a request that comes again is to hear. */
static void
keep_bytes(struct finished *f, struct entry *e, msg_t *msg)
{
    msg_iovec_t part[PARTS_MAX];
    isize_t parts = msg_iovec(msg, part, PARTS_MAX);
    unsigned char *at;
    size_t len = 0;

    if (!e->is_of_node || e->is_invite || e->final.bytes || parts == 0 || parts > PARTS_MAX)
        return;
    for (isize_t i = 0; i < parts; i++)
        len += part[i].siv_len;
    at = malloc(len);
    if (!at)
        return;
    e->final.bytes = at;
    e->final.len = len;
    f->bytes += len;
    for (isize_t i = 0; i < parts; i++) {
        memcpy(at, part[i].siv_base, part[i].siv_len);
        at += part[i].siv_len;
    }
}

bool
finished_after(msg_t *msg, const sip_t *response)
{
    struct finished *f = ours;
    struct entry *e = find(f, response);
    uint64_t now_ms = sip_moment(f->sip).mono_ms;
    bool is_kept = true;

    taking = NULL;
    if (!e)
        return true;
    keep_bytes(f, e, msg);
    e->state = FINISHED;
    e->end_ms = now_ms + FINISHED_MS;
    list_append(&f->age, &e->age);
    if (e->is_invite) {
        is_kept = count_on(f, e);
        e->is_stateless = !is_kept;
        if (is_kept && e->final.bytes)
            schedule(f, e, now_ms);
    }
    make_room(f);
    return is_kept;
}

/* ---- time ---- */

static void
sweep(struct finished *f, struct list_node *list, uint64_t now_ms)
{
    while (!list_is_empty(list)) {
        struct entry *e = list_entry(list->next, struct entry, age);

        if (e->end_ms > now_ms)
            return;
        count_off(f, e);
        forget(f, e);
    }
}

void
finished_tick(struct finished *f)
{
    uint64_t now_ms = sip_moment(f->sip).mono_ms;

    sweep(f, &f->age, now_ms);
    sweep(f, &f->confirmed, now_ms);
}

size_t
finished_count(const struct finished *f, size_t *ret_unacknowledged)
{
    *ret_unacknowledged = f->unacknowledged;
    return map_count(f->entries);
}
