/* Names of other overlays inside our own: kept on disk, and told to the SIP thread. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/daemon_internal.h"
#include "gateway/names_file.h"

enum { KEPT_S = 600 }; /* so often the file is written only for when a name was seen last */

static void
tell_sip(struct daemon *d)
{
    size_t count;
    const struct nested_name *name = nested_names(node_nested(d->node), &count);
    struct bridge_message *m =
        d->sip ? bridge_new(BRIDGE_NAMES, 0, count, OVERLAY_NAME_BYTES) : NULL;

    if (!m)
        return;
    for (size_t i = 0; i < count; i++)
        memcpy(m->foreign[i], name[i].name, sizeof(m->foreign[i]));
    sip_post(d->sip, m);
}

void
daemon_on_names(void *ctx, bool is_set)
{
    struct daemon *d = ctx;

    d->are_names_dirty = true;
    if (!is_set || !d->node)
        return;
    daemon_names_keep(d, true);
    tell_sip(d);
}

void
daemon_names_keep(struct daemon *d, bool is_now)
{
    if (!d->are_names_dirty || (!is_now && d->seconds % KEPT_S != 0))
        return;
    d->are_names_dirty = false;
    names_file_write(d->config.node.state_dir, node_nested(d->node));
}

void
daemon_names_start(struct daemon *d)
{
    struct node *node = d->node;

    d->node = NULL; /* nothing of it is news */
    names_file_read(d->config.node.state_dir, node_nested(node), daemon_now());
    d->node = node;
    d->are_names_dirty = false;
}

void
daemon_names_tell(struct daemon *d)
{
    tell_sip(d);
}

/** A domain that is being judged. */
struct judging {
    struct daemon *daemon;
    uint64_t token;
    char domain[AOR_BYTES];
};

static void
on_judged(void *ctx, struct moment now, enum names_verdict verdict, const char *name)
{
    struct judging j = *(struct judging *)ctx;
    struct bridge_message *m = j.daemon->sip ? bridge_new(BRIDGE_JUDGED, j.token, 0, 0) : NULL;

    (void)now;
    free(ctx);
    if (!m)
        return;
    memcpy(m->name, j.domain, sizeof(m->name));
    snprintf(m->overlay, sizeof(m->overlay), "%s", name);
    m->verdict = verdict;
    sip_post(j.daemon->sip, m);
}

void
daemon_on_judge(struct daemon *d, const struct bridge_message *m)
{
    struct judging *j = malloc(sizeof(*j));

    if (!j)
        return; /* the SIP side has its own deadline */
    *j = (struct judging){.daemon = d, .token = m->token};
    memcpy(j->domain, m->name, sizeof(j->domain));
    node_judge(d->node, daemon_now(), j->domain, m->lifetime_ms,
               &(struct nested_judged){on_judged, j});
}
