#include "gateway/plugin.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/map.h"
#include "gateway/plugin_file.h"

#define PATH_BYTES      512
#define OBJECTS_MAX     16
#define STATE_BYTES_MAX (64u << 20)
#define VERSION_SEED    0x72696e67776179ull /* the same on all nodes */

/** What is loaded stays: the same object is not loaded again when the configuration is reread. */
struct loaded {
    const struct topology_ops *ops;
    uint64_t version;
};
static struct loaded objects[OBJECTS_MAX];
static size_t object_count;

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
    if (ops->state_bytes == 0 || ops->state_bytes > STATE_BYTES_MAX)
        return why_set(why, ST_CONFIG, "found a state of %zu bytes in %s, allowed are 1 to %u",
                       ops->state_bytes, path, STATE_BYTES_MAX);
    return ST_OK;
}

/* What a name in the table points to, and every function, has to be in the object or the program: a
 * table of another shape would make the first call the last. */
static bool
is_mapped(const void *at)
{
    Dl_info info;

    return dladdr(at, &info) != 0;
}

static enum status
take(void *object, const char *path, const char *name, const struct topology_ops **ret_ops,
     struct why *why)
{
    const struct topology_ops *ops = dlsym(object, PLUGIN_SYMBOL);

    if (!ops)
        return why_set(why, ST_CONFIG, "found no symbol " PLUGIN_SYMBOL " in %s", path);
    if (ops->abi == TOPOLOGY_ABI && ops->name && !is_mapped(ops->name))
        return why_set(why, ST_CONFIG, "found a table without a name in %s", path);
    *ret_ops = ops;
    return plugin_check(ops, path, name, why);
}

static enum status
load_copy(struct slice bytes, const char *path, const char *name, struct loaded *ret,
          struct why *why)
{
    char self[64];
    void *object;
    int fd;
    enum status st = plugin_file_copy(bytes, name, &fd, why);

    if (st != ST_OK)
        return st;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    object = dlopen(self, RTLD_NOW | RTLD_LOCAL);
    close(fd);
    if (!object)
        return why_set(why, ST_CONFIG, "found no plug-in that can be loaded: %s: %s", path,
                       dlerror());
    st = take(object, path, name, &ret->ops, why);
    if (st != ST_OK)
        dlclose(object);
    return st;
}

static const struct loaded *
find_loaded(const char *name, uint64_t version)
{
    for (size_t i = 0; i < object_count; i++)
        if (objects[i].version == version && strcmp(objects[i].ops->name, name) == 0)
            return &objects[i];
    return NULL;
}

static enum status
load(const char *path, const char *name, const struct topology_ops **ret_ops, struct why *why)
{
    const struct loaded *same;
    struct loaded *last = &objects[object_count];
    struct slice bytes;
    enum status st = plugin_file_read(path, &bytes, why);
    uint64_t version;

    if (st != ST_OK)
        return st;
    version = map_hash(VERSION_SEED, bytes);
    same = find_loaded(name, version);
    if (same)
        *ret_ops = same->ops;
    else if (object_count == OBJECTS_MAX)
        st = why_set(why, ST_LIMIT, "found more than %d plug-ins since the start", OBJECTS_MAX);
    else
        st = load_copy(bytes, path, name, last, why);
    slice_free(&bytes);
    if (st != ST_OK || same)
        return st;
    last->version = version;
    *ret_ops = last->ops;
    object_count++;
    return ST_OK;
}

uint64_t
plugin_version(const struct topology_ops *ops)
{
    for (size_t i = 0; i < object_count; i++)
        if (objects[i].ops == ops)
            return objects[i].version;
    return 0;
}

/* ---- a trial ---- */

static void
no_attach(void *ctx, uint32_t token, const struct topology_target *to, bool send_update)
{
    (void)ctx;
    (void)token;
    (void)to;
    (void)send_update;
}

static void
no_node(void *ctx, const struct id *node)
{
    (void)ctx;
    (void)node;
}

static void
no_request(void *ctx, uint32_t token, const struct topology_target *to, uint16_t code,
           struct slice body)
{
    (void)ctx;
    (void)token;
    (void)to;
    (void)code;
    (void)body;
}

static bool
not_usable(void *ctx, const struct id *node)
{
    (void)ctx;
    (void)node;
    return false;
}

static void
no_offer(void *ctx, uint32_t token, const struct id *node)
{
    (void)ctx;
    (void)token;
    (void)node;
}

static void
not_joined(void *ctx)
{
    (void)ctx;
}

static void
no_failure(void *ctx, enum status st, const char *reason)
{
    (void)ctx;
    (void)st;
    (void)reason;
}

static void
no_change(void *ctx, unsigned changes)
{
    (void)ctx;
    (void)changes;
}

static uint64_t
no_random(void *ctx)
{
    (void)ctx;
    return 4; /* chosen by a fair die: nothing comes of it */
}

static void
no_log(void *ctx, enum log_level level, const char *text)
{
    (void)ctx;
    (void)level;
    (void)text;
}

enum status
plugin_try(const struct topology_ops *ops, const struct topology_conf *conf, struct why *why)
{
    const struct topology_env env = {.attach = no_attach,
                                     .detach = no_node,
                                     .request = no_request,
                                     .is_usable = not_usable,
                                     .offer = no_offer,
                                     .joined = not_joined,
                                     .join_failed = no_failure,
                                     .changed = no_change,
                                     .random = no_random,
                                     .log = {.write = no_log}};
    struct why cause = {""};
    void *state = calloc(1, ops->state_bytes);
    enum status st = state ? ops->create(state, conf, &env, &cause) : ST_NOMEM;

    if (st == ST_OK)
        ops->destroy(state);
    free(state);
    cause.text[sizeof(cause.text) - 1] = '\0';
    if (st == ST_OK)
        return ST_OK;
    return why_set(why, ST_CONFIG, "found \"%.*s\": %s", TOPOLOGY_PARAMETER_BYTES - 1,
                   conf->parameters, cause.text[0] != '\0' ? cause.text : status_text(st));
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
