#include "gateway/sip/first_line.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>
#include <sofia-sip/su_alloc.h>

#define STATUS_MIN 100
#define STATUS_MAX 699

typedef issize_t decode_function(su_home_t *, msg_header_t *, char *, isize_t);

/* The mark is this text's address, where the version stands. */
static const char unreadable[] = "SIP/2.0";

bool
first_line_is_unreadable(const sip_t *sip)
{
    if (sip->sip_request)
        return sip->sip_request->rq_version == unreadable;
    return sip->sip_status &&
           (sip->sip_status->st_version == unreadable || sip->sip_status->st_status < STATUS_MIN ||
            sip->sip_status->st_status > STATUS_MAX);
}

static decode_function *
library_decode(_Atomic(void *) *found, const char *name)
{
    decode_function *function;
    void *at = *found;

    if (!at) {
        at = dlsym(RTLD_NEXT, name);
        *found = at;
    }
    *(void **)&function = at; /* POSIX's way from an object pointer to a function */
    return function;
}

/* What the library reads it cuts up; the line is wanted whole if it fails. */
static issize_t
decode_copy(decode_function *decode, su_home_t *home, msg_header_t *h, const char *line,
            isize_t len)
{
    char *copy = su_strdup(home, line);
    issize_t result = copy ? decode(home, h, copy, len) : -1;

    if (result < 0)
        su_free(home, copy);
    return result;
}

static bool
speaks_of_sip(const char *line)
{
    return strstr(line, "SIP/") != NULL;
}

static sip_method_t
method_of(su_home_t *home, const char *line, const char **ret_name)
{
    size_t len = strcspn(line, " \t");
    char *word = su_sprintf(home, "%.*s ", (int)len, line);
    char *at = word;
    sip_method_t method = word ? sip_method_d(&at, ret_name) : sip_method_invalid;

    if (method < sip_method_unknown || (method == sip_method_unknown && !*ret_name)) {
        *ret_name = "UNREADABLE";
        return sip_method_unknown;
    }
    return method;
}

issize_t
sip_request_d(su_home_t *home, msg_header_t *h, char *s, isize_t slen)
{
    static _Atomic(void *) found;
    sip_request_t *request = (sip_request_t *)h;
    decode_function *decode = library_decode(&found, "sip_request_d");

    if (decode_copy(decode, home, h, s, slen) == 0)
        return 0;
    if (!speaks_of_sip(s))
        return -1;
    request->rq_method = method_of(home, s, &request->rq_method_name);
    url_init(request->rq_url, url_sip);
    request->rq_url->url_host = "unreadable.invalid";
    request->rq_version = unreadable;
    return 0;
}

issize_t
sip_status_d(su_home_t *home, msg_header_t *h, char *s, isize_t slen)
{
    static _Atomic(void *) found;
    sip_status_t *status = (sip_status_t *)h;
    decode_function *decode = library_decode(&found, "sip_status_d");

    if (decode_copy(decode, home, h, s, slen) == 0)
        return 0;
    if (!speaks_of_sip(s))
        return -1;
    status->st_version = unreadable;
    status->st_status = 0;
    status->st_phrase = "";
    return 0;
}
