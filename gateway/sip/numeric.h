/**
 * DOC: no host name is looked up by the SIP thread
 *
 * The library answers a request of another SIP version before anybody is asked, to the host in its
 * Via, and calls getaddrinfo() for that: whoever writes a slow name there stops all calls.
 * numeric.c defines getaddrinfo(), which the dynamic linker finds before the C library's; for a
 * thread that asked to, every host has to be an address.  The library's own resolver (SRV and A
 * records) is another way, and asks the same server for ever while that one cannot be reached:
 * target.c hands the library nothing that it would have to look up, and sres_query(), defined here
 * as well, fails.
 */
#ifndef GATEWAY_SIP_NUMERIC_H
#define GATEWAY_SIP_NUMERIC_H

#include <stdbool.h>

/** numeric_only - in this thread, from now on. */
void numeric_only(bool is_on);

#endif
