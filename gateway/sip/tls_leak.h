/**
 * DOC: what the library forgets of its TLS connections is freed here
 *
 * libsofia-sip-ua 1.12.11 ends a TLS connection with SSL_shutdown() and forgets SSL_free(): 24 to
 * 47 kB stay behind for each.  And when it reads the names of the other's certificate it forgets
 * both forms of the subjectAltName, some 300 bytes.  tls_leak.c defines the functions that the
 * library calls there, and the dynamic linker finds ours before OpenSSL's:
 *
 *  - SSL_shutdown() calls OpenSSL's and then frees the object, unless the object carries the mark
 * of our own TLS (links, HTTP), whose owners free it themselves;
 *  - X509V3_EXT_get() and X509V3_EXT_d2i() note what they hand out in the thread that asked, and
 *    free it when that thread asks for the next, or ends with tls_leak_end().
 */
#ifndef GATEWAY_SIP_TLS_LEAK_H
#define GATEWAY_SIP_TLS_LEAK_H

#include <stdint.h>

/** tls_leak_count - connections freed so far; calling it also makes the linker take this file. */
uint64_t tls_leak_count(void);

/** tls_leak_end - the calling thread asks the library nothing any more. */
void tls_leak_end(void);

#endif
