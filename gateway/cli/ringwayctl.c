/**
 * DOC: ringwayctl: look at a Ringway node, and steer it
 *
 * Every command is one request to the daemon's control socket, shown for people or, with --json, as
 * it came.  Exit status: 0 done; 1 the daemon refused or the thing is not there, or `status` tells
 * of an overlay that is not served; 2 wrong usage; 3 no daemon.  `ca` needs no daemon.
 */
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "gateway/cli/ca.h"
#include "gateway/cli/client.h"
#include "gateway/cli/show.h"
#include "gateway/cli/table.h"
#include "gateway/version.h"

#define DEFAULT_SOCKET "/run/ringway/control.sock"
#define WATCH_MS       500
#define PATH_BYTES     2048

enum { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE, EXIT_NO_DAEMON };

static const char usage[] =
    "usage: ringwayctl [-s SOCKET] [--json] COMMAND\n"
    "\n"
    "  status                      node, overlays and their state, role, registrations, calls\n"
    "  election [--watch]          gateways and ranked candidates; --watch: again at each change\n"
    "  election history            changes of this node's role, with reasons and the time they "
    "took\n"
    "  election handover [NODE]    the gateway hands over to NODE, or to its first candidate\n"
    "  election reset-term         the gateway goes back to term 1, and the overlay with it\n"
    "  overlay local|global        neighbours, routing table, records held\n"
    "  resolve URI                 contacts, overlay, hops and the time it took\n"
    "  registrations               phones this node serves\n"
    "  calls                       calls through this node\n"
    "  drain | leave | reload      planned maintenance\n"
    "  ca init DIR --overlay NAME [--days N]\n"
    "  ca issue DIR --address IP[:PORT] --user NAME --out OUTDIR [--days N] [--rsa]\n"
    "\n"
    "  -s SOCKET                   the daemon's control socket (" DEFAULT_SOCKET ")\n"
    "  --json                      for scripts: the answer as the daemon gave it\n"
    "\n"
    "exit status: 0 done; 1 refused, not there, or (status) not served; 2 wrong usage; 3 no "
    "daemon\n";

struct call {
    const char *socket;
    bool is_json;
    bool is_watch;
};

static int
complain(const char *text)
{
    fprintf(stderr, "ringwayctl: %s\n", text);
    return EXIT_USAGE;
}

/* Ask, and tell the refusal.  EXIT_DONE with @ret_body, the caller's. */
static int
ask(const struct call *call, const char *method, const char *path, json_t *body, json_t **ret_body)
{
    struct client_answer answer = {0, NULL};
    struct why why = {""};
    enum status st = client_ask(call->socket, method, path, body, &answer, &why);

    if (st != ST_OK) {
        fprintf(stderr, "ringwayctl: %s\n", why.text);
        return st == ST_UNREACHABLE ? EXIT_NO_DAEMON : EXIT_REFUSED;
    }
    if (!call->is_json || answer.code != 200)
        client_make_printable(answer.body);
    if (answer.code != 200) {
        const char *error = json_string_value(json_object_get(answer.body, "error"));

        fprintf(stderr, "ringwayctl: %s\n", error ? error : "the daemon refused");
        json_decref(answer.body);
        return EXIT_REFUSED;
    }
    *ret_body = answer.body;
    return EXIT_DONE;
}

/* In ASCII: on a terminal a user's name must not be a command. */
static void
print_json(const json_t *body)
{
    json_dumpf(body, stdout,
               JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    putchar('\n');
    fflush(stdout);
}

/* EXIT_DONE with @ret_body, the caller's, which has been shown. */
static int
get_body(const struct call *call, const char *path, void (*show)(const json_t *body),
         json_t **ret_body)
{
    int status = ask(call, "GET", path, NULL, ret_body);

    if (status == EXIT_DONE && call->is_json)
        print_json(*ret_body);
    else if (status == EXIT_DONE)
        show(*ret_body);
    return status;
}

static int
get(const struct call *call, const char *path, void (*show)(const json_t *body))
{
    json_t *body = NULL;
    int status = get_body(call, path, show, &body);

    json_decref(body);
    return status;
}

static int
post(const struct call *call, const char *path, json_t *sent, const char *done)
{
    json_t *body = NULL;
    int status = ask(call, "POST", path, sent, &body);

    if (status == EXIT_DONE && call->is_json)
        print_json(body);
    else if (status == EXIT_DONE)
        fprintf(stderr, "%s\n", done);
    json_decref(body);
    return status;
}

/* ---- election ---------------------------------------------------------------------------------
 */

/* HELLO figures change all the time: for scripts, a change is one of term, role, gateways and what
 * HELLO makes of them, ranks. */
static json_t *
essence(const json_t *body)
{
    json_t *copy = json_deep_copy(body);
    json_t *candidate;
    size_t i;

    json_array_foreach(json_object_get(copy, "candidates"), i, candidate)
    {
        json_object_del(candidate, "hello");
        json_object_del(candidate, "parts");
        json_object_del(candidate, "score");
    }
    json_array_foreach(json_object_get(copy, "gateways"), i, candidate)
    {
        json_t *state = json_incref(json_object_get(json_object_get(candidate, "hello"), "state"));
        json_object_set_new(candidate, "hello", state ? state : json_null());
    }
    json_object_del(copy, "score");
    json_object_del(copy, "late_ms");
    return copy;
}

/* What happened last, below the state of now. */
static void
watch_history(const struct call *call)
{
    json_t *body = NULL;

    if (ask(call, "GET", "/v1/election/history", NULL, &body) == EXIT_DONE)
        show_history_end(body);
    json_decref(body);
}

/* Show the election again and again, until interrupted or the daemon is gone. */
static int
watch_election(const struct call *call)
{
    const struct timespec pause = {.tv_nsec = WATCH_MS * 1000000L};
    bool is_screen = isatty(STDOUT_FILENO) && !call->is_json;
    json_t *before = NULL;
    int status;

    for (;;) {
        json_t *body = NULL;
        json_t *now;

        status = ask(call, "GET", "/v1/election", NULL, &body);
        if (status != EXIT_DONE)
            break;
        now = essence(body);
        if (is_screen)
            fputs("\033[H\033[2J", stdout);
        if (is_screen || !before || !json_equal(before, now)) {
            if (call->is_json)
                print_json(body);
            else
                show_election(body);
            if (is_screen)
                watch_history(call);
            fflush(stdout);
        }
        json_decref(before);
        json_decref(body);
        before = now;
        nanosleep(&pause, NULL);
    }
    json_decref(before);
    return status;
}

static int
handover(const struct call *call, const char *node)
{
    json_t *body = node ? json_pack("{s:s}", "node", node) : json_object();
    int status = EXIT_USAGE;

    if (body)
        status = post(call, "/v1/election/handover", body, "the handover is under way");
    else
        complain("NODE is no text");
    json_decref(body);
    return status;
}

static int
reset_term(const struct call *call)
{
    json_t *body = json_object();
    int status = EXIT_USAGE;

    if (body)
        status = post(call, "/v1/election/reset-term", body, "the term is 1");
    json_decref(body);
    return status;
}

static int
election(const struct call *call, int argc, char **argv)
{
    if (argc == 1)
        return call->is_watch ? watch_election(call) : get(call, "/v1/election", show_election);
    if (strcmp(argv[1], "history") == 0 && argc == 2)
        return get(call, "/v1/election/history", show_history);
    if (strcmp(argv[1], "handover") == 0 && argc <= 3)
        return handover(call, argc == 3 ? argv[2] : NULL);
    if (strcmp(argv[1], "reset-term") == 0 && argc == 2)
        return reset_term(call);
    return complain("election: allowed are [--watch], history, handover [NODE] and reset-term");
}

/* ---- the other commands -----------------------------------------------------------------------
 */

/* What keeps calls from going out, or in; NULL where nothing does.  Borrowed. */
static const char *
unserved(const json_t *status)
{
    const json_t *election = json_object_get(status, "election");
    const char *state =
        json_string_value(json_object_get(json_object_get(status, "local"), "state"));
    const char *trouble = json_string_value(json_object_get(election, "trouble"));

    if (!state || (strcmp(state, "joined") != 0 && strcmp(state, "alone") != 0))
        return "the node is not in its overlay";
    if (!json_is_object(json_object_get(status, "global")) ||
        json_is_true(json_object_get(election, "served")))
        return NULL;
    return trouble ? trouble : "no gateway is known";
}

static int
status(const struct call *call, int argc, char **argv)
{
    json_t *body = NULL;
    const char *why;
    int done;

    (void)argv;
    if (argc != 1)
        return complain("status: takes no argument");
    done = get_body(call, "/v1/status", show_status, &body);
    if (done == EXIT_DONE)
        client_make_printable(body);
    why = done == EXIT_DONE ? unserved(body) : NULL;
    if (why) {
        fprintf(stderr, "ringwayctl: not served: %s\n", why);
        done = EXIT_REFUSED;
    }
    json_decref(body);
    return done;
}

static int
overlay(const struct call *call, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "local") == 0)
        return get(call, "/v1/overlay/local", show_overlay);
    if (argc == 2 && strcmp(argv[1], "global") == 0)
        return get(call, "/v1/overlay/global", show_overlay);
    return complain("overlay: allowed are local and global");
}

static int
resolve(const struct call *call, int argc, char **argv)
{
    char path[PATH_BYTES] = "/v1/resolve?uri=";
    size_t used = strlen(path);

    if (argc != 2)
        return complain("resolve: one URI is needed, such as sip:alice@site.overlay");
    if (!client_escape(argv[1], path + used, sizeof(path) - used))
        return complain("resolve: the URI is too long");
    return get(call, path, show_resolve);
}

static int
registrations(const struct call *call, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return complain("registrations: takes no argument");
    return get(call, "/v1/registrations", show_registrations);
}

static int
calls(const struct call *call, int argc, char **argv)
{
    (void)argv;
    if (argc != 1)
        return complain("calls: takes no argument");
    return get(call, "/v1/calls", show_calls);
}

static int
maintain(const struct call *call, int argc, char **argv)
{
    char path[32];

    if (argc != 1)
        return complain("drain, leave and reload take no argument");
    snprintf(path, sizeof(path), "/v1/%s", argv[0]);
    return post(call, path, NULL,
                strcmp(argv[0], "reload") == 0  ? "the configuration was read again"
                : strcmp(argv[0], "leave") == 0 ? "the node is leaving"
                                                : "the node is draining");
}

static const struct command {
    const char *name;
    int (*run)(const struct call *call, int argc, char **argv);
} command[] = {
    {"status", status},
    {"election", election},
    {"overlay", overlay},
    {"resolve", resolve},
    {"registrations", registrations},
    {"calls", calls},
    {"drain", maintain},
    {"leave", maintain},
    {"reload", maintain},
};

static int
run(const struct call *call, int argc, char **argv)
{
    for (size_t i = 0; i < sizeof(command) / sizeof(command[0]); i++)
        if (strcmp(argv[0], command[i].name) == 0) {
            if (call->is_watch && strcmp(argv[0], "election") != 0)
                return complain("--watch belongs to election");
            return command[i].run(call, argc, argv);
        }
    fprintf(stderr, "ringwayctl: there is no command \"%s\"\n\n%s", argv[0], usage);
    return EXIT_USAGE;
}

/* Options may stand anywhere but behind "ca", which has its own. */
static int
read_options(struct call *call, int argc, char **argv)
{
    static const struct option option[] = {
        {"socket", required_argument, NULL, 's'}, {"json", no_argument, NULL, 'j'},
        {"watch", no_argument, NULL, 'w'},        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {NULL, 0, NULL, 0},
    };

    for (;;) {
        switch (getopt_long(argc, argv, "s:h", option, NULL)) {
        case 's':
            call->socket = optarg;
            break;
        case 'j':
            call->is_json = true;
            break;
        case 'w':
            call->is_watch = true;
            break;
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_DONE);
        case 'V':
            puts("ringwayctl " RINGWAY_VERSION);
            exit(EXIT_DONE);
        case -1:
            return EXIT_DONE;
        default:
            fprintf(stderr, "\n%s", usage);
            return EXIT_USAGE;
        }
    }
}

int
main(int argc, char **argv)
{
    struct call call = {.socket = DEFAULT_SOCKET};

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "ca") == 0)
            return ca_command(argc - i, argv + i);
        if (argv[i][0] != '-')
            break;
        if (strcmp(argv[i], "-s") == 0)
            i++;
    }
    if (read_options(&call, argc, argv) != EXIT_DONE)
        return EXIT_USAGE;
    if (optind == argc) {
        fputs(usage, stderr);
        return EXIT_USAGE;
    }
    colour_choose();
    return run(&call, argc - optind, argv + optind);
}
