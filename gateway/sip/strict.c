#include "gateway/sip/strict.h"

#include <sofia-sip/sip_util.h>

#include "gateway/sip/flow.h"

static sip_route_t *
last_of(sip_route_t *route)
{
    while (route && route->r_next)
        route = route->r_next;
    return route;
}

static void
set_request_uri(sip_t *sip, const url_t *url)
{
    *sip->sip_request->rq_url = *url;
    sip->sip_request->rq_url->url_headers = NULL; /* section 19.1.1: not in a Request-URI */
    msg_fragment_clear(sip->sip_request->rq_common);
}

/* One that this node has made, in this run or before. */
static bool
is_own_record_route(struct sip *s, const url_t *url)
{
    uint64_t flow;
    unsigned flags;

    return sip_is_own_url(s, url) && url->url_user &&
           (url_has_param(url, "lr") || flow_read(s, url->url_user, &flow, &flags));
}

bool
strict_undo(struct sip *s, msg_t *msg, sip_t *sip)
{
    sip_route_t *last = last_of(sip->sip_route);
    sip_route_t *first;
    url_t *target;

    if (!last || !is_own_record_route(s, sip->sip_request->rq_url))
        return true;
    first = sip_route_create(msg_home(msg), sip->sip_request->rq_url, NULL);
    target = url_hdup(msg_home(msg), last->r_url);
    if (!first || !target)
        return false;
    msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)last);
    set_request_uri(sip, target);
    return msg_header_prepend(msg, (msg_pub_t *)sip, (msg_header_t **)&sip->sip_route,
                              (msg_header_t *)first) == 0;
}

bool
strict_apply(msg_t *msg, sip_t *sip)
{
    sip_route_t *first = sip->sip_route;
    sip_route_t *last;
    url_t *next;

    if (!first || url_has_param(first->r_url, "lr"))
        return true;
    last = sip_route_create(msg_home(msg), sip->sip_request->rq_url, NULL);
    next = url_hdup(msg_home(msg), first->r_url);
    if (!last || !next)
        return false;
    sip_route_remove(msg, sip);
    set_request_uri(sip, next);
    return msg_header_insert(msg, (msg_pub_t *)sip, (msg_header_t *)last) == 0; /* at the end */
}
