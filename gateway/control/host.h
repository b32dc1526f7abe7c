/**
 * DOC: is the HTTP port asked by a name of its own?
 *
 * A page of a stranger may have its own name resolve to this node's address and then read what a
 * visitor's browser can reach ("DNS rebinding").  The browser still says the stranger's name in
 * Host: only the address that was connected to, "localhost" and the node's name are served.
 *
 * Source: RFC 9110 sections 7.2 and 7.4, RFC 9112 section 3.2.
 */
#ifndef GATEWAY_CONTROL_HOST_H
#define GATEWAY_CONTROL_HOST_H

struct evhttp_request;

/** host_check - 0; 400: none, or several; 421: another host's. @node_name: borrowed */
int host_check(struct evhttp_request *request, const char *node_name);

#endif
