#include "election/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LOOK_MS 1000 /* without a gateway the candidates are read so often */
#define NOBODY_MS                                                                                  \
    2000 /* nobody is said to be there after so long; who starts with us has his time */

const char *
election_trouble_name(enum election_trouble trouble)
{
    static const char *const name[] = {"fine", "nobody", "ringless", "stranger", "certificate"};

    return name[trouble];
}

enum election_trouble
election_trouble(const struct election *e, const char **ret_text)
{
    *ret_text = e->trouble_text;
    return e->trouble;
}

bool
election_is_stranger(const struct election *e)
{
    return !e->has_shared;
}

bool
trouble_is_stranger(const struct election *e)
{
    return !e->has_shared && e->ring_lives > 0;
}

static void PRINTF_LIKE(3, 4)
    set(struct election *e, enum election_trouble trouble, const char *fmt, ...)
{
    char text[ELECTION_REASON_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (e->trouble == trouble && strcmp(text, e->trouble_text) == 0)
        return;
    memcpy(e->trouble_text, text, sizeof(text));
    if (e->trouble == trouble)
        return;
    e->trouble = trouble;
    if (e->env.trouble)
        e->env.trouble(e->env.ctx, trouble, e->trouble_text);
}

/* Why this node is no candidate. */
static const char *
own_reason(const struct election *e, char out[64])
{
    if (!e->conf.global_address[0])
        return "it has no global-overlay section";
    if (!e->conf.is_candidate)
        return "candidate = false or role = \"barred\"";
    snprintf(out, 64, "its score of %u is under the threshold of %u", election_score(e),
             e->conf.threshold);
    return out;
}

static uint64_t
nobody_from_ms(const struct election *e)
{
    return e->up_since_ms + election_settle_ms(e) + NOBODY_MS;
}

static bool
is_vacant(const struct election *e)
{
    return e->gateway_count == 0 && e->up_since_ms != MOMENT_NEVER && !e->is_leaving &&
           !e->is_draining;
}

static size_t
others(const struct election *e)
{
    size_t count = 0;

    for (size_t i = 0; i < e->candidate_count; i++)
        count += !e->candidate[i].is_self;
    return count;
}

/* The overlay's lists were read, and name nobody. */
static bool
is_nobody(const struct election *e)
{
    const struct reading *c = &e->candidates;

    return is_vacant(e) && e->role == ELECTION_OBSERVER && e->now.mono_ms >= nobody_from_ms(e) &&
           c->read_ms != MOMENT_NEVER && c->read_ms >= e->up_since_ms && !c->has_failed &&
           !e->gateways.has_failed && others(e) == 0;
}

void
trouble_run(struct election *e)
{
    char reason[64];

    if (is_vacant(e) && e->role == ELECTION_OBSERVER && !e->candidates.is_under_way &&
        e->candidates.at_ms == MOMENT_NEVER)
        e->candidates.at_ms = e->candidates.sent_ms + LOOK_MS > e->now.mono_ms
                                  ? e->candidates.sent_ms + LOOK_MS
                                  : e->now.mono_ms + 1;
    if (e->certificate == ELECTION_CERTIFICATE_ENDED)
        set(e, ELECTION_UNCERTIFIED,
            "the certificate of %.64s has ended: no gateway here until a new one is read",
            e->certificate_of);
    else if (is_vacant(e) && trouble_is_stranger(e))
        set(e, ELECTION_STRANGER,
            "gateways of %s live in the ring, and this node has met none of its nodes: look at its "
            "bootstrap entries",
            e->conf.overlay);
    else if (ring_is_hopeless(e))
        set(e, ELECTION_RINGLESS,
            "no member of the ring answers this gateway, and none a candidate of %s: calls to "
            "other "
            "overlays are refused",
            e->conf.overlay);
    else if (is_nobody(e))
        set(e, ELECTION_NOBODY, "no node of %s can be gateway; this one: %s", e->conf.overlay,
            own_reason(e, reason));
    else
        set(e, ELECTION_FINE, "%s", "");
}

uint64_t
trouble_deadline_ms(const struct election *e)
{
    return is_vacant(e) && e->now.mono_ms < nobody_from_ms(e) ? nobody_from_ms(e) : MOMENT_NEVER;
}
