#include "gateway/sip/phone_via.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <sofia-sip/sip_tag.h>

#include "gateway/sip/cancel.h"
#include "gateway/sip/header_policy.h"
#include "gateway/sip/send.h"

struct phone_cancel {
    struct phone_cancels *owner;
    struct list_node link; /* by due_ms */
    struct phone_via *of;  /* NULL: SENT */
    uint64_t due_ms;
    unsigned left; /* so often is it sent */
    msg_t *msg;
    char *uri;
};

struct phone_cancels {
    struct sip *sip;
    struct list_node waiting;
    size_t waiting_count;
    su_timer_t *timer;
    bool is_armed;
    uint64_t sent;
    uint64_t left;
};

/* ---- the serving peer ---- */

/* "Phone-Via: SIP/2.0/UDP HOST:PORT;branch=BRANCH"; NULL where it did not go by UDP. */
static char *
write_header(su_home_t *home, nta_outgoing_t *orq)
{
    msg_t *request = nta_outgoing_getrequest(orq);
    const sip_via_t *via = request ? sip_object(request)->sip_via : NULL;
    char *text = NULL;

    if (via && via->v_host && via->v_branch && strcasecmp(via->v_protocol, "SIP/2.0/UDP") == 0)
        text = su_sprintf(home, HEADER_PHONE_VIA ": SIP/2.0/UDP %s%s%s;branch=%s", via->v_host,
                          via->v_port ? ":" : "", via->v_port ? via->v_port : "", via->v_branch);
    msg_destroy(request);
    return text;
}

void
phone_via_tell(msg_t *response, nta_outgoing_t *orq)
{
    char *text = write_header(msg_home(response), orq);

    if (text) /* without memory for it the phone rings on, should this node be lost */
        (void)sip_add_make(response, sip_object(response), sip_unknown_class, text);
}

void
phone_via_trying(nta_incoming_t *irq, nta_outgoing_t *orq)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    char *text = orq ? write_header(home, orq) : NULL;

    if (nta_incoming_status(irq) < 200)
        nta_incoming_treply(irq, SIP_100_TRYING, TAG_IF(text, SIPTAG_UNKNOWN_STR(text)), TAG_END());
    su_home_deinit(home);
}

/* ---- the node before it ---- */

/* One Via of ours, by UDP, and no more than that of it. */
static char *
read_value(su_home_t *home, const char *value)
{
    const sip_via_t *via = strlen(value) < PHONE_VIA_BYTES ? sip_via_make(home, value) : NULL;

    if (!via || via->v_next || strcasecmp(via->v_protocol, "SIP/2.0/UDP") != 0 || !via->v_branch ||
        strncmp(via->v_branch, "z9hG4bK", 7) != 0)
        return NULL;
    return su_sprintf(home, "SIP/2.0/UDP %s%s%s;branch=%s", via->v_host, via->v_port ? ":" : "",
                      via->v_port ? via->v_port : "", via->v_branch);
}

void
phone_via_learn(struct phone_via *v, const sip_t *response)
{
    const char *value = header_find(response, HEADER_PHONE_VIA);
    su_home_t home[1] = {SU_HOME_INIT(home)};
    char *text = value && !v->text ? read_value(home, value) : NULL;

    if (text)
        v->text = strdup(text);
    su_home_deinit(home);
}

static void
drop(struct phone_cancel *c)
{
    if (c->of)
        c->of->cancel = NULL;
    if (!list_is_empty(&c->link))
        c->owner->waiting_count--;
    list_remove(&c->link);
    msg_destroy(c->msg);
    free(c->uri);
    free(c);
}

/* False: it cannot be reached straight, by UDP. */
static bool
find_phone(struct sip *s, const char *uri, struct sip_target *ret)
{
    const char *param;

    if (!uri || sip_is_sips(uri) || sip_target_of_phone(s, uri, ret) != ST_OK)
        return false;
    param = strstr(ret->next_hop, ";transport=");
    return !param || strcasecmp(param, ";transport=udp") == 0;
}

/* Responses go to the peer that is lost, if anywhere: no transaction waits for them. */
static void
send_once(struct phone_cancels *p, struct phone_cancel *c)
{
    struct sip_target target;
    msg_t *msg = find_phone(p->sip, c->uri, &target) ? msg_dup(c->msg) : NULL;

    c->left--;
    if (msg &&
        !nta_outgoing_mcreate(target.agent->nta, NULL, NULL, URL_STRING_MAKE(target.next_hop), msg,
                              NTATAG_STATELESS(1), NTATAG_USER_VIA(1), TAG_END()))
        msg_destroy(msg);
}

static void on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg);

static void
arm(struct phone_cancels *p)
{
    uint64_t now_ms = sip_moment(p->sip).mono_ms;
    uint64_t due_ms;

    if (p->is_armed || list_is_empty(&p->waiting))
        return;
    due_ms = list_entry(p->waiting.next, struct phone_cancel, link)->due_ms;
    p->is_armed = true;
    su_timer_set_interval(p->timer, on_timer, (su_timer_arg_t *)p,
                          (su_duration_t)(due_ms > now_ms ? due_ms - now_ms : 1));
}

/* To be sent, once more, after T1. */
static void
enqueue(struct phone_cancels *p, struct phone_cancel *c)
{
    c->due_ms = sip_moment(p->sip).mono_ms + PHONE_VIA_AGAIN_MS;
    list_append(&p->waiting, &c->link);
    p->waiting_count++;
    arm(p);
}

/* WAITING or new: it goes out now. */
static void
go(struct phone_cancels *p, struct phone_cancel *c)
{
    if (c->of) {
        p->sent++;
        c->of->is_used = true;
        c->of->cancel = NULL;
        c->of = NULL;
    }
    if (!list_is_empty(&c->link))
        p->waiting_count--;
    list_remove(&c->link);
    send_once(p, c);
    if (c->left > 0 && p->waiting_count < PHONE_VIA_MAX)
        enqueue(p, c);
    else
        drop(c);
}

static void
on_timer(su_root_magic_t *magic, su_timer_t *timer, su_timer_arg_t *arg)
{
    struct phone_cancels *p = (struct phone_cancels *)arg;
    uint64_t now_ms = sip_moment(p->sip).mono_ms;

    (void)magic;
    (void)timer;
    p->is_armed = false;
    while (!list_is_empty(&p->waiting)) {
        struct phone_cancel *first = list_entry(p->waiting.next, struct phone_cancel, link);

        if (first->due_ms > now_ms)
            break;
        go(p, first);
    }
    arm(p);
}

static struct phone_cancel *
cancel_new(struct phone_cancels *p, struct phone_via *v, const struct phone_invite *invite)
{
    struct phone_cancel *c = calloc(1, sizeof(*c));
    su_home_t home[1] = {SU_HOME_INIT(home)};
    const sip_via_t *via = sip_via_make(home, v->text);

    if (c) {
        list_init(&c->link);
        c->owner = p;
        c->left = 2;
        c->uri = strdup(invite->uri);
        c->msg = via ? cancel_message(invite->sip, via, invite->uri, invite->reason) : NULL;
        c->of = v;
    }
    su_home_deinit(home);
    if (!c || (c->uri && c->msg))
        return c;
    msg_destroy(c->msg);
    free(c->uri);
    free(c);
    return NULL;
}

static bool
may_be_sent(struct sip *s, const struct phone_via *v, const struct phone_invite *invite)
{
    struct sip_target target;

    return v->text && invite->sip && find_phone(s, invite->uri, &target);
}

void
phone_via_cancelled(struct sip *s, struct phone_via *v, const struct phone_invite *invite)
{
    struct phone_cancels *p = s->phone_cancels;

    if (!may_be_sent(s, v, invite) || v->is_used || v->cancel || p->waiting_count >= PHONE_VIA_MAX)
        return;
    v->cancel = cancel_new(p, v, invite);
    if (v->cancel)
        enqueue(p, v->cancel);
}

void
phone_via_lost(struct sip *s, struct phone_via *v, const struct phone_invite *invite)
{
    struct phone_cancels *p = s->phone_cancels;
    struct phone_cancel *c = v->cancel;

    if (v->is_used)
        return;
    if (!c && may_be_sent(s, v, invite))
        c = cancel_new(p, v, invite);
    if (!c)
        p->left++;
    log_write(LOG_LEVEL_INFO, "sip", "%s: serving peer of a phone that rings lost: phone %s",
              invite->sip ? invite->sip->sip_call_id->i_id : "-",
              c ? "cancelled" : "rings until its INVITE expires");
    v->is_used = true;
    if (c)
        go(p, c);
}

void
phone_via_done(struct phone_via *v)
{
    if (v->cancel)
        drop(v->cancel);
    free(v->text);
    v->text = NULL;
}

/* ---- all of them ---- */

struct phone_cancels *
phone_cancels_new(struct sip *s)
{
    struct phone_cancels *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->sip = s;
    list_init(&p->waiting);
    p->timer = su_timer_create(su_root_task(s->root), PHONE_VIA_AGAIN_MS);
    if (p->timer)
        return p;
    free(p);
    return NULL;
}

void
phone_cancels_free(struct phone_cancels *p)
{
    if (!p)
        return;
    while (!list_is_empty(&p->waiting))
        drop(list_entry(p->waiting.next, struct phone_cancel, link));
    su_timer_destroy(p->timer);
    free(p);
}

uint64_t
phone_cancels_count(const struct sip *s, uint64_t *ret_left)
{
    *ret_left = s->phone_cancels->left;
    return s->phone_cancels->sent;
}
