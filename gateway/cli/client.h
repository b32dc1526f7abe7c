/**
 * DOC: one request to the daemon's control socket
 */
#ifndef GATEWAY_CLI_CLIENT_H
#define GATEWAY_CLI_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct client_answer {
    int code;     /* HTTP status */
    json_t *body; /* the caller's; never NULL with ST_OK */
};

/**
 * client_ask - send a request and read its answer
 * @socket: path of the control socket
 * @method: "GET" or "POST"
 * @path:   with its query
 * @body:   JSON to send, or NULL; borrowed
 * Returns: ST_OK with any HTTP status; ST_UNREACHABLE if nobody answers on the socket;
 * ST_MALFORMED, ST_TIMEOUT or ST_IO if the answer is none.
 */
NODISCARD enum status client_ask(const char *socket, const char *method, const char *path,
                                 json_t *body, struct client_answer *ret, struct why *why);

/** client_escape - percent-encode for a query; false if it does not fit. */
bool client_escape(const char *text, char *out, size_t out_bytes);

/** client_make_printable - what is in an answer may go to a terminal afterwards (base/text.h). */
void client_make_printable(json_t *body);

#endif
