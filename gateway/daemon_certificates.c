/* The node's own certificates: their end is told before it comes, and a new one is taken in. */
#include <stdio.h>

#include "base/log.h"
#include "gateway/daemon_internal.h"

enum {
    HAND_OVER_MS = 5000, /* before the end; of a short one a quarter of its life */
    WARN_DAYS = 14,      /* or a tenth of its life */
    DAY_MS = 86400000
};

static uint64_t
left_ms(const struct identity *i, uint64_t wall_ms)
{
    uint64_t until_ms = identity_valid_until_ms(i);

    return until_ms > wall_ms ? until_ms - wall_ms : 0;
}

static uint64_t
part_of_life_ms(const struct identity *i, uint64_t most_ms, unsigned part)
{
    uint64_t life_ms = (identity_valid_until_ms(i) - identity_valid_from_ms(i)) / part;

    return life_ms < most_ms ? life_ms : most_ms;
}

static enum election_certificate
state_of(const struct identity *i, uint64_t wall_ms)
{
    uint64_t left = left_ms(i, wall_ms);

    if (left == 0)
        return ELECTION_CERTIFICATE_ENDED;
    return left <= part_of_life_ms(i, HAND_OVER_MS, 4) ? ELECTION_CERTIFICATE_ENDS
                                                       : ELECTION_CERTIFICATE_VALID;
}

static const struct config_overlay *
overlay_of(const struct daemon *d, int which)
{
    return which == NODE_LOCAL ? &d->config.local : &d->config.global;
}

/* Some time before, and once a day from then on. */
static void
warn(struct daemon *d, int which, struct moment now)
{
    const struct identity *i = d->identity[which];
    uint64_t left = left_ms(i, now.wall_ms);

    if (left == 0 || now.mono_ms < d->certificate[which].warn_ms ||
        left > part_of_life_ms(i, (uint64_t)WARN_DAYS * DAY_MS, 10))
        return;
    d->certificate[which].warn_ms = now.mono_ms + DAY_MS;
    log_write(
        LOG_LEVEL_WARN, "daemon",
        "%s/cert.pem: the certificate of %s ends in %llu min: put a new one there, then reload",
        overlay_of(d, which)->credentials, overlay_of(d, which)->name,
        (unsigned long long)(left / 60000));
}

void
daemon_certificates_look(struct daemon *d)
{
    struct moment now = daemon_now();
    enum election_certificate worst = ELECTION_CERTIFICATE_VALID;
    int of = NODE_LOCAL;

    for (int which = 0; which < NODE_OVERLAYS; which++) {
        enum election_certificate state;
        if (!d->identity[which])
            continue;
        warn(d, which, now);
        state = state_of(d->identity[which], now.wall_ms);
        if (state == ELECTION_CERTIFICATE_ENDED && state != d->certificate[which].state)
            log_write(
                LOG_LEVEL_ERROR, "daemon",
                "%s/cert.pem: the certificate of %s has ended: nobody believes this node until "
                "a new one is put there and read (reload)",
                overlay_of(d, which)->credentials, overlay_of(d, which)->name);
        d->certificate[which].state = state;
        if (state > worst) {
            worst = state;
            of = which;
        }
    }
    if (worst == d->certificate_worst)
        return;
    d->certificate_worst = worst;
    node_certificate(d->node, now, worst, overlay_of(d, of)->name);
}

static void
tell_control(struct daemon *d)
{
    for (int which = 0; which < NODE_OVERLAYS; which++)
        if (d->identity[which])
            control_set_certificate(d->control, (enum node_overlay)which,
                                    identity_valid_until_ms(d->identity[which]));
}

void
daemon_certificates_start(struct daemon *d)
{
    tell_control(d);
    daemon_certificates_look(d);
}

static enum status
renew(struct daemon *d, int which, bool *ret_any, struct why *why)
{
    bool is_new = false;
    enum status st = identity_renew(d->identity[which], &is_new, why);

    if (st != ST_OK || !is_new)
        return st;
    *ret_any = true;
    d->certificate[which].warn_ms = 0;
    log_write(LOG_LEVEL_INFO, "reload", "%s/cert.pem: a new certificate of %s, for %llu min",
              overlay_of(d, which)->credentials, overlay_of(d, which)->name,
              (unsigned long long)(left_ms(d->identity[which], daemon_now().wall_ms) / 60000));
    node_renewed(d->node, daemon_now(), (enum node_overlay)which,
                 d->identity[NODE_GLOBAL] ? identity_certificate(d->identity[NODE_GLOBAL])
                                          : slice_of(NULL, 0));
    return ST_OK;
}

enum status
daemon_certificates_renew(struct daemon *d, struct why *why)
{
    struct why cause = {""};
    bool is_any = false;
    enum status st = ST_OK;

    for (int which = 0; st == ST_OK && which < NODE_OVERLAYS; which++)
        if (d->identity[which])
            st = renew(d, which, &is_any, &cause);
    tell_control(d);
    daemon_certificates_look(d);
    if (is_any && d->is_in)
        daemon_store_again(d); /* what the former one has signed ends with it */
    if (st == ST_OK)
        return ST_OK;
    log_write(LOG_LEVEL_ERROR, "reload", "%s", cause.text);
    return why_set(why, ST_CONFIG, "%s", cause.text[0] ? cause.text : status_text(st));
}
