#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/b2bua_call.h"
#include "gateway/sip/header_policy.h"

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

/** Header fields that name a dialog of whoever gets them: Call-ID, his tag, the other tag. */
static const struct named {
    const char *field;
    const char *his_tag;
    const char *other_tag;
} fields[] = {{"Replaces", "to-tag", "from-tag"},            /* RFC 3891 */
              {"Join", "to-tag", "from-tag"},                /* RFC 3911 */
              {"Target-Dialog", "local-tag", "remote-tag"}}; /* RFC 4538 */

static const char *
parameter(const char *text, const char *name)
{
    size_t len = strlen(name);

    text += strspn(text, " \t");
    return strncasecmp(text, name, len) == 0 && text[len] == '=' ? text + len + 1 : NULL;
}

/** What the value of such a field names; @ret_more: all other parameters. */
static bool
read_value(su_home_t *home, const struct named *f, const char *value, struct names *ret,
           const char **ret_more)
{
    char *text = su_strdup(home, value), *rest = text ? strchr(text, ';') : NULL;
    const char *more = "";

    if (!rest)
        return false;
    *ret = (struct names){.call_id = text};
    while (rest) {
        char *one = rest + 1;
        const char *his, *other;

        *rest = '\0';
        rest = strchr(one, ';');
        if (rest)
            *rest = '\0';
        his = parameter(one, f->his_tag);
        other = parameter(one, f->other_tag);
        ret->to_tag = his ? his : ret->to_tag;
        ret->from_tag = other ? other : ret->from_tag;
        if (!his && !other)
            more = su_sprintf(home, "%s;%s", more, one);
    }
    text[strcspn(text, " \t")] = '\0';
    *ret_more = more;
    return more != NULL;
}

/** The value with the other leg's names; all other parameters stay.  NULL if it names no dialog of
 * ours. */
static char *
map_value(struct b2bua *b, su_home_t *home, const struct named *f, const char *value)
{
    const char *more;
    struct names n;

    if (!read_value(home, f, value, &n, &more) || !map_names(b, &n))
        return NULL;
    return su_sprintf(home, "%s;%s=%s;%s=%s%s", n.call_id, f->his_tag, n.to_tag, f->other_tag,
                      n.from_tag, more);
}

static void
strip_unknown(msg_t *msg, sip_t *sip, const char *name)
{
    for (sip_unknown_t *u = sip->sip_unknown, *next; u; u = next) {
        next = u->un_next;
        if (strcasecmp(u->un_name, name) == 0)
            msg_header_remove(msg, (msg_pub_t *)sip, (msg_header_t *)u);
    }
}

/** In a header field that the library does not know. */
static void
map_unknown(struct b2bua *b, msg_t *msg, sip_t *sip, const struct named *f)
{
    su_home_t *home = msg_home(msg);
    const char *value = header_find(sip, f->field);
    char *mapped = value ? map_value(b, home, f, value) : NULL;

    if (!mapped)
        return;
    strip_unknown(msg, sip, f->field);
    sip_add_make(msg, sip, sip_unknown_class, su_sprintf(home, "%s: %s", f->field, mapped));
}

/** The Refer-To of an attended transfer: <sip:carol@site?Replaces=ID%3Bto-tag%3DX%3Bfrom-tag%3DY>.
 */
static void
map_refer_to(struct b2bua *b, msg_t *msg, sip_refer_to_t *refer, const struct named *f)
{
    su_home_t *home = msg_home(msg);
    const char *query = refer->r_url->url_headers;
    size_t name_len = strlen(f->field);
    const char *at = query;
    char *value, *mapped, *escaped;
    size_t len;

    while (at && (strncasecmp(at, f->field, name_len) != 0 || at[name_len] != '='))
        at = strchr(at, '&') ? strchr(at, '&') + 1 : NULL;
    if (!at)
        return;
    at += name_len + 1;
    len = strcspn(at, "&");
    value = su_strndup(home, at, (isize_t)len);
    if (!value)
        return;
    url_unescape(value, value);
    mapped = map_value(b, home, f, value);
    escaped = mapped ? su_alloc(home, (isize_t)(3 * strlen(mapped) + 1)) : NULL;
    if (!escaped)
        return;
    url_escape(escaped, mapped, ";=&?@");
    refer->r_url->url_headers =
        su_sprintf(home, "%.*s%s%s", (int)(at - query), query, escaped, at + len);
    sip_fragment_clear(refer->r_common);
}

/** Our Contact as Refer-To: on the other leg the user is meant whom it stands for, for nobody there
 * can reach our address on this one; Replaces says which of his phones (RFC 5589). */
static void
map_contact(struct b2bua *b, msg_t *msg, sip_refer_to_t *refer)
{
    su_home_t *home = msg_home(msg);
    const char *headers = refer->r_url->url_headers;
    const char *aor = b2bua_place_aor(b, refer->r_url->url_user);
    url_t *url = aor && b2bua_place_is(b, refer->r_url) ? url_make(home, aor) : NULL;

    if (!url)
        return;
    *refer->r_url = *url;
    refer->r_url->url_headers = headers;
    sip_fragment_clear(refer->r_common);
}

void
b2bua_map_replaces(struct b2bua *b, msg_t *msg, sip_t *sip)
{
    for (size_t i = 0; sip->sip_refer_to && i < sizeof(fields) / sizeof(fields[0]); i++)
        map_refer_to(b, msg, sip->sip_refer_to, &fields[i]);
    if (sip->sip_refer_to)
        map_contact(b, msg, sip->sip_refer_to);
    if (sip->sip_request->rq_method == sip_method_invite)
        map_header(b, msg, sip);
    for (size_t i = 1; sip->sip_unknown && i < sizeof(fields) / sizeof(fields[0]); i++)
        map_unknown(b, msg, sip, &fields[i]);
}

/* ---- whose call is named ---- */

static bool
read_names(su_home_t *home, const sip_t *sip, struct names *ret)
{
    const sip_replaces_t *rp = sip->sip_replaces;
    const char *more;

    if (rp) {
        *ret = (struct names){rp->rp_call_id, rp->rp_to_tag, rp->rp_from_tag};
        return true;
    }
    for (size_t i = 1; i < sizeof(fields) / sizeof(fields[0]); i++) {
        const char *value = header_find(sip, fields[i].field);

        if (value && read_value(home, &fields[i], value, ret, &more))
            return true;
    }
    return false;
}

bool
b2bua_names_other(struct sip *s, const sip_t *sip)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    struct names n;
    bool is_other;

    su_home_init(home);
    is_other = read_names(home, sip, &n) && !map_names(s->b2bua, &n);
    su_home_deinit(home);
    return is_other;
}

const struct b2bua_peer *
b2bua_named_peer(struct b2bua *b, const sip_t *sip)
{
    su_home_t home[1] = {SU_HOME_INIT(home)};
    const struct b2bua_peer *peer = NULL;
    struct b2bua_key *key = NULL;
    struct names n, mapped;

    su_home_init(home);
    if (read_names(home, sip, &n)) {
        mapped = n;
        key = map_names(b, &mapped) ? b2bua_find(b, n.to_tag) : NULL;
    }
    if (key)
        peer = b2bua_peer_of(key->call, key->leg == CALL_CALLER ? CALL_CALLEE : CALL_CALLER,
                             key->dialog);
    su_home_deinit(home);
    return peer;
}
