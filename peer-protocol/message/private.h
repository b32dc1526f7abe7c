/**
 * DOC: our own requests and records
 *
 * RFC 6940 leaves no private range of message codes, so our requests travel as exp_a_req and
 * exp_a_ans: u16 subtype, u8 version (1), then the body.  Unknown versions are ST_UNSUPPORTED,
 * bytes after the known fields of version 1 are refused.  Every layout stands byte by byte in
 * docs/protocol.md.
 */
#ifndef PEER_PROTOCOL_MESSAGE_PRIVATE_H
#define PEER_PROTOCOL_MESSAGE_PRIVATE_H

#include "peer-protocol/message/body.h"
#include "peer-protocol/message/security.h"

#define PRIVATE_VERSION 1

enum private_subtype {
    PRIVATE_HELLO = 1,     /* candidate, or a peer with work for it -> active gateway */
    PRIVATE_CLAIM = 2,     /* new gateway -> candidates and peers */
    PRIVATE_PROBE = 3,     /* candidate, or whose work waits -> candidate: is it heard? */
    PRIVATE_RESOLVE = 4,   /* node -> gateway: resolve a foreign domain */
    PRIVATE_NODE_INFO = 5, /* anyone -> node: address and RTT for `resolve` hops */
    PRIVATE_HANDOVER = 6,  /* leaving gateway -> first candidate: claim now */
    PRIVATE_DIALOGS = 7,   /* gateway -> its heirs: my calls; heir -> gateway: calls nobody has */
    PRIVATE_GONE = 8,      /* member -> members: a node of my user is dead */
    PRIVATE_NAMES = 9,     /* node -> gateway: whose are these domains inside our name? */
    PRIVATE_LOCAL = 10,    /* in the ring, node -> gateway of its own overlay: where is that? */
};

/** private_write - subtype, version and @body; private_read splits them again. */
void private_write(struct writer *w, uint16_t subtype, struct slice body);
NODISCARD enum status private_read(struct slice in, uint16_t *ret_subtype, struct slice *ret_body);

#define SCORE_MAX 1000
/** On a score, here and wherever scores are compared: its operator pinned the node.  Compared as
 *  numbers all that are pinned come before all that are not. */
#define SCORE_PINNED 0x8000

#define NODE_NAME_BYTES    64
#define NODE_ADDRESS_BYTES 64   /* "IP" or "IP:PORT" with its zero */
#define SIP_URI_BYTES      256  /* of nodes */
#define PHONE_URI_BYTES    2049 /* of phones: up to 2 kB (RFC 8599's are long) and its zero */
#define CALL_ID_BYTES      128  /* of a REGISTER */
#define INSTANCE_BYTES     128  /* +sip.instance without its quotes */
#define OVERLAY_NAME_BYTES 128
#define AOR_BYTES          256 /* "alice@site.pastry" */

#define TERM_MAX             0x7fffffffu /* of an election; a higher one is not believed */
#define HELLO_CANDIDATES_MAX 16
#define RING_NEIGHBOURS_MAX  8
#define NAMING_KEY_BYTES     32 /* all gateways of an overlay name their calls with the same */

/** A node as others are told of it. */
struct node_ref {
    struct id node;
    char name[NODE_NAME_BYTES];       /* as in node "NAME" of its configuration */
    char address[NODE_ADDRESS_BYTES]; /* "IP:PORT" of its overlay port */
};

/** What a node has of the global ring: it asks members of it in turn, its own overlay's gateways
 *  aside. */
struct ring_health {
    uint8_t members;    /* that answered lately */
    uint32_t silent_ms; /* since one did; RING_SILENT_EVER: none ever has */
};
#define RING_SILENT_EVER 0xffffffffu

struct hello_req {
    uint32_t term;  /* highest the sender has seen */
    uint16_t score; /* 0..1000, and SCORE_PINNED; 0 when the sender is no candidate */
    uint8_t is_candidate;
    uint64_t list; /* of the last answer that the sender keeps; 0 for none */
    struct ring_health ring;
};
struct hello_candidate {
    struct node_ref ref;
    uint16_t score;
};
struct hello_ans {
    uint32_t term;
    uint8_t is_active; /* 0: I am not the gateway (any more) */
    uint16_t score;    /* at the claim */
    struct id active;  /* the gateway the answerer knows; zero if none */
    struct ring_health health;
    uint64_t list;    /* names what follows: another list, another number */
    uint8_t has_list; /* 0: it is the one that the HELLO named, and is left out */
    uint8_t candidate_count;
    struct hello_candidate candidate[HELLO_CANDIDATES_MAX]; /* in order of rank */
    uint8_t ring_count;
    struct node_ref ring[RING_NEIGHBOURS_MAX]; /* ring members near the gateway: global addresses */
    uint8_t has_key; /* of an active gateway to a candidate; no field: the key is there, or not */
    uint8_t key[NAMING_KEY_BYTES]; /* a secret */
};

/** CLAIM; its answer is a hello_ans.  The certificate is the claimant's global one (overlay@NAME).
 */
struct claim_req {
    uint32_t term;
    uint16_t score; /* frozen at the claim */
    struct node_ref ref;
    struct id replaces;          /* the dead or leaving member; zero at the first claim */
    char sip_uri[SIP_URI_BYTES]; /* peer-listen address for the overlay's own nodes */
    struct slice certificate;    /* global certificate, DER */
};
struct probe_gateway_req {
    struct id gateway;
    uint32_t term;
    uint32_t waiting_ms; /* work has waited for it that long without a word; 0: none does */
};
struct probe_gateway_ans {
    uint8_t is_alive;   /* the answerer heard the gateway within its own HELLO window */
    uint32_t silent_ms; /* since it last did; 0xffffffff never */
    uint32_t term;
};
struct resolve_req {
    char domain[OVERLAY_NAME_BYTES]; /* host part of the URI */
};
#define RESOLVE_GATEWAYS_MAX 8
#define RESOLVE_HOPS_MAX     24
struct resolve_gateway {
    struct id node;
    char uri[SIP_URI_BYTES]; /* sip:ADDRESS:5061;transport=tls;term=T;priority=P;weight=W */
};
struct resolve_hop {
    struct node_ref ref;
    uint32_t rtt_us;
};
struct resolve_ans {
    uint16_t error; /* 0; ERROR_NOT_FOUND no such overlay; ERROR_REQUEST_TIMEOUT ring unreachable */
    char overlay[OVERLAY_NAME_BYTES];
    uint8_t gateway_count;
    struct resolve_gateway gateway[RESOLVE_GATEWAYS_MAX];
    uint8_t hop_count;
    struct resolve_hop hop[RESOLVE_HOPS_MAX];
};
struct node_info {
    struct node_ref ref;
    uint32_t uptime_s;
    uint32_t records;
};
#define GONE_NEIGHBOURS_MAX 6
struct gone_req {
    struct id node; /* of the same user as the sender */
};
struct gone_ans {
    uint8_t count;
    struct id neighbour[GONE_NEIGHBOURS_MAX]; /* members near it, as the answerer knows them */
};
/** NAMES: overlays whose names are inside ours (global-overlay/nested.h). */
#define NAMES_ASKED_MAX   32
#define NAMES_FOREIGN_MAX 256
enum names_verdict {
    NAMES_OURS,   /* a settled ring has no such overlay */
    NAMES_BLIND,  /* nobody can be asked: ours, as far as can be known */
    NAMES_UNSURE, /* ours, unless the ring says otherwise later */
    NAMES_FOREIGN
};
struct names_req {
    uint8_t count;
    char domain[NAMES_ASKED_MAX][OVERLAY_NAME_BYTES];
};
struct names_foreign {
    char name[OVERLAY_NAME_BYTES];
    uint32_t age_s; /* of its last entry in the ring */
};
struct names_ans {
    uint8_t count; /* as many as were asked */
    uint8_t verdict[NAMES_ASKED_MAX];
    uint16_t foreign_count;
    struct names_foreign foreign[NAMES_FOREIGN_MAX]; /* all that the answerer knows */
};
struct handover_req {
    uint32_t term;        /* of the gateway that leaves; the claim is term + 1 */
    uint8_t is_ring_lost; /* why: it does not reach the ring, and the receiver does */
};

/** DIALOGS: calls of a gateway, copied to or moved to another node (gateway/replica/replica.h). */
#define DIALOGS_TOKEN_MAX   63
#define DIALOGS_RECORD_MAX  32000  /* of a record that is in one request with its token */
#define DIALOGS_WHOLE_MAX   128000 /* of one that comes in parts, each in a request of its own */
#define DIALOGS_ENTRIES_MAX 2048

enum dialogs_flag {
    DIALOGS_FIRST = 1, /* the first of its stream: what was held of the sender is out of date */
    DIALOGS_MOVE = 2,  /* all that is held of the sender, and these, are the receiver's now */
    DIALOGS_OFFER = 4, /* outside any stream: copies of a gateway that is gone */
    DIALOGS_PART = 8,  /* with the others: the one entry is a part of its record */
};
struct dialogs_req {
    uint64_t stream; /* random, not zero */
    uint32_t number; /* grows with each request of a stream: a late one is known as such */
    uint8_t flags;
    uint32_t total;           /* calls that the sender has */
    struct slice certificate; /* the sender's global one, DER; empty where it was shown before */
    uint32_t part_at;         /* with PART: where in its record it belongs */
    uint32_t part_whole;      /* with PART: bytes of that record */
    uint16_t count;
    struct slice entries; /* count times what dialogs_entry_read() reads */
};
struct dialogs_entry {
    struct slice token;  /* 1 to DIALOGS_TOKEN_MAX bytes, printable */
    struct slice record; /* up to DIALOGS_RECORD_MAX bytes; empty: the call is over */
};
struct dialogs_ans {
    uint64_t stream;
    uint8_t wants_all; /* 1: I do not know this stream, begin a new one */
    uint32_t held;     /* calls of the sender that are held now */
};
/** dialogs_req_read - every entry is checked, and as many as count says, and that a part lies in
 * its record; they stay in @in. */
NODISCARD enum status dialogs_req_read(struct slice in, struct dialogs_req *ret);
void dialogs_req_write(struct writer *w, const struct dialogs_req *b);
/** dialogs_entry_read - the next of entries; false at the end, or (r->failed) at one that is none.
 */
bool dialogs_entry_read(struct reader *r, struct dialogs_entry *ret);
void dialogs_entry_write(struct writer *w, struct slice token, struct slice record);
/** dialogs_entry_bytes - what dialogs_entry_write() will write. */
size_t dialogs_entry_bytes(struct slice token, struct slice record);
NODISCARD enum status dialogs_ans_read(struct slice in, struct dialogs_ans *ret);
void dialogs_ans_write(struct writer *w, const struct dialogs_ans *b);

NODISCARD enum status hello_req_read(struct slice in, struct hello_req *ret);
void hello_req_write(struct writer *w, const struct hello_req *b);
NODISCARD enum status hello_ans_read(struct slice in, struct hello_ans *ret);
void hello_ans_write(struct writer *w, const struct hello_ans *b);
/** hello_lists_write - the candidates, the ring and the key, as they are in an answer: what a
 * number names. */
void hello_lists_write(struct writer *w, const struct hello_ans *b);
NODISCARD enum status claim_req_read(struct slice in, struct claim_req *ret);
void claim_req_write(struct writer *w, const struct claim_req *b);
NODISCARD enum status probe_gateway_req_read(struct slice in, struct probe_gateway_req *ret);
void probe_gateway_req_write(struct writer *w, const struct probe_gateway_req *b);
NODISCARD enum status probe_gateway_ans_read(struct slice in, struct probe_gateway_ans *ret);
void probe_gateway_ans_write(struct writer *w, const struct probe_gateway_ans *b);
NODISCARD enum status resolve_req_read(struct slice in, struct resolve_req *ret);
void resolve_req_write(struct writer *w, const struct resolve_req *b);
NODISCARD enum status resolve_ans_read(struct slice in, struct resolve_ans *ret);
void resolve_ans_write(struct writer *w, const struct resolve_ans *b);
NODISCARD enum status node_info_read(struct slice in, struct node_info *ret);
void node_info_write(struct writer *w, const struct node_info *b);
NODISCARD enum status gone_req_read(struct slice in, struct gone_req *ret);
void gone_req_write(struct writer *w, const struct gone_req *b);
NODISCARD enum status gone_ans_read(struct slice in, struct gone_ans *ret);
void gone_ans_write(struct writer *w, const struct gone_ans *b);
NODISCARD enum status names_req_read(struct slice in, struct names_req *ret);
void names_req_write(struct writer *w, const struct names_req *b);
NODISCARD enum status names_ans_read(struct slice in, struct names_ans *ret);
void names_ans_write(struct writer *w, const struct names_ans *b);
NODISCARD enum status handover_req_read(struct slice in, struct handover_req *ret);
void handover_req_write(struct writer *w, const struct handover_req *b);

/* ---- records: values of our kinds, and what In_Progress carries
 * ------------------------------------ */

/**
 * The info of an In_Progress error, and the padding of the Pings of who is not in the overlay.
 * While no member is known, members are the node itself (for its address), if it wants membership,
 * and the lowest Node-ID of those that do and are lower.
 */
struct in_progress {
    struct id node;
    uint8_t wants_membership; /* 0: only a client of this overlay */
    uint8_t member_count;
    struct node_ref member[RING_NEIGHBOURS_MAX]; /* members the answerer knows */
};
NODISCARD enum status in_progress_read(struct slice in, struct in_progress *ret);
void in_progress_write(struct writer *w, const struct in_progress *b);

/** KIND_ACTIVE_GATEWAY, key = its Node-ID. */
struct gateway_record {
    uint32_t term;
    uint16_t score;
    uint16_t priority; /* RFC 2782 rules */
    uint16_t weight;
    struct node_ref ref;         /* address in the local overlay */
    char sip_uri[SIP_URI_BYTES]; /* peer-listen: where the overlay's own nodes send foreign calls */
    uint64_t since_wall_ms;
    struct slice certificate; /* global, DER; user name overlay@NAME and this Node-ID */
};
NODISCARD enum status gateway_record_read(struct slice in, struct gateway_record *ret);
void gateway_record_write(struct writer *w, const struct gateway_record *b);

/** KIND_CANDIDATE, key = its Node-ID. */
#define SCORE_PARTS 6
enum score_part {
    SCORE_ONLINE,
    SCORE_BANDWIDTH,
    SCORE_CPU,
    SCORE_CALLS,
    SCORE_MEMORY,
    SCORE_PREFERENCE
};
struct candidate_record {
    struct node_ref ref;
    uint16_t score;
    uint16_t part[SCORE_PARTS]; /* each 0..1000 before its weight */
    char global_address[NODE_ADDRESS_BYTES];
    uint8_t ring_members; /* as in struct ring_health, when the record was stored */
};
NODISCARD enum status candidate_record_read(struct slice in, struct candidate_record *ret);
void candidate_record_write(struct writer *w, const struct candidate_record *b);

/** EXTENSION_ALGORITHM: plug-in name, ABI and parameters; of a loaded one, which version it is. */
struct algorithm_extension {
    char name[16];
    uint32_t abi;
    char parameters[64];
    uint64_t version; /* 0: built in, or not told; on the wire only if it is not */
};
NODISCARD enum status algorithm_extension_read(struct slice in, struct algorithm_extension *ret);
void algorithm_extension_write(struct writer *w, const struct algorithm_extension *b);

#endif
