/**
 * DOC: values of ringway.conf: is one allowed, and what holds together with what
 *
 * Source: docs/operations.md.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/mistakes.h"

#define ENDPOINT_IP_BYTES 46

/** "udp:127.1.0.1:5060" taken apart. */
struct endpoint {
    char transport[8]; /* "" if none was asked for */
    char ip[ENDPOINT_IP_BYTES];
    uint32_t port; /* 0: none given (only where that is allowed) */
};

/**
 * endpoint_parse - read "IP", "IP:PORT", "[IPv6]:PORT", with "TRANSPORT:" in front where asked for
 * Returns: ST_OK; ST_MALFORMED if it is none, or not written as it is printed (::1, not 0::1).
 */
NODISCARD enum status endpoint_parse(const char *text, bool has_transport, struct endpoint *ret);

/** value_set - check one value of an option and put it at its place in @c; reports a mistake. */
void value_set(struct config *c, const struct option *option, const char *text, int line,
               struct mistakes *mistakes);

/** What the cross checks need to know of the lines. */
struct lines {
    const int *section; /* by enum section */
    const int *option;  /* by index in schema[] */
};

/** value_check_all - what no single value shows: names, addresses, ports, limits that belong
 *  together. */
void value_check_all(const struct config *c, const struct lines *lines, struct mistakes *mistakes);

#endif
