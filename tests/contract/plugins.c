#include "tests/contract/plugins.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/plugin.h"

#define LOADED_MAX 8

static const struct topology_ops *loaded[LOADED_MAX];
static int loaded_count;

static bool
load(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;
    char dir[256], name[64];
    struct why why = {""};

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(file, "."), file);
    if (loaded_count == LOADED_MAX ||
        plugin_find(dir, name, &loaded[loaded_count], &why) != ST_OK) {
        fprintf(stderr, "%s: %s\n", path, why.text);
        return false;
    }
    loaded_count++;
    return true;
}

bool
plugins_load(void)
{
    const char *at = getenv("RINGWAY_PLUGINS");
    char path[512];

    while (at && *at) {
        size_t len = strcspn(at, ":");

        snprintf(path, sizeof(path), "%.*s", (int)len, at);
        if (!load(path))
            return false;
        at += len + (at[len] == ':');
    }
    printf("plug-ins:");
    for (int i = 0; i < plugins_count(); i++)
        printf(" %s", plugins_at(i)->name);
    printf("\n");
    fflush(stdout);
    return true;
}

static int
built_in_count(void)
{
    int count = 0;

    while (topology_each((size_t)count))
        count++;
    return count;
}

int
plugins_count(void)
{
    return built_in_count() + loaded_count;
}

const struct topology_ops *
plugins_at(int index)
{
    int built_in = built_in_count();

    if (index < built_in)
        return topology_each((size_t)index);
    return index < plugins_count() ? loaded[index - built_in] : NULL;
}

int
plugins_run(struct Suite *(*suite)(void))
{
    SRunner *runner;
    int failed;

    if (!plugins_load())
        return EXIT_FAILURE;
    runner = srunner_create(suite());
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
