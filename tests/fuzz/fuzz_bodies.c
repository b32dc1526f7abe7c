/* Bodies of RFC 6940: the first byte says which. */
#include "peer-protocol/message/body.h"
#include "tests/fuzz/fuzz.h"

/* A body whose read fills a struct that its write takes. */
#define PAIR(name, type, read, write)                                                              \
    static enum status name(struct slice in, struct writer *w)                                     \
    {                                                                                              \
        type b;                                                                                    \
        enum status st = read(in, &b);                                                             \
        if (st == ST_OK)                                                                           \
            write(w, &b);                                                                          \
        return st;                                                                                 \
    }

/* A body that is a list: its read checks and strips it, a cursor walks it, all is written again. */
#define LIST(name, type, read, cursor, write_one, write_all)                                       \
    static enum status name(struct slice in, struct writer *w)                                     \
    {                                                                                              \
        struct slice list;                                                                         \
        struct writer entries;                                                                     \
        struct reader r;                                                                           \
        type b;                                                                                    \
        enum status st = read(in, &list);                                                          \
        if (st != ST_OK)                                                                           \
            return st;                                                                             \
        writer_init(&entries, FUZZ_WRITER_BYTES);                                                  \
        reader_init(&r, list);                                                                     \
        while (cursor(&r, &b))                                                                     \
            write_one(&entries, &b);                                                               \
        fuzz_must(!r.failed);                                                                      \
        write_all(w, writer_slice(&entries));                                                      \
        writer_done(&entries);                                                                     \
        return ST_OK;                                                                              \
    }

PAIR(error_body, struct error_body, error_body_read, error_body_write)
PAIR(ping_req, struct ping_req, ping_req_read, ping_req_write)
PAIR(ping_ans, struct ping_ans, ping_ans_read, ping_ans_write)
PAIR(probe_req, struct probe_req, probe_req_read, probe_req_write)
PAIR(join_req, struct join_req, join_req_read, join_req_write)
PAIR(leave_req, struct leave_req, leave_req_read, leave_req_write)
PAIR(route_query_req, struct route_query_req, route_query_req_read, route_query_req_write)
PAIR(config_update_req, struct config_update_req, config_update_req_read, config_update_req_write)
PAIR(chord_update, struct chord_update, chord_update_read, chord_update_write)
PAIR(chord_leave, struct chord_leave, chord_leave_read, chord_leave_write)
PAIR(sip_registration, struct sip_registration, sip_registration_read, sip_registration_write)
PAIR(attach, struct attach_body, attach_read, attach_write)
PAIR(app_attach, struct attach_body, app_attach_read, app_attach_write)
PAIR(route_query_ans, struct id, chord_route_query_ans_read, chord_route_query_ans_write)
PAIR(store_req, struct store_req, store_req_read, store_req_write)
PAIR(fetch_req, struct fetch_req, fetch_req_read, fetch_req_write)
PAIR(find_req, struct find_req, find_req_read, find_req_write)
LIST(store_ans, struct store_kind_response, store_ans_read, store_kind_response_read,
     store_kind_response_write, store_ans_write)
LIST(fetch_ans, struct fetch_kind_response, fetch_ans_read, fetch_kind_response_read,
     fetch_kind_response_write, fetch_ans_write)
LIST(find_ans, struct find_kind_data, find_ans_read, find_kind_data_read, find_kind_data_write,
     find_ans_write)

static enum status
join_ans(struct slice in, struct writer *w)
{
    struct slice plugin;
    enum status st = join_ans_read(in, &plugin);

    if (st == ST_OK)
        join_ans_write(w, plugin);
    return st;
}

static enum status
probe_ans(struct slice in, struct writer *w)
{
    struct probe_info info[UINT16_MAX / 6 + 1];
    struct slice list;
    struct reader r;
    size_t count = 0;

    enum status st = probe_ans_read(in, &list);
    if (st != ST_OK)
        return st;
    reader_init(&r, list);
    while (probe_info_read(&r, &info[count]))
        count++;
    probe_ans_write(w, info, count);
    return ST_OK;
}

/* What stands inside: entries of Attach, Store and Fetch, with the models' own cursors. */
static enum status
candidates(struct slice in, struct writer *w)
{
    struct ice_candidate c;
    struct reader r;

    reader_init(&r, in);
    while (ice_candidate_read(&r, &c)) {
        char text[IP_ADDRESS_PORT_TEXT_BYTES];
        struct ip_address_port again;
        fuzz_must(ip_address_port_parse(ip_address_port_text(&c.address, text), &again) == ST_OK);
        fuzz_must(again.port == c.address.port && again.type == c.address.type);
        ice_candidate_write(w, &c);
    }
    return r.failed ? ST_MALFORMED : ST_OK;
}

static enum status
kind_data(struct slice in, struct writer *w)
{
    struct store_kind_data d;
    struct reader r;

    reader_init(&r, in);
    while (store_kind_data_read(&r, &d))
        store_kind_data_write(w, &d);
    return r.failed ? ST_MALFORMED : ST_OK;
}

static enum status
stored(struct slice in, enum data_model model, struct writer *w)
{
    struct stored_data d;
    struct reader r;

    reader_init(&r, in);
    while (stored_data_read(&r, model, &d))
        stored_data_write(w, model, &d);
    return r.failed ? ST_MALFORMED : ST_OK;
}

static enum status
metadata(struct slice in, enum data_model model, struct writer *w)
{
    struct stored_metadata d;
    struct reader r;

    reader_init(&r, in);
    while (stored_metadata_read(&r, model, &d))
        stored_metadata_write(w, model, &d);
    return r.failed ? ST_MALFORMED : ST_OK;
}

#define MODEL(name, what, model)                                                                   \
    static enum status name(struct slice in, struct writer *w)                                     \
    {                                                                                              \
        return what(in, model, w);                                                                 \
    }
MODEL(stored_single, stored, MODEL_SINGLE)
MODEL(stored_array, stored, MODEL_ARRAY)
MODEL(stored_dictionary, stored, MODEL_DICTIONARY)
MODEL(metadata_single, metadata, MODEL_SINGLE)
MODEL(metadata_array, metadata, MODEL_ARRAY)
MODEL(metadata_dictionary, metadata, MODEL_DICTIONARY)

static enum status
specifiers(struct slice in, struct writer *w)
{
    struct data_specifier s;
    struct slice list, key;
    struct reader r, inner;
    int32_t first, last;

    reader_init(&r, in);
    while (data_specifier_read(&r, &s)) {
        if (specifier_keys(s.model, &list) == ST_OK) {
            reader_init(&inner, list);
            while (specifier_key_read(&inner, &key))
                continue;
            fuzz_must(!inner.failed);
        }
        if (specifier_ranges(s.model, &list) == ST_OK) {
            reader_init(&inner, list);
            while (specifier_range_read(&inner, &first, &last))
                continue;
            fuzz_must(!inner.failed);
        }
        data_specifier_write(w, &s);
    }
    return r.failed ? ST_MALFORMED : ST_OK;
}

static const fuzz_pair pairs[] = {
    error_body,      ping_req,          ping_ans,
    probe_req,       join_req,          leave_req,
    route_query_req, config_update_req, chord_update,
    chord_leave,     sip_registration,  attach,
    app_attach,      route_query_ans,   store_req,
    fetch_req,       find_req,          store_ans,
    fetch_ans,       find_ans,          join_ans,
    probe_ans,       candidates,        kind_data,
    stored_single,   stored_array,      stored_dictionary,
    metadata_single, metadata_array,    metadata_dictionary,
    specifiers,
};

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len > 0)
        fuzz_same(pairs[data[0] % (sizeof(pairs) / sizeof(pairs[0]))], slice_of(data + 1, len - 1));
    return 0;
}
