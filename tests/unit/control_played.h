/**
 * DOC: what stands around the control socket in its test
 *
 * The node behind it is played: control_played.c defines the functions of gateway/node, the peers
 * and the election that the control socket calls, so that the linker takes these.  The daemon is
 * played too; clients are real, each in a thread of its own.
 */
#ifndef TESTS_UNIT_CONTROL_PLAYED_H
#define TESTS_UNIT_CONTROL_PLAYED_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/cli/client.h"
#include "gateway/control/control.h"

#define HTTP_IP   "127.88.0.1"
#define HTTP_PORT 18084
#define HTTP      "127.88.0.1:18084"

/** The one stage of the test; set up anew for each. */
struct played {
    /* the node */
    struct peer_conf local_conf, global_conf;
    struct peer_counters counters;
    struct election_gateway gateway;
    size_t gateway_count;
    bool has_global;
    const char *handover_to;
    enum status handover_status;

    /* what the control socket asked of the node and waits for */
    char asked_name[AOR_BYTES];
    struct peer_fetched lookup_done;
    struct peer_traced trace_done;
    struct directory_resolved resolve_done;
    bool is_past_cache, wants_hops;

    /* the daemon */
    struct event_base *base;
    struct control *control;
    struct control_conf conf;
    struct control_source source;
    char socket_path[100];
    struct moment now_is;
    uint64_t query_token;
    enum bridge_query query_what;
    bool can_query;
    unsigned touched_count, leave_count;
    struct why why;
};
extern struct played played;

void played_setup(void);
void played_teardown(void);

/** played_open - open the control socket as played.conf says. */
void played_open(void);

/** turn - one turn of the event loop, a few milliseconds at most. */
void turn(void);

/** One request of a client. */
struct question {
    const char *method;
    const char *path;
    json_t *body;
    const char *raw; /* to HTTP instead */
    char reply[65536];
    struct client_answer answer;
    enum status st;
    atomic_bool is_done;
    pthread_t thread;
};

/** question_begin - ask in a thread; question_end - turn the loop until there is an answer. */
void question_begin(struct question *q);
void question_end(struct question *q);

/** expect_answer - ask over the socket (@body is taken); the answer must have this code. Returns
 * its body, the caller's. */
json_t *expect_answer(const char *method, const char *path, json_t *body, int code);
/** expect_refusal - the same, with this error. */
void expect_refusal(const char *method, const char *path, json_t *body, int code,
                    const char *error);

/** ask_http - send this to the HTTP port; @reply holds what came back. */
void ask_http(const char *raw, char *reply, size_t reply_bytes);

/** text_at, number_at - object[first][second], of that type. */
const char *text_at(const json_t *object, const char *first, const char *second);
long long number_at(const json_t *object, const char *first, const char *second);

#endif
