/* ringwayd: start-up.  See daemon.h. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "base/log.h"
#include "gateway/daemon.h"
#include "gateway/heap.h"
#include "gateway/settings.h"
#include "gateway/version.h"

enum { EXIT_USAGE = 2 };

static void
usage(FILE *out)
{
    fputs(
        "usage: ringwayd -c FILE [--check]\n"
        "  -c, --config FILE  the configuration (ringway.conf)\n"
        "      --check        validate it and exit: 0 good, 2 not\n"
        "  -V, --version\n"
        "Runs in the foreground and logs to stderr.  SIGTERM leaves gracefully, SIGHUP reloads.\n",
        out);
}

static void
on_mistake(void *ctx, const char *line)
{
    (void)ctx;
    fprintf(stderr, "%s\n", line);
}

static int
run(const struct config *c)
{
    struct daemon *d = NULL;
    struct why why = {""};

    daemon_set_log_level(c->log_level);
    enum status st = daemon_new(c, &d, &why);
    if (st != ST_OK) {
        log_write(LOG_LEVEL_ERROR, "daemon", "%s", why.text[0] ? why.text : status_text(st));
        return st == ST_CONFIG || st == ST_SIGNATURE || st == ST_RANGE ? EXIT_USAGE : EXIT_FAILURE;
    }
    if (!getenv("JOURNAL_STREAM"))
        log_stamp(); /* what is wrong with a start is told as --check tells it */
    daemon_run(d);
    daemon_free(d);
    return EXIT_SUCCESS;
}

/* The soft limit is kept low for programs that use select(); we do not. */
static void
raise_descriptors(void)
{
    struct rlimit most;

    if (getrlimit(RLIMIT_NOFILE, &most) != 0 || most.rlim_cur == most.rlim_max)
        return;
    most.rlim_cur = most.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &most) == 0)
        log_write(LOG_LEVEL_INFO, "daemon", "up to %llu descriptors",
                  (unsigned long long)most.rlim_cur);
}

int
main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    static struct config config; /* tens of kilobytes: not for the stack */
    const char *file = NULL;
    bool is_check = false;

    for (int c; (c = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            file = optarg;
            break;
        case 'k':
            is_check = true;
            break;
        case 'h':
            usage(stdout);
            return EXIT_SUCCESS;
        case 'V':
            puts("ringwayd " RINGWAY_VERSION);
            return EXIT_SUCCESS;
        default:
            usage(stderr);
            return EXIT_USAGE;
        }
    }
    if (!file || optind != argc) {
        usage(stderr);
        return EXIT_USAGE;
    }
    if (config_load(file, on_mistake, NULL, &config) != ST_OK)
        return EXIT_USAGE;
    if (is_check) {
        const struct topology_ops *ops;
        struct why why = {""};

        if (settings_topology(&config, &ops, &why) != ST_OK) {
            on_mistake(NULL, why.text);
            return EXIT_USAGE;
        }
        printf("%s: good\n", file);
        return EXIT_SUCCESS;
    }
    umask(0077); /* whatever is written is this user's alone */
    raise_descriptors();
    heap_tune();
    return run(&config);
}
