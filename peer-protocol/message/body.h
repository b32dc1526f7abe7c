/**
 * DOC: message bodies of RFC 6940
 *
 * One struct, one read and one write for each body.  A read checks every byte, refuses trailing
 * ones, and borrows its input; lists that may be long stay raw and are walked with a _read cursor.
 * All reads return ST_OK or ST_MALFORMED (ST_UNSUPPORTED where the contract says so).  Writes fail
 * through the writer.  Messages without a body (Leave answer, Store is not one) need none.
 *
 * Source: RFC 6940 sections 6.4.2 (plug-in bodies: Join, Leave, Update, RouteQuery, Probe), 6.5
 * (Attach, AppAttach, Ping, ConfigUpdate), 7.4 (Store, Fetch, Stat, Find), 6.3.3.1 (errors).
 */
#ifndef PEER_PROTOCOL_MESSAGE_BODY_H
#define PEER_PROTOCOL_MESSAGE_BODY_H

#include "peer-protocol/message/message.h"

/* ---- errors ---------------------------------------------------------------------------------- */
struct error_body {
    uint16_t code; /* enum error_code, or one we do not know */
    struct slice info;
};
NODISCARD enum status error_body_read(struct slice in, struct error_body *ret);
void error_body_write(struct writer *w, const struct error_body *b);

/* ---- Ping, Probe ------------------------------------------------------------------------------
 */
struct ping_req {
    struct slice padding;
};
struct ping_ans {
    uint64_t response_id; /* random */
    uint64_t time_ms;
};
NODISCARD enum status ping_req_read(struct slice in, struct ping_req *ret);
void ping_req_write(struct writer *w, const struct ping_req *b);
NODISCARD enum status ping_ans_read(struct slice in, struct ping_ans *ret);
void ping_ans_write(struct writer *w, const struct ping_ans *b);

enum probe_type { PROBE_RESPONSIBLE_SET = 1, PROBE_NUM_RESOURCES = 2, PROBE_UPTIME = 3 };
struct probe_req {
    struct slice types; /* one byte each */
};
struct probe_info {
    uint8_t type;
    uint32_t value; /* parts per billion, a count, seconds */
};
NODISCARD enum status probe_req_read(struct slice in, struct probe_req *ret);
void probe_req_write(struct writer *w, const struct probe_req *b);
NODISCARD enum status probe_ans_read(struct slice in, struct slice *ret_infos);
bool probe_info_read(struct reader *r, struct probe_info *ret);
void probe_ans_write(struct writer *w, const struct probe_info *info, size_t count);

/* ---- Attach, AppAttach -------------------------------------------------------------------------
 */
enum overlay_link { LINK_DTLS_UDP_SR = 1, LINK_DTLS_UDP_SR_NO_ICE = 3, LINK_TLS_TCP_FH_NO_ICE = 4 };
enum candidate_type { CANDIDATE_HOST = 1, CANDIDATE_SRFLX = 2, CANDIDATE_RELAY = 4 };

struct ip_address_port {
    uint8_t type; /* 1 IPv4, 2 IPv6 */
    uint8_t address[16];
    uint16_t port;
};
/** ip_address_port_parse - from "127.1.0.1:6084" or "[::1]:6084". ip_address_port_text the way
 * back;
 *  @out holds IP_ADDRESS_PORT_TEXT_BYTES. */
#define IP_ADDRESS_PORT_TEXT_BYTES 56
NODISCARD enum status ip_address_port_parse(const char *text, struct ip_address_port *ret);
char *ip_address_port_text(const struct ip_address_port *a, char out[IP_ADDRESS_PORT_TEXT_BYTES]);

struct ice_candidate {
    struct ip_address_port address;
    uint8_t overlay_link; /* enum overlay_link */
    struct slice foundation;
    uint32_t priority;
    uint8_t type;                   /* enum candidate_type */
    struct ip_address_port related; /* SRFLX and RELAY only */
    struct slice extensions;        /* raw */
};
bool ice_candidate_read(struct reader *r, struct ice_candidate *ret);
void ice_candidate_write(struct writer *w, const struct ice_candidate *c);

/** Attach request and answer have one shape; AppAttach has an application and no send_update. */
struct attach_body {
    struct slice ufrag;
    struct slice password;
    uint16_t application;    /* AppAttach only: 5060, 5061 */
    struct slice role;       /* "passive" in a request, "active" in an answer */
    struct slice candidates; /* raw ice_candidate entries */
    bool send_update;        /* Attach only */
};
NODISCARD enum status attach_read(struct slice in, struct attach_body *ret);
void attach_write(struct writer *w, const struct attach_body *b);
NODISCARD enum status app_attach_read(struct slice in, struct attach_body *ret);
void app_attach_write(struct writer *w, const struct attach_body *b);

/* ---- Join, Leave, Update, RouteQuery, ConfigUpdate
 * ----------------------------------------------- */
struct join_req {
    struct id joining_peer;
    struct slice plugin; /* overlay_specific_data */
};
NODISCARD enum status join_req_read(struct slice in, struct join_req *ret);
void join_req_write(struct writer *w, const struct join_req *b);
NODISCARD enum status join_ans_read(struct slice in, struct slice *ret_plugin);
void join_ans_write(struct writer *w, struct slice plugin);

struct leave_req {
    struct id leaving_peer;
    struct slice plugin;
};
NODISCARD enum status leave_req_read(struct slice in, struct leave_req *ret);
void leave_req_write(struct writer *w, const struct leave_req *b);

struct route_query_req {
    bool send_update;
    struct destination destination;
    struct slice plugin;
};
NODISCARD enum status route_query_req_read(struct slice in, struct route_query_req *ret);
void route_query_req_write(struct writer *w, const struct route_query_req *b);

enum config_update_type { CONFIG_UPDATE_CONFIG = 1, CONFIG_UPDATE_KIND = 2 };
struct config_update_req {
    uint8_t type;
    struct slice config_data; /* CONFIG */
    struct slice kinds;       /* KIND: raw KindDescription entries, opaque<0..2^16-1> each */
};
NODISCARD enum status config_update_req_read(struct slice in, struct config_update_req *ret);
void config_update_req_write(struct writer *w, const struct config_update_req *b);

/* ---- CHORD-RELOAD, section 10 -------------------------------------------------------------------
 */
enum chord_update_type { CHORD_PEER_READY = 1, CHORD_NEIGHBORS = 2, CHORD_FULL = 3 };
struct chord_update {
    uint32_t uptime_s;
    uint8_t type;
    struct slice predecessors; /* raw Node-IDs, a multiple of 16 bytes; empty for PEER_READY */
    struct slice successors;
    struct slice fingers; /* FULL only */
};
NODISCARD enum status chord_update_read(struct slice in, struct chord_update *ret);
void chord_update_write(struct writer *w, const struct chord_update *b);
NODISCARD enum status chord_route_query_ans_read(struct slice in, struct id *ret_next);
void chord_route_query_ans_write(struct writer *w, const struct id *next);

enum chord_leave_type { CHORD_LEAVE_FROM_SUCCESSOR = 1, CHORD_LEAVE_FROM_PREDECESSOR = 2 };
struct chord_leave {
    uint8_t type;
    struct slice nodes; /* successors or predecessors of the leaving peer, raw Node-IDs */
};
NODISCARD enum status chord_leave_read(struct slice in, struct chord_leave *ret);
void chord_leave_write(struct writer *w, const struct chord_leave *b);

/* ---- stored data, sections 7.1 to 7.4
 * ------------------------------------------------------------ */
enum data_model { MODEL_SINGLE = 1, MODEL_ARRAY = 2, MODEL_DICTIONARY = 3 };

struct data_value {
    bool exists;
    struct slice value;
};

/** One StoredData; which of index and key counts follows from the kind's model. */
struct stored_data {
    uint64_t storage_time_ms;
    uint32_t lifetime_s;
    uint32_t index;   /* MODEL_ARRAY */
    struct slice key; /* MODEL_DICTIONARY */
    struct data_value value;
    struct signature signature;
};

/** stored_data_read - the next of a list of StoredData; false at the end. */
bool stored_data_read(struct reader *r, enum data_model model, struct stored_data *ret);
void stored_data_write(struct writer *w, enum data_model model, const struct stored_data *d);

/**
 * stored_data_signature_input - what its signature covers, up to the SignerIdentity:
 * resource_id || kind || storage_time || StoredDataValue; the Resource-ID without a length byte,
 * an array's index as 0 (section 7.1)
 */
void stored_data_signature_input(struct writer *w, const struct id *resource, uint32_t kind,
                                 enum data_model model, const struct stored_data *d);

struct store_req {
    struct id resource;
    uint8_t replica_number;
    struct slice kind_data; /* raw StoreKindData entries */
};
struct store_kind_data {
    uint32_t kind;
    uint64_t generation;
    struct slice values; /* raw StoredData entries */
};
NODISCARD enum status store_req_read(struct slice in, struct store_req *ret);
void store_req_write(struct writer *w, const struct store_req *b);
bool store_kind_data_read(struct reader *r, struct store_kind_data *ret);
void store_kind_data_write(struct writer *w, const struct store_kind_data *d);

struct store_kind_response {
    uint32_t kind;
    uint64_t generation;
    struct slice replicas; /* raw Node-IDs */
};
NODISCARD enum status store_ans_read(struct slice in, struct slice *ret_responses);
void store_ans_write(struct writer *w, struct slice responses);
bool store_kind_response_read(struct reader *r, struct store_kind_response *ret);
void store_kind_response_write(struct writer *w, const struct store_kind_response *d);

/** Fetch and Stat requests have one shape. */
struct fetch_req {
    struct id resource;
    struct slice specifiers; /* raw StoredDataSpecifier entries */
};
struct data_specifier {
    uint32_t kind;
    uint64_t generation;
    struct slice
        model; /* raw: empty; ArrayRange list with its u16 prefix; key list with its u16 prefix */
};
NODISCARD enum status fetch_req_read(struct slice in, struct fetch_req *ret);
void fetch_req_write(struct writer *w, const struct fetch_req *b);
bool data_specifier_read(struct reader *r, struct data_specifier *ret);
void data_specifier_write(struct writer *w, const struct data_specifier *s);

/** The model part of a specifier.  keys_read walks dictionary keys; ranges_read array ranges. */
NODISCARD enum status specifier_keys(struct slice model, struct slice *ret_keys);
bool specifier_key_read(struct reader *r, struct slice *ret_key);
NODISCARD enum status specifier_ranges(struct slice model, struct slice *ret_ranges);
bool specifier_range_read(struct reader *r, int32_t *ret_first, int32_t *ret_last);
/** specifier_write_keys, _ranges - build the model part. No keys: all of the dictionary. */
void specifier_write_keys(struct writer *w, const struct slice *key, size_t count);
void specifier_write_range(struct writer *w, int32_t first, int32_t last);

struct fetch_kind_response {
    uint32_t kind;
    uint64_t generation;
    struct slice values; /* raw StoredData (Fetch) or StoredMetaData (Stat) */
};
NODISCARD enum status fetch_ans_read(struct slice in, struct slice *ret_responses);
void fetch_ans_write(struct writer *w, struct slice responses);
bool fetch_kind_response_read(struct reader *r, struct fetch_kind_response *ret);
void fetch_kind_response_write(struct writer *w, const struct fetch_kind_response *d);

struct stored_metadata {
    uint64_t storage_time_ms;
    uint32_t lifetime_s;
    uint32_t index;
    struct slice key;
    bool exists;
    uint32_t value_len;
    uint8_t hash_algorithm;
    struct slice hash_value;
};
bool stored_metadata_read(struct reader *r, enum data_model model, struct stored_metadata *ret);
void stored_metadata_write(struct writer *w, enum data_model model,
                           const struct stored_metadata *d);

struct find_req {
    struct id resource;
    struct slice kinds; /* raw u32s */
};
struct find_kind_data {
    uint32_t kind;
    struct id closest;
};
NODISCARD enum status find_req_read(struct slice in, struct find_req *ret);
void find_req_write(struct writer *w, const struct find_req *b);
NODISCARD enum status find_ans_read(struct slice in, struct slice *ret_results);
void find_ans_write(struct writer *w, struct slice results);
bool find_kind_data_read(struct reader *r, struct find_kind_data *ret);
void find_kind_data_write(struct writer *w, const struct find_kind_data *d);

/* ---- usages: RFC 7904
 * ---------------------------------------------------------------------------- */
enum sip_registration_type { SIP_REGISTRATION_URI = 1, SIP_REGISTRATION_ROUTE = 2 };
struct sip_registration {
    uint8_t type;
    struct slice uri;           /* URI */
    struct slice contact_prefs; /* ROUTE */
    struct slice destinations;  /* ROUTE, raw list */
};
NODISCARD enum status sip_registration_read(struct slice in, struct sip_registration *ret);
void sip_registration_write(struct writer *w, const struct sip_registration *b);

#endif
