/**
 * DOC: questions to the overlay
 *
 *    ask_x() -> answered from the cache: done() is called before ask_x() returns
 *            -> else one bridge message for all who ask the same; done() when the answer comes, or
 *               with ST_TIMEOUT after ASK_TIMEOUT_MS
 *
 * An answer is borrowed for the call of done().  done() is called exactly once unless ask_cancel()
 * came first; inside it the struct ask is free to be used again.
 */
#ifndef GATEWAY_SIP_ASK_H
#define GATEWAY_SIP_ASK_H

#include "gateway/bridge/bridge.h"

#define ASK_TIMEOUT_MS  5000
#define ASK_RECENT_MS   1000
#define ASK_CACHE_MAX   32768
#define ASK_PENDING_MAX 8192

struct sip;
struct ask_table;

struct answer {
    enum status status; /* ST_OK; ST_NOT_FOUND; ST_TIMEOUT, ST_UNREACHABLE ...: the fetch failed */
    size_t count;
    struct binding_record *const *binding; /* of ask_lookup; borrowed */
    const struct bridge_gateway *gateway;  /* of ask_resolve and ask_locate */
    const struct bridge_gateway *other;    /* of ask_resolve: gateways of lower terms */
    size_t other_count;
    const char *overlay;        /* of ask_resolve */
    struct id node;             /* of ask_bind: the peer that stored it */
    bool is_young;              /* of ask_lookup: ST_NOT_FOUND may be too early */
    enum names_verdict verdict; /* of ask_judge */
    bool is_cached;             /* it may be a little old */
};

/** answer_names - is @node among the gateways of ask_resolve? */
static inline bool
answer_names(const struct answer *answer, const struct id *node)
{
    for (size_t i = 0; i < answer->count; i++)
        if (id_equal(&answer->gateway[i].node, node))
            return true;
    return false;
}

struct ask {
    struct list_node link; /* zeroed or list_init()ed when idle */
    void (*done)(void *ctx, const struct answer *answer);
    void *ctx;
};

struct ask_table *ask_table_new(struct sip *s);
void ask_table_free(struct ask_table *t);

/** ask_lookup - bindings of a local AOR. count 0 with ST_NOT_FOUND: nobody ever bound it. */
void ask_lookup(struct sip *s, const char *aor, struct ask *ask);

/** ask_lookup_fresh - the same, not from the cache. */
void ask_lookup_fresh(struct sip *s, const char *aor, struct ask *ask);

/** ask_doubt - what is cached of this AOR led nowhere: the next look-up asks the overlay. */
void ask_doubt(struct sip *s, const char *aor);

/** ask_doubt_all - nothing that is cached is trusted any longer */
void ask_doubt_all(struct sip *s);

/** ask_resolve - gateways of a foreign domain (only the B2BUA asks). */
void ask_resolve(struct sip *s, const char *domain, bool is_past_cache, struct ask *ask);

/** ask_resolve_recent - the same, from the cache only if it was asked within ASK_RECENT_MS: for
 * what many calls may ask in vain */
void ask_resolve_recent(struct sip *s, const char *domain, struct ask *ask);

/** ask_judge - whose is a domain inside our name?  @patience_ms: to wait for a young ring. */
void ask_judge(struct sip *s, const char *domain, uint32_t patience_ms, struct ask *ask);

/** ask_forget - a far gateway could not be reached: forget it here and above. */
void ask_forget(struct sip *s, const char *overlay, const struct id *gateway);

/** ask_locate - who our gateway is now: answered when that has changed; with ST_TIMEOUT if it does
 *  not in the time of a failover. */
void ask_locate(struct sip *s, struct ask *ask);

/** ask_overdue - a request has waited for our gateway so long, and nothing came from it since. */
void ask_overdue(struct sip *s, const struct id *gateway, uint32_t waiting_ms);

/** ask_bind - store our binding of an AOR; without contacts, its removal. */
void ask_bind(struct sip *s, const struct binding_record *binding, struct ask *ask);

void ask_cancel(struct ask *ask);

/** ask_on_message - an answer of the overlay (BINDINGS, BOUND, ROUTES, JUDGED, GATEWAY); taken. */
void ask_on_message(struct sip *s, struct bridge_message *m);

/** ask_tick - once a second: time-outs, cache entries whose lifetime is over. */
void ask_tick(struct sip *s);

#endif
