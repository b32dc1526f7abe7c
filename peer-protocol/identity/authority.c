#include "peer-protocol/identity/authority.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/identity/issuer.h"
#include "peer-protocol/identity/openssl.h"
#include "peer-protocol/identity/pem.h"

#define NAME_BYTES        128
#define ADDRESS_BYTES     64
#define ROOT_DAYS         3650
#define CERTIFICATE_DAYS  365
#define DAYS_MAX          36500
#define GATEWAY_LOCAL     "overlay@"
#define GATEWAY_LOCAL_LEN (sizeof(GATEWAY_LOCAL) - 1)

/* Whole labels of lower-case letters, digits and hyphens: an overlay's name is the end of a domain,
 * and a domain is compared in lower case. */
static bool
is_domain(const char *name)
{
    size_t label = 0;
    size_t len = strlen(name);

    if (len == 0 || len >= NAME_BYTES)
        return false;
    for (size_t i = 0; i <= len; i++) {
        char c = name[i];
        if (c == '.' || c == '\0') {
            if (label == 0 || label > 63 || name[i - 1] == '-')
                return false;
            label = 0;
        } else if ((c == '-' && label > 0) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
            label++;
        } else {
            return false;
        }
    }
    return true;
}

/* An addr-spec of RFC 5322 whose local part is a dot-atom. */
static bool
is_user(const char *user)
{
    const char *at = strchr(user, '@');

    if (!at || at == user || at[-1] == '.' || user[0] == '.' || strlen(user) >= USER_NAME_BYTES)
        return false;
    for (const char *c = user; c < at; c++)
        if (!isalnum((unsigned char)*c) && !strchr("!#$%&'*+-/=?^_`{|}~.", *c))
            return false;
    return !memmem(user, (size_t)(at - user), "..", 2) && is_domain(at + 1);
}

/* Does @text stand for an IP address exactly as inet_ntop() writes it?  Everybody computes the
 * Node-ID from the text, so there may be one spelling only. */
static bool
is_canonical(int family, const char *text)
{
    unsigned char address[sizeof(struct in6_addr)];
    char back[INET6_ADDRSTRLEN];

    return inet_pton(family, text, address) == 1 &&
           inet_ntop(family, address, back, sizeof(back)) && strcmp(text, back) == 0;
}

static bool
is_port(const char *text)
{
    unsigned port = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 5 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    return port <= 65535;
}

static bool
is_address(const char *address)
{
    char host[ADDRESS_BYTES];

    if (is_canonical(AF_INET, address) || is_canonical(AF_INET6, address))
        return true;
    const char *colon = strrchr(address, ':');
    if (!colon || !is_port(colon + 1))
        return false;
    bool is_bracketed = address[0] == '[' && colon > address + 1 && colon[-1] == ']';
    struct slice text = is_bracketed ? slice_of(address + 1, (size_t)(colon - address) - 2)
                                     : slice_of(address, (size_t)(colon - address));
    return slice_to_text(text, host, sizeof(host)) == ST_OK &&
           is_canonical(is_bracketed ? AF_INET6 : AF_INET, host);
}

static enum status
check_days(unsigned *days, unsigned otherwise, struct why *why)
{
    if (*days == 0)
        *days = otherwise;
    if (*days > DAYS_MAX)
        return why_set(why, ST_RANGE, "%u days: at most %u", *days, DAYS_MAX);
    return ST_OK;
}

enum status
authority_init(const char *folder, const char *overlay, unsigned days, struct why *why)
{
    char common_name[64];
    EVP_PKEY *key = NULL;
    X509 *root = NULL;
    enum status st = check_days(&days, ROOT_DAYS, why);

    if (st != ST_OK)
        return st;
    if (!is_domain(overlay))
        return why_set(why, ST_RANGE,
                       "%.64s: not an overlay's name (labels of lower-case letters, digits and "
                       "hyphens, with dots between)",
                       overlay);
    if (pem_exists(folder, "ca.pem") || pem_exists(folder, "ca-key.pem"))
        return why_set(why, ST_EXISTS, "%s: there is an authority already", folder);
    /* X.520 allows a common name 64 characters; the overlay's whole name stands in its own file. */
    snprintf(common_name, sizeof(common_name), "%.50s authority", overlay);
    key = issuer_key(KEY_ECDSA_P256);
    root = key ? issuer_root(key, common_name, days) : NULL;
    if (root)
        st = pem_make_folder(folder, why);
    else
        st = why_set(why, ST_NOMEM, "no root certificate: %s", openssl_reason());
    if (st == ST_OK)
        st = pem_write_text(folder, "overlay", overlay, why);
    if (st == ST_OK)
        st = pem_write(folder, "ca-key.pem", 0600, key, NULL, why);
    if (st == ST_OK)
        st = pem_write(folder, "ca.pem", 0644, NULL, root, why);
    X509_free(root);
    EVP_PKEY_free(key);
    return st;
}

/** An authority as its folder has it. */
struct authority {
    char overlay[NAME_BYTES];
    X509 *root;
    EVP_PKEY *key;
};

static void
authority_done(struct authority *a)
{
    X509_free(a->root);
    EVP_PKEY_free(a->key);
}

static enum status
authority_read(struct authority *a, const char *folder, struct why *why)
{
    enum status st = pem_read_text(folder, "overlay", a->overlay, sizeof(a->overlay), why);

    if (st == ST_OK && !is_domain(a->overlay))
        st = why_set(why, ST_RANGE, "%s/overlay: not an overlay's name", folder);
    if (st == ST_OK)
        st = pem_read_certificate(folder, "ca.pem", &a->root, why);
    if (st == ST_OK)
        st = pem_read_key(folder, "ca-key.pem", &a->key, why);
    if (st == ST_OK && X509_check_private_key(a->root, a->key) != 1)
        st = why_set(why, ST_SIGNATURE, "%s/ca-key.pem: not the key of ca.pem", folder);
    return st;
}

static enum status
check_request(const struct authority_request *r, struct why *why)
{
    if (!is_address(r->address))
        return why_set(why, ST_RANGE,
                       "%.64s: not an address (IP, IP:PORT or [IPv6]:PORT, in the shortest form)",
                       r->address);
    if (!is_user(r->user))
        return why_set(why, ST_RANGE, "%.64s: not a user name (NODE@OVERLAY or overlay@NAME)",
                       r->user);
    return ST_OK;
}

/* RFC 5922 section 7.1: a certificate speaks for a SIP domain by a URI that names it alone. */
static bool
sip_uri_of(const char *user, char out[NAME_BYTES + 8])
{
    if (strncmp(user, GATEWAY_LOCAL, GATEWAY_LOCAL_LEN) != 0)
        return false;
    snprintf(out, NAME_BYTES + 8, "sip:%s", user + GATEWAY_LOCAL_LEN);
    return true;
}

static enum status
write_out(const char *folder, EVP_PKEY *key, X509 *certificate, X509 *root, struct why *why)
{
    enum status st = pem_make_folder(folder, why);

    if (st == ST_OK)
        st = pem_write(folder, "ca.pem", 0644, NULL, root, why);
    if (st == ST_OK)
        st = pem_write(folder, "cafile.pem", 0644, NULL, root, why);
    if (st == ST_OK)
        st = pem_write(folder, "key.pem", 0600, key, NULL, why);
    if (st == ST_OK)
        st = pem_write(folder, "cert.pem", 0644, NULL, certificate, why);
    if (st == ST_OK)
        st = pem_write(folder, "agent.pem", 0600, key, certificate, why);
    return st;
}

enum status
authority_issue(const char *folder, const struct authority_request *request, const char *out_folder,
                struct why *why)
{
    struct authority a = {.root = NULL};
    char sip_uri[NAME_BYTES + 8];
    EVP_PKEY *key = NULL;
    X509 *certificate = NULL;
    struct issuer_node node = {.user = request->user, .days = request->days};
    enum status st = check_request(request, why);

    if (st == ST_OK)
        st = check_days(&node.days, CERTIFICATE_DAYS, why);
    if (st == ST_OK)
        st = authority_read(&a, folder, why);
    if (st != ST_OK)
        goto out;
    node.overlay = a.overlay;
    node.sip_uri = sip_uri_of(request->user, sip_uri) ? sip_uri : NULL;
    identity_node_of_address(request->address, &node.node);
    key = issuer_key(request->key);
    certificate = key ? issuer_certificate(a.root, a.key, key, &node) : NULL;
    if (certificate)
        st = write_out(out_folder, key, certificate, a.root, why);
    else
        st = why_set(why, ST_NOMEM, "no certificate: %s", openssl_reason());

out:
    X509_free(certificate);
    EVP_PKEY_free(key);
    authority_done(&a);
    return st;
}
