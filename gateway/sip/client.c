#include "gateway/sip/client.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/datagram.h"
#include "gateway/sip/unheard.h"

#define T1_MS          500
#define STEPS          7 /* T1, 2*T1 and so on to 64*T1 */
#define STEP_OTHER_MAX 3 /* 8*T1 = T2 */
#define TICK_MS        100
#define BRANCH_BYTES   256 /* ours is shorter */

struct entry {
    struct list_node age;   /* in the order in which they go; or in no list */
    struct list_node again; /* is retransmitted; or in no list */
    uint64_t key;
    uint64_t end_ms; /* PENDING: of its retransmissions */
    uint64_t due_ms;
    sip_method_t method;
    uint8_t step;
    bool has_final;
    bool is_left; /* nobody waits for its response, which has to come all the same */
    bool is_finished;
    struct datagram bytes; /* the request; then the ACK of what refused an INVITE */
};

struct client {
    struct sip *sip;
    struct map *entries; /* struct entry by key */
    struct unheard *unheard;
    struct list_node invites;
    struct list_node others;
    struct list_node left;
    struct list_node again[STEPS];
    su_timer_t *timer;
    bool is_armed;
};

static _Thread_local struct client *ours; /* of this thread's service */
static _Thread_local struct {
    bool is_wanted;
    bool is_request;
    struct entry *taking;   /* the datagram that is sent next is this one's */
    struct entry *taken;    /* the one that was */
    const tport_t *kept_by; /* the library asks about it next */
} sending;

struct client *
client_new(struct sip *s)
{
    struct client *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->sip = s;
    list_init(&c->invites);
    list_init(&c->others);
    list_init(&c->left);
    for (unsigned i = 0; i < STEPS; i++)
        list_init(&c->again[i]);
    c->entries = map_new(s->seed, CLIENT_COUNT_MAX);
    c->unheard = unheard_new(s->seed);
    c->timer = su_timer_create(su_root_task(s->root), TICK_MS);
    if (c->entries && c->unheard && c->timer) {
        ours = c;
        return c;
    }
    client_free(c);
    return NULL;
}

static void
entry_free(struct entry *e)
{
    list_remove(&e->age);
    list_remove(&e->again);
    datagram_drop(&e->bytes);
    free(e);
}

void
client_free(struct client *c)
{
    struct map_cursor at = {0};

    if (!c)
        return;
    if (ours == c)
        ours = NULL;
    while (c->entries && map_next(c->entries, &at))
        entry_free(at.value);
    map_free(c->entries);
    unheard_free(c->unheard);
    su_timer_destroy(c->timer);
    free(c);
}

/* ---- which transaction (RFC 3261 section 17.1.3) ---- */

/* Branches are ours, unguessable, and compared without regard to case. */
static uint64_t
key_of(const struct client *c, const char *branch)
{
    char text[BRANCH_BYTES];
    size_t len = 0;

    for (; len < sizeof(text) && branch[len]; len++)
        text[len] = (char)(branch[len] | 0x20);
    return map_hash(c->sip->seed, slice_of(text, len));
}

static struct slice
key_slice(const uint64_t *key)
{
    return slice_of(key, sizeof(*key));
}

static struct entry *
find(const struct client *c, const char *branch)
{
    uint64_t key;

    if (!c || !branch || map_count(c->entries) == 0)
        return NULL;
    key = key_of(c, branch);
    return map_get(c->entries, key_slice(&key));
}

static void
forget(struct client *c, struct entry *e)
{
    map_remove(c->entries, key_slice(&e->key));
    entry_free(e);
}

/* ---- retransmission ---- */

static void on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void
schedule(struct client *c, struct entry *e, uint64_t now_ms)
{
    list_remove(&e->again);
    e->due_ms = now_ms + ((uint64_t)T1_MS << e->step);
    if (e->due_ms >= e->end_ms)
        return;
    list_append(&c->again[e->step], &e->again);
    if (c->is_armed)
        return;
    c->is_armed = true;
    su_timer_set(c->timer, on_timer, (su_timer_arg_t *)c);
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct client *c = (struct client *)(void *)arg;
    uint64_t now_ms = sip_moment(c->sip).mono_ms;
    bool is_any = false;

    (void)magic;
    (void)timer;
    c->is_armed = false;
    for (unsigned i = STEPS; i-- > 0;) {
        while (!list_is_empty(&c->again[i])) {
            struct entry *e = list_entry(c->again[i].next, struct entry, again);

            if (e->due_ms > now_ms)
                break;
            if (unheard_may_repeat(c->unheard, &e->bytes.to.su_sa, now_ms))
                datagram_send(&e->bytes);
            if (e->step < (e->method == sip_method_invite ? STEPS - 1 : STEP_OTHER_MAX))
                e->step++;
            schedule(c, e, now_ms);
        }
        is_any = is_any || !list_is_empty(&c->again[i]);
    }
    if (is_any && !c->is_armed) {
        c->is_armed = true;
        su_timer_set(c->timer, on_timer, (su_timer_arg_t *)c);
    }
}

/* ---- requests ---- */

void
client_want(bool is_wanted)
{
    sending.is_wanted = is_wanted;
}

static struct entry *
begin(struct client *c, const sip_t *sip)
{
    struct entry *e;
    uint64_t key;

    if (!sip->sip_via || !sip->sip_via->v_branch)
        return NULL;
    key = key_of(c, sip->sip_via->v_branch);
    if (map_get(c->entries, key_slice(&key)))
        return NULL;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    list_init(&e->age);
    list_init(&e->again);
    e->key = key;
    e->method = sip->sip_request->rq_method;
    if (map_put(c->entries, key_slice(&e->key), e, NULL) == ST_OK)
        return e;
    free(e);
    return NULL;
}

void
client_before(const tport_t *transport, msg_t *msg)
{
    const sip_t *sip = sip_object(msg);

    sending.taking = NULL;
    sending.taken = NULL;
    sending.kept_by = NULL;
    sending.is_request = false;
    if (!ours || !sip || !sip->sip_request || tport_is_stream(transport))
        return;
    if (sip->sip_request->rq_method == sip_method_ack) {
        struct entry *e = sip->sip_via ? find(ours, sip->sip_via->v_branch) : NULL;

        sending.taking = e && e->has_final ? e : NULL;
    } else if (sending.is_wanted) {
        sending.taking = begin(ours, sip);
        sending.is_request = sending.taking != NULL;
    }
}

bool
client_on_datagram(int fd, const struct msghdr *datagram)
{
    struct entry *e = sending.taking;

    if (e && sending.is_request && datagram->msg_name &&
        !unheard_may_begin(ours->unheard, datagram->msg_name, sip_moment(ours->sip).mono_ms))
        return false;
    if (e && datagram_keep(&e->bytes, fd, datagram)) {
        sending.taking = NULL;
        sending.taken = e;
    }
    return true;
}

void
client_after(const tport_t *sent)
{
    struct entry *e = sending.taken ? sending.taken : sending.taking;
    bool is_taken = sending.taken != NULL;
    uint64_t now_ms;

    sending.taking = NULL; /* what is sent next is another message's */
    sending.taken = NULL;
    if (!sending.is_request)
        return;
    sending.is_request = false;
    if (!sent || !is_taken) {
        forget(ours, e);
        return;
    }
    now_ms = sip_moment(ours->sip).mono_ms;
    e->end_ms = now_ms + CLIENT_INVITE_MS;
    schedule(ours, e, now_ms);
    sending.kept_by = sent;
}

bool
client_is_kept(const tport_t *transport)
{
    bool is_kept = transport && sending.kept_by == transport;

    sending.kept_by = NULL;
    return is_kept;
}

/* ---- responses ---- */

static void
finish(struct client *c, struct entry *e)
{
    bool is_invite = e->method == sip_method_invite;

    list_remove(&e->again);
    list_remove(&e->age);
    e->is_finished = true;
    e->end_ms = sip_moment(c->sip).mono_ms + (is_invite ? CLIENT_INVITE_MS : CLIENT_OTHER_MS);
    list_append(is_invite ? &c->invites : &c->others, &e->age);
}

/* True: it goes no further. */
static bool
on_copy(const struct entry *e, int status)
{
    if (e->method == sip_method_invite && status / 100 == 2)
        return false;
    if (e->method == sip_method_invite && status >= 300)
        datagram_send(&e->bytes); /* the ACK */
    return true;
}

bool
client_on_response(const sip_t *sip)
{
    struct entry *e = sip->sip_via ? find(ours, sip->sip_via->v_branch) : NULL;
    int status = sip->sip_status->st_status;

    if (!e || !sip->sip_cseq || sip->sip_cseq->cs_method != e->method)
        return false;
    if (e->is_finished)
        return on_copy(e, status);
    if (e->has_final)
        return false; /* the library has it as long as somebody here has */
    if (e->bytes.bytes)
        unheard_answered(ours->unheard, &e->bytes.to.su_sa, sip_moment(ours->sip).mono_ms);
    if (e->method != sip_method_invite && status < 200) {
        e->step = STEP_OTHER_MAX; /* section 17.1.2.2: not faster than T2 from the next one on */
        return false;
    }
    list_remove(&e->again);
    datagram_drop(&e->bytes);
    e->has_final = status >= 200;
    if (e->has_final && e->is_left)
        finish(ours, e);
    return false;
}

void
sip_send_end(nta_outgoing_t *orq)
{
    struct entry *e = find(ours, nta_outgoing_branch(orq));

    if (e && e->has_final) {
        finish(ours, e);
    } else if (e && (e->method == sip_method_invite || nta_outgoing_status(orq) >= 200)) {
        forget(ours, e); /* the library gave it up, or does now */
    } else if (e && !e->is_left) {
        e->is_left = true;
        list_append(&ours->left, &e->age);
    }
    nta_outgoing_destroy(orq);
}

/* ---- time ---- */

static void
sweep(struct client *c, struct list_node *list, uint64_t now_ms)
{
    while (!list_is_empty(list)) {
        struct entry *e = list_entry(list->next, struct entry, age);

        if (e->end_ms > now_ms)
            return;
        forget(c, e);
    }
}

void
client_tick(struct client *c)
{
    uint64_t now_ms = sip_moment(c->sip).mono_ms;

    sweep(c, &c->invites, now_ms);
    sweep(c, &c->others, now_ms);
    sweep(c, &c->left, now_ms);
}

size_t
client_count(const struct client *c)
{
    return map_count(c->entries);
}
