#include "gateway/cli/ca.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/identity/authority.h"

enum { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE };

static const char usage[] =
    "usage: ringwayctl ca init DIR --overlay NAME [--days N]\n"
    "       ringwayctl ca issue DIR --address IP[:PORT] --user NAME --out OUTDIR [--days N] "
    "[--rsa]\n";

struct ca_arguments {
    const char *folder;
    const char *overlay;
    const char *out;
    bool is_rsa;
    struct authority_request request;
};

static int
complain(const char *what, const char *cause)
{
    fprintf(stderr, "ringwayctl: ca: %s%s%s\n", what, cause[0] ? ": " : "", cause);
    return EXIT_USAGE;
}

static bool
read_days(const char *text, unsigned *ret_days)
{
    char *end;
    unsigned long days = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || *end != '\0' || days == 0 || days > 36500)
        return false;
    *ret_days = (unsigned)days;
    return true;
}

static int
read_arguments(int argc, char **argv, struct ca_arguments *a)
{
    static const struct option options[] = {
        {"overlay", required_argument, NULL, 'o'},
        {"address", required_argument, NULL, 'a'},
        {"user", required_argument, NULL, 'u'},
        {"out", required_argument, NULL, 'd'},
        {"days", required_argument, NULL, 'n'},
        {"rsa", no_argument, NULL, 'r'},
        {NULL, 0, NULL, 0},
    };
    int option;

    optind = 0; /* the main program has used getopt before us */
    opterr = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (option) {
        case 'o':
            a->overlay = optarg;
            break;
        case 'a':
            a->request.address = optarg;
            break;
        case 'u':
            a->request.user = optarg;
            break;
        case 'd':
            a->out = optarg;
            break;
        case 'n':
            if (!read_days(optarg, &a->request.days))
                return complain("--days: a number from 1 to 36500 is allowed, found", optarg);
            break;
        case 'r':
            a->is_rsa = true;
            break;
        default:
            return complain("unknown option, or its value is missing", argv[optind - 1]);
        }
    }
    if (optind != argc - 1)
        return complain(optind < argc ? "too many words" : "DIR is missing", "");
    a->folder = argv[optind];
    return EXIT_DONE;
}

static int
answer(enum status st, const struct why *why)
{
    if (st == ST_OK)
        return EXIT_DONE;
    fprintf(stderr, "ringwayctl: ca: %s\n", why->text[0] ? why->text : status_text(st));
    return EXIT_REFUSED;
}

static int
init(const struct ca_arguments *a)
{
    struct why why = {""};

    if (!a->overlay)
        return complain("init needs --overlay NAME", "");
    if (a->request.address || a->request.user || a->out || a->is_rsa)
        return complain("init takes --overlay and --days only", "");
    enum status st = authority_init(a->folder, a->overlay, a->request.days, &why);
    if (st == ST_OK)
        fprintf(stderr, "authority of %s in %s; keep %s/ca-key.pem secret\n", a->overlay, a->folder,
                a->folder);
    return answer(st, &why);
}

static int
issue(struct ca_arguments *a)
{
    struct why why = {""};

    if (!a->request.address || !a->request.user || !a->out)
        return complain("issue needs --address, --user and --out", "");
    if (a->overlay)
        return complain("issue takes no --overlay: DIR knows it", "");
    a->request.key = a->is_rsa ? KEY_RSA_2048 : KEY_ECDSA_P256;
    enum status st = authority_issue(a->folder, &a->request, a->out, &why);
    if (st == ST_OK)
        fprintf(stderr, "certificate of %s (%s) in %s\n", a->request.user, a->request.address,
                a->out);
    return answer(st, &why);
}

int
ca_command(int argc, char **argv)
{
    struct ca_arguments a = {.folder = NULL};
    int exit_status;

    if (argc >= 2 && strcmp(argv[1], "init") == 0) {
        exit_status = read_arguments(argc - 1, argv + 1, &a);
        if (exit_status == EXIT_DONE)
            exit_status = init(&a);
    } else if (argc >= 2 && strcmp(argv[1], "issue") == 0) {
        exit_status = read_arguments(argc - 1, argv + 1, &a);
        if (exit_status == EXIT_DONE)
            exit_status = issue(&a);
    } else {
        exit_status = EXIT_USAGE;
    }
    if (exit_status == EXIT_USAGE)
        fputs(usage, stderr);
    return exit_status;
}
