/**
 * DOC: a call as bytes, for the gateway that takes it over
 *
 * What another gateway of the overlay has to know of a call that is up, to be in its place towards
 * both ends: names and tags of both dialogs, sequence numbers, where each end is reached, what it
 * said last of its media, and how long the session lasts without a refresh.
 *
 *     version, flags, times, texts, the call, its INVITEs, the caller's leg, the callee's leg
 *
 * byte by byte in docs/protocol.md.  A text (a URI, a route set, a name) stands there once, however
 * often the call has it.  A leg's @sdp is what that end sent: the other end is offered
 * it again where it can only be told by an INVITE where its requests have to go from now on.
 *
 * Of a call that rings (@is_early) it says what its INVITE is known by when it comes once more, by
 * another way, and under which names it went on: Request-URI (the target of the callee's leg),
 * Call-ID, tag and CSeq of the one INVITE it has, and the far tag of its first dialog.  What the
 * ends say of themselves comes with that INVITE.
 *
 * Of a subscription it says the same: names, tags, ways, and how long it lasts.  One that was
 * forked has a record for each of its dialogs.
 *
 * Source: the design's "Calls survive"; RFC 3261 section 12.
 * Left out on purpose: what is under way (transactions, exchanges).
 */
#ifndef GATEWAY_CALL_RECORD_H
#define GATEWAY_CALL_RECORD_H

#include "base/bytes.h"
#include "gateway/call/call.h"

#define CALL_RECORD_VERSION   3
#define CALL_RECORD_BYTES_MAX 128000 /* of a whole record: DIALOGS_WHOLE_MAX */
#define CALL_TEXT_BYTES_MAX   8192   /* of each text but @sdp: a route set is as long as that */

enum call_side { CALL_SIDE_PHONES, CALL_SIDE_PEERS, CALL_SIDE_GATEWAYS };

/** One end of the call, as the gateway speaks with it.  All texts are borrowed. */
struct call_record_leg {
    uint8_t side;      /* enum call_side: what lies at the next hop */
    bool is_stream;    /* reached over a connection */
    bool knows_update; /* its Allow names UPDATE */
    uint32_t cseq;     /* of our last request */
    uint32_t peer_cseq;
    struct slice call_id;
    struct slice local_tag;
    struct slice remote_tag;
    struct slice target;   /* its Contact */
    struct slice route;    /* route set as the value of Route, or to the node that holds the flow of
                              a phone (side PHONES); "" if none */
    struct slice next_hop; /* where neither of them says it; "" if they do */
    struct slice known;    /* where it was reached before; "" */
    struct slice sdp;      /* the last body of type application/sdp that it sent; "" if none */
};

/** An INVITE that got a 2xx. */
struct call_record_invite {
    bool awaits_ack;
    uint8_t from;      /* enum call_leg: who sent it */
    uint32_t in_cseq;  /* as it came */
    uint32_t out_cseq; /* as it was sent on */
};

struct call_record {
    bool is_inward;
    bool is_early; /* its INVITE has no final response yet */
    bool is_subscription;
    uint8_t refresher;   /* enum call_leg: who refreshes the session (RFC 4028), if session_s */
    uint32_t session_s;  /* Session-Expires; 0 without session timer */
    uint32_t lifetime_s; /* how long the call lives without a refresh; 0 without limit */
    uint64_t since_wall_ms;
    struct slice token;    /* user of our Contact */
    struct slice from_uri; /* of the initial request, as it was written */
    struct slice to_uri;
    struct slice far_overlay; /* which the leg of side GATEWAYS belongs to; "" if none does */
    unsigned invites;         /* answered by a 2xx, whose ACK or repetition may still come */
    struct call_record_invite invite[CALL_INVITES_MAX];
    struct call_record_leg leg[2]; /* by enum call_leg */
};

/** call_record_write - append a record; the writer fails (ST_RANGE) where call_record_read() would:
 *  a text that is too long, has a control character, or is missing */
void call_record_write(struct writer *w, const struct call_record *record);

/**
 * call_record_read - read one record
 * @in:  a whole record; what @ret holds borrows from it
 * Returns: ST_OK; ST_UNSUPPORTED for another version; ST_TOO_LARGE; ST_MALFORMED, also for a text
 *          with a control character, a tag or target that is missing, or a value out of range.
 */
NODISCARD enum status call_record_read(struct slice in, struct call_record *ret);

#endif
