/* Examples of stored data and of the requests about it. */
#include "tests/conformance/samples.h"

static struct stored_data
entry(struct slice key, uint32_t index, struct slice value)
{
    return (struct stored_data){.storage_time_ms = 1700000000000,
                                .lifetime_s = 3600,
                                .index = index,
                                .key = key,
                                .value = {true, value},
                                .signature = sample_signature()};
}

/* One StoredData of a kind, its value made by @value; appended to @values. */
static void
write_entry(struct writer *values, const struct kind *kind, uint8_t key,
            void (*value)(struct writer *w))
{
    struct id node = sample_id(key);
    struct writer inner;

    writer_init(&inner, MESSAGE_MAX_BYTES);
    value(&inner);
    struct stored_data d =
        entry(slice_of(node.bytes, sizeof(node.bytes)), key, writer_slice(&inner));
    stored_data_write(values, kind->model, &d);
    writer_done(&inner);
}

static void
write_kind(struct writer *kind_data, uint32_t id, void (*value)(struct writer *w))
{
    struct writer values;

    writer_init(&values, MESSAGE_MAX_BYTES);
    write_entry(&values, kind_find(id), 3, value);
    store_kind_data_write(kind_data, &(struct store_kind_data){id, 7, writer_slice(&values)});
    writer_done(&values);
}

static void
write_store(struct writer *w, struct slice kind_data)
{
    store_req_write(w, &(struct store_req){sample_id(0x30), 0, kind_data});
}

static void
write_registration_uri(struct writer *w)
{
    sip_registration_write(w, &(struct sip_registration){
                                  .type = SIP_REGISTRATION_URI,
                                  .uri = slice_text("sip:127.1.0.1:5061;transport=tls;term=1")});
}

static void
write_registration_route(struct writer *w)
{
    struct id node = sample_id(0x41);
    struct destination d = destination_node(&node);
    struct writer destinations;

    writer_init(&destinations, 256);
    destination_write(&destinations, &d);
    sip_registration_write(
        w, &(struct sip_registration){.type = SIP_REGISTRATION_ROUTE,
                                      .contact_prefs = slice_text("(& (sip.audio=TRUE))"),
                                      .destinations = writer_slice(&destinations)});
    writer_done(&destinations);
}

static void
write_certificate(struct writer *w)
{
    writer_bytes(w, sample_certificate);
}

static void
write_store_of(struct writer *w, uint32_t id, void (*value)(struct writer *w))
{
    struct writer kind_data;

    writer_init(&kind_data, MESSAGE_MAX_BYTES);
    write_kind(&kind_data, id, value);
    write_store(w, writer_slice(&kind_data));
    writer_done(&kind_data);
}

void
sample_store_registration(struct writer *w)
{
    write_store_of(w, KIND_SIP_REGISTRATION, write_registration_uri);
}

void
sample_store_route(struct writer *w)
{
    write_store_of(w, KIND_SIP_REGISTRATION, write_registration_route);
}

void
sample_store_certificate(struct writer *w)
{
    write_store_of(w, KIND_CERTIFICATE_BY_NODE, write_certificate);
}

void
sample_store_records(struct writer *w)
{
    struct writer kind_data;

    writer_init(&kind_data, MESSAGE_MAX_BYTES);
    write_kind(&kind_data, KIND_BINDING, sample_binding_record);
    write_kind(&kind_data, KIND_ACTIVE_GATEWAY, sample_gateway_record);
    write_kind(&kind_data, KIND_CANDIDATE, sample_candidate_record);
    write_store(w, writer_slice(&kind_data));
    writer_done(&kind_data);
}

void
sample_store_ans(struct writer *w)
{
    struct id replica[] = {sample_id(0x51), sample_id(0x52)};
    struct store_kind_response d = {.kind = KIND_SIP_REGISTRATION,
                                    .generation = 8,
                                    .replicas = slice_of(replica, sizeof(replica))};
    struct writer responses;

    writer_init(&responses, 1024);
    store_kind_response_write(&responses, &d);
    d.kind = KIND_BINDING;
    d.replicas = slice_of(NULL, 0);
    store_kind_response_write(&responses, &d);
    store_ans_write(w, writer_slice(&responses));
    writer_done(&responses);
}

static void
write_specifier(struct writer *w, uint32_t kind, struct slice model)
{
    struct writer specifiers;

    writer_init(&specifiers, 1024);
    data_specifier_write(&specifiers, &(struct data_specifier){kind, 0, model});
    fetch_req_write(w, &(struct fetch_req){sample_id(0x30), writer_slice(&specifiers)});
    writer_done(&specifiers);
}

void
sample_fetch_keys(struct writer *w)
{
    struct id node = sample_id(3);
    struct slice key = slice_of(node.bytes, sizeof(node.bytes));
    struct writer model;

    writer_init(&model, 256);
    specifier_write_keys(&model, &key, 1);
    write_specifier(w, KIND_SIP_REGISTRATION, writer_slice(&model));
    writer_done(&model);
}

void
sample_fetch_ranges(struct writer *w)
{
    struct writer model;

    writer_init(&model, 256);
    specifier_write_range(&model, 0, -1);
    write_specifier(w, KIND_CERTIFICATE_BY_NODE, writer_slice(&model));
    writer_done(&model);
}

void
sample_fetch_ans(struct writer *w)
{
    struct writer values, responses;

    writer_init(&values, MESSAGE_MAX_BYTES);
    writer_init(&responses, MESSAGE_MAX_BYTES);
    write_entry(&values, kind_find(KIND_SIP_REGISTRATION), 3, write_registration_uri);
    write_entry(&values, kind_find(KIND_SIP_REGISTRATION), 4, write_registration_route);
    fetch_kind_response_write(
        &responses, &(struct fetch_kind_response){KIND_SIP_REGISTRATION, 9, writer_slice(&values)});
    writer_reset(&values);
    write_entry(&values, kind_find(KIND_BINDING), 3, sample_binding_record);
    fetch_kind_response_write(
        &responses, &(struct fetch_kind_response){KIND_BINDING, 2, writer_slice(&values)});
    fetch_ans_write(w, writer_slice(&responses));
    writer_done(&values);
    writer_done(&responses);
}

void
sample_fetch_ans_synthetic(struct writer *w)
{
    struct id node = sample_id(5);
    struct stored_data d = {.key = slice_of(node.bytes, sizeof(node.bytes)),
                            .signature = signature_none()};
    struct writer values, responses;

    writer_init(&values, 1024);
    writer_init(&responses, 1024);
    stored_data_write(&values, MODEL_DICTIONARY, &d);
    fetch_kind_response_write(
        &responses, &(struct fetch_kind_response){KIND_SIP_REGISTRATION, 0, writer_slice(&values)});
    fetch_ans_write(w, writer_slice(&responses));
    writer_done(&values);
    writer_done(&responses);
}

void
sample_stat_ans(struct writer *w)
{
    static const uint8_t digest[32] = {1, 2, 3};
    struct id node = sample_id(3);
    struct stored_metadata d = {.storage_time_ms = 1700000000000,
                                .lifetime_s = 3600,
                                .key = slice_of(node.bytes, sizeof(node.bytes)),
                                .exists = true,
                                .value_len = 44,
                                .hash_algorithm = HASH_SHA256,
                                .hash_value = slice_of(digest, sizeof(digest))};
    struct writer values, responses;

    writer_init(&values, 1024);
    writer_init(&responses, 1024);
    stored_metadata_write(&values, MODEL_DICTIONARY, &d);
    fetch_kind_response_write(
        &responses, &(struct fetch_kind_response){KIND_SIP_REGISTRATION, 9, writer_slice(&values)});
    fetch_ans_write(w, writer_slice(&responses));
    writer_done(&values);
    writer_done(&responses);
}

void
sample_find_req(struct writer *w)
{
    static const uint8_t kinds[] = {0, 0, 0, 1, 0xf0, 0, 0, 1};

    find_req_write(w, &(struct find_req){sample_id(0x30), slice_of(kinds, sizeof(kinds))});
}

void
sample_find_ans(struct writer *w)
{
    struct writer results;

    writer_init(&results, 256);
    find_kind_data_write(&results,
                         &(struct find_kind_data){KIND_SIP_REGISTRATION, sample_id(0x31)});
    find_kind_data_write(&results, &(struct find_kind_data){KIND_BINDING, sample_id(0x32)});
    find_ans_write(w, writer_slice(&results));
    writer_done(&results);
}
