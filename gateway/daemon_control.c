/* The daemon behind the control socket; reloading the configuration. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "gateway/daemon_internal.h"
#include "gateway/version.h"
#include "peer-protocol/identity/identity.h"

static struct moment
on_now(void *ctx)
{
    (void)ctx;
    return daemon_now();
}

static void
on_touched(void *ctx)
{
    daemon_settle(ctx);
}

static bool
on_query(void *ctx, enum bridge_query what, uint64_t token)
{
    struct daemon *d = ctx;
    struct bridge_message *m = bridge_new(BRIDGE_QUERY, token, 0, 0);

    if (!m || !d->sip) {
        bridge_free(m);
        return false;
    }
    m->query = what;
    sip_post(d->sip, m);
    return true;
}

static size_t
on_history(void *ctx, struct election_transition *ret, size_t cap)
{
    struct daemon *d = ctx;

    return history_last(d->history, ret, cap);
}

static enum status
on_leave(void *ctx, struct why *why)
{
    struct daemon *d = ctx;

    if (d->is_leaving)
        return why_set(why, ST_STATE, "the daemon is leaving already");
    event_active(d->sigterm, EV_SIGNAL, 1);
    return ST_OK;
}

static enum status
on_drain(void *ctx, struct why *why)
{
    struct daemon *d = ctx;
    struct bridge_message *m;

    if (d->is_leaving)
        return why_set(why, ST_STATE, "the daemon is leaving");
    m = bridge_new(BRIDGE_STOP, 0, 0, 0);
    if (!m)
        return why_set(why, ST_NOMEM, "no memory");
    log_write(LOG_LEVEL_INFO, "daemon",
              "draining: no new calls and registrations, the gateway is handed over");
    sip_post(d->sip, m);
    node_drain(d->node, daemon_now());
    daemon_settle(d);
    return ST_OK;
}

static enum status
on_reload(void *ctx, struct why *why)
{
    return daemon_reload(ctx, why);
}

enum status
daemon_open_control(struct daemon *d, struct why *why)
{
    struct control_conf conf;
    const struct control_source source = {.ctx = d,
                                          .node = d->node,
                                          .name = d->config.node.name,
                                          .address = d->config.node.address,
                                          .version = RINGWAY_VERSION,
                                          .id = d->node_conf->local.self.node,
                                          .has_global = d->config.global.is_set,
                                          .started = daemon_now(),
                                          .now = on_now,
                                          .touched = on_touched,
                                          .query = on_query,
                                          .history = on_history,
                                          .drain = on_drain,
                                          .leave = on_leave,
                                          .reload = on_reload};

    control_conf_defaults(&conf);
    conf.socket = d->config.control.socket;
    conf.http = d->config.control.http;
    return control_new(d->base, &conf, &source, &d->control, why);
}

/* ---- reload -------------------------------------------------------------------------------------
 */

/** Where config_load tells its mistakes during a reload. */
struct mistakes {
    size_t count;
    char first[sizeof(((struct why *)0)->text)];
};

static void
on_mistake(void *ctx, const char *line)
{
    struct mistakes *m = ctx;

    if (m->count++ == 0)
        snprintf(m->first, sizeof(m->first), "%s", line);
    log_write(LOG_LEVEL_ERROR, "reload", "%s", line);
}

/* Lines move when comments are edited: they are no change of the configuration. */
static bool
is_same_overlay(const struct config_overlay *a, const struct config_overlay *b)
{
    struct config_overlay c = *b;

    c.line = a->line;
    return memcmp(a, &c, sizeof(c)) == 0;
}

static void
tell_what_waits(const struct config *was, const struct config *is)
{
    const struct {
        const char *section;
        bool is_same;
    } part[] = {
        {"node", memcmp(&was->node, &is->node, sizeof(is->node)) == 0},
        {"local-overlay", is_same_overlay(&was->local, &is->local)},
        {"global-overlay", is_same_overlay(&was->global, &is->global)},
        {"election", memcmp(&was->election, &is->election, sizeof(is->election)) == 0},
        {"sip", memcmp(&was->sip, &is->sip, sizeof(is->sip)) == 0},
        {"control", memcmp(&was->control, &is->control, sizeof(is->control)) == 0},
    };

    for (size_t i = 0; i < sizeof(part) / sizeof(part[0]); i++)
        if (!part[i].is_same)
            log_write(LOG_LEVEL_WARN, "reload",
                      "section %s has changed: that takes effect at the next start",
                      part[i].section);
}

/* The SIP thread reads what is known to be good. */
static enum status
reread_credentials(struct daemon *d, struct why *why)
{
    struct why cause = {""};
    struct bridge_message *m;
    enum status renewed;

    for (int which = 0; which < NODE_OVERLAYS; which++) {
        enum status st =
            d->identity[which] ? identity_reread_revoked(d->identity[which], &cause) : ST_OK;
        if (st != ST_OK) {
            log_write(LOG_LEVEL_ERROR, "reload", "%s", cause.text);
            return why_set(why, ST_CONFIG, "%s", cause.text);
        }
    }
    renewed = daemon_certificates_renew(d, why);
    m = bridge_new(BRIDGE_REREAD, 0, 0, 0);
    if (m)
        sip_post(d->sip, m);
    return m ? renewed : ST_NOMEM;
}

enum status
daemon_reload(struct daemon *d, struct why *why)
{
    struct mistakes mistakes = {0};
    struct config *fresh = calloc(1, sizeof(*fresh));
    enum status st;

    if (!fresh)
        return ST_NOMEM;
    st = config_load(d->config.file, on_mistake, &mistakes, fresh);
    if (st != ST_OK) {
        free(fresh);
        log_write(LOG_LEVEL_ERROR, "reload", "the configuration in force stays as it was");
        return why_set(why, ST_CONFIG, "%s", mistakes.first);
    }
    st = reread_credentials(d, why);
    if (st != ST_OK) {
        free(fresh);
        return st;
    }
    tell_what_waits(&d->config, fresh);
    daemon_set_log_level(fresh->log_level);
    snprintf(d->config.log_level, sizeof(d->config.log_level), "%s", fresh->log_level);
    free(fresh);
    log_write(LOG_LEVEL_INFO, "reload", "%s read again", d->config.file);
    return ST_OK;
}
