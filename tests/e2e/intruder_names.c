/* What others may not write, and messages in the name of others. */
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "peer-protocol/identity/identity.h"
#include "peer-protocol/message/kind.h"
#include "peer-protocol/message/private.h"
#include "peer-protocol/storage/signed_data.h"
#include "tests/e2e/intruder.h"

#define LIFETIME_S     60
#define TERM           4000000000u
#define IDENTITY_BYTES (5 + SHA256_DIGEST_LENGTH)

/* ---- Store -------------------------------------------------------------------------------------
 */

struct store_deed {
    uint32_t kind;
    struct id key;
    struct slice value;
    uint8_t replica;
    bool is_spoilt; /* its signature */
};

static void
store(struct intruder *x, const struct store_deed *deed)
{
    const struct kind *kind = kind_find(deed->kind);
    struct id resource = intruder_resource_of(x, x->under);
    struct destination to =
        deed->replica ? intruder_to_neighbour() : destination_resource(&resource);
    struct stored_data d = {.storage_time_ms = 1,
                            .lifetime_s = LIFETIME_S,
                            .key = slice_of(deed->key.bytes, ID_BYTES),
                            .value = {true, deed->value}};
    struct store_kind_data k = {.kind = deed->kind, .generation = deed->replica};
    struct store_req request = {.resource = resource, .replica_number = deed->replica};
    struct writer values, kinds, body;
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    d.storage_time_ms = (uint64_t)now.tv_sec * 1000;
    writer_init(&values, MESSAGE_MAX_BYTES);
    writer_init(&kinds, MESSAGE_MAX_BYTES);
    writer_init(&body, MESSAGE_MAX_BYTES);
    intruder_must(signed_data_sign(&x->line.envelope.keys, &resource, kind, &d) == ST_OK,
                  "signature");
    stored_data_write(&values, kind->model, &d);
    if (deed->is_spoilt)
        values.data[values.len - 1] ^= 1; /* the signature's value comes last */
    k.values = writer_slice(&values);
    store_kind_data_write(&kinds, &k);
    request.kind_data = writer_slice(&kinds);
    store_req_write(&body, &request);
    intruder_must(body.failed == ST_OK, "Store");
    intruder_ask(x, MESSAGE_STORE_REQ, writer_slice(&body), &to);
    writer_done(&values);
    writer_done(&kinds);
    writer_done(&body);
}

static void
store_registration(struct intruder *x, const struct id *key, uint8_t replica, bool is_spoilt)
{
    const struct sip_registration here = {.type = SIP_REGISTRATION_URI,
                                          .uri = slice_text("sip:127.0.0.1:5061;transport=tls")};
    struct store_deed deed = {
        .kind = KIND_SIP_REGISTRATION, .key = *key, .replica = replica, .is_spoilt = is_spoilt};
    struct writer value;

    if (!intruder_open_line(x))
        return;
    writer_init(&value, UINT16_MAX);
    sip_registration_write(&value, &here);
    deed.value = writer_slice(&value);
    store(x, &deed);
    writer_done(&value);
}

/* An overlay's entry in the ring, by a gateway of another. */
void
intruder_store_foreign(struct intruder *x)
{
    struct id key = intruder_self(x);

    store_registration(x, &key, 0, false);
}

void
intruder_store_foreign_copy(struct intruder *x)
{
    struct id key = intruder_self(x);

    store_registration(x, &key, 1, false);
}

void
intruder_store_foreign_key(struct intruder *x)
{
    store_registration(x, &x->somebody, 0, false);
}

void
intruder_store_broken_value(struct intruder *x)
{
    struct id key = intruder_self(x);

    store_registration(x, &key, 0, true);
}

/* The record of a gateway, by a node that is none: others may hold it, and must not believe it. */
void
intruder_store_gateway_record(struct intruder *x)
{
    struct gateway_record record = {.term = TERM,
                                    .score = 1000,
                                    .ref = {.node = intruder_self(x), .name = "intruder"},
                                    .sip_uri = "sip:127.0.0.1:5062;transport=tls",
                                    .since_wall_ms = 1};
    struct store_deed deed = {.kind = KIND_ACTIVE_GATEWAY, .key = intruder_self(x)};
    struct writer value;

    if (!intruder_open_line(x))
        return;
    snprintf(record.ref.address, sizeof(record.ref.address), "%s", x->line.to);
    record.certificate = identity_certificate(x->other ? x->other : x->line.identity);
    writer_init(&value, UINT16_MAX);
    gateway_record_write(&value, &record);
    deed.value = writer_slice(&value);
    store(x, &deed);
    writer_done(&value);
}

/* ---- in another's name -------------------------------------------------------------------------
 */

void
intruder_join_for_another(struct intruder *x)
{
    const struct join_req request = {.joining_peer = x->somebody};
    struct destination to = intruder_to_neighbour();
    struct writer body;

    if (!intruder_open_line(x))
        return;
    writer_init(&body, UINT16_MAX);
    join_req_write(&body, &request);
    intruder_ask(x, MESSAGE_JOIN_REQ, writer_slice(&body), &to);
    writer_done(&body);
}

void
intruder_leave_for_another(struct intruder *x)
{
    const struct chord_leave leave = {.type = CHORD_LEAVE_FROM_SUCCESSOR};
    struct leave_req request = {.leaving_peer = x->somebody};
    struct destination to = intruder_to_neighbour();
    struct writer plugin, body;

    if (!intruder_open_line(x))
        return;
    writer_init(&plugin, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    chord_leave_write(&plugin, &leave);
    request.plugin = writer_slice(&plugin);
    leave_req_write(&body, &request);
    intruder_ask(x, MESSAGE_LEAVE_REQ, writer_slice(&body), &to);
    writer_done(&plugin);
    writer_done(&body);
}

static void
ask_private(struct intruder *x, uint16_t subtype, struct slice inner)
{
    struct destination to = intruder_to_neighbour();
    struct writer body;

    writer_init(&body, UINT16_MAX);
    private_write(&body, subtype, inner);
    intruder_ask(x, MESSAGE_EXP_A_REQ, writer_slice(&body), &to);
    writer_done(&body);
}

static void
claim_as(struct intruder *x, const struct id *node, struct slice certificate)
{
    struct claim_req request = {.term = TERM,
                                .score = 1000,
                                .ref = {.node = *node, .name = "intruder"},
                                .sip_uri = "sip:127.0.0.1:5062;transport=tls",
                                .certificate = certificate};
    struct writer inner;

    if (!intruder_open_line(x))
        return;
    snprintf(request.ref.address, sizeof(request.ref.address), "%s", x->line.to);
    writer_init(&inner, UINT16_MAX);
    claim_req_write(&inner, &request);
    ask_private(x, PRIVATE_CLAIM, writer_slice(&inner));
    writer_done(&inner);
}

/* With no global certificate, or (other=) with one of another overlay. */
void
intruder_claim(struct intruder *x)
{
    struct id node = intruder_self(x);

    claim_as(x, &node, identity_certificate(x->other ? x->other : x->line.identity));
}

/* With the certificate of the real gateway, which everybody can read. */
void
intruder_claim_for_another(struct intruder *x)
{
    intruder_must(x->other != NULL, "other=FOLDER is missing");
    claim_as(x, identity_node(x->other), identity_certificate(x->other));
}

void
intruder_hand_over(struct intruder *x)
{
    const struct handover_req request = {.term = x->count};
    struct writer inner;

    if (!intruder_open_line(x))
        return;
    writer_init(&inner, UINT16_MAX);
    handover_req_write(&inner, &request);
    ask_private(x, PRIVATE_HANDOVER, writer_slice(&inner));
    writer_done(&inner);
}

/* A HELLO of a candidate that says the term is count=. */
void
intruder_hello(struct intruder *x)
{
    const struct hello_req request = {.term = x->count, .score = 1000, .is_candidate = 1};
    struct writer inner;

    if (!intruder_open_line(x))
        return;
    writer_init(&inner, UINT16_MAX);
    hello_req_write(&inner, &request);
    ask_private(x, PRIVATE_HELLO, writer_slice(&inner));
    writer_done(&inner);
}

/* ---- signatures of messages --------------------------------------------------------------------
 */

enum spoil { SPOIL_VALUE, SPOIL_NONE, SPOIL_SIGNER, SPOIL_OVERLAY };

/* Another node's SignerIdentity and certificate over our own signature. */
static void
write_as_other(struct intruder *x, struct signature *s, uint8_t identity[IDENTITY_BYTES],
               struct writer *certificates)
{
    struct slice der = identity_certificate(x->other);
    struct writer w;

    SHA256(der.data, der.len, identity + IDENTITY_BYTES - SHA256_DIGEST_LENGTH);
    s->identity = slice_of(identity + IDENTITY_BYTES - SHA256_DIGEST_LENGTH, SHA256_DIGEST_LENGTH);
    memcpy(identity, s->identity_whole.data, IDENTITY_BYTES - SHA256_DIGEST_LENGTH);
    s->identity_whole = slice_of(identity, IDENTITY_BYTES);
    writer_init(&w, UINT16_MAX);
    certificate_write(&w, der);
    writer_bytes(certificates, writer_slice(&w));
    writer_done(&w);
}

static void
sign(struct intruder *x, enum spoil how, uint64_t transaction, struct slice contents,
     struct writer *ret_security)
{
    struct envelope *e = &x->line.envelope;
    struct signature s = signature_none();
    uint8_t identity[IDENTITY_BYTES], value[512];
    struct writer input, certificates;

    writer_init(&input, MESSAGE_MAX_BYTES);
    writer_init(&certificates, MESSAGE_MAX_BYTES);
    message_signature_input(&input, e->overlay, transaction, contents, slice_of(NULL, 0));
    if (how != SPOIL_NONE)
        intruder_must(e->keys.ops->sign(e->keys.ctx, writer_slice(&input), &s) == ST_OK,
                      "signature");
    if (how == SPOIL_SIGNER)
        write_as_other(x, &s, identity, &certificates);
    else if (how != SPOIL_NONE)
        e->keys.ops->certificate_for(e->keys.ctx, &s, &certificates);
    if (how == SPOIL_VALUE) {
        memcpy(value, s.value.data, s.value.len);
        value[s.value.len - 1] ^= 1;
        s.value.data = value;
    }
    security_write(ret_security, writer_slice(&certificates), &s);
    writer_done(&input);
    writer_done(&certificates);
}

/* A Ping whose signature is not what it should be. */
static void
ping_spoilt(struct intruder *x, enum spoil how)
{
    struct forwarding header = envelope_header(&x->line.envelope, identity_random());
    struct destination to = intruder_to_neighbour();
    struct writer destinations, body, contents, security, message;

    if (how == SPOIL_OVERLAY)
        header.overlay ^= 1;
    writer_init(&destinations, UINT16_MAX);
    writer_init(&body, UINT16_MAX);
    writer_init(&contents, UINT16_MAX);
    writer_init(&security, UINT16_MAX);
    writer_init(&message, MESSAGE_MAX_BYTES);
    destination_write(&destinations, &to);
    header.destinations = writer_slice(&destinations);
    ping_req_write(&body, &(struct ping_req){.padding = slice_of("", 0)});
    contents_write(&contents, MESSAGE_PING_REQ, writer_slice(&body), slice_of(NULL, 0));
    sign(x, how, header.transaction_id, writer_slice(&contents), &security);
    message_write(&message, &header, writer_slice(&contents), writer_slice(&security));
    intruder_must(message.failed == ST_OK, "message");
    if (line_frame(&x->line, writer_slice(&message)))
        intruder_await(x, header.transaction_id);
    else
        intruder_tell_closed(x, "closed");
    writer_done(&destinations);
    writer_done(&body);
    writer_done(&contents);
    writer_done(&security);
    writer_done(&message);
}

void
intruder_broken_signature(struct intruder *x)
{
    if (intruder_open_line(x))
        ping_spoilt(x, SPOIL_VALUE);
}

/* count= of them over one link. */
void
intruder_broken_signatures(struct intruder *x)
{
    if (!intruder_open_line(x))
        return;
    for (unsigned i = 0; i < x->count; i++)
        ping_spoilt(x, SPOIL_VALUE);
}

void
intruder_unsigned(struct intruder *x)
{
    if (intruder_open_line(x))
        ping_spoilt(x, SPOIL_NONE);
}

void
intruder_wrong_node_id(struct intruder *x)
{
    intruder_must(x->other != NULL, "other=FOLDER is missing");
    if (intruder_open_line(x))
        ping_spoilt(x, SPOIL_SIGNER);
}

void
intruder_wrong_overlay(struct intruder *x)
{
    if (intruder_open_line(x))
        ping_spoilt(x, SPOIL_OVERLAY);
}
