/**
 * DOC: methods are tokens
 *
 * libsofia-sip-ua 1.12.11 takes a request whose method holds one of % + ` for no SIP message at all
 * and says nothing to its sender, though it is a token (RFC 3261 section 25.1, RFC 4475 section
 * 3.1.1.2).  method.c defines sip_method_d(), which the dynamic linker finds before the library's:
 * every token is a method, those that the library knows by number keep it.
 */
#ifndef GATEWAY_SIP_METHOD_H
#define GATEWAY_SIP_METHOD_H

/** method_init - nothing but a reason for the linker to take this file. */
void method_init(void);

#endif
