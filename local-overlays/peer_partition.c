/* Two overlays of one name: who has to move? */
#include <stdlib.h>

#include "local-overlays/peer_internal.h"

#define LONE_MS 5000 /* a node that has lost its overlay finds back into it in less */

/** The check that the same nodes answer for ID 0 here and through an entry. */
struct check {
    struct id through; /* the entry's node */
    struct id there;   /* who is responsible for ID 0 over there */
};

static void
rejoin(struct peer *p, const struct id *through)
{
    char text[ID_TEXT_BYTES];

    if (p->state != PEER_JOINED && p->state != PEER_ALONE)
        return;
    log_to(&p->env.log, LOG_LEVEL_WARN, "%s: there is another overlay, at %s: joining it",
           p->conf.overlay, id_text(through, text));
    peer_depart_to(p, through, "two overlays of this name");
}

static void
hint_answered(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    (void)owner;
    (void)ctx;
    (void)now;
    (void)end;
}

/* A Ping to the node itself with our In_Progress info as padding: look at the overlay through us.
 */
static void
send_hint(struct peer *p, const struct id *to)
{
    struct outgoing o = {.code = MESSAGE_PING_REQ, .done = hint_answered};
    struct ping_req ping = {0};
    struct writer padding, body;

    writer_init(&padding, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    peer_write_in_progress(p, &padding);
    ping.padding = writer_slice(&padding);
    ping_req_write(&body, &ping);
    o.body = writer_slice(&body);
    peer_request_node(p, to, &o);
    writer_done(&padding);
    writer_done(&body);
}

void
peer_tell_partition(struct peer *p)
{
    list_each(at, &p->links)
    {
        const struct link *l = list_entry(at, struct link, at);
        if (l->is_up)
            send_hint(p, &l->node);
    }
}

/* Whoever answers for ID 0 there is the one that was asked: it may have nobody else, and then it is
 * the one to move. */
static bool
may_move_by_itself(struct peer *p, struct entry *e, const struct check *c)
{
    if (!id_equal(&c->there, &c->through))
        return false;
    if (e->lone_ms == 0)
        e->lone_ms = p->now.mono_ms;
    e->next_ms = p->now.mono_ms + p->conf.reliability_ms;
    return p->now.mono_ms - e->lone_ms < LONE_MS;
}

/* ID 0 stands for an overlay: in a ring whoever answers for it has the lowest Node-ID.  One node
 * alone joins the others, for it has stood still or was cut off.  Else the overlay whose
 * representative is higher joins the other; when both name the same, it is one overlay that is
 * still settling.  The other side may have nobody to ask about ours: it is told. */
static void
compared(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct check *c = ctx;
    struct check copy = *c;
    struct entry *e = peer_entry_find(p, NULL, &copy.through);
    bool is_alone = p->state == PEER_ALONE;

    (void)now;
    free(c);
    if (end->st != ST_OK || p->is_ending || !p->is_in)
        return;
    if (id_equal(&end->from->node, &copy.there))
        return;
    if (!e || e->heard != HEARD_MEMBER || !e->is_elsewhere)
        return;
    if (is_alone && !id_equal(&copy.there, &copy.through))
        rejoin(p, &copy.through);
    else if (id_compare(&end->from->node, &copy.there) < 0 ||
             (!is_alone && may_move_by_itself(p, e, &copy)))
        send_hint(p, &copy.through);
    else
        rejoin(p, &copy.through);
}

static void
compare_here(void *owner, void *ctx, struct moment now, const struct transaction_end *end)
{
    struct peer *p = owner;
    struct check *c = ctx;
    struct id zero = {{0}};
    struct destination to = destination_resource(&zero);
    struct ping_req ping = {0};
    struct writer body;
    struct outgoing o = {.to = &to,
                         .count = 1,
                         .code = MESSAGE_PING_REQ,
                         .is_any_responder = true,
                         .done = compared,
                         .ctx = c};

    (void)now;
    if (end->st != ST_OK || p->is_ending || !p->is_in) {
        free(c);
        return;
    }
    c->there = end->from->node;
    writer_init(&body, UINT16_MAX);
    ping_req_write(&body, &ping);
    o.body = writer_slice(&body);
    peer_request(p, &o);
    writer_done(&body);
}

void
peer_check_partition(struct peer *p, const struct id *through)
{
    struct id zero = {{0}};
    struct destination to[2] = {destination_node(through), destination_resource(&zero)};
    struct check *c = calloc(1, sizeof(*c));
    struct ping_req ping = {0};
    struct writer body;
    struct outgoing o = {.to = to,
                         .count = 2,
                         .code = MESSAGE_PING_REQ,
                         .is_any_responder = true,
                         .done = compare_here,
                         .ctx = c};

    if (!c)
        return;
    c->through = *through;
    writer_init(&body, UINT16_MAX);
    ping_req_write(&body, &ping);
    o.body = writer_slice(&body);
    peer_request(p, &o);
    writer_done(&body);
}
