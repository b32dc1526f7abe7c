#include "global-overlay/internal.h"

#include <string.h>

#define BACKOFF_MIN_MS 200
#define BACKOFF_MAX_MS 5000
#define VALUE_BYTES    1024
#define LOOK_SOON_MS   200 /* after a change of the ring */

static void
send(struct directory *d, struct moment now, struct slice value)
{
    struct directory_own *o = &d->own;
    struct peer_value v = {
        .kind = KIND_SIP_REGISTRATION,
        .key = d->conf.self,
        .exists = o->is_wanted,
        .lifetime_s = d->conf.lifetime_s,
        .value = value,
    };

    o->is_storing = true;
    o->is_ever_stored |= o->is_wanted; /* it may have been, even if no answer ever comes */
    if (o->is_wanted)
        o->gone_ms = now.mono_ms + d->conf.lifetime_s * 1000ULL;
    o->token = directory_token(d);
    o->sent_ms = now.mono_ms;
    o->at_ms = MOMENT_NEVER;
    d->env.store(d->env.ctx, o->token, d->own_aor, &v);
}

static void
store(struct directory *d, struct moment now)
{
    struct sip_registration r = {.type = SIP_REGISTRATION_URI, .uri = slice_text(d->own.uri)};
    struct writer w;

    writer_init(&w, VALUE_BYTES);
    if (d->own.is_wanted)
        sip_registration_write(&w, &r);
    if (w.failed == ST_OK)
        send(d, now, writer_slice(&w));
    else
        d->own.at_ms = now.mono_ms + BACKOFF_MAX_MS;
    writer_done(&w);
}

enum status
directory_publish(struct directory *d, struct moment now, const char *uri, uint32_t term,
                  uint16_t priority, uint16_t weight)
{
    char full[SIP_URI_BYTES];
    enum status st = entry_uri(uri, term, priority, weight, full);

    if (st != ST_OK)
        return st;
    memcpy(d->own.uri, full, sizeof(d->own.uri));
    d->own.is_wanted = true;
    d->own.is_stored = false;
    d->own.is_storing = false; /* the end of an earlier store says nothing any more */
    d->own.is_looking = false;
    d->own.backoff_ms = BACKOFF_MIN_MS;
    d->own.at_ms = now.mono_ms;
    publish_run(d, now);
    return ST_OK;
}

void
directory_withdraw(struct directory *d, struct moment now)
{
    if (!d->own.is_wanted)
        return;
    d->own.is_wanted = false;
    d->own.is_stored = false;
    d->own.is_storing = false;
    d->own.is_looking = false;
    d->own.backoff_ms = BACKOFF_MIN_MS;
    d->own.at_ms = d->own.is_ever_stored ? now.mono_ms : MOMENT_NEVER;
    publish_run(d, now);
}

void
directory_on_ring(struct directory *d, struct moment now, enum directory_ring ring)
{
    bool was_up = d->is_ring_up;

    d->is_ring_up = ring != DIRECTORY_RING_DOWN;
    d->is_ring_alone = ring == DIRECTORY_RING_ALONE;
    directory_doubt_absent(d, now);
    if (d->own.look_at_ms > now.mono_ms + LOOK_SOON_MS)
        d->own.look_at_ms = now.mono_ms + LOOK_SOON_MS;
    if (!d->is_ring_up || was_up)
        return;
    if (d->own.is_wanted) {
        d->own.backoff_ms = BACKOFF_MIN_MS;
        d->own.at_ms = now.mono_ms; /* it may be another ring than before */
    }
    publish_run(d, now);
}

static void
try_later(struct directory_own *o, uint64_t now_ms)
{
    o->is_storing = false;
    o->at_ms = now_ms + o->backoff_ms;
    o->backoff_ms = o->backoff_ms >= BACKOFF_MAX_MS / 2 ? BACKOFF_MAX_MS : 2 * o->backoff_ms;
}

void
directory_on_stored(struct directory *d, struct moment now, uint32_t token, enum status st)
{
    struct directory_own *o = &d->own;

    if (!o->is_storing || token != o->token)
        return;
    if (st != ST_OK) {
        try_later(o, now.mono_ms);
        return;
    }
    o->is_storing = false;
    o->backoff_ms = BACKOFF_MIN_MS;
    o->is_stored = o->is_wanted;
    o->is_ever_stored = o->is_wanted;
    o->look_at_ms = now.mono_ms + d->conf.look_ms;
    o->at_ms = o->is_wanted ? now.mono_ms + d->conf.lifetime_s * 500ULL : MOMENT_NEVER;
}

/* ---- is it still there? ---- */

/* The responsible peer and its replicas may die together: then no peer has it, and none tells. */
static bool
is_looked_for(const struct directory *d)
{
    return d->conf.look_ms > 0 && d->own.is_stored && !d->own.is_storing && d->is_ring_up &&
           !d->is_ring_alone;
}

static void
look(struct directory *d, struct moment now)
{
    struct directory_own *o = &d->own;

    o->is_looking = true;
    o->look_token = directory_token(d);
    o->look_sent_ms = now.mono_ms;
    o->look_at_ms = now.mono_ms + d->conf.look_ms;
    d->counters.fetched++;
    d->env.fetch(d->env.ctx, o->look_token, d->own_aor);
}

/* One with no lifetime left is kept by a peer to which this node has failed. */
static bool
is_there(const struct directory *d, const struct peer_datum *value, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(&value[i].signer.node, &d->conf.self) && value[i].exists &&
            value[i].lifetime_s > 0)
            return true;
    return false;
}

bool
publish_on_fetched(struct directory *d, struct moment now, uint32_t token, enum status st,
                   const struct peer_datum *value, size_t count)
{
    struct directory_own *o = &d->own;

    if (!o->is_looking || token != o->look_token)
        return false;
    o->is_looking = false;
    if (st == ST_OK && is_looked_for(d) && !is_there(d, value, count)) {
        log_to(&d->env.log, LOG_LEVEL_WARN,
               "directory: our entry is no longer in the ring: storing it again");
        o->at_ms = now.mono_ms;
        publish_run(d, now);
    }
    return true;
}

void
publish_run(struct directory *d, struct moment now)
{
    struct directory_own *o = &d->own;

    if (o->is_storing && now.mono_ms >= o->sent_ms + DIRECTORY_LOST_MS)
        try_later(o, now.mono_ms);
    if (!o->is_wanted && now.mono_ms >= o->gone_ms)
        o->at_ms = MOMENT_NEVER; /* what was to be removed has expired */
    if (d->is_ring_up && !o->is_storing && now.mono_ms >= o->at_ms)
        store(d, now);
    if (o->is_looking && now.mono_ms >= o->look_sent_ms + DIRECTORY_LOST_MS)
        o->is_looking = false;
    if (is_looked_for(d) && !o->is_looking && now.mono_ms >= o->look_at_ms)
        look(d, now);
}

uint64_t
publish_deadline_ms(const struct directory *d)
{
    uint64_t at_ms = d->is_ring_up ? d->own.at_ms : MOMENT_NEVER;

    if (d->own.is_storing)
        return d->own.sent_ms + DIRECTORY_LOST_MS;
    if (!is_looked_for(d))
        return at_ms;
    return moment_earlier_ms(at_ms, d->own.is_looking ? d->own.look_sent_ms + DIRECTORY_LOST_MS
                                                      : d->own.look_at_ms);
}

bool
directory_is_published(const struct directory *d)
{
    return d->own.is_stored;
}
