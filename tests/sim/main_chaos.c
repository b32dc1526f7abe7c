/*
 * Elections under random misfortune: `main_chaos --seeds 10000 [--first N] [--plain]`.  A run that
 * breaks a promise is told with its seed, what it drew and its story; `--first SEED --seeds 1
 * --loud` replays it exactly, with the log lines of every node.  Exits 1 if there was one.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/sim/chaos.h"

static volatile uint64_t current;

/* An assertion of the election itself: say which seed it was. */
static void
on_abort(int signal_number)
{
    char text[32] = "\nFAIL seed ";
    size_t len = strlen(text);
    uint64_t seed = current;
    char digit[24];
    size_t digits = 0;

    (void)signal_number;
    do
        digit[digits++] = (char)('0' + seed % 10);
    while (seed /= 10);
    while (digits > 0 && len < sizeof(text) - 1)
        text[len++] = digit[--digits];
    text[len++] = '\n';
    if (write(STDOUT_FILENO, text, len) < 0)
        _exit(3);
    signal(SIGABRT, SIG_DFL);
}

static int
use(void)
{
    fputs("usage: main_chaos [--first N] [--seeds N] [--plain] [--loud]\n", stderr);
    return 2;
}

int
main(int argc, char **argv)
{
    uint64_t first = 1, count = 200, claims = 0, misfortunes = 0, virtual_ms = 0;
    struct chaos_conf conf = {0};
    unsigned failures = 0;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--loud") == 0)
            conf.is_loud = true;
        else if (strcmp(argv[i], "--plain") == 0)
            conf.is_plain = true;
        else if (i + 1 < argc && strcmp(argv[i], "--first") == 0)
            first = strtoull(argv[++i], NULL, 10);
        else if (i + 1 < argc && strcmp(argv[i], "--seeds") == 0)
            count = strtoull(argv[++i], NULL, 10);
        else
            return use();
    }
    signal(SIGABRT, on_abort);
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct chaos_verdict v;

        current = seed;
        conf.seed = seed;
        chaos_run(&conf, &v);
        claims += v.claims;
        misfortunes += v.misfortunes;
        virtual_ms += v.now_ms;
        if (!v.is_broken)
            continue;
        failures++;
        printf("FAIL seed %llu (%s): %s\n", (unsigned long long)seed, v.drawn, v.what);
        if (!conf.is_loud && failures <= 3)
            fputs(v.story, stdout);
        fflush(stdout);
        free(v.story);
    }
    printf("chaos: %llu seeds from %llu, %u broken; %llu misfortunes, %llu claims, %.1f hours of "
           "their "
           "time\n",
           (unsigned long long)count, (unsigned long long)first, failures,
           (unsigned long long)misfortunes, (unsigned long long)claims, (double)virtual_ms / 3.6e6);
    return failures ? 1 : 0;
}
