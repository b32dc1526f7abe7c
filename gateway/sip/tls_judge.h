/**
 * DOC: the judgement of certificates and cipher suites for SIP over TLS
 *
 * libsofia-sip-ua 1.12.11 checks a chain and nothing else, and takes whatever cipher suite OpenSSL
 * offers. The library's last call for a context it makes is SSL_CTX_set_cipher_list(); tls_judge.c
 * defines that function, and while a listener is being added (in this thread alone) it sets what
 * our own links have too: TLS 1.2 with ECDHE and an authenticated cipher, or 1.3, no session
 * tickets, and the judgement of the overlay's identity in place of the library's
 * (identity_tls_judge).
 */
#ifndef GATEWAY_SIP_TLS_JUDGE_H
#define GATEWAY_SIP_TLS_JUDGE_H

#include "gateway/sip/sip.h"

/** tls_judge_begin - listeners that are added from now on are for @is_global or local credentials.
 */
void tls_judge_begin(const struct sip_tls *tls, bool is_global);
void tls_judge_end(void);

#endif
