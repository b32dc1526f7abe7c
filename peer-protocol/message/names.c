#include <stddef.h>

#include "peer-protocol/message/message.h"

static const struct {
    uint16_t code;
    const char *name;
} message_names[] = {
    {MESSAGE_PROBE_REQ, "probe_req"},
    {MESSAGE_PROBE_ANS, "probe_ans"},
    {MESSAGE_ATTACH_REQ, "attach_req"},
    {MESSAGE_ATTACH_ANS, "attach_ans"},
    {MESSAGE_STORE_REQ, "store_req"},
    {MESSAGE_STORE_ANS, "store_ans"},
    {MESSAGE_FETCH_REQ, "fetch_req"},
    {MESSAGE_FETCH_ANS, "fetch_ans"},
    {MESSAGE_FIND_REQ, "find_req"},
    {MESSAGE_FIND_ANS, "find_ans"},
    {MESSAGE_JOIN_REQ, "join_req"},
    {MESSAGE_JOIN_ANS, "join_ans"},
    {MESSAGE_LEAVE_REQ, "leave_req"},
    {MESSAGE_LEAVE_ANS, "leave_ans"},
    {MESSAGE_UPDATE_REQ, "update_req"},
    {MESSAGE_UPDATE_ANS, "update_ans"},
    {MESSAGE_ROUTE_QUERY_REQ, "route_query_req"},
    {MESSAGE_ROUTE_QUERY_ANS, "route_query_ans"},
    {MESSAGE_PING_REQ, "ping_req"},
    {MESSAGE_PING_ANS, "ping_ans"},
    {MESSAGE_STAT_REQ, "stat_req"},
    {MESSAGE_STAT_ANS, "stat_ans"},
    {MESSAGE_APP_ATTACH_REQ, "app_attach_req"},
    {MESSAGE_APP_ATTACH_ANS, "app_attach_ans"},
    {MESSAGE_CONFIG_UPDATE_REQ, "config_update_req"},
    {MESSAGE_CONFIG_UPDATE_ANS, "config_update_ans"},
    {MESSAGE_EXP_A_REQ, "exp_a_req"},
    {MESSAGE_EXP_A_ANS, "exp_a_ans"},
    {MESSAGE_EXP_B_REQ, "exp_b_req"},
    {MESSAGE_EXP_B_ANS, "exp_b_ans"},
    {MESSAGE_ERROR, "error"},
};

/* The first line with a code or a status is the one that counts for that direction. */
static const struct {
    uint16_t code;
    const char *name;
    enum status status;
} error_names[] = {
    {ERROR_FORBIDDEN, "Forbidden", ST_FORBIDDEN},
    {ERROR_NOT_FOUND, "Not_Found", ST_NOT_FOUND},
    {ERROR_REQUEST_TIMEOUT, "Request_Timeout", ST_TIMEOUT},
    {ERROR_GENERATION_COUNTER_TOO_LOW, "Generation_Counter_Too_Low", ST_GENERATION},
    {ERROR_INCOMPATIBLE_WITH_OVERLAY, "Incompatible_with_Overlay", ST_INCOMPATIBLE},
    {ERROR_UNSUPPORTED_FORWARDING_OPTION, "Unsupported_Forwarding_Option", ST_UNSUPPORTED},
    {ERROR_DATA_TOO_LARGE, "Data_Too_Large", ST_TOO_LARGE},
    {ERROR_DATA_TOO_OLD, "Data_Too_Old", ST_TOO_OLD},
    {ERROR_TTL_EXCEEDED, "TTL_Exceeded", ST_UNREACHABLE},
    {ERROR_MESSAGE_TOO_LARGE, "Message_Too_Large", ST_TOO_LARGE},
    {ERROR_UNKNOWN_KIND, "Unknown_Kind", ST_UNKNOWN_KIND},
    {ERROR_UNKNOWN_EXTENSION, "Unknown_Extension", ST_UNSUPPORTED},
    {ERROR_RESPONSE_TOO_LARGE, "Response_Too_Large", ST_TOO_LARGE},
    {ERROR_CONFIG_TOO_OLD, "Config_Too_Old", ST_INCOMPATIBLE},
    {ERROR_CONFIG_TOO_NEW, "Config_Too_New", ST_INCOMPATIBLE},
    {ERROR_IN_PROGRESS, "In_Progress", ST_IN_PROGRESS},
    {ERROR_EXP_A, "Exp_A", ST_UNSUPPORTED},
    {ERROR_EXP_B, "Exp_B", ST_UNSUPPORTED},
    {ERROR_INVALID_MESSAGE, "Invalid_Message", ST_MALFORMED},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

const char *
message_code_name(uint16_t code)
{
    for (size_t i = 0; i < COUNT(message_names); i++)
        if (message_names[i].code == code)
            return message_names[i].name;
    return "unknown";
}

const char *
error_code_name(uint16_t code)
{
    for (size_t i = 0; i < COUNT(error_names); i++)
        if (error_names[i].code == code)
            return error_names[i].name;
    return "unknown";
}

uint16_t
error_code_of(enum status st)
{
    switch (st) {
    case ST_OK:
        return 0;
    case ST_SIGNATURE:
    case ST_EXISTS:
        return ERROR_FORBIDDEN;
    case ST_LIMIT: /* section 7.4.1.1: max-count and max-size share one error */
        return ERROR_DATA_TOO_LARGE;
    case ST_NOMEM:
    case ST_IO:
    case ST_UNREACHABLE:
        return ERROR_REQUEST_TIMEOUT; /* nothing is wrong with the request: try later */
    case ST_RANGE:
    case ST_STATE:
    case ST_CONFIG:
    case ST_UNSUPPORTED:
        return ERROR_INVALID_MESSAGE;
    default:
        break;
    }
    for (size_t i = 0; i < COUNT(error_names); i++)
        if (error_names[i].status == st)
            return error_names[i].code;
    return ERROR_INVALID_MESSAGE;
}

enum status
error_code_status(uint16_t code)
{
    for (size_t i = 0; i < COUNT(error_names); i++)
        if (error_names[i].code == code)
            return error_names[i].status;
    return ST_UNSUPPORTED;
}
