#include "gateway/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 512

static void
list_built_in(char *out, size_t out_bytes)
{
    const struct topology_ops *ops;
    size_t used = 0;

    out[0] = '\0';
    for (size_t i = 0; (ops = topology_each(i)) && used < out_bytes; i++)
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%s", i ? ", " : "", ops->name);
}

/* The first function that is not there, NULL if all are. */
static const char *
missing_function(const struct topology_ops *ops)
{
#define NEED(function)                                                                             \
    if (!ops->function)                                                                            \
    return #function
    NEED(create);
    NEED(destroy);
    NEED(form);
    NEED(join);
    NEED(leave);
    NEED(next_hop);
    NEED(is_responsible);
    NEED(replica_set);
    NEED(responsible_hint);
    NEED(on_request);
    NEED(on_answer);
    NEED(on_attach);
    NEED(on_offered);
    NEED(on_linked);
    NEED(on_suspect);
    NEED(neighbour_lost);
    NEED(deadline_ms);
    NEED(tick);
    NEED(dump);
    NEED(neighbour_count);
#undef NEED
    return NULL;
}

enum status
plugin_check(const struct topology_ops *ops, const char *path, const char *name, struct why *why)
{
    const char *missing;

    if (ops->abi != TOPOLOGY_ABI) /* first: what follows has a meaning under the same ABI only */
        return why_set(why, ST_CONFIG, "found ABI %u in %s, allowed is %u: build it again",
                       ops->abi, path, TOPOLOGY_ABI);
    if (!ops->name || strcmp(ops->name, name) != 0)
        return why_set(why, ST_CONFIG, "found the plug-in \"%s\" in %s, allowed is \"%s\"",
                       ops->name ? ops->name : "", path, name);
    missing = missing_function(ops);
    if (missing)
        return why_set(why, ST_CONFIG, "found no function %s in %s, all are required", missing,
                       path);
    if (ops->state_bytes == 0)
        return why_set(why, ST_CONFIG, "found a state of 0 bytes in %s", path);
    return ST_OK;
}

static enum status
load(const char *path, const char *name, const struct topology_ops **ret_ops, struct why *why)
{
    const struct topology_ops *ops;
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    enum status st;

    if (!object)
        return why_set(why, ST_CONFIG, "found no plug-in that can be loaded: %s", dlerror());
    ops = dlsym(object, PLUGIN_SYMBOL);
    if (ops)
        st = plugin_check(ops, path, name, why);
    else
        st = why_set(why, ST_CONFIG, "found no symbol " PLUGIN_SYMBOL " in %s", path);
    if (st == ST_OK)
        *ret_ops = ops; /* the object stays: its code may run as long as the process does */
    else
        dlclose(object);
    return st;
}

enum status
plugin_find(const char *dir, const char *name, const struct topology_ops **ret_ops, struct why *why)
{
    const struct topology_ops *ops = topology_find(name);
    char path[PATH_BYTES], built_in[128];

    if (ops) {
        *ret_ops = ops;
        return ST_OK;
    }
    if ((size_t)snprintf(path, sizeof(path), "%s/%s.so", dir, name) >= sizeof(path))
        return why_set(why, ST_CONFIG, "found a folder of plug-ins with too long a name");
    list_built_in(built_in, sizeof(built_in));
    if (access(path, F_OK) != 0)
        return why_set(why, ST_CONFIG,
                       "found \"%s\", allowed are %s, and what is in plugin-dir: there is no %s",
                       name, built_in, path);
    return load(path, name, ret_ops, why);
}
