/**
 * DOC: one correct example of every message
 *
 * The bodies of RFC 6940 that the project defines, and its own, each in a whole message with via
 * and destination lists, a certificate and a signature (whose values are made up).  Wireshark's
 * dissector reads them (check_reload.py), and the decoders' corpus is made of them (tests/fuzz/).
 */
#ifndef TESTS_CONFORMANCE_SAMPLES_H
#define TESTS_CONFORMANCE_SAMPLES_H

#include "peer-protocol/message/body.h"
#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/private.h"

struct sample {
    const char *name;
    uint16_t code;
    void (*body)(struct writer *w);
};

extern const struct sample samples[];
extern const size_t sample_count;

/** sample_id - a made-up ID, its bytes counting up from @first. */
struct id sample_id(uint8_t first);

/** sample_signature - SHA-256 with RSA, a certificate hash, a value of 64 bytes. */
struct signature sample_signature(void);

/** sample_certificate - a real X.509 certificate in DER, of a key nobody keeps. */
extern const struct slice sample_certificate;

/** sample_message - the whole message; @w is appended to. */
void sample_message(const struct sample *s, struct writer *w);

/* Bodies by subject: samples_overlay.c, samples_data.c, samples_private.c. */
void sample_ping_req(struct writer *w);
void sample_ping_ans(struct writer *w);
void sample_probe_req(struct writer *w);
void sample_probe_ans(struct writer *w);
void sample_attach_req(struct writer *w);
void sample_attach_ans(struct writer *w);
void sample_app_attach_req(struct writer *w);
void sample_app_attach_ans(struct writer *w);
void sample_join_req(struct writer *w);
void sample_join_ans(struct writer *w);
void sample_leave_req(struct writer *w);
void sample_update_ready(struct writer *w);
void sample_update_neighbors(struct writer *w);
void sample_update_full(struct writer *w);
void sample_route_query_node(struct writer *w);
void sample_route_query_resource(struct writer *w);
void sample_route_query_ans(struct writer *w);
void sample_config_update_config(struct writer *w);
void sample_config_update_kind(struct writer *w);
void sample_empty(struct writer *w);
void sample_error_forbidden(struct writer *w);
void sample_error_in_progress(struct writer *w);
void sample_error_generation(struct writer *w);
void sample_error_unknown_kind(struct writer *w);

void sample_store_registration(struct writer *w);
void sample_store_route(struct writer *w);
void sample_store_certificate(struct writer *w);
void sample_store_records(struct writer *w);
void sample_store_ans(struct writer *w);
void sample_fetch_keys(struct writer *w);
void sample_fetch_ranges(struct writer *w);
void sample_fetch_ans(struct writer *w);
void sample_fetch_ans_synthetic(struct writer *w);
void sample_stat_ans(struct writer *w);
void sample_find_req(struct writer *w);
void sample_find_ans(struct writer *w);

void sample_binding_record(struct writer *w);
void sample_gateway_record(struct writer *w);
void sample_candidate_record(struct writer *w);
void sample_in_progress(struct writer *w);
void sample_algorithm_extension(struct writer *w);
void sample_hello_req(struct writer *w);
void sample_hello_ans(struct writer *w);
void sample_claim_req(struct writer *w);
void sample_probe_gateway_req(struct writer *w);
void sample_probe_gateway_ans(struct writer *w);
void sample_resolve_req(struct writer *w);
void sample_resolve_ans(struct writer *w);
void sample_node_info(struct writer *w);
void sample_handover_req(struct writer *w);
void sample_dialogs_req(struct writer *w);
void sample_dialogs_part(struct writer *w);
void sample_dialogs_ans(struct writer *w);

#endif
