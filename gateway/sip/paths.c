#include "gateway/sip/paths.h"

#include <stdlib.h>

#include "base/map.h"

struct path {
    unsigned lost;
    uint64_t until_ms; /* 0: it was heard last */
    uint64_t heard_ms;
};

struct paths {
    struct map *by_hop;
};

struct paths *
paths_new(struct sip *s)
{
    struct paths *p = calloc(1, sizeof(*p));

    if (p && (p->by_hop = map_new(s->seed, PATHS_MAX)))
        return p;
    free(p);
    return NULL;
}

void
paths_free(struct paths *p)
{
    struct map_cursor c = {0};

    if (!p)
        return;
    while (map_next(p->by_hop, &c))
        free(c.value);
    map_free(p->by_hop);
    free(p);
}

enum path_state
paths_state(const struct sip *s, const char *hop)
{
    const struct path *path = map_get(s->paths->by_hop, slice_text(hop));

    if (!path || path->until_ms <= sip_moment(s).mono_ms)
        return PATH_HEARD;
    return path->lost > 1 ? PATH_DOWN : PATH_IN_DOUBT;
}

/* The longest known makes room: it is the oldest of the map. */
static struct path *
path_of(struct sip *s, const char *hop)
{
    struct map *map = s->paths->by_hop;
    struct path *path = map_get(map, slice_text(hop));
    struct map_cursor oldest = {0};

    if (path)
        return path;
    if (map_count(map) >= PATHS_MAX && map_next(map, &oldest))
        free(map_remove(map, oldest.key));
    path = calloc(1, sizeof(*path));
    if (path && map_put(map, slice_text(hop), path, NULL)) {
        free(path);
        return NULL;
    }
    return path;
}

void
paths_lost(struct sip *s, const char *hop, enum path_loss loss, uint64_t sent_ms)
{
    struct path *path = path_of(s, hop);

    if (!path || (loss == PATH_SILENT && path->heard_ms >= sent_ms))
        return;
    if (loss == PATH_BUSY)
        path->lost = 1;
    else
        path->lost = loss == PATH_REFUSED ? 2 : path->lost + 1;
    path->until_ms = sip_moment(s).mono_ms + PATHS_DOUBT_MS;
    log_write(LOG_LEVEL_REMOTE, "sip", "serving peer %s does not answer: %s", hop,
              path->lost > 1 ? "nobody waits for it" : "its phones are sent to straight");
}

void
paths_heard(struct sip *s, const char *hop)
{
    struct path *path = path_of(s, hop);

    if (!path)
        return;
    path->lost = 0;
    path->until_ms = 0;
    path->heard_ms = sip_moment(s).mono_ms;
}
