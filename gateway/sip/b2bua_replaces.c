#include <stdio.h>
#include <string.h>

#include "gateway/sip/b2bua_call.h"

/** The dialog at the other end of the call that these three name at ours. */
struct names {
    const char *call_id;
    const char *to_tag;
    const char *from_tag;
};

/**
 * to-tag is the tag of whoever gets the INVITE with Replaces (RFC 3891 section 3): that would be
 * us, standing for the party at the other end, who knows the dialog by his own names.
 */
static bool
map_names(struct b2bua *b, struct names *n)
{
    struct b2bua_key *key = n->to_tag ? b2bua_find(b, n->to_tag) : NULL;
    struct b2bua_call *c = key ? key->call : NULL;
    uint8_t dialog;

    if (!c || !n->from_tag || !n->call_id)
        return false;
    if (key->leg == CALL_CALLER) {
        if (strcmp(n->call_id, c->caller_call_id) != 0 ||
            strcasecmp(n->from_tag, c->caller_tag) != 0 || !b2bua_dialog_at(c, key->dialog))
            return false;
        *n = (struct names){c->callee_call_id, c->dialog[key->dialog]->far_tag, c->our_tag};
        return true;
    }
    dialog = b2bua_dialog_find(c, n->from_tag);
    if (dialog == CALL_NO_DIALOG || strcmp(n->call_id, c->callee_call_id) != 0)
        return false;
    *n = (struct names){c->caller_call_id, c->caller_tag, c->dialog[dialog]->our_tag};
    return true;
}

static void
map_header(struct b2bua *b, msg_t *msg, sip_t *sip)
{
    sip_replaces_t *rp = sip->sip_replaces;
    struct names n;
    const char *text;

    if (!rp)
        return;
    n = (struct names){rp->rp_call_id, rp->rp_to_tag, rp->rp_from_tag};
    if (!map_names(b, &n))
        return;
    text = su_sprintf(msg_home(msg), "%s;to-tag=%s;from-tag=%s%s", n.call_id, n.to_tag, n.from_tag,
                      rp->rp_early_only ? ";early-only" : "");
    msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)rp);
    sip_add_make(msg, sip, sip_replaces_class, text);
}

/** The Refer-To of an attended transfer: <sip:carol@site?Replaces=ID%3Bto-tag%3DX%3Bfrom-tag%3DY>.
 */
static void
map_refer_to(struct b2bua *b, msg_t *msg, sip_t *sip)
{
    su_home_t *home = msg_home(msg);
    sip_refer_to_t *refer = sip->sip_refer_to;
    sip_replaces_t *rp;
    char *query, *value, *end;
    struct names n;

    if (!refer || !refer->r_url->url_headers)
        return;
    query = su_strdup(home, refer->r_url->url_headers);
    value = query ? strcasestr(query, "Replaces=") : NULL;
    if (!value || (value > query && value[-1] != '&'))
        return;
    value += strlen("Replaces=");
    end = value + strcspn(value, "&");
    value = su_strndup(home, value, (isize_t)(end - value));
    if (!value)
        return;
    url_unescape(value, value);
    rp = sip_replaces_make(home, value);
    if (!rp)
        return;
    n = (struct names){rp->rp_call_id, rp->rp_to_tag, rp->rp_from_tag};
    if (!map_names(b, &n))
        return;
    value = su_alloc(home, (isize_t)(3 * strlen(n.call_id) + 1));
    if (!value)
        return;
    url_escape(value, n.call_id, ";=&?@");
    *strcasestr(query, "Replaces=") = '\0';
    refer->r_url->url_headers =
        su_sprintf(home, "%sReplaces=%s%%3Bto-tag%%3D%s%%3Bfrom-tag%%3D%s%s%s", query, value,
                   n.to_tag, n.from_tag, rp->rp_early_only ? "%3Bearly-only" : "",
                   refer->r_url->url_headers + (end - query));
    sip_fragment_clear(refer->r_common);
}

void
b2bua_map_replaces(struct b2bua *b, msg_t *msg, sip_t *sip)
{
    if (sip->sip_refer_to)
        map_refer_to(b, msg, sip);
    if (sip->sip_request->rq_method == sip_method_invite)
        map_header(b, msg, sip);
}
