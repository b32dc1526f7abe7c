/* Examples of our own requests and records. */
#include "peer-protocol/message/binding.h"
#include "tests/conformance/samples.h"

static struct node_ref
ref(uint8_t first)
{
    return (struct node_ref){
        .node = sample_id(first), .name = "gw1.bupt", .address = "127.1.0.1:6084"};
}

void
sample_binding_record(struct writer *w)
{
    static struct binding_superseded superseded[] = {
        {.token = "*", .call_id = "c84b", .cseq = 9, .at_wall_ms = 1699999990000}};
    static struct binding_contact contact[] = {
        {.uri = "sip:alice@127.0.0.1:5070",
         .q_thousandths = 1000,
         .expires_at_wall_ms = 1700000003600,
         .call_id = "a84b4c76e66710",
         .cseq = 314159,
         .instance = "<urn:uuid:00000000-0000-1000-8000-000A95A0E128>",
         .token = "aaaaaaaabbbbbbbbccccccccddddddddeeeeeeee",
         .is_by_uri = 1},
        {.uri = "sip:alice@127.0.0.1:40000;transport=tcp",
         .q_thousandths = 500,
         .expires_at_wall_ms = 1700000001800,
         .call_id = "b84b4c76e66710",
         .cseq = 2,
         .instance = "",
         .token = "aaaaaaaabbbbbbbbccccccccddddddddffffffff",
         .is_on_connection = 1}};
    static const struct binding_record b = {.aor = "alice@site.pastry",
                                            .path = "sip:127.1.0.1:5062;transport=tls",
                                            .contact_count = 2,
                                            .superseded_count = 1,
                                            .contact = contact,
                                            .superseded = superseded};

    binding_record_write(w, &b);
}

void
sample_gateway_record(struct writer *w)
{
    gateway_record_write(w, &(struct gateway_record){.term = 7,
                                                     .score = 812,
                                                     .priority = 10,
                                                     .weight = 60,
                                                     .ref = ref(3),
                                                     .sip_uri = "sip:127.1.0.1:5062;transport=tls",
                                                     .since_wall_ms = 1700000000000,
                                                     .certificate = sample_certificate});
}

void
sample_candidate_record(struct writer *w)
{
    candidate_record_write(w, &(struct candidate_record){.ref = ref(3),
                                                         .score = 812,
                                                         .part = {1000, 800, 700, 900, 650, 500},
                                                         .global_address = "127.1.0.1:6085"});
}

void
sample_in_progress(struct writer *w)
{
    in_progress_write(w, &(struct in_progress){.node = sample_id(1),
                                               .wants_membership = 1,
                                               .member_count = 2,
                                               .member = {ref(2), ref(3)}});
}

void
sample_algorithm_extension(struct writer *w)
{
    algorithm_extension_write(
        w, &(struct algorithm_extension){.name = "can", .abi = 1, .parameters = "dimensions=2"});
}

/* A private request or answer: the body behind subtype and version. */
#define PRIVATE(w, subtype, write_body)                                                            \
    do {                                                                                           \
        struct writer inner;                                                                       \
        writer_init(&inner, MESSAGE_MAX_BYTES);                                                    \
        write_body;                                                                                \
        private_write(w, subtype, writer_slice(&inner));                                           \
        writer_done(&inner);                                                                       \
    } while (0)

void
sample_hello_req(struct writer *w)
{
    struct hello_req b = {.term = 7, .score = 500, .is_candidate = 1, .list = 77};

    PRIVATE(w, PRIVATE_HELLO, hello_req_write(&inner, &b));
}

void
sample_hello_ans(struct writer *w)
{
    struct hello_ans b = {.term = 7,
                          .is_active = 1,
                          .score = 812,
                          .active = sample_id(3),
                          .list = 77,
                          .has_list = 1,
                          .candidate_count = 2,
                          .candidate = {{ref(4), 700}, {ref(5), 600}},
                          .ring_count = 1,
                          .ring = {ref(6)},
                          .has_key = 1,
                          .key = {7, 8, 9}};

    PRIVATE(w, PRIVATE_HELLO, hello_ans_write(&inner, &b));
}

void
sample_claim_req(struct writer *w)
{
    struct claim_req b = {.term = 8,
                          .score = 700,
                          .ref = ref(4),
                          .replaces = sample_id(3),
                          .sip_uri = "sip:127.1.0.2:5062;transport=tls",
                          .certificate = sample_certificate};

    PRIVATE(w, PRIVATE_CLAIM, claim_req_write(&inner, &b));
}

void
sample_probe_gateway_req(struct writer *w)
{
    struct probe_gateway_req b = {sample_id(3), 7, 45};

    PRIVATE(w, PRIVATE_PROBE, probe_gateway_req_write(&inner, &b));
}

void
sample_probe_gateway_ans(struct writer *w)
{
    struct probe_gateway_ans b = {.is_alive = 0, .silent_ms = 420, .term = 7};

    PRIVATE(w, PRIVATE_PROBE, probe_gateway_ans_write(&inner, &b));
}

void
sample_resolve_req(struct writer *w)
{
    struct resolve_req b = {"bupt.pastry"};

    PRIVATE(w, PRIVATE_RESOLVE, resolve_req_write(&inner, &b));
}

void
sample_resolve_ans(struct writer *w)
{
    struct resolve_ans b = {
        .overlay = "pastry",
        .gateway_count = 1,
        .gateway = {{sample_id(9), "sip:127.2.0.1:5061;transport=tls;term=3;priority=1;weight=1"}},
        .hop_count = 2,
        .hop = {{ref(7), 350}, {ref(8), 900}}};

    PRIVATE(w, PRIVATE_RESOLVE, resolve_ans_write(&inner, &b));
}

void
sample_node_info(struct writer *w)
{
    struct node_info b = {ref(3), 86400, 17};

    PRIVATE(w, PRIVATE_NODE_INFO, node_info_write(&inner, &b));
}

void
sample_handover_req(struct writer *w)
{
    struct handover_req b = {7, 1};

    PRIVATE(w, PRIVATE_HANDOVER, handover_req_write(&inner, &b));
}

void
sample_dialogs_req(struct writer *w)
{
    struct dialogs_req b = {.stream = 0x52696e6777617900,
                            .number = 1,
                            .flags = DIALOGS_FIRST,
                            .total = 2,
                            .certificate = sample_certificate,
                            .count = 2};
    struct writer entries;

    writer_init(&entries, MESSAGE_MAX_BYTES);
    dialogs_entry_write(&entries, slice_text("k3j5h2v7q4z6m9t8w2x4"), slice_text("{\"from\":1}"));
    dialogs_entry_write(&entries, slice_text("b6n8c3x5v7l9p2r4t6y8"), slice_of(NULL, 0));
    b.entries = writer_slice(&entries);
    PRIVATE(w, PRIVATE_DIALOGS, dialogs_req_write(&inner, &b));
    writer_done(&entries);
}

void
sample_dialogs_part(struct writer *w)
{
    struct dialogs_req b = {.stream = 0x52696e6777617900,
                            .number = 2,
                            .flags = DIALOGS_MOVE | DIALOGS_PART,
                            .total = 1,
                            .part_at = 64000,
                            .part_whole = 64008,
                            .count = 1};
    struct writer entries;

    writer_init(&entries, MESSAGE_MAX_BYTES);
    dialogs_entry_write(&entries, slice_text("k3j5h2v7q4z6m9t8w2x4"), slice_text("the rest"));
    b.entries = writer_slice(&entries);
    PRIVATE(w, PRIVATE_DIALOGS, dialogs_req_write(&inner, &b));
    writer_done(&entries);
}

void
sample_dialogs_ans(struct writer *w)
{
    struct dialogs_ans b = {.stream = 0x52696e6777617900, .wants_all = 0, .held = 1};

    PRIVATE(w, PRIVATE_DIALOGS, dialogs_ans_write(&inner, &b));
}
