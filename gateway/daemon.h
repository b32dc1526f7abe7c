/**
 * DOC: the daemon: the shell around a node
 *
 *    signals, timers, links, control socket --> struct node (overlay thread, libevent)
 *                                                   ^  bridge
 *                                                   v
 *                                               struct sip (SIP thread, su_root)
 *
 * It reads the clocks once a loop turn, brings events to the node, carries out what the node asks
 * for and arms one timer for its next deadline.
 */
#ifndef GATEWAY_DAEMON_H
#define GATEWAY_DAEMON_H

#include "config/config.h"

struct daemon;

/**
 * daemon_new - load credentials, open every port, start the SIP thread
 * Returns: ST_OK; ST_CONFIG for what the configuration or the credentials get wrong (no port was
 * opened); ST_IO for a port that cannot be had; ST_NOMEM.
 */
NODISCARD enum status daemon_new(const struct config *c, struct daemon **ret_daemon,
                                 struct why *why);
void daemon_free(struct daemon *d);

/** daemon_run - work until SIGTERM or SIGINT has been followed by a graceful leave. */
void daemon_run(struct daemon *d);

/** daemon_set_log_level - "error" to "debug"; another word changes nothing. */
void daemon_set_log_level(const char *name);

#endif
