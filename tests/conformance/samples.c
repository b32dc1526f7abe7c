#include "tests/conformance/samples.h"

/* clang-format off */
static const uint8_t der[] = {
    0x30, 0x82, 0x01, 0xb8, 0x30, 0x82, 0x01, 0x5f, 0xa0, 0x03, 0x02, 0x01,
    0x02, 0x02, 0x14, 0x0b, 0xec, 0xed, 0x47, 0xc1, 0x5a, 0xb1, 0x5e, 0xa7,
    0x6c, 0x09, 0x99, 0xc7, 0xdf, 0xfa, 0x92, 0x56, 0x47, 0x67, 0x13, 0x30,
    0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x30,
    0x00, 0x30, 0x20, 0x17, 0x0d, 0x32, 0x36, 0x31, 0x31, 0x32, 0x31, 0x30,
    0x34, 0x30, 0x32, 0x35, 0x38, 0x5a, 0x18, 0x0f, 0x32, 0x31, 0x32, 0x36,
    0x31, 0x30, 0x32, 0x38, 0x30, 0x34, 0x30, 0x32, 0x35, 0x38, 0x5a, 0x30,
    0x00, 0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d,
    0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07,
    0x03, 0x42, 0x00, 0x04, 0x94, 0x83, 0x9d, 0x7a, 0xe9, 0xe4, 0xb6, 0x7d,
    0xc9, 0x7a, 0x81, 0xe2, 0x3e, 0x88, 0x2f, 0x3d, 0x3b, 0x05, 0x2d, 0x13,
    0xe5, 0x21, 0x04, 0x79, 0x62, 0x3d, 0xe3, 0x48, 0xe8, 0x12, 0xa0, 0x33,
    0x14, 0xee, 0xd6, 0x87, 0x6e, 0xd6, 0xc6, 0x2f, 0x0b, 0x93, 0x9f, 0x55,
    0xd5, 0xef, 0xc2, 0x28, 0x51, 0x32, 0xf0, 0x70, 0x18, 0x58, 0x3f, 0x4f,
    0xbf, 0xb9, 0xe6, 0xfe, 0x79, 0x70, 0x3c, 0xc9, 0xa3, 0x81, 0xb4, 0x30,
    0x81, 0xb1, 0x30, 0x1d, 0x06, 0x03, 0x55, 0x1d, 0x0e, 0x04, 0x16, 0x04,
    0x14, 0xc0, 0xfb, 0xbb, 0x28, 0x1f, 0xe2, 0x86, 0x4e, 0x2f, 0xd4, 0x2f,
    0xe0, 0x7b, 0xb9, 0x76, 0x94, 0x22, 0x55, 0xab, 0x12, 0x30, 0x1f, 0x06,
    0x03, 0x55, 0x1d, 0x23, 0x04, 0x18, 0x30, 0x16, 0x80, 0x14, 0xc0, 0xfb,
    0xbb, 0x28, 0x1f, 0xe2, 0x86, 0x4e, 0x2f, 0xd4, 0x2f, 0xe0, 0x7b, 0xb9,
    0x76, 0x94, 0x22, 0x55, 0xab, 0x12, 0x30, 0x0f, 0x06, 0x03, 0x55, 0x1d,
    0x13, 0x01, 0x01, 0xff, 0x04, 0x05, 0x30, 0x03, 0x01, 0x01, 0xff, 0x30,
    0x5e, 0x06, 0x03, 0x55, 0x1d, 0x11, 0x04, 0x57, 0x30, 0x55, 0x86, 0x3e,
    0x72, 0x65, 0x6c, 0x6f, 0x61, 0x64, 0x3a, 0x2f, 0x2f, 0x30, 0x31, 0x31,
    0x30, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31,
    0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31,
    0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x31, 0x40, 0x65, 0x78,
    0x61, 0x6d, 0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x76, 0x65, 0x72, 0x6c, 0x61,
    0x79, 0x2f, 0x81, 0x13, 0x67, 0x77, 0x31, 0x40, 0x65, 0x78, 0x61, 0x6d,
    0x70, 0x6c, 0x65, 0x2e, 0x6f, 0x76, 0x65, 0x72, 0x6c, 0x61, 0x79, 0x30,
    0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x03,
    0x47, 0x00, 0x30, 0x44, 0x02, 0x20, 0x68, 0x43, 0xe7, 0xca, 0x40, 0xdc,
    0xa7, 0x30, 0x1b, 0x19, 0x45, 0xa6, 0x50, 0x5e, 0xd4, 0x63, 0x60, 0x87,
    0x35, 0x9c, 0x7d, 0xcb, 0xd8, 0x25, 0x68, 0x9c, 0xf3, 0x61, 0x05, 0x0b,
    0xd8, 0x28, 0x02, 0x20, 0x03, 0xe4, 0x00, 0xa8, 0x6f, 0x1d, 0xab, 0xca,
    0x0e, 0xbf, 0x95, 0x19, 0xbb, 0x8e, 0x14, 0x39, 0x8d, 0x58, 0x40, 0x13,
    0x1e, 0xae, 0x37, 0xac, 0x2c, 0x2d, 0x27, 0xed, 0x7d, 0xf3, 0x5c, 0xba
};
/* clang-format on */

const struct slice sample_certificate = {der, sizeof(der)};
static const uint8_t digest[32] = {0x5a, 0x01, 0x02, 0x03};
static const uint8_t signature_value[64] = {0xa5, 0x04, 0x05, 0x06};

#define REQ(word) MESSAGE_##word##_REQ
#define ANS(word) MESSAGE_##word##_ANS

const struct sample samples[] = {
    {"ping_req", REQ(PING), sample_ping_req},
    {"ping_ans", ANS(PING), sample_ping_ans},
    {"probe_req", REQ(PROBE), sample_probe_req},
    {"probe_ans", ANS(PROBE), sample_probe_ans},
    {"attach_req", REQ(ATTACH), sample_attach_req},
    {"attach_ans", ANS(ATTACH), sample_attach_ans},
    {"app_attach_req", REQ(APP_ATTACH), sample_app_attach_req},
    {"app_attach_ans", ANS(APP_ATTACH), sample_app_attach_ans},
    {"join_req", REQ(JOIN), sample_join_req},
    {"join_ans", ANS(JOIN), sample_join_ans},
    {"leave_req", REQ(LEAVE), sample_leave_req},
    {"leave_ans", ANS(LEAVE), sample_empty},
    {"update_ready", REQ(UPDATE), sample_update_ready},
    {"update_neighbors", REQ(UPDATE), sample_update_neighbors},
    {"update_full", REQ(UPDATE), sample_update_full},
    {"update_ans", ANS(UPDATE), sample_empty},
    {"route_query_node", REQ(ROUTE_QUERY), sample_route_query_node},
    {"route_query_resource", REQ(ROUTE_QUERY), sample_route_query_resource},
    {"route_query_ans", ANS(ROUTE_QUERY), sample_route_query_ans},
    {"config_update_config", REQ(CONFIG_UPDATE), sample_config_update_config},
    {"config_update_kind", REQ(CONFIG_UPDATE), sample_config_update_kind},
    {"config_update_ans", ANS(CONFIG_UPDATE), sample_empty},
    {"store_registration", REQ(STORE), sample_store_registration},
    {"store_route", REQ(STORE), sample_store_route},
    {"store_certificate", REQ(STORE), sample_store_certificate},
    {"store_records", REQ(STORE), sample_store_records},
    {"store_ans", ANS(STORE), sample_store_ans},
    {"fetch_keys", REQ(FETCH), sample_fetch_keys},
    {"fetch_ranges", REQ(FETCH), sample_fetch_ranges},
    {"fetch_ans", ANS(FETCH), sample_fetch_ans},
    {"fetch_ans_synthetic", ANS(FETCH), sample_fetch_ans_synthetic},
    {"stat_req", REQ(STAT), sample_fetch_keys},
    {"stat_ans", ANS(STAT), sample_stat_ans},
    {"find_req", REQ(FIND), sample_find_req},
    {"find_ans", ANS(FIND), sample_find_ans},
    {"error_forbidden", MESSAGE_ERROR, sample_error_forbidden},
    {"error_in_progress", MESSAGE_ERROR, sample_error_in_progress},
    {"error_generation", MESSAGE_ERROR, sample_error_generation},
    {"error_unknown_kind", MESSAGE_ERROR, sample_error_unknown_kind},
    {"hello_req", REQ(EXP_A), sample_hello_req},
    {"hello_ans", ANS(EXP_A), sample_hello_ans},
    {"claim_req", REQ(EXP_A), sample_claim_req},
    {"probe_gateway_req", REQ(EXP_A), sample_probe_gateway_req},
    {"probe_gateway_ans", ANS(EXP_A), sample_probe_gateway_ans},
    {"resolve_req", REQ(EXP_A), sample_resolve_req},
    {"resolve_ans", ANS(EXP_A), sample_resolve_ans},
    {"node_info", ANS(EXP_A), sample_node_info},
    {"handover_req", REQ(EXP_A), sample_handover_req},
    {"dialogs_req", REQ(EXP_A), sample_dialogs_req},
    {"dialogs_part", REQ(EXP_A), sample_dialogs_part},
    {"dialogs_ans", ANS(EXP_A), sample_dialogs_ans},
};
const size_t sample_count = sizeof(samples) / sizeof(samples[0]);

struct id
sample_id(uint8_t first)
{
    struct id id;

    for (uint8_t i = 0; i < ID_BYTES; i++)
        id.bytes[i] = (uint8_t)(first + i);
    return id;
}

struct signature
sample_signature(void)
{
    return (struct signature){.hash = HASH_SHA256,
                              .algorithm = SIGNATURE_RSA,
                              .identity_type = SIGNER_CERT_HASH,
                              .identity_hash = HASH_SHA256,
                              .identity = slice_of(digest, sizeof(digest)),
                              .value = slice_of(signature_value, sizeof(signature_value))};
}

void
sample_empty(struct writer *w)
{
    (void)w;
}

/* A request has come over two hops and asks by resource; an answer goes back over three. */
static void
write_lists(bool is_request, struct writer *via, struct writer *destinations)
{
    static const uint8_t compact[] = {0x80, 0x07};
    static const uint8_t opaque[] = {1, 2, 3, 4, 5};
    struct id id[] = {sample_id(0x10), sample_id(0x20), sample_id(0x30)};
    struct destination d;

    if (is_request) {
        d = destination_node(&id[0]);
        destination_write(via, &d);
        d = destination_node(&id[1]);
        destination_write(via, &d);
        d = destination_resource(&id[2]);
        destination_write(destinations, &d);
        return;
    }
    d = (struct destination){
        .type = DESTINATION_OPAQUE, .opaque = {compact, 2}, .is_compact = true};
    destination_write(destinations, &d);
    d = (struct destination){.type = DESTINATION_OPAQUE, .opaque = {opaque, sizeof(opaque)}};
    destination_write(destinations, &d);
    d = destination_node(&id[0]);
    destination_write(destinations, &d);
}

static void
write_contents(struct writer *w, const struct sample *s)
{
    struct writer body, extensions, value;

    writer_init(&body, MESSAGE_MAX_BYTES);
    writer_init(&extensions, MESSAGE_MAX_BYTES);
    writer_init(&value, MESSAGE_MAX_BYTES);
    s->body(&body);
    if (s->code == MESSAGE_JOIN_REQ || s->code == MESSAGE_ATTACH_REQ) {
        sample_algorithm_extension(&value);
        extension_write(&extensions, &(struct extension){.type = EXTENSION_ALGORITHM,
                                                         .contents = writer_slice(&value)});
    }
    contents_write(w, s->code, writer_slice(&body), writer_slice(&extensions));
    writer_done(&body);
    writer_done(&extensions);
    writer_done(&value);
}

void
sample_message(const struct sample *s, struct writer *w)
{
    struct signature signature = sample_signature();
    struct writer via, destinations, contents, certificates, security;

    writer_init(&via, MESSAGE_MAX_BYTES);
    writer_init(&destinations, MESSAGE_MAX_BYTES);
    writer_init(&contents, MESSAGE_MAX_BYTES);
    writer_init(&certificates, MESSAGE_MAX_BYTES);
    writer_init(&security, MESSAGE_MAX_BYTES);
    write_lists(s->code % 2 == 1 && s->code != MESSAGE_ERROR, &via, &destinations);
    write_contents(&contents, s);
    certificate_write(&certificates, sample_certificate);
    security_write(&security, writer_slice(&certificates), &signature);
    struct forwarding h = {.overlay = 0x01020304,
                           .configuration_sequence = 1,
                           .version = MESSAGE_VERSION,
                           .ttl = MESSAGE_INITIAL_TTL,
                           .fragment = MESSAGE_SINGLE_FRAGMENT,
                           .transaction_id = 0x1122334455667788,
                           .via = writer_slice(&via),
                           .destinations = writer_slice(&destinations)};
    message_write(w, &h, writer_slice(&contents), writer_slice(&security));
    writer_done(&via);
    writer_done(&destinations);
    writer_done(&contents);
    writer_done(&certificates);
    writer_done(&security);
}
