#include "gateway/sip/method.h"

#include <string.h>

#include <sofia-sip/sip_header.h>
#include <sofia-sip/sip_parser.h>

static const sip_method_t known[] = {
    sip_method_invite,  sip_method_ack,      sip_method_cancel,    sip_method_bye,
    sip_method_options, sip_method_register, sip_method_info,      sip_method_prack,
    sip_method_update,  sip_method_message,  sip_method_subscribe, sip_method_notify,
    sip_method_refer,   sip_method_publish,
};

static const char token[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.!%*_+`'~";

static sip_method_t
number_of(const char *name, size_t len, const char **ret_name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const char *one = sip_method_name(known[i], "");

        if (strlen(one) == len && memcmp(one, name, len) == 0) {
            *ret_name = one;
            return known[i];
        }
    }
    return sip_method_unknown;
}

/* The library's contract: *@at moves behind the method and the white space after it; where
 * @ret_name is asked for, a method without a number is ended by a zero in place. */
sip_method_t
sip_method_d(char **at, const char **ret_name)
{
    char *text = *at;
    size_t len = strspn(text, token);
    const char *name = text;
    sip_method_t method;

    if (len == 0 || !strchr(" \t\r\n", text[len]))
        return sip_method_invalid; /* strchr() finds the end of the text, too */
    method = number_of(text, len, &name);
    if (method == sip_method_unknown && ret_name && text[len])
        text[len++] = '\0';
    len += strspn(text + len, " \t\r\n");
    *at = text + len;
    if (ret_name)
        *ret_name = name;
    return method;
}

void
method_init(void)
{
}
