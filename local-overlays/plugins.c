#include <string.h>

#include "local-overlays/can/can.h"
#include "local-overlays/chord/chord.h"
#include "local-overlays/pastry/pastry.h"
#include "local-overlays/topology.h"

static const struct topology_ops *const built_in[] = {
    &chord_topology,
    &pastry_topology,
    &can_topology,
    NULL,
};

const struct topology_ops *
topology_each(size_t index)
{
    return index < sizeof(built_in) / sizeof(built_in[0]) ? built_in[index] : NULL;
}

const struct topology_ops *
topology_find(const char *name)
{
    for (size_t i = 0; built_in[i]; i++)
        if (strcmp(built_in[i]->name, name) == 0)
            return built_in[i];
    return NULL;
}

struct listed {
    const struct id *node;
    bool is_found;
};

static void
look_for(void *ctx, const struct topology_dump *line)
{
    struct listed *l = ctx;

    l->is_found = l->is_found || id_equal(&line->node, l->node);
}

bool
topology_lists(const struct topology_ops *ops, const void *state, const struct id *node)
{
    struct listed l = {.node = node};

    ops->dump(state, look_for, &l);
    return l.is_found;
}
