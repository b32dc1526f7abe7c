#include "gateway/sip/b2bua_chase.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/cancel.h"
#include "gateway/sip/orphan.h"

struct chase {
    struct list_node link;
    struct b2bua *b2bua;
    struct sip_agent *agent;
    nta_outgoing_t *orq;
    bool is_called_off;
    char *reason;
    uint64_t until_ms;
};

static void
drop(struct chase *x)
{
    list_remove(&x->link);
    x->b2bua->chase_count--;
    if (x->orq)
        sip_send_end(x->orq);
    free(x->reason);
    free(x);
}

static int
on_response(nta_outgoing_magic_t *magic, nta_outgoing_t *orq, const sip_t *sip)
{
    struct chase *x = (struct chase *)(void *)magic;
    int status = sip && sip->sip_status ? sip->sip_status->st_status : 503;

    if (status < 200) {
        if (!x->is_called_off)
            cancel_send(x->agent, orq, NULL, x->reason);
        x->is_called_off = true;
        return 0;
    }
    if (status < 300 && !nta_sip_is_internal(sip))
        orphan_hang_up(x->agent, orq, sip);
    drop(x);
    return 0;
}

void
b2bua_chase(const struct b2bua_branch *branch, const char *gateway_uri)
{
    struct b2bua_call *c = branch->call;
    struct b2bua *b = c->b2bua;
    struct sip_target target = {.agent = branch->target.agent, .request_uri = branch->request_uri};
    struct chase *x = b->chase_count < B2BUA_CHASES_MAX ? calloc(1, sizeof(*x)) : NULL;
    size_t len = strcspn(gateway_uri, ";");
    msg_t *msg;

    if (!x)
        return;
    snprintf(target.next_hop, sizeof(target.next_hop), "%.*s;transport=tls",
             (int)(len < 200 ? len : 200), gateway_uri);
    x->b2bua = b;
    x->agent = target.agent;
    x->reason = branch->reason ? strdup(branch->reason) : NULL;
    x->until_ms = sip_moment(b->sip).mono_ms + B2BUA_CHASE_MS;
    list_append(&b->chases, &x->link);
    b->chase_count++;
    msg = b2bua_initial_request(c, &target);
    if (msg)
        x->orq = sip_send(b->sip, &target, msg, on_response, (nta_outgoing_magic_t *)(void *)x);
    if (!x->orq)
        drop(x);
}

void
b2bua_chases_tick(struct b2bua *b, uint64_t now_ms)
{
    while (!list_is_empty(&b->chases)) {
        struct chase *x = list_entry(b->chases.next, struct chase, link);

        if (x->until_ms > now_ms)
            return;
        drop(x);
    }
}
