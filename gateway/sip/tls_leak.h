/**
 * DOC: the library's TLS connections are freed here
 *
 * libsofia-sip-ua 1.12.11 ends a TLS connection with SSL_shutdown() and forgets SSL_free(): 24 to
 * 47 kB stay behind for each.  tls_leak.c defines SSL_shutdown(), which the dynamic linker finds
 * before OpenSSL's: it calls that one and then frees the object, unless the object carries the mark
 * of our own TLS (links, HTTP), whose owners free it themselves.
 */
#ifndef GATEWAY_SIP_TLS_LEAK_H
#define GATEWAY_SIP_TLS_LEAK_H

#include <stdint.h>

/** tls_leak_count - connections freed so far; calling it also makes the linker take this file. */
uint64_t tls_leak_count(void);

#endif
