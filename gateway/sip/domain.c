#include "gateway/sip/domain.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "gateway/sip/clock.h"
#include "gateway/sip/dispatch.h"

/** A domain inside ours that was judged. */
struct known {
    struct ask ask; /* for the next verdict, while nobody waits */
    struct sip *sip;
    char host[OVERLAY_NAME_BYTES];
    enum names_verdict verdict;
    uint64_t until_ms; /* of the verdict */
    uint64_t used_ms;
    bool is_asking;
};

/** A request that waits. */
struct held {
    struct list_node link;
    struct ask ask;
    struct sip_agent *agent;
    msg_t *msg;
    struct sip_sender sender;
    char host[OVERLAY_NAME_BYTES]; /* that is being judged */
    unsigned rounds;
};

struct domains {
    struct map *known; /* struct known by host */
    struct list_node held;
    size_t held_count;
    char (*foreign)[OVERLAY_NAME_BYTES];
    size_t foreign_count;
};

#define ROUNDS_MAX 4 /* so many domains can a request name */

struct domains *
domains_new(const struct sip *s)
{
    struct domains *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    list_init(&t->held);
    t->known = map_new(s->seed, DOMAIN_KNOWN_MAX);
    if (t->known)
        return t;
    free(t);
    return NULL;
}

static void
known_drop(struct domains *t, struct known *k)
{
    map_remove(t->known, slice_text(k->host));
    ask_cancel(&k->ask);
    free(k);
}

void
domains_free(struct domains *t)
{
    struct map_cursor c = {0};

    if (!t)
        return;
    while (!list_is_empty(&t->held)) {
        struct held *h = list_entry(t->held.next, struct held, link);

        ask_cancel(&h->ask);
        list_remove(&h->link);
        msg_destroy(h->msg);
        tport_unref(h->sender.tport);
        free(h);
    }
    while (map_next(t->known, &c))
        known_drop(t, c.value);
    map_free(t->known);
    free(t->foreign);
    free(t);
}

/* In lower case, without its root dot; false unless it is inside our overlay's name, where it could
 * be another's. */
static bool
read_inside(const struct sip *s, const char *host, char ret[OVERLAY_NAME_BYTES])
{
    size_t len = host ? strlen(host) : 0;

    if (len > 0 && host[len - 1] == '.')
        len--;
    if (len <= strlen(s->conf.overlay) || len >= OVERLAY_NAME_BYTES ||
        !sip_domain_is_of(s->conf.overlay, host))
        return false;
    for (size_t i = 0; i < len; i++)
        ret[i] = (char)tolower((unsigned char)host[i]);
    ret[len] = '\0';
    return true;
}

const char *
domain_foreign(const struct sip *s, const char *host)
{
    const struct domains *t = s->domains;
    const char *best = NULL;

    for (size_t i = 0; host && t && i < t->foreign_count; i++)
        if (sip_domain_is_of(t->foreign[i], host) &&
            (!best || strlen(t->foreign[i]) > strlen(best)))
            best = t->foreign[i];
    return best;
}

bool
domain_warning(const struct sip *s, const char *host, char ret[DOMAIN_WARNING_BYTES])
{
    const char *name = domain_foreign(s, host);

    if (name)
        snprintf(ret, DOMAIN_WARNING_BYTES, "399 %s \"%s is another overlay\"",
                 s->agent[SIP_PHONES].host, name);
    return name != NULL;
}

void
domain_on_names(struct sip *s, const struct bridge_message *m)
{
    struct domains *t = s->domains;
    size_t bytes = m->count * OVERLAY_NAME_BYTES;
    char(*fresh)[OVERLAY_NAME_BYTES] = malloc(bytes > 0 ? bytes : 1);

    if (!fresh)
        return; /* the names that were known stay so */
    if (bytes > 0)
        memcpy(fresh, m->foreign, bytes);
    free(t->foreign);
    t->foreign = fresh;
    t->foreign_count = m->count;
}

/* ---- verdicts ---- */

static void
set_verdict(struct known *k, enum names_verdict verdict)
{
    uint64_t now_ms = sip_moment(k->sip).mono_ms;

    if (verdict != NAMES_UNSURE || k->verdict != NAMES_OURS || k->until_ms == 0)
        k->verdict = verdict; /* what was ours stays so until it is known to be another's */
    k->until_ms = now_ms + (k->verdict == NAMES_OURS ? DOMAIN_FRESH_MS : DOMAIN_UNSURE_MS);
}

static void
remember(struct sip *s, const char *host, enum names_verdict verdict)
{
    struct domains *t = s->domains;
    struct known *k = map_get(t->known, slice_text(host));

    if (verdict == NAMES_FOREIGN) { /* the list of names has it */
        if (k)
            known_drop(t, k);
        return;
    }
    if (!k) {
        k = calloc(1, sizeof(*k));
        if (!k)
            return;
        k->sip = s;
        k->used_ms = sip_moment(s).mono_ms;
        memcpy(k->host, host, strlen(host) + 1);
        if (map_put(t->known, slice_text(k->host), k, NULL)) {
            free(k);
            return;
        }
    }
    set_verdict(k, verdict);
}

static void
on_fresh(void *ctx, const struct answer *answer)
{
    struct known *k = ctx;

    k->is_asking = false;
    if (answer->status == ST_OK && answer->verdict == NAMES_FOREIGN)
        known_drop(k->sip->domains, k);
    else
        set_verdict(k, answer->status == ST_OK ? answer->verdict : NAMES_UNSURE);
}

static void
use(struct known *k)
{
    uint64_t now_ms = sip_moment(k->sip).mono_ms;

    k->used_ms = now_ms;
    if (k->is_asking || now_ms < k->until_ms)
        return;
    k->is_asking = true;
    k->ask.done = on_fresh;
    k->ask.ctx = k;
    ask_judge(k->sip, k->host, 0, &k->ask);
}

/* Is a domain to be judged before the request goes on?  Says how it is written. */
static bool
is_unknown(struct sip *s, const char *host, char ret[OVERLAY_NAME_BYTES])
{
    struct known *k;

    if (!read_inside(s, host, ret) || domain_foreign(s, ret))
        return false;
    k = map_get(s->domains->known, slice_text(ret));
    if (k)
        use(k);
    return !k && map_count(s->domains->known) < DOMAIN_KNOWN_MAX;
}

bool
domain_is_sure(const struct sip *s, const char *host)
{
    char text[OVERLAY_NAME_BYTES];
    const struct known *k;

    if (!read_inside(s, host, text))
        return true;
    k = map_get(s->domains->known, slice_text(text));
    return k && k->verdict != NAMES_UNSURE;
}

void
domain_ask(struct sip *s, const char *host, struct ask *ask)
{
    char text[OVERLAY_NAME_BYTES];

    if (read_inside(s, host, text))
        ask_judge(s, text, DOMAIN_PATIENCE_MS, ask);
    else
        ask->done(ask->ctx, &(struct answer){.status = ST_OK, .verdict = NAMES_OURS});
}

void
domain_tick(struct sip *s)
{
    uint64_t now_ms = sip_moment(s).mono_ms;
    struct map_cursor c = {0};

    while (map_next(s->domains->known, &c)) {
        struct known *k = c.value;

        if (now_ms >= k->used_ms + DOMAIN_USED_MS)
            known_drop(s->domains, k);
    }
}

/* ---- requests that wait ---- */

/* The first domain of a request that is to be judged. */
static bool
find_unknown(struct sip *s, const sip_t *sip, const struct sip_sender *sender,
             char ret[OVERLAY_NAME_BYTES])
{
    const url_t *url = sip->sip_request->rq_url;
    bool is_from_gateway = sender->side == SIP_PEERS && sender->is_active_gateway;

    if (sip->sip_to->a_tag || sip->sip_request->rq_method == sip_method_ack)
        return false;
    if (url->url_user && is_unknown(s, url->url_host, ret))
        return true;
    if (sip->sip_request->rq_method == sip_method_register &&
        is_unknown(s, sip->sip_to->a_url->url_host, ret))
        return true;
    if (sender->side == SIP_GATEWAYS && is_unknown(s, sender->overlay, ret))
        return true;
    return !is_from_gateway && is_unknown(s, sip->sip_from->a_url->url_host, ret);
}

/* The same request once more, while the first waits: its sender will have one response. */
static bool
is_held(const struct domains *t, const sip_t *sip)
{
    list_each(at, &t->held)
    {
        const sip_t *other = sip_object(list_entry(at, struct held, link)->msg);

        if (sip->sip_via->v_branch && other->sip_via->v_branch &&
            strcmp(sip->sip_via->v_branch, other->sip_via->v_branch) == 0 &&
            sip->sip_request->rq_method == other->sip_request->rq_method)
            return true;
    }
    return false;
}

static void
release(struct held *h)
{
    list_remove(&h->link);
    h->agent->sip->domains->held_count--;
    dispatch_judged(h->agent, h->msg, &h->sender);
    tport_unref(h->sender.tport);
    free(h);
}

static void
on_judged(void *ctx, const struct answer *answer)
{
    struct held *h = ctx;
    struct sip *s = h->agent->sip;

    remember(s, h->host, answer->status == ST_OK ? answer->verdict : NAMES_UNSURE);
    if (++h->rounds < ROUNDS_MAX && find_unknown(s, sip_object(h->msg), &h->sender, h->host))
        ask_judge(s, h->host, 0, &h->ask);
    else
        release(h);
}

bool
domain_hold(struct sip *s, struct sip_agent *agent, msg_t *msg, const struct sip_sender *sender)
{
    struct domains *t = s->domains;
    const sip_t *sip = sip_object(msg);
    char host[OVERLAY_NAME_BYTES];
    struct held *h;

    if (!find_unknown(s, sip, sender, host))
        return false;
    if (is_held(t, sip)) {
        msg_destroy(msg);
        return true;
    }
    h = t->held_count < DOMAIN_HELD_MAX ? calloc(1, sizeof(*h)) : NULL;
    if (!h)
        return false;
    *h = (struct held){.agent = agent, .msg = msg, .sender = *sender};
    memcpy(h->host, host, sizeof(h->host));
    h->sender.tport = tport_ref(sender->tport);
    h->ask.done = on_judged;
    h->ask.ctx = h;
    list_append(&t->held, &h->link);
    t->held_count++;
    ask_judge(s, h->host, 0, &h->ask);
    return true;
}
