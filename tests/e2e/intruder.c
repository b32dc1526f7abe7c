/**
 * Does one misdeed to a running daemon and says what came of it.
 *
 *     intruder DEED FOLDER OVERLAY FROM-IP TO-IP:PORT [under=NAME] [id=HEX] [other=FOLDER,OVERLAY]
 *              [seed=N] [count=N] [ms=N]
 *     intruder deeds                     the names of all deeds, a line each
 *
 * FOLDER has our credentials.  Prints one line: "answer NAME", "error NAME: INFO", "silent",
 * "closed: REASON", "refused: REASON" (before the link was up), or what the deed's own words are.
 * The exit code is 0 whatever the daemon did: who started this judges.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/message/body.h"
#include "tests/e2e/intruder.h"

#define ANSWER_MS 3000

/* ---- small things ------------------------------------------------------------------------------
 */

/* xorshift64 */
uint64_t
intruder_random_u64(struct intruder *x)
{
    x->seed ^= x->seed << 13;
    x->seed ^= x->seed >> 7;
    x->seed ^= x->seed << 17;
    return x->seed;
}

size_t
intruder_random(struct intruder *x, size_t limit)
{
    return limit ? (size_t)(intruder_random_u64(x) % limit) : 0;
}

void
intruder_must(bool is_so, const char *what)
{
    if (is_so)
        return;
    fprintf(stderr, "intruder: %s\n", what);
    exit(EXIT_FAILURE);
}

struct id
intruder_self(const struct intruder *x)
{
    return *identity_node(x->line.identity);
}

struct id
intruder_resource_of(struct intruder *x, const char *name)
{
    const struct keys *keys = &x->line.envelope.keys;
    struct id id;

    keys->ops->resource_id(keys->ctx, slice_text(name), &id);
    return id;
}

struct destination
intruder_to_neighbour(void)
{
    struct id wildcard;

    memset(wildcard.bytes, 0xff, ID_BYTES);
    return destination_node(&wildcard);
}

void
intruder_tell_closed(const struct intruder *x, const char *word)
{
    printf("%s: %s\n", word, x->line.reason);
}

bool
intruder_open_line(struct intruder *x)
{
    if (line_open(&x->line))
        return true;
    intruder_tell_closed(x, "refused");
    return false;
}

static void
tell_answer(const struct message *m)
{
    struct error_body error;

    if (m->contents.code != MESSAGE_ERROR)
        printf("answer %s\n", message_code_name(m->contents.code));
    else if (error_body_read(m->contents.body, &error) == ST_OK)
        printf("error %s: %.*s\n", error_code_name(error.code), (int)error.info.len,
               (const char *)error.info.data);
    else
        printf("answer with a malformed error\n");
}

void
intruder_await(struct intruder *x, uint64_t transaction)
{
    struct message m;

    switch (line_await(&x->line, transaction, x->ms, &m)) {
    case LINE_ANSWERED:
        tell_answer(&m);
        break;
    case LINE_SILENT:
        puts("silent");
        break;
    case LINE_CLOSED:
        intruder_tell_closed(x, "closed");
        break;
    }
}

void
intruder_ask(struct intruder *x, uint16_t code, struct slice body, const struct destination *to)
{
    struct writer destinations, message;
    uint64_t transaction;

    writer_init(&destinations, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    destination_write(&destinations, to);
    transaction = line_seal(&x->line, code, body, writer_slice(&destinations), &message);
    intruder_must(message.failed == ST_OK, "message");
    if (line_frame(&x->line, writer_slice(&message)))
        intruder_await(x, transaction);
    else
        intruder_tell_closed(x, "closed");
    writer_done(&destinations);
    writer_done(&message);
}

/* ---- start -------------------------------------------------------------------------------------
 */

static const struct {
    const char *name;
    intruder_deed *run;
} deeds[] = {
    {"ping", intruder_ping},
    {"store-foreign", intruder_store_foreign},
    {"store-foreign-copy", intruder_store_foreign_copy},
    {"store-foreign-key", intruder_store_foreign_key},
    {"store-broken-value", intruder_store_broken_value},
    {"store-gateway-record", intruder_store_gateway_record},
    {"join-for-another", intruder_join_for_another},
    {"leave-for-another", intruder_leave_for_another},
    {"claim", intruder_claim},
    {"claim-for-another", intruder_claim_for_another},
    {"handover", intruder_hand_over},
    {"hello", intruder_hello},
    {"broken-signatures", intruder_broken_signatures},
    {"broken-signature", intruder_broken_signature},
    {"unsigned", intruder_unsigned},
    {"wrong-node-id", intruder_wrong_node_id},
    {"wrong-overlay", intruder_wrong_overlay},
    {"no-certificate", intruder_no_certificate},
    {"no-tls", intruder_no_tls},
    {"half-open", intruder_half_open},
    {"oversize", intruder_oversize},
    {"unknown-frame", intruder_unknown_frame},
    {"unsent-acknowledged", intruder_unsent_acknowledged},
    {"deaf", intruder_deaf},
    {"mutated", intruder_mutated},
    {"mutated-signed", intruder_mutated_signed},
    {"mutated-frames", intruder_mutated_frames},
    {"truncated", intruder_truncated},
    {"fragments", intruder_fragments},
    {"store-copy", intruder_store_copy},
    {"fill", intruder_fill},
    {"rounds", intruder_rounds},
    {"beginnings", intruder_beginnings},
    {"replayed", intruder_replayed},
    {"attach-elsewhere", intruder_attach_elsewhere},
};

static void
load(const char *folder, const char *overlay, struct identity **ret)
{
    struct why why = {""};

    intruder_must(identity_load(folder, overlay, ret, &why) == ST_OK, why.text);
}

static void
load_other(struct intruder *x, const char *folder_and_overlay)
{
    char folder[512];
    const char *comma = strchr(folder_and_overlay, ',');

    intruder_must(comma && (size_t)(comma - folder_and_overlay) < sizeof(folder),
                  "other=FOLDER,OVERLAY");
    snprintf(folder, sizeof(folder), "%.*s", (int)(comma - folder_and_overlay), folder_and_overlay);
    load(folder, comma + 1, &x->other);
}

static void
take_option(struct intruder *x, const char *option)
{
    const char *value = strchr(option, '=');

    intruder_must(value != NULL, "an option is NAME=VALUE");
    value++;
    if (strncmp(option, "under=", 6) == 0)
        x->under = value;
    else if (strncmp(option, "id=", 3) == 0)
        intruder_must(id_parse(value, &x->somebody) == ST_OK, "id: 32 hex digits");
    else if (strncmp(option, "other=", 6) == 0)
        load_other(x, value);
    else if (strncmp(option, "seed=", 5) == 0)
        x->seed = strtoull(value, NULL, 10) | 1;
    else if (strncmp(option, "count=", 6) == 0)
        x->count = (unsigned)strtoul(value, NULL, 10);
    else if (strncmp(option, "ms=", 3) == 0)
        x->ms = (int)strtol(value, NULL, 10);
    else
        intruder_must(false, "unknown option");
}

static int
list_deeds(void)
{
    for (size_t i = 0; i < sizeof(deeds) / sizeof(deeds[0]); i++)
        printf("%s\n", deeds[i].name);
    return EXIT_SUCCESS;
}

int
main(int argc, char **argv)
{
    struct intruder x = {.under = "", .seed = 1, .count = 200, .ms = ANSWER_MS};
    struct identity *identity = NULL;
    char from[64];
    size_t i = 0;

    if (argc == 2 && strcmp(argv[1], "deeds") == 0)
        return list_deeds();
    intruder_must(argc >= 6,
                  "usage: intruder DEED FOLDER OVERLAY FROM-IP TO-IP:PORT [NAME=VALUE]...");
    while (i < sizeof(deeds) / sizeof(deeds[0]) && strcmp(deeds[i].name, argv[1]) != 0)
        i++;
    intruder_must(i < sizeof(deeds) / sizeof(deeds[0]), "unknown deed");
    load(argv[2], argv[3], &identity);
    signal(SIGPIPE, SIG_IGN);
    snprintf(from, sizeof(from), "%s:1", argv[4]);
    line_init(&x.line, identity, argv[3], from, argv[5]);
    for (int at = 6; at < argc; at++)
        take_option(&x, argv[at]);
    deeds[i].run(&x);
    line_close(&x.line);
    identity_free(x.other);
    identity_free(identity);
    return EXIT_SUCCESS;
}
