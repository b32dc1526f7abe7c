#include "global-overlay/near.h"

#include <ctype.h>
#include <string.h>

#define USER_PREFIX "overlay@"

static struct near_node *
find(struct near *n, const struct id *node)
{
    for (size_t i = 0; i < NEAR_MAX; i++)
        if (n->node[i].overlay[0] != '\0' && id_equal(&n->node[i].node, node))
            return &n->node[i];
    return NULL;
}

/* A place that is free; or of who left longest ago; or of who came first. */
static struct near_node *
place(struct near *n)
{
    struct near_node *best = &n->node[0];

    for (size_t i = 0; i < NEAR_MAX; i++) {
        struct near_node *at = &n->node[i];

        if (at->overlay[0] == '\0')
            return at;
        if (at->is_linked == best->is_linked ? at->at_ms < best->at_ms : best->is_linked)
            best = at;
    }
    return best;
}

void
near_linked(struct near *n, struct moment now, const struct id *node, const char *user)
{
    const char *name = user + strlen(USER_PREFIX);
    struct near_node *at;
    size_t len;

    if (strncmp(user, USER_PREFIX, strlen(USER_PREFIX)) != 0)
        return;
    len = strlen(name);
    if (len == 0 || len >= OVERLAY_NAME_BYTES)
        return;
    at = find(n, node);
    if (!at)
        at = place(n);
    *at = (struct near_node){.node = *node, .is_linked = true, .at_ms = now.mono_ms};
    for (size_t i = 0; i < len; i++)
        at->overlay[i] = (char)tolower((unsigned char)name[i]);
}

void
near_left(struct near *n, struct moment now, const struct id *node)
{
    struct near_node *at = find(n, node);

    if (!at)
        return;
    at->is_linked = false;
    at->at_ms = now.mono_ms;
}

bool
near_has(const struct near *n, struct moment now, const char *overlay)
{
    for (size_t i = 0; i < NEAR_MAX; i++) {
        const struct near_node *at = &n->node[i];

        if (at->overlay[0] != '\0' && (at->is_linked || now.mono_ms < at->at_ms + NEAR_MS) &&
            strcmp(at->overlay, overlay) == 0)
            return true;
    }
    return false;
}
